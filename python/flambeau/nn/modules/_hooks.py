"""Module hooks: their tables, their registration, and the call of a module that has some."""

import warnings
from collections import OrderedDict

import flambeau as torch

from ...utils.hooks import BackwardHook, RemovableHandle

# Hooks of every module; kept by handle id, like those of one module.
_global_forward_pre_hooks = OrderedDict()
_global_forward_hooks = OrderedDict()
_global_forward_hooks_with_kwargs = OrderedDict()
_global_forward_hooks_always_called = OrderedDict()
_global_backward_pre_hooks = OrderedDict()
_global_backward_hooks = OrderedDict()
_global_buffer_registration_hooks = OrderedDict()
_global_module_registration_hooks = OrderedDict()
_global_parameter_registration_hooks = OrderedDict()

_MIXED_KINDS = (
    "Cannot use both regular backward hooks and full backward hooks on a single Module. Please use only one of them."
)
_MIXED_GLOBAL_KINDS = (
    "Cannot use both regular backward hooks and full backward hooks as a global Module hook. Please use only one of "
    "them."
)


class HookTable:
    """Attribute holding one of a module's hook tables; the table is made on first use.

    Most modules never have a hook, so building one makes no table, and calling one looks at a single flag, `_hooked`,
    which the first use of a table that a call has to look at raises for good.
    """

    __slots__ = ("name", "in_calls")

    def __init__(self, in_calls):
        self.in_calls = in_calls

    def __set_name__(self, owner, name):
        self.name = name

    def __get__(self, module, owner=None):
        if module is None:
            return self
        try:
            return module.__dict__[self.name]
        except KeyError:
            table = OrderedDict()
            self.__set__(module, table)
            return table

    def __set__(self, module, table):
        module.__dict__[self.name] = table
        if self.in_calls:
            mark_hooked(module)

    def __delete__(self, module):
        module.__dict__.pop(self.name, None)


CALL_TABLES = (
    "_backward_pre_hooks",
    "_backward_hooks",
    "_forward_hooks",
    "_forward_pre_hooks",
)
TABLES = (
    *CALL_TABLES,
    "_is_full_backward_hook",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks_with_kwargs",
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)


def mark_hooked(module):
    """Says of a module, or of the class of all modules, that its calls have to look for hooks."""
    torch._C._mark_hooked()
    module._hooked = True


def add_hook(table, hook, flags=(), *others, prepend=False):
    """Enters `hook` in `table`, and True in each of the tables `flags`; its handle clears them and `others` too."""
    handle = RemovableHandle(table, extra_dict=[*flags, *others])
    table[handle.id] = hook
    for flag in flags:
        flag[handle.id] = True
    if prepend:
        table.move_to_end(handle.id, last=False)
    return handle


# Registration on one module


def register_forward_pre_hook(self, hook, *, prepend=False, with_kwargs=False):
    """Calls `hook(module, args)` before each `forward`; what it returns, if not None, replaces the arguments.

    With `with_kwargs` the hook is called as `hook(module, args, kwargs)` and returns None or `(args, kwargs)`.
    """
    flags = [self._forward_pre_hooks_with_kwargs]
    if with_kwargs:
        return add_hook(self._forward_pre_hooks, hook, flags, prepend=prepend)
    return add_hook(self._forward_pre_hooks, hook, (), *flags, prepend=prepend)


def register_forward_hook(self, hook, *, prepend=False, with_kwargs=False, always_call=False):
    """Calls `hook(module, args, output)` after each `forward`; what it returns, if not None, replaces the output.

    With `with_kwargs` the hook is called as `hook(module, args, kwargs, output)`; with `always_call` it also runs
    when `forward` raises.
    """
    flags, others = [], []
    (flags if with_kwargs else others).append(self._forward_hooks_with_kwargs)
    (flags if always_call else others).append(self._forward_hooks_always_called)
    return add_hook(self._forward_hooks, hook, flags, *others, prepend=prepend)


