"""Names of PyTorch's graph capture that programs mention. Nothing is captured: functions run as they are written."""

import types as _types

from ..compiler import disable, is_compiling, reset
from ..nn.modules.module import Module as _Module

__all__ = ["OptimizedModule", "allow_in_graph", "config", "disable", "graph_break", "is_compiling", "optimize", "reset"]

# Switches that programs set; nothing reads them.
config = _types.SimpleNamespace(
    suppress_errors=False, verbose=False, cache_size_limit=8, recompile_limit=8, accumulated_recompile_limit=256,
    capture_scalar_outputs=False, capture_dynamic_output_shape_ops=False, assume_static_by_default=True,
    automatic_dynamic_shapes=True, optimize_ddp=True, guard_nn_modules=True, inline_inbuilt_nn_modules=True,
    allow_unspec_int_on_nn_module=False, dynamic_shapes=True, disable=False,
)  # fmt: skip


class OptimizedModule(_Module):
    """What `torch.compile` makes of a module: the module as `_orig_mod`, whose attributes are this one's too."""

    def __init__(self, mod, dynamo_ctx=None):
        super().__init__()
        self._modules["_orig_mod"] = mod

    def forward(self, *args, **kwargs):
        return self._modules["_orig_mod"](*args, **kwargs)

    @property
    def training(self):
        return self._modules["_orig_mod"].training

    @training.setter
    def training(self, mode):
        self._modules["_orig_mod"].training = mode

    def _is_own(self, name):
        return name == "_orig_mod" or name in self.__dict__ or hasattr(type(self), name)

    def __getattr__(self, name):
        modules = self.__dict__.get("_modules")
        if not modules:  # not yet filled by unpickling
            raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")
        return modules["_orig_mod"] if name == "_orig_mod" else getattr(modules["_orig_mod"], name)

    def __setattr__(self, name, value):
        if self._is_own(name):
            super().__setattr__(name, value)
        else:
            setattr(self._modules["_orig_mod"], name, value)

    def __delattr__(self, name):
        if self._is_own(name):
            super().__delattr__(name)
        else:
            delattr(self._modules["_orig_mod"], name)

    def __dir__(self):
        return sorted({*super().__dir__(), *dir(self._modules["_orig_mod"])})


def optimize(*args, **kwargs):
    """A decorator as `torch.compile` without a function."""
    from .. import compile

    return compile


def allow_in_graph(fn):
    """Marks a function that need not be captured: the function itself."""
    return fn


def graph_break(msg=""):
    """Nothing to break."""


def _marked(t, *args, **kwargs):
    """Says something about a tensor's sizes, which nothing needs."""


mark_dynamic = maybe_mark_dynamic = mark_static = mark_static_address = _marked
