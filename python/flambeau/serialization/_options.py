"""Settings of `save` and `load`."""

import enum
import threading


class LoadEndianness(enum.Enum):
    """The byte order that `load` assumes of files that do not say theirs."""

    NATIVE = 1
    LITTLE = 2
    BIG = 3


class _State(threading.local):
    skip = False


_state = _State()
_settings = {"endianness": None, "crc32": True, "mmap": None}


def set_default_load_endianness(endianness):
    """Sets the byte order assumed of files without a record of it."""
    if endianness is not None and not isinstance(endianness, LoadEndianness):
        raise TypeError("Invalid argument type in function set_default_load_endianness")
    _settings["endianness"] = endianness


def get_default_load_endianness():
    """The byte order assumed of files without a record of it; None means little."""
    return _settings["endianness"]


def set_crc32_options(compute_crc32):
    """Whether `save` computes checksums of the records, which takes a little time."""
    _settings["crc32"] = bool(compute_crc32)


def get_crc32_options():
    """Whether `save` computes checksums."""
    return _settings["crc32"]


def _flags():
    import mmap

    return mmap.MAP_PRIVATE, mmap.MAP_SHARED


def get_default_mmap_options():
    """The flag with which `load` maps files: ``MAP_PRIVATE`` unless set otherwise."""
    return _flags()[0] if _settings["mmap"] is None else _settings["mmap"]


class set_default_mmap_options:
    """Sets the flag with which `load` maps files, for good or for a ``with`` block: ``mmap.MAP_PRIVATE`` or
    ``mmap.MAP_SHARED``."""

    def __init__(self, flags):
        if flags not in _flags():
            raise ValueError(
                f"Invalid argument in function set_default_mmap_options, expected mmap.MAP_PRIVATE or mmap.MAP_SHARED, "
                f"but got {flags}"
            )
        self.prev = get_default_mmap_options()
        _settings["mmap"] = flags

    def __enter__(self):
        pass

    def __exit__(self, *_):
        _settings["mmap"] = self.prev


class skip_data:
    """In a ``with`` block, `save` leaves the space of storages without writing their bytes, and `load` leaves storages
    zero."""

    def __init__(self, materialize_fake_tensors=False):
        self.materialize_fake_tensors = materialize_fake_tensors

    def __enter__(self):
        self._previous, _state.skip = _state.skip, True

    def __exit__(self, *_):
        _state.skip = self._previous


def skipping():
    """Whether a `skip_data` block is active."""
    return _state.skip
