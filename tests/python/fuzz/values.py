"""Random arguments: tensors of all layouts, numbers up to and beyond the limits, and things that are no arguments."""

import os

import numpy as np

import flambeau as torch

FLOATS = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
INTS = [torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool]
COMPLEX = [torch.complex64, torch.complex128]
WIDE = [torch.uint16, torch.uint32, torch.uint64]
DTYPES = FLOATS + INTS + COMPLEX
HUGE = [2**31 - 1, 2**31, 2**32 + 1, 2**55, 2**62, 2**63 - 1, -(2**31), -(2**63), 2**63, 2**70, -(2**70)]
FLOAT_VALUES = [0.0, -0.0, 0.5, 1.0, 1.5, -1.0, -2.5, 3.0, 1e-3, 1e6, 1e30, float("nan"), float("inf"), float("-inf")]
# Shapes that some family of operators wants.
SHAPES = [
    (), (1,), (3,), (4,), (0,), (2, 3), (3, 3), (3, 2), (1, 3), (3, 1), (0, 3), (3, 0), (2, 3, 3), (2, 3, 4), (1, 1, 1),
    (2, 0, 3), (1, 2, 5), (2, 2, 6), (1, 2, 5, 5), (2, 4, 4, 6), (0, 2, 5, 5), (1, 1, 3, 3), (1, 2, 3, 4, 4), (2, 1, 1, 1, 1, 2),
]  # fmt: skip
VAST_SHARE = float(os.environ.get("FLAMBEAU_FUZZ_VAST", "0.04"))
VAST = [(0, 2**40), (3, 0, 2**40), (2, 0, 2**31), (0, 2**31, 2**31)]
WORDS = [
    "mean", "sum", "none", "x", "", "ortho", "forward", "backward", "fro", "nuc", "L", "U", "reflect", "constant",
    "replicate", "circular", "bilinear", "nearest", "bicubic", "area", "linear", "same", "valid", "floor", "trunc", "tanh",
    "left", "right", "prod", "amax", "amin", "ij", "xy", "lower", "midpoint", "higher", "reduced", "complete", "r", "cpu",
    "ij,jk->ik", "...i,i->...", "gels", "gelsd", "zeros", "border", "max", "float32", "\ud800",
]  # fmt: skip
WORDS_OF = {
    "reduction": ["mean", "sum", "none"],
    "norm": ["ortho", "forward", "backward"],
    "ord": ["fro", "nuc"],
    "mode": [
        "reflect", "constant", "replicate", "circular", "reduced", "complete", "r", "nearest", "bilinear", "bicubic",
        "linear", "trilinear", "area", "sum", "mean", "max",
    ],
    "approximate": ["none", "tanh"],
    "rounding_mode": ["floor", "trunc"],
    "UPLO": ["L", "U"],
    "padding": ["same", "valid"],
    "padding_mode": ["zeros", "border", "reflection"],
    "reduce": ["sum", "prod", "mean", "amax", "amin"],
    "indexing": ["ij", "xy"],
    "side": ["left", "right"],
    "interpolation": ["linear", "lower", "higher", "midpoint", "nearest"],
    "equation": ["ij,jk->ik", "ii->i", "...i,i->...", "ij->ji", "i,j->ij"],
    "driver": ["gels", "gelsy", "gelsd", "gelss"],
}  # fmt: skip


def some_shape(rng):
    if rng.random() < VAST_SHARE:
        return rng.choice(VAST)
    return rng.choice(SHAPES)


def related(rng, shape):
    """A shape that may broadcast with `shape`, or nearly so."""
    kind = rng.randrange(6)
    if kind < 3 or not shape:
        return shape
    shape = list(shape)
    if kind == 3:
        shape[rng.randrange(len(shape))] = 1
    elif kind == 4:
        del shape[0]
    else:
        shape[rng.randrange(len(shape))] = rng.choice([0, 1, 2, 3, 5])
    return tuple(shape)


