"""Differentiation."""

import gc

import pytest

import flambeau as torch


def test_backward_and_accumulation():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    for factor in (1, 2):
        (x**2).sum().backward()
        assert x.grad.tolist() == [2.0 * factor, 4.0 * factor]


def test_second_derivative():
    x = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    (g,) = torch.autograd.grad(x.sin() * x, x, create_graph=True)
    (h,) = torch.autograd.grad(g, x)
    assert h.item() == pytest.approx(2 * torch.cos(x).item() - 2 * torch.sin(x).item())


@pytest.mark.parametrize("name", ["exp", "log", "sqrt", "tanh", "sigmoid", "lgamma", "erf", "digamma", "atan", "rsqrt"])
def test_pointwise_gradients_to_second_order(name):
    x = torch.tensor([0.3, 0.7, 1.9], dtype=torch.float64, requires_grad=True)
    function = getattr(torch, name)
    assert torch.autograd.gradcheck(function, (x,))
    assert torch.autograd.gradgradcheck(function, (x,))


def test_in_place_on_a_needed_value():
    x = torch.ones(3, requires_grad=True)
    y = x.exp()
    y += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_in_place_on_a_view():
    x = torch.arange(4.0).requires_grad_()
    y = x * 2
    y[1:3] *= 10
    y.sum().backward()
    assert x.grad.tolist() == [2.0, 20.0, 20.0, 2.0]


def test_graph_is_freed():
    x = torch.ones(1, requires_grad=True)
    y = x * x
    y.backward()
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        y.backward()


def test_long_chain_does_not_overflow_the_stack():
    x = torch.ones(1, requires_grad=True)
    y = x
    for _ in range(100_000):
        y = y + x
    y.backward()
    assert x.grad.item() == 100_001
    del y
    gc.collect()


def test_hooks_and_retain_grad():
    x = torch.ones(2, requires_grad=True)
    y = x * 3
    y.retain_grad()
    handle = y.register_hook(lambda g: g * 10)
    y.sum().backward()
    assert y.grad.tolist() == [10.0, 10.0] and x.grad.tolist() == [30.0, 30.0]
    handle.remove()


def test_custom_function():
    class Cube(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, grad):
            (x,) = ctx.saved_tensors
            return grad * 3 * x**2

    x = torch.tensor([2.0], requires_grad=True)
    y = Cube.apply(x)
    assert type(y.grad_fn).__name__ == "CubeBackward"
    y.backward()
    assert x.grad.item() == 12.0


def test_no_grad_and_leaf_errors():
    x = torch.ones(2, requires_grad=True)
    with torch.no_grad():
        assert not (x * 2).requires_grad
        x -= 1
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        x += 1
