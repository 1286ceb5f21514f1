"""Sobol sequences; the numbers are PyTorch's."""

import copy
import pickle

import numpy as np
import pytest

import flambeau as torch
from flambeau import _quasirandom
from flambeau.quasirandom import SobolEngine


def test_direction_numbers_of_all_dimensions():
    state = SobolEngine(SobolEngine.MAXDIM).sobolstate
    assert state.shape == (21201, 30) and state.dtype == torch.int64
    assert state[[1, 2, 500, 9999, 21200], [3, 5, 17, 20, 29]].tolist() == [
        1006632960, 385875968, 65982464, 593509888, 254952011,
    ]  # fmt: skip
    assert state.sum() == 341565579072477
    assert (state * torch.arange(1, 21202).unsqueeze(1)).sum() == 3621584924799993243
    for dimension in (1, 2, 9, 700):
        assert SobolEngine(dimension).sobolstate.equal(state[:dimension])


def test_table_is_packed_from_the_published_text():
    columns = [column.tolist() for column in _quasirandom._table()[:3]]
    bits = np.unpackbits(_quasirandom._table()[3], bitorder="little").tolist()
    lines, place = ["d s a m_i"], 0
    for d, (polynomial, degree, end) in enumerate(zip(*columns), 2):
        numbers = []
        for i in range(degree):
            numbers.append(1 + sum(bits[place + bit] << (bit + 1) for bit in range(i)))
            place += i
        assert place == end
        lines.append(" ".join(map(str, [d, degree, (polynomial ^ 1 << degree) >> 1, *numbers])))
    assert lines[1:6] == ["2 1 0 1", "3 2 1 1 3", "4 3 1 1 3 1", "5 3 2 1 1 1", "6 4 1 1 1 3 3"]
    assert _quasirandom.pack("\n".join(lines)) == _quasirandom._FILE.read_bytes()


def test_draws():
    engine = SobolEngine(3)
    assert engine.draw().tolist() == [[0, 0, 0]] and engine.num_generated == 1
    assert engine.draw(2).tolist() == [[0.5, 0.5, 0.5], [0.75, 0.25, 0.25]] and engine.num_generated == 3
    with pytest.raises(ValueError, match=r"to be a power of 2. 3 points have been .*: n=3\+2\*\*2=7. If you"):
        engine.draw_base2(2)
    assert engine.draw_base2(0).tolist() == [[0.25, 0.75, 0.75]] and engine.draw(0).shape == (0, 3)
    assert engine.quasi.tolist() == [268435456, 805306368, 805306368]
    out = torch.empty(0, 3)
    assert engine.reset() is engine and engine.draw(4, out=out) is out
    assert out.tolist() == [[0, 0, 0], [0.5, 0.5, 0.5], [0.75, 0.25, 0.25], [0.25, 0.75, 0.75]]
    assert SobolEngine(4).fast_forward(1000).draw(2).tolist() == [
        [0.2197265625, 0.0966796875, 0.5185546875, 0.6767578125],
        [0.7197265625, 0.5966796875, 0.0185546875, 0.1767578125],
    ]
    whole = SobolEngine(5).draw(300)
    for sizes in ((1, 299), (150, 150), (2, 1, 31, 266)):
        engine = SobolEngine(5)
        assert torch.cat([engine.draw(n) for n in sizes]).equal(whole)
    assert SobolEngine(5).fast_forward(7).fast_forward(90).draw(3).equal(whole[97:100])
    for name in ("float32", "float64"):
        torch.set_default_dtype(getattr(torch, name))
        assert SobolEngine(2).draw(2).dtype == torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)


def test_scrambled_draws():
    engine = SobolEngine(3, True, seed=7)
    assert (
        repr(engine) == "SobolEngine(dimension=3, scramble=True, seed=7)"
        and repr(SobolEngine(1)) == "SobolEngine(dimension=1)"
    )
    assert engine.shift.tolist() == [214182645, 183537049, 804615878]
    assert engine.sobolstate[:, [0, 5, 29]].tolist() == [
        [545853173, 18710007, 1], [662285411, 1021501317, 1020728510], [816589273, 417742203, 417728355],
    ]  # fmt: skip
    assert engine.draw(3).tolist() == [
        [0.19947312772274017, 0.17093220353126526, 0.7493569254875183],
        [0.6922082901000977, 0.7114949226379395, 0.48982980847358704],
        [0.8505491018295288, 0.2962706387042999, 0.7879806160926819],
    ]
    others = [pickle.loads(pickle.dumps(engine)), copy.deepcopy(engine)]
    points = engine.fast_forward(997).draw(2, dtype=torch.float64)
    assert points.tolist() == [
        [0.09419489372521639, 0.2218070961534977, 0.4842853359878063],
        [0.6024334281682968, 0.6452469890937209, 0.7237964170053601],
    ]
    assert all(other.fast_forward(997).draw(2, dtype=torch.float64).equal(points) for other in others)
    torch.manual_seed(3)
    assert SobolEngine(2, scramble=True).shift.tolist() == [73513868, 241083994]
    assert torch.rand(2).tolist() == [0.47289592027664185, 0.9328011870384216]


def test_errors():
    for dimension in (0, -1, 21202):
        with pytest.raises(ValueError, match=r"Supported range of dimensionality for SobolEngine is \[1, 21201\]"):
            SobolEngine(dimension)
    with pytest.raises(TypeError):
        SobolEngine(2.0)
    engine = SobolEngine(2)
    with pytest.raises(ValueError, match="n must be non-negative, but got -1"):
        engine.draw(0)
    with pytest.raises(TypeError, match=r"_sobol_engine_draw\(\): argument 'n' \(position 2\) must be int, not float"):
        engine.draw(2.0)
    with pytest.raises(NotImplementedError, match="\"_sobol_engine_draw\" not implemented for 'Half'"):
        engine.draw(3, dtype=torch.float16)
    assert engine.num_generated == 0
    assert engine.draw(1, dtype=torch.float16).dtype == torch.float16
    with pytest.raises(TypeError, match=r"_sobol_engine_ff_\(\): argument 'n' \(position 2\) must be int, not float"):
        engine.fast_forward(2.0)
    with pytest.raises(ValueError, match="n must be non-negative, but got -3"):
        engine.fast_forward(-3)
    engine.fast_forward(2**30 - 5)
    assert engine.draw(4).shape == (4, 2)
    for call in (lambda: engine.draw(1), lambda: engine.fast_forward(1), lambda: SobolEngine(1).draw(2**30 + 1)):
        with pytest.raises(ValueError, match="SobolEngine can generate at most 1073741824 points"):
            call()
