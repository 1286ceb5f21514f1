"""Function transforms, vmap, checkpoints, loss scaling and comparisons."""

import pytest

import flambeau as torch
from flambeau.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, stack_module_state, vjp, vmap
from flambeau.testing import assert_close
from flambeau.utils.checkpoint import CheckpointError, GraphExecGroup, checkpoint, set_checkpoint_early_stop

X = torch.tensor([0.5, 1.0, 2.0])


def test_derivatives_of_functions():
    assert_close(grad(grad(torch.sin))(torch.tensor(1.5)), -torch.sin(torch.tensor(1.5)))
    assert_close(jacrev(torch.exp)(X), torch.diag(X.exp()))
    assert_close(jacfwd(torch.exp)(X), torch.diag(X.exp()))
    assert_close(hessian(lambda a: (a**3).sum())(X), torch.diag(6 * X))
    value, product = jvp(lambda a: a * a, (X,), (torch.ones(3),))
    assert_close((value, product), (X * X, 2 * X))
    value, back = vjp(lambda a: a * a, X)
    assert_close(back(torch.ones(3)), (2 * X,))
    assert not value.requires_grad


def test_history_of_results():
    weight = torch.tensor(2.0, requires_grad=True)
    grad(lambda q: (q * weight) ** 2)(torch.tensor(3.0)).backward()
    assert weight.grad.item() == 24.0
    nested = grad(lambda a: grad(lambda b: a * b * b * a)(torch.tensor(1.5)))(torch.tensor(1.5))
    assert nested.item() == 9.0 and not nested.requires_grad


def test_vmap():
    m = torch.arange(6.0).reshape(2, 3)
    assert_close(vmap(torch.dot, in_dims=(1, None))(m, torch.ones(2)), m.sum(0))
    assert_close(vmap(lambda a: (a, 2 * a), out_dims=(1, 0))(m), (m.T, 2 * m))
    with pytest.raises(RuntimeError, match="randomness error mode"):
        vmap(lambda a: a + torch.rand(()))(X)
    same = vmap(lambda a: torch.rand(()), randomness="same")(X)
    assert same[0] == same[1]
    with pytest.raises(ValueError, match="same size in the mapped dimension"):
        vmap(lambda a, b: a)(X, m)


def test_ensemble():
    models = [torch.nn.Linear(3, 2) for _ in range(2)]
    parameters, buffers = stack_module_state(models)
    out = vmap(lambda p, b: functional_call(models[0], (p, b), (X,)))(parameters, buffers)
    assert_close(out, torch.stack([model(X) for model in models]))


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_checkpoint(use_reentrant):
    calls = []

    def function(a):
        calls.append(None)
        return torch.nn.functional.dropout((a.exp().sin() * a), 0.5)

    first, second = X.clone().requires_grad_(), X.clone().requires_grad_()
    torch.manual_seed(3)
    function(first).sum().backward()
    torch.manual_seed(3)
    checkpoint(function, second, use_reentrant=use_reentrant).sum().backward()
    assert torch.equal(first.grad, second.grad) and len(calls) == 3


def test_checkpoints_stop_early():
    steps = []

    @checkpoint(use_reentrant=False)
    def function(a):
        steps.append("first")
        a = a.sin()
        steps.append("last")
        return a * 2  # saves nothing

    x = X.clone().requires_grad_()
    function(x).sum().backward()
    assert torch.equal(x.grad, 2 * X.cos()) and steps == ["first", "last", "first"]
    with set_checkpoint_early_stop(False):
        y = function(x)
    y.sum().backward()
    assert steps[3:] == ["first", "last"] * 2


def test_checkpoints_of_a_group_are_computed_once():
    calls = []

    def function(a):
        calls.append(None)
        return a.sin(), a.cos()

    x = X.clone().requires_grad_()
    first, second = checkpoint(function, x, use_reentrant=False, early_stop=False)
    with GraphExecGroup():
        first.sum().backward(retain_graph=True)
        second.sum().backward()
        assert len(calls) == 2 and torch.allclose(x.grad, X.cos() - X.sin())
        with pytest.raises(CheckpointError, match="already unpacked"):
            first.sum().backward()


def test_linearize():
    calls = []

    def function(x, y):
        calls.append(None)
        return {"a": x.sin() * y, "b": x.sum()}

    y = torch.tensor([3.0, -1.0, 2.0])
    value, push = torch.func.linearize(function, X, y)
    for tangents in [(torch.ones_like(X), torch.zeros_like(X)), (X, y)]:
        expected, derivative = torch.func.jvp(function, (X, y), tangents)
        found = push(*tangents)
        assert all(torch.allclose(found[k], derivative[k]) and torch.equal(value[k], expected[k]) for k in found)
    assert len(calls) == 3
    with pytest.raises(RuntimeError, match="tangent:0 with shape"):
        push(torch.ones(X.numel() + 1), y)


def test_batch_norms_without_running_averages():
    model = torch.nn.Sequential(torch.nn.BatchNorm1d(2), torch.nn.ReLU())
    assert torch.func.replace_all_batch_norm_modules_(model) is model
    assert model[0].running_mean is None and not model[0].track_running_stats


def test_grad_scaler():
    parameter = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([parameter], lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=2)
    scales = []
    for step in range(4):
        optimizer.zero_grad()
        scaler.scale((parameter * parameter).sum() * (float("inf") if step == 2 else 1)).backward()
        scaler.step(optimizer)
        scaler.update()
        scales.append(scaler.get_scale())
    assert scales == [4.0, 8.0, 4.0, 4.0]
    assert_close(parameter.detach(), torch.full((2,), 0.512))


def test_assert_close_messages():
    with pytest.raises(AssertionError, match=r"Mismatched elements: 1 / 2 \(50.0%\)"):
        assert_close(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 3.0]))
    with pytest.raises(AssertionError, match=r"failure occurred for item \['a'\]\[0\]"):
        assert_close({"a": [1]}, {"a": [2]})
    assert_close(torch.tensor([float("nan")]), torch.tensor([float("nan")]), equal_nan=True)


def test_small_functions():
    assert [t.tolist() for t in torch.unravel_index(torch.tensor([5, 7]), (3, 4))] == [[1, 1], [1, 3]]
    assert [t.tolist() for t in torch.nonzero(torch.eye(2), as_tuple=True)] == [[0, 1], [0, 1]]
    assert torch.ones(2).map_(torch.tensor([3.0, 4.0]), lambda a, b: a + b).tolist() == [4.0, 5.0]
    memory = bytearray(8)
    torch.frombuffer(memory, dtype=torch.int16)[1] = 7
    assert memory[2] == 7
    torch.use_deterministic_algorithms(True, warn_only=True)
    assert torch.get_deterministic_debug_mode() == 1
    torch.use_deterministic_algorithms(False)


def test_windows():
    from flambeau.signal import windows

    assert_close(windows.hann(5), torch.tensor([0.0, 0.5, 1.0, 0.5, 0.0]))
    assert_close(torch.hann_window(4), windows.hann(4, sym=False))
    with pytest.raises(ValueError, match="non-negative window length"):
        windows.hann(-1)
