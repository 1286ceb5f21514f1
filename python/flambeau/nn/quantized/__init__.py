"""The earlier place of `torch.ao.nn.quantized`."""

from flambeau.ao.nn.quantized import FloatFunctional

__all__ = ["FloatFunctional"]
