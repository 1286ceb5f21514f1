"""torch.save and torch.load: PyTorch's files, our own, and files that must be refused."""

import collections
import io
import os
import pickle
import struct
import sys
import warnings
import zipfile
from pathlib import Path

import pytest

import flambeau as torch
from flambeau import serialization

FILES = Path(__file__).parents[1] / "fixtures" / "checkpoints"


def saved(obj, **options):
    file = io.BytesIO()
    torch.save(obj, file, **options)
    file.seek(0)
    return file


def same(a, b):
    assert type(a) is type(b) and a.dtype == b.dtype and a.shape == b.shape and a.stride() == b.stride()
    assert a.tolist() == b.tolist() and a.requires_grad == b.requires_grad


# files of PyTorch


def test_dtypes_of_pytorch():
    found = torch.load(FILES / "dtypes.pt")
    assert len(found) == 15
    for name, tensor in found.items():
        same(tensor, torch.tensor([[0, 1, 2], [3, 4, 5]]).to(getattr(torch, name)))


@pytest.mark.parametrize("name", ["sharing", "legacy"])
def test_sharing_of_pytorch(name):
    found = torch.load(FILES / f"{name}.pt")
    if name == "legacy":
        assert isinstance(found["parameter"], torch.nn.Parameter) and found["parameter"].tolist() == [1.0, 2.0]
        found = found["sharing"]
    base = found["base"]
    base.mul_(2)
    assert found["row"].tolist() == [8, 10, 12, 14] and found["every_third"].tolist() == [2, 8, 14, 20]
    assert found["columns"].stride() == (1, 4) and found["columns"].storage_offset() == 0
    assert {t.untyped_storage().data_ptr() for t in found.values()} == {base.untyped_storage().data_ptr()}


def test_kinds_of_pytorch():
    found = torch.load(FILES / "kinds.pt")
    assert isinstance(found["parameter"], torch.nn.Parameter) and not found["parameter"].requires_grad
    assert isinstance(found["tagged"], torch.nn.Parameter) and found["tagged"].tag == "weight"
    assert type(found["noted"]) is torch.Tensor and found["noted"].note == {"a": 1}
    assert found["requires_grad"].requires_grad and found["requires_grad"].is_leaf
    assert found["conj"].tolist() == [1 - 2j]
    assert found["meta"].is_meta and found["meta"].shape == (2, 3)
    assert found["empty"].shape == (0, 3) and found["scalar"].item() == 7.5
    assert found["size"] == torch.Size([1, 2]) and isinstance(found["size"], torch.Size)
    assert found["dtype"] is torch.float16 and found["device"] == torch.device("cuda:1")
    assert found["layout"] is torch.strided
    assert found["plain"] == [None, True, 3, -70000, 1 << 80, 0.5, 1 + 2j, "text é", b"bytes", b"array", (1,), {2}]
    assert type(found["plain"][9]) is bytearray
    assert found["counter"] == collections.Counter("aab") and found["ordered"] == collections.OrderedDict(x=1)


def test_training_goes_on_from_pytorch():
    found = torch.load(FILES / "training.pt")
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 1))
    model.load_state_dict(found["model"])
    assert found["model"]._metadata[""] == {"version": 1}
    optimizer = torch.optim.Adam(model.parameters())
    optimizer.load_state_dict(found["optimizer"])
    assert optimizer.param_groups[0]["lr"] == 0.01
    model.eval()
    torch.testing.assert_close(model(found["x"]).detach(), found["out"])


def test_whole_module_of_pytorch():
    with pytest.raises(pickle.UnpicklingError, match="torch.nn.modules.linear.Linear"):
        torch.load(FILES / "module.pt")
    assert serialization.get_unsafe_globals_in_checkpoint(FILES / "module.pt") == ["torch.nn.modules.linear.Linear"]
    module = torch.load(FILES / "module.pt", weights_only=False)
    assert type(module) is torch.nn.Linear
    torch.manual_seed(0)
    assert module.weight.tolist() == torch.nn.Linear(2, 1).weight.tolist()
    with torch.serialization.safe_globals([torch.nn.Linear]):
        assert type(torch.load(FILES / "module.pt")) is torch.nn.Linear


