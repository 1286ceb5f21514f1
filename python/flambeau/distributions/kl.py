"""Kullback-Leibler divergences, and the registry of their formulas."""

import math
import warnings

import flambeau as fl
from flambeau.distributions.bernoulli import Bernoulli
from flambeau.distributions.beta import Beta
from flambeau.distributions.binomial import Binomial
from flambeau.distributions.categorical import Categorical
from flambeau.distributions.cauchy import Cauchy
from flambeau.distributions.continuous_bernoulli import ContinuousBernoulli
from flambeau.distributions.dirichlet import Dirichlet
from flambeau.distributions.distribution import Distribution
from flambeau.distributions.exp_family import ExponentialFamily
from flambeau.distributions.exponential import Exponential
from flambeau.distributions.gamma import Gamma
from flambeau.distributions.geometric import Geometric
from flambeau.distributions.gumbel import Gumbel
from flambeau.distributions.half_normal import HalfNormal
from flambeau.distributions.independent import Independent
from flambeau.distributions.laplace import Laplace
from flambeau.distributions.lowrank_multivariate_normal import (
    LowRankMultivariateNormal,
    _batch_lowrank_logdet,
    _batch_lowrank_mahalanobis,
)
from flambeau.distributions.multivariate_normal import MultivariateNormal, _batch_mahalanobis
from flambeau.distributions.normal import Normal
from flambeau.distributions.one_hot_categorical import OneHotCategorical
from flambeau.distributions.pareto import Pareto
from flambeau.distributions.poisson import Poisson
from flambeau.distributions.transformed_distribution import TransformedDistribution
from flambeau.distributions.uniform import Uniform
from flambeau.distributions.utils import _sum_rightmost, euler_constant

__all__ = ["register_kl", "kl_divergence"]

_KL_REGISTRY = {}  # (type of p, type of q) -> formula
_KL_MEMOIZE = {}  # the same, with the lookups that were made


def register_kl(type_p, type_q):
    """Decorator that registers a function of (p, q) for `kl_divergence` of two distribution classes.

    The most specific registration serves subclasses. An ambiguity raises a RuntimeWarning when it is met; to
    resolve it register the pair itself.
    """
    if not isinstance(type_p, type) and issubclass(type_p, Distribution):
        raise TypeError(f"Expected type_p to be a Distribution subclass but got {type_p}")
    if not isinstance(type_q, type) and issubclass(type_q, Distribution):
        raise TypeError(f"Expected type_q to be a Distribution subclass but got {type_q}")

    def decorator(function):
        _KL_REGISTRY[type_p, type_q] = function
        _KL_MEMOIZE.clear()
        return function

    return decorator


def _nearest(candidates, first, second):
    """The candidate pair that is nearest in the order of `first`'s bases, then of `second`'s."""
    order = (0, 1) if first[0] == 0 else (1, 0)
    mros = {first[0]: first[1].__mro__, second[0]: second[1].__mro__}
    return min(candidates, key=lambda pair: tuple(mros[i].index(pair[i]) for i in order))


def _dispatch_kl(type_p, type_q):
    """The most specific formula registered for two classes, or NotImplemented."""
    candidates = [pair for pair in _KL_REGISTRY if issubclass(type_p, pair[0]) and issubclass(type_q, pair[1])]
    if not candidates:
        return NotImplemented
    left = _KL_REGISTRY[_nearest(candidates, (0, type_p), (1, type_q))]
    right = _KL_REGISTRY[_nearest(candidates, (1, type_q), (0, type_p))]
    if left is not right:
        p, q = type_p.__name__, type_q.__name__
        warnings.warn(f"Ambiguous kl_divergence({p}, {q}). Please register_kl({p}, {q})", RuntimeWarning, stacklevel=3)
    return left


