"""Whether operations are recorded: `no_grad`, `enable_grad`, `set_grad_enabled` and `inference_mode`."""

from flambeau import enable_grad, inference_mode, no_grad, set_grad_enabled

__all__ = ["no_grad", "enable_grad", "set_grad_enabled", "inference_mode", "set_multithreading_enabled"]

_multithreading = True


class set_multithreading_enabled:
    """Whether a backward pass may use several threads, as a function or for a `with` block.

    Results don't depend on it: the engine runs nodes in one order.
    """

    def __init__(self, mode):
        global _multithreading
        self.prev = _multithreading
        self.mode = mode
        _multithreading = bool(mode)

    def __enter__(self):
        pass

    def __exit__(self, *args):
        global _multithreading
        _multithreading = self.prev

    def clone(self):
        """A new one with the same mode."""
        return type(self)(self.mode)
