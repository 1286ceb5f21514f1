"""Adam (Kingma and Ba 2015)."""

import flambeau as torch

from .optimizer import (
    Optimizer,
    _as_real,
    _check,
    _check_betas,
    _check_capturable,
    _check_fused,
    _check_tensor_lr,
    _new_step,
    _run_step,
    _upgrade_groups,
    _upgrade_steps,
    _value,
    _with_gradients,
    _zeros_like,
)

__all__ = ["Adam", "adam"]


class Adam(Optimizer):
    """Steps along the running mean of the gradients divided by the root of that of their squares.

    `amsgrad` divides by the largest such root so far (Reddi et al. 2018); `decoupled_weight_decay` makes it AdamW.
    """

    def __init__(
        self,
        params,
        lr=1e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0,
        amsgrad=False,
        *,
        foreach=None,
        maximize=False,
        capturable=False,
        differentiable=False,
        fused=None,
        decoupled_weight_decay=False,
    ):
        _check_tensor_lr(lr, foreach, capturable)
        _check(0.0 <= lr, f"Invalid learning rate: {lr}")
        _check(0.0 <= eps, f"Invalid epsilon value: {eps}")
        _check_betas(betas)
        _check(0.0 <= weight_decay, f"Invalid weight_decay value: {weight_decay}")
        _check_tensor_betas(betas, foreach, capturable)
        defaults = {
            "lr": lr,
            "betas": (betas[0], betas[1]),
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)
        _check_fused(fused, differentiable, foreach)

    def __setstate__(self, state):
        super().__setstate__(state)
        _upgrade_groups(
            self,
            amsgrad=False,
            maximize=False,
            foreach=None,
            capturable=False,
            differentiable=False,
            decoupled_weight_decay=False,
            fused=None,
        )
        _upgrade_steps(self)

    def step(self, closure=None):
        return _run_step(self, closure)

    def _update_group(self, group):
        params, grads = _with_gradients(group)
        if any(grad.is_sparse for grad in grads):
            raise RuntimeError("Adam does not support sparse gradients, please consider SparseAdam instead")
        states = [self.state[parameter] for parameter in params]
        amsgrad = group["amsgrad"]
        on_device = group["capturable"] or group["fused"]
        for parameter, state in zip(params, states):
            if not state:
                state["step"] = _new_step(parameter.device if on_device else None)
                state["exp_avg"] = _zeros_like(parameter)
                state["exp_avg_sq"] = _zeros_like(parameter)
                if amsgrad:
                    state["max_exp_avg_sq"] = _zeros_like(parameter)
        beta1, beta2 = group["betas"]
        adam(
            params,
            grads,
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [state["max_exp_avg_sq"] for state in states] if amsgrad else [],
            [state["step"] for state in states],
            capturable=group["capturable"],
            differentiable=group["differentiable"],
            decoupled_weight_decay=group["decoupled_weight_decay"],
            amsgrad=amsgrad,
            beta1=beta1,
            beta2=beta2,
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=group["maximize"],
        )


def _check_tensor_betas(betas, foreach, capturable):
    tensors = [isinstance(beta, torch.Tensor) for beta in betas]
    if tensors[0] != tensors[1]:
        raise ValueError("betas must be either both floats or both Tensors")
    for place, beta in enumerate(betas):
        if tensors[place]:
            if not capturable and foreach:
                raise ValueError(f"betas[{place}] as a Tensor is not supported for capturable=False and foreach=True")
            if beta.numel() != 1:
                raise ValueError(f"Tensor betas[{place}] must be 1-element")


def adam(
    params,
    grads,
    exp_avgs,
    exp_avg_sqs,
    max_exp_avg_sqs,
    state_steps,
    foreach=None,
    capturable=False,
    differentiable=False,
    fused=None,
    grad_scale=None,
    found_inf=None,
    has_complex=False,
    decoupled_weight_decay=False,
    *,
    amsgrad,
    beta1,
    beta2,
    lr,
    weight_decay,
    eps,
    maximize,
):
    """Updates `params` and their states in place; `max_exp_avg_sqs` is used with `amsgrad` only."""
    _check_capturable(capturable, params)
    if not differentiable:
        torch._C._foreach_add_(state_steps, 1)
        step = torch._fused_adamw_ if decoupled_weight_decay else torch._fused_adam_
        step(
            params,
            grads,
            exp_avgs,
            exp_avg_sqs,
            max_exp_avg_sqs,
            state_steps,
            lr=_value(lr),
            beta1=_value(beta1),
            beta2=_value(beta2),
            weight_decay=_value(weight_decay),
            eps=eps,
            amsgrad=amsgrad,
            maximize=maximize,
        )
        return
    for place, (param, grad) in enumerate(zip(params, grads)):
        avg, avg_sq, step = exp_avgs[place], exp_avg_sqs[place], state_steps[place]
        largest = max_exp_avg_sqs[place] if amsgrad else None
        if maximize:
            grad = -grad
        step += 1
        if weight_decay != 0:
            if decoupled_weight_decay:
                param.mul_(1 - lr * weight_decay)
            else:
                grad = grad.add(param, alpha=_value(weight_decay))
        if param.is_complex():
            param, grad, avg, avg_sq, largest = _as_real(param, grad, avg, avg_sq, largest)
        avg.lerp_(grad, 1 - beta1)
        if isinstance(beta2, torch.Tensor):
            avg_sq.mul_(beta2).add_(grad * grad * (1 - beta2))
        else:
            avg_sq.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        correction1 = 1 - beta1**step
        correction2_root = (1 - beta2**step) ** 0.5
        second = avg_sq
        if amsgrad:
            # The copy keeps the maximum's inputs as they were for the backward pass.
            largest.copy_(torch.maximum(largest.clone(), avg_sq))
            second = largest
        step_size = lr / correction1
        # eps is divided with the rest, so that one division by a tensor does for both.
        denominator = second.sqrt() / (correction2_root * -step_size) + eps / -step_size
        param.addcdiv_(avg, denominator)
