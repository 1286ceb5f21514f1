"""What takes the places of functions of torch while there are proxies: they are recorded where they are called with one.

Operators ask a proxy among their arguments by themselves; what is written in Python and what takes lists of tensors
does not, so that all functions of the public namespaces get stand-ins, for as long as any proxy lives.
"""

import builtins
import functools
import inspect
import sys
import threading
import types

import flambeau as torch

_SPACES = ("torch.nn.functional", "torch.linalg", "torch.fft", "torch.special", "torch")
# They tell about objects, or take functions.
_PLAIN = frozenset(
    """is_tensor is_storage typename vmap compile enable_grad no_grad set_grad_enabled inference_mode install
    handle_torch_function has_torch_function boolean_dispatch assert_int_or_pair""".split()
)

_lock = threading.RLock()
_live = 0
_tables = None


def _proxy(values):
    """A proxy among nested arguments, or None."""
    from .proxy import Proxy

    for value in values:
        if isinstance(value, Proxy):
            return value
        kind = type(value)
        if kind in (list, tuple) or isinstance(value, (list, tuple)):
            found = _proxy(value)
        elif kind is dict:
            found = _proxy(value.values())
        elif kind is slice:
            found = _proxy((value.start, value.stop, value.step))
        else:
            continue
        if found is not None:
            return found
    return None


class recording:
    """A stand-in that records calls with a proxy among the arguments, and calls the function for others.

    It equals the function, so that programs find the targets of nodes by `node.target == torch.relu` meanwhile too.
    """

    def __init__(self, function):
        self._flambeau_recorded = function
        functools.update_wrapper(self, function, updated=())
        self.__dict__.pop("__wrapped__", None)

    def __call__(self, *args, **kwargs):
        function = self._flambeau_recorded
        found = _proxy(args)
        if found is None and kwargs:
            found = _proxy(kwargs.values())
        if found is not None:
            if function.__name__ == "einsum" and len(args) == 2 and isinstance(args[1], (tuple, list)):
                args = (args[0], *args[1])  # operands in a list are the same as operands by themselves
            return found.tracer.create_proxy("call_function", function, args, kwargs)
        return function(*args, **kwargs)

    def __eq__(self, other):
        return original(other) is self._flambeau_recorded

    def __hash__(self):
        return hash(self._flambeau_recorded)

    def __get__(self, instance, owner=None):
        return self if instance is None else types.MethodType(self, instance)

    def __repr__(self):
        return repr(self._flambeau_recorded)


def _namespaces():
    for name in _SPACES:
        space = torch
        for part in name.split(".")[1:]:
            space = getattr(space, part)
        for part in dir(space):  # some are read when they are first asked for
            getattr(space, part, None)
        yield name, types.ModuleType.__dict__["__dict__"].__get__(space)


def _found():
    """`[table, name, function, stand-in]` for every function, and the names by which functions are found."""
    places, known, called = [], {}, {}
    for space, table in _namespaces():
        for name, value in list(table.items()):
            if (
                (name.startswith("_") and name != "_assert")
                or name in _PLAIN
                or inspect.isclass(value)
                or not callable(value)
            ):
                continue
            if getattr(value, "__module__", None) in (
                "typing",
                "builtins",
                "importlib",
                "functools",
            ) and not isinstance(value, types.BuiltinFunctionType):
                continue
            if id(value) not in known:
                known[id(value)] = recording(value)
                called[id(value)] = f"{space}.{name}"
            places.append([table, name, value, known[id(value)]])
    return places, called


def _read():
    """Looks through the namespaces, again if `autocast` has put other functions there."""
    global _tables
    if _tables is None or any(table.get(name) is not value for table, name, value, _ in _tables[0][:40]):
        _tables = _found()
    return _tables


def names():
    """By the identity of a function its name, as `torch.relu`."""
    with _lock:
        return (_tables if _live else _read())[1]


def original(function):
    """The function that a stand-in stands for."""
    return function._flambeau_recorded if type(function) is recording else function


def enter():
    """A proxy is made."""
    global _live
    with _lock:
        if not _live:
            for table, name, _, stand_in in _read()[0]:
                table[name] = stand_in
        _live += 1


def leave():
    """A proxy is gone."""
    global _live
    with _lock:
        _live -= 1
        if not _live:
            for table, name, value, stand_in in _tables[0]:
                if table[name] is stand_in:
                    table[name] = value


class everywhere:
    """A region in which functions that other modules hold by name are recorded as well."""

    def __enter__(self):
        enter()
        stand_ins = {id(value): (value, stand_in) for _, _, value, stand_in in _tables[0]}
        self._changed = []
        read = types.ModuleType.__dict__["__dict__"].__get__
        for module in list(sys.modules.values()):
            if not isinstance(module, types.ModuleType) or module is builtins:
                continue
            table = read(module)
            if (table.get("__name__") or "").partition(".")[0] in ("flambeau", "torch", "sys", "builtins"):
                continue
            for name, value in list(table.items()):
                found = stand_ins.get(id(value))
                if found is not None and found[0] is value:
                    table[name] = found[1]
                    self._changed.append((table, name, *found))
        return self

    def __exit__(self, *error):
        for table, name, value, stand_in in self._changed:
            if table.get(name) is stand_in:
                table[name] = value
        leave()
