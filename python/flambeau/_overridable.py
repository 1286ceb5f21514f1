"""What `torch.overrides` says of the functions that ask ``__torch_function__``: which there are, and their names."""

import types
from collections import defaultdict
from functools import lru_cache

from . import _C

# Functions that take no tensors, or make new ones of numbers: nothing could ask.
_IGNORED = frozenset(
    """arange as_subclass as_tensor asarray bartlett_window blackman_window broadcast_shapes can_cast compile device dtype
    empty empty_permuted empty_strided enable_grad eye finfo fork from_file from_numpy frombuffer full
    get_autocast_dtype get_default_device get_default_dtype get_num_interop_threads get_num_threads get_rng_state
    hamming_window handle_torch_function hann_window has_torch_function iinfo inference_mode initial_seed install
    is_grad_enabled is_storage is_tensor kaiser_window linspace load logspace manual_seed no_grad normal ones
    promote_types rand randint randn randperm range result_type save scalar_tensor seed set_default_device
    set_default_dtype set_default_tensor_type set_grad_enabled set_num_interop_threads set_num_threads set_printoptions
    set_rng_state sparse_coo_tensor tensor tril_indices triu_indices typename use_deterministic_algorithms vander vmap
    wait zeros""".split()
)
_FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType)


def _namespaces():
    import flambeau as torch

    names = ["torch", "torch.functional", "torch.nn.functional", "torch.nn.init", "torch.Tensor"]
    names += ["torch.linalg", "torch.fft", "torch.special"]
    for name in names:
        place = torch
        for part in name.split(".")[1:]:
            place = getattr(place, part)
        yield name, place


@lru_cache(None)
def _found():
    """Functions by namespace, and the name of each."""
    overridable, names = defaultdict(list), {}
    operator = type(_C.Tensor.add)
    for prefix, place in _namespaces():
        for name in dir(place):
            if place is not _C.Tensor and (name in _IGNORED or name.startswith("_")):
                continue
            try:
                value = getattr(place, name)
            except AttributeError:
                continue
            if isinstance(value, types.GetSetDescriptorType):
                if name != "__dict__":
                    for accessor in (value.__get__, value.__set__):
                        names.setdefault(accessor, f"{prefix}.{name}.{accessor.__name__}")
                    overridable[place].append(value.__get__)
            elif isinstance(value, (operator, *_FUNCTIONS)):
                if name in dir(object) and value is getattr(object, name, None):
                    continue
                overridable[place].append(value)
                names.setdefault(value, f"{prefix}.{name}")
    return dict(overridable), names


def get_overridable_functions():
    """The functions that ask, by the module or class that they are in."""
    return {place: list(functions) for place, functions in _found()[0].items()}


def resolve_name(f):
    """The name under which programs find a function that asks; None for others."""
    try:
        found = _found()[1].get(f)
    except TypeError:
        return None
    if found is None and getattr(f, "__name__", None) in _IGNORED:
        import flambeau as torch

        found = f"torch.{f.__name__}" if getattr(torch, f.__name__, None) is f else None
    return found
