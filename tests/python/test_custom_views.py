"""Views that custom functions return, and where an operation was recorded that anomaly detection blames."""

import warnings

import pytest

import flambeau as torch


class Ident(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x

    @staticmethod
    def backward(ctx, g):
        return g * 3


class Part(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.n = len(x)
        return x[:2]

    @staticmethod
    def backward(ctx, g):
        return torch.cat([g, torch.zeros(ctx.n - 2)])


class Two(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x[:1], x[1:]

    @staticmethod
    def backward(ctx, a, b):
        return torch.cat([a, b])


@pytest.mark.parametrize("function", [Ident, Part])
@pytest.mark.parametrize("leaf", [True, False])
def test_what_is_returned_is_a_view_that_may_not_change(function, leaf):
    x = torch.ones(3, requires_grad=True)
    x = x if leaf else x * 1
    y = function.apply(x)
    assert y._is_view() and y._base is x and type(y.grad_fn).__name__ == function.__name__ + "Backward"
    text = f"Output 0 of {function.__name__} is a view and is being modified inplace. This view was created inside a custom Function"
    for change in (lambda: y.add_(1), lambda: y.zero_()):
        with pytest.raises(RuntimeError, match=text):
            change()
    with pytest.raises(RuntimeError, match="Output 0 of Slice is a view"):
        y[:1].add_(1)
    assert x.tolist() == [1.0, 1.0, 1.0]
    expected = [3.0, 3.0, 3.0] if function is Ident else [1.0, 1.0, 0.0]
    assert torch.autograd.grad(function.apply(x).sum(), x)[0].tolist() == expected


def test_several_views():
    a, b = Two.apply(torch.ones(3, requires_grad=True) * 1)
    with pytest.raises(RuntimeError, match="Output 0 of Two is a view .* returns multiple views"):
        a.add_(1)
    (a.sum() + b.sum()).backward()


def test_views_made_without_recording():
    x = torch.ones(3, requires_grad=True)
    with torch.no_grad():
        views = [(x * 1)[:2], x[:2]]
    plain = torch.ones(3)
    with torch.no_grad():
        view = plain[:2]
    assert view.add_(1).tolist() == [2.0, 2.0]
    for change in (lambda: views[1].add_(1), lambda: view.add_(x[:2])):
        with pytest.raises(
            RuntimeError, match="A view was created in no_grad mode and is being modified inplace with grad"
        ):
            change()


def test_expanded_tensors_are_filled():
    assert torch.ones(1).expand(3).zero_().tolist() == [0.0, 0.0, 0.0]
    assert torch.ones(1).expand(3).fill_(2).tolist() == [2.0, 2.0, 2.0]
    with pytest.raises(RuntimeError, match="more than one element of the written-to tensor"):
        torch.ones(1).expand(3).add_(1)


def failing():
    return (torch.sqrt(torch.tensor([-1.0, 0.0], requires_grad=True)) * 0).sum()


def test_anomalies_are_traced():
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with pytest.raises(RuntimeError, match="Function 'SqrtBackward0' returned nan values in its 0th output"):
            with torch.autograd.detect_anomaly():
                failing().backward()
        late = failing()
        with pytest.raises(RuntimeError, match="SqrtBackward0"):
            with torch.autograd.detect_anomaly():
                late.backward()
    texts = [str(w.message) for w in seen if "Error detected" in str(w.message)]
    assert texts[0].startswith(
        "Error detected in SqrtBackward0. Traceback of forward call that caused the error:\n  File"
    )
    assert "in failing" in texts[0]
    assert texts[1].startswith("Error detected in SqrtBackward0. No forward pass information available.")


def test_messages_of_hooks_and_gradients():
    def run(hook):
        y = torch.ones(2, requires_grad=True) * 2
        y.register_hook(hook)
        y.sum().backward()

    def doubled(g):
        return g.double()

    with pytest.raises(TypeError, match="expected Variable, but hook returned 'str'"):
        run(lambda g: "a")
    with pytest.raises(RuntimeError, match="hook '<lambda>' has changed the size of value"):
        run(lambda g: g[:1])
    with pytest.raises(
        RuntimeError, match=r"hook 'doubled' has changed the type of value \(was torch.FloatTensor got torch.Dou"
    ):
        run(doubled)
    x = torch.ones(2, requires_grad=True)
    with pytest.raises(
        RuntimeError, match=r"attempting to assign a gradient of size '\[3\]' to a tensor of size '\[2\]'"
    ):
        x.grad = torch.ones(3)
    with pytest.raises(RuntimeError, match="gradient with dtype 'double' to a tensor with grad_dtype 'Float'"):
        x.grad = torch.ones(2).double()
    with pytest.raises(TypeError, match="Variable data has to be a tensor, but got int"):
        x.data = 3


def test_numbers_of_python():
    for convert in (float, int, complex):
        with pytest.raises(ValueError, match="only one element tensors can be converted to Python scalars"):
            convert(torch.ones(2))
    with pytest.raises(
        TypeError, match=r"~ \(operator.invert\) is only implemented on integer and Boolean-type tensors"
    ):
        ~torch.ones(2)
    with pytest.raises(
        RuntimeError, match=r"size of tensor a \(3\) must match the size of tensor b \(5\) at non-singleton dimension 1"
    ):
        torch.ones(2, 3) + torch.ones(4, 5)
    a = torch.zeros(2, 3)
    with pytest.raises(RuntimeError, match=r"The expanded size of the tensor \(3\) must match the existing size \(4\)"):
        a[0] = torch.ones(4)
    with pytest.raises(RuntimeError, match=r"expand\(torch.FloatTensor\{\[2, 3\]\}, size=\[3\]\)"):
        a[0] = torch.ones(2, 3)
