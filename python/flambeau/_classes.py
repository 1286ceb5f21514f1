"""Small classes that Python's object model asks for: numeric limits."""

from . import _C
from ._absent_dtypes import AbsentDtype

Size = _C.Size


class finfo:
    """Numeric limits of a floating-point dtype."""

    __module__ = "flambeau"
    __slots__ = ("bits", "dtype", "eps", "max", "min", "resolution", "smallest_normal", "tiny")

    def __init__(self, type=None):
        type = _C.get_default_dtype() if type is None else type
        facts = type._finfo() if isinstance(type, AbsentDtype) else _C._finfo(type)
        for name, value in facts.items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name, value):
        raise AttributeError(f"attribute '{name}' of 'torch.finfo' objects is not writable")

    def __eq__(self, other):
        return isinstance(other, finfo) and self.dtype == other.dtype

    def __hash__(self):
        return hash(self.dtype)

    def __repr__(self):
        return (
            f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, eps={self.eps:g}, "
            f"smallest_normal={self.smallest_normal:g}, tiny={self.tiny:g}, dtype={self.dtype})"
        )


class iinfo:
    """Numeric limits of an integer dtype."""

    __module__ = "flambeau"
    __slots__ = ("bits", "dtype", "max", "min")

    def __init__(self, type):
        if isinstance(type, AbsentDtype):
            type._refuse_integer_limits()
        if type.is_floating_point or type.is_complex or type == _C.bool:
            raise TypeError("torch.iinfo() requires an integer input type. Use torch.finfo to handle 'torch.iinfo'")
        bits = type.itemsize * 8
        low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if type.is_signed else (0, (1 << bits) - 1)
        for name, value in (("bits", bits), ("min", low), ("max", high), ("dtype", str(type).rsplit(".")[-1])):
            object.__setattr__(self, name, value)

    def __setattr__(self, name, value):
        raise AttributeError(f"attribute '{name}' of 'torch.iinfo' objects is not writable")

    def __eq__(self, other):
        return isinstance(other, iinfo) and self.dtype == other.dtype

    def __hash__(self):
        return hash(self.dtype)

    def __repr__(self):
        return f"iinfo(min={self.min:g}, max={self.max:g}, dtype={self.dtype})"


class _Symbol:
    """A number that is not known yet while a program is traced, which nothing here does."""

    def __new__(cls, *args, **kwargs):
        raise NotImplementedError(f"flambeau has no {cls.__name__}: programs are not traced")


class SymInt(_Symbol):
    """An integer of a traced program, of which there are none."""


class SymFloat(_Symbol):
    """A float of a traced program, of which there are none."""


class SymBool(_Symbol):
    """A truth value of a traced program, of which there are none."""
