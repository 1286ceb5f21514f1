#!/usr/bin/env python3
"""Fills fuzz/corpus with small files to begin from: those of tests/fixtures, their parts, and a few written here."""

import json
import struct
import zipfile
from pathlib import Path

HERE = Path(__file__).parent
FIXTURES = HERE.parent / "tests" / "fixtures"


def put(target, name, data):
    folder = HERE / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def text(s):
    return b"X" + struct.pack("<I", len(s)) + s.encode()


def tensor(key="0", kind="FloatStorage", count=4, version=2, notes=b"", part=b""):
    """The opcodes of a tensor over a storage."""
    place = (
        b"("
        + text("storage")
        + f"ctorch\n{kind}\n".encode()
        + text(key)
        + text("cpu")
        + b"K"
        + bytes([count])
        + part
        + b"tQ"
    )
    name = b"ctorch._utils\n_rebuild_tensor" + (b"" if version == 1 else b"_v%d" % version) + b"\n"
    rest = (
        b""
        if version == 1
        else b"\x89ccollections\nOrderedDict\n)R" + (b"ctorch\nuint16\n" if version == 3 else b"") + notes
    )
    return name + b"(" + place + b"K\x00K\x02\x85K\x01\x85" + rest + b"tR"


def pickles():
    yield 0, b"N"
    yield 0, b"(K\x01M\x00\x02J\xff\xff\xff\xff\x8a\x01\x01G?\xf0\0\0\0\0\0\0\x88" + text("x") + b"C\x01ytq\x00"
    yield 0, b"}(" + text("a") + b"]K\x01a" + text("b") + b"\x8f(K\x02\x90u"
    yield 0, b"c_codecs\nencode\n" + text("x") + text("latin1") + b"\x86R"
    yield 0, b"(ctorch\nSize\nK\x01K\x02\x86\x85Rctorch\ndevice\n" + text("cpu") + b"\x85Rctorch\nfloat16\nt"
    yield 0, b"ccollections\nOrderedDict\n](K\x01N\x86e\x85R"
    yield 0, b"ctorch._utils\n_rebuild_meta_tensor_no_storage\n(ctorch\nint8\nK\x02\x85K\x01\x85\x89tR"
    yield 1, tensor()
    yield 1, tensor(version=1)
    yield 1, b"(" + tensor() + tensor() + b"t"
    yield 1, tensor(version=3, kind="ByteStorage", count=4)
    yield 1, tensor(kind="FloatStorage", notes=b"}" + text("neg") + b"\x88s")
    yield 1, tensor(part=text("v") + b"K\x00K\x04\x87")
    yield 1, b"ctorch._utils\n_rebuild_parameter\n(" + tensor() + b"\x88ccollections\nOrderedDict\n)RtR"
    yield (
        1,
        b"ctorch._tensor\n_rebuild_from_type_v2\n("
        + tensor()[:-2].replace(b"\n(", b"\nctorch\nTensor\n(", 1)
        + b"t}tR",
    )
    yield 2, b"}(" + text("weight") + tensor() + text("bias") + tensor("1") + b"u"
    group = b"}(" + b"".join(text(name) + value for name, value in (
        ("lr", b"G?\xf0\0\0\0\0\0\0"), ("betas", b"G?\xe0\0\0\0\0\0\0G?\xe0\0\0\0\0\0\0\x86"), ("params", b"](K\x00K\x01K\x02K\x03e"),
    )) + b"u"  # fmt: skip
    state = b"}K\x00}(" + text("step") + tensor() + text("exp_avg") + tensor("1") + b"us"
    yield 2, b"}(" + text("state") + state + text("param_groups") + b"]" + group + b"au"


def main():
    for path in sorted((FIXTURES / "checkpoints").glob("*.pt")):
        put("pt", path.name, path.read_bytes())
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as file:
                name = next(name for name in file.namelist() if name.endswith("data.pkl"))
                for target in ("pickle", "state_dict"):
                    put(target, path.stem, file.read(name))
    for number, (storages, opcodes) in enumerate(pickles()):
        data = b"\x80\x02" + opcodes + b"."
        put("pickle", f"written{number}", data)
        put("state_dict", f"written{number}", data)
        put("legacy", f"written{number}", bytes([storages]) + data)
    for path in FIXTURES.glob("arrays*.npz"):
        put("npz", path.name, path.read_bytes())
        with zipfile.ZipFile(path) as file:
            for name in file.namelist():
                data = file.read(name)
                if len(data) < 1000:
                    put("npy", f"{path.stem}-{name}", data)
                    put("npy", f"{path.stem}-{name}-part", data[10:])
                    put("npz", f"{path.stem}-{name}", data)
    tensors = {"a": ("F32", [2, 2], 16), "b": ("BF16", [0], 0), "c": ("BOOL", [3], 3)}
    for number in range(1, 4):
        header, at = {"__metadata__": {"by": "us"}}, 0
        for name, (dtype, shape, size) in list(tensors.items())[:number]:
            header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size]}
            at += size
        head = json.dumps(header, separators=(",", ":")).encode()
        put("safetensors", f"whole{number}", struct.pack("<Q", len(head)) + head + bytes(at))
        put("safetensors", f"part{number}", head + bytes(at))


if __name__ == "__main__":
    main()
