"""Adafactor (Shazeer and Stern 2018)."""

import flambeau as torch

from .optimizer import (
    Optimizer,
    _check,
    _new_step,
    _refuse_sparse,
    _run_step,
    _upgrade_groups,
    _upgrade_steps,
    _value,
    _with_gradients,
    _zeros_like,
)

__all__ = ["Adafactor", "adafactor"]


class Adafactor(Optimizer):
    """Keeps the running squares of a matrix's gradients as their row and column means only."""

    def __init__(
        self,
        params,
        lr=1e-2,
        beta2_decay=-0.8,
        eps=(None, 1e-3),
        d=1.0,
        weight_decay=0.0,
        *,
        foreach=None,
        maximize=False,
    ):
        if isinstance(lr, torch.Tensor) and lr.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
        _check(0.0 <= lr, f"Learning rate should be >= 0 but is: {lr}")
        _check(0.0 >= beta2_decay, f"beta2_decay should be <= 0 but is: {beta2_decay}")
        _check(eps[0] is None or 0.0 <= eps[0], f"epsilon1 should be >= 0 but is: {eps[0]}")
        _check(0.0 <= eps[1], f"epsilon2 should be >= 0 but is: {eps[1]}")
        _check(1.0 <= d, f"Clipping threshold d should be >= 1 but is: {d}")
        _check(0.0 <= weight_decay, f"weight_decay should be >= 0 but is: {weight_decay}")
        defaults = {
            "lr": lr,
            "beta2_decay": beta2_decay,
            "eps": eps,
            "d": d,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def __setstate__(self, state):
        super().__setstate__(state)
        _upgrade_groups(self, foreach=None)
        _upgrade_steps(self)

    def step(self, closure=None):
        return _run_step(self, closure)

    def _update_group(self, group):
        params, grads = _with_gradients(group)
        _refuse_sparse("Adafactor", grads)
        if any(parameter.is_complex() for parameter in params):
            raise RuntimeError("Adafactor does not support complex parameters")
        states = [self.state[parameter] for parameter in params]
        for grad, state in zip(grads, states):
            if not state:
                state["step"] = _new_step()
                if grad.dim() > 1:
                    shape = list(grad.shape)
                    state["row_var"] = grad.new_zeros([*shape[:-1], 1])
                    state["col_var"] = grad.new_zeros([*shape[:-2], 1, shape[-1]])
                else:
                    state["variance"] = _zeros_like(grad)
        eps1, eps2 = group["eps"]
        adafactor(
            params,
            grads,
            [state.get("row_var") for state in states],
            [state.get("col_var") for state in states],
            [state.get("variance") for state in states],
            [state["step"] for state in states],
            d=group["d"],
            lr=group["lr"],
            beta2_decay=group["beta2_decay"],
            weight_decay=group["weight_decay"],
            eps1=eps1,
            eps2=eps2,
            maximize=group["maximize"],
        )


def adafactor(
    params,
    grads,
    row_vars,
    col_vars,
    variances,
    state_steps,
    foreach=None,
    grad_scale=None,
    found_inf=None,
    has_complex=False,
    *,
    d,
    lr,
    beta2_decay,
    weight_decay,
    eps1,
    eps2,
    maximize,
):
    """Updates `params` and their states in place; a parameter has rows and columns, or a variance."""
    lr = _value(lr)
    for place, (param, grad) in enumerate(zip(params, grads)):
        step = state_steps[place]
        if maximize:
            grad = -grad
        floor = torch.finfo(param.dtype).eps if eps1 is None else eps1
        step += 1
        count = step.item()
        weight = count**beta2_decay
        rate = min(lr, 1 / (count**0.5))
        scale = max(eps2, param.norm(2).item() / (param.numel() ** 0.5)) * rate
        if weight_decay != 0:
            param.mul_(1 - lr * weight_decay)
        if grad.dim() > 1:
            rows, columns = row_vars[place], col_vars[place]
            mean = torch.norm(grad, dim=-1, keepdim=True).square_().div_(grad.size(-1))
            rows.lerp_(mean, weight)
            mean = torch.norm(grad, dim=-2, keepdim=True).square_().div_(grad.size(-2))
            columns.lerp_(mean, weight)
            estimate = rows @ columns
            estimate.div_(rows.mean(dim=-2, keepdim=True).clamp_(min=floor))
        else:
            variance = variances[place]
            variance.lerp_(grad.square(), weight)
            estimate = variance.clone()
        update = estimate.clamp_(min=floor * floor).rsqrt_().mul_(grad)
        size = max(1.0, update.norm(2).item() / ((update.numel() ** 0.5) * d))
        param.add_(update, alpha=-scale / size)
