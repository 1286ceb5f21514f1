"""`torch.autocast` on the CPU: which operators it casts, against recorded answers, and how regions behave."""

import json
import pathlib
import subprocess
import sys
import threading

import pytest

import flambeau as torch

FIXTURES = pathlib.Path(__file__).parents[1] / "fixtures"
sys.path.insert(0, str(FIXTURES))
from autocast_cases import cases  # noqa: E402

RECORDED = json.loads((FIXTURES / "autocast.json").read_text())
KINDS = (torch.float32, torch.bfloat16, torch.float64)
# The products within are those of float32 here.
DIFFERENT = {"linalg.pinv"}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", sorted(RECORDED.keys() - DIFFERENT))
def test_dtypes_as_recorded(name):
    for kind, expected in zip(KINDS, RECORDED[name]):
        if expected is not None:
            torch.manual_seed(0)
            with torch.autocast("cpu"):
                result = cases(torch, kind)[name]()
            assert str(result.dtype) == "torch." + expected, kind


def product():
    return (torch.ones(2, 2) @ torch.ones(2, 2)).dtype


def test_regions():
    assert product() == torch.float32 and not torch.is_autocast_enabled("cpu")
    with torch.autocast("cpu") as region:
        assert region.fast_dtype == torch.bfloat16 and torch.is_autocast_enabled("cpu")
        assert not torch.is_autocast_enabled() and torch.get_autocast_dtype("cpu") == torch.bfloat16
        with torch.autocast("cpu", enabled=False):
            assert product() == torch.float32
        with torch.autocast("cpu", dtype=torch.float16):
            assert product() == torch.float16
        assert product() == torch.bfloat16
        seen = []
        thread = threading.Thread(target=lambda: seen.append(product()))
        thread.start()
        thread.join()
        assert seen == [torch.float32]
        out = torch.empty(2, 2)
        assert torch.mm(torch.ones(2, 2), torch.ones(2, 2), out=out).dtype == torch.float32
        assert torch.matmul(torch.ones(2, 2).int(), torch.ones(2, 2).int()).dtype == torch.int32
        with pytest.raises(KeyError):
            with torch.autocast("cpu", enabled=False):
                raise KeyError
        assert product() == torch.bfloat16
    assert product() == torch.float32

    @torch.autocast("cpu")
    def decorated():
        return product()

    assert decorated() == torch.bfloat16 and product() == torch.float32
    assert torch.amp.is_autocast_available("cpu")
    with torch.cpu.amp.autocast():
        assert product() == torch.bfloat16
    torch.set_autocast_enabled("cpu", True)
    assert product() == torch.bfloat16
    torch.set_autocast_enabled("cpu", False)
    assert product() == torch.float32


def test_regions_that_are_off():
    with pytest.warns(UserWarning, match="only supports dtypes of torch.bfloat16, torch.float16"):
        region = torch.autocast("cpu", dtype=torch.float32)
    with region:
        assert product() == torch.float32
    with pytest.warns(UserWarning, match="CUDA is not available"):
        with torch.autocast("cuda"):
            assert product() == torch.float32
    with pytest.raises(ValueError, match="`device_type` of type `str`"):
        torch.autocast(5)
    with pytest.raises(RuntimeError, match="foo"):
        torch.autocast("foo")


def test_names_taken_before_the_first_region_are_cast_too():
    code = """
import flambeau as torch
from flambeau import matmul
from flambeau.nn.functional import linear as dense
x = torch.ones(2, 2)
layer = torch.nn.Linear(2, 2)
with torch.autocast("cpu"):
    print(matmul(x, x).dtype, dense(x, x).dtype, layer(x).dtype, torch.compile(layer)(x).dtype, torch.einsum("ij,jk", x, x).dtype)
print(matmul(x, x).dtype)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == " ".join(["torch.bfloat16"] * 5) + "\ntorch.float32\n", done.stderr


def test_training_in_a_region():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.LayerNorm(32), torch.nn.GELU(), torch.nn.Linear(32, 1))
    x = torch.randn(64, 8)
    y = x.sum(1, keepdim=True)
    optimizer, scaler, losses = torch.optim.Adam(model.parameters(), 1e-2), torch.amp.GradScaler("cpu"), []
    for _ in range(60):
        optimizer.zero_grad()
        with torch.autocast("cpu"):
            out = model(x)
            loss = torch.nn.functional.mse_loss(out, y)
        assert out.dtype == torch.bfloat16 and loss.dtype == torch.float32
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        losses.append(loss.item())
    assert all(p.dtype == p.grad.dtype == torch.float32 for p in model.parameters())
    assert losses[-1] < losses[0] / 10


def test_custom_functions():
    seen = []

    def make(cast_inputs):
        class Double(torch.autograd.Function):
            @staticmethod
            @torch.amp.custom_fwd(device_type="cpu", cast_inputs=cast_inputs)
            def forward(ctx, x):
                seen.append((x.dtype, torch.is_autocast_enabled("cpu")))
                return x * 2

            @staticmethod
            @torch.amp.custom_bwd(device_type="cpu")
            def backward(ctx, g):
                seen.append((g.dtype, torch.is_autocast_enabled("cpu")))
                return g * 2

        return Double

    x = torch.ones(2, dtype=torch.bfloat16, requires_grad=True)
    for cast_inputs in (torch.float32, None):
        with torch.autocast("cpu"):
            y = make(cast_inputs).apply(x)
        y.sum().backward()
        make(cast_inputs).apply(x).sum().backward()
    low, high = torch.bfloat16, torch.float32
    assert seen == [(high, False), (high, False), (low, False), (low, False)] + [(low, True)] * 2 + [(low, False)] * 2


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpoints_run_again_in_their_region(reentrant):
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 4))
    x = torch.randn(5, 4, requires_grad=True)
    grads = []
    for kept in (True, False):
        with torch.autocast("cpu", torch.bfloat16):
            found = net(x) if kept else torch.utils.checkpoint.checkpoint(net, x, use_reentrant=reentrant)
        assert found.dtype == torch.bfloat16
        grads.append(torch.autograd.grad(found.float().sum(), x)[0] if not reentrant else None)
        if reentrant:
            x.grad = None
            found.float().sum().backward()
            grads[-1] = x.grad
    assert grads[0].equal(grads[1])
    outside = torch.utils.checkpoint.checkpoint(net, x, use_reentrant=reentrant)
    with torch.autocast("cpu", torch.bfloat16):
        outside.sum().backward()
