"""Folding batch normalisation, in evaluation mode, into the layer before it."""

import copy

import flambeau as torch

from ..parameter import Parameter

__all__ = ["fuse_conv_bn_eval", "fuse_conv_bn_weights", "fuse_linear_bn_eval", "fuse_linear_bn_weights"]


def _scale_and_shift(bias, mean, var, eps, weight, shift):
    """(scale, bias) such that normalising x + bias is x * scale + bias."""
    bias = torch.zeros_like(mean) if bias is None else bias
    weight = torch.ones_like(mean) if weight is None else weight
    shift = torch.zeros_like(mean) if shift is None else shift
    scale = weight * torch.rsqrt(var + eps)
    return scale, (bias - mean) * scale + shift


def _as_parameters(like_weight, like_bias, weight, bias):
    needs_grad = like_bias.requires_grad if like_bias is not None else False
    return Parameter(weight, like_weight.requires_grad), Parameter(bias, needs_grad)


def fuse_conv_bn_weights(conv_w, conv_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, transpose=False):
    """The weight and bias of a convolution that does what one followed by a batch normalisation does."""
    scale, bias = _scale_and_shift(conv_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b)
    shape = [1, -1] if transpose else [-1, 1]
    weight = conv_w * scale.reshape(shape + [1] * (conv_w.dim() - 2))
    return _as_parameters(conv_w, conv_b, weight.to(conv_w.dtype), bias.to(conv_w.dtype))


def fuse_conv_bn_eval(conv, bn, transpose=False):
    """A convolution that does what `conv` followed by `bn` does; both must be in evaluation mode."""
    assert not (conv.training or bn.training), "Fusion only for eval!"
    if bn.running_mean is None or bn.running_var is None:
        raise AssertionError("bn.running_mean and bn.running_var must not be None")
    fused = copy.deepcopy(conv)
    fused.weight, fused.bias = fuse_conv_bn_weights(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias, transpose
    )
    return fused


def fuse_linear_bn_weights(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b):
    """The weight and bias of a linear layer that does what one followed by a batch normalisation does."""
    scale, bias = _scale_and_shift(linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b)
    weight = linear_w * scale.unsqueeze(-1)
    return _as_parameters(linear_w, linear_b, weight.to(linear_w.dtype), bias.to(linear_w.dtype))


def fuse_linear_bn_eval(linear, bn):
    """A linear layer that does what `linear` followed by `bn` does; both must be in evaluation mode."""
    assert not (linear.training or bn.training), "Fusion only for eval!"
    assert linear.out_features == bn.num_features or bn.num_features == 1, (
        "To fuse, linear.out_features == bn.num_features or bn.num_features == 1, got "
        f"linear.out_features={linear.out_features} and bn.num_features={bn.num_features}"
    )
    if bn.running_mean is None or bn.running_var is None:
        raise AssertionError("bn.running_mean and bn.running_var must not be None")
    fused = copy.deepcopy(linear)
    fused.weight, fused.bias = fuse_linear_bn_weights(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
    )
    return fused
