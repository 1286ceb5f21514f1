"""Attention with scores that a function changes and a mask that a function tells: `flex_attention`."""

import inspect
import math
from typing import NamedTuple

import flambeau as torch

from ._block_mask import BlockMask, noop_mask

__all__ = [
    "AuxOutput", "AuxRequest", "BlockMask", "and_masks", "create_block_mask", "create_mask", "flex_attention",
    "noop_mask", "or_masks",
]  # fmt: skip

_DEFAULT_SPARSE_BLOCK_SIZE = 128


class AuxRequest(NamedTuple):
    """What `flex_attention` is to give beside its result."""

    lse: bool = False
    max_scores: bool = False


class AuxOutput(NamedTuple):
    """What `flex_attention` gives beside its result."""

    lse: torch.Tensor | None = None
    max_scores: torch.Tensor | None = None


def _over_places(function, scores):
    """A function of one place, or of a score and its place, for all places at once."""
    first = (0,) if scores else ()
    for dims in ((None, None, None, 0), (None, None, 0, None), (None, 0, None, None), (0, None, None, None)):
        function = torch.vmap(function, in_dims=first + dims)
    return function


def _places(B, H, rows, columns, device):
    return [torch.arange(n, device=device) for n in (B, H, rows, columns)]


def and_masks(*mask_mods):
    """A mask of the places that all the given masks have."""
    return _combined(mask_mods, torch.ones, lambda a, b: a & b)


def or_masks(*mask_mods):
    """A mask of the places that any of the given masks has."""
    return _combined(mask_mods, torch.zeros, lambda a, b: a | b)


def _combined(mask_mods, start, join):
    if not all(callable(mask) for mask in mask_mods):
        raise RuntimeError(f"All inputs should be callable mask_mods: {mask_mods}")

    def mask_mod(b, h, q_idx, kv_idx):
        found = start((), dtype=torch.bool, device=b.device)
        for mask in mask_mods:
            found = join(found, mask(b, h, q_idx, kv_idx))
        return found

    return mask_mod


def create_mask(mod_fn, B, H, Q_LEN, KV_LEN, device=None):
    """The mask that a function of the places tells, as a tensor; of a function of scores where it leaves them finite."""
    B, H = 1 if B is None else B, 1 if H is None else H
    places = _places(B, H, Q_LEN, KV_LEN, device)
    count = sum(1 for p in inspect.signature(mod_fn).parameters.values() if p.default is inspect.Parameter.empty)
    with torch.no_grad():
        if count == 5:
            found = _over_places(mod_fn, True)(torch.zeros(B, H, Q_LEN, KV_LEN, device=device), *places)
            return found.isneginf().logical_not()
        if count != 4:
            raise AssertionError("mod_fn should be a score_mod of 5 arguments or a mask_mod of 4")
        found = _over_places(mod_fn, False)(*places)
    return found.expand(B, H, Q_LEN, KV_LEN)


def create_block_mask(
    mask_mod, B, H, Q_LEN, KV_LEN, device=None, BLOCK_SIZE=_DEFAULT_SPARSE_BLOCK_SIZE, _compile=False, **settings
):
    """The blocks in which a mask has places: all of them or some."""
    size = (BLOCK_SIZE, BLOCK_SIZE) if isinstance(BLOCK_SIZE, int) else tuple(BLOCK_SIZE)
    if not settings.pop("separate_full_blocks", True) or settings.pop("compute_dq_write_order", False):
        raise NotImplementedError("create_block_mask: flambeau has separate_full_blocks=True without dq orders only")
    mask = create_mask(mask_mod, B, H, Q_LEN, KV_LEN, device)
    pad = (0, -KV_LEN % size[1], 0, -Q_LEN % size[0])
    mask = torch.nn.functional.pad(mask, pad).unflatten(2, (-1, size[0])).unflatten(4, (-1, size[1]))
    counts = mask.sum((3, 5))
    full = counts == size[0] * size[1]
    return BlockMask._of_blocks((counts > 0) & ~full, full, (Q_LEN, KV_LEN), size, mask_mod)


