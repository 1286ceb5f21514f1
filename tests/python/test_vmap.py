"""`vmap` itself: what goes in and out, errors, random numbers, derivatives under it and of it."""

import threading
from collections import OrderedDict, namedtuple

import pytest

import flambeau as torch
from flambeau import _levels
from flambeau._vmap import _interface, _operators
from flambeau.func import (
    functional_call,
    grad,
    grad_and_value,
    hessian,
    jacfwd,
    jacrev,
    jvp,
    linearize,
    stack_module_state,
    vjp,
    vmap,
)
from flambeau.nn import functional as F
from flambeau.testing import assert_close

X = torch.arange(12.0).reshape(3, 4).sin()
Y = torch.arange(12.0).reshape(3, 4).cos()
W = torch.tensor([0.5, -1.0, 2.0, 0.25])
kept_cat = torch.cat  # a reference that no stand-in takes the place of


@pytest.fixture
def batched_only(monkeypatch):
    """Fails where an operator, or the function, runs once for each sample."""

    def refuse(*args, **kwargs):
        raise AssertionError(f"ran once for each sample: {args[0]}")

    monkeypatch.setattr(_operators, "loop", refuse)
    monkeypatch.setattr(_interface._Mapped, "one_by_one", refuse)


def test_runs_once(batched_only):
    calls = []

    def function(a):
        calls.append((a.shape, a.dim(), a.numel(), len(a), a.size(0), isinstance(a, torch.Tensor)))
        return a.sin().sum() + a[0] * 2

    assert_close(vmap(function)(X), X.sin().sum(1) + X[:, 0] * 2)
    assert calls == [((4,), 1, 4, 4, 4, True)]


def test_arguments_and_results(batched_only):
    assert_close(vmap(lambda a, b: a * b, (1, None))(X, X[:, 0]), X.T * X[:, 0])
    assert_close(vmap(lambda a: (a, 2 * a), out_dims=(1, 0))(X), (X.T, 2 * X))
    assert_close(vmap(lambda a: a, -1, -1)(X), X)
    assert_close(vmap(lambda d: {"s": d["a"] + d["b"]}, ({"a": 0, "b": None},))({"a": X, "b": W}), {"s": X + W})
    assert_close(vmap(lambda t: t[0] * t[1][0], ((0, [None]),))((X, [W])), X * W)
    pair = namedtuple("pair", "one two")
    made = vmap(lambda p: pair(p.two, p.one))(pair(X, Y))
    assert isinstance(made, pair)
    assert_close((made.one, made.two), (Y, X))
    ordered = vmap(lambda a: OrderedDict(b=a, a=a))(X)
    assert type(ordered) is OrderedDict and list(ordered) == ["b", "a"]
    # Results that do not depend on the samples are repeated, or handed out as they are.
    assert_close(vmap(lambda a: W)(X), W.expand(3, 4))
    same, whole = vmap(lambda a: (a, W), out_dims=(0, None))(X)
    assert whole is W
    # Arguments by keyword are handed over whole.
    assert vmap(lambda a, b: a + b)(X, b=Y).shape == (3, 3, 4)
    assert vmap(lambda a: (a * 2).sum())(torch.zeros(0, 3)).shape == (0,)
    assert vmap(vmap(lambda a, b: a * b, (0, None)), (None, 0))(X, Y).shape == (3, 3, 4)


def test_levels():
    """Inner and outer dimensions, mixed as they come."""
    a, b = torch.randn(2, 3, 4), torch.randn(2, 5)
    found = vmap(lambda a, b: vmap(lambda c: (c * W).sum() + b)(a))(a, b)
    assert_close(found, (a * W).sum(2)[:, :, None] + b[:, None])
    found = vmap(vmap(lambda c: c[0] * torch.stack([c, W[:2]]).sum(0), 1), 1)(a)
    turned = a.permute(1, 2, 0)
    assert_close(found, turned[..., :1] * (turned + W[:2]))
    deep = vmap(vmap(vmap(lambda s: s * 2 + 1)))(a)
    assert_close(deep, a * 2 + 1)
    assert not _levels.state.stack


