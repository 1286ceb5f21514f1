"""Names of `torch.cuda` on a machine without such a device: what is asked has answers, what needs one raises."""

import pytest

import flambeau as torch

cuda = torch.cuda


def test_graphs_and_streams_cannot_be_made():
    for kind in (cuda.CUDAGraph, cuda.Stream, cuda.ExternalStream, cuda.Event, cuda.MemPool, torch.Stream, torch.Event):
        assert isinstance(kind, type)
        with pytest.raises(RuntimeError):
            kind()
    assert (
        cuda.graphs.CUDAGraph is cuda.CUDAGraph and cuda.streams.Stream is cuda.Stream and isinstance(cuda.graph, type)
    )
    assert issubclass(cuda.Stream, torch.Stream) and issubclass(cuda.Event, torch.Event)
    for run in (
        lambda: cuda.graph(None),
        lambda: cuda.make_graphed_callables(torch.nn.Linear(1, 1), (torch.ones(1),)),
        lambda: cuda.ipc_collect(),
        lambda: cuda.set_per_process_memory_fraction(0.5),
        lambda: cuda.can_device_access_peer(0, 1),
        lambda: cuda.StreamContext(object()).__enter__(),
    ):
        with pytest.raises((RuntimeError, AssertionError)):
            run()
    with cuda.StreamContext(None), cuda.stream(None), cuda.device(None), cuda.device_of(torch.ones(1)):
        pass
    assert not cuda.is_current_stream_capturing()


def test_questions_have_answers():
    assert (
        cuda.default_generators == () and cuda.random.get_rng_state_all() == [] and cuda.memory.memory_allocated() == 0
    )
    assert cuda.get_arch_list() == [] and cuda.get_gencode_flags() == "" and not cuda._is_compiled()
    assert not cuda.is_tf32_supported() and cuda.memory_snapshot() == []
    with pytest.warns(FutureWarning):
        assert cuda.memory_cached() == cuda.max_memory_cached() == 0
    assert issubclass(cuda.OutOfMemoryError, RuntimeError) and cuda.OutOfMemoryError is torch.OutOfMemoryError
    with pytest.raises(RuntimeError):
        cuda.nvtx.range_push("a")


def test_types_of_its_tensors():
    x = torch.ones(2)
    assert isinstance(x, torch.FloatTensor) and not isinstance(x, cuda.FloatTensor)
    assert repr(cuda.HalfTensor) == "<class 'torch.cuda.HalfTensor'>"
    with pytest.raises(TypeError, match="type torch.cuda.FloatTensor not available"):
        cuda.FloatTensor(2)
