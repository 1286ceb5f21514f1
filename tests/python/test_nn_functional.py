"""torch.nn.functional against recorded answers, and what its operators refuse."""

import inspect
import json
import math
import pathlib
import sys

import pytest

import flambeau as torch

F = torch.nn.functional
FIXTURES = pathlib.Path(__file__).parents[1] / "fixtures"
sys.path.insert(0, str(FIXTURES))
from nn_cases import CASES, run  # noqa: E402

BICUBIC = [[[[0, 133, 255], [70, 98, 128], [151, 63, 0]]]]
ANSWERS = json.loads((FIXTURES / "nn.json").read_text())


def close(have, want):
    assert len(have) == len(want)
    for mine, theirs in zip(have, want):
        assert math.isclose(mine, theirs, rel_tol=1e-8, abs_tol=1e-8), (mine, theirs)


@pytest.mark.parametrize("name", CASES)
def test_as_recorded(name):
    have, want = run(torch, name), ANSWERS[name]
    assert have["shapes"] == want["shapes"]
    for mine, theirs in zip(have["outputs"] + have["grads"], want["outputs"] + want["grads"]):
        close(mine, theirs)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda x: F.interpolate(x, size=(0, 2)), RuntimeError, "sizes should be greater than 0"),
        (lambda x: F.interpolate(x, size=(2,)), ValueError, "same number of spatial dimensions"),
        (lambda x: F.interpolate(x.long(), size=(2, 2)), NotImplementedError, "not implemented for 'Long'"),
        (lambda x: F.interpolate(x[:, :0], size=(2, 2)), RuntimeError, "Non-empty 4D data tensor"),
        (lambda x: F.interpolate(x, scale_factor=1e18), RuntimeError, "overflow"),
        (lambda x: F.interpolate(x, scale_factor=math.nan), RuntimeError, "without overflow"),
        (lambda x: F.grid_sample(x, x, align_corners=True), RuntimeError, "size 2 in last dimension"),
        (
            lambda x: F.grid_sample(x, x[..., :2].double(), align_corners=True),
            RuntimeError,
            "expected scalar type Float",
        ),
        (lambda x: F.fractional_max_pool2d(x, 9, 1), RuntimeError, "too large relative to input"),
        (lambda x: F.conv2d(x, x, padding=-1), RuntimeError, "negative padding is not supported"),
        (lambda x: F.conv2d(x, x, stride=0), RuntimeError, "non-positive stride"),
        (lambda x: F.conv2d(x, x[..., :0]), RuntimeError, "."),
        (lambda x: F.conv2d(x, x.double()), RuntimeError, "."),
        (lambda x: F.max_pool2d(x, 10**18), RuntimeError, "."),
        (lambda x: F.max_pool2d(x, 2, padding=2), RuntimeError, "pad should be at most half"),
        (lambda x: F.avg_pool2d(x, 2, divisor_override=0), RuntimeError, "divisor must be not zero"),
        (lambda x: F.group_norm(x, 3), RuntimeError, "divisible by num_groups"),
        (lambda x: F.layer_norm(x, (7,)), RuntimeError, "normalized_shape"),
        (lambda x: F.batch_norm(x.long(), None, None, training=True), NotImplementedError, "'Long'"),
        (lambda x: F.ctc_loss(x[0], torch.tensor([[9, 9]] * 4), (2,) * 4, (2,) * 4), RuntimeError, "."),
        (lambda x: F.embedding_bag(torch.tensor([9]), x[0, 0], torch.tensor([0])), RuntimeError, "valid range"),
        (
            lambda x: F.embedding_bag(torch.tensor([0, 1]), x[0, 0], torch.tensor([0, 2, 1])),
            RuntimeError,
            "must not decrease",
        ),
        (lambda x: F.cross_entropy(x[0, 0], torch.tensor([0, 1])), ValueError, "batch_size"),
        (
            lambda x: F.cross_entropy(x[0, 0], x[0, 0].softmax(1), ignore_index=1),
            RuntimeError,
            "ignore_index is not supported",
        ),
        (lambda x: F.multi_margin_loss(x[0, 0], torch.tensor([9] * 4)), RuntimeError, "target out of range"),
        (lambda x: F.interpolate(x, size=(2**24, 2**24)), RuntimeError, "allocate memory"),
        (lambda x: F.adaptive_max_pool2d(x, 2**24), RuntimeError, "allocate memory"),
        (lambda x: F.adaptive_avg_pool2d(x, 2**29), RuntimeError, "."),
        (
            lambda x: F.affine_grid(x[0, :1, :2, :3], (1, 1, 2**24, 2**24), align_corners=True),
            RuntimeError,
            "allocate memory",
        ),
        (lambda x: F.fold(x[0], 2, 2), RuntimeError, "."),
        (lambda x: F.pixel_shuffle(x, 3), RuntimeError, "divisible by the square"),
    ],
)
def test_refusals(call, error, text):
    x = torch.arange(64.0).reshape(1, 4, 4, 4) / 64
    with pytest.raises(error, match=text):
        call(x)


