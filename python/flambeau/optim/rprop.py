"""Resilient backpropagation (Riedmiller and Braun 1993)."""

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

__all__ = ["Rprop", "rprop"]


class Rprop(Optimizer):
    """Steps by the gradient's sign alone, each element with a step that grows while the sign stays the same."""

    def __init__(
        self,
        params,
        lr=1e-2,
        etas=(0.5, 1.2),
        step_sizes=(1e-6, 50),
        *,
        capturable=False,
        foreach=None,
        maximize=False,
        differentiable=False,
    ):
        _check_tensor_lr(lr)
        _check(0.0 <= lr, f"Invalid learning rate: {lr}")
        _check(0.0 < etas[0] < 1.0 < etas[1], f"Invalid eta values: {etas[0]}, {etas[1]}")
        defaults = {
            "lr": lr,
            "etas": etas,
            "step_sizes": step_sizes,
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
        _refuse_sparse("Rprop", grads)
        states = [self.state[parameter] for parameter in params]
        lr = _value(group["lr"])
        for parameter, grad, state in zip(params, grads, states):
            if not state:
                state["step"] = _new_step(parameter.device if group["capturable"] else None)
                state["prev"] = _zeros_like(parameter)
                start = complex(lr, lr) if parameter.is_complex() else lr
                state["step_size"] = torch.full_like(grad, start)
        smallest, largest = group["step_sizes"]
        shrink, grow = group["etas"]
        rprop(
            params,
            grads,
            [state["prev"] for state in states],
            [state["step_size"] for state in states],
            [state["step"] for state in states],
            capturable=group["capturable"],
            maximize=group["maximize"],
            differentiable=group["differentiable"],
            step_size_min=smallest,
            step_size_max=largest,
            etaminus=shrink,
            etaplus=grow,
        )


def rprop(
    params,
    grads,
    prevs,
    step_sizes,
    state_steps,
    foreach=None,
    capturable=False,
    maximize=False,
    differentiable=False,
    has_complex=False,
    *,
    step_size_min,
    step_size_max,
    etaminus,
    etaplus,
):
    """Updates `params` and their states in place."""
    _check_capturable(capturable, params)
    for param, grad, previous, size, step in zip(params, grads, prevs, step_sizes, state_steps):
        step += 1
        if maximize:
            grad = -grad
        if param.is_complex():
            param, grad, previous, size = _as_real(param, grad, previous, size)
        agreement = grad.mul(previous.clone() if differentiable else previous).sign()
        turned = agreement.lt(0)
        factor = torch.ones_like(agreement)
        factor[agreement.gt(0)] = etaplus
        factor[turned] = etaminus
        size.mul_(factor).clamp_(step_size_min, step_size_max)
        # Where the sign turned, this step is left out, and the next one starts without a memory.
        grad = grad.clone(memory_format=torch.preserve_format)
        grad[turned] = 0
        param.addcmul_(grad.sign(), size, value=-1)
        previous.copy_(grad)
