"""Kullback-Leibler divergences between distributions of different classes: `E_p[-log q(x)]` less p's entropy."""

import math

import flambeau as fl
from flambeau.distributions.bernoulli import Bernoulli
from flambeau.distributions.beta import Beta
from flambeau.distributions.continuous_bernoulli import ContinuousBernoulli
from flambeau.distributions.exponential import Exponential
from flambeau.distributions.gamma import Gamma
from flambeau.distributions.gumbel import Gumbel
from flambeau.distributions.kl import _infinite_where, _x_log_x, register_kl
from flambeau.distributions.laplace import Laplace
from flambeau.distributions.normal import Normal
from flambeau.distributions.pareto import Pareto
from flambeau.distributions.poisson import Poisson
from flambeau.distributions.uniform import Uniform
from flambeau.distributions.utils import euler_constant

_LOG_2PI = math.log(2 * math.pi)


def _cross_bernoulli(mean, q):
    """Cross-entropy of a variable on [0, 1] with a continuous Bernoulli distribution."""
    return -(mean * q.logits + fl.log1p(-q.probs) + q._cont_bern_log_norm())


def _cross_exponential(mean, q):
    return q.rate * mean - q.rate.log()


def _cross_gamma(mean, mean_log, q):
    b = q.concentration
    return b.lgamma() - b * q.rate.log() - (b - 1) * mean_log + q.rate * mean


def _cross_gumbel(mean, mean_exp, q):
    """`mean_exp` is the expectation of exp(-(x - loc) / scale)."""
    return q.scale.log() + (mean - q.loc) / q.scale + mean_exp


def _cross_normal(mean, variance, q):
    return 0.5 * _LOG_2PI + q.scale.log() + 0.5 * (variance + (mean - q.loc).pow(2)) / q.scale.pow(2)


@register_kl(Bernoulli, Poisson)
def _kl_bernoulli_poisson(p, q):
    return q.rate - p.probs * q.rate.log() - p.entropy()


@register_kl(Beta, ContinuousBernoulli)
def _kl_beta_continuous_bernoulli(p, q):
    return _cross_bernoulli(p.mean, q) - p.entropy()


@register_kl(Beta, Exponential)
def _kl_beta_exponential(p, q):
    return _cross_exponential(p.mean, q) - p.entropy()


@register_kl(Beta, Gamma)
def _kl_beta_gamma(p, q):
    mean_log = p.concentration1.digamma() - (p.concentration1 + p.concentration0).digamma()
    return _cross_gamma(p.mean, mean_log, q) - p.entropy()


@register_kl(Beta, Normal)
def _kl_beta_normal(p, q):
    return _cross_normal(p.mean, p.variance, q) - p.entropy()


@register_kl(Beta, Uniform)
def _kl_beta_uniform(p, q):
    return _infinite_where((q.low > 0) | (q.high < 1), (q.high - q.low).log() - p.entropy())


@register_kl(ContinuousBernoulli, Exponential)
def _kl_continuous_bernoulli_exponential(p, q):
    return _cross_exponential(p.mean, q) - p.entropy()


@register_kl(ContinuousBernoulli, Normal)
def _kl_continuous_bernoulli_normal(p, q):
    return _cross_normal(p.mean, p.variance, q) - p.entropy()


@register_kl(ContinuousBernoulli, Uniform)
def _kl_continuous_bernoulli_uniform(p, q):
    # infinite at equal bounds too, as in PyTorch
    return _infinite_where((q.low >= 0) | (q.high <= 1), (q.high - q.low).log() - p.entropy())


@register_kl(Exponential, Gamma)
def _kl_exponential_gamma(p, q):
    mean_log = -(p.rate.log() + euler_constant)
    return _cross_gamma(p.mean, mean_log, q) - p.entropy()


@register_kl(Exponential, Gumbel)
def _kl_exponential_gumbel(p, q):
    product = p.rate * q.scale
    mean_exp = fl.exp(q.loc / q.scale) * product / (product + 1)
    return _cross_gumbel(p.mean, mean_exp, q) - p.entropy()


@register_kl(Exponential, Normal)
def _kl_exponential_normal(p, q):
    return _cross_normal(p.mean, p.variance, q) - p.entropy()


@register_kl(Gamma, Exponential)
def _kl_gamma_exponential(p, q):
    return _cross_exponential(p.mean, q) - p.entropy()


@register_kl(Gamma, Gumbel)
def _kl_gamma_gumbel(p, q):
    product = p.rate * q.scale
    mean_exp = fl.exp(q.loc / q.scale) * (1 + product.reciprocal()).pow(-p.concentration)
    return _cross_gumbel(p.mean, mean_exp, q) - p.entropy()


