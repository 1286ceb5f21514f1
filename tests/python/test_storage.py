"""Storages, Python's buffer protocol, copies and pickles of tensors."""

import copy
import gc
import hashlib
import io
import os
import pickle
import struct
import warnings

import numpy as np
import pytest

import flambeau as torch

# the buffer protocol


def test_memoryview_shares_memory():
    x = torch.arange(6, dtype=torch.float32).reshape(2, 3)
    m = memoryview(x)
    assert (m.format, m.shape, m.strides, m.itemsize, m.readonly) == ("f", (2, 3), (12, 4), 4, False)
    m[1, 2] = 50
    assert x[1, 2] == 50 and m.tolist() == x.tolist()
    assert memoryview(x.t()).strides == (4, 12) and memoryview(x.t()).tolist() == x.t().tolist()
    assert memoryview(torch.tensor(3)).tolist() == 3 and memoryview(torch.zeros(0, 2)).tolist() == []
    assert struct.unpack("<6f", x) == tuple(x.flatten().tolist())
    assert hashlib.sha256(x).digest() == hashlib.sha256(x.numpy().tobytes()).digest()
    with pytest.raises(BufferError, match="contiguous"):
        hashlib.sha256(x.t())


@pytest.mark.parametrize(
    "name", "uint8 int8 int16 int32 int64 float16 float32 float64 complex64 complex128 bool".split()
)
def test_asarray_shares_memory(name):
    x = torch.tensor([[0, 1], [2, 3]]).to(getattr(torch, name))
    a = np.asarray(x)
    assert a.dtype == name and type(a[0, 0]) is np.dtype(name).type
    a[0, 0] = 1
    assert x[0, 0] == 1 and np.asarray(x.t()).tolist() == x.t().tolist()


def test_what_lends_no_memory():
    with pytest.raises(BufferError, match="require gradient"):
        memoryview(torch.ones(1, requires_grad=True))
    with pytest.raises(RuntimeError, match="detach"):
        np.asarray(torch.ones(1, requires_grad=True))
    for x in (torch.ones(1, device="meta"), torch.ones(1, dtype=torch.bfloat16), torch.ones(1).as_subclass(Sub)):
        with pytest.raises(BufferError):
            memoryview(x)


def test_memory_outlives_the_tensor():
    x = torch.ones(1000)
    m = memoryview(x)
    with pytest.raises(RuntimeError, match="not resizable"):
        x.resize_(10**6)
    x.set_(torch.zeros(3))
    del x
    gc.collect()
    assert m[999] == 1
    x = torch.ones(10)
    with memoryview(x):
        pass
    assert x.resize_(1000).shape == (1000,)


def test_bytes_of_a_tensor():
    assert bytes(torch.tensor([1, 2, 255])) == b"\x01\x02\xff" and bytes(torch.tensor(3)) == bytes(3)
    with pytest.raises(TypeError, match="integer tensors of a single element"):
        bytes(torch.tensor([1.0, 2.0]))


def test_frombuffer():
    data = bytearray(struct.pack("<4f", 1, 2, 3, 4))
    x = torch.frombuffer(data, dtype=torch.float32)
    x[0] = 9
    assert struct.unpack("<4f", data) == (9, 2, 3, 4)
    with pytest.raises(BufferError):
        data.append(1)
    assert torch.frombuffer(data, dtype=torch.float32, offset=4, count=2).tolist() == [2, 3]
    assert torch.frombuffer(data, dtype=torch.float32, count=-5).numel() == 4
    assert torch.frombuffer(data, dtype=torch.int16, offset=1, count=1).numel() == 1
    assert torch.frombuffer(data, dtype=torch.float32, requires_grad=True).requires_grad
    assert torch.frombuffer(np.arange(3), dtype=torch.int64).tolist() == [0, 1, 2]
    b = torch.frombuffer(bytearray(b"\x00\x61\x01"), dtype=torch.bool)
    assert b.tolist() == [False, True, True] and b.sum() == 2 and (~b).tolist() == [True, False, False]
    del x
    gc.collect()


