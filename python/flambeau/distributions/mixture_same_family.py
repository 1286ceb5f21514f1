"""Mixtures of distributions of one family."""

import flambeau as fl
from flambeau.distributions import constraints
from flambeau.distributions.categorical import Categorical
from flambeau.distributions.constraints import MixtureSameFamilyConstraint
from flambeau.distributions.distribution import Distribution

__all__ = ["MixtureSameFamily"]


class MixtureSameFamily(Distribution):
    """Mixture with weights `mixture_distribution` (a Categorical) of the components that
    `component_distribution` has along its last batch dimension.
    """

    arg_constraints = {}
    has_rsample = False

    def __init__(self, mixture_distribution, component_distribution, validate_args=None):
        self._mixture_distribution = mixture_distribution
        self._component_distribution = component_distribution
        if not isinstance(mixture_distribution, Categorical):
            raise ValueError(" The Mixture distribution needs to be an  instance of torch.distributions.Categorical")
        if not isinstance(component_distribution, Distribution):
            raise ValueError("The Component distribution needs to be an instance of torch.distributions.Distribution")

        mixture_batch = mixture_distribution.batch_shape
        component_batch = component_distribution.batch_shape[:-1]
        for size1, size2 in zip(reversed(mixture_batch), reversed(component_batch)):
            if size1 != 1 and size2 != 1 and size1 != size2:
                raise ValueError(
                    f"`mixture_distribution.batch_shape` ({fl.Size(mixture_batch)}) is not compatible with "
                    f"`component_distribution.batch_shape`({fl.Size(component_batch)})"
                )
        components = mixture_distribution.logits.shape[-1]
        component_size = component_distribution.batch_shape[-1]
        if components != component_size:
            raise ValueError(
                f"`mixture_distribution component` ({components}) does not equal "
                f"`component_distribution.batch_shape[-1]` ({component_size})"
            )
        self._num_component = components
        event_shape = component_distribution.event_shape
        self._event_ndims = len(event_shape)
        super().__init__(fl.Size(component_batch), event_shape, validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        new = self._get_checked_instance(MixtureSameFamily, _instance)
        batch_shape = fl.Size(batch_shape)
        new._component_distribution = self._component_distribution.expand(batch_shape + (self._num_component,))
        new._mixture_distribution = self._mixture_distribution.expand(batch_shape)
        new._num_component = self._num_component
        new._event_ndims = self._event_ndims
        super(MixtureSameFamily, new).__init__(batch_shape, self.event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    @constraints.dependent_property
    def support(self):
        return MixtureSameFamilyConstraint(self._component_distribution.support)

    @property
    def mixture_distribution(self):
        """Distribution of the component's index."""
        return self._mixture_distribution

    @property
    def component_distribution(self):
        """The components, along the last batch dimension."""
        return self._component_distribution

    @property
    def mean(self):
        weights = self._pad_mixture_dimensions(self.mixture_distribution.probs)
        return fl.sum(weights * self.component_distribution.mean, dim=-1 - self._event_ndims)

    @property
    def variance(self):
        # the law of total variance
        dim = -1 - self._event_ndims
        weights = self._pad_mixture_dimensions(self.mixture_distribution.probs)
        within = fl.sum(weights * self.component_distribution.variance, dim=dim)
        centred = self.component_distribution.mean - self._pad(self.mean)
        return within + fl.sum(weights * centred.pow(2.0), dim=dim)

    def cdf(self, x):
        cdf = self.component_distribution.cdf(self._pad(x))
        return fl.sum(cdf * self.mixture_distribution.probs, dim=-1)

    def log_prob(self, x):
        if self._validate_args:
            self._validate_sample(x)
        log_prob = self.component_distribution.log_prob(self._pad(x))
        log_weights = fl.log_softmax(self.mixture_distribution.logits, dim=-1)
        return fl.logsumexp(log_prob + log_weights, dim=-1)

    def sample(self, sample_shape=fl.Size()):
        with fl.no_grad():
            sample_shape = fl.Size(sample_shape)
            dim = len(sample_shape) + len(self.batch_shape)
            event_shape = self.event_shape
            index = self.mixture_distribution.sample(sample_shape)
            candidates = self.component_distribution.sample(sample_shape)
            kept = index.shape
            index = index.reshape(kept + (1,) * (len(event_shape) + 1)).expand(kept + (1,) + event_shape)
            return fl.gather(candidates, dim, index).squeeze(dim)

    def _pad(self, x):
        """`x` with a dimension for the components."""
        return x.unsqueeze(-1 - self._event_ndims)

    def _pad_mixture_dimensions(self, x):
        """Weights with dimensions for the events, and for batches that only the components have."""
        batch_dims = len(self.batch_shape)
        missing = batch_dims - len(self.mixture_distribution.batch_shape)
        shape = x.shape
        return x.reshape(shape[:-1] + (1,) * missing + shape[-1:] + (1,) * self._event_ndims)

    def __repr__(self):
        return f"MixtureSameFamily(\n  {self.mixture_distribution},\n  {self.component_distribution})"
