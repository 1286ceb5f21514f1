"""Operators that take functions: scans, attention by functions, and what programs ask of traced values."""

import pytest

import flambeau as torch
from flambeau._higher_order_ops import associative_scan
from flambeau.nn.attention import flex_attention as flex


def test_scans():
    x = torch.arange(1.0, 15).reshape(2, 7)
    assert associative_scan(lambda a, b: a + b, x, 1).equal(x.cumsum(1))
    for count in range(1, 7):
        part = x[:, :count].clone().requires_grad_()
        for mode in ("generic", "pointwise"):
            found = associative_scan(lambda a, b: a * b, part, -1, reverse=True, combine_mode=mode)
            assert found.allclose(part.flip(1).cumprod(1).flip(1))
        wanted = torch.autograd.grad(part.flip(1).cumprod(1).sum(), part)[0]
        assert torch.autograd.grad(found.sum(), part)[0].allclose(wanted)

    def linear(left, right):
        return {"a": left["a"] * right["a"], "b": right["a"] * left["b"] + right["b"]}

    rate, force = torch.rand(5, 3), torch.rand(5, 3)
    state, states = torch.zeros(3), []
    for r, f in zip(rate, force, strict=True):
        state = r * state + f
        states.append(state)
    for mode in ("generic", "pointwise"):
        assert associative_scan(linear, {"a": rate, "b": force}, 0, combine_mode=mode)["b"].allclose(
            torch.stack(states)
        )
    with pytest.raises(ValueError, match="same containers"):
        associative_scan(lambda a, b: (a, b), x, 0)


def causal(b, h, q, k):
    return q >= k


def test_attention_by_functions():
    torch.manual_seed(0)
    q, k, v = torch.randn(2, 4, 20, 8), torch.randn(2, 2, 24, 8), torch.randn(2, 2, 24, 6)
    blocks = flex.create_block_mask(causal, 1, 1, 20, 24, BLOCK_SIZE=8)
    mask = torch.ones(20, 24, dtype=torch.bool).tril()
    wide = [t.repeat_interleave(2, 1) for t in (k, v)]
    plain = torch.nn.functional.scaled_dot_product_attention(q, *wide, attn_mask=mask)
    assert flex.flex_attention(q, k, v, block_mask=blocks, enable_gqa=True).allclose(plain, atol=1e-6)
    slopes = torch.tensor([0.5, 0.25, 0.125, 0.0625])
    bias = slopes[:, None, None] * (torch.arange(20)[:, None] - torch.arange(24))
    wanted = torch.nn.functional.scaled_dot_product_attention(q, *wide, attn_mask=bias.expand(2, 4, 20, 24))
    have, more = flex.flex_attention(
        q,
        k,
        v,
        lambda score, b, h, i, j: score + slopes[h] * (i - j),
        enable_gqa=True,
        return_aux=flex.AuxRequest(lse=True),
    )
    assert have.allclose(wanted, atol=1e-6) and more.lse.shape == (2, 4, 20) and more.max_scores is None
    scores = q @ wide[0].transpose(2, 3) / 8**0.5 + bias
    assert more.lse.allclose(scores.logsumexp(-1))
    none = flex.create_block_mask(lambda b, h, i, j: i > j, None, None, 20, 24)
    q.requires_grad_()
    found = flex.flex_attention(q, k, v, block_mask=none, enable_gqa=True)
    found.sum().backward()
    assert not found[:, :, 0].any() and not q.grad.isnan().any()
    with pytest.raises(ValueError, match="enable_gqa=True"):
        flex.flex_attention(q, k, v)
    with pytest.raises(ValueError, match="smaller length"):
        flex.flex_attention(q, k, v, block_mask=blocks._adjust(16, 16), enable_gqa=True)


