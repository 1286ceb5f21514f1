"""Adamax: Adam in the infinity norm (Kingma and Ba 2015)."""

import flambeau as torch

from .optimizer import (
    Optimizer,
    _as_real,
    _check,
    _check_betas,
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

__all__ = ["Adamax", "adamax"]


class Adamax(Optimizer):
    """Divides the running mean of the gradients by a decaying maximum of their magnitudes."""

    def __init__(
        self,
        params,
        lr=2e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0,
        foreach=None,
        *,
        maximize=False,
        differentiable=False,
        capturable=False,
    ):
        _check_tensor_lr(lr)
        _check(0.0 <= lr, f"Invalid learning rate: {lr}")
        _check(0.0 <= eps, f"Invalid epsilon value: {eps}")
        _check_betas(betas)
        _check(0.0 <= weight_decay, f"Invalid weight_decay value: {weight_decay}")
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def __setstate__(self, state):
        super().__setstate__(state)
        _upgrade_groups(self, foreach=None, maximize=False, differentiable=False, capturable=False)
        _upgrade_steps(self)

    def step(self, closure=None):
        return _run_step(self, closure)

    def _update_group(self, group):
        params, grads = _with_gradients(group)
        _refuse_sparse("Adamax", grads)
        states = [self.state[parameter] for parameter in params]
        for parameter, state in zip(params, states):
            if not state:
                state["step"] = _new_step(parameter.device if group["capturable"] else None)
                state["exp_avg"] = _zeros_like(parameter)
                state["exp_inf"] = _zeros_like(parameter)
        beta1, beta2 = group["betas"]
        adamax(
            params,
            grads,
            [state["exp_avg"] for state in states],
            [state["exp_inf"] for state in states],
            [state["step"] for state in states],
            maximize=group["maximize"],
            differentiable=group["differentiable"],
            capturable=group["capturable"],
            eps=group["eps"],
            beta1=beta1,
            beta2=beta2,
            lr=group["lr"],
            weight_decay=group["weight_decay"],
        )


def adamax(
    params,
    grads,
    exp_avgs,
    exp_infs,
    state_steps,
    foreach=None,
    maximize=False,
    differentiable=False,
    capturable=False,
    has_complex=False,
    *,
    eps,
    beta1,
    beta2,
    lr,
    weight_decay,
):
    """Updates `params` and their states in place."""
    _check_capturable(capturable, params)
    lr = _value(lr)
    for param, grad, avg, largest, step in zip(params, grads, exp_avgs, exp_infs, state_steps):
        if maximize:
            grad = -grad
        step += 1
        if weight_decay != 0:
            grad = grad.add(param, alpha=weight_decay)
        if param.is_complex():
            param, grad, avg, largest = _as_real(param, grad, avg, largest)
        avg.lerp_(grad, 1 - beta1)
        if differentiable:
            largest.copy_(torch.maximum(largest * beta2, grad.abs() + eps))
        else:
            torch.maximum(largest.mul_(beta2), grad.abs().add_(eps), out=largest)
        correction = 1 - beta1 ** _value(step)
        param.addcdiv_(avg, largest, value=-(lr / correction))
