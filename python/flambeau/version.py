"""Versions of the library and of what it was built with."""

from . import __version__ as __version__

cuda = hip = xpu = git_version = None
debug = False
