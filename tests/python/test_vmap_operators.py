"""`vmap` of every declared operator, and of index expressions, products and layers, against a loop over the samples."""

import functools

import pytest
import samples

import flambeau as torch
from flambeau._vmap._batched import physical
from flambeau.func import vmap
from flambeau.nn import functional as F

# Calls that `vmap` refuses, as PyTorch does: their results are no tensors, or have sizes that depend on elements.
REFUSED = {
    "allclose", "argwhere", "as_strided_", "equal", "is_complex", "is_conj", "is_floating_point", "is_neg", "is_nonzero",
    "is_same_size", "is_signed", "item", "masked_select", "nonzero", "numel", "resize_", "resize_as_", "result_type",
    "set_", "unique", "unique_consecutive",
}  # fmt: skip
# Sparse tensors have no batching rules.
SPARSE = {
    "_indices", "_nnz", "_sparse_coo_tensor", "_to_sparse", "_values", "coalesce", "dense_dim", "indices", "is_coalesced",
    "sparse_dim", "sparse_mask", "to_dense", "values",
}  # fmt: skip
# They change lists in place and return nothing.
NOTHING = ("_foreach_", "_fused_")


def tensors(tree):
    if isinstance(tree, torch.Tensor):
        return [tree]
    items = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, (list, tuple)) else ()
    return [tensor for item in items for tensor in tensors(item)]


def filled(tree, values):
    if isinstance(tree, torch.Tensor):
        return next(values)
    if isinstance(tree, dict):
        return {key: filled(item, values) for key, item in tree.items()}
    if type(tree) in (list, tuple):
        return type(tree)([filled(item, values) for item in tree])
    return tree


def variants(tensor):
    """Three tensors like one, which operators accept as well."""
    tensor = tensor.detach()
    if tensor.dtype.is_floating_point or tensor.dtype.is_complex:
        return torch.stack([tensor, tensor * 0.97 + 0.003, tensor * 0.9])
    if tensor.ndim:
        return torch.stack([tensor, tensor.flip(0), tensor.roll(1, 0)])
    return torch.stack([tensor] * 3)


def stacked(rows):
    if isinstance(rows[0], torch.Tensor):
        return torch.stack(rows)
    if isinstance(rows[0], (tuple, list)):
        return [stacked(column) for column in zip(*rows)]
    assert rows[0] is None
    return None


def check_same(found, wanted):
    if wanted is None:
        assert found is None
    elif isinstance(wanted, torch.Tensor):
        assert found.shape == wanted.shape and found.dtype == wanted.dtype
        rough = wanted.dtype in (torch.float16, torch.bfloat16)
        small = 1e-2 if rough else 1e-4 if wanted.dtype == torch.float32 else 1e-8
        torch.testing.assert_close(found, wanted, rtol=small, atol=small, equal_nan=True)
    else:
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted):
            check_same(one, other)


def check(function, *args, dims=None, **kwargs):
    """`vmap` of a function of tensors against a loop; `dims` says which of them are mapped, and along what."""
    dims = (0,) * len(args) if dims is None else dims
    count = next(arg.shape[dim] for arg, dim in zip(args, dims) if dim is not None)
    rows = [
        function(*(arg if dim is None else arg.select(dim, index) for arg, dim in zip(args, dims)))
        for index in range(count)
    ]
    check_same(vmap(function, dims, **kwargs)(*args), stacked(rows))


@functools.cache
def table():
    return {key: (function, op, overload) for key, function, op, overload in samples.entries()}


def call(function, op, args, kwargs):
    torch.manual_seed(0)
    name = op["name"]
    if name.endswith("_") and isinstance(args[0], torch.Tensor):
        args = [args[0] * 1, *args[1:]]
    bare = samples.bare(name)
    args = samples.BEFORE.get(bare, lambda *a: a)(*args)
    if isinstance(args[0], torch.Tensor) and "Tensor" in op["places"]:
        result = getattr(args[0], name)(*args[1:], **kwargs)
    else:
        # By its public name: lists of tensors are looked into there.
        result = (vars(torch).get(name, function) if "torch" in op["places"] else function)(*args, **kwargs)
    return samples.AFTER.get(bare, lambda r: r)(result)


