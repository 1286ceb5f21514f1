"""Operators over batched tensors: how a call finds its batching rule, and the fallback for those without one."""

import numbers

import flambeau as torch
from flambeau import _C

from ._batched import Batched, values_at, wrap

Tensor = torch.Tensor

RULES = {}
"""Batching rules by the name of the declaration: ``rule(op, level, args, kwargs)`` gives the result."""


EXPRESSION = "an expression of elements"
"""The name of the rule for all operators that are declared by an expression."""


class Unbatchable(Exception):
    """A rule does not cover a case: the operator then runs once for each sample."""


def rule(*names):
    """Registers a batching rule under names of declarations."""

    def register(function):
        for name in names:
            RULES[name] = function
        return function

    return register


def bound(*names):
    """Registers a rule of a `Call`, which gives the results with the hidden dimension in front."""

    def register(function):
        def run(op, level, args, kwargs):
            call = op.bind(level, args, kwargs)
            if call is None:
                raise Unbatchable
            result = function(call)
            return args[0] if op.inplace else wrap(level, result)

        rule(*names)(run)
        return function

    return register


class Call:
    """A call with its arguments by the names of the declared parameters."""

    __slots__ = ("given", "level", "op", "overload")

    def __init__(self, op, level, overload, given):
        self.op = op
        self.level = level
        self.overload = overload
        self.given = given

    def __getitem__(self, name):
        return self.given[name]

    def has(self, name):
        """Whether there is a parameter of that name."""
        return name in self.given

    def batched(self, name):
        """Whether an argument has the hidden dimension."""
        value = self.given.get(name)
        return type(value) is Batched and value.level is self.level

    def only(self, *names):
        """Goes on only if no other arguments have the hidden dimension."""
        for name, value in self.given.items():
            if name not in names and _holds(value, self.level):
                raise Unbatchable

    def value(self, name):
        """An argument with the hidden dimension in front, repeated if it has none."""
        return full_value(self.given[name], self.level)

    def run(self, /, **changes):
        """Runs the operator with other arguments in place of some."""
        args, keywords = [], {}
        for name, _, keyword_only, *_ in self.overload:
            value = changes[name] if name in changes else self.given[name]
            if keyword_only:
                keywords[name] = value
            else:
                args.append(value)
        return self.op(*args, **keywords)


def _holds(value, level):
    if type(value) is Batched:
        return value.level is level
    return type(value) in (tuple, list) and any(_holds(item, level) for item in value)


def full_value(tensor, level):
    """A tensor with the hidden dimension in front, as a view that repeats it if it has none."""
    if type(tensor) is Batched and tensor.level is level:
        return tensor.value
    return tensor.expand((level.size, *tensor.shape))


def innermost(args):
    """The innermost level among the arguments, or None."""
    found = None
    for value in args:
        kind = type(value)
        if kind is Batched:
            if found is None or value.level.depth > found.depth:
                found = value.level
        elif kind is tuple or kind is list:
            inner = innermost(value)
            if inner is not None and (found is None or inner.depth > found.depth):
                found = inner
    return found


def level_of_call(args, kwargs):
    """The innermost level among positional and keyword arguments."""
    level = innermost(args)
    if kwargs:
        other = innermost(kwargs.values())
        if other is not None and (level is None or other.depth > level.depth):
            return other
    return level


class Operator:
    """An operator of one place (torch, Tensor, linalg, …), which accepts batched tensors too."""

    __slots__ = ("function", "inplace", "method", "name", "overloads", "rule")

    def __init__(self, function, name, overloads, inplace=False, method=False):
        self.function = function
        self.name = name
        self.overloads = [
            [(p["name"], p["kind"], p["keyword_only"], p.get("default", _REQUIRED)) for p in overload["params"]]
            for overload in overloads
        ]
        self.inplace = inplace
        self.method = method
        self.rule = RULES.get(name)
        if self.rule is None and overloads and all(overload["pointwise"] for overload in overloads):
            self.rule = RULES[EXPRESSION]

    def __call__(self, *args, **kwargs):
        level = level_of_call(args, kwargs)
        if level is None:
            return self.function(*args, **kwargs)
        return self.run(level, args, kwargs)

    def run(self, level, args, kwargs):
        """The result of a call whose innermost level is `level`."""
        if not level.alive:
            raise RuntimeError(
                "Either your tensor may have escaped from inside a function being vmapped and this is a user error "
                "(see https://pytorch.org/functorch/stable/ux_limitations.html), or the function was left early"
            )
        if kwargs and kwargs.get("out") is not None:
            raise RuntimeError(
                f"Batching rule not implemented for aten::{self.name}.out; the fallback path doesn't work on out= or "
                "view ops."
            )
        if self.inplace and not _holds(args[0] if args else kwargs.get("self"), level):
            refuse_inplace(self.name)
        if self.rule is None:
            return loop(self, level, args, kwargs)
        try:
            return self.rule(self, level, args, kwargs)
        except Unbatchable:
            return loop(self, level, args, kwargs)

    def bind(self, level, args, kwargs):
        """The call by names, of the first overload that fits; or None."""
        for overload in self.overloads:
            given = _bind(overload, args, kwargs)
            if given is not None:
                return Call(self, level, overload, given)
        return None


def refuse_inplace(name):
    """Raises the error of an in-place change of a tensor without the hidden dimension by one with it."""
    name = name.rstrip("_")
    what = "inplace arithmetic" if name in _ARITHMETIC else name + "_"
    raise RuntimeError(
        f"vmap: {what}(self, *extra_args) is not possible because there exists a Tensor `other` in extra_args that has "
        "more elements than `self`. This happened due to `other` being vmapped over but `self` not being vmapped over "
        f"in a vmap. Please try to use out-of-place operators instead of {what}. If said operator is being called "
        "inside the PyTorch framework, please file a bug report instead."
    )


