"""Schemas of operators: read from text, and inferred from a function's annotations."""

import inspect
import re
import typing

from .. import _C

__all__ = ["Argument", "Schema", "infer_schema"]

_NUMBERS = {
    "int": int,
    "SymInt": int,
    "float": (int, float),
    "bool": bool,
    "Scalar": (int, float, bool, complex),
    "str": str,
}


class Argument:
    """A parameter of an operator: its type, its name, and the default that it may have."""

    def __init__(self, text, keyword_only):
        declared, _, default = text.partition("=")
        self.type, self.name = declared.strip().rsplit(" ", 1)
        self.kwarg_only, self.has_default = keyword_only, bool(default)
        self.mutated = "!" in self.type
        self.plain = re.sub(r"\([^)]*\)", "", self.type)
        self.default_value = _value(default.strip(), self.plain) if default else None

    def accepts(self, value):
        """Whether a value may be given: sure of tensors, numbers and text, lenient with the rest."""
        plain = self.plain
        if plain.endswith("?"):
            if value is None:
                return True
            plain = plain[:-1]
        if plain == "Tensor":
            return isinstance(value, _C.Tensor)
        if plain in _NUMBERS:
            return isinstance(value, _NUMBERS[plain]) or (
                plain != "str" and isinstance(value, _C.Tensor) and value.numel() == 1
            )
        return True


def _value(text, plain):
    if text in ("None", "True", "False"):
        return {"None": None, "True": True, "False": False}[text]
    if text[:1] in "\"'":
        return text[1:-1]
    if text.startswith("["):
        inner = re.sub(r"\[.*\]\??$", "", plain)
        return [_value(part.strip(), inner) for part in text[1:-1].split(",") if part.strip()]
    if plain.rstrip("?") in ("int", "SymInt"):
        return int(text)
    try:
        return float(text)
    except ValueError:
        return getattr(_C, text, text)


def _split(text):
    parts, depth, start = [], 0, 0
    for i, letter in enumerate(text):
        depth += (letter in "([") - (letter in ")]")
        if letter == "," and depth == 0:
            parts.append(text[start:i])
            start = i + 1
    parts.append(text[start:])
    return [part.strip() for part in parts if part.strip()]


class Schema:
    """The parameters and results of an operator."""

    def __init__(self, name, text):
        self.name, self.text = name, text.strip()
        arguments, arrow, returns = self.text.rpartition("->")
        arguments = arguments.strip()
        if not arrow or not (arguments.startswith("(") and arguments.endswith(")")):
            raise RuntimeError(f"{name}{text}: not a schema, which looks like (Tensor x, int n=1) -> Tensor")
        self.arguments, keyword_only = [], False
        for part in _split(arguments[1:-1]):
            if part == "*":
                keyword_only = True
            else:
                self.arguments.append(Argument(part, keyword_only))
        returns = returns.strip()
        self.returns = _split(returns[1:-1]) if returns.startswith("(") else [returns]

    def __str__(self):
        return f"{self.name}{self.text}"

    __repr__ = __str__

    def bind(self, args, kwargs):
        """The values of all parameters in order."""
        places = [argument for argument in self.arguments if not argument.kwarg_only]
        if len(args) > len(places):
            raise RuntimeError(
                f"{self.name}() expected at most {len(places)} argument(s) but received {len(args)} argument(s). "
                f"Declaration: {self}"
            )
        given = dict(zip((argument.name for argument in places), args))
        for name, value in kwargs.items():
            if name in given or all(argument.name != name for argument in self.arguments):
                raise RuntimeError(
                    f"{self.name}() got an unknown argument or a second value: '{name}'. Declaration: {self}"
                )
            given[name] = value
        for argument in self.arguments:
            if argument.name not in given:
                if not argument.has_default:
                    raise RuntimeError(
                        f"{self.name}() is missing value for argument '{argument.name}'. Declaration: {self}"
                    )
                given[argument.name] = argument.default_value
            elif not argument.accepts(given[argument.name]):
                raise RuntimeError(
                    f"{self.name}() Expected a value of type '{argument.plain}' for argument '{argument.name}' but "
                    f"instead found type '{type(given[argument.name]).__name__}'. Declaration: {self}"
                )
        return [given[argument.name] for argument in self.arguments]

    def call(self, function, values):
        """Calls a function with the values of all parameters."""
        places = [value for value, argument in zip(values, self.arguments) if not argument.kwarg_only]
        named = {argument.name: value for value, argument in zip(values, self.arguments) if argument.kwarg_only}
        return function(*places, **named)