def sample(key):
    function, op, overload = table()[key]
    make = samples.hinted(key, op)
    sampler = samples.Sampler(op["name"], torch.float64)
    try:
        tries = [make(sampler)] if make else list(samples.candidates(overload, sampler))
    except RuntimeError:
        return None
    for args in tries:
        args, kwargs = (args[:-1], args[-1]) if args and isinstance(args[-1], dict) else (args, {})
        try:
            call(function, op, args, kwargs)
        except Exception:  # noqa: BLE001 - the next candidate may fit
            continue
        return list(args), kwargs
    return None


def choices(count):
    """Which of the operands are mapped: all, one, all but one."""
    found = [(True,) * count]
    found += [tuple(i == j for j in range(count)) for i in range(count)]
    found += [tuple(i != j for j in range(count)) for i in range(count)]
    return [mask for mask in dict.fromkeys(found) if any(mask)]


KEYS = sorted(key for key in table() if not key.startswith(NOTHING) and key not in SPARSE)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.filterwarnings("ignore")
def test_operator(key):
    """Every overload: mapped over the first and the last dimension of its operands."""
    function, op, _ = table()[key]
    found = sample(key)
    if found is None or not tensors(found):
        pytest.skip("no sample with tensors")
    args, kwargs = found
    given = [tensor.detach() for tensor in tensors((args, kwargs))]
    batches = [variants(tensor) for tensor in given]
    for mask in choices(len(given)):

        def run(*values, mask=mask):
            values = iter([v if mapped else tensor for v, mapped, tensor in zip(values, mask, given)])
            return call(function, op, filled(args, values), filled(kwargs, values))

        def part(index, mask=mask):
            return [batch[index].clone() if mapped else None for batch, mapped in zip(batches, mask)]

        if op["name"] in REFUSED:
            values = [batch if mapped else tensor for batch, mapped, tensor in zip(batches, mask, given)]
            dims = tuple(0 if mapped else None for mapped in mask)
            with pytest.raises((RuntimeError, ValueError)):
                vmap(run, dims, randomness="same")(*values)
            continue
        try:
            wanted = stacked([run(*part(index)) for index in range(3)])
        except (RuntimeError, ValueError, IndexError):
            wanted = None
        changes = op["name"].endswith("_") or op["overloads"][0]["name"].endswith("_")
        for last in (False, True):
            values = [
                (batch.movedim(0, -1) if last else batch) if mapped else tensor
                for batch, mapped, tensor in zip(batches, mask, given)
            ]
            dims = tuple((-1 if last else 0) if mapped else None for mapped in mask)
            mapped = vmap(run, dims, randomness="same")
            if wanted is None or (changes and not mask[0]) or op["name"] == "repeat_interleave":
                # No operand of a change in place may have more elements than what it changes.
                try:
                    result = mapped(*values)
                except (RuntimeError, ValueError, IndexError):
                    continue
                assert wanted is not None
            else:
                result = mapped(*values)
            check_same(result, wanted)


X = torch.arange(60.0).reshape(3, 4, 5).sin()
I1 = torch.tensor([[0, 2], [1, 3], [3, 3]])

