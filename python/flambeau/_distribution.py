"""The metadata of an installed package "torch", which `import torch` stands for in a program under flambeau."""

import importlib.metadata
import pathlib

from .version import torch as _version


class Torch(importlib.metadata.Distribution):
    """Name and version, and no files of its own."""

    def read_text(self, filename):
        if filename == "METADATA":
            return f"Metadata-Version: 2.1\nName: torch\nVersion: {_version}\n"
        return None

    def locate_file(self, path):
        return pathlib.Path(__file__).parent / path
