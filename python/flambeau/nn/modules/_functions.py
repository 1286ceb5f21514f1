"""Autograd functions behind module hooks."""

import flambeau as torch


class BackwardHookFunction(torch.autograd.Function):
    """The identity, as one node over all its tensors, for hooks to be attached to."""

    @staticmethod
    def forward(ctx, *args):
        ctx.mark_non_differentiable(*(tensor for tensor in args if not tensor.requires_grad))
        return args

    @staticmethod
    def backward(ctx, *args):
        return args
