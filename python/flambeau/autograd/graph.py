"""The recorded graph: its nodes and edges, hooks on saved tensors, and hooks on several gradients."""

import abc
import collections
import contextlib

import flambeau as fl
from flambeau import _C
from flambeau.autograd import _passes

__all__ = [
    "saved_tensors_hooks",
    "save_on_cpu",
    "disable_saved_tensors_hooks",
    "register_multi_grad_hook",
    "allow_mutation_on_saved_tensors",
    "Node",
    "GradientEdge",
    "get_gradient_edge",
    "increment_version",
]


class Node(abc.ABC):
    """What `Tensor.grad_fn` is: one recorded operation."""

    @abc.abstractmethod
    def name(self):
        """The operation's name."""

    @property
    @abc.abstractmethod
    def next_functions(self):
        """For each input `(node, output number)`; node is None for an input that needs no gradient."""

    @abc.abstractmethod
    def metadata(self):
        """A dict for anything that users attach."""

    @property
    @abc.abstractmethod
    def _input_metadata(self):
        """Shape and dtype of each output of the operation."""

    @abc.abstractmethod
    def register_hook(self, fn):
        """Calls `fn(grad_inputs, grad_outputs)` after the node ran; returns a handle."""

    @abc.abstractmethod
    def register_prehook(self, fn):
        """Calls `fn(grad_outputs)` before the node runs; returns a handle."""

    @classmethod
    def __subclasshook__(cls, subclass):
        if cls is Node and all(hasattr(subclass, name) for name in ("next_functions", "register_prehook", "name")):
            return True
        return NotImplemented


class GradientEdge(collections.namedtuple("GradientEdge", ["node", "output_nr", "ownership_token"], defaults=[None])):
    """An edge of the graph, which stands for a tensor's gradient in `autograd.grad` and `backward`."""


def get_gradient_edge(tensor):
    """The edge along which `tensor`'s gradient arrives."""
    if not tensor.requires_grad:
        raise RuntimeError("It is not possible to get the gradient edge for a Tensor that does not require gradients")
    node, output_nr = _C._gradient_edge(tensor)
    # a leaf's node lives only as long as something that was computed from it
    token = tensor if tensor.grad_fn is None else None
    return GradientEdge(node, output_nr, token)


def increment_version(tensor):
    """Counts an in-place modification of a tensor, or of several, that happened outside the library's knowledge."""
    tensors = (tensor,) if isinstance(tensor, fl.Tensor) else tensor
    try:
        tensors = tuple(tensors)
    except TypeError:
        tensors = (None,)
    if not all(isinstance(t, fl.Tensor) for t in tensors):
        raise RuntimeError("increment_version expect a Iterable[Tensor] as input")
    for item in tensors:
        _C._increment_version(item)


_disabled = []  # messages of the active disable_saved_tensors_hooks
_active = 0  # number of active saved_tensors_hooks


class saved_tensors_hooks:
    """While active, tensors saved for backward go through `pack_hook`, and what it gives through `unpack_hook`.

    `unpack_hook(pack_hook(tensor))` must have the tensor's content.
    """

    def __init__(self, pack_hook, unpack_hook):
        self.pack_hook = pack_hook
        self.unpack_hook = unpack_hook

    def __enter__(self):
        global _active
        if _disabled:
            raise RuntimeError(_disabled[-1])
        _C._push_saved_tensors_hooks(self.pack_hook, self.unpack_hook)
        _active += 1

    def __exit__(self, *args):
        global _active
        _active -= 1
        _C._pop_saved_tensors_hooks()


class save_on_cpu(saved_tensors_hooks):
    """While active, tensors saved for backward are kept in the CPU's memory and copied back when needed."""

    def __init__(self, pin_memory=False, device_type="cuda"):
        def pack(tensor):
            if not pin_memory:
                return tensor.device, tensor.cpu()
            packed = fl.empty(tensor.size(), dtype=tensor.dtype, layout=tensor.layout, pin_memory=True)
            packed.copy_(tensor)
            return tensor.device, packed

        def unpack(packed):
            device, tensor = packed
            return tensor.to(device, non_blocking=pin_memory)

        super().__init__(pack, unpack)


@contextlib.contextmanager
def disable_saved_tensors_hooks(error_message):
    """While active, entering `saved_tensors_hooks` raises RuntimeError with `error_message`."""
    if _active:
        raise RuntimeError(error_message)
    _disabled.append(error_message)
    try:
        yield
    finally:
        _disabled.pop()


class _AllowMutationOnSavedContext:
    """Holds the copies that `allow_mutation_on_saved_tensors` made."""

    def __init__(self):
        self.cloned = {}

    def clear(self):
        """Drops the copies; a backward pass that needs them fails then."""
        self.cloned.clear()


@contextlib.contextmanager
def allow_mutation_on_saved_tensors():
    """While active, tensors saved for backward may be changed in place later: a copy of them is saved."""
    context = _AllowMutationOnSavedContext()

    def pack(tensor):
        key = object()
        context.cloned[key] = tensor.detach().clone()
        return key

    def unpack(key):
        try:
            return context.cloned[key]
        except KeyError:
            raise RuntimeError(
                "Trying to backward outside of the 'allow_mutation_on_saved_tensors' context in which the graph was "
                "originally recorded."
            ) from None

    with saved_tensors_hooks(pack, unpack):
        try:
            yield context
        finally:
            context.clear()


class _MultiHandle:
    """Removes several hooks."""

    def __init__(self, handles):
        self.handles = tuple(handles)

    def remove(self):
        """Removes them."""
        for handle in self.handles:
            handle.remove()

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.remove()


def register_multi_grad_hook(tensors, fn, *, mode="all"):
    """Calls `fn` with the gradients of `tensors` once they are there; returns a handle.

    With mode "all" it gets a list, None for tensors that the backward pass doesn't reach; with mode "any" the
    first gradient that arrives in each backward pass.
    """
    if mode not in ("all", "any"):
        raise ValueError(f"Expects mode to be one of ('all', 'any') but got {mode}")
    _passes.tracking = True
    if mode == "all":
        return _MultiHandle(_register_all(tensors, fn))
    return _MultiHandle(_register_any(tensors, fn))


def _register_all(tensors, fn):
    nodes = [_C._gradient_edge(tensor)[0] if tensor.requires_grad else None for tensor in tensors]
    if any(node is None for node in nodes):
        raise AssertionError("Expected gradient function to be set")
    progress = {}  # backward pass -> [number of gradients to come, gradients]

    def hook_at(index):
        def hook(gradient):
            current = _passes.current()
            if current not in progress:
                progress[current] = [current.reached(nodes), [None] * len(nodes)]
            state = progress[current]
            state[0] -= 1
            state[1][index] = gradient
            if state[0] == 0:
                del progress[current]
                fn(state[1])

        return hook

    return [tensor.register_hook(hook_at(index)) for index, tensor in enumerate(tensors)]


def _register_any(tensors, fn):
    last = None

    def hook(gradient):
        nonlocal last
        current = _passes.current()
        if current is not last:
            last = current
            fn(gradient)

    return [tensor.register_hook(hook) for tensor in tensors if tensor.requires_grad]
