"""Names for type annotations."""

import os
from collections.abc import Sequence
from typing import IO, Any

from ._C import Tensor, device, dtype, layout
from ._classes import Size, SymBool, SymFloat, SymInt

__all__ = ["Device", "FileLike", "Number", "Size", "Storage", "Tensor"]

Number = int | float | bool
Device = device | str | int | None
FileLike = str | os.PathLike[str] | IO[bytes]

# The names that annotations have for Python's types beside operators of the same names, and for several at once.
_bool, _bytes, _complex, _float, _int, _str = bool, bytes, complex, float, int, str
_device, _dtype, _layout = device, dtype, layout
_Number = (int, float, bool)
_size = Size | list[int] | tuple[int, ...]
_symsize = Size | Sequence[int | SymInt]
_TensorOrTensors = Tensor | Sequence[Tensor]
_TensorOrOptionalTensors = Tensor | Sequence[Tensor | None]
BoolLikeType, FloatLikeType, IntLikeType = bool | SymBool, float | SymFloat, int | SymInt
PySymType = SymInt | SymFloat | SymBool
py_sym_types = (SymInt, SymFloat, SymBool)


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
