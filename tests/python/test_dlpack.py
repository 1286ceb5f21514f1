"""DLPack both ways, with NumPy and with capsules made by hand."""

import ctypes
import gc
import warnings
from ctypes import POINTER, c_char, c_int, c_int64, c_uint8, c_uint16, c_uint32, c_uint64, c_void_p

import numpy as np
import pytest

import flambeau as torch
from flambeau.utils import dlpack

NUMPY_DTYPES = (
    "uint8 int8 int16 int32 int64 uint16 uint32 uint64 float16 float32 float64 complex64 complex128 bool".split()
)


# with NumPy


@pytest.mark.parametrize("name", NUMPY_DTYPES)
def test_numpy_both_ways(name):
    x = torch.tensor([[0, 1], [2, 3]]).to(getattr(torch, name))
    a = np.from_dlpack(x)
    assert a.dtype == name and a.tolist() == x.tolist()
    back = torch.from_dlpack(a)
    assert back.dtype == x.dtype and back.data_ptr() == x.data_ptr()
    x[1, 1] = 0
    assert not a[1, 1] and not back[1, 1]
    back[0, 0] = 1
    assert a[0, 0] == 1 and x[0, 0] == 1


def test_geometry():
    x = torch.arange(24.0).reshape(2, 3, 4)
    for view in (x.permute(2, 0, 1), x[:, 1:, ::2], x[0, 0, 0], x[:0], x[0, 0].expand(5, 4), x[1, 2]):
        a = np.from_dlpack(view)
        assert a.shape == tuple(view.shape) and a.tolist() == view.tolist()
        again = torch.from_dlpack(view)
        assert again.shape == view.shape and again.tolist() == view.tolist()
        if view.numel():
            assert again.data_ptr() == view.data_ptr()
    a = np.arange(12.0).reshape(3, 4)
    t = torch.from_dlpack(a[::2, 1::2].T)
    assert t.stride() == (2, 8) and t.tolist() == a[::2, 1::2].T.tolist()
    with pytest.raises(RuntimeError, match=r"sizes=\[3\] and strides=\[-1\]"):
        torch.from_dlpack(np.arange(3)[::-1])
    with pytest.raises(BufferError):
        torch.from_dlpack(np.array(["text"]))


def test_read_only_memory_is_not_written():
    a = np.arange(3)
    a.flags.writeable = False
    t = torch.from_dlpack(a)
    assert t.data_ptr() == a.ctypes.data and not np.from_dlpack(t).flags.writeable
    view = t[1:]
    t[1] = 9
    assert a.tolist() == [0, 1, 2] and t.tolist() == [0, 9, 2] and view.tolist() == [9, 2]
    assert np.from_dlpack(t).flags.writeable
    data = bytes(range(4))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        t = torch.from_numpy(np.frombuffer(data, dtype=np.uint8))
    torch.add(t, 1, out=t)
    assert t.tolist() == [1, 2, 3, 4] and data == bytes(range(4))


def test_lifetimes():
    freed = []

    class Array(np.ndarray):
        def __del__(self):
            freed.append(1)

    t = torch.from_dlpack(np.arange(3.0).view(Array))
    u = t[1:]
    del t
    gc.collect()
    assert not freed and u.tolist() == [1, 2]
    del u
    gc.collect()
    assert freed == [1]
    a = np.from_dlpack(torch.full((1000,), 7.0))
    gc.collect()
    assert (a == 7).all()


def test_export_rules():
    x = torch.ones(2, requires_grad=True)
    with pytest.raises(BufferError, match="require gradient"):
        x.__dlpack__()
    with pytest.raises(BufferError, match="require gradient"):
        np.from_dlpack(x)
    x = x.detach()
    with pytest.raises(AssertionError, match="stream should be None on cpu"):
        x.__dlpack__(stream=1)
    with pytest.raises(TypeError, match="stream must be"):
        x.__dlpack__(stream="a")
    assert "dltensor_versioned" in repr(x.__dlpack__(stream=-1, max_version=(1, 0)))
    assert '"dltensor"' in repr(x.__dlpack__(max_version=(0, 8))) and '"dltensor"' in repr(x.__dlpack__())
    with pytest.raises(BufferError, match="versioned"):
        x.__dlpack__(read_only=True)
    with pytest.raises(ValueError, match="without copying"):
        x.__dlpack__(dl_device=(2, 0), copy=False)
    with pytest.raises(BufferError, match="Unsupported device_type: 99"):
        x.__dlpack__(dl_device=(99, 0))
    with pytest.raises(TypeError):
        x.__dlpack__(dl_device="cpu")
    with pytest.raises(BufferError, match="meta"):
        torch.empty(2, device="meta").__dlpack__()
    with pytest.raises(ValueError, match="meta"):
        torch.empty(2, device="meta").__dlpack_device__()
    assert x.__dlpack_device__() == (1, 0) and x.__dlpack_device__()[0] is dlpack.DLDeviceType.kDLCPU
    copied = torch.from_dlpack(x, copy=True)
    assert copied.data_ptr() != x.data_ptr() and torch.from_dlpack(x, copy=False).data_ptr() == x.data_ptr()
    assert torch.from_dlpack(x, device="cpu").data_ptr() == x.data_ptr()
    assert torch.from_dlpack(torch.tensor([1j]).conj()).tolist() == [-1j]
    b = torch.from_dlpack(torch.tensor([1.5], dtype=torch.bfloat16))
    assert b.dtype == torch.bfloat16 and b.item() == 1.5


