"""Captured programs: nodes in order, and their text in Python."""

import builtins
import contextlib
import copy
import keyword
import re

from . import _codegen, _places
from .node import Node, _operator_name, map_arg

__all__ = ["Graph", "PythonCode"]

PythonCode = _codegen.PythonCode


class _Namespace:
    """Names that are taken, and new ones."""

    def __init__(self):
        self._used, self._next = set(), {}

    def create_name(self, candidate, obj=None):
        """A name like `candidate` that is a Python identifier and not taken."""
        candidate = re.sub(r"[^0-9a-zA-Z_]+", "_", candidate) or "_unnamed"
        if candidate[0].isdigit():
            candidate = f"_{candidate}"
        base, number = candidate, None
        found = re.match(r"(.*)_(\d+)$", candidate)
        if found is not None:
            base, number = found[1], int(found[2])
        if number is None or candidate in self._used:
            number = self._next.get(candidate, self._next.get(base, 0)) if number is None else self._next.get(base, 0)
        name = candidate
        while (
            name in self._used or keyword.iskeyword(name) or hasattr(builtins, name) or name in ("inf", "nan", "torch")
        ):
            number += 1
            name = f"{base}_{number}"
        self._used.add(name)
        self._next[base] = max(self._next.get(base, 0), number or 0)
        return name


class _Nodes:
    """The nodes of a graph in order."""

    def __init__(self, graph, direction="_next"):
        self.graph, self.direction = graph, direction

    def __len__(self):
        return self.graph._count

    def __iter__(self):
        root, node = self.graph._root, getattr(self.graph._root, self.direction)
        while node is not root:
            if not node._erased:
                yield node
            node = getattr(node, self.direction)

    def __reversed__(self):
        return _Nodes(self.graph, "_prev" if self.direction == "_next" else "_next")


