"""The multivariate normal distribution."""

import math

import flambeau as fl
from flambeau.distributions import constraints
from flambeau.distributions.distribution import Distribution
from flambeau.distributions.utils import _standard_normal, lazy_property

__all__ = ["MultivariateNormal"]


def _batch_mv(bmat, bvec):
    """Products of a batch of matrices and a batch of vectors."""
    return fl.matmul(bmat, bvec.unsqueeze(-1)).squeeze(-1)


def _batch_mahalanobis(bL, bx):
    """`x^T (L L^T)^-1 x` for lower-triangular L of shape (B, n, n) and x of shape (S, B, n), which broadcast."""
    n = bx.size(-1)
    shape = fl.broadcast_shapes(bx.shape[:-1], bL.shape[:-2])
    batch_dims = bL.dim() - 2
    sample_dims = len(shape) - batch_dims
    # samples that share a factor become the columns of one right-hand side
    x = bx.expand(shape + (n,)).reshape((-1,) + shape[sample_dims:] + (n,)).movedim(0, -1)
    solved = fl.linalg.solve_triangular(bL, x, upper=False)
    return solved.pow(2).sum(-2).movedim(-1, 0).reshape(shape)


def _precision_to_scale_tril(precision):
    """The Cholesky factor of a precision matrix's inverse, without forming the inverse."""
    # flipped in both directions, a Cholesky factor of the flipped matrix is upper-triangular
    flipped = fl.linalg.cholesky(fl.flip(precision, (-2, -1)))
    inverse_factor = fl.transpose(fl.flip(flipped, (-2, -1)), -2, -1)
    identity = fl.eye(precision.shape[-1], dtype=precision.dtype, device=precision.device)
    return fl.linalg.solve_triangular(inverse_factor, identity, upper=False)


class MultivariateNormal(Distribution):
    """Normal distribution of vectors with mean `loc`.

    Give exactly one of `covariance_matrix`, `precision_matrix` (its inverse) and `scale_tril` (its Cholesky
    factor); the last costs least.
    """

    arg_constraints = {
        "loc": constraints.real_vector,
        "covariance_matrix": constraints.positive_definite,
        "precision_matrix": constraints.positive_definite,
        "scale_tril": constraints.lower_cholesky,
    }
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, loc, covariance_matrix=None, precision_matrix=None, scale_tril=None, validate_args=None):
        if loc.dim() < 1:
            raise ValueError("loc must be at least one-dimensional.")
        if (covariance_matrix is not None) + (scale_tril is not None) + (precision_matrix is not None) != 1:
            raise ValueError("Exactly one of covariance_matrix or precision_matrix or scale_tril may be specified.")
        if scale_tril is not None:
            name, label, matrix = "scale_tril", "scale_tril matrix", scale_tril
        elif covariance_matrix is not None:
            name, label, matrix = "covariance_matrix", "covariance_matrix", covariance_matrix
        else:
            name, label, matrix = "precision_matrix", "precision_matrix", precision_matrix
        if matrix.dim() < 2:
            raise ValueError(f"{label} must be at least two-dimensional, with optional leading batch dimensions")
        batch_shape = fl.broadcast_shapes(matrix.shape[:-2], loc.shape[:-1])
        setattr(self, name, matrix.expand(batch_shape + (-1, -1)))
        self.loc = loc.expand(batch_shape + (-1,))
        super().__init__(fl.Size(batch_shape), self.loc.shape[-1:], validate_args=validate_args)

        if scale_tril is not None:
            self._unbroadcasted_scale_tril = scale_tril
        elif covariance_matrix is not None:
            self._unbroadcasted_scale_tril = fl.linalg.cholesky(covariance_matrix)
        else:
            self._unbroadcasted_scale_tril = _precision_to_scale_tril(precision_matrix)

    def expand(self, batch_shape, _instance=None):
        new = self._get_checked_instance(MultivariateNormal, _instance)
        batch_shape = fl.Size(batch_shape)
        new.loc = self.loc.expand(batch_shape + self.event_shape)
        new._unbroadcasted_scale_tril = self._unbroadcasted_scale_tril
        for name in ("covariance_matrix", "scale_tril", "precision_matrix"):
            if name in self.__dict__:
                setattr(new, name, self.__dict__[name].expand(batch_shape + self.event_shape * 2))
        super(MultivariateNormal, new).__init__(batch_shape, self.event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def _expand_matrix(self, matrix):
        return matrix.expand(self._batch_shape + self._event_shape + self._event_shape)

    @lazy_property
    def scale_tril(self):
        """Cholesky factor of the covariance matrix."""
        return self._expand_matrix(self._unbroadcasted_scale_tril)

    @lazy_property
    def covariance_matrix(self):
        """Covariance matrix."""
        factor = self._unbroadcasted_scale_tril
        return self._expand_matrix(fl.matmul(factor, factor.mT))

    @lazy_property
    def precision_matrix(self):
        """Inverse of the covariance matrix."""
        return self._expand_matrix(fl.cholesky_inverse(self._unbroadcasted_scale_tril))

    @property
    def mean(self):
        return self.loc

    @property
    def mode(self):
        return self.loc

    @property
    def variance(self):
        variance = self._unbroadcasted_scale_tril.pow(2).sum(-1)
        return variance.expand(self._batch_shape + self._event_shape)

    def rsample(self, sample_shape=fl.Size()):
        shape = self._extended_shape(sample_shape)
        eps = _standard_normal(shape, dtype=self.loc.dtype, device=self.loc.device)
        return self.loc + _batch_mv(self._unbroadcasted_scale_tril, eps)

    def _half_log_det(self):
        return self._unbroadcasted_scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)

    def log_prob(self, value):
        if self._validate_args:
            self._validate_sample(value)
        squared = _batch_mahalanobis(self._unbroadcasted_scale_tril, value - self.loc)
        return -0.5 * (self._event_shape[0] * math.log(2 * math.pi) + squared) - self._half_log_det()

    def entropy(self):
        entropy = 0.5 * self._event_shape[0] * (1.0 + math.log(2 * math.pi)) + self._half_log_det()
        return entropy.expand(self._batch_shape) if self._batch_shape else entropy
