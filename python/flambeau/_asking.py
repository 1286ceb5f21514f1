"""Members of tensor subclasses that ask ``__torch_function__``.

Operators ask by themselves. Attributes, number slots and methods that native code answers directly do not, so that they cost
nothing on tensors; a subclass gets members of its own that ask first, unless it switches the protocol off.
"""

import types

from . import _C
from .overrides import _disabled_torch_function_impl, handle_torch_function

Tensor = _C.Tensor

# What is no operation on a tensor, or must work before one is there.
_SILENT = set(
    """__class__ __del__ __delattr__ __delitem__ __dict__ __dir__ __doc__ __getattribute__ __getstate__ __hash__ __init__
    __init_subclass__ __iter__ __module__ __new__ __reduce__ __setattr__ __sizeof__ __str__ __subclasshook__
    __torch_function__ __weakref__ _is_view _typed_storage as_subclass untyped_storage""".split()
)
# The functions by which overrides know binary operators: as methods, reflected with something else, and in place.
_BINARY = {
    "add": ("add", "add", "add_"),
    "sub": ("sub", "__rsub__", "sub_"),
    "mul": ("mul", "mul", "mul_"),
    "truediv": ("div", "__rtruediv__", "div_"),
    "floordiv": ("__floordiv__", "__rfloordiv__", "floor_divide_"),
    "mod": ("remainder", "__rmod__", "remainder_"),
    "pow": ("pow", "__rpow__", "pow_"),
    "matmul": ("matmul", "__rmatmul__", None),
    "and": ("__and__", "bitwise_and", "__iand__"),
    "or": ("__or__", "bitwise_or", "__ior__"),
    "xor": ("__xor__", "bitwise_xor", "__ixor__"),
    "lshift": ("__lshift__", "__rlshift__", "__ilshift__"),
    "rshift": ("__rshift__", "__rrshift__", "__irshift__"),
}
_COMPARED = {"lt": "lt", "le": "le", "gt": "gt", "ge": "ge", "eq": "__eq__", "ne": "ne"}
_UNARY = {"neg": "neg", "abs": "abs", "pos": "positive", "invert": "__invert__"}


def _asks(cls):
    return getattr(cls, "__torch_function__", None) is not _disabled_torch_function_impl


def _silent(self):
    return _C._torch_function_disabled() or not _asks(type(self))


def _named(method, name):
    method.__name__, method.__qualname__ = name, f"Tensor.{name}"
    return method


def _binary(name, function, native):
    def method(self, other):
        if _silent(self):
            return native(self, other)
        try:
            return handle_torch_function(function, (self, other), self, other)
        except TypeError:
            return NotImplemented

    return _named(method, name)


def _reflected(name, forward, function, native):
    def method(self, other):
        if _silent(self):
            return native(self, other)
        try:
            if isinstance(other, Tensor):
                return handle_torch_function(forward, (other, self), other, self)
            return handle_torch_function(function, (self, other), self, other)
        except TypeError:
            return NotImplemented

    return _named(method, name)


def _method(name, function, native):
    def method(self, *args, **kwargs):
        if _silent(self):
            return native(self, *args, **kwargs)
        return handle_torch_function(function, (self, *args), self, *args, **kwargs)

    return _named(method, name)


def _attribute(name, native):
    def get(self):
        if _silent(self):
            return native.__get__(self)
        return handle_torch_function(native.__get__, (self,), self)

    def put(self, value):
        if _silent(self):
            return native.__set__(self, value)
        return handle_torch_function(native.__set__, (self, value), self, value)

    return property(get, put, doc=native.__doc__)


def _members():
    found = {}
    for name in dir(Tensor):
        if name in _SILENT:
            continue
        native = getattr(Tensor, name)
        if isinstance(native, types.GetSetDescriptorType):
            found[name] = _attribute(name, native)
        elif isinstance(native, (types.MethodDescriptorType, types.WrapperDescriptorType)):
            found[name] = _method(name, native, native)
        elif isinstance(native, types.FunctionType) and isinstance(Tensor.__dict__.get(name), types.FunctionType):
            found[name] = _method(name, native, native)
    for name, (forward, reflected, inplace) in _BINARY.items():
        slots = [f"__{name}__", f"__r{name}__", f"__i{name}__"]
        natives = [getattr(Tensor, slot, None) for slot in slots]
        functions = [getattr(Tensor, f) if f else None for f in (forward, reflected, inplace)]
        found[slots[0]] = _binary(slots[0], functions[0], natives[0])
        found[slots[1]] = _reflected(slots[1], functions[0], functions[1], natives[1])
        if inplace:
            found[slots[2]] = _binary(slots[2], functions[2], natives[2])
    for name, function in _COMPARED.items():
        slot = f"__{name}__"
        found[slot] = _binary(slot, getattr(Tensor, function), getattr(Tensor, slot))
    for name, function in _UNARY.items():
        slot = f"__{name}__"
        found[slot] = _method(slot, getattr(Tensor, function), getattr(Tensor, slot))
    return found


_made = None


def prepare(cls):
    """Gives a new subclass the members that it does not define or inherit from another one."""
    global _made
    if not _asks(cls):
        return
    if _made is None:
        _made = _members()
    bases = [base for base in cls.__mro__ if base is not Tensor and base is not object]
    for name, member in _made.items():
        if not any(name in vars(base) for base in bases):
            setattr(cls, name, member)
    if "__hash__" not in vars(cls):
        cls.__hash__ = Tensor.__hash__
