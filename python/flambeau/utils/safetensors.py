"""Files of tensors in the format `safetensors`: reading one runs no code.

The functions are those of the package `safetensors.torch`; Rust's `flambeau::io` reads and writes the same files.
"""

import os

from flambeau import _C

__all__ = ["load", "load_file", "save", "save_file"]


def save(tensors, metadata=None):
    """The bytes of a file of these tensors, a dict by name, with texts by name as `metadata`."""
    return _C._safetensors_save(tensors, metadata or {})


def load(data):
    """The tensors of such bytes, by name; ValueError for bytes that are not such a file."""
    return _C._safetensors_load(data)


def save_file(tensors, filename, metadata=None):
    """Writes tensors to a file; a failure leaves an old file of that name as it was."""
    data = save(tensors, metadata)
    beside = os.fspath(filename) + ".partial"
    with open(beside, "wb") as file:
        file.write(data)
    os.replace(beside, filename)


def load_file(filename, device="cpu"):
    """The tensors of a file, by name."""
    with open(filename, "rb") as file:
        tensors = load(file.read())
    return {name: tensor.to(device) for name, tensor in tensors.items()}
