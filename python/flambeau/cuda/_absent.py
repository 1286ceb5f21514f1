"""How names are made of what a machine without CUDA cannot do."""

MISSING = "Torch not compiled with CUDA enabled"


def needs_cuda(name):
    """A function that raises."""

    def function(*args, **kwargs):
        raise AssertionError(MISSING)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = "Raises: there is no CUDA."
    return function
