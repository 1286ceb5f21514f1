"""The geometric distribution."""

import flambeau as fl
from flambeau._levels import all_true
from flambeau.distributions import constraints
from flambeau.distributions.distribution import Distribution
from flambeau.distributions.utils import broadcast_all, lazy_property, logits_to_probs, probs_to_logits

__all__ = ["Geometric"]


class Geometric(Distribution):
    """Number of failures before the first success, each trial succeeding with probability `probs`.

    Give `probs` or its log-odds `logits`. Values start at 0, whereas `Tensor.geometric_` counts from 1.
    """

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.nonnegative_integer

    def __init__(self, probs=None, logits=None, validate_args=None):
        if (probs is None) == (logits is None):
            raise ValueError("Either `probs` or `logits` must be specified, but not both.")
        if probs is not None:
            (self.probs,) = broadcast_all(probs)
        else:
            (self.logits,) = broadcast_all(logits)
        given = self.probs if probs is not None else self.logits
        super().__init__(given.shape, validate_args=validate_args)
        if self._validate_args and probs is not None:
            valid = given > 0
            if not all_true(valid):
                raise ValueError(
                    f"Expected parameter probs ({type(given).__name__} of shape {tuple(given.shape)}) of "
                    f"distribution {self!r} to be positive but found invalid values:\n{given.detach()[~valid]}"
                )

    def expand(self, batch_shape, _instance=None):
        return self._expand_own(Geometric, batch_shape, _instance, "probs", "logits")

    @property
    def mean(self):
        return 1.0 / self.probs - 1.0

    @property
    def mode(self):
        return fl.zeros_like(self.probs)

    @property
    def variance(self):
        return (1.0 / self.probs - 1.0) / self.probs

    @lazy_property
    def logits(self):
        """Log-odds of a success."""
        return probs_to_logits(self.probs, is_binary=True)

    @lazy_property
    def probs(self):
        """Probability of a success."""
        return logits_to_probs(self.logits, is_binary=True)

    def sample(self, sample_shape=fl.Size()):
        shape = self._extended_shape(sample_shape)
        dtype = self.probs.dtype
        with fl.no_grad():
            u = fl.empty(shape, dtype=dtype, device=self.probs.device).uniform_(fl.finfo(dtype).tiny, 1)
            return (u.log() / (-self.probs).log1p()).floor()

    def log_prob(self, value):
        if self._validate_args:
            self._validate_sample(value)
        value, probs = broadcast_all(value, self.probs)
        # 0 failures of probability 0 contribute 0, not NaN
        failing = probs.masked_fill((probs == 1) & (value == 0), 0)
        return value * (-failing).log1p() + self.probs.log()

    def entropy(self):
        bits = fl.nn.functional.binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none")
        return bits / self.probs
