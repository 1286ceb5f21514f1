"""Counting the multiplications and additions of matrix products, convolutions and attention, module by module."""

import math
import weakref

from .. import _C
from ..nn.modules import module as _modules
from ..nn.modules.conv import _ConvNd
from ..nn.modules.rnn import RNNBase

__all__ = ["FlopCounterMode"]

_PRODUCTS = {"mm": 0, "bmm": 0, "addmm": 1, "baddbmm": 1}
_CONVOLUTIONS = {f"conv{kind}{n}d" for n in (1, 2, 3) for kind in ("", "_transpose")} | {"convolution"}
# Products whose operands' shapes do not tell how much is multiplied.
_UNKNOWN = {"_einsum", "_tensordot", "inner", "multi_dot", "matrix_power", "addbmm", "conv_tbc"}


def _product(op, shapes):
    """(PyTorch's operator, flops) of a matrix product or of attention; None for what is not counted."""
    if op == "linear":
        name = "addmm" if len(shapes) > 2 and shapes[2] else "mm"
        return (name, 2 * math.prod(shapes[0]) * shapes[1][0]) if len(shapes[1]) == 2 else None
    if op == "matmul":
        left, right = shapes[0], shapes[1]
        if len(left) < 2 or len(right) < 2:
            return None
        batch = [max(sizes) if min(sizes) else 0 for sizes in _aligned(left[:-2], right[:-2])]
        name = "bmm" if len(left) > 2 and len(right) > 2 else "mm"
        return name, 2 * math.prod(batch) * left[-2] * left[-1] * right[-1]
    if op in _PRODUCTS:
        left, right = shapes[_PRODUCTS[op] :][:2]
        return op, 2 * math.prod(left) * right[-1]
    if op == "scaled_dot_product_attention":
        query, key, value = shapes[:3]
        return op, 2 * math.prod(query[:-1]) * key[-2] * (query[-1] + value[-1])
    return None


def _aligned(a, b):
    """The sizes of two shapes in pairs, the shorter one filled with ones in front."""
    n = max(len(a), len(b))
    return zip([1] * (n - len(a)) + list(a), [1] * (n - len(b)) + list(b))


class _Call:
    """One call of a module: its names in the tree, and when it ran."""

    def __init__(self, module, name, outer):
        self.module, self.name, self.outer = module, name, outer
        self.start, self.end, self.output = _C._profiler_now(), math.inf, None


class FlopCounterMode:
    """Counts floating-point operations within `with FlopCounterMode() as counter:`.

    Products of matrices, convolutions that modules make and scaled dot-product attention are counted, as PyTorch counts
    them, recurrent layers are not. What is not counted yet raises NotImplementedError at the end of the region:
    gradients, convolutions by function, and products such as einsum's. Operators are named by strings.
    """

    def __init__(self, mods=None, depth=2, display=True, custom_mapping=None):
        if custom_mapping:
            raise NotImplementedError("FlopCounterMode: custom_mapping is not supported")
        self.depth, self.display = depth, display
        self.flop_counts = {"Global": {}}
        self._names = weakref.WeakKeyDictionary()

    def _name_tree(self, module, name):
        if module not in self._names:
            self._names[module] = name
            for child_name, child in module.named_children():
                self._name_tree(child, f"{name}.{child_name}")

    def _before(self, module, inputs):
        self._name_tree(module, type(module).__name__)
        self._open = _Call(module, self._names[module], self._open)
        self._calls.append(self._open)

    def _after(self, module, inputs, output):
        call, self._open = self._open, self._open.outer
        call.end = _C._profiler_now()
        call.output = output if isinstance(output, _C.Tensor) else None

    def __enter__(self):
        if _C._profiler_enabled():
            raise RuntimeError("FlopCounterMode: the profiler is already enabled on this thread")
        self.flop_counts = {"Global": {}}
        self._open, self._calls = None, []
        self._hooks = [
            _modules.register_module_forward_pre_hook(self._before),
            _modules.register_module_forward_hook(self._after, always_call=True),
        ]
        _C._profiler_start()
        return self

    def __exit__(self, kind, error, traceback):
        events = _C._profiler_stop()
        for hook in self._hooks:
            hook.remove()
        calls, self._calls = self._calls, []
        if kind is None:
            self._count(sorted(events, key=lambda event: event[2]), calls)
            if self.display:
                print(self.get_table(self.depth))
        return False

    def _count(self, events, calls):
        at, within, covered = 0, [], -1
        for name, _, start, end, _, shapes in events:
            while at < len(calls) and calls[at].start <= start:
                within.append(calls[at])
                at += 1
            within = [call for call in within if call.end > start]
            if start < covered or any(isinstance(call.module, RNNBase) for call in within):
                continue
            if name.startswith("autograd::") and any(word in name for word in ("mm", "Conv", "DotProduct", "Linear")):
                raise NotImplementedError("FlopCounterMode: the products of gradients are not counted yet")
            op = name.removeprefix("aten::").removesuffix("_")
            if op in _UNKNOWN:
                raise NotImplementedError(f"FlopCounterMode: the products of {op.strip('_')} are not counted yet")
            if op in _CONVOLUTIONS:
                counted = self._convolution(op, shapes, within)
            else:
                counted = _product(op, shapes)
            if counted is not None:
                covered = end  # operators called by this one have been counted with it
                for group in {"Global", *(call.name for call in within)}:
                    counts = self.flop_counts.setdefault(group, {})
                    key = "aten." + counted[0]
                    counts[key] = counts.get(key, 0) + counted[1]

    def _convolution(self, op, shapes, within):
        call = within[-1] if within else None
        if call is None or not isinstance(call.module, _ConvNd) or call.output is None:
            raise NotImplementedError(f"FlopCounterMode: {op} is counted only where a module calls it")
        weight = call.module.weight.shape
        places = shapes[0] if call.module.transposed else call.output.shape
        batched = len(places) == len(weight)
        positions = math.prod(places[2:] if batched else places[1:])
        return "convolution", 2 * (places[0] if batched else 1) * positions * math.prod(weight)

    def get_total_flops(self):
        """What all operators took together."""
        return sum(self.flop_counts["Global"].values())

    def get_flop_counts(self):
        """`{module: {operator: flops}}`, with everything under "Global"."""
        return {name: dict(counts) for name, counts in self.flop_counts.items()}

    def get_table(self, depth=None):
        """The counts as a table, of modules down to `depth`."""
        depth = self.depth if depth is None else depth
        total = max(self.get_total_flops(), 1)
        rows = [("Module", "FLOP", "% Total")]
        for name in sorted(self.flop_counts):
            if name.count(".") >= depth or (name == "Global" and len(self.flop_counts) > 1):
                continue
            counts = self.flop_counts[name]
            for label, flops in [(name, sum(counts.values())), *((f"- {op}", n) for op, n in counts.items())]:
                rows.append((label, str(flops), f"{100 * flops / total:.2f}%"))
        left, middle, right = (max(len(row[i]) for row in rows) for i in range(3))
        rows.insert(1, ("-" * left, "-" * middle, "-" * right))
        return "\n".join(f"{a:<{left}}  {b:>{middle}}  {c:>{right}}" for a, b, c in rows)
