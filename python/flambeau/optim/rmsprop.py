"""RMSprop (Hinton's lecture 6e, 2012)."""

import flambeau as torch

from .optimizer import (
    Optimizer,
    _as_real,
    _check,
    _check_capturable,
    _check_tensor_lr,
    _new_step,
    _refuse_sparse,
    _run_step,
    _upgrade_groups,
    _upgrade_steps,
    _value,
    _with_gradients,
    _zeros_like,
)

__all__ = ["RMSprop", "rmsprop"]


class RMSprop(Optimizer):
    """Divides the gradient by the root of the running mean of its squares, `centered` by that of its variance."""

    def __init__(
        self,
        params,
        lr=1e-2,
        alpha=0.99,
        eps=1e-8,
        weight_decay=0,
        momentum=0,
        centered=False,
        capturable=False,
        foreach=None,
        maximize=False,
        differentiable=False,
    ):
        _check_tensor_lr(lr)
        _check(0.0 <= lr, f"Invalid learning rate: {lr}")
        _check(0.0 <= eps, f"Invalid epsilon value: {eps}")
        _check(0.0 <= momentum, f"Invalid momentum value: {momentum}")
        _check(0.0 <= weight_decay, f"Invalid weight_decay value: {weight_decay}")
        _check(0.0 <= alpha, f"Invalid alpha value: {alpha}")
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "capturable": capturable,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def __setstate__(self, state):
        super().__setstate__(state)
        _upgrade_groups(
            self,
            momentum=0,
            centered=False,
            foreach=None,
            maximize=False,
            differentiable=False,
            capturable=False,
        )
        _upgrade_steps(self)

    def step(self, closure=None):
        return _run_step(self, closure)

    def _update_group(self, group):
        params, grads = _with_gradients(group)
        _refuse_sparse("RMSprop", grads)
        states = [self.state[parameter] for parameter in params]
        momentum, centered = group["momentum"], group["centered"]
        for parameter, state in zip(params, states):
            if not state:
                state["step"] = _new_step(parameter.device if group["capturable"] else None)
                state["square_avg"] = _zeros_like(parameter)
                if momentum > 0:
                    state["momentum_buffer"] = _zeros_like(parameter)
                if centered:
                    state["grad_avg"] = _zeros_like(parameter)
        rmsprop(
            params,
            grads,
            [state["square_avg"] for state in states],
            [state["grad_avg"] for state in states] if centered else [],
            [state["momentum_buffer"] for state in states] if momentum > 0 else [],
            [state["step"] for state in states],
            maximize=group["maximize"],
            differentiable=group["differentiable"],
            capturable=group["capturable"],
            lr=group["lr"],
            alpha=group["alpha"],
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            momentum=momentum,
            centered=centered,
        )


def rmsprop(
    params,
    grads,
    square_avgs,
    grad_avgs,
    momentum_buffer_list,
    state_steps,
    foreach=None,
    maximize=False,
    differentiable=False,
    capturable=False,
    has_complex=False,
    *,
    lr,
    alpha,
    eps,
    weight_decay,
    momentum,
    centered,
):
    """Updates `params` and their states in place."""
    _check_capturable(capturable, params)
    lr = _value(lr)
    if not differentiable:
        torch._C._foreach_add_(state_steps, 1)
        torch._fused_rmsprop_(
            params,
            grads,
            square_avgs,
            grad_avgs,
            momentum_buffer_list,
            lr=lr,
            alpha=alpha,
            eps=eps,
            weight_decay=weight_decay,
            momentum=momentum,
            centered=centered,
            maximize=maximize,
        )
        return
    for place, (param, grad) in enumerate(zip(params, grads)):
        square = square_avgs[place]
        mean = grad_avgs[place] if centered else None
        buffer = momentum_buffer_list[place] if momentum > 0 else None
        step = state_steps[place]
        step += 1
        if maximize:
            grad = -grad
        if weight_decay != 0:
            grad = grad.add(param, alpha=weight_decay)
        if param.is_complex():
            param, grad, square, mean, buffer = _as_real(param, grad, square, mean, buffer)
        square.mul_(alpha).addcmul_(grad, grad, value=1 - alpha)
        if centered:
            mean.lerp_(grad, 1 - alpha)
            root = square.addcmul(mean, mean, value=-1).sqrt_()
        else:
            root = square.sqrt()
        root = root.add(eps)
        if momentum > 0:
            buffer.mul_(momentum).addcdiv_(grad, root)
            param.add_(buffer, alpha=-lr)
        else:
            param.addcdiv_(grad, root, value=-lr)
