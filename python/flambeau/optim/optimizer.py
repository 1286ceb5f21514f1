"""`Optimizer`, the base class: groups of parameters, their state, and hooks."""

import functools
import warnings
from collections import OrderedDict, defaultdict
from collections.abc import Iterable
from copy import deepcopy
from typing import Any

import flambeau as torch

from ..nn.modules.module import _typename
from ..utils.hooks import RemovableHandle

__all__ = ["Optimizer", "register_optimizer_step_post_hook", "register_optimizer_step_pre_hook"]

_global_optimizer_pre_hooks = OrderedDict()
_global_optimizer_post_hooks = OrderedDict()


class _RequiredParameter:
    """Marks a setting that every parameter group has to give."""

    def __repr__(self):
        return "<required parameter>"


required = _RequiredParameter()
ParamsT = Iterable[torch.Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, torch.Tensor]]


def _use_grad_for_differentiable(func):
    """A decorator of `step`: it is recorded if the optimizer's setting `differentiable` says so."""

    @functools.wraps(func)
    def step(self, *args, **kwargs):
        with torch.set_grad_enabled(self.defaults["differentiable"]):
            return func(self, *args, **kwargs)

    return step


def _default_to_fused_or_foreach(params, differentiable, use_fused=False):
    """Whether an optimizer is to use its fused form, or its form for lists: both are for devices that are not here."""
    return False, False


_HOOK_TABLES = (
    "_optimizer_step_pre_hooks",
    "_optimizer_step_post_hooks",
    "_optimizer_state_dict_pre_hooks",
    "_optimizer_state_dict_post_hooks",
    "_optimizer_load_state_dict_pre_hooks",
    "_optimizer_load_state_dict_post_hooks",
)


def _add_hook(table, hook, prepend=False):
    handle = RemovableHandle(table)
    table[handle.id] = hook
    if prepend:
        table.move_to_end(handle.id, last=False)
    return handle


def register_optimizer_step_pre_hook(hook):
    """Calls `hook(optimizer, args, kwargs)` before every optimizer's `step`; it may return new (args, kwargs)."""
    return _add_hook(_global_optimizer_pre_hooks, hook)


def register_optimizer_step_post_hook(hook):
    """Calls `hook(optimizer, args, kwargs)` after every optimizer's `step`."""
    return _add_hook(_global_optimizer_post_hooks, hook)


