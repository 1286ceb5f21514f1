"""Losses."""

import warnings

import flambeau as torch
from flambeau._C import _nn

from .._reduction import get_enum, reduced, resolve


def _warn_sizes(input, target):
    warnings.warn(
        f"Using a target size ({target.size()}) that is different to the input size ({input.size()}). This will likely "
        "lead to incorrect results due to broadcasting. Please ensure they have the same size.",
        stacklevel=3,
    )


def _broadcast(input, target):
    return torch.broadcast_tensors(input, target)


def _weighted(loss, weight, input, reduction, total=None):
    """An elementwise loss times `weight`; its mean divides by `total`, by default the sum of the weights."""
    if weight.size() != input.size():
        raise ValueError("Weights and input must have the same size.")
    loss = loss * weight
    if reduction == "none":
        return loss
    if reduction == "sum":
        return loss.sum()
    if reduction == "mean":
        return loss.sum() / (weight.sum() if total is None else total)
    raise ValueError(f"Invalid reduction mode: {reduction}. Expected one of 'none', 'mean', 'sum'.")


def mse_loss(input, target, size_average=None, reduce=None, reduction="mean", weight=None):
    """The squared difference."""
    if input.size() != target.size():
        _warn_sizes(input, target)
        input, target = _broadcast(input, target)
    reduction = resolve(size_average, reduce, reduction)
    if weight is not None:
        return _weighted(torch.pow(input - target, 2), weight, input, reduction)
    return _nn.mse_loss(input, target, get_enum(reduction))


def l1_loss(input, target, size_average=None, reduce=None, reduction="mean", weight=None):
    """The absolute difference."""
    if input.size() != target.size():
        _warn_sizes(input, target)
        input, target = _broadcast(input, target)
    reduction = resolve(size_average, reduce, reduction)
    if weight is not None:
        return _weighted((input - target).abs(), weight, input, reduction)
    return _nn.l1_loss(input, target, get_enum(reduction))


def smooth_l1_loss(input, target, size_average=None, reduce=None, reduction="mean", beta=1.0):
    """Half the squared difference over `beta` below `beta`, the absolute difference less beta / 2 above."""
    if input.size() != target.size():
        _warn_sizes(input, target)
        input, target = _broadcast(input, target)
    reduction = get_enum(resolve(size_average, reduce, reduction))
    if beta == 0.0:
        return _nn.l1_loss(input, target, reduction)
    return _nn.smooth_l1_loss(input, target, reduction, beta)


def huber_loss(input, target, reduction="mean", delta=1.0, weight=None):
    """Half the squared difference below `delta`, delta * (difference - delta / 2) above."""
    if input.size() != target.size():
        _warn_sizes(input, target)
        input, target = _broadcast(input, target)
    if weight is not None:
        # Unlike the other two weighted losses, "mean" divides by the number of elements.
        return _weighted(
            _nn.huber_loss(input, target, get_enum("none"), delta), weight, input, reduction, input.numel()
        )
    return _nn.huber_loss(input, target, get_enum(reduction), delta)


