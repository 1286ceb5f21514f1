"""Multi-head attention (Vaswani et al. 2017)."""

import math
import warnings

import flambeau as torch
from flambeau._C import _nn

from .resize import pad


def _check_shapes(query, key, value, key_padding_mask, attn_mask, num_heads):
    """Checks the numbers of dimensions; returns whether there is a batch dimension."""
    ndim = query.dim()
    if ndim not in (2, 3):
        raise AssertionError(f"query should be unbatched 2D or batched 3D tensor but received {ndim}-D query tensor")
    batched = ndim == 3
    said = f"For {'batched (3-D)' if batched else 'unbatched (2-D)'} `query`, expected"
    assert key.dim() == ndim and value.dim() == ndim, (
        f"{said} `key` and `value` to be {ndim}-D but found {key.dim()}-D and {value.dim()}-D tensors respectively"
    )
    if key_padding_mask is not None:
        assert key_padding_mask.dim() == ndim - 1, (
            f"{said} `key_padding_mask` to be `None` or {ndim - 1}-D but found {key_padding_mask.dim()}-D tensor instead"
        )
    if attn_mask is not None:
        assert attn_mask.dim() in (2, 3), (
            f"{said} `attn_mask` to be `None`, 2-D or 3-D but found {attn_mask.dim()}-D tensor instead"
        )
        if not batched and attn_mask.dim() == 3:
            expected = (num_heads, query.shape[0], key.shape[0])
            assert attn_mask.shape == expected, f"Expected `attn_mask` shape to be {expected} but got {attn_mask.shape}"
    return batched


def _canonical_mask(mask, mask_name, other_type, other_name, target_type, check_other=True):
    """A mask to add to the scores: True of a boolean mask becomes -inf."""
    if mask is None:
        return None
    floating = torch.is_floating_point(mask)
    if mask.dtype != torch.bool and not floating:
        raise AssertionError(f"only bool and floating types of {mask_name} are supported")
    if check_other and other_type is not None and mask.dtype != other_type:
        warnings.warn(
            f"Support for mismatched {mask_name} and {other_name} is deprecated. Use same type for both instead.",
            stacklevel=3,
        )
    if floating:
        return mask
    return torch.zeros_like(mask, dtype=target_type).masked_fill_(mask, -math.inf)


def _project_packed(query, key, value, weight, bias):
    """Projects by the thirds of one weight, with as few products as the inputs' identity allows."""
    size = query.size(-1)
    linear = _nn.linear

    def several(source, weight, bias, count):
        joined = linear(source, weight, bias).unflatten(-1, (count, size))
        return joined.unbind(-2)

    if key is value:
        if query is key:
            return several(query, weight, bias, 3)
        weights = weight.split([size, size * 2])
        biases = (None, None) if bias is None else bias.split([size, size * 2])
        return (linear(query, weights[0], biases[0]), *several(key, weights[1], biases[1], 2))
    weights = weight.chunk(3)
    biases = (None,) * 3 if bias is None else bias.chunk(3)
    return tuple(linear(*triple) for triple in zip((query, key, value), weights, biases))


def _project_separately(query, key, value, weights, biases):
    widths = query.size(-1), key.size(-1), value.size(-1)
    for letter, weight, width in zip("qkv", weights, widths):
        assert weight.shape == (widths[0], width), (
            f"expecting {_NAMES[letter]} weights shape of {(widths[0], width)}, but got {weight.shape}"
        )
    for letter, bias in zip("qkv", biases):
        assert bias is None or bias.shape == (widths[0],), (
            f"expecting {_NAMES[letter]} bias shape of {(widths[0],)}, but got {bias.shape}"
        )
    return tuple(_nn.linear(*triple) for triple in zip((query, key, value), weights, biases))


_NAMES = {"q": "query", "k": "key", "v": "value"}


