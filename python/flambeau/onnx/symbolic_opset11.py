"""Operators written in ONNX: there are none."""


def __getattr__(name):
    raise AttributeError(f"flambeau does not write models in ONNX: 'torch.onnx.symbolic_opset11.{name}' is missing")
