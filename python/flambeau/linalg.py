"""Linear algebra."""

from . import _C


class LinAlgError(RuntimeError):
    """A matrix does not have the property that an operation needs."""


LinAlgError.__module__ = "torch.linalg"
globals().update(_C._functions("linalg"))
