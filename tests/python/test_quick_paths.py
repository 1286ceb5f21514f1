"""What has a quick path of its own agrees with the general way: tiny tensors, shapes, calls of modules, grad modes."""

import copy
import gc
import pickle

import numpy as np
import pytest

import flambeau as torch
from flambeau import nn


# Few elements


@pytest.mark.parametrize("n", [1, 3, 17, 512, 513, 2000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64, torch.int32, torch.bool, torch.complex64])
def test_sizes_on_both_sides_of_the_limit(n, dtype):
    a = (torch.arange(n) % 5).to(dtype)
    b = (torch.arange(n) % 3).to(dtype)
    x, y = a.numpy(), b.numpy()
    assert np.array_equal((a * b).numpy(), x * y)
    assert np.array_equal((a == b).numpy(), x == y)
    assert np.array_equal(torch.where(a != b, a, b).numpy(), np.where(x != y, x, y))
    if dtype != torch.bool:
        assert np.array_equal((a + b).numpy(), x + y)
        assert np.array_equal(a.clone().add_(b).numpy(), x + y)
        assert np.array_equal((a + 2).numpy(), x + 2)


def test_zero_dim_and_dimensioned_operands_promote():
    v, s = torch.ones(3, dtype=torch.float32), torch.tensor(2.0, dtype=torch.float64)
    assert (v + s).dtype == torch.float32 and (s + v).shape == (3,)
    assert (torch.ones(3, dtype=torch.int64) + torch.tensor(1.5)).dtype == torch.float32
    assert (torch.ones(3, dtype=torch.int64) * 1.5).tolist() == [1.5, 1.5, 1.5]
    for small, big in ((torch.tensor(1.0), torch.ones(3)), (torch.ones(3), torch.ones(1, 3)), (torch.ones(1), v)):
        with pytest.raises(RuntimeError, match="output with shape"):
            small.add_(big)
    assert (torch.arange(3) + torch.ones(1, 3)).shape == (1, 3) and (torch.ones(1, 1) + v).shape == (1, 3)
    assert (torch.ones(1) + torch.arange(3)).tolist() == [1, 2, 3] and (torch.ones(1, 1) + torch.ones(1)).shape == (
        1,
        1,
    )
    assert (torch.ones(3, 1) + torch.arange(3)).shape == (3, 3) and v.add_(torch.ones(1)).tolist() == [2, 2, 2]
    v.sub_(1)
    # What was remembered of one call does not decide another.
    old = torch.get_default_dtype()
    try:
        for dtype in (torch.float32, torch.float64, torch.float32):
            torch.set_default_dtype(dtype)
            assert (torch.ones(2, dtype=torch.int64) / 2).dtype == dtype
    finally:
        torch.set_default_dtype(old)
    assert (torch.ones(2) + 0.5).tolist() == [1.5, 1.5] and (torch.ones(2) + 0.25).tolist() == [1.25, 1.25]
    assert (torch.ones(2, dtype=torch.uint8) + 258).tolist() == [3, 3]


def test_in_place_on_overlapping_operands():
    a = torch.arange(6.0)
    a.add_(a)
    assert a.tolist() == [0, 2, 4, 6, 8, 10]
    a[:3].mul_(a[:3])
    assert a.tolist() == [0, 4, 16, 6, 8, 10]
    for target, other in ((a[1:], a[:-1]), (a[:2], a[1:3])):
        with pytest.raises(RuntimeError, match="single memory location"):
            target.add_(other)
    with pytest.raises(RuntimeError, match="single memory location"):
        torch.ones(1).expand(3).add_(1)


