"""TorchScript's functions for programs that use them. There is no such compiler here: everything runs as written."""

import contextlib as _contextlib
import typing as _typing
from typing import Final

from .. import _settings
from ..futures import Future
from ..nn.modules.module import Module as _Module

__all__ = [
    "Attribute", "CompilationUnit", "Error", "Final", "Future", "ScriptFunction", "ScriptModule", "TracerWarning",
    "TracingCheckError", "annotate", "enable_onednn_fusion", "export", "export_opnames", "fork", "freeze", "ignore",
    "interface", "is_scripting", "is_tracing", "isinstance", "load", "onednn_fusion_enabled",
    "optimize_for_inference", "optimized_execution", "run_frozen_optimizations", "save", "script",
    "script_if_tracing", "script_method", "set_fusion_strategy", "strict_fusion", "trace", "trace_module", "unused",
    "wait",
]  # fmt: skip

_isinstance = isinstance


class Error(RuntimeError):
    """An error of a compiled function in PyTorch; raised by nothing here."""


class TracerWarning(Warning):
    """A warning of PyTorch's tracer; given by nothing here."""

    @staticmethod
    def ignore_lib_warnings():
        """Nothing to ignore."""


class TracingCheckError(Exception):
    """Traced functions that differ from the original in PyTorch; raised by nothing here."""


class ScriptModule(_Module):
    """The class of compiled modules, of which there are none: `script` gives the module back."""


RecursiveScriptModule = TopLevelTracedModule = TracedModule = ScriptModule


class ScriptFunction:
    """The class of compiled functions, of which there are none: `script` gives the function back."""


class CompilationUnit:
    """Compiles TorchScript from text in PyTorch: not to be had here."""

    def __init__(self, lang=None, _frames_up=0):
        if lang is not None:
            raise NotImplementedError("torch.jit.CompilationUnit: flambeau does not compile TorchScript from text")


class Attribute(_typing.NamedTuple):
    """A value with the type that a script should give it."""

    value: _typing.Any
    type: _typing.Any


# Compiling


def script(obj, optimize=None, _frames_up=0, _rcb=None, example_inputs=None):
    """Returns `obj` itself: a function, class or module that runs as it is written."""
    if optimize is not None:
        import warnings

        warnings.warn(
            "`optimize` is deprecated and has no effect. Use `with torch.jit.optimized_execution()` instead",
            FutureWarning,
            stacklevel=2,
        )
    _settings.say_once("torch.jit.script")
    return obj


def trace(
    func,
    example_inputs=None,
    optimize=None,
    check_trace=True,
    check_inputs=None,
    check_tolerance=1e-5,
    strict=True,
    _force_outplace=False,
    _module_class=None,
    _compilation_unit=None,
    example_kwarg_inputs=None,
    _store_inputs=True,
):
    """Calls `func` with the example inputs, as a tracer does, and returns it itself."""
    from ..autograd.grad_mode import no_grad

    _settings.say_once("torch.jit.trace")
    with no_grad():
        if example_kwarg_inputs is not None:
            func(**example_kwarg_inputs)
        elif example_inputs is None:
            raise RuntimeError("example_kwarg_inputs should be a dict")
        elif _isinstance(example_inputs, (tuple, list)):
            func(*example_inputs)
        else:
            func(example_inputs)
    return func


def trace_module(mod, inputs, *args, **kwargs):
    """Calls methods of a module with example inputs, given by their names, and returns it itself."""
    from ..autograd.grad_mode import no_grad

    _settings.say_once("torch.jit.trace")
    with no_grad():
        for name, example in inputs.items():
            getattr(mod, name)(*example if _isinstance(example, (tuple, list)) else (example,))
    return mod


def script_if_tracing(fn):
    """The function itself: nothing is ever traced."""
    return fn


_script_if_tracing = script_if_tracing


