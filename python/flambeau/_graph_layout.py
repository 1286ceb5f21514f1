"""Layered drawing of directed acyclic graphs (Sugiyama, Tagawa and Toda, 1981), without recursion.

`layered` places boxes of given sizes: each as near below its successors' row as its longest path allows, rows
ordered to cross few edges, and boxes moved to where their edges run straight.
"""

SWEEPS = 12
MAX_BENDS = 20_000  # beyond, long edges are drawn as one curve


class Box:
    """A box of size `width` x `height` with centre `x`, `y`; one without a size is a bend of a long edge."""

    __slots__ = ("width", "height", "row", "x", "y", "above", "below", "bend")

    def __init__(self, width=0.0, height=0.0, bend=False):
        self.width = width
        self.height = height
        self.row = 0
        self.x = 0.0
        self.y = 0.0
        self.above = []
        self.below = []
        self.bend = bend


def assign_rows(count, edges):
    """Rows by longest path to a sink, the sinks in row 0; `edges` are (source, target) with larger rows first."""
    consumers_left = [0] * count
    sources = [[] for _ in range(count)]
    for source, target in edges:
        consumers_left[source] += 1
        sources[target].append(source)
    rows = [0] * count
    ready = [i for i in range(count) if not consumers_left[i]]
    while ready:
        target = ready.pop()
        for source in sources[target]:
            rows[source] = max(rows[source], rows[target] + 1)
            consumers_left[source] -= 1
            if not consumers_left[source]:
                ready.append(source)
    return rows


def layered(sizes, edges, gap_x=24.0, gap_y=34.0):
    """Centres of boxes of `sizes` (width, height), paths of `edges` (source, target), and the drawing's size.

    Returns `(centres, paths, (width, height))`; a path lists the points that an edge bends at, its ends included.
    Sources lie above targets.
    """
    rows = assign_rows(len(sizes), edges)
    depth = max(rows, default=0)
    boxes = [Box(width, height) for width, height in sizes]
    for box, row in zip(boxes, rows):
        box.row = depth - row  # from the top
    chains = _link(boxes, edges)
    layers = [[] for _ in range(depth + 1)]
    for chain in chains:
        for box in chain[1:-1]:
            layers[box.row].append(box)
    for box in boxes:
        layers[box.row].append(box)
    _order(layers)
    _move(layers, gap_x)
    top = 0.0
    for layer in layers:
        height = max((box.height for box in layer), default=0.0)
        for box in layer:
            box.y = top + height / 2
        top += height + gap_y
    left = min((box.x - box.width / 2 for layer in layers for box in layer), default=0.0)
    right = max((box.x + box.width / 2 for layer in layers for box in layer), default=0.0)
    for layer in layers:
        for box in layer:
            box.x -= left
    paths = []
    for chain in chains:
        first, last = chain[0], chain[-1]
        inner = [(box.x, box.y) for box in chain[1:-1]]
        paths.append([(first.x, first.y + first.height / 2), *inner, (last.x, last.y - last.height / 2)])
    return [(box.x, box.y) for box in boxes], paths, (right - left, top - gap_y)


def _link(boxes, edges):
    """Connects neighbouring rows, through bends where an edge spans several; returns the boxes of each edge."""
    bends = sum(max(0, boxes[t].row - boxes[s].row - 1) for s, t in edges)
    chains = []
    for source, target in edges:
        start, end = boxes[source], boxes[target]
        chain = [start]
        if bends <= MAX_BENDS:
            for row in range(start.row + 1, end.row):
                bend = Box(bend=True)
                bend.row = row
                chain.append(bend)
        chain.append(end)
        for above, below in zip(chain, chain[1:]):
            if below.row == above.row + 1:
                above.below.append(below)
                below.above.append(above)
        chains.append(chain)
    return chains


def _crossings(upper, lower):
    """Number of crossings of the edges between two rows, by counting inversions with a Fenwick tree."""
    position = {id(box): i for i, box in enumerate(lower)}
    tree = [0] * (len(lower) + 1)
    total = seen = 0
    for box in upper:
        ends = sorted(position[id(other)] for other in box.below)
        for end in ends:
            i, at_most = end + 1, 0
            while i:
                at_most += tree[i]
                i -= i & -i
            total += seen - at_most
        for end in ends:
            i = end + 1
            while i < len(tree):
                tree[i] += 1
                i += i & -i
        seen += len(ends)
    return total