class Optimizer:
    """Base class of optimizers.

    `params` is an iterable of tensors, of (name, tensor), or of groups: dicts of "params" and settings of their own.
    `defaults` has the settings of groups that don't give them. A subclass defines `step`.
    """

    def __init__(self, params, defaults):
        self.defaults = defaults
        for table in _HOOK_TABLES:
            setattr(self, table, OrderedDict())
        self._patch_step_function()
        if isinstance(params, torch.Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, but got "
                + _typename(params)
            )
        if isinstance(params, set):
            warnings.warn(
                "optimizer parameters need to be organized in ordered collections, but the ordering of tensors in sets "
                "will change between runs. Please use a list instead. This will be an error in a future release.",
                FutureWarning,
                stacklevel=3,
            )
        self.state = defaultdict(dict)
        self.param_groups = []
        groups = list(params)
        if len(groups) == 0:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def __getstate__(self):
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    def __setstate__(self, state):
        self.__dict__.update(state)
        for table in _HOOK_TABLES:
            if table not in self.__dict__:
                setattr(self, table, OrderedDict())
        self._patch_step_function()
        self.defaults.setdefault("differentiable", False)

    def __repr__(self):
        text = type(self).__name__ + " ("
        for number, group in enumerate(self.param_groups):
            text += f"\nParameter Group {number}\n"
            for key in sorted(group):
                if key != "params":
                    text += f"    {key}: {group[key]}\n"
        return text + ")"

    # Steps and their hooks

    def _patch_step_function(self):
        """Makes the class's `step` run hooks, once for each class."""
        cls = type(self)
        if not getattr(cls.step, "hooked", False):
            cls.step = self.profile_hook_step(cls.step)

    @staticmethod
    def profile_hook_step(func):
        """`func`, a `step` method, with the hooks run around it."""

        @functools.wraps(func)
        def wrapper(*args, **kwargs):
            self = args[0]
            if not (
                self._optimizer_step_pre_hooks
                or self._optimizer_step_post_hooks
                or _global_optimizer_pre_hooks
                or _global_optimizer_post_hooks
                or torch._C._profiler_enabled()
            ):
                return func(*args, **kwargs)
            return _step_with_hooks(func, args, kwargs)

        wrapper.hooked = True
        return wrapper

    def register_step_pre_hook(self, hook):
        """Calls `hook(optimizer, args, kwargs)` before `step`; it may return new (args, kwargs)."""
        return _add_hook(self._optimizer_step_pre_hooks, hook)

    def register_step_post_hook(self, hook):
        """Calls `hook(optimizer, args, kwargs)` after `step`."""
        return _add_hook(self._optimizer_step_post_hooks, hook)

    def step(self, closure=None):
        """Updates the parameters from their gradients; `closure` computes the loss anew and returns it."""
        raise NotImplementedError

    def zero_grad(self, set_to_none=True):
        """Drops the gradients of all parameters, or zeroes them in place."""
        for group in self.param_groups:
            for parameter in group["params"]:
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

    # Groups

    def add_param_group(self, param_group):
        """Adds a group: a dict of "params" and settings, which the defaults complete."""
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        params = param_group["params"]
        if isinstance(params, torch.Tensor):
            params = [params]
        elif isinstance(params, set):
            raise TypeError(
                "optimizer parameters need to be organized in ordered collections, but the ordering of tensors in sets "
                "will change between runs. Please use a list instead."
            )
        params = list(params)
        names = [item[0] for item in params if isinstance(item, tuple)]
        if names:
            if len(names) != len(params):
                raise ValueError("all optimizer params should be with/without names. Some param names are missing")
            params = [item[1] for item in params]
        param_group["params"] = params
        if names:
            param_group["param_names"] = names
        for parameter in params:
            if not isinstance(parameter, torch.Tensor):
                raise TypeError("optimizer can only optimize Tensors, but one of the params is " + _typename(parameter))
            if not self.defaults.get("differentiable") and not (parameter.is_leaf or parameter.retains_grad):
                raise ValueError("can't optimize a non-leaf Tensor")
        for name, default in self.defaults.items():
            if default is required and name not in param_group:
                raise ValueError(f"parameter group didn't specify a value of required optimization parameter {name}")
            param_group.setdefault(name, default)
        if len(params) != len(set(params)):
            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters; in future, this will cause an error; "
                "see github.com/pytorch/pytorch/issues/40967 for more information",
                stacklevel=3,
            )
        known = {parameter for group in self.param_groups for parameter in group["params"]}
        if not known.isdisjoint(params):
            raise ValueError("some parameters appear in more than one parameter group")
        if self.param_groups and ("param_names" in param_group) != ("param_names" in self.param_groups[0]):
            said = "with" if "param_names" in param_group else "without"
            raise ValueError(
                "all optimizer param groups should be with/without names. cannot add param group "
                f"{said} names to the optimizer"
            )
        self.param_groups.append(param_group)

    # State

    def register_state_dict_pre_hook(self, hook, prepend=False):
        """Calls `hook(optimizer)` before `state_dict`."""
        return _add_hook(self._optimizer_state_dict_pre_hooks, hook, prepend)

    def register_state_dict_post_hook(self, hook, prepend=False):
        """Calls `hook(optimizer, state_dict)` after `state_dict`; it may return another one."""
        return _add_hook(self._optimizer_state_dict_post_hooks, hook, prepend)

    def register_load_state_dict_pre_hook(self, hook, prepend=False):
        """Calls `hook(optimizer, state_dict)` before `load_state_dict`; it may return another one."""
        return _add_hook(self._optimizer_load_state_dict_pre_hooks, hook, prepend)

    def register_load_state_dict_post_hook(self, hook, prepend=False):
        """Calls `hook(optimizer)` after `load_state_dict`."""
        return _add_hook(self._optimizer_load_state_dict_post_hooks, hook, prepend)

    def state_dict(self):
        """The settings of the groups and the state of each parameter, parameters being numbered in order."""
        for hook in self._optimizer_state_dict_pre_hooks.values():
            hook(self)
        numbers = {}
        groups = []
        for group in self.param_groups:
            for parameter in group["params"]:
                numbers.setdefault(id(parameter), len(numbers))
            packed = {key: value for key, value in group.items() if key != "params"}
            packed["params"] = [numbers[id(parameter)] for parameter in group["params"]]
            groups.append(packed)
        state = {numbers[id(key)] if isinstance(key, torch.Tensor) else key: value for key, value in self.state.items()}
        result = {"state": state, "param_groups": groups}
        for hook in self._optimizer_state_dict_post_hooks.values():
            replaced = hook(self, result)
            if replaced is not None:
                result = replaced
        return result

    def load_state_dict(self, state_dict):
        """Takes over what `state_dict` returned; tensors are cast and moved to fit their parameters."""
        state_dict = state_dict.copy()
        for hook in self._optimizer_load_state_dict_pre_hooks.values():
            replaced = hook(self, state_dict)
            if replaced is not None:
                state_dict = replaced

        groups = self.param_groups
        saved_groups = deepcopy(state_dict["param_groups"])
        if len(groups) != len(saved_groups):
            raise ValueError("loaded state dict has a different number of parameter groups")
        if any(len(group["params"]) != len(saved["params"]) for group, saved in zip(groups, saved_groups)):
            raise ValueError(
                "loaded state dict contains a parameter group that doesn't match the size of optimizer's group"
            )
        parameters = {
            number: parameter
            for group, saved in zip(groups, saved_groups)
            for number, parameter in zip(saved["params"], group["params"])
        }
        state = defaultdict(dict)
        for key, value in state_dict["state"].items():
            if key in parameters:
                state[parameters[key]] = _fitted(parameters[key], value, key, state_dict["param_groups"])
            else:
                state[key] = value
        for group, saved in zip(groups, saved_groups):
            saved["params"] = group["params"]
            if "param_names" in group and "param_names" not in saved:
                saved["param_names"] = group["param_names"]
        self.__setstate__({"state": state, "param_groups": saved_groups})
        for hook in self._optimizer_load_state_dict_post_hooks.values():
            hook(self)

    @staticmethod
    def _process_value_according_to_param_policy(param, value, param_id, param_groups, key=None):
        """A tensor of a parameter's state, cast and moved to fit the parameter; counters of steps stay as they are."""
        if key == "step":
            for group in param_groups:
                if param_id in group["params"] and (group.get("fused") or group.get("capturable")):
                    return value.to(dtype=torch.float32, device=param.device)
            return value
        if param.is_floating_point():
            return value.to(dtype=param.dtype, device=param.device)
        return value.to(device=param.device)


