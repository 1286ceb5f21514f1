"""Names of PyTorch that packages ask for: of images, of graphs that are not written, of earlier transforms."""

import subprocess
import sys

import pytest

import flambeau as torch


def test_functions_of_parameters():
    from flambeau._functorch import make_functional as earlier
    from flambeau._functorch.package import combine_state_for_ensemble, make_functional, make_functional_with_buffers

    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    function, parameters = make_functional(net)
    x, y = torch.randn(5, 3), torch.tensor([0, 1, 1, 0, 1])
    assert function(parameters, x).equal(net(x)) and isinstance(function, earlier.FunctionalModule)
    assert all(isinstance(p, torch.nn.Parameter) and p is not q for p, q in zip(parameters, net.parameters()))

    def loss(parameters, x, y):
        return torch.nn.functional.cross_entropy(function(parameters, x[None]), y[None])

    grads = torch.func.vmap(torch.func.grad(loss), (None, 0, 0))(parameters, x, y)
    torch.nn.functional.cross_entropy(net(x), y, reduction="sum").backward()
    assert all(torch.allclose(g.sum(0), p.grad, atol=1e-6) for g, p in zip(grads, net.parameters()))
    models = [torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4)).eval() for _ in range(3)]
    with pytest.raises(RuntimeError, match=r"make_functional\(model\): `model` has buffers"):
        make_functional(models[0])
    function, parameters, buffers = make_functional_with_buffers(models[0], disable_autograd_tracking=True)
    assert function(parameters, buffers, x).equal(models[0](x)) and not parameters[0].requires_grad
    function, parameters, buffers = combine_state_for_ensemble(models)
    found = torch.func.vmap(function, (0, 0, None))(parameters, buffers, x)
    assert torch.allclose(found, torch.stack([model(x) for model in models]), atol=1e-6)
    with pytest.raises(RuntimeError, match="Expected at least one model, got 0"):
        combine_state_for_ensemble([])
    code = (
        "import functorch, torch; assert functorch.vmap is torch.func.vmap; print(functorch.make_functional.__name__)"
    )
    done = subprocess.run([sys.executable, "-m", "flambeau", "-c", code], capture_output=True, text=True)
    assert done.stdout == "make_functional\n", done.stderr


def test_uninitialized_parameters_move():
    layer = torch.nn.LazyLinear(3).to("cpu").to(torch.float64)
    assert layer.weight.dtype == torch.float64 and layer(torch.ones(2, 4, dtype=torch.float64)).shape == (2, 3)


def test_nothing_is_quantized_or_exported():
    from flambeau.ao.quantization import DeQuantStub, QConfig, QuantStub
    from flambeau.onnx import register_custom_op_symbolic, symbolic_opset11, unregister_custom_op_symbolic
    from flambeau.onnx.symbolic_helper import parse_args

    x = torch.tensor([-1.0, 2.0])
    assert QuantStub()(x) is x and DeQuantStub()(x) is x and QConfig(1, 2).weight == 2
    sums = torch.nn.quantized.FloatFunctional()
    assert (
        sums.add_relu(x, x).tolist() == [0, 4]
        and sums.cat([x, x]).shape == (4,)
        and sums.mul_scalar(x, 3).tolist() == [-3, 6]
    )
    with pytest.raises(RuntimeError, match="not intended to use the 'forward'"):
        sums(x)
    with pytest.raises(AttributeError, match="tensors are not quantized"):
        torch.ao.quantization.prepare
    register_custom_op_symbolic("own::op", parse_args("v")(max), 11)
    unregister_custom_op_symbolic("own::op", 11)
    with pytest.raises(ValueError, match="Failed to register operator op"):
        register_custom_op_symbolic("op", max, 11)
    with pytest.raises(AttributeError, match="does not write models in ONNX"):
        symbolic_opset11.squeeze
    with pytest.raises(AttributeError, match="torch.onnx.export"):
        torch.onnx.export


def test_names_for_annotations():
    from flambeau._dynamo.utils import is_compile_supported
    from flambeau.jit.annotations import BroadcastingList2
    from flambeau.nn.common_types import _ratio_2_t, _size_2_opt_t, _size_any_t
    from flambeau.types import _device, _dtype
    from flambeau.utils.data.dataloader import _collate_fn_t

    assert BroadcastingList2[int] is None and _device is torch.device and _dtype is torch.dtype
    assert str(_size_any_t) == "typing.Union[int, tuple[int, ...]]" and _ratio_2_t and _size_2_opt_t and _collate_fn_t
    assert torch.jit._script_if_tracing(max) is max and not is_compile_supported("cpu")


def test_processor():
    assert torch.backends.cpu.get_cpu_capability() in ("DEFAULT", "AVX2", "AVX512")
    code = "import flambeau; print(flambeau.backends.cpu.get_cpu_capability())"
    import os

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "FLAMBEAU_ISA": "baseline"}
    )
    assert done.stdout == "DEFAULT\n", done.stderr


