"""L-BFGS (Liu and Nocedal 1989), with an optional line search for the strong Wolfe conditions."""

from collections import namedtuple

import flambeau as torch

from .optimizer import Optimizer, _check, _check_tensor_lr, _value

__all__ = ["LBFGS"]


class LBFGS(Optimizer):
    """Newton's method with the curvature estimated from the last `history_size` steps.

    `step` takes a closure that computes the loss and its gradients, and calls it several times: up to `max_iter`
    iterations and `max_eval` evaluations. Parameters form a single group.
    """

    def __init__(
        self,
        params,
        lr=1,
        max_iter=20,
        max_eval=None,
        tolerance_grad=1e-7,
        tolerance_change=1e-9,
        history_size=100,
        line_search_fn=None,
        *,
        maximize=False,
    ):
        _check_tensor_lr(lr)
        _check(0.0 <= lr, f"Invalid learning rate: {lr}")
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
            "maximize": maximize,
        }
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")
        self._params = self.param_groups[0]["params"]

    def __setstate__(self, state):
        super().__setstate__(state)
        self._params = self.param_groups[0]["params"]
        self.param_groups[0].setdefault("maximize", False)

    def _gather_flat_grad(self):
        """All gradients as one vector, negated to maximize."""
        pieces = []
        for parameter in self._params:
            grad = parameter.grad
            if grad is None:
                grad = parameter.new_zeros(parameter.numel())
            elif grad.is_sparse:
                grad = grad.to_dense()
            pieces.append((torch.view_as_real(grad) if grad.is_complex() else grad).reshape(-1))
        flat = torch.cat(pieces, 0)
        return -flat if self.param_groups[0]["maximize"] else flat

    def _move(self, t, direction):
        """Adds t * direction to the parameters."""
        offset = 0
        for parameter in self._params:
            if parameter.is_complex():
                parameter = torch.view_as_real(parameter)
            count = parameter.numel()
            parameter.add_(direction[offset : offset + count].view_as(parameter), alpha=t)
            offset += count

    def _evaluate(self, closure):
        """The loss, negated to maximize, and the flat gradient."""
        with torch.enable_grad():
            loss = _value(closure())
        if self.param_groups[0]["maximize"]:
            loss = -loss
        return loss, self._gather_flat_grad()

    def step(self, closure):
        with torch.no_grad():
            return self._step(closure)

    def _step(self, closure):
        group = self.param_groups[0]
        # All state is kept with the first parameter.
        state = self.state[self._params[0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)

        with torch.enable_grad():
            first_loss = closure()
        loss = -_value(first_loss) if group["maximize"] else _value(first_loss)
        flat_grad = self._gather_flat_grad()
        evaluations = 1
        state["func_evals"] += 1
        if flat_grad.abs().max() <= group["tolerance_grad"]:
            return first_loss

        memory = _Memory(state)
        prev_loss = state.get("prev_loss")
        lr = group["lr"]
        iteration = 0
        while iteration < group["max_iter"]:
            iteration += 1
            state["n_iter"] += 1
            memory.update(flat_grad, state, group["history_size"])
            prev_loss = loss
            d = memory.d
            t = min(1.0, 1.0 / flat_grad.abs().sum()) * lr if state["n_iter"] == 1 else lr
            memory.t = t
            slope = flat_grad.dot(d)
            if slope > -group["tolerance_change"]:
                break

            used = 0
            if group["line_search_fn"] is not None:
                if group["line_search_fn"] != "strong_wolfe":
                    raise RuntimeError("only 'strong_wolfe' is supported")
                left = group["max_eval"] - evaluations
                loss, flat_grad, t, used = self._search(closure, t, d, loss, flat_grad, slope, left)
                memory.t = t
                self._move(t, d)
            else:
                self._move(t, d)
                if iteration != group["max_iter"]:
                    # The gradient after the last move is left to the next step, which begins with it.
                    loss, flat_grad = self._evaluate(closure)
                    used = 1
            evaluations += used
            state["func_evals"] += used
            if (
                evaluations >= group["max_eval"]
                or flat_grad.abs().max() <= group["tolerance_grad"]
                or d.mul(t).abs().max() <= group["tolerance_change"]
                or abs(loss - prev_loss) < group["tolerance_change"]
            ):
                break
        memory.save(state)
        state["prev_loss"] = prev_loss
        return first_loss

    def _search(self, closure, t, d, loss, flat_grad, slope, max_steps):
        start = [parameter.clone(memory_format=torch.contiguous_format) for parameter in self._params]

        def evaluate(t):
            self._move(t, d)
            result = self._evaluate(closure)
            for parameter, value in zip(self._params, start):
                parameter.copy_(value)
            return result

        return _strong_wolfe(evaluate, t, d, loss, flat_grad, slope, max_steps)


class _Memory:
    """The last steps and changes of the gradient, and the direction they suggest."""

    _names = ("d", "t", "old_dirs", "old_stps", "ro", "H_diag", "prev_flat_grad")

    def __init__(self, state):
        for name in self._names:
            setattr(self, name, state.get(name))

    def save(self, state):
        for name in self._names:
            state[name] = getattr(self, name)

    def update(self, flat_grad, state, history_size):
        """Takes in the last step, whose result is `flat_grad`, and works out the next direction `d`."""
        if state["n_iter"] == 1:
            self.d = flat_grad.neg()
            self.old_dirs, self.old_stps, self.ro = [], [], []
            self.H_diag = 1
        else:
            change = flat_grad.sub(self.prev_flat_grad)
            step = self.d.mul(self.t)
            curvature = change.dot(step)
            if curvature > 1e-10:
                if len(self.old_dirs) == history_size:
                    for entries in (self.old_dirs, self.old_stps, self.ro):
                        entries.pop(0)
                self.old_dirs.append(change)
                self.old_stps.append(step)
                self.ro.append(1.0 / curvature)
                self.H_diag = curvature / change.dot(change)
            self.d = self._two_loops(flat_grad, state, history_size)
        if self.prev_flat_grad is None:
            self.prev_flat_grad = flat_grad.clone(memory_format=torch.contiguous_format)
        else:
            self.prev_flat_grad.copy_(flat_grad)

    def _two_loops(self, flat_grad, state, history_size):
        """The inverse Hessian's estimate times the negated gradient (Nocedal 1980)."""
        alphas = state.setdefault("al", [None] * history_size)
        direction = flat_grad.neg()
        count = len(self.old_dirs)
        for i in range(count - 1, -1, -1):
            alphas[i] = self.old_stps[i].dot(direction) * self.ro[i]
            direction.add_(self.old_dirs[i], alpha=-alphas[i])
        direction = torch.mul(direction, self.H_diag)
        for i in range(count):
            beta = self.old_dirs[i].dot(direction) * self.ro[i]
            direction.add_(self.old_stps[i], alpha=alphas[i] - beta)
        return direction


# A point along the direction: how far, the loss and gradient there, and the gradient's component along it.
_Point = namedtuple("_Point", ["t", "loss", "grad", "slope"])


def _interpolated(a, b, bounds=None):
    """The minimiser within bounds (those of a and b by default) of the cubic through two points."""
    low, high = bounds if bounds is not None else ((a.t, b.t) if a.t <= b.t else (b.t, a.t))
    d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
    square = d1**2 - a.slope * b.slope
    if not square >= 0:  # NaN too, where the loss has run off
        return (low + high) / 2.0
    d2 = square.sqrt() if isinstance(square, torch.Tensor) else square**0.5
    if a.t <= b.t:
        t = b.t - (b.t - a.t) * ((b.slope + d2 - d1) / (b.slope - a.slope + 2 * d2))
    else:
        t = a.t - (a.t - b.t) * ((a.slope + d2 - d1) / (a.slope - b.slope + 2 * d2))
    return min(max(t, low), high)


def _strong_wolfe(evaluate, t, d, loss, grad, slope, max_steps, c1=1e-4, c2=0.9, tolerance=1e-9):
    """A step that decreases the loss enough and flattens the slope enough (Nocedal and Wright 2006, ch. 3.5).

    Returns (loss, gradient, t, evaluations).
    """
    longest = d.abs().max()
    start = _Point(0, loss, grad.clone(memory_format=torch.contiguous_format), slope)

    def at(t):
        loss, grad = evaluate(t)
        return _Point(t, loss, grad, grad.dot(d))

    def too_high(point):
        return point.loss > loss + c1 * point.t * slope

    previous, point = start, at(t)
    evaluations, steps = 1, 0
    bracket = [start, point]
    done = False
    # First, steps that grow until the interval between the last two is sure to hold what is searched for.
    while steps < max_steps:
        if too_high(point) or (steps > 1 and point.loss >= previous.loss):
            bracket = [previous, point]
            break
        if abs(point.slope) <= -c2 * slope:
            bracket = [point]
            done = True
            break
        if point.slope >= 0:
            bracket = [previous, point]
            break
        bounds = point.t + 0.01 * (point.t - previous.t), point.t * 10
        t = _interpolated(previous, point, bounds)
        previous, point = point, at(t)
        evaluations += 1
        steps += 1
    if steps == max_steps:
        bracket = [start, point]  # ran out of steps

    # Then the interval is narrowed down; `low` is the end with the lower loss.
    stuck = False
    low, high = (0, 1) if bracket[0].loss <= bracket[-1].loss else (1, 0)
    while not done and steps < max_steps:
        if abs(bracket[1].t - bracket[0].t) * longest < tolerance:
            break
        t = _interpolated(*bracket)
        left, right = min(bracket[0].t, bracket[1].t), max(bracket[0].t, bracket[1].t)
        margin = 0.1 * (right - left)
        if min(right - t, t - left) < margin:
            # Close to an end twice in a row, or on it: moved to the margin, so that the interval shrinks.
            if stuck or t >= right or t <= left:
                t = right - margin if abs(t - right) < abs(t - left) else left + margin
                stuck = False
            else:
                stuck = True
        else:
            stuck = False
        point = at(t)
        evaluations += 1
        steps += 1
        if too_high(point) or point.loss >= bracket[low].loss:
            bracket[high] = point
            low, high = (0, 1) if bracket[0].loss <= bracket[1].loss else (1, 0)
        else:
            if abs(point.slope) <= -c2 * slope:
                done = True
            elif point.slope * (bracket[high].t - bracket[low].t) >= 0:
                bracket[high] = bracket[low]
            bracket[low] = point
    best = bracket[low]
    return best.loss, best.grad, best.t, evaluations
