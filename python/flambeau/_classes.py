"""Small classes that Python's object model asks for: sizes and numeric limits."""

from . import _C


class Size(tuple):
    """The shape of a tensor: a tuple of ints."""

    __slots__ = ()
    __module__ = "flambeau"

    def __new__(cls, iterable=()):
        items = tuple(iterable)
        for i, item in enumerate(items):
            if not isinstance(item, int):
                try:
                    item = item.__index__()
                except AttributeError:
                    raise TypeError(
                        f"torch.Size() takes an iterable of 'int' (item {i} is '{type(item).__name__}')"
                    ) from None
        return tuple.__new__(cls, (i if type(i) is int else i.__index__() for i in items))

    def numel(self):
        """The number of elements of a tensor of this size."""
        n = 1
        for size in self:
            n *= size
        return n

    def __repr__(self):
        return f"torch.Size([{', '.join(map(str, self))}])"

    __str__ = __repr__

    def __getitem__(self, key):
        item = tuple.__getitem__(self, key)
        return tuple.__new__(Size, item) if isinstance(key, slice) else item

    def __add__(self, other):
        if not isinstance(other, tuple):
            return NotImplemented
        return tuple.__new__(Size, tuple.__add__(self, other))

    def __radd__(self, other):
        if not isinstance(other, tuple):
            return NotImplemented
        return tuple.__new__(Size, tuple.__add__(other, self))

    def __mul__(self, n):
        return tuple.__new__(Size, tuple.__mul__(self, n))

    __rmul__ = __mul__

    def __reduce__(self):
        return Size, (tuple(self),)


class finfo:
    """Numeric limits of a floating-point dtype."""

    __module__ = "flambeau"
    __slots__ = ("bits", "dtype", "eps", "max", "min", "resolution", "smallest_normal", "tiny")

    def __init__(self, type=None):
        facts = _C._finfo(_C.get_default_dtype() if type is None else type)
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
        if type.is_floating_point or type.is_complex or type == _C.bool:
            raise TypeError(
                "torch.iinfo() requires an integer input type. Use torch.finfo to handle '" + str(type) + "'"
            )
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
