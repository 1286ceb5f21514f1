"""Captured programs: `symbolic_trace` runs a module with proxies for its inputs and records what is done with them.

The record is a `Graph` of nodes that can be changed; a `GraphModule` runs the Python that it is written as.
"""

from . import graph, graph_module, immutable_collections, node, passes, proxy
from ._symbolic_trace import PH, Tracer, symbolic_trace, wrap
from .graph import Graph
from .graph_module import GraphModule
from .interpreter import Interpreter, Transformer
from .node import Node, has_side_effect, map_arg
from .proxy import Proxy
from .subgraph_rewriter import replace_pattern

__all__ = [
    "Graph", "GraphModule", "Interpreter", "Node", "PH", "Proxy", "Tracer", "Transformer", "has_side_effect", "map_arg",
    "replace_pattern", "symbolic_trace", "wrap",
]  # fmt: skip
