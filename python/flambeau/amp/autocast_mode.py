"""``autocast``, and decorators for custom functions that run in its regions."""

import functools
import warnings

import flambeau as torch

from . import _casting
from ._casting import cast as _cast
from ._casting import state as _state

__all__ = ["autocast", "custom_bwd", "custom_fwd", "is_autocast_available"]

_LOW = (torch.bfloat16, torch.float16)


def is_autocast_available(device_type):
    """Whether PyTorch can cast operators on a kind of device, be there one here or not."""
    _known(device_type)
    return device_type in ("cpu", "cuda", "hpu", "ipu", "maia", "mps", "mtia", "xla", "xpu")


def _known(device_type):
    if not isinstance(device_type, str):
        raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
    torch.device(device_type)  # raises for what is no kind of device


class autocast:
    """Context manager and decorator: products and convolutions in a lower precision, losses in float32.

    On the CPU the lower precision is bfloat16 or float16. Operators choose by what they are; float64 stays. Regions
    belong to the thread that enters them. For a device that is absent (with a warning), nothing changes.
    """

    def __init__(self, device_type, dtype=None, enabled=True, cache_enabled=None):
        _known(device_type)
        self.device = device_type
        self.fast_dtype = _casting.get_autocast_dtype(device_type) if dtype is None else dtype
        self._cache_enabled = _state.cache if cache_enabled is None else cache_enabled
        if device_type == "cpu":
            if enabled and self.fast_dtype not in _LOW:
                warnings.warn(
                    "In CPU autocast, but the target dtype is not supported. Disabling autocast.\n"
                    "CPU Autocast only supports dtypes of torch.bfloat16, torch.float16 currently.",
                    UserWarning,
                    stacklevel=2,
                )
                enabled = False
        elif enabled:
            if device_type == "cuda":
                message = "CUDA is not available or torch_xla is imported. Disabling autocast."
            else:
                message = f"User provided device_type of '{device_type}', but {device_type.upper()} is not available. Disabling"
            warnings.warn(message, UserWarning, stacklevel=2)
            enabled = False
        self._enabled = enabled

    def __enter__(self):
        self.prev, self.prev_fastdtype, self.prev_cache_enabled = _state.enabled, _state.dtype, _state.cache
        if self.device == "cpu":
            if self._enabled:
                _casting.install()
            _state.enabled, _state.dtype = self._enabled, self.fast_dtype
        _state.cache = self._cache_enabled
        _state.nesting += 1
        return self

    def __exit__(self, *_):
        _state.nesting -= 1
        if self.device == "cpu":
            _state.enabled, _state.dtype = self.prev, self.prev_fastdtype
        _state.cache = self.prev_cache_enabled
        return False

    def __call__(self, func):
        @functools.wraps(func)
        def wrapper(*args, **kwargs):
            with self:
                return func(*args, **kwargs)

        return wrapper


def _plain(value, dtype):
    """Nested arguments of a custom function, cast; dictionaries too."""
    if isinstance(value, dict):
        return {key: _plain(item, dtype) for key, item in value.items()}
    if isinstance(value, (tuple, list)) and type(value) not in (tuple, list):
        return value
    return _cast(value, dtype)


def custom_fwd(fwd=None, *, device_type, cast_inputs=None):
    """Decorates the forward of a custom function: with `cast_inputs` it runs uncast, its arguments in that dtype."""
    _known(device_type)
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)

    @functools.wraps(fwd)
    def forward(*args, **kwargs):
        ctx = args[0]
        ctx._dtype = _casting.get_autocast_dtype(device_type)
        enabled = _casting.is_autocast_enabled(device_type)
        ctx._fwd_used_autocast = enabled and cast_inputs is None
        if not enabled or cast_inputs is None:
            return fwd(*args, **kwargs)
        with autocast(device_type, enabled=False):
            args = [_plain(arg, cast_inputs) for arg in args]
            return fwd(*args, **{name: _plain(value, cast_inputs) for name, value in kwargs.items()})

    return forward


def custom_bwd(bwd=None, *, device_type):
    """Decorates the backward of a custom function, which is cast where its forward was."""
    _known(device_type)
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)

    @functools.wraps(bwd)
    def backward(*args, **kwargs):
        ctx = args[0]
        with autocast(device_type, enabled=ctx._fwd_used_autocast, dtype=ctx._dtype):
            return bwd(*args, **kwargs)

    return backward
