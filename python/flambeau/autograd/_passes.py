"""The running backward passes, which hooks on several gradients tell apart."""

from flambeau import _C

tracking = False  # set once such a hook exists; passes cost less without
_running = []


class Pass:
    """One backward pass from `outputs`."""

    def __init__(self, outputs):
        self.outputs = outputs

    def reached(self, nodes):
        """How many of `nodes` the pass comes by."""
        missing = set(nodes)
        queue = [_node_of(output) for output in self.outputs]
        seen = set(queue)
        while queue and missing:
            node = queue.pop()
            missing.discard(node)
            for source, _ in node.next_functions:
                if source is not None and source not in seen:
                    seen.add(source)
                    queue.append(source)
        return sum(node not in missing for node in nodes)


def _node_of(output):
    return output.node if hasattr(output, "node") else _C._gradient_edge(output)[0]


def current():
    """The innermost running pass."""
    if not _running:
        raise AssertionError("expected this hook to be called inside a backward call")
    return _running[-1]


def run(outputs, *arguments):
    """Runs the engine."""
    if not tracking:
        return _C._run_backward(outputs, *arguments)
    _running.append(Pass(outputs))
    try:
        return _C._run_backward(outputs, *arguments)
    finally:
        _running.pop()
