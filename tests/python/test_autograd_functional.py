"""`autograd.grad`, `backward`, `functional`, `gradcheck`, `graph` and the old Variable."""

import warnings

import pytest

import flambeau as torch

autograd = torch.autograd
functional = torch.autograd.functional


def leaf(*values, dtype=torch.float32):
    return torch.tensor(values, dtype=dtype, requires_grad=True)


def test_grad():
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    gx, gy = autograd.grad((x**2 * y).sum(), (x, y))
    assert gx.tolist() == [6.0, 16.0] and gy.tolist() == [1.0, 4.0]
    (first,) = autograd.grad((x**3).sum(), x, create_graph=True)
    assert autograd.grad(first.sum(), x)[0].tolist() == [6.0, 12.0]
    assert autograd.grad((2 * x).sum(), {"x": x})["x"].tolist() == [2.0, 2.0]
    assert autograd.grad(x * 2, x, torch.eye(2), is_grads_batched=True)[0].tolist() == [[2.0, 0.0], [0.0, 2.0]]


def test_grad_of_unused_inputs():
    x, y = leaf(1.0), leaf(1.0)
    assert autograd.grad((2 * x).sum(), [x, y], allow_unused=True)[1] is None
    assert autograd.grad((2 * x).sum(), [x, y], materialize_grads=True)[1].tolist() == [0.0]
    with pytest.raises(RuntimeError, match="appears to not have been used in the graph"):
        autograd.grad((2 * x).sum(), [x, y])
    with pytest.raises(ValueError, match="Expected allow_unused to be True or not passed"):
        autograd.grad((2 * x).sum(), [x, y], allow_unused=False, materialize_grads=True)


def test_errors_of_grad_and_backward():
    x = leaf(1.0, 2.0, 3.0)
    with pytest.raises(RuntimeError, match="grad can be implicitly created only for scalar outputs"):
        autograd.backward(x * 2)
    with pytest.raises(RuntimeError) as error:
        autograd.grad(x * 2, x, torch.ones(2))
    assert str(error.value) == (
        "Mismatch in shape: grad_output[0] has a shape of torch.Size([2]) and output[0] has a shape of torch.Size([3])."
    )
    with pytest.raises(TypeError, match="gradients can be either Tensors or None, but got int"):
        autograd.backward(x * 2, [1])
    with pytest.raises(RuntimeError, match="`inputs` argument to `backward\\(\\)` cannot be empty."):
        autograd.backward(x.sum(), inputs=[])
    with pytest.raises(RuntimeError, match="does not require grad and does not have a grad_fn"):
        autograd.grad(torch.ones(1), x)


def test_backward_into_chosen_inputs():
    x, y = leaf(1.0), leaf(2.0)
    autograd.backward((x * y).sum(), inputs=[x])
    assert x.grad.tolist() == [2.0] and y.grad is None


def test_jacobian():
    x, y = torch.tensor([1.0, 2.0]), torch.tensor([3.0])
    assert functional.jacobian(lambda x: x**2, x).tolist() == [[2.0, 0.0], [0.0, 4.0]]
    assert functional.jacobian(lambda x: (x**2).sum(), x).tolist() == [2.0, 4.0]
    by_x, by_y = functional.jacobian(lambda x, y: x * y, (x, y))
    assert by_x.tolist() == [[3.0, 0.0], [0.0, 3.0]] and by_y.tolist() == [[1.0], [2.0]]
    blocks = functional.jacobian(lambda x, y: (x * y, x.sum() + y), (x, y))
    assert [[tuple(b.shape) for b in row] for row in blocks] == [[(2, 2), (2, 1)], [(1, 2), (1, 1)]]
    for options in ({"vectorize": True}, {"vectorize": True, "strategy": "forward-mode"}):
        assert functional.jacobian(lambda x: x**2, x, **options).tolist() == [[2.0, 0.0], [0.0, 4.0]]
    kept = functional.jacobian(lambda x: x**2, leaf(1.0, 2.0), create_graph=True)
    assert kept.requires_grad
    assert functional.jacobian(lambda x: torch.ones(2), x).tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_hessian():
    x = torch.tensor([1.0, 2.0])
    assert functional.hessian(lambda x: (x**3).sum() + x[0] * x[1], x).tolist() == [[6.0, 1.0], [1.0, 12.0]]
    blocks = functional.hessian(lambda x, y: (x * y).sum(), (x, torch.tensor([3.0])))
    assert blocks[0][1].tolist() == [[1.0], [1.0]] and blocks[1][1].tolist() == [[0.0]]
    assert functional.hessian(lambda x: x.sum(), x).tolist() == [[0.0, 0.0], [0.0, 0.0]]
    with pytest.raises(
        RuntimeError, match="The Tensor returned by the function given to hessian should contain a sing"
    ):
        functional.hessian(lambda x: x**2, x)


