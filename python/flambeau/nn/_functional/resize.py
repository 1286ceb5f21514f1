"""Padding, resizing, sampling on grids, and sliding blocks."""

import warnings

import flambeau as torch
from flambeau._C import _nn

from ..modules.utils import _pair

# Padding


def pad(input, pad, mode="constant", value=None):
    """Pads the last dimensions by (before, after) pairs, the last dimension's pair first.

    `mode` is constant (filled with `value`), reflect, replicate or circular; negative amounts crop.
    """
    return _nn.pad(input, pad, mode, value)


# Resizing

_ALIGNABLE = ("linear", "bilinear", "bicubic", "trilinear")
_DIMENSIONS = {"linear": 3, "bilinear": 4, "trilinear": 5}


def interpolate(
    input,
    size=None,
    scale_factor=None,
    mode="nearest",
    align_corners=None,
    recompute_scale_factor=None,
    antialias=False,
):
    """Resizes (N, C, ...) to spatial `size` or by `scale_factor`.

    `mode` is nearest, nearest-exact, linear (3-D), bilinear (4-D), bicubic (4-D), trilinear (5-D), area, or lanczos
    (4-D with `antialias`). `align_corners` keeps the corner values.
    """
    if mode not in _ALIGNABLE:
        if align_corners is not None:
            raise ValueError(
                "align_corners option can only be set with the interpolating modes: "
                "linear | bilinear | bicubic | trilinear"
            )
    elif align_corners is None:
        align_corners = False
    output_size, scales = _target(input, size, scale_factor)
    if recompute_scale_factor is not None and recompute_scale_factor and size is not None:
        raise ValueError("recompute_scale_factor is not meaningful with an explicit size.")
    if scales is not None and (recompute_scale_factor or mode == "area"):
        output_size = [int(float(length) * scale) for length, scale in zip(input.shape[2:], scales)]
        scales = None
    ndim = input.dim()
    if antialias and not (mode in ("bilinear", "bicubic", "lanczos") and ndim == 4):
        raise ValueError(
            "Anti-alias option is restricted to bilinear, bicubic, and lanczos modes and requires a 4-D tensor as input"
        )
    if mode == "lanczos" and not antialias:
        raise ValueError("Lanczos mode requires antialias=True")

    if 3 <= ndim <= 5:
        if mode in ("nearest", "nearest-exact"):
            stem = "upsample_nearest" if mode == "nearest" else "_upsample_nearest_exact"
            return getattr(_nn, f"{stem}{ndim - 2}d")(input, output_size, scales)
        if mode == "area":
            average = (torch.adaptive_avg_pool1d, _nn.adaptive_avg_pool2d, _nn.adaptive_avg_pool3d)[ndim - 3]
            return average(input, output_size)
        if mode == "lanczos" and ndim == 4:
            return _nn._upsample_lanczos2d_aa(input, output_size, False, scales)
        if mode == "bicubic" and ndim == 4:
            resize = _nn._upsample_bicubic2d_aa if antialias else _nn.upsample_bicubic2d
            return resize(input, output_size, align_corners, scales)
        if mode in _DIMENSIONS:
            if ndim != _DIMENSIONS[mode]:
                raise NotImplementedError(f"Got {ndim}D input, but {mode} mode needs {_DIMENSIONS[mode]}D input")
            stem = "_upsample_bilinear2d_aa" if antialias else f"upsample_{mode}{ndim - 2}d"
            return getattr(_nn, stem)(input, output_size, align_corners, scales)
    raise NotImplementedError(
        f"Input Error: Only 3D, 4D and 5D input Tensors supported (got {ndim}D) for the modes: nearest | linear | "
        f"bilinear | bicubic | trilinear | lanczos | area | nearest-exact (got {mode})"
    )


def _target(input, size, scale_factor):
    """(sizes, None) or (None, scales), one for each spatial dimension."""
    dims = input.dim() - 2
    if size is not None and scale_factor is not None:
        raise ValueError("only one of size or scale_factor should be defined")
    given = scale_factor if size is None else size
    if given is None:
        raise ValueError("either size or scale_factor should be defined")
    if not isinstance(given, (list, tuple)):
        given = [given] * dims
    elif len(given) != dims:
        if size is None:
            name, said, letter = "scale_factor", f"scale_factor of shape {given}", "s"
        else:
            name, said, letter = "output", f"output size of {given}", "o"
        raise ValueError(
            f"Input and {name} must have the same number of spatial dimensions, but got input with spatial dimensions "
            f"of {list(input.shape[2:])} and {said}. Please provide input tensor in (N, C, d1, d2, ...,dK) format and "
            f"{said.partition(' of')[0]} in ({letter}1, {letter}2, ...,{letter}K) format."
        )
    elif size is not None and not all(hasattr(length, "__index__") for length in size):
        raise TypeError(
            "expected size to be one of int or Tuple[int] or Tuple[int, int] or Tuple[int, int, int], but got size "
            f"with types {[type(length) for length in size]}"
        )
    return (None, list(given)) if size is None else (list(given), None)


