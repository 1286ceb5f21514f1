"""The operators of torchvision's compiled library; the numbers are those of torchvision with PyTorch."""

import pytest

import flambeau as torch
from flambeau._library import vision

vision.define()
V = torch.ops.torchvision


@pytest.fixture
def image():
    x = (torch.arange(2 * 8 * 6 * 7, dtype=torch.float64) * 7919 % 101).view(2, 8, 6, 7) / 10
    return x.requires_grad_()


BOXES = [[0, 2.0, 4.0, 20.0, 21.0], [1, -3.0, 5.0, 33.0, 18.0], [1, 9.0, 9.0, 9.0, 9.0]]
BACKWARD = {
    "roi_align": lambda x, grad, more, rest: V._roi_align_backward(grad, *more[:4], *x.shape, *more[4:]),
    "roi_pool": lambda x, grad, more, rest: V._roi_pool_backward(grad, more[0], rest[0], *more[1:], *x.shape),
    "ps_roi_align": lambda x, grad, more, rest: V._ps_roi_align_backward(grad, more[0], rest[0], *more[1:], *x.shape),
    "ps_roi_pool": lambda x, grad, more, rest: V._ps_roi_pool_backward(grad, more[0], rest[0], *more[1:], *x.shape),
}


@pytest.mark.parametrize(
    ("name", "more", "value", "gradient", "rest"),
    [
        ("roi_align", (0.25, 2, 3, 2, False), 3789.264355, -72.971768, None),
        ("roi_align", (0.25, 2, 3, 2, True), 4307.982617, 17.771932, None),
        ("roi_align", (0.25, 2, 3, 0, False), 3899.398134, -41.368598, None),
        ("roi_align", (0.25, 2, 3, 0, True), 2622.455295, 0.617316, None),
        ("roi_pool", (0.25, 2, 3), 6497.3, -564.261132, 3146),
        ("ps_roi_align", (0.25, 2, 2, 2), 596.535205, -4.045316, 84),
        ("ps_roi_pool", (0.25, 2, 2), 542.7875, -23.221942, 84),
    ],
)
def test_regions(image, name, more, value, gradient, rest):
    more = (torch.tensor(BOXES, dtype=torch.float64), *more)
    found, *others = getattr(V, name)(image, *more) if rest is not None else [getattr(V, name)(image, *more)]
    weight = torch.arange(found.numel(), dtype=torch.float64).view(found.shape) % 13
    assert (found.detach() * weight).sum().item() == pytest.approx(value, abs=1e-5)
    assert rest is None or (others[0].sum().item() == rest and others[0].dtype == torch.int32)
    weight = torch.arange(image.numel(), dtype=torch.float64).view(image.shape) % 13
    grad = BACKWARD[name](image, found.detach().cos(), more, others)
    assert (grad * weight).sum().item() == pytest.approx(gradient, abs=1e-5)
    if name != "ps_roi_pool":  # whose gradient is not that of its values, in torchvision either
        (own,) = torch.autograd.grad(found.sin().sum(), image)
        assert torch.allclose(own, grad)


def test_regions_refused(image):
    boxes = torch.tensor(BOXES, dtype=torch.float64)
    for call, text in (
        (lambda: V.roi_align(image, boxes.float(), 1.0, 1, 1, 1, False), "input should have the same type as rois"),
        (lambda: V.roi_align(image, boxes[:, :4], 1.0, 1, 1, 1, False), r"rois must have shape as Tensor\[K, 5\]"),
        (lambda: V.roi_pool(image, boxes + 3, 1.0, 1, 1), r"rois batch index must be in \[0, batch_size\)"),
        (lambda: V.ps_roi_pool(image, boxes, 1.0, 3, 1), "input channels must be a multiple of pooling height"),
    ):
        with pytest.raises(RuntimeError, match=text):
            call()
    with pytest.raises(NotImplementedError, match="torchvision::box_iou_rotated"):
        V.box_iou_rotated(boxes, boxes)
    none = boxes[:0]
    assert (
        V.roi_align(image, none, 1.0, 2, 3, 2, True).shape
        == V.roi_pool(image, none, 1.0, 2, 3)[0].shape
        == (0, 8, 2, 3)
    )
    zeros = V._roi_align_backward(torch.zeros(0, 8, 2, 3), none.float(), 1.0, 2, 3, 2, 8, 6, 7, 2, True)
    assert zeros.shape == (2, 8, 6, 7) and not zeros.any()


