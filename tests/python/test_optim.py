"""Optimizers: updates, groups, state, hooks, errors."""

import copy

import pytest

import flambeau as torch
from flambeau import nn, optim

# Two steps from 1.0 with the gradients 0.5 and -0.25, as PyTorch 2.15 takes them.
STEPS = [
    (optim.SGD, {"lr": 0.1}, 0.975),
    (optim.SGD, {"lr": 0.1, "momentum": 0.9}, 0.93),
    (optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True}, 0.912),
    (optim.SGD, {"lr": 0.1, "weight_decay": 0.1}, 0.9556),
    (optim.SGD, {"lr": 0.1, "maximize": True}, 1.025),
]


def parameter(value=1.0):
    return nn.Parameter(torch.tensor([value]))


def take(optimizer, p, grads):
    for grad in grads:
        p.grad = torch.tensor([grad])
        optimizer.step()


@pytest.mark.parametrize("kind, settings, expected", STEPS)
def test_sgd(kind, settings, expected):
    p = parameter()
    take(kind([p], **settings), p, [0.5, -0.25])
    assert p.item() == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize("name", "Adam AdamW Adagrad RMSprop Adadelta Adamax NAdam RAdam ASGD Rprop Adafactor".split())
def test_descends_and_keeps_state(name):
    p = parameter(3.0)
    optimizer = getattr(optim, name)([p])
    start = p.item()
    take(optimizer, p, [2.0, 2.0, 2.0])
    assert p.item() < start
    state = optimizer.state_dict()["state"][0]
    assert state["step"].item() == 3.0 and state["step"].dtype == torch.float32


def test_adam_by_hand():
    p = parameter()
    take(optim.Adam([p], lr=0.1), p, [0.5])
    # The first step is lr times the sign of the gradient, but for eps.
    assert p.item() == pytest.approx(0.9, abs=1e-6)
    q = parameter()
    take(optim.AdamW([q], lr=0.1, weight_decay=0.5), q, [0.5])
    assert q.item() == pytest.approx(0.95 - 0.1, abs=1e-6)


def test_lbfgs_solves_a_quadratic():
    p = nn.Parameter(torch.tensor([3.0, -2.0]))
    optimizer = optim.LBFGS([p], line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = ((p - 1) ** 2).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert torch.allclose(p, torch.ones(2), atol=1e-4)


def test_groups():
    a, b = parameter(), parameter()
    optimizer = optim.SGD([{"params": [a]}, {"params": [b], "lr": 1.0}], lr=0.1)
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 1.0]
    c = parameter()
    optimizer.add_param_group({"params": c, "lr": 2.0})
    assert optimizer.param_groups[2]["params"][0] is c
    named = optim.SGD([("first", parameter())], lr=0.1)
    assert named.param_groups[0]["param_names"] == ["first"]
    assert repr(optim.SGD([a], lr=0.1)) == (
        "SGD (\nParameter Group 0\n    dampening: 0\n    differentiable: False\n    foreach: None\n    fused: None\n"
        "    lr: 0.1\n    maximize: False\n    momentum: 0\n    nesterov: False\n    weight_decay: 0\n)"
    )


@pytest.mark.parametrize(
    "build, error, text",
    [
        (lambda: optim.SGD([], 0.1), ValueError, "optimizer got an empty parameter list"),
        (lambda: optim.SGD([3], 0.1), TypeError, "optimizer can only optimize Tensors, but one of the params is int"),
        (lambda: optim.SGD([parameter() * 2], 0.1), ValueError, "can't optimize a non-leaf Tensor"),
        (lambda: optim.SGD([parameter()], -1), ValueError, "Invalid learning rate: -1"),
        (lambda: optim.SGD([parameter()], nesterov=True), ValueError, "Nesterov momentum requires a momentum"),
        (lambda: optim.Adam([parameter()], betas=(2, 0.9)), ValueError, "Invalid beta parameter at index 0: 2"),
        (lambda: optim.Adam([parameter()], eps=-1), ValueError, "Invalid epsilon value: -1"),
        (lambda: optim.ASGD([parameter()], lambd=-1), ValueError, "Invalid lambd value: -1"),
        (lambda: optim.Muon([parameter()]), ValueError, "Muon only supports 2D parameters"),
    ],
)
def test_errors(build, error, text):
    with pytest.raises(error) as caught:
        build()
    assert text in str(caught.value)


def test_a_parameter_in_two_groups_is_refused():
    p = parameter()
    with pytest.raises(ValueError, match="some parameters appear in more than one parameter group"):
        optim.SGD([{"params": [p]}, {"params": [p]}], lr=0.1)


def test_state_dict_continues_a_run():
    p, q = parameter(), parameter()
    first = optim.Adam([p], lr=0.1)
    take(first, p, [0.5, 0.4])
    second = optim.Adam([q], lr=0.5)
    saved = first.state_dict()
    # Loading does not copy tensors that fit, so that the two would share their state.
    saved["state"] = {0: {key: value.clone() for key, value in saved["state"][0].items()}}
    second.load_state_dict(saved)
    q.data = p.data.clone()
    take(first, p, [0.3])
    take(second, q, [0.3])
    assert p.item() == q.item()
    assert list(first.state_dict()) == ["state", "param_groups"]
    assert list(first.state_dict()["state"][0]) == ["step", "exp_avg", "exp_avg_sq"]
    with pytest.raises(ValueError, match="loaded state dict has a different number of parameter groups"):
        second.load_state_dict({"state": {}, "param_groups": []})


