"""How a tensor may be spread over processes."""

from dataclasses import dataclass

__all__ = ["Partial", "Placement", "Replicate", "Shard"]


class Placement:
    """What each process has of a tensor."""

    def is_shard(self, dim=None):
        """Whether each has a part, cut along a dimension."""
        return isinstance(self, Shard) and (dim is None or self.dim == dim)

    def is_replicate(self):
        """Whether each has the whole."""
        return isinstance(self, Replicate)

    def is_partial(self, reduce_op=None):
        """Whether the whole is the sum, or the like, of what they have."""
        return isinstance(self, Partial) and (reduce_op is None or self.reduce_op == reduce_op)


@dataclass(frozen=True)
class Shard(Placement):
    """Each process has a part, cut along a dimension."""

    dim: int

    def __str__(self):
        return f"S({self.dim})"


@dataclass(frozen=True)
class Replicate(Placement):
    """Each process has the whole."""

    def __str__(self):
        return "R"


@dataclass(frozen=True)
class Partial(Placement):
    """The whole is the sum, or the like, of what the processes have."""

    reduce_op: str = "sum"

    def __str__(self):
        return f"P({self.reduce_op})"
