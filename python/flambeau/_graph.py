"""`graph(tensor)`: the recorded computation of a tensor, drawn as SVG or written for Graphviz."""

import sys

from flambeau._graph_layout import layered

__all__ = ["Graph", "graph"]

MAX_NODES = 2000
MAX_VALUES = 6  # elements of a tensor whose values are shown
REPEAT_SPAN = 4  # a leaf of several uses is drawn once more for one that is more rows further down
REPEAT_SPAN_FEW = 12  # the same for one of two uses

FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
TITLE_SIZE, DETAIL_SIZE = 13, 11
TITLE_ADVANCE, DETAIL_ADVANCE = 8.4, 6.8  # widths of one character
LINE, PADDING_X, PADDING_Y, MARGIN = 16, 12, 8, 16
# kind -> (fill, border, title)
COLOURS = {
    "operation": ("#eef3fa", "#8ea6c8", "#1f3a5f"),
    "leaf": ("#e8f6ec", "#69b585", "#14532d"),
    "result": ("#fff4de", "#e0a64b", "#7a4a05"),
    "more": ("#ffffff", "#b0b0b0", "#707070"),
}
DETAIL_COLOURS = {"shape": "#5b6470", "value": "#22272e", "grad": "#b4431c"}


class _Item:
    """One box of the drawing: kind, title, and (kind of text, text) lines."""

    def __init__(self, kind, title, details=()):
        self.kind = kind
        self.title = title
        self.details = list(details)

    def size(self):
        """Width and height that the texts need."""
        width = max([len(self.title) * TITLE_ADVANCE, *(len(text) * DETAIL_ADVANCE for _, text in self.details)])
        return width + 2 * PADDING_X, (1 + len(self.details)) * LINE + 2 * PADDING_Y - 2


def graph(tensor, params=None):
    """The graph that autograd recorded for `tensor`, to be shown in a notebook or saved.

    Boxes show operations by the names of their nodes, with shapes; leaves by name; values and gradients of up to
    6 elements. Names come from `params`, a dict, a module or `(name, tensor)` pairs, and from the caller's
    variables. `tensor` may be a sequence of tensors. Of more than 2,000 nodes those nearest to `tensor` are shown.
    """
    tensors = (tensor,) if hasattr(tensor, "grad_fn") else tuple(tensor)
    if not tensors or not all(hasattr(item, "grad_fn") for item in tensors):
        raise TypeError("graph: expected a tensor or a sequence of tensors")
    frame = sys._getframe(1)
    names = _Names()
    names.add_params(params)
    names.add_variables(frame.f_locals)
    if frame.f_globals is not frame.f_locals:
        names.add_variables(frame.f_globals)
    return Graph(tensors, names)


class _Names:
    """Names of leaves, by identity, and of the tensors that nodes computed."""

    def __init__(self):
        self.of_tensor = {}  # id -> (name, tensor)
        self.of_node = {}  # node -> (name, tensor)

    def _add(self, name, value):
        if not hasattr(value, "grad_fn") or not hasattr(value, "requires_grad"):
            return
        self.of_tensor.setdefault(id(value), (name, value))
        if value.grad_fn is not None:
            self.of_node.setdefault((value.grad_fn, value.output_nr), (name, value))

    def add_params(self, params):
        """Names from a dict, a module or pairs."""
        if params is None:
            return
        if hasattr(params, "named_parameters"):
            params = params.named_parameters()
        elif hasattr(params, "items"):
            params = params.items()
        for name, value in params:
            self._add(str(name), value)

    def add_variables(self, variables):
        """Names from variables: tensors, and the parameters of modules."""
        modules = []
        for name, value in list(variables.items()):
            if name.startswith("_") or not name.isidentifier():
                continue
            kind = type(value)
            if hasattr(kind, "grad_fn"):
                self._add(name, value)
            elif hasattr(kind, "named_parameters"):
                modules.append((name, value))
        for name, module in modules:
            for inner, value in module.named_parameters():
                self._add(f"{name}.{inner}", value)

    def tensor(self, value):
        """Name of a tensor, or None."""
        return self.of_tensor.get(id(value), (None,))[0]


class Graph:
    """A drawn computation graph: `svg` and `dot` are its texts, and `save(path)` writes one of them."""

    def __init__(self, tensors, names):
        self._items = []
        self._edges = []  # (source, target, label)
        self._note = None
        _Collector(self, names).collect(tensors)
        self._svg = None

    @property
    def svg(self):
        """The drawing, as SVG text."""
        if self._svg is None:
            self._svg = _draw(self._items, self._edges, self._note)
        return self._svg

    @property
    def dot(self):
        """The graph in Graphviz's language."""
        return _write_dot(self._items, self._edges, self._note)

    def _repr_svg_(self):
        return self.svg

    def save(self, path):
        """Writes the drawing to a file whose name ends in .svg or .dot."""
        name = str(path)
        if name.endswith(".svg"):
            text = self.svg
        elif name.endswith(".dot") or name.endswith(".gv"):
            text = self.dot
        else:
            raise ValueError(f"graph: expected a file name that ends in .svg or .dot, but got {name!r}")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    def __repr__(self):
        count = {kind: sum(item.kind == kind for item in self._items) for kind in COLOURS}
        note = f", {self._note}" if self._note else ""
        return f"<Graph: {count['operation']} operations, {count['leaf']} leaves{note}>"