@pytest.mark.parametrize("chunk_size", [1, 2, 3, 5])
def test_chunks(chunk_size):
    sizes = []

    def function(a, b):
        sizes.append(type(a).__name__ and a.value.shape[0])
        return a * b, a.sum()

    outer, sums = vmap(function, (0, None), (1, 0), chunk_size=chunk_size)(X, W)
    assert_close((outer, sums), ((X * W).T, X.sum(1)))
    assert sum(sizes) == 3 and max(sizes) == min(chunk_size, 3)


ITEM = "It looks like you're calling .item"
DYNAMIC = "output dynamic shape"
ERRORS = {
    "item": (lambda: vmap(lambda a: a.sum().item())(X), RuntimeError, ITEM),
    "float": (lambda: vmap(lambda a: float(a.sum()))(X), RuntimeError, ITEM),
    "index": (lambda: vmap(lambda a: [1, 2][a.sum().long()])(X), RuntimeError, ITEM),
    "tensor": (lambda: vmap(lambda a: torch.tensor([a[0], a[1]]))(X), RuntimeError, ITEM),
    "contains": (lambda: vmap(lambda a: a * (1 in a))(X), RuntimeError, ITEM),
    "branch": (lambda: vmap(lambda a: a if a.sum() > 0 else -a)(X), RuntimeError, "data-dependent control flow"),
    "nonzero": (lambda: vmap(lambda a: a.nonzero())(X), RuntimeError, DYNAMIC + ".*aten::nonzero"),
    "torch.nonzero": (lambda: vmap(torch.nonzero)(X), RuntimeError, DYNAMIC + ".*aten::nonzero"),
    "where": (lambda: vmap(lambda a: torch.where(a > 0))(X), RuntimeError, DYNAMIC + ".*aten::where"),
    "unique": (lambda: vmap(torch.unique)(X), RuntimeError, DYNAMIC),
    "mask": (lambda: vmap(lambda a: a[a > 0])(X), RuntimeError, "indexing with a boolean mask"),
    "masked_select": (lambda: vmap(lambda a: a.masked_select(a > 0))(X), RuntimeError, "differently shaped Tensor"),
    "allclose": (lambda: vmap(torch.allclose)(X, X), RuntimeError, "vmap over torch.allclose isn't supported yet"),
    "equal": (lambda: vmap(torch.equal)(X, X), RuntimeError, "Batching rule not implemented for aten::equal"),
    "tolist": (lambda: vmap(lambda a: a.tolist())(X), RuntimeError, "Cannot access data pointer"),
    "numpy": (lambda: vmap(lambda a: a.numpy())(X), RuntimeError, "Cannot access data pointer"),
    "data_ptr": (lambda: vmap(lambda a: a.data_ptr())(X), RuntimeError, "Cannot access data pointer"),
    "storage": (lambda: vmap(lambda a: a.untyped_storage())(X), NotImplementedError, "Cannot access storage"),
    "out": (lambda: vmap(lambda a: torch.add(a, a, out=torch.zeros(4)))(X), RuntimeError, "aten::add.out"),
    "add_": (lambda: vmap(lambda a: torch.zeros(4).add_(a))(X), RuntimeError, "inplace arithmetic.*is not possible"),
    "index_add_": (
        lambda: vmap(lambda a: torch.zeros(4).index_add_(0, torch.arange(4), a))(X),
        RuntimeError,
        r"index_add_\(self, \*extra_args\) is not possible",
    ),
    "assignment": (
        lambda: vmap(lambda a: torch.zeros(4).__setitem__(0, a[0]))(X),
        RuntimeError,
        "is not possible because there exists a Tensor `other`",
    ),
    "backward": (lambda: vmap(lambda a: a.sum().backward())(X), RuntimeError, "backward.. called inside a functorch"),
    "requires_grad_": (lambda: vmap(lambda a: a.requires_grad_())(X), RuntimeError, "Tensor.requires_grad_"),
    "statistics": (
        lambda: vmap(lambda a: F.batch_norm(a, torch.zeros(4), torch.ones(4), training=True))(torch.rand(3, 2, 4)),
        RuntimeError,
        "were not batched",
    ),
    "view": (lambda: vmap(lambda a: a.view(3, 3))(X), RuntimeError, "shape .*3, 3.* is invalid"),
    "number": (lambda: vmap(lambda a: 2.0)(X), ValueError, "must only return Tensors, got type <class 'float'>"),
    "nothing": (lambda: vmap(lambda a: None)(X), ValueError, "must only return Tensors"),
    "out_dims": (lambda: vmap(lambda a: (a, a), out_dims=(0,))(X), ValueError, "out_dims is not compatible"),
    "out_dims None": (lambda: vmap(lambda a: a, out_dims=None)(X), ValueError, "can not return a BatchedTensor"),
    "out_dims 5": (lambda: vmap(lambda a: a, out_dims=5)(X), IndexError, "Dimension out of range"),
    "in_dims None": (lambda: vmap(lambda a: a, None)(X), ValueError, "expected `in_dims` to be int"),
    "no tensor": (lambda: vmap(lambda a: a, (None,))(X), ValueError, "at least one Tensor to vmap over"),
    "too many": (lambda: vmap(lambda a: a, (0, 0))(X), ValueError, "in_dims is not compatible"),
    "half": (lambda: vmap(lambda a: a, (0.5,))(X), ValueError, "must be either an integer dimension or None"),
    "range": (lambda: vmap(lambda a: a, 3)(X), ValueError, "-2 <= in_dim < 2"),
    "not a tensor": (lambda: vmap(lambda a: a)(3), ValueError, "cannot vmap over non-Tensor"),
    "no arguments": (lambda: vmap(lambda: 1)(), ValueError, "got no inputs"),
    "sizes": (lambda: vmap(lambda a, b: a)(X, W), ValueError, r"got sizes \[3, 4\]"),
    "chunk_size": (lambda: vmap(lambda a: a, chunk_size=0), ValueError, "should be None or greater than 0"),
    "randomness": (lambda: vmap(lambda a: a, randomness="x"), RuntimeError, "Only allowed values for randomness"),
    "repeats": (lambda: vmap(lambda a: a.repeat_interleave(a.long()))(X), RuntimeError, "`output_size`"),
    "variable": (
        lambda: vmap(lambda a: torch.autograd.grad((V * a).sum(), V))(X),
        RuntimeError,
        "does not require grad",
    ),
    "vector": (lambda: vmap(grad(lambda a: a))(X), RuntimeError, "return a scalar Tensor, got tensor with 1 dims"),
    "dimension": (lambda: vmap(lambda a: a.sum(1))(X), IndexError, "Dimension out of range"),
    "row": (lambda: vmap(lambda a: a[7])(X), IndexError, "out of bounds"),
    "broadcast": (lambda: vmap(lambda a: a + torch.ones(7))(X), RuntimeError, "must match"),
}
V = W.clone().requires_grad_()


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    call, kind, text = ERRORS[name]
    with pytest.raises(kind, match=text):
        call()
    # What stands in for functions of torch while it runs is gone, and nothing was changed.
    assert not _levels.state.stack and torch.cat is kept_cat
    assert type(torch.Tensor.__dict__["__getitem__"]).__name__ == "wrapper_descriptor"


