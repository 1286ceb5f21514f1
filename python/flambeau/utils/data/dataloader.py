"""DataLoader: batches of a dataset, made in this process or by workers."""

import types
from collections.abc import Callable
from typing import Any, TypeVar

import flambeau as fl
from flambeau.utils.data._utils.collate import default_collate, default_convert
from flambeau.utils.data._utils.fetch import IterableFetcher, MapFetcher, _tensors_of
from flambeau.utils.data._utils.worker import get_worker_info
from flambeau.utils.data.dataset import IterableDataset, TensorDataset
from flambeau.utils.data.sampler import BatchSampler, RandomSampler, SequentialSampler

__all__ = ["DataLoader", "get_worker_info", "default_collate", "default_convert"]

_T = TypeVar("_T")
_collate_fn_t = Callable[[list[_T]], Any]
_worker_init_fn_t = Callable[[int], None]


class _DatasetKind:
    Map = 0
    Iterable = 1


class _InfiniteConstantSampler:
    """Yields None for ever: an iterable dataset needs no indices."""

    def __iter__(self):
        while True:
            yield None


class DataLoader:
    """Iterates over batches of `dataset`.

    `batch_size` samples that `sampler` chooses (in order, or with `shuffle` at random), or the indices that
    `batch_sampler` lists, are joined by `collate_fn`; `batch_size=None` gives single samples. With `num_workers`
    processes batches are made ahead, `prefetch_factor` by each, and come in order unless `in_order=False`.
    `generator` draws the workers' seeds and the order. `worker_init_fn(worker_id)` runs in each new worker.
    """

    _iterator = None
    _IterableDataset_len_called = None
    __initialized = False
    __class_getitem__ = classmethod(types.GenericAlias)

    def __init__(
        self,
        dataset,
        batch_size=1,
        shuffle=None,
        sampler=None,
        batch_sampler=None,
        num_workers=0,
        collate_fn=None,
        pin_memory=False,
        drop_last=False,
        timeout=0,
        worker_init_fn=None,
        multiprocessing_context=None,
        generator=None,
        *,
        prefetch_factor=None,
        persistent_workers=False,
        pin_memory_device="",
        in_order=True,
    ):
        if num_workers < 0:
            raise ValueError("num_workers option should be non-negative; use num_workers=0 to disable multiprocessing.")
        if timeout < 0:
            raise ValueError("timeout option should be non-negative")
        if num_workers == 0 and prefetch_factor is not None:
            raise ValueError(
                "prefetch_factor option could only be specified in multiprocessing.let num_workers > 0 to enable "
                "multiprocessing, otherwise set prefetch_factor to None."
            )
        if num_workers > 0 and prefetch_factor is None:
            prefetch_factor = 2
        elif prefetch_factor is not None and prefetch_factor < 0:
            raise ValueError("prefetch_factor option should be non-negative")
        if persistent_workers and num_workers == 0:
            raise ValueError("persistent_workers option needs num_workers > 0")

        self.dataset = dataset
        self.num_workers = num_workers
        self.prefetch_factor = prefetch_factor
        self.pin_memory = pin_memory
        self.pin_memory_device = pin_memory_device
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.multiprocessing_context = multiprocessing_context
        self.in_order = in_order

        if isinstance(dataset, IterableDataset):
            self._dataset_kind = _DatasetKind.Iterable
            _check_iterable(shuffle, sampler, batch_sampler)
            shuffle = False
        else:
            shuffle = bool(shuffle)
            self._dataset_kind = _DatasetKind.Map

        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError(
                    "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and drop_last"
                )
            batch_size = None
            drop_last = False
        elif batch_size is None and drop_last:
            raise ValueError("batch_size=None option disables auto-batching and is mutually exclusive with drop_last")

        if sampler is None:
            if self._dataset_kind == _DatasetKind.Iterable:
                sampler = _InfiniteConstantSampler()
            elif shuffle:
                sampler = RandomSampler(dataset, generator=generator)
            else:
                sampler = SequentialSampler(dataset)
        if batch_size is not None and batch_sampler is None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)

        self.batch_size = batch_size
        self.drop_last = drop_last
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        self.generator = generator
        if collate_fn is None:
            collate_fn = default_collate if self._auto_collation else default_convert
        self.collate_fn = collate_fn
        self.persistent_workers = persistent_workers
        self.__initialized = True
        self._iterator = None
        self.check_worker_number_rationality()

    @property
    def multiprocessing_context(self):
        """How workers start: None for the platform's way, or a multiprocessing context."""
        return self.__multiprocessing_context

    @multiprocessing_context.setter
    def multiprocessing_context(self, context):
        if context is not None:
            if self.num_workers == 0:
                raise ValueError(
                    "multiprocessing_context can only be used with multi-process loading (num_workers > 0), but got "
                    f"num_workers={self.num_workers}"
                )
            import multiprocessing
            import multiprocessing.context

            if isinstance(context, str):
                methods = multiprocessing.get_all_start_methods()
                if context not in methods:
                    raise ValueError(
                        "multiprocessing_context option should specify a valid start method in "
                        f"{methods!r}, but got multiprocessing_context={context!r}"
                    )
                context = multiprocessing.get_context(context)
            if not isinstance(context, multiprocessing.context.BaseContext):
                raise TypeError(
                    "multiprocessing_context option should be a valid context object or a string specifying the "
                    f"start method, but got multiprocessing_context={context}"
                )
        self.__multiprocessing_context = context

    def __setattr__(self, attr, val):
        if self.__initialized and attr in (
            "batch_size",
            "batch_sampler",
            "sampler",
            "drop_last",
            "dataset",
            "persistent_workers",
        ):
            raise ValueError(f"{attr} attribute should not be set after {type(self).__name__} is initialized")
        super().__setattr__(attr, val)

    def _get_iterator(self):
        if self.num_workers == 0:
            return _SingleProcessDataLoaderIter(self)
        from flambeau.utils.data._utils.multiprocess import _MultiProcessingDataLoaderIter

        return _MultiProcessingDataLoaderIter(self)

    def __iter__(self):
        if self.persistent_workers and self.num_workers > 0:
            if self._iterator is None:
                self._iterator = self._get_iterator()
            else:
                self._iterator._reset(self)
            return self._iterator
        return self._get_iterator()

    @property
    def _auto_collation(self):
        return self.batch_sampler is not None

    @property
    def _index_sampler(self):
        return self.batch_sampler if self._auto_collation else self.sampler

    def __len__(self):
        if self._dataset_kind != _DatasetKind.Iterable:
            return len(self._index_sampler)
        length = self._IterableDataset_len_called = len(self.dataset)
        if self.batch_size is not None:
            whole, rest = divmod(length, self.batch_size)
            length = whole + bool(rest and not self.drop_last)
        return length

    def check_worker_number_rationality(self):
        """Warns when there are more workers than processors to run them on."""
        if not self.num_workers:
            return
        import os

        try:
            processors = len(os.sched_getaffinity(0))
        except AttributeError:
            processors = os.cpu_count()
        if processors is None or self.num_workers > processors:
            import warnings

            if processors is None:
                suggestion = "DataLoader is not able to compute a suggested max number of worker in current system."
            else:
                suggestion = (
                    f"Our suggested max number of worker in current system is {processors}, which is smaller than "
                    "what this DataLoader is going to create."
                )
            warnings.warn(
                f"This DataLoader will create {self.num_workers} worker processes in total. {suggestion} Please be "
                "aware that excessive worker creation might get DataLoader running slow or even freeze, lower the "
                "worker number to avoid potential slowness/freeze if necessary.",
                stacklevel=3,
            )


