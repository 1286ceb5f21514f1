"""What other packages import of torch beside its documented names: versions, trees, compilers, lists of tensors."""

import collections
import copy
import pickle
import threading

import pytest

import flambeau as torch
from flambeau.torch_version import TorchVersion
from flambeau.utils import _pytree as pytree

Pair = collections.namedtuple("Pair", "a b")


def test_versions_compare_as_pep_440_says():
    order = "1.13 2.9.1 2.14.9+x.1 2.15.0.dev3 2.15.0a0 2.15.0b2 2.15.0rc1 2.15 2.15.0+1.a 2.15.0+cu132 2.15.0+1 2.15.0.post1 10"
    versions = order.replace("2.15.0+1.a 2.15.0+cu132 2.15.0+1", "2.15.0+cu132 2.15.0+1 2.15.0+1.0").split()
    for i, low in enumerate(versions):
        assert TorchVersion(low) == low
        for high in versions[i + 1 :]:
            assert TorchVersion(low) < high and TorchVersion(high) > TorchVersion(low) and TorchVersion(low) != high
    assert TorchVersion("2.15.0") == (2, 15) and TorchVersion("2.15.0") >= [2, 15, 0] and TorchVersion("2.9") < "2.15"
    assert TorchVersion("2.15.0") < "parrot" and TorchVersion("2.15.0") != None  # noqa: E711
    with pytest.raises(TypeError):
        assert TorchVersion("2.15.0") > 3


# Compilers


def test_compiled_modules_are_wrapped():
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Dropout())
    model.note = 5
    compiled = torch.compile(model)
    assert type(compiled).__name__ == "OptimizedModule" and compiled._orig_mod is model
    assert list(compiled.state_dict()) == ["_orig_mod.0.weight", "_orig_mod.0.bias"]
    compiled.eval()
    assert not model.training and not compiled.training
    compiled.note = 6
    assert model.note == 6
    x = torch.ones(1, 2)
    assert compiled(x).equal(model(x))
    calls = []
    compiled.register_forward_hook(lambda *_: calls.append(1))
    compiled(x)
    assert calls == [1]
    for other in (copy.deepcopy(compiled), pickle.loads(pickle.dumps(copy.deepcopy(torch.compile(model))))):
        assert other(x).equal(model(x)) and other.note == 6
    assert torch.compile(model, disable=True) is model
    assert model.compile() is None and list(model.state_dict()) == ["0.weight", "0.bias"]

    @torch.compile
    def double(x):
        return x * 2

    assert double(torch.ones(())).item() == 2


def test_scripts_are_what_they_were_made_of():
    linear = torch.nn.Linear(2, 2)
    assert torch.jit.script(linear) is linear
    assert torch.jit.trace(linear, torch.ones(1, 2)) is linear
    with pytest.raises(RuntimeError):
        torch.jit.trace(linear, torch.ones(1, 3))

    @torch.jit.ignore
    def one():
        return 1

    @torch.jit.ignore(drop=True)
    def two():
        return 2

    assert one() + two() == 3 and not torch.jit.is_scripting()
    assert torch.jit.isinstance([1, 2], list[int]) and not torch.jit.isinstance([1, "a"], list[int])
    assert torch.jit.wait(torch.jit.fork(max, 1, 2)) == 2
    with pytest.raises(NotImplementedError, match="torch.jit.save"):
        torch.jit.save(linear, "x.pt")


# Trees


