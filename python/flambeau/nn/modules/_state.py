"""`state_dict` and `load_state_dict`."""

import warnings
from collections import OrderedDict, namedtuple

import flambeau as torch

from ..parameter import Parameter, is_lazy

_EXTRA_STATE_KEY_SUFFIX = "_extra_state"


class _IncompatibleKeys(namedtuple("IncompatibleKeys", ["missing_keys", "unexpected_keys"])):
    """What `load_state_dict` returns: the keys that were missing and those that were not expected."""

    __slots__ = ()

    def __repr__(self):
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return super().__repr__()

    __str__ = __repr__


def _has_extra_state(module):
    return type(module).get_extra_state is not get_extra_state


def get_extra_state(self):
    """State other than parameters and buffers, for `state_dict`; override it together with `set_extra_state`."""
    raise RuntimeError(
        "Reached a code path in Module.get_extra_state() that should never be called. Please file an issue at "
        "https://github.com/pytorch/pytorch/issues/new?template=bug-report.yml to report this bug."
    )


def set_extra_state(self, state):
    """Takes back what `get_extra_state` returned, in `load_state_dict`."""
    raise RuntimeError(
        "Reached a code path in Module.set_extra_state() that should never be called. Please file an issue at "
        "https://github.com/pytorch/pytorch/issues/new?template=bug-report.yml to report this bug."
    )


