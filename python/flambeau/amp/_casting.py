"""What `autocast` does to operators on the CPU: which run in the lower precision, and which in float32.

Wrappers take the places of the operators when a region is first entered in a process; before that nothing is slower.
"""

import functools
import sys
import threading
import types

import flambeau as torch

_LOWER = """nn.functional: linear conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d conv_tbc
        scaled_dot_product_attention prelu affine_grid
    torch: matmul mm bmm inner addmm addbmm baddbmm chain_matmul tensordot cov corrcoef conv1d conv2d conv3d
        conv_transpose1d conv_transpose2d conv_transpose3d conv_tbc prelu
    linalg: matmul multi_dot vecdot matrix_power
    Tensor: matmul __matmul__ __rmatmul__ mm bmm inner addmm addbmm baddbmm prelu cov corrcoef matrix_power"""
_FLOAT32 = """nn.functional: avg_pool3d max_pool3d max_pool3d_with_indices adaptive_avg_pool3d adaptive_max_pool3d
        adaptive_max_pool3d_with_indices fractional_max_pool2d fractional_max_pool3d
        fractional_max_pool2d_with_indices fractional_max_pool3d_with_indices max_unpool1d max_unpool2d max_unpool3d
        grid_sample mse_loss l1_loss smooth_l1_loss huber_loss cross_entropy nll_loss binary_cross_entropy
        binary_cross_entropy_with_logits kl_div poisson_nll_loss cosine_embedding_loss hinge_embedding_loss
        margin_ranking_loss soft_margin_loss triplet_margin_loss multi_margin_loss multilabel_margin_loss ctc_loss
    torch: max_pool3d cdist prod trace quantile nanquantile polar view_as_complex stft inverse pinverse
        cholesky_inverse cholesky_solve lu_solve svd geqrf triangular_solve orgqr ormqr lu
    linalg: cholesky cholesky_ex cond eig eigh eigvals eigvalsh inv inv_ex matrix_rank qr svd svdvals
        householder_product lstsq solve tensorinv tensorsolve lu_solve
    fft: fft ifft rfft irfft hfft ihfft fft2 ifft2 rfft2 irfft2 hfft2 ihfft2 fftn ifftn rfftn irfftn hfftn ihfftn
    Tensor: prod trace quantile nanquantile stft inverse pinverse cholesky_inverse cholesky_solve lu_solve svd geqrf
        triangular_solve orgqr ormqr lu"""
_WIDEST = """torch: index_copy
    Tensor: index_copy"""

# Dtypes that are cast. Others, float64 among them, stay as they are.
_CAST = frozenset((torch.float32, torch.float16, torch.bfloat16))


class _State(threading.local):
    """Whether operators of this thread are cast, and to what."""

    enabled = False
    dtype = torch.bfloat16
    cache = True
    nesting = 0


state = _State()


def cast(value, dtype):
    """Nested arguments with their floating-point tensors on the CPU in `dtype`."""
    if isinstance(value, torch.Tensor):
        if value.dtype in _CAST and value.dtype != dtype and value.device.type == "cpu":
            return value.to(dtype)
        return value
    if type(value) in (tuple, list):
        return type(value)([cast(item, dtype) for item in value])
    return value


def _call(function, dtype, args, kwargs):
    """Calls a function with cast arguments; what it consists of is not cast again."""
    args = [cast(arg, dtype) for arg in args]
    kwargs = {name: cast(value, dtype) for name, value in kwargs.items()}
    state.enabled = False
    try:
        return function(*args, **kwargs)
    finally:
        state.enabled = True


def _tensors(values):
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, (tuple, list)):
            yield from _tensors(value)


def _wrapped(function, policy):
    """`function` with its arguments cast in regions of `autocast`; a result that goes into `out` never is."""

    @functools.wraps(function, updated=())
    def wrapper(*args, **kwargs):
        if not state.enabled or kwargs.get("out") is not None:
            return function(*args, **kwargs)
        dtype = policy(args, kwargs)
        return function(*args, **kwargs) if dtype is None else _call(function, dtype, args, kwargs)

    wrapper.__dict__.pop("__wrapped__", None)
    return wrapper


def _lower(args, kwargs):
    return state.dtype


def _float32(args, kwargs):
    return torch.float32


def _widest(args, kwargs):
    """float32 for a mixture of it with the lower precision."""
    dtypes = {tensor.dtype for tensor in _tensors([*args, *kwargs.values()])}
    return torch.float32 if torch.float32 in dtypes and state.dtype in dtypes else None