def _order(layers):
    """Orders each row by the mean position of its neighbours, down and up in turn, and keeps the best order."""
    size = sum(map(len, layers))
    sweeps = SWEEPS if size < 4000 else 4
    best, best_crossings = [list(layer) for layer in layers], None
    for sweep in range(sweeps):
        crossings = sum(_crossings(a, b) for a, b in zip(layers, layers[1:]))
        if best_crossings is None or crossings < best_crossings:
            best, best_crossings = [list(layer) for layer in layers], crossings
        if not crossings:
            break
        down = sweep % 2 == 0
        order = range(1, len(layers)) if down else range(len(layers) - 2, -1, -1)
        for row in order:
            fixed = layers[row - 1 if down else row + 1]
            position = {id(box): i for i, box in enumerate(fixed)}
            keys = {}
            for i, box in enumerate(layers[row]):
                neighbours = [position[id(other)] for other in (box.above if down else box.below)]
                # one without neighbours stays about where it is
                keys[id(box)] = sum(neighbours) / len(neighbours) if neighbours else i * len(fixed) / len(layers[row])
            layers[row].sort(key=lambda box: keys[id(box)])
    crossings = sum(_crossings(a, b) for a, b in zip(layers, layers[1:]))
    if best_crossings is not None and crossings > best_crossings:
        for layer, kept in zip(layers, best):
            layer[:] = kept


def _separated(wanted, weights, distances):
    """Positions nearest to `wanted` (least squares) whose neighbours are at least `distances` apart.

    Less the distances so far, positions must not decrease: an isotonic regression, by pooling violators.
    """
    offset, offsets = 0.0, [0.0]
    for distance in distances:
        offset += distance
        offsets.append(offset)
    pools = []  # [weighted sum, weight, count]
    for want, weight, shift in zip(wanted, weights, offsets):
        pools.append([(want - shift) * weight, weight, 1])
        while len(pools) > 1 and pools[-2][0] * pools[-1][1] > pools[-1][0] * pools[-2][1]:
            total, weight, count = pools.pop()
            pools[-1][0] += total
            pools[-1][1] += weight
            pools[-1][2] += count
    positions = []
    for total, weight, count in pools:
        positions.extend([total / weight] * count)
    return [position + shift for position, shift in zip(positions, offsets)]


def _move(layers, gap):
    """Moves the boxes of each row towards the middle of their neighbours, keeping order and distance."""
    distances = []
    for layer in layers:
        x = 0.0
        for box in layer:
            box.x = x + box.width / 2
            x += box.width + gap
        for box in layer:
            box.x -= (x - gap) / 2
        distances.append(
            [(a.width + b.width) / 2 + (gap / 2 if a.bend or b.bend else gap) for a, b in zip(layer, layer[1:])]
        )
    size = sum(map(len, layers))
    sweeps = 40 if size < 600 else SWEEPS if size < 4000 else 4
    down = range(1, len(layers))
    up = range(len(layers) - 2, -1, -1)
    everything = range(len(layers))
    passes = [(down, True, False), (up, False, True)] * (sweeps // 2) + [(everything, True, True)] * (sweeps // 4)
    for rows, use_above, use_below in passes:
        for row in rows:
            layer = layers[row]
            wanted, weights = [], []
            for box in layer:
                total = pull = 0.0
                if use_above:
                    for other in box.above:
                        stiff = _stiffness(other, box)
                        total += stiff
                        pull += stiff * other.x
                if use_below:
                    for other in box.below:
                        stiff = _stiffness(box, other)
                        total += stiff
                        pull += stiff * other.x
                wanted.append(pull / total if total else box.x)
                weights.append(total or 0.1)
            for box, x in zip(layer, _separated(wanted, weights, distances[row])):
                box.x = x


def _stiffness(above, below):
    """How much an edge should be straight: the inside of a long one most, then one that its ends share alone."""
    if above.bend and below.bend:
        return 8.0
    if len(above.below) == 1 and len(below.above) == 1:
        return 4.0
    if above.bend or below.bend:
        return 2.0
    return 1.0 if above.above else 0.2  # inputs give way to the flow between operations
