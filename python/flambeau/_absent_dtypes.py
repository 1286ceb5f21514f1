"""Data types that PyTorch has and tensors here cannot: names to compare with, and their limits."""

from . import _C


class AbsentDtype:
    """A data type that tensors here cannot have: it differs from every tensor's, and operators refuse it."""

    __module__ = "flambeau"  # where pickles look for the names
    __slots__ = ("_name", "_signed", "is_complex", "is_floating_point", "itemsize")

    def __init__(self, name, itemsize, kind, signed=True):
        put = object.__setattr__
        put(self, "_name", name)
        put(self, "itemsize", itemsize)
        put(self, "is_complex", kind == "complex")
        put(self, "is_floating_point", kind == "float")
        put(self, "_signed", signed)

    # `isinstance(x, torch.dtype)` asks for this: programs check with it what they were given.
    __class__ = property(lambda self: _C.dtype)

    @property
    def is_signed(self):
        """Whether there are numbers below zero."""
        if self._signed is None:
            raise RuntimeError(f"{self}.is_signed is not known: PyTorch does not say so for this type")
        return self._signed

    def to_real(self):
        """The type of the real part."""
        return _PARTS.get(self._name, self)

    def to_complex(self):
        """The complex type with such parts, where there is one."""
        if self.is_complex:
            return self
        raise RuntimeError(f"Unknown Complex ScalarType for {self._name[0].upper() + self._name[1:]}")

    def __setattr__(self, name, value):
        raise AttributeError(f"attribute '{name}' of 'torch.dtype' objects is not writable")

    def __repr__(self):
        return f"torch.{self._name}"

    def __reduce__(self):
        return self._name

    def _finfo(self):
        """What `torch.finfo` tells."""
        if self._name in _PARTS:
            return _C._finfo(_PARTS[self._name])
        if self._name not in _LIMITS:
            if self.is_floating_point:
                raise NotImplementedError(f"torch.finfo() is not implemented for {self}")
            raise TypeError(
                "torch.finfo() requires a floating point input type. Use torch.iinfo to handle 'torch.finfo'"
            )
        low, high, eps, tiny = _LIMITS[self._name]
        return {
            "bits": 8, "dtype": self._name, "min": low, "max": high, "eps": eps, "resolution": 1.0,
            "smallest_normal": tiny, "tiny": tiny,
        }  # fmt: skip

    def _refuse_integer_limits(self):
        if self._signed is None and self._name.startswith("q"):
            raise NotImplementedError(f"torch.iinfo() is not implemented for {self}")
        raise TypeError("torch.iinfo() requires an integer input type. Use torch.finfo to handle 'torch.iinfo'")


_PARTS = {"complex32": _C.float16, "bcomplex32": _C.bfloat16}
# Least, greatest, distance of 1 to the next number, and the least that is normal.
_LIMITS = {
    "float8_e4m3fn": (-448.0, 448.0, 2.0**-3, 2.0**-6),
    "float8_e4m3fnuz": (-240.0, 240.0, 2.0**-3, 2.0**-7),
    "float8_e5m2": (-57344.0, 57344.0, 2.0**-2, 2.0**-14),
    "float8_e5m2fnuz": (-57344.0, 57344.0, 2.0**-2, 2.0**-15),
    "float8_e8m0fnu": (2.0**-127, 2.0**127, 1.0, 2.0**-127),
}

ABSENT = {name: AbsentDtype(name, 4, "complex") for name in _PARTS}
ABSENT |= {name: AbsentDtype(name, 1, "float", name != "float8_e8m0fnu") for name in [*_LIMITS, "float4_e2m1fn_x2"]}
ABSENT |= {
    f"{sign}int{bits}": AbsentDtype(f"{sign}int{bits}", 1, "int", not sign)
    for sign in ("u", "")
    for bits in range(1, 8)
}
ABSENT |= {
    name: AbsentDtype(name, size, "other", None)
    for size, names in ((1, "qint8 quint8 quint4x2 quint2x4 bits8 bits1x8 bits2x4 bits4x2"), (2, "bits16"), (4, "qint32"))
    for name in names.split()
}  # fmt: skip
ABSENT |= {"chalf": ABSENT["complex32"], "bit": ABSENT["uint1"]}