@pytest.mark.parametrize(
    "options, error, text",
    [
        (
            {"offset": 3},
            ValueError,
            r"buffer length \(5 bytes\) after offset \(3 bytes\) must be a multiple of element",
        ),
        ({"count": 3}, ValueError, r"requested buffer length \(3 \* 4 bytes\) after offset \(0 bytes\)"),
        ({"count": 1 << 62}, ValueError, "requested buffer length"),
        ({"count": 0}, ValueError, r"both buffer length \(8\) and count \(0\) must not be 0"),
        ({"offset": 8}, ValueError, r"no greater than buffer length \(8 bytes\) minus 1"),
        ({"offset": -1}, ValueError, "non-negative"),
        ({"buffer": 3}, ValueError, "does not implement Python buffer protocol"),
        ({"buffer": b""}, ValueError, r"both buffer length \(0\)"),
        ({"buffer": memoryview(bytearray(8))[::2]}, RuntimeError, "non-contiguous"),
        ({"dtype": "x"}, TypeError, "must be torch.dtype, not str"),
        ({"dtype": torch.int32, "requires_grad": True}, RuntimeError, "floating point and complex"),
    ],
)
def test_frombuffer_errors(options, error, text):
    with pytest.raises(error, match=text):
        torch.frombuffer(**{"buffer": bytearray(8), "dtype": torch.float32, **options})


