"""The Dirichlet distribution."""

import flambeau as fl
from flambeau.autograd import Function
from flambeau.autograd.function import once_differentiable
from flambeau.distributions import constraints
from flambeau.distributions.exp_family import ExponentialFamily

__all__ = ["Dirichlet"]


class _Dirichlet(Function):
    """Draws, with the implicit reparameterisation gradient of each component's Beta marginal."""

    @staticmethod
    def forward(ctx, concentration):
        x = fl._sample_dirichlet(concentration)
        ctx.save_for_backward(x, concentration)
        return x

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_output):
        x, concentration = ctx.saved_tensors
        total = concentration.sum(-1, True).expand_as(concentration)
        gradient = fl._dirichlet_grad(x, concentration, total)
        return gradient * (grad_output - (x * grad_output).sum(-1, True))


class Dirichlet(ExponentialFamily):
    """Dirichlet distribution over the simplex, with parameters `concentration` along the last dimension."""

    arg_constraints = {"concentration": constraints.independent(constraints.positive, 1)}
    support = constraints.simplex
    has_rsample = True

    def __init__(self, concentration, validate_args=None):
        if concentration.dim() < 1:
            raise ValueError("`concentration` parameter must be at least one-dimensional.")
        self.concentration = concentration
        shape = concentration.shape
        super().__init__(shape[:-1], shape[-1:], validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        return self._expand_own(Dirichlet, batch_shape, _instance, "concentration")

    def rsample(self, sample_shape=()):
        shape = self._extended_shape(sample_shape)
        return _Dirichlet.apply(self.concentration.expand(shape))

    def log_prob(self, value):
        if self._validate_args:
            self._validate_sample(value)
        alpha = self.concentration
        return fl.xlogy(alpha - 1.0, value).sum(-1) + fl.lgamma(alpha.sum(-1)) - fl.lgamma(alpha).sum(-1)

    @property
    def mean(self):
        return self.concentration / self.concentration.sum(-1, True)

    @property
    def mode(self):
        excess = (self.concentration - 1).clamp(min=0.0)
        mode = excess / excess.sum(-1, True)
        # with every concentration below 1 the density is largest at the corners
        mask = (self.concentration < 1).all(-1)
        corner = fl.zeros_like(mode).scatter_(-1, mode.argmax(-1, True), 1.0)
        return fl.where(mask.unsqueeze(-1), corner, mode)

    @property
    def variance(self):
        total = self.concentration.sum(-1, True)
        return self.concentration * (total - self.concentration) / (total.pow(2) * (total + 1))

    def entropy(self):
        alpha = self.concentration
        k = alpha.size(-1)
        total = alpha.sum(-1)
        return (
            fl.lgamma(alpha).sum(-1)
            - fl.lgamma(total)
            - (k - total) * fl.digamma(total)
            - ((alpha - 1.0) * fl.digamma(alpha)).sum(-1)
        )

    @property
    def _natural_params(self):
        return (self.concentration,)

    def _log_normalizer(self, x):
        return x.lgamma().sum(-1) - fl.lgamma(x.sum(-1))
