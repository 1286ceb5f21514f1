"""Channels-last layouts pass through operators on images as they do in PyTorch, whose strides these are."""

import pytest

import flambeau as torch

F = torch.nn.functional


def image(*shape):
    torch.manual_seed(0)
    dims = len(shape)
    return torch.randn(*shape).to(memory_format=torch.channels_last if dims == 4 else torch.channels_last_3d)


X = image(2, 8, 6, 6)
V = image(2, 4, 3, 4, 5)
NORMAL = {"running_mean": None, "running_var": None, "training": True}

KEPT = {
    "conv": lambda: F.conv2d(X, torch.randn(8, 8, 3, 3)),
    "conv with bias": lambda: F.conv2d(X, torch.randn(4, 8, 1, 1), torch.randn(4)),
    "conv by weight": lambda: F.conv2d(X.contiguous(), image(8, 8, 3, 3)),
    "conv double": lambda: F.conv2d(X.double(), torch.randn(8, 8, 3, 3).double()),
    "conv depthwise": lambda: F.conv2d(X, torch.randn(8, 1, 3, 3), groups=8),
    "conv transposed": lambda: F.conv_transpose2d(X, torch.randn(8, 8, 3, 3), stride=2),
    "conv3d": lambda: F.conv3d(V, torch.randn(4, 4, 3, 3, 3), padding=1),
    "batch norm": lambda: F.batch_norm(X, **NORMAL),
    "batch norm 3d": lambda: F.batch_norm(V, **NORMAL),
    "batch norm of a slice": lambda: F.batch_norm(X[:, :4], **NORMAL),
    "group norm": lambda: F.group_norm(X, 2),
    "group norm 3d": lambda: F.group_norm(V, 2),
    "max pool": lambda: F.max_pool2d(X, 2),
    "max pool's indices": lambda: F.max_pool2d(X, 2, return_indices=True)[1],
    "max pool 3d": lambda: F.max_pool3d(V, 2),
    "max unpool": lambda: F.max_unpool2d(*F.max_pool2d(X, 2, return_indices=True), 2),
    "average pool": lambda: F.avg_pool2d(X, 2),
    "adaptive average": lambda: F.adaptive_avg_pool2d(X, 3),
    "adaptive average of all": lambda: F.adaptive_avg_pool2d(X, 1),
    "adaptive average 3d": lambda: F.adaptive_avg_pool3d(V, 1),
    "adaptive max": lambda: F.adaptive_max_pool2d(X, 2),
    "nearest": lambda: F.interpolate(X, scale_factor=2),
    "bilinear": lambda: F.interpolate(X, scale_factor=2, mode="bilinear"),
    "bicubic": lambda: F.interpolate(X, scale_factor=2, mode="bicubic"),
    "antialiased": lambda: F.interpolate(X, scale_factor=0.5, mode="bilinear", antialias=True),
    "trilinear": lambda: F.interpolate(V, scale_factor=2, mode="trilinear"),
    "reflected": lambda: F.pad(X, (1, 1, 1, 1), mode="reflect"),
    "replicated 3d": lambda: F.pad(V, (1,) * 6, mode="replicate"),
    "pixel shuffle": lambda: F.pixel_shuffle(X, 2),
    "pixel unshuffle": lambda: F.pixel_unshuffle(X, 2),
    "channel shuffle": lambda: F.channel_shuffle(X, 2),
    "roll": lambda: X.roll(1, 0),
    "sort": lambda: X.sort(1)[0],
    "argsort": lambda: X.argsort(1),
    "rows by index": lambda: X[torch.tensor([1, 0])],
    "rows by mask": lambda: X[torch.tensor([True, False])],
    "index_fill": lambda: X.index_fill(0, torch.tensor([0]), 1.0),
    "relu": lambda: F.relu(X),
    "sum": lambda: X + X.contiguous(),
    "cat": lambda: torch.cat([X, X], 1),
}

LOST = {
    "conv3d double": lambda: F.conv3d(V.double(), torch.randn(4, 4, 1, 1, 1).double()),
    "instance norm": lambda: F.instance_norm(X),
    "layer norm": lambda: F.layer_norm(X, (8, 6, 6)),
    "average pool 3d": lambda: F.avg_pool3d(V, 2),
    "topk": lambda: X.topk(2, 1)[0],
    "cumsum of a plane": lambda: X[0].contiguous().cumsum(1),
    "columns by index": lambda: X.contiguous()[:, torch.tensor([1, 0])],
    "plain conv": lambda: F.conv2d(X.contiguous(), torch.randn(8, 8, 3, 3)),
}


def channels_last(t):
    form = {4: torch.channels_last, 5: torch.channels_last_3d}.get(t.dim())
    return form is not None and t.stride() == torch.empty(t.shape).to(memory_format=form).stride()


@pytest.mark.parametrize("name", KEPT)
def test_kept(name):
    result = KEPT[name]()
    assert channels_last(result), result.stride()


@pytest.mark.parametrize("name", LOST)
def test_not_kept(name):
    assert LOST[name]().is_contiguous()


@pytest.mark.parametrize("name", [n for n in KEPT if "argsort" not in n and "by weight" not in n])
def test_values_do_not_depend_on_the_layout(name):
    global X, V
    torch.manual_seed(1)
    expected = KEPT[name]()
    before = X, V
    try:
        X, V = X.contiguous(), V.contiguous()
        torch.manual_seed(1)
        torch.testing.assert_close(KEPT[name](), expected, check_stride=False)
    finally:
        X, V = before


def test_a_network_stays_channels_last():
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3),
        torch.nn.BatchNorm2d(8),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(8, 4, 1),
    ).to(memory_format=torch.channels_last)
    x = image(2, 3, 8, 8).requires_grad_()
    out = net(x)
    assert out.is_contiguous(memory_format=torch.channels_last) and not out.is_contiguous()
    out.sum().backward()
    assert x.grad.stride() == x.stride()


def test_noise_is_drawn_in_the_order_of_dense_memory():
    """PyTorch's numbers: a transposed slice has gaps, its noise has none."""
    x = torch.ones(3, 4)[:, :2].t()
    torch.manual_seed(0)
    noise = torch.rand_like(x)
    torch.manual_seed(0)
    assert noise.stride() == (1, 2)
    assert torch.equal(noise.t(), torch.rand(3, 2))
