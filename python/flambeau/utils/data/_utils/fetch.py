"""Fetchers: the batch for a list of indices."""

import itertools

import flambeau as fl
from flambeau.utils.data._utils.collate import default_collate
from flambeau.utils.data.dataset import Subset, TensorDataset


def _tensors_of(dataset):
    """The tensors behind a TensorDataset or subsets of one, when whole batches can be taken out of them."""
    while type(dataset) is Subset:
        dataset = dataset.dataset
    if type(dataset) is TensorDataset and all(type(tensor) is fl.Tensor for tensor in dataset.tensors):
        return dataset.tensors
    return None


class MapFetcher:
    """Fetches by index; rows of plain tensors are taken a batch at a time, which gives the same values."""

    iterable = False

    def __init__(self, dataset, auto_collation, collate_fn, drop_last):
        self.dataset = dataset
        self.auto_collation = auto_collation
        self.collate_fn = collate_fn
        self.tensors = None
        if auto_collation and collate_fn is default_collate:
            self.tensors = _tensors_of(dataset)

    def fetch(self, index):
        """The batch for a list of indices, or without automatic batching the sample for one."""
        if self.tensors is not None and type(index) is list:
            try:
                return self._fetch_rows(index)
            except (IndexError, TypeError, ValueError, RuntimeError, OverflowError):
                pass  # an index that rows can't be taken by: the dataset knows what to do or to say
        dataset = self.dataset
        if not self.auto_collation:
            data = dataset[index]
        elif callable(getattr(dataset, "__getitems__", None)):
            data = dataset.__getitems__(index)
        else:
            data = [dataset[i] for i in index]
        return self.collate_fn(data)

    def _fetch_rows(self, index):
        dataset = self.dataset
        while type(dataset) is Subset:
            indices = dataset.indices
            index = [indices[i] for i in index]
            dataset = dataset.dataset
        rows = fl.tensor(index)
        if rows.dtype != fl.int64 or rows.dim() != 1:
            raise TypeError
        return [tensor.index_select(0, rows) for tensor in self.tensors]


class IterableFetcher:
    """Fetches the next samples of an iterator."""

    iterable = True

    def __init__(self, dataset, auto_collation, collate_fn, drop_last):
        self.iterator = iter(dataset)
        self.auto_collation = auto_collation
        self.collate_fn = collate_fn
        self.drop_last = drop_last
        self.ended = False

    def fetch(self, index):
        """A batch of as many samples as there are indices; StopIteration when none are left."""
        if self.ended:
            raise StopIteration
        if not self.auto_collation:
            return self.collate_fn(next(self.iterator))
        data = list(itertools.islice(self.iterator, len(index)))
        if len(data) < len(index):
            self.ended = True
            if not data or self.drop_last:
                raise StopIteration
        return self.collate_fn(data)
