"""What ordinary programs meet at the edges: names under the launcher, custom functions, encoders, pickles, random tensors."""

import io
import pickle
import subprocess
import sys
import warnings

import pytest

import flambeau as torch
import flambeau.nn as nn


def launched(code):
    result = subprocess.run([sys.executable, "-m", "flambeau", "-c", code], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


# names under the launcher


def test_names_of_classes_and_functions():
    lines = launched("""
import torch, torch.nn as nn, torch.nn.functional as F, torch.utils.data, inspect
import torch.nn.utils.parametrize, torch.optim.lr_scheduler
for x in (nn.Linear, nn.MultiheadAttention, nn.Parameter, torch.optim.SGD, torch.optim.lr_scheduler.StepLR, torch.Size,
          torch.device, torch.dtype, torch.Tensor, torch.utils.data.DataLoader, torch.no_grad, torch.FloatStorage):
    print(x)
for x in (F.cross_entropy, torch.einsum, torch.compile, torch.is_tensor, nn.init.normal_, torch.serialization.add_safe_globals):
    print(x.__module__)
print(nn.__name__, inspect.getmodule(nn.Linear) is nn.modules.linear, nn.modules.linear.__package__)
""")
    assert lines == [
        "<class 'torch.nn.modules.linear.Linear'>",
        "<class 'torch.nn.modules.activation.MultiheadAttention'>",
        "<class 'torch.nn.parameter.Parameter'>",
        "<class 'torch.optim.sgd.SGD'>",
        "<class 'torch.optim.lr_scheduler.StepLR'>",
        "<class 'torch.Size'>",
        "<class 'torch.device'>",
        "<class 'torch.dtype'>",
        "<class 'torch.Tensor'>",
        "<class 'torch.utils.data.dataloader.DataLoader'>",
        "<class 'torch.autograd.grad_mode.no_grad'>",
        "<class 'torch.FloatStorage'>",
        "torch.nn.functional",
        "torch.functional",
        "torch",
        "torch",
        "torch.nn.init",
        "torch.serialization",
        "torch.nn True flambeau.nn.modules",
    ]


def test_every_public_class_is_found_by_its_name():
    lines = launched("""
import importlib, inspect, torch
for place in ("torch", "torch.nn", "torch.optim", "torch.utils.data", "torch.distributions", "torch.autograd", "torch.storage",
              "torch.nn.utils", "torch.serialization", "torch.nn.functional", "torch.profiler", "torch.library", "torch.cuda"):
    module = importlib.import_module(place)
    for name in dir(module):
        value = getattr(module, name, None)
        if not (isinstance(value, type) or inspect.isfunction(value)) or name.startswith("_"):
            continue
        home, parts = getattr(value, "__module__", None), value.__qualname__.split(".")
        if home is None or not home.startswith("torch") or "<locals>" in parts or parts[0].startswith("_"):
            continue
        found = importlib.import_module(home)
        for part in parts:
            found = getattr(found, part, None)
        if found is not value and callable(found) is False:
            print(place, name, home, value.__qualname__)
print("done")
""")
    assert lines == ["done"]


def test_names_without_the_launcher():
    assert nn.Linear.__module__ == "flambeau.nn.modules.linear" and nn.__name__ == "flambeau.nn"


def test_missing_attributes_are_those_of_a_tensor():
    with pytest.raises(AttributeError, match="^'Tensor' object has no attribute 'foo'$"):
        torch.ones(2).foo  # noqa: B018
    with pytest.raises(TypeError, match=r"^unsupported operand type\(s\) for \+: 'Tensor' and 'str'$"):
        torch.ones(2) + "a"


# pickles


def test_plain_pickles_have_pytorchs_form():
    import pickletools

    x = torch.arange(6.0).view(2, 3)
    data = pickle.dumps([x, x[0]], 2)
    names = {a for op, a, _ in pickletools.genops(data) if op.name == "GLOBAL"}
    prefix = torch.__name__
    assert f"{prefix}._utils _rebuild_tensor_v2" in names and f"{prefix}.storage _load_from_bytes" in names
    y, row = pickle.loads(data)
    row.add_(10)
    assert y.tolist() == [[10, 11, 12], [3, 4, 5]]  # memory that was shared still is
    assert type(pickle.loads(pickle.dumps(x.untyped_storage()))) is torch.UntypedStorage


def test_storages_in_pickles_are_files_of_pytorch():
    file = io.BytesIO()
    torch.save(torch.arange(3.0).storage(), file, _use_new_zipfile_serialization=False)
    assert torch.storage._load_from_bytes(file.getvalue()).tolist() == [0, 1, 2]


def test_local_functions_are_not_saved():
    with pytest.raises(
        AttributeError, match="Can't pickle local object 'test_local_functions_are_not_saved.<locals>.f'"
    ):

        def f():
            pass

        torch.save(f, io.BytesIO())


# custom functions


class Scaled(torch.autograd.Function):
    @staticmethod
    def forward(x, w, b=None, *rest, scale=2.0):
        return x * w * scale

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.inputs = inputs

    @staticmethod
    def backward(ctx, grad):
        return (grad, *[None] * (len(ctx.inputs) - 1))


def test_setup_context_sees_defaults():
    x = torch.ones(2, requires_grad=True)
    y = Scaled.apply(x, 3)
    assert y.grad_fn.inputs[1:] == (3, None) and y.tolist() == [6, 6]
    y.sum().backward()
    assert x.grad.tolist() == [1, 1]
    assert Scaled.apply(x, 3, None, 1, 2).grad_fn.inputs[1:] == (3, None, 1, 2)
    with pytest.raises(TypeError, match="missing a required argument: 'w'"):
        Scaled.apply(x)


def test_errors_of_custom_functions():
    class Texts(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, grad):
            return "a"

    class InPlace(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x)
            return x.add_(1)

    x = torch.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match=r"expected Variable or None \(got str\)"):
        Texts.apply(x).sum().backward()
    with pytest.raises(
        RuntimeError, match="a leaf Variable that requires grad has been used in an in-place operation."
    ):
        InPlace.apply(x)
    with pytest.raises(RuntimeError, match="a view of a leaf Variable that requires grad is being used in an in-place"):
        InPlace.apply(x[:1])
    y = x * 1
    assert InPlace.apply(y[:1]).tolist() == [y[0].item()]
    with pytest.warns(DeprecationWarning, match="should not be instantiated"):
        texts = Texts()
    with pytest.raises(RuntimeError, match="Legacy autograd function with non-static forward method is deprecated"):
        texts(x)
    assert Texts.apply(x).grad_fn.__class__.__module__.endswith("autograd.function")


