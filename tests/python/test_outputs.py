"""What `out=` and in-place forms may be given, and the order of sums in short products."""

import pytest

import flambeau as torch


def test_out_must_not_be_an_operand():
    x = torch.arange(6.0).reshape(2, 3)
    with pytest.raises(RuntimeError, match="single memory location"):
        torch.cat([x, x], out=x)
    with pytest.raises(RuntimeError, match="single memory location"):
        torch.index_select(x, 0, torch.tensor([1, 0]), out=x)
    assert torch.equal(x, torch.arange(6.0).reshape(2, 3))


def test_outs_must_not_overlap():
    y = torch.empty(3)
    with pytest.raises(ValueError, match="must not overlap"):
        torch.aminmax(torch.ones(2, 3), dim=0, out=(y, y))


def test_lists_of_outs():
    x = torch.arange(6.0).reshape(2, 3)
    outs = [torch.empty(3), torch.empty(0)]
    torch.unbind_copy(x, out=outs)
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
