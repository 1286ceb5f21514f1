"""Private names of `torch._C` that other packages mention, found there when they are first asked for."""

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


def _are_functorch_transforms_active():
    """False: transforms here are ordinary functions of tensors."""
    return False


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
    if name == "Future":
        from .futures import Future

        return Future
    raise AttributeError(f"flambeau does not have 'torch._C.{name}' (yet): this part of PyTorch is missing")
