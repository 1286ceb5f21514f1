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
    assert torch.fx.wrap(max) is max and not isinstance(torch.nn.Linear(1, 1), torch.fx.GraphModule)
    with pytest.raises(NotImplementedError, match="torch.fx.symbolic_trace"):
        torch.fx.symbolic_trace(torch.nn.Linear(1, 1))
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
    assert pickle.loads(pickle.dumps(torch.complex32)) is torch.complex32
    with pytest.raises(TypeError):
        torch.zeros(1, dtype=torch.complex32)


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


def test_no_calls_of_other_processes():
    from flambeau.distributed import rpc

    assert not rpc.is_available() and not hasattr(rpc, "api")
