"""The generalised Pareto distribution."""

import math

import flambeau as fl
from flambeau.distributions import constraints
from flambeau.distributions.distribution import Distribution
from flambeau.distributions.utils import broadcast_all

__all__ = ["GeneralizedPareto"]


class GeneralizedPareto(Distribution):
    """Generalised Pareto distribution: excesses over the threshold `loc`, with `scale` and tail index.

    The survival function is `(1 + concentration * z) ** (-1 / concentration)` for `z = (x - loc) / scale`,
    or `exp(-z)` where the concentration is 0. Negative concentrations bound the support from above.
    """

    arg_constraints = {
        "loc": constraints.real,
        "scale": constraints.positive,
        "concentration": constraints.real,
    }
    has_rsample = True

    def __init__(self, loc, scale, concentration, validate_args=None):
        self.loc, self.scale, self.concentration = broadcast_all(loc, scale, concentration)
        super().__init__(self.loc.shape, validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        return self._expand_own(GeneralizedPareto, batch_shape, _instance, "loc", "scale", "concentration")

    def _z(self, x):
        return (x - self.loc) / self.scale

    def _exponential(self):
        """Where the concentration is 0, and the concentrations with 1 there, which can be divided by."""
        zero = fl.isclose(self.concentration, fl.zeros_like(self.concentration))
        return zero, self.concentration.masked_fill(zero, 1.0)

    def rsample(self, sample_shape=fl.Size()):
        shape = self._extended_shape(sample_shape)
        return self.icdf(fl.rand(shape, dtype=self.loc.dtype, device=self.loc.device))

    def log_prob(self, value):
        if self._validate_args:
            self._validate_sample(value)
        z = self._z(value)
        zero, concentration = self._exponential()
        powers = (1 + 1 / concentration) * fl.log1p(concentration * z)
        return -self.scale.log() - fl.where(zero, z, powers)

    def log_survival_function(self, value):
        """Logarithm of the probability of more than `value`."""
        if self._validate_args:
            self._validate_sample(value)
        z = self._z(value)
        zero, concentration = self._exponential()
        return fl.where(zero, -z, -fl.log1p(concentration * z) / concentration)

    def log_cdf(self, value):
        """Logarithm of the probability of at most `value`."""
        if self._validate_args:
            self._validate_sample(value)
        return fl.log1p(-fl.exp(self.log_survival_function(value)))

    def cdf(self, value):
        if self._validate_args:
            self._validate_sample(value)
        return fl.exp(self.log_cdf(value))

    def icdf(self, value):
        zero, concentration = self._exponential()
        log_survival = fl.log1p(-value)
        powers = self.loc + self.scale / concentration * fl.expm1(-concentration * log_survival)
        return fl.where(zero, self.loc - self.scale * log_survival, powers)

    @property
    def mean(self):
        defined = self.concentration < 1
        below = self.concentration.masked_fill(~defined, 0.5)
        return fl.where(defined, self.loc + self.scale / (1 - below), math.nan)

    @property
    def variance(self):
        defined = self.concentration < 0.5
        below = self.concentration.masked_fill(~defined, 0.25)
        return fl.where(defined, self.scale**2 / ((1 - below) ** 2 * (1 - 2 * below)), math.nan)

    def entropy(self):
        return fl.log(self.scale) + self.concentration + 1

    @property
    def mode(self):
        return self.loc

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self):
        bounded = self.concentration < 0
        divisor = self.concentration.masked_fill(~bounded, -1.0)
        upper = fl.where(bounded, self.loc - self.scale / divisor, math.inf)
        return constraints.interval(self.loc, upper)
