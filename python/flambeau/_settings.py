"""Switches of the ``torch`` namespace: determinism, precision, threads, warnings, the default device."""

from . import _C

__all__ = [
    "are_deterministic_algorithms_enabled", "compile", "get_deterministic_debug_mode", "get_float32_matmul_precision",
    "get_num_interop_threads", "get_num_threads", "is_anomaly_check_nan_enabled", "is_anomaly_enabled",
    "is_deterministic_algorithms_warn_only_enabled", "is_warn_always_enabled", "set_anomaly_enabled",
    "set_default_device", "set_deterministic_debug_mode", "set_float32_matmul_precision", "set_flush_denormal",
    "set_num_interop_threads", "set_num_threads", "set_warn_always", "use_deterministic_algorithms",
]  # fmt: skip

_DEBUG_MODES = ("default", "warn", "error")
_PRECISIONS = ("highest", "high", "medium")
_state = {"deterministic": 0, "precision": "highest", "warn_always": False, "interop": 1}


def use_deterministic_algorithms(mode, *, warn_only=False):
    """Asks for operators that give the same bits on every run. All operators here do, so nothing else changes."""
    _state["deterministic"] = (1 if warn_only else 2) if mode else 0


def are_deterministic_algorithms_enabled():
    """Whether deterministic operators were asked for."""
    return _state["deterministic"] > 0


def is_deterministic_algorithms_warn_only_enabled():
    """Whether deterministic operators were asked for with a warning in place of an error."""
    return _state["deterministic"] == 1


def set_deterministic_debug_mode(debug_mode):
    """`use_deterministic_algorithms` by number or name: 0 "default", 1 "warn", 2 "error"."""
    if not isinstance(debug_mode, (int, str)):
        raise TypeError(f"debug_mode must be str or int, but got {type(debug_mode)}")
    if isinstance(debug_mode, str):
        if debug_mode not in _DEBUG_MODES:
            raise RuntimeError(
                "invalid value of debug_mode, expected one of `default`, `warn`, `error`, but got " + debug_mode
            )
        debug_mode = _DEBUG_MODES.index(debug_mode)
    if debug_mode not in (0, 1, 2):
        raise RuntimeError(f"invalid value of debug_mode, expected 0, 1, or 2, but got {debug_mode}")
    _state["deterministic"] = debug_mode


def get_deterministic_debug_mode():
    """The number that `set_deterministic_debug_mode` takes."""
    return _state["deterministic"]


def set_float32_matmul_precision(precision):
    """How precise float32 products have to be at least. They are computed in float32 at every setting."""
    if precision not in _PRECISIONS:
        raise RuntimeError(f'"{precision}" is not one of `highest`, `high`, or `medium`; cannot set the precision.')
    _state["precision"] = precision


def get_float32_matmul_precision():
    """The precision asked for."""
    return _state["precision"]


def _thread_count(value, caller):
    if isinstance(value, bool) or not isinstance(value, int):
        raise RuntimeError(f"{caller} expects an int, but got {type(value).__name__}")
    if value >= 1 << 31:
        raise ValueError("Overflow when unpacking long")
    if value < 1:
        raise RuntimeError(f"{caller} expects a positive integer")
    return value


def set_num_threads(int):  # noqa: A002 - the documented parameter name
    """The number of threads that one operator may use at most. Results do not depend on it."""
    _C._set_num_threads(_thread_count(int, "set_num_threads"))


def get_num_threads():
    """The number of threads that one operator may use at most: what was set, else the environment variable
    `OMP_NUM_THREADS` or `MKL_NUM_THREADS`, else the number of processors."""
    return _C._get_num_threads()


def set_num_interop_threads(int):  # noqa: A002
    """The number of threads for independent operators at most; they run one after the other in any case."""
    _state["interop"] = _thread_count(int, "set_num_interop_threads")


def get_num_interop_threads():
    """The number of threads for independent operators at most."""
    return _state["interop"]


def set_flush_denormal(mode):
    """False: the processor's denormal mode is left alone. Asking to switch it off is always granted."""
    return not mode


def set_warn_always(b, /):
    """Whether warnings that are given once should be repeated."""
    _state["warn_always"] = bool(b)


def is_warn_always_enabled():
    """Whether warnings that are given once should be repeated."""
    return _state["warn_always"]


def set_anomaly_enabled(mode, check_nan=True):
    """Turns anomaly detection on or off."""
    _C._set_anomaly_enabled(mode, check_nan)


def is_anomaly_enabled():
    """Whether anomaly detection is on."""
    return _C._is_anomaly_enabled()


def is_anomaly_check_nan_enabled():
    """Whether anomaly detection also reports NaN gradients."""
    return _C._is_anomaly_check_nan_enabled()


def set_default_device(device):
    """The device of new tensors; None for the CPU."""
    if device is None:
        device = "cpu"
    _C._set_default_device(device if isinstance(device, _C.device) else _C.device(device))


_said = set()


def say_once(name):
    """One log line in a process: that `name` was accepted and does not compile."""
    if name not in _said:
        import logging

        _said.add(name)
        logging.getLogger("flambeau").warning("%s: there is no compiler yet; everything runs as it is written", name)


# The compilers that PyTorch comes with; any of them may be asked for.
_BACKENDS = frozenset(
    """aot_eager aot_eager_decomp_partition aot_eager_decomp_partition_crossref aot_eager_decomp_partition_with_mode
    aot_eager_default_partitioner aot_ts cudagraphs eager eager_debug eager_noexcept inductor invoke_subgraph openxla
    openxla_eval onnxrt pre_dispatch_eager ts tvm""".split()
)


def compile(
    model=None, *, fullgraph=False, dynamic=None, backend="inductor", mode=None, options=None, disable=False, **others
):
    """Returns a function as it is: operators run eagerly, so results are those of the uncompiled function.

    A module is wrapped as in PyTorch, so that the names in its state dict begin with `_orig_mod.`. Without `model` it
    is a decorator. `mode` and `options` exclude each other.
    """
    if mode is not None and options is not None:
        raise RuntimeError("Either mode or options can be specified, but both can't be specified at the same time.")
    if model is None:
        return lambda function: compile(
            function, fullgraph=fullgraph, dynamic=dynamic, backend=backend, disable=disable
        )
    if not callable(model):
        raise RuntimeError(f"torch.compile requires a callable or a module, but got {type(model).__name__}")
    if isinstance(backend, str) and backend not in _BACKENDS:
        from ._dynamo.exc import InvalidBackend

        raise InvalidBackend(backend)
    if disable:
        return model
    say_once("torch.compile")
    from .nn.modules.module import Module

    if isinstance(model, Module):
        from ._dynamo import OptimizedModule

        return OptimizedModule(model)
    return model