def test_handles_of_hooks():
    x = torch.ones(2, requires_grad=True)
    y = x * 2
    for handle in (
        y.register_hook(lambda g: g * 3),
        x.register_post_accumulate_grad_hook(lambda p: None),
        y.grad_fn.register_hook(lambda i, o: None),
    ):
        assert type(handle) is torch.utils.hooks.RemovableHandle and handle.id >= 0
    with y.register_hook(lambda g: g * 5):
        pass
    y.sum().backward()
    assert x.grad.tolist() == [6, 6]


def test_views_say_so():
    x = torch.ones(3)
    assert x[:2]._is_view() and x.view(3)._is_view() and not x._is_view() and not x.detach()._is_view()


# encoders in inference


def encoder(**settings):
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, 0.1, batch_first=True)
    return nn.TransformerEncoder(layer, 2, **settings).eval()


def zeros(out):
    return (out.abs().sum(-1) < 1e-6).int().tolist()


SHORT = torch.tensor([[0, 0, 0, 1], [0, 0, 1, 1], [0, 1, 1, 1]]).bool()
NONE = [[0] * 4] * 3


def test_padding_is_left_out():
    src = torch.randn(3, 4, 8)
    with torch.no_grad():
        assert zeros(encoder()(src, src_key_padding_mask=SHORT)) == SHORT.int().tolist()
        full = torch.tensor([[0, 0, 0, 0], [0, 0, 0, 1], [1, 1, 1, 1]]).bool()
        out = encoder()(src, src_key_padding_mask=full)
        assert zeros(out) == full.int().tolist() and not out.isnan().any()
        added = torch.zeros(3, 4).masked_fill(SHORT, float("-inf"))
        assert zeros(encoder()(src, src_key_padding_mask=added)) == SHORT.int().tolist()
        norm = nn.LayerNorm(8)
        nn.init.ones_(norm.bias)
        assert encoder(norm=norm)(src, src_key_padding_mask=SHORT)[2, 1].tolist() == [1] * 8
        one = encoder()(src[:1, :3])
        torch.testing.assert_close(encoder()(src, src_key_padding_mask=SHORT)[:1, :3], one)


