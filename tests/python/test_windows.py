"""Windows on one memory that do not meet may be read and written together; masks beside other indices."""

import numpy as np
import pytest

import flambeau as torch


def grid():
    return torch.arange(24.0).view(4, 6)


def test_columns_beside_each_other():
    """PyTorch's numbers."""
    z = grid()
    z[:, 2:4] += z[:, :2]
    assert z[1].tolist() == [6.0, 7.0, 14.0, 16.0, 10.0, 11.0]
    z = grid()
    z[:, 3:] = z[:, :3]
    assert z[2].tolist() == [12.0, 13.0, 14.0, 12.0, 13.0, 14.0]
    z = grid()
    z[:, :3].copy_(z[:, 3:])
    assert z[0].tolist() == [3.0, 4.0, 5.0, 3.0, 4.0, 5.0]
    z = grid()
    torch.add(z[:, :2], 1, out=z[:, 4:])
    assert z[3].tolist() == [18.0, 19.0, 20.0, 21.0, 19.0, 20.0]
    z = torch.arange(24.0).view(2, 3, 4)
    z[:, 0, 2:] = z[:, 2, :2]
    assert z[1, 0].tolist() == [12.0, 13.0, 20.0, 21.0]


@pytest.mark.parametrize(
    "change",
    [
        lambda z: z[1:].add_(z[:-1]),
        lambda z: z.view(-1)[1:].copy_(z.view(-1)[:-1]),
        lambda z: z[:, 1:].add_(z[:, :-1]),
        lambda z: z[:4, :4].add_(z[:4, :4].t()),
        lambda z: z[:, :3].copy_(z[:, 2:5]),
    ],
)
def test_windows_that_meet_are_refused(change):
    """Also where PyTorch's answer would depend on the order in which it goes."""
    z = grid()
    with pytest.raises(RuntimeError, match="refer to a single memory location"):
        change(z)
    assert torch.equal(z, grid())


@pytest.mark.parametrize("seed", range(200))
def test_what_is_allowed_gives_the_numbers_of_copies(seed):
    rng = np.random.default_rng(seed)
    base = np.arange(120.0).reshape(4, 5, 6)
    cuts = [[sorted(rng.choice(n + 1, 2, replace=False)) for n in base.shape] for _ in range(2)]
    sizes = [min(hi - lo for lo, hi in pair) for pair in zip(*cuts)]
    to, source = (tuple(slice(lo, lo + n) for (lo, _), n in zip(cut, sizes)) for cut in cuts)
    t = torch.from_numpy(base.copy())
    expected = base.copy()
    expected[to] = base[source]
    try:
        t[to] = t[source]
    except RuntimeError as error:
        assert "single memory location" in str(error)
        marks = np.zeros(base.shape, int)
        marks[to] += 1
        marks[source] += 1
        assert marks.max() == 2
    else:
        assert (t.numpy() == expected).all()


def test_masks_beside_other_indices():
    x = torch.arange(24.0).view(2, 4, 3)
    m = torch.zeros(2, 4, dtype=torch.bool)
    m[0, 1] = m[1, 2] = True
    i = torch.tensor([0, 2])
    assert x[m, i].tolist() == [3.0, 20.0]
    y = torch.arange(48.0).view(2, 4, 3, 2)
    assert y[m, i].tolist() == [[6.0, 7.0], [40.0, 41.0]]
    k = torch.tensor([1, 0])
    assert y[m, i, k].tolist() == [7.0, 40.0]
    assert y[m, :, k].tolist() == [[7.0, 9.0, 11.0], [36.0, 38.0, 40.0]]
    assert y[m, ..., k].tolist() == y[m, :, k].tolist()
    x[m, i] = torch.tensor([5.0, 6.0])
    assert x.sum() == 264.0


def test_arrays_of_parameters_without_recording():
    p = torch.ones(2, requires_grad=True)
    with torch.no_grad():
        array = p.numpy()
        assert np.asarray(p).tolist() == [1.0, 1.0]
        array[0] = 3
    assert p.tolist() == [3.0, 1.0]
    with pytest.raises(RuntimeError, match="Can't call numpy"):
        p.numpy()