def _checked_attn_mask(mask, batch, num_heads, target, source):
    """The mask as (1 or batch * heads, target, source)."""
    if mask.dim() == 2:
        expected = (target, source)
        if mask.shape != expected:
            raise RuntimeError(f"The shape of the 2D attn_mask is {mask.shape}, but should be {expected}.")
        return mask.unsqueeze(0)
    if mask.dim() == 3:
        expected = (batch * num_heads, target, source)
        if mask.shape != expected:
            raise RuntimeError(f"The shape of the 3D attn_mask is {mask.shape}, but should be {expected}.")
        return mask
    raise RuntimeError(f"attn_mask's dimension {mask.dim()} is not supported")


def _split_heads(projected, batch, num_heads, head_dim):
    """(length, batch, embed) as (batch * heads, length, head_dim)."""
    return projected.reshape(projected.shape[0], batch * num_heads, head_dim).transpose(0, 1)


def _view_heads(projected, batch, num_heads, head_dim):
    """(length, batch, embed) as (batch, heads, length, head_dim), without a copy."""
    return projected.view(projected.shape[0], batch, num_heads, head_dim).permute(1, 2, 0, 3)


def _static(given, name, batch, num_heads, head_dim):
    assert given.size(0) == batch * num_heads, (
        f"expecting {name}.size(0) of {batch * num_heads}, but got {given.size(0)}"
    )
    assert given.size(2) == head_dim, f"expecting {name}.size(2) of {head_dim}, but got {given.size(2)}"
    return given