INDEXED = {
    "int": lambda a: a[1],
    "negative": lambda a: a[-1, 2],
    "slices": lambda a: a[1:, ::2],
    "ellipsis": lambda a: a[..., 0],
    "none": lambda a: a[None, :, None],
    "list": lambda a: a[[0, 2]],
    "tensor": lambda a: a[torch.tensor([0, 2]), torch.tensor([1, 3])],
    "second": lambda a: a[:, torch.tensor([[0, 1], [2, 3]])],
    "apart": lambda a: a[None][torch.tensor([0, 0]), :, torch.tensor([2, 3])],
    "mask": lambda a: a[torch.tensor([True, False, True, True])],
    "mask of both": lambda a: a[torch.ones(4, 5) > 0],
    "int and tensor": lambda a: a[None][0, :, torch.tensor([1, 2])],
    "steps": lambda a: a[::2][1:],
    "true": lambda a: a[True],
}
BY_BATCHED = {
    "rows": (lambda a, i: a[i], (0, 0)),
    "columns": (lambda a, i: a[:, i], (0, 0)),
    "both": (lambda a, i: a[i, i], (0, 0)),
    "of one": (lambda a, i: a[i], (None, 0)),
    "columns of one": (lambda a, i: a[:, i], (None, 0)),
    "last of one": (lambda a, i: a[0, :, i], (None, 0)),
    "with none": (lambda a, i: a[i, None, torch.tensor([0, 1])], (0, 0)),
    "apart": (lambda a, i: a[None][torch.tensor([0, 0]), :, i], (0, 0)),
    "apart of one": (lambda a, i: a[torch.tensor([0, 1]), :, i], (None, 0)),
    "beside a fixed one": (lambda a, i: a[:, i, torch.tensor([0, 1])], (None, 0)),
    "scalar": (lambda a, i: a[i[0]], (0, 0)),
    "grid": (lambda a, i: a[i[:, None], i], (0, 0)),
    "index_select": (lambda a, i: a.index_select(1, i), (0, 0)),
    "take": (lambda a, i: a.take(i), (0, 0)),
    "gather": (lambda a, i: a.gather(0, i.expand(4, 2)), (0, 0)),
    "embedding": (lambda a, i: F.embedding(i, a[0]), (None, 0)),
    "tables": (lambda a, i: F.embedding(i, a, padding_idx=3), (0, 0)),
    "one table each": (lambda a, i: F.embedding(i, a), (0, None)),
}


@pytest.mark.parametrize("name", INDEXED)
def test_index(name):
    check(INDEXED[name], X)
    check(INDEXED[name], X.movedim(0, 2), dims=(2,))


@pytest.mark.parametrize("name", BY_BATCHED)
def test_index_by_batched(name):
    function, dims = BY_BATCHED[name]
    indices = I1[0] if dims[1] is None else I1
    value = X if dims[0] == 0 or name not in ("of one", "columns of one") else X.movedim(0, 2)
    check(function, value, indices, dims=dims)


def changed(change):
    def function(a, *rest):
        a = a.clone()
        change(a, *rest)
        return a

    return function


def assign(key, value):
    def change(a, *rest):
        a[key(*rest) if callable(key) else key] = value(a) if callable(value) else value

    return changed(change)


CHANGES = {
    "number": assign(0, 1.0),
    "column": assign((slice(None), 1), lambda a: a[:, 0]),
    "by rows": assign(lambda i: i, 0.0),
    "rows of ones": assign(lambda i: i, torch.ones(2, 5)),
    "columns": assign(lambda i: (slice(None), i), 7.0),
    "pairs": assign(lambda i: (i, i), 7.0),
    "tensor": assign(torch.tensor([0, 1]), lambda a: a[2:4] + 0),
    "everything": assign(Ellipsis, 2.0),
    "add_": changed(lambda a, i: a.add_(a)),
    "chain": changed(lambda a, i: a.mul_(2).sub_(1).div_(3)),
    "fill_": changed(lambda a, i: a.fill_(a[0, 0])),
    "part": changed(lambda a, i: a[0].add_(1)),
    "clamp_": changed(lambda a, i: a.clamp_(0, 1)),
    "masked_fill_": changed(lambda a, i: a.masked_fill_(a > 0, 0)),
    "scatter_": changed(lambda a, i: a.scatter_(0, i.reshape(1, 2), 9.0)),
    "index_add_": changed(lambda a, i: a.index_add_(0, i, a[:2])),
    "index_fill_": changed(lambda a, i: a.index_fill_(0, torch.tensor([1]), 9.0)),
    "zero_": changed(lambda a, i: a.zero_()),
    "copy_": changed(lambda a, i: a.copy_(torch.ones(5))),
    "new": lambda a, i: a.new_zeros(2).copy_(a[0, :2]),
    "operators": lambda a, i: changed(lambda b: b.__iadd__(1).__imul__(b))(a),
}


@pytest.mark.parametrize("name", CHANGES)
def test_changes_in_place(name):
    check(CHANGES[name], X, I1)


