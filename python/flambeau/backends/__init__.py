"""What the library was built with."""

import importlib

_NAMES = {"cpu", "cuda", "cudnn", "mps", "mha", "mkl", "openmp", "opt_einsum", "mkldnn"}


def __getattr__(name):
    if name in _NAMES:
        return importlib.import_module(f"{__package__}.{name}")
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
