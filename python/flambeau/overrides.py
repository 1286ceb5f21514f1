"""The ``__torch_function__`` protocol."""

from . import _C


def default_torch_function(cls, func, types, args, kwargs):
    """Runs the operator without the protocol and gives the result the class of the subclass."""
    if not all(issubclass(cls, t) for t in types):
        return NotImplemented
    previous = _C._set_torch_function_disabled(True)
    try:
        result = func(*args, **kwargs)
    finally:
        _C._set_torch_function_disabled(previous)
    return _convert(result, cls)


def _convert(result, cls):
    if cls is _C.Tensor:
        return result
    if isinstance(result, _C.Tensor) and not isinstance(result, cls):
        return result.as_subclass(cls)
    if isinstance(result, (tuple, list)) and type(result) in (tuple, list):
        return type(result)(_convert(item, cls) for item in result)
    return result


def _disabled_torch_function_impl(func, types, args=(), kwargs=None):
    """Switches the protocol off for a class: ``__torch_function__ = _disabled_torch_function_impl``."""
    return func(*args, **(kwargs or {}))


_default_torch_function = _C.Tensor.__torch_function__
_disabled_torch_function = _disabled_torch_function_impl
