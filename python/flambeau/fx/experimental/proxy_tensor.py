"""Tracing by tensors that record what is done with them, which nothing here does."""

__all__ = ["get_proxy_mode"]


def get_proxy_mode():
    """The tracer that records operators: None, as nothing is traced."""
    return None