def _contraction(args, kwargs):
    """The lower precision for an einsum that multiplies matrices: one that adds up over a label of two operands."""
    equation = args[0] if args and isinstance(args[0], str) else None
    if equation is None:
        return state.dtype
    inputs, arrow, output = equation.replace(" ", "").partition("->")
    parts = inputs.split(",")
    labels = [label for part in parts for label in set(part)]
    repeated = {label for label in labels if labels.count(label) > 1 and label.isalpha()}
    return state.dtype if repeated and (not arrow or repeated - set(output)) else None


def _recurrence(args, kwargs):
    """LSTMs and plain recurrent layers run in the lower precision as a whole, GRUs in that of their input."""
    return args[1].dtype if args[0] == "GRU" else state.dtype


def _padding(args, kwargs):
    """float32 where values of the input are repeated."""
    pad = args[1] if len(args) > 1 else kwargs.get("pad", ())
    mode = args[2] if len(args) > 2 else kwargs.get("mode", "constant")
    return torch.float32 if mode == "replicate" or (mode == "reflect" and len(pad) < 6) else None


def _functions():
    """Pairs of a namespace, a name in it, and a policy."""
    for text, policy in ((_LOWER, _lower), (_FLOAT32, _float32), (_WIDEST, _widest)):
        namespace = None
        for word in text.split():
            if word.endswith(":"):
                namespace = torch
                for part in word[:-1].split(".") if word != "torch:" else ():
                    namespace = getattr(namespace, part)
            else:
                yield namespace, word, policy
    yield torch, "einsum", _contraction
    yield torch.nn.functional, "pad", _padding
    from ..nn.modules import _recurrence as layers

    yield layers, "run", _recurrence


_lock = threading.Lock()
_done = False


def install():
    """Puts wrappers in the places of operators, wherever a module holds one."""
    global _done
    with _lock:
        if _done:
            return
        native = torch._C._nn
        places, wrappers = [], {}
        for namespace, name, policy in _functions():
            for holder in (namespace, native) if namespace is torch.nn.functional else (namespace,):
                function = getattr(holder, name, None)
                if function is None:
                    continue
                if id(function) not in wrappers:
                    wrappers[id(function)] = _wrapped(function, policy), function
                places.append((holder, name, wrappers[id(function)][0]))
        for holder, name, wrapper in places:
            setattr(holder, name, wrapper)
        names = types.ModuleType.__dict__["__dict__"].__get__
        for module in list(sys.modules.values()):
            if type(module).__module__ != "flambeau._lazy" and type(module) is not types.ModuleType:
                continue
            for name, value in list(names(module).items()):
                found = wrappers.get(id(value))
                if found is not None and value is found[1]:
                    setattr(module, name, found[0])
        _done = True


def is_autocast_enabled(device_type=None):
    """Whether operators are cast on a kind of device, CUDA if none is named."""
    return device_type == "cpu" and state.enabled


def set_autocast_enabled(device_type, enabled=None):
    """Switches casting on or off in this thread."""
    if enabled is None:
        device_type, enabled = "cuda", device_type
    if device_type == "cpu":
        if enabled:
            install()
        state.enabled = bool(enabled)


def get_autocast_dtype(device_type):
    """The lower precision of a kind of device."""
    return state.dtype if device_type == "cpu" else torch.float16


def set_autocast_dtype(device_type, dtype):
    """Chooses the lower precision of a kind of device in this thread."""
    if device_type == "cpu":
        state.dtype = dtype


def is_autocast_cache_enabled():
    """Whether casts of parameters may be kept."""
    return state.cache


def set_autocast_cache_enabled(enabled):
    """Whether casts of parameters may be kept; none are."""
    state.cache = bool(enabled)


def clear_autocast_cache():
    """Nothing to forget."""


def autocast_increment_nesting():
    """One region more; returns how many there are."""
    state.nesting += 1
    return state.nesting


def autocast_decrement_nesting():
    """One region less; returns how many are left."""
    state.nesting -= 1
    return state.nesting


def is_autocast_cpu_enabled():
    """Whether operators are cast on the CPU."""
    return state.enabled


def get_autocast_cpu_dtype():
    """The lower precision of the CPU."""
    return state.dtype


def get_autocast_gpu_dtype():
    """The lower precision of CUDA devices."""
    return torch.float16


def set_autocast_cpu_enabled(enabled):
    """Switches casting on the CPU on or off in this thread."""
    set_autocast_enabled("cpu", enabled)


def set_autocast_cpu_dtype(dtype):
    """Chooses the lower precision of the CPU in this thread."""
    state.dtype = dtype
