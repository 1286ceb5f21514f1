"""Defined operators, and how a call finds the implementation."""

from .. import _C
from .._grad_mode import no_grad
from .schema import Schema

__all__ = ["CustomOpDef", "Library", "OPERATORS", "define", "find", "impl"]

OPERATORS = {}
_KEYS = {
    "CPU": "cpu", "CUDA": "cuda", "Meta": "meta", "MPS": "mps", "XPU": "xpu", "CompositeExplicitAutograd": None, "default": None,
}  # fmt: skip


def _tensors(values):
    for value in values:
        if isinstance(value, _C.Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from (item for item in value if isinstance(item, _C.Tensor))


def _autocast():
    from ..amp._casting import state

    return state


class Definition:
    """An operator's schema, implementations, gradient and shapes."""

    def __init__(self, name, schema):
        self.name, self.schema = name, Schema(name, schema)
        self.kernels, self.composite, self.own_gradient = {}, None, None
        self.fake = self.backward = self.setup_context = None
        self.checks_aliases, self.autocast = False, {}
        if name in OPERATORS:
            raise RuntimeError(
                f"Tried to register an operator ({self.schema}) with the same name and overload name multiple times."
            )
        OPERATORS[name] = self

    def implement(self, devices, function):
        """Takes an implementation for a type of device, several of them, or with None for all."""
        for device in [devices] if devices is None or isinstance(devices, str) else devices:
            self.kernels[device] = function

    def __call__(self, *args, **kwargs):
        values = self.schema.bind(args, kwargs)
        if "cpu" in self.autocast and _autocast().enabled:
            return self.schema.call(self.autocast["cpu"], values)
        if self.composite is not None:
            return self.schema.call(self.composite, values)
        if self.own_gradient is not None and _C.is_grad_enabled():
            return self.schema.call(self.own_gradient, values)
        if not self.checks_aliases and self.backward is None:
            return self.schema.call(self._kernel(values), values)  # gradients are those of what the kernel calls
        if _C.is_grad_enabled() and any(tensor.requires_grad for tensor in _tensors(values)):
            return self._differentiable(values)
        return self._run(values)

    def _kernel(self, values):
        device = next((tensor.device.type for tensor in _tensors(values)), "cpu")
        if device == "meta" and "meta" not in self.kernels:
            if self.fake is not None:
                return self.fake
            if self.checks_aliases:
                raise RuntimeError(
                    f"There was no fake impl registered for <CustomOpDef({self.name})>. This is necessary for "
                    f"torch.compile/export/fx tracing to work. Please use `{self.name.split('::')[1]}.register_fake` to "
                    "add an fake impl."
                )
        kernel = self.kernels.get(device, self.kernels.get(None))
        if kernel is None:
            raise NotImplementedError(
                f"Could not run '{self.name}' with arguments from the '{device.upper()}' backend: it has no implementation for it."
            )
        return kernel

    def _run(self, values):
        kernel = self._kernel(values)
        with no_grad():
            found = self.schema.call(kernel, values)
        if self.checks_aliases:
            given = {id(tensor) for tensor in _tensors(values)}
            if any(id(tensor) in given for tensor in _tensors(found if isinstance(found, (tuple, list)) else [found])):
                raise RuntimeError(
                    f"{self.name}: The output of this custom operator (1) must not also be an input to this custom operator "
                    "and (2) may not alias any inputs to this custom operator or other returns. The most common way to "
                    "trigger this error is if we have y = custom_op(x) and y and x are the same Tensor. Please instead "
                    "return a clone of the offending output tensor(s) (e.g. return x.clone()) or refactor the custom "
                    "operator to not return y."
                )
        return found

    def _differentiable(self, values):
        from ..autograd import Function

        definition = self
        # A list's tensors go to the graph one by one, as it sees none within a list.
        shape = [
            len(value) if isinstance(value, (list, tuple)) and any(True for _ in _tensors([value])) else None
            for value in values
        ]
        flat = [item for value, n in zip(values, shape) for item in ([value] if n is None else value)]

        def packed(items):
            items = iter(items)
            return [next(items) if n is None else [next(items) for _ in range(n)] for n in shape]

        class Call(Function):
            @staticmethod
            def forward(ctx, *flat):
                inputs = packed(flat)
                found = definition._run(inputs)
                changed = [
                    tensor
                    for value, argument in zip(inputs, definition.schema.arguments)
                    if argument.mutated
                    for tensor in _tensors([value])
                ]
                if changed:
                    ctx.mark_dirty(*changed)
                if definition.backward is not None and definition.setup_context is not None:
                    named = [argument.name for argument in definition.schema.arguments if argument.kwarg_only]
                    more = {"keyword_only_inputs": dict(zip(named, inputs[-len(named) :]))} if named else {}
                    places = tuple(inputs[: len(inputs) - len(named)])
                    definition.setup_context(ctx, inputs=places, output=found, **more)
                return tuple(found) if isinstance(found, list) else found

            @staticmethod
            def backward(ctx, *grads):
                if definition.backward is None:
                    name = definition.name.replace("::", ".")
                    raise RuntimeError(
                        f"Trying to backward through {name}.default but no autograd formula was registered. Please use "
                        "register_autograd to add one."
                    )
                found = definition.backward(ctx, *grads)
                found = list(found) if isinstance(found, (tuple, list)) else [found]
                missing = sum(1 for argument in definition.schema.arguments if argument.kwarg_only)
                found += [None] * (missing if len(found) < len(shape) else 0)
                if len(found) != len(shape):
                    raise RuntimeError(
                        f"{definition.name}: the backward formula returned {len(found)} gradients for {len(shape)} arguments"
                    )
                flat = []
                for grad, n in zip(found, shape):
                    flat += [grad] if n is None else ([None] * n if grad is None else list(grad))
                return tuple(flat)

        Call.__name__ = Call.__qualname__ = f"GeneratedBackwardFor_{self.name.replace('::', '_')}_default"
        return Call.apply(*flat)


def find(op):
    """The definition of an operator: given by name, as what `custom_op` made, or as `torch.ops` has it."""
    if isinstance(op, CustomOpDef):
        return op._definition
    name = op if isinstance(op, str) else op.name()
    name = name.removesuffix(".default")
    if name not in OPERATORS:
        raise RuntimeError(f"operator {name} does not exist")
    return OPERATORS[name]


class CustomOpDef:
    """An operator that a program defined from a function: `custom_op` makes these."""

    def __init__(self, name, schema, fn, device_types=None):
        if name.count("::") != 1:
            raise ValueError(f"Expected the name of an operator to be namespace::name, got {name!r}")
        self._namespace, self._name = name.split("::")
        self._qualname, self._init_fn = name, fn
        self._definition = Definition(name, schema)
        self._definition.checks_aliases = True
        self._definition.implement(device_types, fn)

    @property
    def _opoverload(self):
        from .. import ops

        return getattr(getattr(ops, self._namespace), self._name).default

    def __call__(self, *args, **kwargs):
        return self._definition(*args, **kwargs)

    def __repr__(self):
        return f"<CustomOpDef({self._qualname})>"

    def register_fake(self, fn, /):
        """Says what the operator gives for tensors without elements."""
        self._definition.fake = fn
        return fn

    def register_kernel(self, device_types, fn=None, /):
        """Gives the operator an implementation for some types of devices; without `fn` a decorator."""

        def register(function):
            self._definition.implement(device_types, function)
            return function

        return register if fn is None else register(fn)

    def register_autograd(self, backward, /, *, setup_context=None):
        """Gives the operator a gradient, as `torch.library.register_autograd` does."""
        self._definition.backward, self._definition.setup_context = backward, setup_context


class Library:
    """Definitions (`DEF`, `FRAGMENT`) or implementations (`IMPL`) of operators in a namespace."""

    def __init__(self, ns, kind, dispatch_key=""):
        if kind not in ("DEF", "IMPL", "FRAGMENT"):
            raise ValueError(f"Unsupported kind: {kind}")
        if ns in ("prim", "prims"):
            raise ValueError(f"{ns} is a reserved namespace. Please try creating a library with another name.")
        self.ns, self.kind, self.dispatch_key, self._names = ns, kind, dispatch_key, []

    def define(self, schema, alias_analysis="", *, tags=()):
        """Defines an operator by its schema, and returns its name."""
        name = schema.partition("(")[0].strip()
        Definition(f"{self.ns}::{name}", schema[schema.index("(") :])
        self._names.append(name)
        return name

    def impl(self, op_name, fn, dispatch_key="", *, with_keyset=False, allow_override=False):
        """Implements an operator for a dispatch key."""
        name = op_name if isinstance(op_name, str) else op_name.name()
        name = name if "::" in name else f"{self.ns}::{name}"
        _implement(name, dispatch_key or self.dispatch_key or "CompositeImplicitAutograd", fn)

    def _destroy(self):
        for name in self._names:
            OPERATORS.pop(f"{self.ns}::{name}", None)


def _implement(name, key, function):
    definition = find(name)
    if key == "CompositeImplicitAutograd":
        definition.composite = function
    elif key.startswith("Autocast"):  # what runs in a region of autocast, for a type of device
        definition.autocast[key.removeprefix("Autocast").lower()] = function
    elif key.startswith("Autograd"):
        definition.own_gradient = function
    elif key in _KEYS or key.lower() in ("cpu", "cuda", "meta", "mps", "xpu"):
        definition.implement(_KEYS.get(key, key.lower()), function)
    else:
        raise NotImplementedError(f"torch.library: flambeau has no dispatch key '{key}'")


def define(qualname, schema, *, lib=None, tags=()):
    """Defines an operator `namespace::name` by its schema, which begins with the parenthesis."""
    if not isinstance(qualname, str):
        raise ValueError(f"define(qualname, schema): expected qualname to be instance of str, got {type(qualname)}")
    Definition(qualname, schema)


def impl(qualname, types, func=None, *, lib=None):
    """Implements an operator for types of devices, or for all with "default"; without `func` a decorator.

    The earlier form is `impl(library, name, dispatch_key="")`, a decorator.
    """
    if isinstance(qualname, Library):

        def register_in(function):
            qualname.impl(types, function, func or "")
            return function

        return register_in

    def register(function):
        for key in [types] if isinstance(types, str) else types:
            _implement(qualname, key, function)
        return function

    return register if func is None else register(func)
