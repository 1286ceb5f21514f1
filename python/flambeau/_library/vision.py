"""The operators that torchvision's compiled library defines, written with operators that are here.

That library is linked to PyTorch's own and cannot be read into a process without it; `torch.ops.load_library` takes
these for it. Gradients are those of the compositions; those that torchvision registers itself ask for the operators
named `_…_backward`, which differentiate the compositions. Quantized operators and rotated boxes are declared only.
"""

import itertools

import numpy as np

import flambeau as torch

from .definitions import OPERATORS, Definition

_POOL = "Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, SymInt pooled_width"
_POOLED = "float spatial_scale, SymInt pooled_height, SymInt pooled_width"
_SIZES = "SymInt batch_size, SymInt channels, SymInt height, SymInt width"
_DEFORM = """Tensor input, Tensor weight, Tensor offset, Tensor mask, Tensor bias, SymInt stride_h, SymInt stride_w,
    SymInt pad_h, SymInt pad_w, SymInt dilation_h, SymInt dilation_w, SymInt groups, SymInt offset_groups, bool use_mask"""
SCHEMAS = {
    "_cuda_version": "() -> int",
    "box_iou_rotated": "(Tensor boxes1, Tensor boxes2) -> Tensor",
    "nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "roi_align": f"({_POOL}, int sampling_ratio, bool aligned) -> Tensor",
    "_roi_align_backward": f"(Tensor grad, Tensor rois, {_POOLED}, {_SIZES}, int sampling_ratio, bool aligned) -> Tensor",
    "qroi_align": "(Tensor input, Tensor rois, float input_scale, int input_zero_point, float rois_scale, "
    f"int rois_zero_point, {_POOLED}, int sampling_ratio, bool aligned) -> Tensor",
    "roi_pool": f"({_POOL}) -> (Tensor, Tensor)",
    "_roi_pool_backward": f"(Tensor grad, Tensor rois, Tensor argmax, {_POOLED}, {_SIZES}) -> Tensor",
    "ps_roi_align": f"({_POOL}, int sampling_ratio) -> (Tensor, Tensor)",
    "_ps_roi_align_backward": "(Tensor grad, Tensor rois, Tensor channel_mapping, "
    f"{_POOLED}, int sampling_ratio, {_SIZES}) -> Tensor",
    "ps_roi_pool": f"({_POOL}) -> (Tensor, Tensor)",
    "_ps_roi_pool_backward": f"(Tensor grad, Tensor rois, Tensor channel_mapping, {_POOLED}, {_SIZES}) -> Tensor",
    "deform_conv2d": f"({_DEFORM}) -> Tensor",
    "_deform_conv2d_backward": f"(Tensor grad, {_DEFORM}) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
}
_ROWS = 1 << 22  # elements that are gathered at a time


def define():
    """Defines the operators, once."""
    if "torchvision::nms" in OPERATORS:
        return
    for name, schema in SCHEMAS.items():
        definition = Definition(f"torchvision::{name}", " ".join(schema.split()))
        if name in _KERNELS:
            definition.implement("cpu", _KERNELS[name])


def _cuda_version():
    """-1: without CUDA."""
    return -1


def nms(dets, scores, iou_threshold):
    """The boxes that remain, best first, when each takes away those after it that overlap it by more than a share."""
    torch._check(dets.dim() == 2, lambda: f"boxes should be a 2d tensor, got {dets.dim()}D")
    torch._check(dets.size(1) == 4, lambda: f"boxes should have 4 elements in dimension 1, got {dets.size(1)}")
    torch._check(scores.dim() == 1, lambda: f"scores should be a 1d tensor, got {scores.dim()}D")
    torch._check(
        dets.size(0) == scores.size(0),
        lambda: (
            "boxes and scores should have same number of elements in dimension 0, "
            f"got {dets.size(0)} and {scores.size(0)}"
        ),
    )
    order = torch.sort(scores.detach(), descending=True, stable=True)[1]
    x1, y1, x2, y2 = dets.detach()[order].contiguous().numpy().T
    areas = (x2 - x1) * (y2 - y1)
    alive, kept = np.ones(len(areas), bool), []
    for i in range(len(areas)):
        if not alive[i]:
            continue
        kept.append(i)
        rest = i + 1 + np.flatnonzero(alive[i + 1 :])
        width = np.maximum(np.minimum(x2[i], x2[rest]) - np.maximum(x1[i], x1[rest]), 0)
        height = np.maximum(np.minimum(y2[i], y2[rest]) - np.maximum(y1[i], y1[rest]), 0)
        shared = width * height
        with np.errstate(divide="ignore", invalid="ignore"):
            alive[rest[shared / (areas[i] + areas[rest] - shared) > iou_threshold]] = False
    return order[torch.tensor(kept, dtype=torch.int64)]


