"""Results that operators save for their gradients, and those that programs may change in place."""

import flambeau as torch
import pytest


def changed(function, *values):
    operands = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in values]
    result = function(*operands)
    result.add_(1)
    result.sum().backward()
    return [x.grad for x in operands]


def test_quotients_and_others_may_change():
    a, b = changed(torch.div, [1.0, 2.0], [4.0, 5.0])
    assert torch.equal(a, torch.tensor([0.25, 0.2], dtype=torch.float64))
    assert torch.allclose(b, torch.tensor([-1 / 16, -2 / 25], dtype=torch.float64))
    for function in (torch.sinc, torch.erfinv):
        x = torch.tensor([0.3, 0.5], dtype=torch.float64, requires_grad=True)
        function(x).sum().backward()
        assert torch.equal(changed(function, [0.3, 0.5])[0], x.grad)


@pytest.mark.parametrize("name", ["exp", "sqrt", "tanh", "sigmoid", "reciprocal", "rsqrt", "relu"])
def test_saved_results_may_not(name):
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        changed(getattr(torch, name), [0.3, 0.5])
