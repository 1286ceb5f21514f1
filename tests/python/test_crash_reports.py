"""Calls by which people crashed PyTorch (numbers are its issues): here each raises an error that says what is wrong."""

import numpy as np
import pytest

import flambeau as torch
import flambeau.nn.functional as F

HUGE = 2**63 - 1
ERRORS = (RuntimeError, IndexError, ValueError, TypeError, NotImplementedError, OverflowError, ZeroDivisionError)


@pytest.fixture(autouse=True, scope="module")
def a_machine_of_some_size():
    """Bounds the address space, so that what should not allocate fails instead of pushing all else out of memory."""
    try:
        import resource

        before = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (8 << 30, before[1]))
    except (ImportError, ValueError, OSError):
        yield
        return
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def ones(*sizes, **options):
    return torch.ones(*sizes, **options)


def longs(*values):
    return torch.tensor(values, dtype=torch.int64)


def nested(depth):
    data = 1.0
    for _ in range(depth):
        data = [data]
    return data


def itself():
    data = []
    data.append(data)
    return data


def knotted():
    a, b = [], []
    a.append(b)
    b.append(a)
    return a


REFUSED = {
    # as_strided and friends beyond the storage
    "146793 as_strided, huge offset": (
        lambda: torch.tensor([True]).as_strided((4096,), (0,), HUGE),
        "storage|overflow|out of bounds",
    ),
    "146794 as_strided_copy": (lambda: torch.as_strided_copy(torch.eye(0, 1), (4,), (1,), 7546629512955761371), ""),
    "145071 as_strided then amax": (
        lambda: torch.amax(torch.as_strided(torch.full((0, 0, 1, 5, 5), 6), (1,), (1,), HUGE), dim=(-1,)),
        "",
    ),
    "145259 offset past the sign": (
        lambda: torch.randperm(2).as_strided([7, 8, 1, 8], [1, 1, 2, 0], 9223369837831520255),
        "",
    ),
    "39281 as_strided, no stride": (lambda: torch.tensor(4.0).as_strided((1,), ()), "(?i)stride"),
    "42541 as_strided, empty stride": (lambda: torch.as_strided(torch.tensor([1, 2, 3]), (1, 0), (), 1), "(?i)stride"),
    "150388 as_strided_scatter": (
        lambda: torch.as_strided_scatter(torch.randn(4, 4), torch.full((2, 2), 10.0), (2, 2), (2, 1), HUGE),
        "",
    ),
    "143702 as_strided, negative strides": (lambda: torch.tensor([]).as_strided([17, 18], [-80, 1], 1), "egative"),
    "as_strided, sizes times strides overflow": (lambda: ones(4).as_strided((2**40, 2**40), (2**40, 1)), ""),
    "as_strided, negative offset": (lambda: ones(4).as_strided((2,), (1,), -1), "(?i)offset"),
    "82416 new_empty_strided": (lambda: ones(2).new_empty_strided((2, 2), (1,)), "(?i)stride|size"),
    "empty_strided, negative stride": (lambda: torch.empty_strided((2, 2), (-1, 1)), "(?i)negative|stride"),
    "set_, negative offset": (lambda: ones(4).set_(ones(4), -1, (2,), (1,)), ""),
    "set_, beyond the storage": (lambda: ones(4).set_(ones(4), 3, (2**40,), (2**20,)), ""),
    "unfold, huge size": (lambda: ones(4).unfold(0, HUGE, 1), ""),
    "unfold, step 0": (lambda: ones(4).unfold(0, 2, 0), "step"),
    "view, product overflows": (lambda: torch.empty(0).view(2**32, 2**32, -1), ""),
    "view, sizes that wrap to 4": (lambda: ones(4).view(2**62, 2**2 + 1), ""),
    "expand, negative": (lambda: ones(1).expand(-2), ""),
    "resize_, negative": (lambda: ones(4).resize_(-4), ""),
    "resize_, overflow": (lambda: ones(4).resize_(2**40, 2**40), ""),
    "resize_ of borrowed memory": (lambda: torch.from_numpy(np.ones(3)).resize_(10**6), "resiz"),
    # sizes
    "zeros, overflow": (lambda: torch.zeros(2**40, 2**40), "(?i)overflow"),
    "empty, more than memory": (lambda: torch.empty(2**50), "(?i)memory"),
    "empty, stride overflow": (lambda: torch.empty(0, 2**62, 2**62), "(?i)overflow"),
    "full, negative": (lambda: torch.full((-1,), 1.0), "(?i)negative"),
    "eye, overflow": (lambda: torch.eye(2**40, 2**40), ""),
    "arange, too many": (lambda: torch.arange(0, 1e300, 1e-300), ""),
    "arange, step 0": (lambda: torch.arange(0, 5, 0), "(?i)step"),
    "linspace, too many": (lambda: torch.linspace(0, 1, 2**60), ""),
    "tril_indices, overflow": (lambda: torch.tril_indices(2**40, 2**40), ""),
    "repeat, overflow": (lambda: ones(4).repeat(2**62), ""),
    "tile, overflow": (lambda: torch.tile(ones(4), (2**40, 2**40)), ""),
    "repeat_interleave, negative": (lambda: torch.repeat_interleave(ones(2), longs(1, -5)), "(?i)negative|non-negative"),
    "repeat_interleave, overflow": (lambda: torch.repeat_interleave(ones(2), longs(HUGE, HUGE)), ""),
    "repeat_interleave, scalar": (lambda: ones(2).repeat_interleave(-1), ""),
    "tensor_split, sections": (lambda: ones(3).tensor_split(2**62), ""),
    "chunk of nothing in many": (lambda: torch.empty(0).chunk(2**62), ""),
    "pad, huge": (lambda: F.pad(ones(1, 1, 3), (2**62, 2**62)), ""),
    "pad, negative beyond": (lambda: F.pad(ones(3), (-2, -2)), ""),
    "pad, reflect beyond": (lambda: F.pad(ones(1, 1, 3), (2**40, 0), mode="reflect"), ""),
    "vander, N": (lambda: torch.vander(ones(3), N=2**60), ""),
    "one_hot, classes": (lambda: F.one_hot(longs(1, 2), 2**61), ""),
    "one_hot, negative": (lambda: F.one_hot(longs(-1)), "(?i)negative"),
    "combinations, negative": (lambda: torch.combinations(ones(3), r=-1), ""),
    "diag_embed, offset": (lambda: torch.diag_embed(ones(2), offset=2**62), ""),
    # a result that does not fit
    "out that requires grad": (lambda: torch.add(ones(2), 1, out=ones(2, requires_grad=True)), "out="),
    "out of a narrower kind": (lambda: torch.add(ones(2), 1, out=torch.ones(2, dtype=torch.int64)), "(?i)cast"),
    "out that is expanded": (lambda: torch.add(ones(3), 1, out=ones(1).expand(3)), "single memory location"),
    "out on another device": (lambda: torch.mm(ones(2, 2), ones(2, 2), out=torch.empty(2, 2, device="meta")), "device"),
    "max with too few outs": (lambda: torch.max(ones(2, 2), 0, out=(ones(2),)), ""),
    # transforms
    "141450 fft along 2**55": (lambda: torch.fft.fft(ones(2, 3), dim=2**55), "(?i)dim"),
    "141449 rfft along huge dims": (lambda: torch.fft.rfftn(ones(2, 3), dim=(36028797018963968,)), "(?i)dim"),
    "fft, n negative": (lambda: torch.fft.fft(ones(3), n=-1), "(?i)invalid"),
    "fft, n huge": (lambda: torch.fft.fft(ones(3), n=2**61), ""),
    "irfft of one point": (lambda: torch.fft.irfft(ones(1)), "(?i)invalid"),
    "fftn, dims twice": (lambda: torch.fft.fftn(ones(2, 2), dim=(0, 0)), "(?i)unique"),
    "ifft, nothing": (lambda: torch.fft.ifft(torch.empty(0)), "(?i)invalid"),
    # one element
    "145066 item of nothing": (lambda: torch.randn(0).item(), "0 elements"),
    "145063 int of nothing": (lambda: int(torch.randn(0)), ""),
    "item on meta": (lambda: torch.empty(1, device="meta").item(), "meta"),
    "bool of many": (lambda: bool(ones(2)), "(?i)ambiguous"),
    "index of a float": (lambda: [1, 2][torch.tensor(1.0)], ""),
    "max of nothing": (lambda: torch.empty(0).max(), ""),
    "argmax of nothing": (lambda: torch.empty(0).argmax(), ""),
    "median over an empty dim": (lambda: torch.empty(2, 0).median(1), ""),
    "kthvalue, k": (lambda: ones(3).kthvalue(4), "(?i)k"),
    "topk, k": (lambda: ones(3).topk(2**40), "(?i)k"),
    "quantile of nothing": (lambda: torch.quantile(torch.empty(0), 0.5), ""),
    "quantile, q": (lambda: torch.quantile(ones(3), 1.5), "(?i)q"),
    # indices
    "gather, index": (lambda: ones(3).gather(0, longs(0, 5)), "(?i)out of bounds"),
    "gather, negative": (lambda: ones(3).gather(0, longs(-4)), "(?i)out of bounds"),
    "gather, dim": (lambda: ones(3).gather(2**40, longs(0)), "(?i)dim"),
    "gather, index on meta": (
        lambda: ones(3).gather(0, torch.empty(3, dtype=torch.int64, device="meta")),
        "device",
    ),
    "index_select, index on meta": (
        lambda: ones(3).index_select(0, torch.empty(3, dtype=torch.int64, device="meta")),
        "device",
    ),
    "indexing by meta": (lambda: ones(3)[torch.empty(3, dtype=torch.int64, device="meta")], "(?i)indices|meta"),
    "scatter, index": (lambda: torch.zeros(3).scatter(0, longs(7), ones(1)), "(?i)out of bounds"),
    "scatter, src too small": (lambda: torch.zeros(3).scatter(0, longs(0, 1, 2), ones(2)), ""),
    "scatter, src on meta": (
        lambda: torch.zeros(3).scatter(0, longs(0), torch.empty(1, device="meta")),
        "device",
    ),
    "scatter_add_, min index": (lambda: torch.zeros(3).scatter_add_(0, longs(-(2**63)), ones(1)), "(?i)out of bounds"),
    "index_add_, index": (lambda: torch.zeros(3).index_add_(0, longs(3), ones(1)), "(?i)range|bounds"),
    "index_copy_, index": (lambda: torch.zeros(3).index_copy_(0, longs(-9), ones(1)), "(?i)range|bounds"),
    "index_fill_, index": (lambda: torch.zeros(3).index_fill_(0, longs(HUGE), 1.0), "(?i)range|bounds"),
    "index_put_, index": (lambda: torch.zeros(3).index_put_((longs(5),), ones(1)), "(?i)out of bounds"),
    "index_put_, mask of another size": (
        lambda: torch.zeros(3).index_put_((torch.tensor([True, False]),), ones(1)),
        "(?i)mask|shape",
    ),
    "indices that are overwritten": (
        lambda: (x := longs(2, 1, 0)).index_put_((x,), torch.tensor(10**12)),
        "single memory location",
    ),
    "take, index": (lambda: torch.take(ones(3), longs(3)), "(?i)range|bounds"),
    "put_, index": (lambda: ones(3).put_(longs(2**40), ones(1)), "(?i)range|bounds"),
    "take_along_dim": (lambda: torch.take_along_dim(ones(2, 2), longs(4)), "(?i)bounds|range"),
    "take_along_dim, of nothing": (lambda: torch.take_along_dim(ones(2, 0), longs(0).view(1, 1), 1), "ZeroDivisionError"),
    "select, index": (lambda: ones(3).select(0, -(2**63)), ""),
    "narrow, overflow": (lambda: ones(3).narrow(0, 2, HUGE), ""),
    "masked_scatter, too few": (lambda: torch.zeros(3).masked_scatter(torch.tensor([True] * 3), ones(2)), ""),
    "embedding, index": (lambda: F.embedding(longs(3), ones(3, 2)), "(?i)range"),
    "145267 embedding backward": (
        lambda: F.embedding(longs(-1), ones(3, 2, requires_grad=True)).sum().backward(),
        "(?i)range",
    ),
    "bincount, negative": (lambda: torch.bincount(longs(-1)), "(?i)negative"),
    "bincount, huge": (lambda: torch.bincount(longs(2**61)), ""),
    "bincount, weights": (lambda: torch.bincount(longs(0, 1), weights=ones(3)), ""),
    "nll_loss, target": (lambda: F.nll_loss(torch.zeros(2, 3), longs(0, 3)), "(?i)target|bounds"),
    "cross_entropy, target": (lambda: F.cross_entropy(torch.zeros(2, 3), longs(0, -7)), "(?i)target|bounds"),
    "cross_entropy, weight": (lambda: F.cross_entropy(torch.zeros(2, 3), longs(0, 1), weight=ones(2)), ""),
    "multi_margin_loss, target": (lambda: F.multi_margin_loss(torch.zeros(2, 3), longs(0, 9)), ""),
    "multilabel_margin_loss, target": (lambda: F.multilabel_margin_loss(torch.zeros(1, 3), longs(0, 9, -1).view(1, 3)), ""),
    # lengths that do not match
    "dot": (lambda: ones(3).dot(ones(4)), "size|elements"),
    "85167 ger, rank": (lambda: torch.ger(ones(2, 2), ones(2)), "(?i)1-?D|vector|dim"),
    "matmul": (lambda: ones(2, 3) @ ones(2, 3), "(?i)shapes|size"),
    "bmm": (lambda: torch.bmm(ones(2, 3, 4), ones(3, 4, 5)), ""),
    "baddbmm": (lambda: torch.baddbmm(ones(7), ones(2, 3, 4), ones(2, 4, 5)), ""),
    "37143 addmm": (lambda: torch.addmm(ones(3), ones(2, 2), ones(3, 3)), ""),
    "tensordot": (lambda: torch.tensordot(ones(2, 3), ones(2, 3), dims=([1], [0])), ""),
    "tensordot, dims": (lambda: torch.tensordot(ones(2), ones(2), dims=2**40), ""),
    "einsum": (lambda: torch.einsum("ij,jk->ik", ones(2, 3), ones(2, 3)), ""),
    "einsum, letters": (lambda: torch.einsum("i" * 100, ones(2)), ""),
    "cat": (lambda: torch.cat([ones(2, 2), ones(3, 3)]), "(?i)size"),
    "stack": (lambda: torch.stack([ones(2), ones(3)]), "(?i)size"),
    "cross": (lambda: torch.linalg.cross(ones(4), ones(4)), ""),
    "copy_ to a part": (lambda: ones(3)[:2].copy_(ones(3)), ""),
    "split_with_sizes": (lambda: ones(3).split([HUGE, HUGE, 5]), ""),
    "linear": (lambda: F.linear(ones(2, 3), ones(4, 2)), ""),
    "bilinear": (lambda: F.bilinear(ones(2, 3), ones(2, 3), ones(4, 5, 3)), ""),
    "batch_norm, means": (lambda: F.batch_norm(ones(2, 3), ones(2), ones(2)), ""),
    "layer_norm, shape": (lambda: F.layer_norm(ones(2, 3), (2,)), ""),
    "group_norm, groups": (lambda: F.group_norm(ones(2, 3), 2), ""),
    "group_norm, no groups": (lambda: F.group_norm(ones(2, 3), 0), ""),
    "cdist": (lambda: torch.cdist(ones(2, 3), ones(2, 4)), ""),
    "searchsorted, sorter": (lambda: torch.searchsorted(ones(3), ones(2), sorter=longs(0, 1, 9)), ""),
    "bucketize, ranks": (lambda: torch.bucketize(ones(2), ones(2, 2)), ""),
    "histc, NaN bounds": (lambda: torch.histc(ones(3), min=float("nan")), ""),
    "histc, no bins": (lambda: torch.histc(ones(3), bins=0), "(?i)bins"),
    "histc, infinite": (lambda: torch.histc(torch.tensor([1.0, float("inf")])), ""),
    "multinomial, negative": (lambda: torch.multinomial(torch.tensor([-1.0, 2.0]), 1), ""),
    "multinomial, NaN": (lambda: torch.multinomial(torch.tensor([float("nan"), 2.0]), 1), ""),
    "multinomial, too many": (lambda: torch.multinomial(ones(3), 2**40), ""),
    "randperm, negative": (lambda: torch.randperm(-1), ""),
    "randint, empty": (lambda: torch.randint(5, 5, (2,)), ""),
    "normal, std": (lambda: torch.normal(0.0, -1.0, (2,)), ""),
    "normal, shapes": (lambda: torch.normal(ones(2), ones(3)), ""),
    # windows
    "94698 avg_pool1d": (lambda: F.avg_pool1d(ones(1, 1, 3), 2**40), ""),
    "avg_pool2d, stride 0": (lambda: F.avg_pool2d(ones(1, 1, 4, 4), 2, stride=0), "(?i)stride|greater"),
    "max_pool2d, kernel 0": (lambda: F.max_pool2d(ones(1, 1, 4, 4), 0), ""),
    "max_pool1d, padding": (lambda: F.max_pool1d(ones(1, 1, 4), 2, padding=2**40), "(?i)pad"),
    "max_pool2d, dilation": (lambda: F.max_pool2d(ones(1, 1, 4, 4), 2, dilation=2**62), ""),
    "max_unpool2d, indices": (
        lambda: F.max_unpool2d(ones(1, 1, 2, 2), torch.full((1, 1, 2, 2), 10**6), 2),
        "",
    ),
    "max_unpool2d, negative": (lambda: F.max_unpool2d(ones(1, 1, 2, 2), torch.full((1, 1, 2, 2), -1), 2), ""),
    "adaptive_avg_pool2d, negative": (lambda: F.adaptive_avg_pool2d(ones(1, 1, 4, 4), -1), ""),
    "adaptive_max_pool2d, huge": (lambda: F.adaptive_max_pool2d(ones(1, 1, 4, 4), 2**40), ""),
    "conv1d, groups": (lambda: F.conv1d(ones(1, 3, 5), ones(2, 3, 2), groups=0), ""),
    "conv1d, channels": (lambda: F.conv1d(ones(1, 3, 5), ones(2, 2, 2)), ""),
    "conv2d, stride 0": (lambda: F.conv2d(ones(1, 1, 5, 5), ones(1, 1, 2, 2), stride=0), ""),
    "conv2d, negative padding": (lambda: F.conv2d(ones(1, 1, 5, 5), ones(1, 1, 2, 2), padding=-1), "(?i)negative"),
    "conv2d, kernel beyond": (lambda: F.conv2d(ones(1, 1, 2, 2), ones(1, 1, 3, 3)), "(?i)kernel"),
    "conv2d, huge padding": (lambda: F.conv2d(ones(1, 1, 2, 2), ones(1, 1, 2, 2), padding=2**61), ""),
    "conv_transpose2d, output padding": (
        lambda: F.conv_transpose2d(ones(1, 1, 2, 2), ones(1, 1, 2, 2), output_padding=9),
        "",
    ),
    "73184 fold, large arguments": (
        lambda: F.fold(
            torch.full((2, 16, 4), 0.5), (536870912, 536870912), (2, 2), (536870912, 536870912),
            (1250999896764, 1250999896764), (1250999896764, 1250999896764)),
        "",
    ),
    "fold, blocks": (lambda: F.fold(ones(1, 4, 3), (4, 4), (2, 2)), ""),
    "unfold, kernel": (lambda: F.unfold(ones(1, 1, 2, 2), 9), ""),
    "pixel_shuffle": (lambda: F.pixel_shuffle(ones(1, 3, 2, 2), 2), ""),
    "pixel_unshuffle, factor": (lambda: F.pixel_unshuffle(ones(1, 1, 4, 4), -2), ""),
    "channel_shuffle, groups": (lambda: F.channel_shuffle(ones(1, 3, 2, 2), 0), ""),
    # decompositions
    "96275 pinverse of a vector": (lambda: torch.pinverse(ones(3)), ""),
    "41776 orgqr": (lambda: torch.orgqr(ones(2, 3), ones(4)), ""),
    "inverse of a rectangle": (lambda: torch.inverse(ones(2, 3)), "(?i)square"),
    "cholesky of a vector": (lambda: torch.linalg.cholesky(ones(3)), ""),
    "solve, shapes": (lambda: torch.linalg.solve(torch.eye(2), ones(3)), ""),
    "det of a vector": (lambda: torch.det(ones(3)), ""),
    "eigh of NaN": (lambda: torch.linalg.eigh(torch.full((3, 3), float("nan"))), ""),
    "svd of NaN": (lambda: torch.linalg.svd(torch.full((3, 3), float("nan"))), ""),
    "matrix_power of a rectangle": (lambda: torch.matrix_power(ones(2, 3), 2), "(?i)square"),
    "triangular_solve": (lambda: torch.linalg.solve_triangular(ones(2, 2), ones(3, 1), upper=True), ""),
    "diagonal, same dims": (lambda: torch.diagonal(ones(2, 2), dim1=0, dim2=0), ""),
    # dimensions
    "permute, twice": (lambda: ones(2, 3).permute(0, 0), "(?i)dim|duplicate|repeated"),
    "transpose, huge": (lambda: ones(2, 3).transpose(0, 1250999896764), "(?i)dim"),
    "sum over a dim twice": (lambda: ones(2, 3).sum((0, 0)), "(?i)multiple|dim"),
    "unsqueeze, huge": (lambda: ones(2).unsqueeze(HUGE), "(?i)dim"),
    "flatten, order": (lambda: ones(2, 3).flatten(1, 0), ""),
    "movedim, lengths": (lambda: torch.movedim(ones(2, 3), (0, 1), (0,)), ""),
    "softmax, dim": (lambda: torch.softmax(ones(2), 2**40), "(?i)dim"),
    "cumsum, dim": (lambda: ones(2).cumsum(-(2**63)), "(?i)dim"),
    "roll, lengths": (lambda: torch.roll(ones(2, 2), (1, 2, 3), (0, 1)), ""),
    "rot90, dims": (lambda: torch.rot90(ones(2, 2), 1, (0, 0)), ""),
    "unflatten": (lambda: ones(6).unflatten(0, (4, -1)), ""),
    # data
    "a list in itself": (lambda: torch.tensor(itself()), ""),
    "two lists in each other": (lambda: torch.tensor(knotted()), ""),
    "nested 10,000 deep": (lambda: torch.tensor(nested(10_000)), ""),
    "nested 10,000 deep, as index": (lambda: ones(3)[nested(10_000)], ""),
    "nested 10,000 deep, as_tensor": (lambda: torch.as_tensor(nested(10_000)), ""),
    "ragged": (lambda: torch.tensor([[1, 2], [3]]), "(?i)expected sequence"),
    "a number beyond int64": (lambda: torch.tensor(2**70), "(?i)overflow|too large"),
    "a text": (lambda: torch.tensor("abc"), ""),
    "array of objects": (lambda: torch.from_numpy(np.array([None])), ""),
    "array with negative strides": (lambda: torch.from_numpy(np.arange(4.0)[::-1]), "(?i)negative"),
    "array of the other byte order": (lambda: torch.from_numpy(np.arange(4.0).astype(">f8")), ""),
    "frombuffer, offset": (lambda: torch.frombuffer(bytearray(8), dtype=torch.float32, offset=2**40), ""),
    "frombuffer, count": (lambda: torch.frombuffer(bytearray(8), dtype=torch.float32, count=2**62), ""),
    "frombuffer of nothing": (lambda: torch.frombuffer(bytearray(0), dtype=torch.float32), ""),
    "view(dtype), odd length": (lambda: torch.ones(3, dtype=torch.uint8).view(torch.int32), ""),
    "view_as_complex, length": (lambda: torch.view_as_complex(ones(2, 3)), ""),
    # graphs
    "backward twice": (lambda: [y := (ones(1, requires_grad=True) ** 2), y.backward(), y.backward()], "second time"),
    "gradient of another shape": (lambda: (ones(2, requires_grad=True) * 2).backward(ones(3)), "(?i)shape"),
    "grad of another shape": (lambda: setattr(ones(2), "grad", ones(3)), ""),
    "data of another kind": (lambda: setattr(ones(2, requires_grad=True), "data", 3), ""),
    "in place on a leaf": (lambda: ones(2, requires_grad=True).add_(1), "leaf"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    call, text = REFUSED[name]
    with pytest.raises(ERRORS, match=text) as caught:
        call()
    assert "internal error" not in str(caught.value)
    assert str(caught.value)


@pytest.mark.parametrize("function", [torch.add, torch.div, torch.mul, torch.remainder, torch.ne, torch.ge])
@pytest.mark.parametrize("sizes", [(5, 1, 1, 1), (2, 1, 1, 1), (1, 5, 1, 1, 1), (0,), ()])
def test_out_of_another_rank_is_resized(function, sizes):
    """85019, 85053: `out=` of more dimensions than the operands."""
    out = torch.ones(sizes)
    with pytest.warns(UserWarning, match="resized") if out.numel() and sizes != (1,) else nothing():
        result = function(torch.ones(1), 1, out=out)
    assert result is out and out.shape == (1,)
    assert out.tolist() == function(torch.ones(1), 1).tolist()


def nothing():
    import contextlib

    return contextlib.nullcontext()


def test_empty_operands_of_half_precision():
    """113037, 115731: empty arrays of NumPy in mul and div."""
    empty = torch.from_numpy(np.zeros(0, dtype=np.float16))
    assert torch.mul(torch.tensor([2.0]).half(), empty).shape == (0,)
    assert torch.div(torch.from_numpy(np.zeros((8, 0), np.float16)), torch.ones(1).half()).shape == (8, 0)
    assert torch.div(torch.zeros(8, 0).half(), torch.zeros(0, 8, 0).half()).shape == (0, 8, 0)


def test_integer_division_by_zero():
    """32630: no arithmetic exception of the processor."""
    zero = torch.tensor(0)
    assert torch.isnan(zero / zero)
    for name in ("floor_divide", "remainder", "fmod"):
        with pytest.raises(RuntimeError, match="(?i)zero"):
            getattr(torch, name)(torch.tensor(1), zero)
    least = torch.tensor(-(2**63))
    assert (least // -1).item() == -(2**63)
    assert (least % -1).item() == 0


def test_sort_of_nothing():
    """15343"""
    for stable in (False, True):
        values, indices = torch.sort(torch.empty(0), stable=stable, descending=True)
        assert values.shape == indices.shape == (0,)
    assert torch.sort(torch.empty(0, 5), 0).values.shape == (0, 5)


def test_scatter_of_nothing_by_an_index_without_dimensions():
    with pytest.raises(RuntimeError, match="no larger"):
        torch.ones(5).scatter_reduce(-1, torch.tensor(0), torch.empty(0), "amax")
    with pytest.raises(RuntimeError, match="no larger"):
        torch.ones(5).scatter(0, torch.tensor(0), torch.empty(0))


def test_repeated_indices_are_added():
    x = torch.zeros(3)
    x.index_put_((longs(1, 1, 1),), torch.ones(3), accumulate=True)
    assert x.tolist() == [0, 3, 0]


def test_dimensions_beyond_what_kernels_expect():
    x = torch.ones((1,) * 60)
    assert (x + x).sum().item() == 2 and x.permute(*reversed(range(60))).shape == x.shape
    assert torch.ones((2,) + (1,) * 40).sum(0).numel() == 1


def test_huge_empty_tensors_are_quick():
    """Sizes beside a 0 may be anything; nothing walks over them."""
    x = torch.empty(2**31, 0, 2**31)
    assert (x + 1).shape == x.shape and x.sum().item() == 0 and x.numel() == 0
    assert x.clone().is_contiguous() and x.transpose(0, 2).contiguous().numel() == 0
    assert torch.cat([x, x], 1).shape == x.shape
    assert x[5:, :, ::2].shape == (2**31 - 5, 0, 2**30)
    assert repr(torch.empty(0, 2**40)) == "tensor([], size=(0, 1099511627776))"


def test_operands_stay_as_they_were():
    x = torch.arange(6.0)
    for attempt in (
        lambda: x[1:].add_(x[:-1]),
        lambda: x[:3].copy_(torch.ones(4)),
        lambda: x.add_(torch.ones(2)),
        lambda: x.index_add_(0, longs(0, 9), torch.ones(2)),
        lambda: x.scatter_(0, longs(0, 9), torch.ones(2)),
        lambda: x.index_put_((longs(0, 9),), torch.tensor(5.0)),
        lambda: x.__setitem__(slice(0, 3), torch.ones(4)),
        lambda: x.clamp_(min=torch.ones(5)),
        lambda: x.resize_(-1),
        lambda: torch.max(x, 0, out=(x[1], torch.empty(3))),
        lambda: torch.add(x, 1, out=x[1:]),
    ):
        with pytest.raises(ERRORS):
            attempt()
        assert x.tolist() == [0, 1, 2, 3, 4, 5]


def test_complex_numbers_without_elements_along_vast_dimensions():
    x = torch.empty((0, 2**31, 2**31), dtype=torch.complex128)
    assert x.nan_to_num_(0.5, 0.0).shape == x.shape
    assert torch.view_as_real(x).shape == (0, 2**31, 2**31, 2)
    with pytest.warns(UserWarning, match="degrees of freedom"):
        assert torch.var(x, None).isnan()


def test_an_index_given_as_a_tensor_stays():
    index = torch.tensor([-1])
    torch.nn.functional.embedding(torch.tensor([0, 1]), torch.ones(3, 2), index)
    assert index.tolist() == [-1]


def test_an_infinite_mean_does_not_depend_on_the_order():
    x = torch.tensor([2.0, float("-inf"), 1.0, 3.0])
    for k in range(4):
        y = x.roll(k)
        for y in (y, y.repeat(9), y.bfloat16(), y.unsqueeze(1).expand(4, 4)[:, ::2]):
            deviation, mean = torch.std_mean(y, 0)
            assert (mean == float("-inf")).all() and deviation.isnan().all(), (y, mean, deviation)


def test_modules_are_built_from_what_they_need():
    with pytest.raises(TypeError, match="int is not a Module subclass"):
        torch.nn.TransformerEncoder(4, 2**70)
    size = torch.ones(2, 2)
    with pytest.raises(TypeError):
        torch.nn.LinearCrossEntropyLoss(1, size, out_features=size)
    assert size.eq(1).all()


def test_one_processor():
    assert str(torch.ones(2, device="cpu:1").device) == "cpu"
    assert str(torch.ones(2, device="meta:3").device) == "meta"


def test_vast_bins():
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        torch.histogram(torch.empty(0, 3), 2**60)
    classes = torch.empty(0, 2**40, dtype=torch.int64)
    assert torch.nn.functional.multilabel_margin_loss(torch.empty(0, 2**40), classes, reduction="none").shape == (0,)
    assert torch.adaptive_avg_pool1d(torch.empty(0, 2**40), 2**32).shape == (0, 2**32)


def test_vast_batches_of_empty_matrices_are_quick():
    x = torch.empty((2**31, 2, 0))
    assert torch.linalg.svdvals(x).shape == (2**31, 0)
    assert torch.linalg.pinv(x).shape == (2**31, 0, 2)
    assert torch.linalg.qr(x).R.shape == (2**31, 0, 0)
    assert torch.empty((0, 2**31, 2**31)).view(torch.uint8).shape == (0, 2**31, 2**33)
    with pytest.raises(RuntimeError, match="invalid storage offset"):
        torch.empty((0, 2**31, 2**31)).diag_embed(2, dim2=0)


def test_joins_and_differences_of_nothing():
    x = torch.empty((0, 2**31, 2**31), dtype=torch.int8)
    assert torch.stack([x, x]).shape == (2, 0, 2**31, 2**31)
    assert torch.diff(x, 2**63 - 1).shape == (0, 2**31, 0) and torch.diff(x, 2).shape == (0, 2**31, 2**31 - 2)
    assert torch.pdist(torch.empty(2**31, 3, device="meta")).shape == (2**30 * (2**31 - 1),)
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        torch.pdist(torch.empty(2**31, 0))
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        torch.hash_tensor(torch.empty(3, 0, 2**40, dtype=torch.bool), [1, 0])
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        torch.histogramdd(torch.empty(0, 2**31, 2**31), 2**31 - 1, density=True)
    with pytest.raises(RuntimeError, match="source tensor shape must match"):
        torch.tensor(1.0).index_add_(0, torch.empty(0, dtype=torch.int64), torch.empty(0), alpha=3)
    assert torch.bucketize(-2, torch.empty(1, device="meta")).is_meta
    with pytest.raises(RuntimeError, match="expected device"):
        torch.bucketize(torch.ones(2), torch.empty(1, device="meta"))
    assert torch.hash_tensor(torch.empty(3, 0, 2), [1]).tolist() == [[0, 0]] * 3