def test_escaped_tensor():
    kept = []
    vmap(lambda a: kept.append(a) or a)(X)
    with pytest.raises(RuntimeError, match="escaped from inside a function being vmapped"):
        kept[0] + 1


RANDOM = {
    "rand": lambda a: a + torch.rand(4),
    "randn": lambda a: a + torch.randn(2, 4),
    "randint": lambda a: a + torch.randint(0, 1000000, (4,)),
    "randint, three": lambda a: a + torch.randint(5, 1000000, (4,)),
    "randperm": lambda a: a + torch.randperm(1000)[:4],
    "normal": lambda a: torch.normal(a, 1.0),
    "normal, sizes": lambda a: a + torch.normal(0.0, 1.0, (4,)),
    "rand_like": lambda a: a + torch.rand_like(a),
    "of another": lambda a: a + torch.randn_like(W),
    "dropout": lambda a: F.dropout(torch.ones(1000) + a[0]),
    "dropout of another": lambda a: a[0] + F.dropout(torch.ones(1000)),
    "bernoulli": lambda a: a[0] + torch.bernoulli(torch.full((1000,), 0.5)),
    "multinomial": lambda a: a[0] + torch.multinomial(torch.ones(1000), 4),
    "normal_": lambda a: a[0] + a.new_zeros(4).normal_(),
    "feature_dropout": lambda a: a[0] + F.dropout1d(torch.ones(1, 500, 2)),
    "generator": lambda a: a + torch.rand(4, generator=torch.Generator().manual_seed(0)),
}


