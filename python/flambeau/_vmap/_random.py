"""Random operators under `vmap`: refused, the same for all samples, or different for each."""

import threading

import flambeau as torch
from flambeau._levels import state

from ._batched import Batched, values_at
from ._operators import RULES, Unbatchable, function_of, innermost, level_of_call, stack
from ._pointwise import align, pointwise

Tensor = torch.Tensor

REFUSED = (
    "vmap: called random operation while in randomness error mode. Please either use the 'same' or 'different' "
    "randomness flags on vmap or perform the randomness operation out of vmap"
)
_INPLACE = (
    "vmap: Cannot ask for different inplace randomness on an unbatched tensor. This will appear like same randomness. "
    "If this is necessary for your usage, please file an issue with functorch."
)

# Operators that draw a number for each element of their operands, those that draw a tensor of given sizes, and others.
_ELEMENTS = """bernoulli bernoulli_ rand_like randn_like randint_like dropout alpha_dropout poisson binomial rrelu normal
    normal_ uniform_ random_ exponential_ geometric_ cauchy_ log_normal_ _standard_gamma dropout_ alpha_dropout_ rrelu_"""
_SIZED = {"rand": 0, "randn": 0, "randint": 2}
_OTHERS = "multinomial randperm feature_dropout feature_alpha_dropout _sample_dirichlet"

PATCHED = """rand randn randint randperm normal bernoulli multinomial poisson rand_like randn_like randint_like dropout
    alpha_dropout feature_dropout feature_alpha_dropout rrelu"""
"""Functions of torch that draw without a batched argument."""


class Escaped(Exception):
    """Numbers were drawn past the rules."""


def drawn():
    """What the default generator has come to."""
    return bytes(memoryview(torch.get_rng_state()))


def _draws(op, args, kwargs):
    """Whether a call draws at all: dropout in evaluation does not."""
    call = op.bind(None, args, kwargs) if "dropout" in op.name or op.name == "rrelu" else None
    if call is None:
        return True
    if op.name == "rrelu":
        return call["training"]
    return call["train"] and call["p"] not in (0, 0.0)


def check(level):
    """Sees to it that since the last draw none was made past the rules."""
    if level.randomness == "same" or state.rng is None or state.rng == drawn():
        return
    if level.randomness == "different":
        raise Escaped
    if state.alone and threading.active_count() == 1:
        # Another thread may have drawn, otherwise.
        raise RuntimeError(REFUSED)


def random(op, level, args, kwargs):
    """The batching rule of random operators; the innermost running `vmap` decides first."""
    if not _draws(op, args, kwargs):
        level = level_of_call(args, kwargs)
        return op.function(*args, **kwargs) if level is None else pointwise(op, level, args, kwargs)
    if state.stack:
        check(state.stack[-1])
    result = _draw(op, args, kwargs)
    if state.stack:
        state.rng = drawn()
    return result


def _draw(op, args, kwargs):
    running = state.stack
    if not running:
        return op.function(*args, **kwargs)
    level = running[-1]
    if level.randomness == "error":
        raise RuntimeError(REFUSED)
    given = level_of_call(args, kwargs)
    state.stack = running[:-1]
    try:
        if level.randomness == "same":
            return _same(op, level, given, args, kwargs)
        return _different(op, level, given, args, kwargs)
    finally:
        state.stack = running


def _same(op, level, given, args, kwargs):
    if given is not level:
        return _draw(op, args, kwargs)
    source = kwargs.get("generator") or torch.default_generator
    before, results = source.get_state(), []
    for index in range(level.size):
        source.set_state(before)
        results.append(_draw(op, values_at(args, level, index), values_at(kwargs, level, index)))
    return args[0] if op.inplace else stack(op.name, level, results)


def _different(op, level, given, args, kwargs):
    if op.inplace and not (type(args[0]) is Batched and args[0].level is level):
        raise RuntimeError(_INPLACE)
    if op.name in _SIZED or (
        op.name == "normal" and innermost(args) is None and op.bind(level, args, kwargs).has("size")
    ):
        call = op.bind(level, args, kwargs)
        if call is None:
            raise Unbatchable
        size = call["size"]
        size = (size,) if isinstance(size, int) else tuple(size)
        values = {**call.given, "size": (level.size, *size)}
        named = {name: values.pop(name) for name, _, keyword_only, _ in call.overload if keyword_only}
        return Batched(_draw(op, tuple(values.values()), named), level)
    if op.name in _ELEMENTS.split() and not any(isinstance(value, Tensor) for value in kwargs.values()):
        args = list(args)
        first = next(place for place, arg in enumerate(args) if isinstance(arg, Tensor))
        if not (type(args[first]) is Batched and args[first].level is level):
            args[first] = Batched(args[first].expand((level.size, *args[first].shape)), level)
        result = _draw(op, tuple(align(level, args)), kwargs)
        return args[0] if op.inplace else Batched(result, level)
    results = [
        _draw(op, values_at(args, level, index), values_at(kwargs, level, index)) for index in range(level.size)
    ]  # fmt: skip
    return args[0] if op.inplace else stack(op.name, level, results)


for _name in (*_ELEMENTS.split(), *_SIZED, *_OTHERS.split()):
    RULES[_name] = random


def patched(function):
    """A random function of torch, as it is while some `vmap` runs."""
    if function_of(function) is None:
        return function

    def call(*args, **kwargs):
        if not state.stack or kwargs.get("out") is not None:
            return function(*args, **kwargs)
        return random(function_of(function), None, args, kwargs)

    return call
