"""The von Mises distribution."""

import math

import flambeau as fl
from flambeau.distributions import constraints
from flambeau.distributions.distribution import Distribution
from flambeau.distributions.utils import broadcast_all, lazy_property

__all__ = ["VonMises"]

# Polynomial approximations of the modified Bessel functions of the first kind, order 0 and 1: for |x| < 3.75 in
# (x / 3.75)^2, and beyond it of exp(-x) sqrt(x) I(x) in 3.75 / x. Abramowitz and Stegun (1964), 9.8.1 to 9.8.4.
_SMALL = (
    (1.0, 3.5156229, 3.0899424, 1.2067492, 0.2659732, 0.0360768, 0.0045813),
    (0.5, 0.87890594, 0.51498869, 0.15084934, 0.02658733, 0.00301532, 0.00032411),
)
_LARGE = (
    (
        0.39894228,
        0.01328592,
        0.00225319,
        -0.00157565,
        0.00916281,
        -0.02057706,
        0.02635537,
        -0.01647633,
        0.00392377,
    ),
    (
        0.39894228,
        -0.03988024,
        -0.00362018,
        0.00163801,
        -0.01031555,
        0.02282967,
        -0.02895312,
        0.01787654,
        -0.00420059,
    ),
)


def _polynomial(x, coefficients):
    result = coefficients[-1]
    for coefficient in coefficients[-2::-1]:
        result = coefficient + x * result
    return result


def _log_modified_bessel_fn(x, order=0):
    """Logarithm of the modified Bessel function of the first kind, for x > 0."""
    small = _polynomial((x / 3.75).pow(2), _SMALL[order])
    small = small.log() if order == 0 else x.abs().log() + small.log()
    large = x - 0.5 * x.log() + _polynomial(3.75 / x, _LARGE[order]).log()
    return fl.where(x < 3.75, small, large)


def _rejection_sample(loc, concentration, proposal_r, shape):
    """Draws by rejection from a wrapped Cauchy envelope (Best and Fisher, 1979)."""
    x = fl.zeros(shape, dtype=loc.dtype, device=loc.device)
    done = fl.zeros(shape, dtype=fl.bool, device=loc.device)
    while not done.all():
        u1, u2, u3 = fl.rand((3,) + tuple(shape), dtype=loc.dtype, device=loc.device).unbind()
        z = fl.cos(math.pi * u1)
        f = (1 + proposal_r * z) / (proposal_r + z)
        c = concentration * (proposal_r - f)
        accepted = ((c * (2 - c) - u2) > 0) | ((c / u2).log() + 1 - c >= 0)
        # entries done before are drawn again too, as in PyTorch
        x = fl.where(accepted, (u3 - 0.5).sign() * f.acos(), x)
        done = done | accepted
    return (x + math.pi + loc) % (2 * math.pi) - math.pi


class VonMises(Distribution):
    """Distribution of angles around `loc`, in radians, the narrower the larger `concentration`.

    Angles are taken modulo 2 pi; draws lie in [-pi, pi).
    """

    arg_constraints = {"loc": constraints.real, "concentration": constraints.positive}
    support = constraints.real
    has_rsample = False

    def __init__(self, loc, concentration, validate_args=None):
        self.loc, self.concentration = broadcast_all(loc, concentration)
        super().__init__(self.loc.shape, fl.Size(), validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        return self._expand_own(VonMises, batch_shape, _instance, "loc", "concentration")

    def log_prob(self, value):
        if self._validate_args:
            self._validate_sample(value)
        log_bessel = _log_modified_bessel_fn(self.concentration, order=0)
        return self.concentration * fl.cos(value - self.loc) - math.log(2 * math.pi) - log_bessel

    # drawn in double precision, in which a small concentration doesn't cancel

    @lazy_property
    def _loc(self):
        return self.loc.to(fl.double)

    @lazy_property
    def _concentration(self):
        return self.concentration.to(fl.double)

    @lazy_property
    def _proposal_r(self):
        kappa = self._concentration
        tau = 1 + (1 + 4 * kappa**2).sqrt()
        rho = (tau - (2 * tau).sqrt()) / (2 * kappa)
        r = (1 + rho**2) / (2 * rho)
        # second order in kappa, as the formula cancels for a small one
        return fl.where(kappa < 1e-5, 1 / kappa + kappa, r)

    def sample(self, sample_shape=fl.Size()):
        shape = self._extended_shape(sample_shape)
        with fl.no_grad():
            drawn = _rejection_sample(self._loc, self._concentration, self._proposal_r, shape)
            return drawn.to(self.loc.dtype)

    @property
    def mean(self):
        """The circular mean."""
        return self.loc

    @property
    def mode(self):
        return self.loc

    @lazy_property
    def variance(self):
        """The circular variance, 1 - I1 / I0."""
        log_ratio = _log_modified_bessel_fn(self.concentration, order=1) - _log_modified_bessel_fn(
            self.concentration, order=0
        )
        return 1 - log_ratio.exp()
