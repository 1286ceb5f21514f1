"""Batches on their way from a worker: memory passes through areas that are used again."""

import multiprocessing
import os

import pytest

import flambeau as torch
from flambeau.utils.data._utils import transport

pytestmark = pytest.mark.skipif(os.name != "posix", reason="areas are passed by descriptor")


def exchange(values, give_back=True):
    """Sends values over a connection; gives what arrives, how long the messages are, and both sides' areas."""
    mine, theirs = multiprocessing.Pipe()
    areas, known, results, lengths = transport.Areas(), {}, [], []
    for value in values:
        message = transport.packed(value, areas)
        lengths.append(len(message[0]) + sum(piece.nbytes for piece in message[1]))
        transport.send(theirs, message)
        result, number = transport.receive(mine, known)
        if number is not None and give_back:
            areas.give_back(number)
        results.append(result)
    return results, lengths, areas, known


def test_memory_is_not_in_the_message():
    batch = {"x": torch.randn(32, 3, 50, 50), "y": [torch.arange(9000), "label"], "z": torch.ones(100000).t()}
    (got,), (length,), areas, known = exchange([batch])
    assert length < 4000 and len(known) == 1
    for key in ("x", "z"):
        assert torch.equal(got[key], batch[key]) and got[key].dtype == batch[key].dtype
    assert torch.equal(got["y"][0], batch["y"][0]) and got["y"][1] == "label"


def test_areas_are_used_again_and_grow():
    batches = [torch.full((20000 + 5000 * (i % 3),), float(i)) for i in range(12)]
    results, lengths, areas, known = exchange(batches)
    assert all(torch.equal(a, b) for a, b in zip(results, batches))
    assert max(lengths) < 2000 and len(known) == 1
    assert len(known[0]) >= 4 * 30000


def test_areas_in_use_are_left_alone():
    results, _, _, known = exchange([torch.full((20000,), float(i)) for i in range(4)], give_back=False)
    assert len(known) == 4 and [r[-1].item() for r in results] == [0.0, 1.0, 2.0, 3.0]


def test_small_batches_and_shared_memory():
    x = torch.arange(2000.0)
    ((a, b, c),), (length,), _, known = exchange([(x, x[10:20], torch.ones(3))])
    assert not known and length > 8000
    b[0] = -1
    assert a[10] == -1 and c.tolist() == [1, 1, 1]


def test_results_are_writable_and_apart():
    batch = torch.zeros(50000)
    (first, second), _, _, known = exchange([batch, batch])
    first += 1
    assert second.sum() == 0 and first.sum() == 50000 and len(known) == 1


class Pictures(torch.utils.data.Dataset):
    def __len__(self):
        return 64

    def __getitem__(self, i):
        return torch.full((3, 40, 40), float(i)), i


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_loaders(method):
    loader = torch.utils.data.DataLoader(
        Pictures(), batch_size=8, num_workers=2, persistent_workers=True, multiprocessing_context=method
    )
    for _ in range(2):
        kept = [(x, y) for x, y in loader]
        assert [y.tolist() for _, y in kept] == [list(range(8 * k, 8 * k + 8)) for k in range(8)]
        assert all(torch.equal(x[:, 0, 0, 0], y.float()) for x, y in kept)
    assert all(1 <= len(entry.areas) <= 4 for entry in loader._iterator._workers)
