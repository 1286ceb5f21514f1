"""Loops hold constant memory: measured in a process of their own, after a warm-up."""

import pathlib
import subprocess
import sys
import textwrap

import pytest

PREAMBLE = """
import os, sys, gc
import flambeau as torch

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")
"""

POSTAMBLE = """
for i in range(WARM):
    step(i)
before = resident()
for i in range(STEPS):
    step(i)
print(resident() - before)
"""

LOOPS = {
    "linear and adam": """
        net = torch.nn.Sequential(torch.nn.Linear(10, 32), torch.nn.ReLU(), torch.nn.Linear(32, 2))
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
        x, y = torch.randn(16, 10), torch.randint(0, 2, (16,))
        def step(i):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(net(x), y).backward()
            optimizer.step()
    """,
    "convolution": """
        net = torch.nn.Sequential(
            torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.MaxPool2d(2), torch.nn.Flatten(),
            torch.nn.Dropout(), torch.nn.Linear(36, 2))
        optimizer = torch.optim.SGD(net.parameters(), lr=1e-3, momentum=0.9)
        x, y = torch.randn(4, 1, 8, 8), torch.randint(0, 2, (4,))
        def step(i):
            optimizer.zero_grad(set_to_none=i % 2 == 0)
            torch.nn.functional.cross_entropy(net(x), y).backward()
            optimizer.step()
    """,
    "hooks": """
        w = torch.randn(8, 8, requires_grad=True)
        seen = []
        def step(i):
            y = w * 2
            z = y.tanh()
            y.retain_grad()
            handle = w.register_hook(lambda g: g * 2)
            z.register_hook(lambda g, y=y: g + 0 * y.detach())
            z.grad_fn.register_hook(lambda a, b: None)
            z.sum().backward()
            handle.remove()
            w.grad = None
    """,
    "custom function": """
        class Times(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x, factor):
                out = x * factor
                ctx.save_for_backward(x, factor, out)
                ctx.extra = {"x": x, "ctx": [1, 2, 3]}
                return out
            @staticmethod
            def backward(ctx, g):
                x, factor, out = ctx.saved_tensors
                return g * factor, (g * x).sum()
        x, f = torch.randn(100, requires_grad=True), torch.tensor(2.0, requires_grad=True)
        def step(i):
            Times.apply(Times.apply(x, f), f).sum().backward()
            Times.apply(x, f)
            x.grad = f.grad = None
    """,
    "double backward": """
        x = torch.randn(50, requires_grad=True)
        def step(i):
            (g,) = torch.autograd.grad((x ** 3).sum().exp().log(), x, create_graph=True)
            (g ** 2).sum().backward()
            x.grad = None
    """,
    "exceptions": """
        class Bad(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x)
                return x * 2
            @staticmethod
            def backward(ctx, g):
                raise ValueError("in the middle")
        x = torch.randn(500, requires_grad=True)
        def step(i):
            y = (x * 3).sin()
            for attempt in (
                lambda: Bad.apply(y).sum().backward(),
                lambda: y @ torch.ones(3),
                lambda: torch.cat([y, torch.ones(2, 2)]),
                lambda: y.view(7, 7),
                lambda: torch.tensor([[1, 2], [3]]),
                lambda: torch.zeros(2**40, 2**40),
                lambda: x.add_(1),
            ):
                try:
                    attempt()
                except (ValueError, RuntimeError):
                    pass
                else:
                    raise AssertionError
    """,
    "views and in-place changes": """
        x = torch.randn(64, 64, requires_grad=True)
        buffer = torch.zeros(64, 64)
        def step(i):
            y = x * 1
            y[1:3] += 1
            y[:, 0].mul_(2)
            y.T[3].exp_()
            y.sum().backward()
            x.grad.zero_()
            buffer[i % 64] = x.detach()[0]
            buffer.unsqueeze(0).expand(3, -1, -1).sum()
            list(buffer), buffer.tolist(), buffer.numpy().sum(), repr(buffer[0])
    """,
    "saved tensor hooks and attributes": """
        from flambeau.utils.checkpoint import checkpoint
        net = torch.nn.Linear(20, 20)
        def step(i):
            x = torch.randn(4, 20, requires_grad=True)
            x.name_of_mine = [x]
            with torch.autograd.graph.saved_tensors_hooks(lambda t: t.numpy().copy(), torch.from_numpy):
                y = net(x).tanh()
            checkpoint(net, y, use_reentrant=False).sum().backward()
            net.zero_grad()
    """,
}
STEPS = {"linear and adam": 10_000}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("name", LOOPS)
def test_constant_memory(name):
    steps = STEPS.get(name, 2500)
    code = f"{PREAMBLE}\nWARM, STEPS = {steps // 5}, {steps}\n{textwrap.dedent(LOOPS[name])}\n{POSTAMBLE}"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=600,
        cwd=pathlib.Path(__file__).parent,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    grown = int(done.stdout.split()[-1])
    # A leak of even 100 bytes a step would show; the allocator's own unrest stays below.
    assert grown < 600_000 + 50 * steps, f"grew by {grown} bytes in {steps} steps"
