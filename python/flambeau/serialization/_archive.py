"""PyTorch's file format: a zip archive of a pickle and a record of bytes for each storage.

The layout is that of PyTorch's files: records are stored uncompressed and begin at multiples of 64 bytes.
"""

import io
import struct
import sys
import zipfile
import zlib

from .. import _C
from .._typed_storage import TypedStorage
from .._untyped_storage import UntypedStorage, _storage_of
from . import _options
from ._pickling import StorageIds, checked_id, dtype_of_class, pickler

ALIGNMENT = 64
# A pickle beyond this is no checkpoint's; compressed ones could grow without end.
_LARGEST_PICKLE = 1 << 31
# What a compressed byte can stand for at most.
_DENSEST = 1032


def looks_like_one(file):
    """Whether a zip archive begins here."""
    start = file.tell()
    head = file.read(4)
    file.seek(start)
    return head == b"PK\x03\x04"


class _Reader:
    """The records of an archive, each checked to lie within the file."""

    def __init__(self, file):
        self.file = file
        try:
            self.zip = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, ValueError, struct.error, OSError, NotImplementedError) as error:
            raise _unreadable(error) from None
        entries = self.zip.infolist()
        if not entries or "/" not in entries[0].filename:
            raise _unreadable("it has no records")
        prefix = entries[0].filename.split("/", 1)[0] + "/"
        self.records = {}
        for entry in entries:
            name = entry.filename.removeprefix(prefix)
            if name in self.records:
                raise _unreadable(f"it has two records named {name}")
            self.records[name] = entry
        self.size = self.left = file.seek(0, io.SEEK_END)

    def __contains__(self, name):
        return name in self.records

    def entry(self, name):
        """The directory entry of a record whose size can be trusted."""
        entry = self.records.get(name)
        if entry is None:
            raise RuntimeError(f"PytorchStreamReader failed locating file {name}: file not found")
        stored = entry.compress_type == zipfile.ZIP_STORED
        if entry.flag_bits & 1 or (stored and entry.compress_size != entry.file_size):
            raise _unreadable(f"its record {name} is malformed")
        if not stored and entry.compress_type != zipfile.ZIP_DEFLATED:
            raise _unreadable(f"its record {name} is compressed in a way that PyTorch's files are not")
        if entry.file_size > (entry.compress_size + 1) * _DENSEST:
            raise _unreadable(f"its record {name} declares more bytes than it can have")
        if entry.header_offset < 0 or entry.header_offset + entry.compress_size > self.size:
            raise _unreadable(f"its record {name} reaches beyond the end of the file")
        return entry

    def read(self, name, limit):
        """The bytes of a small record."""
        entry = self.entry(name)
        if entry.file_size > limit:
            raise _unreadable(f"its record {name} is too large")
        data = bytearray(entry.file_size)
        self.read_into(name, memoryview(data))
        return bytes(data)

    def read_into(self, name, target):
        """Fills a buffer with the first bytes of a record. Checksums are not compared: files may be without them."""
        entry = self.entry(name)
        if entry.file_size < len(target):
            raise RuntimeError(
                f"the file declares {len(target)} bytes for storage {name}, but its record has {entry.file_size}"
            )
        # Records of the same bytes would take memory without end.
        self.left -= entry.compress_size
        if self.left < 0:
            raise _unreadable("its records lie over one another")
        if entry.compress_type == zipfile.ZIP_STORED:
            self.file.seek(self.offset(name))
            _fill(self.file, target, name)
            return
        try:
            with self.zip.open(entry) as stream:
                _fill(stream, target, name)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            raise _unreadable(error) from None

    def offset(self, name):
        """Where in the file the bytes of a record begin that is not compressed."""
        entry = self.entry(name)
        if entry.compress_type != zipfile.ZIP_STORED:
            raise RuntimeError("mmap can only be used with files whose records are not compressed")
        self.file.seek(entry.header_offset)
        header = self.file.read(30)
        if len(header) < 30 or header[:4] != b"PK\x03\x04":
            raise _unreadable(f"its record {name} is malformed")
        names, extra = struct.unpack("<HH", header[26:30])
        start = entry.header_offset + 30 + names + extra
        if start + entry.file_size > self.size:
            raise _unreadable(f"its record {name} reaches beyond the end of the file")
        return start


def _fill(stream, target, name):
    done = 0
    while done < len(target):
        if hasattr(stream, "readinto"):
            n = stream.readinto(target[done:])
        else:
            chunk = stream.read(min(len(target) - done, 1 << 24))
            n = len(chunk)
            target[done : done + n] = chunk
        if not n:
            raise _unreadable(f"its record {name} ends early")
        done += n


def _unreadable(why):
    return RuntimeError(
        f"PytorchStreamReader failed reading zip archive: {why}. The file is corrupted, or was not written by "
        "torch.save."
    )


