"""Nested containers taken apart and put together again: `tree_flatten`, `tree_unflatten`, `tree_map` and their kin."""

from collections import OrderedDict, defaultdict, deque, namedtuple
from typing import Any, NamedTuple

__all__ = [
    "GetAttrKey", "KeyPath", "LeafSpec", "MappingKey", "PyTree", "SUPPORTED_NODES", "SequenceKey", "TreeSpec",
    "keystr", "register_constant", "register_dataclass", "register_pytree_node", "tree_all", "tree_all_only",
    "tree_any", "tree_any_only", "tree_flatten", "tree_flatten_with_path", "tree_is_leaf", "tree_iter", "tree_leaves",
    "tree_leaves_with_path", "tree_map", "tree_map_", "tree_map_only", "tree_map_only_", "tree_map_with_path",
    "tree_structure", "tree_unflatten",
]  # fmt: skip

PyTree = Context = Any


# What leads to a child


class SequenceKey(NamedTuple):
    """A place in a sequence."""

    idx: int

    def __str__(self):
        return f"[{self.idx!r}]"

    def get(self, sequence):
        return sequence[self.idx]


class MappingKey(NamedTuple):
    """A key of a mapping."""

    key: Any

    def __str__(self):
        return f"[{self.key!r}]"

    def get(self, mapping):
        return mapping[self.key]


class GetAttrKey(NamedTuple):
    """The name of an attribute."""

    name: str

    def __str__(self):
        return f".{self.name}"

    def get(self, obj):
        return getattr(obj, self.name)


KeyPath = tuple


def keystr(kp):
    """A path as Python would write it."""
    return "".join(map(str, kp))


def key_get(obj, kp):
    """What a path leads to."""
    for key in kp:
        obj = key.get(obj)
    return obj


# Kinds of containers


class NodeDef(NamedTuple):
    """How a kind of container is taken apart and put together."""

    type: type
    flatten_fn: Any
    unflatten_fn: Any
    flatten_with_keys_fn: Any = None


class _Namedtuple:
    """Stands for all named tuples in the table."""


SUPPORTED_NODES = {}


def _sequence(cls, make):
    SUPPORTED_NODES[cls] = NodeDef(
        cls,
        lambda tree: (list(tree), None),
        lambda items, context: make(items),
        lambda tree: ([(SequenceKey(i), item) for i, item in enumerate(tree)], None),
    )


def _mapping(cls, make):
    SUPPORTED_NODES[cls] = NodeDef(
        cls,
        lambda tree: (list(tree.values()), list(tree)),
        lambda items, context: make(zip(context, items)),
        lambda tree: ([(MappingKey(key), item) for key, item in tree.items()], list(tree)),
    )


_sequence(list, list)
_sequence(tuple, tuple)
_mapping(dict, dict)
_mapping(OrderedDict, OrderedDict)
SUPPORTED_NODES[defaultdict] = NodeDef(
    defaultdict,
    lambda tree: (list(tree.values()), [tree.default_factory, list(tree)]),
    lambda items, context: defaultdict(context[0], zip(context[1], items)),
    lambda tree: ([(MappingKey(key), item) for key, item in tree.items()], [tree.default_factory, list(tree)]),
)
SUPPORTED_NODES[deque] = NodeDef(
    deque,
    lambda tree: (list(tree), tree.maxlen),
    lambda items, context: deque(items, maxlen=context),
    lambda tree: ([(SequenceKey(i), item) for i, item in enumerate(tree)], tree.maxlen),
)
SUPPORTED_NODES[_Namedtuple] = NodeDef(
    namedtuple,
    lambda tree: (list(tree), type(tree)),
    lambda items, context: context(*items),
    lambda tree: ([(GetAttrKey(name), getattr(tree, name)) for name in tree._fields], type(tree)),
)
# The functions of PyTorch's own kinds have names by which packages call them for kinds of theirs.
for _name, _kind in {
    "list": list, "tuple": tuple, "dict": dict, "ordereddict": OrderedDict, "odict": OrderedDict,
    "defaultdict": defaultdict, "deque": deque, "namedtuple": _Namedtuple,
}.items():  # fmt: skip
    globals()[f"_{_name}_flatten"] = SUPPORTED_NODES[_kind].flatten_fn
    globals()[f"_{_name}_unflatten"] = SUPPORTED_NODES[_kind].unflatten_fn
    globals()[f"_{_name}_flatten_with_keys"] = SUPPORTED_NODES[_kind].flatten_with_keys_fn
