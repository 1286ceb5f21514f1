"""Parameters that are functions of other parameters.

A parametrized module gets a class of its own, on which the parametrized attribute is a property, and a ModuleDict
`parametrizations` that holds, for each attribute, the functions and the tensors they are applied to.
"""

import copy
from contextlib import contextmanager

import flambeau as torch

from ..modules.container import ModuleDict, ModuleList
from ..parameter import Parameter

__all__ = [
    "ParametrizationList",
    "cached",
    "is_parametrized",
    "register_parametrization",
    "remove_parametrizations",
    "transfer_parametrizations_and_params",
    "type_before_parametrizations",
]

_cache_depth = 0
_cache = {}


@contextmanager
def cached():
    """Within the context, each parametrized attribute is computed once."""
    global _cache_depth
    _cache_depth += 1
    try:
        yield
    finally:
        _cache_depth -= 1
        if not _cache_depth:
            _cache.clear()


def _register(module, name, tensor):
    if isinstance(tensor, Parameter):
        module.register_parameter(name, tensor)
    else:
        module.register_buffer(name, tensor)


def _maybe_set(target, source):
    """Gives a tensor another's values: by `.data`, which keeps the object, where that is possible."""
    if target.dtype == source.dtype and target.device == source.device and target.layout == source.layout:
        target.set_(source)
    else:
        target.data = source.data


def _as_registered(original, tensor):
    """`tensor` as a parameter if `original` is one."""
    if isinstance(original, Parameter):
        return Parameter(tensor, original.requires_grad)
    return tensor


class ParametrizationList(ModuleList):
    """The functions of one attribute, applied in order, and the tensors the first is applied to.

    Those are `original`, or `original0`, `original1`... where the last function's `right_inverse` gives several.
    """

    def __init__(self, modules, original, unsafe=False):
        if len(modules) == 0:
            raise ValueError("ParametrizationList requires one or more modules.")
        super().__init__(modules)
        self.unsafe = unsafe
        shape, dtype = original.shape, original.dtype
        with torch.no_grad():
            new = original
            for module in reversed(self):
                if hasattr(module, "right_inverse"):
                    try:
                        new = module.right_inverse(new)
                    except NotImplementedError:
                        pass
        if not isinstance(new, torch.Tensor) and not _is_sequence(new):
            raise ValueError(
                "'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). "
                f"Got {type(new).__name__}"
            )
        self.is_tensor = isinstance(new, torch.Tensor)
        self.ntensors = 1 if self.is_tensor else len(new)
        if self.is_tensor:
            if original.dtype != new.dtype:
                raise ValueError(
                    "When `right_inverse` outputs one tensor, it may not change the dtype.\n"
                    f"original.dtype: {original.dtype}\nright_inverse(original).dtype: {new.dtype}"
                )
            if original.device != new.device:
                raise ValueError(
                    "When `right_inverse` outputs one tensor, it may not change the device.\n"
                    f"original.device: {original.device}\nright_inverse(original).device: {new.device}"
                )
            # The tensor stays the same object, so that optimizers that hold it go on working.
            with torch.no_grad():
                _maybe_set(original, new)
            _register(self, "original", original)
        else:
            for place, tensor in enumerate(new):
                if not isinstance(tensor, torch.Tensor):
                    raise ValueError(
                        "'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). "
                        f"Got element {place} of the sequence with type {type(tensor).__name__}."
                    )
                _register(self, f"original{place}", _as_registered(original, tensor))
        if not self.unsafe:
            self._check_consistency(shape, dtype)

    def _check_consistency(self, shape, dtype):
        result = self()
        if not isinstance(result, torch.Tensor):
            raise ValueError(f"A parametrization must return a tensor. Got {type(result).__name__}.")
        if result.dtype != dtype:
            raise ValueError(
                "Registering a parametrization may not change the dtype of the tensor, unless `unsafe` flag is "
                f"enabled.\nunparametrized dtype: {dtype}\nparametrized dtype: {result.dtype}"
            )
        if result.shape != shape:
            raise ValueError(
                "Registering a parametrization may not change the shape of the tensor, unless `unsafe` flag is "
                f"enabled.\nunparametrized shape: {shape}\nparametrized shape: {result.shape}"
            )

    def right_inverse(self, value):
        """Sets the originals such that the attribute becomes `value`, by the functions' right inverses in turn."""
        with torch.no_grad():
            for module in reversed(self):
                if not hasattr(module, "right_inverse"):
                    raise RuntimeError(f"parametrization {type(module).__name__} does not implement right_inverse.")
                value = module.right_inverse(value)
            if self.is_tensor:
                if not isinstance(value, torch.Tensor):
                    raise ValueError(f"`right_inverse` should return a tensor. Got {type(value).__name__}")
                if value.dtype != self.original.dtype:
                    raise ValueError(
                        "The tensor returned by `right_inverse` has dtype "
                        f"{value.dtype} while `original` has dtype {self.original.dtype}"
                    )
                _maybe_set(self.original, value)
                return
            if not _is_sequence(value):
                raise ValueError(f"'right_inverse' must return a sequence of tensors. Got {type(value).__name__}.")
            if len(value) != self.ntensors:
                raise ValueError(
                    "'right_inverse' must return a sequence of tensors of length "
                    f"{self.ntensors}. Got a sequence of length {len(value)}."
                )
            for place, tensor in enumerate(value):
                target = getattr(self, f"original{place}")
                if not isinstance(tensor, torch.Tensor):
                    raise ValueError(
                        f"`right_inverse` must return a sequence of tensors. Got element {place} of type "
                        f"{type(tensor).__name__}"
                    )
                if target.dtype != tensor.dtype:
                    raise ValueError(
                        f"Tensor {place} returned by `right_inverse` has dtype {tensor.dtype} while `original{place}` "
                        f"has dtype {target.dtype}"
                    )
                _maybe_set(target, tensor)

    def forward(self):
        if self.is_tensor:
            value = self[0](self.original)
        else:
            value = self[0](*(getattr(self, f"original{place}") for place in range(self.ntensors)))
        for place in range(1, len(self)):
            value = self[place](value)
        return value


