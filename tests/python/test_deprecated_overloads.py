"""Old signatures with a number before the tensors that it multiplies."""

import warnings

import pytest

import flambeau as torch

a, b, c = torch.ones(2), torch.full((2,), 2.0), torch.full((2,), 3.0)
m, n = torch.ones(2, 2), torch.ones(2, 2, 2)

CALLS = {
    "a.add(2, b)": 5, "a.clone().add_(2, b)": 5, "torch.add(a, 2, b)": 5, "a.sub(2, b)": -3, "a.clone().sub_(2, b)": -3,
    "torch.add(a, 2, b, out=torch.ones(2))": 5, "a.addcmul(2, b, c)": 13, "a.clone().addcmul_(-1.5, b, c)": -8,
    "torch.addcmul(a, 2, b, c)": 13, "a.clone().addcdiv_(3, b, c)": 3, "torch.addcdiv(a, 3, b, c)": 3,
    "torch.addmm(2, m, 3, m, m)": 8, "torch.addmm(2, m, m, m)": 4, "m.addmm(2, 3, m, m)": 8, "m.addmm(2, m, m)": 4,
    "m.clone().addmm_(2, 3, m, m)": 8, "a.addmv(2, m, a)": 4, "a.addmv(2, 3, m, a)": 8, "m.addr(2, a, a)": 3,
    "m.addr(2, 3, a, a)": 5, "torch.addr(2, m, 3, a, a)": 5, "n.baddbmm(2, n, n)": 4, "torch.baddbmm(2, n, 3, n, n)": 8,
    "m.addbmm(2, n, n)": 6, "m.clone().addbmm_(2, 3, n, n)": 14,
}  # fmt: skip


@pytest.mark.parametrize("call", CALLS)
def test_numbers_before_tensors(call):
    with pytest.warns(UserWarning, match="deprecated"):
        result = eval(call)
    assert (result == CALLS[call]).all()


@pytest.mark.parametrize(
    "call", ["a.add(b, 2, c)", "a.add(2, 3, b)", "a.addcmul(2, b)", "torch.addmm(2, 3, m, m, m)", "a.add('2', b)"]
)
def test_others_are_errors(call):
    with warnings.catch_warnings(), pytest.raises(TypeError):
        warnings.simplefilter("error")
        eval(call)