STANDARD_DICT_TYPES = frozenset({dict, OrderedDict, defaultdict})


def is_namedtuple_class(cls):
    """Whether a class was made by `namedtuple` or is derived from such a class."""
    fields = getattr(cls, "_fields", None)
    return isinstance(cls, type) and issubclass(cls, tuple) and isinstance(fields, tuple) and hasattr(cls, "_make")


def is_namedtuple_instance(obj):
    """Whether an object is a named tuple."""
    return is_namedtuple_class(type(obj))


def is_structseq_class(cls):
    """Whether a class is one of Python's sequences with names, as operators with several results return them."""
    return (
        isinstance(cls, type)
        and cls.__bases__ == (tuple,)
        and all(
            isinstance(getattr(cls, name, None), int) for name in ("n_fields", "n_sequence_fields", "n_unnamed_fields")
        )
    )


def is_structseq_instance(obj):
    """Whether an object is of such a class."""
    return is_structseq_class(type(obj))


def is_structseq(obj):
    """Whether an object is such a class or of one."""
    return is_structseq_class(obj if isinstance(obj, type) else type(obj))


def is_namedtuple(obj):
    """Whether an object is a named tuple or a class of them."""
    return is_namedtuple_class(obj if isinstance(obj, type) else type(obj))


def register_pytree_node(
    cls,
    flatten_fn,
    unflatten_fn,
    *,
    serialized_type_name=None,
    to_dumpable_context=None,
    from_dumpable_context=None,
    flatten_with_keys_fn=None,
):
    """Makes a class a container: `flatten_fn` gives children and a context, from which `unflatten_fn` makes one."""
    if cls in SUPPORTED_NODES:
        raise ValueError(f"{cls} is already registered as pytree node.")
    SUPPORTED_NODES[cls] = NodeDef(cls, flatten_fn, unflatten_fn, flatten_with_keys_fn)


def _register_pytree_node(cls, flatten_fn, unflatten_fn, *args, **kwargs):
    """`register_pytree_node` under its earlier name."""
    register_pytree_node(cls, flatten_fn, unflatten_fn, flatten_with_keys_fn=kwargs.get("flatten_with_keys_fn"))


def register_dataclass(cls, *, field_names=None, drop_field_names=None, serialized_type_name=None):
    """Makes a dataclass a container of its fields."""
    import dataclasses

    if field_names is None:
        field_names = [field.name for field in dataclasses.fields(cls) if field.init]
    names = [name for name in field_names if name not in (drop_field_names or ())]
    register_pytree_node(
        cls,
        lambda tree: ([getattr(tree, name) for name in names], None),
        lambda items, context: cls(**dict(zip(names, items))),
        flatten_with_keys_fn=lambda tree: ([(GetAttrKey(name), getattr(tree, name)) for name in names], None),
    )


def register_constant(cls):
    """Makes instances of a class part of the structure: they are no leaves."""
    register_pytree_node(cls, lambda tree: ([], tree), lambda items, context: context)


def _get_node_type(tree):
    cls = type(tree)
    return _Namedtuple if cls not in SUPPORTED_NODES and is_namedtuple_class(cls) else cls


def tree_is_leaf(tree, is_leaf=None):
    """Whether something is no container, or `is_leaf` says that it is to be taken for none."""
    return (is_leaf is not None and is_leaf(tree)) or _get_node_type(tree) not in SUPPORTED_NODES


_is_leaf = tree_is_leaf


# Structures


