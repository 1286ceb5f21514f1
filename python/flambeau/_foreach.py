"""`torch._foreach_*`: one operator for every tensor of a list, as optimizers of other packages call them."""

from . import _C
from ._C import Tensor

_UNARY = (
    "abs acos asin atan ceil cos cosh erf erfc exp expm1 floor frac lgamma log log10 log1p log2 neg reciprocal round "
    "rsqrt sigmoid sign sin sinh sqrt tan tanh trunc"
).split()
_BINARY = "add sub mul div pow clamp_min clamp_max maximum minimum".split()
_NAMES = {"clamp_min": "clamp_min", "maximum": "clamp_min", "clamp_max": "clamp_max", "minimum": "clamp_max"}


def _spread(value, count):
    """A value for every tensor of a list: one each from a list, the same for all otherwise."""
    if isinstance(value, (list, tuple)):
        if len(value) != count:
            raise RuntimeError(f"Tensor lists must have the same number of tensors, got {count} and {len(value)}")
        return value
    return [value] * count


def _numbers(values, count):
    """Numbers of a list of numbers, a tensor of them, or one number, for every tensor of a list."""
    if isinstance(values, Tensor) and values.dim() == 1:
        values = values.tolist()
    return _spread(values, count)


def _unary(name):
    def fresh(self):
        return tuple(getattr(tensor, name)() for tensor in self)

    def inplace(self):
        for tensor in self:
            getattr(tensor, name + "_")()
        return self

    return fresh, inplace


def _binary(name):
    def method(tensor, other, suffix, **options):
        if name in ("maximum", "minimum") and not suffix and isinstance(other, Tensor):
            return getattr(tensor, name)(other)
        return getattr(tensor, _NAMES.get(name, name) + suffix)(other, **options)

    def fresh(self, other, **options):
        if name == "pow" and not isinstance(self, (list, tuple)):  # a number to the powers of tensors
            return tuple(self**exponent for exponent in other)
        return tuple(method(tensor, value, "", **options) for tensor, value in zip(self, _spread(other, len(self))))

    def inplace(self, other, **options):
        for tensor, value in zip(self, _spread(other, len(self))):
            method(tensor, value, "_", **options)
        return self

    return fresh, inplace


def _pointwise(name):
    def fresh(self, tensor1, tensor2, value=1, *, scalars=None):
        values = _numbers(value if scalars is None else scalars, len(self))
        parts = zip(self, tensor1, tensor2, values, strict=True)
        return tuple(getattr(tensor, name)(a, b, value=number) for tensor, a, b, number in parts)

    def inplace(self, tensor1, tensor2, value=1, *, scalars=None):
        values = _numbers(value if scalars is None else scalars, len(self))
        for tensor, a, b, number in zip(self, tensor1, tensor2, values, strict=True):
            getattr(tensor, name + "_")(a, b, value=number)
        return self

    return fresh, inplace


def _foreach_lerp(self, tensors1, weight):
    parts = zip(self, tensors1, _spread(weight, len(self)), strict=True)
    return tuple(tensor.lerp(end, by) for tensor, end, by in parts)


def _foreach_lerp_(self, tensors1, weight):
    for tensor, end, by in zip(self, tensors1, _spread(weight, len(self)), strict=True):
        tensor.lerp_(end, by)
    return self


def _foreach_norm(self, ord=2, dtype=None):
    return tuple(_C._foreach_norm(self, ord, dtype))


def _foreach_max(self):
    return tuple(tensor.max() for tensor in self)


def _foreach_clone(self):
    return tuple(tensor.clone() for tensor in self)


def _foreach_zero_(self):
    for tensor in self:
        tensor.zero_()
    return self


def _foreach_copy_(self, src, non_blocking=False):
    for tensor, value in zip(self, src, strict=True):
        tensor.copy_(value, non_blocking)
    return self


for _name in _UNARY:
    globals()["_foreach_" + _name], globals()[f"_foreach_{_name}_"] = _unary(_name)
for _name in _BINARY:
    globals()["_foreach_" + _name], globals()[f"_foreach_{_name}_"] = _binary(_name)
for _name in ("addcmul", "addcdiv"):
    globals()["_foreach_" + _name], globals()[f"_foreach_{_name}_"] = _pointwise(_name)
for _name in [key for key in globals() if key.startswith("_foreach_")]:
    globals()[_name].__name__ = globals()[_name].__qualname__ = _name
