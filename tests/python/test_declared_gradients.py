"""Gradients of every declared operator, first and second, against finite differences: samples come from the schemas."""

import functools

import pytest
import samples

import flambeau as torch
from flambeau.autograd import gradcheck, gradgradcheck

# Overloads without samples, each with the reason. An entry that has become wrong fails.
UNSAMPLED = {"cholesky": "raises: it was removed"}
# Results that are no smooth function of the operands: rejection sampling, and conversions to fewer digits.
ROUGH = {
    "_standard_gamma", "_sample_dirichlet", "bfloat16", "half", "float", "cfloat", "to.other",
    # drawn numbers count as constants
    "normal.Tensor_Tensor", "normal.Tensor_float", "normal.float_Tensor",
    # the gradient is the one through log_softmax, and that within the Hermitian matrices
    "ctc_loss.IntList", "ctc_loss.Tensor", "linalg_matrix_sqrth",
    # scales rows by constants, as far as gradients go
    "embedding_renorm_",
}  # fmt: skip
# Operators that have no derivative in PyTorch either: the backward pass says so.
REFUSED = {
    "floor_divide", "floor_divide.Scalar", "heaviside", "histogram.bin_ct", "histogram.bins_tensor", "remainder.Scalar_Tensor",
    "scatter.reduce", "scatter_.reduce", "geqrf", "linalg_ldl_factor", "linalg_ldl_factor_ex", "linalg_ldl_solve", "unique",
    "unique_consecutive", "histogramdd", "histogramdd.int_bins", "histogramdd.TensorList_bins",
}  # fmt: skip
# Second derivatives that PyTorch does not have either.
ONCE = {"multilabel_margin_loss"}


def sample(key, function, op, overload, dtype):
    """Arguments with which the call succeeds, and its results; None if there are none."""
    make = samples.hinted(key, op)
    s = samples.Sampler(op["name"], dtype)
    try:
        tries = [make(s)] if make else samples.candidates(overload, s)
    except RuntimeError:
        return None
    for args in tries:
        args, kwargs = (args[:-1], args[-1]) if args and isinstance(args[-1], dict) else (args, {})
        try:
            result = call(function, op["name"], args, kwargs)
        except Exception:  # noqa: BLE001 - the next candidate may fit
            continue
        return args, kwargs, result
    return None


def call(function, name, args, kwargs):
    """Calls an operator as a smooth function of its operands; random numbers are the same in every call."""
    torch.manual_seed(0)
    if name.endswith("_"):
        args = [args[0] * 1, *args[1:]]  # no leaf may change in place
    bare = samples.bare(name)
    args = samples.BEFORE.get(bare, lambda *a: a)(*args)
    return samples.AFTER.get(bare, lambda r: r)(function(*args, **kwargs))


@functools.cache
def table():
    return {key: (function, op, overload) for key, function, op, overload in samples.entries()}


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128], ids=["real", "complex"])
@pytest.mark.parametrize("key", sorted(table()))
def test_gradients(key, dtype):
    function, op, overload = table()[key]
    found = sample(key, function, op, overload, dtype)
    if found is None:
        if dtype is torch.float64 and not any(
            sample(key, function, op, overload, d) for d in (torch.complex128, torch.int64, torch.bool)
        ):
            assert key in UNSAMPLED, "no sample: add a hint in samples.py"
        return
    assert key not in UNSAMPLED, "stale entry of UNSAMPLED"
    args, kwargs, result = found
    if not samples.differentiable(result) or key in ROUGH:
        return
    if key in REFUSED:
        roots = samples.differentiable(result)
        with pytest.raises((RuntimeError, NotImplementedError), match="not implemented"):
            torch.autograd.backward(roots, [torch.ones_like(r) for r in roots])
        return
    inputs = [a for a in args if isinstance(a, torch.Tensor) and a.requires_grad]
    inputs += [
        t for a in args if isinstance(a, (list, tuple)) for t in a if isinstance(t, torch.Tensor) and t.requires_grad
    ]
    if not inputs:
        return

    def run(*values):
        values = iter(values)

        def fill(a):
            if isinstance(a, torch.Tensor):
                return next(values) if a.requires_grad else a
            return a

        # In the order of `inputs`: single tensors first, those of lists after them.
        new = [fill(a) for a in args]
        new = [type(a)(fill(t) for t in a) if isinstance(a, (list, tuple)) else n for a, n in zip(args, new)]
        return samples.differentiable(call(function, op["name"], new, kwargs))

    assert gradcheck(run, inputs, check_batched_grad=False, check_undefined_grad=False)
    if key not in ONCE and sum(t.numel() for t in inputs) < 80:
        assert gradgradcheck(run, inputs, check_batched_grad=False, check_undefined_grad=False)


def test_lists_are_not_stale():
    for name in [*UNSAMPLED, *ROUGH, *REFUSED, *ONCE]:
        assert name in table(), name
