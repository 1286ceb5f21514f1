"""Hooks on saved tensors see values only: the history comes back with the unpacked tensor."""

import pytest

import flambeau as torch
from flambeau.autograd.graph import saved_tensors_hooks
from flambeau.utils.checkpoint import checkpoint


def second(function, x, hooks=None):
    """First and second derivatives of the sum of `function(x)`."""
    if hooks is None:
        y = function(x)
    else:
        with saved_tensors_hooks(*hooks):
            y = function(x)
    (g,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    (h,) = torch.autograd.grad((g * torch.arange(1.0, 1 + x.numel(), dtype=x.dtype)).sum(), x)
    return g.detach(), h


FUNCTIONS = [
    lambda x: x * x * x,
    lambda x: torch.exp(x * 2),
    lambda x: torch.tanh(x).sin(),
    lambda x: (x.exp() * x).cos(),
    lambda x: x.pow(3) / (1 + x * x),
    lambda x: torch.softmax(x, 0) * x,
]


@pytest.mark.parametrize("index", range(len(FUNCTIONS)))
@pytest.mark.parametrize(
    "hooks",
    [
        (lambda t: t, lambda t: t),
        (lambda t: t.clone(), lambda t: t.clone()),
        (lambda t: t.tolist(), lambda values: torch.tensor(values, dtype=torch.float64)),
        (lambda t: t.detach().requires_grad_(), lambda t: t * 1),
    ],
    ids=["same", "copied", "as lists", "with a history of their own"],
)
def test_double_backward_through_hooks(index, hooks):
    function = FUNCTIONS[index]
    x = torch.tensor([0.3, -0.7, 1.1], dtype=torch.float64, requires_grad=True)
    plain, hooked = second(function, x), second(function, x, hooks)
    for a, b in zip(plain, hooked):
        assert torch.allclose(a, b)


def test_hooks_see_tensors_without_history():
    seen = []

    def pack(t):
        seen.append(t)
        return t

    x = torch.ones(2, requires_grad=True)
    with saved_tensors_hooks(pack, lambda t: t):
        y = (x * 2).exp().sin()
    y.sum().backward()
    assert seen and all(not t.requires_grad for t in seen)


def test_unpacked_leaf_shares_its_accumulator():
    x = torch.tensor([2.0], requires_grad=True)
    with saved_tensors_hooks(lambda t: t.tolist(), lambda values: torch.tensor(values)):
        y = x**3
    (g,) = torch.autograd.grad(y, x, create_graph=True)
    g.backward()
    assert x.grad.item() == 12.0


def test_custom_function_through_hooks():
    class Cube(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 3 * x * x * g

    x = torch.tensor([0.5, 2.0], dtype=torch.float64, requires_grad=True)
    for a, b in zip(second(Cube.apply, x), second(Cube.apply, x, (lambda t: t.clone(), lambda t: t.clone()))):
        assert torch.equal(a, b)


@pytest.mark.parametrize("index", range(len(FUNCTIONS)))
def test_checkpoint_with_create_graph(index):
    function = FUNCTIONS[index]
    x = torch.tensor([0.3, -0.7, 1.1], dtype=torch.float64, requires_grad=True)
    kept = second(lambda x: checkpoint(function, x, use_reentrant=False), x)
    for a, b in zip(second(function, x), kept):
        assert torch.allclose(a, b)


def test_checkpoint_of_layers_with_a_gradient_penalty():
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)).double()
    x = torch.randn(5, 3, dtype=torch.float64)

    def penalty(run):
        inputs = x.clone().requires_grad_()
        (g,) = torch.autograd.grad(run(inputs).sum(), inputs, create_graph=True)
        net.zero_grad()
        (g**2).sum().backward()
        return [p.grad.clone() if p.grad is not None else None for p in net.parameters()]

    plain = penalty(net)
    again = penalty(lambda inputs: checkpoint(net, inputs, use_reentrant=False))
    for a, b in zip(plain, again):
        assert (a is None and b is None) or torch.allclose(a, b)