def kl_divergence(p, q):
    """Kullback-Leibler divergence `E_p[log p(x) - log q(x)]`, of shape `batch_shape`.

    Raises NotImplementedError for a pair of classes without a registered formula.
    """
    types = type(p), type(q)
    function = _KL_MEMOIZE.get(types)
    if function is None:
        function = _KL_MEMOIZE[types] = _dispatch_kl(*types)
    if function is NotImplemented:
        raise NotImplementedError(
            f"No KL(p || q) is implemented for p type {types[0].__name__} and q type {types[1].__name__}"
        )
    return function(p, q)


def _infinite_like(tensor):
    return fl.full_like(tensor, math.inf)


def _x_log_x(x):
    return fl.special.xlogy(x, x)


def _infinite_where(mask, value):
    return fl.where(mask, math.inf, value)


def _register_infinite(type_p, parameter, *types_q):
    """p puts probability where the q have none."""

    def infinite(p, q):
        return _infinite_like(getattr(p, parameter))

    for type_q in types_q:
        register_kl(type_p, type_q)(infinite)


_register_infinite(Beta, "concentration1", Pareto)
_register_infinite(ContinuousBernoulli, "probs", Pareto)
_register_infinite(Exponential, "rate", Beta, ContinuousBernoulli, Pareto, Uniform)
_register_infinite(Gamma, "concentration", Beta, ContinuousBernoulli, Pareto, Uniform)
_register_infinite(Gumbel, "loc", Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform)
_register_infinite(Laplace, "loc", Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform)
_register_infinite(Normal, "loc", Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform)
_register_infinite(Pareto, "scale", Beta, ContinuousBernoulli, Uniform)
_register_infinite(Poisson, "rate", Bernoulli, Binomial)

# pairs of one class


@register_kl(Bernoulli, Bernoulli)
def _kl_bernoulli_bernoulli(p, q):
    softplus = fl.nn.functional.softplus
    ones = p.probs * (softplus(-q.logits) - softplus(-p.logits))
    ones = _infinite_where(q.probs == 0, ones).masked_fill(p.probs == 0, 0)
    zeros = (1 - p.probs) * (softplus(q.logits) - softplus(p.logits))
    zeros = _infinite_where(q.probs == 1, zeros).masked_fill(p.probs == 1, 0)
    return ones + zeros


@register_kl(Beta, Beta)
def _kl_beta_beta(p, q):
    p1, p0, q1, q0 = p.concentration1, p.concentration0, q.concentration1, q.concentration0
    p_sum, q_sum = p1 + p0, q1 + q0
    normalizers = q1.lgamma() + q0.lgamma() + p_sum.lgamma() - (p1.lgamma() + p0.lgamma() + q_sum.lgamma())
    logs = (p1 - q1) * p1.digamma() + (p0 - q0) * p0.digamma() + (q_sum - p_sum) * p_sum.digamma()
    return normalizers + logs


@register_kl(Binomial, Binomial)
def _kl_binomial_binomial(p, q):
    if (p.total_count < q.total_count).any():
        raise NotImplementedError("KL between Binomials where q.total_count > p.total_count is not implemented")
    trial = p.probs * (p.logits - q.logits) + (-p.probs).log1p() - (-q.probs).log1p()
    return _infinite_where(p.total_count > q.total_count, p.total_count * trial)


@register_kl(Categorical, Categorical)
def _kl_categorical_categorical(p, q):
    terms = p.probs * (p.logits - q.logits)
    terms = _infinite_where((q.probs == 0).expand_as(terms), terms)
    return terms.masked_fill((p.probs == 0).expand_as(terms), 0).sum(-1)


@register_kl(Cauchy, Cauchy)
def _kl_cauchy_cauchy(p, q):
    # Chyzak and Nielsen (2019)
    numerator = ((p.scale + q.scale).pow(2) + (p.loc - q.loc).pow(2)).log()
    return numerator - (4 * p.scale * q.scale).log()


@register_kl(ContinuousBernoulli, ContinuousBernoulli)
def _kl_continuous_bernoulli_continuous_bernoulli(p, q):
    normalizer_p = p._cont_bern_log_norm() + fl.log1p(-p.probs)
    normalizer_q = q._cont_bern_log_norm() + fl.log1p(-q.probs)
    return p.mean * (p.logits - q.logits) + normalizer_p - normalizer_q


