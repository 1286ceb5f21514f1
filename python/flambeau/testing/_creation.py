"""``make_tensor``: random tensors within bounds."""

import flambeau as torch

__all__ = ["make_tensor"]


def make_tensor(
    *shape, dtype, device=None, low=None, high=None, requires_grad=False, noncontiguous=False, exclude_zero=False,
    memory_format=None,
):  # fmt: skip
    """A tensor of uniform numbers in ``[low, high)``: by default from -9 to 9, integers from 0 if unsigned.

    With `exclude_zero` zeros become the smallest positive number; `noncontiguous` gives a strided view.
    """
    if len(shape) == 1 and isinstance(shape[0], (tuple, list)):
        shape = shape[0]
    shape = tuple(shape)
    if noncontiguous and memory_format is not None:
        raise ValueError("The parameters `noncontiguous` and `memory_format` are mutually exclusive")
    if requires_grad and not (dtype.is_floating_point or dtype.is_complex):
        raise ValueError(f"`requires_grad=True` is not supported for boolean and integral dtypes, but got {dtype=}")
    if dtype == torch.bool:
        low, high = 0 if low is None else low, 2 if high is None else high
    elif not (dtype.is_floating_point or dtype.is_complex):
        low = (-9 if torch.iinfo(dtype).min else 0) if low is None else low
        high = 10 if high is None else high
    else:
        low, high = -9 if low is None else low, 9 if high is None else high
    if low >= high:
        raise ValueError(f"`low` must be less than `high`, but got {low} >= {high}")
    size = shape[:-1] + (2 * shape[-1],) if noncontiguous and shape else shape
    if dtype == torch.bool or not (dtype.is_floating_point or dtype.is_complex):
        out = torch.randint(int(low), int(high), size).to(device=device, dtype=dtype)
    else:
        out = torch.empty(size, dtype=dtype, device=device)
        (torch.view_as_real(out) if dtype.is_complex else out).uniform_(low, high)
    if noncontiguous and shape:
        out = out[..., 1::2]
    elif memory_format is not None:
        out = out.contiguous(memory_format=memory_format)
    if exclude_zero:
        real = dtype.is_floating_point or dtype.is_complex
        out.masked_fill_(out == 0, torch.finfo(dtype).tiny if real else 1)
    return out.requires_grad_(requires_grad)
