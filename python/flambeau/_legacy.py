"""The typed constructors of old: ``torch.FloatTensor`` and its kin."""

import warnings

from . import _C

__all__ = ["set_default_tensor_type", "is_tensor", "typename"]

_TYPES = {
    "FloatTensor": _C.float32, "DoubleTensor": _C.float64, "HalfTensor": _C.float16, "BFloat16Tensor": _C.bfloat16,
    "LongTensor": _C.int64, "IntTensor": _C.int32, "ShortTensor": _C.int16, "CharTensor": _C.int8,
    "ByteTensor": _C.uint8, "BoolTensor": _C.bool,
}  # fmt: skip
_NAMES = {dtype: name for name, dtype in _TYPES.items()} | {
    _C.complex64: "ComplexFloatTensor", _C.complex128: "ComplexDoubleTensor",
    _C.uint16: "UInt16Tensor", _C.uint32: "UInt32Tensor", _C.uint64: "UInt64Tensor",
}  # fmt: skip


class _TypedConstructor(type):
    def __call__(cls, *args, device=None):
        return _C._legacy_new(cls.dtype, f"torch.{cls.__name__}", args)

    def __instancecheck__(cls, instance):
        return isinstance(instance, _C.Tensor) and instance.dtype == cls.dtype

    def __repr__(cls):
        return f"<class 'torch.{cls.__name__}'>"


for _name, _dtype in _TYPES.items():
    globals()[_name] = _TypedConstructor(_name, (), {"dtype": _dtype, "__module__": "torch"})
__all__ += list(_TYPES)


def type_name(dtype):
    """``torch.FloatTensor`` for float32."""
    return "torch." + _NAMES[dtype]


def typed(kind):
    """The dtype that a dtype, a typed constructor, a type's name or a Python type stands for."""
    if isinstance(kind, _C.dtype):
        return kind
    if isinstance(kind, _TypedConstructor):
        return kind.dtype
    if isinstance(kind, str):
        for dtype, name in _NAMES.items():
            if kind == "torch." + name:
                return dtype
        if kind == "torch.Tensor":
            return _C.get_default_dtype()
        raise ValueError(f"invalid type: '{kind}'")
    if kind is _C.Tensor:
        return _C.get_default_dtype()
    return {float: _C.float64, int: _C.int64, bool: _C.bool, complex: _C.complex128}[kind]


def set_default_tensor_type(t):
    """Sets the default dtype by a typed constructor."""
    global _warned
    if not _warned:
        _warned = True
        warnings.warn(
            "torch.set_default_tensor_type() is deprecated as of PyTorch 2.1, please use torch.set_default_dtype() and "
            "torch.set_default_device() as alternatives.",
            stacklevel=2,
        )
    _C.set_default_dtype(typed(t))


_warned = False


def is_tensor(obj):
    """Whether ``obj`` is a tensor."""
    return isinstance(obj, _C.Tensor)


def typename(obj):
    """The name of an object's type with its module."""
    if isinstance(obj, _C.Tensor):
        return type_name(obj.dtype)
    module = getattr(type(obj), "__module__", "")
    name = type(obj).__qualname__
    return name if module in ("", "builtins") else f"{module}.{name}"