def register_full_backward_pre_hook(self, hook, prepend=False):
    """Calls `hook(module, grad_output)` before the module's backward; a result replaces `grad_output`."""
    return add_hook(self._backward_pre_hooks, hook, prepend=prepend)


def register_full_backward_hook(self, hook, prepend=False):
    """Calls `hook(module, grad_input, grad_output)` after the module's backward; a result replaces `grad_input`."""
    if self._is_full_backward_hook is False:
        raise RuntimeError(_MIXED_KINDS)
    self._is_full_backward_hook = True
    return add_hook(self._backward_hooks, hook, prepend=prepend)


def register_backward_hook(self, hook):
    """The old kind of backward hook, which sees only the last node of the module; use the full kind instead."""
    if self._is_full_backward_hook is True:
        raise RuntimeError(_MIXED_KINDS)
    self._is_full_backward_hook = False
    return add_hook(self._backward_hooks, hook)


def _register_state_dict_hook(self, hook):
    """Calls `hook(module, state_dict, prefix, local_metadata)` at the end of `state_dict`; may return another dict."""
    if getattr(hook, "_from_public_api", False):
        raise RuntimeError(
            "Cannot register the same function as the state dict post hook that was previously registered via "
            "register_state_dict_post_hook"
        )
    return add_hook(self._state_dict_hooks, hook)


def register_state_dict_post_hook(self, hook):
    """Calls `hook(module, state_dict, prefix, local_metadata)` at the end of `state_dict`, to change it in place."""
    hook._from_public_api = True
    return add_hook(self._state_dict_hooks, hook)


def register_state_dict_pre_hook(self, hook):
    """Calls `hook(module, prefix, keep_vars)` at the start of `state_dict`."""
    return add_hook(self._state_dict_pre_hooks, hook)


class _WrappedHook:
    """A hook, and optionally a weak reference to the module to pass as its first argument."""

    def __init__(self, hook, module=None):
        import weakref

        self.hook = hook
        self.with_module = module is not None
        if self.with_module:
            self.module = weakref.ref(module)
        for name in ("__module__", "__name__", "__qualname__", "__doc__", "__dict__"):
            value = getattr(hook, name, None)
            if name == "__dict__":
                self.__dict__.update(value or {})
            elif value is not None:
                setattr(self, name, value)

    def __call__(self, *args, **kwargs):
        if not self.with_module:
            return self.hook(*args, **kwargs)
        module = self.module()
        if module is None:
            raise RuntimeError("You are trying to call the hook of a dead Module!")
        return self.hook(module, *args, **kwargs)

    def __getstate__(self):
        state = {"hook": self.hook, "with_module": self.with_module}
        if self.with_module:
            state["module"] = self.module()
        return state

    def __setstate__(self, state):
        import weakref

        self.hook, self.with_module = state["hook"], state["with_module"]
        if self.with_module:
            if state["module"] is None:
                raise RuntimeError("You are trying to revive the hook of a dead Module!")
            self.module = weakref.ref(state["module"])


def _register_load_state_dict_pre_hook(self, hook, with_module=False):
    """Calls `hook([module,] state_dict, prefix, local_metadata, strict, missing, unexpected, errors)` before loading."""
    return add_hook(self._load_state_dict_pre_hooks, _WrappedHook(hook, self if with_module else None))


def register_load_state_dict_pre_hook(self, hook):
    """Calls `hook(module, state_dict, prefix, local_metadata, strict, missing, unexpected, errors)` before loading."""
    return self._register_load_state_dict_pre_hook(hook, with_module=True)


def register_load_state_dict_post_hook(self, hook):
    """Calls `hook(module, incompatible_keys)` after loading; it may change the lists in place."""
    return add_hook(self._load_state_dict_post_hooks, hook)


# Registration on all modules


def _base():
    from .module import Module

    return Module


def _register_global(table, hook, flags=(), *others):
    handle = add_hook(table, hook, flags, *others)
    mark_hooked(_base())
    return handle


def register_module_forward_pre_hook(hook):
    """Calls `hook(module, args)` before the `forward` of every module."""
    return _register_global(_global_forward_pre_hooks, hook)