def _fitted(param, value, param_id, param_groups, key=None):
    """A parameter's saved state, nested as it may be, with its tensors fitted to the parameter."""
    if isinstance(value, torch.Tensor):
        return Optimizer._process_value_according_to_param_policy(param, value, param_id, param_groups, key)
    if isinstance(value, dict):
        return {name: _fitted(param, item, param_id, param_groups, name) for name, item in value.items()}
    if hasattr(value, "__iter__") and not isinstance(value, (str, bytes)):
        return type(value)(_fitted(param, item, param_id, param_groups) for item in value)
    return value


def _step_with_hooks(func, args, kwargs):
    self, *args = args
    if self.__dict__.get("_stepping"):
        return func(self, *args, **kwargs)  # a subclass's step that calls its base's: the hooks have run
    args = tuple(args)
    for hook in (*_global_optimizer_pre_hooks.values(), *self._optimizer_step_pre_hooks.values()):
        replaced = hook(self, (self, *args), kwargs)
        if replaced is not None:
            if not isinstance(replaced, tuple) or len(replaced) != 2:
                raise RuntimeError(f"{func} must return None or a tuple of (new_args, new_kwargs), but got {replaced}.")
            args, kwargs = replaced
            self, *args = args
            args = tuple(args)
    self._stepping = True
    started = torch._C._profiler_now() if torch._C._profiler_enabled() else None
    try:
        result = func(self, *args, **kwargs)
    finally:
        del self._stepping
        if started is not None:
            torch._C._profiler_record(f"Optimizer.step#{type(self).__name__}.step", started)
    for hook in (*self._optimizer_step_post_hooks.values(), *_global_optimizer_post_hooks.values()):
        hook(self, (self, *args), kwargs)
    return result


