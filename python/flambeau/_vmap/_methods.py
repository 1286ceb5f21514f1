"""The methods and attributes of batched tensors."""

import sys
import types

import flambeau as torch

from . import _operators
from ._batched import Batched, levels_of, like, physical
from ._operators import Unbatchable, level_of_call, method

Tensor = torch.Tensor

_BINARY = {
    "add": "add", "sub": "sub", "mul": "mul", "truediv": "div", "floordiv": "floor_divide", "mod": "remainder",
    "matmul": "matmul", "and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor",
    "lshift": "bitwise_left_shift", "rshift": "bitwise_right_shift", "pow": "pow",
}  # fmt: skip
_COMPARE = ("eq", "ne", "lt", "le", "gt", "ge")
_UNARY = {"neg": "neg", "pos": "positive", "abs": "abs", "invert": "bitwise_not"}

ITEM = (
    "vmap: It looks like you're calling .item() on a Tensor. We don't support vmap over calling .item() on a Tensor, "
    "please try to rewrite what you're doing with other operations. If error is occurring somewhere inside PyTorch "
    "internals, please file a bug report."
)
_CONTROL = (
    "vmap: It looks like you're attempting to use a Tensor in some data-dependent control flow. We don't support that "
    "yet, please file an issue at https://github.com/pytorch/pytorch/issues ."
)
_DATA = "Cannot access data pointer of Tensor that doesn't have storage"
_REQUIRES = (
    "You are attempting to call Tensor.requires_grad_() (or perhaps using torch.autograd.functional.* APIs) inside of a "
    "function being transformed by a functorch transform. This is unsupported, please attempt to use the functorch "
    "transforms (e.g. grad, vjp, jacrev, jacfwd, hessian) or call requires_grad_() outside of a function being "
    "transformed instead."
)
_BACKWARD = (
    "backward() called inside a functorch transform. This is not supported, please use functorch.grad or functorch.vjp "
    "instead or call backward() outside of functorch transforms."
)


def _raising(error, text):
    def refuse(self, *args, **kwargs):
        raise error(text)

    return refuse


def _cast(name):
    """The function that `autocast` has put in the place of an operator, in its regions."""
    casting = sys.modules.get("flambeau.amp._casting")
    return getattr(torch, name, None) if casting is not None and casting.state.enabled else None


def _bind_operator(name):
    def call(self, *args, **kwargs):
        return (_cast(name) or method(name))(self, *args, **kwargs)

    call.__name__ = name
    return call


def _binary(name):
    def call(self, other):
        if not isinstance(other, (Tensor, int, float, complex)):
            other = _number(other)
            if other is NotImplemented:
                return NotImplemented
        return (_cast(name) or method(name))(self, other)

    return call


def _number(value):
    """NumPy's numbers and arrays as operands."""
    if type(value).__module__ != "numpy":
        return NotImplemented
    return value.item() if not getattr(value, "shape", ()) else torch.as_tensor(value)


def _swapped(name):
    """The operator with a number or an array on the left."""

    def call(self, other):
        if not isinstance(other, (Tensor, int, float, complex)):
            other = _number(other)
            if other is NotImplemented:
                return NotImplemented
        if name in ("add", "mul", "bitwise_and", "bitwise_or", "bitwise_xor"):
            return method(name)(self, other)
        if name == "sub":
            return function("rsub")(self, other)
        if name == "div" and not isinstance(other, Tensor):
            return method("reciprocal")(self) * other
        if name == "pow":
            return function("pow")(other, self)
        left = other if isinstance(other, Tensor) else torch.tensor(other)
        return method(name)(left, self)

    return call


def function(name):
    """The operator that is the function `name` of torch."""
    return _operators.function_of(_NATIVE[name])


_NATIVE = torch._C._functions("torch")


def _length(self):
    if not self.ndim:
        raise TypeError("len() of a 0-d tensor")
    return self.shape[0]


def _size(self, dim=None):
    return self.shape if dim is None else self.shape[dim]


def _stride(self, dim=None):
    strides = self.value.stride()[1:]
    return strides if dim is None else strides[dim]