def _check_iterable(shuffle, sampler, batch_sampler):
    for name, value, allowed in (
        ("shuffle", shuffle, shuffle in (False, None)),
        ("sampler", sampler, sampler is None),
        ("batch_sampler", batch_sampler, batch_sampler is None),
    ):
        if not allowed:
            raise ValueError(
                f"DataLoader with IterableDataset: expected unspecified {name} option, but got {name}={value}"
            )


class _BaseDataLoaderIter:
    """One pass over a loader."""

    def __init__(self, loader):
        self._loader = loader
        self._dataset = loader.dataset
        self._dataset_kind = loader._dataset_kind
        self._auto_collation = loader._auto_collation
        self._drop_last = loader.drop_last
        self._index_sampler = loader._index_sampler
        self._num_workers = loader.num_workers
        self._timeout = loader.timeout
        self._collate_fn = loader.collate_fn
        self._sampler_iter = iter(self._index_sampler)
        self._base_seed = fl.empty((), dtype=fl.int64).random_(generator=loader.generator).item()
        self._persistent_workers = loader.persistent_workers
        self._num_yielded = 0
        self._pin_memory = _pins(loader)
        # the length that an iterable dataset has claimed, once somebody asked for it
        self._claimed = loader._IterableDataset_len_called

    def __iter__(self):
        return self

    def _reset(self, loader, first_iter=False):
        self._sampler_iter = iter(self._index_sampler)
        self._num_yielded = 0

    def _make_fetcher(self, dataset):
        kind = MapFetcher if self._dataset_kind == _DatasetKind.Map else IterableFetcher
        return kind(dataset, self._auto_collation, self._collate_fn, self._drop_last)

    def _next_data(self):
        raise NotImplementedError

    def __next__(self):
        data = self._next_data()
        self._num_yielded += 1
        if self._claimed is not None and self._num_yielded > self._claimed:
            self._warn_length()
        return data

    def _warn_length(self):
        import warnings

        message = (
            f"Length of IterableDataset {self._dataset} was reported to be {self._claimed}(when accessing "
            f"len(dataloader)), but {self._num_yielded} samples have been fetched. "
        )
        if self._num_workers > 1:
            message += (
                "For multiprocessing data-loading, this could be caused by not properly configuring the "
                "IterableDataset replica at each worker."
            )
        warnings.warn(message, stacklevel=3)

    def __len__(self):
        return len(self._index_sampler)