VIEWS = {
    "as_strided": lambda a: a.as_strided((2, 2), (5, 1)),
    "as_strided, offset": lambda a: a.as_strided((2, 2), (5, 1), 1),
    "diagonal": lambda a: a.diagonal(),
    "scalar": lambda a: a[0, 0].transpose(0, -1),
    "transposed": lambda a: a.mT[1:],
    "unfold": lambda a: a.unfold(0, 2, 2),
    "split": lambda a: a.split([1, 3])[1],
    "expanded": lambda a: a[None, :, :, None].squeeze(0).squeeze(-1),
    "view": lambda a: a.view(2, 10)[1],
    "flatten": lambda a: a.flatten(),
    "real": lambda a: a.real,
    "permute": lambda a: a.permute(1, 0)[0],
    "movedim": lambda a: a.movedim(0, 1)[2],
    "select": lambda a: a.select(-1, 2),
    "unbind": lambda a: a.unbind(1)[3],
}


@pytest.mark.parametrize("name", VIEWS)
def test_views(name):
    """What is written to a view shows in what it is a view of."""

    def function(a):
        a = a.clone()
        VIEWS[name](a).fill_(9)
        return a

    assert (vmap(function)(X) == 9).any()
    check(function, X)


@pytest.mark.filterwarnings("ignore")
def test_operators_give_views():
    """Results that share memory with the operand share that of batched operands, too."""
    memory = torch._C._storage_id
    found = 0
    for key in KEYS:
        function, op, _ = table()[key]
        chosen = None if op["name"].endswith("_") or op["name"] in REFUSED else sample(key)
        if chosen is None or not isinstance(chosen[0][0], torch.Tensor):
            continue
        args, kwargs = chosen
        args = [arg.detach() if isinstance(arg, torch.Tensor) else arg for arg in args]

        def shared(a):
            result = call(function, op, [a, *args[1:]], kwargs)
            return [memory(physical(tensor)) == memory(physical(a)) for tensor in tensors(result)]

        plain = shared(args[0])
        if any(plain):
            batched = []
            vmap(lambda a: batched.append(shared(a)) or a, randomness="same")(variants(args[0]))
            assert batched == [plain], key
            found += 1
    assert found > 40


def test_methods():
    check(lambda a: a.where(a > 0, 7.0), X)
    check(lambda a: a.clone().fill_diagonal_(9), X)
    check(lambda a: a.new_tensor([1.0, 2.0]) + a[0, :2], X)
    check(lambda a: a.where(condition=a > 0, other=a * 2), X)


def test_assignment_by_mask():
    def function(a):
        a = a.clone()
        a[a > 0] = 5.0
        return a

    check(function, X)