def _corners(place, size):
    """The two places that a coordinate lies between, and the weight of the second; with what lies outside: none."""
    outside = (place < -1) | (place > size)
    place = place.clamp(min=0)
    low = place.floor().clamp(max=size - 1)
    high = (low + 1).clamp(max=size - 1)
    share = torch.where(low >= size - 1, torch.zeros_like(place), place - low)
    return low.long(), high.long(), share, ~outside


def _check_boxes(input, rois):
    torch._check(rois.dim() == 2 and rois.size(1) == 5, lambda: "rois must have shape as Tensor[K, 5]")
    torch._check(input.dtype == rois.dtype, lambda: "input should have the same type as rois")
    batch = rois[:, 0]
    inside = rois.size(0) == 0 or bool(((batch >= 0) & (batch < input.size(0))).all())
    torch._check(inside, lambda: "rois batch index must be in [0, batch_size)")


def _grids(lengths, bins, ratio):
    """Samples in a bin along one side of each box."""
    return torch.full_like(lengths, ratio) if ratio > 0 else (lengths / bins).ceil()


def _averages(input, rois, starts, sides, bins, grid):
    """Means of bilinear samples, (K, channels, *bins), of boxes that have the same number of samples in a bin."""
    n, channels, *sizes = input.shape
    low, high, share, valid = [], [], [], []
    for start, side, count, samples, size in zip(starts, sides, bins, grid, sizes):
        step = side / count
        steps = torch.arange(count, dtype=input.dtype).unsqueeze(1)
        parts = torch.arange(samples, dtype=input.dtype) + 0.5
        place = start[:, None, None] + steps * step[:, None, None] + parts * step[:, None, None] / samples
        for kept, found in zip((low, high, share, valid), _corners(place.flatten(1), size)):
            kept.append(found)
    base = (rois[:, 0].long() * (sizes[0] * sizes[1]))[:, None, None]
    rows = input.permute(0, 2, 3, 1).reshape(-1, channels)
    total = 0
    inside = (valid[0].unsqueeze(2) & valid[1].unsqueeze(1)).to(input.dtype)
    for y, weight_y in ((low[0], 1 - share[0]), (high[0], share[0])):
        for x, weight_x in ((low[1], 1 - share[1]), (high[1], share[1])):
            index = base + (y.unsqueeze(2) * sizes[1] + x.unsqueeze(1))
            weight = weight_y.unsqueeze(2) * weight_x.unsqueeze(1) * inside
            total = total + rows[index.flatten()] * weight.flatten().unsqueeze(1)
    total = total.view(len(rois), bins[0], grid[0], bins[1], grid[1], channels)
    return total.sum((2, 4)).permute(0, 3, 1, 2) / (grid[0] * grid[1])