def test_empty_batches():
    x = torch.zeros(0, 4, 3, 3, requires_grad=True)
    w = torch.ones(2, 4, 2, 2, requires_grad=True)
    for y in (
        F.conv2d(x, w),
        F.interpolate(x, size=(5, 5), mode="bilinear"),
        F.layer_norm(x, (3, 3)),
        F.max_pool2d(x, 2),
        F.adaptive_avg_pool2d(x, 2),
    ):
        assert y.shape[0] == 0
        y.sum().backward()
    assert w.grad.abs().sum() == 0


def test_second_derivatives_exist_where_they_are_zero():
    # The gradients of operators that are linear in their input have a history all the same.
    x = torch.rand(1, 2, 4, 4, requires_grad=True)
    for y in (F.avg_pool2d(x, 2), F.max_pool2d(x, 2), F.pad(x, (1,) * 4, mode="reflect"), F.layer_norm(x, (4,))):
        (gradient,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        assert gradient.requires_grad


def test_norms_differentiate_twice():
    x = torch.tensor([[0.5, -1.0, 2.0], [1.0, 0.25, -0.5]], dtype=torch.float64, requires_grad=True)
    w = torch.tensor([1.0, 2.0, -0.5], dtype=torch.float64, requires_grad=True)
    for f in (
        lambda x, w: F.layer_norm(x, (3,), w),
        lambda x, w: F.batch_norm(x, None, None, w, training=True),
        lambda x, w: F.group_norm(x.unsqueeze(0), 1, None, None).sum() * w,
        lambda x, w: F.instance_norm(x.unsqueeze(0)).sum() * w,
    ):
        assert torch.autograd.gradcheck(f, (x, w))
        assert torch.autograd.gradgradcheck(f, (x, w))


def test_attention_differentiates_twice():
    q, k, v = (torch.randn(2, n, 3, dtype=torch.float64, requires_grad=True) for n in (4, 3, 3))
    mask = torch.tensor([[True, False, True]] * 4)
    for keywords in ({}, {"is_causal": True}, {"attn_mask": mask}, {"scale": -0.5}):

        def attention(*given):
            return F.scaled_dot_product_attention(*given, **keywords)

        assert torch.autograd.gradcheck(attention, (q, k, v))
        assert torch.autograd.gradgradcheck(attention, (q, k, v))


def test_norms_of_meta_tensors():
    x = torch.empty(10**6, 4, 10**6, device="meta")
    for y in (F.layer_norm(x, (10**6,)), F.group_norm(x, 2), F.batch_norm(x, None, None, training=True)):
        assert y.is_meta and y.shape == x.shape


def test_bytes_are_resized():
    x = torch.tensor([[[[0, 255], [128, 7]]]], dtype=torch.uint8)
    assert F.interpolate(x, scale_factor=2).dtype == torch.uint8
    assert F.interpolate(x, size=(3, 3), mode="bilinear", align_corners=True).tolist() == [
        [[[0, 128, 255], [64, 98, 131], [128, 68, 7]]]
    ]
    assert F.interpolate(x, size=(3, 3), mode="bicubic").tolist() == BICUBIC


def test_poolings_dispatch_on_return_indices():
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert list(inspect.signature(F.max_pool2d).parameters) == ["args", "kwargs"]
    assert F.max_pool2d.__name__ == "max_pool2d"
    for flag in (True, 1, "yes"):
        assert F.max_pool2d(x, 2, return_indices=flag)[1].tolist() == [[[[5, 7], [13, 15]]]]
    assert F.max_pool2d(x, 2, None, 0, 1, False, True)[1].tolist() == [[[[5, 7], [13, 15]]]]
    assert F.max_pool2d(input=x, kernel_size=2, return_indices=False).tolist() == [[[[5.0, 7.0], [13.0, 15.0]]]]
    assert F.adaptive_max_pool2d(x, 2, True)[1].tolist() == [[[[5, 7], [13, 15]]]]
    assert F.fractional_max_pool2d(x, 2, 2).shape == (1, 1, 2, 2)
    assert F.max_pool2d_with_indices(x, 2)[1].tolist() == [[[[5, 7], [13, 15]]]]
    with pytest.raises(TypeError, match="unexpected keyword argument 'stripe'"):
        F.max_pool2d(x, 2, stripe=1)


@pytest.mark.parametrize("ignored", [-100, 2, 255])
@pytest.mark.parametrize("weighted", [False, True])
def test_likelihoods_of_ignored_targets(ignored, weighted):
    log = torch.randn(6, 5, 3, dtype=torch.float64).log_softmax(1)
    target = torch.randint(0, 5, (6, 3))
    if ignored != -100:
        target[0, 1] = target[4, 0] = ignored
        log[0, min(ignored, 4), 1] = -math.inf
    weight = torch.rand(5, dtype=torch.float64) if weighted else None
    each, factors = [], []
    for i in range(6):
        for j in range(3):
            t = target[i, j].item()
            factors.append(0.0 if t == ignored else weight[t].item() if weighted else 1.0)
            each.append(0.0 if t == ignored else -log[i, t, j].item() * factors[-1])
    results = [F.nll_loss(log, target, weight, ignore_index=ignored, reduction=r) for r in ("none", "sum", "mean")]
    close(results[0].flatten().tolist(), each)
    close([results[1].item(), results[2].item()], [sum(each), sum(each) / sum(factors)])
    everything = torch.full((6, 3), 2)
    assert math.isnan(F.nll_loss(log, everything, weight, ignore_index=2).item())
