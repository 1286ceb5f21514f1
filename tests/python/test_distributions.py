"""Distributions against numbers recorded from PyTorch, and against themselves."""

import json
import math
import pathlib
import sys

import numpy as np
import pytest

import flambeau as torch

D = torch.distributions
RECORDED = json.loads((pathlib.Path(__file__).parents[1] / "fixtures" / "distributions.json").read_text())


def tensor(value, **options):
    return torch.tensor(value, dtype=torch.float64, **options)


def build(name, requires_grad=False):
    leaves, parameters = [], {}
    for key, value in RECORDED["distributions"][name]["parameters"].items():
        if not isinstance(value, int):
            value = tensor(value, requires_grad=requires_grad)
            leaves.append(value)
        parameters[key] = value
    return getattr(D, name)(**parameters), leaves


def close(actual, expected, rtol=1e-8):
    np.testing.assert_allclose(np.asarray(actual.tolist()), np.asarray(expected), rtol=rtol, atol=1e-9)


@pytest.mark.parametrize("name", RECORDED["distributions"])
def test_facts(name):
    expected = RECORDED["distributions"][name]
    distribution, _ = build(name)
    assert repr(distribution) == expected["repr"]
    assert list(distribution.batch_shape) == expected["batch_shape"]
    assert list(distribution.event_shape) == expected["event_shape"]
    assert repr(distribution.support) == expected["support"]


@pytest.mark.parametrize("name", RECORDED["distributions"])
def test_samples(name):
    distribution, _ = build(name)
    torch.manual_seed(RECORDED["seed"])
    close(distribution.sample((2,)), RECORDED["distributions"][name]["sample"])


@pytest.mark.parametrize("name", RECORDED["distributions"])
def test_densities_and_moments(name):
    expected = RECORDED["distributions"][name]
    distribution, _ = build(name)
    sample = tensor(expected["sample"])
    calls = {
        "log_prob": lambda: distribution.log_prob(sample),
        "cdf": lambda: distribution.cdf(sample),
        "mean": lambda: distribution.mean,
        "variance": lambda: distribution.variance,
        "mode": lambda: distribution.mode,
        "entropy": lambda: distribution.entropy(),
    }
    for kind, call in calls.items():
        if expected[kind] is not None:
            close(call(), expected[kind])


@pytest.mark.parametrize("pair", RECORDED["kl"])
def test_divergences(pair):
    p, q = pair.split()
    expected = RECORDED["kl"][pair]
    if expected is None:
        pytest.skip("not implemented in PyTorch")
    close(D.kl_divergence(build(p)[0], build(q)[0]), expected)


@pytest.mark.parametrize("name", RECORDED["distributions"])
def test_expand(name):
    distribution, _ = build(name)
    shape = (3, *distribution.batch_shape)
    expanded = distribution.expand(shape)
    assert tuple(expanded.batch_shape) == shape
    sample = tensor(RECORDED["distributions"][name]["sample"])[0]
    expected = distribution.log_prob(sample).expand(shape)
    close(expanded.log_prob(sample.expand(shape + tuple(distribution.event_shape))), expected.tolist())


