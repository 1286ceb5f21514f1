"""Names of PyTorch's graphs of programs that models mention. Programs are not captured here."""

from ..nn.modules.module import Module as _Module

__all__ = ["Graph", "GraphModule", "Node", "Proxy", "Tracer", "symbolic_trace", "wrap"]


class Proxy:
    """What stands for a value while a program is captured: there is never one."""


class Node:
    """An operation of a captured program: there is never one."""


class Graph:
    """A captured program: there is never one."""


class GraphModule(_Module):
    """A module made of a captured program: there is never one."""


class Tracer:
    """Captures programs in PyTorch."""

    def trace(self, root, concrete_args=None):
        raise NotImplementedError("torch.fx.Tracer: flambeau does not capture programs")


def symbolic_trace(root, concrete_args=None):
    """Programs are not captured."""
    raise NotImplementedError("torch.fx.symbolic_trace: flambeau does not capture programs")


def wrap(fn_or_name):
    """Marks a function that is not looked into: the function itself."""
    return fn_or_name