@register_kl(Gamma, Normal)
def _kl_gamma_normal(p, q):
    return _cross_normal(p.mean, p.variance, q) - p.entropy()


@register_kl(Gumbel, Normal)
def _kl_gumbel_normal(p, q):
    return _cross_normal(p.mean, p.variance, q) - p.entropy()


@register_kl(Laplace, Normal)
def _kl_laplace_normal(p, q):
    return _cross_normal(p.mean, p.variance, q) - p.entropy()


@register_kl(Normal, Gumbel)
def _kl_normal_gumbel(p, q):
    mean_exp = fl.exp((q.loc - p.loc) / q.scale + 0.5 * (p.scale / q.scale).pow(2))
    return _cross_gumbel(p.loc, mean_exp, q) - p.entropy()


@register_kl(Normal, Laplace)
def _kl_normal_laplace(p, q):
    # the mean of a folded normal distribution
    shift = p.loc - q.loc
    ratio = shift / p.scale
    distance = math.sqrt(2 / math.pi) * p.scale * fl.exp(-0.5 * ratio.pow(2))
    distance = distance + shift * fl.erf(math.sqrt(0.5) * ratio)
    return distance / q.scale + (2 * q.scale).log() - p.entropy()


@register_kl(Pareto, Exponential)
def _kl_pareto_exponential(p, q):
    mean = p.scale * p.alpha / (p.alpha - 1)
    return _infinite_where(p.alpha <= 1, _cross_exponential(mean, q) - p.entropy())


@register_kl(Pareto, Gamma)
def _kl_pareto_gamma(p, q):
    mean = p.scale * p.alpha / (p.alpha - 1)
    mean_log = p.scale.log() + p.alpha.reciprocal()
    return _infinite_where(p.alpha <= 1, _cross_gamma(mean, mean_log, q) - p.entropy())


@register_kl(Pareto, Normal)
def _kl_pareto_normal(p, q):
    unit = p.scale / (p.alpha - 1)
    variance = p.alpha * unit.pow(2) / (p.alpha - 2)
    return _infinite_where(p.alpha <= 2, _cross_normal(p.alpha * unit, variance, q) - p.entropy())


def _uniform_mean_log(low, high):
    return (_x_log_x(high) - _x_log_x(low)) / (high - low) - 1


@register_kl(Uniform, Beta)
def _kl_uniform_beta(p, q):
    a, b = q.concentration1, q.concentration0
    mean_log = _uniform_mean_log(p.low, p.high)
    mean_log_rest = _uniform_mean_log(1 - p.high, 1 - p.low)
    cross = a.lgamma() + b.lgamma() - (a + b).lgamma() - (a - 1) * mean_log - (b - 1) * mean_log_rest
    return _infinite_where((p.high > 1) | (p.low < 0), cross - p.entropy())


@register_kl(Uniform, ContinuousBernoulli)
def _kl_uniform_continuous_bernoulli(p, q):
    # infinite at equal bounds too, as in PyTorch
    return _infinite_where((p.high >= 1) | (p.low <= 0), _cross_bernoulli(p.mean, q) - p.entropy())


@register_kl(Uniform, Exponential)
def _kl_uniform_exponetial(p, q):
    return _infinite_where(p.low < 0, _cross_exponential(p.mean, q) - p.entropy())


@register_kl(Uniform, Gamma)
def _kl_uniform_gamma(p, q):
    mean_log = _uniform_mean_log(p.low, p.high)
    return _infinite_where(p.low < 0, _cross_gamma(p.mean, mean_log, q) - p.entropy())


@register_kl(Uniform, Gumbel)
def _kl_uniform_gumbel(p, q):
    high, low = (p.high - q.loc) / q.scale, (p.low - q.loc) / q.scale
    mean_exp = (fl.exp(-low) - fl.exp(-high)) / (high - low)
    return _cross_gumbel(p.mean, mean_exp, q) - p.entropy()


@register_kl(Uniform, Normal)
def _kl_uniform_normal(p, q):
    return _cross_normal(p.mean, p.variance, q) - p.entropy()


@register_kl(Uniform, Pareto)
def _kl_uniform_pareto(p, q):
    mean_log = _uniform_mean_log(p.low, p.high)
    cross = (q.alpha + 1) * mean_log - q.alpha.log() - q.alpha * q.scale.log()
    return _infinite_where(p.low < q.scale, cross - p.entropy())
