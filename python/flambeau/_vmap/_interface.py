"""The function `vmap`: dimensions of arguments and results, chunks, and the way back to a loop."""

import functools
import threading

import flambeau as torch
from flambeau._levels import Level, state

from ._batched import Batched, physical
from ._tree import Mismatch, flatten, spread, structure

Tensor = torch.Tensor


def vmap(func, in_dims=0, out_dims=0, randomness="error", *, chunk_size=None):
    """`func` mapped over the dimensions `in_dims` of its arguments, its results stacked at `out_dims`.

    `func` is called once, on tensors without that dimension; what it does is done for all samples at a time. An entry
    None of `in_dims` hands an argument over whole, and so are arguments by keyword. `randomness` is "error", "same" (all samples draw the same numbers)
    or "different". At most `chunk_size` samples are run together.
    """
    if randomness not in ("error", "different", "same"):
        raise RuntimeError(f"Only allowed values for randomness are 'error', 'different', or 'same'. Got {randomness}")
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError(f"vmap: chunk_size should be None or greater than 0. (got {chunk_size})")

    @functools.wraps(func)
    def wrapper(*args, **kwargs):
        pairs, size, build = _inputs(func, in_dims, args, kwargs)
        mapped = _Mapped(func, out_dims, randomness, build)
        if chunk_size is None or chunk_size >= size:
            return mapped.result(pairs, size)
        return mapped.in_chunks(pairs, size, chunk_size)

    return wrapper


def _name(func):
    return getattr(func, "__name__", repr(func))


def _inputs(func, in_dims, args, kwargs):
    """Leaves of the arguments with their dimensions, the size, and a function from leaves to a call's arguments."""
    if not isinstance(in_dims, (int, tuple, list)):
        raise ValueError(
            f"vmap({_name(func)}, in_dims={in_dims}, ...)(<inputs>): expected `in_dims` to be int or a (potentially "
            f"nested) tuple matching the structure of inputs, got: {type(in_dims)}."
        )
    if not args:
        raise ValueError(
            f"vmap({_name(func)})(<inputs>): got no inputs. Maybe you forgot to add inputs, or you are trying to "
            "vmap over a function with no inputs. The latter is unsupported."
        )
    leaves, build = flatten(tuple(args))
    try:
        dims = spread(in_dims if isinstance(in_dims, int) else tuple(in_dims), tuple(args))
    except Mismatch:
        raise ValueError(
            f"vmap({_name(func)}, in_dims={in_dims}, ...)(<inputs>): in_dims is not compatible with the structure of "
            f"`inputs`. in_dims has structure {structure(in_dims)} but inputs has structure {structure(tuple(args))}."
        ) from None
    pairs = [(leaf, _checked(func, in_dims, dim, leaf)) for leaf, dim in zip(leaves, dims)]
    sizes = [leaf.shape[dim] for leaf, dim in pairs if dim is not None]
    if not sizes:
        raise ValueError("vmap: Expected at least one Tensor to vmap over")
    if len(set(sizes)) > 1:
        raise ValueError(
            f"vmap: Expected all tensors to have the same size in the mapped dimension, got sizes {sizes} for the "
            "mapped dimension"
        )

    def call_arguments(values):
        return build(values), kwargs

    return pairs, sizes[0], call_arguments


def _checked(func, in_dims, dim, leaf):
    if dim is None:
        return None
    call = f"vmap({_name(func)}, in_dims={in_dims}, ...)(<inputs>)"
    if not isinstance(dim, int):
        raise ValueError(
            f"{call}: Got in_dim={dim} for an input but in_dim must be either an integer dimension or None."
        )
    if not isinstance(leaf, Tensor):
        raise ValueError(
            f"{call}: Got in_dim={dim} for an input but the input is of type {type(leaf)}. We cannot vmap over "
            "non-Tensor arguments, please use None as the respective in_dim"
        )
    rank = leaf.dim()
    if not -rank <= dim < rank:
        raise ValueError(
            f"{call}: Got in_dim={dim} for some input, but that input is a Tensor of dimensionality {rank} so "
            f"expected in_dim to satisfy -{rank} <= in_dim < {rank}."
        )
    return dim % rank


