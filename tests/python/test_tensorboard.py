"""Event files for TensorBoard, read back by a small reader of their format."""

import struct
import zlib

import numpy as np
import pytest

import flambeau as torch
from flambeau.utils.tensorboard import SummaryWriter


def records(path):
    data, out = path.read_bytes(), []
    while data:
        (n,) = struct.unpack("<Q", data[:8])
        out.append(data[12 : 12 + n])
        data = data[16 + n :]
    return out


def fields(message):
    """(number, value) of a message's fields."""
    out, at = [], 0

    def varint():
        nonlocal at
        n = shift = 0
        while True:
            byte = message[at]
            at += 1
            n |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return n

    while at < len(message):
        key = varint()
        if key & 7 == 0:
            value = varint()
        else:
            size = {1: 8, 5: 4}.get(key & 7) or varint()
            value, at = message[at : at + size], at + size
        out.append((key >> 3, value))
    return out


def values(folder):
    """{(tag, step): fields of the value} of the only file in a folder."""
    (path,) = [p for p in folder.iterdir() if p.is_file()]
    head, *events = records(path)
    assert dict(fields(head))[3] == b"brain.Event:2"
    found = {}
    for event in events:
        event = dict(fields(event))
        value = dict(fields(dict(fields(event[5]))[1]))
        found[value[1].decode(), event.get(2)] = value
    return found


def test_events(tmp_path):
    with SummaryWriter(tmp_path / "run") as writer:
        writer.add_scalar("loss", torch.tensor(1.5), 7)
        writer.add_scalars("both", {"a": 1, "b": 2.0}, 3)
        writer.add_histogram("h", torch.tensor([1.0, 2.0, 2.0, 3.0]), 1, bins="auto")
        writer.add_image("picture", torch.tensor([[[0.0, 1.0]], [[0.0, 0.5]], [[1.0, 0.0]]]), 2)
        writer.add_images("pictures", np.zeros((5, 1, 4, 6)), 2)
        writer.add_text("note", "**bold**", 4)
    found = values(tmp_path / "run")
    assert struct.unpack("<f", found["loss", 7][2]) == (1.5,)
    assert struct.unpack("<f", values(tmp_path / "run" / "both_b")["both", 3][2]) == (2.0,)
    h = dict(fields(found["h", 1][5]))
    assert [struct.unpack("<d", h[i])[0] for i in range(1, 6)] == [1, 3, 4, 8, 18]
    assert struct.unpack("<5d", h[6]) == (1, 1.5, 2, 2.5, 3) and struct.unpack("<5d", h[7]) == (0, 1, 0, 2, 1)
    picture = dict(fields(found["picture", 2][4]))
    assert (picture[1], picture[2], picture[3]) == (1, 2, 3)
    png = picture[4]
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    size = struct.unpack(">I", png[33:37])[0]
    assert zlib.decompress(png[41 : 41 + size]) == b"\0" + bytes([0, 0, 255, 255, 127, 0])
    assert dict(fields(found["pictures", 2][4]))[2] == 30
    assert b"**bold**" in found["note/text_summary", 4][8]


def test_checksums(tmp_path):
    from flambeau.utils.tensorboard import _messages

    # The check value of CRC-32C is that of these nine digits.
    masked = _messages._masked_crc(b"123456789")
    assert masked == ((0xE3069283 >> 15 | 0xE3069283 << 17) + 0xA282EAD8) & 0xFFFFFFFF


def test_wrong_input(tmp_path):
    with SummaryWriter(tmp_path) as writer:
        with pytest.raises(AssertionError, match="scalar should be 0D"):
            writer.add_scalar("x", torch.ones(2))
        with pytest.raises(ValueError, match="no element"):
            writer.add_histogram("x", torch.ones(0))
        with pytest.raises(AssertionError, match="input format"):
            writer.add_image("x", torch.ones(2))
        with pytest.raises(TypeError, match="5 channels"):
            writer.add_image("x", torch.ones(5, 2, 2))


def test_hyperparameters(tmp_path):
    with SummaryWriter(tmp_path) as writer:
        writer.add_hparams(
            {"lr": 0.1, "opt": "sgd", "flag": True, "none": None}, {"acc": 0.5}, {"opt": ["sgd", "adam"]}, "run", 3
        )
        for wrong in ((3, {}), ({}, 3), ({"a": "x"}, {}, {"a": [3]}), ({"a": 1}, {}, {"b": [3]})):
            with pytest.raises(TypeError, match="dictionary|should be a list of same type"):
                writer.add_hparams(*wrong)
        with pytest.raises(ValueError, match="value should be one of"):
            writer.add_hparams({"a": [1]}, {})
    (path,) = (tmp_path / "run").iterdir()
    found = {}
    for data in records(path)[1:]:
        event = dict(fields(data))
        assert event[2] == 3
        value = dict(fields(dict(fields(event[5]))[1]))
        found[value[1].decode()] = value.get(9, b"")
    assert list(found) == [
        "_hparams_/experiment",
        "_hparams_/session_start_info",
        "_hparams_/session_end_info",
        "acc",
    ]
    # The bytes that PyTorch writes, decoded by TensorBoard's own messages when they were recorded.
    content = {name: dict(fields(dict(fields(data))[1])).get(2) for name, data in found.items() if data}
    info = b'"\x06\n\x02lr \x03' + b'"\x18\n\x03opt \x01*\x0f\n\x05\x1a\x03sgd\n\x06\x1a\x04adam'
    info += b'"\x08\n\x04flag \x03' + b"*\x07\n\x05\x12\x03acc"
    assert content["_hparams_/experiment"] == b"\x12" + bytes([len(info)]) + info
    assert content["_hparams_/session_end_info"] == b'"\x02\x08\x01'
    started = dict(fields(content["_hparams_/session_start_info"]))[3]
    given = [(dict(fields(item))[1], dict(fields(item))[2]) for _, item in fields(started)]
    assert given == [
        (b"lr", b"\x11" + struct.pack("<d", 0.1)),
        (b"opt", b"\x1a\x03sgd"),
        (b"flag", b"\x11" + struct.pack("<d", 1.0)),
    ]
