"""PyTorch's operators by their names in its core: `torch.ops.aten.add.Tensor` and the like, as far as they are here."""

import os
import types

from . import _C
from ._C import Tensor
from ._library.definitions import OPERATORS

__all__ = ["aten"]

_native = _C._functions("torch")

# Overloads by which operators are called; each calls the one function, which tells them apart by the arguments.
_OVERLOADS = frozenset(
    """default Tensor Scalar int dim dims dim_IntList self self_int stable list start start_step start_Step
    Tensor_Scalar Scalar_Tensor Tensor_Tensor Tensor_mode Scalar_mode ScalarOpt_dim correction names out grad_input
    other other_dim dim_max unary_out""".split()
)

# Operators that stand in tables of other packages and that no tensor here can reach.
_ABSENT = frozenset({"_sparse_addmm"})


def _slice(self, dim=0, start=None, end=None, step=1):
    dim += self.dim() if dim < 0 else 0
    return self[(slice(None),) * dim + (slice(start, end, step),)]


def _alias(self):
    return self[...]


def _index(self, indices):
    return self[tuple(slice(None) if index is None else index for index in indices)]


def _to_copy(self, *, dtype=None, layout=None, device=None, pin_memory=None, non_blocking=False, memory_format=None):
    more = {} if memory_format is None else {"memory_format": memory_format}
    dtype, device = dtype or self.dtype, device or self.device
    return self.to(device=device, dtype=dtype, non_blocking=bool(non_blocking), copy=True, **more)


def _pin_memory(self, device=None):
    return self.pin_memory()


def _convolution(
    input, weight, bias, stride, padding, dilation, transposed, output_padding, groups, benchmark=False, deterministic=False,
    cudnn_enabled=False, allow_tf32=False,
):  # fmt: skip
    return _native["convolution"](input, weight, bias, stride, padding, dilation, transposed, output_padding, groups)


_OWN = {
    "_convolution": _convolution,
    "alias": _alias,
    "slice": _slice,
    "index": _index,
    "_to_copy": _to_copy,
    "_pin_memory": _pin_memory,
}


class OpOverload:
    """An operator for one kind of arguments."""

    def __init__(self, packet, name):
        self._packet, self._overloadname, self.__name__ = packet, name, f"{packet.__name__}.{name}"
        self.overloadpacket, self.namespace = packet, packet._namespace

    def __call__(self, *args, **kwargs):
        """Calls the operator."""
        return self._packet(*args, **kwargs)

    def name(self):
        """The operator's full name, the overload in it unless it is the default one."""
        full = self._packet._qualified_op_name
        return full + ("" if self._overloadname == "default" else f".{self._overloadname}")

    @property
    def _schema(self):
        if not hasattr(self._packet._function, "schema"):
            raise AttributeError(f"flambeau does not keep the schema of {self}")
        return self._packet._function.schema

    def __repr__(self):
        return f"<OpOverload(op='{self._packet}', overload='{self._overloadname}')>"

    def __str__(self):
        return f"{self.namespace}.{self.__name__}"


class OpOverloadPacket:
    """An operator, for whatever arguments it takes; its overloads are attributes."""

    def __init__(self, name, function, namespace="aten"):
        self.__name__, self._function, self._namespace = name, function, namespace
        self._qualified_op_name = f"{namespace}::{name}"

    def __call__(self, *args, **kwargs):
        """Calls the operator."""
        if self._function is None:
            raise NotImplementedError(f"flambeau does not have the operator aten::{self.__name__} (yet)")
        return self._function(*args, **kwargs)

    def __getattr__(self, name):
        if name not in _OVERLOADS:
            raise AttributeError(f"The underlying op of '{self}' has no overload name '{name}'")
        overload = self.__dict__[name] = OpOverload(self, name)
        return overload

    def __repr__(self):
        return f"<OpOverloadPacket(op='{self}')>"

    def __str__(self):
        return f"{self._namespace}.{self.__name__}"


def _find(name):
    # Only operators of the core: functions written in Python may take their arguments in another order.
    function = _OWN.get(name) or _native.get(name)
    if function is None:
        method = Tensor.__dict__.get(name) or getattr(Tensor, name, None)
        if method is not None and not isinstance(method, (types.FunctionType, property)) and callable(method):
            function = method
    return function


class _Namespace:
    """Operators of one library."""

    def __init__(self, name):
        self._name = name

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        own = OPERATORS.get(f"{self._name}::{name}")
        if own is not None:  # not kept: a library may take it back
            return OpOverloadPacket(name, own, self._name)
        function = _find(name) if self._name == "aten" else None
        if function is None and not (self._name == "aten" and name in _ABSENT):
            raise AttributeError(f"'_OpNamespace' '{self._name}' object has no attribute '{name}'")
        packet = self.__dict__[name] = OpOverloadPacket(name, function)
        return packet


aten = _Namespace("aten")


loaded_libraries = set()


def load_library(path):
    """Takes the operators of a compiled library: of torchvision's, which are written here again; of no other.

    OSError for others: they are linked to PyTorch's own libraries, and cannot be read without those.
    """
    if path is None or path in ("", b""):
        return
    path = os.path.realpath(path)
    folder, name = os.path.split(path)
    if not os.path.exists(path):
        raise OSError(f"Could not load this library: {path}")
    if os.path.basename(folder) != "torchvision" or name.partition(".")[0] not in ("_C", "_C_stable"):
        raise OSError(
            f"Could not load this library: {path}. It is compiled for PyTorch's own libraries, which flambeau does not have."
        )
    from ._library import vision

    vision.define()
    loaded_libraries.add(path)


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    found = globals()[name] = _Namespace(name)
    return found
