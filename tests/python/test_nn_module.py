"""`nn.Module`: attributes, registration, hooks, state dicts, walking, moving, printing."""

import copy
from collections import OrderedDict

import pytest

import flambeau as torch
from flambeau import nn


class Scale(nn.Module):
    def __init__(self, factor=2.0):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(factor))
        self.register_buffer("count", torch.zeros(1))
        self.register_buffer("scratch", torch.zeros(1), persistent=False)

    def forward(self, x, plus=0):
        return x * self.weight + plus

    def extra_repr(self):
        return "scaling"


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = Scale(3.0)
        self.second = Scale(5.0)

    def forward(self, x):
        return self.second(self.first(x))


def test_attributes_are_registered_and_found():
    module = Pair()
    assert [name for name, _ in module.named_parameters()] == ["first.weight", "second.weight"]
    assert [name for name, _ in module.named_buffers()] == [
        "first.count",
        "first.scratch",
        "second.count",
        "second.scratch",
    ]
    assert [name for name, _ in module.named_modules()] == ["", "first", "second"]
    assert list(module.children()) == [module.first, module.second]
    assert module.get_parameter("first.weight") is module.first.weight
    assert module.get_submodule("second") is module.second
    assert len(list(module.parameters())) == 2
    module.alias = module.first
    assert len(list(module.parameters())) == 2
    assert len(list(module.named_parameters(remove_duplicate=False))) == 3


def test_names_move_between_the_tables():
    module = Scale()
    module.count = nn.Parameter(torch.ones(2))
    assert "count" in module._parameters and "count" not in module._buffers
    module.plain = 3
    module.plain = nn.Parameter(torch.ones(1))
    assert "plain" not in module.__dict__
    del module.plain
    assert not hasattr(module, "plain")
    module.weight = None
    assert module._parameters["weight"] is None


@pytest.mark.parametrize(
    "action, error, text",
    [
        (lambda m: setattr(m, "weight", 3), TypeError, "cannot assign 'int' as parameter 'weight'"),
        (lambda m: setattr(m, "count", 3), TypeError, "cannot assign 'int' as buffer 'count'"),
        (lambda m: m.register_buffer("weight", None), KeyError, "attribute 'weight' already exists"),
        (lambda m: m.register_parameter("a.b", None), KeyError, 'parameter name can\'t contain "."'),
        (lambda m: m.register_parameter("", None), KeyError, 'parameter name can\'t be empty string ""'),
        (lambda m: m.add_module("x", 3), TypeError, "int is not a Module subclass"),
        (lambda m: m.nothing, AttributeError, "'Scale' object has no attribute 'nothing'"),
        (lambda m: m.train("yes"), ValueError, "training mode is expected to be boolean"),
        (lambda m: m.get_parameter("count"), AttributeError, "`count` is not an nn.Parameter"),
        (lambda m: m.to(torch.int32), TypeError, "nn.Module.to only accepts floating point or complex dtypes"),
        (lambda m: m.load_state_dict(3), TypeError, "Expected state_dict to be dict-like"),
        (lambda m: nn.Module(1), TypeError, "Module.__init__() takes 1 positional argument but 2 were given"),
        (lambda m: nn.Module(a=1), TypeError, "Module.__init__() got an unexpected keyword argument 'a'"),
        (lambda m: nn.Module()(1), NotImplementedError, 'is missing the required "forward" function'),
    ],
)
def test_errors(action, error, text):
    with pytest.raises(error) as caught:
        action(Scale())
    assert text in str(caught.value).replace("\\'", "'")


def test_assignment_before_init():
    class Early(nn.Module):
        def __init__(self, value):
            self.attribute = value

    for value, kind in ((nn.Parameter(torch.ones(1)), "parameters"), (nn.ReLU(), "module")):
        with pytest.raises(AttributeError, match=f"cannot assign {kind} before Module.__init__"):
            Early(value)


def test_calls_pass_arguments():
    module = Scale()
    x = torch.ones(2)
    assert module(x, 1).tolist() == [3.0, 3.0]
    assert module(x, plus=2).tolist() == [4.0, 4.0]
    assert module(x=x).tolist() == [2.0, 2.0]
    with pytest.raises(TypeError):
        module()
    module.forward = lambda x: x + 100
    assert module(x).tolist() == [101.0, 101.0]


def test_forward_hooks():
    module, seen = Scale(), []
    handles = [
        module.register_forward_pre_hook(lambda m, args: (args[0] + 1,)),
        module.register_forward_pre_hook(lambda m, args, kwargs: (args, {"plus": 10}), with_kwargs=True),
        module.register_forward_hook(lambda m, args, out: seen.append(out.tolist())),
        module.register_forward_hook(lambda m, args, kwargs, out: out * 2, with_kwargs=True),
    ]
    assert module(torch.ones(1)).tolist() == [28.0]
    assert seen == [[14.0]]
    for handle in handles:
        handle.remove()
    assert module(torch.ones(1)).tolist() == [2.0]
    with module.register_forward_hook(lambda m, args, out: out * 0):
        assert module(torch.ones(1)).tolist() == [0.0]
    module._forward_hooks[-1] = lambda m, args, out: "replaced"
    assert module(torch.ones(1)) == "replaced"


