"""`Module`, the base class of layers and models: attributes, moving and casting, modes, printing, and its call."""

import flambeau as torch

from ..parameter import Buffer, Parameter
from . import _hooks, _state, _walk
from ._hooks import (
    HookTable,
    _global_backward_hooks,
    _global_backward_pre_hooks,
    _global_buffer_registration_hooks,
    _global_forward_hooks,
    _global_forward_hooks_always_called,
    _global_forward_hooks_with_kwargs,
    _global_forward_pre_hooks,
    _global_module_registration_hooks,
    _global_parameter_registration_hooks,
    _WrappedHook,
    register_module_backward_hook,
    register_module_buffer_registration_hook,
    register_module_forward_hook,
    register_module_forward_pre_hook,
    register_module_full_backward_hook,
    register_module_full_backward_pre_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
    registered,
)
from ._state import _EXTRA_STATE_KEY_SUFFIX, _IncompatibleKeys

__all__ = [
    "Module",
    "register_module_backward_hook",
    "register_module_buffer_registration_hook",
    "register_module_forward_hook",
    "register_module_forward_pre_hook",
    "register_module_full_backward_hook",
    "register_module_full_backward_pre_hook",
    "register_module_module_registration_hook",
    "register_module_parameter_registration_hook",
]

# Values of these types are never registered, so assigning one needs no look at its class.
_PLAIN_TYPES = frozenset((bool, int, float, complex, str, bytes, tuple, list, dict, set, type(None)))
_TABLES = ("_parameters", "_buffers", "_modules")
_type_lookup = torch._C._type_lookup


def _addindent(text, spaces):
    """`text` with every line but the first indented."""
    return text.replace("\n", "\n" + " " * spaces)


def _typename(value):
    """The type of a value as error messages name it: 'torch.FloatTensor', 'int', 'package.module.Class'."""
    if isinstance(value, torch.Tensor):
        return value.type()
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
    module = getattr(value, "__module__", None) or ""
    if name is None:
        name, module = type(value).__qualname__, type(value).__module__
    return name if module in ("", "builtins") else f"{module}.{name}"


def _forward_unimplemented(self, *input):
    """What the module computes when it is called. Every subclass defines it."""
    raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')


