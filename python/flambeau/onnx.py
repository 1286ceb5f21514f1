"""What programs ask about their export to ONNX. Models are not written in that format here."""

__all__ = ["is_in_onnx_export"]


def is_in_onnx_export():
    """Whether the program is being exported: False."""
    return False


def __getattr__(name):
    raise AttributeError(f"flambeau does not have 'torch.onnx.{name}' (yet): this part of PyTorch is missing")