def roi_align(input, rois, spatial_scale, pooled_height, pooled_width, sampling_ratio, aligned):
    """Means of bilinear samples in the bins of boxes (batch, x1, y1, x2, y2)."""
    _check_boxes(input, rois)
    bins = (pooled_height, pooled_width)
    boxes = rois[:, 1:].detach() * spatial_scale - (0.5 if aligned else 0.0)
    starts, ends = (boxes[:, 1], boxes[:, 0]), (boxes[:, 3], boxes[:, 2])
    sides = [end - start for start, end in zip(starts, ends)]
    if not aligned:
        sides = [side.clamp(min=1.0) for side in sides]
    grids = torch.stack([_grids(side, count, sampling_ratio) for side, count in zip(sides, bins)], 1).long()
    found = input.new_zeros(len(rois), input.size(1), *bins)
    groups = {}
    for k, grid in enumerate(grids.tolist()):
        groups.setdefault(tuple(grid), []).append(k)
    for grid, members in groups.items():
        if min(grid) < 1:  # boxes without an area have no samples
            continue
        several = max(1, _ROWS // max(1, input.size(1) * bins[0] * bins[1] * grid[0] * grid[1]))
        for first in range(0, len(members), several):
            part = torch.tensor(members[first : first + several])
            boxes = [[line[part] for line in lines] for lines in (starts, sides)]
            found = found.index_copy(0, part, _averages(input, rois[part].detach(), *boxes, bins, grid))
    return found


def _windows(rois, spatial_scale, bins, sizes, exclusive, edge=0):
    """For each box the ranges of rows and columns of its bins, of coordinates that are rounded; `edge` are left out."""
    dtype = rois.dtype
    scaled = rois[:, 1:].detach().double() if dtype == torch.float64 else rois[:, 1:].detach().float()
    scaled = scaled * spatial_scale
    whole = (scaled.abs() + 0.5).floor().copysign(scaled).tolist()  # halves go away from zero
    number = np.float64 if dtype == torch.float64 else np.float32
    for batch, box in zip(rois[:, 0].long().tolist(), whole):
        ranges = []
        for start, end, count, size in ((box[1], box[3], bins[0], sizes[0]), (box[0], box[2], bins[1], sizes[1])):
            step = number(max(end - start + (0 if exclusive else 1), 1)) / number(count)
            edges = [(int(np.floor(i * step) + start), int(np.ceil((i + 1) * step) + start)) for i in range(count)]
            size -= edge
            ranges.append([(min(max(a, 0), size), min(max(b, 0), size)) for a, b in edges])
        yield batch, *ranges


def roi_pool(input, rois, spatial_scale, pooled_height, pooled_width):
    """Maxima in the bins of boxes, and their places; 0 and -1 in bins that are empty."""
    _check_boxes(input, rois)
    channels, height, width = input.shape[1:]
    values, places = [], []
    for batch, rows, columns in _windows(rois, spatial_scale, (pooled_height, pooled_width), (height, width), False):
        for (top, bottom), (left, right) in itertools.product(rows, columns):
            if bottom <= top or right <= left:
                values.append(input.new_zeros(channels))
                places.append(torch.full((channels,), -1))
                continue
            value, place = input[batch, :, top:bottom, left:right].flatten(1).max(1)
            values.append(value)
            places.append((place // (right - left) + top) * width + place % (right - left) + left)
    shape = (len(rois), pooled_height, pooled_width, channels)
    if not values:
        return input.new_zeros(0, channels, *shape[1:3]), torch.zeros((0, channels, *shape[1:3]), dtype=torch.int32)
    values, places = (torch.stack(items).view(shape).permute(0, 3, 1, 2).contiguous() for items in (values, places))
    return values, places.int()


def _mapping(rois, channels, height, width):
    """The channel that each element of a position-sensitive pooling comes from."""
    torch._check(
        channels % (height * width) == 0,
        lambda: "input channels must be a multiple of pooling height * pooling width",
    )
    mapping = torch.arange(channels, dtype=torch.int32).view(channels // (height * width), height, width)
    return mapping.expand(len(rois), -1, -1, -1).contiguous()


def ps_roi_align(input, rois, spatial_scale, pooled_height, pooled_width, sampling_ratio):
    """`roi_align` in which each bin has channels of its own; the channels are given too."""
    _check_boxes(input, rois)
    mapping = _mapping(rois, input.size(1), pooled_height, pooled_width)
    size = (len(rois), -1, pooled_height, pooled_width, pooled_height, pooled_width)
    pooled = roi_align(input, rois, spatial_scale, pooled_height, pooled_width, sampling_ratio, True).view(size)
    return pooled.diagonal(dim1=2, dim2=4).diagonal(dim1=2, dim2=3).contiguous(), mapping


def ps_roi_pool(input, rois, spatial_scale, pooled_height, pooled_width):
    """Means in the bins of boxes, of which each has channels of its own; the channels are given too."""
    return _ps_roi_pool(input, rois, spatial_scale, pooled_height, pooled_width, 1)


def _ps_roi_pool(input, rois, spatial_scale, pooled_height, pooled_width, edge):
    """The pooling, without the last row and column as torchvision has it; its gradient is that of the pooling with them."""
    _check_boxes(input, rois)
    height, width = input.shape[2:]
    mapping = _mapping(rois, input.size(1), pooled_height, pooled_width)
    values = []
    for batch, rows, columns in _windows(
        rois, spatial_scale, (pooled_height, pooled_width), (height, width), True, edge
    ):
        own = input[batch].view(-1, pooled_height, pooled_width, height, width)
        for (p, (top, bottom)), (q, (left, right)) in itertools.product(enumerate(rows), enumerate(columns)):
            empty = bottom <= top or right <= left
            window = own[:, p, q, top:bottom, left:right]
            values.append(own.new_zeros(len(own)) if empty else window.mean((1, 2)))
    if not values:
        return input.new_zeros(mapping.shape), mapping
    pooled = torch.stack(values).view(len(rois), pooled_height, pooled_width, -1)
    return pooled.permute(0, 3, 1, 2).contiguous(), mapping


def deform_conv2d(
    input, weight, offset, mask, bias, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, groups, offset_groups, use_mask
):  # fmt: skip
    """A convolution whose samples are moved by offsets (y, x), and weighed by a mask if asked."""
    n, channels, height, width = input.shape
    kernel, out = weight.shape[2:], offset.shape[2:]
    torch._check(
        offset.size(1) == offset_groups * 2 * kernel[0] * kernel[1],
        lambda: (
            f"offset.shape[1] is not valid: got: {offset.size(1)} expected: {offset_groups * 2 * kernel[0] * kernel[1]}"
        ),
    )
    torch._check(
        not use_mask or mask.size(1) == offset_groups * kernel[0] * kernel[1],
        lambda: f"mask.shape[1] is not valid: got: {mask.size(1)} expected: {offset_groups * kernel[0] * kernel[1]}",
    )
    steps = dict(dtype=input.dtype)
    moved = offset.view(n, offset_groups, *kernel, 2, *out)
    y = torch.arange(out[0], **steps)[:, None] * stride_h - pad_h
    y = y + torch.arange(kernel[0], **steps)[:, None, None, None] * dilation_h + moved[:, :, :, :, 0]
    x = torch.arange(out[1], **steps) * stride_w - pad_w
    x = x + torch.arange(kernel[1], **steps)[:, None, None] * dilation_w + moved[:, :, :, :, 1]
    top, left = y.detach().floor(), x.detach().floor()
    data = input.view(n, offset_groups, channels // offset_groups, 1, height * width)
    total = 0
    for down, right in itertools.product((0, 1), (0, 1)):
        row, column = top + down, left + right
        weigh = (y - top if down else 1 - (y - top)) * (x - left if right else 1 - (x - left))
        seen = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        place = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
        place = place.long().view(n, offset_groups, 1, 1, -1).expand(-1, -1, data.size(2), -1, -1)
        weigh = torch.where(seen, weigh, torch.zeros_like(weigh)).view(n, offset_groups, 1, -1)
        total = total + data.gather(4, place).squeeze(3) * weigh
    if use_mask:
        total = total * mask.view(n, offset_groups, 1, -1)
    columns = total.view(n, groups, channels // groups * kernel[0] * kernel[1], out[0] * out[1])
    found = weight.view(1, groups, weight.size(0) // groups, -1) @ columns
    return found.view(n, weight.size(0), *out) + bias.view(1, -1, 1, 1)


def _roi_align_backward(
    grad, rois, spatial_scale, pooled_height, pooled_width, batch_size, channels, height, width, sampling_ratio, aligned
):
    more = (spatial_scale, pooled_height, pooled_width, sampling_ratio, aligned)
    return _of_linear(lambda x: roi_align(x, rois, *more), grad, (batch_size, channels, height, width))


def _ps_roi_align_backward(
    grad, rois, channel_mapping, spatial_scale, pooled_height, pooled_width, sampling_ratio, batch_size, channels, height, width
):  # fmt: skip
    more = (spatial_scale, pooled_height, pooled_width, sampling_ratio)
    return _of_linear(lambda x: ps_roi_align(x, rois, *more)[0], grad, (batch_size, channels, height, width))


def _ps_roi_pool_backward(
    grad, rois, channel_mapping, spatial_scale, pooled_height, pooled_width, batch_size, channels, height, width
):
    more = (spatial_scale, pooled_height, pooled_width, 0)
    return _of_linear(lambda x: _ps_roi_pool(x, rois, *more)[0], grad, (batch_size, channels, height, width))


def _roi_pool_backward(
    grad, rois, argmax, spatial_scale, pooled_height, pooled_width, batch_size, channels, height, width
):
    found = grad.new_zeros(batch_size * channels * height * width)
    line = rois[:, 0].long()[:, None] * channels + torch.arange(channels)
    place = line[:, :, None, None] * (height * width) + argmax
    chosen = argmax >= 0
    found.index_add_(0, place[chosen], grad[chosen])
    return found.view(batch_size, channels, height, width)


def _of_linear(function, grad, size):
    with torch.enable_grad():
        x = grad.new_zeros(size).requires_grad_()
        found = function(x)
        # Without boxes nothing depends on the input.
        return torch.autograd.grad(found, x, grad.detach())[0] if found.requires_grad else x.detach()


def _deform_conv2d_backward(grad, *arguments):
    with torch.enable_grad():
        given = [value.detach().requires_grad_() for value in arguments[:5]]
        found = torch.autograd.grad(deform_conv2d(*given, *arguments[5:]), given, grad.detach(), allow_unused=True)
    return tuple(torch.zeros_like(value) if one is None else one for value, one in zip(given, found))


_KERNELS = {
    function.__name__: function
    for function in (
        _cuda_version, nms, roi_align, _roi_align_backward, roi_pool, _roi_pool_backward, ps_roi_align, _ps_roi_align_backward,
        ps_roi_pool, _ps_roi_pool_backward, deform_conv2d, _deform_conv2d_backward,
    )
}  # fmt: skip
