"""Derivatives under `vmap` and of it: gradients of each sample, ensembles, Jacobians, custom functions."""

import pytest

import flambeau as torch
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


@pytest.fixture
def batched_only(monkeypatch):
    """Fails where an operator, or the function, runs once for each sample."""

    def refuse(*args, **kwargs):
        raise AssertionError(f"ran once for each sample: {args[0]}")

    monkeypatch.setattr(_operators, "loop", refuse)
    monkeypatch.setattr(_interface._Mapped, "one_by_one", refuse)


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


@pytest.mark.parametrize("size", [3, 40])
def test_functional_jacobians(size):
    """`torch.autograd.functional` with `vectorize`, by rows and by columns."""
    torch.manual_seed(7)
    x, y = torch.randn(2, size, dtype=torch.float64)
    functional = torch.autograd.functional
    forward = {"vectorize": True, "strategy": "forward-mode"}

    def function(a, b):
        return (a * b).sin() * a.sum(), b**2

    wanted = functional.jacobian(function, (x, y))
    assert_close(functional.jacobian(function, (x, y), vectorize=True), wanted)
    found = functional.jacobian(function, (x, y), **forward)
    assert_close(found, wanted)
    assert isinstance(found, tuple) and not found[0][0].requires_grad
    assert_close(functional.jacobian(torch.sin, x, **forward), torch.diag(x.cos()))
    assert_close(functional.jacobian(lambda a: (a * 2,), x, **forward)[0], 2 * torch.eye(size, dtype=torch.float64))

    def value(a, b):
        return (function(a, b)[0] * b).sum()

    wanted = functional.hessian(value, (x, y))
    assert_close(functional.hessian(value, (x, y), vectorize=True, outer_jacobian_strategy="forward-mode"), wanted)
    with pytest.raises(TypeError, match="outputs of the user-provided function"):
        functional.jacobian(lambda a: 1, x, **forward)


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
