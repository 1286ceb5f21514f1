"""Captured programs; texts and numbers are PyTorch's."""

import copy
import operator
import pickle

import pytest

import flambeau as torch
from flambeau import fx, nn
from flambeau.fx import _places
from flambeau.fx.passes.shape_prop import ShapeProp
from flambeau.fx.proxy import GraphAppendingTracer, TraceError


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.rest = nn.Sequential(nn.ReLU(), nn.Linear(4, 4))
        self.scale = nn.Parameter(torch.ones(4))

    def forward(self, x, y=None, *more, k: int = 2, **named):
        z = self.rest(self.first(x)) + self.scale * 2 - x.shape[0]
        a, b = torch.chunk(z, 2, 1)
        q = torch.cat([a, b], 1).view(x.size(0), -1)[:, 1:]
        q = nn.functional.relu(q, inplace=False).neg() ** 2 + 1 - (1 - q)
        q = q.to(dtype=torch.float64, device=torch.device("cpu"))
        q += 1
        t = q.mean(dim=-1, keepdim=True)
        return {"a": t, "b": [q, -t, float("inf")]}, y


CODE = """


def forward(self, x, y = None, k : int = 2, *more, **named):
    _more = more
    _named = named
    first = self.first(x)
    rest_0 = getattr(self.rest, "0")(first);  first = None
    rest_1 = getattr(self.rest, "1")(rest_0);  rest_0 = None
    scale = self.scale
    mul = scale * 2;  scale = None
    add = rest_1 + mul;  rest_1 = mul = None
    getattr_1 = x.shape
    getitem = getattr_1[0];  getattr_1 = None
    sub = add - getitem;  add = getitem = None
    chunk = torch.chunk(sub, 2, 1);  sub = None
    getitem_1 = chunk[0]
    getitem_2 = chunk[1];  chunk = None
    cat = torch.cat([getitem_1, getitem_2], 1);  getitem_1 = getitem_2 = None
    size = x.size(0);  x = None
    view = cat.view(size, -1);  cat = size = None
    getitem_3 = view[(slice(None, None, None), slice(1, None, None))];  view = None
    relu = torch.nn.functional.relu(getitem_3, inplace = False)
    neg = relu.neg();  relu = None
    pow_1 = neg ** 2;  neg = None
    add_1 = pow_1 + 1;  pow_1 = None
    sub_1 = 1 - getitem_3;  getitem_3 = None
    sub_2 = add_1 - sub_1;  add_1 = sub_1 = None
    to = sub_2.to(dtype = torch.float64, device = device(type='cpu'));  sub_2 = None
    add_2 = to + 1;  to = None
    mean = add_2.mean(dim = -1, keepdim = True)
    neg_1 = -mean
    return ({'a': mean, 'b': [add_2, neg_1, inf]}, y)
    """


@pytest.fixture(autouse=True)
def everything_in_its_place():
    before = torch.relu, nn.functional.relu, nn.Module.__call__, nn.Module.__getattr__
    yield
    assert _places._live == 0
    assert before == (torch.relu, nn.functional.relu, nn.Module.__call__, nn.Module.__getattr__)
    assert type(torch.relu) is not _places.recording


def body(function, **settings):
    """The lines of a captured function, without its head."""
    return [line.strip() for line in fx.symbolic_trace(function, **settings).code.strip().splitlines()[1:]]


def test_a_module_as_text():
    torch.manual_seed(0)
    model = Model()
    found = fx.symbolic_trace(model)
    assert found.code == CODE and type(found).__name__ == "Model" and isinstance(found, fx.GraphModule)
    x = torch.randn(2, 3)
    wanted, have = model(x, 5), found(x, 5)
    assert have[0]["a"].equal(wanted[0]["a"]) and have[0]["b"][0].equal(wanted[0]["b"][0]) and have[1] == 5
    assert [name for name, _ in found.named_parameters()] == [
        "scale", "first.weight", "first.bias", "rest.1.weight", "rest.1.bias",
    ]  # fmt: skip
    lines = str(found.graph).splitlines()
    assert lines[:4] == [
        "graph():",
        "    %x : [num_users=3] = placeholder[target=x]",
        "    %y : [num_users=1] = placeholder[target=y](default=None)",
        "    %k : int [num_users=0] = placeholder[target=k](default=2)",
    ]
    line = "    %add : [num_users=1] = call_function[target=operator.add](args = (%rest_1, %mul), kwargs = {})"
    assert line in lines and lines[-1] == "    return ({'a': mean, 'b': [add_2, neg_1, inf]}, y)"
    for other in (copy.deepcopy(found), pickle.loads(pickle.dumps(found))):
        assert other.code == CODE and other(x)[0]["a"].equal(wanted[0]["a"]) and other.graph is not found.graph
    assert [node.name for node in found.graph.find_nodes(op="call_module")] == ["first", "rest_0", "rest_1"]


