"""Exchanging the tensors of modules."""

import flambeau as torch

__all__ = ["swap_tensor"]

_ABSENT = object()


def swap_tensor(module, name, tensor, allow_missing=False):
    """Puts a tensor where a module has its parameter, buffer or attribute of this name, and gives what was there."""
    if not isinstance(module, torch.nn.Module):
        raise TypeError(f"{module} is not an instance of torch.nn.Module")
    if tensor is not None and tensor is not _ABSENT and not isinstance(tensor, torch.Tensor):
        raise TypeError(f"{tensor} is not an instance of torch.Tensor")
    if "." in name:
        raise KeyError('tensor name can\'t contain "."')
    if name == "":
        raise KeyError('tensor name can\'t be empty string ""')
    tables = [module._parameters, module._buffers]
    table = next((table for table in tables if name in table), None)
    if table is None:
        before = getattr(module, name, _ABSENT)
        if before is _ABSENT and not allow_missing:
            raise AttributeError(f"{module._get_name()} has no attribute `{name}`")
        if before is not _ABSENT and not isinstance(before, torch.Tensor):
            raise TypeError(f"attribute `{name}`: {before} is not an instance of torch.Tensor")
        if tensor is not _ABSENT:
            setattr(module, name, tensor)
        elif before is not _ABSENT:
            delattr(module, name)
        return before
    before = table[name]
    if tensor is _ABSENT:
        del table[name]
    else:
        table[name] = tensor
    return before
