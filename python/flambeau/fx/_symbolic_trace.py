"""Capturing programs: they are run with proxies for their inputs."""

import builtins
import contextlib
import functools
import inspect
import math
import threading

import flambeau as torch

from . import _places
from .graph import Graph
from .graph_module import GraphModule
from .proxy import ParameterProxy, TracerBase

__all__ = ["PH", "Tracer", "is_fx_tracing", "symbolic_trace", "wrap"]

_wrapped = {}  # (id of a table of globals, name) -> the table
_local = threading.local()
_MISSING = object()


class _Placeholder:
    def __repr__(self):
        return "PH"


PH = _Placeholder()


def is_fx_tracing():
    """Whether a program is being captured in this thread."""
    return getattr(_local, "depth", 0) > 0


is_fx_symbolic_tracing = is_fx_tracing


def wrap(fn_or_name):
    """Marks a function of the module that calls this, given itself or by name, that is recorded and not looked into."""
    if not callable(fn_or_name) and not isinstance(fn_or_name, str):
        raise RuntimeError("Unsupported type for global function! Must be either a callable or string name")
    name = fn_or_name if isinstance(fn_or_name, str) else fn_or_name.__name__
    frame = inspect.currentframe().f_back
    if frame.f_code.co_name != "<module>":
        raise NotImplementedError("wrap must be called at the top level of a module")
    _wrapped[id(frame.f_globals), name] = frame.f_globals
    return fn_or_name


