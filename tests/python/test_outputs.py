"""What `out=` and in-place forms may be given, and the order of sums in short products."""

import pytest

import flambeau as torch


def test_out_must_not_be_an_operand():
    x = torch.arange(6.0).reshape(2, 3)
    with pytest.raises(RuntimeError, match="single memory location"):
        torch.cat([x, x], out=x)
    with pytest.raises(RuntimeError, match="single memory location"):
        torch.index_select(x, 0, torch.tensor([1, 0]), out=x)
    empty = torch.empty(0)
    # It would have the sizes of the result, and so be both read and written.
    with pytest.raises(RuntimeError, match="single memory location"):
        torch.cat([empty, x], out=empty)
    with pytest.raises(RuntimeError, match="more than one element"):
        torch.index_select(x, 0, torch.tensor([0]), out=torch.empty(1, 1).expand(2, 3))
    assert torch.equal(x, torch.arange(6.0).reshape(2, 3))


def test_outs_must_not_overlap():
    y = torch.empty(3)
    with pytest.raises(ValueError, match="must not overlap"):
        torch.aminmax(torch.ones(2, 3), dim=0, out=(y, y))


def test_lists_of_outs():
    x = torch.arange(6.0).reshape(2, 3)
    outs = [torch.empty(3), torch.empty(0)]
    assert torch.unbind_copy(x, out=outs) is None
    assert torch.equal(outs[0], x[0]) and torch.equal(outs[1], x[1])
    with pytest.raises(RuntimeError):
        torch.unbind_copy(x, out=outs[:1])


def test_results_of_another_dtype_are_refused():
    x = torch.ones(3)
    with pytest.raises(RuntimeError, match="requires dtype Double"):
        x.float_power_(2)
    assert torch.equal(x, torch.ones(3))
    with pytest.raises(RuntimeError, match="dtype"):
        torch.complex(torch.ones(2), torch.ones(2), out=torch.empty(2, dtype=torch.complex128))


def test_clamp_with_one_bound_takes_bools():
    x = torch.tensor([True, False])
    assert torch.clamp_max(x, False).tolist() == [False, False]
    assert torch.clamp_min(x, True).tolist() == [True, True]


def test_sinc_of_complex_numbers():
    x = torch.tensor([0j, 0.5 + 0j, 1j])
    expected = [1, 2 / torch.pi, (torch.sin(torch.tensor(torch.pi * 1j)) / (torch.pi * 1j)).item()]
    assert torch.allclose(torch.sinc(x), torch.tensor(expected, dtype=torch.complex64))


def test_dropout_of_complex_numbers():
    torch.manual_seed(0)
    y = torch.nn.functional.dropout(torch.ones(1000, dtype=torch.complex64), 0.5)
    assert set(y.real.tolist()) == {0.0, 2.0} and y.imag.abs().max() == 0


def test_normal_numbers_have_gradients_of_zero():
    mean = torch.ones(3, requires_grad=True)
    y = torch.normal(mean, 1.0)
    (g,) = torch.autograd.grad(y.sum(), mean)
    assert torch.equal(g, torch.zeros(3))
    assert type(y.grad_fn).__name__ == "NormalBackward1"


def test_norm_has_the_accuracy_of_its_dtype():
    torch.manual_seed(0)
    for n in (1, 3, 4, 7, 8, 9, 15, 64, 1001):
        x = torch.randn(n)
        assert abs(torch.norm(x).item() - torch.norm(x.double()).item()) <= 2e-6 * torch.norm(x).item()


def test_roll_of_a_scalar():
    with pytest.raises(IndexError, match="no dimensions"):
        torch.roll(torch.tensor(1.0), 0, 0)


def test_sums_of_rows_and_columns():
    torch.manual_seed(0)
    for n in (1, 5, 8, 33, 1000):
        for width in (1, 3, 4, 9, 40):
            x = torch.randn(n, width)
            exact = x.double()
            assert torch.allclose(x.sum(0).double(), exact.sum(0), rtol=1e-5, atol=1e-5)
            assert torch.allclose(x.t().sum(1).double(), exact.sum(0), rtol=1e-5, atol=1e-5)
            assert torch.allclose(x.t().contiguous().sum(1).double(), exact.sum(0), rtol=1e-5, atol=1e-5)


def test_scaled_sums_are_rounded_once():
    a = torch.tensor([1.0 + 2.0**-12])
    # a * a has bits beyond float32's, which a rounded product would lose.
    assert torch.addcmul(-torch.ones(1), a, a).item() == torch.tensor(2.0**-11 + 2.0**-24).item()
    assert torch.add(-torch.ones(1), a, alpha=a.item()).item() == torch.tensor(2.0**-11 + 2.0**-24).item()
    assert torch.addcmul(torch.tensor([2]), torch.tensor([3]), torch.tensor([4]), value=5).item() == 62