def test_padding_stays_otherwise():
    src = torch.randn(3, 4, 8)
    assert zeros(encoder()(src, src_key_padding_mask=SHORT)) == NONE  # parameters that need gradients
    with torch.no_grad():
        right = torch.tensor([[0, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]).bool()
        assert zeros(encoder()(src, src_key_padding_mask=right)) == NONE
        assert zeros(encoder(enable_nested_tensor=False)(src, src_key_padding_mask=SHORT)) == NONE
        assert zeros(encoder()(src, mask=torch.zeros(4, 4), src_key_padding_mask=SHORT)) == NONE
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            assert zeros(encoder()(src, src_key_padding_mask=SHORT)) == NONE
        finally:
            torch.backends.mha.set_fastpath_enabled(True)
        assert encoder()(src[0], src_key_padding_mask=SHORT[0]).shape == (4, 8)


def test_backends_of_attention_print_as_names():
    from flambeau.nn.attention import SDPBackend

    assert str(SDPBackend.MATH) == "SDPBackend.MATH" and int(SDPBackend.FLASH_ATTENTION) == 1
    assert SDPBackend.MATH != 0 and SDPBackend(2) is SDPBackend.EFFICIENT_ATTENTION


# small things


def test_random_tensors_for_tests():
    torch.manual_seed(0)
    found = torch.testing.make_tensor((2, 3), dtype=torch.float32, device="cpu")
    expected = [[-0.06738138, 4.8279924, -7.4074063], [-6.6234512, -3.4663892, 2.4134164]]
    torch.testing.assert_close(found, torch.tensor(expected))
    assert round(torch.rand(1).item(), 6) == 0.490093
    torch.manual_seed(0)
    found = torch.testing.make_tensor((1, 2), dtype=torch.complex64, device="cpu", noncontiguous=True)
    assert found.stride() == (4, 2) and abs(found[0, 0] - (-7.4074063 - 6.6234512j)) < 1e-5


@pytest.mark.parametrize(
    "x, order",
    [
        (torch.ones(2, 3, 4).permute(2, 0, 1), (1, 2, 0)),
        (torch.ones(1, 3, 2, 2).to(memory_format=torch.channels_last), (0, 2, 3, 1)),
        (torch.ones(1, 3).expand(2, 3), (0, 1)),
        (torch.ones(1, 1, 3).permute(2, 0, 1), (0, 1, 2)),
        (torch.ones(()), ()),
    ],
)
def test_order_of_dimensions(x, order):
    assert x.dim_order() == order


def test_order_of_dimensions_that_is_not_unique():
    with pytest.raises(RuntimeError, match="does not have unique dim order"):
        torch.ones(2, 1).dim_order(ambiguity_check=True)


def test_compilers_that_do_not_exist():
    from flambeau._dynamo.exc import InvalidBackend

    with pytest.raises(InvalidBackend, match="Invalid backend: 'nope'"):
        torch.compile(lambda x: x, backend="nope")
    with warnings.catch_warnings():
        assert torch.compile(lambda x: x + 1, backend="eager")(1) == 2