def multi_head_attention_forward(
    query,
    key,
    value,
    embed_dim_to_check,
    num_heads,
    in_proj_weight,
    in_proj_bias,
    bias_k,
    bias_v,
    add_zero_attn,
    dropout_p,
    out_proj_weight,
    out_proj_bias,
    training=True,
    key_padding_mask=None,
    need_weights=True,
    attn_mask=None,
    use_separate_proj_weight=False,
    q_proj_weight=None,
    k_proj_weight=None,
    v_proj_weight=None,
    static_k=None,
    static_v=None,
    average_attn_weights=True,
    is_causal=False,
):
    """Attention of `query` (target, batch, embed) over `key` and `value` (source, batch, embed), in parallel heads.

    Returns the output like `query`, and the weights (batch, target, source), or one for each head, or None.
    """
    batched = _check_shapes(query, key, value, key_padding_mask, attn_mask, num_heads)
    if not batched:
        query, key, value = query.unsqueeze(1), key.unsqueeze(1), value.unsqueeze(1)
        if key_padding_mask is not None:
            key_padding_mask = key_padding_mask.unsqueeze(0)
    target, batch, embed = query.shape
    source = key.shape[0]

    other_type = None if attn_mask is None else attn_mask.dtype
    key_padding_mask = _canonical_mask(key_padding_mask, "key_padding_mask", other_type, "attn_mask", query.dtype)
    if is_causal and attn_mask is None:
        raise RuntimeError(
            "Need attn_mask if specifying the is_causal hint. You may use the Transformer module method "
            "`generate_square_subsequent_mask` to create this mask."
        )
    if is_causal and key_padding_mask is None and not need_weights:
        attn_mask = None  # the fused kernel masks by itself
    else:
        attn_mask = _canonical_mask(attn_mask, "attn_mask", None, "", query.dtype, check_other=False)
        if key_padding_mask is not None:
            is_causal = False

    assert embed == embed_dim_to_check, f"was expecting embedding dimension of {embed_dim_to_check}, but got {embed}"
    head_dim = embed // num_heads
    assert head_dim * num_heads == embed, f"embed_dim {embed} not divisible by num_heads {num_heads}"

    if use_separate_proj_weight:
        assert key.shape[:2] == value.shape[:2], (
            f"key's sequence and batch dims {key.shape[:2]} do not match value's {value.shape[:2]}"
        )
        weights = q_proj_weight, k_proj_weight, v_proj_weight
        for letter, weight in zip("qkv", weights):
            assert weight is not None, f"use_separate_proj_weight is True but {letter}_proj_weight is None"
        biases = (None,) * 3 if in_proj_bias is None else in_proj_bias.chunk(3)
        query, key, value = _project_separately(query, key, value, weights, biases)
    else:
        assert key.shape == value.shape, f"key shape {key.shape} does not match value shape {value.shape}"
        assert in_proj_weight is not None, "use_separate_proj_weight is False but in_proj_weight is None"
        query, key, value = _project_packed(query, key, value, in_proj_weight, in_proj_bias)

    if attn_mask is not None:
        attn_mask = _checked_attn_mask(attn_mask, batch, num_heads, target, source)

    added = 0
    if bias_k is not None and bias_v is not None:
        assert static_k is None, "bias cannot be added to static key."
        assert static_v is None, "bias cannot be added to static value."
        key = torch.cat([key, bias_k.repeat(1, batch, 1)])
        value = torch.cat([value, bias_v.repeat(1, batch, 1)])
        added += 1
    else:
        assert bias_k is None, "bias_k is set but bias_v is None"
        assert bias_v is None, "bias_v is set but bias_k is None"

    # The fused kernel reads heads where the projections put them.
    in_place = not (need_weights or add_zero_attn) and static_k is None and static_v is None
    split = _view_heads if in_place else _split_heads
    query = split(query, batch, num_heads, head_dim)
    if static_k is None:
        key = split(key, batch, num_heads, head_dim)
    else:
        key = _static(static_k, "static_k", batch, num_heads, head_dim)
    if static_v is None:
        value = split(value, batch, num_heads, head_dim)
    else:
        value = _static(static_v, "static_v", batch, num_heads, head_dim)
    if add_zero_attn:
        shape = (batch * num_heads, 1, head_dim)
        key = torch.cat([key, torch.zeros(shape, dtype=key.dtype, device=key.device)], dim=1)
        value = torch.cat([value, torch.zeros(shape, dtype=value.dtype, device=value.device)], dim=1)
        added += 1
    source = key.size(-2)

    mask = attn_mask if attn_mask is None or not added else pad(attn_mask, (0, added))
    if key_padding_mask is not None:
        if added:
            key_padding_mask = pad(key_padding_mask, (0, added))
        for dim, expected in enumerate((batch, source)):
            assert key_padding_mask.shape[dim] == expected, (
                f"Expected key_padded_mask.shape[{dim}] to be {expected}, but got {key_padding_mask.shape[dim]}"
            )
        padding = key_padding_mask.view(batch, 1, 1, source).expand(-1, num_heads, -1, -1)
        padding = padding.reshape(batch * num_heads, 1, source)
        mask = padding if mask is None else mask + padding

    dropout_p = dropout_p if training else 0.0
    weights = None
    if need_weights:
        assert not (is_causal and mask is None), (
            "is_causal without a mask gives no weights: pass attn_mask, or need_weights=False"
        )
        scaled = query * math.sqrt(1.0 / float(query.shape[-1]))
        if mask is not None:
            scores = torch.baddbmm(mask, scaled, key.transpose(-2, -1))
        else:
            scores = torch.bmm(scaled, key.transpose(-2, -1))
        weights = scores.softmax(-1)
        if dropout_p > 0.0:
            weights = torch.dropout(weights, dropout_p, True)
        output = torch.bmm(weights, value).transpose(0, 1).contiguous().view(target * batch, embed)
    else:
        if mask is not None:
            alike = mask.size(0) == 1 and mask.dim() == 3
            mask = mask.unsqueeze(0) if alike else mask.view(batch, num_heads, -1, source)
        if not in_place:
            query, key, value = (t.view(batch, num_heads, -1, head_dim) for t in (query, key, value))
        output = _nn.scaled_dot_product_attention(query, key, value, mask, dropout_p, is_causal)
        output = output.permute(2, 0, 1, 3).contiguous().view(batch * target, embed)

    output = _nn.linear(output, out_proj_weight, out_proj_bias)
    output = output.view(target, batch, output.size(1))
    if weights is not None:
        weights = weights.view(batch, num_heads, target, source)
        if average_attn_weights:
            weights = weights.mean(dim=1)
        if not batched:
            weights = weights.squeeze(0)
    return (output if batched else output.squeeze(1)), weights
