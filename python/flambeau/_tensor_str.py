"""Tensors as text, by the names that packages ask for."""

import contextlib
import re

from . import _C

__all__ = ["PRINT_OPTS", "printoptions", "set_printoptions"]
_NAMES = ("precision", "threshold", "edgeitems", "linewidth", "sci_mode")


class _Options:
    """How tensors are printed at present."""

    def __getattr__(self, name):
        if name not in _NAMES:
            raise AttributeError(f"there is no printing option '{name}'")
        value = _C._printoptions()[_NAMES.index(name)]
        return int(value) if name == "threshold" and value.is_integer() else value

    def __setattr__(self, name, value):
        _C.set_printoptions(**{name: value})


PRINT_OPTS = _Options()
set_printoptions = _C.set_printoptions


@contextlib.contextmanager
def printoptions(**kwargs):
    """`set_printoptions` for a block."""
    before = _C._printoptions()
    _C.set_printoptions(**kwargs)
    try:
        yield
    finally:
        _C.set_printoptions(**{name: getattr(_Saved(before), name) for name in _NAMES})


class _Saved(_Options):
    """Printing options as they were."""

    def __init__(self, values):
        object.__setattr__(self, "_values", values)

    def __getattr__(self, name):
        value = self._values[_NAMES.index(name)]
        return int(value) if name == "threshold" and value.is_integer() else value


def _tensor_str(self, indent):
    """The numbers of a tensor in brackets, as they stand in its text after `indent` characters."""
    start, width = len("tensor("), PRINT_OPTS.linewidth
    # Where lines break depends on what is left of their width.
    PRINT_OPTS.linewidth = width + start - indent
    try:
        text = repr(self.detach().as_subclass(_C.Tensor))
    finally:
        PRINT_OPTS.linewidth = width
    end = text.rindex("]") + 1 if self.dim() else re.search(r"[,)]", text).start()
    return text[start:end].replace("\n" + " " * start, "\n" + " " * indent)
