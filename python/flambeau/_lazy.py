"""Packages whose names are read when they are first asked for."""

import sys
import types

_own = types.ModuleType.__dict__["__dict__"].__get__


class _Package(types.ModuleType):
    """A package that, asked for its `__dict__`, reads everything first: programs look through it for classes."""

    @property
    def __dict__(self):
        names = _own(self)
        ask = names.get("__getattr__")
        for name in names.get("__all__", ()) if ask is not None else ():
            if name not in names:
                ask(name)
        return names

    def __dir__(self):
        names = _own(self)
        return names["__dir__"]() if "__dir__" in names else sorted(names)


def complete(name):
    """Makes the package of this name one that shows all its names in its `__dict__`."""
    sys.modules[name].__class__ = _Package
