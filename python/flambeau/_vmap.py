"""``vmap``: a function mapped over a dimension of its arguments."""

import functools

import flambeau as torch


def _flatten(tree):
    """Leaves and a function that builds the structure again from others."""
    if isinstance(tree, (tuple, list)):
        parts = [_flatten(item) for item in tree]
        leaves = [leaf for part, _ in parts for leaf in part]

        def build(values):
            values = list(values)
            items = []
            for part, make in parts:
                items.append(make(values[: len(part)]))
                values = values[len(part) :]
            return type(tree)(*items) if hasattr(tree, "_fields") else type(tree)(items)

        return leaves, build
    if isinstance(tree, dict):
        leaves, build = _flatten(list(tree.values()))
        return leaves, lambda values: type(tree)(zip(tree, build(values)))
    return [tree], lambda values: next(iter(values))


def _broadcast(dims, tree, what):
    """One entry of `dims` for each leaf of `tree`: `dims` is a prefix of its structure."""
    if dims is None or isinstance(dims, int):
        return [dims] * len(_flatten(tree)[0])
    items, parts = (list(tree.values()), [dims[k] for k in tree]) if isinstance(tree, dict) else (tree, dims)
    if not isinstance(tree, (tuple, list, dict)) or len(parts) != len(items):
        raise ValueError(f"{what} is not compatible with the structure of the values that it belongs to")
    return [dim for part, item in zip(parts, items) for dim in _broadcast(part, item, what)]


def vmap(func, in_dims=0, out_dims=0, randomness="error", *, chunk_size=None):
    """`func` mapped over the dimensions `in_dims` of its arguments, its results stacked at `out_dims`.

    `func` is called once for each index, so that it may do whatever a function may do; `chunk_size` has no effect
    on the results. An entry None of `in_dims` hands an argument over whole. `randomness` is "error", "same" (every
    call draws the same numbers) or "different".
    """
    if randomness not in ("error", "different", "same"):
        raise RuntimeError(f"Only allowed values for randomness are 'error', 'different', or 'same'. Got {randomness}")
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError(f"vmap: chunk_size should be None or greater than 0. (got {chunk_size})")

    @functools.wraps(func)
    def wrapper(*args, **kwargs):
        if not isinstance(in_dims, (int, tuple, list)):
            raise ValueError(
                f"vmap({_name(func)}, in_dims={in_dims}, ...)(<inputs>): expected `in_dims` to be int or a (potentially "
                f"nested) tuple matching the structure of inputs, got: {type(in_dims)}."
            )
        if not args:
            raise ValueError(
                f"vmap({_name(func)})(<inputs>): got no inputs. Maybe you forgot to add inputs, or you are trying to "
                "vmap over a function with no inputs. The latter is unsupported."
            )
        leaves, build = _flatten(tuple(args))
        keyword_leaves, build_keywords = _flatten(kwargs)
        dims = _broadcast(in_dims if isinstance(in_dims, int) else tuple(in_dims), tuple(args), "in_dims")
        keyword_dims = [0 if isinstance(leaf, torch.Tensor) else None for leaf in keyword_leaves]
        dims = [_checked(func, in_dims, dim, leaf) for leaf, dim in zip(leaves, dims)]
        pairs = [*zip(leaves, dims), *zip(keyword_leaves, keyword_dims)]
        sizes = [leaf.shape[dim] for leaf, dim in pairs if dim is not None]
        if not sizes:
            raise ValueError(f"vmap({_name(func)}, in_dims={in_dims}, ...)(<inputs>): got no tensor to map over")
        if len(set(sizes)) > 1:
            raise ValueError(
                f"vmap: Expected all tensors to have the same size in the mapped dimension, got sizes {sizes} for the "
                "mapped dimension"
            )
        if not sizes[0]:
            raise RuntimeError("vmap: a mapped dimension of size 0 leaves the shapes of the results unknown")
        columns = [leaf.unbind(dim) if dim is not None else None for leaf, dim in pairs]
        state = None if randomness == "different" else torch.get_rng_state()
        results = []
        for index in range(sizes[0]):
            values = [leaf if column is None else column[index] for (leaf, _), column in zip(pairs, columns)]
            if index and randomness == "same":
                torch.set_rng_state(state)
            results.append(func(*build(values[: len(leaves)]), **build_keywords(values[len(leaves) :])))
            if randomness == "error" and not index and not torch.equal(state, torch.get_rng_state()):
                raise RuntimeError(
                    "vmap: called random operation while in randomness error mode. Please either use the 'same' or "
                    "'different' randomness flags on vmap or perform the randomness operation out of vmap"
                )
        return _stack(func, results, out_dims)

    return wrapper


def _name(func):
    return getattr(func, "__name__", repr(func))


def _checked(func, in_dims, dim, leaf):
    call = f"vmap({_name(func)}, in_dims={in_dims}, ...)(<inputs>)"
    if dim is None:
        return None
    if not isinstance(dim, int):
        raise ValueError(
            f"{call}: Got in_dim={dim} for an input but in_dim must be either an integer dimension or None."
        )
    if not isinstance(leaf, torch.Tensor):
        raise ValueError(
            f"{call}: Got in_dim={dim} for an input but the input is of type {type(leaf)}. We cannot vmap over "
            "non-Tensor arguments, please use None as the respective in_dim"
        )
    if not -leaf.dim() <= dim < leaf.dim():
        raise ValueError(
            f"{call}: Got in_dim={dim} for some input, but that input is a Tensor of dimensionality {leaf.dim()} so "
            f"expected in_dim to satisfy -{leaf.dim()} <= in_dim < {leaf.dim()}."
        )
    return dim % leaf.dim()


def _stack(func, results, out_dims):
    flattened = [_flatten(result) for result in results]
    first, build = flattened[0]
    dims = _broadcast(
        out_dims if out_dims is None or isinstance(out_dims, int) else
        (tuple(out_dims) if isinstance(results[0], (tuple, list, dict)) else out_dims[0]),
        results[0], "out_dims",
    )  # fmt: skip
    stacked = []
    for position, dim in enumerate(dims):
        column = [leaves[position] for leaves, _ in flattened]
        if not isinstance(column[0], torch.Tensor):
            raise ValueError(
                f"vmap({_name(func)}, ...): `{_name(func)}` must only return Tensors, got type {type(column[0])}."
            )
        if dim is None:
            raise ValueError(
                f"vmap({_name(func)}, ...): cannot return a value for out_dim=None, its results are one for each index"
            )
        stacked.append(torch.stack(column, dim))
    return build(stacked)
