"""Questions and marks for a compiler of Python functions. There is none: functions run as they are written."""

import contextlib as _contextlib

__all__ = [
    "allow_in_graph", "assume_constant_result", "compile", "cudagraph_mark_step_begin", "disable", "is_compiling",
    "is_dynamo_compiling", "is_exporting", "list_backends", "reset", "set_stance", "substitute_in_graph",
]  # fmt: skip


def compile(*args, **kwargs):
    """As `torch.compile`."""
    import flambeau

    return flambeau.compile(*args, **kwargs)


def is_compiling():
    """False: nothing is compiled."""
    return False


def is_dynamo_compiling():
    """False: nothing is compiled."""
    return False


def is_exporting():
    """False: nothing is exported."""
    return False


def reset():
    """Nothing to forget."""


def disable(fn=None, recursive=True, *, reason=None):
    """Marks a function not to be compiled: the function itself, or a decorator."""
    if fn is None:
        return lambda function: function
    return fn


def allow_in_graph(fn):
    """Marks a function that a compiler need not look into: the function itself."""
    return fn


def assume_constant_result(fn):
    """Marks a function whose result does not change: the function itself."""
    return fn


def cudagraph_mark_step_begin():
    """Nothing to mark."""


def list_backends(exclude_tags=("debug", "experimental")):
    """The names of compilers: there are none."""
    return []


class _Unchanged(_contextlib.ContextDecorator):
    """A region, or a function, in which nothing is different."""

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        return None


def set_stance(stance="default", *, skip_guard_eval_unsafe=False, force_backend=None):
    """How compiled functions behave, which nothing needs: a context manager and decorator."""
    return _Unchanged()


def substitute_in_graph(original_fn, *, can_constant_fold_through=False, skip_signature_check=False):
    """Marks a function that stands for another in captured code: the function itself."""
    return lambda function: function
