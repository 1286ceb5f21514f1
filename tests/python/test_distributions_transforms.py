"""Transforms and constraints of `distributions`."""

import pytest

import flambeau as torch

D = torch.distributions
constraints = D.constraints


def tensor(value):
    return torch.tensor(value, dtype=torch.float64)


ELEMENTWISE = [
    (lambda: D.ExpTransform(), [0.5, -1.0]),
    (lambda: D.PowerTransform(tensor(3.0)), [0.5, 1.5]),
    (lambda: D.SigmoidTransform(), [0.5, -3.0]),
    (lambda: D.TanhTransform(), [0.5, -1.5]),
    (lambda: D.SoftplusTransform(), [0.5, -3.0]),
    (lambda: D.AffineTransform(tensor(1.0), tensor([2.0, -3.0])), [0.5, -1.0]),
    (lambda: D.ComposeTransform([D.ExpTransform(), D.AffineTransform(1.0, 2.0)]), [0.5, -1.0]),
    (lambda: D.CumulativeDistributionTransform(D.Normal(tensor(0.0), tensor(1.0))), [0.2, -0.9]),
]


@pytest.mark.parametrize("make, values", ELEMENTWISE)
def test_elementwise_inverse_and_jacobian(make, values):
    transform, x = make(), tensor(values)
    y = transform(x)
    assert torch.allclose(transform.inv(y), x, atol=1e-8)
    slope = torch.autograd.functional.jacobian(transform, x).diagonal()
    assert torch.allclose(transform.log_abs_det_jacobian(x, y), slope.abs().log(), atol=1e-8)
    assert torch.allclose(transform.inv.log_abs_det_jacobian(y, x), -slope.abs().log(), atol=1e-8)
    assert transform.inv.inv is transform


@pytest.mark.parametrize(
    "make, values",
    [(lambda: D.StickBreakingTransform(), [0.5, -1.0, 0.3]), (lambda: D.CorrCholeskyTransform(), [0.2, -0.4, 0.7])],
)
def test_vector_inverse_and_constraint(make, values):
    transform, x = make(), tensor(values)
    y = transform(x)
    assert transform.codomain.check(y)
    assert torch.allclose(transform.inv(y), x, atol=1e-8)
    assert tuple(transform.forward_shape(x.shape)) == tuple(y.shape)
    assert tuple(transform.inverse_shape(y.shape)) == tuple(x.shape)


def test_stick_breaking_jacobian():
    transform, x = D.StickBreakingTransform(), tensor([0.5, -1.0, 0.3])
    y = transform(x)
    matrix = torch.autograd.functional.jacobian(lambda x: transform(x)[:-1], x)
    assert transform.log_abs_det_jacobian(x, y).item() == pytest.approx(torch.linalg.det(matrix).abs().log().item())


def test_cache():
    transform = D.ExpTransform(cache_size=1)
    x = tensor([0.5])
    assert transform.inv(transform(x)) is x
    assert D.ExpTransform().with_cache()._cache_size == 1
    with pytest.raises(ValueError, match="cache_size must be 0 or 1"):
        D.ExpTransform(cache_size=2)


def test_cat_stack_reshape():
    x = tensor([0.5, -1.0, 0.3])
    cat = D.CatTransform([D.ExpTransform(), D.AffineTransform(1.0, 2.0)], 0, [1, 2])
    assert torch.allclose(cat(x), torch.cat([x[:1].exp(), 1 + 2 * x[1:]]))
    assert torch.allclose(cat.inv(cat(x)), x)
    stack = D.StackTransform([D.ExpTransform(), D.TanhTransform()], 0)
    pair = tensor([[0.5, 1.0], [0.1, 0.2]])
    assert torch.allclose(stack(pair), torch.stack([pair[0].exp(), pair[1].tanh()]))
    reshape = D.ReshapeTransform((4,), (2, 2))
    assert reshape(torch.arange(8.0).view(2, 4)).shape == (2, 2, 2)
    assert reshape.log_abs_det_jacobian(torch.zeros(3, 4), torch.zeros(3, 2, 2)).tolist() == [0.0] * 3
    with pytest.raises(ValueError, match="different numbers of elements"):
        D.ReshapeTransform((3,), (2, 2))