def test_functions_as_text():
    assert body(lambda x: torch.einsum("ij,jk->ik", x, x)) == [
        "einsum = torch.einsum('ij,jk->ik', x, x);  x = None", "return einsum",
    ]  # fmt: skip
    assert body(lambda x: torch.einsum("ij,jk->ik", [x, x]))[0] == "einsum = torch.einsum('ij,jk->ik', x, x);  x = None"
    assert body(lambda x, y: (x < y) & (x[..., None] == 3) | ~y) == [
        "lt = x < y",
        "getitem = x[(Ellipsis, None)];  x = None",
        "eq = getitem == 3;  getitem = None",
        "and_ = lt & eq;  lt = eq = None",
        "invert = ~y;  y = None",
        "or_ = and_ | invert;  and_ = invert = None",
        "return or_",
    ]
    assert body(lambda x: torch.stack((x, x)).relu_() @ x.T % 2 // 3) == [
        "stack = torch.stack((x, x))",
        "relu_ = stack.relu_();  stack = None",
        "getattr_1 = x.T;  x = None",
        "matmul = relu_ @ getattr_1;  relu_ = getattr_1 = None",
        "mod = matmul % 2;  matmul = None",
        "floordiv = mod // 3;  mod = None",
        "return floordiv",
    ]
    assert body(lambda x: torch.ones(2)[0] + torch.max(x, dim=1)[0] * 2**x)[0] == "max_1 = torch.max(x, dim = 1)"
    assert body(lambda *x: x) == ["_x = x", "return _x"]
    assert body(lambda x: nn.functional.cross_entropy(nn.functional.softmax(x, -1), x))[1].startswith(
        "cross_entropy = torch.nn.functional.cross_entropy(softmax, x)"
    )
    assert body(lambda x, flag: x if flag else -x, concrete_args={"flag": True}) == ["return x"]
    found = fx.symbolic_trace(lambda x: torch.ones(2).add(x))
    assert found(torch.ones(2)).tolist() == [2, 2] and found._tensor_constant0.tolist() == [1, 1]


def test_what_is_not_captured():
    def decides(x):
        return x if x.sum() > 0 else -x

    for function, error, text in (
        (decides, TraceError, "symbolically traced variables cannot be used as inputs to control flow"),
        (lambda x: list(x), TraceError, "Proxy object cannot be iterated"),
        (lambda x: {**x}, TraceError, "Proxy object cannot be iterated"),
        (lambda x: len(x), RuntimeError, "'len' is not supported in symbolic tracing by default"),
        (lambda x: range(x), TypeError, "'Proxy' object cannot be interpreted as an integer"),
        (lambda x: int(x), TypeError, "not 'Proxy'"),
        (lambda x: x.__setitem__(0, 1), TypeError, "'Proxy' object does not support item assignment"),
    ):
        with pytest.raises(error, match=text):
            fx.symbolic_trace(function)


def test_changes_of_a_graph():
    graph = fx.Graph()
    a = graph.placeholder("a")
    b = graph.call_function(torch.add, (a, 1))
    c = graph.call_method("relu", (b,))
    graph.output(c)
    module, x = fx.GraphModule({}, graph), torch.tensor([-3.0, 2.0])
    assert module(x).tolist() == [0, 3] and len(graph.nodes) == 4 and list(b.users) == [c]
    with graph.inserting_after(b):
        d = graph.call_function(torch.mul, (b, 3))
    assert b.replace_all_uses_with(d, lambda user: user is not d) == [c]
    module.recompile()
    assert module(x).tolist() == [0, 9] and [n.name for n in graph.nodes] == ["a", "add", "mul", "relu", "output"]
    with graph.inserting_before(c):
        graph.call_function(torch.exp, (a,))
    assert graph.eliminate_dead_code() and len(graph.nodes) == 5 and not graph.eliminate_dead_code()
    with pytest.raises(RuntimeError, match="Tried to erase Node a but it still had 1 users in the graph"):
        graph.erase_node(a)
    with pytest.raises(NotImplementedError, match="does not support mutation"):
        b.kwargs.update(alpha=2)
    b.update_kwarg("alpha", 2)
    c.args = (b,)
    graph.erase_node(d)
    graph.lint()
    module.recompile()
    assert module(x).tolist() == [0, 4] and a < b < c
    c.prepend(b)
    b.append(a)
    with pytest.raises(RuntimeError, match="Argument 'a' of Node 'add' was used before it has been defined"):
        graph.lint()
    with pytest.raises(ValueError, match="a Callable is expected"):
        graph.call_function("relu", (a,))
    with pytest.raises(RuntimeError, match="Node references target absent"):
        absent = fx.Graph()
        absent.output(absent.get_attr("absent"))
        fx.GraphModule({}, absent)