def test_masks_by_blocks():
    blocks = flex.create_block_mask(causal, 1, 1, 20, 24, BLOCK_SIZE=8)
    assert blocks.shape == (1, 1, 20, 24) and blocks.numel() == 480 and round(blocks.sparsity(), 2) == 33.33
    assert blocks.kv_num_blocks.tolist() == [[[1, 1, 3]]] and blocks.full_kv_num_blocks.tolist() == [[[0, 1, 0]]]
    assert blocks.kv_indices.tolist() == [[[[0, 1, 2], [1, 0, 2], [0, 1, 2]]]]
    assert blocks.q_indices.tolist() == [[[[0, 2, 1], [1, 2, 0], [2, 0, 1]]]]
    assert blocks.to_dense().tolist() == [[[[1, 0, 0], [1, 1, 0], [1, 1, 1]]]]
    assert blocks[:, :, 1:2].shape == (1, 1, 8, 24) and blocks[0].kv_indices.shape == (1, 1, 3, 3)
    cut = blocks._adjust(16, 16)
    assert (
        cut.shape == (1, 1, 16, 16)
        and cut.sparsity() == 25
        and "(0, 0)" in str(cut)
        and "BLOCK_SIZE=(8, 8)" in repr(cut)
    )
    again = flex.BlockMask.from_kv_blocks(
        blocks.kv_num_blocks, blocks.kv_indices, blocks.full_kv_num_blocks, blocks.full_kv_indices, 8
    )
    assert again.q_indices.equal(blocks.q_indices) and again.to("cpu").shape == (1, 1, 24, 24)
    both = flex.and_masks(causal, lambda b, h, i, j: i - j < 3)
    assert flex.create_mask(both, 1, 1, 5, 5).equal(torch.ones(1, 1, 5, 5, dtype=torch.bool).tril().triu(-2))
    either = flex.or_masks(causal, lambda b, h, i, j: i < 9)
    assert flex.create_mask(either, None, None, 5, 5).all()
    inner = flex.create_mask(lambda s, b, h, i, j: torch.where(i > j, s, -float("inf")), 1, 1, 3, 3)
    assert inner[0, 0].equal(torch.ones(3, 3, dtype=torch.bool).tril(-1))


def test_conditions_and_sizes():
    from flambeau.fx.experimental.symbolic_shapes import guard_or_false, statically_known_true

    assert torch._check(True) is None and torch._check_tensor_all(torch.tensor([True, True])) is None
    for kind, check in (
        (RuntimeError, torch._check), (IndexError, torch._check_index), (ValueError, torch._check_value),
        (TypeError, torch._check_type), (NotImplementedError, torch._check_not_implemented),
    ):  # fmt: skip
        with pytest.raises(kind, match="reason"):
            check(False, lambda: "reason")
        with pytest.raises(TypeError):
            check(1)
    with pytest.raises(RuntimeError):
        torch._check_tensor_all(torch.tensor([True, False]))
    assert (torch.sym_int(-2.7), torch.sym_float(2), torch.sym_not(0), torch.sym_ite(True, 1, 2)) == (-2, 2.0, True, 1)
    assert (torch.sym_max(3, 2.0), torch.sym_min(3, 2), torch.sym_sum([1, 2]), torch.sym_sqrt(4)) == (3.0, 2, 3, 2.0)
    assert type(torch.sym_max(3, 2.0)) is float and guard_or_false(True) and not statically_known_true(False)
    assert torch.get_device_module("cpu") is torch.cpu and torch.get_device_module(torch.device("cuda")) is torch.cuda
    for wrong in ("meta", 3):
        with pytest.raises(RuntimeError):
            torch.get_device_module(wrong)
    x, grad = torch.randn(2, 3, requires_grad=True), torch.randn(2, 3)
    y = x.softmax(1)
    y.backward(grad)
    assert torch._softmax_backward_data(grad, y, 1, torch.float32).allclose(x.grad)
    assert not torch.mtia.is_available() and torch._dynamo.assume_constant_result(max) is max
    from flambeau._dynamo._trace_wrapped_higher_order_op import TransformGetItemToIndex

    with TransformGetItemToIndex():
        assert torch.vmap(lambda i: grad[i])(torch.tensor([1, 0])).equal(grad.flip(0))