def test_resizing_waits_for_the_loan():
    x = torch.ones(3)
    a = np.from_dlpack(x)
    with pytest.raises(RuntimeError, match="not resizable"):
        x.resize_(1000)
    del a
    gc.collect()
    x.resize_(1000)


def test_read_only_wrapper():
    x = torch.ones(2)
    wrapped = dlpack.ReadOnlyTensorWrapper(x)
    a = np.from_dlpack(wrapped)
    assert not a.flags.writeable and a.tolist() == [1, 1]
    with pytest.raises(RuntimeError, match="only supports DLPack export"):
        wrapped + 1


def test_a_capsule_is_used_once():
    x = torch.ones(2)
    for capsule in (dlpack.to_dlpack(x), x.__dlpack__(max_version=(1, 0))):
        t = dlpack.from_dlpack(capsule)
        assert t.data_ptr() == x.data_ptr() and "used_dltensor" in repr(capsule)
        with pytest.raises(RuntimeError, match="consumed only once"):
            torch.from_dlpack(capsule)
    for junk in (3, None, "x", object()):
        with pytest.raises(RuntimeError, match="invalid capsule"):
            torch.from_dlpack(junk)
    with pytest.raises(TypeError, match="must be Tensor"):
        dlpack.to_dlpack(3)


def test_foreign_protocols():
    x = torch.arange(3.0)
    seen = []

    class New:
        def __dlpack__(self, **options):
            seen.append(options)
            return x.__dlpack__(**options)

        def __dlpack_device__(self):
            return x.__dlpack_device__()

    class Old(New):
        def __dlpack__(self, stream=None):
            return x.__dlpack__()

    assert torch.from_dlpack(New()).data_ptr() == x.data_ptr()
    torch.from_dlpack(New(), copy=True)
    torch.from_dlpack(New(), device="cpu")
    assert seen == [
        {"max_version": (1, 0)},
        {"max_version": (1, 0), "copy": True},
        {"max_version": (1, 0), "dl_device": (1, 0)},
    ]
    assert (
        torch.asarray(New()).data_ptr() == x.data_ptr() and torch.asarray(New(), copy=True).data_ptr() != x.data_ptr()
    )
    assert torch.asarray(New(), dtype=torch.int32).tolist() == [0, 1, 2]
    assert torch.from_dlpack(Old()).data_ptr() == x.data_ptr()
    assert torch.from_dlpack(Old(), copy=True).data_ptr() != x.data_ptr()


# capsules made by hand


class DLDevice(ctypes.Structure):
    _fields_ = [("type", c_int), ("id", c_int)]


class DLDataType(ctypes.Structure):
    _fields_ = [("code", c_uint8), ("bits", c_uint8), ("lanes", c_uint16)]


class DLTensor(ctypes.Structure):
    _fields_ = [
        ("data", c_void_p), ("device", DLDevice), ("ndim", c_int), ("dtype", DLDataType), ("shape", POINTER(c_int64)),
        ("strides", POINTER(c_int64)), ("byte_offset", c_uint64),
    ]  # fmt: skip


class Managed(ctypes.Structure):
    _fields_ = [("t", DLTensor), ("context", c_void_p), ("deleter", c_void_p)]


class Versioned(ctypes.Structure):
    _fields_ = [
        ("major", c_uint32), ("minor", c_uint32), ("context", c_void_p), ("deleter", c_void_p), ("flags", c_uint64),
        ("t", DLTensor),
    ]  # fmt: skip


DELETER = ctypes.CFUNCTYPE(None, c_void_p)
KEPT = []


