"""The text of captured programs in Python."""

import builtins
import enum
import math
import re
import types

import flambeau as torch

from .node import Node, _operator_name

__all__ = ["CodeGen", "PythonCode"]

_INFIX = {
    "add": "+", "sub": "-", "mul": "*", "floordiv": "//", "truediv": "/", "mod": "%", "pow": "**", "lshift": "<<",
    "rshift": ">>", "and_": "&", "or_": "|", "xor": "^", "matmul": "@", "eq": "==", "ne": "!=", "lt": "<", "gt": ">",
    "le": "<=", "ge": ">=",
}  # fmt: skip
_PREFIX = {"pos": "+", "neg": "-", "invert": "~"}


class PythonCode:
    """A program's text, `src`, and what the names in it are, `globals`."""

    def __init__(self, src, globals):
        self.src, self.globals = src, globals


class CodeGen:
    """Writes a graph as a function `forward`."""

    transform = None

    def generate(self, graph, root):
        """The text, and the values that it names."""
        self.values, self.root = {"inf": math.inf, "nan": math.nan, "NoneType": type(None), "torch": torch}, root
        nodes = list(graph.nodes)
        last_use = {}
        for node in nodes:
            for argument in node._input_nodes:
                last_use[argument] = node
        inputs, lines, returned = [], [], ""
        for node in nodes:
            if node.op == "placeholder":
                line = self._input(node, inputs)
            elif node.op == "output":
                returned = f" -> {self._type(node.type)}" if node.type is not None else ""
                line = f"return {self._text(node.args[0])}"
            else:
                kind = f" : {self._type(node.type)}" if node.type is not None else ""
                line = f"{node.name}{kind} = {self._call(node)}"
            if line is None:
                continue
            gone = [argument.name for argument in node._input_nodes if last_use[argument] is node]
            if node.op == "output":
                lines.append(line)
            elif node.op != "placeholder" and not node.users:
                lines.append(f"{line};  {' = '.join([node.name, *gone])} = None")
            else:
                lines.append(line + (f";  {' = '.join(gone)} = None" if gone else ""))
        if not nodes or nodes[-1].op != "output":
            lines.append("pass")
        if self.transform is not None:
            lines = "".join(self.transform([f"{line}\n" for line in lines])).splitlines()
        order = sorted(inputs, key=lambda text: text.startswith("*") + text.startswith("**"))
        body = "\n".join("    " + line for line in lines)
        return PythonCode(f"\n\n\ndef forward({', '.join(['self', *order])}){returned}:\n{body}\n    ", self.values)

    def _input(self, node, inputs):
        kind = f" : {self._type(node.type)}" if node.type is not None else ""
        default = f" = {self._text(node.args[0])}" if node.args else ""
        inputs.append(f"{node.target}{kind}{default}")
        raw = node.target.replace("*", "")
        return None if raw == node.name else f"{node.name} = {raw}"

    def _call(self, node):
        if node.op == "get_attr":
            return self._path("self", node.target)
        arguments = ", ".join(
            [self._text(value) for value in node.args]
            + [f"{name} = {self._text(value)}" for name, value in node.kwargs.items()]
        )
        if node.op == "call_module":
            return f"{self._path('self', node.target)}({arguments})"
        if node.op == "call_method":
            rest = ", ".join(
                [self._text(value) for value in node.args[1:]]
                + [f"{n} = {self._text(v)}" for n, v in node.kwargs.items()]
            )
            return f"{self._path(self._text(node.args[0]), node.target)}({rest})"
        function, plain = node.target, not node.kwargs
        name = getattr(function, "__name__", "")
        if getattr(function, "__module__", None) == "_operator" and plain:
            operands = [self._text(value) for value in node.args]
            operands = [f"({text})" if text.startswith("-") and name == "pow" else text for text in operands]
            if name in _INFIX and len(operands) == 2:
                return f"{operands[0]} {_INFIX[name]} {operands[1]}"
            if name in _PREFIX and len(operands) == 1:
                return f"{_PREFIX[name]}{operands[0]}"
            if name == "getitem" and len(operands) == 2:
                return f"{operands[0]}[{operands[1]}]"
        if function is getattr and plain and len(node.args) == 2 and str(node.args[1]).isidentifier():
            return f"{self._text(node.args[0])}.{node.args[1]}"
        return f"{self._named(function)}({arguments})"

    @staticmethod
    def _path(base, target):
        for part in target.split("."):
            base = f"{base}.{part}" if part.isidentifier() else f'getattr({base}, "{part}")'
        return base

    def _named(self, value):
        """A name for a function, type or other object, which is kept with the text."""
        name = _operator_name(value) if callable(value) else type(value).__name__
        if name.startswith("builtins."):
            name = name[len("builtins.") :]
            if getattr(builtins, name, None) is value:
                return name
        found = torch
        for part in name.split(".")[1:]:
            found = getattr(found, part, None)
        from ._places import original

        if name.startswith("torch.") and original(found) is value:
            return name
        text = re.sub(r"\W", "_", name)
        while self.values.get(text, value) is not value:
            text += "_"
        self.values[text] = value
        return text

    def _type(self, kind):
        if isinstance(kind, type) and getattr(builtins, kind.__name__, None) is kind:
            return kind.__name__
        if kind is torch.Tensor:
            return "torch.Tensor"
        if isinstance(kind, str):
            return repr(kind)
        text = re.sub(r"\W+", "_", repr(kind)).strip("_")
        self.values.setdefault(text, kind)
        return text

    def _text(self, value):
        if isinstance(value, Node):
            return value.name
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return f"{self._named(type(value))}({', '.join(map(self._text, value))})"
        if isinstance(value, tuple):
            return "(" + ", ".join(map(self._text, value)) + ("," if len(value) == 1 else "") + ")"
        if isinstance(value, list):
            return "[" + ", ".join(map(self._text, value)) + "]"
        if isinstance(value, dict):
            return "{" + ", ".join(f"{self._text(key)}: {self._text(item)}" for key, item in value.items()) + "}"
        if isinstance(value, slice):
            return f"slice({self._text(value.start)}, {self._text(value.stop)}, {self._text(value.step)})"
        if isinstance(value, enum.Enum):
            return self._named(value)
        if value is None or value is ... or type(value) in (bool, int, float, complex, str, bytes, range):
            return repr(value)
        if isinstance(value, (torch.dtype, torch.memory_format, torch.layout)):
            return "torch." + str(value).rpartition(".")[2]
        if isinstance(value, torch.device):
            self.values["device"] = torch.device
            return repr(value)
        if isinstance(value, (type, types.FunctionType, types.BuiltinFunctionType)) or callable(value):
            return self._named(value)
        text = f"_constant_{len(self.values)}"
        self.values[text] = value
        return text


def pickled(target):
    """A target for a file: functions of torch by the name they have there."""
    name = _operator_name(target) if callable(target) else ""
    return ("torch function", name) if name.startswith("torch.") else target


def unpickled(target):
    """The target that `pickled` gave."""
    if not isinstance(target, tuple):
        return target
    found = torch
    for part in target[1].split(".")[1:]:
        found = getattr(found, part)
    from ._places import original

    return original(found)