_ARITHMETIC = {"add", "sub", "mul", "div", "copy", "fill", "pow", "addcmul", "addcdiv"}


# Arguments against parameters

_REQUIRED = object()
_OTHER_NAMES = {"dim": "axis", "keepdim": "keepdims", "self": "input"}


def _is_int(value):
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _fits(kind, value):
    if kind.startswith("Opt"):
        if value is None:
            return True
        kind = kind[3:]
    if kind == "Tensor":
        return isinstance(value, Tensor)
    if kind == "Tensors":
        return isinstance(value, (tuple, list)) and all(item is None or isinstance(item, Tensor) for item in value)
    if kind.startswith("Ints"):
        if isinstance(value, (tuple, list)):
            return all(_is_int(item) for item in value)
        return _is_int(value) and kind != "Ints(0)"
    if kind == "Int":
        return _is_int(value)
    if kind in ("Scalar", "Float"):
        return isinstance(value, numbers.Number)
    if kind == "Bool":
        return isinstance(value, bool)
    if kind == "Str":
        return isinstance(value, str)
    if kind == "DType":
        return isinstance(value, torch.dtype)
    return True


def _bind(params, args, kwargs):
    positional = [p for p in params if not p[2]]
    if args and positional and positional[-1][1] in ("Ints(0)", "OptInts(0)") and len(args) >= len(positional):
        # x.view(2, 3): the last parameter takes the rest.
        rest = args[len(positional) - 1 :]
        if all(_is_int(item) for item in rest):
            args = (*args[: len(positional) - 1], tuple(rest))
    if len(args) > len(positional):
        return None
    given, used = {}, 0
    for index, (name, kind, keyword_only, default) in enumerate(params):
        if not keyword_only and index < len(args):
            value = args[index]
        elif kwargs and name in kwargs:
            value = kwargs[name]
            used += 1
        elif kwargs and _OTHER_NAMES.get(name) in kwargs:
            value = kwargs[_OTHER_NAMES[name]]
            used += 1
        elif default is _REQUIRED:
            return None
        else:
            given[name] = default
            continue
        if not _fits(kind, value):
            return None
        given[name] = value
    return given if used == len(kwargs) else None


# The fallback


def loop(op, level, args, kwargs):
    """Runs an operator once for each sample and stacks the results; changes in place go to each sample's part."""
    if not level.size:
        raise RuntimeError(f"vmap: {op.name} has no batching rule, and the mapped dimension is empty")
    results = []
    for index in range(level.size):
        own, named = values_at(args, level, index), values_at(kwargs, level, index)
        results.append(op(*own, **named))
    if op.inplace:
        return args[0] if isinstance(args[0], Tensor) else None
    return stack(op.name, level, results)


def stack(name, level, results):
    """The results of all samples as one."""
    first = results[0]
    if isinstance(first, Tensor):
        return Batched(_stacked(results), level)
    if isinstance(first, (tuple, list)):
        items = [stack(name, level, column) for column in zip(*results)]
        return type(first)(*items) if hasattr(first, "_fields") else type(first)(items)
    if first is None:
        return None
    raise RuntimeError(f"Batching rule not implemented for aten::{name}. We could not generate a fallback.")


def _stacked(results):
    from ._methods import function

    return function("stack")(list(results))


# Finding operators

_DECLARED = {}
_FOUND = {}
_KIND = type(torch.sin)


def _declared():
    for entry in _C._declarations():
        names = [(place, entry["name"], False) for place in entry["places"]]
        names += [(*alias.rsplit(".", 1), False) for alias in entry["aliases"] if "." in alias]
        if any(overload["inplace"] for overload in entry["overloads"]):
            names += [(place, name + "_", True) for place, name, _ in names if place == "Tensor" and name[-1] != "_"]
        for place, name, inplace in names:
            _DECLARED[place, name] = entry, inplace or name.endswith("_")


def function_of(function):
    """What stands for a function of torch, or a method, where arguments may be batched; None if nothing does."""
    found = _FOUND.get(function)
    if found is None:
        found = _FOUND[function] = _find(function)
    return found


def _find(function):
    name = getattr(function, "__name__", "")
    if type(function) is not _KIND:
        if type(function).__name__ == "wrapper_descriptor" and function.__objclass__ is Tensor:
            from ._methods import SLOTS

            return SLOTS.get(name)
        return None
    if not _DECLARED:
        _declared()
    method = function.__qualname__.startswith("Tensor.")
    place = "Tensor" if method else function.__module__.partition(".")[2] or "torch"
    entry, inplace = _DECLARED.get((place, name), (None, False))
    if entry is None:
        return Operator(function, place + "." + name, (), name.endswith("_"), method)
    overloads = [o for o in entry["overloads"] if not o["only"] or place in o["only"]]
    declared = entry["name"] if place != "masked" else "masked." + entry["name"]
    return Operator(function, declared, overloads, inplace, method)


_METHODS = {}
_NATIVE_METHODS = {}


def methods():
    """The native methods of tensors by name."""
    if not _NATIVE_METHODS:
        _NATIVE_METHODS.update(_C._functions("Tensor"))
    return _NATIVE_METHODS


def method(name):
    """The operator that is the method `name` of tensors."""
    found = _METHODS.get(name)
    if found is None:
        found = _METHODS[name] = function_of(methods()[name])
    return found
