"""Exponential families."""

import flambeau as fl
from flambeau.distributions.distribution import Distribution

__all__ = ["ExponentialFamily"]


class ExponentialFamily(Distribution):
    """Distributions with density `exp(<t(x), theta> - F(theta) + k(x))`.

    A subclass gives its natural parameters theta and its log-normaliser F; entropies and divergences between
    members of one family then follow from F as Bregman divergences (Nielsen and Nock, 2010).
    """

    @property
    def _natural_params(self):
        """The natural parameters, a tuple of tensors."""
        raise NotImplementedError

    def _log_normalizer(self, *natural_params):
        """The log-normaliser F as a differentiable function of the natural parameters."""
        raise NotImplementedError

    @property
    def _mean_carrier_measure(self):
        """The expectation of k(x)."""
        raise NotImplementedError

    def entropy(self):
        """Entropy `F(theta) - <theta, grad F(theta)> - E[k(x)]`."""
        carrier = self._mean_carrier_measure
        params = [p.detach().requires_grad_() for p in self._natural_params]
        normalizer = self._log_normalizer(*params)
        gradients = fl.autograd.grad(normalizer.sum(), params, create_graph=True)
        result = normalizer - carrier
        for param, gradient in zip(params, gradients):
            result = result - (param * gradient).reshape(self._batch_shape + (-1,)).sum(-1)
        return result