@pytest.mark.parametrize("name", RANDOM)
def test_randomness(name):
    function = RANDOM[name]
    zeros = torch.zeros(3, 4)
    with pytest.raises(RuntimeError, match="randomness error mode"):
        vmap(function)(zeros)
    same = vmap(function, randomness="same")(zeros)
    assert torch.equal(same[0], same[1]) and torch.equal(same[0], same[2]) and same.abs().sum() > 0
    if name == "generator":
        return
    different = vmap(function, randomness="different")(zeros)
    assert different.shape == same.shape
    assert not torch.equal(different[0], different[1]) and not torch.equal(different[0], different[2])
    inner = vmap(vmap(function, randomness="same"), randomness="different")(torch.zeros(2, 3, 4))
    assert torch.equal(inner[:, 0], inner[:, 1]) and not torch.equal(inner[0], inner[1])
    inner = vmap(vmap(function, randomness="different"), randomness="same")(torch.zeros(2, 3, 4))
    assert torch.equal(inner[0], inner[1]) and not torch.equal(inner[:, 0], inner[:, 1])


def test_randomness_in_chunks():
    zeros = torch.zeros(4, 2)
    same = vmap(lambda a: a + torch.rand(2), randomness="same", chunk_size=2)(zeros)
    assert torch.equal(same[0], same[3])
    different = vmap(lambda a: a + torch.rand(2), randomness="different", chunk_size=2)(zeros)
    assert len({tuple(row) for row in different.tolist()}) == 4
    assert_close(vmap(lambda a: F.dropout(a, training=False))(X), X)


def test_distributions():
    """Arguments are checked for all samples at once."""
    normal = torch.distributions.Normal
    wanted = normal(X, Y.exp()).log_prob(Y)
    assert_close(vmap(lambda m, s: normal(m, s.exp()).log_prob(s))(X, Y), wanted)
    with pytest.raises(ValueError, match="found invalid values"):
        vmap(lambda m, s: normal(m, s).log_prob(s))(X, Y)
    drawn = vmap(lambda m: normal(m, 1.0).rsample(), randomness="different")(torch.zeros(3, 4))
    assert not torch.equal(drawn[0], drawn[1])


def test_what_batched_tensors_do_not_reach():
    """A reference to a native function with lists: the samples then go one by one."""
    calls = []

    def function(a):
        calls.append(None)
        return kept_cat([a, a * 2])

    assert_close(vmap(function)(X), torch.cat([X, X * 2], 1))
    assert len(calls) == 4
    assert_close(vmap(lambda a: torch.Tensor.sum(a, 0))(X), X.sum(1))

    def changing(a):
        a.add_(1)
        return kept_cat([a, a])

    # What was changed before cannot be done again.
    before = X.clone()
    with pytest.raises(TypeError):
        vmap(changing)(before)


def test_threads():
    """Other threads go on with plain tensors while a function is mapped."""
    go, done, failed = threading.Event(), threading.Event(), []

    def other():
        go.wait()
        try:
            assert_close(torch.cat([X, X])[3:][torch.tensor([0, 1])], X[:2])
            assert torch.rand(3).shape == (3,)
            assert_close(vmap(lambda a: torch.stack([a, a]))(X), torch.stack([X, X], 1))
        except BaseException as error:  # noqa: BLE001 - reported below
            failed.append(error)
        done.set()

    thread = threading.Thread(target=other)
    thread.start()

    def function(a):
        go.set()
        done.wait()
        return torch.cat([a, W[torch.arange(2)]])

    assert vmap(function)(X).shape == (3, 6)
    thread.join()
    assert not failed
    assert torch.cat is kept_cat


