"""Points that fill a cube more evenly than random ones: ``torch.quasirandom``."""

import flambeau as torch

from ._quasirandom import BITS, DIMENSIONS, directions

__all__ = ["SobolEngine"]


class SobolEngine:
    """Draws Sobol sequences, scrambled ones if asked for, in up to 21201 dimensions.

    Scrambled sequences have their digits mixed by a random lower triangular matrix for each dimension, and shifted;
    `seed` makes those of a generator of its own, otherwise the global one is asked.

        >>> torch.quasirandom.SobolEngine(dimension=2).draw(3)
        tensor([[0.0000, 0.0000],
                [0.5000, 0.5000],
                [0.7500, 0.2500]])
    """

    MAXBIT = BITS
    MAXDIM = DIMENSIONS

    def __init__(self, dimension, scramble=False, seed=None):
        if dimension > self.MAXDIM or dimension < 1:
            raise ValueError(f"Supported range of dimensionality for SobolEngine is [1, {self.MAXDIM}]")
        self.seed, self.scramble, self.dimension = seed, scramble, dimension
        if type(dimension) is not int:
            raise TypeError(f"SobolEngine: dimension must be int, not {type(dimension).__name__}")
        self.sobolstate = torch.from_numpy(directions(dimension))
        self.shift = torch.zeros(dimension, dtype=torch.int64, device="cpu")
        if scramble:
            self._scramble()
        self._begin()

    def _begin(self):
        self.quasi = self.shift.clone()
        self._first_point = (self.quasi / 2**self.MAXBIT).reshape(1, -1)
        self.num_generated = 0

    def _scramble(self):
        """Draws the shifts, the lowest digit first, then the matrices, and mixes the direction numbers."""
        generator = None
        if self.seed is not None:
            generator = torch.Generator()
            generator.manual_seed(self.seed)
        bits, size = self.MAXBIT, (self.dimension, self.MAXBIT)
        powers = 2 ** torch.arange(bits, device="cpu")
        self.shift = torch.randint(2, size, device="cpu", generator=generator) @ powers
        matrices = torch.randint(2, (*size, bits), device="cpu", generator=generator).tril(-1)
        # Rows and digits from the highest down; ones are on the diagonals. Each column of a matrix is a number that
        # is added, without carrying, where the direction number has the digit.
        powers = powers.flip(0)
        columns = (matrices.mT @ powers) + powers
        mixed = torch.zeros_like(self.sobolstate)
        for digit in range(bits):
            mixed ^= (self.sobolstate >> (bits - 1 - digit) & 1) * columns[:, digit : digit + 1]
        self.sobolstate = mixed

    def draw(self, n=1, out=None, dtype=None):
        """The next `n` points, (n, dimension)."""
        dtype = torch.get_default_dtype() if dtype is None else dtype
        if self.num_generated == 0:
            if n == 1:
                self._check_room(n)
                result = self._first_point.to(dtype)
            else:
                result = torch.cat((self._first_point.to(dtype), self._following(n - 1, dtype)))
        else:
            result = self._following(n, dtype)
        self.num_generated += n
        if out is not None:
            return out.resize_(result.shape).copy_(result)
        return result

    def draw_base2(self, m, out=None, dtype=None):
        """The next 2^m points, where the number of all points is a power of two, which keeps them balanced."""
        n = 2**m
        total = self.num_generated + n
        if total & (total - 1):
            raise ValueError(
                "The balance properties of Sobol' points require n to be a power of 2. "
                f"{self.num_generated} points have been previously generated, then: "
                f"n={self.num_generated}+2**{m}={total}. If you still want to do this, please use "
                "'SobolEngine.draw()' instead."
            )
        return self.draw(n=n, out=out, dtype=dtype)

    def reset(self):
        """Goes back to the first point."""
        self._begin()
        return self

    def fast_forward(self, n):
        """Leaves out `n` points."""
        if n != 0 or self.num_generated:
            steps = n if self.num_generated else n - 1
            self._check_count(steps, "_sobol_engine_ff_")
            self._step(steps, last=True)
        self.num_generated += n
        return self

    def _check_room(self, n):
        if self.num_generated + n > 2**self.MAXBIT:
            raise ValueError(f"SobolEngine can generate at most {2**self.MAXBIT} points")

    def _following(self, n, dtype):
        self._check_count(n, "_sobol_engine_draw")
        if dtype not in (torch.float32, torch.float64):
            raise NotImplementedError(f"\"_sobol_engine_draw\" not implemented for '{_kind(dtype)}'")
        return self._step(n).to(dtype) * 2.0**-self.MAXBIT

    def _check_count(self, n, caller):
        if type(n) is not int:
            raise TypeError(f"{caller}(): argument 'n' (position 2) must be int, not {type(n).__name__}")
        if n < 0:
            raise ValueError(f"n must be non-negative, but got {n}")
        self._check_room(n + (self.num_generated == 0))

    def _step(self, n, last=False):
        """The numbers of the next `n` points, or of the last of them alone, which becomes the state."""
        past = max(self.num_generated, 1) - 1
        if n == 0:
            return self.quasi.new_empty((0, self.dimension))
        # The point at a place is the sum, without carrying, of the direction numbers at the digits of its Gray code.
        places = torch.arange(past + n if last else past + 1, past + n + 1).unsqueeze(1)
        changed = places ^ (places >> 1) ^ (past ^ past >> 1)
        points = self.quasi.repeat(len(places), 1)
        for digit in range((past + n).bit_length()):
            points ^= (changed >> digit & 1) * self.sobolstate[:, digit]
        self.quasi = points[-1].clone()
        return points

    def __repr__(self):
        words = [f"dimension={self.dimension}"]
        if self.scramble:
            words.append("scramble=True")
        if self.seed is not None:
            words.append(f"seed={self.seed}")
        return f"{type(self).__name__}({', '.join(words)})"


def _kind(dtype):
    """The name that PyTorch's kernels have for an element type."""
    names = {
        "float16": "Half",
        "bfloat16": "BFloat16",
        "int64": "Long",
        "int32": "Int",
        "int16": "Short",
        "int8": "Char",
    }
    names |= {"uint8": "Byte", "bool": "Bool", "complex64": "ComplexFloat", "complex128": "ComplexDouble"}
    name = str(dtype).rpartition(".")[2]
    return names.get(name, name)
