"""Graphs of a million operations go backward and are freed without recursion, in a small stack too."""

import threading

import pytest

import flambeau as torch

LENGTH = 1_000_000


def in_a_small_thread(run):
    """Runs it in a thread with a stack of 256 KiB and passes its exception on."""
    failures = []

    def target():
        try:
            run()
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    before = threading.stack_size(256 * 1024)
    try:
        thread = threading.Thread(target=target)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    if failures:
        raise failures[0]


def directly(run):
    run()


WAYS = pytest.mark.parametrize("way", [directly, in_a_small_thread])


@WAYS
def test_a_million_operations(way):
    def run():
        x = torch.ones(1, requires_grad=True)
        y = x
        for _ in range(LENGTH):
            y = y + 1
        y.sum().backward()
        assert x.grad.item() == 1
        del y

    way(run)


@WAYS
def test_create_graph(way):
    def run():
        x = torch.ones(1, dtype=torch.float64, requires_grad=True)
        y = x
        for _ in range(LENGTH // 5):
            y = y * x
        (g,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        assert g.item() == LENGTH // 5 + 1
        (h,) = torch.autograd.grad(g.sum(), x, create_graph=True)
        assert h.item() == (LENGTH // 5) * (LENGTH // 5 + 1)
        del y, g, h

    way(run)


@WAYS
def test_freed_without_backward(way):
    def run():
        x = torch.ones(1, requires_grad=True)
        y = x
        for _ in range(LENGTH // 2):
            y = torch.sin(y * x)
        del y

    way(run)


class Plus(torch.autograd.Function):
    """Keeps its input in every way there is."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        ctx.mine = x
        return x + 1

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g + 0 * x


@WAYS
def test_python_functions(way):
    def run():
        x = torch.ones(1, requires_grad=True)
        y = x
        for _ in range(LENGTH // 10):
            y = Plus.apply(y)
        y.sum().backward(retain_graph=True)
        assert x.grad.item() == 1
        (g,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        del y, g

    way(run)


def test_a_million_python_functions():
    x = torch.ones(1, requires_grad=True)
    y = x
    for _ in range(LENGTH):
        y = Plus.apply(y)
    del y


@WAYS
@pytest.mark.parametrize("dtype", [torch.float32, torch.int64])
@pytest.mark.parametrize("recording", [False, True])
def test_chains_of_views(way, dtype, recording):
    def run():
        x = torch.arange(3).to(dtype)
        if recording and dtype.is_floating_point:
            x.requires_grad_()
        y = x
        for _ in range(LENGTH // 5):
            y = y[:]
        z = y
        for _ in range(LENGTH // 10):
            z = z.detach().view(3)
        assert y._base is None or y._base is x
        del y, z

    way(run)


@WAYS
def test_in_place_chains(way):
    def run():
        x = torch.ones(3, requires_grad=True)
        y = x * 1
        view = y[1:]
        for _ in range(LENGTH // 20):
            view.add_(1)
            y.mul_(1)
        y.sum().backward()
        assert x.grad.tolist() == [1, 1, 1]
        del y, view

    way(run)


@WAYS
def test_gradients_of_gradients(way):
    """A chain through `.grad`: each gradient holds the next."""

    def run():
        first = t = torch.ones(1)
        for _ in range(LENGTH // 5):
            t.grad = torch.ones(1)
            t = t.grad
        del t, first

    way(run)


@WAYS
def test_hooks_hold_tensors(way):
    def run():
        y = torch.ones(1, requires_grad=True)
        for _ in range(LENGTH // 20):
            z = y * 1
            z.register_hook(lambda g, y=y: None)
            y = z
        y.sum().backward()
        del y, z

    way(run)