# Shared by the optimizers


def _run_step(optimizer, closure):
    """The body of `step`: evaluates `closure` with gradients on, then updates every group; returns the loss."""
    loss = None
    if closure is not None:
        with torch.enable_grad():
            loss = closure()
    with torch.set_grad_enabled(optimizer.defaults.get("differentiable", False)):
        for group in optimizer.param_groups:
            optimizer._update_group(group)
    return loss


def _check(condition, text):
    if not condition:
        raise ValueError(text)


def _check_betas(betas):
    _check(0.0 <= betas[0] < 1.0, f"Invalid beta parameter at index 0: {betas[0]}")
    _check(0.0 <= betas[1] < 1.0, f"Invalid beta parameter at index 1: {betas[1]}")


def _check_tensor_lr(lr, foreach=False, capturable=True):
    """Checks a learning rate that is a tensor."""
    if not isinstance(lr, torch.Tensor):
        return
    if foreach and not capturable:
        raise ValueError("lr as a Tensor is not supported for capturable=False and foreach=True")
    if lr.numel() != 1:
        raise ValueError("Tensor lr must be 1-element")


def _check_fused(fused, differentiable, foreach):
    if fused:
        if differentiable:
            raise RuntimeError("`fused` does not support `differentiable`")
        if foreach:
            raise RuntimeError("`fused` and `foreach` cannot be `True` together.")


def _check_capturable(capturable, params, what="params and state_steps"):
    """Capturing into a graph is for accelerators only."""
    devices = ("cuda", "xpu", "hpu", "privateuseone", "xla")
    if capturable and not all(param.device.type in devices for param in params):
        raise AssertionError(f"If capturable=True, {what} must be on supported devices: {list(devices)}.")


def _with_gradients(group):
    """The parameters of a group that have a gradient, and the gradients."""
    params, grads = [], []
    for parameter in group["params"]:
        grad = parameter.grad
        if grad is not None:
            params.append(parameter)
            grads.append(grad)
    return params, grads


def _refuse_sparse(name, grads):
    if any(grad.is_sparse for grad in grads):
        raise RuntimeError(f"{name} does not support sparse gradients")


def _new_step(on_device=None):
    """A counter of steps, as a tensor; on a parameter's device where a fused or captured update needs it there."""
    dtype = torch.float64 if torch.get_default_dtype() == torch.float64 else torch.float32
    if on_device is not None:
        return torch.zeros((), dtype=dtype, device=on_device)
    return torch.tensor(0.0, dtype=dtype)


def _zeros_like(parameter):
    return torch.zeros_like(parameter, memory_format=torch.preserve_format)


def _value(x):
    """A Python number of a number or a tensor of one element."""
    return x.item() if isinstance(x, torch.Tensor) else x


def _as_real(*tensors):
    """Complex tensors seen as real ones with a last dimension of 2; None stays None."""
    return [None if tensor is None else torch.view_as_real(tensor) for tensor in tensors]


def _upgrade_groups(optimizer, **defaults):
    """Completes the groups of optimizers pickled before these settings existed."""
    for group in optimizer.param_groups:
        for name, value in defaults.items():
            group.setdefault(name, value)


def _upgrade_steps(optimizer):
    """Turns counters of steps that were saved as numbers into tensors."""
    for state in optimizer.state.values():
        step = state.get("step") if isinstance(state, dict) else None
        if step is not None and not isinstance(step, torch.Tensor):
            state["step"] = _new_step().fill_(float(step))
