"""What takes the places of functions of torch while some `vmap` runs.

Batched tensors in lists and in index expressions of plain tensors do not make native operators ask them; and random
operators have to know of `vmap` without any batched argument.
"""

import threading

import flambeau as torch
from flambeau import _functional
from flambeau._levels import state

from . import _index, _random
from ._operators import function_of, innermost

Tensor = torch.Tensor

_LISTS = """cat concat concatenate stack hstack vstack row_stack dstack column_stack index_put index_put_ histogramdd gradient atleast_1d
    atleast_2d atleast_3d"""
_INNER = "block_diag broadcast_tensors cartesian_prod meshgrid"

_lock = threading.Lock()
_running = 0
_places = None


def _asking(function):
    """A function with lists of tensors among its arguments."""
    found = function_of(function)
    if found is None:
        return function

    def call(*args, **kwargs):
        if state.stack and (innermost(args) is not None or (kwargs and innermost(kwargs.values()) is not None)):
            return found(*args, **kwargs)
        return function(*args, **kwargs)

    call.__name__ = call.__qualname__ = function.__name__
    return call


def _tensor(function):
    """`torch.tensor` and `as_tensor`: of a batched tensor itself; numbers cannot be taken out of one."""

    def call(data, *args, **kwargs):
        if state.stack and innermost((data,)) is not None:
            from ._methods import ITEM

            if isinstance(data, (tuple, list)):
                raise RuntimeError(ITEM)
            dtype = args[0] if args else kwargs.get("dtype")
            made = data if function.__name__ == "as_tensor" else data.detach().clone()
            return made if dtype is None else made.to(dtype)
        return function(data, *args, **kwargs)

    call.__name__ = call.__qualname__ = function.__name__
    return call


def _found():
    """All places: a table, a name in it, what makes a stand-in, what was there last, and its stand-in."""
    places = [
        *((vars(torch), name, _random.patched) for name in _random.PATCHED.split()),
        *((vars(torch), name, _asking) for name in _LISTS.split()),
        *((_functional._native, name, _asking) for name in _INNER.split()),
        *((vars(torch), name, _tensor) for name in ("tensor", "as_tensor")),
        (vars(torch._C), "_einsum", _asking),
        (vars(torch.linalg), "multi_dot", _asking),
    ]
    return [[table, name, make, None, None] for table, name, make in places if name in table]


def enter():
    """Before the outermost `vmap` of a thread runs."""
    global _running, _places
    with _lock:
        if not _running:
            if _places is None:
                _places = _found()
            for place in _places:
                table, name, make, native, stand_in = place
                current = table[name]
                if current is not native:
                    stand_in = make(current)
                    place[3:] = current, stand_in
                table[name] = stand_in
            Tensor.__getitem__ = _index.get
            Tensor.__setitem__ = _index.set_
        _running += 1


def leave():
    """After it."""
    global _running
    with _lock:
        _running -= 1
        if not _running:
            for table, name, _, native, stand_in in _places:
                # Unless something else was put there meanwhile.
                if table[name] is stand_in:
                    table[name] = native
            Tensor.__getitem__ = _index._native_get
            Tensor.__setitem__ = _index._native_set