def _pins(loader):
    """Whether batches go to pinned memory, which only a machine with an accelerator has."""
    if not loader.pin_memory:
        return False
    if fl.cuda.is_available():
        return True
    import warnings

    warnings.warn(
        "'pin_memory' argument is set as true but no accelerator is found, then device pinned memory won't be used.",
        stacklevel=4,
    )
    return False


def _pin(data):
    """`data` with the tensors in it in pinned memory."""
    if isinstance(data, fl.Tensor):
        return data.pin_memory()
    if isinstance(data, dict):
        return type(data)((key, _pin(value)) for key, value in data.items())
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*map(_pin, data))
    if isinstance(data, (list, tuple)):
        return type(data)(map(_pin, data))
    return data.pin_memory() if hasattr(data, "pin_memory") else data


class _SingleProcessDataLoaderIter(_BaseDataLoaderIter):
    """Makes each batch when it is asked for."""

    def __init__(self, loader):
        super().__init__(loader)
        self._rows = self._consecutive_rows(loader)
        self._fetcher = None if self._rows is not None else self._make_fetcher(self._dataset)

    def _consecutive_rows(self, loader):
        """An iterator over the batches of a TensorDataset in order, which are stretches of its tensors."""
        batches, dataset = self._index_sampler, self._dataset
        if (
            type(batches) is not BatchSampler
            or type(batches.sampler) is not SequentialSampler
            or batches.sampler.data_source is not dataset
            or type(dataset) is not TensorDataset
            or self._collate_fn is not default_collate
        ):
            return None
        tensors = _tensors_of(dataset)
        if not tensors:
            return None
        return self._stretches(tensors, len(dataset), batches.batch_size, batches.drop_last)

    @staticmethod
    def _stretches(tensors, length, size, drop_last):
        copies = fl.contiguous_format
        whole = length - length % size
        for start in range(0, whole, size):
            yield [tensor.narrow(0, start, size).clone(memory_format=copies) for tensor in tensors]
        if whole < length and not drop_last:
            rest = length - whole
            yield [tensor.narrow(0, whole, rest).clone(memory_format=copies) for tensor in tensors]

    def _next_data(self):
        if self._rows is not None:
            data = next(self._rows)
        else:
            data = self._fetcher.fetch(next(self._sampler_iter))
        return _pin(data) if self._pin_memory else data


def __getattr__(name):
    if name == "_MultiProcessingDataLoaderIter":
        from flambeau.utils.data._utils.multiprocess import _MultiProcessingDataLoaderIter

        return _MultiProcessingDataLoaderIter
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
