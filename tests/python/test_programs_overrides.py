"""Tensor subclasses and their overrides: every member asks, with the function that PyTorch names."""

import operator

import pytest

import flambeau as torch
import flambeau.nn as nn
from flambeau.overrides import get_overridable_functions, resolve_name


class Logged(torch.Tensor):
    log = []

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        cls.log.append((func.__name__, [type(a).__name__ for a in args]))
        return super().__torch_function__(func, types, args, kwargs or {})


class Plain(torch.Tensor):
    pass


def logged(call):
    Logged.log.clear()
    result = call()
    return result, list(Logged.log)


def values(dtype=torch.float32):
    return (torch.ones(2, 2) * 2).to(dtype).as_subclass(Logged), torch.ones(2, 2, dtype=dtype)


# What PyTorch 2.15 passes as `func`, and the types of its arguments: with a number on the right, on the left, and in place,
# and with a tensor on the left.
BINARY = {
    "add": ("add", "add", "add_"),
    "sub": ("sub", "__rsub__", "sub_"),
    "mul": ("mul", "mul", "mul_"),
    "truediv": ("div", "__rtruediv__", "div_"),
    "floordiv": ("__floordiv__", "__rfloordiv__", "floor_divide_"),
    "mod": ("remainder", "__rmod__", "remainder_"),
    "pow": ("pow", "__rpow__", "pow_"),
    "and_": ("__and__", "bitwise_and", "__iand__"),
    "or_": ("__or__", "bitwise_or", "__ior__"),
    "xor": ("__xor__", "bitwise_xor", "__ixor__"),
    "lshift": ("__lshift__", "__rlshift__", "__ilshift__"),
    "rshift": ("__rshift__", "__rrshift__", "__irshift__"),
}


@pytest.mark.parametrize("name", BINARY)
def test_binary_operators(name):
    integers = name in ("and_", "or_", "xor", "lshift", "rshift")
    x, plain = values(torch.int64 if integers else torch.float32)
    forward, reflected, inplace = BINARY[name]
    act = getattr(operator, name)
    for call, expected in (
        (lambda: act(x, 2), (forward, ["Logged", "int"])),
        (lambda: act(2, x), (reflected, ["Logged", "int"])),
        (lambda: act(plain, x), (forward, ["Tensor", "Logged"])),
        (lambda: getattr(operator, "i" + name.rstrip("_"))(x, 1), (inplace, ["Logged", "int"])),
    ):
        result, log = logged(call)
        assert type(result) is Logged and log == [expected]
    number = 3 if integers else 3.0
    assert act(number, values(x.dtype)[0])[0, 0].item() == act(number, 2 if integers else 2.0)


def test_products_and_comparisons():
    x, plain = values()
    assert logged(lambda: x @ plain)[1] == [("matmul", ["Logged", "Tensor"])]
    assert logged(lambda: plain @ x)[1] == [("matmul", ["Tensor", "Logged"])]
    for name, expected in {"lt": "lt", "ge": "ge", "eq": "__eq__", "ne": "ne"}.items():
        assert logged(lambda: getattr(operator, name)(x, 1))[1] == [(expected, ["Logged", "int"])]  # noqa: B023
    assert logged(lambda: 1 < x)[1] == [("gt", ["Logged", "int"])]
    assert logged(lambda: x == None)[0] is False  # noqa: E711
    with pytest.raises(TypeError, match=r"unsupported operand type\(s\) for \+: 'Logged' and 'str'"):
        x + "a"


