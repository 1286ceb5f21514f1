"""Graphs of a million operations go backward and are freed without recursion: all in threads with a small stack."""

import functools
import threading

import pytest

import flambeau as torch

MILLION = 1_000_000
# Recursion would overflow the stack long before: it has less than 3 bytes for each operation.
LONG = 100_000


def in_a_small_thread(run):
    """A test that runs in a thread with a stack of 256 KiB, whose exception it passes on."""

    @functools.wraps(run)
    def test(**kwargs):
        failures = []

        def target():
            try:
                run(**kwargs)
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

    return test


@in_a_small_thread
def test_a_million_operations():
    x = torch.ones(1, requires_grad=True)
    y = x
    for _ in range(MILLION):
        y = y + 1
    y.sum().backward()
    assert x.grad.item() == 1
    del y


@in_a_small_thread
def test_create_graph():
    x = torch.ones(1, dtype=torch.float64, requires_grad=True)
    y = x
    for _ in range(LONG):
        y = y * x
    (g,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    assert g.item() == LONG + 1
    (h,) = torch.autograd.grad(g.sum(), x, create_graph=True)
    assert h.item() == LONG * (LONG + 1)
    del y, g, h


@in_a_small_thread
def test_freed_without_backward():
    x = torch.ones(1, requires_grad=True)
    y = x
    for _ in range(5 * LONG):
        y = torch.sin(y * x)
    del y


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


@in_a_small_thread
def test_python_functions():
    x = torch.ones(1, requires_grad=True)
    y = x
    for _ in range(LONG):
        y = Plus.apply(y)
    y.sum().backward(retain_graph=True)
    assert x.grad.item() == 1
    (g,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    del y, g


@pytest.mark.parametrize("dtype, recording", [(torch.float32, False), (torch.float32, True), (torch.int64, False)])
@in_a_small_thread
def test_chains_of_views(dtype, recording):
    x = torch.arange(3).to(dtype).requires_grad_(recording)
    y = x
    for _ in range(2 * LONG):
        y = y[:]
    z = y
    for _ in range(LONG):
        z = z.detach().view(3)
    assert y._base is None or y._base is x
    del y, z


@in_a_small_thread
def test_in_place_chains():
    x = torch.ones(3, requires_grad=True)
    y = x * 1
    view = y[1:]
    for _ in range(LONG // 2):
        view.add_(1)
        y.mul_(1)
    y.sum().backward()
    assert x.grad.tolist() == [1, 1, 1]
    del y, view


@in_a_small_thread
def test_gradients_of_gradients():
    """A chain through `.grad`: each gradient holds the next."""
    first = t = torch.ones(1)
    for _ in range(LONG):
        t.grad = torch.ones(1)
        t = t.grad
    del t, first


@in_a_small_thread
def test_hooks_hold_tensors():
    y = torch.ones(1, requires_grad=True)
    for _ in range(LONG // 2):
        z = y * 1
        z.register_hook(lambda g, y=y: None)
        y = z
    y.sum().backward()
    del y, z


def test_in_the_main_thread():
    """The main thread ends later than the others, and its stack is of another kind."""
    x = torch.ones(1, requires_grad=True)
    y = x
    for _ in range(LONG):
        y = y * x
    y.sum().backward()
    assert x.grad.item() == LONG + 1
    del y
