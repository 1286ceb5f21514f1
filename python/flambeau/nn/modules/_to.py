"""The arguments of `Module.to`."""

import warnings

import flambeau as torch

_SIGNATURES = (
    " * (torch.device device = None, torch.dtype dtype = None, bool non_blocking = False, bool copy = False, *, "
    "torch.memory_format memory_format = None)\n"
    " * (torch.dtype dtype, bool non_blocking = False, bool copy = False, *, "
    "torch.memory_format memory_format = None)\n"
    " * (Tensor tensor, bool non_blocking = False, bool copy = False, *, torch.memory_format memory_format = None)\n"
)


def converter(*args, **kwargs):
    """The function that `Module.to` with these arguments applies to each tensor."""
    device, dtype, non_blocking, memory_format = parse_to(args, kwargs)
    if dtype is not None:
        if not (dtype.is_floating_point or dtype.is_complex):
            raise TypeError(
                f"nn.Module.to only accepts floating point or complex dtypes, but got desired dtype={dtype}"
            )
        if dtype.is_complex:
            warnings.warn(
                "Complex modules are a new feature under active development whose design may change, and some modules "
                "might not work as expected when using complex tensors as parameters or buffers. Please file an issue "
                "at https://github.com/pytorch/pytorch/issues/new?template=bug-report.yml if a complex module does "
                "not work as expected.",
                stacklevel=3,
            )

    def convert(tensor):
        cast = dtype if tensor.is_floating_point() or tensor.is_complex() else None
        try:
            if memory_format is not None and tensor.dim() in (4, 5):
                return tensor.to(device, cast, non_blocking, memory_format=memory_format)
            return tensor.to(device, cast, non_blocking)
        except NotImplementedError as error:
            if str(error) == "Cannot copy out of meta tensor; no data!":
                raise NotImplementedError(
                    f"{error} Please use torch.nn.Module.to_empty() instead of torch.nn.Module.to() when moving module "
                    "from meta to a different device."
                ) from None
            raise

    return convert


def parse_to(args, kwargs):
    """(device, dtype, non_blocking, memory_format) from any of the three signatures of `to`."""
    if len(args) > 4:
        raise TypeError(f"to() takes from 0 to 4 positional arguments but {len(args)} were given")
    first = args[0] if args else None
    if isinstance(first, torch.Tensor) or "tensor" in kwargs:
        names = ("tensor", "non_blocking", "copy")
    elif isinstance(first, torch.dtype):
        names = ("dtype", "non_blocking", "copy")
    else:
        names = ("device", "dtype", "non_blocking", "copy")
    given = dict(zip(names, args))
    if len(args) > len(names) or given.keys() & kwargs or kwargs.keys() - {*names, "memory_format"}:
        raise _invalid(args, kwargs)
    given.update(kwargs)

    tensor, device, dtype = given.get("tensor"), given.get("device"), given.get("dtype")
    if tensor is not None:
        device, dtype = tensor.device, tensor.dtype
    if not (dtype is None or isinstance(dtype, torch.dtype)):
        raise _invalid(args, kwargs)
    if given.get("copy"):
        raise RuntimeError(".to() does not accept copy argument")
    if device is not None:
        device = torch.device(device)
    return device, dtype, given.get("non_blocking", False), given.get("memory_format")


def _invalid(args, kwargs):
    name = lambda value: "torch.dtype" if isinstance(value, torch.dtype) else type(value).__name__
    got = ", ".join(name(value) for value in args)
    if kwargs:
        got += ", " * bool(args) + "".join(f"{key}={name(value)}, " for key, value in reversed(kwargs.items()))
    return TypeError(
        f"to() received an invalid combination of arguments - got ({got}), but expected one of:\n{_SIGNATURES}"
    )
