"""Multi-head attention in inference: what decides whether padded positions are left out."""

_fastpath = True


def get_fastpath_enabled():
    """Whether encoders in inference leave padded positions out, with zeros in their places."""
    return _fastpath


def set_fastpath_enabled(value):
    """Sets what `get_fastpath_enabled` answers."""
    global _fastpath
    _fastpath = value
