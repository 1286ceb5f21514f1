"""Private names of `torch._C` that other packages mention, found there when they are first asked for."""

import enum

from . import _C


def _log_api_usage_once(event):
    """Nothing is logged."""


def _get_tracing_state():
    """None: nothing is traced."""


def _is_tracing():
    """False: nothing is traced."""
    return False


def _get_graph_executor_optimize(*args):
    """False: there is no graph executor."""
    return False


def _get_accelerator():
    """The CPU, where there is no other device."""
    return _C.device("cpu")


def _is_torch_function_mode_enabled():
    """Whether this thread is in a region of a `TorchFunctionMode`."""
    from .overrides import _modes

    return bool(_modes())


def _are_functorch_transforms_active():
    """False: transforms here are ordinary functions of tensors."""
    return False


def _group_tensors_by_device_and_dtype(lists, with_indices):
    """`{(device, dtype): (lists, indices)}`: lists of equal length, or empty, cut up by the tensors of the first."""
    if not lists or not lists[0]:
        raise RuntimeError("Expected !nested_tensorlist[0].empty() to be true, but got false.")
    count = len(lists[0])
    if any(len(one) not in (0, count) for one in lists):
        raise RuntimeError("Expected the lists of tensors to be as long as the first, or empty")
    groups = {}
    for i, tensor in enumerate(lists[0]):
        if tensor is None:
            raise RuntimeError(
                "Tensors of the first list of nested Tensor lists are supposed to be defined but the "
                f"{i}-th Tensor is not."
            )
        parts, indices = groups.setdefault((tensor.device, tensor.dtype), ([[] for _ in lists], []))
        for part, one in zip(parts, lists):
            part.extend(one[i : i + 1])
        if with_indices:
            indices.append(i)
    return groups


class DisableTorchFunctionSubclass:
    """A region in which `__torch_function__` of subclasses is not asked."""

    def __enter__(self):
        self._previous = _C._set_torch_function_disabled(True)

    def __exit__(self, kind, error, trace):
        _C._set_torch_function_disabled(self._previous)


DisableTorchFunction = DisableTorchFunctionSubclass


def __getattr__(name):
    if name == "_LinAlgError":
        from .linalg import LinAlgError

        return LinAlgError
    if name == "_TensorMeta":
        return type(_C.Tensor)
    if name == "PyTorchFileReader":
        from .serialization._file_reader import PyTorchFileReader

        return PyTorchFileReader
    if name == "Future":
        from .futures import Future

        return Future
    if name == "_functorch":
        from ._functorch import native

        return native
    raise AttributeError(f"flambeau does not have 'torch._C.{name}' (yet): this part of PyTorch is missing")


class DispatchKey(enum.Enum):
    """Names of what an operator's implementations are registered for."""

    CPU, CUDA, Meta = "CPU", "CUDA", "Meta"
    AutogradCPU, AutogradCUDA = "AutogradCPU", "AutogradCUDA"
    AutocastCPU, AutocastCUDA, AutocastXPU = "AutocastCPU", "AutocastCUDA", "AutocastXPU"


class DispatchKeySet:
    """Some of those names."""

    def __init__(self, keys):
        self._keys = frozenset([keys] if isinstance(keys, DispatchKey) else keys)

    def __or__(self, other):
        return DispatchKeySet(self._keys | other._keys)

    def __and__(self, other):
        return DispatchKeySet(self._keys & other._keys)

    def __sub__(self, other):
        return DispatchKeySet(self._keys - other._keys)

    def has(self, key):
        """Whether a name is among them."""
        return key in self._keys


class _ExcludeDispatchKeyGuard:
    """A region without the implementations for some names: those for `autocast` can be left out."""

    def __init__(self, keys):
        for key in keys._keys:
            if not key.name.startswith("Autocast"):
                raise NotImplementedError(f"flambeau cannot leave out the implementations for {key}")
        self._casts = keys.has(DispatchKey.AutocastCPU)

    def __enter__(self):
        from .amp._casting import state

        self._before = state.enabled
        if self._casts:
            state.enabled = False

    def __exit__(self, *error):
        from .amp._casting import state

        state.enabled = self._before


class Value:
    """A value in a graph of TorchScript: there is never one."""


class Graph:
    """A graph of TorchScript: there is never one."""


class Node:
    """An operation in a graph of TorchScript: there is never one."""
