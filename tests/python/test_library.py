"""Operators that programs define: `torch.library`."""

import typing

import pytest

import flambeau as torch
from flambeau import Tensor, library


@library.custom_op("demo::sine", mutates_args=())
def sine(x: Tensor) -> Tensor:
    return torch.from_numpy(x.detach().numpy().copy()).sin_()


def test_an_operator_is_called_by_its_names():
    x = torch.randn(3)
    for call in (sine, torch.ops.demo.sine, torch.ops.demo.sine.default):
        assert call(x).equal(x.sin())
    assert (repr(sine), str(torch.ops.demo.sine.default)) == ("<CustomOpDef(demo::sine)>", "demo.sine.default")
    assert str(torch.ops.demo.sine.default._schema) == "demo::sine(Tensor x) -> Tensor"
    assert not hasattr(torch.ops.demo, "nothing") and torch.ops.demo.sine.default.name() == "demo::sine"


def test_gradients_and_shapes_are_registered():
    name = "demo::cube"
    cube = library.custom_op(
        name, lambda x, n: (x**3 * n, x > 0), mutates_args=(), schema="(Tensor x, int n=1) -> (Tensor, Tensor)"
    )
    x = torch.tensor([1.0, -2.0], requires_grad=True)
    with pytest.raises(RuntimeError, match="no fake impl registered"):
        cube(torch.ones(2, device="meta"))
    with pytest.raises(RuntimeError, match="no autograd formula was registered"):
        cube(x)[0].sum().backward()

    @library.register_fake(name)
    def _(x, n=1):
        return torch.empty_like(x), torch.empty_like(x, dtype=torch.bool)

    assert [part.dtype for part in cube(torch.ones(2, device="meta"))] == [torch.float32, torch.bool]

    def remember(ctx, inputs, output):
        ctx.save_for_backward(inputs[0])
        ctx.n = inputs[1]

    def backward(ctx, grad, _):
        return 3 * ctx.saved_tensors[0] ** 2 * grad * ctx.n, None

    library.register_autograd(name, backward, setup_context=remember)
    found, positive = cube(x)
    assert found.requires_grad and not positive.requires_grad
    found.sum().backward()
    assert x.grad.tolist() == [3, 12]
    torch.ops.demo.cube(x, n=2)[0].sum().backward()
    assert x.grad.tolist() == [9, 36]
    with torch.no_grad():
        assert not cube(x)[0].requires_grad


def test_operators_that_change_their_arguments():
    @library.custom_op("demo::scale_", mutates_args={"x"}, device_types="cpu")
    def scale_(x: Tensor, by: float, *, twice: bool = False) -> None:
        x.mul_(by * (2 if twice else 1))

    x = torch.ones(2)
    before = x._version
    assert scale_(x, 3.0) is None and x.tolist() == [3, 3] and x._version > before
    scale_(x, 2, twice=True)
    assert x.tolist() == [12, 12]
    assert str(scale_._opoverload._schema) == "demo::scale_(Tensor(a0!) x, float by, *, bool twice=False) -> ()"
    with pytest.raises(RuntimeError, match="missing value for argument 'by'"):
        scale_(x)
    with pytest.raises(RuntimeError, match="Expected a value of type 'float' for argument 'by'"):
        scale_(x, "a")
    alias = library.custom_op("demo::alias", lambda x: x, mutates_args=(), schema="(Tensor x) -> Tensor")
    with pytest.raises(RuntimeError, match="may not alias"):
        alias(x)
    with pytest.raises(RuntimeError, match="unknown argument"):
        alias(x, y=1)


def test_libraries():
    other = library.Library("other_demo", "DEF")
    assert other.define("mul2(Tensor x, float by=2.0) -> Tensor") == "mul2"
    x = torch.ones(2, requires_grad=True)
    with pytest.raises(NotImplementedError, match="Could not run 'other_demo::mul2'"):
        torch.ops.other_demo.mul2(x)
    other.impl("mul2", lambda x, by=2.0: x * by, "CPU")
    assert torch.ops.other_demo.mul2(torch.ones(2), by=3.0).tolist() == [3, 3]
    torch.ops.other_demo.mul2(x).sum().backward()
    assert x.grad.tolist() == [2, 2]
    library.define("other_demo::minus", "(Tensor x) -> Tensor")

    @library.impl("other_demo::minus", "CompositeImplicitAutograd")
    def minus(x):
        return -x

    torch.ops.other_demo.minus(x).sum().backward()
    assert x.grad.tolist() == [1, 1]
    with pytest.raises(RuntimeError, match="multiple times"):
        other.define("mul2(Tensor x) -> Tensor")
    with pytest.raises(RuntimeError, match="does not exist"):
        library.register_fake("other_demo::nothing", minus)
    with pytest.raises(ValueError):
        library.custom_op("noname", minus, mutates_args=(), schema="(Tensor x) -> Tensor")


def test_schemas_from_annotations():
    def f(
        a: Tensor, b: int | None = None, c: Tensor | None = None, d: str = "x",
        e: torch.dtype | None = None, f: list[Tensor] | None = None, g: typing.Sequence[int] = (), h: torch.device = None,
    ) -> tuple[Tensor, int]: ...  # fmt: skip

    del f.__annotations__["g"], f.__annotations__["h"]
    with pytest.raises(ValueError, match="Parameter g must have a type annotation"):
        library.infer_schema(f, mutates_args=())

    def g(
        a: Tensor, b: int | None = None, c: Tensor | None = None, d: str = "x", *, e: float = 1.5
    ) -> tuple[Tensor, int]: ...

    wanted = '(Tensor a, SymInt? b=None, Tensor? c=None, str d="x", *, float e=1.5) -> (Tensor, SymInt)'
    assert library.infer_schema(g, mutates_args=()) == wanted
