"""Handles for removing hooks, and the autograd plumbing behind a module's full backward hooks."""

import warnings
import weakref
from collections import OrderedDict

import flambeau as torch

__all__ = ["BackwardHook", "RemovableHandle", "unserializable_hook", "warn_if_has_hooks"]


class RemovableHandle:
    """Names one entry of a hook table; `remove()` (or leaving a `with` block) takes the entry out.

    `extra_dict` is a table, or a list of tables, whose entry of the same id goes away with it.
    """

    next_id = 0

    def __init__(self, hooks_dict, *, extra_dict=None):
        self.hooks_dict_ref = weakref.ref(hooks_dict)
        self.id = RemovableHandle.next_id
        RemovableHandle.next_id += 1
        if isinstance(extra_dict, dict):
            extra_dict = (extra_dict,)
        self.extra_dict_ref = tuple(weakref.ref(table) for table in extra_dict or ())

    def _tables(self):
        for reference in (self.hooks_dict_ref, *self.extra_dict_ref):
            table = reference()
            if table is not None:
                yield table

    def remove(self):
        """Removes the hook; removing it twice is harmless."""
        for table in self._tables():
            table.pop(self.id, None)

    def __getstate__(self):
        extra = tuple(reference() for reference in self.extra_dict_ref)
        return (self.hooks_dict_ref(), self.id, extra) if extra else (self.hooks_dict_ref(), self.id)

    def __setstate__(self, state):
        # A table that died before pickling is replaced by an empty one that nothing else refers to.
        hooks, self.id, *extra = state
        self.hooks_dict_ref = weakref.ref(OrderedDict() if hooks is None else hooks)
        tables = extra[0] if extra else ()
        self.extra_dict_ref = tuple(weakref.ref(OrderedDict() if table is None else table) for table in tables)
        RemovableHandle.next_id = max(RemovableHandle.next_id, self.id + 1)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, traceback):
        self.remove()


class _Removal:
    """Stands for a table of hooks with one entry that native code keeps."""

    def __init__(self, remove):
        self._remove = remove

    def pop(self, key, default=None):
        remove, self._remove = self._remove, None
        if remove is not None:
            remove()


def handle_of(remove):
    """A handle that calls `remove` once; the hook itself is kept elsewhere."""
    table = _Removal(remove)
    handle = RemovableHandle(table)
    handle._table = table  # the handle itself refers to tables weakly
    return handle


def unserializable_hook(f):
    """Marks a tensor hook as one to be dropped silently when the tensor is pickled."""
    f.__torch_unserializable__ = True
    return f


def warn_if_has_hooks(tensor):
    """Warns about each hook of `tensor` that pickling would lose."""
    for hook in (getattr(tensor, "_backward_hooks", None) or {}).values():
        if not hasattr(hook, "__torch_unserializable__"):
            warnings.warn(
                f"backward hook {hook!r} on tensor will not be serialized.  If this is expected, you can decorate the "
                "function with @torch.utils.hooks.unserializable_hook to suppress this warning",
                stacklevel=2,
            )


def _spread(values, positions, length):
    """A tuple of `length` items: `values` at `positions`, None elsewhere."""
    items = [None] * length
    for position, value in zip(positions, values):
        items[position] = value
    return tuple(items)


def _gather(values, positions):
    return tuple(values[position] for position in positions)


