"""What functions that write operators in ONNX are made with. Nothing calls them here."""

__all__ = ["parse_args"]


def parse_args(*arg_descriptors):
    """Says the kinds of a function's arguments: the function itself, which an export that is not there would call."""
    return lambda fn: fn
