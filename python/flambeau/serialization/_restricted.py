"""An unpickler that can run no code: it interprets pickles itself and knows a fixed list of globals.

The list has what tensors, parameters and containers of them need. Globals that the user adds are called, made and
given state as Python's own unpickler would.
"""

import pickle
import struct
from collections import Counter, OrderedDict

from .. import _C, _classes, _tensor, _utils, storage
from .._typed_storage import _TYPE_NAMES, _legacy_class
from . import _types
from ._opcodes import read_opcodes
from ._pickling import brief, public_module

_BLOCKED = {"sys", "os", "posix", "nt", "subprocess", "shutil", "socket", "ctypes", "pty", "runpy", "importlib"}


# The parts of a key, and how deep they may lie: hashing walks through all of them, shared ones again and again.
_LARGEST_KEY = 1000
_DEEPEST_KEY = 50


def _key(value):
    """A key of a dictionary or member of a set that can be hashed soon and in a small stack."""
    if not isinstance(value, (tuple, frozenset)):
        return value
    layer, count, depth = [value], 0, 0
    while layer:
        count, depth = count + sum(map(len, layer)), depth + 1
        if count > _LARGEST_KEY or depth > _DEEPEST_KEY:
            raise pickle.UnpicklingError("a key of a dictionary or a member of a set has too many parts")
        layer = [part for whole in layer for part in whole if isinstance(part, (tuple, frozenset))]
    return value


# Functions of the list that take less than the ones they stand for.


def _encode(text, encoding="utf-8"):
    if not isinstance(text, str) or encoding != "latin1":
        raise pickle.UnpicklingError("_codecs.encode is known for text in latin1 only")
    return text.encode("latin1")


def _bytearray(data=b"", encoding=None):
    if isinstance(data, str) and encoding == "latin1":
        data = data.encode("latin1")
    if not isinstance(data, (bytes, bytearray)):
        raise pickle.UnpicklingError("bytearray is known for bytes only")
    return bytearray(data)


def _set(items=()):
    if type(items) not in (list, tuple):
        raise pickle.UnpicklingError("set is known for lists only")
    return set(map(_key, items))


def _counter(counts=None):
    if counts is not None and type(counts) is not dict:
        raise pickle.UnpicklingError("Counter is known for dictionaries only")
    return Counter(counts or {})


def _complex(real, imag):
    return complex(float(real), float(imag))


def _ordered(items=()):
    if type(items) not in (list, tuple) or not all(type(pair) in (list, tuple) and len(pair) == 2 for pair in items):
        raise pickle.UnpicklingError("OrderedDict is known for lists of pairs only")
    return OrderedDict((_key(key), value) for key, value in items)


def _defaults():
    """The globals that a file may name: (what stands for it on the stack, whether it may be called)."""
    from ..nn.parameter import Buffer, Parameter

    known = {
        "collections.OrderedDict": (OrderedDict, _ordered),
        "collections.Counter": (Counter, _counter),
        "_codecs.encode": (_encode, _encode),
        "builtins.bytearray": (bytearray, _bytearray),
        "builtins.set": (set, _set),
        "builtins.complex": (complex, _complex),
        "torch.Size": (_classes.Size, _classes.Size),
        "torch.device": (_C.device, _C.device),
        "torch.Tensor": (_C.Tensor, None),
        "torch.nn.parameter.Parameter": (Parameter, None),
        "torch.nn.parameter.Buffer": (Buffer, None),
        "torch.storage.UntypedStorage": (storage.UntypedStorage, None),
        "torch.serialization._get_layout": (_types._get_layout, _types._get_layout),
        "torch._tensor._rebuild_from_type_v2": (_tensor._rebuild_from_type_v2, None),
    }
    for name in (
        "_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_parameter",
        "_rebuild_parameter_with_state", "_rebuild_meta_tensor_no_storage", "_rebuild_sparse_tensor",
    ):  # fmt: skip
        known["torch._utils." + name] = (getattr(_utils, name),) * 2
    for name in _TYPE_NAMES.values():
        known["torch." + name] = (_legacy_class(name), None)
    for name, value in vars(_C).items():
        if isinstance(value, (_C.dtype, _C.layout)):
            known["torch." + name] = (value, None)
    return known


_known = {}


