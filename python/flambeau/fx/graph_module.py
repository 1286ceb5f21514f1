"""Modules made of captured programs."""

import copy
import itertools
import linecache

import flambeau as torch

from ..nn import Module
from .graph import Graph

__all__ = ["GraphModule", "reduce_graph_module"]

_USER_PRESERVED_ATTRIBUTES_KEY = "_user_preserved_attributes"
_count = itertools.count()
_STATE = ("_state_dict_hooks", "_load_state_dict_pre_hooks", "_load_state_dict_post_hooks")


def _forward_from_src(src, globals, co_fields=None):
    """The function `forward` of a text, which tracebacks show."""
    name = f"<eval_with_key>.{next(_count)}"
    linecache.cache[name] = (len(src), None, src.splitlines(True), name)
    table = dict(globals)
    exec(compile(src, name, "exec"), table)
    return table["forward"]


def _copy_attr(from_module, to_module, target):
    """Copies what a path leads to, with empty modules on the way where there are none."""
    *prefix, field = target.split(".")
    for part in prefix:
        found, made = getattr(from_module, part), getattr(to_module, part, None)
        if found is made:  # it is there already, as it is
            return
        if made is None:
            made = Module()
            setattr(to_module, part, made)
        from_module, to_module = found, made
    value = getattr(from_module, field)
    if isinstance(value, torch.Tensor) and not isinstance(value, torch.nn.Parameter):
        to_module.register_buffer(
            field, value, persistent=field not in getattr(from_module, "_non_persistent_buffers_set", ())
        )
    else:
        setattr(to_module, field, value)


def _assign_attr(value, to_module, target):
    """Puts a value where a path leads, with empty modules on the way where there are none."""
    *prefix, field = target.split(".")
    for part in prefix:
        found = getattr(to_module, part, None)
        if found is None:
            found = Module()
            setattr(to_module, part, found)
        to_module = found
    if isinstance(value, torch.Tensor) and not isinstance(value, torch.nn.Parameter):
        to_module.register_buffer(field, value)
    else:
        setattr(to_module, field, value)


class _CodeOnlyModule(Module):
    """What a module has, without its graph."""

    def __init__(self, body):
        super().__init__()
        self.__dict__ = body


class GraphModule(Module):
    """A module whose `forward` is the text of a graph; assigning `graph`, or `recompile`, writes it anew.

    `root` is a module, of which what the graph names is taken, or a dict of such things by their paths.
    """

    def __new__(cls, *args, **kwargs):
        # `forward` is an attribute of the class, so that each has its own.
        for base in cls.__mro__:
            if base.__qualname__.rpartition(".")[2] != "GraphModuleImpl":
                cls = base
                break

        class GraphModuleImpl(cls):
            pass

        return super().__new__(GraphModuleImpl)

    def __init__(self, root, graph, class_name="GraphModule"):
        super().__init__()
        self.__class__.__name__ = class_name
        named = [node.target for node in graph.nodes if node.op in ("get_attr", "call_module")]
        if isinstance(root, Module):
            self.training = root.training
            for target in named:
                _copy_attr(root, self, target)
        elif isinstance(root, dict):
            for target in named:
                if target not in root:
                    raise RuntimeError(f"Node references target {target} but that target was not provided in ``root``!")
            for target in sorted(set(named), key=lambda text: text.count(".")):
                _assign_attr(root[target], self, target)
        else:
            raise RuntimeError(f"Unsupported type {root} passed for root!")
        self.graph = graph
        self._tracer_cls = None
        if graph._tracer_cls is not None and "<locals>" not in graph._tracer_cls.__qualname__:
            self._tracer_cls = graph._tracer_cls
        self.meta = {}

    @property
    def graph(self):
        """The program."""
        return self._graph

    @graph.setter
    def graph(self, g):
        if not isinstance(g, Graph):
            raise AssertionError(f"Expected a Graph instance, but got {type(g)}")
        self._graph = g
        g.owning_module = self
        self.recompile()

    @property
    def code(self):
        """The program's text in Python."""
        if "_code" not in self.__dict__:
            raise RuntimeError("Code has not been generated! Please report a bug to PyTorch")
        return self._code

    def recompile(self):
        """Writes the text of the graph, after changes of it."""
        made = self._graph.python_code(root_module="self")
        self._code = made.src
        type(self).forward = _forward_from_src(made.src, made.globals)
        return made

    def add_submodule(self, target, m):
        """Puts a module where a path leads; False where something else is on the way."""
        *prefix, field = target.split(".")
        found = self
        for part in prefix:
            if not hasattr(found, part):
                setattr(found, part, Module())
            found = getattr(found, part)
            if not isinstance(found, Module):
                return False
        found.add_module(field, m)
        return True

    def delete_submodule(self, target):
        """Takes out the module that a path leads to; False where there is none."""
        *prefix, field = target.split(".")
        found = self
        for part in prefix:
            found = getattr(found, part, None)
            if not isinstance(found, Module):
                return False
        if not isinstance(getattr(found, field, None), Module):
            return False
        delattr(found, field)
        return True

    def delete_all_unused_submodules(self):
        """Takes out the modules that the graph does not name."""
        used = set()
        for node in self.graph.nodes:
            if node.op in ("call_module", "get_attr"):
                parts = node.target.split(".")
                used.update(".".join(parts[: i + 1]) for i in range(len(parts)))
                if node.op == "call_module":
                    try:
                        inner = self.get_submodule(node.target)
                    except AttributeError:  # taken out already
                        continue
                    used.update(f"{node.target}.{name}" for name, _ in inner.named_modules() if name)
        for name in [name for name, _ in self.named_modules() if name and name not in used]:
            self.delete_submodule(name)

    def print_readable(self, print_output=True, **settings):
        """The module's text as a class; prints it too."""
        body = "\n".join("    " + line if line else line for line in self._code.strip("\n").splitlines())
        text = f"class {type(self).__name__}(torch.nn.Module):\n{body.rstrip()}\n"
        if print_output:
            print(text)
        return text

    def __str__(self):
        note = "# To see more debug info, please use `graph_module.print_readable()`"
        return "\n".join([super().__repr__(), self._code, note])

    def __copy__(self):
        made = GraphModule(self, self.graph)
        made.meta = getattr(self, "meta", {})
        return made

    def _deepcopy_init(self):
        return GraphModule.__init__

    def __deepcopy__(self, memo):
        made = type(self).__new__(type(self))
        memo[id(self)] = made
        fake = _CodeOnlyModule(copy.deepcopy(self.__dict__, memo))
        self._deepcopy_init()(made, fake, fake.__dict__["_graph"], type(self).__name__)
        for name in _STATE:
            if name in self.__dict__:
                setattr(made, name, copy.deepcopy(self.__dict__[name], memo))
        made.meta = copy.deepcopy(getattr(self, "meta", {}), memo)
        for name, value in made.meta.get(_USER_PRESERVED_ATTRIBUTES_KEY, {}).items():
            setattr(made, name, value)
        return made

    def __reduce__(self):
        body = {key: value for key, value in self.__dict__.items() if key not in ("_graph", "_code")}
        return reduce_graph_module, (body, self._graph, type(self).__name__)


def reduce_graph_module(body, graph, class_name="GraphModule"):
    """A module from a file."""
    made = GraphModule(_CodeOnlyModule(body), graph, class_name)
    made.__dict__.update({key: value for key, value in body.items() if key not in made.__dict__})
    made.training = body["training"]
    return made
