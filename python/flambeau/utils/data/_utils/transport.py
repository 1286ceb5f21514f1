"""How batches pass from one process to another: large pieces of memory are written and read as they are, not copied into a pickle."""

import copyreg
import io
import os
import pickle
import struct

from flambeau import _C
from flambeau._untyped_storage import UntypedStorage, _storage_of

# Below this a copy costs less than a piece of its own.
_SMALL = 1 << 12
_RAW = os.name == "posix"


def _reduce_storage(storage):
    if storage.device.type != "cpu" or storage.nbytes() < _SMALL:
        return storage.__reduce__()
    return _storage_over, (pickle.PickleBuffer(memoryview(storage._bytes())),)


def _storage_over(view):
    """The storage whose memory a buffer is: a tensor, or a read-only view of one."""
    if isinstance(view, _C.Tensor):
        return _storage_of(view)
    return _storage_of(_C._frombuffer(view, _C.uint8, view.nbytes, 0))


def packed(value):
    """A value as (bytes, pieces of memory)."""
    file, pieces = io.BytesIO(), []
    pickler = pickle.Pickler(file, 5, buffer_callback=pieces.append)
    pickler.dispatch_table = {**copyreg.dispatch_table, UntypedStorage: _reduce_storage}
    pickler.dump(value)
    pieces = [piece.raw() for piece in pieces]
    sizes = struct.pack(f"<I{len(pieces)}Q", len(pieces), *(piece.nbytes for piece in pieces))
    return sizes + file.getvalue(), pieces


def send(connection, message):
    """Sends what `packed` made over a connection of multiprocessing."""
    data, pieces = message
    connection.send_bytes(data)
    for piece in pieces:
        if not _RAW:
            connection.send_bytes(piece)
            continue
        while piece:
            piece = piece[os.write(connection.fileno(), piece) :]


def receive(connection):
    """The next value of a connection; EOFError if it ends before."""
    data = memoryview(connection.recv_bytes())
    (count,) = struct.unpack_from("<I", data)
    sizes = struct.unpack_from(f"<{count}Q", data, 4)
    pieces = []
    for size in sizes:
        pieces.append(UntypedStorage(size)._bytes() if size else bytearray())
        piece = memoryview(pieces[-1])
        if not _RAW:
            connection.recv_bytes_into(piece)
            continue
        done = 0
        while done < size:
            n = os.readv(connection.fileno(), [piece[done:]])
            if not n:
                raise EOFError("the other process ended")
            done += n
    return pickle.loads(data[4 + 8 * count :], buffers=pieces)