def test_no_group_of_processes():
    from flambeau.distributed._composable.fsdp import FSDPModule, fully_shard
    from flambeau.distributed._tensor.experimental import implicit_replication
    from flambeau.distributed.fsdp import FullyShardedDataParallel, MixedPrecisionPolicy

    with implicit_replication():
        assert not isinstance(torch.nn.Linear(1, 1), FSDPModule) and MixedPrecisionPolicy().cast_forward_inputs
    for call in (lambda: fully_shard(torch.nn.Linear(1, 1)), lambda: FullyShardedDataParallel(torch.nn.Linear(1, 1))):
        with pytest.raises(ValueError, match="init_process_group"):
            call()


def test_progress_of_downloads(tmp_path, capsys):
    from flambeau.utils.model_zoo import tqdm

    source = tmp_path / "source.bin"
    source.write_bytes(b"x" * 300000)
    torch.hub.download_url_to_file(source.as_uri(), str(tmp_path / "copy.bin"), progress=False)
    assert (tmp_path / "copy.bin").read_bytes() == source.read_bytes() and capsys.readouterr().err == ""
    torch.hub.download_url_to_file(source.as_uri(), str(tmp_path / "copy.bin"))
    assert "100" in capsys.readouterr().err and list(tqdm([1, 2], disable=True)) == [1, 2]


def test_dicts_by_identity():
    from flambeau.utils.weak import TensorWeakRef, WeakIdKeyDictionary, WeakTensorKeyDictionary

    a, b = torch.ones(2), torch.ones(2)
    found = WeakTensorKeyDictionary({a: 1})
    found[b] = 2
    assert found[a] == 1 and found[b] == 2 and len(found) == 2 and 3 not in found and WeakIdKeyDictionary is type(found)
    other, reference = found.copy(), TensorWeakRef(b)
    assert other == found and reference() is b and [key is item for key, item in zip(found, (a, b))] == [True, True]
    del b
    assert len(found) == len(other) == 1 and reference() is None and found.pop(a) == 1 and not found
    with pytest.raises(KeyError):
        found[a]


def test_exchanged_tensors():
    from flambeau.nn.utils._named_member_accessor import swap_tensor

    layer = torch.nn.Linear(2, 1)
    weight, other = layer.weight, torch.ones(1, 2)
    assert swap_tensor(layer, "weight", other) is weight and layer.weight is other
    assert swap_tensor(layer, "weight", weight) is other and "weight" in dict(layer.named_parameters())
    for name, error in (("a.b", KeyError), ("", KeyError), ("absent", AttributeError), ("in_features", TypeError)):
        with pytest.raises(error):
            swap_tensor(layer, name, other)


def test_kinds_of_objects():
    import time

    from flambeau.utils._python_dispatch import TorchDispatchMode, is_traceable_wrapper_subclass
    from flambeau.utils._pytree import is_structseq, is_structseq_instance
    from flambeau.utils.data._utils.worker import _generate_state

    assert (
        is_structseq_instance(torch.ones(2, 2).max(0))
        and is_structseq(time.struct_time)
        and not is_structseq_instance((1, 2))
    )
    assert not is_traceable_wrapper_subclass(torch.nn.Parameter(torch.ones(1)))
    with pytest.raises(NotImplementedError, match="do not call __torch_dispatch__"), TorchDispatchMode():
        pass
    assert _generate_state(12345, 3) == [388367306, 2732186161, 3264781304, 1215154576]
    assert _generate_state(2**63 + 5, 0) == [3487319521, 2224714317, 3048379683, 1315044859]
    assert torch._utils._get_device_module("cpu") is torch.cpu and torch._utils._get_available_device_type() is None
    with pytest.raises(RuntimeError, match="'torch.nothing'"):
        torch._utils._get_device_module("nothing")


def test_tensors_behind_hidden_dimensions():
    seen = []

    def look(x):
        native = torch._C._functorch
        seen.append((native.is_batchedtensor(x), native.get_unwrapped(x).shape, native.maybe_get_bdim(x)))
        return x * 2

    torch.vmap(look)(torch.ones(3, 2))
    assert seen == [(True, (3, 2), 0)] and not torch._C._functorch.is_batchedtensor(torch.ones(1))
    with pytest.raises(RuntimeError, match="No wrappers present!"):
        torch._C._functorch.get_unwrapped(torch.ones(1))
    assert not torch._C._is_torch_function_mode_enabled()


def test_convolution_with_all_that_its_operator_takes():
    x, weight = torch.arange(12.0).view(1, 1, 12), torch.ones(1, 1, 3)
    more = ([1], [0], [1], False, [0], 1, False, False, True, True)
    assert torch.ops.aten._convolution(x, weight, None, *more).equal(torch.conv1d(x, weight))
