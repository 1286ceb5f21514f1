"""Tensors: making, printing, promotion, views, indexing, NumPy."""

import copy
import pickle

import numpy as np
import pytest

import flambeau as torch


def test_printing():
    assert repr(torch.tensor([1.0, 2.5])) == "tensor([1.0000, 2.5000])"
    assert repr(torch.arange(3)) == "tensor([0, 1, 2])"
    assert repr(torch.zeros(0, 3)) == "tensor([], size=(0, 3))"
    assert repr(torch.ones(2, dtype=torch.float64)) == "tensor([1., 1.], dtype=torch.float64)"
    x = torch.ones(1, requires_grad=True)
    assert repr(x * 2) == "tensor([2.], grad_fn=<MulBackward0>)"
    assert f"{torch.tensor(1.5):.2f}" == "1.50"


@pytest.mark.parametrize(
    "a, b, result",
    [
        (torch.int64, torch.float32, torch.float32),
        (torch.uint8, torch.int8, torch.int16),
        (torch.bool, torch.int32, torch.int32),
        (torch.float16, torch.bfloat16, torch.float32),
        (torch.float64, torch.complex64, torch.complex128),
    ],
)
def test_promotion(a, b, result):
    assert torch.promote_types(a, b) is result
    assert (torch.ones(2, dtype=a) + torch.ones(2, dtype=b)).dtype is result


def test_numbers_promote_by_kind_only():
    assert (torch.ones(2, dtype=torch.float16) * 2.5).dtype is torch.float16
    assert (torch.arange(2) * 2.5).dtype is torch.float32
    assert (torch.tensor(2.0, dtype=torch.float64) + torch.ones(2)).dtype is torch.float32


def test_views_share_memory_and_versions():
    x = torch.arange(6).view(2, 3)
    y = x.t()
    y[0, 1] = 100
    assert x[1, 0].item() == 100
    assert x._version == y._version == 1
    assert y.stride() == (1, 3) and not y.is_contiguous()


