"""Running sums and their kin, for any way to combine two elements that is associative."""

import flambeau as torch

from ..utils import _pytree as pytree

__all__ = ["associative_scan"]


def associative_scan(combine_fn, xs, dim, reverse=False, combine_mode="pointwise"):
    """Combines all elements up to each along a dimension of tensors, or of nested containers of them.

    A "pointwise" function is given parts along the dimension; a "generic" one elements, without it.
    """
    if combine_mode not in ("pointwise", "generic"):
        raise ValueError(f"Combine_mode must either 'pointwise' or 'generic', but got {combine_mode}")
    if not callable(combine_fn):
        raise ValueError(f"Combine_fn must be a callable, but got {combine_fn}")
    leaves, spec = pytree.tree_flatten(xs)
    if not leaves:
        raise ValueError("Expected at least 1 xs leaf")
    if any(not isinstance(leaf, torch.Tensor) for leaf in leaves):
        raise ValueError("xs leaves must be a Tensor")
    if any(leaf.dim() == 0 for leaf in leaves):
        raise ValueError("All xs leaves must at least have one dimension")
    leaves = [leaf.movedim(dim, 0) for leaf in leaves]
    if any(leaf.size(0) != leaves[0].size(0) for leaf in leaves):
        raise ValueError("All xs leaves must have the same number of elements along the dimension")
    if leaves[0].size(0) == 0:
        return xs

    def combined(left, right):
        found = combine_fn(spec.unflatten(left), spec.unflatten(right))
        found, shape = pytree.tree_flatten(found)
        if shape != spec:
            raise ValueError("combine_fn must give what it is given: the same containers with as many tensors")
        return tuple(found)

    if combine_mode == "generic":
        combined = torch.vmap(combined)
    if reverse:
        leaves = [leaf.flip(0) for leaf in leaves]
    found = _scan(combined, leaves)
    if reverse:
        found = [leaf.flip(0) for leaf in found]
    return spec.unflatten([leaf.movedim(0, dim) for leaf in found])


def _scan(combined, parts):
    """Pairs are combined and scanned first, which gives every second result; the others take one element more."""
    count = parts[0].size(0)
    if count < 2:
        return parts
    pairs = combined(tuple(part[: count - 1 : 2] for part in parts), tuple(part[1::2] for part in parts))
    odd = _scan(combined, list(pairs))
    before = tuple(part[: (count - 1) // 2] for part in odd)
    even = [part[:1] for part in parts]
    if count > 2:
        rest = combined(before, tuple(part[2::2] for part in parts))
        even = [torch.cat((first, more)) for first, more in zip(even, rest)]
    found = []
    for one, other in zip(even, odd):
        joined = torch.stack((one[: other.size(0)], other), 1).flatten(0, 1)
        found.append(torch.cat((joined, one[other.size(0) :])) if count % 2 else joined)
    return found