def capsule(
    code=2, bits=32, lanes=1, shape=(2,), strides=None, ndim=None, device=(1, 0), offset=0, data=True, has_shape=True,
    version=None, flags=0, deleted=None,
):  # fmt: skip
    memory = (c_char * 64)()
    sizes = (c_int64 * max(1, len(shape)))(*shape)
    steps = None if strides is None else (c_int64 * len(strides))(*strides)
    m = Managed() if version is None else Versioned()
    if version is not None:
        m.major, m.minor, m.flags = *version, flags
    m.t.data = ctypes.addressof(memory) if data else None
    m.t.device, m.t.ndim = DLDevice(*device), len(shape) if ndim is None else ndim
    m.t.dtype = DLDataType(code, bits, lanes)
    m.t.shape = ctypes.cast(sizes, POINTER(c_int64)) if has_shape else None
    m.t.strides = None if steps is None else ctypes.cast(steps, POINTER(c_int64))
    m.t.byte_offset = offset
    if deleted is not None:
        deleter = DELETER(lambda pointer: deleted.append(pointer))
        m.deleter = ctypes.cast(deleter, c_void_p)
        KEPT.append(deleter)
    KEPT.append((memory, sizes, steps, m))
    new = ctypes.pythonapi.PyCapsule_New
    new.restype, new.argtypes = ctypes.py_object, [c_void_p, ctypes.c_char_p, c_void_p]
    return new(ctypes.addressof(m), b"dltensor" if version is None else b"dltensor_versioned", None)


@pytest.mark.parametrize("version", [None, (1, 0), (1, 7), (0, 8)])
def test_deleter_runs_once(version):
    deleted = []
    t = torch.from_dlpack(capsule(version=version, deleted=deleted))
    u = t.view(2, 1)
    del t
    assert u.tolist() == [[0], [0]] and not deleted
    del u
    assert len(deleted) == 1


def test_capsules_that_are_right():
    assert torch.from_dlpack(capsule(shape=())).shape == ()
    assert torch.from_dlpack(capsule(shape=(0,), data=False)).shape == (0,)
    assert torch.from_dlpack(capsule(strides=(2,))).stride() == (2,)
    assert torch.from_dlpack(capsule(shape=(2, 3))).stride() == (3, 1)
    t = torch.from_dlpack(capsule(offset=4))
    assert t.data_ptr() == KEPT[-1][3].t.data + 4
    t = torch.from_dlpack(capsule(version=(1, 0), flags=1))
    t.fill_(3)
    assert t.tolist() == [3, 3] and bytes(KEPT[-1][0]) == bytes(64)
    for code, bits, dtype in (
        (0, 16, torch.int16), (1, 16, torch.uint16), (2, 16, torch.float16), (4, 16, torch.bfloat16),
        (5, 64, torch.complex64), (6, 8, torch.bool),
    ):  # fmt: skip
        assert torch.from_dlpack(capsule(code, bits)).dtype == dtype


@pytest.mark.parametrize(
    "wrong, error, text",
    [
        ({"lanes": 2}, BufferError, "lanes"),
        ({"bits": 128}, BufferError, "Unsupported kFloat bits 128"),
        ({"code": 0, "bits": 4}, BufferError, "Unsupported kInt bits 4"),
        ({"code": 9}, BufferError, "Unsupported code 9"),
        ({"code": 3, "bits": 64}, BufferError, "Unsupported code 3"),
        ({"code": 6, "bits": 1}, BufferError, "Unsupported kDLBool bits 1"),
        ({"shape": (-2,)}, RuntimeError, "negative dimension -2"),
        ({"shape": (1 << 40, 1 << 40)}, RuntimeError, "overflow"),
        ({"shape": (1 << 61,)}, RuntimeError, "overflow"),
        ({"shape": (2,), "strides": (1 << 62,)}, RuntimeError, "overflow"),
        ({"strides": (-1,)}, RuntimeError, "overflow"),
        ({"device": (2, 0)}, AssertionError, "CUDA"),
        ({"device": (3, 0)}, BufferError, "Unsupported device_type: 3"),
        ({"device": (99, 0)}, BufferError, "Unsupported device_type: 99"),
        ({"ndim": -1}, BufferError, "dimensions"),
        ({"ndim": 1 << 30}, BufferError, "dimensions"),
        ({"has_shape": False}, BufferError, "no shape"),
        ({"data": False}, BufferError, "no memory"),
        ({"offset": (1 << 64) - 8}, BufferError, "no memory"),
        ({"version": (2, 0)}, RuntimeError, "major version: 2"),
    ],
)
def test_malformed_capsules_raise(wrong, error, text):
    deleted = []
    c = capsule(deleted=deleted, **wrong)
    with pytest.raises(error, match=text):
        torch.from_dlpack(c)
    # The capsule stays its owner's.
    assert not deleted and "used" not in repr(c)
