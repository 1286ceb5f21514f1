"""The operations of a pickle with their arguments, as Python's documentation of the format (`pickletools`) has them."""

import pickle
import struct


def _line(file):
    data = file.readline(1 << 20)
    if not data.endswith(b"\n"):
        raise EOFError("the pickle ends early")
    return data[:-1]


def _exactly(file, n):
    if n <= 1 << 16:
        data = file.read(n)
        if len(data) == n:
            return data
        raise EOFError("the pickle ends early")
    # In pieces, so that a length that the file does not have claims no memory.
    parts, left = [], n
    while left:
        part = file.read(min(left, 1 << 24))
        if not part:
            raise EOFError("the pickle ends early")
        parts.append(part)
        left -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _unpacked(layout):
    unpack, size = struct.Struct(layout).unpack, struct.calcsize(layout)

    def read(file, encoding):
        return unpack(_exactly(file, size))[0]

    return read


def _counted(layout, convert):
    length = _unpacked(layout)

    def read(file, encoding):
        n = length(file, encoding)
        if n < 0:
            raise pickle.UnpicklingError("negative length in the pickle")
        return convert(_exactly(file, n), encoding)

    return read


def _text(data, encoding):
    return str(data, "utf-8", "surrogatepass")


def _string(data, encoding):
    """A string of Python 2."""
    return data if encoding == "bytes" else data.decode(encoding)


def _as_is(data, encoding):
    return data


def _integer(data, encoding):
    return int.from_bytes(data, "little", signed=True)


def _quoted(file, encoding):
    from codecs import escape_decode

    data = _line(file).strip()
    if len(data) < 2 or data[:1] not in b"\"'" or data[-1:] != data[:1]:
        raise pickle.UnpicklingError("the STRING opcode argument must be quoted")
    return _string(escape_decode(data[1:-1])[0], encoding)


def _decimal(file, encoding):
    data = _line(file)
    if data in (b"00", b"01"):
        return data == b"01"
    if len(data) > 4000:
        raise pickle.UnpicklingError("a number is too long")
    return int(data.rstrip(b"L"))


def _names(file, encoding):
    return _line(file).decode("utf-8"), _line(file).decode("utf-8")


def _protocol(file, encoding):
    version = _exactly(file, 1)[0]
    if version > pickle.HIGHEST_PROTOCOL:
        raise ValueError(f"unsupported pickle protocol: {version}")
    return version


_byte, _short, _int, _uint, _long = map(_unpacked, ("<B", "<H", "<i", "<I", "<Q"))
_number = lambda file, encoding: int(_line(file))  # noqa: E731
_READERS = {
    pickle.PROTO: _protocol, pickle.FRAME: _long, pickle.GLOBAL: _names,
    pickle.BINPUT: _byte, pickle.LONG_BINPUT: _uint, pickle.PUT: _number,
    pickle.BINGET: _byte, pickle.LONG_BINGET: _uint, pickle.GET: _number,
    pickle.PERSID: lambda file, encoding: _line(file).decode("ascii"),
    pickle.INT: _decimal, pickle.LONG: _decimal, pickle.FLOAT: lambda file, encoding: float(_line(file)),
    pickle.BININT: _int, pickle.BININT1: _byte, pickle.BININT2: _short, pickle.BINFLOAT: _unpacked(">d"),
    pickle.LONG1: _counted("<B", _integer), pickle.LONG4: _counted("<i", _integer),
    pickle.STRING: _quoted, pickle.BINSTRING: _counted("<i", _string), pickle.SHORT_BINSTRING: _counted("<B", _string),
    pickle.UNICODE: lambda file, encoding: str(_line(file), "raw-unicode-escape"),
    pickle.SHORT_BINUNICODE: _counted("<B", _text), pickle.BINUNICODE: _counted("<I", _text),
    pickle.BINUNICODE8: _counted("<Q", _text),
    pickle.SHORT_BINBYTES: _counted("<B", _as_is), pickle.BINBYTES: _counted("<I", _as_is),
    pickle.BINBYTES8: _counted("<Q", _as_is),
    pickle.BYTEARRAY8: _counted("<Q", lambda data, encoding: bytearray(data)),
}  # fmt: skip


def read_opcodes(file, encoding):
    """Yields (operation, argument) up to and with the end of one pickle; reads no byte beyond it."""
    while True:
        code = file.read(1)
        if not code:
            raise EOFError("the pickle ends early")
        reader = _READERS.get(code)
        yield code, reader(file, encoding) if reader is not None else None
        if code == pickle.STOP:
            return
