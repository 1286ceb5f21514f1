"""Adam for sparse gradients: only rows with a gradient are touched, their running means included."""

import flambeau as torch

from .optimizer import Optimizer, _check, _check_betas, _check_tensor_lr, _run_step, _value, _zeros_like

__all__ = ["SparseAdam", "sparse_adam"]


class SparseAdam(Optimizer):
    """Adam that leaves alone what has no gradient."""

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, maximize=False):
        _check_tensor_lr(lr)
        _check(0.0 < lr, f"Invalid learning rate: {lr}")
        _check(0.0 < eps, f"Invalid epsilon value: {eps}")
        _check_betas(betas)
        defaults = {"lr": lr, "betas": betas, "eps": eps, "maximize": maximize}
        super().__init__(params, defaults)
        sparse, complex_ = [], []
        for number, group in enumerate(self.param_groups):
            for place, parameter in enumerate(group["params"]):
                if parameter.is_sparse:
                    sparse.append([number, place])
                if parameter.is_complex():
                    complex_.append([number, place])
        if sparse:
            raise ValueError(f"Sparse params at indices {sparse}: SparseAdam requires dense parameter tensors")
        if complex_:
            raise ValueError(f"Complex params at indices {complex_}: SparseAdam does not support complex parameters")

    def step(self, closure=None):
        return _run_step(self, closure)

    def _update_group(self, group):
        params = [parameter for parameter in group["params"] if parameter.grad is not None]
        if any(not parameter.grad.is_sparse for parameter in params):
            raise RuntimeError("SparseAdam does not support dense gradients, please consider Adam instead")
        states = [self.state[parameter] for parameter in params]
        for parameter, state in zip(params, states):
            if not state:
                state["step"] = 0
                state["exp_avg"] = _zeros_like(parameter)
                state["exp_avg_sq"] = _zeros_like(parameter)
            state["step"] += 1
        beta1, beta2 = group["betas"]
        sparse_adam(
            params,
            [parameter.grad for parameter in params],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [state["step"] for state in states],
            eps=group["eps"],
            beta1=beta1,
            beta2=beta2,
            lr=group["lr"],
            maximize=group["maximize"],
        )


def sparse_adam(params, grads, exp_avgs, exp_avg_sqs, state_steps, *, eps, beta1, beta2, lr, maximize):
    """Updates `params` and their states in place, at the indices of the gradients."""
    lr = _value(lr)
    for param, grad, avg, avg_sq, step in zip(params, grads, exp_avgs, exp_avg_sqs, state_steps):
        grad = (-grad if maximize else grad).coalesce()  # the update is not linear
        indices, values = grad._indices(), grad._values()
        if values.numel() == 0:
            continue

        def sparse(values, indices=indices, grad=grad):
            return torch._C._sparse_coo_tensor(indices, values, list(grad.size()), True)

        old = avg.sparse_mask(grad)._values()
        old_sq = avg_sq.sparse_mask(grad)._values()
        change = values.sub(old).mul_(1 - beta1)
        change_sq = values.pow(2).sub_(old_sq).mul_(1 - beta2)
        avg.add_(sparse(change))
        avg_sq.add_(sparse(change_sq))
        mean = change.add_(old)
        root = change_sq.add_(old_sq).sqrt_().add_(eps)
        rate = lr * (1 - beta2**step) ** 0.5 / (1 - beta1**step)
        param.add_(sparse(-rate * mean.div_(root)))