def test_autocast():
    weight = torch.randn(4, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for function in (lambda a: weight @ a, lambda a: a @ weight, lambda a: F.linear(a, weight)):
            assert vmap(function)(X).dtype == torch.bfloat16
    assert vmap(lambda a: weight @ a)(X).dtype == torch.float32


# Derivatives


def model(seed=0):
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3)).double()


def per_sample(net, inputs, labels, loss=F.cross_entropy):
    """Gradients of each sample's loss by a loop."""
    rows = []
    for x, y in zip(inputs, labels):
        net.zero_grad()
        loss(net(x[None]), y[None]).backward()
        rows.append([p.grad.clone() for p in net.parameters()])
    return [torch.stack(column) for column in zip(*rows)]


def convolutional():
    torch.manual_seed(1)
    return torch.nn.Sequential(
        torch.nn.Conv2d(2, 4, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(4, 6, 2, stride=2), torch.nn.GroupNorm(2, 6), torch.nn.Flatten(), torch.nn.Linear(24, 3),
    ).double()  # fmt: skip


NETS = {
    "perceptron": (model, (4,)),
    "wide": (lambda: torch.nn.Sequential(torch.nn.Linear(70, 80), torch.nn.ReLU(), torch.nn.Linear(80, 3)).double(), (70,)),
    "convolutional": (convolutional, (2, 8, 8)),
}  # fmt: skip


@pytest.mark.parametrize("name", NETS)
def test_gradients_of_each_sample(name, batched_only):
    make, shape = NETS[name]
    net = make()
    inputs, labels = torch.randn(5, *shape, dtype=torch.float64), torch.tensor([0, 1, 2, 1, 0])
    parameters = {key: p.detach() for key, p in net.named_parameters()}

    def loss(parameters, x, y):
        return F.cross_entropy(functional_call(net, parameters, (x[None],)), y[None])

    found = vmap(grad(loss), (None, 0, 0))(parameters, inputs, labels)
    wanted = per_sample(net, inputs, labels)
    assert list(found) == list(parameters)
    assert_close(list(found.values()), wanted)
    assert not any(g.requires_grad for g in found.values())
    chunked = vmap(grad(loss), (None, 0, 0), chunk_size=2)(parameters, inputs, labels)
    assert_close(list(chunked.values()), wanted)
    # Parameters that record: the gradients do too.
    found = vmap(grad(loss), (None, 0, 0))(dict(net.named_parameters()), inputs, labels)
    (second,) = torch.autograd.grad(found["0.weight"].pow(2).sum(), net[0].weight)
    small = 1e-6
    direction = torch.randn_like(second)
    values = []
    for sign in (1, -1):
        moved = {**parameters, "0.weight": parameters["0.weight"] + sign * small * direction}
        values.append(vmap(grad(loss), (None, 0, 0))(moved, inputs, labels)["0.weight"].pow(2).sum())
    assert_close((second * direction).sum(), (values[0] - values[1]) / (2 * small), rtol=1e-4, atol=1e-6)


def test_ensembles(batched_only):
    nets = [model(seed) for seed in range(3)]
    parameters, buffers = stack_module_state(nets)
    inputs = torch.randn(5, 4, dtype=torch.float64)

    def run(parameters, buffers, x):
        return functional_call(nets[0], (parameters, buffers), (x,))

    assert_close(vmap(run, (0, 0, None))(parameters, buffers, inputs), torch.stack([net(inputs) for net in nets]))
    each = torch.stack([inputs, inputs * 2, inputs + 1])
    out = vmap(run)(parameters, buffers, each)
    assert_close(out, torch.stack([net(x) for net, x in zip(nets, each)]))
    out.sum().backward()
    nets[1](each[1]).sum().backward()
    assert_close(parameters["0.weight"].grad[1], nets[1][0].weight.grad)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_encoders(dropout):
    torch.manual_seed(0)
    net = torch.nn.TransformerEncoderLayer(8, 2, 16, dropout=dropout, batch_first=True).double()
    parameters = {key: p.detach() for key, p in net.named_parameters()}
    inputs = torch.randn(3, 5, 8, dtype=torch.float64)

    def loss(parameters, x):
        return functional_call(net, parameters, (x[None],)).pow(2).sum()

    if dropout:
        with pytest.raises(RuntimeError, match="randomness error mode"):
            vmap(grad(loss), (None, 0))(parameters, inputs)
        net.eval()
    found = vmap(grad(loss), (None, 0))(parameters, inputs)
    for index, x in enumerate(inputs):
        net.zero_grad()
        net(x[None]).pow(2).sum().backward()
        assert_close([g[index] for g in found.values()], [p.grad for p in net.parameters()])


def test_running_statistics():
    """Those of the samples, which change as those of modules of their own."""
    nets = [torch.nn.BatchNorm1d(4) for _ in range(3)]
    parameters, buffers = stack_module_state(nets)
    inputs = torch.randn(3, 5, 4)
    out = vmap(lambda p, b, x: functional_call(nets[0], (p, b), (x,)))(parameters, buffers, inputs)
    assert_close(out, torch.stack([net(x) for net, x in zip(nets, inputs)]))
    assert_close(buffers["running_mean"], torch.stack([net.running_mean for net in nets]))
    assert_close(buffers["running_var"], torch.stack([net.running_var for net in nets]))


A = torch.tensor([[0.5, 1.0, -0.3], [0.2, -0.7, 0.4], [1.1, 0.3, 0.6]], dtype=torch.float64)


def curve(x):
    return torch.tanh(A @ x) * x


def test_jacobians():
    x = A[0]
    wanted = torch.autograd.functional.jacobian(curve, x)
    for found in (
        jacrev(curve)(x), jacfwd(curve)(x), jacrev(curve, chunk_size=2)(x),
        vmap(lambda row: vjp(curve, x)[1](row)[0])(torch.eye(3, dtype=torch.float64)),
        vmap(lambda v: jvp(curve, (x,), (v,))[1], out_dims=1)(torch.eye(3, dtype=torch.float64)),
        vmap(vjp(curve, x)[1])(torch.eye(3, dtype=torch.float64))[0],
        vmap(linearize(curve, x)[1], out_dims=1)(torch.eye(3, dtype=torch.float64)),
    ):  # fmt: skip
        assert_close(found, wanted)
        assert not found.requires_grad
    rows = torch.stack([torch.autograd.functional.jacobian(curve, row) for row in A])
    for transform in (jacrev, jacfwd):
        assert_close(vmap(transform(curve))(A), rows)
        nested, (aux,) = transform(lambda a, b: ({"o": curve(a) * b, "p": a.sum()}, (a * 2,)), (0, 1), has_aux=True)(
            x, A[1]
        )
        assert_close(nested["o"][0], wanted * A[1][:, None])
        assert_close((nested["o"][1], nested["p"], aux), (torch.diag(curve(x)), (torch.ones_like(x), 0 * x), x * 2))
        # An output that does not depend, an empty one, and data-dependent branches of a function that runs plainly.
        assert_close(transform(lambda a: torch.ones_like(a))(x), torch.zeros(3, 3, dtype=torch.float64))
        assert transform(lambda a: a[:0])(x).shape == (0, 3) and transform(curve)(x).shape == (3, 3)
        assert_close(transform(lambda a: a * 2 if a.sum() > 0 else a)(x), 2 * torch.eye(3, dtype=torch.float64))


def test_hessians():
    def value(x):
        return curve(x).sum()

    wanted = torch.autograd.functional.hessian(value, A[0])
    for found in (
        hessian(value),
        jacfwd(jacrev(value)),
        jacrev(jacrev(value)),
        jacrev(jacfwd(value)),
        jacfwd(jacfwd(value)),
    ):
        assert_close(found(A[0]), wanted)
    rows = torch.stack([torch.autograd.functional.hessian(value, row) for row in A])
    for found in (hessian(value), jacfwd(jacrev(value)), jacrev(jacfwd(value))):
        assert_close(vmap(found)(A), rows)
    products = vmap(lambda v: jvp(grad(value), (A[0],), (v,))[1])(torch.eye(3, dtype=torch.float64))
    assert_close(products, wanted)
    assert_close(torch.autograd.functional.hessian(value, A[0], vectorize=True), wanted)


def test_many_columns_at_once():
    """From 32 columns on the function runs once on batched tensors, and on plain ones where it does not take those."""
    torch.manual_seed(6)
    weight, x = torch.randn(40, 40, dtype=torch.float64) / 6, torch.randn(40, dtype=torch.float64)
    calls = []

    def function(a):
        calls.append(None)
        return torch.tanh(weight @ a) * a

    wanted = torch.autograd.functional.jacobian(function, x)
    calls.clear()
    assert_close(jacfwd(function)(x), wanted)
    assert len(calls) == 1
    (first, second), aux = jacfwd(lambda a, b: (function(a) * b, [a * 2, "text"]), (0, 1), has_aux=True)(x, x[:1])
    assert_close((first, second), (wanted * x[0], function(x)[:, None]))
    assert_close(aux[0], x * 2)
    assert aux[1] == "text" and type(aux[0]) is torch.Tensor and not aux[0].requires_grad
    assert_close(jacfwd(lambda a: function(a) if a.sum() > -99 else a)(x), wanted)
    second = torch.autograd.functional.hessian(lambda a: function(a).sum(), x)
    assert_close(hessian(lambda a: function(a).sum())(x), second)
    both = hessian(lambda a, b: (function(a) * b).sum(), (0, 1))(x, x[:1])
    assert_close(both[0][0], second * x[0])
    assert_close(both[0][1][:, 0], grad(lambda a: function(a).sum())(x))
    assert_close(
        vmap(jacfwd(function))(torch.stack([x, x * 2]))[1], torch.autograd.functional.jacobian(function, x * 2)
    )
    scale = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    jacfwd(lambda a: function(a) * scale)(x).sum().backward()
    assert_close(scale.grad, wanted.sum())


def test_history_of_jacobians():
    """Results record exactly where something outside asks for it."""
    weight = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    for transform in (jacrev, jacfwd):
        found = transform(lambda a: a**2 * weight)(A[0])
        assert found.requires_grad
        (slope,) = torch.autograd.grad(found.sum(), weight)
        assert_close(slope, (2 * A[0]).sum())
        with torch.no_grad():
            assert not transform(lambda a: a**2 * weight)(A[0]).requires_grad
        third = grad(lambda s: transform(lambda a: a**3 * s)(A[0]).sum())(torch.tensor(1.0, dtype=torch.float64))
        assert_close(third, (3 * A[0] ** 2).sum())
    assert vmap(grad(lambda a: (a * weight).sum()))(A).requires_grad
    _, pull = vjp(lambda a: a * 2, A[0])
    direction = torch.ones(3, dtype=torch.float64, requires_grad=True)
    assert pull(direction)[0].requires_grad


def test_derivatives_of_mapped_functions(batched_only):
    x = A

    def total(w):
        return vmap(lambda a: (w * a).sum().sin())(x).sum()

    w = A[1].clone()
    assert_close(grad(total)(w), (x * (x @ w).cos()[:, None]).sum(0))
    inner = grad(lambda w: vmap(grad(lambda a: (w * a**2).sum()))(x).pow(2).sum())(w)
    assert_close(inner, (8 * w * x**2).sum(0))
    tracked = w.clone().requires_grad_()
    vmap(lambda a: a * tracked)(x).sum().backward()
    assert_close(tracked.grad, x.sum(0))
    value = vmap(grad_and_value(lambda a, b: (a * b).sum()), (0, None))(x, w)
    assert_close(value, (w.expand(3, 3), x @ w))
    # Nothing depends on the mapped argument, or not on the one that is differentiated by.
    assert_close(vmap(lambda a: grad(lambda p: (p**2).sum())(w) * a)(x), 2 * w * x)
    assert_close(vmap(grad(lambda p, a: (a * 2).sum()), (None, 0))(w, x), torch.zeros_like(x))
    nested = vmap(vmap(grad(lambda p, a: (p @ a) ** 2), (None, 0)), (0, None))(x, A)
    assert_close(nested, 2 * (x @ A.T)[:, :, None] * A)


def test_batched_gradients():
    w = A[0].clone().requires_grad_()
    directions = torch.eye(3, dtype=torch.float64)
    (found,) = torch.autograd.grad(curve(w), w, directions, is_grads_batched=True)
    assert_close(found, jacrev(curve)(A[0]))
    y = curve(w)
    found = vmap(lambda g: torch.autograd.grad(y, w, g, retain_graph=True)[0])(directions)
    assert_close(found, jacrev(curve)(A[0]))
    found = vmap(vmap(lambda g, h: torch.autograd.grad(y, w, g * h, retain_graph=True)[0], (0, None)), (None, 0))(
        directions, torch.ones(2, dtype=torch.float64)
    )
    assert_close(found, jacrev(curve)(A[0]).expand(2, 3, 3))


class Generated(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(a, b):
        return a * a * b, a + b

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, g, h):
        a, b = ctx.saved_tensors
        return 2 * a * b * g + h, a * a * g + h


class Ruled(torch.autograd.Function):
    seen = []

    @staticmethod
    def forward(a, b):
        return a.exp() * b

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(output, *inputs)

    @staticmethod
    def backward(ctx, g):
        out, a, b = ctx.saved_tensors
        return g * out, (g * a.exp()).sum_to_size(b.shape)

    @staticmethod
    def vmap(info, in_dims, a, b):
        Ruled.seen.append((info.batch_size, info.randomness, in_dims))
        a = a.movedim(in_dims[0], 0) if in_dims[0] is not None else a
        return Ruled.apply(a, b), 0


class Plain(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a):
        ctx.save_for_backward(a)
        return a**3

    @staticmethod
    def backward(ctx, g):
        return 3 * ctx.saved_tensors[0] ** 2 * g


def test_custom_functions():
    assert_close(vmap(Generated.apply)(X, Y), (X * X * Y, X + Y))
    assert_close(vmap(Generated.apply, (0, None))(X, W), (X * X * W, X + W))
    found = vmap(grad(lambda w, a: Generated.apply(a, w)[0].sum()), (None, 0))(W, X)
    assert_close(found, X * X)
    found = grad(lambda w: vmap(lambda a: Generated.apply(a, w)[0])(X).sum())(W)
    assert_close(found, (X * X).sum(0))
    Ruled.seen.clear()
    assert_close(vmap(Ruled.apply, (0, None))(X, W), X.exp() * W)
    assert Ruled.seen == [(3, "error", (0, None))]
    assert_close(vmap(grad(lambda a: Ruled.apply(a, W).sum()))(X), X.exp() * W)
    assert_close(vmap(grad(lambda a: Plain.apply(a).sum()))(X), 3 * X**2)


def test_custom_functions_at_two_levels():
    def function(a, b):
        return Generated.apply(a, b)[0].sum()

    found = vmap(vmap(grad(function, argnums=(0, 1)), (0, None)), (None, 0))(X, Y)
    assert_close(found[0], 2 * X * Y[:, None] + 0 * found[0])
    assert_close(found[1], (X * X).expand(3, 3, 4))


def test_inference_mode():
    with torch.inference_mode():
        inputs = X * 2
        assert_close(vmap(lambda a: a.sum() + W)(inputs), inputs.sum(1, keepdim=True) + W)


def test_hooks():
    seen = []

    def function(a):
        b = a * 2
        b.register_hook(lambda g: seen.append(g.shape) or g * 10)
        return (b**2).sum()

    assert_close(vmap(grad(function))(X), 80 * X)
    assert seen == [(4,)]