def test_trees():
    tree = {"b": [1, (2, None)], "a": Pair(3, {"z": 4})}
    leaves, spec = pytree.tree_flatten(tree)
    assert leaves == [1, 2, None, 3, 4] and (spec.num_leaves, spec.num_nodes, spec.num_children) == (5, 10, 2)
    assert spec == pytree.tree_structure(tree) and spec.unflatten(leaves) == tree
    assert type(spec.unflatten(leaves)["a"]) is Pair
    assert repr(pytree.tree_structure([1, (2,)])) == "TreeSpec(list, None, [*,\n  TreeSpec(tuple, None, [*])])"
    with pytest.raises(ValueError, match="`leaves` has length 1"):
        spec.unflatten([1])
    with pytest.raises(ValueError, match="expected 2, but got 1"):
        pytree.tree_map(lambda a, b: a, [1, 2], [3])
    with pytest.raises(ValueError, match="Node type mismatch"):
        pytree.tree_map(lambda a, b: a, [1, 2], (3, 4))
    assert pytree.tree_map(lambda a, b: a + b, {"x": 1, "y": 2}, {"y": 30, "x": 10}) == {"x": 11, "y": 32}
    assert pytree.tree_map_only(int, str, [1, "a", 2.0]) == ["1", "a", 2.0]
    assert pytree.tree_leaves({"b": [1, 2]}, is_leaf=lambda x: isinstance(x, list)) == [[1, 2]]
    paths = [pytree.keystr(path) for path, _ in pytree.tree_leaves_with_path(tree)]
    assert paths == ["['b'][0]", "['b'][1][0]", "['b'][1][1]", "['a'].a", "['a'].b['z']"]
    default = pytree.tree_map(lambda x: x + 1, collections.defaultdict(int, k=1))
    assert default == {"k": 2} and default.default_factory is int
    assert pytree.tree_map(lambda x: x, collections.deque([1, 2], maxlen=2)).maxlen == 2
    assert pytree._broadcast_to_and_flatten((0, 1), pytree.tree_structure(([5, 6], 7))) == [0, 0, 1]


def test_classes_become_containers():
    class Box:
        def __init__(self, content):
            self.content = content

    pytree.register_pytree_node(Box, lambda box: ([box.content], "mark"), lambda items, mark: Box(items[0]))
    assert pytree.tree_map(lambda x: x + 1, [Box(1)])[0].content == 2
    with pytest.raises(ValueError, match="already registered"):
        pytree.register_pytree_node(Box, None, None)
    del pytree.SUPPORTED_NODES[Box]

    class Named(dict):
        pass

    functions = pytree._dict_flatten, lambda items, keys: Named(pytree._dict_unflatten(items, keys))
    pytree.register_pytree_node(Named, *functions, flatten_with_keys_fn=pytree._dict_flatten_with_keys)
    pairs, spec = pytree.tree_flatten_with_path(Named(b=1, a=[2]))
    assert [(pytree.keystr(path), leaf) for path, leaf in pairs] == [("['b']", 1), ("['a'][0]", 2)]
    assert type(spec.unflatten([3, 4])) is Named and pytree._list_flatten([5]) == ([5], None)
    del pytree.SUPPORTED_NODES[Named]


# Lists of tensors


def test_operators_of_lists():
    def lists():
        return [torch.tensor([1.0, 4.0]), torch.tensor([9.0])], [torch.tensor([2.0, 2.0]), torch.tensor([3.0])]

    a, b = lists()
    same = lambda have, want: [x.tolist() for x in have] == want
    assert same(torch._foreach_add(a, 1), [[2, 5], [10]]) and same(torch._foreach_add(a, b, alpha=2), [[5, 8], [15]])
    assert same(torch._foreach_mul(a, [2, 3]), [[2, 8], [27]]) and same(torch._foreach_div(a, b), [[0.5, 2], [3]])
    assert same(torch._foreach_sqrt(a), [[1, 2], [3]]) and same(torch._foreach_maximum(a, b), [[2, 4], [9]])
    assert same(torch._foreach_clamp_min(a, 3), [[3, 4], [9]]) and same(torch._foreach_pow(2, b), [[4, 4], [8]])
    assert same(torch._foreach_lerp(a, b, 0.5), [[1.5, 3], [6]]) and same(torch._foreach_norm(b[1:]), [3])
    assert torch._foreach_neg_(a) is a and same(a, [[-1, -4], [-9]])
    torch._foreach_addcdiv_(a, b, b, value=2)
    assert same(a, [[1, -2], [-7]])
    torch._foreach_addcmul_(a, b, b, [1, 2])
    assert same(a, [[5, 2], [11]])
    torch._foreach_copy_(a, b)
    torch._foreach_zero_(b)
    assert same(a, [[2, 2], [3]]) and same(b, [[0, 0], [0]])
    with pytest.raises(RuntimeError, match="same number of tensors"):
        torch._foreach_add(a, b[:1])


