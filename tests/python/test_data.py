"""`utils.data`: datasets, samplers, collating and loading."""

import collections
import os
import re
import signal
import time

import numpy as np
import pytest

import flambeau as torch

data = torch.utils.data
X, Y = torch.arange(20.0).view(10, 2), torch.arange(10)


def dataset():
    return data.TensorDataset(X, Y)


def listed(loader):
    return [[part.tolist() for part in batch] for batch in loader]


def test_datasets():
    assert [part.tolist() for part in dataset()[3]] == [[6.0, 7.0], 3]
    assert len(dataset() + dataset()) == 20 and (dataset() + dataset())[13][1].item() == 3
    assert data.ConcatDataset([range(2), range(3)])[-1] == 2
    stacked = data.StackDataset(a=X, b=Y)
    assert stacked[1]["b"].item() == 1 and len(stacked) == 10
    assert [item["b"].item() for item in stacked.__getitems__([1, 2])] == [1, 2]
    assert data.Subset(range(10, 20), [1, 3])[1] == 13
    with pytest.raises(AssertionError, match="Size mismatch between tensors"):
        data.TensorDataset(X, Y[:3])
    with pytest.raises(ValueError, match="absolute value of index should not exceed dataset length"):
        data.ConcatDataset([range(2)])[-3]
    with pytest.raises(NotImplementedError, match="Subclasses of Dataset should implement __getitem__."):
        data.Dataset()[0]


def test_random_split():
    parts = data.random_split(range(10), [3, 7], generator=torch.Generator().manual_seed(0))
    assert sorted(sum((list(part) for part in parts), [])) == list(range(10))
    assert [len(part) for part in data.random_split(range(10), [0.33, 0.33, 0.34])] == [4, 3, 3]
    with pytest.raises(ValueError, match="Sum of input lengths does not equal the length of the input dataset!"):
        data.random_split(range(10), [3, 3])


def test_samplers_draw_pytorchs_numbers():
    # recorded with PyTorch 2.15
    torch.manual_seed(1)
    assert list(data.RandomSampler(range(7))) == [2, 1, 0, 3, 4, 5, 6]
    assert list(data.RandomSampler(range(7), num_samples=9)) == [0, 5, 1, 4, 2, 3, 6, 1, 2]
    assert list(data.RandomSampler(range(7), replacement=True, num_samples=5)) == [2, 6, 4, 0, 0]
    assert list(data.SubsetRandomSampler([4, 5, 6])) == [6, 4, 5]
    assert list(data.WeightedRandomSampler([0.1, 0.9, 0.3], 5)) == [1, 1, 1, 1, 1]
    generator = torch.Generator().manual_seed(3)
    assert list(data.RandomSampler(range(7), generator=generator)) == [5, 3, 4, 6, 0, 2, 1]
    torch.manual_seed(5)
    assert [batch.tolist() for batch in data.DataLoader(range(6), 2, shuffle=True)] == [[2, 3], [4, 5], [1, 0]]
    assert torch.rand(1).item() == pytest.approx(0.9201034, abs=1e-6)


def test_sampler_errors():
    with pytest.raises(ValueError, match="num_samples should be a positive integer value, but got num_samples=0"):
        data.RandomSampler([])
    with pytest.raises(TypeError, match="replacement should be a boolean value, but got replacement=1"):
        data.RandomSampler(range(3), replacement=1)
    with pytest.raises(ValueError, match="weights should be a 1d sequence but given weights have shape"):
        data.WeightedRandomSampler([[0.1]], 2)
    with pytest.raises(ValueError, match="batch_size should be a positive integer value, but got batch_size=0"):
        data.BatchSampler(range(3), 0, False)