class Tracer(TracerBase):
    """Captures a module or a function as a `Graph`. Methods can be overridden to change what is recorded."""

    def __init__(self, autowrap_modules=(math,), autowrap_functions=(), param_shapes_constant=False):
        super().__init__()
        self._functions = {
            id(value): value
            for module in autowrap_modules
            for name, value in vars(module).items()
            if not name.startswith("_") and callable(value)
        }
        self._functions.update((id(function), function) for function in autowrap_functions)
        self._modules = autowrap_modules
        self.param_shapes_constant = param_shapes_constant
        self.submodule_paths = None
        self.root = None

    def create_arg(self, a):
        """Parameters, tensors and modules' attributes become nodes that take them from the module."""
        if isinstance(a, torch.nn.Parameter):
            for name, parameter in self.root.named_parameters():
                if a is parameter:
                    return self.create_node("get_attr", name, (), {})
            raise NameError("parameter is not a member of this module")
        if isinstance(a, torch.Tensor):
            for name, buffer in self.root.named_buffers():
                if a is buffer:
                    return self.create_node("get_attr", name, (), {})
            found = self.tensor_attrs.get(id(a))
            if found is None:
                number = 0
                while hasattr(self.root, f"_tensor_constant{number}"):
                    number += 1
                found = f"_tensor_constant{number}"
                self.tensor_attrs[id(a)] = found
                setattr(self.root, found, a)
            return self.create_node("get_attr", found, (), {})
        return super().create_arg(a)

    def is_leaf_module(self, m, module_qualified_name):
        """Whether calls of a module are recorded as they are: those of torch's layers, `Sequential` apart."""
        space = m.__module__.partition(".nn")[0]
        own = m.__module__.startswith(("torch.nn", "torch.ao.nn", "flambeau.nn")) and space in (
            "torch",
            "torch.ao",
            "flambeau",
        )
        return own and not isinstance(m, torch.nn.Sequential)

    def path_of_module(self, mod):
        """The path of a submodule."""
        if self.submodule_paths is not None:
            path = self.submodule_paths.get(mod)
            if path is not None:
                return path
        for name, module in self.root.named_modules():
            if module is mod:
                return name
        raise NameError("module is not installed as a submodule")

    def call_module(self, m, forward, args, kwargs):
        """Called for every call of a module: records it, or runs its `forward`."""
        path = self.path_of_module(m)
        if self.is_leaf_module(m, path):
            return self.create_proxy("call_module", path, args, kwargs)
        return forward(*args, **kwargs)

    def getattr(self, attr, attr_val, parameter_proxy_cache):
        """Called for parameters of modules, and for buffers if `proxy_buffer_attributes`: a proxy for them."""

        def find(pairs, make=None):
            for name, value in pairs:
                if attr_val is value:
                    if name not in parameter_proxy_cache:
                        more = {"proxy_factory_fn": make(name)} if make is not None else {}
                        parameter_proxy_cache[name] = self.create_proxy("get_attr", name, (), {}, **more)
                    return parameter_proxy_cache[name]
            return None

        if isinstance(attr_val, torch.nn.Parameter):
            make = (
                (lambda name: lambda node: ParameterProxy(self, node, name, attr_val))
                if self.param_shapes_constant
                else None
            )
            found = find(self.root.named_parameters(), make)
            if found is not None:
                return found
        if self.proxy_buffer_attributes and isinstance(attr_val, torch.Tensor):
            found = find(self.root.named_buffers())
            if found is not None:
                return found
        return attr_val

    def create_args_for_root(self, root_fn, is_module, concrete_args=None):
        """The function to run, and its arguments: the module if it is one's `forward`, and proxies."""
        code = inspect.unwrap(root_fn).__code__
        names = iter(code.co_varnames)
        count = code.co_argcount + code.co_kwonlyargcount
        fn = root_fn
        args = []
        if is_module:
            if not code.co_argcount:
                raise RuntimeError("``self`` argument cannot be part of *args expansion!")
            next(names)
            args.append(self.root)
            count -= 1
        parameters = inspect.signature(fn).parameters
        concrete = dict(concrete_args) if isinstance(concrete_args, dict) else None

        def proxy(name):
            if concrete is not None and name in concrete and concrete[name] is not PH:
                return concrete[name]
            plain = name.lstrip("*")
            default = ()
            kind = None
            if not name.startswith("*") and plain in parameters:
                found = parameters[plain]
                default = () if found.default is inspect.Parameter.empty else (found.default,)
            annotation = getattr(inspect.unwrap(root_fn), "__annotations__", {}).get(plain)
            kind = annotation
            return self.create_proxy("placeholder", name, default, {}, type_expr=kind)

        by_place = code.co_argcount - (1 if is_module else 0)
        args += [proxy(next(names)) for _ in range(by_place)]
        named = {name: proxy(name) for name in [next(names) for _ in range(code.co_kwonlyargcount)]}
        several, rest = None, None
        if code.co_flags & inspect.CO_VARARGS:
            several = proxy("*" + next(names))
        if code.co_flags & inspect.CO_VARKEYWORDS:
            rest = proxy("**" + next(names))
        self._by_name, self._several, self._rest = named, several, rest
        return fn, args

    def trace(self, root, concrete_args=None):
        """The graph of a module or function; arguments in `concrete_args` have the values given there."""
        if isinstance(root, torch.nn.Module):
            self.root = root
            if not hasattr(type(root), self.traced_func_name):
                raise AssertionError(f"traced_func_name={self.traced_func_name} doesn't exist in {type(root).__name__}")
            function, is_module = getattr(type(root), self.traced_func_name), True
            self.submodule_paths = {module: name for name, module in root.named_modules()}
            if "forward" in root.__dict__ and self.traced_func_name == "forward":
                raise NotImplementedError(
                    "torch.fx: a module whose instance has a 'forward' of its own is not captured"
                )
        else:
            self.root, function, is_module = torch.nn.Module(), root, False
            self.submodule_paths = None
        self.graph = Graph(tracer_cls=getattr(self, "__class__", None))
        self.tensor_attrs = {}
        self._collect(self.root, [])
        if not hasattr(function, "__code__"):
            function = _plain(function)
        self._by_name = {}
        fn, args = self.create_args_for_root(function, is_module, concrete_args)
        cache = {}
        _local.depth = getattr(_local, "depth", 0) + 1
        try:
            with (
                _places.everywhere(),
                _modules(self, cache),
                _globals(self, fn.__globals__ if hasattr(fn, "__globals__") else {}),
            ):
                result = _run(fn, args, self._by_name, getattr(self, "_several", None), getattr(self, "_rest", None))
                kind = getattr(fn, "__annotations__", {}).get("return")
                self.create_node("output", "output", (self.create_arg(result),), {}, type_expr=kind)
        finally:
            _local.depth -= 1
            self.submodule_paths = self._several = self._rest = None
            self._by_name = {}
        return self.graph

    def _collect(self, module, path):
        for name, value in module.__dict__.items():
            if isinstance(value, torch.Tensor):
                self.tensor_attrs.setdefault(id(value), ".".join([*path, name]))
        for name, child in module.named_children():
            self._collect(child, [*path, name])