# Futures


def test_futures():
    future = torch.futures.Future()
    later = future.then(lambda done: done.value() + 1)
    with pytest.raises(RuntimeError):
        future.value()
    thread = threading.Timer(0.01, future.set_result, [1])
    thread.start()
    assert later.wait() == 2 and future.done()
    with pytest.raises(RuntimeError, match="once"):
        future.set_result(2)
    failed = torch.futures.Future()
    failed.set_exception(KeyError("x"))
    with pytest.raises(KeyError):
        torch.futures.wait_all([future, failed])
    assert torch.futures.wait_all([future, later]) == [1, 2]


def test_private_names_that_packages_ask():
    assert torch._C._get_tracing_state() is None and torch._C._log_api_usage_once("x") is None
    assert issubclass(torch._C._LinAlgError, RuntimeError)
    assert not hasattr(torch._C, "_nothing_of_the_kind")
    with pytest.raises(AttributeError, match="torch._C._nothing_of_the_kind"):
        torch._C._nothing_of_the_kind
    with pytest.raises(ValueError, match="init_process_group"):
        torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(1, 1))
    assert not isinstance(torch.nn.Linear(1, 1), torch.fx.GraphModule) and torch.ones(2)[0]._is_view()
    with pytest.raises(ValueError, match="init_process_group"):
        torch.distributed.all_reduce(torch.ones(1))
    assert torch.cpu.device_count() == 1 and not torch.xpu.is_available()


def test_descriptions_of_the_build():
    shown = torch.__config__.show()
    assert "USE_MKL=OFF" in shown and "TORCH_VERSION=" in shown and torch.__config__._cxx_flags() == ""
    assert str(torch.get_num_threads()) in torch.__config__.parallel_info()


def test_nothing_is_traced():
    from flambeau._subclasses.fake_tensor import FakeTensor, is_fake
    from flambeau.fx.experimental.proxy_tensor import get_proxy_mode

    assert not is_fake(torch.ones(1)) and get_proxy_mode() is None and not torch.onnx.is_in_onnx_export()
    for kind in (torch.SymInt, torch.SymFloat, torch.SymBool):
        assert not isinstance(1, kind) and not isinstance(1.0, kind)
        with pytest.raises(NotImplementedError):
            kind(None)
    with pytest.raises(NotImplementedError):
        FakeTensor()
    with pytest.raises(AttributeError, match="torch.onnx.export"):
        torch.onnx.export

    @torch.jit._overload
    def half(x: int) -> int: ...

    def half(x):  # noqa: F811
        return x / 2

    assert half(3) == 1.5 and torch.jit._overload_method(half) is half