def register_module_forward_hook(hook, *, with_kwargs=False, always_call=False):
    """Calls `hook(module, args, output)` after the `forward` of every module."""
    flags, others = [], []
    (flags if with_kwargs else others).append(_global_forward_hooks_with_kwargs)
    (flags if always_call else others).append(_global_forward_hooks_always_called)
    return _register_global(_global_forward_hooks, hook, flags, *others)


_global_is_full_backward_hook = None


def _set_global_backward_kind(full):
    global _global_is_full_backward_hook
    if _global_is_full_backward_hook is (not full):
        raise RuntimeError(_MIXED_GLOBAL_KINDS)
    _global_is_full_backward_hook = full


def register_module_backward_hook(hook):
    """The old kind of backward hook, on every module; use the full kind instead."""
    _set_global_backward_kind(False)
    return _register_global(_global_backward_hooks, hook)


def register_module_full_backward_pre_hook(hook):
    """Calls `hook(module, grad_output)` before the backward of every module."""
    return _register_global(_global_backward_pre_hooks, hook)


def register_module_full_backward_hook(hook):
    """Calls `hook(module, grad_input, grad_output)` after the backward of every module."""
    _set_global_backward_kind(True)
    return _register_global(_global_backward_hooks, hook)


def register_module_buffer_registration_hook(hook):
    """Calls `hook(module, name, buffer)` when a module gets a buffer; a result replaces the buffer."""
    return add_hook(_global_buffer_registration_hooks, hook)


def register_module_module_registration_hook(hook):
    """Calls `hook(module, name, submodule)` when a module gets a submodule; a result replaces the submodule."""
    return add_hook(_global_module_registration_hooks, hook)


def register_module_parameter_registration_hook(hook):
    """Calls `hook(module, name, param)` when a module gets a parameter; a result replaces the parameter."""
    return add_hook(_global_parameter_registration_hooks, hook)


def registered(table, module, name, value):
    """`value` as the registration hooks in `table` leave it."""
    for hook in table.values():
        replaced = hook(module, name, value)
        if replaced is not None:
            value = replaced
    return value


# The call


def _get_backward_hooks(self):
    """The full backward hooks that apply to this module, and those of the old kind."""
    full, old = [], []
    if _global_is_full_backward_hook is not None:
        (full if _global_is_full_backward_hook else old).extend(_global_backward_hooks.values())
    if self._is_full_backward_hook is not None:
        (full if self._is_full_backward_hook else old).extend(self._backward_hooks.values())
    return full, old


def _get_backward_pre_hooks(self):
    """The backward pre-hooks that apply to this module."""
    return [*_global_backward_pre_hooks.values(), *self._backward_pre_hooks.values()]


def _call_impl(self, *args, **kwargs):
    """Calls `forward` with every hook that applies to this module."""
    own = self.__dict__
    if not any(own.get(name) for name in CALL_TABLES) and not (
        _global_forward_pre_hooks or _global_forward_hooks or _global_backward_hooks or _global_backward_pre_hooks
    ):
        return self.forward(*args, **kwargs)
    called = set()
    try:
        return _call_with_hooks(self, args, kwargs, called)
    except Exception:
        _run_skipped_hooks(self, args, kwargs, called)
        raise


def _call_with_hooks(module, args, kwargs, called):
    """`called` receives the ids of the always-called hooks that were reached."""
    args, kwargs = _run_pre_hooks(module, args, kwargs)
    full, old = _get_backward_hooks(module)
    pre = _get_backward_pre_hooks(module)
    backward = BackwardHook(module, full, pre) if full or pre else None
    if backward:
        args = backward.setup_input_hook(args)

    result = module.forward(*args, **kwargs)
    for number, hook, with_kwargs, always in _forward_hooks_of(module):
        if always:
            called.add(number)
        replaced = hook(module, args, kwargs, result) if with_kwargs else hook(module, args, result)
        if replaced is not None:
            result = replaced

    if backward:
        if not isinstance(result, (torch.Tensor, tuple)):
            warnings.warn(
                "For backward hooks to be called, module output should be a Tensor or a tuple of Tensors but received "
                f"{type(result)}",
                stacklevel=4,
            )
        result = backward.setup_output_hook(result)
    if old:
        _attach_old_hooks(module, old, args, result)
    return result