def _plain(function):
    """A function of Python that calls something else, a `partial` or an object."""
    signature = inspect.signature(function)
    names = ", ".join(
        ("*" if p.kind is p.VAR_POSITIONAL else "**" if p.kind is p.VAR_KEYWORD else "") + p.name
        for p in signature.parameters.values()
    )
    table = {"_function": function}
    exec(f"def forward({names}):\n    return _function({names})\n", table)
    return table["forward"]


def _run(fn, args, named, several, rest):
    """Calls a function with proxies, those for `*args` and `**kwargs` too, which a call cannot pass as they are."""
    if several is None and rest is None:
        return fn(*args, **named)
    code = inspect.unwrap(fn).__code__
    flags = code.co_flags & ~(inspect.CO_VARARGS | inspect.CO_VARKEYWORDS)
    more = [value for value in (several, rest) if value is not None]
    count = code.co_argcount + code.co_kwonlyargcount + len(more)
    changed = code.replace(co_flags=flags, co_argcount=count, co_kwonlyargcount=0, co_posonlyargcount=0)
    made = type(fn)(changed, fn.__globals__, fn.__name__, None, fn.__closure__)
    return made(*args, *named.values(), *more)


@contextlib.contextmanager
def _modules(tracer, cache):
    """Calls of modules and reads of their parameters go to the tracer."""
    cls = torch.nn.Module
    call, read = cls.__call__, cls.__getattr__

    @functools.wraps(call, assigned=("__doc__",), updated=())
    def module_call(mod, *args, **kwargs):
        def forward(*args, **kwargs):
            return call(mod, *args, **kwargs)

        return tracer.call_module(mod, forward, args, kwargs)

    def module_getattr(mod, name):
        return tracer.getattr(name, read(mod, name), cache)

    cls.__call__, cls.__getattr__ = module_call, module_getattr
    try:
        yield
    finally:
        cls.__call__, cls.__getattr__ = call, read


@contextlib.contextmanager
def _globals(tracer, table):
    """Functions marked by `wrap`, and those that the tracer was told of, are recorded where they are called with proxies."""
    changed = []

    def put(table, name, function):
        changed.append((table, name, table.get(name, _MISSING)))
        table[name] = _places.recording(function)

    tables = {id(table): table}
    for (_, name), found in list(_wrapped.items()):
        function = found.get(name, getattr(builtins, name, None))
        if function is not None and type(function) is not _places.recording:
            put(found, name, function)
    for module in tracer._modules:
        for name, value in list(vars(module).items()):
            if id(value) in tracer._functions:
                put(vars(module), name, value)
    for found in tables.values():
        for name, value in list(found.items()):
            if id(value) in tracer._functions and tracer._functions[id(value)] is value:
                put(found, name, value)
    try:
        yield
    finally:
        for found, name, before in reversed(changed):
            if before is _MISSING:
                del found[name]
            else:
                found[name] = before


def symbolic_trace(root, concrete_args=None):
    """A module or function as a `GraphModule`: run once with proxies, and recorded.

    Decisions that depend on inputs are not captured: `TraceError`. `concrete_args` are inputs with known values.
    """
    tracer = Tracer()
    graph = tracer.trace(root, concrete_args)
    named = root if not isinstance(root, torch.nn.Module) else type(root)
    return GraphModule(tracer.root, graph, getattr(named, "__name__", type(root).__name__))
