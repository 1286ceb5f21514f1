"""``autocast``. Operators compute in the dtypes of their operands here, so it can only be left off."""

import functools

import flambeau as torch

__all__ = ["autocast", "custom_bwd", "custom_fwd", "is_autocast_available"]

_DEFAULT_DTYPES = {"cpu": torch.bfloat16, "cuda": torch.float16, "mps": torch.float16}


def is_autocast_available(device_type):
    """Whether operators can be cast automatically on a kind of device: False for all."""
    _known(device_type)
    return False


def _known(device_type):
    if not isinstance(device_type, str):
        raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
    torch.device(device_type)  # raises for what is no kind of device


class autocast:
    """Context manager and decorator that would run operators in a lower precision.

    Disabled, or for a device that is absent (with a warning), it changes nothing. Casting on the CPU is not
    implemented: enabling it there raises NotImplementedError, since results would have other dtypes than promised.
    """

    def __init__(self, device_type, dtype=None, enabled=True, cache_enabled=None):
        _known(device_type)
        self.device = device_type
        self.fast_dtype = _DEFAULT_DTYPES.get(device_type, torch.float16) if dtype is None else dtype
        self.cache_enabled = True if cache_enabled is None else cache_enabled
        if enabled and device_type == "cpu":
            raise NotImplementedError("autocast is not implemented for the CPU; pass enabled=False")
        if enabled:
            import warnings

            warnings.warn(
                f"User provided device_type of '{device_type}', but {device_type.upper()} is not available. Disabling",
                UserWarning,
                stacklevel=2,
            )
        self.enabled = self._enabled = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return False

    def __call__(self, func):
        @functools.wraps(func)
        def wrapper(*args, **kwargs):
            with self:
                return func(*args, **kwargs)

        return wrapper


def custom_fwd(fwd=None, *, device_type, cast_inputs=None):
    """Decorates the forward of a custom function; it runs as it is, since nothing is cast."""
    _known(device_type)
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)
    return fwd


def custom_bwd(bwd=None, *, device_type):
    """Decorates the backward of a custom function; it runs as it is, since nothing is cast."""
    _known(device_type)
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)
    return bwd
