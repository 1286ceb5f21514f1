"""The earlier place of functions for operators that programs define: `torch._custom_ops`."""

from .library import custom_op, impl, impl_abstract, infer_schema

__all__ = ["custom_op", "get_ctx", "impl", "impl_abstract", "infer_schema"]


def get_ctx():
    """Sizes that depend on data have no symbols here: RuntimeError."""
    raise RuntimeError(
        "get_ctx() can only be called inside of an implementation of a fake kernel while a program is captured, "
        "which flambeau does not do"
    )
