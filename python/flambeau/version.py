"""Versions of the library, of the PyTorch whose behaviour it has, and of what it was built with."""

from . import __version__
from .torch_version import TorchVersion as _TorchVersion

flambeau = __version__
# What programs for PyTorch are told: the release that behaviour was compared with.
torch = _TorchVersion(f"2.15.0+flambeau.{flambeau}")
cuda = hip = xpu = git_version = None
debug = False