def test_types_that_tensors_here_do_not_have():
    assert torch.complex32 is torch.chalf and repr(torch.complex32) == "torch.complex32"
    assert torch.complex32 not in {torch.complex64, torch.float16} and torch.complex32.is_complex
    assert pickle.loads(pickle.dumps(torch.complex32)) is copy.deepcopy(torch.complex32) is torch.complex32
    assert torch.complex32.to_real() is torch.float16 and torch.bcomplex32.to_real() is torch.bfloat16
    eighths = [
        torch.float8_e4m3fn,
        torch.float8_e4m3fnuz,
        torch.float8_e5m2,
        torch.float8_e5m2fnuz,
        torch.float8_e8m0fnu,
    ]
    for absent in [
        torch.complex32,
        torch.float4_e2m1fn_x2,
        torch.qint8,
        torch.uint4,
        torch.int7,
        torch.bits8,
        *eighths,
    ]:
        assert isinstance(absent, torch.dtype) and absent != torch.uint8
        for use in (lambda x: torch.zeros(1, dtype=x), lambda x: torch.zeros(1).to(x), torch.iinfo):
            with pytest.raises((TypeError, NotImplementedError)):
                use(absent)
    limits = [(448, 0.125, 2**-6), (240, 0.125, 2**-7), (57344, 0.25, 2**-14), (57344, 0.25, 2**-15)]
    for kind, (high, eps, tiny) in zip(eighths, limits, strict=False):
        facts = torch.finfo(kind)
        assert (facts.max, facts.min, facts.eps, facts.tiny, facts.bits) == (high, -high, eps, tiny, 8)
        assert kind.itemsize == 1 and kind.is_floating_point and kind.is_signed and kind.to_real() is kind
    scale = torch.finfo(torch.float8_e8m0fnu)
    assert (scale.max, scale.min, scale.eps, scale.dtype) == (2.0**127, 2.0**-127, 1.0, "float8_e8m0fnu")
    assert torch.finfo(torch.complex32) == torch.finfo(torch.float16) and not torch.float8_e8m0fnu.is_signed
    assert torch.quint4x2.itemsize == 1 and torch.qint32.itemsize == 4 and torch.bits16.itemsize == 2
    for run in (lambda: torch.qint8.is_signed, torch.float8_e5m2.to_complex):
        with pytest.raises(RuntimeError):
            run()
    with pytest.raises(TypeError):
        torch.finfo(torch.uint4)


def test_asserts():
    assert torch._assert_async(torch.tensor(True)) is None and torch._assert(1, "m") is None
    with pytest.raises(AssertionError, match="m"):
        torch._assert(torch.tensor(False), "m")
    cases = [(torch.tensor(0.0), "nonzero"), (torch.ones(2), "more than one"), (torch.zeros(0), "no values")]
    for value, message in cases:
        with pytest.raises(RuntimeError, match=message):
            torch._assert_async(value)
    with pytest.raises(RuntimeError, match="low"):
        torch._assert_async(torch.tensor(False), "low")
    with pytest.raises(TypeError):
        torch._assert_async(1)


def test_hash_of_a_file_name():
    assert torch.hub.HASH_REGEX.search("net-0123abcd.pth").group(1) == "0123abcd"


def test_operators_by_their_names():
    aten = torch.ops.aten
    x = torch.arange(12.0).reshape(3, 4)
    assert aten.add(x, 1).equal(x + 1) and aten.add.Tensor(x, x, alpha=2).equal(3 * x)
    assert aten.slice.Tensor(x, -1, 1, 3).equal(x[:, 1:3]) and aten.select.int(x, 1, 2).equal(x[:, 2])
    assert aten.index.Tensor(x, [None, torch.tensor([0, 2])]).equal(x[:, [0, 2]])
    copy = aten._to_copy.default(x, dtype=torch.float64)
    assert copy.dtype == torch.float64 and aten._to_copy(x).data_ptr() != x.data_ptr()
    assert aten.alias.default(x).data_ptr() == x.data_ptr() and aten.sum.dim_IntList(x, [0]).equal(x.sum(0))
    assert aten.sort.stable(x, stable=True, dim=1, descending=True)[0].equal(x.flip(1))
    assert (str(aten.add), str(aten.add.Tensor), aten.add.Tensor.name()) == (
        "aten.add",
        "aten.add.Tensor",
        "aten::add.Tensor",
    )
    assert aten.add.Tensor is aten.add.Tensor and aten.add.default.name() == "aten::add"
    for owner, name in ((aten, "nothing"), (torch.ops.other, "f"), (aten.add, "Nothing"), (aten, "einsum_path")):
        assert not hasattr(owner, name)
    with pytest.raises(NotImplementedError, match="_sparse_addmm"):
        aten._sparse_addmm(x, x, x)


