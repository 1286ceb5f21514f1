"""The file format of PyTorch before 1.6: pickles one after the other, then the bytes of the storages."""

import io
import pickle
import struct
import sys

from .. import _C
from .._typed_storage import TypedStorage, _legacy_class
from .._untyped_storage import UntypedStorage
from . import _options
from ._pickling import StorageIds, brief, checked_id, dtype_of_class, pickler

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
PROTOCOL_VERSION = 1001


def _no_storages(saved_id):
    raise pickle.UnpicklingError("the header of the file refers to a storage")


def read(file, unpickler, restore):
    """The object of a file that begins here."""
    start = file.tell()
    size = file.seek(0, io.SEEK_END) - start
    file.seek(start)
    if size > 262:
        head = file.read(262)
        file.seek(start)
        if head[257:262] == b"ustar":
            raise RuntimeError("the file is in the tar format of PyTorch before 0.1.10, which flambeau does not read")

    def header():
        return unpickler(file, _no_storages).load()

    if header() != MAGIC_NUMBER:
        raise RuntimeError("Invalid magic number; corrupt file?")
    version = header()
    if version != PROTOCOL_VERSION:
        raise RuntimeError(f"Invalid protocol version: {brief(version)}")
    facts = header()
    little = facts.get("little_endian", True) if isinstance(facts, dict) else True
    swapped = bool(little) != (sys.byteorder == "little")
    left = [size]
    loaded = {}  # key: (storage of the bytes, storage where they belong, number of elements, dtype)

    def persistent_load(saved_id):
        kind, key, tag, count = checked_id(saved_id)
        dtype = dtype_of_class(kind) or _C.uint8
        window = saved_id[5] if len(saved_id) > 5 else None
        if key not in loaded:
            nbytes = count * dtype.itemsize
            left[0] -= nbytes
            if left[0] < 0:
                raise RuntimeError("the file declares storages larger than itself; corrupt file?")
            raw = UntypedStorage(nbytes)
            place = restore(raw, tag)
            loaded[key] = raw, place.untyped(), count, dtype
        storage = loaded[key][1]
        if window is not None:
            storage = _window(storage, window, dtype)
        return TypedStorage(wrap_storage=storage, dtype=dtype, _internal=True)

    out = unpickler(file, persistent_load).load()
    keys = header()
    plain = isinstance(keys, list) and len(keys) == len(loaded) and all(type(key) in (str, int) for key in keys)
    if not plain or set(map(str, keys)) != set(loaded):
        raise RuntimeError("the file does not hold the storages that it refers to; corrupt file?")
    for key in keys:
        _fill(file, *loaded[str(key)], "<q" if little else ">q", swapped)
    return out


def _fill(file, raw, place, count, dtype, order, swapped):
    header = file.read(8)
    if len(header) < 8 or struct.unpack(order, header)[0] != count:
        raise RuntimeError("the file's storages have other sizes than it declares; corrupt file?")
    if raw.nbytes():
        target, done = memoryview(raw._bytes()), 0
        while done < len(target):
            chunk = file.read(min(len(target) - done, 1 << 24))
            if not chunk:
                raise RuntimeError("unexpected EOF: the file might be corrupted")
            target[done : done + len(chunk)] = chunk
            done += len(chunk)
    if swapped:
        raw.byteswap(dtype)
    if place is not raw and place.device.type != "meta":
        place.copy_(raw)


def _window(storage, window, dtype):
    """A part of a storage that very old files give a name of its own: (key, first element, number of elements)."""
    if not (isinstance(window, tuple) and len(window) == 3 and type(window[1]) is type(window[2]) is int):
        raise pickle.UnpicklingError("the file has a malformed view of a storage")
    start, stop = window[1] * dtype.itemsize, (window[1] + window[2]) * dtype.itemsize
    if not 0 <= start <= stop <= storage.nbytes():
        raise RuntimeError("the file has a view that reaches beyond its storage; corrupt file?")
    return storage[start:stop]


def write(obj, file, pickle_module, protocol):
    """Writes an object in this format."""
    ids = StorageIds(lambda number, storage: str(storage._cdata))
    counts = {}

    def persistent_id(value):
        found = ids.of(value)
        if found is None:
            return None
        counts[found[2]] = found[4]
        tag, kind, *rest = found
        # The format knows storages of elements only: bytes are those of uint8.
        return tag, _legacy_class("ByteStorage") if kind is UntypedStorage else kind, *rest, None

    little = sys.byteorder == "little"
    sizes = {"short": 2, "int": 4, "long": 4}
    facts = {"protocol_version": PROTOCOL_VERSION, "little_endian": little, "type_sizes": sizes}
    for header in (MAGIC_NUMBER, PROTOCOL_VERSION, facts):
        pickle.dump(header, file, protocol)
    pickler(pickle_module, file, protocol, persistent_id).dump(obj)
    storages = {key: storage for key, storage in ids.storages.values()}
    keys = sorted(storages)
    pickle.dump(keys, file, protocol)
    for key in keys:
        file.write(struct.pack("<q" if little else ">q", counts[key]))
        storage = storages[key].cpu()
        if storage.nbytes():
            file.write(bytes(storage.nbytes()) if _options.skipping() else memoryview(storage._bytes()))
