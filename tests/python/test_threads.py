"""Numbers of threads, what they may not change, and forked processes."""

import os
import subprocess
import sys

import flambeau as torch
import pytest


def test_settings():
    before = torch.get_num_threads()
    assert before >= 1
    try:
        torch.set_num_threads(3)
        assert torch.get_num_threads() == 3
        for value, error, text in [
            (0, RuntimeError, "set_num_threads expects a positive integer"),
            (-1, RuntimeError, "set_num_threads expects a positive integer"),
            (2.5, RuntimeError, "set_num_threads expects an int, but got float"),
            (True, RuntimeError, "set_num_threads expects an int, but got bool"),
            (1 << 31, ValueError, "Overflow when unpacking long"),
        ]:
            with pytest.raises(error, match=text):
                torch.set_num_threads(value)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_environment():
    program = "import flambeau; print(flambeau.get_num_threads())"
    for variables, expected in [({"OMP_NUM_THREADS": "3"}, 3), ({"MKL_NUM_THREADS": "5"}, 5)]:
        clean = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        out = subprocess.run(
            [sys.executable, "-c", program], env={**clean, **variables}, capture_output=True, text=True
        )
        assert out.stdout.strip() == str(expected), out.stderr


PROGRAM = """
import sys
import flambeau as torch
torch.set_num_threads(int(sys.argv[1]))
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(300, 400), torch.nn.GELU(), torch.nn.LayerNorm(400), torch.nn.Linear(400, 10))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
images = torch.randn(2, 3, 16, 16)
convolution = torch.nn.Conv2d(3, 8, 3)
for _ in range(3):
    x, y = torch.randn(128, 300), torch.randint(0, 10, (128,))
    optimizer.zero_grad()
    loss = torch.nn.functional.cross_entropy(model(x), y) + convolution(images).square().mean()
    loss.backward()
    optimizer.step()
    print(loss.item().hex())
big = torch.randn(300_000)
print([v.item().hex() for v in (big.sum(), big.exp().mean(), big.var(), big.sort().values[5], (big @ big))])
print([p.double().sum().item().hex() for p in model.parameters()])
"""


def test_results_do_not_depend_on_the_number_of_threads():
    answers = {
        subprocess.run([sys.executable, "-c", PROGRAM, str(threads)], capture_output=True, text=True, check=True).stdout
        for threads in (1, 2, 3, 8)
    }
    assert len(answers) == 1 and len(answers.pop().splitlines()) == 5


REDUCTIONS = [
    lambda x, d: x.sum(d), lambda x, d: x.mean(d), lambda x, d: x.prod(d), lambda x, d: x.var(d),
    lambda x, d: x.amax(d), lambda x, d: x.norm(dim=d), lambda x, d: x.norm(1, dim=d), lambda x, d: x.logsumexp(d),
    lambda x, d: x.gt(0).any(d), lambda x, d: x.count_nonzero(d),
]  # fmt: skip
ALONG_ONE = [
    lambda x, d: torch.stack([part.double() for part in x.max(d)]), lambda x, d: x.argmin(d), lambda x, d: x.cumsum(d),
    lambda x, d: x.cummax(d).indices, lambda x, d: x.softmax(d), lambda x, d: x.log_softmax(d),
    lambda x, d: torch._softmax_backward_data(x, x.softmax(d), d, x.dtype)
    if hasattr(torch, "_softmax_backward_data") else x.softmax(d),
]  # fmt: skip


@pytest.mark.parametrize("shape", [(100, 1001), (3, 70000), (70000, 3), (2, 33, 1077), (129, 5, 151), (64, 64, 17)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_reductions_do_not_depend_on_the_number_of_threads(shape, dtype):
    before = torch.get_num_threads()
    torch.manual_seed(1)
    x = torch.randn(shape, dtype=dtype)
    layouts = [x, x.transpose(0, -1), x.transpose(0, -1).contiguous(), x.expand(2, *shape), x[:, :-1]]

    def answers(threads):
        torch.set_num_threads(threads)
        for x in layouts:
            dims = [(d,) for d in range(x.dim())] + ([(0, 2), (0, 1), (1, 2)] if x.dim() > 2 else [])
            for d in dims:
                for f in REDUCTIONS if dtype != torch.bfloat16 or len(d) == 1 else REDUCTIONS[:2]:
                    if len(d) == 1 or f is not REDUCTIONS[2]:
                        yield f(x, d if f is not REDUCTIONS[2] else d[0])
                for f in ALONG_ONE if len(d) == 1 else ():
                    yield f(x, d[0])

    try:
        for one, *others in zip(*(answers(threads) for threads in (1, 2, 3, 8))):
            for other in others:
                assert torch.equal(one.nan_to_num(), other.nan_to_num()), (one - other).abs().max()
    finally:
        torch.set_num_threads(before)


def test_products_of_halves_do_not_depend_on_the_number_of_threads():
    # By the processor's matrix unit where there is one: wide and tall, turned operands, parts of steps.
    torch.manual_seed(0)
    before = torch.get_num_threads()
    for m, n, k in [(300, 500, 700), (33, 1100, 65), (2100, 40, 130)]:
        a, b = torch.randn(m, k).bfloat16(), torch.randn(n, k).bfloat16().t()
        exact = a.double() @ b.double()
        try:
            answers = []
            for threads in (1, 2, 3, 8):
                torch.set_num_threads(threads)
                answers.append(a @ b)
        finally:
            torch.set_num_threads(before)
        assert all(torch.equal(answers[0], other) for other in answers[1:])
        torch.testing.assert_close(answers[0].double(), exact, rtol=2**-8, atol=1e-3)


FORK = """
import os
import threading
import flambeau as torch
torch.set_num_threads(4)

def work():
    p = torch.ones(400_000, requires_grad=True)
    p.grad = torch.ones(400_000)
    torch.optim.Adam([p], lr=0.5).step()
    return p.sum().item()

expected = work()
child = os.fork()
if child == 0:
    os._exit(0 if work() == expected else 3)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
results = []
threads = [threading.Thread(target=lambda: results.append(work())) for _ in range(4)]
[t.start() for t in threads]
[t.join() for t in threads]
assert results == [expected] * 4 and work() == expected
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_forked_children_and_other_threads():
    out = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, timeout=60)
    assert out.returncode == 0, out.stderr


def test_importing_starts_no_thread():
    program = "import threading, os, flambeau; print(len(os.listdir('/proc/self/task')))"
    if not os.path.isdir("/proc/self/task"):
        pytest.skip("no list of threads here")
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert out.stdout.strip() == "1", out.stderr