def state_dict(self, *args, destination=None, prefix="", keep_vars=False):
    """An ordered dict of all parameters and persistent buffers by dotted name, detached unless `keep_vars`.

    `destination` is a dict to fill; its keys start with `prefix`. Versions are kept in its `_metadata`.
    """
    if args:
        warnings.warn(
            "Positional args are being deprecated, use kwargs instead. Refer to "
            "https://pytorch.org/docs/main/generated/torch.nn.Module.html#torch.nn.Module.state_dict for details.",
            FutureWarning,
            stacklevel=2,
        )
        given = dict(zip(("destination", "prefix", "keep_vars"), args))
        destination = given.get("destination") if destination is None else destination
        prefix = given.get("prefix", prefix) if prefix == "" else prefix
        keep_vars = given.get("keep_vars", keep_vars) if keep_vars is False else keep_vars

    if destination is None:
        destination = OrderedDict()
        destination._metadata = OrderedDict()
    local_metadata = {"version": self._version}
    if hasattr(destination, "_metadata"):
        destination._metadata[prefix[:-1]] = local_metadata

    own = self.__dict__
    for hook in own.get("_state_dict_pre_hooks", {}).values():
        hook(self, prefix, keep_vars)
    self._save_to_state_dict(destination, prefix, keep_vars)
    for name, module in self._modules.items():
        if module is not None:
            module.state_dict(destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
    for hook in own.get("_state_dict_hooks", {}).values():
        result = hook(self, destination, prefix, local_metadata)
        if getattr(hook, "_from_public_api", False):
            if result is not None:
                raise RuntimeError("state_dict post-hook must return None")
        elif result is not None:
            destination = result
    return destination


def _save_to_state_dict(self, destination, prefix, keep_vars):
    """Enters this module's own parameters, persistent buffers and extra state in `destination`."""
    for name, value in self._parameters.items():
        if value is not None:
            destination[prefix + name] = value if keep_vars else value.detach()
    for name, value in self._buffers.items():
        if value is not None and name not in self._non_persistent_buffers_set:
            destination[prefix + name] = value if keep_vars else value.detach()
    if _has_extra_state(self):
        destination[prefix + _EXTRA_STATE_KEY_SUFFIX] = self.get_extra_state()


def _load_from_state_dict(self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs):
    """Loads this module's own entries of `state_dict`; the three lists collect what went wrong.

    Override it for a module whose saved form changed between versions (`local_metadata["version"]`).
    """
    for hook in self.__dict__.get("_load_state_dict_pre_hooks", {}).values():
        hook(state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)

    own = {name: value for name, value in self._parameters.items() if value is not None}
    for name, value in self._buffers.items():
        if value is not None and name not in self._non_persistent_buffers_set:
            own[name] = value
    assign = local_metadata.get("assign_to_params_buffers", False)

    for name, target in own.items():
        key = prefix + name
        if key in state_dict:
            problem = _load_one(self, name, key, target, state_dict[key], assign)
            if problem:
                error_msgs.append(problem)
        elif strict:
            missing_keys.append(key)

    extra_key = prefix + _EXTRA_STATE_KEY_SUFFIX
    if type(self).set_extra_state is not set_extra_state:
        if extra_key in state_dict:
            self.set_extra_state(state_dict[extra_key])
        elif strict:
            missing_keys.append(extra_key)
    elif strict and extra_key in state_dict:
        unexpected_keys.append(extra_key)

    if strict:
        for key in state_dict:
            if key.startswith(prefix) and key != extra_key:
                name, dot, _ = key[len(prefix) :].partition(".")
                if name not in (self._modules if dot else own):
                    unexpected_keys.append(key)


def _load_one(module, name, key, target, value, assign):
    """Loads one parameter or buffer; returns the text of what went wrong, if anything."""
    if not (isinstance(value, torch.Tensor) or hasattr(type(value), "__torch_function__")):
        return (
            f'While copying the parameter named "{key}", expected torch.Tensor or Tensor-like object from checkpoint '
            f"but received {type(value)}"
        )
    lazy = is_lazy(target)
    if not lazy:
        if target.dim() == 0 and value.dim() == 1:
            value = value[0]  # files of PyTorch 0.3 and older hold scalars as vectors of one element
        if value.shape != target.shape:
            return (
                f"size mismatch for {key}: copying a param with shape {value.shape} from checkpoint, the shape in "
                f"current model is {target.shape}."
            )
    if target.is_meta and not value.is_meta and not assign:
        warnings.warn(
            f"for {key}: copying from a non-meta parameter in the checkpoint to a meta parameter in the current "
            "model, which is a no-op. (Did you mean to pass `assign=True` to assign items in the state dictionary to "
            "their corresponding key in the module instead of copying them in place?)",
            stacklevel=2,
        )
    try:
        with torch.no_grad():
            if not assign:
                target.copy_(value)
                return None
            if isinstance(target, Parameter):
                if isinstance(value, Parameter):
                    value.requires_grad_(target.requires_grad)
                else:
                    value = Parameter(value, requires_grad=target.requires_grad)
            setattr(module, name, value)
    except Exception as error:
        return (
            f'While copying the parameter named "{key}", whose dimensions in the model are {target.size()} and whose '
            f"dimensions in the checkpoint are {value.size()}, an exception occurred : {error.args}."
        )
    return None


def load_state_dict(self, state_dict, strict=True, assign=False):
    """Copies parameters and buffers from `state_dict`, or with `assign` puts its tensors in their place.

    With `strict` the keys must match exactly, else RuntimeError. Returns (missing_keys, unexpected_keys).
    """
    if not _is_mapping(state_dict):
        raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
    missing, unexpected, errors = [], [], []
    metadata = getattr(state_dict, "_metadata", None)
    state_dict = OrderedDict(state_dict)
    if metadata is not None:
        state_dict._metadata = metadata

    def load(module, entries, prefix):
        local_metadata = {} if metadata is None else metadata.get(prefix[:-1], {})
        if assign:
            local_metadata["assign_to_params_buffers"] = assign
        module._load_from_state_dict(entries, prefix, local_metadata, True, missing, unexpected, errors)
        for name, child in module._modules.items():
            if child is not None:
                below = f"{prefix}{name}."
                load(child, {key: value for key, value in entries.items() if key.startswith(below)}, below)
        incompatible = _IncompatibleKeys(missing, unexpected)
        for hook in module.__dict__.get("_load_state_dict_post_hooks", {}).values():
            if hook(module, incompatible) is not None:
                raise AssertionError(
                    "Hooks registered with ``register_load_state_dict_post_hook`` are not expected to return new "
                    "values, if incompatible_keys need to be modified, it should be done inplace."
                )

    load(self, state_dict, "")
    if strict:
        quoted = lambda keys: ", ".join(f'"{key}"' for key in keys)
        if unexpected:
            errors.insert(0, f"Unexpected key(s) in state_dict: {quoted(unexpected)}. ")
        if missing:
            errors.insert(0, f"Missing key(s) in state_dict: {quoted(missing)}. ")
    if errors:
        joined = "\n\t".join(errors)
        raise RuntimeError(f"Error(s) in loading state_dict for {type(self).__name__}:\n\t{joined}")
    return _IncompatibleKeys(missing, unexpected)


def _is_mapping(value):
    if isinstance(value, dict):
        return True
    from collections.abc import Mapping

    return isinstance(value, Mapping)
