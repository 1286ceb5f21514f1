"""Adadelta (Zeiler 2012)."""

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

__all__ = ["Adadelta", "adadelta"]


class Adadelta(Optimizer):
    """Scales the gradient by the ratio of the running sizes of past updates and past gradients."""

    def __init__(
        self,
        params,
        lr=1.0,
        rho=0.9,
        eps=1e-6,
        weight_decay=0,
        foreach=None,
        *,
        capturable=False,
        maximize=False,
        differentiable=False,
    ):
        _check_tensor_lr(lr)
        _check(0.0 <= lr, f"Invalid learning rate: {lr}")
        _check(0.0 <= rho <= 1.0, f"Invalid rho value: {rho}")
        _check(0.0 <= eps, f"Invalid epsilon value: {eps}")
        _check(0.0 <= weight_decay, f"Invalid weight_decay value: {weight_decay}")
        defaults = {
            "lr": lr,
            "rho": rho,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "capturable": capturable,
            "foreach": foreach,
            "differentiable": differentiable,
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
        _refuse_sparse("Adadelta", grads)
        states = [self.state[parameter] for parameter in params]
        for parameter, state in zip(params, states):
            if not state:
                state["step"] = _new_step(parameter.device if group["capturable"] else None)
                state["square_avg"] = _zeros_like(parameter)
                state["acc_delta"] = _zeros_like(parameter)
        adadelta(
            params,
            grads,
            [state["square_avg"] for state in states],
            [state["acc_delta"] for state in states],
            [state["step"] for state in states],
            capturable=group["capturable"],
            differentiable=group["differentiable"],
            lr=group["lr"],
            rho=group["rho"],
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            maximize=group["maximize"],
        )


def adadelta(
    params,
    grads,
    square_avgs,
    acc_deltas,
    state_steps,
    capturable=False,
    foreach=None,
    differentiable=False,
    has_complex=False,
    *,
    lr,
    rho,
    eps,
    weight_decay,
    maximize,
):
    """Updates `params` and their states in place."""
    _check_capturable(capturable, params)
    lr = _value(lr)
    for param, grad, square, deltas, step in zip(params, grads, square_avgs, acc_deltas, state_steps):
        step += 1
        if maximize:
            grad = -grad
        if weight_decay != 0:
            grad = grad.add(param, alpha=weight_decay)
        if param.is_complex():
            param, grad, square, deltas = _as_real(param, grad, square, deltas)
        square.mul_(rho).addcmul_(grad, grad, value=1 - rho)
        root = square.add(eps).sqrt_()
        delta = deltas.add(eps).sqrt_()
        if differentiable:
            delta = delta.clone()
        delta.div_(root).mul_(grad)
        deltas.mul_(rho).addcmul_(delta, delta, value=1 - rho)
        param.add_(delta, alpha=-lr)