def test_numbers_of_a_tensor_as_text():
    from flambeau._tensor_str import PRINT_OPTS, _tensor_str

    assert _tensor_str(torch.eye(2), 3) == "[[1., 0.],\n    [0., 1.]]"
    parameter = torch.nn.Parameter(torch.tensor(1.5, dtype=torch.float64))
    assert _tensor_str(parameter, 0) == "1.5000" and _tensor_str(torch.zeros(0, 2), 0) == "[]"
    assert PRINT_OPTS.threshold == 1000 and PRINT_OPTS.linewidth == 80 and PRINT_OPTS.sci_mode is None
    lines = {indent: len(_tensor_str(torch.arange(60), indent).splitlines()) for indent in (0, 60)}
    assert lines == {0: 3, 60: 12}
    with pytest.raises(AttributeError):
        PRINT_OPTS.nothing
    with torch._tensor_str.printoptions(precision=2, threshold=3, linewidth=40):
        assert str(torch.tensor([1.23456])) == "tensor([1.23])" and PRINT_OPTS.threshold == 3
    assert (PRINT_OPTS.precision, PRINT_OPTS.threshold, PRINT_OPTS.linewidth) == (4, 1000, 80)


def test_no_calls_of_other_processes():
    from flambeau.distributed import rpc

    assert not rpc.is_available() and not hasattr(rpc, "api")


# Overrides by region, and what else Lightning and Accelerate import