def _contains(self, element):
    raise RuntimeError(ITEM)


def _require(self, requires_grad=True):
    """Inside a mapped function only transforms may make leaves."""
    if requires_grad:
        raise RuntimeError(_REQUIRES)
    return self


def _set_require(self, value):
    _require(self, value)


def _set_data(self, value):
    raise RuntimeError("mutating directly with `.data` under vmap transform is not allowed.")


def _text(self):
    size = f"lvl={self.level.depth}, bdim=0, value=\n"
    body = repr(self.value)
    return f"BatchedTensor({size}    " + body.replace("\n", "\n    ") + "\n)"


def _format(self, spec):
    return _text(self) if self.ndim or not spec else format(repr(self), spec)


def _copy(self, memo=None):
    raise NotImplementedError("Cannot access storage of BatchedTensorImpl")


def _hook(self, hook):
    from ._gradients import lift

    def run(gradient):
        changed = hook(like(self, gradient))
        return None if changed is None else physical(lift(changed, levels_of(self)[::-1]))

    return physical(self).register_hook(run)


def _iterate(self):
    if not self.ndim:
        raise TypeError("iteration over a 0-d tensor")
    return iter(self.unbind(0))


def _reversed(self):
    return self.flip(0) if self.ndim else self


def _type(self, dtype=None, non_blocking=False, **kwargs):
    if dtype is None:
        return physical(self).type()
    if isinstance(dtype, torch.dtype):
        return self.to(dtype)
    return self.to(physical(self)[:0].reshape(-1)[:0].type(dtype).dtype)


def _numpy_transposed(self):
    return self.permute(*range(self.ndim - 1, -1, -1))


def _matrix_transposed(self):
    if self.ndim < 2:
        raise RuntimeError(f"tensor.mT is only supported on matrices or batches of matrices. Got {self.ndim}-D tensor.")
    return self.transpose(-2, -1)


def _hermitian(self):
    if self.ndim not in (0, 2):
        raise RuntimeError(f"tensor.H is only supported on matrices (2-D tensors). Got {self.ndim}-D tensor.")
    return self.transpose(0, 1).conj() if self.ndim else self.conj()


_PROPERTIES = {
    "shape": lambda self: self.value.shape[1:],
    "ndim": lambda self: self.value.ndim - 1,
    "nbytes": lambda self: self.numel() * self.itemsize,
    "is_leaf": lambda self: self.value.is_leaf,
    "grad": lambda self: None,
    "_grad": lambda self: None,
    "data": lambda self: self.detach(),
    "T": _numpy_transposed,
    "mT": _matrix_transposed,
    "mH": lambda self: _matrix_transposed(self).conj(),
    "H": _hermitian,
    "real": lambda self: function("real")(self) if self.is_complex() else self,
    "imag": lambda self: function("imag")(self),
    "_base": lambda self: None,
    "requires_grad": lambda self: physical(self).requires_grad,
}
_SETTERS = {"requires_grad": _set_require, "data": _set_data}