def test_constant_bytes_stay_as_they_are():
    data = bytes(8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        x = torch.frombuffer(data, dtype=torch.int32)
    y = x[1:]
    assert memoryview(x).readonly and not x.numpy().flags.writeable
    x += 1
    assert data == bytes(8) and x.tolist() == [1, 1] and y.tolist() == [1]
    assert not memoryview(x).readonly


# storages


def test_untyped_storage():
    x = torch.arange(6, dtype=torch.int16)
    u = x.untyped_storage()
    assert u is x[2:].untyped_storage() and u is x.untyped_storage()
    assert u.data_ptr() == x.data_ptr() == x[2:].data_ptr() - 4
    assert (len(u), u.nbytes(), u.size(), u.element_size()) == (12, 12, 12, 1)
    assert u.tolist()[:4] == [0, 0, 1, 0] and u[2] == 1 and u[-2] == 5 and list(u)[4] == 2
    u[2] = 7
    assert x[1] == 7
    part = u[4:6]
    part[0] = 9
    assert x[2] == 9 and len(part) == 2
    assert u.device == torch.device("cpu") and not u.is_cuda and u.cpu() is u and u == u and hash(u) == hash(u)
    assert u.clone().tolist() == u.tolist() and u.clone() != u
    with pytest.raises(IndexError, match="index 12 out of range for storage of size 12"):
        u[12]
    with pytest.raises(TypeError, match="can't index"):
        u["a"]
    with pytest.raises(RuntimeError, match="can only set storage content with a int types"):
        u[0] = 1.5
    assert torch.UntypedStorage(3).tolist() == [0, 0, 0] and torch.UntypedStorage([1, 2, 300]).tolist() == [1, 2, 44]
    assert torch.UntypedStorage().nbytes() == 0 and torch.UntypedStorage(2, device="meta").device.type == "meta"
    assert repr(torch.UntypedStorage([1, 2])) == " 1\n 2\n[torch.storage.UntypedStorage(device=cpu) of size 2]"
    for wrong in (-1, "a"):
        with pytest.raises(RuntimeError):
            torch.UntypedStorage(wrong)
    with pytest.raises(RuntimeError, match="size does not match"):
        u.copy_(torch.UntypedStorage(2))
    assert torch.UntypedStorage(2).copy_(torch.UntypedStorage([4, 5])).fill_(3).tolist() == [3, 3]
    swapped = torch.tensor([1, 2], dtype=torch.int32).untyped_storage()
    swapped.byteswap(torch.int32)
    assert swapped.tolist() == [0, 0, 0, 1, 0, 0, 0, 2]


def test_resizing_a_storage_is_safe():
    x = torch.arange(4.0)
    u = x.untyped_storage()
    u.resize_(0)
    assert u.nbytes() == 0
    x.sum()  # outside the storage now: any number, but no crash
    u.resize_(16)
    assert x.tolist() == [0, 0, 0, 0]
    u.resize_(4000)
    assert u.nbytes() == 4000 and x.shape == (4,)


def test_typed_storage():
    x = torch.tensor([1.0, 2.0, 3.0])
    with pytest.warns(UserWarning, match="TypedStorage is deprecated"):
        s = x.storage()
    assert (len(s), s.size(), s.nbytes(), s.dtype, s.element_size()) == (3, 3, 12, torch.float32, 4)
    assert s.tolist() == [1, 2, 3] and s[1] == 2 and s[-1] == 3 and list(s) == [1, 2, 3]
    s[0] = 5
    assert x[0] == 5 and s.data_ptr() == x.data_ptr() and s.untyped() is x.untyped_storage()
    assert s.double().dtype == torch.float64 and s.type() == "torch.FloatStorage"
    assert isinstance(s, torch.FloatStorage) and not isinstance(s, torch.LongStorage)
    assert torch.FloatStorage.dtype == torch.float32 and torch.FloatStorage([1, 2]).tolist() == [1, 2]
    assert torch.is_storage(s) and torch.is_storage(s.untyped()) and not torch.is_storage(x)
    assert s.fill_(2).tolist() == [2, 2, 2] and s.clone().tolist() == [2, 2, 2]
    with pytest.raises(RuntimeError, match="slices are only supported"):
        s[0:2]
    assert repr(s).endswith("[torch.storage.TypedStorage(dtype=torch.float32, device=cpu) of size 3]")
    assert x.storage_type() is torch.FloatStorage
    with pytest.warns(UserWarning), pytest.raises(TypeError, match="wrap_storage"):
        torch.TypedStorage(wrap_storage=3, dtype=torch.float32)


def test_set():
    x = torch.arange(6.0)
    u = x.untyped_storage()
    y = torch.Tensor().set_(u)
    assert y.tolist() == x.tolist() and y.is_set_to(x) and not y.is_set_to(x[1:])
    assert torch.tensor([], dtype=torch.int32).set_(u).shape == (6,)
    y.set_(u, 1, (2, 2), (2, 1))
    assert y.tolist() == [[1, 2], [3, 4]]
    assert torch.Tensor().set_(source=u, storage_offset=2, size=(2,)).tolist() == [2, 3]
    assert torch.Tensor().set_(x._typed_storage()).tolist() == x.tolist()
    assert torch.ones(3).set_().numel() == 0
    assert torch.ones(3).set_(torch.zeros(2), 0, (1,)).tolist() == [0]
    with pytest.raises(RuntimeError, match="Expected a Storage of type"):
        torch.tensor([1]).set_(x._typed_storage())
    with pytest.raises(TypeError, match="invalid combination"):
        torch.Tensor().set_(u, 1)
    for offset, size, stride in ((-1, (1,), (1,)), (0, (-1,), (1,)), (0, (2,), (-1,)), (0, (1 << 62,), (1 << 62,))):
        with pytest.raises(RuntimeError):
            torch.Tensor().set_(u, offset, size, stride)
    grown = torch.Tensor().set_(u, 4, (4,), (1,))
    assert grown.tolist() == [4, 5, 0, 0] and u.nbytes() == 32
    with pytest.raises(RuntimeError, match="not resizable"):
        torch.Tensor().set_(torch.from_numpy(np.zeros(2, dtype=np.float32)).untyped_storage(), 0, (3,), (1,))


def test_files(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(bytes(range(8)))
    u = torch.UntypedStorage.from_file(str(path), False, 8)
    u[0] = 9
    assert u.tolist() == [9, 1, 2, 3, 4, 5, 6, 7] and path.read_bytes() == bytes(range(8))
    u = torch.UntypedStorage.from_file(str(path), True, 12)
    u[0] = 9
    assert path.read_bytes() == bytes([9, 1, 2, 3, 4, 5, 6, 7, 0, 0, 0, 0])
    assert torch.from_file(str(path), size=4, dtype=torch.uint8).tolist() == [9, 1, 2, 3]
    torch.from_file(str(path), shared=True, size=4, dtype=torch.int32)[3] = -1
    assert path.read_bytes()[12:] == b"\xff" * 4
    with pytest.raises(RuntimeError, match="smaller than the required mapping size"):
        torch.UntypedStorage.from_file(str(path), False, 100)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_shared_memory():
    x = torch.zeros(3)
    view = x[1:]
    assert not x.is_shared() and x.share_memory_() is x and x.is_shared() and view.is_shared()
    child = os.fork()
    if child == 0:
        view[0] = 5
        os._exit(0)
    os.waitpid(child, 0)
    assert x.tolist() == [0, 5, 0]
    with pytest.raises(RuntimeError, match="not resizable"):
        x.resize_(100)


# copies and pickles


class Sub(torch.Tensor):
    pass


def everything():
    base = torch.arange(6.0)
    leaf = torch.ones(2, requires_grad=True)
    leaf.grad = torch.full((2,), 3.0)
    noted = torch.ones(1)
    noted.note = [1]
    sub = torch.ones(2).as_subclass(Sub)
    sub.note = "s"
    return {
        "base": base,
        "view": base[2:4],
        "t": base.view(2, 3).t(),
        "p": torch.nn.Parameter(torch.ones(2)),
        "leaf": leaf,
        "noted": noted,
        "sub": sub,
        "meta": torch.ones(2, device="meta"),
    }


@pytest.mark.parametrize(
    "through", [copy.deepcopy, *(lambda o, p=p: pickle.loads(pickle.dumps(o, p)) for p in range(6))]
)
def test_copies_keep_what_tensors_are(through):
    given = everything()
    found = through(given)
    base, view = found["base"], found["view"]
    assert base.data_ptr() != given["base"].data_ptr() and view.storage_offset() == 2
    base.mul_(10)
    assert view.tolist() == [20, 30] and found["t"].stride() == (1, 3) and found["t"][2, 1] == 50
    assert type(found["p"]) is torch.nn.Parameter and found["leaf"].requires_grad and found["noted"].note == [1]
    assert type(found["sub"]) is Sub and found["sub"].note == "s" and found["meta"].is_meta
    assert found["noted"].note is not given["noted"].note
    if through is copy.deepcopy:
        assert found["leaf"].grad.tolist() == [3, 3] and found["leaf"].grad is not given["leaf"].grad


def test_shallow_copy_shares():
    x = torch.arange(3.0)
    assert copy.copy(x) is not x and copy.copy(x).data_ptr() == x.data_ptr()
    p = torch.nn.Parameter(x)
    assert type(copy.copy(p)) is torch.nn.Parameter and copy.copy(p).data_ptr() == x.data_ptr()


def test_deepcopy_of_modules_and_cycles():
    net = torch.nn.Linear(2, 2)
    net.tied = net.weight
    other = copy.deepcopy(net)
    assert other.tied is other.weight and other.weight is not net.weight
    x = torch.ones(1)
    x.me = x
    assert copy.deepcopy(x).me is not x
    with pytest.raises(RuntimeError, match="graph leaves"):
        copy.deepcopy(torch.ones(1, requires_grad=True) * 2)


def test_small_objects():
    for obj in (torch.float32, torch.Size([1, 2]), torch.device("cuda:1"), torch.strided, torch.channels_last):
        for protocol in range(6):
            assert pickle.loads(pickle.dumps(obj, protocol)) == obj
        assert copy.copy(obj) == obj and copy.deepcopy(obj) == obj
    for function in (torch.add, torch.nn.functional.relu, torch.nn.functional.linear, torch.linalg.inv):
        assert pickle.loads(pickle.dumps(function)) is function and copy.deepcopy(function) is function
    assert pickle.loads(pickle.dumps(torch.Tensor.add))(torch.ones(1), 1).item() == 2
    g = torch.Generator().manual_seed(3)
    torch.rand(5, generator=g)
    h, k = pickle.loads(pickle.dumps(g)), copy.deepcopy(g)
    assert (
        torch.rand(3, generator=h).tolist()
        == torch.rand(3, generator=k).tolist()
        == torch.rand(3, generator=g).tolist()
    )
    s = torch.arange(3).untyped_storage()
    assert pickle.loads(pickle.dumps(s)).tolist() == s.tolist() == copy.deepcopy(s).tolist()
    pickle.Unpickler(io.BytesIO(pickle.dumps(s)))
