"""Datasets, samplers and the loader that makes batches of them.

Modules load when a name is first used.
"""

import importlib

_MODULES = {
    "dataloader": "DataLoader default_collate default_convert get_worker_info _DatasetKind",
    "dataset": "ChainDataset ConcatDataset Dataset IterableDataset StackDataset Subset TensorDataset random_split",
    "distributed": "DistributedSampler",
    "sampler": "BatchSampler RandomSampler Sampler SequentialSampler SubsetRandomSampler WeightedRandomSampler",
    "_utils": "",
}
_HOME = {name: module for module, names in _MODULES.items() for name in names.split()}

__all__ = sorted(name for name in _HOME if not name.startswith("_"))


def __getattr__(name):
    if name in _HOME:
        value = getattr(importlib.import_module(f"{__package__}.{_HOME[name]}"), name)
        globals()[name] = value
        return value
    if name in _MODULES:
        return importlib.import_module(f"{__package__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *_HOME, *_MODULES})


from flambeau._lazy import complete as _complete  # noqa: E402

_complete(__name__)
