"""What function transforms demand of arguments and results before they differentiate."""

import flambeau as torch
from flambeau._vmap._tree import describe
from flambeau.utils._pytree import tree_leaves, tree_structure


def _differentiable(tensor):
    return tensor.dtype.is_floating_point or tensor.dtype.is_complex


def variables(tree):
    """Raises unless all leaves are tensors that derivatives can be taken by."""
    for leaf in tree_leaves(tree):
        if not isinstance(leaf, torch.Tensor):
            raise ValueError(f"Thing passed to transform API must be Tensor, got {type(leaf)}")
        if not _differentiable(leaf):
            raise RuntimeError("only Tensors of floating point dtype can require gradients")


def primals(tree):
    """Raises unless all leaves are tensors that have tangents."""
    for leaf in tree_leaves(tree):
        if not isinstance(leaf, torch.Tensor):
            raise RuntimeError(f"jvp(f, primals, tangents): Expected primals to only contain Tensors, got {type(leaf)}")
        if not _differentiable(leaf):
            raise ValueError(f"Expected primal to be floating point or complex, but got: {leaf.dtype}")


def tangents(primals, given):
    """Raises unless tangents have the structure and the sizes of primals."""
    wanted, found = tree_structure(primals), tree_structure(given)
    if wanted != found:
        raise RuntimeError(
            "jvp(f, primals, tangents): Expected primals and tangents to have the same python structure. For example, "
            f"if primals is a tuple of 3 tensors, tangents also must be. Got primals with structure {wanted} and "
            f"tangents with structure {found}"
        )
    for primal, tangent in zip(tree_leaves(primals), tree_leaves(given)):
        if isinstance(tangent, torch.Tensor) and primal.shape != tangent.shape:
            raise RuntimeError(
                "Trying to set a forward gradient that has a different size than that of the original Tensor, this is "
                f"not supported. Tensor is of size {list(primal.shape)} while the given forward gradient is of size "
                f"{list(tangent.shape)}."
            )


def outputs(tree, call):
    """Raises unless a function's results, one at least, are tensors."""
    leaves = tree_leaves(tree)
    if not leaves or leaves == [None]:
        raise RuntimeError(f"{call}: Expected f to be a function that has non-empty output (got output = {leaves})")
    for leaf in leaves:
        if not isinstance(leaf, torch.Tensor):
            raise RuntimeError(
                f"{call}: expected f(*primals) to return only tensors, got unsupported type {type(leaf)}"
            )
        if call.startswith("vjp") and not _differentiable(leaf):
            raise RuntimeError(
                "vjp(f, ...): All outputs of f must be floating-point or complex Tensors, got Tensor with dtype "
                f"{leaf.dtype}"
            )


def cotangents(output, given):
    """Raises unless cotangents have the structure of the results."""
    wanted, found = tree_structure(output), tree_structure(given)
    if wanted != found:
        raise RuntimeError(
            "Expected pytree structure of cotangents to be the same as pytree structure of outputs to the function. "
            f"cotangents: {describe(given)}, primal output: {describe(output)}"
        )
