import builtins as _b
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar, overload

import numpy as _np

_int: TypeAlias = _b.int
_float: TypeAlias = _b.float
_bool: TypeAlias = _b.bool
_complex: TypeAlias = _b.complex
_str: TypeAlias = _b.str
# Numbers also come as NumPy scalars and as tensors of one element.
_Scalar: TypeAlias = _b.int | _b.float | _b.bool | _b.complex | _np.number[Any] | "Tensor"
_Size: TypeAlias = Sequence[_b.int]
_Self = TypeVar("_Self", bound="Tensor")

class dtype:
    is_floating_point: _bool
    is_complex: _bool
    is_signed: _bool
    itemsize: _int
    def to_real(self) -> dtype: ...
    def to_complex(self) -> dtype: ...

class layout: ...
class memory_format: ...

class device:
    type: _str
    index: _int | None
    def __init__(self, type: _str | _int | device, index: _int | None = None) -> None: ...
    def __enter__(self) -> device: ...
    def __exit__(self, *args: object) -> None: ...

class Generator:
    device: _Device
    def __init__(self, device: _Device = ...) -> None: ...
    def manual_seed(self, seed: _int) -> Generator: ...
    def initial_seed(self) -> _int: ...
    def seed(self) -> _int: ...
    def get_state(self) -> Tensor: ...
    def set_state(self, new_state: Tensor) -> Generator: ...

_dtype: TypeAlias = dtype
_layout: TypeAlias = layout
_memory_format: TypeAlias = memory_format
_device: TypeAlias = device
_Device: TypeAlias = device | _b.str | _b.int

uint8: dtype
int8: dtype
int16: dtype
int32: dtype
int64: dtype
uint16: dtype
uint32: dtype
uint64: dtype
float16: dtype
bfloat16: dtype
float32: dtype
float64: dtype
complex64: dtype
complex128: dtype
strided: layout
sparse_coo: layout
sparse_csr: layout
contiguous_format: memory_format
preserve_format: memory_format
channels_last: memory_format
channels_last_3d: memory_format

def get_default_dtype() -> dtype: ...
def set_default_dtype(d: dtype) -> None: ...
def get_default_device() -> device: ...
def is_grad_enabled() -> _bool: ...
def is_inference_mode_enabled() -> _bool: ...
def result_type(tensor1: Tensor | _Scalar, tensor2: Tensor | _Scalar) -> dtype: ...
def promote_types(type1: dtype, type2: dtype) -> dtype: ...
def can_cast(from_: dtype, to: dtype) -> _bool: ...
def tensor(
    data: Any,
    *,
    dtype: _dtype | None = None,
    device: _Device | None = None,
    requires_grad: _bool = False,
    pin_memory: _bool = False,
) -> Tensor: ...
def as_tensor(data: Any, dtype: _dtype | None = None, device: _Device | None = None) -> Tensor: ...
def from_numpy(ndarray: _np.ndarray[Any, Any]) -> Tensor: ...
def set_printoptions(
    precision: _int | None = None,
    threshold: _float | None = None,
    edgeitems: _int | None = None,
    linewidth: _int | None = None,
    profile: _str | None = None,
    sci_mode: _bool | None = None,
) -> None: ...

class Node:
    next_functions: tuple[tuple[Node | None, _int], ...]
    metadata: dict[Any, Any]
    def name(self) -> _str: ...
    def register_hook(self, hook: Callable[..., Any]) -> Any: ...
    def register_prehook(self, hook: Callable[..., Any]) -> Any: ...