@pytest.mark.parametrize("name", ["Normal", "Gamma", "Beta", "StudentT", "Uniform", "Gumbel", "Weibull", "Categorical"])
def test_gradient_of_log_prob(name):
    distribution, leaves = build(name, requires_grad=True)
    sample = tensor(RECORDED["distributions"][name]["sample"])
    total = distribution.log_prob(sample).sum()
    for leaf, gradient in zip(leaves, torch.autograd.grad(total, leaves, allow_unused=True)):
        if gradient is None:
            continue
        eps = 1e-6
        for index in np.ndindex(*leaf.shape):
            ends = []
            for step in (eps, -eps):
                moved = leaf.detach().clone()
                moved[index] += step
                others = {id(item): item.detach() for item in leaves} | {id(leaf): moved}
                keys = RECORDED["distributions"][name]["parameters"]
                parameters = dict(zip(keys, (others[id(item)] for item in leaves)))
                ends.append(getattr(D, name)(**parameters).log_prob(sample).sum().item())
            assert gradient[index].item() == pytest.approx((ends[0] - ends[1]) / (2 * eps), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("name", [k for k, v in RECORDED["distributions"].items() if v["rsample_gradients"]])
def test_gradients_of_draws(name):
    distribution, leaves = build(name, requires_grad=True)
    torch.manual_seed(RECORDED["seed"])
    draws = distribution.rsample((4,))
    weights = torch.linspace(0.5, 1.5, draws.numel(), dtype=torch.float64).reshape(draws.shape)
    gradients = torch.autograd.grad((draws * weights).sum(), leaves, allow_unused=True)
    for gradient, expected in zip(gradients, RECORDED["distributions"][name]["rsample_gradients"], strict=True):
        if expected is None:
            assert gradient is None
        else:
            close(gradient, expected, rtol=1e-6)


def test_reparameterised_samples_have_gradients():
    loc, scale = tensor(0.5, requires_grad=True), tensor(2.0, requires_grad=True)
    torch.manual_seed(0)
    sample = D.Normal(loc, scale).rsample((4,))
    d_loc, d_scale = torch.autograd.grad(sample.sum(), [loc, scale])
    assert d_loc.item() == 4.0
    assert d_scale.item() == pytest.approx(((sample - loc) / scale).sum().item())
    assert not D.Normal(loc, scale).sample().requires_grad


def test_numpy_scalars_as_parameters():
    for scalar in (np.float64(1.5), np.float32(1.5), np.array(1.5), np.int64(2)):
        distribution = D.Normal(scalar, 1.0)
        assert distribution.loc.dtype == torch.get_default_dtype()
        assert distribution.loc.item() == float(scalar)
    assert D.Gamma(torch.tensor([1.0, 2.0], dtype=torch.float64), np.float32(2.0)).rate.dtype == torch.float64
    assert D.AffineTransform(np.float64(1.0), np.float32(2.0))(torch.tensor(3.0)).item() == 7.0
    with pytest.raises(ValueError, match="must all be instances of Number, torch.Tensor"):
        D.Normal(np.zeros(2), 1.0)
    with pytest.raises(ValueError, match="must all be instances of Number, torch.Tensor"):
        D.Normal("a", 1.0)


def test_invalid_parameters_and_values():
    with pytest.raises(ValueError) as error:
        D.Normal(0.0, torch.tensor(-1.0))
    assert str(error.value) == (
        "Expected parameter scale (Tensor of shape ()) of distribution Normal(loc: 0.0, scale: -1.0) to satisfy the "
        "constraint GreaterThan(lower_bound=0.0), but found invalid values:\n-1.0"
    )
    with pytest.raises(ValueError, match="to be within the support \\(GreaterThanEq\\(lower_bound=0.0\\)\\)"):
        D.Exponential(1.0).log_prob(torch.tensor(-1.0))
    with pytest.raises(ValueError, match="The value argument to log_prob must be a Tensor"):
        D.Normal(0.0, 1.0).log_prob(1.0)
    with pytest.raises(ValueError, match="Value is not broadcastable with batch_shape"):
        D.Normal(torch.zeros(2), torch.ones(2)).log_prob(torch.zeros(3))
    with pytest.raises(ValueError, match="Either `probs` or `logits` must be specified, but not both."):
        D.Bernoulli()
    with pytest.raises(ValueError, match="Exactly one of covariance_matrix or precision_matrix or scale_tril"):
        D.MultivariateNormal(torch.zeros(2))
    unchecked = D.Normal(0.0, -1.0, validate_args=False)
    assert unchecked.scale.item() == -1.0
    assert D.Uniform(0.0, 1.0, validate_args=False).log_prob(torch.tensor(2.0)).item() == -math.inf


def test_lazy_parameters():
    bernoulli = D.Bernoulli(logits=torch.zeros(2))
    assert "probs" not in bernoulli.__dict__
    assert bernoulli.probs.tolist() == [0.5, 0.5]
    assert "probs" in bernoulli.__dict__
    assert repr(bernoulli) == "Bernoulli(probs: torch.Size([2]), logits: torch.Size([2]))"


def test_subclass_with_initialiser_must_expand_itself():
    class Standard(D.Normal):
        def __init__(self):
            super().__init__(0.0, 1.0)

    with pytest.raises(NotImplementedError, match="must also define a custom .expand\\(\\) method"):
        Standard().expand([2])


def test_mixtures_and_independent():
    weights = D.Categorical(torch.tensor([0.25, 0.75]))
    mixture = D.MixtureSameFamily(weights, D.Normal(torch.tensor([0.0, 2.0]), torch.tensor([1.0, 0.5])))
    x = torch.tensor(0.7)
    parts = mixture.component_distribution.log_prob(x).exp()
    assert mixture.log_prob(x).exp().item() == pytest.approx((parts * weights.probs).sum().item())
    assert mixture.mean.item() == pytest.approx(1.5)
    assert mixture.sample((5,)).shape == (5,)

    base = D.Normal(torch.zeros(2, 3), 1.0)
    independent = D.Independent(base, 1)
    assert independent.batch_shape == (2,) and independent.event_shape == (3,)
    value = torch.randn(2, 3)
    assert torch.equal(independent.log_prob(value), base.log_prob(value).sum(-1))
    with pytest.raises(NotImplementedError):
        D.Independent(D.Bernoulli(torch.tensor([0.5])), 1).enumerate_support()


def test_kl_dispatch():
    class A(D.Normal):
        pass

    class B(D.Normal):
        pass

    assert D.kl_divergence(A(0.0, 1.0), B(0.0, 1.0)).item() == 0.0
    D.register_kl(A, D.Normal)(lambda p, q: "left")
    D.register_kl(D.Normal, B)(lambda p, q: "right")
    with pytest.warns(RuntimeWarning, match="Ambiguous kl_divergence\\(A, B\\)"):
        assert D.kl_divergence(A(0.0, 1.0), B(0.0, 1.0)) == "left"
    with pytest.raises(NotImplementedError, match="No KL\\(p \\|\\| q\\) is implemented for p type Normal"):
        D.kl_divergence(D.Normal(0.0, 1.0), D.Categorical(torch.ones(3)))


def test_names_load_when_used():
    assert "Normal" in dir(D)
    assert D.normal.Normal is D.Normal
    assert sys.modules["flambeau.distributions.normal"].Normal is D.Normal
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        D.Nothing
