"""Linear algebra."""

from . import _C


class LinAlgError(RuntimeError):
    """A matrix does not have the property that an operation needs."""


LinAlgError.__module__ = "torch._C"
LinAlgError.__name__ = LinAlgError.__qualname__ = "_LinAlgError"
globals().update(_C._functions("linalg"))