def _warn_upsample(name):
    warnings.warn(f"`nn.functional.{name}` is deprecated. Use `nn.functional.interpolate` instead.", stacklevel=3)


def upsample(input, size=None, scale_factor=None, mode="nearest", align_corners=None):
    """The old name of `interpolate`."""
    _warn_upsample("upsample")
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input, size=None, scale_factor=None):
    """`interpolate` with mode "nearest"."""
    _warn_upsample("upsample_nearest")
    return interpolate(input, size, scale_factor, mode="nearest")


def upsample_bilinear(input, size=None, scale_factor=None):
    """`interpolate` with mode "bilinear" and aligned corners."""
    _warn_upsample("upsample_bilinear")
    return interpolate(input, size, scale_factor, mode="bilinear", align_corners=True)


# Sampling on grids

_GRID_MODES = {"bilinear": 0, "nearest": 1, "bicubic": 2}
_GRID_PADDINGS = {"zeros": 0, "border": 1, "reflection": 2}


def _warn_align_corners():
    warnings.warn(
        "Default grid_sample and affine_grid behavior has changed to align_corners=False since 1.3.0. Please specify "
        "align_corners=True if the old behavior is desired. See the documentation of grid_sample for details.",
        stacklevel=3,
    )


def grid_sample(input, grid, mode="bilinear", padding_mode="zeros", align_corners=None):
    """Samples (N, C, ...) at the positions `grid` (N, ..., 2 or 3), whose range is [-1, 1]."""
    if mode not in _GRID_MODES:
        raise ValueError(
            f"nn.functional.grid_sample(): expected mode to be 'bilinear', 'nearest' or 'bicubic', but got: '{mode}'"
        )
    if padding_mode not in _GRID_PADDINGS:
        raise ValueError(
            "nn.functional.grid_sample(): expected padding_mode to be 'zeros', 'border', or 'reflection', but got: "
            f"'{padding_mode}'"
        )
    if align_corners is None:
        _warn_align_corners()
        align_corners = False
    return torch.grid_sampler(input, grid, _GRID_MODES[mode], _GRID_PADDINGS[padding_mode], align_corners)


def affine_grid(theta, size, align_corners=None):
    """The grid for `grid_sample` of affine maps `theta` (N, 2, 3) or (N, 3, 4), for an output of `size`."""
    if align_corners is None:
        _warn_align_corners()
        align_corners = False
    if not theta.is_floating_point():
        raise ValueError(f"Expected theta to have floating point type, but got {theta.dtype}")
    if len(size) not in (4, 5):
        raise NotImplementedError(
            "affine_grid only supports 4D and 5D sizes, for 2D and 3D affine transforms, respectively. "
            f"Got size {size}."
        )
    dims = len(size) - 2
    if theta.dim() != 3 or theta.shape[-2:] != (dims, dims + 1):
        raise ValueError(
            f"Expected a batch of {dims}D affine matrices of shape Nx{dims}x{dims + 1} for size {size}. "
            f"Got {theta.shape}."
        )
    spatial = size[-dims:]
    if align_corners and min(spatial) == 1:
        warnings.warn(
            "Since version 1.3.0, affine_grid behavior has changed for unit-size grids when align_corners=True. This is "
            "not an intended use case of affine_grid. See the documentation of affine_grid for details.",
            stacklevel=2,
        )
    elif min(size) <= 0:
        raise ValueError(f"Expected non-zero, positive output size. Got {size}")
    return torch.affine_grid_generator(theta, size, align_corners)


# Sliding blocks


def unfold(input, kernel_size, dilation=1, padding=0, stride=1):
    """Sliding blocks of (N, C, H, W) as columns (N, C * kernel, blocks)."""
    return _nn.im2col(input, _pair(kernel_size), _pair(dilation), _pair(padding), _pair(stride))


def fold(input, output_size, kernel_size, dilation=1, padding=0, stride=1):
    """Adds up columns of sliding blocks (N, C * kernel, blocks) where they overlap in (N, C, *output_size)."""
    return _nn.col2im(input, _pair(output_size), _pair(kernel_size), _pair(dilation), _pair(padding), _pair(stride))
