"""`vmap` itself: what goes in and out, errors, random numbers, and the way back to a loop."""

import threading
from collections import OrderedDict, namedtuple

import pytest

import flambeau as torch
from flambeau import _levels
from flambeau._vmap import _interface, _operators
from flambeau.func import (
    grad,
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


def test_native_functions_that_were_kept():
    """A reference to a native function, with lists too, asks the samples' class."""
    calls = []

    def function(a):
        calls.append(None)
        return kept_cat([a, a * 2])

    assert_close(vmap(function)(X), torch.cat([X, X * 2], 1))
    assert len(calls) == 1
    assert_close(vmap(lambda a: torch.Tensor.sum(a, 0))(X), X.sum(1))

    def changing(a):
        a.add_(1)
        return kept_cat([a, a])

    before = X.clone()
    assert_close(vmap(changing)(before), torch.cat([X + 1, X + 1], 1))
    assert_close(before, X + 1)


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
        lists = vmap(lambda a: torch.linalg.multi_dot([weight, weight, a]))(X)
        assert lists.dtype == torch.bfloat16
        assert torch.linalg.multi_dot([weight, weight]).dtype == torch.bfloat16
    assert vmap(lambda a: weight @ a)(X).dtype == torch.float32