def test_loaded_state_is_cast_to_its_parameter():
    p = parameter()
    first = optim.Adam([p])
    take(first, p, [1.0])
    q = nn.Parameter(torch.ones(1, dtype=torch.float64))
    second = optim.Adam([q])
    second.load_state_dict(first.state_dict())
    state = second.state[q]
    assert state["exp_avg"].dtype == torch.float64 and state["step"].dtype == torch.float32


def test_hooks_and_closures():
    p, seen = parameter(), []
    optimizer = optim.SGD([p], lr=0.1)
    before = optimizer.register_step_pre_hook(lambda o, args, kwargs: seen.append("before"))
    optimizer.register_step_post_hook(lambda o, args, kwargs: seen.append("after"))
    p.grad = torch.ones(1)
    assert optimizer.step(lambda: "loss") == "loss"
    before.remove()
    optimizer.step()
    assert seen == ["before", "after", "after"]


def test_zero_grad():
    p = parameter()
    optimizer = optim.SGD([p], lr=0.1)
    p.grad = torch.ones(1)
    optimizer.zero_grad(set_to_none=False)
    assert p.grad.item() == 0.0
    optimizer.zero_grad()
    assert p.grad is None


def test_user_defined_optimizer():
    class Sign(optim.Optimizer):
        def __init__(self, params, lr):
            super().__init__(params, {"lr": lr})

        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    p.data.sub_(p.grad.sign() * group["lr"])

    p = parameter()
    p.grad = torch.ones(1) * 5
    optimizer = Sign([p], 0.25)
    optimizer.step()
    assert p.item() == 0.75


# Lookahead


def quadratic(parameters):
    return sum((parameter**2).sum() for parameter in parameters)


@pytest.mark.parametrize("inner", [lambda p: optim.SGD(p, 0.1, momentum=0.9), lambda p: optim.Adam(p, 0.1)])
def test_lookahead_interpolates_every_few_steps(inner):
    start = torch.tensor([1.0, -2.0], dtype=torch.float64)
    fast, twin = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    optimizer, reference, slow = optim.Lookahead(inner([fast]), k=3, alpha=0.25), inner([twin]), start.clone()
    for step in range(1, 11):
        for one, parameter in ((optimizer, fast), (reference, twin)):
            one.zero_grad()
            quadratic([parameter]).backward()
            one.step()
        if step % 3 == 0:
            slow = slow + 0.25 * (twin.detach() - slow)
            twin.data.copy_(slow)
        assert torch.allclose(fast, twin, rtol=1e-12, atol=0)


def test_lookahead_resumes_and_takes_schedules():
    def train(parameter, optimizer, steps, schedule=None):
        for _ in range(steps):
            optimizer.zero_grad()
            quadratic([parameter]).backward()
            optimizer.step()
            if schedule is not None:
                schedule.step()

    whole = nn.Parameter(torch.tensor([1.0, -2.0]))
    train(whole, optim.Lookahead(optim.Adam([whole], 0.1)), 13)
    half = nn.Parameter(torch.tensor([1.0, -2.0]))
    first = optim.Lookahead(optim.Adam([half], 0.1))
    train(half, first, 7)
    saved = copy.deepcopy(first.state_dict())
    assert set(saved) == {"state", "param_groups", "lookahead"} and saved["lookahead"]["steps"] == 7
    again = nn.Parameter(half.detach().clone())
    second = optim.Lookahead(optim.Adam([again], 0.5), k=2)
    second.load_state_dict(saved)
    train(again, second, 6)
    assert again.equal(whole)
    second.load_state_dict(optim.Adam([again], 0.1).state_dict())
    assert second._steps == 0 and second._slow[again].equal(again.detach())

    scheduled = optim.Lookahead(optim.SGD([again], 0.1))
    train(again, scheduled, 2, optim.lr_scheduler.StepLR(scheduled, 1, 0.5))
    assert scheduled.param_groups[0]["lr"] == scheduled.optimizer.param_groups[0]["lr"] == 0.025
    scheduled.add_param_group({"params": [nn.Parameter(torch.ones(2))]})
    assert len(scheduled.param_groups) == 2 and len(scheduled._slow) == 2
    copied = copy.deepcopy(scheduled)
    assert copied.param_groups[0]["lr"] == 0.025 and set(copied._slow) == {*copied._parameters()}
    assert repr(scheduled).startswith("Lookahead (k: 5, alpha: 0.5)\nSGD (")
    for bad in (dict(k=0), dict(k=1.5), dict(alpha=-0.1), dict(alpha=1.1)):
        with pytest.raises(ValueError):
            optim.Lookahead(optim.SGD([again], 0.1), **bad)
    with pytest.raises(TypeError):
        optim.Lookahead([again])
    with pytest.raises(ValueError, match="other shapes"):
        optim.Lookahead(optim.Adam([nn.Parameter(torch.ones(3))])).load_state_dict(saved)
