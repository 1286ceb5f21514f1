"""The gamma distribution."""

import flambeau as fl
from flambeau.distributions import constraints
from flambeau.distributions.exp_family import ExponentialFamily
from flambeau.distributions.utils import broadcast_all

__all__ = ["Gamma"]


class Gamma(ExponentialFamily):
    """Gamma distribution with shape `concentration` (alpha) and `rate` (beta, the inverse of the scale)."""

    arg_constraints = {"concentration": constraints.positive, "rate": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True
    _mean_carrier_measure = 0

    def __init__(self, concentration, rate, validate_args=None):
        self.concentration, self.rate = broadcast_all(concentration, rate)
        super().__init__(self.concentration.shape, validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        return self._expand_own(Gamma, batch_shape, _instance, "concentration", "rate")

    @property
    def mean(self):
        return self.concentration / self.rate

    @property
    def mode(self):
        return ((self.concentration - 1) / self.rate).clamp(min=0)

    @property
    def variance(self):
        return self.concentration / self.rate.pow(2)

    def sample(self, sample_shape=fl.Size(), *, generator=None):
        with fl.no_grad():
            return self.rsample(sample_shape, generator)

    def rsample(self, sample_shape=fl.Size(), generator=None):
        shape = self._extended_shape(sample_shape)
        draws = fl._standard_gamma(self.concentration.expand(shape), generator=generator)
        value = draws / self.rate.expand(shape)
        # 0 would have density 0. Through `data`, so that a graph which saved the quotient stays usable.
        value.data.clamp_(min=fl.finfo(value.dtype).tiny)
        return value

    def log_prob(self, value):
        concentration, rate = self.concentration, self.rate
        value = fl.as_tensor(value, dtype=rate.dtype, device=rate.device)
        if self._validate_args:
            self._validate_sample(value)
        return (
            fl.xlogy(concentration, rate) + fl.xlogy(concentration - 1, value) - rate * value - fl.lgamma(concentration)
        )

    def cdf(self, value):
        if self._validate_args:
            self._validate_sample(value)
        return fl.special.gammainc(self.concentration, self.rate * value)

    def entropy(self):
        alpha = self.concentration
        return alpha - fl.log(self.rate) + fl.lgamma(alpha) + (1.0 - alpha) * fl.digamma(alpha)

    @property
    def _natural_params(self):
        return self.concentration - 1, -self.rate

    def _log_normalizer(self, x, y):
        return fl.lgamma(x + 1) + (x + 1) * fl.log(-y.reciprocal())
