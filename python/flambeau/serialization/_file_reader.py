"""`torch.PyTorchFileReader`: the records of a file written by `torch.save`, one at a time."""

import os

from .. import _C
from ..storage import UntypedStorage
from ._archive import _Reader


class PyTorchFileReader:
    """The records of the archive at a path, or in an open binary file."""

    def __init__(self, name_or_buffer, /):
        if isinstance(name_or_buffer, (str, bytes, os.PathLike)):
            try:
                self._file = open(name_or_buffer, "rb")
            except OSError as error:
                raise RuntimeError(
                    f"open file failed because of errno {error.errno} on fopen: {error.strerror}, "
                    f"file path: {os.fsdecode(name_or_buffer)}"
                ) from None
        else:
            self._file = name_or_buffer
        self._records = _Reader(self._file)

    def get_all_records(self):
        """The names of the records, in the file's order."""
        return list(self._records.records)

    def has_record(self, name):
        """Whether there is a record of this name."""
        return name in self._records

    def get_record_size(self, name):
        """How many bytes a record has."""
        return self._records.entry(name).file_size

    def get_record_offset(self, name):
        """Where in the file the bytes of a record begin."""
        return self._records.offset(name)

    def get_record(self, name):
        """The bytes of a record."""
        self._records.left = self._records.size  # each call may read what an earlier one has read
        return self._records.read(name, self.get_record_size(name))

    def get_storage_from_record(self, name, numel, dtype):
        """An empty tensor whose storage has the bytes of a record, which must be those of `numel` elements.

        `dtype` may be `torch.UntypedStorage` for bytes.
        """
        dtype = _C.uint8 if dtype is UntypedStorage else dtype
        size, expected = self.get_record_size(name), numel * dtype.itemsize
        if size != expected:
            raise RuntimeError(
                f"record size ({size} bytes) does not match expected size ({expected} bytes = {numel} elements * "
                f"{dtype.itemsize} bytes/element) for dtype {dtype}"
            )
        storage = UntypedStorage(size)
        self._records.left = self._records.size
        if size:
            self._records.read_into(name, memoryview(storage._bytes()))
        return storage._tensor(dtype, 0, [0], [1])

    def serialization_id(self):
        """The number that the writer gave to the file; empty for a file without."""
        name = ".data/serialization_id"
        return self.get_record(name).decode() if self.has_record(name) else ""


PyTorchFileReader.__module__ = "torch"
