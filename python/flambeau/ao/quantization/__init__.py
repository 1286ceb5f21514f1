"""Where a model would be quantized, and with what. Tensors are not quantized here."""

from typing import Any, NamedTuple

from flambeau.nn import Module

__all__ = ["DeQuantStub", "FakeQuantizeBase", "ObserverBase", "QConfig", "QuantStub"]


class ObserverBase(Module):
    """What looks at tensors before they are quantized: there is never one."""


class FakeQuantizeBase(Module):
    """What rounds tensors as if they were quantized: there is never one."""


class QConfig(NamedTuple):
    """What would look at activations and at weights."""

    activation: Any
    weight: Any


class QuantStub(Module):
    """Where tensors would be quantized; until then what goes in comes out."""

    def __init__(self, qconfig=None):
        super().__init__()
        if qconfig:
            self.qconfig = qconfig

    def forward(self, x):
        """`x` itself."""
        return x


class DeQuantStub(QuantStub):
    """Where quantized tensors would become floating-point ones; until then what goes in comes out."""


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    raise AttributeError(f"flambeau does not have 'torch.ao.quantization.{name}' (yet): tensors are not quantized")