class _Collector:
    """Walks the nodes from the results towards the leaves, breadth first."""

    def __init__(self, drawing, names):
        self.items = drawing._items
        self.edges = drawing._edges
        self.drawing = drawing
        self.names = names
        self.index = {}  # node -> position in items

    def collect(self, tensors):
        """Adds all boxes and edges."""
        queue = []
        for tensor in tensors:
            result = self._add(_Item("result", self.names.tensor(tensor) or "result", _describe(tensor)))
            if tensor.grad_fn is None:
                # a leaf by itself
                self.items[result].kind = "leaf"
                continue
            self._connect(tensor.grad_fn, tensor.output_nr, result, queue, merged=tensor)
        position = 0
        while position < len(queue):
            node = queue[position]
            position += 1
            target = self.index[node]
            for source, output_nr in node.next_functions:
                if source is not None:
                    self._connect(source, output_nr, target, queue)
        self._merge_edges()
        if self.drawing._note:
            self.drawing._note = f"only the {MAX_NODES} nodes nearest to the result are shown"
        self._repeat_leaves()

    def _add(self, item):
        self.items.append(item)
        return len(self.items) - 1

    def _connect(self, node, output_nr, target, queue, merged=None):
        source = self.index.get(node)
        if source is None:
            if len(self.index) >= MAX_NODES:
                self.drawing._note = "truncated"
                source = self._add(_Item("more", "⋯"))
            else:
                variable = getattr(node, "variable", None)
                if variable is not None:
                    title = self.names.tensor(variable) or "leaf"
                    source = self._add(_Item("leaf", title, _describe(variable)))
                else:
                    source = self._add(self._operation(node, merged))
                    queue.append(node)
                self.index[node] = source
        self.edges.append((source, target, str(output_nr) if output_nr else ""))

    def _operation(self, node, merged):
        name = node.name()
        known = None if merged is not None else self.names.of_node.get((node, 0))
        if known is not None:
            variable, tensor = known
            details = _describe(tensor)
            details[0] = ("shape", f"{variable} {details[0][1]}")
            return _Item("operation", name, details)
        shape = _node_shape(node) if merged is None else None
        return _Item("operation", name, [("shape", shape)] if shape else [])

    def _merge_edges(self):
        """One edge, with a count, for several between the same boxes."""
        counts = {}
        for edge in self.edges:
            counts[edge] = counts.get(edge, 0) + 1
        self.edges[:] = [
            (source, target, f"{label} ×{count}".strip() if count > 1 else label)
            for (source, target, label), count in counts.items()
        ]

    def _repeat_leaves(self):
        """Draws a leaf once more, by name only, where long edges would lead to it."""
        from flambeau._graph_layout import assign_rows

        rows = assign_rows(len(self.items), [(s, t) for s, t, _ in self.edges])
        uses = {}  # leaf -> the rows of its consumers; it stays with the uppermost
        for source, target, _ in self.edges:
            if self.items[source].kind == "leaf":
                uses.setdefault(source, []).append(rows[target])
        copies = {}
        for position, (source, target, label) in enumerate(self.edges):
            if source not in uses:
                continue
            span = REPEAT_SPAN if len(uses[source]) > 2 else REPEAT_SPAN_FEW
            if max(uses[source]) - rows[target] <= span:
                continue
            key = source, rows[target]
            if key not in copies:
                copies[key] = self._add(_Item("leaf", self.items[source].title))
            self.edges[position] = (copies[key], target, label)


def _node_shape(node):
    """Shape of what a node computed, where the node knows it."""
    try:
        metadata = node._input_metadata
        return _shape_text(metadata[0].shape) if len(metadata) == 1 else None
    except (AttributeError, IndexError, TypeError, RuntimeError):
        return None


def _shape_text(shape):
    return "(" + ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "") + ")"


def _describe(tensor):
    """Lines with the shape, and with the values and the gradient if they are small."""
    dtype = str(tensor.dtype).rsplit(".", 1)[-1]
    lines = [("shape", _shape_text(tensor.shape) + ("" if dtype == "float32" else f" {dtype}"))]
    if tensor.numel() <= MAX_VALUES:
        lines.append(("value", _values(tensor)))
    # only leaves and tensors that retain it have a gradient to ask for
    gradient = tensor.grad if tensor.is_leaf or tensor.retains_grad else None
    if gradient is not None and gradient.numel() <= MAX_VALUES:
        lines.append(("grad", f"grad {_values(gradient)}"))
    return [line for line in lines if line[1] is not None]