# round trips


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_round_trip(zipped, protocol):
    base = torch.arange(6.0).reshape(2, 3)
    tagged = torch.nn.Parameter(base[1])
    tagged.tag = 1
    given = {
        "base": base,
        "t": base.t(),
        "p": tagged,
        "half": torch.ones(2, dtype=torch.bfloat16),
        "u": torch.ones(2, dtype=torch.uint16),
        "z": torch.zeros(0),
        "scalar": torch.tensor(3),
        "expanded": torch.ones(1).expand(4),
        "meta": torch.ones(2, device="meta"),
        "other": [1, 2.5, "x" * 300, b"y" * 300, None, (1, 2, 3, 4), {3}, torch.float32, torch.strided],
    }
    found = torch.load(saved(given, _use_new_zipfile_serialization=zipped, pickle_protocol=protocol))
    assert list(found) == list(given) and found["other"] == given["other"]
    for name in ("base", "t", "p", "half", "u", "z", "scalar", "expanded"):
        same(found[name], given[name])
    assert found["p"].tag == 1 and found["meta"].is_meta
    found["base"][1, 0] = 50
    assert found["p"][0] == 50 and found["t"][0, 1] == 50


def test_file_is_laid_out_as_pytorchs(tmp_path):
    path = tmp_path / "model.pt"
    torch.save({"a": torch.arange(3), "b": torch.ones(70)}, path)
    with zipfile.ZipFile(path) as archive:
        names = [info.filename for info in archive.infolist()]
        assert set(names) >= {"model/data.pkl", "model/byteorder", "model/data/0", "model/data/1", "model/version"}
        assert archive.read("model/version") == b"3\n" and archive.read("model/byteorder") == sys.byteorder.encode()
        data = path.read_bytes()
        for info in archive.infolist():
            assert info.compress_type == zipfile.ZIP_STORED
            start = info.header_offset + 30 + sum(struct.unpack("<HH", data[info.header_offset + 26 :][:4]))
            assert start % 64 == 0
    assert b"flambeau" not in data


def test_path_and_position(tmp_path):
    path = tmp_path / "x.bin"
    torch.save(torch.ones(2), str(path))
    assert torch.load(str(path)).tolist() == [1, 1]
    with open(path, "rb") as file:
        assert torch.load(file).tolist() == [1, 1] and not file.closed
    two = io.BytesIO()
    torch.save(torch.ones(1), two, _use_new_zipfile_serialization=False)
    torch.save(torch.zeros(1), two, _use_new_zipfile_serialization=False)
    two.seek(0)
    assert [torch.load(two).item(), torch.load(two).item()] == [1, 0]
    with pytest.raises(RuntimeError, match="Parent directory .* does not exist"):
        torch.save(1, tmp_path / "no" / "x")
    with pytest.raises(AttributeError, match="write"):
        torch.save(1, 3)
    with pytest.raises(AttributeError, match="seek"):
        torch.load(3)
    with pytest.raises(FileNotFoundError):
        torch.load(tmp_path / "nothing")


def test_map_location():
    x = torch.ones(2)
    assert torch.load(saved(x), map_location="meta").is_meta
    assert torch.load(saved(x), map_location=torch.device("cpu")).tolist() == [1, 1]
    assert torch.load(saved(x), map_location={"cpu": "meta"}).is_meta
    seen = []
    assert torch.load(saved(x), map_location=lambda s, tag: seen.append((s.nbytes(), tag))).tolist() == [1, 1]
    assert seen == [(8, "cpu")]
    with pytest.raises(RuntimeError, match="torch.cuda.is_available"):
        torch.load(saved(x), map_location="cuda:0")
    with pytest.raises(RuntimeError, match="don't know how to restore"):
        torch.load(saved(x), map_location="nowhere")


def test_mmap(tmp_path):
    path = tmp_path / "x.pt"
    x = torch.arange(100.0)
    torch.save({"x": x, "row": x[50:60], "e": torch.empty(0)}, path)
    found = torch.load(path, mmap=True)
    assert found["x"].tolist() == x.tolist() and found["e"].numel() == 0
    found["x"][50] = -1
    assert found["row"][0] == -1 and torch.load(path)["x"][50] == 50
    import mmap

    with serialization.set_default_mmap_options(mmap.MAP_SHARED):
        torch.load(path, mmap=True)["x"][0] = 8
    assert torch.load(path)["x"][0] == 8
    with pytest.raises(ValueError, match="file path"):
        torch.load(saved(x), mmap=True)


def test_skip_data():
    with serialization.skip_data():
        file = saved(torch.ones(20))
    with zipfile.ZipFile(file) as archive:
        assert archive.getinfo("archive/data/0").file_size == 80
    file.seek(0)
    assert torch.load(file).tolist() == [0] * 20


