"""Bad input raises; it never panics, aborts, hangs or changes an operand. FLAMBEAU_FUZZ_CALLS sets the number of calls."""

import os
import random

import pytest

import flambeau as torch
from flambeau import _C

CALLS = int(os.environ.get("FLAMBEAU_FUZZ_CALLS", "2000"))
# Operators whose results are meant to be large, or that wait for nothing.
SKIPPED = {"manual_seed", "seed"}
DTYPES = [torch.float32, torch.float64, torch.int64, torch.bool, torch.complex64, torch.bfloat16, torch.uint8]


def some_tensor(rng):
    shape = [rng.choice([0, 1, 2, 3]) for _ in range(rng.randrange(4))]
    t = torch.zeros(shape, dtype=rng.choice(DTYPES)) + rng.choice([0, 1])
    kind = rng.randrange(6)
    if kind == 0 and t.dim() > 1:
        t = t.transpose(0, -1)
    elif kind == 1 and t.dim() > 0:
        t = t.expand(*[3 if s == 1 else s for s in t.shape])
    elif kind == 2 and (t.is_floating_point() or t.is_complex()):
        t = t.clone().requires_grad_()
    return t


def some_argument(rng):
    return rng.choice(
        [
            lambda: some_tensor(rng),
            lambda: some_tensor(rng),
            lambda: some_tensor(rng),
            lambda: rng.choice([0, 1, 2, -1, -2, 5, 2**31, -(2**63), 2**63 - 1, 2**70]),
            lambda: rng.choice([0.0, 1.5, -1.0, float("nan"), float("inf")]),
            lambda: rng.choice([True, False, None, "mean", "x", 1j]),
            lambda: [rng.choice([0, 1, -1, 2, 2**55]) for _ in range(rng.randrange(4))],
            lambda: [some_tensor(rng) for _ in range(rng.randrange(3))],
            lambda: rng.choice(DTYPES),
        ]
    )()


@pytest.mark.filterwarnings("ignore")
def test_random_calls():
    rng = random.Random(int(os.environ.get("FLAMBEAU_FUZZ_SEED", "0")))
    functions = [
        (place, name, function)
        for place in ("torch", "nn.functional", "linalg", "fft", "special", "Tensor")
        for name, function in sorted(_C._functions(place).items())
        if name not in SKIPPED
    ]
    for _ in range(CALLS):
        place, name, function = rng.choice(functions)
        count = rng.randrange(4)
        args = [some_argument(rng) for _ in range(count)]
        if place == "Tensor":
            args.insert(0, some_tensor(rng))
        before = [(a, a._version) for a in args if isinstance(a, torch.Tensor)]
        try:
            function(*args)
        except (
            RuntimeError,
            TypeError,
            ValueError,
            IndexError,
            NotImplementedError,
            OverflowError,
            AssertionError,
        ) as error:
            text = str(error)
            assert "internal error" not in text, f"{place}.{name}{args}: {text}"
            for tensor, version in before:
                assert tensor._version == version, f"{place}.{name} changed an operand and raised: {text}"


def test_calls_that_crash_others():
    with pytest.raises(RuntimeError):
        torch.ones(4).as_strided((2,), (1,), 2**60)
    with pytest.raises(RuntimeError):
        torch.ones(4).as_strided((2, 2), (1,))
    with pytest.raises(RuntimeError):
        torch.tensor([]).item()
    with pytest.raises((RuntimeError, TypeError)):
        torch.zeros(2**40, 2**40)
    with pytest.raises((RuntimeError, TypeError)):
        torch.empty(2**62, 8)
    nested = []
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises((ValueError, RecursionError, TypeError)):
        torch.tensor(nested)
    with pytest.raises(RuntimeError):
        torch.ones(3).dot(torch.ones(4))
    x = torch.ones(3)
    with pytest.raises(RuntimeError):
        x[:2].copy_(torch.ones(3))
    with pytest.raises(RuntimeError, match="single memory location"):
        torch.ones(1).expand(3).add_(1)
    y = torch.arange(6.0)
    with pytest.raises(RuntimeError, match="single memory location"):
        y[1:].add_(y[:-1])
    assert y.tolist() == [0, 1, 2, 3, 4, 5]
