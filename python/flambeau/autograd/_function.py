"""Custom functions: a forward and a backward written in Python, one node of the graph."""

import inspect
import warnings

from .. import _C
from .._levels import state as _levels

__all__ = ["Function", "FunctionCtx"]


class FunctionCtx:
    """What ``forward`` leaves for ``backward``; also the node that ``y.grad_fn`` shows."""

    _node = None
    _saved = ()
    _dirty = ()
    _non_differentiable = ()
    _materialize = True
    needs_input_grad = ()

    def save_for_backward(self, *tensors):
        """Keeps tensors (or None) for ``saved_tensors``."""
        for tensor in tensors:
            if tensor is not None and not isinstance(tensor, _C.Tensor):
                raise TypeError(
                    f"save_for_backward can only save variables, but argument {tensors.index(tensor)} "
                    f"is of type {type(tensor).__name__}"
                )
        self._saved = tensors

    def save_for_forward(self, *tensors):
        """Keeps tensors for ``jvp``."""
        self._saved_for_forward = tensors

    @property
    def saved_tensors(self):
        """The tensors kept by ``save_for_backward``, if they have not been changed since."""
        if self._node is None:
            return self._saved
        node = self._node.get()
        if node is None:
            raise RuntimeError("the graph that this context belongs to is gone")
        return _C._saved_of(node, self._count)

    saved_variables = saved_tensors

    def mark_dirty(self, *args):
        """Names the inputs that ``forward`` changed in place."""
        self._dirty = args

    def mark_non_differentiable(self, *args):
        """Names outputs that have no gradient."""
        self._non_differentiable = args

    def set_materialize_grads(self, value):
        """Whether missing gradients reach ``backward`` as zeros (default) or as None."""
        self._materialize = value

    # as a node

    def name(self):
        """The name of the node."""
        return type(self).__name__

    def _graph_node(self):
        from .node import _GraphNode

        return _GraphNode(self._node.get())

    @property
    def next_functions(self):
        """Where the gradients of the inputs go."""
        return self._graph_node().next_functions

    @property
    def metadata(self):
        """A dictionary for the user's own notes."""
        return self.__dict__.setdefault("_metadata", {})

    def register_hook(self, hook):
        """Calls ``hook(grad_inputs, grad_outputs)`` after the node ran."""
        return self._graph_node().register_hook(hook)

    def register_prehook(self, hook):
        """Calls ``hook(grad_outputs)`` before the node runs."""
        return self._graph_node().register_prehook(hook)


def _home():
    return __name__.rpartition(".")[0] + ".function"


class _FunctionMeta(type):
    def __init__(cls, name, bases, namespace):
        super().__init__(name, bases, namespace)
        cls._context_class = type(name + "Backward", (FunctionCtx,), {"_forward_cls": cls, "__module__": _home()})


class Function(FunctionCtx, metaclass=_FunctionMeta):
    """Base of custom functions: define ``forward(ctx, ...)`` and ``backward(ctx, *grads)``, call ``apply``."""

    def __init__(self, *args, **kwargs):
        warnings.warn(
            f"{type(self)} should not be instantiated. Methods on autograd functions are all static, so you should "
            "invoke them on the class itself. Instantiating an autograd function will raise an error in a future "
            "version of PyTorch.",
            DeprecationWarning,
            stacklevel=2,
        )

    def __call__(self, *args, **kwargs):
        raise RuntimeError(
            "Legacy autograd function with non-static forward method is deprecated. Please use new-style autograd "
            "function with static forward method. (Example: https://pytorch.org/docs/stable/autograd.html#torch.autograd.Function)"
        )

    generate_vmap_rule = False

    @staticmethod
    def forward(*args, **kwargs):
        """Computes the result; the first argument is the context unless ``setup_context`` is defined."""
        raise NotImplementedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def setup_context(ctx, inputs, output):
        """Fills the context where ``forward`` does not take it."""
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx, *grad_outputs):
        """Gradients of the inputs, one for each argument of ``forward``."""
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom autograd.Function to use it with "
            "backward mode AD."
        )

    vjp = backward

    @staticmethod
    def jvp(ctx, *grad_inputs):
        """Tangents of the outputs."""
        raise NotImplementedError(
            "You must implement the jvp function for custom autograd.Function to use it with forward mode AD."
        )

    @staticmethod
    def vmap(info, in_dims, *args):
        """The outputs for arguments with a mapped dimension at `in_dims`, and the dimensions that theirs are at."""
        raise NotImplementedError(
            "To use autograd.Function with vmap, you must either override the vmap staticmethod or set "
            "generate_vmap_rule=True."
        )

    @classmethod
    def apply(cls, *args, **kwargs):
        """Runs ``forward`` and records it as one node."""
        return _apply(cls, args, kwargs)


