"""Tensors that stand in for others while a program is traced, of which there are none here."""

from .fake_tensor import FakeTensor

__all__ = ["FakeTensor"]
