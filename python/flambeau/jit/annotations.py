"""The types that TorchScript reads in annotations: Python's."""

from typing import Any, Dict, List, Optional, Tuple, Union  # noqa: UP035

from ..futures import Future

__all__ = ["Any", "Dict", "Future", "List", "Optional", "Tuple", "Union"]
