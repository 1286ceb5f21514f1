"""Parts of the namespace beside the numerical library: devices that are absent, processes, protocols, downloads."""

import hashlib
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

import flambeau as torch
import flambeau.multiprocessing as mp
from flambeau import overrides

needs_descriptors = pytest.mark.skipif(sys.platform == "win32", reason="needs file descriptors")


def test_no_accelerator():
    a = torch.accelerator
    assert not a.is_available() and a.device_count() == 0 and a.current_accelerator() is None
    assert a.memory_allocated() == a.max_memory_reserved() == 0 and not a.memory_stats()
    a.empty_cache()
    a.set_device_index(None)
    with a.device_index(None):
        pass
    for call in (
        a.synchronize, a.current_device_index, a.current_stream, a.get_memory_info, a.Graph,
        lambda: a.set_device_index(0), lambda: a.device_index(0).__enter__(),
    ):  # fmt: skip
        with pytest.raises(RuntimeError, match="Cannot access accelerator device"):
            call()
    with pytest.raises(RuntimeError, match="without MPS backend"):
        torch.mps.current_allocated_memory()
    assert torch.backends.cuda.flash_sdp_enabled()
    with torch.backends.cuda.sdp_kernel(enable_flash=False):
        assert not torch.backends.cuda.flash_sdp_enabled()
    assert torch.backends.cuda.flash_sdp_enabled()
    from flambeau.cuda import amp

    assert amp.amp_definitely_not_available() and not amp.GradScaler(enabled=False).is_enabled()


def test_compiler_leaves_functions_alone():
    def f(x):
        return x + 1

    c = torch.compiler
    assert c.disable(f) is f and c.disable()(f) is f and not c.is_compiling() and not c.is_dynamo_compiling()


def test_types():
    assert isinstance(3, torch.types.Number) and isinstance("cpu", torch.types.Device)


def test_rare_methods():
    x = torch.ones(3, 4)
    assert x.const_data_ptr() == x.data_ptr() and x.grad_dtype == torch.float32
    with pytest.raises(AttributeError, match="__cuda_array_interface__ on non-CUDA"):
        x.__cuda_array_interface__
    with pytest.warns(UserWarning, match="deprecated"):
        assert x.resize(2, 6).shape == (2, 6) and x.resize_as(torch.ones(12)).shape == (12,)
    with pytest.warns(UserWarning), pytest.raises(RuntimeError, match="requested resize"):
        x.resize(5)
    with pytest.raises(RuntimeError, match="expected sparse"):
        x.indices()
    assert torch.get_device(x) == -1 and not torch.is_inference(x)


@pytest.mark.parametrize("shape", [(3, 4), (4, 3), (7, 3), (8, 2), (3, 3, 3), (1, 1), (0, 2)])
@pytest.mark.parametrize("wrap", [False, True])
def test_fill_diagonal(shape, wrap):
    x, a = torch.zeros(shape), np.zeros(shape)
    if a.size:
        np.fill_diagonal(a, 5, wrap=wrap)
    if not wrap and len(shape) == 2:
        a[min(shape) :] = 0
    assert x.fill_diagonal_(5, wrap) is x and x.tolist() == a.tolist()


def test_fill_diagonal_errors_and_gradient():
    with pytest.raises(RuntimeError, match="dimensions must larger than 1"):
        torch.ones(3).fill_diagonal_(1)
    with pytest.raises(RuntimeError, match="equal length"):
        torch.ones(2, 3, 2).fill_diagonal_(1)
    x = torch.ones(2, 2, requires_grad=True)
    (x * 1).fill_diagonal_(0).sum().backward()
    assert x.grad.tolist() == [[0, 1], [1, 0]]


def test_overrides():
    class Mine:
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            return func.__name__, types, args

    @overrides.wrap_torch_function(lambda x: (x,))
    def double(x):
        return x * 2

    m = Mine()
    assert double(3) == 6 and double(m) == ("double", (Mine,), (m,))
    assert overrides.has_torch_function((torch.ones(1), m)) and not overrides.has_torch_function((torch.ones(1), 3))
    assert overrides.has_torch_function_unary(m) and overrides.has_torch_function_variadic(1, m)
    assert not overrides.has_torch_function_unary(torch.nn.Parameter(torch.ones(1)))
    assert overrides.is_tensor_like(m) and overrides.is_tensor_like(torch.ones(1)) and not overrides.is_tensor_like(3)

    class Refuses:
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            return NotImplemented

    with pytest.raises(TypeError, match="no implementation found for"):
        overrides.handle_torch_function(double.__wrapped__, (Refuses(),), 1)


