"""Tensors that share memory with other libraries through DLPack (https://dmlc.github.io/dlpack)."""

import enum

from .. import _C
from .._C import Tensor

__all__ = ["DLDeviceType", "ReadOnlyTensorWrapper", "from_dlpack", "to_dlpack"]


class DLDeviceType(enum.IntEnum):
    """The kinds of device that DLPack knows."""

    kDLCPU = 1
    kDLCUDA = 2
    kDLCUDAHost = 3
    kDLOpenCL = 4
    kDLVulkan = 7
    kDLMetal = 8
    kDLVPI = 9
    kDLROCM = 10
    kDLROCMHost = 11
    kDLExtDev = 12
    kDLCUDAManaged = 13
    kDLOneAPI = 14
    kDLWebGPU = 15
    kDLHexagon = 16
    kDLMAIA = 17


_KINDS = {"cpu": DLDeviceType.kDLCPU, "cuda": DLDeviceType.kDLCUDA, "mps": DLDeviceType.kDLMetal}
_NAMES = {kind: name for name, kind in _KINDS.items()}
_ON_CUDA = (DLDeviceType.kDLCUDA, DLDeviceType.kDLCUDAHost, DLDeviceType.kDLROCM, DLDeviceType.kDLCUDAManaged)


def _device_of(dl_device):
    """The device that a pair of DLPack's stands for."""
    if not isinstance(dl_device, tuple) or len(dl_device) != 2 or not all(isinstance(n, int) for n in dl_device):
        raise TypeError(f"_to_dlpack(): argument 'dl_device' must be tuple of ints, not {type(dl_device).__name__}")
    name = _NAMES.get(dl_device[0])
    if name is None:
        raise BufferError(f"Unsupported device_type: {int(dl_device[0])}")
    return _C.device("cpu") if name == "cpu" else _C.device(name, dl_device[1])


def device_of_tensor(tensor):
    """The pair (kind, index) of a tensor's device."""
    device = tensor.device
    if device.type not in _KINDS:
        raise ValueError(f"Unknown device type {device.type} for Dlpack")
    return _KINDS[device.type], device.index or 0


def export(tensor, stream, max_version, dl_device, copy, read_only):
    """A capsule over the memory of a tensor, or over a copy."""
    if tensor.requires_grad:
        raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
    if stream is not None and type(stream) is not int:
        raise TypeError("stream must be ``int`` or ``none``")
    if tensor.device.type == "cpu" and stream not in (None, -1):
        raise AssertionError("stream should be None on cpu.")
    versioned = max_version is not None and max_version[0] >= 1
    if read_only and not versioned:
        raise BufferError("read_only export requires the versioned DLPack protocol; pass max_version=(1, 0) or higher")
    if tensor.is_meta:
        raise BufferError(f"Cannot pack tensors on {tensor.device}")
    source = tensor
    if dl_device is not None:
        device = _device_of(dl_device)
        if device.type != tensor.device.type:
            if copy is False:
                raise ValueError(
                    f"cannot move (i.e. copy=False) tensor from {tensor.device} to {device} without copying."
                )
            source = tensor.to(device)
    if copy and source is tensor:
        source = tensor.clone()
    return _C._to_dlpack(source, versioned, source is not tensor, read_only)


def to_dlpack(tensor):
    """A capsule, of the protocol without versions, over the memory of a tensor. It may be used once."""
    return _C._to_dlpack(tensor, False)


def from_dlpack(ext_tensor, *, device=None, copy=None):
    """A tensor over the memory of another library's tensor, or of a capsule.

    `device` says where the tensor must be, `copy` whether the memory must be copied (True) or shared (False).
    """
    produce = getattr(ext_tensor, "__dlpack__", None)
    if produce is None:
        return _C._from_dlpack(ext_tensor)
    options = {"max_version": (1, 0)}
    if copy is not None:
        options["copy"] = copy
    wanted = None
    if device is not None:
        wanted = _C.device(device)
        if wanted.type not in _KINDS:
            raise BufferError(f"Cannot pack tensors on {wanted.type}")
        options["dl_device"] = (int(_KINDS[wanted.type]), wanted.index or 0)
    own = ext_tensor.__dlpack_device__()
    if own[0] in _ON_CUDA:
        raise AssertionError("Torch not compiled with CUDA enabled")
    if copy is False and wanted is not None and int(_KINDS[wanted.type]) != int(own[0]):
        raise ValueError(
            f"cannot move DLPack tensor from device {tuple(own)} to {options['dl_device']} without copying. Set copy=None "
            "or copy=True."
        )
    if wanted is not None and wanted.type == "cuda":
        raise AssertionError("Torch not compiled with CUDA enabled")
    if wanted is not None and wanted.type == "mps":
        raise RuntimeError("PyTorch is not linked with support for mps devices")
    try:
        return _C._from_dlpack(produce(**options))
    except TypeError:
        # A library of the protocol's first form, which takes no options.
        out = _C._from_dlpack(produce())
        return out.clone() if copy else out


class ReadOnlyTensorWrapper(Tensor):
    """A tensor that can only be exported through DLPack, as memory that must not be written."""

    def __new__(cls, tensor):
        return tensor.as_subclass(cls)

    def __dlpack__(self, *, stream=-1, max_version=None, dl_device=None, copy=None):
        version = max_version if max_version is not None and max_version[0] >= 1 else (1, 0)
        return export(_plain(self), stream, version, dl_device, copy, True)

    def __dlpack_device__(self):
        return device_of_tensor(_plain(self))

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", str(func))
        if name in ("as_subclass", "__dlpack__", "__dlpack_device__"):
            return func(*args, **(kwargs or {}))
        raise RuntimeError(
            f"ReadOnlyTensorWrapper only supports DLPack export; '{name}' is not allowed. Unwrap the tensor to operate on "
            "its data."
        )


def _plain(tensor):
    previous = _C._set_torch_function_disabled(True)
    try:
        return _C._as_subclass(Tensor, tensor)
    finally:
        _C._set_torch_function_disabled(previous)
