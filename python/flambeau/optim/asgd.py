"""Averaged stochastic gradient descent (Polyak and Juditsky 1992)."""

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
    _value,
    _with_gradients,
    _zeros_like,
)

__all__ = ["ASGD", "asgd"]


class ASGD(Optimizer):
    """Gradient descent with a shrinking rate, which also averages the parameters, from step `t0` on."""

    def __init__(
        self,
        params,
        lr=1e-2,
        lambd=1e-4,
        alpha=0.75,
        t0=1e6,
        weight_decay=0,
        foreach=None,
        maximize=False,
        differentiable=False,
        capturable=False,
    ):
        _check_tensor_lr(lr)
        _check(0.0 <= lr, f"Invalid learning rate: {lr}")
        _check(0.0 <= weight_decay, f"Invalid weight_decay value: {weight_decay}")
        _check(0.0 <= lambd, f"Invalid lambd value: {lambd}")
        _check(0.0 <= alpha, f"Invalid alpha value: {alpha}")
        defaults = {
            "lr": lr,
            "lambd": lambd,
            "alpha": alpha,
            "t0": t0,
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
        for entry in self.state.values():
            for name in ("step", "eta", "mu") if isinstance(entry, dict) and entry else ():
                if not isinstance(entry[name], torch.Tensor):
                    entry[name] = _new_step().fill_(float(entry[name]))

    def step(self, closure=None):
        return _run_step(self, closure)

    def _update_group(self, group):
        params, grads = _with_gradients(group)
        _refuse_sparse("ASGD", grads)
        states = [self.state[parameter] for parameter in params]
        for parameter, state in zip(params, states):
            if not state:
                device = parameter.device
                state["step"] = _new_step(device)
                state["eta"] = _new_step(device).fill_(_value(group["lr"]))
                state["mu"] = _new_step(device).fill_(1.0)
                state["ax"] = _zeros_like(parameter)
        asgd(
            params,
            grads,
            [state["ax"] for state in states],
            [state["mu"] for state in states],
            [state["eta"] for state in states],
            [state["step"] for state in states],
            maximize=group["maximize"],
            differentiable=group["differentiable"],
            capturable=group["capturable"],
            lambd=group["lambd"],
            lr=group["lr"],
            t0=group["t0"],
            alpha=group["alpha"],
            weight_decay=group["weight_decay"],
        )


def asgd(
    params,
    grads,
    axs,
    mus,
    etas,
    state_steps,
    foreach=None,
    maximize=False,
    differentiable=False,
    capturable=False,
    has_complex=False,
    *,
    lambd,
    lr,
    t0,
    alpha,
    weight_decay,
):
    """Updates `params` and their states in place."""
    _check_capturable(capturable, params, "params, mus, etas, and state_steps")
    lr = _value(lr)
    for param, grad, mean, mu, eta, step in zip(params, grads, axs, mus, etas, state_steps):
        if maximize:
            grad = -grad
        if param.is_complex():
            param, grad, mean = _as_real(param, grad, mean)
        step += 1
        count, rate = _value(step), _value(eta)
        if weight_decay != 0:
            grad = grad.add(param, alpha=weight_decay)
        param.mul_(1 - lambd * rate)
        param.add_(grad, alpha=-rate)
        share = mu.item()
        if share != 1:
            mean.add_(param.sub(mean).mul_(share))
        else:
            mean.copy_(param)
        eta.fill_(lr / ((1 + lambd * lr * count) ** alpha))
        mu.fill_(1 / max(1, count - t0))