_METHODS = {
    "__len__": _length,
    "__contains__": _contains,
    "__repr__": _text,
    "__format__": _format,
    "__iter__": _iterate,
    "__reversed__": _reversed,
    "__copy__": _copy,
    "__deepcopy__": _copy,
    "__bool__": _raising(RuntimeError, _CONTROL),
    "is_nonzero": _raising(RuntimeError, _CONTROL),
    "__float__": _raising(RuntimeError, ITEM),
    "__int__": _raising(RuntimeError, ITEM),
    "__index__": _raising(RuntimeError, ITEM),
    "__complex__": _raising(RuntimeError, ITEM),
    "item": _raising(RuntimeError, ITEM),
    "nonzero": lambda self, *args, **kwargs: method("argwhere")(self),
    "tolist": _raising(RuntimeError, _DATA),
    "numpy": _raising(RuntimeError, _DATA),
    "__array__": _raising(RuntimeError, _DATA),
    "data_ptr": _raising(RuntimeError, _DATA),
    "untyped_storage": _raising(NotImplementedError, "Cannot access storage of BatchedTensorImpl"),
    "storage": _raising(NotImplementedError, "Cannot access storage of BatchedTensorImpl"),
    "backward": _raising(RuntimeError, _BACKWARD),
    "requires_grad_": _require,
    "register_hook": _hook,
    "size": _size,
    "stride": _stride,
    "dim": lambda self: self.value.ndim - 1,
    "ndimension": lambda self: self.value.ndim - 1,
    "numel": lambda self: self.shape.numel(),
    "nelement": lambda self: self.shape.numel(),
    "is_contiguous": lambda self, memory_format=torch.contiguous_format: self.value.is_contiguous(),
    "storage_offset": lambda self: physical(self).storage_offset(),
    "is_complex": lambda self: self.dtype.is_complex,
    "is_floating_point": lambda self: self.dtype.is_floating_point,
    "is_signed": lambda self: self.dtype.is_signed,
    "element_size": lambda self: self.value.element_size(),
    "get_device": lambda self: self.value.get_device(),
    "type": _type,
    "cpu": lambda self: self,
    "__getitem__": lambda self, key: SLOTS["__getitem__"](self, key),
    "__setitem__": lambda self, key, value: SLOTS["__setitem__"](self, key, value),
}

# What the slots of plain tensors call when the other operand, an index or a value is batched.
SLOTS = {}


class _Slot:
    """A slot of Tensor as a callable that finds the level."""

    __slots__ = ("name", "run")
    inplace = False

    def __init__(self, name, run):
        self.name = name
        self.run = run

    def __call__(self, *args):
        level = level_of_call(args, None)
        if level is None:
            return getattr(Tensor, self.name)(*args)
        if not level.alive:
            return method("neg").run(level, args, {})
        try:
            return self.run(level, *args)
        except Unbatchable:
            return _operators.loop(self, level, args, {})


def slot(name):
    """Registers what a slot does with batched arguments."""

    def register(function):
        SLOTS[name] = _Slot(name, function)
        return function

    return register


def _delegate(name):
    def get(self):
        return getattr(self.value, name)

    return get


def _fill():
    operators = _operators.methods()
    for name, value in Tensor.__dict__.items():
        kind = type(value)
        if name in _METHODS or name in _PROPERTIES:
            continue
        if name in operators:
            setattr(Batched, name, _bind_operator(name))
        elif kind.__name__ in ("getset_descriptor", "property") and not name.startswith("__"):
            setattr(Batched, name, property(_delegate(name)))
        elif isinstance(value, types.FunctionType) and name not in ("__setstate__", "__reduce_ex__", "__dir__"):
            setattr(Batched, name, value)
    for name, get in _PROPERTIES.items():
        setattr(Batched, name, property(get, _SETTERS.get(name)))
    for name, value in _METHODS.items():
        setattr(Batched, name, value)
    for short, name in _BINARY.items():
        setattr(Batched, f"__{short}__", _binary(name))
        setattr(Batched, f"__r{short}__", _swapped(name))
        SLOTS[f"__{short}__"] = _Named(name)
        if f"{name}_" in Tensor.__dict__:
            setattr(Batched, f"__i{short}__", _binary(name + "_"))
            SLOTS[f"__i{short}__"] = _Named(name + "_")
    for name in _COMPARE:
        setattr(Batched, f"__{name}__", _binary(name))
        SLOTS[f"__{name}__"] = _Named(name)
    for short, name in _UNARY.items():
        setattr(Batched, f"__{short}__", _bind_operator(name))
    Batched.__torch_function__ = classmethod(_torch_function)


class _Named:
    """A method found when it is first called."""

    __slots__ = ("name",)

    def __init__(self, name):
        self.name = name

    def __call__(self, *args, **kwargs):
        return method(self.name)(*args, **kwargs)


def _torch_function(cls, func, types, args=(), kwargs=None):
    """Calls of native operators with batched arguments come here."""
    found = _operators.function_of(func) or SLOTS.get(func.__name__)
    if found is None:
        return func(*args, **(kwargs or {}))
    return found(*args, **(kwargs or {}))


_fill()
