"""What a call must satisfy whatever its arguments: it raises and changes nothing, or its result is right."""

import random
import warnings

import flambeau as torch

from . import calls

# What a program must not be told; nor PanicException, which is no Exception.
FORBIDDEN = (SystemError, RecursionError)


def memory(t):
    """The contents of everything that shares memory with a tensor, as far as the tensor reaches."""
    if t.is_meta or t.numel() == 0:
        return ""
    base = t._base if t._base is not None else t
    with torch.no_grad():
        return repr(base.detach().tolist()) if 0 < base.numel() < 2000 else ""


def equal(a, b):
    """Whether two results agree up to rounding, NaN included."""
    if isinstance(a, torch.Tensor):
        if not isinstance(b, torch.Tensor) or a.shape != b.shape or a.dtype != b.dtype:
            return False
        if a.is_meta or a.numel() == 0:
            return True
        if a.is_sparse or b.is_sparse:
            return a.is_sparse and b.is_sparse and equal(a.to_dense(), b.to_dense())
        a, b = a.detach(), b.detach()
        if a.dtype in (torch.uint16, torch.uint32, torch.uint64):
            return a.tolist() == b.tolist()
        if not (a.is_floating_point() or a.is_complex()):
            return torch.equal(a, b)
        loose = a.dtype in (torch.float16, torch.bfloat16)
        close = torch.isclose(a, b, rtol=2e-2 if loose else 1e-4, atol=2e-2 if loose else 1e-5, equal_nan=True)
        return bool(close.all())
    if isinstance(a, (list, tuple)):
        return isinstance(b, (list, tuple)) and len(a) == len(b) and all(map(equal, a, b))
    if isinstance(a, float) and isinstance(b, float):
        return a == b or a != a and b != b or abs(a - b) < 1e-4 * max(1, abs(a))
    return type(a) is type(b)


def plainly(value, depth=0):
    """The same argument, in row-major memory of its own."""
    if isinstance(value, torch.Tensor):
        out = value.detach().clone(memory_format=torch.contiguous_format)
        return out.requires_grad_() if value.requires_grad else out
    if type(value) in (list, tuple) and len(value) < 8 and depth < 8:
        return type(value)(plainly(item, depth + 1) for item in value)
    return value


def small(call):
    return all(t.numel() <= 2000 for t in call.tensors())


def results_of(result):
    if isinstance(result, torch.Tensor):
        return [result]
    if isinstance(result, (list, tuple)):
        return [r for r in result if isinstance(r, torch.Tensor)]
    return []


def show(seed):
    """The call of a seed in words."""
    return calls.make(seed)


def run(seed):
    """Makes the call of a seed; text about what is wrong with it, or None."""
    try:
        call = calls.make(seed)
    except BaseException as error:  # noqa: BLE001
        return f"the operands could not be made: {type(error).__name__}: {error}"
    rng = random.Random(~seed)
    tensors = call.tensors()
    before = [(t, t._version, memory(t)) for t in tensors]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            result = call.target(*call.args, **call.kwargs)
        except BaseException as error:  # noqa: BLE001 - PanicException derives from BaseException
            text = f"{type(error).__name__}: {error}"
            if isinstance(error, FORBIDDEN) or not isinstance(error, Exception) or "internal error (please" in text:
                return f"{call}\n  raised {text}"
            for t, version, bytes_before in before:
                if (t._version != version and call.name not in calls.CHANGING) or memory(t) != bytes_before:
                    return f"{call}\n  changed an operand and raised {text}"
            return None
        for t, version, bytes_before in before:
            changed = memory(t) != bytes_before
            if changed and t._version == version and not t.is_inference() and call.name not in calls.UNCOUNTED:
                return f"{call}\n  changed a tensor without counting the change"
            if (changed or t._version != version) and not call.changing:
                return f"{call}\n  changed an operand"
        if call.comparable and small(call) and any(not t.is_contiguous() for t in tensors):
            problem = compare(call, result)
            if problem:
                return f"{call}\n  {problem}"
        if rng.random() < 0.25:
            problem = differentiate(call, result)
            if problem:
                return f"{call}\n  {problem}"
    return None


def compare(call, result):
    """The same call on row-major copies must have the same result."""
    try:
        other = call.target(*map(plainly, call.args), **{k: plainly(v) for k, v in call.kwargs.items()})
    except Exception as error:  # noqa: BLE001
        return f"raises {type(error).__name__} for row-major copies of the operands only: {error}"
    return None if equal(result, other) else f"has another result for row-major copies: {result} != {other}"


def differentiate(call, result):
    """Runs backward through the result; gradients have the shapes of their tensors."""
    roots = [r for r in results_of(result) if r.requires_grad and r.numel() < 10_000 and r.numel() > 0]
    leaves = [t for t in call.tensors() if t.requires_grad and t.is_leaf]
    if not roots or not leaves:
        return None
    try:
        with torch.enable_grad():
            grads = torch.autograd.grad(
                roots, leaves, [torch.ones_like(r) for r in roots], allow_unused=True, create_graph=True
            )
    except BaseException as error:  # noqa: BLE001
        text = f"{type(error).__name__}: {error}"
        if isinstance(error, FORBIDDEN) or not isinstance(error, Exception) or "internal error (please" in text:
            return f"backward raised {text}"
        if "invalid gradient" in text:
            return f"backward raised {text}"
        return None
    for t, g in zip(leaves, grads):
        if g is not None and (g.shape != t.shape or g.dtype != t.dtype):
            return f"the gradient is {tuple(g.shape)} {g.dtype}, the tensor {tuple(t.shape)} {t.dtype}"
    return None
