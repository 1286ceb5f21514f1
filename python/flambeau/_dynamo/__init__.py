"""Names of PyTorch's graph capture that programs mention. Nothing is captured: functions run as they are written."""

import types as _types

from ..compiler import disable, is_compiling, reset
from .eval_frame import OptimizedModule

__all__ = [
    "OptimizedModule",
    "allow_in_graph",
    "assume_constant_result",
    "config",
    "disable",
    "graph_break",
    "is_compiling",
    "optimize",
    "reset",
]

# Switches that programs set; nothing reads them.
config = _types.SimpleNamespace(
    suppress_errors=False, verbose=False, cache_size_limit=8, recompile_limit=8, accumulated_recompile_limit=256,
    capture_scalar_outputs=False, capture_dynamic_output_shape_ops=False, assume_static_by_default=True,
    automatic_dynamic_shapes=True, optimize_ddp=True, guard_nn_modules=True, inline_inbuilt_nn_modules=True,
    allow_unspec_int_on_nn_module=False, dynamic_shapes=True, disable=False,
    skip_fwd_side_effects_in_bwd_under_checkpoint=False,
)  # fmt: skip


def optimize(*args, **kwargs):
    """A decorator as `torch.compile` without a function."""
    from .. import compile

    return compile


def allow_in_graph(fn):
    """Marks a function that need not be captured: the function itself."""
    return fn


def assume_constant_result(fn):
    """Marks a function that gives the same whenever it is called: the function itself."""
    return fn


def graph_break(msg=""):
    """Nothing to break."""


def _marked(t, *args, **kwargs):
    """Says something about a tensor's sizes, which nothing needs."""


mark_dynamic = maybe_mark_dynamic = mark_static = mark_static_address = _marked
