"""Damaged and hostile files, made from a number each, and the check that they are refused or read, and nothing else.

The first numbers are the files of `hostile`; the others are files of PyTorch, flambeau, safetensors and NumPy with bytes
flipped, cut, moved and written over, sizes and offsets among them, and pickles put together at random.
"""

import io
import pickle
import random
import struct
import warnings
import zipfile
from functools import cache
from pathlib import Path

import numpy

import flambeau as torch
from flambeau.utils import safetensors

from . import hostile

FIXTURES = Path(__file__).parents[2] / "fixtures"
# What a reader may raise besides reading the file.
ALLOWED = {
    "torch": (pickle.UnpicklingError, RuntimeError, EOFError, UnicodeDecodeError),
    "safetensors": (ValueError,),
    "numpy": (TypeError, ValueError),
}
# The memory that reading any of these files may take, in KiB.
MEMORY = 200 << 10

NUMBERS = [
    0,
    1,
    2,
    7,
    8,
    127,
    128,
    255,
    256,
    32767,
    65535,
    1 << 20,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**40,
    2**62,
    2**63 - 1,
    2**63,
    2**64 - 1,
]


@cache
def pages():
    """The files that must raise, and the good ones by kind."""
    bad = [("torch", name, data) for name, data in hostile.files()]
    good = []
    for path in sorted((FIXTURES / "checkpoints").glob("*.pt")) + [FIXTURES / "programs" / "fisher.pt"]:
        good.append(("torch", path.read_bytes()))
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(2, 2)).sum().backward()
    optimizer.step()
    objects = (
        torch.arange(3),
        model.state_dict(),
        optimizer.state_dict(),
        [torch.ones(2, 2).t(), torch.ones(1, dtype=torch.complex64), 1.5, "x", b"y", {1, 2}, (None, True), 1 << 70],
    )
    for value in objects:
        for options in ({}, {"pickle_protocol": 4}, {"_use_new_zipfile_serialization": False}):
            file = io.BytesIO()
            torch.save(value, file, **options)
            good.append(("torch", file.getvalue()))
    deflated = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(good[-3][1])) as old, zipfile.ZipFile(deflated, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    good.append(("torch", deflated.getvalue()))
    tensors = {"a": torch.arange(5), "b.c": torch.ones(2, 3, dtype=torch.bfloat16), "empty": torch.ones(0, 2)}
    good += [
        ("safetensors", safetensors.save(tensors, {"by": "us"})),
        ("safetensors", safetensors.save({"x": torch.ones(2)})),
    ] * 3
    for value in (
        numpy.arange(6.0).reshape(2, 3),
        numpy.asfortranarray(numpy.ones((2, 3), "<i2")),
        numpy.ones(3, "c16"),
    ):
        file = io.BytesIO()
        numpy.save(file, value)
        good.append(("numpy", file.getvalue()))
    file = io.BytesIO()
    numpy.savez(file, a=numpy.ones(2), b=numpy.arange(3))
    good.append(("numpy", file.getvalue()))
    return bad, good


def mutate(rng, data, other):
    """A few changes of bytes, small and large."""
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        if not data:
            break
        at = rng.randrange(len(data))
        way = rng.randrange(9)
        if way == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif way == 1:
            data[at] = rng.randrange(256)
        elif way == 2:
            size = rng.choice((1, 2, 4, 8))
            value = rng.choice((*NUMBERS, len(data), len(data) - 1, rng.randrange(len(data)))) & ((1 << 8 * size) - 1)
            data[at : at + size] = value.to_bytes(size, rng.choice(("little", "big")))
        elif way == 3:
            data = data[:at] if rng.random() < 0.7 else data[at:]
        elif way == 4:
            del data[at : at + rng.randrange(1, 64)]
        elif way == 5:
            begin = rng.randrange(len(data))
            data[at:at] = data[begin : begin + rng.randrange(1, 64)]
        elif way == 6:
            begin, n = rng.randrange(len(other)), rng.randrange(1, 200)
            data[at : at + (n if rng.random() < 0.5 else 0)] = other[begin : begin + n]
        elif way == 7:
            data[at : at + rng.randrange(1, 32)] = bytes(rng.choice((0, 255)) for _ in range(rng.randrange(1, 32)))
        else:
            digits = [i for i, byte in enumerate(data[:4000]) if 48 <= byte < 58]
            if digits:
                at = rng.choice(digits)
                data[at : at + 1] = (
                    str(rng.choice(NUMBERS)).encode() if rng.random() < 0.5 else b"%d" % rng.randrange(10)
                )
    return bytes(data)


def fields(data):
    """Where an archive's sizes, offsets and counts stand: (place, number of bytes)."""
    found = []
    for mark, places in (
        (b"PK\x01\x02", ((8, 2), (10, 2), (20, 4), (24, 4), (28, 2), (30, 2), (32, 2), (42, 4))),
        (b"PK\x03\x04", ((6, 2), (8, 2), (18, 4), (22, 4), (26, 2), (28, 2))),
        (b"PK\x05\x06", ((8, 2), (10, 2), (12, 4), (16, 4), (20, 2))),
    ):
        at = data.find(mark)
        while at >= 0:
            found += [(at + place, size) for place, size in places]
            at = data.find(mark, at + 4)
    return found


def spliced(rng, data):
    """An archive with other numbers in its directory."""
    places, data = fields(data), bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        at, size = rng.choice(places)
        value = rng.choice(
            (*NUMBERS, len(data), rng.randrange(len(data)), int.from_bytes(data[at : at + size], "little") + 1)
        )
        if rng.random() < 0.3:
            there, _ = rng.choice([place for place in places if place[1] == size])
            value = int.from_bytes(data[there : there + size], "little")
        data[at : at + size] = (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")
    return bytes(data)


def within(rng, data, other):
    """An archive with one record damaged and a directory that fits."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        names = old.namelist()
        pickles = [name for name in names if name.endswith("data.pkl")]
        chosen = rng.choice(pickles if pickles and rng.random() < 0.8 else names)
        for name in names:
            content = old.read(name)
            new.writestr(name, mutate(rng, content, other) if name == chosen else content)
    return out.getvalue()


@cache
def words():
    """Pieces of pickles, whole opcodes."""
    names = (
        "torch._utils\n_rebuild_tensor_v2", "torch._utils\n_rebuild_tensor", "torch._utils\n_rebuild_tensor_v3", "torch._utils\n_rebuild_parameter",
        "torch._utils\n_rebuild_parameter_with_state", "torch._utils\n_rebuild_meta_tensor_no_storage", "torch._tensor\n_rebuild_from_type_v2",
        "torch\nTensor", "torch.nn.parameter\nParameter", "torch\nSize", "torch\ndevice", "torch\nfloat32", "torch\nFloatStorage", "torch\nstrided",
        "torch.storage\nUntypedStorage", "torch.serialization\n_get_layout", "collections\nOrderedDict", "collections\nCounter",
        "_codecs\nencode", "builtins\nbytearray", "builtins\nset", "builtins\ncomplex", "os\nsystem", "builtins\neval", "torch\nload",
    )  # fmt: skip
    out = [f"c{name}\n".encode() for name in names]
    out += [hostile.number(n) for n in (*NUMBERS, -1, -2, -(2**63))]
    out += [
        hostile.text(s)
        for s in ("", "0", "storage", "cpu", "meta", "cuda:0", "latin1", "conj", "torch.strided", "\0", "é" * 20)
    ]
    out += [
        hostile.storage(),
        hostile.storage(8, "1"),
        hostile.storage(2, "0", "ComplexDoubleStorage"),
        hostile.tensor(),
        hostile.tensor((2, 2), (0, 0)),
    ]
    out += [
        hostile.array(map(hostile.number, sizes))
        for sizes in ((2,), (1,), (2, 2), (1, 2), (2**40,), (0, 2**62), (-1,), (2**63,))
    ]
    out += [hostile.doubled(60), hostile.tensor((1 << 22,), (0,))]
    out += [b"G" + struct.pack(">d", x) for x in (0.0, 1e308, float("nan"), float("inf"))]
    out += [
        b"B\x03\0\0\0abc",
        b"C\x02ab",
        b"\x96\x02\0\0\0\0\0\0\0ab",
        b"I5\n",
        b"L7L\n",
        b"F1e5\n",
        b"S'a'\n",
        b"Va\n",
    ]
    return out


OPCODES = [bytes([code]) for code in b"(.0122aaeebbdlsstttu}]])QRRRRR\x81\x85\x86\x87\x88\x89\x8f\x90\x91\x92\x93\x94N"]


def written(rng):
    """A pickle of random opcodes, in either format; half of them try to call what they name."""
    parts = []
    for _ in range(rng.randrange(1, 40)):
        roll = rng.random()
        if roll < 0.5:
            parts.append(rng.choice(words()))
        elif roll < 0.6:
            parts.append(rng.choice((b"q", b"h")) + bytes([rng.randrange(4)]))
        elif roll < 0.7:
            arguments = [rng.choice(words()) for _ in range(rng.randrange(9))]
            parts.append(rng.choice(words()[:25]) + hostile.array(arguments) + rng.choice((b"R", b"R", b"\x81", b"b")))
        else:
            parts.append(rng.choice(OPCODES))
    data = bytes([0x80, rng.choice((2, 4, 5))]) + b"".join(parts) + b"."
    if rng.random() < 0.7:
        return hostile.archive(data, [("data/0", bytes(64)), ("data/1", bytes(64))])
    return hostile.legacy(data, rng.choice(([], ["0"], ["0", "1"])), struct.pack("<q", 4) + bytes(32))


def make(seed):
    """(reader, name, bytes) of a number."""
    bad, good = pages()
    if seed < len(bad):
        return bad[seed]
    rng = random.Random(seed)
    kind, data = rng.choice(good)
    _, other = rng.choice(good)
    zipped = data.startswith(b"PK")
    roll = rng.random()
    if roll < 0.2 and kind == "torch":
        return kind, "written", written(rng)
    if roll < 0.35 and zipped:
        return kind, "spliced", spliced(rng, data)
    if roll < 0.65 and zipped:
        return kind, "within", within(rng, data, other)
    return kind, "mutated", mutate(rng, data, other)


def tensors(value, depth=0):
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (dict, list, tuple)) and depth < 4:
        for part in list(value.values() if isinstance(value, dict) else value)[:20]:
            yield from tensors(part, depth + 1)


def read(kind, data):
    if kind == "safetensors":
        return safetensors.load(data)
    if kind == "torch":
        if data.startswith(b"PK\x03\x04") and sum(data[:400]) % 8 == 0:
            torch.serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(data))
        return torch.load(io.BytesIO(data))
    try:
        found = numpy.load(io.BytesIO(data), allow_pickle=False)
        arrays = list(found.values()) if isinstance(found, numpy.lib.npyio.NpzFile) else [found]
    except Exception:
        # NumPy's affair.
        return None
    return [torch.from_numpy(array) for array in arrays]


def peak():
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def run(seed):
    """What is wrong, or None."""
    kind, name, data = make(seed)
    before = peak()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for tensor in tensors(read(kind, data)):
                # All memory that a tensor claims is there.
                if tensor.device.type == "cpu" and 0 < tensor.numel() < 1 << 20:
                    tensor.detach().clone()
        problem = None
    except RecursionError as error:
        problem = f"RecursionError: {str(error)[:200]}"
    except ALLOWED[kind] as error:
        problem = f"a message of {len(str(error))} characters" if len(str(error)) > 100_000 else None
    except ValueError as error:
        problem = None if "Unknown endianness type" in str(error) else f"ValueError: {str(error)[:200]}"
    except BaseException as error:
        problem = f"{type(error).__name__}: {str(error)[:200]}"
    taken = peak() - before
    if problem is None and taken > MEMORY and kind != "numpy":
        problem = f"took {taken >> 10} MiB"
    return f"{kind}, {name}: {problem}" if problem else None


def show(seed):
    kind, name, data = make(seed)
    return f"{kind}, {name}: {len(data)} bytes, {data[:2000]!r}"
