"""Layers as functions: what `nn` computes, without the state its classes hold.

Operators that are native under the same signature are bound here as they are. The rest are Python functions around
native operators, in files by subject that are read when one of their functions is first asked for.
"""

import flambeau as torch
from flambeau._C import _nn
from flambeau.overrides import (  # noqa: F401
    has_torch_function,
    has_torch_function_unary,
    has_torch_function_variadic,
)

# Native names, in the namespace `torch` and in `_nn`.
_FROM_TORCH = """adaptive_avg_pool1d avg_pool1d bilinear celu_ channel_shuffle conv1d conv2d conv3d conv_tbc
    conv_transpose1d conv_transpose2d conv_transpose3d cosine_similarity hardshrink native_channel_shuffle
    pairwise_distance pdist pixel_shuffle pixel_unshuffle prelu relu_ rrelu_ selu_ threshold_"""
_FROM_NN = """avg_pool2d avg_pool3d celu elu elu_ gelu hardsigmoid hardswish hardtanh_ leaky_relu leaky_relu_ linear
    logsigmoid mish one_hot relu relu6 scaled_dot_product_attention selu sigmoid silu softplus softshrink softsign tanh
    tanhshrink threshold"""

_CONTENTS = {
    "activation": """alpha_dropout dropout dropout1d dropout2d dropout3d feature_alpha_dropout glu gumbel_softmax
        hardtanh log_softmax rrelu softmax softmin""",
    "attention": "multi_head_attention_forward",
    "loss": """binary_cross_entropy binary_cross_entropy_with_logits cosine_embedding_loss cross_entropy ctc_loss
        gaussian_nll_loss hinge_embedding_loss huber_loss kl_div l1_loss linear_cross_entropy margin_ranking_loss
        mse_loss multi_margin_loss multilabel_margin_loss multilabel_soft_margin_loss nll_loss poisson_nll_loss
        smooth_l1_loss soft_margin_loss triplet_margin_loss triplet_margin_with_distance_loss""",
    "norm": "batch_norm group_norm instance_norm layer_norm local_response_norm normalize rms_norm",
    "pooling": """adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool1d_with_indices
        adaptive_max_pool2d adaptive_max_pool2d_with_indices adaptive_max_pool3d adaptive_max_pool3d_with_indices
        fractional_max_pool2d fractional_max_pool2d_with_indices fractional_max_pool3d
        fractional_max_pool3d_with_indices lp_pool1d lp_pool2d lp_pool3d max_pool1d max_pool1d_with_indices max_pool2d
        max_pool2d_with_indices max_pool3d max_pool3d_with_indices max_unpool1d max_unpool2d max_unpool3d""",
    "resize": """affine_grid fold grid_sample interpolate pad unfold upsample upsample_bilinear upsample_nearest""",
    "sparse": "embedding embedding_bag",
}
_HOME = {name: home for home, names in _CONTENTS.items() for name in names.split()}
_NATIVE = {name: torch for name in _FROM_TORCH.split()} | {name: _nn for name in _FROM_NN.split()}

__all__ = sorted([*_HOME, *_NATIVE])


def __getattr__(name):
    if name in _HOME:
        from importlib import import_module

        value = getattr(import_module(f"{__package__}._functional.{_HOME[name]}"), name)
    elif name in _NATIVE:
        value = getattr(_NATIVE[name], name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *__all__})
