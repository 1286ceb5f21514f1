"""`Parameter` and `Buffer`, the tensors a module registers, and their uninitialized forms for lazy modules."""

from collections import OrderedDict

import flambeau as torch
from flambeau._C import _disabled_torch_function_impl, _make_subclass
from flambeau._utils import _rebuild_parameter, _rebuild_parameter_with_state

__all__ = [
    "Buffer",
    "Parameter",
    "UninitializedBuffer",
    "UninitializedParameter",
    "UninitializedTensorMixin",
    "is_lazy",
]


class _ParameterMeta(type(torch.Tensor)):
    """Makes `isinstance(t, Parameter)` true of a tensor subclass that was passed through `Parameter`."""

    def __instancecheck__(self, instance):
        if super().__instancecheck__(instance):
            return True
        return self is Parameter and isinstance(instance, torch.Tensor) and getattr(instance, "_is_param", False)


class Parameter(torch.Tensor, metaclass=_ParameterMeta):
    """A tensor that a module registers as a parameter when it is assigned to an attribute.

    Shares storage with `data` and requires a gradient unless told otherwise. A tensor of a class of its own keeps
    that class.
    """

    def __new__(cls, data=None, requires_grad=True):
        if data is None:
            data = torch.empty(0)
        kind = type(data)
        if kind is torch.Tensor or kind is Parameter:
            return _make_subclass(cls, data, requires_grad)
        result = data.detach().requires_grad_(requires_grad)
        if type(result) is not kind:
            raise RuntimeError(
                f"Creating a Parameter from an instance of type {kind.__name__} requires that detach() returns an "
                f"instance of the same type, but return type {type(result).__name__} was found instead. To use the "
                "type as a Parameter, please correct the detach() semantics defined by its __torch_dispatch__() "
                "implementation."
            )
        result._is_param = True
        return result

    def __deepcopy__(self, memo):
        if id(self) in memo:
            return memo[id(self)]
        result = type(self)(self.data.clone(memory_format=torch.preserve_format), self.requires_grad)
        memo[id(self)] = result
        return result

    def __repr__(self):
        # Printed as the tensor it is, not by the name of this class.
        return "Parameter containing:\n" + repr(_make_subclass(torch.Tensor, self, self.requires_grad))

    def __reduce_ex__(self, proto):
        state = dict(getattr(self, "__dict__", {}))
        if state:
            return _rebuild_parameter_with_state, (self.data, self.requires_grad, OrderedDict(), state)
        return _rebuild_parameter, (self.data, self.requires_grad, OrderedDict())

    __torch_function__ = _disabled_torch_function_impl


class UninitializedTensorMixin:
    """A tensor without a shape yet; `materialize` turns it into an ordinary one in place."""

    # What may be asked of a tensor whose shape is not known: moves, casts and a few facts.
    _allowed_methods = frozenset(
        "__hash__ size copy_ is_complex is_floating_point half float double char short int long cuda cpu to "
        "get_device _has_compatible_shallow_copy_type".split()
    )

    def materialize(self, shape, device=None, dtype=None):
        """Allocates `shape` (uninitialised values) and becomes a tensor of the class `cls_to_become`."""
        self.data = torch.empty(
            shape, device=self.data.device if device is None else device, dtype=dtype or self.data.dtype
        )
        self.__class__ = self.cls_to_become

    @property
    def shape(self):
        raise RuntimeError(
            "Can't access the shape of an uninitialized parameter or buffer. This error usually happens in "
            "`load_state_dict` when trying to load an uninitialized parameter into an initialized one. Call `forward` "
            "to initialize the parameters before accessing their attributes."
        )

    def share_memory_(self):
        raise RuntimeError(
            "Can't share memory on an uninitialized parameter or buffer. Call `forward` to initialize the parameters "
            "before calling `module.share_memory()`."
        )

    def __repr__(self):
        return f"<{type(self).__name__}>"

    def __reduce_ex__(self, proto):
        return type(self), (self.requires_grad,)

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "")
        # Properties arrive as the `__get__` of their descriptor.
        if name in cls._allowed_methods or name in ("__get__", "__set__", "__delete__"):
            return super().__torch_function__(func, types, args, kwargs or {})
        raise ValueError(
            f"Attempted to use an uninitialized parameter in {func}. This error happens when you are using a "
            f"`LazyModule` or explicitly manipulating `torch.nn.parameter.{cls.__name__}` objects. When using "
            "LazyModules Call `forward` with a dummy batch to initialize the parameters before calling torch functions"
        )


def is_lazy(param):
    """Whether `param` is still uninitialized."""
    return isinstance(param, UninitializedTensorMixin)


class UninitializedParameter(UninitializedTensorMixin, Parameter):
    """A parameter whose shape a lazy module works out from its first input."""

    cls_to_become = Parameter

    def __new__(cls, requires_grad=True, device=None, dtype=None):
        return _make_subclass(cls, torch.empty(0, device=device, dtype=dtype), requires_grad)

    def __deepcopy__(self, memo):
        if id(self) in memo:
            return memo[id(self)]
        result = type(self)(self.requires_grad, self.data.device, self.data.dtype)
        memo[id(self)] = result
        return result


class _BufferMeta(type(torch.Tensor)):
    """Makes `isinstance(t, Buffer)` true of what `Buffer` returns."""

    def __instancecheck__(self, instance):
        if self is Buffer:
            return isinstance(instance, torch.Tensor) and getattr(instance, "_is_buffer", False)
        return super().__instancecheck__(instance)


class Buffer(torch.Tensor, metaclass=_BufferMeta):
    """Marks a tensor so that a module registers it as a buffer when it is assigned; stays an ordinary tensor.

    A buffer that is not `persistent` is left out of the module's `state_dict`.
    """

    def __new__(cls, data=None, *, persistent=True):
        if data is None:
            data = torch.empty(0)
        result = data.detach().requires_grad_(data.requires_grad)
        result.persistent = persistent
        result._is_buffer = True
        return result

    __torch_function__ = _disabled_torch_function_impl


class UninitializedBuffer(UninitializedTensorMixin, torch.Tensor):
    """A buffer whose shape a lazy module works out from its first input."""

    cls_to_become = torch.Tensor

    def __new__(cls, requires_grad=False, device=None, dtype=None, persistent=True):
        result = _make_subclass(cls, torch.empty(0, device=device, dtype=dtype), requires_grad)
        result.persistent = persistent
        result._is_buffer = True
        return result
