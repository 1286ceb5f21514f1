"""Operations of a captured program, and walks over their arguments."""

import builtins
import inspect

import flambeau as torch

from .immutable_collections import immutable_dict, immutable_list

__all__ = ["Argument", "Node", "Target", "has_side_effect", "map_aggregate", "map_arg"]

Argument = object
Target = object

_SIDE_EFFECTS = set()
OPS = ("placeholder", "call_method", "call_module", "call_function", "get_attr", "output", "root")


def has_side_effect(fn):
    """Marks a function whose calls are kept though nothing uses their results."""
    _SIDE_EFFECTS.add(fn)
    return fn


def map_aggregate(a, fn):
    """Nested tuples, lists, dicts and slices with `fn` of each item in its place."""
    if isinstance(a, tuple):
        items = [map_aggregate(item, fn) for item in a]
        return type(a)(*items) if hasattr(a, "_fields") else tuple(items)
    if isinstance(a, list):
        return immutable_list([map_aggregate(item, fn) for item in a])
    if isinstance(a, dict):
        return immutable_dict([(key, map_aggregate(item, fn)) for key, item in a.items()])
    if isinstance(a, slice):
        return slice(*(map_aggregate(item, fn) for item in (a.start, a.stop, a.step)))
    return fn(a)


def map_arg(a, fn):
    """Nested arguments with `fn` of each node in its place."""
    if not callable(fn):
        raise AssertionError("torch.fx.map_arg(a, fn): fn must be a callable")
    return map_aggregate(a, lambda item: fn(item) if isinstance(item, Node) else item)


def _operator_name(func):
    """The name by which a function can be found, `torch.nn.functional.relu` or `operator.add`."""
    from ._places import names

    found = names().get(id(func))
    if found is not None:
        return found
    if getattr(builtins, getattr(func, "__name__", ""), None) is func:
        return f"builtins.{func.__name__}"
    name = getattr(func, "__name__", None)
    if name is None:
        return repr(func)
    module = getattr(func, "__module__", None) or "torch"
    if module.partition(".")[0] == "flambeau":
        module = "torch" + module[len("flambeau") :]
    return ("operator" if module == "_operator" else module) + "." + name