PRODUCTS = {
    "mm": (torch.mm, (2, 3), (3, 4)),
    "mv": (torch.mv, (2, 3), (3,)),
    "dot": (torch.dot, (3,), (3,)),
    "bmm": (torch.bmm, (2, 3, 4), (2, 4, 2)),
    "matmul": (torch.matmul, (5, 2, 3), (3, 4)),
    "matmul, vector and stack": (torch.matmul, (3,), (5, 3, 4)),
    "matmul, stack and vector": (torch.matmul, (5, 2, 3), (3,)),
    "matmul, vector and matrix": (torch.matmul, (3,), (3, 4)),
    "matmul, stacks": (torch.matmul, (2, 5, 2, 3), (5, 3, 4)),
    "inner": (torch.inner, (2, 3), (4, 3)),
    "outer": (torch.outer, (2,), (3,)),
    "linear": (F.linear, (2, 3), (4, 3)),
    "linear, vector": (F.linear, (3,), (4, 3)),
    "linear, stack": (F.linear, (5, 2, 3), (4, 3)),
    "kron": (torch.kron, (2,), (3,)),
    "einsum": (lambda a, b: torch.einsum("ij,jk->ki", a, b), (2, 3), (3, 4)),
    "einsum, implicit": (lambda a, b: torch.einsum("ij,jk", a, b), (2, 3), (3, 4)),
    "einsum, ellipsis": (lambda a, b: torch.einsum("...j,j", a, b), (4, 2, 3), (3,)),
    "tensordot": (lambda a, b: torch.tensordot(a, b, ([1, 0], [0, 1])), (2, 3), (3, 2, 4)),
    "cdist": (torch.cdist, (2, 3), (4, 3)),
    "conv2d": (F.conv2d, (2, 3, 5, 5), (4, 3, 2, 2)),
    "conv2d, one image": (F.conv2d, (3, 5, 5), (4, 3, 2, 2)),
    "conv1d, groups": (lambda a, b: F.conv1d(a, b, padding=1, groups=2), (2, 4, 5), (6, 2, 3)),
    "conv_transpose2d": (lambda a, b: F.conv_transpose2d(a, b, stride=2), (2, 3, 4, 4), (3, 4, 2, 2)),
    "attention": (lambda a, b: F.scaled_dot_product_attention(a, b, b), (2, 3, 4), (2, 5, 4)),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_products(name):
    """Both operands mapped, one of them, each at a level of its own, and derivatives for each sample."""
    function, first, second = PRODUCTS[name]
    torch.manual_seed(1)
    a, b = torch.randn(3, *first, dtype=torch.float64), torch.randn(3, *second, dtype=torch.float64)
    check(function, a, b)
    check(function, a, b[0], dims=(0, None))
    check(function, a[0], b, dims=(None, 0))
    check(function, a.movedim(0, -1), b.movedim(0, 1), dims=(-1, 1))
    nested = vmap(vmap(function, (None, 0)), (0, None))(a, b)
    check_same(nested, torch.stack([torch.stack([function(x, y) for y in b]) for x in a]))

    def loss(x, y):
        return (function(x, y) ** 2).sum()

    both = torch.func.grad(loss, argnums=(0, 1))
    check(both, a, b)
    check(both, a, b[0], dims=(0, None))
    check(both, a[0], b, dims=(None, 0))
    check(torch.func.grad(lambda x, y: both(x, y)[1].sin().sum()), a, b[0], dims=(0, None))
    check(torch.func.grad(lambda y, x: both(x, y)[1].sin().sum()), b[0], a, dims=(None, 0))


def test_shared_kernels():
    """Sizes from which one weight of all samples is read once, with gradients for each."""
    torch.manual_seed(2)
    x, weight = torch.randn(3, 2, 70, dtype=torch.float64), torch.randn(80, 70, dtype=torch.float64)

    def loss(weight, x):
        return F.linear(x, weight).tanh().sum()

    for argument in (x, x[:, 0]):
        check(torch.func.grad(loss), weight, argument, dims=(None, 0))
    second = torch.func.grad(lambda w, x: torch.func.grad(loss)(w, x).pow(2).sum())
    check(second, weight, x, dims=(None, 0))
    check(torch.func.grad(lambda w, x: (w @ x[0]).tanh().sum()), weight, x, dims=(None, 0))


DTYPES = {
    "wide scalar": lambda a, s: a * s.double(),
    "whole and half": lambda a, s: s.long() + a.half(),
    "scalars": lambda a, s: s * torch.tensor(2.0, dtype=torch.float64),
    "scalar and vector": lambda a, s: s * torch.arange(5),
    "whole scalar and number": lambda a, s: s.long() + 1.5,
    "where": lambda a, s: torch.where(a > 0, a, s.double()),
    "where of scalars": lambda a, s: torch.where(s > 0, s, torch.tensor(1.0, dtype=torch.float64)),
    "masked_fill": lambda a, s: a.masked_fill(a > 0, s.double()),
    "add_": lambda a, s: a.clone().add_(s.double()),
    "compare": lambda a, s: s.double() < a,
    "maximum": lambda a, s: torch.maximum(a, s.double()),
    "reversed": lambda a, s: (2 - s) / (1 / s) ** 2,
    "power": lambda a, s: 2**s,
    "remainder": lambda a, s: 5 % s,
    "floor": lambda a, s: 5 // s,
}


@pytest.mark.parametrize("name", DTYPES)
def test_dtypes(name):
    """Numbers of dimensions that the user sees decide how dtypes promote."""
    check(DTYPES[name], X, X[:, 0, 1] + 2)
    if name != "add_":
        check(DTYPES[name], X[0], X[:, 0, 1] + 2, dims=(None, 0))


LAYERS = {
    "max_pool2d": lambda a: F.max_pool2d(a, 2),
    "avg_pool2d": lambda a: F.avg_pool2d(a, 2),
    "adaptive": lambda a: F.adaptive_avg_pool2d(a, 2),
    "interpolate": lambda a: F.interpolate(a, scale_factor=2),
    "bilinear": lambda a: F.interpolate(a, size=(3, 5), mode="bilinear"),
    "batch_norm": lambda a: F.batch_norm(a, None, None, training=True),
    "evaluated": lambda a: F.batch_norm(a, torch.zeros(4), torch.ones(4), torch.ones(4), torch.ones(4)),
    "own scales": lambda a: F.batch_norm(a, None, None, a[0, :, 0, 0], a[0, :, 0, 0], training=True),
    "instance_norm": lambda a: F.instance_norm(a),
    "group_norm": lambda a: F.group_norm(a, 2, a[0, :, 0, 0], a[0, :, 0, 0]),
    "layer_norm": lambda a: F.layer_norm(a, (6,), a[0, 0, 0], a[0, 0, 0]),
    "pad": lambda a: F.pad(a, (1, 1, 1, 1), mode="reflect"),
    "grid_sample": lambda a: F.grid_sample(
        a, F.affine_grid(torch.eye(2, 3)[None].repeat(2, 1, 1), (2, 4, 3, 3), align_corners=False), align_corners=False
    ),
    "local_response_norm": lambda a: F.local_response_norm(a, 2),
    "unfold": lambda a: F.unfold(a, 2),
    "channels_last": lambda a: a.contiguous(memory_format=torch.channels_last),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name):
    torch.manual_seed(3)
    images = torch.randn(3, 2, 4, 6, 6)
    check(LAYERS[name], images)
    check(LAYERS[name], images.movedim(0, 2), dims=(2,))
    check(torch.func.grad(lambda a: LAYERS[name](a).sin().sum()), images)


LABELS = torch.tensor([[0, 1], [2, 3], [1, 1]])
LOSSES = {
    "cross_entropy": lambda a, t: F.cross_entropy(a, t),
    "one": lambda a, t: F.cross_entropy(a[0], t[0]),
    "sum": lambda a, t: F.cross_entropy(a, t, reduction="sum"),
    "none": lambda a, t: F.cross_entropy(a, t, reduction="none"),
    "weights": lambda a, t: F.cross_entropy(a, t, weight=torch.tensor([1.0, 2.0, 3.0, 4.0])),
    "one, weights": lambda a, t: F.cross_entropy(a[0], t[0], weight=torch.tensor([1.0, 2.0, 3.0, 4.0])),
    "smooth": lambda a, t: F.cross_entropy(a, t, label_smoothing=0.1),
    "ignored": lambda a, t: F.cross_entropy(a, t, ignore_index=3),
    "one ignored": lambda a, t: F.cross_entropy(a[0], t[0], ignore_index=2),
    "probabilities": lambda a, t: F.cross_entropy(a, a.softmax(-1)),
    "nll": lambda a, t: F.nll_loss(a.log_softmax(-1), t, reduction="sum"),
    "mse": lambda a, t: F.mse_loss(a, a * 2),
    "mse to one": lambda a, t: F.mse_loss(a, torch.ones(2, 4), reduction="sum"),
    "binary": lambda a, t: F.binary_cross_entropy_with_logits(a, a.sigmoid(), pos_weight=torch.ones(4) * 2),
    "kl": lambda a, t: F.kl_div(a, a.abs(), reduction="batchmean"),
    "margins": lambda a, t: F.multi_margin_loss(a, t),
    "triplets": lambda a, t: F.triplet_margin_loss(a, a + 1, a * 2),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses(name):
    torch.manual_seed(4)
    scores = torch.randn(3, 2, 4)
    check(LOSSES[name], scores, LABELS)
    check(LOSSES[name], scores, LABELS[0], dims=(0, None))
    if name != "none":
        check(torch.func.grad(LOSSES[name]), scores, LABELS)