class Graph:
    """A program as a list of nodes: its inputs, what is done with them, what it returns."""

    def __init__(self, owning_module=None, tracer_cls=None, tracer_extras=None):
        self._root = Node(self, "", "root", "", (), {})
        self._count, self._insert = 0, self._root.prepend
        self._names = _Namespace()
        self._owning_module, self._tracer_cls, self._tracer_extras = owning_module, tracer_cls, tracer_extras
        self._codegen = _codegen.CodeGen()

    @property
    def nodes(self):
        """The nodes in the order in which they run."""
        return _Nodes(self)

    @property
    def owning_module(self):
        """The module that the graph belongs to, if any."""
        return self._owning_module

    @owning_module.setter
    def owning_module(self, module):
        self._owning_module = module

    def find_nodes(self, *, op, target=None, sort=True):
        """The nodes of a kind, and of a target."""
        return [node for node in self.nodes if node.op == op and (target is None or node.target == target)]

    def output_node(self):
        """The node that tells what the program returns."""
        return next(node for node in reversed(self.nodes) if node.op == "output")

    def create_node(self, op, target, args=None, kwargs=None, name=None, type_expr=None):
        """Adds a node at the place of insertion, which is the end unless `inserting_before` or `inserting_after` moved it."""
        args, kwargs = () if args is None else args, {} if kwargs is None else kwargs
        if not isinstance(args, tuple) or not isinstance(kwargs, dict):
            raise AssertionError("args must be a tuple, kwargs must be a dict")
        target = _places.original(target)
        name = self._names.create_name(self._target_to_str(target) if name is None else name)
        node = Node(self, name, op, target, args, kwargs, type_expr)
        self._insert(node)
        self._count += 1
        return node

    @staticmethod
    def _target_to_str(target):
        if callable(target):
            name = _operator_name(target).rpartition(".")[2] if not hasattr(target, "__name__") else target.__name__
            found = _operator_name(target)
            if found.startswith("torch.") and name not in found:
                name = found.rpartition(".")[2]
        else:
            name = target
            if name.startswith("__") and name.endswith("__"):
                name = name[2:-2]
        return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name.replace(".", "_")).lower()

    def placeholder(self, name, type_expr=None, default_value=...):
        """An input of the program."""
        args = () if default_value is ... else (default_value,)
        return self.create_node("placeholder", name, args, type_expr=type_expr)

    def get_attr(self, qualified_name, type_expr=None):
        """An attribute of the module, by its path."""
        return self.create_node("get_attr", qualified_name, type_expr=type_expr)

    def call_module(self, module_name, args=None, kwargs=None, type_expr=None):
        """A call of a submodule, by its path."""
        return self.create_node("call_module", module_name, args, kwargs, type_expr=type_expr)

    def call_method(self, method_name, args=None, kwargs=None, type_expr=None):
        """A call of a method of the first argument."""
        return self.create_node("call_method", method_name, args, kwargs, type_expr=type_expr)

    def call_function(self, the_function, args=None, kwargs=None, type_expr=None, name=None):
        """A call of a function."""
        return self.create_node("call_function", the_function, args, kwargs, name, type_expr)

    def output(self, result, type_expr=None):
        """What the program returns."""
        return self.create_node("output", "output", (result,), type_expr=type_expr)

    def node_copy(self, node, arg_transform=lambda x: x):
        """A node like one of another graph; `arg_transform` gives the nodes here for those among its arguments."""
        args, kwargs = map_arg(node.args, arg_transform), map_arg(node.kwargs, arg_transform)
        made = self.create_node(node.op, node.target, args, kwargs, node.name, node.type)
        made.meta = copy.copy(node.meta)
        return made

    def graph_copy(self, g, val_map, return_output_node=False):
        """Copies the nodes of a graph, those in `val_map` apart; gives what it returned."""
        for node in g.nodes:
            if node in val_map:
                continue
            if node.op == "output":
                value = map_arg(node.args[0], lambda n: val_map[n])
                return (value, node) if return_output_node else value
            val_map[node] = self.node_copy(node, lambda n: val_map[n])
        return None

    def erase_node(self, to_erase):
        """Takes out a node that nothing uses."""
        if to_erase.users:
            raise RuntimeError(
                f"Tried to erase Node {to_erase} but it still had {len(to_erase.users)} users in the graph: {to_erase.users}!"
            )
        if to_erase.graph is not self:
            raise RuntimeError(f"Attempting to remove {to_erase} from wrong graph!")
        if to_erase._erased:
            return
        # It keeps its neighbours, so that a walk that stands at it goes on.
        to_erase._unlink()
        to_erase._erased = True
        self._count -= 1
        to_erase._set((), {})

    def inserting_before(self, n=None):
        """Nodes are put before `n` from now on, or in a `with` region; without it at the beginning."""
        return self._inserting(self._root.append if n is None else n.prepend, n)

    def inserting_after(self, n=None):
        """Nodes are put after `n` from now on, or in a `with` region; without it at the end."""
        if n is None:
            return self._inserting(self._root.prepend, n)
        place = [n]

        def insert(node):
            place[0].append(node)
            place[0] = node

        return self._inserting(insert, n)

    def _inserting(self, insert, n):
        if n is not None and n.graph is not self:
            raise AssertionError("Node to insert before is not in graph.")
        before, self._insert = self._insert, insert
        return _Region(self, before)

    def lint(self):
        """Looks whether the graph is well formed: names differ, arguments come before their users, targets exist."""
        seen, names = set(), set()
        for node in self.nodes:
            if node.graph is not self:
                raise RuntimeError(f"Node '{node}' does not belong to this Graph.")
            for argument in node._input_nodes:
                if argument.graph is not self:
                    raise RuntimeError(
                        f"Argument '{argument}' of Node '{node}' does not belong to this Graph, but was used as an argument!"
                    )
                if argument not in seen:
                    raise RuntimeError(
                        f"Argument '{argument}' of Node '{node}' was used before it has been defined! Please check that "
                        f"Nodes in the graph are topologically ordered\n{self}"
                    )
            if node.name in names:
                raise RuntimeError(f"Node redefined name {node.name}!")
            seen.add(node)
            names.add(node.name)
            if self._owning_module is not None and node.op in ("get_attr", "call_module"):
                found = self._owning_module
                for part in node.target.split("."):
                    if not hasattr(found, part):
                        raise RuntimeError(
                            f"Node {node} target {node.target} references nonexistent attribute {part} of {type(found).__name__}"
                        )
                    found = getattr(found, part)

    def eliminate_dead_code(self, is_impure_node=None):
        """Takes out what nothing uses, and says whether there was any."""
        self.lint()
        impure = Node.is_impure if is_impure_node is None else is_impure_node
        before = self._count
        for node in list(reversed(self.nodes)):
            if not node.users and not impure(node):
                self.erase_node(node)
        return self._count < before

    def python_code(self, root_module, **settings):
        """The program's text, with the values that it names."""
        return self._codegen.generate(self, root_module)

    def set_codegen(self, codegen):
        """Sets what makes the text."""
        self._codegen = codegen

    @contextlib.contextmanager
    def on_generate_code(self, make_transformer):
        """A region in which `make_transformer(None)` changes the lines of the text."""
        before = self._codegen.transform
        self._codegen.transform = make_transformer(before)
        try:
            yield
        finally:
            self._codegen.transform = before

    def process_inputs(self, *args):
        """Inputs as the placeholders take them: as they are."""
        return args

    def process_outputs(self, out):
        """The output as the program gives it."""
        return out

    def print_tabular(self):
        """Prints the nodes as a table; needs `tabulate`."""
        try:
            from tabulate import tabulate
        except ImportError:
            print(
                "`print_tabular` relies on the library `tabulate`, which could not be found on this machine. Run `pip install tabulate` to install the library."
            )
            raise
        rows = [[node.op, node.name, node.target, node.args, node.kwargs] for node in self.nodes]
        print(tabulate(rows, headers=["opcode", "name", "target", "args", "kwargs"]))

    def __str__(self):
        lines = [node.format_node() for node in self.nodes]
        return "graph():" + "".join(f"\n    {line}" for line in lines if line)

    def __deepcopy__(self, memo=None):
        memo = {} if memo is None else memo
        made = Graph(tracer_cls=self._tracer_cls)
        memo[id(self)] = made
        made._codegen = copy.copy(self._codegen)
        values = {}
        for node in self.nodes:
            values[node] = made.node_copy(node, lambda n: values[n])
            values[node].meta = copy.copy(node.meta)
        made._names = copy.deepcopy(self._names)
        return made

    def __reduce__(self):
        # A list: links from node to node would be followed as deep as the program is long.
        nodes = list(self.nodes)
        place = {node: _Place(i) for i, node in enumerate(nodes)}
        rows = [
            (n.op, _codegen.pickled(n.target), map_arg(n.args, place.get), map_arg(n.kwargs, place.get), n.name, n.type)
            for n in nodes
        ]
        return _restored, (rows, self._tracer_cls)


class _Place:
    """A node in a file: its number."""

    def __init__(self, number):
        self.number = number


def _restored(rows, tracer_cls):
    from .node import map_aggregate

    graph, nodes = Graph(tracer_cls=tracer_cls), []
    for op, target, args, kwargs, name, kind in rows:
        args, kwargs = (
            map_aggregate(part, lambda item: nodes[item.number] if isinstance(item, _Place) else item)
            for part in (args, kwargs)
        )
        nodes.append(graph.create_node(op, _codegen.unpickled(target), args, dict(kwargs), name, kind))
    return graph


class _Region:
    """Where nodes were put before a call of `inserting_before`, for the end of a `with` region."""

    def __init__(self, graph, before):
        self.graph, self.before = graph, before

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.graph._insert = self.before
