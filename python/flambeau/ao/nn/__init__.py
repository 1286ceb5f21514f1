"""Layers for quantization."""

from . import quantized
