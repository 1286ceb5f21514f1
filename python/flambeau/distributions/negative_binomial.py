"""The negative binomial distribution."""

import flambeau as fl
from flambeau.distributions import constraints
from flambeau.distributions.distribution import Distribution
from flambeau.distributions.gamma import Gamma
from flambeau.distributions.utils import broadcast_all, lazy_property, logits_to_probs, probs_to_logits

__all__ = ["NegativeBinomial"]


class NegativeBinomial(Distribution):
    """Number of successes of probability `probs` before the `total_count`-th failure.

    `total_count` may be fractional. Give `probs` or its log-odds `logits`.
    """

    arg_constraints = {
        "total_count": constraints.greater_than_eq(0),
        "probs": constraints.half_open_interval(0.0, 1.0),
        "logits": constraints.real,
    }
    support = constraints.nonnegative_integer

    def __init__(self, total_count, probs=None, logits=None, validate_args=None):
        if (probs is None) == (logits is None):
            raise ValueError("Either `probs` or `logits` must be specified, but not both.")
        if probs is not None:
            self.total_count, self.probs = broadcast_all(total_count, probs)
            self.total_count = self.total_count.type_as(self.probs)
            self._param = self.probs
        else:
            self.total_count, self.logits = broadcast_all(total_count, logits)
            self.total_count = self.total_count.type_as(self.logits)
            self._param = self.logits
        super().__init__(self._param.shape, validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        new = self._expand_own(NegativeBinomial, batch_shape, _instance, "total_count", "probs", "logits")
        new._param = new.__dict__["probs" if "probs" in self.__dict__ else "logits"]
        return new

    def _new(self, *args, **kwargs):
        return self._param.new(*args, **kwargs)

    @property
    def mean(self):
        return self.total_count * fl.exp(self.logits)

    @property
    def mode(self):
        return ((self.total_count - 1) * self.logits.exp()).floor().clamp(min=0.0)

    @property
    def variance(self):
        return self.mean / fl.sigmoid(-self.logits)

    @lazy_property
    def logits(self):
        """Log-odds of a success."""
        return probs_to_logits(self.probs, is_binary=True)

    @lazy_property
    def probs(self):
        """Probability of a success."""
        return logits_to_probs(self.logits, is_binary=True)

    @property
    def param_shape(self):
        """Shape of the parameter."""
        return self._param.size()

    @lazy_property
    def _gamma(self):
        # a count is a Poisson draw whose rate is a gamma draw; validation would reject total_count = 0
        return Gamma(concentration=self.total_count, rate=fl.exp(-self.logits), validate_args=False)

    def sample(self, sample_shape=fl.Size()):
        with fl.no_grad():
            return fl.poisson(self._gamma.sample(sample_shape=sample_shape))

    def log_prob(self, value):
        if self._validate_args:
            self._validate_sample(value)
        n, logits = self.total_count, self.logits
        logsigmoid = fl.nn.functional.logsigmoid
        normalizer = fl.lgamma(1.0 + value) + fl.lgamma(n) - fl.lgamma(n + value)
        normalizer = normalizer.masked_fill(n + value == 0.0, 0.0)  # infinity less infinity
        return n * logsigmoid(-logits) + value * logsigmoid(logits) - normalizer
