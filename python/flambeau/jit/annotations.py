"""The types that TorchScript reads in annotations: Python's."""

from typing import Any, Dict, List, Optional, Tuple, Union  # noqa: UP035

from ..futures import Future

__all__ = ["Any", "Dict", "Future", "List", "Optional", "Tuple", "Union"]


class _BroadcastingList:
    """The type of a list of some length, for which one element may be given: `BroadcastingList2[int]`."""

    def __getitem__(self, types):
        return None


for _length in range(1, 7):
    globals()[f"BroadcastingList{_length}"] = _BroadcastingList()
__all__ += [f"BroadcastingList{n}" for n in range(1, 7)]