@register_kl(Dirichlet, Dirichlet)
def _kl_dirichlet_dirichlet(p, q):
    a, b = p.concentration, q.concentration
    total = a.sum(-1)
    normalizers = total.lgamma() - b.sum(-1).lgamma() - (a.lgamma() - b.lgamma()).sum(-1)
    return normalizers + ((a - b) * (a.digamma() - total.digamma().unsqueeze(-1))).sum(-1)


@register_kl(Exponential, Exponential)
def _kl_exponential_exponential(p, q):
    ratio = q.rate / p.rate
    return ratio - ratio.log() - 1


@register_kl(ExponentialFamily, ExponentialFamily)
def _kl_expfamily_expfamily(p, q):
    """The Bregman divergence of the log-normaliser between the natural parameters."""
    if type(p) is not type(q):
        raise NotImplementedError(
            "The cross KL-divergence between different exponential families cannot be computed using Bregman "
            "divergences"
        )
    p_params = [param.detach().requires_grad_() for param in p._natural_params]
    q_params = q._natural_params
    normalizer = p._log_normalizer(*p_params)
    gradients = fl.autograd.grad(normalizer.sum(), p_params, create_graph=True)
    result = q._log_normalizer(*q_params) - normalizer
    event_dims = len(q.event_shape)
    for p_param, q_param, gradient in zip(p_params, q_params, gradients):
        term = (q_param - p_param) * gradient
        result = result - _sum_rightmost(term, event_dims if term.dim() > result.dim() else 0)
    return result


@register_kl(Gamma, Gamma)
def _kl_gamma_gamma(p, q):
    a, b = p.concentration, q.concentration
    rates = b * (p.rate / q.rate).log() + (q.rate - p.rate) * (a / p.rate)
    return rates + fl.lgamma(b) - fl.lgamma(a) + (a - b) * fl.digamma(a)


@register_kl(Geometric, Geometric)
def _kl_geometric_geometric(p, q):
    return -p.entropy() - fl.log1p(-q.probs) / p.probs - q.logits


@register_kl(Gumbel, Gumbel)
def _kl_gumbel_gumbel(p, q):
    ratio = p.scale / q.scale
    shift = (p.loc - q.loc) / q.scale
    return shift - ratio.log() + euler_constant * (ratio - 1) + fl.exp(fl.lgamma(1 + ratio) - shift) - 1


@register_kl(HalfNormal, HalfNormal)
def _kl_halfnormal_halfnormal(p, q):
    return _kl_normal_normal(p.base_dist, q.base_dist)


@register_kl(Independent, Independent)
def _kl_independent_independent(p, q):
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError
    return _sum_rightmost(kl_divergence(p.base_dist, q.base_dist), p.reinterpreted_batch_ndims)


@register_kl(Laplace, Laplace)
def _kl_laplace_laplace(p, q):
    ratio = p.scale / q.scale
    distance = (p.loc - q.loc).abs()
    return distance / q.scale - ratio.log() + ratio * fl.exp(-distance / p.scale) - 1


@register_kl(Normal, Normal)
def _kl_normal_normal(p, q):
    variances = (p.scale / q.scale).pow(2)
    return 0.5 * (variances + ((p.loc - q.loc) / q.scale).pow(2) - 1 - variances.log())


@register_kl(OneHotCategorical, OneHotCategorical)
def _kl_onehotcategorical_onehotcategorical(p, q):
    return _kl_categorical_categorical(p._categorical, q._categorical)


@register_kl(Pareto, Pareto)
def _kl_pareto_pareto(p, q):
    ratio = q.alpha / p.alpha
    result = q.alpha * (p.scale / q.scale).log() - ratio.log() + ratio - 1
    return _infinite_where(p.scale < q.scale, result)


@register_kl(Poisson, Poisson)
def _kl_poisson_poisson(p, q):
    return p.rate * (p.rate.log() - q.rate.log()) - (p.rate - q.rate)


