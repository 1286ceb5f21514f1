"""The dimensions that running calls of `vmap` hide, outermost first."""

import threading


class Level:
    """One hidden dimension: its size and what random operators do along it."""

    __slots__ = ("alive", "depth", "randomness", "size")

    def __init__(self, depth, size, randomness):
        self.depth = depth
        self.size = size
        self.randomness = randomness
        self.alive = True


class _State(threading.local):
    """The levels of this thread."""

    stack = ()
    rng = None  # what the random numbers had come to after the last draw by the rules
    alone = True  # whether there were no other threads that might draw


state = _State()


def all_true(tensor):
    """Whether every element is true, of all samples where dimensions are hidden."""
    if state.stack:
        from flambeau._vmap._batched import physical

        tensor = physical(tensor)
    return bool(tensor.all())
