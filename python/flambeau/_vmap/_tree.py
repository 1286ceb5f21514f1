"""Nested tuples, lists and dicts: the structures that arguments and results of mapped functions have."""


def flatten(tree):
    """Leaves and a function that builds the structure again from others."""
    if isinstance(tree, (tuple, list)):
        parts = [flatten(item) for item in tree]
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
        leaves, build = flatten(list(tree.values()))
        if type(tree) is dict:
            return leaves, lambda values: dict(zip(tree, build(values)))

        def build_dict(values):
            # A copy keeps what the class holds besides, such as the factory of a defaultdict.
            made = tree.copy()
            made.update(zip(tree, build(values)))
            return made

        return leaves, build_dict
    return [tree], lambda values: next(iter(values))


def map_leaves(function, tree):
    """`function` of each leaf, in the structure of `tree`."""
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*(map_leaves(function, item) for item in tree))
    if isinstance(tree, (tuple, list)):
        return type(tree)([map_leaves(function, item) for item in tree])
    if isinstance(tree, dict):
        leaves, build = flatten(tree)
        return build([function(leaf) for leaf in leaves])
    return function(tree)


class Mismatch(ValueError):
    """A tree of dimensions that is no prefix of the tree that it belongs to."""


def spread(dims, tree):
    """One entry of `dims` for each leaf of `tree`: `dims` is a prefix of its structure."""
    if dims is None or not isinstance(dims, (tuple, list, dict)):
        return [dims] * len(flatten(tree)[0])
    if isinstance(tree, dict):
        if not isinstance(dims, dict) or set(dims) != set(tree):
            raise Mismatch
        pairs = [(dims[key], tree[key]) for key in tree]
    elif isinstance(tree, (tuple, list)) and isinstance(dims, (tuple, list)) and len(dims) == len(tree):
        if isinstance(dims, list) != isinstance(tree, list):
            raise Mismatch
        pairs = list(zip(dims, tree))
    else:
        raise Mismatch
    return [dim for part, item in pairs for dim in spread(part, item)]


def describe(tree):
    """The structure of a tree as text, leaves as stars."""
    if isinstance(tree, dict):
        return "{" + ", ".join(f"{key!r}: {describe(item)}" for key, item in tree.items()) + "}"
    if isinstance(tree, (tuple, list)):
        inner = ", ".join(describe(item) for item in tree)
        if isinstance(tree, list):
            return f"[{inner}]"
        return f"({inner},)" if len(tree) == 1 else f"({inner})"
    return "*"


def structure(tree):
    """The structure of a tree in the words of `torch.utils._pytree`."""
    from ..utils._pytree import tree_structure

    return tree_structure(tree)
