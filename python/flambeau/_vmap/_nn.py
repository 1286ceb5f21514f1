"""Batching rules of layers: convolutions, pooling, resizing, normalisations and losses."""

import flambeau as torch

from ._batched import Batched
from ._matrix import shared
from ._operators import Unbatchable, bound, full_value
from ._pointwise import align, aligned

Tensor = torch.Tensor


def fold(value):
    """The hidden dimension and the first that the user sees, as one."""
    return value.reshape(value.shape[0] * value.shape[1], *value.shape[2:])


def unfold(result, level):
    """The reverse of `fold`, for all tensors of a result."""
    if isinstance(result, Tensor):
        return result.reshape(level.size, result.shape[0] // level.size, *result.shape[1:])
    return type(result)([unfold(item, level) for item in result])


# Operators on a batch of samples with so many dimensions; one sample alone, too.
_LAYERS = {
    2: """adaptive_avg_pool1d adaptive_max_pool1d avg_pool1d max_pool1d max_pool1d_with_indices reflection_pad1d
        replication_pad1d col2im""",
    3: """adaptive_avg_pool2d adaptive_max_pool2d avg_pool2d max_pool2d max_pool2d_with_indices reflection_pad2d
        replication_pad2d im2col""",
    4: """adaptive_avg_pool3d adaptive_max_pool3d avg_pool3d max_pool3d max_pool3d_with_indices reflection_pad3d
        replication_pad3d""",
}
# The same without a form for one sample.
_BATCHES = """upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_linear1d upsample_bilinear2d
    upsample_trilinear3d upsample_bicubic2d _upsample_bicubic2d_aa _upsample_bilinear2d_aa _upsample_lanczos2d_aa
    _upsample_nearest_exact1d _upsample_nearest_exact2d _upsample_nearest_exact3d channel_shuffle grid_sampler
    grid_sampler_2d grid_sampler_3d affine_grid_generator max_unpool2d max_unpool3d"""


def _layer(rank):
    def run(call):
        first = next(iter(call.given))
        call.only(first)
        x = call[first]
        if x.ndim == rank:
            return call.run(**{first: x.value})
        if x.ndim != rank + 1 or not x.numel():
            raise Unbatchable
        return unfold(call.run(**{first: fold(x.value)}), call.level)

    return run


for _rank, _names in _LAYERS.items():
    bound(*_names.split())(_layer(_rank))


@bound(*_BATCHES.split())
def batches(call):
    """The hidden dimension and the batch as one."""
    names = [name for name, value in call.given.items() if isinstance(value, Tensor)]
    if any(call[name].ndim < 3 or not call[name].numel() for name in names):
        raise Unbatchable
    changes = {name: fold(call.value(name)) for name in names}
    if call.op.name == "affine_grid_generator":
        size = list(call["size"])
        if size[0] != call["theta"].shape[0]:
            raise Unbatchable
        changes["size"] = [size[0] * call.level.size, *size[1:]]
    return unfold(call.run(**changes), call.level)


@bound("pixel_shuffle", "pixel_unshuffle")
def shuffle(call):
    """On the last three dimensions."""
    if call["self"].ndim < 3:
        raise Unbatchable
    return call.run(self=call["self"].value)


@bound("constant_pad_nd", "pad")
def pad(call):
    """Padding is counted from the last dimension."""
    x, padding = call["self"], list(call["pad"])
    if len(padding) % 2 or len(padding) // 2 > x.ndim:
        raise Unbatchable
    if call.has("mode") and call["mode"] != "constant":
        rank = len(padding) // 2 + 1
        if x.ndim == rank:
            return call.run(self=x.value)
        if x.ndim != rank + 1:
            raise Unbatchable
        return unfold(call.run(self=fold(x.value)), call.level)
    return call.run(self=x.value)


# Convolutions


@bound("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def convolution(call):
    """One kernel for all samples: a longer batch. Kernels of their own: groups of channels."""
    level, space = call.level, int(call.op.name[-2])
    x, weight, bias = call["input"], call["weight"], call["bias"]
    if x.ndim not in (space + 1, space + 2) or weight.ndim != space + 2:
        raise Unbatchable
    if x.ndim == space + 1:
        # One sample alone: a batch of one.
        return _convolve(call, level, x.unsqueeze(0), weight, bias, space).squeeze(1)
    return _convolve(call, level, x, weight, bias, space)


def _plain(tensor, level):
    """A tensor without the hidden dimension, where all samples have the same and no gradient is asked for."""
    if type(tensor) is Batched and tensor.level is level and shared(tensor.value) and not tensor.value.requires_grad:
        return tensor.value[0]
    return tensor


def _convolve(call, level, x, weight, bias, space):
    weight, bias = _plain(weight, level), _plain(bias, level)
    own = type(weight) is Batched and weight.level is level
    own_bias = type(bias) is Batched and bias.level is level
    hidden = type(x) is Batched and x.level is level
    if not own:
        inner = None if own_bias else bias
        result = unfold(call.run(input=fold(full_value(x, level)), weight=weight, bias=inner), level)
    else:
        result = _own_kernels(call, level, x, weight, hidden)
        if bias is not None and not own_bias:
            result = result + bias.reshape(-1, *[1] * space)
    if own_bias:
        result = result + bias.value.reshape(level.size, 1, -1, *[1] * space)
    return result


def _own_kernels(call, level, x, weight, hidden):
    from ._convolution import shared_convolution

    transposed = "transpose" in call.op.name
    value = full_value(x, level)
    if not transposed and shared(weight.value) and type(value) is not Batched:
        made = shared_convolution(call, value, weight.value)
        if made is not None:
            return unfold(made, level)
    # [B, N, C, ...] as [N, B * C, ...], kernels one after another.
    images = value.movedim(0, 1).flatten(1, 2)
    result = call.run(
        input=images, weight=weight.value.flatten(0, 1), bias=None, groups=call["groups"] * level.size
    )  # fmt: skip
    return result.unflatten(1, (level.size, -1)).movedim(1, 0)


# Normalisations


@bound("layer_norm", "rms_norm")
def layer_norm(call):
    """Over the last dimensions."""
    x = call["input"]
    names = [name for name in ("weight", "bias") if call.has(name) and call[name] is not None]
    if len(call["normalized_shape"]) > x.ndim:
        raise Unbatchable
    own = any(call.batched(name) for name in names)
    value = call.value("input")
    if not own:
        return call.run(input=value)
    result = call.run(input=value, **dict.fromkeys(names))
    for name in names:
        factor = aligned(call[name].value, x.ndim) if call.batched(name) else call[name]
        result = result * factor if name == "weight" else result + factor
    return result


def _per_channel(call, result, x):
    """Scales and shifts for each channel of [B, N, C, ...]."""
    for name in ("weight", "bias"):
        factor = call[name]
        if factor is not None:
            lead = [call.level.size, 1] if call.batched(name) else []
            factor = (factor.value if call.batched(name) else factor).reshape(*lead, -1, *[1] * (x.ndim - 2))
            result = result * factor if name == "weight" else result + factor
    return result


@bound("group_norm")
def group_norm(call):
    """Of each element of the batch by itself."""
    x = call["input"]
    if x.ndim < 2 or not x.numel():
        raise Unbatchable
    if not call.batched("weight") and not call.batched("bias"):
        return unfold(call.run(input=fold(call.value("input"))), call.level)
    return _per_channel(call, unfold(call.run(input=fold(call.value("input")), weight=None, bias=None), call.level), x)


@bound("batch_norm", "instance_norm")
def batch_norm(call):
    """Samples' channels side by side; running statistics that change must be those of a sample."""
    level, x = call.level, call["input"]
    mean = call["running_mean"]
    training = call["training"] if call.has("training") else call["use_input_stats"]
    if x.ndim < 2 or not x.numel():
        raise Unbatchable
    if training and mean is not None and not (call.batched("running_mean") and call.batched("running_var")):
        if call.batched("input"):
            raise RuntimeError(
                "Batch norm got a batched tensor as input while the running_mean or running_var, which will be updated "
                "in place, were not batched.\nIf you are using a module and do not need eval mode, please set "
                "`track_running_stats` to be False.If you are using a prebuilt module and do not need eval mode, please "
                "see the functorch website for resources on how to patch your module to work with vmap"
            )
        raise Unbatchable
    if training and mean is not None and type(mean.value) is Batched:
        raise Unbatchable
    images = call.value("input").movedim(0, 1).flatten(1, 2)
    statistics = {}
    for name in ("running_mean", "running_var"):
        if call[name] is not None:
            value = call.value(name)
            statistics[name] = value.view(-1) if training and value.is_contiguous() else value.reshape(-1)
    before = {name: value for name, value in statistics.items() if training and not call[name].value.is_contiguous()}
    result = call.run(input=images, weight=None, bias=None, **statistics)
    for name, value in before.items():
        call[name].value.copy_(value.reshape(call[name].value.shape))
    return _per_channel(call, result.unflatten(1, (level.size, -1)).movedim(1, 0), x)


@bound("scaled_dot_product_attention")
def attention(call):
    """On the last two dimensions, with any before them."""
    names = [name for name in ("query", "key", "value", "attn_mask") if call[name] is not None]
    rank = max(call[name].ndim for name in names)
    if call["dropout_p"] or any(call[name].ndim < 2 for name in names) or call["enable_gqa"]:
        raise Unbatchable
    changes = {}
    for name in names:
        own = call.batched(name) or name != "attn_mask"
        changes[name] = aligned(call.value(name), rank) if own else call[name]
    return call.run(**changes)


# Losses

_LOSSES = """mse_loss l1_loss smooth_l1_loss huber_loss soft_margin_loss binary_cross_entropy
    binary_cross_entropy_with_logits kl_div poisson_nll_loss hinge_embedding_loss margin_ranking_loss"""


def _reduced(losses, reduction, level):
    """The mean (1) or the sum (2) of each sample's losses."""
    losses = Batched(losses, level)
    return (losses if not reduction else losses.mean() if reduction == 1 else losses.sum()).value


@bound(*_LOSSES.split())
def losses(call):
    """By element, and then the mean or the sum of each sample."""
    names = [name for name, value in call.given.items() if isinstance(value, Tensor)]
    rank = max(call[name].ndim for name in names)
    values = align(call.level, [Batched(call.value(name), call.level) for name in names])
    if any(call[name].ndim != rank for name in names[:2]):
        raise Unbatchable
    return _reduced(call.run(**dict(zip(names, values)), reduction=0), call["reduction"], call.level)


@bound("cross_entropy_loss", "nll_loss_nd")
def cross_entropy(call):
    """The batch of all samples at once, and then the mean or the sum of each sample."""
    level, x, target, weight = call.level, call["self"], call["target"], call["weight"]
    reduction, ignore = call["reduction"], call["ignore_index"]
    classes = target.dtype.is_floating_point
    if not x.ndim or call.batched("weight") or target.ndim != x.ndim - (0 if classes else 1):
        raise Unbatchable
    if not x.numel() or (
        reduction == 1 and call.has("label_smoothing") and call["label_smoothing"] and weight is not None
    ):
        raise Unbatchable
    one = x.ndim == 1
    scores, labels = call.value("self"), call.value("target")
    if not one:
        scores, labels = fold(scores), fold(labels)
    each = call.run(self=scores, target=labels, reduction=0)
    each = each if one else unfold(each, level)
    if reduction != 1 or classes:
        if reduction == 1 and not one:
            # Targets that are probabilities: the mean over the batch and over positions.
            return _reduced(each, 1, level)
        return _reduced(each, 0 if one and reduction != 2 else reduction, level)
    labels = labels if one else unfold(labels, level)
    kept = labels != ignore
    if weight is None:
        total = kept.to(each.dtype)
    else:
        total = torch.where(kept, weight[torch.where(kept, labels, 0)], 0)
    inner = tuple(range(1, each.ndim))
    if not inner:
        return each / total if weight is not None else torch.where(kept, each, each / total)
    return each.sum(inner) / total.sum(inner)