class Module:
    """Base class of all layers and models.

    Parameters, buffers and modules assigned to attributes are registered: they are found by `parameters()`,
    `state_dict()`, `to()` and their kin. A subclass calls `super().__init__()` first and defines `forward`.
    """

    dump_patches = False
    call_super_init = False
    _version = 1
    _compiled_call_impl = None
    _is_full_backward_hook = None
    # Whether a call has to look for hooks; raised on the class by global hooks, on an instance by its own.
    _hooked = False

    _backward_pre_hooks = HookTable(in_calls=True)
    _backward_hooks = HookTable(in_calls=True)
    _forward_hooks = HookTable(in_calls=True)
    _forward_hooks_with_kwargs = HookTable(in_calls=False)
    _forward_hooks_always_called = HookTable(in_calls=False)
    _forward_pre_hooks = HookTable(in_calls=True)
    _forward_pre_hooks_with_kwargs = HookTable(in_calls=False)
    _state_dict_hooks = HookTable(in_calls=False)
    _state_dict_pre_hooks = HookTable(in_calls=False)
    _load_state_dict_pre_hooks = HookTable(in_calls=False)
    _load_state_dict_post_hooks = HookTable(in_calls=False)

    def __init__(self, *args, **kwargs):
        if args or kwargs:
            self._check_no_arguments(args, kwargs)
        own = self.__dict__
        own["training"] = True
        own["_parameters"] = {}
        own["_buffers"] = {}
        own["_non_persistent_buffers_set"] = set()
        own["_modules"] = {}
        if self.call_super_init:
            super().__init__(*args, **kwargs)

    def _check_no_arguments(self, args, kwargs):
        if self.call_super_init:
            return
        name = f"{type(self).__name__}.__init__()"
        if kwargs:
            raise TypeError(f"{name} got an unexpected keyword argument '{next(iter(kwargs))}'")
        raise TypeError(f"{name} takes 1 positional argument but {len(args) + 1} were given")

    forward = _forward_unimplemented

    # Attributes

    def __setattr__(self, name, value):
        own = self.__dict__
        kind = type(value)
        if "_modules" in own and name not in own["_modules"] and name not in own["_buffers"]:
            if kind in _PLAIN_TYPES:
                if name not in own["_parameters"]:
                    super().__setattr__(name, value)
                    return
            elif kind is Parameter and name not in own and self._is_free(name):
                if not _global_parameter_registration_hooks and value.grad_fn is None:
                    own["_parameters"][name] = value
                    return
        self._set_registered(name, value)

    def _is_free(self, name):
        """Whether a parameter may have this name without a further look: it names nothing else here."""
        cls = type(self)
        return (
            _type_lookup(cls, name) is None
            and _type_lookup(cls, "__getattr__") is Module.__getattr__
            and _type_lookup(cls, "register_parameter") is _register_parameter
            and "." not in name
            and name != ""
        )

    def _set_registered(self, name, value):
        own = self.__dict__
        parameters, modules, buffers = own.get("_parameters"), own.get("_modules"), own.get("_buffers")
        if isinstance(value, Parameter):
            if parameters is None:
                raise AttributeError("cannot assign parameters before Module.__init__() call")
            self._forget(name, keep="_parameters")
            self.register_parameter(name, value)
        elif parameters is not None and name in parameters:
            if value is not None:
                raise TypeError(
                    f"cannot assign '{_typename(value)}' as parameter '{name}' (torch.nn.Parameter or None expected)"
                )
            self.register_parameter(name, value)
        elif isinstance(value, Module):
            if modules is None:
                raise AttributeError("cannot assign module before Module.__init__() call")
            self._forget(name, keep="_modules")
            modules[name] = registered(_global_module_registration_hooks, self, name, value)
        elif modules is not None and name in modules:
            if value is not None:
                raise TypeError(
                    f"cannot assign '{_typename(value)}' as child module '{name}' (torch.nn.Module or None expected)"
                )
            modules[name] = registered(_global_module_registration_hooks, self, name, value)
        elif isinstance(value, Buffer) or buffers is not None and name in buffers:
            if value is not None and not isinstance(value, torch.Tensor):
                raise TypeError(
                    f"cannot assign '{_typename(value)}' as buffer '{name}' "
                    "(torch.nn.Buffer, torch.Tensor or None expected)"
                )
            if isinstance(value, Buffer):
                persistent = value.persistent
            else:
                persistent = name not in self._non_persistent_buffers_set
            self.register_buffer(name, value, persistent)
        else:
            super().__setattr__(name, value)

    def _forget(self, name, keep):
        """Takes a name out of wherever it is, save the table `keep`."""
        own = self.__dict__
        own.pop(name, None)
        for table in _TABLES:
            if table != keep:
                own[table].pop(name, None)
        own["_non_persistent_buffers_set"].discard(name)

    def __delattr__(self, name):
        own = self.__dict__
        for table in _TABLES:
            if name in own.get(table, ()):
                del own[table][name]
                own["_non_persistent_buffers_set"].discard(name)
                return
        super().__delattr__(name)

    def __dir__(self):
        own = self.__dict__
        names = {*dir(type(self)), *own, *self._parameters, *self._modules, *self._buffers}
        # Children of a Sequential are named by numbers, which are no attribute names.
        return sorted(name for name in names if not name[0].isdigit())

    def __setstate__(self, state):
        own, cls = self.__dict__, type(self)
        for name, value in state.items():
            # Tables of hooks exist once they have hooks, and what a class works out is not kept; files have both.
            if name in _hooks.TABLES and not value or isinstance(getattr(cls, name, None), property):
                continue
            own[name] = value
        self._update_hooked()
        own.setdefault("_non_persistent_buffers_set", set())

    def _update_hooked(self):
        """Says anew whether this module has tables of hooks that a call has to look at."""
        own = self.__dict__
        own.pop("_hooked", None)
        if any(table in own for table in _hooks.CALL_TABLES):
            _hooks.mark_hooked(self)

    # Registration

    def register_parameter(self, name, param):
        """Registers a parameter, or None to reserve the name for one."""
        self._check_name("parameter", name, "_parameters")
        if param is not None:
            if not isinstance(param, Parameter):
                raise TypeError(
                    f"cannot assign '{_typename(param)}' object to parameter '{name}' "
                    "(torch.nn.Parameter or None required)"
                )
            if param.grad_fn:
                raise ValueError(
                    f"Cannot assign non-leaf Tensor to parameter '{name}'. Model parameters must be created "
                    f"explicitly. To express '{name}' as a function of another Tensor, compute the value in the "
                    "forward() method."
                )
            if _global_parameter_registration_hooks:
                param = registered(_global_parameter_registration_hooks, self, name, param)
        self._parameters[name] = param

    def register_buffer(self, name, tensor, persistent=True):
        """Registers a tensor that is state but no parameter; one not `persistent` stays out of `state_dict`."""
        self._check_name("buffer", name, "_buffers")
        if tensor is not None and not (isinstance(tensor, torch.Tensor) or hasattr(type(tensor), "__torch_function__")):
            raise TypeError(
                f"cannot assign '{_typename(tensor)}' object to buffer '{name}' (torch Tensor or None required)"
            )
        if _global_buffer_registration_hooks:
            tensor = registered(_global_buffer_registration_hooks, self, name, tensor)
        self._buffers[name] = tensor
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def _check_name(self, kind, name, table):
        if table not in self.__dict__:
            raise AttributeError(f"cannot assign {kind} before Module.__init__() call")
        if not isinstance(name, str):
            raise TypeError(f"{kind} name should be a string. Got {_typename(name)}")
        if "." in name:
            raise KeyError(f'{kind} name can\'t contain "."')
        if name == "":
            raise KeyError(f'{kind} name can\'t be empty string ""')
        if name not in self.__dict__[table] and hasattr(self, name):
            raise KeyError(f"attribute '{name}' already exists")

    def add_module(self, name, module):
        """Registers a submodule, or None to reserve the name for one."""
        if not isinstance(module, Module) and module is not None:
            raise TypeError(f"{_typename(module)} is not a Module subclass")
        if not isinstance(name, str):
            raise TypeError(f"module name should be a string. Got {_typename(name)}")
        if hasattr(self, name) and name not in self._modules:
            raise KeyError(f"attribute '{name}' already exists")
        if "." in name:
            raise KeyError(f'module name can\'t contain ".", got: {name}')
        if name == "":
            raise KeyError('module name can\'t be empty string ""')
        self._modules[name] = registered(_global_module_registration_hooks, self, name, module)

    def register_module(self, name, module):
        """Registers a submodule; the same as `add_module`."""
        self.add_module(name, module)

    # Modes and gradients

    def train(self, mode=True):
        """Puts this module and all below it in training mode, or with False in evaluation mode."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self):
        """Puts this module and all below it in evaluation mode."""
        return self.train(False)

    def requires_grad_(self, requires_grad=True):
        """Says of every parameter whether autograd records it."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none=True):
        """Drops the gradients of all parameters, or zeroes them in place."""
        if getattr(self, "_is_replica", False):
            import warnings

            warnings.warn(
                "Calling .zero_grad() from a module created with nn.DataParallel() has no effect. The parameters are "
                "copied (in a differentiable manner) from the original module. This means they are not leaf nodes in "
                "autograd and so don't accumulate gradients. If you need gradients in your forward method, consider "
                "using autograd.grad instead.",
                stacklevel=2,
            )
        for parameter in self.parameters():
            grad = parameter.grad
            if grad is None:
                continue
            if set_to_none:
                parameter.grad = None
                continue
            if grad.grad_fn is not None:
                grad.detach_()
            else:
                grad.requires_grad_(False)
            grad.zero_()

    # Moving and casting

    def apply(self, fn):
        """Calls `fn(module)` for every module below this one, then for this one."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def _apply(self, fn, recurse=True):
        """Replaces every parameter, gradient and buffer by `fn` of it; parameters stay the same objects if they can."""
        if recurse:
            for module in self.children():
                module._apply(fn)
        for name, parameter in self._parameters.items():
            if parameter is None:
                continue
            grad = parameter.grad
            with torch.no_grad():
                applied = fn(parameter)
            if _same_kind(parameter, applied):
                parameter.data = applied
            else:
                parameter = Parameter(applied, parameter.requires_grad)
                self._parameters[name] = parameter
            if grad is None:
                continue
            with torch.no_grad():
                applied = fn(grad)
            if _same_kind(grad, applied):
                grad.data = applied
                parameter.grad = grad
            else:
                parameter.grad = applied.requires_grad_(grad.requires_grad)
        for name, buffer in self._buffers.items():
            if buffer is not None:
                self._buffers[name] = fn(buffer)
        return self

    def to(self, *args, **kwargs):
        """Moves and casts parameters and buffers in place: `to(device, dtype)`, `to(dtype)`, `to(tensor)`.

        Only floating-point and complex tensors are cast. `memory_format` applies to tensors of 4 or 5 dimensions.
        """
        from ._to import converter

        return self._apply(converter(*args, **kwargs))

    def to_empty(self, *, device, recurse=True):
        """Moves to a device without copying: the values are uninitialised."""
        return self._apply(lambda tensor: torch.empty_like(tensor, device=device), recurse=recurse)

    def cpu(self):
        """Moves all parameters and buffers to the CPU."""
        return self._apply(lambda tensor: tensor.cpu())

    def cuda(self, device=None):
        """Moves all parameters and buffers to a CUDA device."""
        return self._apply(lambda tensor: tensor.cuda(device))

    def type(self, dst_type):
        """Casts all parameters and buffers, whatever their dtype."""
        return self._apply(lambda tensor: tensor.type(dst_type))

    def float(self):
        """Casts floating-point parameters and buffers to float32."""
        return self._apply(lambda tensor: tensor.float() if tensor.is_floating_point() else tensor)

    def double(self):
        """Casts floating-point parameters and buffers to float64."""
        return self._apply(lambda tensor: tensor.double() if tensor.is_floating_point() else tensor)

    def half(self):
        """Casts floating-point parameters and buffers to float16."""
        return self._apply(lambda tensor: tensor.half() if tensor.is_floating_point() else tensor)

    def bfloat16(self):
        """Casts floating-point parameters and buffers to bfloat16."""
        return self._apply(lambda tensor: tensor.bfloat16() if tensor.is_floating_point() else tensor)

    def compile(self, *args, **kwargs):
        """Accepts what `torch.compile` does; calls run as before."""
        torch._settings.say_once("torch.compile")

    def share_memory(self):
        """Moves all parameters and buffers to shared memory."""
        return self._apply(lambda tensor: tensor.share_memory_())

    def _replicate_for_data_parallel(self):
        replica = self.__new__(type(self))
        replica.__dict__ = self.__dict__.copy()
        replica.__dict__["_parameters"] = {}
        replica.__dict__["_buffers"] = self._buffers.copy()
        replica.__dict__["_modules"] = self._modules.copy()
        replica.__dict__["_is_replica"] = True
        return replica

    # Printing

    def extra_repr(self):
        """What `repr` shows of this module besides its submodules."""
        return ""

    def __repr__(self):
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        if len(lines) > 1 or self._modules:
            for name, module in self._modules.items():
                lines.append(f"({name}): " + _addindent(repr(module), 2))
            body = "\n  " + "\n  ".join(lines) + "\n"
        else:
            body = extra
        return f"{self._get_name()}({body})"

    # Defined by subject in files of their own

    _get_name = _walk._get_name
    children = _walk.children
    named_children = _walk.named_children
    modules = _walk.modules
    named_modules = _walk.named_modules
    _named_members = _walk._named_members
    parameters = _walk.parameters
    named_parameters = _walk.named_parameters
    buffers = _walk.buffers
    named_buffers = _walk.named_buffers
    get_submodule = _walk.get_submodule
    set_submodule = _walk.set_submodule
    get_parameter = _walk.get_parameter
    get_buffer = _walk.get_buffer

    get_extra_state = _state.get_extra_state
    set_extra_state = _state.set_extra_state
    state_dict = _state.state_dict
    _save_to_state_dict = _state._save_to_state_dict
    load_state_dict = _state.load_state_dict
    _load_from_state_dict = _state._load_from_state_dict

    register_forward_pre_hook = _hooks.register_forward_pre_hook
    register_forward_hook = _hooks.register_forward_hook
    register_full_backward_pre_hook = _hooks.register_full_backward_pre_hook
    register_full_backward_hook = _hooks.register_full_backward_hook
    register_backward_hook = _hooks.register_backward_hook
    _register_state_dict_hook = _hooks._register_state_dict_hook
    register_state_dict_post_hook = _hooks.register_state_dict_post_hook
    register_state_dict_pre_hook = _hooks.register_state_dict_pre_hook
    _register_load_state_dict_pre_hook = _hooks._register_load_state_dict_pre_hook
    register_load_state_dict_pre_hook = _hooks.register_load_state_dict_pre_hook
    register_load_state_dict_post_hook = _hooks.register_load_state_dict_post_hook
    _get_backward_hooks = _hooks._get_backward_hooks
    _get_backward_pre_hooks = _hooks._get_backward_pre_hooks
    _maybe_warn_non_full_backward_hook = _hooks._maybe_warn_non_full_backward_hook
    _call_impl = _hooks._call_impl
    _wrapped_call_impl = _hooks._call_impl


def _adopt_methods():
    """Names the methods written in other files as methods of Module, for reprs and error messages."""
    for value in vars(Module).values():
        if hasattr(value, "__code__") and "." not in value.__qualname__:
            value.__qualname__ = f"Module.{value.__name__}"


_adopt_methods()
# A program that puts another in its place, or a class with its own, sees every parameter that is assigned.
_register_parameter = Module.register_parameter
# Native: it calls `forward` at once, or `_call_impl` where hooks may have to run.
Module.__call__ = torch._C._module_call(Module)
Module.__getattr__ = torch._C._module_getattr(Module)


def _same_kind(tensor, other):
    """Whether `tensor.data = other` is possible."""
    return tensor.is_meta == other.is_meta and tensor.layout == other.layout
