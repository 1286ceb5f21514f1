"""What programs ask about their export to ONNX, and tell for it. Models are not written in that format here."""

import re

__all__ = ["is_in_onnx_export", "register_custom_op_symbolic", "unregister_custom_op_symbolic"]

_SYMBOLIC = {}


def is_in_onnx_export():
    """Whether the program is being exported: False."""
    return False


def register_custom_op_symbolic(symbolic_name, symbolic_fn, opset_version):
    """Keeps how a program's own operator is written in ONNX, for an export that is not there."""
    _SYMBOLIC[_checked(symbolic_name), opset_version] = symbolic_fn


def unregister_custom_op_symbolic(symbolic_name, opset_version):
    """Forgets what was registered."""
    _SYMBOLIC.pop((_checked(symbolic_name), opset_version), None)


def _checked(name):
    if not re.fullmatch(r"[a-zA-Z0-9-_]+::[a-zA-Z-_]+[a-zA-Z0-9-_]*", name):
        raise ValueError(
            f"Failed to register operator {name}. The symbolic name must match the format domain::name, and should "
            "start with a letter and contain only alphanumerical characters"
        )
    return name


def __getattr__(name):
    raise AttributeError(f"flambeau does not have 'torch.onnx.{name}' (yet): this part of PyTorch is missing")