class TreeSpec:
    """The structure of nested containers without their leaves."""

    __slots__ = ("_children", "context", "num_children", "num_leaves", "num_nodes", "type", "_node")

    def __init__(self, type, context, children_specs, _node=None):
        self.type, self.context, self._children = type, context, list(children_specs)
        self._node = type if _node is None else _node
        self.num_children = len(self._children)
        self.num_nodes = 1 + sum(child.num_nodes for child in self._children)
        self.num_leaves = 1 if type is None else sum(child.num_leaves for child in self._children)

    @property
    def children_specs(self):
        return self._children

    def children(self):
        return list(self._children)

    def child(self, index):
        return self._children[index]

    def is_leaf(self):
        """Whether this is the structure of a single leaf."""
        return self.type is None

    def __eq__(self, other):
        if not isinstance(other, TreeSpec):
            return NotImplemented
        mine, theirs = self._parts(), other._parts()
        return mine[:2] == theirs[:2] and self._children == other._children

    def _parts(self):
        return self.type, self.context, self.num_children

    def __hash__(self):
        try:
            context = hash(self.context)
        except TypeError:
            context = hash(str(self.context))
        return hash((self.type, context, tuple(self._children)))

    def __repr__(self, indent=0):
        if self.type is None:
            return "*"
        pad = indent + 2
        parts = [child.__repr__(pad) for child in self._children]
        inner = (",\n" + " " * pad).join(parts)
        return f"TreeSpec({self.type.__name__}, {self.context}, [{inner}])"

    def unflatten(self, leaves):
        """Containers of this structure with other leaves."""
        leaves = list(leaves)
        if len(leaves) != self.num_leaves:
            raise ValueError(
                f"treespec.unflatten(leaves): `leaves` has length {len(leaves)} but the spec refers to a pytree that "
                f"holds {self.num_leaves} items ({self})."
            )
        return self._build(iter(leaves))

    def _build(self, leaves):
        if self.type is None:
            return next(leaves)
        return SUPPORTED_NODES[self._node].unflatten_fn(
            [child._build(leaves) for child in self._children], self.context
        )

    def flatten_up_to(self, tree):
        """The parts of a tree that stand where this structure has leaves."""
        found = []
        self._collect(tree, found)
        return found

    def _collect(self, tree, found):
        if self.type is None:
            found.append(tree)
            return
        node = _get_node_type(tree)
        if node not in SUPPORTED_NODES or (
            node is not self._node and not (node in STANDARD_DICT_TYPES and self._node in STANDARD_DICT_TYPES)
        ):
            raise ValueError(f"Node type mismatch; expected {self.type!r}, but got {type(tree)!r}.")
        children, context = SUPPORTED_NODES[node].flatten_fn(tree)
        if len(children) != self.num_children:
            raise ValueError(f"Node arity mismatch; expected {self.num_children}, but got {len(children)}.")
        if node in STANDARD_DICT_TYPES:
            keys = self.context[1] if self._node is defaultdict else self.context
            if set(keys) != set(tree):
                raise ValueError(
                    f"Node keys mismatch; expected {sorted(map(str, keys))}, got {sorted(map(str, tree))}."
                )
            children = [tree[key] for key in keys]
        elif self._node is not deque and context != self.context:
            raise ValueError(f"Node context mismatch for custom node type {self.type!r}.")
        for spec, child in zip(self._children, children):
            spec._collect(child, found)


class LeafSpec(TreeSpec):
    """The structure of a single leaf."""

    __slots__ = ()

    def __init__(self):
        super().__init__(None, None, [])


_LEAF_SPEC = LeafSpec()


# Taking apart and putting together


def _flatten(tree, leaves, is_leaf):
    if tree_is_leaf(tree, is_leaf):
        leaves.append(tree)
        return _LEAF_SPEC
    node = _get_node_type(tree)
    children, context = SUPPORTED_NODES[node].flatten_fn(tree)
    specs = [_flatten(child, leaves, is_leaf) for child in children]
    return TreeSpec(SUPPORTED_NODES[node].type, context, specs, node)


def tree_flatten(tree, is_leaf=None):
    """The leaves of nested containers, and their structure."""
    leaves = []
    spec = _flatten(tree, leaves, is_leaf)
    return leaves, spec


def tree_unflatten(leaves, treespec):
    """Containers of a structure with the given leaves."""
    if not isinstance(treespec, TreeSpec):
        raise TypeError(f"Expected `treespec` to be a TreeSpec, but got item of type {type(treespec)}.")
    return treespec.unflatten(leaves)


def tree_iter(tree, is_leaf=None):
    """The leaves one after the other."""
    if tree_is_leaf(tree, is_leaf):
        yield tree
    else:
        for child in SUPPORTED_NODES[_get_node_type(tree)].flatten_fn(tree)[0]:
            yield from tree_iter(child, is_leaf)


def tree_leaves(tree, is_leaf=None):
    """A list of the leaves."""
    return list(tree_iter(tree, is_leaf))


def tree_structure(tree, is_leaf=None):
    """The structure without the leaves."""
    return tree_flatten(tree, is_leaf)[1]


def arg_tree_leaves(*args, **kwargs):
    """The leaves of a call's arguments."""
    return tree_leaves((args, kwargs))