def test_modes_see_initialisers():
    from flambeau.overrides import BaseTorchFunctionMode, TorchFunctionMode

    seen = []

    class Skip(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            if "tensor" not in (kwargs or {}):
                return func(*args, **(kwargs or {}))
            seen.append((func.__name__, func.__module__, sorted(kwargs)))
            return kwargs["tensor"]

    with Skip(), BaseTorchFunctionMode():
        kept = torch.nn.init.constant_(torch.zeros(2), 3.0)
        torch.nn.Linear(2, 2)
    assert kept.tolist() == [0, 0] and not torch.overrides.has_torch_function(())
    home = torch.__name__ + ".nn.init"
    assert seen[0] == ("constant_", home, ["tensor", "val"])
    assert [name for name, *_ in seen[1:]] == ["kaiming_uniform_", "uniform_"]
    assert torch.nn.init.constant_(torch.zeros(2), 3.0).tolist() == [3, 3]
    zeros = torch.zeros(2)
    with pytest.raises(NotImplementedError), TorchFunctionMode():
        torch.nn.init.normal_(zeros)


def test_assigned_parameters_are_registered_by_whatever_stands_for_it(monkeypatch):
    names, plain = [], torch.nn.Module.register_parameter

    def register(module, name, param):
        names.append(name)
        plain(module, name, param)
        if param is not None:
            module._parameters[name] = torch.nn.Parameter(param.to("meta"))

    monkeypatch.setattr(torch.nn.Module, "register_parameter", register)
    linear = torch.nn.Linear(2, 2)
    assert names == ["weight", "bias"] and linear.weight.is_meta
    monkeypatch.undo()

    class Own(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.p = torch.nn.Parameter(torch.ones(1))

        def register_parameter(self, name, param):
            names.append((name, 1))
            super().register_parameter(name, param)

    assert not torch.nn.Linear(2, 2).weight.is_meta and Own().p == 1 and names[-1] == ("p", 1)


def test_records_of_files(tmp_path):
    path = tmp_path / "x.pt"
    torch.save({"a": torch.arange(5.0), "b": torch.ones(3, dtype=torch.int16)}, path)
    reader = torch.PyTorchFileReader(str(path))
    assert {"data.pkl", "byteorder", "data/0", "data/1", "version"} <= set(reader.get_all_records())
    assert reader.has_record("data/0") and not reader.has_record("data/2")
    assert reader.get_record("byteorder") == b"little" and reader.get_record_size("data/0") == 20
    assert len(reader.serialization_id()) == 40
    for _ in range(3):
        found = reader.get_storage_from_record("data/0", 5, torch.float32)
        assert found.shape == (0,) and found.untyped_storage().nbytes() == 20
        assert torch.tensor([]).set_(found.untyped_storage(), 0, (5,)).tolist() == [0, 1, 2, 3, 4]
    raw = reader.get_storage_from_record("data/0", 20, torch.UntypedStorage)
    assert raw.dtype == torch.uint8 and raw._typed_storage()._untyped_storage.nbytes() == 20
    offset = reader.get_record_offset("data/1")
    assert path.read_bytes()[offset : offset + 6] == bytes([1, 0] * 3)
    with pytest.raises(RuntimeError, match=r"record size \(20 bytes\) does not match expected size \(12 bytes"):
        reader.get_storage_from_record("data/0", 3, torch.float32)
    with pytest.raises(RuntimeError, match="failed locating file none"):
        reader.get_record("none")
    with pytest.raises(RuntimeError, match="errno 2"):
        torch.PyTorchFileReader(str(tmp_path / "none"))


def test_lists_are_cut_up_by_dtype():
    from flambeau.utils._foreach_utils import _group_tensors_by_device_and_dtype as group
    from flambeau.utils._foreach_utils import _has_foreach_support

    a = [torch.ones(1), torch.ones(2, dtype=torch.float64), torch.ones(3)]
    groups = group([a, [None, a[1], a[2]], []], with_indices=True)
    first, second = groups[torch.device("cpu"), torch.float32], groups[torch.device("cpu"), torch.float64]
    assert first[1] == [0, 2] and first[0][0][1] is a[2] and first[0][1] == [None, a[2]] and first[0][2] == []
    assert second[1] == [1] and second[0][0][0] is a[1] and group([a])[torch.device("cpu"), torch.float64][1] == []
    for wrong in ([[]], [a, a[:2]], [[None]]):
        with pytest.raises(RuntimeError):
            group(wrong)
    assert _has_foreach_support(a, torch.device("cpu"))


def test_private_helpers():
    from flambeau import _utils
    from flambeau.distributed._tensor import DTensor
    from flambeau.profiler.profiler import _default_schedule_fn

    assert torch._C._nn._parse_to("cpu", torch.half, True) == (torch.device("cpu"), torch.half, True, None)
    meta = torch.TypedStorage(dtype=torch.float32, device="meta", _internal=True)
    window = torch._utils._rebuild_tensor_v2(meta, 3, (2, 3), (3, 1), False, None)
    assert (window.shape, window.stride(), window.storage_offset(), window.is_meta) == ((2, 3), (3, 1), 3, True)
    assert torch._C._TensorMeta is type(torch.Tensor)
    assert _utils._element_size(torch.bool) == 1 and _utils._element_size(torch.complex64) == 8
    assert _utils._get_device_index("cuda:1") == 1 and _utils._get_device_index("cpu", allow_cpu=True) == -1
    for wrong in ("cpu", "cuda", None):
        with pytest.raises(ValueError):
            _utils._get_device_index(wrong)
    assert torch.cuda.get_rng_state_all() == [] and torch.cuda.set_rng_state_all([]) is None
    assert _default_schedule_fn(3) == torch.profiler.ProfilerAction.RECORD
    assert torch._dynamo.eval_frame.OptimizedModule is torch._dynamo.OptimizedModule
    assert torch.ScriptModule is torch.jit.ScriptModule and not isinstance(torch.ones(1), DTensor)
    with pytest.raises(ValueError):
        DTensor()
    assert not torch.autograd._profiler_enabled()
    with torch.autograd.profiler.profile(), torch.autograd.profiler.emit_nvtx(enabled=False):
        assert torch.autograd._profiler_enabled()
    with pytest.raises(RuntimeError, match="NVTX"), torch.autograd.profiler.emit_nvtx():
        pass


def test_flops_are_counted():
    from flambeau.utils.flop_counter import FlopCounterMode

    nn, ones = torch.nn, torch.ones
    net = nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Sequential(nn.Linear(16, 2, bias=False)))
    with FlopCounterMode(display=False) as counter:
        net(ones(4, 10))
    expected = {"aten.addmm": 1280, "aten.mm": 256}
    assert counter.get_total_flops() == 1536
    assert counter.get_flop_counts() == {
        "Global": expected, "Sequential": expected, "Sequential.0": {"aten.addmm": 1280},
        "Sequential.2": {"aten.mm": 256}, "Sequential.2.0": {"aten.mm": 256},
    }  # fmt: skip
    assert "100.00%" in counter.get_table()
    convolutions = nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2), nn.ConvTranspose2d(4, 6, 3, groups=2), nn.Conv2d(6, 6, 3, 1, 1, groups=3)
    )
    query = ones(2, 3, 4, 8)
    # As PyTorch counts them.
    for total, run in {
        29376: lambda: convolutions(ones(2, 3, 9, 9)),
        14688: lambda: convolutions(ones(3, 9, 9)),
        0: lambda: (ones(3, 4) @ ones(4), nn.LSTM(3, 4)(ones(2, 2, 3)), ones(3) * 2),
        1440: lambda: ones(2, 3, 4, 5) @ ones(5, 6),
        1680: lambda: ones(2, 1, 4, 5) @ ones(3, 5, 7),
        240: lambda: torch.baddbmm(ones(2, 3, 5), ones(2, 3, 4), ones(2, 4, 5)),
        3072: lambda: nn.functional.scaled_dot_product_attention(query, query, query),
        6720: lambda: nn.MultiheadAttention(8, 2, batch_first=True)(*[ones(2, 5, 8)] * 3),
    }.items():
        with FlopCounterMode(display=False) as counter:
            run()
        assert counter.get_total_flops() == total
    for run in (
        lambda: net(ones(4, 10)).sum().backward(),
        lambda: nn.functional.conv1d(ones(1, 1, 3), ones(1, 1, 2)),
        lambda: torch.einsum("ij,jk", ones(2, 3), ones(3, 4)),
    ):
        with pytest.raises(NotImplementedError), FlopCounterMode(display=False):
            run()
    assert not torch._C._profiler_enabled() and not torch.nn.modules.module._global_forward_hooks