def test_deformed_convolution(image):
    def steps(*shape):
        n = 1
        for size in shape:
            n *= size
        return torch.arange(n, dtype=torch.float64).view(shape)

    weight = ((steps(4, 4, 3, 3) * 31 % 17) / 17 - 0.5).requires_grad_()
    offset = ((steps(2, 36, 3, 4) * 37 % 53) / 10 - 2.5).requires_grad_()
    mask = ((steps(2, 18, 3, 4) * 11 % 19) / 19).requires_grad_()
    bias = torch.arange(4, dtype=torch.float64).requires_grad_()
    inputs, settings = (image, weight, offset, mask, bias), (2, 2, 1, 1, 1, 1, 2, 2, True)
    out = V.deform_conv2d(*inputs, *settings)
    assert out.shape == (2, 4, 3, 4) and out.abs().sum().item() == pytest.approx(175.774916, abs=1e-5)
    wanted = [67.657192, 1485.130623, 290.323044, 344.499182, 33.769331]
    for grads in (
        torch.autograd.grad(out.sin().sum(), inputs),
        V._deform_conv2d_backward(out.detach().cos(), *inputs, *settings),
    ):
        assert [grad.abs().sum().item() for grad in grads] == pytest.approx(wanted, abs=1e-5)


def test_boxes_that_remain():
    boxes = (torch.arange(120, dtype=torch.float64) * 7919 % 97).view(30, 4) / 2
    boxes[:, 2:] = boxes[:, 2:] / 2 + boxes[:, :2].clone() + 5
    scores = torch.arange(30, dtype=torch.float64) * 17 % 23
    assert V.nms(boxes, scores, 0.3).tolist() == [4, 27, 8, 12, 16, 20, 1, 24, 5, 6]
    assert V.nms(boxes[:0], scores[:0], 0.5).tolist() == []
    with pytest.raises(RuntimeError, match="boxes should be a 2d tensor, got 1D"):
        V.nms(boxes[0], scores, 0.3)
    with pytest.raises(RuntimeError, match="same number of elements in dimension 0, got 30 and 3"):
        V.nms(boxes, scores[:3], 0.3)


def test_compiled_libraries(tmp_path):
    own, other = tmp_path / "torchvision" / "_C_stable.so", tmp_path / "other.so"
    own.parent.mkdir()
    for path in (own, other):
        path.write_bytes(b"")
    torch.ops.load_library(str(own))
    assert str(own) in torch.ops.loaded_libraries and torch.ops.torchvision._cuda_version() == -1
    for path in (other, tmp_path / "absent.so"):
        with pytest.raises(OSError, match="Could not load this library"):
            torch.ops.load_library(str(path))


def test_implementations_for_autocast():
    library = torch.library.Library("own_for_autocast", "DEF")
    library.define("twice(Tensor x) -> Tensor")
    library.impl("twice", lambda x: x * 2, "CPU")
    keys = torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastCPU) | torch._C.DispatchKeySet(
        torch._C.DispatchKey.AutocastCUDA
    )
    assert keys.has(torch._C.DispatchKey.AutocastCUDA) and not keys.has(torch._C.DispatchKey.CPU)

    def cast(x):
        assert torch.is_autocast_enabled("cpu")
        with torch._C._ExcludeDispatchKeyGuard(keys):
            assert not torch.is_autocast_enabled("cpu")
            return torch.ops.own_for_autocast.twice(x.float())

    library.impl("twice", cast, "AutocastCPU")
    x = torch.ones(2, dtype=torch.bfloat16)
    assert torch.ops.own_for_autocast.twice(x).dtype == torch.bfloat16
    with torch.autocast("cpu"):
        assert torch.ops.own_for_autocast.twice(x).dtype == torch.float32 and torch.is_autocast_enabled("cpu")
    library._destroy()
    with pytest.raises(NotImplementedError, match="cannot leave out"):
        torch._C._ExcludeDispatchKeyGuard(torch._C.DispatchKeySet(torch._C.DispatchKey.CPU))
