"""The parts of PyTorch's quantization that models name before they are quantized. Tensors are not quantized here."""

from . import nn, quantization