def pickle_of(file):
    """The pickle of an archive."""
    return _Reader(file).read("data.pkl", _LARGEST_PICKLE)


def _swapped(reader):
    """Whether the bytes of elements are in the other order than here."""
    if "byteorder" in reader:
        order = reader.read("byteorder", 16)
        if order not in (b"little", b"big"):
            raise ValueError("Unknown endianness type: " + repr(order.decode("ascii", "replace")))
        order = order.decode("ascii")
    else:
        assumed = _options.get_default_load_endianness()
        order = {None: "little", "NATIVE": sys.byteorder}.get(
            assumed and assumed.name, assumed and assumed.name.lower()
        )
    return order != sys.byteorder


def _map(path, mode):
    import mmap

    if mode == mmap.MAP_SHARED:
        with open(path, "r+b") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_WRITE)
    with open(path, "rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)


def read(file, path, unpickler, restore):
    """The object of an archive. With a path, storages are mapped from the file there."""
    reader = _Reader(file)
    if "constants.pkl" in reader and "data.pkl" in reader:
        raise RuntimeError(
            "the file is a TorchScript archive, written by torch.jit.save; flambeau has no torch.jit.load"
        )
    swapped = _swapped(reader)
    mapped = _map(path, _options.get_default_mmap_options()) if path is not None else None
    loaded = {}

    def bytes_of(key, nbytes):
        name = "data/" + key
        if _options.skipping() or not nbytes:
            return UntypedStorage(nbytes)
        if mapped is not None:
            if reader.entry(name).file_size < nbytes:
                raise RuntimeError(f"the file declares {nbytes} bytes for storage {name}, but its record has fewer")
            return _storage_of(_C._frombuffer(mapped, _C.uint8, nbytes, reader.offset(name)))
        # Looked at before memory is allocated for what a file only claims to have.
        if reader.entry(name).file_size < nbytes:
            raise RuntimeError(f"the file declares {nbytes} bytes for storage {name}, but its record has fewer")
        storage = UntypedStorage(nbytes)
        reader.read_into(name, memoryview(storage._bytes()))
        return storage

    def persistent_load(saved_id):
        kind, key, tag, count = checked_id(saved_id)
        dtype = dtype_of_class(kind) or _C.uint8
        nbytes = count * dtype.itemsize
        if key not in loaded:
            storage = bytes_of(key, nbytes)
            if swapped:
                storage.byteswap(dtype)
            storage = restore(storage, tag)
            loaded[key] = storage if not isinstance(storage, TypedStorage) else storage.untyped()
        storage = loaded[key]
        return TypedStorage(wrap_storage=storage, dtype=dtype, _internal=True)

    data = reader.read("data.pkl", _LARGEST_PICKLE)
    return unpickler(io.BytesIO(data), persistent_load).load()


class _Writer:
    def __init__(self, file, name):
        self.zip = zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True)
        self.start = self.zip.fp.tell()
        self.name = name

    def put(self, name, size, chunks):
        """Writes a record whose bytes begin at a multiple of the alignment."""
        info = zipfile.ZipInfo(f"{self.name}/{name}")
        info.file_size = size
        large = size * 1.05 > zipfile.ZIP64_LIMIT
        before = self.zip.fp.tell() - self.start + 30 + len(info.filename.encode()) + 4 + (20 if large else 0)
        padding = -before % ALIGNMENT
        info.extra = b"FB" + struct.pack("<H", padding) + b"Z" * padding
        with self.zip.open(info, "w", force_zip64=large) as stream:
            for chunk in chunks:
                stream.write(chunk)


def _zeros(n):
    block = bytes(1 << 20)
    for start in range(0, n, len(block)):
        yield block[: n - start]


def write(obj, file, name, pickle_module, protocol, no_byteorder):
    """Writes an object as an archive."""
    ids = StorageIds(lambda number, storage: str(number))
    data = io.BytesIO()
    pickler(pickle_module, data, protocol, ids.of).dump(obj)
    data = data.getvalue()
    writer = _Writer(file, name)

    def put(record, content):
        writer.put(record, len(content), (content,))

    put("data.pkl", data)
    put(".format_version", b"1")
    put(".storage_alignment", str(ALIGNMENT).encode())
    if not no_byteorder:
        put("byteorder", sys.byteorder.encode())
    digest = zlib.crc32(data)
    for key, storage in ids.storages.values():
        size = storage.nbytes()
        if _options.skipping():
            writer.put("data/" + key, size, _zeros(size))
            continue
        storage = storage.cpu()
        content = memoryview(storage._bytes()) if size else b""
        digest = zlib.crc32(content, digest) if _options.get_crc32_options() else digest ^ size
        put("data/" + key, content)
    put("version", b"3\n")
    put(".data/serialization_id", f"{zlib.crc32(data):020d}{digest:020d}".encode())
    writer.zip.close()