def test_batch_sampler():
    assert list(data.BatchSampler(range(7), 3, False)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(data.BatchSampler(range(7), 3, True)) == [[0, 1, 2], [3, 4, 5]]
    assert len(data.BatchSampler(range(7), 3, False)) == 3 and len(data.BatchSampler(range(7), 3, True)) == 2


def test_distributed_sampler():
    shares = [list(data.DistributedSampler(range(10), 3, rank, shuffle=False)) for rank in range(3)]
    assert shares == [[0, 3, 6, 9], [1, 4, 7, 0], [2, 5, 8, 1]]
    sampler = data.DistributedSampler(range(10), 2, 0)
    before = list(sampler)
    sampler.set_epoch(1)
    assert list(sampler) != before and len(sampler) == 5
    with pytest.raises(ValueError, match="Invalid rank 5, rank should be in the interval \\[0, 2\\]"):
        data.DistributedSampler(range(10), 3, 5)


Point = collections.namedtuple("Point", "x y")


@pytest.mark.parametrize(
    "batch, expected",
    [
        ([1, 2], torch.tensor([1, 2])),
        ([1.0, 2.0], torch.tensor([1.0, 2.0], dtype=torch.float64)),
        ([np.float32(1), np.float32(2)], torch.tensor([1.0, 2.0])),
        ([np.ones(2), np.zeros(2)], torch.tensor([[1.0, 1.0], [0.0, 0.0]], dtype=torch.float64)),
        ([torch.ones(2), torch.zeros(2)], torch.tensor([[1.0, 1.0], [0.0, 0.0]])),
    ],
)
def test_collating_numbers(batch, expected):
    result = data.default_collate(batch)
    assert result.dtype == expected.dtype and torch.equal(result, expected)


def test_collating_containers():
    assert data.default_collate(["a", "b"]) == ["a", "b"]
    pair = data.default_collate([(1, "a"), (2, "b")])
    assert type(pair) is list and pair[0].tolist() == [1, 2] and pair[1] == ("a", "b")
    assert data.default_collate([{"k": 1}, {"k": 2}])["k"].tolist() == [1, 2]
    point = data.default_collate([Point(1, 2), Point(3, 4)])
    assert type(point) is Point and point.y.tolist() == [2, 4]
    with pytest.raises(RuntimeError, match="each element in list of batch should be of equal size"):
        data.default_collate([[1, 2], [3]])
    with pytest.raises(TypeError, match="default_collate: batch must contain tensors, numpy arrays, numbers, dicts"):
        data.default_collate([None])
    assert data.default_convert({"a": np.ones(1), "b": "x"})["b"] == "x"


def test_loading():
    assert listed(data.DataLoader(dataset(), 4))[2] == [[[16.0, 17.0], [18.0, 19.0]], [8, 9]]
    assert len(listed(data.DataLoader(dataset(), 4, drop_last=True))) == 2
    assert [sample[1].item() for sample in data.DataLoader(dataset(), None)] == list(range(10))
    assert listed(data.DataLoader(dataset(), batch_sampler=[[1, 2], [-1]]))[1] == [[[18.0, 19.0]], [9]]
    assert [batch.tolist() for batch in data.DataLoader(data.Subset(range(10), [5, 6, 7]), 2)] == [[5, 6], [7]]
    assert list(data.DataLoader(range(4), 2, collate_fn=sum)) == [1, 5]
    assert len(data.DataLoader(dataset(), 3)) == 4


def test_whole_rows_equal_collated_samples():
    plain = data.DataLoader(dataset(), 3, collate_fn=lambda batch: data.default_collate(batch))
    for loader in (data.DataLoader(dataset(), 3), data.DataLoader(dataset(), 3, sampler=range(10))):
        assert listed(loader) == listed(plain)
    subset = data.Subset(data.Subset(dataset(), [7, 5, 3, 1]), [0, 2, 3])
    assert listed(data.DataLoader(subset, 2)) == [[[[14.0, 15.0], [6.0, 7.0]], [7, 3]], [[[2.0, 3.0]], [1]]]
    batch = next(iter(data.DataLoader(dataset(), 3)))
    batch[0].zero_()
    assert X[0, 1].item() == 1.0


class Stream(data.IterableDataset):
    def __init__(self, count):
        self.count = count

    def __iter__(self):
        return iter(range(self.count))


def test_iterable_datasets():
    assert [batch.tolist() for batch in data.DataLoader(Stream(5), 2)] == [[0, 1], [2, 3], [4]]
    assert [batch.tolist() for batch in data.DataLoader(Stream(5), 2, drop_last=True)] == [[0, 1], [2, 3]]
    assert list(data.ChainDataset([Stream(2), Stream(1)])) == [0, 1, 0]
    assert list(data.DataLoader(Stream(3), None)) == [0, 1, 2]
    with pytest.raises(ValueError, match="expected unspecified shuffle option, but got shuffle=True"):
        data.DataLoader(Stream(3), shuffle=True)


@pytest.mark.parametrize(
    "options, text",
    [
        ({"num_workers": -1}, "num_workers option should be non-negative"),
        ({"timeout": -1}, "timeout option should be non-negative"),
        ({"prefetch_factor": 2}, "prefetch_factor option could only be specified in multiprocessing"),
        ({"persistent_workers": True}, "persistent_workers option needs num_workers > 0"),
        ({"shuffle": True, "sampler": [1]}, "sampler option is mutually exclusive with shuffle"),
        ({"batch_sampler": [[1]], "batch_size": 2}, "batch_sampler option is mutually exclusive with batch_size"),
        ({"batch_size": None, "drop_last": True}, "batch_size=None option disables auto-batching"),
        ({"batch_size": 0}, "batch_size should be a positive integer value, but got batch_size=0"),
    ],
)
def test_loader_errors(options, text):
    with pytest.raises(ValueError) as error:
        data.DataLoader(dataset(), **options)
    assert str(error.value).startswith(text)


def test_loader_is_fixed_after_construction():
    loader = data.DataLoader(dataset(), 2)
    with pytest.raises(ValueError, match="batch_size attribute should not be set after DataLoader is initialized"):
        loader.batch_size = 3


class Seeds(data.Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        info = data.get_worker_info()
        return index, info.id, info.num_workers, info.seed, torch.rand(1, dtype=torch.float64).item()


class Failing(data.Dataset):
    def __init__(self, error):
        self.error = error

    def __len__(self):
        return 4

    def __getitem__(self, index):
        if index == 2:
            raise self.error
        return index


class Dying(Failing):
    def __getitem__(self, index):
        if index == 2:
            os._exit(3)
        return index


def test_workers():
    torch.manual_seed(11)
    batches = listed(data.DataLoader(Seeds(), 1, num_workers=2))
    assert [batch[0] for batch in batches] == [[0], [1], [2], [3]]
    assert [batch[1] for batch in batches] == [[0], [1], [0], [1]]
    # the seed that PyTorch draws
    assert [batch[3][0] for batch in batches[:2]] == [3325388913236545215, 3325388913236545216]
    torch.manual_seed(11)
    assert listed(data.DataLoader(Seeds(), 1, num_workers=2)) == batches
    assert data.get_worker_info() is None


def test_worker_results_equal_those_without_workers():
    for options in ({}, {"shuffle": True}, {"batch_size": 3}):
        torch.manual_seed(3)
        alone = listed(data.DataLoader(dataset(), **options))
        torch.manual_seed(3)
        assert listed(data.DataLoader(dataset(), num_workers=2, **options)) == alone


def test_worker_errors():
    with pytest.raises(ValueError, match="(?s)Caught ValueError in DataLoader worker process 0.*ValueError: broken"):
        list(data.DataLoader(Failing(ValueError("broken")), 1, num_workers=1))
    with pytest.raises(KeyError, match="(?s)Caught KeyError in DataLoader worker process 0"):
        list(data.DataLoader(Failing(KeyError("k")), 1, num_workers=1))
    with pytest.raises(ValueError, match="broken"):
        list(data.DataLoader(Failing(ValueError("broken")), 1))
    with pytest.raises(RuntimeError, match="DataLoader worker \\(pid\\(s\\) \\d+\\) exited unexpectedly"):
        list(data.DataLoader(Dying(None), 1, num_workers=1))


class Large(data.Dataset):
    """Samples of several hundred kilobytes and of no bytes, of many kinds."""

    def __len__(self):
        return 12

    def __getitem__(self, index):
        base = torch.arange(100_000.0) + index
        array = np.arange(50_000) * index
        return {
            "views": (base, base[10:20], base.view(100, 1000).t()),
            "arrays": [array, np.ones((0, 3)), array[::2]],
            "half": torch.full((20_000,), index, dtype=torch.bfloat16),
            "none": torch.ones(0, 5),
            "leaf": torch.nn.Parameter(torch.ones(2000)),
            "text": "x" * 100_000,
        }


def test_large_samples_of_workers():
    for index, sample in enumerate(data.DataLoader(Large(), batch_size=None, num_workers=2, collate_fn=lambda x: x)):
        base, part, turned = sample["views"]
        assert torch.equal(base, torch.arange(100_000.0) + index) and torch.equal(turned, base.view(100, 1000).t())
        base[10] = -1
        assert part[0] == -1 and part.untyped_storage().data_ptr() == base.untyped_storage().data_ptr()
        base.resize_(200_000)
        assert base.shape == (200_000,)
        array, empty, strided = sample["arrays"]
        assert (array == np.arange(50_000) * index).all() and array.flags.writeable
        assert empty.shape == (0, 3) and (strided == array[::2]).all()
        assert torch.equal(sample["half"], torch.full((20_000,), index, dtype=torch.bfloat16))
        assert sample["none"].shape == (0, 5) and sample["text"] == "x" * 100_000
        assert type(sample["leaf"]) is torch.nn.Parameter and sample["leaf"].requires_grad
    assert index == 11
    begin = time.monotonic()
    loader = iter(data.DataLoader(Large(), batch_size=None, num_workers=2, prefetch_factor=4, collate_fn=lambda x: x))
    next(loader)
    # Workers whose batches nobody takes end.
    processes = [entry.process for entry in loader._workers]
    del loader
    assert not any(process.is_alive() for process in processes) and time.monotonic() - begin < 20


class Killed(data.Dataset):
    def __len__(self):
        return 100

    def __getitem__(self, index):
        if index == 7:
            os.kill(os.getpid(), signal.SIGKILL)
        return index


def test_killed_worker():
    begin = time.monotonic()
    with pytest.raises(RuntimeError, match="DataLoader worker \\(pid\\(s\\) \\d+\\) exited unexpectedly") as raised:
        list(data.DataLoader(Killed(), 4, num_workers=2))
    assert re.fullmatch("DataLoader worker \\(pid \\d+\\) is killed by signal: Killed. ", str(raised.value.__cause__))
    loader = data.DataLoader(dataset(), 4, num_workers=2, persistent_workers=True)
    list(loader)
    os.kill(loader._iterator._workers[1].process.pid, signal.SIGKILL)
    with pytest.raises(RuntimeError, match="exited unexpectedly"):
        list(loader)
    with pytest.raises(RuntimeError) as raised:
        list(data.DataLoader(Dying(None), 1, num_workers=1))
    assert "exited unexpectedly with exit code 3." in str(raised.value.__cause__)
    assert time.monotonic() - begin < 30


def test_persistent_workers():
    loader = data.DataLoader(dataset(), 4, num_workers=1, persistent_workers=True)
    first = listed(loader)
    process = loader._iterator._workers[0].process
    assert listed(loader) == first and process.is_alive()
    loader._iterator = None
    process.join(10)
    assert not process.is_alive()


def test_iterable_dataset_in_workers():
    batches = [batch.tolist() for batch in data.DataLoader(Stream(5), 2, num_workers=2)]
    assert batches == [[0, 1], [0, 1], [2, 3], [2, 3], [4], [4]]
