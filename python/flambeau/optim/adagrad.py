"""Adagrad (Duchi et al. 2011)."""

import flambeau as torch

from .optimizer import (
    Optimizer,
    _as_real,
    _check,
    _check_fused,
    _check_tensor_lr,
    _new_step,
    _run_step,
    _upgrade_groups,
    _upgrade_steps,
    _value,
    _with_gradients,
)

__all__ = ["Adagrad", "adagrad"]


class Adagrad(Optimizer):
    """Divides the gradient by the root of the sum of all its squares so far."""

    def __init__(
        self,
        params,
        lr=1e-2,
        lr_decay=0,
        weight_decay=0,
        initial_accumulator_value=0,
        eps=1e-10,
        foreach=None,
        *,
        maximize=False,
        differentiable=False,
        fused=None,
    ):
        _check_tensor_lr(lr)
        _check(0.0 <= lr, f"Invalid learning rate: {lr}")
        _check(0.0 <= lr_decay, f"Invalid lr_decay value: {lr_decay}")
        _check(0.0 <= weight_decay, f"Invalid weight_decay value: {weight_decay}")
        _check(
            0.0 <= initial_accumulator_value,
            f"Invalid initial_accumulator_value value: {initial_accumulator_value}",
        )
        _check(0.0 <= eps, f"Invalid epsilon value: {eps}")
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)
        _check_fused(fused, differentiable, foreach)
        for group in self.param_groups:
            for parameter in group["params"]:
                state = self.state[parameter]
                state["step"] = _new_step(parameter.device if group["fused"] else None)
                start = group["initial_accumulator_value"]
                state["sum"] = torch.full_like(
                    parameter,
                    complex(start, start) if parameter.is_complex() else start,
                    memory_format=torch.preserve_format,
                )

    def __setstate__(self, state):
        super().__setstate__(state)
        _upgrade_groups(self, foreach=None, maximize=False, differentiable=False, fused=None)
        _upgrade_steps(self)

    def share_memory(self):
        """Moves the sums to shared memory."""
        for group in self.param_groups:
            for parameter in group["params"]:
                self.state[parameter]["sum"].share_memory_()

    def step(self, closure=None):
        return _run_step(self, closure)

    def _update_group(self, group):
        params, grads = _with_gradients(group)
        states = [self.state[parameter] for parameter in params]
        adagrad(
            params,
            grads,
            [state["sum"] for state in states],
            [state["step"] for state in states],
            differentiable=group["differentiable"],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            lr_decay=group["lr_decay"],
            eps=group["eps"],
            maximize=group["maximize"],
        )


def adagrad(
    params,
    grads,
    state_sums,
    state_steps,
    fused=None,
    grad_scale=None,
    found_inf=None,
    has_sparse_grad=False,
    foreach=None,
    differentiable=False,
    has_complex=False,
    *,
    lr,
    weight_decay,
    lr_decay,
    eps,
    maximize,
):
    """Updates `params` and their states in place; sparse gradients touch their own rows only."""
    lr = _value(lr)
    if not differentiable and not any(grad.is_sparse for grad in grads):
        torch._C._foreach_add_(state_steps, 1)
        torch._fused_adagrad_(
            params,
            grads,
            state_sums,
            state_steps,
            lr=lr,
            lr_decay=lr_decay,
            weight_decay=weight_decay,
            eps=eps,
            maximize=maximize,
        )
        return
    for param, grad, total, step in zip(params, grads, state_sums, state_steps):
        step += 1
        rate = lr / (1 + (_value(step) - 1) * lr_decay)
        if maximize:
            grad = -grad
        if weight_decay != 0:
            if grad.is_sparse:
                raise RuntimeError("weight_decay option is not compatible with sparse gradients")
            grad = grad.add(param, alpha=weight_decay)
        if grad.is_sparse:
            _update_sparse(param, grad, total, rate, eps)
            continue
        if param.is_complex():
            param, grad, total = _as_real(param, grad, total)
        total.addcmul_(grad, grad, value=1)
        root = total.sqrt() + eps if differentiable else total.sqrt().add_(eps)
        param.addcdiv_(grad, root, value=-rate)


def _update_sparse(param, grad, total, rate, eps):
    grad = grad.coalesce()  # the update is not linear: equal indices have to be added up first
    indices, values = grad._indices(), grad._values()

    def sparse(values):
        if indices.dim() == 0 or values.dim() == 0:
            return torch.empty_like(grad)
        return torch._C._sparse_coo_tensor(indices, values, list(grad.size()), True)

    total.add_(sparse(values.pow(2)))
    root = total.sparse_mask(grad)._values().sqrt_().add_(eps)
    param.add_(sparse(values / root), alpha=-rate)