def test_always_called_hooks_run_after_errors():
    class Fails(nn.Module):
        def forward(self):
            raise ValueError("no")

    module, seen = Fails(), []
    module.register_forward_hook(lambda m, args, out: seen.append(out), always_call=True)
    with pytest.raises(ValueError, match="no"):
        module()
    assert seen == [None]


def test_global_hooks():
    from flambeau.nn.modules.module import register_module_forward_hook

    seen = []
    handle = register_module_forward_hook(lambda m, args, out: seen.append(type(m).__name__))
    try:
        Pair()(torch.ones(1))
    finally:
        handle.remove()
    assert seen == ["Scale", "Scale", "Pair"]


def test_full_backward_hooks():
    module, seen = Scale(), []
    module.register_full_backward_pre_hook(lambda m, grads: seen.append(("pre", grads[0].tolist())))
    module.register_full_backward_hook(lambda m, inputs, outputs: (inputs[0] * 100,))
    x = torch.ones(2, requires_grad=True)
    module(x).sum().backward()
    assert seen == [("pre", [1.0, 1.0])]
    assert x.grad.tolist() == [200.0, 200.0]
    with pytest.raises(RuntimeError, match="Cannot use both regular backward hooks and full backward hooks"):
        module.register_backward_hook(lambda *_: None)


def test_state_dict_round_trip():
    module = Pair()
    state = module.state_dict()
    assert list(state) == ["first.weight", "first.count", "second.weight", "second.count"]
    assert state._metadata["first"] == {"version": 1}
    assert not state["first.weight"].requires_grad
    other = Pair()
    with torch.no_grad():
        other.first.weight.fill_(7.0)
    result = other.load_state_dict(state)
    assert repr(result) == "<All keys matched successfully>"
    assert other.first.weight.item() == 3.0


def test_load_state_dict_reports_everything():
    state = OrderedDict(Pair().state_dict())
    del state["first.weight"]
    state["junk"] = torch.ones(1)
    state["second.weight"] = torch.ones(3, 1)
    with pytest.raises(RuntimeError) as caught:
        Pair().load_state_dict(state)
    assert str(caught.value) == (
        "Error(s) in loading state_dict for Pair:\n"
        '\tMissing key(s) in state_dict: "first.weight". \n'
        '\tUnexpected key(s) in state_dict: "junk". \n'
        "\tsize mismatch for second.weight: copying a param with shape torch.Size([3, 1]) from checkpoint, the shape in "
        "current model is torch.Size([])."
    )
    del state["second.weight"]
    result = Pair().load_state_dict(state, strict=False)
    assert result.missing_keys == ["first.weight", "second.weight"]
    assert result.unexpected_keys == ["junk"]


def test_load_state_dict_assign_and_extra_state():
    class Extra(nn.Module):
        def __init__(self):
            super().__init__()
            self.value = 1

        def get_extra_state(self):
            return {"value": self.value}

        def set_extra_state(self, state):
            self.value = state["value"]

    module = Extra()
    module.load_state_dict({"_extra_state": {"value": 5}})
    assert module.value == 5
    scale = Scale()
    replacement = torch.tensor(9.0, dtype=torch.float64)
    scale.load_state_dict({"weight": replacement, "count": torch.zeros(1)}, assign=True)
    assert scale.weight.dtype == torch.float64 and isinstance(scale.weight, nn.Parameter)


def test_modes_gradients_and_casts():
    module = Pair()
    assert not module.eval().first.training and module.train().first.training
    module(torch.ones(1)).sum().backward()
    grad = module.first.weight.grad
    module.zero_grad(set_to_none=False)
    assert module.first.weight.grad is grad and grad.item() == 0.0
    module.zero_grad()
    assert module.first.weight.grad is None
    weight = module.first.weight
    module.double()
    assert module.first.weight is weight and weight.dtype == torch.float64
    assert module.to(torch.float32).first.count.dtype == torch.float32
    assert not any(p.requires_grad for p in module.requires_grad_(False).parameters())


def test_apply_and_repr():
    seen = []
    module = Pair()
    module.apply(lambda m: seen.append(type(m).__name__))
    assert seen == ["Scale", "Scale", "Pair"]
    assert repr(module) == "Pair(\n  (first): Scale(scaling)\n  (second): Scale(scaling)\n)"
    assert repr(nn.ReLU()) == "ReLU()"
    assert repr(nn.Linear(2, 3, bias=False)) == "Linear(in_features=2, out_features=3, bias=False)"


def test_generators_print_as_the_methods_they_come_from():
    module = nn.Linear(1, 1)
    assert repr(module.parameters()).startswith("<generator object Module.parameters at")
    assert repr(module.parameters).startswith("<bound method Module.parameters of Linear(")


def test_copy_keeps_hooks():
    module = Scale()
    module.register_forward_hook(lambda m, args, out: out * 1000)
    shallow = copy.copy(module)
    assert shallow.weight is module.weight
    assert shallow(torch.ones(1)).tolist() == [2000.0]


def test_parameter_prints_as_a_tensor():
    assert repr(nn.Parameter(torch.ones(2))) == "Parameter containing:\ntensor([1., 1.], requires_grad=True)"
    buffer = nn.Buffer(torch.ones(1), persistent=False)
    assert isinstance(buffer, nn.Buffer) and type(buffer) is torch.Tensor and not buffer.persistent