def test_placements_and_other_names():
    from flambeau.distributed.tensor import Partial, Replicate, Shard
    from flambeau.fx.node import Node
    from flambeau.jit.annotations import List
    from flambeau.optim.optimizer import ParamsT, _default_to_fused_or_foreach, _use_grad_for_differentiable
    from flambeau.utils import cpp_extension, model_zoo
    from flambeau.utils.data._utils.collate import np_str_obj_array_pattern

    assert [str(x) for x in (Shard(2), Replicate(), Partial(), Partial("avg"))] == ["S(2)", "R", "P(sum)", "P(avg)"]
    assert (
        Shard(1) == Shard(1) != Shard(0)
        and Shard(1).is_shard(1)
        and not Shard(1).is_shard(0)
        and Partial().is_partial()
    )
    for make in (torch.distributed.DeviceMesh, torch.distributed.init_device_mesh):
        with pytest.raises(ValueError, match="init_process_group"):
            make("cpu", (1,))
    assert torch.distributed.device_mesh.DeviceMesh is torch.distributed.DeviceMesh and not hasattr(
        torch.distributed, "x"
    )
    with pytest.raises(NotImplementedError, match="cpp_extension.load"):
        cpp_extension.load("x", [])
    assert cpp_extension.CUDA_HOME is None and model_zoo.load_url is torch.hub.load_state_dict_from_url
    with pytest.raises(NotImplementedError, match="torch.DeviceObjType"):
        torch.DeviceObjType.get()
    assert torch.functional.einsum is torch.einsum and torch.functional.norm is torch.norm
    assert Node is torch.fx.Node and List[int] and ParamsT and np_str_obj_array_pattern.search("<U3")
    assert torch.hub.get_dir().startswith(torch.hub._get_torch_home())
    assert _default_to_fused_or_foreach([torch.ones(1)], False) == (False, False)

    class Recorded(torch.optim.SGD):
        step = _use_grad_for_differentiable(lambda self: torch.is_grad_enabled())

    parameters = [torch.ones(1, requires_grad=True)]
    assert Recorded(parameters, 0.1, differentiable=True).step() and not Recorded(parameters, 0.1).step()
