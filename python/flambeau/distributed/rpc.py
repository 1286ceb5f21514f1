"""Calls of functions in other processes, which are not here: as in a build of PyTorch without them."""

__all__ = ["is_available"]


def is_available():
    """False: functions of other processes cannot be called."""
    return False


def __getattr__(name):
    raise AttributeError(
        f"flambeau does not have 'torch.distributed.rpc.{name}' (yet): this part of PyTorch is missing"
    )