@register_kl(TransformedDistribution, TransformedDistribution)
def _kl_transformed_transformed(p, q):
    # a common bijection changes nothing
    if p.transforms != q.transforms or p.event_shape != q.event_shape:
        raise NotImplementedError
    extra = len(p.event_shape) - len(p.base_dist.event_shape)
    return _sum_rightmost(kl_divergence(p.base_dist, q.base_dist), extra)


@register_kl(Uniform, Uniform)
def _kl_uniform_uniform(p, q):
    result = ((q.high - q.low) / (p.high - p.low)).log()
    return _infinite_where((q.low > p.low) | (q.high < p.high), result)


# multivariate normal distributions: 2 KL = log det q - log det p + tr(q^-1 p) + distance - n


def _check_events(p, q, names):
    if p.event_shape != q.event_shape:
        raise ValueError(f"KL-divergence between two {names} with different event shapes cannot be computed")


def _log_det(dist):
    """Logarithm of the covariance's determinant."""
    if isinstance(dist, LowRankMultivariateNormal):
        return _batch_lowrank_logdet(
            dist._unbroadcasted_cov_factor, dist._unbroadcasted_cov_diag, dist._capacitance_tril
        )
    return 2 * dist._unbroadcasted_scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)


def _covariance_root(dist):
    """A matrix R with R R^T the covariance."""
    if isinstance(dist, LowRankMultivariateNormal):
        factor = dist._unbroadcasted_cov_factor
        diagonal = dist._unbroadcasted_cov_diag.sqrt().diag_embed()
        batch = fl.broadcast_shapes(factor.shape[:-2], diagonal.shape[:-2])
        parts = [factor.expand(batch + factor.shape[-2:]), diagonal.expand(batch + diagonal.shape[-2:])]
        return fl.cat(parts, -1)
    return dist._unbroadcasted_scale_tril


def _square_sum(matrix):
    return matrix.pow(2).sum((-2, -1))


def _kl_normals(p, q):
    root = _covariance_root(p)
    if isinstance(q, LowRankMultivariateNormal):
        factor, diagonal, capacitance_tril = (
            q._unbroadcasted_cov_factor,
            q._unbroadcasted_cov_diag,
            q._capacitance_tril,
        )
        # q^-1 = D^-1 - A^T A, for A = capacitance_tril^-1 W^T D^-1
        A = fl.linalg.solve_triangular(capacitance_tril, factor.mT / diagonal.unsqueeze(-2), upper=False)
        trace = _square_sum(root * diagonal.rsqrt().unsqueeze(-1)) - _square_sum(A.matmul(root))
        distance = _batch_lowrank_mahalanobis(factor, diagonal, q.loc - p.loc, capacitance_tril)
    else:
        trace = _square_sum(fl.linalg.solve_triangular(q._unbroadcasted_scale_tril, root, upper=False))
        distance = _batch_mahalanobis(q._unbroadcasted_scale_tril, q.loc - p.loc)
    return 0.5 * (_log_det(q) - _log_det(p) + trace + distance - p.event_shape[0])


@register_kl(LowRankMultivariateNormal, LowRankMultivariateNormal)
def _kl_lowrankmultivariatenormal_lowrankmultivariatenormal(p, q):
    _check_events(p, q, "Low Rank Multivariate Normals")
    return _kl_normals(p, q)


@register_kl(MultivariateNormal, LowRankMultivariateNormal)
@register_kl(LowRankMultivariateNormal, MultivariateNormal)
def _kl_multivariatenormal_lowrankmultivariatenormal(p, q):
    _check_events(p, q, "(Low Rank) Multivariate Normals")
    return _kl_normals(p, q)


@register_kl(MultivariateNormal, MultivariateNormal)
def _kl_multivariatenormal_multivariatenormal(p, q):
    _check_events(p, q, "Multivariate Normals")
    return _kl_normals(p, q)


# the divergences between different classes register themselves
from flambeau.distributions import _kl_pairs  # noqa: E402, F401