def test_equality_and_repr():
    assert D.ExpTransform() == D.ExpTransform() and D.ExpTransform() != D.TanhTransform()
    assert D.AffineTransform(0, 1) == D.AffineTransform(0, 1) and D.AffineTransform(0, 1) != D.AffineTransform(0, 2)
    assert repr(D.ExpTransform().inv) == "_InverseTransform(ExpTransform())"
    composed = D.ComposeTransform([D.ExpTransform(), D.TanhTransform()])
    assert repr(composed) == "ComposeTransform(\n    ExpTransform(),\n    TanhTransform()\n)"
    assert repr(D.IndependentTransform(D.ExpTransform(), 1)) == "IndependentTransform(ExpTransform(), 1)"


@pytest.mark.parametrize(
    "constraint, shape",
    [
        (constraints.positive, (3,)),
        (constraints.greater_than(2.0), (3,)),
        (constraints.less_than(-1.0), (3,)),
        (constraints.interval(-2.0, 5.0), (3,)),
        (constraints.unit_interval, (3,)),
        (constraints.simplex, (3,)),
        (constraints.corr_cholesky, (3,)),
        (constraints.real, (3,)),
    ],
)
def test_bijections_reach_their_constraint(constraint, shape):
    x = torch.randn(shape, dtype=torch.float64)
    for registry in (D.biject_to, D.transform_to):
        assert constraint.check(registry(constraint)(x)).all()
    bijection = D.biject_to(constraint)
    assert torch.allclose(bijection.inv(bijection(x)), x, atol=1e-6)


def test_registry_errors():
    with pytest.raises(NotImplementedError, match="Cannot transform _Boolean constraints"):
        D.biject_to(constraints.boolean)
    with pytest.raises(TypeError, match="Expected constraint to be either a Constraint subclass or instance"):
        D.biject_to.register(1, 2)


@pytest.mark.parametrize(
    "constraint, good, bad",
    [
        (constraints.boolean, 1.0, 0.5),
        (constraints.nonnegative_integer, 3.0, -1.0),
        (constraints.integer_interval(0, 2), 2.0, 3.0),
        (constraints.half_open_interval(0.0, 1.0), 0.0, 1.0),
        (constraints.simplex, [0.25, 0.75], [0.5, 0.75]),
        (constraints.one_hot, [0.0, 1.0], [1.0, 1.0]),
        (constraints.lower_cholesky, [[1.0, 0.0], [2.0, 3.0]], [[1.0, 1.0], [2.0, 3.0]]),
        (constraints.positive_definite, [[2.0, 0.5], [0.5, 1.0]], [[1.0, 2.0], [2.0, 1.0]]),
        (constraints.symmetric, [[2.0, 0.5], [0.5, 1.0]], [[2.0, 0.5], [0.4, 1.0]]),
        (constraints.independent(constraints.positive, 1), [1.0, 2.0], [1.0, -2.0]),
    ],
)
def test_constraints(constraint, good, bad):
    assert constraint.check(tensor(good)).all()
    assert not constraint.check(tensor(bad)).all()


def test_dependent_constraints():
    assert constraints.is_dependent(D.Uniform.support)
    assert not constraints.is_dependent(D.Normal.support)
    with pytest.raises(ValueError, match="Cannot determine validity of dependent constraint"):
        constraints.dependent.check(tensor(1.0))
    with pytest.raises(NotImplementedError, match=".event_dim cannot be determined statically"):
        constraints.dependent.event_dim


def test_transformed_distribution():
    normal = D.Normal(torch.zeros(2, dtype=torch.float64), 1.0)
    scaled = D.TransformedDistribution(normal, [D.AffineTransform(tensor([1.0, 2.0]), tensor([2.0, -3.0]))])
    direct = D.Normal(tensor([1.0, 2.0]), tensor([2.0, 3.0]))
    x = tensor([0.3, -0.7])
    assert torch.allclose(scaled.log_prob(x), direct.log_prob(x))
    assert torch.allclose(scaled.cdf(x), direct.cdf(x))
    assert torch.allclose(scaled.icdf(tensor([0.3, 0.7])), direct.icdf(tensor([0.3, 0.7])))
    simplex = D.TransformedDistribution(D.Normal(torch.zeros(4, 2), 1.0), D.StickBreakingTransform())
    assert simplex.batch_shape == (4,) and simplex.event_shape == (3,)
    with pytest.raises(ValueError, match="transforms must be a Transform or list, but was 1"):
        D.TransformedDistribution(normal, 1)
