"""Stand-ins for values, which record what is done with them."""

import dis
import inspect
import operator

from . import _places
from .node import Node

__all__ = ["Attribute", "GraphAppendingTracer", "ParameterProxy", "Proxy", "TraceError", "TracerBase"]


class TraceError(ValueError):
    """A program asks of a value what is not known while it is captured."""


class TracerBase:
    """What makes nodes and proxies of operations on proxies."""

    graph = None
    trace_asserts = False
    proxy_buffer_attributes = False
    traced_func_name = "forward"
    iter_limit = 100

    def create_node(self, kind, target, args, kwargs, name=None, type_expr=None):
        """Adds a node to the graph."""
        return self.graph.create_node(kind, target, args, kwargs, name, type_expr)

    def proxy(self, node):
        """A proxy for a node."""
        return Proxy(node, self)

    def create_proxy(self, kind, target, args, kwargs, name=None, type_expr=None, proxy_factory_fn=None):
        """A node of an operation with proxies among its arguments, and a proxy for the result."""
        args, kwargs = self.create_arg(tuple(args)), self.create_arg(dict(kwargs))
        node = self.create_node(kind, target, args, kwargs, name, type_expr)
        return self.proxy(node) if proxy_factory_fn is None else proxy_factory_fn(node)

    def create_arg(self, a):
        """What stands in a node for an argument."""
        if isinstance(a, Proxy):
            return a.node
        if isinstance(a, tuple):
            items = [self.create_arg(item) for item in a]
            return type(a)(*items) if hasattr(a, "_fields") else tuple(items)
        if isinstance(a, list):
            return [self.create_arg(item) for item in a]
        if isinstance(a, dict):
            keys = [self.create_arg(key) for key in a]
            for key in keys:
                if isinstance(key, Node):
                    raise RuntimeError(
                        f"Keys for dictionaries used as an argument cannot contain a Node. Got key: {key}"
                    )
            return dict(zip(keys, [self.create_arg(item) for item in a.values()]))
        if isinstance(a, slice):
            return slice(*(self.create_arg(item) for item in (a.start, a.stop, a.step)))
        if isinstance(a, range):
            return range(*(self.create_arg(item) for item in (a.start, a.stop, a.step)))
        return _places.original(a)

    def to_bool(self, obj):
        """Called where a proxy decides what is done next."""
        raise TraceError("symbolically traced variables cannot be used as inputs to control flow")

    def iter(self, obj):
        """Called where a proxy is iterated over: taken apart into a number of names it can be."""
        frame = inspect.currentframe().f_back.f_back
        for instruction in dis.get_instructions(frame.f_code):
            if instruction.offset == _next_instruction(frame) and instruction.opname == "UNPACK_SEQUENCE":
                return (obj[i] for i in range(instruction.argval))
        raise TraceError(
            "Proxy object cannot be iterated. This can be attempted when the Proxy is used in a loop or as a *args or "
            "**kwargs function argument. See the torch.fx docs on pytorch.org for a more detailed explanation of what "
            "types of control flow can be traced, and check out the Proxy docstring for help troubleshooting Proxy "
            "iteration errors"
        )

    def keys(self, obj):
        """Called where the keys of a proxy are asked for, as in `**x`."""
        return Attribute(obj, "keys")()


def _next_instruction(frame):
    """The offset of the instruction that a frame is at."""
    return frame.f_lasti


class GraphAppendingTracer(TracerBase):
    """Adds to the end of a graph what is done with proxies."""

    def __init__(self, graph):
        self.graph = graph


