"""Forward-mode derivatives: against reverse mode and against known ones."""

import pytest

import flambeau as torch
from flambeau.autograd import forward_ad as fwd


def jvp(f, x, v):
    with fwd.dual_level():
        return fwd.unpack_dual(f(fwd.make_dual(x, v)))


def test_known_derivatives():
    x, v = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64), torch.tensor([1.0, -1.0, 2.0], dtype=torch.float64)
    value, tangent = jvp(lambda t: (t.sin() * t).sum(), x, v)
    assert torch.allclose(value, (x.sin() * x).sum())
    assert torch.allclose(tangent, ((x.cos() * x + x.sin()) * v).sum())


def test_views_and_inplace_follow():
    x, v = torch.ones(3, 2, dtype=torch.float64), torch.arange(6.0, dtype=torch.float64).reshape(3, 2)

    def f(t):
        y = t * 2
        y[1].mul_(3)
        y.t().add_(1)
        return y

    _, tangent = jvp(f, x, v)
    assert torch.equal(tangent, 2 * v * torch.tensor([[1.0], [3.0], [1.0]], dtype=torch.float64))


def test_tangents_are_followed_without_grad_mode():
    x, v = torch.tensor([3.0]), torch.tensor([1.0])
    with torch.no_grad():
        value, tangent = jvp(lambda t: t**3, x, v)
    assert tangent.item() == 27 and not value.requires_grad


def test_duals_do_not_count_as_requiring_a_gradient():
    with fwd.dual_level():
        dual = fwd.make_dual(torch.ones(2), torch.ones(2))
        y = dual * 2
        assert not y.requires_grad and y.is_leaf and y.grad_fn is None
        w = torch.ones(2, requires_grad=True)
        z = y * w
        assert z.requires_grad
        tangent = fwd.unpack_dual(z).tangent
        (g,) = torch.autograd.grad(tangent.sum(), w)
        assert torch.equal(g, torch.full((2,), 2.0))


def test_outside_a_level_there_are_no_tangents():
    with pytest.raises(RuntimeError, match="no level exists"):
        fwd.make_dual(torch.ones(1), torch.ones(1))
    with fwd.dual_level():
        dual = fwd.make_dual(torch.ones(1), torch.ones(1))
        assert fwd.unpack_dual(dual).tangent.item() == 1
        with pytest.raises(RuntimeError, match="Nested forward mode AD"):
            fwd.enter_dual_level()
    assert fwd.unpack_dual(dual).tangent is None
    with pytest.raises(RuntimeError):
        fwd.exit_dual_level()


def test_mismatched_tangents_are_refused():
    with fwd.dual_level():
        with pytest.raises(RuntimeError, match="same size"):
            fwd.make_dual(torch.ones(2), torch.ones(3))
        with pytest.raises(ValueError, match="floating point"):
            fwd.make_dual(torch.ones(2, dtype=torch.int64), torch.ones(2))


def test_numbers_stand_for_tensors_only_in_arithmetic():
    assert torch.add(1, 2).item() == 3
    with pytest.raises(TypeError):
        torch.atan2(torch.ones(1), 1)
    with pytest.raises(TypeError):
        torch.pow(2, 3)