@pytest.mark.parametrize(
    "call, name",
    [
        (lambda x: -x, "torch.Tensor.neg"),
        (abs, "torch.Tensor.abs"),
        (lambda x: +x, "torch.Tensor.positive"),
        (lambda x: x.shape, "torch.Tensor.shape.__get__"),
        (lambda x: x.T, "torch.Tensor.T.__get__"),
        (lambda x: x.data, "torch.Tensor.data.__get__"),
        (lambda x: x.dtype, "torch.Tensor.dtype.__get__"),
        (lambda x: setattr(x, "requires_grad", False), "torch.Tensor.requires_grad.__set__"),
        (lambda x: x.dim(), "torch.Tensor.dim"),
        (lambda x: x.size(0), "torch.Tensor.size"),
        (lambda x: x.numel(), "torch.Tensor.numel"),
        (lambda x: x.stride(), "torch.Tensor.stride"),
        (lambda x: x.tolist(), "torch.Tensor.tolist"),
        (lambda x: x.numpy(), "torch.Tensor.numpy"),
        (lambda x: x.data_ptr(), "torch.Tensor.data_ptr"),
        (lambda x: x.type(), "torch.Tensor.type"),
        (repr, "torch.Tensor.__repr__"),
        (len, "torch.Tensor.__len__"),
        (lambda x: 1.0 in x, "torch.Tensor.__contains__"),
        (lambda x: x.__setitem__(0, 1.0), "torch.Tensor.__setitem__"),
        (lambda x: x[0], "torch.Tensor.__getitem__"),
        (lambda x: x.sum(), "torch.Tensor.sum"),
        (lambda x: x.requires_grad_(False), "torch.Tensor.requires_grad_"),
    ],
)
def test_members_ask(call, name):
    seen = []

    class Named(torch.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            seen.append(resolve_name(func))
            return super().__torch_function__(func, types, args, kwargs or {})

    call(torch.ones(2, 2).as_subclass(Named))
    assert seen == [name]


def test_classes_of_results():
    x = torch.ones(2, 3).as_subclass(Plain)
    for found in (
        -x, abs(x), ~x.bool(), x.T, x.data, x.mT, x.real, 1 + x, 2**x, 1 - x, 1 / x, sum(x[0]), x.max(0).values,
        torch.linalg.svd(x)[0], torch.einsum("ij->i", x), torch.broadcast_tensors(x, x)[0], torch.block_diag(x, x),
        torch.meshgrid(x[0], x[0], indexing="ij")[1], next(iter(x)), x.split(1)[0], nn.functional.linear(x, torch.ones(2, 3)),
    ):  # fmt: skip
        assert type(found) is Plain
    assert type(x.shape) is torch.Size and type(x.tolist()) is list
    y = x.detach().requires_grad_()
    (y * 2).sum().backward()
    assert type(y.grad) is torch.Tensor and y.grad.tolist() == [[2] * 3] * 2
    assert type(nn.Parameter(torch.ones(1)) + 1) is torch.Tensor


def test_members_of_the_class_itself_win():
    class Own(torch.Tensor):
        @property
        def shape(self):
            return "mine"

        def __radd__(self, other):
            return "right"

    class Below(Own):
        pass

    for cls in (Own, Below):
        x = torch.ones(2).as_subclass(cls)
        assert x.shape == "mine" and 1 + x == "right" and type(-x) is cls
    assert {x: 1}[x] == 1


def test_attributes_follow():
    class Noted(torch.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            result = super().__torch_function__(func, types, args, kwargs)
            if isinstance(result, cls):
                result.note = next((a.note for a in args if isinstance(a, cls) and hasattr(a, "note")), None)
            return result

    x = torch.ones(2).as_subclass(Noted)
    x.note = "hi"
    assert [y.note for y in (x + 1, 2 * x, -x, x.exp(), x[0], x.sum(), 1 - x)] == ["hi"] * 7


def test_protocol_switched_off():
    class Off(torch.Tensor):
        __torch_function__ = torch._C._disabled_torch_function_impl

    x = torch.ones(2).as_subclass(Off)
    assert type(x + 1) is type(1 + x) is type(-x) is torch.Tensor and x.shape == (2,)
    y, log = logged(lambda: None)
    z = torch.ones(2).as_subclass(Logged)
    with torch._C.DisableTorchFunctionSubclass():
        found, log = logged(lambda: (1 + z, z.shape, -z))
    assert log == [] and type(found[0]) is torch.Tensor


def test_uninitialized_parameters_have_no_number_of_elements():
    layer = nn.LazyLinear(2)
    for call in (lambda: layer.weight.numel(), lambda: layer.weight + 1, lambda: -layer.weight):
        with pytest.raises(ValueError, match="Attempted to use an uninitialized parameter in"):
            call()
    assert layer(torch.ones(1, 3)).shape == (1, 2) and layer.weight.numel() == 6


def test_names_of_functions():
    assert resolve_name(torch.relu) == "torch.relu" and resolve_name(torch.Tensor.add) == "torch.Tensor.add"
    assert resolve_name(torch.linalg.svd) == "torch.linalg.svd" and resolve_name(torch.fft.fft) == "torch.fft.fft"
    assert resolve_name(torch.nn.functional.cross_entropy) == "torch.nn.functional.cross_entropy"
    assert resolve_name(torch.ones) == "torch.ones" and resolve_name(len) is resolve_name(3) is None
    functions = get_overridable_functions()
    assert torch.mean in functions[torch] and torch.Tensor.add in functions[torch.Tensor]
    assert torch.tensor not in functions[torch] and torch.nn.functional.linear in functions[torch.nn.functional]