def test_products():
    x, v = torch.tensor([1.0, 2.0]), torch.tensor([1.0, -1.0])
    outputs, product = functional.vjp(lambda x: x**2, x, v)
    assert outputs.tolist() == [1.0, 4.0] and product.tolist() == [2.0, -4.0]
    assert functional.jvp(lambda x: x**2, x, v)[1].tolist() == [2.0, -4.0]
    scalar = lambda x: (x**3).sum() + x[0] * x[1]  # noqa: E731
    assert functional.hvp(scalar, x, v)[1].tolist() == [5.0, -11.0]
    assert functional.vhp(scalar, x, v)[1].tolist() == [5.0, -11.0]
    assert functional.vjp(lambda x: x.sum(), x)[1].tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    "call, error, text",
    [
        (lambda x: functional.vjp(lambda x: x * 2, x), RuntimeError, "The vector v can only be None if the user-prov"),
        (lambda x: functional.vjp(lambda x: x, x, torch.ones(3)), RuntimeError, "v has invalid size: should be torch."),
        (lambda x: functional.vjp(lambda x: x, x, 1), TypeError, "The v given to vjp must be either a Tensor or a tup"),
        (lambda x: functional.jacobian(lambda x: 1, x), TypeError, "The outputs of the user-provided function given"),
        (
            lambda x: functional.jacobian(lambda x: x, [x]),
            TypeError,
            "The inputs given to jacobian must be either a Te",
        ),
        (lambda x: functional.jacobian(lambda x: torch.ones(1), x, strict=True), RuntimeError, "Output 0 of the user"),
        (lambda x: functional.hessian(lambda x: x.sum(), x, strict=True), RuntimeError, "While computing the hessian,"),
        (lambda x: functional.hvp(lambda x: (x, x), x, x), RuntimeError, "The function given to hvp should return a "),
        (lambda x: functional.jacobian(lambda x: x, x, strategy="sideways"), AssertionError, "Expected strategy to be"),
    ],
)
def test_errors_of_functional(call, error, text):
    with pytest.raises(error) as caught:
        call(torch.tensor([1.0, 2.0]))
    assert str(caught.value).startswith(text)


def test_newton_for_a_gamma_distribution():
    samples = torch.tensor([1.1, 0.4, 2.7, 1.9, 0.8, 1.3], dtype=torch.float64)

    def objective(theta):
        return -torch.distributions.Gamma(theta[0], theta[1]).log_prob(samples).sum()

    theta = torch.tensor([1.0, 1.0], dtype=torch.float64)
    for _ in range(20):
        gradient = functional.jacobian(objective, theta)
        theta = theta - torch.linalg.solve(functional.hessian(objective, theta), gradient)
    assert functional.jacobian(objective, theta).abs().max().item() < 1e-8
    assert (theta[0] / theta[1]).item() == pytest.approx(samples.mean().item())


class Square(autograd.Function):
    factor = 2

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return 2 * x * gradient


class WrongSquare(Square):
    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return 3 * x * gradient


@pytest.mark.parametrize("fast_mode", [False, True])
def test_gradcheck(fast_mode):
    x = leaf(1.0, 2.0, dtype=torch.float64)
    assert autograd.gradcheck(Square.apply, x, fast_mode=fast_mode)
    assert autograd.gradcheck(
        lambda x, y: (x * y, x + y), (x, leaf(3.0, 4.0, dtype=torch.float64)), fast_mode=fast_mode
    )
    assert autograd.gradcheck(lambda x: x**2, leaf(1 + 2j, 0.5j, dtype=torch.complex128), fast_mode=fast_mode)
    assert not autograd.gradcheck(WrongSquare.apply, x, raise_exception=False, fast_mode=fast_mode)
    with pytest.raises(autograd.gradcheck.__globals__["GradcheckError"], match="Jacobian mismatch for output 0"):
        autograd.gradcheck(WrongSquare.apply, x, fast_mode=fast_mode)
    assert autograd.gradgradcheck(lambda x: x**3, x, fast_mode=fast_mode)