def test_other_byte_order():
    file, swapped = saved({"x": torch.tensor([1, 2, 3]), "c": torch.tensor([1 + 2j])}), io.BytesIO()
    with zipfile.ZipFile(file) as a, zipfile.ZipFile(swapped, "w") as b:
        for name in a.namelist():
            data = a.read(name)
            if name.endswith("byteorder"):
                data = b"big" if sys.byteorder == "little" else b"little"
            elif name.endswith("data/0"):
                data = struct.pack(">3q" if sys.byteorder == "little" else "<3q", 1, 2, 3)
            elif name.endswith("data/1"):
                data = struct.pack(">2f" if sys.byteorder == "little" else "<2f", 1, 2)
            b.writestr(name, data)
    swapped.seek(0)
    found = torch.load(swapped)
    assert found["x"].tolist() == [1, 2, 3] and found["c"].tolist() == [1 + 2j]


def test_same_memory_as_different_types_is_refused():
    x = torch.ones(4)
    with pytest.raises(RuntimeError, match="view the same data as different types"):
        saved([x, x.view(torch.int32)])


# files that must be refused


class Evil:
    def __reduce__(self):
        return os.system, ("echo harm",)


class Plain:
    pass


def test_code_is_refused(tmp_path):
    with pytest.raises(pickle.UnpicklingError, match=f"{os.system.__module__}.system"):
        torch.load(saved(Evil()))
    with pytest.raises(pickle.UnpicklingError, match="Plain"):
        torch.load(saved(Plain()))
    assert isinstance(torch.load(saved(Plain()), weights_only=False), Plain)
    made = Plain()
    made.x = torch.ones(1)
    with serialization.safe_globals([Plain]):
        assert torch.load(saved(made)).x.item() == 1
    serialization.add_safe_globals([(Plain, f"{Plain.__module__}.Plain")])
    assert serialization.get_safe_globals() == [(Plain, f"{Plain.__module__}.Plain")]
    assert isinstance(torch.load(saved(Plain())), Plain)
    serialization.clear_safe_globals()
    with pytest.raises(pickle.UnpicklingError):
        torch.load(saved(Plain()))
    names = serialization.get_unsafe_globals_in_checkpoint(saved([Plain(), Evil(), torch.ones(1)]))
    assert set(names) == {f"{os.system.__module__}.system", f"{Plain.__module__}.Plain"}


def pickled(*parts):
    return b"\x80\x02" + b"".join(p.encode() if isinstance(p, str) else p for p in parts) + b"."


def archive(data, **records):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as a:
        a.writestr("archive/data.pkl", data)
        for name, content in records.items():
            a.writestr("archive/data/" + name.strip("_"), content)
    file.seek(0)
    return file


TENSOR = "ctorch._utils\n_rebuild_tensor_v2\n"
STORAGE = "(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0000X\x03\0\0\0cpu{}tQ"


def tensor_file(count=b"K\x04", window=b"K\0K\x02\x85K\x01\x85", content=bytes(16)):
    parts = STORAGE.split("{}")
    return archive(pickled(TENSOR, "(", parts[0], count, parts[1], window, b"\x89}t", "R"), _0=content)


def test_hand_made_file():
    assert torch.load(tensor_file()).tolist() == [0, 0]


def test_stored_conjugated_over_few_elements():
    """As PyTorch writes `torch.tensor([1 + 2j]).conj().expand(1000, 1000)`: the elements are put right where they are stored."""
    flagged = STORAGE.replace("Float", "ComplexFloat").split("{}")
    rest = b"K\0M\xe8\x03M\xe8\x03\x86K\0K\0\x86\x89}}X\x04\0\0\0conj\x88st"
    content = torch.tensor([1 + 2j], dtype=torch.complex64).numpy().tobytes()
    found = torch.load(archive(pickled(TENSOR, "(", flagged[0], b"K\x01", flagged[1], rest, "R"), _0=content))
    assert found.shape == (1000, 1000) and found.stride() == (0, 0) and found[5, 7].item() == 1 - 2j
    assert found.untyped_storage().nbytes() == 8


