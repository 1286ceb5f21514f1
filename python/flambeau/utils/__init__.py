"""Utilities: data loading, hooks and others. Modules load when they are first used."""

import importlib


def __getattr__(name):
    if not name.startswith("__"):
        module = f"{__package__}.{name}"
        try:
            return importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name != module:
                raise
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