def _known_globals():
    if not _known:
        _known.update(_defaults())
    return _known


# what the user adds

_added = []


def add_safe_globals(safe_globals):
    """Lets files name these functions and classes, each as itself or as a pair with the name that files have for it."""
    for item in safe_globals:
        if item not in _added:
            _added.append(item)


def get_safe_globals():
    """What was added with `add_safe_globals`."""
    return list(_added)


def clear_safe_globals():
    """Takes back all of `add_safe_globals`."""
    _added.clear()


class safe_globals:
    """Adds functions and classes as `add_safe_globals` does, for a ``with`` block."""

    def __init__(self, safe_globals):
        self.safe_globals = list(safe_globals)

    def __enter__(self):
        self._before = list(_added)
        add_safe_globals(self.safe_globals)

    def __exit__(self, *_):
        _added[:] = self._before


def _added_globals():
    names = {}
    for item in _added:
        obj, name = item if isinstance(item, tuple) else (item, None)
        if name is None:
            module, own = getattr(obj, "__module__", None), getattr(obj, "__qualname__", None)
            if not isinstance(module, str) or not isinstance(own, str):
                raise TypeError(f"a safe global must have a module and a name, or be a pair with a name: {obj!r}")
            name = f"{public_module(module)}.{own}"
        names[_canonical(name)] = obj
    return names


def _canonical(name):
    """One name for what files call by several: PyTorch's and Python 3's."""
    module, dot, rest = name.partition(".")
    module = {"flambeau": "torch", "__builtin__": "builtins", "copy_reg": "copyreg"}.get(module, module)
    return module + dot + rest


def is_allowed(name):
    """Whether a file may name this global."""
    name = _canonical(name)
    return name in _known_globals() or name in _added_globals()


def shown(name):
    """The name without the module of Python's own functions."""
    return name.removeprefix("builtins.")


_STRINGS = {
    pickle.SHORT_BINUNICODE, pickle.BINUNICODE, pickle.BINUNICODE8, pickle.UNICODE, pickle.STRING, pickle.BINSTRING,
    pickle.SHORT_BINSTRING,
}  # fmt: skip


def globals_of(data):
    """The names of all globals that a pickle asks for, found without interpreting it."""
    from io import BytesIO

    try:
        names = _named(BytesIO(data))
    except _MALFORMED as error:
        raise pickle.UnpicklingError(f"the pickle is malformed: {type(error).__name__}: {error}") from error
    return [_canonical(name) for name in names]


def _named(file):
    names, texts, memo = [], [], {}
    for code, arg in read_opcodes(file, "latin1"):
        if code == pickle.GLOBAL:
            names.append(f"{arg[0]}.{arg[1]}")
        elif code == pickle.STACK_GLOBAL:
            names.append(".".join(texts[-2:]))
        elif code in _STRINGS:
            texts.append(arg)
        elif code == pickle.MEMOIZE:
            memo[len(memo)] = texts[-1] if texts else None
        elif code in (pickle.PUT, pickle.BINPUT, pickle.LONG_BINPUT):
            memo[arg] = texts[-1] if texts else None
        elif code in (pickle.GET, pickle.BINGET, pickle.LONG_BINGET) and isinstance(memo.get(arg), str):
            texts.append(memo[arg])
    return names


# What the operations of a malformed pickle raise.
_MALFORMED = (
    IndexError, KeyError, TypeError, ValueError, OverflowError, AttributeError, RecursionError, struct.error,
)  # fmt: skip


