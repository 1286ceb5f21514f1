"""The continuous Bernoulli distribution."""

import math

import flambeau as fl
from flambeau.distributions import constraints
from flambeau.distributions.exp_family import ExponentialFamily
from flambeau.distributions.utils import (
    broadcast_all,
    clamp_probs,
    lazy_property,
    logits_to_probs,
    probs_to_logits,
)

__all__ = ["ContinuousBernoulli"]


class ContinuousBernoulli(ExponentialFamily):
    """Distribution on [0, 1] with density `C(probs) * probs ** x * (1 - probs) ** (1 - x)`.

    Give `probs` or `logits`. For `probs` within `lims`, around 1/2, where the formulas cancel, Taylor
    expansions take their place (Loaiza-Ganem and Cunningham, 2019).
    """

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.unit_interval
    has_rsample = True
    _mean_carrier_measure = 0

    def __init__(self, probs=None, logits=None, lims=(0.499, 0.501), validate_args=None):
        if (probs is None) == (logits is None):
            raise ValueError("Either `probs` or `logits` must be specified, but not both.")
        if probs is not None:
            (self.probs,) = broadcast_all(probs)
            # checked here already, because the clamped values would pass
            if validate_args is not None and not self.arg_constraints["probs"].check(self.probs).all():
                raise ValueError("The parameter probs has invalid values")
            self.probs = clamp_probs(self.probs)
            self._param = self.probs
        else:
            (self.logits,) = broadcast_all(logits)
            self._param = self.logits
        self._lims = lims
        super().__init__(self._param.shape, validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        new = self._expand_own(ContinuousBernoulli, batch_shape, _instance, "probs", "logits")
        new._lims = self._lims
        new._param = new.__dict__["probs" if "probs" in self.__dict__ else "logits"]
        return new

    def _new(self, *args, **kwargs):
        return self._param.new(*args, **kwargs)

    def _outside_unstable_region(self):
        return (self.probs <= self._lims[0]) | (self.probs > self._lims[1])

    def _cut_probs(self):
        """`probs` moved out of the unstable region."""
        return fl.where(self._outside_unstable_region(), self.probs, self._lims[0])

    def _cont_bern_log_norm(self):
        """`log C(probs)`, for `C(p) = 2 atanh(1 - 2p) / (1 - 2p)`."""
        cut = self._cut_probs()
        below = cut <= 0.5
        # log |1 - 2p| on each side, with the other side's probabilities moved to where it is harmless
        log_gap = fl.where(
            below,
            fl.log1p(-2.0 * fl.where(below, cut, 0.0)),
            fl.log(2.0 * fl.where(below, 1.0, cut) - 1.0),
        )
        log_norm = fl.log(fl.abs(fl.log1p(-cut) - fl.log(cut))) - log_gap
        x = fl.pow(self.probs - 0.5, 2)
        taylor = math.log(2.0) + (4.0 / 3.0 + 104.0 / 45.0 * x) * x
        return fl.where(self._outside_unstable_region(), log_norm, taylor)

    @property
    def mean(self):
        cut = self._cut_probs()
        mean = cut / (2.0 * cut - 1.0) + 1.0 / (fl.log1p(-cut) - fl.log(cut))
        x = self.probs - 0.5
        taylor = 0.5 + (1.0 / 3.0 + 16.0 / 45.0 * fl.pow(x, 2)) * x
        return fl.where(self._outside_unstable_region(), mean, taylor)

    @property
    def stddev(self):
        return fl.sqrt(self.variance)

    @property
    def variance(self):
        cut = self._cut_probs()
        spread = cut * (cut - 1.0) / fl.pow(1.0 - 2.0 * cut, 2)
        variance = spread + 1.0 / fl.pow(fl.log1p(-cut) - fl.log(cut), 2)
        x = fl.pow(self.probs - 0.5, 2)
        taylor = 1.0 / 12.0 - (1.0 / 15.0 - 128.0 / 945.0 * x) * x
        return fl.where(self._outside_unstable_region(), variance, taylor)

    @lazy_property
    def logits(self):
        """Log-odds of `probs`."""
        return probs_to_logits(self.probs, is_binary=True)

    @lazy_property
    def probs(self):
        """The parameter in (0, 1), which isn't the mean."""
        return clamp_probs(logits_to_probs(self.logits, is_binary=True))

    @property
    def param_shape(self):
        """Shape of the parameter."""
        return self._param.size()

    def sample(self, sample_shape=fl.Size()):
        with fl.no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape=fl.Size()):
        shape = self._extended_shape(sample_shape)
        return self.icdf(fl.rand(shape, dtype=self.probs.dtype, device=self.probs.device))

    def log_prob(self, value):
        if self._validate_args:
            self._validate_sample(value)
        logits, value = broadcast_all(self.logits, value)
        bits = fl.nn.functional.binary_cross_entropy_with_logits(logits, value, reduction="none")
        return self._cont_bern_log_norm() - bits

    def cdf(self, value):
        if self._validate_args:
            self._validate_sample(value)
        cut = self._cut_probs()
        powers = fl.pow(cut, value) * fl.pow(1.0 - cut, 1.0 - value)
        cdf = (powers + cut - 1.0) / (2.0 * cut - 1.0)
        inside = fl.where(self._outside_unstable_region(), cdf, value)
        return inside.masked_fill(value <= 0.0, 0.0).masked_fill(value >= 1.0, 1.0)

    def icdf(self, value):
        cut = self._cut_probs()
        log_rest = fl.log1p(-cut)
        quantile = (fl.log1p(-cut + value * (2.0 * cut - 1.0)) - log_rest) / (fl.log(cut) - log_rest)
        return fl.where(self._outside_unstable_region(), quantile, value)

    def entropy(self):
        log_probs0 = fl.log1p(-self.probs)
        log_probs1 = fl.log(self.probs)
        return self.mean * (log_probs0 - log_probs1) - self._cont_bern_log_norm() - log_probs0

    @property
    def _natural_params(self):
        return (self.logits,)

    def _log_normalizer(self, x):
        # log((exp(x) - 1) / x), which is log(1 + x/2 + x^2/6 + ...) near 0
        unstable = (x >= self._lims[0] - 0.5) & (x <= self._lims[1] - 0.5)
        cut = x.masked_fill(unstable, self._lims[0] - 0.5)
        log_norm = fl.log(fl.abs(fl.special.expm1(cut))) - fl.log(fl.abs(cut))
        taylor = 0.5 * x + fl.pow(x, 2) / 24.0 - fl.pow(x, 4) / 2880.0
        return fl.where(unstable, taylor, log_norm)