def test_as_strided_scatter_sees_all_of_the_storage():
    whole = torch.arange(18.0).reshape(3, 6)
    x = whole[1:, 1::2]
    out = torch.as_strided_scatter(x, -torch.ones(2, 2), [2, 2], [6, 2])
    assert out.tolist() == [[-1, -1, 11], [-1, -1, 17]] and out.stride() == (6, 2) and out.storage_offset() == 7
    assert torch.as_strided_scatter(x, torch.ones(2), [2], [2], 0).tolist() == x.tolist()
    # Elements that share memory are copied first.
    shared = torch.as_strided_scatter(torch.arange(3.0).expand(3, 3), -torch.ones(2), [2], [2], 0)
    assert shared.tolist() == [[-1, 1, -1], [0, 1, 2], [0, 1, 2]]
    base = torch.arange(6.0, dtype=torch.float64).reshape(2, 3)
    x, src = base.t().clone().t().requires_grad_(), torch.ones(2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, src: torch.as_strided_scatter(x, src, [2], [2], 1), (x, src))


def test_running_statistics_of_rows_are_pytorchs():
    # Recorded: single-precision sums in the order of the rows.
    x = ((torch.arange(28.0) * 37) % 29 / 7).reshape(7, 4)
    mean, var = torch.zeros(4), torch.ones(4)
    torch.nn.functional.batch_norm(x, mean, var, training=True)
    assert mean.tolist() == [0.12857143580913544, 0.24285714328289032, 0.23877549171447754, 0.1755102127790451]
    assert var.tolist() == [0.9857142567634583, 0.9857142567634583, 1.0984450578689575, 1.0984450578689575]


def test_slopes_of_rrelu_are_pytorchs():
    torch.manual_seed(5)
    expected = [-0.25875312089920044, -0.17911623418331146, -0.20017242431640625, -0.19065262377262115]
    assert torch.nn.functional.rrelu(-torch.ones(4), training=True).tolist() == expected
    torch.manual_seed(5)
    x = -torch.ones(4)
    assert torch.rrelu_(x, training=True) is x and x.tolist() == expected


def test_last_bits_of_complex_logarithms():
    z = torch.tensor([1j, 1 + 1j])
    assert torch.log10(z).tolist() == [0.6821882128715515j, 0.15051499009132385 + 0.34109410643577576j]


def test_airy_function_of_large_arguments():
    # Checked with 60 digits.
    x = torch.tensor([-1e6, -1e10, -1e15], dtype=torch.float64)
    expected = torch.tensor(
        [-0.0021912611413430574, 0.00017362064481528185, -7.183314472912152e-05], dtype=torch.float64
    )
    assert torch.allclose(torch.special.airy_ai(x), expected, rtol=1e-6, atol=0)


def test_hashes():
    x = torch.tensor([[1.5, -2.0, 0.0], [3.0, 4.0, 0.25]])
    assert torch.hash_tensor(x).item() == 13848568854164275200
    assert torch.hash_tensor(x, 1).tolist() == [18444492273895866368, 4595923419731591168]
    assert torch.hash_tensor(torch.tensor([1, -2, 3], dtype=torch.int8)).item() == 18446744073709551612
    assert torch.hash_tensor(torch.ones(0, 2), 0).tolist() == [0, 0]
    with pytest.raises(RuntimeError, match="specified for input.numel"):
        torch.hash_tensor(torch.ones(0))


def test_histograms_of_points():
    x = torch.tensor([[0.0, 1.0], [1.0, 0.0], [2.0, 0.0], [2.0, 2.0]])
    hist, edges = torch.histogramdd(x, [3, 3], weight=torch.tensor([1.0, 2.0, 4.0, 8.0]))
    assert hist.tolist() == [[0, 1, 0], [2, 0, 0], [4, 0, 8]]
    assert [e.shape for e in edges] == [(4,), (4,)]
    result = torch.histogramdd(x, [torch.tensor([0.0, 1.0, 2.0])] * 2, density=True)
    assert result.hist.sum().item() == 1 and type(result) is torch.return_types.histogramdd
    assert torch.histogramdd(x, 2, range=[0.0, 1.0, 0.0, 1.0]).hist.tolist() == [[0, 1], [1, 0]]
    assert torch.histogramdd(torch.ones(0, 2), 1).bin_edges[0].tolist() == [0, 1]
    for bins in (2**40, 2**62):
        with pytest.raises(RuntimeError):
            torch.histogram(torch.rand(4), bins)


def test_forward_derivative_of_unpooling_into_one_place():
    x, tangent = torch.tensor([[[[1.0, 2.0]]]]), torch.tensor([[[[3.0, 5.0]]]])
    indices = torch.zeros(1, 1, 1, 2, dtype=torch.int64)

    def unpool(x):
        return torch.nn.functional.max_unpool2d(x, indices, (1, 2))

    with torch.autograd.forward_ad.dual_level():
        dual = unpool(torch.autograd.forward_ad.make_dual(x, tangent))
        assert torch.autograd.forward_ad.unpack_dual(dual).tangent.flatten().tolist() == [5, 0, 0, 0]