def _run_pre_hooks(module, args, kwargs):
    with_kwargs = module._forward_pre_hooks_with_kwargs
    for number, hook in [*_global_forward_pre_hooks.items(), *module._forward_pre_hooks.items()]:
        if number in with_kwargs:
            replaced = hook(module, args, kwargs)
            if replaced is not None:
                if not isinstance(replaced, tuple) or len(replaced) != 2:
                    raise RuntimeError(
                        f"forward pre-hook must return None or a tuple of (new_args, new_kwargs), but got {replaced}."
                    )
                args, kwargs = replaced
        else:
            replaced = hook(module, args)
            if replaced is not None:
                args = replaced if isinstance(replaced, tuple) else (replaced,)
    return args, kwargs


def _forward_hooks_of(module):
    """(id, hook, with_kwargs, always_called) of each forward hook, those of every module first."""
    entries = []
    for number, hook in _global_forward_hooks.items():
        kinds = number in _global_forward_hooks_with_kwargs, number in _global_forward_hooks_always_called
        entries.append((number, hook, *kinds))
    for number, hook in module._forward_hooks.items():
        kinds = number in module._forward_hooks_with_kwargs, number in module._forward_hooks_always_called
        entries.append((number, hook, *kinds))
    return entries


def _run_skipped_hooks(module, args, kwargs, called):
    """After an error: runs the always-called hooks that were not reached; their own errors become warnings."""
    for number, hook, with_kwargs, always in _forward_hooks_of(module):
        if not always or number in called:
            continue
        try:
            if with_kwargs:
                hook(module, args, kwargs, None)
            else:
                hook(module, args, None)
        except Exception as error:
            kind = "global module" if number in _global_forward_hooks else "module"
            warnings.warn(
                f"{kind} forward hook with ``always_call=True`` raised an exception that was silenced as another error "
                f"was raised in forward: {error}",
                stacklevel=3,
            )


def _attach_old_hooks(module, hooks, args, result):
    tensor = result
    while not isinstance(tensor, torch.Tensor):
        if isinstance(tensor, dict):
            tensor = next(value for value in tensor.values() if isinstance(value, torch.Tensor))
        else:
            tensor = tensor[0]
    node = tensor.grad_fn
    if node is not None:
        for hook in hooks:
            node.register_hook(_WrappedHook(hook, module))
        module._maybe_warn_non_full_backward_hook(args, result, node)


def _maybe_warn_non_full_backward_hook(self, args, result, grad_fn):
    """Warns where a hook of the old kind, attached to `grad_fn`, misses gradients of the inputs or outputs."""
    inputs, results = _as_tensors(args), _as_tensors(result)
    if results is None:
        kind = "non-full backward hooks on a Module that does not return a single Tensor or a tuple of Tensors"
        missing = "some of the grad_output"
    elif inputs is None:
        kind = "non-full backward hooks on a Module that does not take as input a single Tensor or a tuple of Tensors"
        missing = "some of the grad_input"
    elif any(item.grad_fn is not None and item.grad_fn != grad_fn for item in results):
        kind = "a non-full backward hook when outputs are generated by different autograd Nodes"
        missing = "some grad_output"
    elif {item.grad_fn for item in inputs if item.grad_fn is not None} != {node for node, _ in grad_fn.next_functions}:
        kind = "a non-full backward hook when the forward contains multiple autograd Nodes"
        missing = "some grad_input"
    else:
        return
    warnings.warn(
        f"Using {kind} is deprecated and will be removed in future versions. This hook will be missing {missing}. "
        "Please use register_full_backward_hook to get the documented behavior.",
        FutureWarning,
        stacklevel=5,
    )


def _as_tensors(value):
    """`value` as a tuple of tensors, or None where it is something else."""
    items = value if isinstance(value, tuple) else (value,)
    return items if all(isinstance(item, torch.Tensor) for item in items) else None
