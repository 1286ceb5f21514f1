"""TensorBoard's messages in protocol buffer's wire format (https://protobuf.dev/programming-guides/encoding), and the
frames of its files: each record has its length and masked CRC-32C checksums around it."""

import struct
import zlib


def _varint(n):
    n &= (1 << 64) - 1
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def _int(field, n):
    return _varint(field << 3) + _varint(n)


def _double(field, x):
    return _varint(field << 3 | 1) + struct.pack("<d", x)


def _float(field, x):
    return _varint(field << 3 | 5) + struct.pack("<f", x)


def _bytes(field, data):
    data = data.encode() if isinstance(data, str) else data
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _doubles(field, values):
    return _bytes(field, struct.pack(f"<{len(values)}d", *values))


def event(wall_time, step=None, summary=None, file_version=None):
    """An `Event`: a summary at a step, or the head of a file."""
    out = _double(1, wall_time)
    if step is not None:
        out += _int(2, int(step))
    if file_version is not None:
        out += _bytes(3, file_version)
    return out if summary is None else out + _bytes(5, summary)


def _value(tag, content, metadata=b""):
    """A `Summary` of one value."""
    return _bytes(1, _bytes(1, tag) + (_bytes(9, metadata) if metadata else b"") + content)


def _plugin(name, content=b""):
    """A `SummaryMetadata` that names a plugin."""
    return _bytes(1, _bytes(1, name) + (_bytes(2, content) if content else b""))


def scalar(tag, x):
    """A number."""
    return _value(tag, _float(2, x))


def scalar_tensor(tag, x, double=False):
    """A number as a tensor of rank 0."""
    tensor = _int(1, 2) + _double(6, x) if double else _int(1, 1) + _float(5, x)
    return _value(tag, _bytes(8, tensor), _plugin("scalars"))


def text(tag, string):
    """A text, as a tensor of one string."""
    tensor = _int(1, 7) + _bytes(2, _bytes(2, _int(1, 1))) + _bytes(8, string)
    return _value(tag + "/text_summary", _bytes(8, tensor), _plugin("text", b"\x10\x00"))


def image(tag, height, width, channels, png):
    """A picture."""
    content = _int(1, height) + _int(2, width) + _int(3, channels) + _bytes(4, png)
    return _value(tag, _bytes(4, content))


def histogram(tag, low, high, count, total, squares, limits, counts):
    """A histogram: `counts[i]` values up to `limits[i]`."""
    content = _double(1, low) + _double(2, high) + _double(3, count) + _double(4, total) + _double(5, squares)
    return _value(tag, _bytes(5, content + _doubles(6, limits) + _doubles(7, counts)))


def png(pixels, height, width, channels):
    """A PNG file of bytes, row by row, of 1 (grey), 3 (RGB) or 4 (RGBA) channels."""
    kind = {1: 0, 3: 2, 4: 6}[channels]

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    row = width * channels
    lines = b"".join(b"\0" + pixels[i * row : (i + 1) * row] for i in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def _table():
    table = []
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)
        table.append(n)
    return table


_TABLE = _table()


def _masked_crc(data):
    crc, table = 0xFFFFFFFF, _TABLE
    for byte in data:
        crc = table[(crc ^ byte) & 255] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def record(data):
    """The frame of one record."""
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", _masked_crc(length)) + data + struct.pack("<I", _masked_crc(data))