class Node:
    """An operation in a `Graph`: what is done, to what, and who uses the result.

    `op` is one of placeholder, get_attr, call_function, call_module, call_method and output; `target` says which
    input, attribute, function, module or method.
    """

    def __init__(self, graph, name, op, target, args, kwargs, return_type=None):
        if op not in OPS:
            raise AssertionError(f"op '{op}' is not one of {OPS}")
        if op == "call_function":
            if not callable(target):
                raise ValueError(
                    f"Node [graph = {graph}, name = '{name}'] target {target} has type {type(target)} but a Callable is expected"
                )
        elif not isinstance(target, str):
            raise ValueError(
                f"Node [graph = {graph}, name = '{name}'] target {target} has type {type(target)} but a str is expected"
            )
        self.graph, self.name, self.op, self.target, self.type = graph, name, op, target, return_type
        self._input_nodes, self.users, self.meta = {}, {}, {}
        self._prev = self._next = self
        self._erased = False
        self._args, self._kwargs = (), {}
        self._set(args, kwargs)

    @property
    def next(self):
        """The node after this one."""
        return self._next

    @property
    def prev(self):
        """The node before this one."""
        return self._prev

    @property
    def args(self):
        """Arguments by position. Assign to change them."""
        return self._args

    @args.setter
    def args(self, values):
        self._set(values, self._kwargs)

    @property
    def kwargs(self):
        """Arguments by name. Assign to change them."""
        return self._kwargs

    @kwargs.setter
    def kwargs(self, values):
        self._set(self._args, values)

    @property
    def all_input_nodes(self):
        """The nodes among the arguments, each once."""
        return list(self._input_nodes)

    def _set(self, args, kwargs):
        for node in self._input_nodes:
            node.users.pop(self, None)
        self._input_nodes = {}

        def use(node):
            self._input_nodes.setdefault(node)
            node.users.setdefault(self)
            return node

        self._args, self._kwargs = map_arg(tuple(args), use), map_arg(dict(kwargs), use)

    def prepend(self, x):
        """Moves `x` before this node."""
        if x.graph is not self.graph:
            raise AssertionError("Attempting to move a Node into a different Graph")
        if x is self:
            return
        x._unlink()
        before = self._prev
        before._next, x._prev = x, before
        x._next, self._prev = self, x

    def append(self, x):
        """Moves `x` after this node."""
        self._next.prepend(x)

    def _unlink(self):
        self._prev._next, self._next._prev = self._next, self._prev

    def update_arg(self, idx, arg):
        """Changes the argument at a place."""
        args = list(self._args)
        args[idx] = arg
        self.args = tuple(args)

    def insert_arg(self, idx, arg):
        """Puts an argument at a place, before what is there."""
        if not 0 <= idx <= len(self._args):
            raise AssertionError("insert_args index must be between 0 and len(self.args)")
        self.args = (*self._args[:idx], arg, *self._args[idx:])

    def update_kwarg(self, key, arg):
        """Changes the argument of a name."""
        self.kwargs = {**self._kwargs, key: arg}

    def replace_input_with(self, old_input, new_input):
        """Uses `new_input` wherever `old_input` is an argument."""

        def swap(node):
            return new_input if node is old_input else node

        self._set(map_arg(self._args, swap), map_arg(self._kwargs, swap))

    def replace_all_uses_with(self, replace_with, delete_user_cb=None, *, propagate_meta=False):
        """Lets all users use another node, and returns them; `delete_user_cb(user)` may keep some from it."""
        if propagate_meta:
            if replace_with.meta:
                raise AssertionError(
                    "Called node.replace_all_uses_with(replace_with, propagate_meta=True), but replace_with already has .meta keys"
                )
            replace_with.meta.update(self.meta)
        changed = [user for user in list(self.users) if delete_user_cb is None or delete_user_cb(user)]
        for user in changed:
            user.replace_input_with(self, replace_with)
        return changed

    def is_impure(self, impure_random=True):
        """Whether the operation may not be left out though nothing uses its result."""
        if self.op in ("placeholder", "output"):
            return True
        if self.op == "call_function":
            name = getattr(self.target, "__name__", "")
            return self.target in _SIDE_EFFECTS or (name.endswith("_") and not name.endswith("__"))
        return self.op == "call_method" and self.target.endswith("_") and not self.target.endswith("__")

    def normalized_arguments(self, root, arg_types=None, kwarg_types=None, normalize_to_only_use_kwargs=False):
        """The arguments as the target's signature names them, `(args, kwargs)`; None where it has no signature."""
        target = self.target if self.op == "call_function" else None
        if self.op == "call_module":
            target = root.get_submodule(self.target).forward
        try:
            bound = inspect.signature(target).bind(*self._args, **self._kwargs)
        except (TypeError, ValueError):
            return None
        bound.apply_defaults()
        if normalize_to_only_use_kwargs:
            return (), dict(bound.arguments)
        return bound.args, bound.kwargs

    def format_node(self, placeholder_names=None, maybe_return_typename=None, **more):
        """A line that tells all of the node; for an output what is returned."""
        kind = f" : {_type_name(self.type)} " if self.type is not None else " : "
        if self.op == "placeholder":
            if placeholder_names is not None:
                placeholder_names.append(f"%{self.target}" + kind.rstrip(" :"))
            default = f"(default={self._args[0]})" if self._args else ""
            return f"%{self.name}{kind}[num_users={len(self.users)}] = placeholder[target={self.target}]{default}"
        if self.op == "get_attr":
            return f"%{self.name}{kind}[num_users={len(self.users)}] = get_attr[target={self.target}]"
        if self.op == "output":
            return f"return {self._args[0]}"
        args, kwargs = _shown(self._args), _shown(self._kwargs)
        return (
            f"%{self.name}{kind}[num_users={len(self.users)}] = {self.op}[target={self._pretty_print_target(self.target)}]"
            f"(args = {args}, kwargs = {kwargs})"
        )

    def _pretty_print_target(self, target):
        return target if isinstance(target, str) else _operator_name(target)

    def __repr__(self):
        return self.name

    def __lt__(self, other):
        return self._position() < other._position()

    def __gt__(self, other):
        return self._position() > other._position()

    def __le__(self, other):
        return self is other or self < other

    def __ge__(self, other):
        return self is other or self > other

    def _position(self):
        for i, node in enumerate(self.graph.nodes):
            if node is self:
                return i
        raise RuntimeError(f"{self.name} is not in its graph any more")


def _type_name(kind):
    if isinstance(kind, type) and kind.__module__ == "builtins":
        return kind.__name__
    name = getattr(kind, "__qualname__", None)
    return repr(kind) if name is None else f"{kind.__module__}.{name}".replace("flambeau", "torch", 1)


def _shown(value):
    """Nested arguments with nodes as `%name`."""
    if isinstance(value, Node):
        return f"%{value.name}"
    if isinstance(value, tuple):
        return "(" + ", ".join(map(_shown, value)) + ("," if len(value) == 1 else "") + ")"
    if isinstance(value, list):
        return "[" + ", ".join(map(_shown, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_shown(item)}" for key, item in value.items()) + "}"
    return str(value)


has_side_effect(print)
has_side_effect(torch._assert)