def nll_loss(input, target, weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean"):
    """The negated log-probability (N, C, ...) of the target classes (N, ...)."""
    reduction = get_enum(resolve(size_average, reduce, reduction))
    return _nn.nll_loss_nd(input, target, weight, reduction, ignore_index)


def cross_entropy(
    input,
    target,
    weight=None,
    size_average=None,
    ignore_index=-100,
    reduce=None,
    reduction="mean",
    label_smoothing=0.0,
):
    """The cross entropy of logits (N, C, ...) with target classes (N, ...) or probabilities (N, C, ...)."""
    reduction = get_enum(resolve(size_average, reduce, reduction))
    return _nn.cross_entropy_loss(input, target, weight, reduction, ignore_index, label_smoothing)


def ctc_loss(log_probs, targets, input_lengths, target_lengths, blank=0, reduction="mean", zero_infinity=False):
    """Connectionist temporal classification (Graves et al. 2006) of log-probabilities (T, N, C)."""
    return torch.ctc_loss(log_probs, targets, input_lengths, target_lengths, blank, get_enum(reduction), zero_infinity)


def kl_div(input, target, size_average=None, reduce=None, reduction="mean", log_target=False):
    """target * (log target - input), where `input` holds log-probabilities.

    "batchmean" sums and divides by the batch size, as the Kullback-Leibler divergence is defined.
    """
    if size_average is not None or reduce is not None:
        code = get_enum(resolve(size_average, reduce, reduction))
    else:
        if reduction == "mean":
            warnings.warn(
                "reduction: 'mean' divides the total loss by both the batch size and the support size."
                "'batchmean' divides only by the batch size, and aligns with the KL div math definition."
                "'mean' will be changed to behave the same as 'batchmean' in the next major release.",
                stacklevel=2,
            )
        code = get_enum("sum" if reduction == "batchmean" else reduction)
    loss = torch.kl_div(input, target, code, log_target=log_target)
    if reduction == "batchmean" and input.dim() != 0:
        loss = loss / input.size(0)
    return loss


def poisson_nll_loss(
    input, target, log_input=True, full=False, size_average=None, eps=1e-8, reduce=None, reduction="mean"
):
    """The negated Poisson log-likelihood of `target`; `input` is the rate, or its logarithm with `log_input`."""
    reduction = resolve(size_average, reduce, reduction)
    return torch.poisson_nll_loss(input, target, log_input, full, eps, get_enum(reduction))


_HALF_LOG_2PI = 0.9189385332046727


def gaussian_nll_loss(input, target, var, full=False, eps=1e-6, reduction="mean"):
    """The negated Gaussian log-likelihood of `target`, with means `input` and variances `var`, at least `eps`."""
    if isinstance(var, (int, float)):
        if var < 0:
            raise ValueError("var has negative entry/entries")
        var = var * torch.ones_like(input)
    elif (var < 0).any():
        raise ValueError("var has negative entry/entries")
    if var.size() != input.size():
        if input.size()[:-1] == var.size():
            var = var.unsqueeze(-1)  # one variance for all outputs of a sample
        elif not (input.size()[:-1] == var.size()[:-1] and var.size(-1) == 1) and not (
            input.dim() == var.dim() and all(v in (1, i) for v, i in zip(var.size(), input.size()))
        ):
            raise ValueError("var is of incorrect size")
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not valid")
    var = var.clone()
    with torch.no_grad():
        var.clamp_(min=eps)
    loss = 0.5 * (torch.log(var) + (input - target) ** 2 / var)
    if full:
        loss += _HALF_LOG_2PI
    return reduced(loss, reduction)


def binary_cross_entropy(input, target, weight=None, size_average=None, reduce=None, reduction="mean"):
    """The cross entropy of probabilities with targets in [0, 1]; shapes must agree."""
    reduction = get_enum(resolve(size_average, reduce, reduction))
    if target.size() != input.size():
        raise ValueError(
            f"Using a target size ({target.size()}) that is different to the input size ({input.size()}) is "
            "deprecated. Please ensure they have the same size."
        )
    if weight is not None:
        weight = weight.expand(torch.broadcast_shapes(target.size(), weight.size()))
    return _nn.binary_cross_entropy(input, target, weight, reduction)


def binary_cross_entropy_with_logits(
    input, target, weight=None, size_average=None, reduce=None, reduction="mean", pos_weight=None
):
    """The cross entropy of sigmoid(input) with targets in [0, 1], computed stably; shapes must agree."""
    reduction = get_enum(resolve(size_average, reduce, reduction))
    if target.size() != input.size():
        raise ValueError(f"Target size ({target.size()}) must be the same as input size ({input.size()})")
    return torch.binary_cross_entropy_with_logits(input, target, weight, pos_weight, reduction)


def hinge_embedding_loss(input, target, margin=1.0, size_average=None, reduce=None, reduction="mean"):
    """input where target is 1, max(0, margin - input) where it is -1."""
    reduction = get_enum(resolve(size_average, reduce, reduction))
    return torch.hinge_embedding_loss(input, target, margin, reduction)


def multilabel_margin_loss(input, target, size_average=None, reduce=None, reduction="mean"):
    """The hinge loss of every pair of a target class and another class; targets end at the first -1."""
    reduction = get_enum(resolve(size_average, reduce, reduction))
    return _nn.multilabel_margin_loss(input, target, reduction)


def soft_margin_loss(input, target, size_average=None, reduce=None, reduction="mean"):
    """log(1 + exp(-target * input)) with targets of 1 and -1."""
    reduction = get_enum(resolve(size_average, reduce, reduction))
    return _nn.soft_margin_loss(input, target, reduction)


def multilabel_soft_margin_loss(input, target, weight=None, size_average=None, reduce=None, reduction="mean"):
    """The mean over classes of the cross entropy of sigmoid(input) (N, C) with targets in {0, 1}."""
    reduction = resolve(size_average, reduce, reduction)
    log_sigmoid = _nn.logsigmoid
    loss = -(target * log_sigmoid(input) + (1 - target) * log_sigmoid(-input))
    if weight is not None:
        loss = loss * weight
    loss = loss.sum(dim=-1) / input.size(-1)
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not valid")
    return reduced(loss, reduction)


def cosine_embedding_loss(input1, input2, target, margin=0, size_average=None, reduce=None, reduction="mean"):
    """1 - cos(input1, input2) where target is 1, max(0, cos - margin) where it is -1."""
    reduction = get_enum(resolve(size_average, reduce, reduction))
    return torch.cosine_embedding_loss(input1, input2, target, margin, reduction)


def margin_ranking_loss(input1, input2, target, margin=0, size_average=None, reduce=None, reduction="mean"):
    """max(0, -target * (input1 - input2) + margin)."""
    reduction = get_enum(resolve(size_average, reduce, reduction))
    if input1.dim() != input2.dim() or input1.dim() != target.dim():
        raise RuntimeError(
            "margin_ranking_loss : All input tensors should have same dimension but got sizes: "
            f"input1: {input1.size()}, input2: {input2.size()}, target: {target.size()} "
        )
    return torch.margin_ranking_loss(input1, input2, target, margin, reduction)


def multi_margin_loss(input, target, p=1, margin=1.0, weight=None, size_average=None, reduce=None, reduction="mean"):
    """The mean over other classes of max(0, margin - input[target] + input[other]) ** p."""
    reduction = get_enum(resolve(size_average, reduce, reduction))
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    if weight is not None and weight.dim() != 1:
        raise ValueError("weight must be one-dimensional")
    return _nn.multi_margin_loss(input, target, p, margin, weight, reduction)


def _check_dims(anchor, positive, negative):
    dims = anchor.ndim, positive.ndim, negative.ndim
    if len(set(dims)) > 1:
        raise RuntimeError(
            "The anchor, positive, and negative tensors are expected to have the same number of dimensions, but got: "
            f"anchor {dims[0]}D, positive {dims[1]}D, and negative {dims[2]}D inputs"
        )


def triplet_margin_loss(
    anchor,
    positive,
    negative,
    margin=1.0,
    p=2,
    eps=1e-6,
    swap=False,
    size_average=None,
    reduce=None,
    reduction="mean",
):
    """max(0, |anchor - positive| - |anchor - negative| + margin) in the p-norm (Balntas et al. 2016)."""
    reduction = get_enum(resolve(size_average, reduce, reduction))
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    _check_dims(anchor, positive, negative)
    near = torch.pairwise_distance(anchor, positive, p, eps)
    far = torch.pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = torch.minimum(far, torch.pairwise_distance(positive, negative, p, eps))
    return reduced(torch.clamp_min(margin + near - far, 0), ("none", "mean", "sum")[reduction])


def triplet_margin_with_distance_loss(
    anchor, positive, negative, *, distance_function=None, margin=1.0, swap=False, reduction="mean"
):
    """The triplet loss with any distance; `swap` also counts the distance of positive and negative."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    _check_dims(anchor, positive, negative)
    distance = torch.pairwise_distance if distance_function is None else distance_function
    near = distance(anchor, positive)
    far = distance(anchor, negative)
    if swap:
        far = torch.minimum(far, distance(positive, negative))
    return reduced(torch.clamp_min(margin + near - far, 0), reduction)


def linear_cross_entropy(
    input,
    linear_weight,
    target,
    *,
    linear_bias=None,
    weight=None,
    reduction="mean",
    ignore_index=None,
    label_smoothing=0.0,
    options=None,
):
    """The cross entropy of a linear layer's output.

    Input (N, in) or (in); linear_weight (C, d1, ..., in); target (N, d1, ...) of classes or (N, C, d1, ...) of
    probabilities. `options` say how PyTorch saves memory; they make no difference to the value.
    """
    if input.dim() not in (1, 2):
        raise RuntimeError(f"expected input with dimensionality 1 or 2, got {input.dim()}")
    if linear_weight.dim() < 2:
        raise RuntimeError(f"expected linear_weight with dimensionality at least 2, got {linear_weight.dim()}")
    shape = linear_weight.shape[:-1]
    width = linear_weight.shape[-1]
    if input.shape[-1] != width:
        raise RuntimeError(
            "expected equal input and linear_weight last dimensions (in_features), got "
            f"{input.shape[-1]} and {width}, respectively"
        )
    batched = input.dim() == 2
    if not batched and len(shape) > 1:
        raise RuntimeError(
            f"K-dimensional loss defined by linear_weight shape {tuple(linear_weight.shape)} requires batched input, "
            f"(N, {width}), got unbatched input with shape {tuple(input.shape)}"
        )
    if linear_bias is not None and linear_bias.shape != shape:
        raise RuntimeError(f"expected linear_bias shape {tuple(shape)}, got {tuple(linear_bias.shape)}")
    if weight is not None and weight.shape != shape[:1]:
        raise RuntimeError(f"expected weight shape to be {tuple(shape[:1])}, got {tuple(weight.shape)}")
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(f"expected label_smoothing to be in range [0, 1], got {label_smoothing}")
    bias = None if linear_bias is None else linear_bias.reshape(-1)
    dtype = input.dtype
    if options is not None and dtype in (torch.float16, torch.bfloat16):
        # Losses of parts are added up in single precision.
        input, linear_weight = input.float(), linear_weight.float()
        bias = None if bias is None else bias.float()
        weight = None if weight is None else weight.float()
        target = target.float() if target.is_floating_point() else target
    logits = _nn.linear(input, linear_weight.reshape(-1, width), bias)
    logits = logits.view(*input.shape[:-1], *shape)
    if target.shape == logits.shape and not target.is_floating_point():
        raise RuntimeError(f"Expected floating point type for target with class probabilities, got {target.dtype}")
    if target.is_floating_point() and ignore_index is not None and ignore_index >= 0:
        raise RuntimeError("ignore_index cannot be specified when target contains probabilities")
    loss = cross_entropy(
        logits,
        target,
        weight=weight,
        ignore_index=-100 if ignore_index is None else ignore_index,
        reduction=reduction,
        label_smoothing=label_smoothing,
    )
    return loss.to(dtype)