_TYPES = {
    _C.Tensor: "Tensor", int: "SymInt", float: "float", bool: "bool", str: "str", complex: "Scalar",
    _C.dtype: "ScalarType", _C.device: "Device",
}  # fmt: skip


def _type(annotation):
    if annotation in _TYPES:
        return _TYPES[annotation]
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Union or type(annotation).__name__ == "UnionType":
        kept = [part for part in parts if part is not type(None)]
        if set(kept) == {int, float, bool}:
            return "Scalar" + "?" * (len(kept) < len(parts))
        if len(kept) == 1 and len(parts) == 2:
            inner = _type(kept[0])
            return inner and inner + "?"
    if origin is not None and origin in (list, _SEQUENCE) and len(parts) == 1:
        inner = _type(parts[0])
        return inner and inner + "[]"
    return None


_SEQUENCE = typing.get_origin(typing.Sequence[int])


def infer_schema(prototype_function, /, *, mutates_args, op_name=None):
    """The schema that a function's annotations say."""
    signature = inspect.signature(prototype_function)
    hints = typing.get_type_hints(prototype_function)

    def fail(what):
        raise ValueError(f"infer_schema(func): {what} Got func with signature {signature})")

    parts, star = [], False
    for i, (name, parameter) in enumerate(signature.parameters.items()):
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            fail("We do not support positional-only args, varargs, or varkwargs.")
        if parameter.kind is parameter.KEYWORD_ONLY and not star:
            parts.append("*")
            star = True
        if name not in hints:
            fail(f"Parameter {name} must have a type annotation.")
        kind = _type(hints[name])
        if kind is None:
            fail(f"Parameter {name} has unsupported type {hints[name]}.")
        if mutates_args == "unknown" or name in mutates_args:
            if not kind.startswith("Tensor"):
                if mutates_args == "unknown":
                    kind = kind
                else:
                    fail(
                        f"Parameter {name} is in mutable_args but only Tensors or collections of Tensors can be mutated."
                    )
            else:
                kind = kind.replace("Tensor", f"Tensor(a{i}!)", 1)
        text = f"{kind} {name}"
        if parameter.default is not parameter.empty:
            text += "=" + _default(parameter.default, name, fail)
        parts.append(text)
    unknown = set() if mutates_args == "unknown" else set(mutates_args) - set(signature.parameters)
    if unknown:
        fail(f"{sorted(unknown)} in mutates_args were not found in the custom op's signature.")
    if "return" not in hints:
        fail("No return type annotation was provided. Please add one.")
    text = f"({', '.join(parts)}) -> {_results(hints['return'], fail)}"
    return text if op_name is None else op_name + text


def _default(value, name, fail):
    if value is None or isinstance(value, (bool, int, float)):
        return str(value)
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, _C.dtype):
        return str(value).removeprefix("torch.")
    if isinstance(value, _C.device):
        return f'"{value}"'
    fail(f"Parameter {name} has an unsupported default value type {type(value)}.")


def _results(annotation, fail):
    if annotation in (None, type(None)):
        return "()"
    if typing.get_origin(annotation) is tuple:
        kinds = [_type(part) for part in typing.get_args(annotation)]
        if all(kinds):
            return f"({', '.join(kinds)})"
    kind = _type(annotation)
    if kind is None:
        fail(f"Return has unsupported type {annotation}.")
    return kind