class BackwardHook:
    """Fires a module's backward pre-hooks and backward hooks during one backward pass.

    The module's tensor inputs and outputs each go through an identity node. The outputs' node runs first in
    backward and catches the gradients of the outputs; the inputs' node runs last and hands both to the user's hooks.
    """

    def __init__(self, module, user_hooks, user_pre_hooks):
        self.module = module
        self.user_hooks = user_hooks
        self.user_pre_hooks = user_pre_hooks
        self.grad_outputs = None
        self.input_positions = None
        self.output_positions = None
        self.n_inputs = -1
        self.n_outputs = -1

    def setup_input_hook(self, args):
        """Passes the tensors among `args` (a tuple) through the inputs' node; returns the new tuple."""
        result, self.input_positions = self._through_node(args, self._watch_inputs)
        self.n_inputs = len(args)
        return result

    def setup_output_hook(self, result):
        """Passes the tensors of a module's result through the outputs' node; returns the new result."""
        single = not isinstance(result, tuple)
        items = (result,) if single else result
        items, self.output_positions = self._through_node(items, self._watch_outputs)
        self.n_outputs = len(items)
        return items[0] if single else items

    def _through_node(self, items, watch):
        positions = [place for place, item in enumerate(items) if isinstance(item, torch.Tensor)]
        tensors = [items[place] for place in positions]
        if not (torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)):
            return items, None
        from ..nn.modules._functions import BackwardHookFunction

        tensors = BackwardHookFunction.apply(*tensors)
        if not tensors:
            raise RuntimeError("Cannot set Module backward hook for a Module with no input Tensors.")
        nodes = [
            tensor.grad_fn
            for tensor in tensors
            if tensor.grad_fn is not None and tensor.grad_fn.name() == "BackwardHookFunctionBackward"
        ]
        if not nodes:
            raise RuntimeError(
                "Error while setting up backward hooks. Please open an issue with a code sample to reproduce this."
            )
        watch(nodes[0])
        changed = list(items)
        for place, tensor in zip(positions, tensors):
            changed[place] = tensor
        if type(items) is tuple:
            return tuple(changed), positions
        return type(items)(*changed), positions  # a named tuple

    def _watch_inputs(self, node):
        def run_user_hooks(grad_input, _):
            if self.grad_outputs is None:
                # The outputs' node was not reached: none of the outputs took part in this backward pass.
                return None
            grads = _spread(grad_input, self.input_positions, self.n_inputs)
            for hook in self.user_hooks:
                replaced = hook(self.module, grads, self.grad_outputs)
                if replaced is None:
                    continue
                if len(replaced) != len(grads):
                    raise RuntimeError(
                        "Backward hook returned an invalid number of grad_input, "
                        f"got {len(replaced)}, but expected {len(grads)}"
                    )
                grads = replaced
            self.grad_outputs = None
            return _gather(grads, self.input_positions)

        node.register_hook(run_user_hooks)

    def _watch_outputs(self, node):
        def catch_grad_outputs(grad_output):
            self.grad_outputs = _spread(grad_output, self.output_positions, self.n_outputs)
            expected = len(self.grad_outputs)
            for hook in self.user_pre_hooks:
                replaced = hook(self.module, self.grad_outputs)
                if replaced is None:
                    continue
                if len(replaced) != expected:
                    raise RuntimeError(
                        "Backward pre hook returned an invalid number of grad_output, "
                        f"got {len(replaced)}, but expected {expected}"
                    )
                self.grad_outputs = replaced
            grads = _gather(self.grad_outputs, self.output_positions)
            if self.input_positions is None:
                self._run_without_inputs()
            return grads

        node.register_prehook(catch_grad_outputs)

    def _run_without_inputs(self):
        """No input requires a gradient, so the inputs' node does not exist: the hooks run here."""
        if self.user_hooks:
            warnings.warn(
                "Full backward hook is firing when gradients are computed with respect to module outputs since no "
                "inputs require gradients. See "
                "https://docs.pytorch.org/docs/main/generated/torch.nn.Module.html"
                "#torch.nn.Module.register_full_backward_hook for more details.",
                stacklevel=5,
            )
        grads = (None,) * self.n_inputs
        for hook in self.user_hooks:
            replaced = hook(self.module, grads, self.grad_outputs)
            if replaced is not None and not (isinstance(replaced, tuple) and all(item is None for item in replaced)):
                raise RuntimeError(
                    "Backward hook for Modules where no input requires gradient should always return None or None "
                    "for all gradients."
                )
        self.grad_outputs = None