def _values(tensor):
    try:
        return _format(tensor.detach().tolist())
    except (RuntimeError, NotImplementedError):
        return None  # a device without data


def _format(value):
    if isinstance(value, list):
        return "[" + ", ".join(map(_format, value)) + "]"
    return f"{value:.4g}" if isinstance(value, (float, complex)) else str(value)


def _escape(text):
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


def _number(value):
    return f"{value:.1f}".removesuffix(".0")


def _curve(points):
    """A path through `points` that leaves and enters every row vertically."""
    parts = [f"M{_number(points[0][0])},{_number(points[0][1])}"]
    for (x1, y1), (x2, y2) in zip(points, points[1:]):
        if abs(x1 - x2) < 0.05:
            parts.append(f"V{_number(y2)}")
        else:
            bend = (y2 - y1) / 2
            control = (x1, y1 + bend, x2, y2 - bend, x2, y2)
            parts.append("C" + " ".join(map(_number, control)))
    return "".join(parts)


def _draw(items, edges, note):
    """SVG of the boxes and edges."""
    sizes = [item.size() for item in items]
    centres, paths, (width, height) = layered(sizes, [(s, t) for s, t, _ in edges])
    note_height = 24 if note else 0
    width = max(width, len(note or "") * DETAIL_ADVANCE) + 2 * MARGIN
    height += 2 * MARGIN + note_height
    size = f'width="{_number(width)}" height="{_number(height)}" viewBox="0 0 {_number(width)} {_number(height)}"'
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="{FONT}" text-anchor="middle">',
        '<defs><marker id="flambeau-arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0.5,0.8 L7.5,4 L0.5,7.2 z" fill="#7d8896"/></marker></defs>',
        '<rect width="100%" height="100%" rx="8" fill="#ffffff"/>',
    ]
    if note:
        out.append(
            f'<text x="{MARGIN}" y="{MARGIN + 8}" font-size="{DETAIL_SIZE}" text-anchor="start" '
            f'fill="{DETAIL_COLOURS["grad"]}">{_escape(note)}</text>'
        )
    out.append(f'<g transform="translate({MARGIN},{MARGIN + note_height})">')
    for (_, _, label), path in zip(edges, paths):
        out.append(
            f'<path d="{_curve(path)}" fill="none" stroke="#7d8896" stroke-width="1.2" '
            'marker-end="url(#flambeau-arrow)"/>'
        )
        if label:
            x, y = path[0]
            out.append(f'<text x="{_number(x + 8)}" y="{_number(y + 12)}" font-size="10" fill="#7d8896">{label}</text>')
    for item, (x, y), (box_width, box_height) in zip(items, centres, sizes):
        out.extend(_draw_box(item, x, y, box_width, box_height))
    out.append("</g></svg>")
    return "\n".join(out)


def _draw_box(item, x, y, width, height):
    fill, border, title_colour = COLOURS[item.kind]
    radius = 12 if item.kind == "operation" else 4
    yield (
        f'<rect x="{_number(x - width / 2)}" y="{_number(y - height / 2)}" width="{_number(width)}" '
        f'height="{_number(height)}" rx="{radius}" fill="{fill}" stroke="{border}" stroke-width="1.2"/>'
    )
    baseline = y - height / 2 + PADDING_Y + TITLE_SIZE - 2
    yield (
        f'<text x="{_number(x)}" y="{_number(baseline)}" font-size="{TITLE_SIZE}" font-weight="600" '
        f'fill="{title_colour}">{_escape(item.title)}</text>'
    )
    for kind, text in item.details:
        baseline += LINE
        yield (
            f'<text x="{_number(x)}" y="{_number(baseline)}" font-size="{DETAIL_SIZE}" '
            f'fill="{DETAIL_COLOURS[kind]}">{_escape(text)}</text>'
        )


def _quoted(text):
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _write_dot(items, edges, note):
    lines = ["digraph {", '  node [shape=box, style="rounded,filled", fontname="monospace", fontsize=11];']
    if note:
        lines.append(f'  label="{_quoted(note)}";')
    for index, item in enumerate(items):
        fill, border, _ = COLOURS[item.kind]
        label = "\\n".join(_quoted(text) for text in [item.title, *(text for _, text in item.details)])
        lines.append(f'  n{index} [label="{label}", fillcolor="{fill}", color="{border}"];')
    for source, target, label in edges:
        lines.append(f"  n{source} -> n{target}" + (f' [label="{label}"];' if label else ";"))
    return "\n".join([*lines, "}", ""])
