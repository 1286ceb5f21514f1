"""flambeau: PyTorch's programming model on a Rust core. ``import flambeau as torch``."""

import importlib as _importlib
import math as _math
import sys as _sys
import types as _types

from . import _C
from ._C import *  # noqa: F403
from ._C import Tensor, device, dtype, layout, memory_format  # noqa: F401
from ._absent_dtypes import ABSENT as _ABSENT
from ._classes import (  # noqa: F401
    Size,
    SymBool,
    SymFloat,
    SymInt,
    finfo,
    iinfo,
)

__version__ = "0.1.0"

pi, e, inf, nan, newaxis = _math.pi, _math.e, _math.inf, _math.nan, None

# dtypes and their other names
float, double, half = _C.float32, _C.float64, _C.float16
int, long, short = _C.int32, _C.int64, _C.int16
cfloat, cdouble = _C.complex64, _C.complex128
bool, uint8, int8, int16, int32, int64 = _C.bool, _C.uint8, _C.int8, _C.int16, _C.int32, _C.int64
uint16, uint32, uint64 = _C.uint16, _C.uint32, _C.uint64
float16, bfloat16, float32, float64 = _C.float16, _C.bfloat16, _C.float32, _C.float64
complex64, complex128 = _C.complex64, _C.complex128
strided, sparse_coo, sparse_csr = _C.strided, _C.sparse_coo, _C.sparse_csr
legacy_contiguous_format = _C.contiguous_format
contiguous_format, preserve_format = _C.contiguous_format, _C.preserve_format
channels_last, channels_last_3d = _C.channels_last, _C.channels_last_3d

globals().update(_ABSENT)
globals().update(_C._functions("torch"))
for _name, _function in _C._functions("_C").items():
    setattr(_C, _name, _function)

# Quick forms for optimizers; `_foreach` has them with all that PyTorch lets be given.
for _name in ("_foreach_add_", "_foreach_mul_", "_foreach_norm"):
    setattr(_C, _name, globals().pop(_name))

# The namespace of native functions that `nn.functional` builds on.
_C._nn = _types.SimpleNamespace(**_C._functions("nn.functional"))
_C._nn.log_sigmoid = _C._nn.logsigmoid


def _parse_to(*args, **kwargs):
    """(device, dtype, non_blocking, memory_format) from the arguments of `Module.to`."""
    from .nn.modules._to import parse_to

    return parse_to(args, kwargs)


_C._nn._parse_to = _parse_to

from . import _tensor as _tensor_methods  # noqa: E402
from .overrides import _disabled_torch_function_impl as _disabled  # noqa: E402

_C._disabled_torch_function_impl = _disabled


def _private_of_c(name):
    if name.startswith("__"):  # what the import system asks
        raise AttributeError(name)
    return getattr(_importlib.import_module("flambeau._private"), name)


_C.__getattr__ = _private_of_c
from ._checks import *  # noqa: E402, F403
from ._decompositions import *  # noqa: E402, F403
from ._functional import *  # noqa: E402, F403
from ._legacy import *  # noqa: E402, F403
from ._more import *  # noqa: E402, F403
from ._streams import *  # noqa: E402, F403
from ._script_types import *  # noqa: E402, F403
from ._settings import *  # noqa: E402, F403
from ._tensor_more import *  # noqa: E402, F403
from ._grad_mode import (  # noqa: E402
    enable_grad,
    inference_mode,
    no_grad,
    set_grad_enabled,
)
from .random import (  # noqa: E402
    default_generator,
    get_rng_state,
    initial_seed,
    manual_seed,
    seed,
    set_rng_state,
)
from . import autograd  # noqa: E402

_C._register(_importlib.import_module("flambeau.linalg").LinAlgError)

# Submodules that are loaded when first used.
_LAZY = {
    "amp", "backends", "cpu", "cuda", "distributions", "fft", "func", "linalg", "masked", "mps", "multiprocessing",
    "nn", "optim", "overrides", "profiler", "serialization", "signal", "sparse", "special", "testing", "utils",
    "return_types", "types", "version", "hub", "jit", "onnx", "compiler", "distributed", "accelerator", "random", "quasirandom",
    "storage", "library", "futures", "torch_version", "_dynamo", "_utils", "_tensor_str", "functional", "xpu", "mtia", "fx", "package", "export", "nested", "quantization", "ao",
    "__config__", "ops", "_custom_ops", "_functorch",
}  # fmt: skip


# Names of the module that live in submodules which are loaded when first used.
_ELSEWHERE = {
    "save": "serialization", "load": "serialization", "from_dlpack": "utils.dlpack", "to_dlpack": "utils.dlpack",
    "sparse_coo_tensor": "sparse", "Future": "futures", "UntypedStorage": "storage", "TypedStorage": "storage", "autocast": "amp", "GradScaler": "amp",
    "ScriptModule": "jit", "ScriptFunction": "jit", "PyTorchFileReader": "serialization._file_reader",
}  # fmt: skip
_ELSEWHERE |= dict.fromkeys(
    """autocast_decrement_nesting autocast_increment_nesting clear_autocast_cache get_autocast_cpu_dtype
    get_autocast_dtype get_autocast_gpu_dtype is_autocast_cache_enabled is_autocast_cpu_enabled is_autocast_enabled
    set_autocast_cache_enabled set_autocast_cpu_dtype set_autocast_cpu_enabled set_autocast_dtype
    set_autocast_enabled""".split(),
    "amp._casting",
)
_ELSEWHERE |= {
    _kind + "Storage": "storage"
    for _kind in "Double Float Half Long Int Short Char Byte Bool BFloat16 ComplexDouble ComplexFloat".split()
}


def __getattr__(name):
    if name in _ELSEWHERE:
        found = getattr(_importlib.import_module("flambeau." + _ELSEWHERE[name]), name)
        globals()[name] = found
        return found
    if name in _LAZY:
        try:
            return _importlib.import_module("flambeau." + name)
        except ModuleNotFoundError as error:
            if error.name != "flambeau." + name:
                raise
        raise AttributeError(f"flambeau does not have 'torch.{name}' (yet): this part of PyTorch is missing")
    if name.startswith("_foreach_"):
        return getattr(_importlib.import_module("flambeau._foreach"), name)
    if name == "graph":
        from ._graph import graph

        return graph
    if name == "torch":  # `torch.torch` is the module itself.
        return _sys.modules[__name__]
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__():
    from importlib.util import find_spec as _find_spec

    return sorted(set(globals()) | set(_ELSEWHERE) | {n for n in _LAZY if _find_spec("flambeau." + n)})


def install():
    """Makes ``import torch`` and ``torch.anything`` mean flambeau in this process."""
    from ._launcher import install as run

    run()
