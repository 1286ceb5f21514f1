"""Saving and loading of tensors and of whatever holds them, in PyTorch's file formats.

`load` can run no code: it reads files with an unpickler of its own that knows a fixed list of functions and classes,
to which `add_safe_globals` adds. ``weights_only=False`` lifts that, for files from a source that is trusted.
"""

import os
import pickle
from contextlib import contextmanager

from . import _archive, _legacy, _pickling
from ._options import (
    LoadEndianness,
    get_crc32_options,
    get_default_load_endianness,
    get_default_mmap_options,
    set_crc32_options,
    set_default_load_endianness,
    set_default_mmap_options,
    skip_data,
)
from ._places import (
    default_restore_location,
    location_tag,
    register_package,
    restorer,
    validate_cuda_device,
    validate_hpu_device,
)
from ._restricted import (
    RestrictedUnpickler,
    add_safe_globals,
    clear_safe_globals,
    get_safe_globals,
    globals_of,
    is_allowed,
    safe_globals,
    shown,
)
from ._types import (
    SourceChangeWarning,
    StorageType,
    _get_layout,
    check_module_version_greater_or_equal,
    mkdtemp,
    normalize_storage_type,
    storage_to_tensor_type,
)

# Types of arguments, for annotations.
FileLike = "str | os.PathLike[str] | typing.IO[bytes]"
MAP_LOCATION = "typing.Callable[[Storage, str], Storage] | torch.device | str | dict[str, str] | None"

__all__ = [
    "LoadEndianness",
    "SourceChangeWarning",
    "StorageType",
    "add_safe_globals",
    "check_module_version_greater_or_equal",
    "clear_safe_globals",
    "default_restore_location",
    "get_crc32_options",
    "get_default_load_endianness",
    "get_default_mmap_options",
    "get_safe_globals",
    "get_unsafe_globals_in_checkpoint",
    "load",
    "location_tag",
    "mkdtemp",
    "normalize_storage_type",
    "register_package",
    "safe_globals",
    "save",
    "set_crc32_options",
    "set_default_load_endianness",
    "set_default_mmap_options",
    "skip_data",
    "storage_to_tensor_type",
    "validate_cuda_device",
    "validate_hpu_device",
]
_get_layout.__module__ = __name__

DEFAULT_PROTOCOL = 2


def _is_path(f):
    return isinstance(f, (str, os.PathLike))


@contextmanager
def _opened(f, mode):
    """A file object for a path; a file object as it is, left open."""
    if _is_path(f):
        path = os.fspath(f)
        parent = os.path.dirname(path)
        if "w" in mode and parent and not os.path.isdir(parent):
            raise RuntimeError(f"Parent directory {parent} does not exist.")
        with open(path, mode) as file:
            yield file
        return
    needed = ("write",) if "w" in mode else ("read", "readline", "seek", "tell")
    for name in needed:
        if not hasattr(f, name):
            if "w" in mode:
                raise AttributeError("expected 'f' to be string, path, or a file-like object with a 'write' attribute")
            raise AttributeError(
                f"'{type(f).__name__}' object has no attribute '{name}'. You can only torch.load from a file that is "
                "seekable. Please pre-load the data into a buffer like io.BytesIO and try to load from it instead."
            )
    yield f


def save(
    obj,
    f,
    pickle_module=pickle,
    pickle_protocol=DEFAULT_PROTOCOL,
    _use_new_zipfile_serialization=True,
    _disable_byteorder_record=False,
):
    """Writes an object to a file (a path or a file object) that flambeau and PyTorch can `load`.

    Tensors that share memory still do so when loaded. Classes and functions are written by name.
    """
    if isinstance(f, (str, os.PathLike)):
        f = os.fspath(f)
    with _opened(f, "wb") as file:
        if _use_new_zipfile_serialization:
            name = os.path.splitext(os.path.basename(f))[0] if isinstance(f, str) else "archive"
            _archive.write(obj, file, name or "archive", pickle_module, pickle_protocol, _disable_byteorder_record)
        else:
            _legacy.write(obj, file, pickle_module, pickle_protocol)


def _forced(name):
    return os.environ.get(name, "0").lower() in ("1", "y", "yes", "true")


def load(f, map_location=None, pickle_module=None, *, weights_only=None, mmap=None, **pickle_load_args):
    """Reads what `save` wrote, here or in PyTorch, from a path or a seekable file object.

    `map_location` says where storages go: a device, a dictionary from tags to devices, or a function of a storage and
    its tag. With `mmap` the storages of a file at a path are mapped, not read. Unless `weights_only` is false, a file
    that asks for anything outside the list of safe functions and classes raises `pickle.UnpicklingError`.
    """
    if pickle_module is not None and weights_only:
        raise RuntimeError("Can not safely load weights when explicit pickle_module is specified")
    if weights_only is None:
        weights_only = pickle_module is None and not _forced("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD")
    if _forced("TORCH_FORCE_WEIGHTS_ONLY_LOAD"):
        if pickle_module is not None:
            raise RuntimeError("Can not safely load weights when explicit pickle_module is specified")
        weights_only = True
    encoding = pickle_load_args.setdefault("encoding", "utf-8")
    restore = restorer(map_location)

    if weights_only:

        def unpickler(file, persistent_load):
            return RestrictedUnpickler(file, persistent_load, encoding=encoding)

    else:

        def unpickler(file, persistent_load):
            return _pickling.trusted_unpickler(pickle_module or pickle, file, persistent_load, pickle_load_args)

    mmap = bool(mmap)
    if mmap and not _is_path(f):
        raise ValueError("f must be a file path in order to use the mmap argument")
    with _opened(f, "rb") as file:
        start = file.tell()
        try:
            if _archive.looks_like_one(file):
                return _archive.read(file, os.fspath(f) if mmap else None, unpickler, restore)
            if mmap:
                raise RuntimeError(
                    "mmap can only be used with files saved with `torch.save(_use_new_zipfile_serialization=True), "
                    "please torch.save your checkpoint with this option in order to use mmap."
                )
            file.seek(start)
            return _legacy.read(file, unpickler, restore)
        except pickle.UnpicklingError as error:
            if weights_only:
                raise pickle.UnpicklingError(_advice(str(error))) from None
            raise


def _advice(text):
    return (
        "Weights only load failed. " + text + "\n\nThe file was read with `weights_only=True`, the default, which "
        "accepts tensors, numbers, strings, containers of them and the functions and classes named with "
        "`torch.serialization.add_safe_globals`. `weights_only=False` accepts every file, but a file can then run any "
        "code: do it only if you trust its source."
    )


def get_unsafe_globals_in_checkpoint(f):
    """The names of the functions and classes in a file that `load` would refuse."""
    with _opened(f, "rb") as file:
        if not _archive.looks_like_one(file):
            raise ValueError("Expected input to be a checkpoint returned by torch.save")
        names = globals_of(_archive.pickle_of(file))
    return [shown(name) for name in dict.fromkeys(names) if not is_allowed(name)]
