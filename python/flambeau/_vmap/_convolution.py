"""Convolutions of all samples with one kernel that has a gradient for each sample."""

import flambeau as torch

_SPACE = {"conv1d": 1, "conv2d": 2, "conv3d": 3}


def shared_convolution(call, value, weight):
    """The results of all samples as one batch, or None where the general way has to do.

    `value` is [B, N, C, ...]; `weight` is one kernel as a view with a stride of 0 along the hidden dimension.
    """
    name = call.op.name
    if _SPACE.get(name) != 2 or call["groups"] != 1 or isinstance(call["padding"], str):
        return None
    settings = tuple(
        (call[key], call[key]) if isinstance(call[key], int) else tuple(call[key])
        for key in ("stride", "padding", "dilation")
    )
    settings = tuple(pair * 2 if len(pair) == 1 else pair for pair in settings)
    return _Shared.apply(value, weight, *settings)


class _Shared(torch.autograd.Function):
    """conv2d of [B, N, C, H, W] with a kernel for each of B that are all the same: the kernel is read once."""

    @staticmethod
    def forward(ctx, images, kernels, stride, padding, dilation):
        ctx.save_for_backward(images, kernels)
        ctx.settings = stride, padding, dilation
        return torch.conv2d(images.flatten(0, 1), kernels[0], None, stride, padding, dilation)

    @staticmethod
    def backward(ctx, gradient):
        images, kernels = ctx.saved_tensors
        stride, padding, dilation = ctx.settings
        of_images = of_kernels = None
        size = images.shape[-2:]
        if torch.is_grad_enabled():
            # To be differentiated again: by operators that are.
            return (*_by_operators(ctx, images, kernels, gradient), None, None, None)
        if ctx.needs_input_grad[0]:
            spare = [
                size[i] - ((gradient.shape[2 + i] - 1) * stride[i] - 2 * padding[i]
                           + dilation[i] * (kernels.shape[-2 + i] - 1) + 1)
                for i in (0, 1)
            ]  # fmt: skip
            flat = torch.conv_transpose2d(gradient, kernels[0], None, stride, padding, spare, 1, dilation)
            of_images = flat.reshape(images.shape)
        if ctx.needs_input_grad[1]:
            of_kernels = _of_kernels(images, kernels, gradient, stride, padding, dilation)
        return of_images, of_kernels, None, None, None


def _of_kernels(images, kernels, gradient, stride, padding, dilation):
    """Gradients of the kernel, one for each sample: products of columns with cotangents."""
    batch, count = images.shape[:2]
    columns = torch.nn.functional.unfold(images.flatten(0, 1), kernels.shape[-2:], dilation, padding, stride)
    gradient = gradient.reshape(batch, count, gradient.shape[1], -1)
    columns = columns.reshape(batch, count, *columns.shape[1:])
    if count == 1:
        made = gradient[:, 0] @ columns[:, 0].mT
    else:
        made = gradient.movedim(2, 1).flatten(2) @ columns.movedim(2, 1).flatten(2).mT
    return made.reshape(batch, *kernels.shape[1:])


def _by_operators(ctx, images, kernels, gradient):
    batch = images.shape[0]
    stride, padding, dilation = ctx.settings
    with torch.enable_grad():
        one, two = images.view_as(images), kernels.view_as(kernels)
        one, two = (t if t.requires_grad else t.detach().requires_grad_() for t in (one, two))
        made = torch.conv2d(
            one.movedim(0, 1).flatten(1, 2), two.flatten(0, 1), None, stride, padding, dilation, batch
        ).unflatten(1, (batch, -1)).movedim(1, 0).flatten(0, 1)  # fmt: skip
        found = torch.autograd.grad(made, (one, two), gradient, create_graph=True)
    return tuple(g if need else None for g, need in zip(found, ctx.needs_input_grad))
