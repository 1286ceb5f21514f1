"""Stochastic gradient descent, optionally with momentum (Sutskever et al. 2013)."""

import flambeau as torch

from .optimizer import (
    Optimizer,
    _check,
    _check_fused,
    _check_tensor_lr,
    _run_step,
    _upgrade_groups,
    _value,
    _with_gradients,
)

__all__ = ["SGD", "sgd"]


class SGD(Optimizer):
    """param -= lr * (grad + weight_decay * param), or with momentum by a running sum of such gradients."""

    def __init__(
        self,
        params,
        lr=1e-3,
        momentum=0,
        dampening=0,
        weight_decay=0,
        nesterov=False,
        *,
        maximize=False,
        foreach=None,
        differentiable=False,
        fused=None,
    ):
        _check_tensor_lr(lr)
        _check(not lr < 0.0, f"Invalid learning rate: {lr}")
        _check(not momentum < 0.0, f"Invalid momentum value: {momentum}")
        _check(not weight_decay < 0.0, f"Invalid weight_decay value: {weight_decay}")
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        super().__init__(params, defaults)
        _check_fused(fused, differentiable, foreach)

    def __setstate__(self, state):
        super().__setstate__(state)
        _upgrade_groups(self, nesterov=False, maximize=False, foreach=None, differentiable=False, fused=False)

    def step(self, closure=None):
        return _run_step(self, closure)

    def _update_group(self, group):
        params, grads = _with_gradients(group)
        momentum = group["momentum"]
        if momentum != 0:
            buffers = [self.state[parameter].get("momentum_buffer") for parameter in params]
        else:
            buffers = [None] * len(params)
        sgd(
            params,
            grads,
            buffers,
            weight_decay=group["weight_decay"],
            momentum=momentum,
            lr=group["lr"],
            dampening=group["dampening"],
            nesterov=group["nesterov"],
            maximize=group["maximize"],
        )
        if momentum != 0:
            for parameter, buffer in zip(params, buffers):
                self.state[parameter]["momentum_buffer"] = buffer


def sgd(
    params,
    d_p_list,
    momentum_buffer_list,
    has_sparse_grad=False,
    foreach=None,
    fused=None,
    grad_scale=None,
    found_inf=None,
    *,
    weight_decay,
    momentum,
    lr,
    dampening,
    nesterov,
    maximize,
):
    """Updates `params` in place; buffers that are None are made and put into `momentum_buffer_list`."""
    if not torch.is_grad_enabled() and not any(grad.is_sparse for grad in d_p_list):
        _sgd(params, d_p_list, momentum_buffer_list, weight_decay, momentum, lr, dampening, nesterov, maximize)
        return
    for place, (param, grad) in enumerate(zip(params, d_p_list)):
        if maximize:
            grad = -grad
        if weight_decay != 0:
            grad = grad.add(param, alpha=_value(weight_decay))
        if momentum != 0:
            buffer = momentum_buffer_list[place]
            if buffer is None:
                buffer = momentum_buffer_list[place] = grad.detach().clone()
            else:
                buffer.mul_(momentum).add_(grad, alpha=1 - dampening)
            grad = grad.add(buffer, alpha=momentum) if nesterov else buffer
        if isinstance(lr, torch.Tensor) and lr.requires_grad:
            param.addcmul_(grad, lr, value=-1)
        else:
            param.add_(grad, alpha=-_value(lr))


def _sgd(params, grads, buffers, weight_decay, momentum, lr, dampening, nesterov, maximize):
    """The update without a graph; parameters whose buffer is still to be made go first."""

    def update(params, grads, buffers, first):
        torch._fused_sgd_(
            params,
            grads,
            buffers,
            weight_decay=_value(weight_decay),
            momentum=momentum,
            lr=_value(lr),
            dampening=dampening,
            nesterov=nesterov,
            maximize=maximize,
            is_first_step=first,
        )

    if momentum == 0:
        update(params, grads, [], False)
        return
    fresh = {place for place, buffer in enumerate(buffers) if buffer is None}
    for place in fresh:
        buffers[place] = torch.empty_like(grads[place])
    for first in (True, False):
        places = [place for place in range(len(params)) if (place in fresh) == first]
        if places:
            update(*([items[place] for place in places] for items in (params, grads, buffers)), first)