def numbers(rng, count, dtype):
    """Python numbers for a tensor: mostly tame ones."""
    wild = rng.random() < 0.15
    if dtype is torch.bool:
        return [rng.random() < 0.5 for _ in range(count)]
    if dtype in COMPLEX:
        return [complex(rng.uniform(-2, 2), rng.choice([0.0, 1.0, -0.5])) for _ in range(count)]
    if dtype in INTS or dtype in WIDE:
        low = 0 if dtype in WIDE or dtype is torch.uint8 else -1
        if wild and dtype is torch.int64:
            return [rng.choice([0, 1, -1, 7, -9, 2**31, 2**62, -(2**63), 2**63 - 1]) for _ in range(count)]
        return [rng.choice([low, 0, 0, 1, 1, 2, 3]) if wild else rng.choice([0, 1, 2]) for _ in range(count)]
    if wild:
        return [rng.choice(FLOAT_VALUES) for _ in range(count)]
    return [rng.uniform(-1.5, 1.5) for _ in range(count)]


def tensor(rng, shape=None, dtype=None, plain=False):
    """A tensor of some layout: dense, transposed, strided, shifted, expanded, overlapping; on `meta` now and then."""
    shape = some_shape(rng) if shape is None else shape
    dtype = rng.choice(DTYPES) if dtype is None else dtype
    count = 1
    for size in shape:
        count *= size
    if count > 5000:
        shape, count = (2, 3), 6
    if 0 in shape or plain and not count:
        base = torch.empty(shape, dtype=dtype)
    else:
        base = torch.tensor(numbers(rng, count, dtype), dtype=dtype).reshape(shape)
    if plain or any(size > 1000 for size in shape):
        return base
    kind = rng.randrange(24)
    dims = len(shape)
    if kind == 0 and dims > 1:
        order = list(range(dims))
        rng.shuffle(order)
        inverse = [order.index(d) for d in range(dims)]
        base = base.permute(order).clone(memory_format=torch.contiguous_format).permute(inverse)
    elif kind == 1 and dims:
        wide = torch.empty(tuple(shape[:-1]) + (2 * shape[-1],), dtype=dtype) if count else base
        if count:
            wide.fill_(0)
            wide[..., ::2] = base
            base = wide[..., ::2]
    elif kind == 2 and count:
        flat = torch.zeros(count + 3, dtype=dtype)
        flat[3:] = base.reshape(-1)
        base = flat[3:].view(shape)
    elif kind == 3 and dims and count:
        dim = rng.randrange(dims)
        base = base.narrow(dim, 0, 1).expand(shape)
    elif kind == 4 and dims == 2 and count:
        base = torch.arange(sum(shape)).to(dtype).as_strided(shape, (1, 1))
    elif kind in (5, 6, 7) and (dtype in FLOATS or dtype in COMPLEX):
        base = base.clone().requires_grad_()
        if kind == 7:
            base = base * 1
    elif kind == 8 and rng.random() < 0.5:
        if rng.random() < 0.3:
            shape = tuple(rng.choice([1, 3, 2**20, 2**31, 2**40]) for _ in range(rng.randrange(4)))
            try:
                return torch.empty(shape, dtype=dtype, device="meta")
            except RuntimeError:
                pass
        base = base.to("meta")
    return base


def integer(rng):
    return rng.choice(HUGE) if rng.random() < 0.08 else rng.choice([0, 1, 1, 2, 2, 3, -1, -2, 5, 7])


def dimension(rng):
    return rng.choice([0, 0, 1, -1, 1, -2, 2]) if rng.random() < 0.95 else rng.choice([3, -4, 9, *HUGE])


def integers(rng, name=""):
    """A list of integers: dimensions, sizes or window parameters."""
    count = rng.choice([0, 1, 1, 2, 2, 2, 3, 4])
    if "dim" in name:
        return [dimension(rng) for _ in range(count)]
    if name in ("size", "shape", "s", "sizes"):
        return [integer(rng) for _ in range(count)] if rng.random() < 0.3 else list(some_shape(rng))
    small = [1, 1, 2, 3] if name in ("kernel_size", "stride", "dilation") else [0, 1, 2, 3, -1]
    return [rng.choice(small) if rng.random() < 0.93 else integer(rng) for _ in range(count)]


def scalar(rng):
    kind = rng.randrange(10)
    if kind < 4:
        return integer(rng)
    if kind < 8:
        return rng.choice(FLOAT_VALUES)
    return rng.choice([True, False, 1j, 2 - 1j, complex("nan"), np.float32(1.5), np.int64(3), np.bool_(True)])


class Strange:
    """Takes part in every protocol, badly."""

    def __index__(self):
        raise RuntimeError("no index")

    def __float__(self):
        raise ValueError("no float")

    def __len__(self):
        return 2**40

    def __getitem__(self, index):
        raise KeyError(index)

    def __iter__(self):
        raise TypeError("no iterator")

    def __repr__(self):
        return "Strange()"