def test_hub(tmp_path):
    source, cache = tmp_path / "source", tmp_path / "cache"
    source.mkdir()
    torch.save({"w": torch.ones(2)}, source / "plain.pt")
    digest = hashlib.sha256((source / "plain.pt").read_bytes()).hexdigest()
    (source / "plain.pt").rename(source / f"w-{digest[:8]}.pt")
    before = torch.hub.get_dir()
    torch.hub.set_dir(cache)
    try:
        url = (source / f"w-{digest[:8]}.pt").as_uri()
        assert torch.hub.load_state_dict_from_url(url, progress=False, check_hash=True)["w"].tolist() == [1, 1]
        assert (cache / "checkpoints" / f"w-{digest[:8]}.pt").exists()
        with pytest.raises(RuntimeError, match="invalid hash value"):
            torch.hub.download_url_to_file(url, str(tmp_path / "x"), hash_prefix="0" * 8, progress=False)
        assert not (tmp_path / "x").exists()
    finally:
        torch.hub.set_dir(before)


# processes


def double_in_place(index, queue, answer):
    received = queue.get()
    received["x"].mul_(2)
    answer.put((received["view"].sum(), received["p"]))
    queue.get()  # waits until the parent has taken the answer


def add_index(index, x):
    x[index] += index + 1


def fail(index):
    raise ValueError("the reason")


def leave(index):
    os._exit(3)


@needs_descriptors
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_queues_pass_memory(method):
    context = mp.get_context(method)
    queue, answer = context.Queue(), context.Queue()
    process = context.Process(target=double_in_place, args=(0, queue, answer), daemon=True)
    process.start()
    x = torch.arange(4.0)
    queue.put({"x": x, "view": x[2:], "p": torch.nn.Parameter(torch.ones(1))})
    total, p = answer.get(timeout=60)
    assert total == 10 and type(p) is torch.nn.Parameter
    assert x.tolist() == [0, 2, 4, 6] and x.is_shared()
    queue.put(None)
    process.join(60)
    assert process.exitcode == 0


@needs_descriptors
def test_spawn():
    x = torch.zeros(2).share_memory_()
    mp.spawn(add_index, args=(x,), nprocs=2)
    assert x.tolist() == [1, 2]
    with pytest.raises(mp.ProcessRaisedException, match="the reason"):
        mp.spawn(fail, nprocs=1)
    with pytest.raises(mp.ProcessExitedException, match="exit code 3"):
        mp.start_processes(leave, nprocs=1, start_method="fork")


def test_what_is_not_sent():
    with pytest.raises(RuntimeError, match="Cowardly refusing"):
        mp.reducer.ForkingPickler.dumps(torch.ones(1, requires_grad=True) * 2)
    a = np.ones(2, dtype=np.float32)
    assert pickle.loads(mp.reducer.ForkingPickler.dumps(torch.from_numpy(a))).tolist() == [1, 1]
    assert mp.get_sharing_strategy() == "file_descriptor"
    with pytest.raises(AssertionError):
        mp.set_sharing_strategy("magic")


def test_namespaces_that_are_read_lazily_show_everything():

    code = """
import sys, flambeau as torch
for package in (torch.nn, torch.nn.modules, torch.nn.utils, torch.optim, torch.distributions, torch.utils.data):
    before = len(sys.modules)
    dir(package)
    assert len(sys.modules) == before
    assert set(package.__all__) <= set(vars(package)), package
assert issubclass(vars(torch.optim)["SGD"], torch.optim.Optimizer)
found = [c for c in torch.distributions.__dict__.values() if isinstance(c, type)]
assert torch.distributions.Wishart in found and len(found) > 40
print("fine")
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "fine\n"
