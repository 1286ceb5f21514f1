"""Pooling."""

import flambeau as torch
from flambeau._C import _nn

from ..modules.utils import _list_with_default, _pair, _single, _triple


def _with_or_without(place, with_indices, without, doc):
    """A function that `return_indices`, by name or at `place`, sends to one of two: PyTorch's pooling functions are
    such, and show no parameters of their own."""

    def pool(*args, **kwargs):
        flag = args[place] if len(args) > place else kwargs.get("return_indices", False)
        return (with_indices if flag else without)(*args, **kwargs)

    pool.__name__ = pool.__qualname__ = with_indices.__name__.removesuffix("_with_indices")
    pool.__module__ = "flambeau.nn.functional"
    pool.__doc__ = doc
    return pool


def max_pool1d_with_indices(
    input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False
):
    """`max_pool1d` with positions."""
    return torch.max_pool1d_with_indices(
        input, kernel_size, () if stride is None else stride, padding, dilation, ceil_mode
    )


def _max_pool1d(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    return torch.max_pool1d(input, kernel_size, () if stride is None else stride, padding, dilation, ceil_mode)


max_pool1d = _with_or_without(
    6,
    max_pool1d_with_indices,
    _max_pool1d,
    """max_pool1d(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False)

    The maxima of windows over (N, C, L), optionally with their positions.""",
)


def max_pool2d_with_indices(
    input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False
):
    """`max_pool2d` with positions."""
    return _nn.max_pool2d_with_indices(
        input, kernel_size, () if stride is None else stride, padding, dilation, ceil_mode
    )


def _max_pool2d(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    return torch.max_pool2d(input, kernel_size, () if stride is None else stride, padding, dilation, ceil_mode)


max_pool2d = _with_or_without(
    6,
    max_pool2d_with_indices,
    _max_pool2d,
    """max_pool2d(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False)

    The maxima of windows over (N, C, H, W), optionally with their positions in a plane.""",
)


def max_pool3d_with_indices(
    input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False
):
    """`max_pool3d` with positions."""
    return _nn.max_pool3d_with_indices(
        input, kernel_size, () if stride is None else stride, padding, dilation, ceil_mode
    )


def _max_pool3d(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    return torch.max_pool3d(input, kernel_size, () if stride is None else stride, padding, dilation, ceil_mode)


max_pool3d = _with_or_without(
    6,
    max_pool3d_with_indices,
    _max_pool3d,
    """max_pool3d(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False)

    The maxima of windows over (N, C, D, H, W), optionally with their positions in a volume.""",
)


def adaptive_max_pool1d_with_indices(input, output_size, return_indices=False):
    """`adaptive_max_pool1d` with positions."""
    return torch.adaptive_max_pool1d(input, output_size)


def _adaptive_max_pool1d(input, output_size, return_indices=False):
    return adaptive_max_pool1d_with_indices(input, output_size)[0]


adaptive_max_pool1d = _with_or_without(
    2,
    adaptive_max_pool1d_with_indices,
    _adaptive_max_pool1d,
    """adaptive_max_pool1d(input, output_size, return_indices=False)

    The maxima of `output_size` windows that cover (N, C, L).""",
)


def adaptive_max_pool2d_with_indices(input, output_size, return_indices=False):
    """`adaptive_max_pool2d` with positions."""
    return _nn.adaptive_max_pool2d(input, _list_with_default(output_size, input.size()))


def _adaptive_max_pool2d(input, output_size, return_indices=False):
    return adaptive_max_pool2d_with_indices(input, output_size)[0]


adaptive_max_pool2d = _with_or_without(
    2,
    adaptive_max_pool2d_with_indices,
    _adaptive_max_pool2d,
    """adaptive_max_pool2d(input, output_size, return_indices=False)

    The maxima of `output_size` windows that cover (N, C, H, W); None keeps a dimension.""",
)


def adaptive_max_pool3d_with_indices(input, output_size, return_indices=False):
    """`adaptive_max_pool3d` with positions."""
    return _nn.adaptive_max_pool3d(input, _list_with_default(output_size, input.size()))


def _adaptive_max_pool3d(input, output_size, return_indices=False):
    return adaptive_max_pool3d_with_indices(input, output_size)[0]


adaptive_max_pool3d = _with_or_without(
    2,
    adaptive_max_pool3d_with_indices,
    _adaptive_max_pool3d,
    """adaptive_max_pool3d(input, output_size, return_indices=False)

    The maxima of `output_size` windows that cover (N, C, D, H, W); None keeps a dimension.""",
)


def adaptive_avg_pool2d(input, output_size):
    """The means of `output_size` windows that cover (N, C, H, W); None keeps a dimension."""
    return _nn.adaptive_avg_pool2d(input, _list_with_default(output_size, input.size()))


def adaptive_avg_pool3d(input, output_size):
    """The means of `output_size` windows that cover (N, C, D, H, W); None keeps a dimension."""
    return _nn.adaptive_avg_pool3d(input, _list_with_default(output_size, input.size()))


# Fractional pooling (Graham 2014)


def _fractional_pool(dims, input, kernel_size, output_size, output_ratio, samples):
    name = f"fractional_max_pool{dims}d"
    if output_size is None and output_ratio is None:
        raise ValueError(f"{name} requires specifying either an output_size or an output_ratio")
    if output_size is None:
        ratios = (_pair if dims == 2 else _triple)(output_ratio)
        if len(ratios) > dims:
            raise ValueError(f"{name} requires output_ratio to either be a single Int or tuple of Ints.")
        output_size = [int(length * ratio) for length, ratio in zip(input.shape[-dims:], ratios)]
    if samples is None:
        batch = 1 if input.dim() == dims + 1 else input.size(0)
        samples = torch.rand(batch, input.size(-dims - 1), dims, dtype=input.dtype, device=input.device)
    return getattr(_nn, name)(input, kernel_size, output_size, samples)


def fractional_max_pool2d_with_indices(
    input, kernel_size, output_size=None, output_ratio=None, return_indices=False, _random_samples=None
):
    """`fractional_max_pool2d` with positions."""
    return _fractional_pool(2, input, kernel_size, output_size, output_ratio, _random_samples)


def _fractional_max_pool2d(
    input, kernel_size, output_size=None, output_ratio=None, return_indices=False, _random_samples=None
):
    return _fractional_pool(2, input, kernel_size, output_size, output_ratio, _random_samples)[0]


fractional_max_pool2d = _with_or_without(
    4,
    fractional_max_pool2d_with_indices,
    _fractional_max_pool2d,
    """fractional_max_pool2d(input, kernel_size, output_size=None, output_ratio=None, return_indices=False)

    Maxima of windows of (N, C, H, W) at random steps, to reach `output_size` or a ratio of the input's.""",
)


def fractional_max_pool3d_with_indices(
    input, kernel_size, output_size=None, output_ratio=None, return_indices=False, _random_samples=None
):
    """`fractional_max_pool3d` with positions."""
    return _fractional_pool(3, input, kernel_size, output_size, output_ratio, _random_samples)


def _fractional_max_pool3d(
    input, kernel_size, output_size=None, output_ratio=None, return_indices=False, _random_samples=None
):
    return _fractional_pool(3, input, kernel_size, output_size, output_ratio, _random_samples)[0]


fractional_max_pool3d = _with_or_without(
    4,
    fractional_max_pool3d_with_indices,
    _fractional_max_pool3d,
    """fractional_max_pool3d(input, kernel_size, output_size=None, output_ratio=None, return_indices=False)

    Maxima of windows of (N, C, D, H, W) at random steps, to reach `output_size` or a ratio of the input's.""",
)


# Unpooling


def _unpool_output_size(input, kernel_size, stride, padding, output_size):
    """The spatial size to unpool to: `output_size` if it is possible, else the smallest one."""
    size = input.size()
    dims = len(kernel_size)
    default = [
        (size[place - dims] - 1) * stride[place] + kernel_size[place] - 2 * padding[place] for place in range(dims)
    ]
    if output_size is None:
        return default
    if len(output_size) == dims + 2:
        output_size = output_size[2:]
    if len(output_size) != dims:
        raise ValueError(
            f"output_size should be a sequence containing {dims} or {dims + 2} elements, but it has a length of "
            f"'{len(output_size)}'"
        )
    for place in range(dims):
        low, high = default[place] - stride[place], default[place] + stride[place]
        if not low < output_size[place] < high:
            raise ValueError(f'invalid output_size "{output_size}" (dim {place} must be between {low} and {high})')
    return output_size


def max_unpool1d(input, indices, kernel_size, stride=None, padding=0, output_size=None):
    """Puts pooled values back at the positions `max_pool1d` found them, zeros elsewhere."""
    kernel, padding = _single(kernel_size), _single(padding)
    stride = kernel if stride is None else _single(stride)
    output_size = [*_unpool_output_size(input, kernel, stride, padding, output_size), 1]
    return _nn.max_unpool2d(input.unsqueeze(-1), indices.unsqueeze(-1), output_size).squeeze(-1)


def max_unpool2d(input, indices, kernel_size, stride=None, padding=0, output_size=None):
    """Puts pooled values back at the positions `max_pool2d` found them, zeros elsewhere."""
    kernel, padding = _pair(kernel_size), _pair(padding)
    stride = kernel if stride is None else _pair(stride)
    output_size = _unpool_output_size(input, kernel, stride, padding, output_size)
    return _nn.max_unpool2d(input, indices, output_size)


def max_unpool3d(input, indices, kernel_size, stride=None, padding=0, output_size=None):
    """Puts pooled values back at the positions `max_pool3d` found them, zeros elsewhere."""
    kernel, padding = _triple(kernel_size), _triple(padding)
    stride = kernel if stride is None else _triple(stride)
    output_size = _unpool_output_size(input, kernel, stride, padding, output_size)
    return _nn.max_unpool3d(input, indices, output_size, stride, padding)


# Power-average pooling


def _lp_pool(average, count, input, norm_type, kernel_size, stride, ceil_mode):
    """(sum of x ** p) ** (1 / p) over windows of `count` values; a negative sum counts as zero."""
    power = input.pow(norm_type)
    if stride is None:
        mean = average(power, kernel_size, padding=0, ceil_mode=ceil_mode)
    else:
        mean = average(power, kernel_size, stride, 0, ceil_mode)
    return (torch.sign(mean) * torch.relu(torch.abs(mean))).mul(count).pow(1.0 / norm_type)


def lp_pool1d(input, norm_type, kernel_size, stride=None, ceil_mode=False):
    """The p-norms of windows over (N, C, L)."""
    return _lp_pool(torch.avg_pool1d, kernel_size, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(input, norm_type, kernel_size, stride=None, ceil_mode=False):
    """The p-norms of windows over (N, C, H, W)."""
    height, width = _pair(kernel_size)
    return _lp_pool(_nn.avg_pool2d, height * width, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(input, norm_type, kernel_size, stride=None, ceil_mode=False):
    """The p-norms of windows over (N, C, D, H, W)."""
    depth, height, width = _triple(kernel_size)
    return _lp_pool(_nn.avg_pool3d, depth * height * width, input, norm_type, kernel_size, stride, ceil_mode)