class RestrictedUnpickler:
    """Reads one pickle from a file object; see the module."""

    def __init__(self, file, persistent_load, *, encoding="utf-8"):
        self._file = file
        self._persistent_load = persistent_load
        self._encoding = encoding

    def load(self):
        """The object of the pickle."""
        try:
            return self._run()
        except _MALFORMED as error:
            if isinstance(error, UnicodeDecodeError):
                raise
            raise pickle.UnpicklingError(f"the pickle is malformed: {type(error).__name__}: {error}") from error

    def _run(self):
        self._added = _added_globals()
        # Whatever may be called is known by its identity; nothing else ever is.
        self._callables = {id(obj): call for obj, call in _known_globals().values() if call is not None}
        self._user = {id(obj): obj for obj in self._added.values()}
        self._copied = 0
        stack, marks, memo = [], [], {}

        def to_mark():
            nonlocal stack
            items, stack = stack, marks.pop()
            return items

        for code, arg in read_opcodes(self._file, self._encoding):
            if code in _PUSHED:
                stack.append(arg)
            elif code == pickle.MARK:
                marks.append(stack)
                stack = []
            elif code in _CONSTANTS:
                stack.append(_CONSTANTS[code])
            elif code == pickle.EMPTY_DICT:
                stack.append({})
            elif code == pickle.EMPTY_LIST:
                stack.append([])
            elif code == pickle.EMPTY_SET:
                stack.append(set())
            elif code == pickle.TUPLE:
                items = to_mark()
                stack.append(tuple(items))
            elif code in _TUPLES:
                n = _TUPLES[code]
                if len(stack) < n:
                    raise IndexError("the stack is too short")
                stack[-n:] = [tuple(stack[-n:])]
            elif code == pickle.LIST:
                items = to_mark()
                stack.append(items)
            elif code == pickle.DICT:
                items = to_mark()
                stack.append(_fill({}, items))
            elif code == pickle.FROZENSET:
                items = to_mark()
                stack.append(frozenset(map(_key, items)))
            elif code == pickle.APPEND:
                value = stack.pop()
                self._extend(stack[-1], [value])
            elif code == pickle.APPENDS:
                items = to_mark()
                self._extend(stack[-1], items)
            elif code == pickle.SETITEM:
                value, key = stack.pop(), stack.pop()
                self._set_items(stack[-1], [key, value])
            elif code == pickle.SETITEMS:
                items = to_mark()
                self._set_items(stack[-1], items)
            elif code == pickle.ADDITEMS:
                items = to_mark()
                if type(stack[-1]) is not set:
                    raise pickle.UnpicklingError("items can be added to sets only")
                stack[-1].update(map(_key, items))
            elif code in (pickle.PUT, pickle.BINPUT, pickle.LONG_BINPUT):
                memo[arg] = stack[-1]
            elif code == pickle.MEMOIZE:
                memo[len(memo)] = stack[-1]
            elif code in (pickle.GET, pickle.BINGET, pickle.LONG_BINGET):
                stack.append(memo[arg])
            elif code == pickle.GLOBAL:
                stack.append(self._find(*arg))
            elif code == pickle.STACK_GLOBAL:
                name, module = stack.pop(), stack.pop()
                if type(name) is not str or type(module) is not str:
                    raise pickle.UnpicklingError("the name of a global must be text")
                stack.append(self._find(module, name))
            elif code == pickle.REDUCE:
                args = stack.pop()
                stack[-1] = self._call(stack[-1], args)
            elif code == pickle.NEWOBJ:
                args = stack.pop()
                stack[-1] = self._new(stack[-1], args, {})
            elif code == pickle.NEWOBJ_EX:
                kwargs, args = stack.pop(), stack.pop()
                stack[-1] = self._new(stack[-1], args, kwargs)
            elif code == pickle.BUILD:
                state = stack.pop()
                self._build(stack[-1], state)
            elif code in (pickle.PERSID, pickle.BINPERSID):
                saved_id = stack.pop() if code == pickle.BINPERSID else arg
                stack.append(self._persistent_load(saved_id))
            elif code == pickle.POP:
                if stack:
                    stack.pop()
                else:
                    to_mark()
            elif code == pickle.POP_MARK:
                to_mark()
            elif code == pickle.DUP:
                stack.append(stack[-1])
            elif code == pickle.STOP:
                return stack.pop()
            elif code not in (pickle.PROTO, pickle.FRAME):
                raise pickle.UnpicklingError(f"Unsupported operand {code[0]}")
        raise EOFError("the pickle ends early")

    def _find(self, module, name):
        full = _canonical(f"{module}.{name}")
        if full in self._added:
            return self._added[full]
        found = _known_globals().get(full)
        if found is not None:
            return found[0]
        public = shown(full)
        if full.partition(".")[0] in _BLOCKED:
            raise pickle.UnpicklingError(
                f"Trying to load unsupported GLOBAL {public} whose module {full.partition('.')[0]} is blocked."
            )
        raise pickle.UnpicklingError(
            f"Unsupported global: GLOBAL {public} was not an allowed global by default. Please use "
            f"`torch.serialization.add_safe_globals([{public}])` or the `torch.serialization.safe_globals([{public}])` "
            "context manager to allowlist this global if you trust this class/function."
        )

    def _call(self, function, args):
        if type(args) is not tuple:
            raise pickle.UnpicklingError("arguments must be a tuple")
        if id(function) in self._user:
            return function(*args)
        if function is _tensor._rebuild_from_type_v2:
            return self._rebuild(*args)
        self._copy(args)
        call = self._callables.get(id(function))
        if call is None:
            raise pickle.UnpicklingError(f"Trying to call {brief(function)}, which is not an allowed function")
        return call(*args)

    def _copy(self, args):
        """Counts what a call may copy: a file can name the same large argument many times."""
        self._copied += sum(len(arg) for arg in args if isinstance(arg, (str, bytes, bytearray, tuple, list, dict)))
        if self._copied > 1 << 20 and self._copied > 8 * self._file.tell():
            raise pickle.UnpicklingError("the pickle asks for more copies of its parts than it is long")

    def _rebuild(self, function, cls, args, state):
        """`_rebuild_from_type_v2`, whose arguments come from the file."""
        if not (isinstance(cls, type) and issubclass(cls, _C.Tensor)):
            raise pickle.UnpicklingError(f"{brief(cls)} is not a class of tensors")
        out = self._call(function, args)
        if type(out) is not cls:
            out = out.as_subclass(cls)
        if state is not None:
            self._build(out, state)
        return out

    def _new(self, cls, args, kwargs):
        if type(args) is not tuple or type(kwargs) is not dict:
            raise pickle.UnpicklingError("arguments must be a tuple")
        if isinstance(cls, type) and id(cls) in self._user:
            return cls.__new__(cls, *args, **kwargs)
        if cls is OrderedDict and not args and not kwargs:
            return OrderedDict()
        raise pickle.UnpicklingError(
            f"Trying to make an object of {brief(cls)}, which is not among the classes given to add_safe_globals"
        )

    def _build(self, obj, state):
        if id(type(obj)) in self._user:
            set_state = getattr(obj, "__setstate__", None)
            if set_state is not None and set_state.__qualname__ != "Tensor.__setstate__":
                set_state(state)
            else:
                _utils._set_state(obj, state)
        elif type(obj) is OrderedDict or isinstance(obj, _C.Tensor):
            if type(state) is tuple and len(state) == 2 and state[1] is None:
                state = state[0]
            if type(state) is not dict or not all(type(key) is str for key in state):
                raise pickle.UnpicklingError(f"the state of a {type(obj).__name__} must be a dictionary of names")
            obj.__dict__.update(state)
        else:
            raise pickle.UnpicklingError(
                "Can only build Tensor, Parameter, OrderedDict or types allowlisted via add_safe_globals, but got "
                f"{type(obj)}"
            )

    def _extend(self, target, items):
        if type(target) is list:
            target.extend(items)
        elif id(type(target)) in self._user:
            for item in items:
                target.append(item)
        else:
            raise pickle.UnpicklingError(f"Can only append to lists, but got {type(target)}")

    def _set_items(self, target, items):
        if type(target) in (dict, OrderedDict, Counter) or id(type(target)) in self._user:
            _fill(target, items)
        else:
            raise pickle.UnpicklingError(f"Can only set items of dictionaries, but got {type(target)}")


def _fill(target, items):
    if len(items) % 2:
        raise pickle.UnpicklingError("a dictionary has a key without a value")
    for i in range(0, len(items), 2):
        target[_key(items[i])] = items[i + 1]
    return target


_CONSTANTS = {pickle.NONE: None, pickle.NEWTRUE: True, pickle.NEWFALSE: False, pickle.EMPTY_TUPLE: ()}
_TUPLES = {pickle.TUPLE1: 1, pickle.TUPLE2: 2, pickle.TUPLE3: 3}
_PUSHED = _STRINGS | {
    pickle.INT, pickle.BININT, pickle.BININT1, pickle.BININT2, pickle.LONG, pickle.LONG1, pickle.LONG4, pickle.FLOAT,
    pickle.BINFLOAT, pickle.BINBYTES, pickle.SHORT_BINBYTES, pickle.BINBYTES8, pickle.BYTEARRAY8,
}  # fmt: skip
