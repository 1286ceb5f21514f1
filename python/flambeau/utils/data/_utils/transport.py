"""How batches pass from one process to another: large pieces of memory through areas that both processes map, not in a pickle.

The sender copies the pieces of a message into an area and names it; the receiver copies them out and gives the area back, to be
used again. Nothing is mapped anew for each batch, and what goes over the connection is short.
"""

import collections
import copyreg
import io
import os
import pickle
import struct
from multiprocessing import reduction

from flambeau import _C
from flambeau._typed_storage import TypedStorage
from flambeau._untyped_storage import UntypedStorage, _storage_of
from flambeau.multiprocessing.reductions import Mapping, new_mapping, reduce_typed_storage

# Below this a copy costs less than a piece of its own, and pieces together less than an area.
_SMALL = 1 << 12
_FEW = 1 << 15
# Pieces begin with cache lines.
_LINE = 64
_HEAD = struct.Struct("<IqI")
_NONE = -1


def _reduce_storage(storage):
    if storage.device.type != "cpu" or storage.nbytes() < _SMALL:
        return storage.__reduce__()
    return _storage_over, (pickle.PickleBuffer(memoryview(storage._bytes())),)


def _storage_over(view):
    """The storage whose memory a buffer is: a tensor, or a read-only view of one."""
    if isinstance(view, _C.Tensor):
        return _storage_of(view)
    return _storage_of(_C._frombuffer(view, _C.uint8, view.nbytes, 0))


def _places(sizes):
    """Where pieces begin in an area, and the length of all."""
    places, end = [], 0
    for size in sizes:
        places.append(end)
        end += -(-size // _LINE) * _LINE
    return places, end


class Freed:
    """Says that an area may be used again."""

    def __init__(self, number):
        self.number = number


class Areas:
    """The areas of a sender. Another thread may give them back."""

    def __init__(self):
        self._mappings = {}
        self._free = collections.deque()

    def give_back(self, number):
        """The receiver has copied what was in the area."""
        self._free.append(number)

    def take(self, nbytes):
        """`(number, mapping, fresh)` of a free area of that length; one that is too short is made anew."""
        number = self._free.popleft() if self._free else len(self._mappings)
        mapping = self._mappings.get(number)
        if mapping is not None and len(mapping) >= nbytes:
            return number, mapping, False
        mapping = self._mappings[number] = new_mapping(nbytes)
        return number, mapping, True


def packed(value, areas=None):
    """A value as a message: bytes, pieces that follow them, and the descriptor of a fresh area."""
    file, pieces = io.BytesIO(), []
    pickler = pickle.Pickler(file, 5, buffer_callback=pieces.append)
    forms = {TypedStorage: reduce_typed_storage, UntypedStorage: _reduce_storage}
    pickler.dispatch_table = {**copyreg.dispatch_table, **forms}
    pickler.dump(value)
    pieces = [piece.raw() for piece in pieces]
    sizes = [piece.nbytes for piece in pieces]
    places, nbytes = _places(sizes)
    number, descriptor = _NONE, None
    if areas is not None and os.name == "posix" and nbytes >= _FEW:
        number, mapping, fresh = areas.take(nbytes)
        with memoryview(mapping) as area:
            for place, piece in zip(places, pieces):
                area[place : place + piece.nbytes] = piece
        pieces, descriptor = [], mapping.fd if fresh else None
    head = _HEAD.pack(len(sizes), number, descriptor is not None) + struct.pack(f"<{len(sizes)}Q", *sizes)
    return head + file.getvalue(), pieces, descriptor


def send(connection, message):
    """Sends what `packed` made over a connection of multiprocessing."""
    data, pieces, descriptor = message
    connection.send_bytes(data)
    if descriptor is not None:
        reduction.send_handle(connection, descriptor, None)
    for piece in pieces:
        connection.send_bytes(piece)


def receive(connection, areas):
    """The next value of a connection, and the number of the area that it came in if any; `areas` are the known ones.

    EOFError if the connection ends before.
    """
    data = memoryview(connection.recv_bytes())
    count, number, fresh = _HEAD.unpack_from(data)
    sizes = struct.unpack_from(f"<{count}Q", data, _HEAD.size)
    pieces = [UntypedStorage(size)._bytes() if size else bytearray() for size in sizes]
    if number == _NONE:
        for piece in pieces:
            connection.recv_bytes_into(memoryview(piece))
    else:
        if fresh:
            descriptor = reduction.recv_handle(connection)
            areas[number] = Mapping(descriptor, os.fstat(descriptor).st_size)
        with memoryview(areas[number]) as area:
            for place, piece in zip(_places(sizes)[0], pieces):
                view = memoryview(piece)
                view[:] = area[place : place + view.nbytes]
    value = pickle.loads(data[_HEAD.size + 8 * count :], buffers=pieces)
    return value, None if number == _NONE else number