def _checked(query, key, value, enable_gqa):
    if not (query.dim() == key.dim() == value.dim() == 4):
        raise NotImplementedError("NYI: query, key, and value must be 4D tensors")
    if query.dtype != key.dtype or query.dtype != value.dtype:
        raise ValueError(
            f"Expected query, key, and value to have the same dtype, but got query.dtype: {query.dtype}, "
            f"key.dtype: {key.dtype}, and value.dtype: {value.dtype} instead."
        )
    if key.size(0) not in (1, query.size(0)):
        raise ValueError("Expect query and key/value to have the same batch size, or key/value to have 1")
    if not enable_gqa and query.size(1) != key.size(1):
        raise ValueError(
            f"Expect query and key/value to have the same number of heads but got Hq={query.size(1)} and "
            f"Hkv={key.size(1)}. Try setting enable_gqa=True for GQA."
        )
    if query.size(1) % key.size(1):
        raise ValueError("Expect number of query heads to be a multiple of kv heads for GQA")


def flex_attention(
    query, key, value, score_mod=None, block_mask=None, scale=None, enable_gqa=False, return_lse=False,
    kernel_options=None, *, return_aux=None,
):  # fmt: skip
    """Attention whose scores go through `score_mod(score, batch, head, query, key)`, at the places of `block_mask` only.

    A row without places gives zeros. With `return_aux=AuxRequest(lse=True)` the logarithms of the rows' sums of exponentials come with it.
    """
    _checked(query, key, value, enable_gqa)
    if return_aux is not None and return_aux.max_scores:
        raise NotImplementedError("Returning max scores is not supported on CPU.")
    if return_aux is not None and return_lse:
        raise ValueError(
            "Cannot specify both return_lse and return_aux. return_lse is deprecated, please use return_aux."
        )
    B, H, rows, columns = query.size(0), query.size(1), query.size(2), key.size(2)
    group = H // key.size(1)
    if group > 1:
        key, value = key.repeat_interleave(group, 1), value.repeat_interleave(group, 1)
    scale = 1 / math.sqrt(query.size(-1)) if scale is None else scale
    scores = (query @ key.transpose(-2, -1)).to(
        torch.float64 if query.dtype == torch.float64 else torch.float32
    ) * scale
    if score_mod is not None:
        scores = _over_places(score_mod, True)(scores, *_places(B, H, rows, columns, query.device))
    if block_mask is not None:
        scores = scores.masked_fill(~_places_of(block_mask, B, H, rows, columns, query.device), -math.inf)
    lse = scores.logsumexp(-1)
    empty = lse == -math.inf
    weights = torch.exp(scores - lse.masked_fill(empty, 0.0).unsqueeze(-1))
    found = weights.to(query.dtype) @ value
    if return_aux is not None:
        return found, AuxOutput(lse=lse if return_aux.lse else None)
    return (found, lse) if return_lse else found


def _places_of(block_mask, B, H, rows, columns, device):
    """The places of a mask; one that has blocks alone tells them by these."""
    if block_mask.seq_lengths[0] < rows or block_mask.seq_lengths[1] < columns:
        raise ValueError(
            f"block_mask was created for block_mask.shape={block_mask.shape} but got q_len={rows} and kv_len={columns}. As "
            "the block mask was created for a smaller length than you're using it for, you likely need to create a new "
            "block mask."
        )
    if block_mask.mask_mod is noop_mask:
        blocks = block_mask.to_dense().bool()
        size = block_mask.BLOCK_SIZE
        return blocks.repeat_interleave(size[0], -2).repeat_interleave(size[1], -1)[..., :rows, :columns]
    with torch.no_grad():
        found = _over_places(block_mask.mask_mod, False)(*_places(B, H, rows, columns, device))
    return found
