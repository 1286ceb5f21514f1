"""Classes of named results, such as that of ``torch.max(x, dim)``."""

from . import _C


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return _C._return_type(name)


def __dir__():
    return sorted(_C._return_type_names())