def _apply(cls, args, kwargs):
    if cls.setup_context is not Function.setup_context:
        # `setup_context` sees all arguments, those left out with their defaults.
        bound = inspect.signature(cls.forward).bind(*args, **kwargs)
        bound.apply_defaults()
        args, kwargs = bound.args, bound.kwargs
    if _levels.stack:
        from .._vmap import _custom

        if _custom.innermost(args) is not None:
            return _custom.apply(cls, args, kwargs)
    ctx = cls._context_class()
    grad = _C.is_grad_enabled()
    ctx.needs_input_grad = tuple(grad and isinstance(a, _C.Tensor) and a.requires_grad for a in args)
    separate = cls.setup_context is not Function.setup_context
    previous = _C._set_grad_enabled(False)
    try:
        if separate:
            result = cls.forward(*args, **kwargs)
            cls.setup_context(ctx, args, result)
        else:
            result = cls.forward(ctx, *args, **kwargs)
    finally:
        _C._set_grad_enabled(previous)
    single = not isinstance(result, tuple)
    outputs = (result,) if single else result
    inputs = [a for a in args if isinstance(a, _C.Tensor)]
    dirty = ctx._dirty
    if not any(ctx.needs_input_grad):
        return result
    non_differentiable = {id(t) for t in ctx._non_differentiable}
    prepared, recorded = [], []
    for out in outputs:
        if isinstance(out, _C.Tensor):
            changed = any(out is d for d in dirty)
            if not changed and any(out is a for a in inputs):
                # An input handed through becomes an output of its own, which is a view of it.
                previous = _C._set_grad_enabled(False)
                try:
                    out = out.view_as(out)
                finally:
                    _C._set_grad_enabled(previous)
            if id(out) not in non_differentiable and (out.is_floating_point() or out.is_complex()):
                recorded.append(out)
        elif out is not None and not single:
            pass
        prepared.append(out)
    for d in dirty:
        _C._increment_version(d)
        if d.is_leaf and d.requires_grad:
            raise RuntimeError("a leaf Variable that requires grad has been used in an in-place operation.")
        base = d._base
        if base is not None and base.is_leaf and base.requires_grad:
            raise RuntimeError("a view of a leaf Variable that requires grad is being used in an in-place operation.")
    positions = [i for i, a in enumerate(args) if isinstance(a, _C.Tensor)]
    metas = [(o.shape, o.dtype, o.device) for o in recorded]
    slots = [next((i for i, r in enumerate(recorded) if r is o), None) for o in prepared]

    def backward(grads, needs):
        ctx.needs_input_grad = _spread(needs, positions, len(args))
        full = []
        for slot, out in zip(slots, shapes):
            g = grads[slot] if slot is not None else None
            if g is None and ctx._materialize and out is not None:
                from .. import zeros

                g = zeros(out[0], dtype=out[1], device=out[2])
            full.append(g)
        function = cls.vjp if cls.backward is Function.backward and cls.vjp is not Function.vjp else cls.backward
        result = function(ctx, *full)
        return _collect(cls, result, args_count, positions)

    shapes = [(o.shape, o.dtype, o.device) if isinstance(o, _C.Tensor) else None for o in prepared]
    args_count = len(args)
    saved = [_same(s, outputs, prepared) for s in ctx._saved]
    ctx._count = len(saved)
    ctx._saved = ()
    del metas
    if recorded:
        ctx._node = _C._record_function(cls.__name__ + "Backward", ctx, inputs, recorded, backward, saved, list(dirty))
    return prepared[0] if single else tuple(prepared)


def _same(tensor, outputs, prepared):
    for old, new in zip(outputs, prepared):
        if tensor is old:
            return new
    return tensor


def _spread(needs, positions, count):
    full = [False] * count
    for position, need in zip(positions, needs):
        full[position] = need
    return tuple(full)


def _collect(cls, result, count, positions):
    grads = result if isinstance(result, tuple) else (result,)
    if len(grads) > count and all(g is None for g in grads[count:]):
        grads = grads[:count]
    if len(grads) != count:
        raise RuntimeError(
            f"function {cls.__name__}Backward returned an incorrect number of gradients "
            f"(expected {count}, got {len(grads)})"
        )
    for i, g in enumerate(grads):
        if g is not None and i not in positions:
            raise RuntimeError(
                f"function {cls.__name__}Backward returned a gradient different than None at position {i + 1}, "
                "but the corresponding forward input was not a Variable"
            )
        if g is not None and not isinstance(g, _C.Tensor):
            raise RuntimeError(f"expected Variable or None (got {type(g).__name__})")
    return tuple(grads[i] for i in positions)