def _is_sequence(value):
    from collections.abc import Sequence

    return isinstance(value, Sequence)


def _inject_new_class(module):
    """Gives a module a class of its own, a subclass of its class."""
    cls = type(module)

    def default_deepcopy(self, memo):
        memo = {} if memo is None else memo
        if id(self) in memo:
            return memo[id(self)]
        replica = self.__new__(type(self))
        memo[id(self)] = replica
        replica.__dict__ = copy.deepcopy(self.__dict__, memo)
        return replica

    def getstate(self):
        raise RuntimeError(
            "Serialization of parametrized modules is only supported through state_dict(). See:\n"
            "https://pytorch.org/tutorials/beginner/saving_loading_models.html"
            "#saving-loading-a-general-checkpoint-for-inference-and-or-resuming-training"
        )

    body = {"__getstate__": getstate, "parametrizations": _parametrizations_of}
    if not hasattr(cls, "__deepcopy__"):
        body["__deepcopy__"] = default_deepcopy
    module.__class__ = type(f"Parametrized{cls.__name__}", (cls,), body)


@property
def _parametrizations_of(self):
    """The ModuleDict of parametrizations."""
    return self._modules["parametrizations"]


def _inject_property(module, tensor_name):
    """Makes an attribute of a module with a class of its own computed by its parametrizations."""
    if hasattr(module, tensor_name):
        raise AssertionError(f"module already has an attribute named {tensor_name}")

    def compute(self):
        if not _cache_depth:
            return self.parametrizations[tensor_name]()
        key = id(self), tensor_name
        if key not in _cache:
            # The module is kept alive with the value, so that its id stays its own.
            _cache[key] = self.parametrizations[tensor_name](), self
        return _cache[key][0]

    def assign(self, value):
        self.parametrizations[tensor_name].right_inverse(value)

    setattr(type(module), tensor_name, property(compute, assign))