class _Mapped:
    """A function with what its results are to be."""

    def __init__(self, func, out_dims, randomness, build):
        self.func = func
        self.out_dims = out_dims
        self.randomness = randomness
        self.build = build

    def result(self, pairs, size):
        """The results of all samples at their dimensions."""
        values, dims, build = self.run(pairs, size)
        return build(
            [value if dim is None else value.movedim(0, dim) if dim else value for value, dim in zip(values, dims)]
        )

    def in_chunks(self, pairs, size, chunk_size):
        """The same of some samples at a time."""
        parts = [leaf.split(chunk_size, dim) if dim is not None else None for leaf, dim in pairs]
        before = torch.get_rng_state() if self.randomness == "same" else None
        found = []
        for place, start in enumerate(range(0, size, chunk_size)):
            if before is not None:
                torch.set_rng_state(before)
            chunk = [
                (leaf if part is None else part[place], dim) for (leaf, dim), part in zip(pairs, parts)
            ]  # fmt: skip
            found.append(self.run(chunk, min(chunk_size, size - start)))
        columns = list(zip(*(values for values, _, _ in found)))
        _, dims, build = found[0]
        return build([
            column[0] if dim is None else torch.cat(column).movedim(0, dim) for column, dim in zip(columns, dims)
        ])  # fmt: skip

    def run(self, pairs, size):
        """Values with the samples in front, the dimensions that these go to, and the function that nests them."""
        outermost = not state.stack
        random = torch.get_rng_state() if outermost and self.randomness != "same" else None
        versions = _versions(pairs)
        from . import _rules
        from ._places import enter, leave

        level = Level(len(state.stack) + 1, size, self.randomness)
        before = state.stack
        if outermost:
            state.rng = None if random is None else bytes(memoryview(random))
            state.alone = threading.active_count() == 1
            enter()
        state.stack = (*before, level)
        try:
            result = self.func_of([
                leaf if dim is None else Batched(leaf.movedim(dim, 0) if dim else leaf, level) for leaf, dim in pairs
            ])  # fmt: skip
            _rules.random.check(level)
            return self.outputs(result, level)
        except Exception as error:
            if not _refused(error) or not size:
                raise
            if versions != _versions(pairs):
                raise
        finally:
            level.alive = False
            state.stack = before
            if outermost:
                leave()
        if random is not None:
            torch.set_rng_state(random)
        return self.one_by_one(pairs, size)

    def func_of(self, leaves):
        """Calls the function with other leaves."""
        args, kwargs = self.build(leaves)
        return self.func(*args, **kwargs)

    def outputs(self, result, level):
        """The values of the results, as `run` gives them."""
        leaves, dims, build = self.leaves_of(result)
        values = []
        for leaf, dim in zip(leaves, dims):
            hidden = type(leaf) is Batched and leaf.level is level
            if not isinstance(leaf, Tensor):
                self.refuse(leaf, dim)
            elif dim is None:
                if hidden:
                    name = _name(self.func)
                    raise ValueError(
                        f"vmap({name}, ...): `{name}` can not return a BatchedTensor when out_dim is None"
                    )  # fmt: skip
                values.append(leaf)
                continue
            if dim is None:
                values.append(leaf)
            else:
                values.append(leaf.value if hidden else leaf.expand((level.size, *leaf.shape)))
        return values, dims, build

    def refuse(self, leaf, dim):
        """Results other than tensors stay only where out_dims says None."""
        if dim is not None:
            name = _name(self.func)
            raise ValueError(
                f"vmap({name}, ...): `{name}` must only return Tensors, got type {type(leaf)}. Did you mean to set "
                "out_dims= to None for output?"
            )

    def leaves_of(self, result):
        """The leaves of the results, their dimensions, and the function that nests them again."""
        leaves, build = flatten(result)
        out_dims = self.out_dims
        if isinstance(out_dims, list):
            out_dims = tuple(out_dims)
        try:
            if isinstance(out_dims, tuple) and len(out_dims) == 1 and not isinstance(result, (tuple, list, dict)):
                dims = [out_dims[0]]
            elif isinstance(out_dims, tuple) and isinstance(result, list):
                dims = spread(list(out_dims), result)
            else:
                dims = spread(out_dims, result)
        except Mismatch:
            name = _name(self.func)
            raise ValueError(
                f"vmap({name}, ..., out_dims={self.out_dims})(<inputs>): out_dims is not compatible with the structure "
                f"of `outputs`. out_dims has structure {structure(self.out_dims)} but outputs has structure "
                f"{structure(result)}."
            ) from None
        for dim in dims:
            if dim is not None and not isinstance(dim, int):
                raise ValueError(f"vmap({_name(self.func)}, ...): out_dims holds {dim!r}, neither a number nor None")
        return leaves, dims, build

    def one_by_one(self, pairs, size):
        """The function once for each sample: for what does not take batched tensors."""
        columns = [leaf.unbind(dim) if dim is not None else None for leaf, dim in pairs]
        before = None if self.randomness == "different" else torch.get_rng_state()
        rows = []
        for index in range(size):
            if index and self.randomness == "same":
                torch.set_rng_state(before)
            row = [leaf if column is None else column[index] for (leaf, _), column in zip(pairs, columns)]
            rows.append(self.leaves_of(self.func_of(row)))
            if self.randomness == "error" and not torch.equal(before, torch.get_rng_state()):
                from ._random import REFUSED

                raise RuntimeError(REFUSED)
        leaves, dims, build = rows[0]
        values = []
        for place, dim in enumerate(dims):
            column = [row[0][place] for row in rows]
            if not isinstance(column[0], Tensor):
                self.refuse(column[0], dim)
            values.append(column[0] if dim is None else torch.stack(column))
        return values, dims, build


def _versions(pairs):
    """How often the mapped arguments were changed in place."""
    plain = [physical(leaf) for leaf, dim in pairs if dim is not None]
    return [None if tensor.is_inference() else tensor._version for tensor in plain]


def _refused(error):
    """Whether native code met a batched tensor that nothing had unwrapped."""
    from ._random import Escaped

    if isinstance(error, Escaped):
        return True
    text = str(error)
    return isinstance(error, (TypeError, RuntimeError, IndexError)) and (
        "Batched" in text and "BatchedTensor" not in text
        or isinstance(error, TypeError) and ("of Tensors, not list" in text or "of Tensors, not tuple" in text)
    )  # fmt: skip