class Proxy:
    """A stand-in for a value of a program that is captured: what is done with it becomes nodes.

    Its value is not known: it cannot decide what is done next, nor be iterated over.
    """

    def __init__(self, node, tracer=None):
        self.tracer = GraphAppendingTracer(node.graph) if tracer is None else tracer
        self.node = node
        _places.enter()
        self._counted = True

    def __del__(self):
        if self.__dict__.get("_counted"):
            _places.leave()

    def __deepcopy__(self, memo):
        return Proxy(self.node, self.tracer)

    def __repr__(self):
        return f"Proxy({self.node.name})"

    def __getattr__(self, k):
        # What Python's own protocols look for, a proxy does not have.
        if k in ("_counted", "__array__", "__array_interface__", "__array_struct__", "__index__", "__len_hint__"):
            raise AttributeError(k)
        return Attribute(self, k)

    def __getstate__(self):
        return {"node": self.node, "tracer": self.tracer}

    def __setstate__(self, state):
        self.__init__(state["node"], state["tracer"])

    def __call__(self, *args, **kwargs):
        return self.tracer.create_proxy("call_method", "__call__", (self, *args), kwargs)

    def __iter__(self):
        return self.tracer.iter(self)

    def __abs__(self):
        return self.tracer.create_proxy("call_function", operator.abs, (self,), {})

    def __bool__(self):
        return self.tracer.to_bool(self)

    def __len__(self):
        raise RuntimeError(
            "'len' is not supported in symbolic tracing by default. If you want this call to be recorded, please call "
            "torch.fx.wrap('len') at module scope"
        )

    def __setitem__(self, indices, values):
        raise TypeError(f"'{type(self).__name__}' object does not support item assignment")

    def keys(self):
        """What `**x` asks for."""
        return self.tracer.keys(self)

    @classmethod
    def __torch_function__(cls, orig_method, types, args=(), kwargs=None):
        from flambeau import Tensor

        kwargs = {} if kwargs is None else kwargs
        found = _places._proxy((args, kwargs))
        name = getattr(orig_method, "__name__", None)
        if name is not None and not inspect.isbuiltin(orig_method) and getattr(Tensor, name, None) is orig_method:
            return found.tracer.create_proxy("call_method", name, args, kwargs)
        return found.tracer.create_proxy("call_function", _places.original(orig_method), args, kwargs)


class Attribute(Proxy):
    """An attribute of a proxy: a method if it is called, a node of its own otherwise."""

    def __init__(self, root, attr):
        self.root, self.attr, self.tracer = root, attr, root.tracer
        self._node = None

    @property
    def node(self):
        """The node that takes the attribute, made when it is asked for."""
        if self._node is None:
            self._node = self.tracer.create_proxy("call_function", getattr, (self.root, self.attr), {}).node
        return self._node

    def __call__(self, *args, **kwargs):
        return self.tracer.create_proxy("call_method", self.attr, (self.root, *args), kwargs)


class ParameterProxy(Proxy):
    """A proxy for a parameter, whose shape is known."""

    def __init__(self, tracer, node, name, param):
        super().__init__(node, tracer)
        self.param, self.name = param, name

    def __repr__(self):
        return f"ParameterProxy({self.name})"

    @property
    def shape(self):
        """The parameter's shape."""
        return self.param.shape

    def size(self):
        """The parameter's shape."""
        return self.param.size()

    def dim(self):
        """How many dimensions the parameter has."""
        return self.param.dim()

    @property
    def ndim(self):
        """How many dimensions the parameter has."""
        return self.param.ndim

    def numel(self):
        """How many elements the parameter has."""
        return self.param.numel()

    def nelement(self):
        """How many elements the parameter has."""
        return self.param.nelement()


MAGIC = """add sub mul floordiv truediv mod pow lshift rshift and_ or_ xor matmul getitem eq ne lt gt le ge pos neg invert
    divmod""".split()
REFLECTED = "add sub mul floordiv truediv mod pow lshift rshift and_ or_ xor matmul".split()


def _forward(name):
    target = divmod if name == "divmod" else getattr(operator, name)

    def method(self, *args, **kwargs):
        return self.tracer.create_proxy("call_function", target, (self, *args), kwargs)

    method.__name__ = f"__{name.strip('_')}__"
    return method


def _reflected(name):
    target = getattr(operator, name)

    def method(self, rhs):
        return self.tracer.create_proxy("call_function", target, (rhs, self), {})

    method.__name__ = f"__r{name.strip('_')}__"
    return method


for _name in MAGIC:
    setattr(Proxy, f"__{_name.strip('_')}__", _forward(_name))
for _name in REFLECTED:
    setattr(Proxy, f"__r{_name.strip('_')}__", _reflected(_name))
Proxy.__hash__ = object.__hash__
