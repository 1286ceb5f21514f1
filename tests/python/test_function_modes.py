"""Overrides in lists, duck types beside tensors, and modes that every operator asks."""

import pytest

import flambeau as torch
from flambeau.overrides import TorchFunctionMode


class Sub(torch.Tensor):
    pass


class Duck:
    """No tensor, but an override of the protocol."""

    seen = None

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        Duck.seen = func.__name__, [type(a).__name__ for a in args]
        return "duck"


class Silent:
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        return NotImplemented


def sub():
    return torch.ones(2).as_subclass(Sub)


@pytest.mark.parametrize("name", ["cat", "stack", "hstack", "vstack", "block_diag"])
def test_lists_of_subclasses(name):
    function = getattr(torch, name)
    given = [torch.ones(2), sub()]
    assert type(function(*given) if name == "block_diag" else function(given)) is Sub


def test_ducks_in_lists_and_indices():
    assert torch.cat([torch.ones(2), Duck()]) == "duck" and Duck.seen == ("cat", ["list"])
    assert torch.ones(3)[Duck()] == "duck" and Duck.seen[0] == "__getitem__"
    assert torch.ones(3)[0, Duck()] == "duck"


@pytest.mark.parametrize(
    "operation, name",
    [
        (lambda t, d: t + d, "add"),
        (lambda t, d: d + t, "add"),
        (lambda t, d: t - d, "sub"),
        (lambda t, d: d - t, "__rsub__"),
        (lambda t, d: t * d, "mul"),
        (lambda t, d: t / d, "div"),
        (lambda t, d: d / t, "__rtruediv__"),
        (lambda t, d: t // d, "__floordiv__"),
        (lambda t, d: t % d, "remainder"),
        (lambda t, d: t**d, "pow"),
        (lambda t, d: t @ d, "matmul"),
        (lambda t, d: t & d, "__and__"),
        (lambda t, d: t < d, "lt"),
    ],
)
def test_names_of_binary_operators(operation, name):
    """Those that PyTorch passes on."""
    assert operation(torch.ones(3, 3), Duck()) == "duck"
    assert Duck.seen[0] == name


def test_refused_by_all():
    with pytest.raises(TypeError, match=r"unsupported operand type\(s\) for @: '.*Tensor' and 'Silent'"):
        torch.ones(3, 3) @ Silent()
    with pytest.raises(
        TypeError, match="Multiple dispatch failed for 'torch.mul'; all __torch_function__ handlers returned"
    ):
        torch.mul(torch.ones(2), Silent())


class Recorder(TorchFunctionMode):
    def __init__(self):
        self.names = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.names.append(func.__name__)
        return func(*args, **(kwargs or {}))


def test_modes_see_operators():
    x = torch.ones(2, 2)
    with Recorder() as mode:
        y = torch.add(x, 1) * 2
        y = -y.sum()
        x[0] = 3
        z = x[0, 1:]
        z += 1
        torch.cat([x, x])
    assert mode.names[:4] == ["add", "mul", "sum", "neg"]
    assert mode.names[4:] == ["__setitem__", "__getitem__", "add_", "cat"]
    mode.names.clear()
    assert y.item() == -16.0 and not mode.names


def test_modes_within_modes():
    class Twice(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            return func(*args, **(kwargs or {})) * 2

    with Recorder() as outer, Twice():
        result = torch.ones(2).exp()
    # The inner mode's own calls go to the outer one.
    assert outer.names == ["ones", "mul", "exp", "mul"]
    assert torch.allclose(result, 2 * torch.full((2,), 2.0).exp())


def test_a_mode_that_raises_is_left():
    class Broken(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"), Broken():
        torch.ones(2) + 1
    assert (torch.ones(2) + 1).tolist() == [2.0, 2.0]
