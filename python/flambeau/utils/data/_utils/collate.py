"""Batches from lists of samples."""

import collections.abc
import copy
import re
import sys

import flambeau as fl

_MESSAGE = "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {}"
default_collate_err_msg_format = _MESSAGE
np_str_obj_array_pattern = re.compile("[SaUO]")  # NumPy's types that tensors cannot have


def default_convert(data):
    """`data` with the NumPy arrays in it, also within containers, as tensors."""
    if isinstance(data, fl.Tensor):
        return data
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(data, (numpy.ndarray, numpy.generic)):
        return data if data.dtype.kind in "SUOa" else fl.as_tensor(data)
    if isinstance(data, collections.abc.Mapping):
        return _like_mapping(data, {key: default_convert(value) for key, value in data.items()})
    if isinstance(data, tuple):
        items = [default_convert(item) for item in data]
        return type(data)(*items) if hasattr(data, "_fields") else items
    if isinstance(data, collections.abc.Sequence) and not isinstance(data, (str, bytes)):
        return _like_sequence(data, [default_convert(item) for item in data])
    return data


def _like_mapping(sample, values):
    """`values` as the kind of mapping that `sample` is, a dict if that isn't possible."""
    try:
        if isinstance(sample, collections.abc.MutableMapping):
            result = copy.copy(sample)
            result.update(values)
            return result
        return type(sample)(values)
    except TypeError:
        return values


def _like_sequence(sample, values):
    """`values` as the kind of sequence that `sample` is, a list if that isn't possible."""
    try:
        if isinstance(sample, collections.abc.MutableSequence):
            result = copy.copy(sample)
            for index, value in enumerate(values):
                result[index] = value
            return result
        return type(sample)(values)
    except TypeError:
        return values


def collate_tensor_fn(batch, *, collate_fn_map=None):
    """Tensors, stacked."""
    return fl.stack(batch, 0)


def collate_numpy_array_fn(batch, *, collate_fn_map=None):
    """Arrays, as tensors stacked."""
    if batch[0].dtype.kind in "SUO":
        raise TypeError(_MESSAGE.format(batch[0].dtype))
    return collate([fl.as_tensor(item) for item in batch], collate_fn_map=collate_fn_map)


def collate_numpy_scalar_fn(batch, *, collate_fn_map=None):
    """NumPy scalars, as one tensor of their dtype."""
    return fl.as_tensor(batch)


def collate_float_fn(batch, *, collate_fn_map=None):
    """Floats, as one float64 tensor."""
    return fl.tensor(batch, dtype=fl.float64)


def collate_int_fn(batch, *, collate_fn_map=None):
    """Integers and bools, as one tensor."""
    return fl.tensor(batch)


def collate_str_fn(batch, *, collate_fn_map=None):
    """Strings, left as they are."""
    return batch


# type, or tuple of types, of a sample -> function that makes a batch; users may add their own
default_collate_fn_map = {
    fl.Tensor: collate_tensor_fn,
    float: collate_float_fn,
    int: collate_int_fn,
    str: collate_str_fn,
    bytes: collate_str_fn,
}


def _register_numpy():
    """Adds NumPy's types, once something has imported NumPy."""
    numpy = sys.modules.get("numpy")
    if numpy is not None and numpy.ndarray not in default_collate_fn_map:
        default_collate_fn_map[numpy.ndarray] = collate_numpy_array_fn
        default_collate_fn_map[numpy.bool_, numpy.number, numpy.object_] = collate_numpy_scalar_fn


def collate(batch, *, collate_fn_map=None):
    """A batch made of samples: by `collate_fn_map` for the types in it, containers entry by entry."""
    first = batch[0]
    kind = type(first)
    if collate_fn_map is not None:
        if kind in collate_fn_map:
            return collate_fn_map[kind](batch, collate_fn_map=collate_fn_map)
        for known, function in collate_fn_map.items():
            if isinstance(first, known):
                return function(batch, collate_fn_map=collate_fn_map)
    if isinstance(first, collections.abc.Mapping):
        columns = {key: collate([s[key] for s in batch], collate_fn_map=collate_fn_map) for key in first}
        return _like_mapping(first, columns)
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return kind(*(collate(samples, collate_fn_map=collate_fn_map) for samples in zip(*batch)))
    if isinstance(first, collections.abc.Sequence):
        size = len(first)
        if any(len(sample) != size for sample in batch):
            raise RuntimeError("each element in list of batch should be of equal size")
        columns = [collate(samples, collate_fn_map=collate_fn_map) for samples in zip(*batch)]
        return columns if isinstance(first, tuple) else _like_sequence(first, columns)
    raise TypeError(_MESSAGE.format(kind))


def default_collate(batch):
    """A batch made of a list of samples.

    Tensors, arrays and numbers become tensors with a new first dimension, tuples become lists of batches, other
    containers keep their kind, strings are left in a list.
    """
    _register_numpy()
    return collate(batch, collate_fn_map=default_collate_fn_map)