def test_gradcheck_errors():
    with pytest.raises(ValueError, match="gradcheck expects at least one input tensor to require gradient"):
        autograd.gradcheck(lambda x: x, torch.ones(2))
    with pytest.warns(UserWarning, match="is not a double precision floating point or complex"):
        autograd.gradcheck(lambda x: x * 2, leaf(1.0), atol=1e-1)
    with pytest.raises(RuntimeError, match="Numerical gradient for function expected to be zero"):
        autograd.gradcheck(lambda x: x.detach() * 2, leaf(1.0, dtype=torch.float64))
    with pytest.raises(RuntimeError) as error:
        autograd.gradcheck(WrongSquare.apply, leaf(1.0, 2.0, dtype=torch.float64))
    assert str(error.value) == (
        "Jacobian mismatch for output 0 with respect to input 0,\n"
        "numerical:tensor([[2.0000, 0.0000],\n        [0.0000, 4.0000]], dtype=torch.float64)\n"
        "analytical:tensor([[3., 0.],\n        [0., 6.]], dtype=torch.float64)\n"
    )


def test_once_differentiable():
    class Once(Square):
        backward = staticmethod(autograd.function.once_differentiable(Square.backward))

    x = leaf(3.0)
    (gradient,) = autograd.grad(Once.apply(x), x, leaf(1.0), create_graph=True)
    assert gradient.tolist() == [6.0] and gradient.requires_grad
    with pytest.raises(RuntimeError, match="marked with @once_differentiable"):
        gradient.sum().backward()


def test_variable():
    x = torch.ones(2)
    variable = autograd.Variable(x, requires_grad=True)
    assert type(variable) is torch.Tensor and variable.requires_grad and not x.requires_grad
    assert variable.data_ptr() == x.data_ptr()
    assert isinstance(torch.ones(1), autograd.Variable) and not isinstance(1, autograd.Variable)
    with pytest.raises(TypeError, match="Variable data has to be a tensor, but got list"):
        autograd.Variable([1.0])
    with pytest.warns(UserWarning, match="volatile was removed"):
        autograd.Variable(x, volatile=True)


def test_anomaly_mode():
    with pytest.warns(UserWarning, match="Anomaly Detection has been enabled"):
        with autograd.detect_anomaly():
            pass
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with autograd.set_detect_anomaly(True, check_nan=False):
            pass


def test_saved_tensors_hooks():
    packed = []

    def pack(tensor):
        packed.append(tensor.clone())
        return len(packed) - 1

    x = leaf(1.0, 2.0)
    with autograd.graph.saved_tensors_hooks(pack, lambda index: packed[index]):
        y = (x**2).sum()
    assert packed
    y.backward()
    assert x.grad.tolist() == [2.0, 4.0]
    with autograd.graph.disable_saved_tensors_hooks("not here"):
        with pytest.raises(RuntimeError, match="not here"):
            with autograd.graph.saved_tensors_hooks(pack, lambda index: packed[index]):
                pass


def test_mutation_of_saved_tensors():
    with autograd.graph.allow_mutation_on_saved_tensors():
        x = leaf(1.0, 2.0)
        y = x.clone()
        z = (y**2).sum()
        y.zero_()
        z.backward()
    assert x.grad.tolist() == [2.0, 4.0]


def test_nodes():
    y = leaf(1.0) * 2
    assert isinstance(y.grad_fn, autograd.graph.Node) and not isinstance(1, autograd.graph.Node)
    edge = autograd.graph.get_gradient_edge(y)
    assert edge.output_nr == 0 and edge.node == y.grad_fn
    assert autograd.grad((y**2).sum(), edge)[0].tolist() == [4.0]
    with pytest.raises(RuntimeError, match="does not require gradients"):
        autograd.graph.get_gradient_edge(torch.ones(1))
