"""Files in the format safetensors, and the digits model that Rust's tests load too."""

import sys
from pathlib import Path

import pytest

import flambeau as torch
from flambeau.utils.safetensors import load, load_file, save, save_file

FIXTURES = Path(__file__).parents[1] / "fixtures"
DTYPES = "bool uint8 int8 int16 uint16 float16 bfloat16 int32 uint32 float32 complex64 float64 int64 uint64"


@pytest.mark.parametrize("name", DTYPES.split())
def test_round_trip(name):
    dtype = getattr(torch, name)
    tensor = torch.tensor([[1, 0, 3], [4, 5, 6]]).to(dtype)
    back = load(save({"x": tensor.t(), "empty": torch.zeros(0, 2, dtype=dtype), "one": tensor[0, 0]}))
    assert back["x"].dtype == dtype and back["x"].tolist() == tensor.t().tolist()
    assert back["empty"].shape == (0, 2) and back["one"].shape == ()


def test_files(tmp_path):
    path = tmp_path / "x.safetensors"
    module = torch.nn.Linear(3, 2)
    save_file(module.state_dict(), path, {"format": "pt"})
    other = torch.nn.Linear(3, 2)
    other.load_state_dict(load_file(path))
    assert torch.equal(other.weight, module.weight) and torch.equal(other.bias, module.bias)
    assert [p.name for p in tmp_path.iterdir()] == ["x.safetensors"]
    with pytest.raises(FileNotFoundError):
        load_file(tmp_path / "missing.safetensors")


def test_bad_files_raise():
    good = save({"x": torch.arange(4)})
    for length in range(len(good)):
        with pytest.raises(ValueError):
            load(good[:length])
    for place in range(len(good)):
        for value in (0, 0x7F, 0xFF, ord("9")):
            try:
                load(good[:place] + bytes([value]) + good[place + 1 :])
            except ValueError:
                pass
    header = b'{"x":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}'
    with pytest.raises(ValueError):
        load(len(header).to_bytes(8, "little") + header)
    with pytest.raises(ValueError, match="complex128"):
        save({"x": torch.zeros(1, dtype=torch.complex128)})
    with pytest.raises(TypeError):
        save({"x": [1.0]})
    with pytest.raises(TypeError):
        save({1: torch.zeros(1)})


def test_digits_model():
    sys.path.insert(0, str(FIXTURES))
    try:
        import record_digits
    finally:
        sys.path.remove(str(FIXTURES))
    expected = load_file(FIXTURES / "digits_expected.safetensors")
    images, labels = record_digits.held_out()
    assert torch.equal(labels, expected["labels"])
    with torch.no_grad():
        scores = record_digits.model()(images)
    assert torch.allclose(scores, expected["scores"], rtol=1e-4, atol=1e-4)
    assert torch.equal(scores.argmax(1), expected["guesses"])
    assert (scores.argmax(1) == labels).float().mean() > 0.95
