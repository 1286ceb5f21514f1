"""Names for type annotations."""

import os
from typing import IO, Any

from ._C import Tensor, device
from ._classes import Size

__all__ = ["Device", "FileLike", "Number", "Size", "Storage", "Tensor"]

Number = int | float | bool
Device = device | str | int | None
FileLike = str | os.PathLike[str] | IO[bytes]


class Storage:
    """What storages have in common, for annotations."""

    _cdata: int
    device: device
    dtype: Any

    def __deepcopy__(self, memo):
        raise NotImplementedError

    def element_size(self):
        """Bytes of one element."""
        raise NotImplementedError

    def is_shared(self):
        """Whether processes share the memory."""
        raise NotImplementedError

    def share_memory_(self):
        """Moves the memory to where processes share it."""
        raise NotImplementedError

    def nbytes(self):
        """The number of bytes."""
        raise NotImplementedError

    def cpu(self):
        """This storage on the CPU."""
        raise NotImplementedError

    def data_ptr(self):
        """The address of the first byte."""
        raise NotImplementedError