def _with_keys(tree, path, is_leaf):
    if tree_is_leaf(tree, is_leaf):
        yield path, tree
        return
    definition = SUPPORTED_NODES[_get_node_type(tree)]
    if definition.flatten_with_keys_fn is None:
        raise ValueError(
            f"Did not find a flatten_with_keys_fn for type: {type(tree)}. Please pass a flatten_with_keys_fn argument "
            "to register_pytree_node."
        )
    for key, child in definition.flatten_with_keys_fn(tree)[0]:
        yield from _with_keys(child, (*path, key), is_leaf)


def tree_leaves_with_path(tree, is_leaf=None):
    """Pairs of a path and the leaf that it leads to."""
    return list(_with_keys(tree, (), is_leaf))


def tree_flatten_with_path(tree, is_leaf=None):
    """Pairs of a path and the leaf that it leads to, and the structure."""
    return tree_leaves_with_path(tree, is_leaf), tree_structure(tree, is_leaf)


# Functions of every leaf


def tree_map(func, tree, *rests, is_leaf=None):
    """`func` of every leaf, and of what stands in its place in other trees."""
    leaves, spec = tree_flatten(tree, is_leaf)
    return spec.unflatten(map(func, leaves, *(spec.flatten_up_to(rest) for rest in rests)))


def tree_map_(func, tree, *rests, is_leaf=None):
    """Calls `func` as `tree_map` does, and returns the tree itself."""
    leaves, spec = tree_flatten(tree, is_leaf)
    for parts in zip(leaves, *(spec.flatten_up_to(rest) for rest in rests)):
        func(*parts)
    return tree


def tree_map_with_path(func, tree, *rests, is_leaf=None):
    """`tree_map` with a function that is given the path first."""
    pairs, spec = tree_flatten_with_path(tree, is_leaf)
    others = [spec.flatten_up_to(rest) for rest in rests]
    return spec.unflatten(func(path, leaf, *parts) for (path, leaf), *parts in zip(pairs, *others))


def _test(chosen):
    """Whether a leaf is chosen: by type, types or a function."""
    if isinstance(chosen, (type, tuple)) or type(chosen).__name__ == "UnionType":
        return lambda leaf: isinstance(leaf, chosen)
    if callable(chosen):
        return chosen
    raise TypeError("Argument must be a type, a tuple of types, or a callable.")


def map_only(chosen, /):
    """A decorator: the function for chosen leaves, others as they are."""
    test = _test(chosen)
    return lambda func: lambda leaf: func(leaf) if test(leaf) else leaf


def tree_map_only(type_or_types_or_pred, /, func, tree, is_leaf=None):
    """`func` of the leaves of some types, others as they are."""
    return tree_map(map_only(type_or_types_or_pred)(func), tree, is_leaf=is_leaf)


def tree_map_only_(type_or_types_or_pred, /, func, tree, is_leaf=None):
    """Calls `func` for the leaves of some types, and returns the tree itself."""
    return tree_map_(map_only(type_or_types_or_pred)(func), tree, is_leaf=is_leaf)


def tree_all(pred, tree, is_leaf=None):
    """Whether `pred` holds for all leaves."""
    return all(map(pred, tree_iter(tree, is_leaf)))


def tree_any(pred, tree, is_leaf=None):
    """Whether `pred` holds for some leaf."""
    return any(map(pred, tree_iter(tree, is_leaf)))


def tree_all_only(type_or_types, /, pred, tree, is_leaf=None):
    """Whether `pred` holds for all leaves of some types."""
    return all(pred(leaf) for leaf in tree_iter(tree, is_leaf) if isinstance(leaf, type_or_types))


def tree_any_only(type_or_types, /, pred, tree, is_leaf=None):
    """Whether `pred` holds for some leaf of some types."""
    return any(pred(leaf) for leaf in tree_iter(tree, is_leaf) if isinstance(leaf, type_or_types))


def _broadcast_to_and_flatten(tree, treespec, is_leaf=None):
    """The leaves of a tree, repeated where a structure has more of them; None if it does not fit."""
    if tree_is_leaf(tree, is_leaf):
        return [tree] * treespec.num_leaves
    if treespec.is_leaf():
        return None
    node = _get_node_type(tree)
    children, context = SUPPORTED_NODES[node].flatten_fn(tree)
    if node is not treespec._node or len(children) != treespec.num_children or context != treespec.context:
        return None
    found = []
    for child, spec in zip(children, treespec.children_specs):
        part = _broadcast_to_and_flatten(child, spec, is_leaf)
        if part is None:
            return None
        found += part
    return found