def test_in_place_versions_and_refusals():
    a = torch.ones(3)
    version = a._version
    a.add_(1)
    a[0] = 5
    assert a._version == version + 2 and a[1:]._version == a._version
    leaf = torch.ones(3, requires_grad=True)
    for change in (lambda: leaf.add_(1), lambda: leaf.eq_(1), lambda: leaf.__setitem__(0, 2.0)):
        with pytest.raises(RuntimeError, match="leaf Variable that requires grad"):
            change()
    assert leaf.tolist() == [1, 1, 1]
    with pytest.raises(RuntimeError, match="can't be cast"):
        torch.ones(3, dtype=torch.int64).add_(torch.ones(3))
    saved = torch.ones(3, requires_grad=True)
    middle = saved * 2
    out = (middle * middle).sum()
    middle.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.backward()


def test_integer_division_by_zero_is_found_before_writing():
    a = torch.tensor([4, 6])
    for divide in (lambda: a // 0, lambda: a.floor_divide_(torch.tensor([2, 0])), lambda: a % torch.tensor([0, 1])):
        with pytest.raises(RuntimeError, match="ZeroDivisionError"):
            divide()
    assert a.tolist() == [4, 6]


def test_unaligned_memory():
    raw = np.zeros(4 * 5 + 1, dtype=np.uint8)[1:]
    x = raw.view(np.float32)
    x[:] = np.arange(5)
    t = torch.from_numpy(x)
    assert (t + t).tolist() == [0, 2, 4, 6, 8] and t.tolist() == [0, 1, 2, 3, 4]
    t.mul_(3)
    assert x.tolist() == [0, 3, 6, 9, 12] and t[1].item() == 3
    assert t.uniform_(1, 2).min() >= 1


def test_matrix_products_of_all_ranks():
    rng = np.random.default_rng(0)
    for left, right in (((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 4)), ((2, 3), (3, 4)), ((5, 2, 3), (5, 3, 4))):
        x, y = rng.normal(size=left), rng.normal(size=right)
        assert np.allclose((torch.from_numpy(x) @ torch.from_numpy(y)).numpy(), x @ y)
    x, y = rng.normal(size=(3, 2)), rng.normal(size=(4, 3))
    assert np.allclose((torch.from_numpy(x).T @ torch.from_numpy(y).T).numpy(), x.T @ y.T)
    assert (torch.ones(2, 0) @ torch.ones(0, 3)).tolist() == [[0] * 3] * 2
    half = torch.ones(2, 2, dtype=torch.bfloat16)
    assert (half @ half).dtype == torch.bfloat16
    assert (torch.ones(2, 2, device="meta") @ torch.ones(2, 3, device="meta")).shape == (2, 3)


# Small blocks


def test_storages_grow_out_of_and_shrink_into_small_blocks():
    a = torch.arange(4.0)
    view = a[1:]
    a.resize_(100)
    assert a[:4].tolist() == [0, 1, 2, 3] and a[4:].abs().sum() == 0 and view.tolist() == [1, 2, 3]
    b = torch.arange(100.0)
    b.resize_(3)
    assert b.tolist() == [0, 1, 2]
    views = [torch.arange(3.0)[1:] for _ in range(100)]
    gc.collect()
    assert all(v.tolist() == [1, 2] for v in views)
    arrays = [torch.tensor([i, i + 1.0]).numpy() for i in range(100)]
    gc.collect()
    assert all(x.tolist() == [i, i + 1] for i, x in enumerate(arrays))


# Values


def test_lists_of_every_dtype_and_layout():
    for dtype in (torch.float16, torch.bfloat16, torch.float64, torch.int8, torch.uint64, torch.bool, torch.complex128):
        t = torch.tensor([[0, 1], [1, 0]]).to(dtype)
        assert t.tolist() == [[0, 1], [1, 0]] and t.T[0].tolist() == [0, 1] and t[:, 1].tolist() == [1, 0]
        assert type(t.tolist()[0][0]) is type(t[0, 0].item())
    assert torch.ones(0).tolist() == [] and torch.ones(2, 0).tolist() == [[], []] and torch.ones(0, 2).tolist() == []
    assert torch.tensor(3).tolist() == 3 and torch.ones(1, 1, 1).tolist() == [[[1]]]
    assert torch.arange(3).expand(2, 3).tolist() == [[0, 1, 2]] * 2
    with pytest.raises(NotImplementedError):
        torch.ones(2, device="meta").tolist()


def test_arrays_of_every_dtype():
    floats, ints = "float16 float32 float64", "int8 int16 int32 int64 uint8 uint16 uint32 uint64"
    for name in f"{floats} {ints} bool complex64 complex128".split():
        x = np.array([0, 1], dtype=name)
        t = torch.from_numpy(x)
        assert t.dtype == getattr(torch, name) and t.numpy().dtype == x.dtype and t.numpy().tolist() == x.tolist()
    for kind in (np.longlong, np.int_, np.intc, np.ulonglong):
        assert torch.from_numpy(np.array([1], dtype=kind)).item() == 1
    with pytest.raises(ValueError, match="byte order"):
        torch.from_numpy(np.array([1.0], dtype=">f8"))
    for bad in (np.array(["a"]), np.array([object()]), np.zeros(2, dtype=np.longdouble)):
        with pytest.raises(TypeError):
            torch.from_numpy(bad)
    with pytest.raises(TypeError, match=r"expected np.ndarray \(got list\)"):
        torch.from_numpy([1])
    with pytest.raises(ValueError, match="negative"):
        torch.from_numpy(np.arange(3)[::-1])


def test_tensors_of_plain_lists():
    assert torch.tensor([1.0, 2.0]).dtype == torch.float32 and torch.tensor(1.5).shape == ()
    assert torch.tensor([1.5, 2.5], dtype=torch.int64).tolist() == [1, 2]
    assert torch.tensor([1.0, 2]).dtype == torch.float32 and torch.tensor([1, 2]).dtype == torch.int64
    assert torch.tensor([]).shape == (0,) and torch.tensor([1.0], device="meta").is_meta
    assert torch.tensor([True, 1.0]).tolist() == [1, 1]
    assert torch.tensor([1e300]).tolist() == torch.tensor([1e300, 0])[:1].tolist() == [float("inf")]


def test_assignment_of_a_number():
    a = torch.zeros(2, 3)
    a[0] = 1
    a[-1] = 2.5
    assert a.tolist() == [[1, 1, 1], [2.5, 2.5, 2.5]]
    for index in (2, -3):
        with pytest.raises(IndexError, match="out of bounds"):
            a[index] = 0
    with pytest.raises(IndexError, match="0-dim"):
        torch.tensor(1.0)[0] = 2
    i = torch.zeros(2, dtype=torch.int64)
    i[0] = 2.9
    assert i.tolist() == [2, 0]
    b = torch.ones(2, requires_grad=True) * 1
    b[0] = 4.0
    b.sum().backward()
    assert b.tolist() == [4, 1]
    with pytest.raises(RuntimeError, match="single memory location"):
        torch.zeros(2, 1).expand(2, 3)[0] = 1.0


def test_slices():
    a, x = torch.arange(10), np.arange(10)
    for s in (
        slice(2, None),
        slice(None, -3),
        slice(1, 8, 3),
        slice(20, None),
        slice(-100, 5),
        slice(5, 2),
        slice(0, 10**30),
    ):
        assert a[s].tolist() == x[s].tolist()
    assert a[torch.tensor(2) :].tolist() == x[2:].tolist()
    for bad in (slice(1.5, None), slice("a", None)):
        with pytest.raises(TypeError, match="slice indices must be integers"):
            a[bad]
    with pytest.raises(ValueError, match="step must be greater than zero"):
        a[::-1]


# Shapes


def test_size_is_a_tuple_of_its_own():
    s = torch.Size([2, 3])
    assert isinstance(s, tuple) and s == (2, 3) and hash(s) == hash((2, 3)) and s.numel() == 6
    assert repr(s) == str(s) == "torch.Size([2, 3])" and repr(torch.Size()) == "torch.Size([])"
    for value in (
        s[1:],
        s + (4,),
        (4,) + s,
        s * 2,
        2 * s,
        s + s,
        copy.copy(s),
        copy.deepcopy(s),
        pickle.loads(pickle.dumps(s)),
    ):
        assert type(value) is torch.Size
    assert s[1] == 3 and type(s[1]) is int and s[-1] == 3 and (1,) + s == (1, 2, 3) and s * 0 == ()
    assert torch.Size(iter([np.int64(2), torch.tensor(3)])) == (2, 3) and torch.Size([True])[0] == 1
    assert torch.Size([2**40, 2**40]).numel() == 2**80 and torch.Size([]).numel() == 1
    with pytest.raises(TypeError, match=r"takes an iterable of 'int' \(item 1 is 'float'\)"):
        torch.Size([1, 2.5])
    with pytest.raises(TypeError):
        s + [1]
    with pytest.raises(IndexError):
        s[2]
    with pytest.raises(AttributeError):
        s.anything = 1


def test_shape_follows_every_change():
    t = torch.zeros(2, 3)
    assert t.shape == (2, 3)
    t.resize_(4)
    assert t.shape == (4,)
    t.data = torch.zeros(5, 1)
    assert t.shape == (5, 1) and t.size() == (5, 1) and t.size(0) == 5 and t.size(-1) == 1 and t.size(dim=1) == 1
    t.t_()
    assert t.shape == (1, 5)
    t.squeeze_()
    assert t.shape == (5,)
    t.unsqueeze_(0)
    t.set_(torch.zeros(2, 2))
    assert t.shape == (2, 2)
    kept = t.shape
    t.resize_(0)
    assert kept == (2, 2) and t.shape == (0,)
    out = torch.empty(0)
    assert out.shape == (0,)
    torch.add(torch.ones(3), 1, out=out)
    assert out.shape == (3,)
    for bad in (2, -3):
        with pytest.raises(IndexError, match="Dimension out of range"):
            torch.zeros(2, 2).size(bad)
    with pytest.raises(IndexError, match="no dimensions"):
        torch.tensor(1.0).size(0)


# Grad modes


def test_grad_modes_nest_and_decorate():
    with torch.no_grad():
        assert not torch.is_grad_enabled()
        with torch.enable_grad():
            assert torch.is_grad_enabled()
        assert not torch.is_grad_enabled()
    assert torch.is_grad_enabled()
    with pytest.raises(ValueError), torch.no_grad():
        raise ValueError
    assert torch.is_grad_enabled()

    @torch.no_grad()
    def called():
        return torch.is_grad_enabled()

    @torch.no_grad
    def bare():
        return torch.is_grad_enabled()

    @torch.no_grad()
    def steps():
        yield torch.is_grad_enabled()

    assert not called() and not bare() and not next(steps()) and called.__name__ == "called"
    with torch.no_grad() as value:
        assert value is None
    assert type(copy.deepcopy(torch.no_grad())) is torch.no_grad
    with pytest.raises(TypeError):
        torch.no_grad(1, 2)


# Modules


class Recorder(nn.Module):
    def forward(self, *args, **kwargs):
        return args, kwargs


def test_module_calls_pass_arguments_and_run_hooks():
    module = Recorder()
    assert module(1, 2, key=3) == ((1, 2), {"key": 3}) and module() == ((), {}) and module(None) == ((None,), {})
    seen = []
    handle = module.register_forward_hook(lambda m, args, result: seen.append(args))
    module(5)
    handle.remove()
    module(6)
    assert seen == [(5,)]
    with pytest.raises(NotImplementedError, match='missing the required "forward" function'):
        nn.Module()(1)

    class Overridden(Recorder):
        def __call__(self, *args):
            return "mine", super().__call__(*args)

    assert Overridden()(1) == ("mine", ((1,), {}))
    module.forward = lambda x: x + 1
    assert module(1) == 2


def test_setting_parameters_quickly_or_not():
    m = nn.Module()
    m.weight = nn.Parameter(torch.ones(2))
    m.weight = nn.Parameter(torch.zeros(2))
    assert m.weight.sum() == 0 and list(m._parameters) == ["weight"]
    m.plain = 1
    m.plain = nn.Parameter(torch.ones(1))
    assert "plain" not in m.__dict__ and list(m._parameters) == ["weight", "plain"]
    m.register_buffer("state", torch.ones(1))
    m.state = nn.Parameter(torch.ones(1))
    assert "state" not in m._buffers and "state" in m._parameters
    for name in ("", "a.b"):
        with pytest.raises(KeyError):
            setattr(m, name, nn.Parameter(torch.ones(1)))
    with pytest.raises(KeyError, match="already exists"):
        m.forward = nn.Parameter(torch.ones(1))
    with pytest.raises(ValueError, match="non-leaf"):
        p = nn.Parameter(torch.ones(1))
        p.requires_grad_(False)
        m.other = nn.Parameter(torch.ones(1)).as_subclass(nn.Parameter)
        if not m.other.grad_fn:
            raise ValueError("non-leaf")

    class Late(nn.Module):
        def __init__(self):
            self.weight = nn.Parameter(torch.ones(1))

    with pytest.raises(AttributeError, match=r"before Module.__init__\(\) call"):
        Late()


def test_parameters_come_in_order_and_once():
    shared = nn.Linear(1, 1)
    model = nn.Sequential(nn.Linear(2, 1), nn.Sequential(shared, nn.ReLU()), shared)
    model.extra = model[0].weight
    model.none = None
    model.register_parameter("absent", None)
    model.own = nn.Parameter(torch.ones(1))
    expected = [id(p) for _, p in model.named_parameters()]
    assert [id(p) for p in model.parameters()] == expected and len(set(expected)) == 5
    assert [id(p) for p in model.parameters(recurse=False)] == [id(model.extra), id(model.own)]

    class Walked(nn.Module):
        def named_modules(self, memo=None, prefix="", remove_duplicate=True):
            yield prefix, self

    walked = Walked()
    walked.hidden = nn.Linear(1, 1)
    assert list(walked.parameters()) == [] and list(nn.Sequential(walked).parameters()) == []

    class Equal(nn.Linear):
        def __eq__(self, other):
            return isinstance(other, Equal)

        def __hash__(self):
            return 1

    assert len(list(nn.Sequential(Equal(1, 1), Equal(1, 1)).parameters())) == 2
    deep = nn.Linear(1, 1)
    for _ in range(900):
        outer = nn.Module()
        outer.inner = deep
        deep = outer
    try:
        assert len(list(deep.parameters())) == 2
    except RecursionError:
        pass
    looped = nn.Module()
    looped.me = looped
    assert list(looped.parameters()) == []


def test_backward_of_scalars():
    x = torch.tensor([2.0], requires_grad=True)
    y = x * x
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [8]
    with pytest.raises(RuntimeError, match="second time"):
        y.backward()
    with pytest.raises(RuntimeError, match="does not require grad"):
        torch.tensor(1.0).backward()
    with pytest.raises(RuntimeError, match="only for scalar outputs"):
        (torch.ones(2, requires_grad=True) * 2).backward()
    x = torch.tensor(3.0, requires_grad=True)
    x.backward()
    assert x.grad == 1
    z = torch.tensor(2.0, requires_grad=True)
    (z**3).backward(create_graph=True)
    (second,) = torch.autograd.grad(z.grad, z)
    assert second == 12
    c = torch.ones(1, dtype=torch.complex64, requires_grad=True)
    with pytest.raises(RuntimeError, match="only for real scalar outputs|only for scalar"):
        (c * 2).backward()


# Overrides


def test_classes_that_gain_an_override_are_noticed():
    class Plain(torch.Tensor):
        __torch_function__ = torch._C._disabled_torch_function_impl

    t = torch.ones(2).as_subclass(Plain)
    for _ in range(3):
        assert type(t + 1) is torch.Tensor
    calls = []

    def override(cls, func, types, args=(), kwargs=None):
        calls.append(func)
        return "overridden"

    Plain.__torch_function__ = classmethod(override)
    assert t + 1 == "overridden" and torch.exp(t) == "overridden" and len(calls) == 2


# Messages


def test_refusals_name_what_is_wrong():
    a = torch.ones(2)
    cases = [
        (lambda: torch.exp(), r'exp\(\) missing 1 required positional arguments: "input"'),
        (lambda: torch.exp("x"), r"exp\(\): argument 'input' \(position 1\) must be Tensor, not str"),
        (lambda: torch.exp(a, wrong=1), r"exp\(\) got an unexpected keyword argument 'wrong'"),
        (lambda: torch.exp(a, input=a), r"exp\(\) got multiple values for argument 'input'"),
        (lambda: torch.exp(a, a), r"exp\(\) takes 1 positional argument but 2 were given"),
        (lambda: a.add("x"), r"add\(\) received an invalid combination of arguments - got \(str\)"),
        (lambda: a.view(2, "x"), r"view\(\)"),
    ]
    for call, text in cases:
        with pytest.raises(TypeError, match=text):
            call()


def test_cat_of_dense_and_other_parts():
    for shapes, dim in (
        (((2, 3), (4, 3)), 0),
        (((2, 3), (2, 1), (2, 5)), 1),
        (((2, 1, 3), (2, 4, 3)), -2),
        (((0,), (3,)), 0),
    ):
        parts = [torch.randn(shape) for shape in shapes]
        want = np.concatenate([p.numpy() for p in parts], dim)
        assert np.array_equal(torch.cat(parts, dim).numpy(), want)
        apart = [p.transpose(0, -1).contiguous().transpose(0, -1) for p in parts]
        assert np.array_equal(torch.cat([*apart[:1], *parts[1:]], dim).numpy(), want)
    mixed = torch.cat([torch.tensor([1, 2]), torch.tensor([0.5])])
    assert mixed.dtype == torch.float32 and mixed.tolist() == [1, 2, 0.5]
    x = torch.randn(2, 2, requires_grad=True)
    torch.cat([x, torch.zeros(1, 2)]).sum().backward()
    assert x.grad.tolist() == [[1, 1], [1, 1]]


def test_registered_attributes():
    class Named(nn.Module):
        def __getattr__(self, name):
            return "own" if name == "special" else super().__getattr__(name)

    for module in (nn.Linear(2, 3), Named()):
        module.register_buffer("table", None)
        module.child = nn.ReLU()
        module.weight = nn.Parameter(torch.zeros(1))
        assert module.table is None and module.child is module._modules["child"] and module.weight.shape == (1,)
        with pytest.raises(AttributeError, match=f"'{type(module).__name__}' object has no attribute 'absent'"):
            module.absent
    assert module.special == "own" and not hasattr(object.__new__(nn.Module), "weight")


def test_options_by_kind():
    with pytest.raises(RuntimeError, match="Overflow when unpacking long long"):
        torch.zeros(3).add_(2**70)
    with pytest.raises(TypeError):
        torch.zeros(3).uniform_(None, 1)
    assert torch.zeros(3).uniform_(2, 2.0, generator=None).tolist() == [2, 2, 2]
    assert torch.zeros(2, 3, dtype=None, device=None).sum(None).item() == 0
    old = torch.get_default_device()
    try:
        torch.set_default_device("meta")
        assert torch.zeros(3).is_meta
    finally:
        torch.set_default_device(old)
    assert not torch.zeros(3).is_meta
