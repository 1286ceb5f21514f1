"""Steps in one pass over memory have the bits of those composed of operators."""

import flambeau as torch
import pytest

SETTINGS = {
    "SGD": [
        {},
        {"weight_decay": 0.1, "maximize": True},
        {"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01},
        {"momentum": 0.7, "nesterov": True, "maximize": True},
    ],
    "Adam": [{}, {"amsgrad": True, "weight_decay": 0.1}, {"betas": (0.6, 0.4), "maximize": True}],
    "AdamW": [{}, {"amsgrad": True, "maximize": True, "eps": 1e-3}],
    "RMSprop": [{}, {"momentum": 0.9, "weight_decay": 0.1}, {"centered": True, "maximize": True}],
    "Adagrad": [{}, {"lr_decay": 0.1, "weight_decay": 0.1, "maximize": True}],
}
CASES = [(name, settings) for name, all_settings in SETTINGS.items() for settings in all_settings]


def trained(name, settings, dtype, strided):
    torch.manual_seed(3)
    parameters = []
    for shape in [(5, 7), (33,), (2, 3, 4), ()]:
        start = torch.randn(shape, dtype=dtype)
        if strided:
            # Every other element of a larger tensor: no pass over contiguous memory.
            room = torch.zeros(*shape, 2, dtype=dtype)
            room[..., 0] = start
            start = room[..., 0]
        parameters.append(start.detach().requires_grad_())
    optimizer = getattr(torch.optim, name)(parameters, lr=0.05, **settings)
    for _ in range(4):
        for parameter in parameters:
            parameter.grad = torch.randn(parameter.shape, dtype=dtype)
        optimizer.step()
    return parameters, optimizer


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name,settings", CASES)
def test_one_pass_has_the_bits_of_the_composed_step(name, settings, dtype):
    ours, optimizer = trained(name, settings, dtype, strided=False)
    composed, other = trained(name, settings, dtype, strided=True)
    for a, b in zip(ours, composed):
        assert torch.equal(a, b), (a, b)
        for key, value in optimizer.state[a].items():
            assert torch.equal(value, other.state[b][key]), key


def test_versions_and_errors():
    p = torch.ones(3, requires_grad=True)
    saved = p * p
    p.grad = torch.ones(3)
    torch.optim.SGD([p], lr=0.1).step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        saved.sum().backward()
    one, two = torch.ones(2), torch.ones(2)
    settings = {"weight_decay": 0.0, "momentum": 0.9, "lr": 0.1, "dampening": 0.0, "nesterov": False, "maximize": False}
    with pytest.raises(RuntimeError, match="expected lists of 1 tensors, got one of 0"):
        torch._fused_sgd_([one], [two], [], is_first_step=True, **settings)
    assert torch.equal(one, torch.ones(2))
    with pytest.raises(RuntimeError):
        torch._fused_sgd_([one], [torch.ones(3)], [torch.ones(3)], is_first_step=False, **settings)
    assert torch.equal(one, torch.ones(2))


def test_scales_and_infinities():
    p, g, b = torch.ones(3), torch.full((3,), 8.0), torch.zeros(3)
    settings = {"weight_decay": 0.0, "momentum": 0.0, "lr": 1.0, "dampening": 0.0, "nesterov": False, "maximize": False}
    torch._fused_sgd_([p], [g], [b], is_first_step=False, found_inf=torch.tensor(1.0), **settings)
    assert torch.equal(p, torch.ones(3))
    torch._fused_sgd_([p], [g], [], is_first_step=False, grad_scale=torch.tensor(8.0), **settings)
    assert torch.equal(p, torch.zeros(3)) and torch.equal(g, torch.ones(3))


def test_overlapping_parameters_are_updated_one_after_the_other():
    room = torch.ones(4)
    a, b = room[:3].requires_grad_(), room[1:].requires_grad_()
    a.grad, b.grad = torch.ones(3), torch.ones(3)
    torch.optim.SGD([a, b], lr=1.0).step()
    assert torch.equal(room, torch.tensor([0.0, -1.0, -1.0, 0.0]))
