"""Classes of graph nodes, made for each name so that ``type(x.grad_fn).__name__`` tells the operator."""

from .. import _C

_classes = {}


def class_of(name):
    """The class of nodes of a name, such as ``AddBackward0``."""
    if name not in _classes:
        _classes[name] = type(name, (_GraphNode,), {"__module__": "builtins"})
    return _classes[name]


class _GraphNode(_C.Node):
    @property
    def metadata(self):
        return self.__dict__.setdefault("_metadata", {})

    @property
    def saved_tensors(self):
        return self._saved

    @property
    def _input_metadata(self):
        return [_Metadata(sizes, dtype) for sizes, dtype in self._output_meta]

    def register_hook(self, hook):
        """Calls ``hook(grad_inputs, grad_outputs)`` after the node ran."""
        return _handle(self, self._register_hook(hook))

    def register_prehook(self, hook):
        """Calls ``hook(grad_outputs)`` before the node runs."""
        return _handle(self, self._register_prehook(hook))


class _Metadata:
    """Shape and dtype of a gradient that a node takes."""

    def __init__(self, sizes, dtype):
        from .._classes import Size

        self.shape = Size(sizes)
        self.dtype = dtype


def _handle(node, key):
    from ..utils.hooks import handle_of

    return handle_of(lambda: node._remove_hook(key))