def test_nothing_is_divided_by_zero():
    x = torch.zeros(0, dtype=torch.int64)
    assert (x % 0).shape == (x // 0).shape == torch.fmod(x, 0).shape == x.remainder_(torch.tensor([0])).shape == (0,)


def test_take_along_dim_wraps_positions():
    x = torch.arange(12.0, requires_grad=True)
    rows = x.reshape(3, 4)
    taken = rows.take_along_dim(torch.tensor([[-1, 0], [1, -4], [-5, 7]]), 1)
    assert taken.tolist() == [[3, 0], [5, 4], [11, 11]]
    taken.sum().backward()
    assert x.grad.tolist() == [1, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 2]
    assert torch.take_along_dim(torch.tensor(3.0), torch.tensor(0)).tolist() == [3]
    assert torch.take_along_dim(torch.zeros(3, 0), torch.zeros(1, 0, dtype=torch.int64), 1).shape == (3, 0)
    with pytest.raises(RuntimeError, match="index -1 is out of bounds for dimension 0 with size 12"):
        torch.take_along_dim(rows, torch.tensor([-1]))
    with pytest.raises(RuntimeError, match="^ZeroDivisionError$"):
        torch.take_along_dim(torch.zeros(3, 0), torch.tensor([[-1]]), 1)
    with pytest.raises(IndexError, match="Dimension specified as 0 but tensor has no dimensions"):
        torch.take_along_dim(torch.tensor(3.0), torch.tensor(-1), 0)
    batched = torch.vmap(lambda i: torch.take_along_dim(rows.detach(), i, 1))(torch.tensor([[[-1]], [[4]]]))
    assert batched.tolist() == [[[3], [7], [11]], [[0], [4], [8]]]


def test_indexing():
    x = torch.arange(24).reshape(2, 3, 4)
    n = x.numpy()
    for key in (
        0,
        -1,
        slice(None, None, 2),
        (slice(None), 1),
        (..., 2),
        (0, [0, 2]),
        ([0, 1], slice(None), [1, 3]),
        None,
    ):
        assert x[key].tolist() == n[key].tolist()
    assert x[x > 20].tolist() == [21, 22, 23]
    x[:, 1] = -1
    x[x == 0] = 7
    assert x[0, 1].tolist() == [-1] * 4 and x[0, 0, 0].item() == 7
    with pytest.raises(IndexError, match="index 2 is out of bounds for dimension 0 with size 2"):
        x[2]
    with pytest.raises(IndexError, match="too many indices for tensor of dimension 3"):
        x[0, 0, 0, 0]


def test_numpy_shares_memory():
    a = np.ones(3)
    t = torch.from_numpy(a)
    t[0] = 5
    a[1] = 7
    assert a.tolist() == [5, 7, 1] and t.tolist() == [5, 7, 1]
    assert np.add(t, 1).tolist() == [6, 8, 2]
    with pytest.raises(RuntimeError, match="Can't call numpy"):
        torch.ones(1, requires_grad=True).numpy()


def test_one_object_for_one_tensor():
    x = torch.ones(2, requires_grad=True)
    (x * 2).sum().backward()
    assert x.grad is x.grad
    x.grad.note = "kept"
    assert x.grad.note == "kept"


def test_pickle_and_copy():
    x = torch.arange(6.0).view(2, 3).t().requires_grad_()
    y = pickle.loads(pickle.dumps(x))
    assert y.requires_grad and y.tolist() == x.tolist()
    z = copy.deepcopy(x)
    assert z.tolist() == x.tolist() and z.data_ptr() != x.data_ptr()


def test_errors_leave_operands_unchanged():
    x = torch.arange(3)
    with pytest.raises(RuntimeError, match="result type Float can't be cast to the desired output type Long"):
        x.add_(1.5)
    with pytest.raises(RuntimeError, match="The size of tensor a"):
        x + torch.ones(2)
    assert x.tolist() == [0, 1, 2] and x._version == 0
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        x.floor_divide_(0)
    assert x.tolist() == [0, 1, 2]


def test_same_random_numbers_as_recorded():
    torch.manual_seed(1444)
    assert torch.rand(2).tolist() == pytest.approx([0.4953, 0.6262], abs=5e-5)


def test_meta():
    x = torch.ones(2, 3, device="meta")
    assert (x @ x.t()).shape == (2, 2)
    with pytest.raises(RuntimeError):
        x.item()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_numbers_are_tensors_of_one_element(dtype):
    a, b = torch.randn(2, 1000, dtype=dtype)
    a[:4] = torch.tensor([0.0, -0.0, float("inf"), 1e-41])
    for w in (0.3, 0.5, -0.7, 0.49999999999, 0.7, -0.2, 2.0, 0.0, 1.0):
        right = a[4:].double() + w * (b[4:].double() - a[4:].double())
        tolerance = 8 * torch.finfo(dtype).eps
        assert torch.allclose(torch.lerp(a[4:], b[4:], w).double(), right, tolerance, tolerance)
        if w in (0.7, 1.0, 2.0):
            # From the end on, in one rounding: whatever the weight of the call before was.
            exact = b[4:].double() + (torch.tensor(w, dtype=dtype) - 1).double() * (b[4:] - a[4:]).double()
            assert dtype != torch.float32 or torch.equal(torch.lerp(a[4:], b[4:], w), exact.float())
        assert torch.equal(torch.lerp(a[4:], b[4:], w), a[4:].clone().lerp_(b[4:], w))
    for d in (3.7, -6.0, 0.1, 1e-30, 255):
        assert [str(x) for x in (a / d).tolist()] == [str(x) for x in (a / torch.full_like(a, d)).tolist()]
        assert torch.equal((a[3:] + 3).clamp(0, d) / d, (a[3:] + 3).clamp(0, d) / torch.full_like(a[3:], d))


@pytest.mark.parametrize("windows", [(3, 40), (40, 3), (7, 7)])
def test_sums_of_windows(windows):
    count, size = windows
    x = torch.zeros(2, 5 * (count - 1) + size, 3, dtype=torch.float64, requires_grad=True)
    grad = torch.randn(2, count, 3, size, dtype=torch.float64)
    x.unfold(1, size, 5).backward(grad)
    expected = torch.zeros_like(x)
    for k in range(count):
        expected[:, 5 * k : 5 * k + size] += grad[:, k].transpose(1, 2)
    assert torch.allclose(x.grad, expected, atol=1e-12)
