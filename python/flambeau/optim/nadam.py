"""NAdam: Adam with Nesterov momentum (Dozat 2016)."""

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

__all__ = ["NAdam", "nadam"]


class NAdam(Optimizer):
    """Adam that looks one momentum step ahead, with a momentum that grows over time."""

    def __init__(
        self,
        params,
        lr=2e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0,
        momentum_decay=4e-3,
        decoupled_weight_decay=False,
        *,
        foreach=None,
        maximize=False,
        capturable=False,
        differentiable=False,
    ):
        _check_tensor_lr(lr)
        _check(0.0 <= lr, f"Invalid learning rate: {lr}")
        _check(0.0 <= eps, f"Invalid epsilon value: {eps}")
        _check_betas(betas)
        _check(0.0 <= weight_decay, f"Invalid weight_decay value: {weight_decay}")
        _check(0.0 <= momentum_decay, f"Invalid momentum_decay value: {momentum_decay}")
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def __setstate__(self, state):
        super().__setstate__(state)
        _upgrade_groups(
            self,
            maximize=False,
            foreach=None,
            capturable=False,
            differentiable=False,
            decoupled_weight_decay=False,
        )
        _upgrade_steps(self)
        for entry in self.state.values():
            product = entry.get("mu_product") if isinstance(entry, dict) else None
            if isinstance(product, float):
                entry["mu_product"] = _new_step().fill_(product)

    def step(self, closure=None):
        return _run_step(self, closure)

    def _update_group(self, group):
        params, grads = _with_gradients(group)
        _refuse_sparse("NAdam", grads)
        states = [self.state[parameter] for parameter in params]
        for parameter, state in zip(params, states):
            if not state:
                device = parameter.device if group["capturable"] else None
                state["step"] = _new_step(device)
                state["mu_product"] = _new_step(device).fill_(1.0)
                state["exp_avg"] = _zeros_like(parameter)
                state["exp_avg_sq"] = _zeros_like(parameter)
        beta1, beta2 = group["betas"]
        nadam(
            params,
            grads,
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [state["mu_product"] for state in states],
            [state["step"] for state in states],
            decoupled_weight_decay=group["decoupled_weight_decay"],
            capturable=group["capturable"],
            differentiable=group["differentiable"],
            maximize=group["maximize"],
            beta1=beta1,
            beta2=beta2,
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            momentum_decay=group["momentum_decay"],
            eps=group["eps"],
        )


def nadam(
    params,
    grads,
    exp_avgs,
    exp_avg_sqs,
    mu_products,
    state_steps,
    decoupled_weight_decay=False,
    foreach=None,
    capturable=False,
    differentiable=False,
    has_complex=False,
    maximize=False,
    *,
    beta1,
    beta2,
    lr,
    weight_decay,
    momentum_decay,
    eps,
):
    """Updates `params` and their states in place."""
    _check_capturable(capturable, params, "params, mu_products and state_steps")
    lr = _value(lr)
    for place, (param, grad) in enumerate(zip(params, grads)):
        avg, avg_sq = exp_avgs[place], exp_avg_sqs[place]
        product, step = mu_products[place], state_steps[place]
        if maximize:
            grad = -grad
        if param.is_complex():
            param, grad, avg, avg_sq = _as_real(param, grad, avg, avg_sq)
        step += 1
        count = _value(step)
        if weight_decay != 0:
            if decoupled_weight_decay:
                param.mul_(1 - lr * weight_decay)
            else:
                grad = grad.add(param, alpha=weight_decay)
        mu = beta1 * (1.0 - 0.5 * (0.96 ** (count * momentum_decay)))
        mu_next = beta1 * (1.0 - 0.5 * (0.96 ** ((count + 1) * momentum_decay)))
        product *= mu
        avg.lerp_(grad, 1 - beta1)
        avg_sq.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        root = avg_sq.div(1 - beta2**count).sqrt()
        root = root.add(eps) if differentiable else root.add_(eps)
        so_far = _value(product)
        param.addcdiv_(grad, root, value=-lr * (1.0 - mu) / (1.0 - so_far))
        param.addcdiv_(avg, root, value=(-lr * mu_next) / (1.0 - so_far * mu_next))
