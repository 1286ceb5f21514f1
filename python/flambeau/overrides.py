"""The ``__torch_function__`` protocol, of classes and of modes."""

import threading

from . import _C

_local = threading.local()


def _modes():
    """The modes of this thread, the innermost last."""
    if not hasattr(_local, "modes"):
        _local.modes = []
    return _local.modes


class TorchFunctionMode:
    """A region, `with mode:`, in which the mode's `__torch_function__` is asked before that of any argument.

    It is asked by operators (functions, methods, arithmetic, indexing), and by the functions written in Python that take part in
    the protocol: `torch.nn.init`'s and those made with `wrap_torch_function` or `handle_torch_function`. Attributes do not ask.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        raise NotImplementedError

    def __enter__(self):
        modes = _modes()
        modes.append(self)
        _C._set_function_modes(len(modes))
        return self

    def __exit__(self, exc_type, exc_val, exc_tb):
        modes = _modes()
        modes.pop()
        _C._set_function_modes(len(modes))

    @classmethod
    def push(cls, *args, **kwargs):
        """`cls(*args, **kwargs)`, as programs wrote it before modes could be entered themselves."""
        return cls(*args, **kwargs)


class BaseTorchFunctionMode(TorchFunctionMode):
    """A mode that lets every function run as it is."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))


def default_torch_function(cls, func, types, args, kwargs):
    """Runs the operator without the protocol and gives the result the class of the subclass."""
    if not all(issubclass(cls, t) for t in types):
        return NotImplemented
    previous = _C._set_torch_function_disabled(True)
    try:
        result = func(*args, **kwargs)
    finally:
        _C._set_torch_function_disabled(previous)
    return result if func in get_default_nowrap_functions() else _convert(result, cls)


_nowrap = None


def get_default_nowrap_functions():
    """The functions whose results keep their class: the other tensors that a tensor refers to."""
    global _nowrap
    if _nowrap is None:
        _nowrap = {_C.Tensor._base.__get__, _C.Tensor.grad.__get__, _C.Tensor._grad.__get__}
    return _nowrap


def _convert(result, cls):
    if cls is _C.Tensor:
        return result
    if isinstance(result, _C.Tensor) and not isinstance(result, cls):
        return result.as_subclass(cls)
    if isinstance(result, (tuple, list)):
        return type(result)(_convert(item, cls) for item in result)
    return result


def _disabled_torch_function_impl(func, types, args=(), kwargs=None):
    """Switches the protocol off for a class: ``__torch_function__ = _disabled_torch_function_impl``."""
    previous = _C._set_torch_function_disabled(True)
    try:
        return func(*args, **(kwargs or {}))
    finally:
        _C._set_torch_function_disabled(previous)


_default_torch_function = _C.Tensor.__torch_function__
_disabled_torch_function = _disabled_torch_function_impl


def _overrides(arg):
    """The class of an argument that takes part in the protocol; None for others."""
    cls = type(arg)
    if cls is _C.Tensor:
        return None
    function = getattr(cls, "__torch_function__", None)
    return None if function is None or function is _disabled_torch_function_impl else cls


def has_torch_function(relevant_args, /):
    """Whether one of the arguments has an implementation of the protocol that must be asked."""
    return _C._has_torch_function(relevant_args)


def has_torch_function_unary(obj, /):
    """`has_torch_function` of one argument."""
    return has_torch_function((obj,))


def has_torch_function_variadic(*objs):
    """`has_torch_function` of the arguments."""
    return has_torch_function(objs)


def _ask_mode(function, types, args, kwargs):
    """What the innermost mode makes of a call, and how it prints. What the mode itself calls goes to the modes around it."""
    modes = _modes()
    mode = modes.pop()
    _C._set_function_modes(len(modes))
    try:
        return mode.__torch_function__(function, types, args, kwargs), repr(mode)
    finally:
        modes.append(mode)
        _C._set_function_modes(len(modes))


def handle_torch_function(public_api, relevant_args, *args, **kwargs):
    """Calls the implementation of the protocol that one of the arguments has, subclasses before their bases."""
    overloaded = []
    for arg in relevant_args:
        cls = _overrides(arg)
        if cls is None or any(type(other) is cls for other in overloaded):
            continue
        at = next((i for i, other in enumerate(overloaded) if issubclass(cls, type(other))), len(overloaded))
        overloaded.insert(at, arg)
    types = tuple(type(arg) for arg in overloaded)
    if _modes():
        result, _ = _ask_mode(public_api, types, args, kwargs)
        if result is not NotImplemented:
            return result
    for arg in overloaded:
        result = arg.__torch_function__(public_api, types, args, kwargs)
        if result is not NotImplemented:
            return result
    module = getattr(public_api, "__module__", None) or f"torch.{public_api.__objclass__.__name__}"
    name = f"{module}.{public_api.__name__}"
    raise TypeError(f"no implementation found for '{name}' on types that implement __torch_function__: {list(types)}")


def wrap_torch_function(dispatcher):
    """Makes a function take part in the protocol; `dispatcher` gives the arguments of a call that matter."""

    def wrap(function):
        import functools

        @functools.wraps(function)
        def wrapped(*args, **kwargs):
            relevant = dispatcher(*args, **kwargs)
            if has_torch_function(relevant):
                return handle_torch_function(wrapped, relevant, *args, **kwargs)
            return function(*args, **kwargs)

        return wrapped

    return wrap


def is_tensor_like(inp):
    """Whether an object is a tensor or takes part in the protocol."""
    return type(inp) is _C.Tensor or hasattr(inp, "__torch_function__")


def __getattr__(name):
    if name in ("get_overridable_functions", "resolve_name"):
        from . import _overridable

        return getattr(_overridable, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def is_tensor_method_or_property(func):
    """Whether a function is a method of Tensor or the getter of one of its attributes."""
    name = getattr(func, "__name__", None)
    return name == "__get__" or getattr(_C.Tensor, str(name), None) is func