def register_parametrization(module, tensor_name, parametrization, *, unsafe=False):
    """Makes a parameter or buffer the value of the module `parametrization` applied to it; returns `module`.

    A method `right_inverse` of the parametrization makes the attribute assignable, and may replace the parameter by
    several. Shape and dtype may only change with `unsafe`, which also skips all checks.
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        if not unsafe:
            _check_appended(module, tensor_name, parametrization)
        module.parametrizations[tensor_name].append(parametrization)
        module.parametrizations[tensor_name].unsafe |= unsafe
    elif tensor_name in module._buffers or tensor_name in module._parameters:
        original = getattr(module, tensor_name)
        parts = ParametrizationList([parametrization], original, unsafe=unsafe)
        delattr(module, tensor_name)
        if not is_parametrized(module):
            _inject_new_class(module)
            module._modules["parametrizations"] = ModuleDict()
        _inject_property(module, tensor_name)
        module.parametrizations[tensor_name] = parts
    else:
        raise ValueError(
            f"Module '{module}' does not have a parameter, a buffer, or a parametrized element with name "
            f"'{tensor_name}'"
        )
    return module


def _check_appended(module, tensor_name, parametrization):
    """Checks that one more parametrization keeps shape and dtype, both ways."""
    said = "unless the `unsafe` flag is enabled."
    Y = getattr(module, tensor_name)
    X = parametrization(Y)
    name = f"module.{tensor_name}"
    if not isinstance(X, torch.Tensor):
        raise ValueError(f"A parametrization must return a tensor. Got {type(X).__name__}.")
    for fact in ("dtype", "shape"):
        if getattr(X, fact) != getattr(Y, fact):
            raise ValueError(
                f"Registering a parametrization may not change the {fact} of the tensor, {said}\n"
                f"{name}.{fact}: {getattr(Y, fact)}\nparametrization({name}).{fact}: {getattr(X, fact)}"
            )
    if hasattr(parametrization, "right_inverse"):
        try:
            Z = parametrization.right_inverse(X)
        except NotImplementedError:
            return
        if not isinstance(Z, torch.Tensor):
            raise ValueError(f"parametrization.right_inverse must return a tensor. Got: {type(Z).__name__}")
        for fact in ("dtype", "shape"):
            if getattr(Z, fact) != getattr(Y, fact):
                raise ValueError(
                    f"The tensor returned by parametrization.right_inverse must have the same {fact} as {name}, "
                    f"{said}\n{name}.{fact}: {getattr(Y, fact)}\nreturned {fact}: {getattr(Z, fact)}"
                )


def is_parametrized(module, tensor_name=None):
    """Whether a module, or one of its attributes, is parametrized."""
    parametrizations = getattr(module, "parametrizations", None)
    if parametrizations is None or not isinstance(parametrizations, ModuleDict):
        return False
    if tensor_name is None:
        return len(parametrizations) > 0
    return tensor_name in parametrizations


def remove_parametrizations(module, tensor_name, leave_parametrized=True):
    """Makes an attribute an ordinary parameter or buffer again, with its current value or the original's."""
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"Module {module} does not have a parametrization on {tensor_name}")
    parts = module.parametrizations[tensor_name]
    if parts.is_tensor:
        original = parts.original
        if leave_parametrized:
            with torch.no_grad():
                value = getattr(module, tensor_name)
            with torch.no_grad():
                if type(original) in (torch.Tensor, Parameter):
                    _maybe_set(original, value)
                else:
                    original.data = value.data
    elif leave_parametrized:
        value = getattr(module, tensor_name)
        original = Parameter(value) if value.requires_grad else value
    else:
        raise ValueError(
            "Cannot leave unparametrized (`leave_parametrized=False`) a tensor that is parametrized in terms of a "
            "sequence of tensors."
        )
    delattr(type(module), tensor_name)
    del module.parametrizations[tensor_name]
    _register(module, tensor_name, original)
    if not is_parametrized(module):
        del module._modules["parametrizations"]
        module.__class__ = type(module).__bases__[0]
    return module


def type_before_parametrizations(module):
    """The class a module had before it was parametrized."""
    return type(module).__bases__[0] if is_parametrized(module) else type(module)


def transfer_parametrizations_and_params(from_module, to_module, tensor_name=None):
    """Gives a module the parametrizations of another, all or those of one attribute, and their tensors."""
    if not is_parametrized(from_module):
        return to_module
    if tensor_name is None:
        names = list(from_module.parametrizations)
    else:
        names = [tensor_name]
    for name in names:
        parts = from_module.parametrizations[name]
        if not hasattr(to_module, name):
            setattr(to_module, name, copy.deepcopy(getattr(from_module, name)))
        for part in parts:
            register_parametrization(to_module, name, part)
        target = to_module.parametrizations[name]
        for place in range(parts.ntensors):
            key = "original" if parts.is_tensor else f"original{place}"
            setattr(target, key, getattr(parts, key))
    return to_module