def freeze(mod, preserved_attrs=None, optimize_numerics=True):
    """The module itself, which has to be in evaluation mode."""
    if mod.training:
        raise RuntimeError(
            "Freezing is currently only implemented for modules in evaluation mode. "
            "Please call .eval() on your module before freezing."
        )
    return mod


def optimize_for_inference(mod, other_methods=None):
    """The module itself."""
    return mod


def run_frozen_optimizations(mod, optimize_numerics=True, preserved_methods=None):
    """Nothing to optimise."""


def export_opnames(m):
    """The operators that a compiled module needs: none."""
    return []


# Marks and questions in code that may be compiled


def is_scripting():
    """False: nothing is compiled."""
    return False


def is_tracing():
    """False: nothing is traced."""
    return False


def _same(fn):
    return fn


def export(fn):
    """Marks a method to be compiled: the function itself."""
    return fn


def unused(fn):
    """Marks a method not to be compiled: the function itself."""
    return fn


def ignore(drop=False, **kwargs):
    """Marks a function to be left to Python: the function itself, or a decorator."""
    if callable(drop):
        return drop
    if not _isinstance(drop, bool):
        raise RuntimeError(f"Argument to @torch.jit.ignore must be a bool or a function but got {drop}")
    return _same


def _overload(func):
    """Marks one signature of a function that is defined after it: the function itself."""
    return func


def _overload_method(func):
    """Marks one signature of a method that is defined after it: the function itself."""
    return func


def script_method(fn):
    """Marks a method of a `ScriptModule`: the function itself."""
    return fn


def interface(obj):
    """Marks a class as an interface: the class itself."""
    return obj


def annotate(the_type, the_value):
    """The value."""
    return the_value


def isinstance(obj, target_type):
    """Whether an object, and what it contains, is of a type with parameters such as `List[int]`."""
    if _isinstance(target_type, (tuple, list)):
        return any(isinstance(obj, option) for option in target_type)
    origin, inner = _typing.get_origin(target_type), _typing.get_args(target_type)
    if origin is None:
        return _isinstance(obj, type(None) if target_type is None else target_type)
    if origin is _typing.Union or type(target_type).__name__ == "UnionType":
        return any(isinstance(obj, option) for option in inner)
    if not _isinstance(obj, origin):
        return False
    if origin is tuple and not (len(inner) == 2 and inner[1] is ...):
        return len(obj) == len(inner) and all(map(isinstance, obj, inner))
    if origin is dict:
        return all(isinstance(key, inner[0]) and isinstance(value, inner[1]) for key, value in obj.items())
    return all(isinstance(item, inner[0]) for item in obj) if inner else True


# Tasks


def fork(func, *args, **kwargs):
    """A future of `func(*args, **kwargs)`, which is called at once."""
    future = Future()
    future.set_result(func(*args, **kwargs))
    return future


def wait(future):
    """The value of a future."""
    return future.wait()


# Files


def save(m, f, _extra_files=None):
    """TorchScript archives are not written."""
    raise NotImplementedError(
        "torch.jit.save: flambeau does not write TorchScript archives; save the state_dict with torch.save"
    )


def load(f, map_location=None, _extra_files=None, _restore_shapes=False):
    """TorchScript archives are not read."""
    raise NotImplementedError(
        "torch.jit.load: flambeau does not read TorchScript archives; load a state_dict into a module of Python"
    )


# Switches


@_contextlib.contextmanager
def optimized_execution(should_optimize):
    """Changes nothing."""
    yield


@_contextlib.contextmanager
def fuser(name):
    """Changes nothing."""
    yield


class strict_fusion:
    """A region that has to be fused in PyTorch; changes nothing."""

    def __enter__(self):
        return None

    def __exit__(self, kind, error, trace):
        return None


def set_fusion_strategy(strategy):
    """Changes nothing; returns the strategy there was, which is none."""
    return []


def enable_onednn_fusion(enabled):
    """Changes nothing."""


def onednn_fusion_enabled():
    """False: there is no such fusion."""
    return False