def test_proxies_without_a_tracer():
    graph = fx.Graph()
    x = fx.Proxy(graph.placeholder("x"), GraphAppendingTracer(graph))
    # Stand-ins equal what they stand for.
    assert torch.sigmoid == _places.original(torch.sigmoid) and {torch.relu: 1}[_places.original(torch.relu)] == 1
    out = torch.cat([x, x], dim=0).reshape(-1)[1:] + torch.einsum("i,i->", x, x)
    graph.output(out.node)
    del x, out
    found = fx.GraphModule({}, graph)
    assert found(torch.arange(3.0)).tolist() == [6, 7, 5, 6, 7]
    assert "torch.cat([x, x], dim = 0)" in found.code


class Small(nn.Module):
    def forward(self, x):
        return torch.neg(torch.sigmoid(x)) + x


def test_interpreters_and_patterns():
    found, x = fx.symbolic_trace(Small()), torch.tensor([0.0, 1.0])

    class Zeros(fx.Interpreter):
        def call_function(self, target, args, kwargs):
            return args[0] * 0 if target == torch.sigmoid else super().call_function(target, args, kwargs)

    class Twice(fx.Transformer):
        def call_function(self, target, args, kwargs):
            return super().call_function(torch.neg if target == torch.sigmoid else target, args, kwargs)

    assert fx.Interpreter(found).run(x).equal(found(x)) and Zeros(found).run(x).tolist() == [0, 1]
    changed = Twice(found).transform()
    assert changed(x).tolist() == [0, 2] and [n.name for n in changed.graph.nodes] == [
        "x",
        "neg",
        "neg_1",
        "add",
        "output",
    ]
    with pytest.raises(TypeError, match="While executing %sigmoid"):
        fx.Interpreter(found).run("text")
    matches = fx.replace_pattern(found, lambda a: torch.neg(torch.sigmoid(a)), lambda a: torch.tanh(a) * 2)
    assert len(matches) == 1 and torch.allclose(found(x), torch.tanh(x) * 2 + x)
    ShapeProp(found).propagate(x)
    meta = [node.meta["tensor_meta"] for node in found.graph.nodes]
    assert all(item.shape == (2,) and item.dtype == torch.float32 for item in meta)


def helper(x):
    return x * 2 if x.sum() > 0 else x


fx.wrap("helper")


def test_wrapped_functions_and_tracers():
    found = fx.symbolic_trace(lambda x: helper(x) + 1)
    assert [n.name for n in found.graph.nodes] == ["x", "helper", "add", "output"]
    assert found(torch.ones(1)).tolist() == [3] and found(-torch.ones(1)).tolist() == [0]
    with pytest.raises(NotImplementedError, match="wrap must be called at the top level of a module"):
        fx.wrap("helper")

    class Leaves(fx.Tracer):
        def is_leaf_module(self, m, module_qualified_name):
            return module_qualified_name == "rest"

    graph = Leaves().trace(Model())
    assert [str(n.target) for n in graph.nodes if n.op == "call_module"] == ["rest"]
    assert [n.target for n in graph.nodes if n.op == "get_attr"] == ["first.weight", "first.bias", "scale"]
    module = fx.GraphModule(Model(), graph)
    assert module.add_submodule("extra.layer", nn.ReLU()) and module.extra.layer(torch.ones(1)).tolist() == [1]
    module.delete_all_unused_submodules()
    assert not hasattr(module, "extra") and hasattr(module, "rest") and not module.delete_submodule("extra")
    for node in graph.nodes:
        if node.target is operator.add and node.name == "add":
            node.target = operator.mul
    module.recompile()
    assert "add = rest * mul" in module.code