def deep(rng):
    """A list that is nested too deep, or that holds itself."""
    if rng.random() < 0.5:
        data = []
        data.append(data)
        return data
    data = 1
    for _ in range(rng.choice([63, 64, 65, 200, 5000])):
        data = [data]
    return data


def junk(rng):
    """Anything at all."""
    return rng.choice(
        [
            lambda: tensor(rng),
            lambda: integer(rng),
            lambda: rng.choice(HUGE),
            lambda: rng.choice(FLOAT_VALUES),
            lambda: rng.choice(WORDS),
            lambda: rng.choice([None, None, True, False, 1j, ..., slice(None), b"x", {}, object(), type, Strange()]),
            lambda: integers(rng),
            lambda: tuple(tensor(rng) for _ in range(rng.randrange(3))),
            lambda: [tensor(rng) for _ in range(rng.randrange(3))],
            lambda: rng.choice(DTYPES + WIDE),
            lambda: rng.choice(
                [torch.device("cpu"), torch.device("meta"), "meta", "cuda", torch.strided, torch.channels_last]
            ),
            lambda: rng.choice([np.float32(2.5), np.int64(2), np.zeros((2, 3)), np.array("text"), np.array(None)]),
            lambda: [[1, 2], [3, 4]],
            lambda: [[1, 2], [3]],
            lambda: deep(rng),
            lambda: lambda *args: None,
        ]
    )()


def odd_array(rng):
    """A NumPy array of an unusual kind."""
    base = np.arange(12.0).reshape(3, 4)
    frozen = base.copy()
    frozen.setflags(write=False)
    return rng.choice(
        [
            lambda: base[::-1],
            lambda: base[:, ::-2],
            lambda: np.broadcast_to(base[0], (5, 4)),
            lambda: np.broadcast_to(np.float32(1), (2, 2)),
            lambda: np.broadcast_to(np.zeros(1), (2**40, 2**10)),
            lambda: base.astype(">f8"),
            lambda: base.astype(">i2"),
            lambda: np.zeros(3, dtype=[("a", "i4"), ("b", "f8")]),
            lambda: np.zeros(3, dtype=[("a", "i1"), ("b", "f8")])["b"],
            lambda: np.array([None, 1, "x"], dtype=object),
            lambda: frozen,
            lambda: np.array(["a", "bc"]),
            lambda: np.array(["2020-01-01"], dtype="M8[D]"),
            lambda: np.zeros((0, 5)),
            lambda: np.zeros((2, 0, 2**40)),
            lambda: np.array(3),
            lambda: np.float16(2),
            lambda: np.zeros(2, dtype=np.longdouble),
            lambda: np.zeros(2, dtype=np.clongdouble),
            lambda: np.frombuffer(b"12345678123456781", dtype=np.uint8)[1:].view(np.float64),
            lambda: np.asfortranarray(base),
            lambda: np.lib.stride_tricks.as_strided(base, (3, 3), (8, 8)),
            lambda: np.ma.masked_array(base, base > 3),
            lambda: np.zeros((1,) * 40) if np.lib.NumpyVersion(np.__version__) >= "2.0.0" else np.zeros((1,) * 32),
            lambda: np.array([1, 2**63], dtype=np.uint64),
        ]
    )()


def describe(value):
    """Text that tells what an argument was, without printing tensors by their own means."""
    if isinstance(value, torch.Tensor):
        text = f"tensor({tuple(value.shape)}, {str(value.dtype)[6:]}"
        if not value.is_contiguous() or value.storage_offset():
            text += f", strides {value.stride()}, offset {value.storage_offset()}"
        if value.requires_grad:
            text += ", requires_grad"
        if value.is_meta:
            text += ", meta"
        elif 0 < value.numel() <= 12:
            text += f", {value.tolist()}"
        return text + ")"
    if isinstance(value, (list, tuple)):
        if value and value[0] is value or len(value) == 1 and isinstance(value[0], list) and len(value[0]) == 1:
            return "[nested]"
        return "[" + ", ".join(map(describe, value)) + "]"
    if isinstance(value, dict):
        return ", ".join(f"{key}={describe(item)}" for key, item in value.items())
    if isinstance(value, np.ndarray):
        return f"array({value.shape}, {value.dtype}, strides {value.strides})"
    return repr(value)[:60]