@pytest.mark.parametrize(
    "file",
    [
        tensor_file(window=b"K\x03K\x02\x85K\x01\x85"),  # beyond the end
        tensor_file(window=b"J\xff\xff\xff\xffK\x02\x85K\x01\x85"),  # negative offset
        tensor_file(window=b"K\0J\xff\xff\xff\xff\x85K\x01\x85"),  # negative size
        tensor_file(window=b"K\x03K\x02\x85J\xff\xff\xff\xff\x85"),  # negative stride
        tensor_file(window=b"K\0K\x02\x85K\x01K\x01\x86"),  # stride of another length
        tensor_file(window=b"K\0\x8a\x07\0\0\0\0\0\0\x40\x8a\x07\0\0\0\0\0\0\x40\x86K\x01K\x01\x86"),  # overflow
        tensor_file(window=b"K\0K\x02K\x01"),  # not tuples
        tensor_file(window=b"NK\x02\x85K\x01\x85"),
        tensor_file(count=b"\x8a\x07\0\0\0\0\0\0\x40"),  # more than there is
        tensor_file(count=b"J\xff\xff\xff\xff"),
        tensor_file(count=b"\x88"),
        tensor_file(count=b"K\x05"),
        archive(pickled(TENSOR, ")R")),
        archive(pickled("ctorch\nTensor\n}X\x03\0\0\0addNsb")),  # attributes of a class
        archive(pickled("ctorch\nTensor\nK\x05\x85R")),  # a class that may be named but not called
        archive(pickled("ctorch._utils\n_rebuild_tensor_v2\n}X\x01\0\0\0aNsb")),
        archive(pickled("c__builtin__\neval\nX\x01\0\0\0001\x85R")),
        archive(pickled("cbuiltins\nbytearray\n\x8a\x06\0\0\0\0\0\x10\x85R")),  # terabytes
        archive(pickled("ccollections\nOrderedDict\nctorch\nTensor\n\x85R")),
        archive(pickled("ctorch._utils\n_rebuild_tensor_v2.__globals__\n")),
        archive(pickled("]K\x01K\x02s")),
        archive(pickled("K\x01a")),
        archive(pickled("h\x05")),
        archive(pickled("t")),
        archive(pickled("0")),
        archive(pickled("\x82\x01")),  # an extension
        archive(pickled(b"T\xff\xff\xff\xff")),  # a negative length
        archive(pickled(b"B\xff\xff\xff\x7f")),  # more bytes than there are
        archive(b"\x80\x02K\x01"),  # no end
        archive(b""),
        archive(b"\x80\x63."),
        archive(pickled("X\x01\0\0\0aQ")),
        archive(pickled("(X\x07\0\0\0storageNNNNtQ")),
        archive(pickled("ctorch._tensor\n_rebuild_from_type_v2\n(ctorch\nTensor\nctorch\nTensor\n)NtR")),
        io.BytesIO(b""),
        io.BytesIO(b"abc"),
        io.BytesIO(b"PK\x03\x04abc"),
        io.BytesIO(saved(torch.ones(3)).getvalue()[:-40]),
        io.BytesIO(saved(torch.ones(3), _use_new_zipfile_serialization=False).getvalue()[:-4]),
    ],
)
def test_malformed_files_raise(file):
    with pytest.raises((pickle.UnpicklingError, RuntimeError, EOFError)):
        torch.load(file)
    assert (torch.ones(1) + 1).add(1).item() == 3


def test_damaged_bytes_raise_or_load():
    good = saved({"a": torch.arange(5), "b": [1, "x", torch.ones(2, 2)]}, _use_new_zipfile_serialization=False)
    good = good.getvalue()
    generator = torch.Generator().manual_seed(0)
    for _ in range(1500):
        data = bytearray(good)
        at = int(torch.randint(len(data), (), generator=generator))
        data[at] = int(torch.randint(256, (), generator=generator))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                torch.load(io.BytesIO(bytes(data)))
            except (pickle.UnpicklingError, RuntimeError, EOFError, UnicodeDecodeError):
                pass


def test_pickle_module_and_safety():
    with pytest.raises(RuntimeError, match="pickle_module"):
        torch.load(saved(1), pickle_module=pickle, weights_only=True)
    assert torch.load(saved([torch.ones(1)], pickle_module=pickle), pickle_module=pickle)[0].item() == 1


def test_storages_in_files():
    x = torch.arange(3.0)
    typed = torch.load(saved(x.untyped_storage()))
    assert typed.dtype == torch.uint8 and typed.nbytes() == 12


def test_options():
    assert serialization.get_crc32_options() is True
    serialization.set_crc32_options(False)
    assert torch.load(saved(torch.ones(2))).tolist() == [1, 1]
    serialization.set_crc32_options(True)
    serialization.set_default_load_endianness(serialization.LoadEndianness.LITTLE)
    assert torch.load(saved(torch.ones(2), _disable_byteorder_record=True)).tolist() == [1, 1]
    serialization.set_default_load_endianness(None)
    with pytest.raises(TypeError):
        serialization.set_default_load_endianness("big")
    with pytest.raises(ValueError):
        serialization.set_default_mmap_options(77)
    assert serialization.location_tag(torch.ones(1).untyped_storage()) == "cpu"


def test_subclass():
    found = torch.load(saved(torch.ones(2).as_subclass(Sub)), weights_only=False)
    assert type(found) is Sub
    with serialization.safe_globals([Sub]):
        assert type(torch.load(saved(torch.ones(2).as_subclass(Sub)))) is Sub


class Sub(torch.Tensor):
    pass
