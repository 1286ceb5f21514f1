"""The earlier place of `torch.ao.quantization`."""

from .ao.quantization import DeQuantStub, FakeQuantizeBase, ObserverBase, QConfig, QuantStub

__all__ = ["DeQuantStub", "FakeQuantizeBase", "ObserverBase", "QConfig", "QuantStub"]
