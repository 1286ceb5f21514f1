"""Replacing parts of captured programs that have a form."""

from typing import NamedTuple

from ._symbolic_trace import symbolic_trace
from .graph import Graph
from .graph_module import GraphModule, _copy_attr
from .node import Node

__all__ = ["Match", "replace_pattern"]


class Match(NamedTuple):
    """A part that has the form: its last node, and the nodes that stand for those of the pattern."""

    anchor: Node
    nodes_map: dict


def _graph(form):
    if isinstance(form, Graph):
        return form
    return form.graph if isinstance(form, GraphModule) else symbolic_trace(form).graph


def _same(pattern, node, found):
    """Whether what leads to a node has the form of what leads to a node of the pattern."""
    if not isinstance(pattern, Node) or not isinstance(node, Node):
        return type(pattern) is type(node) and pattern == node
    if pattern in found:
        return found[pattern] is node
    if pattern.op == "placeholder":
        found[pattern] = node
        return True
    if pattern.op != node.op or pattern.target != node.target:
        return False
    found[pattern] = node
    return _all(pattern.args, node.args, found) and _all(pattern.kwargs, node.kwargs, found)


def _all(pattern, value, found):
    if isinstance(pattern, Node) or isinstance(value, Node):
        return _same(pattern, value, found) if isinstance(pattern, Node) else False
    if isinstance(pattern, (tuple, list)):
        if not isinstance(value, (tuple, list)) or len(pattern) != len(value):
            return False
        return all(_all(a, b, found) for a, b in zip(pattern, value))
    if isinstance(pattern, dict):
        return (
            isinstance(value, dict)
            and set(pattern) == set(value)
            and all(_all(pattern[k], value[k], found) for k in pattern)
        )
    return type(pattern) is type(value) and pattern == value


def replace_pattern(gm, pattern, replacement):
    """Replaces the parts of a module's program that have the form of `pattern`, which do not overlap, and lists them."""
    form, new = _graph(pattern), _graph(replacement)
    last = form.output_node().args[0]
    if not isinstance(last, Node):
        raise NotImplementedError("replace_pattern: flambeau replaces patterns that return one value")
    inputs = [node for node in form.nodes if node.op == "placeholder"]
    used, matches = set(), []
    for node in gm.graph.nodes:
        found = {}
        if node.op in ("placeholder", "output") or not _same(last, node, found):
            continue
        inner = {value for key, value in found.items() if key.op != "placeholder"}
        # What is replaced may be used by nothing else, but for its result, and by no other replacement.
        if inner & used or any(user not in inner for value in inner - {node} for user in value.users):
            continue
        used |= inner
        matches.append(Match(node, found))
    for match in matches:
        values = dict(zip([n for n in new.nodes if n.op == "placeholder"], [match.nodes_map[n] for n in inputs]))
        with gm.graph.inserting_before(match.anchor):
            result = gm.graph.graph_copy(new, values)
        match.anchor.replace_all_uses_with(result)
        for other in matches:  # inputs of later parts may have been replaced
            for key, value in other.nodes_map.items():
                if value is match.anchor and key.op == "placeholder":
                    other.nodes_map[key] = result
        for inner in sorted((v for k, v in match.nodes_map.items() if k.op != "placeholder"), reverse=True):
            if not inner.users and not inner._erased:
                gm.graph.erase_node(inner)
    if isinstance(replacement, GraphModule):
        for node in new.nodes:
            if node.op in ("call_module", "get_attr") and not _has(gm, node.target):
                _copy_attr(replacement, gm, node.target)
    gm.recompile()
    return matches


def _has(module, target):
    for part in target.split("."):
        if not hasattr(module, part):
            return False
        module = getattr(module, part)
    return True
