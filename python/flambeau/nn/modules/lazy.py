"""Modules that work out the shapes of their parameters from their first input."""

import flambeau as torch

from ..parameter import is_lazy

__all__ = ["LazyModuleMixin"]


class LazyModuleMixin:
    """Mixed in before a module class, lets its parameters be uninitialized until the first call.

    `initialize_parameters(*args)` gets the first call's arguments and materializes them; the module then becomes an
    instance of `cls_to_become`.
    """

    cls_to_become = None

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._load_hook = self._register_load_state_dict_pre_hook(self._lazy_load_hook)
        self._initialize_hook = self.register_forward_pre_hook(self._infer_parameters, with_kwargs=True)

    def _own_tensors(self):
        return [*self._parameters.items(), *self._buffers.items()]

    def _save_to_state_dict(self, destination, prefix, keep_vars):
        for name, value in self._own_tensors():
            if value is not None and name not in self._non_persistent_buffers_set:
                destination[prefix + name] = value if keep_vars or is_lazy(value) else value.detach()

    def _lazy_load_hook(self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs):
        """Gives uninitialized tensors the shapes of those about to be loaded into them."""
        for name, value in self._own_tensors():
            given = state_dict.get(prefix + name)
            if value is not None and given is not None and is_lazy(value) and not is_lazy(given):
                with torch.no_grad():
                    self._materialize(name, given.shape)

    def _materialize(self, name, shape):
        """Turns an uninitialized parameter or buffer of this module into an ordinary one."""
        getattr(self, name).materialize(shape)

    def initialize_parameters(self, *args, **kwargs):
        """Materializes the parameters for the arguments of a first call."""
        raise NotImplementedError(f"initialize_parameters is not implemented for {type(self).__name__}")

    def has_uninitialized_params(self):
        """Whether any parameter or buffer has no shape yet."""
        return any(is_lazy(value) for _, value in self._own_tensors())

    def _infer_parameters(self, module, args, kwargs=None):
        """The pre-hook of the first call."""
        module.initialize_parameters(*args, **(kwargs or {}))
        if module.has_uninitialized_params():
            raise RuntimeError(f"module {self._get_name()} has not been fully initialized")
        module._initialize_hook.remove()
        module._load_hook.remove()
        del module._initialize_hook
        del module._load_hook
        if not module._forward_pre_hooks:
            # The module never had another hook, so that its calls may take the short way again.
            for table in ("_forward_pre_hooks", "_forward_pre_hooks_with_kwargs"):
                delattr(module, table)
            module._update_hooked()
        if module.cls_to_become is not None:
            module.__class__ = module.cls_to_become

    def _replicate_for_data_parallel(self):
        raise RuntimeError(
            "Modules with uninitialized parameters can't be used with `DataParallel`. Run a dummy forward pass to "
            "correctly initialize the modules"
        )
