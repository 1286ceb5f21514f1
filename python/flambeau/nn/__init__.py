"""Neural-network layers, losses, containers and their helpers.

Everything here is read on first use, so that importing the package stays cheap.
"""

from .modules import _HOME

_PARAMETER_NAMES = ("Buffer", "Parameter", "UninitializedBuffer", "UninitializedParameter")
_SUBMODULES = (
    "attention",
    "common_types",
    "functional",
    "grad",
    "init",
    "modules",
    "parallel",
    "parameter",
    "quantized",
    "utils",
)

__all__ = sorted([*_HOME, *_PARAMETER_NAMES, "DataParallel", "factory_kwargs"])


def factory_kwargs(kwargs):
    """The `device`, `dtype` and `memory_format` in `kwargs`, merged with those under its key "factory_kwargs".

    TypeError for any other key, and for one given both ways.
    """
    if kwargs is None:
        return {}
    names = {"device", "dtype", "memory_format"}
    unexpected = kwargs.keys() - {*names, "factory_kwargs"}
    if unexpected:
        raise TypeError(f"unexpected kwargs {unexpected}")
    result = dict(kwargs.get("factory_kwargs", {}))
    for name in names & kwargs.keys():
        if name in result:
            raise TypeError(f"{name} specified twice, in **kwargs and in factory_kwargs")
        result[name] = kwargs[name]
    return result


def __getattr__(name):
    from importlib import import_module

    if name in _HOME:
        value = getattr(import_module(f"{__package__}.modules.{_HOME[name]}"), name)
    elif name in _PARAMETER_NAMES:
        value = getattr(import_module(f"{__package__}.parameter"), name)
    elif name == "DataParallel":
        value = import_module(f"{__package__}.parallel").DataParallel
    elif name in _SUBMODULES:
        return import_module(f"{__package__}.{name}")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *__all__, *_SUBMODULES})


from flambeau._lazy import complete as _complete  # noqa: E402

_complete(__name__)
