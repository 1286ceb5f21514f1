"""Small files made to hurt whoever reads them: each must raise what `torch.load` documents, soon and in little memory."""

import io
import pickle
import struct
import zipfile
import zlib

TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n"
CALL = b"R"


def number(n):
    """The opcode of an integer."""
    if 0 <= n < 256:
        return b"K" + bytes([n])
    data = n.to_bytes((n.bit_length() + 8) // 8, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def text(s):
    data = s.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def array(items):
    return b"(" + b"".join(items) + b"t"


def storage(count=4, key="0", kind="FloatStorage"):
    parts = [text("storage"), f"ctorch\n{kind}\n".encode(), text(key), text("cpu"), number(count)]
    return array(parts) + b"Q"


def tensor(size=(2,), stride=(1,), offset=0, metadata=b"", **options):
    size, stride = (array(map(number, part)) if isinstance(part, tuple) else part for part in (size, stride))
    return TENSOR + array([storage(**options), number(offset), size, stride, b"\x89", b"}", metadata]) + CALL


def doubled(times, opening=b"K\x01", twice=b"2\x86"):
    """A value that holds another one twice, which holds … : little to write down, much to walk through."""
    return opening + twice * times


def program(*parts):
    return b"\x80\x02" + b"".join(parts) + b"."


def archive(data, records=(("data/0", bytes(16)),), compression=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as out:
        out.writestr("archive/data.pkl", data)
        for name, content in records:
            out.writestr("archive/" + name, content)
    return file.getvalue()


def legacy(data, keys=(), tail=b""):
    headers = (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {}})
    return b"".join(pickle.dumps(part, 2) for part in headers) + data + pickle.dumps(list(keys), 2) + tail


def overlapping(records=3000, size=1 << 20):
    """An archive whose directory has many records of the same bytes."""
    block = zlib.compress(bytes(size), 0)[:size].ljust(size, b"\0")
    references = b"".join(tensor((size,), count=size, key=str(i), kind="ByteStorage") for i in range(records))
    data = archive(program(b"(", references, b"t"), [("data/0", block)])
    place = data.rindex(b"PK\x01\x02")
    end = data.rindex(b"PK\x05\x06")
    entry = data[place:end]
    name = entry.index(b"archive/data/0")
    extra = b""
    for i in range(1, records):
        own = f"archive/data/{i}".encode()
        extra += entry[:28] + struct.pack("<H", len(own)) + entry[30:name] + own
    total = records + 1
    start = struct.unpack("<I", data[end + 16 : end + 20])[0]
    ending = struct.pack("<HHII", total, total, end - start + len(extra), start)
    return data[:end] + extra + data[end : end + 8] + ending + b"\0\0"


def files():
    """(name, bytes) of each."""
    wide = tensor((1 << 22,), (0,))
    memo = b"q\x01"
    pickles = {
        "deep key": program(b"}", b"K\x01", b"\x85" * 250_000, b"K\x02s"),
        "deep member of a set": program(b"c__builtin__\nset\n](", b"K\x01", b"\x85" * 250_000, b"e\x85R"),
        "key of many parts": program(b"}", doubled(60), b"K\x02s"),
        "two keys of many parts": program(b"}(", doubled(40), b"N", doubled(40), b"Nu"),
        "frozen set of many parts": b"\x80\x04(" + doubled(60) + b"\x91.",
        "set of many parts": b"\x80\x04\x8f(" + doubled(60) + b"\x90.",
        "many parts in an error": program(doubled(60), b"Q"),
        "many parts in another error": program(array([doubled(60), b"NNNN"]), b"Q"),
        "many parts for a class of storages": program(array([text("storage"), doubled(60), text("0"), text("cpu"), b"K\x01"]), b"Q"),
        "many parts called": program(doubled(60), b")R"),
        "many parts made": program(doubled(60), b")\x81"),
        "many parts as a class": program(b"ctorch._tensor\n_rebuild_from_type_v2\n", array([TENSOR, doubled(60), b")", b"N"]), b"R"),
        "many parts as a device": program(b"ctorch\ndevice\n", doubled(60), b"\x85R"),
        "many parts as a layout": program(b"ctorch.serialization\n_get_layout\n", doubled(60), b"\x85R"),
        "many parts as a size": program(b"ctorch\nSize\n", doubled(60), b"\x85R"),
        "quotes": program(b"S'" + b"'+'" * 5 + b"'\n"),
        "brackets between quotes": program(b"S'' " + b"(" * 5000 + b" ''\n"),
        "sizes in a tensor": program(TENSOR, array([storage(), b"K\0", wide + b"2", b"\x89", b"}"]), CALL),
        "pairs in a tensor": program(b"ccollections\nOrderedDict\n]", wide, b"a\x85R"),
        "letters in a tensor": program(b"cbuiltins\nbytearray\n", wide, b"\x85R"),
        "conjugate of a wide tensor": program(
            tensor((1 << 26,), (0,), count=2, kind="ComplexFloatStorage", metadata=b"}" + text("conj") + b"\x88s")
        ),
        "negative of a wide tensor": program(tensor((1 << 27,), (0,), metadata=b"}" + text("neg") + b"\x88s")),
        "same bytes many times": program(
            b"B" + struct.pack("<I", 1 << 20) + bytes(1 << 20) + memo, b"0(",
            b"cbuiltins\nbytearray\nq\x02" + b"h\x01\x85R" + b"h\x02h\x01\x85R" * 5000, b"t",
        ),
        "same list many times": program(
            b"](" + b"K\x01" * 50_000 + b"e" + memo + b"0(" + b"c__builtin__\nset\nq\x02h\x01\x85R" + b"h\x02h\x01\x85R" * 5000 + b"t"
        ),
        "same sizes many times": program(
            array([b"K\x01"] * 50_000) + memo + b"0(" + storage() + b"q\x03" + TENSOR + b"q\x02"
            + (b"(h\x03K\0h\x01h\x01\x89}tR" + b"h\x02") * 3000 + b"t"
        ),
        "calls in calls": program(
            b"ctorch._tensor\n_rebuild_from_type_v2\nq\x01" + b"ctorch\nTensor\nq\x02"
            + b"(h\x01h\x02" * 3000 + b")" + b"Nt" * 3000 + b"R"
        ),
        "long number": program(b"I" + b"9" * 900_000 + b"\n"),
        "long number of a place": program(b"Np" + b"9" * 900_000 + b"\n"),
        "most of the numbers": program(b"\x8b" + struct.pack("<i", 0x7FFFFFFF)),
        "state over methods": program(tensor(), b"}(", *(text(name) + b"N" for name in ("add", "shape", "_grad", "__class__")), b"ub"),
        "itself": program(b"]" + memo + b"h\x01a"),
        "itself as its state": program(b"ccollections\nOrderedDict\n)R" + memo + b"}", text("x"), b"h\x01sb"),
        "sizes that are true": program(TENSOR, array([storage(), b"\x88", b"\x88\x85", b"\x88\x85", b"\x89", b"}"]), CALL),
        "metadata in a tensor": program(tensor(metadata=tensor())),
        "requires a tensor": program(TENSOR, array([storage(), b"K\0", b"K\x02\x85", b"K\x01\x85", tensor(), b"}"]), CALL),
    }  # fmt: skip
    for name, data in pickles.items():
        yield name, archive(data)
        yield name + ", old format", legacy(data, ["0"], struct.pack("<q", 4) + bytes(16))
    yield "records over one another", overlapping()
    plain = program(tensor((1 << 20,), count=1 << 20, kind="ByteStorage"))
    for compression in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        yield f"compressed {compression}", archive(plain, [("data/0", bytes(1 << 20))], compression)
    claims = archive(plain, [("data/0", bytes(1 << 20))], zipfile.ZIP_LZMA)
    yield "a dictionary of 4 GB", claims.replace(b"\x5d\0\0\x80\0", b"\x5d\xff\xff\xff\xff")
