"""Questions and marks for a compiler of Python functions. There is none: functions run as they are written."""

__all__ = ["compile", "disable", "is_compiling", "is_dynamo_compiling", "is_exporting", "reset"]


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
