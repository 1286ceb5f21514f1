"""Lookahead (Zhang et al. 2019), which PyTorch does not have: slow weights that follow those of another optimizer."""

from collections import OrderedDict

import flambeau as torch

from .optimizer import _HOOK_TABLES, Optimizer

__all__ = ["Lookahead"]


class Lookahead(Optimizer):
    """Lets `optimizer` explore for `k` steps, then moves on from where it was by the share `alpha` of the way.

    Groups, settings and states are those of `optimizer`, so schedules of learning rates apply to this one. Its state
    dict is that of `optimizer` with an entry "lookahead" beside; without that entry the slow weights begin anew.
    """

    def __init__(self, optimizer, k=5, alpha=0.5):
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"Lookahead needs an Optimizer to look ahead with, got {type(optimizer).__name__}")
        if isinstance(k, bool) or not isinstance(k, int) or k < 1:
            raise ValueError(f"Invalid number of steps between updates: {k}")
        if not 0.0 <= alpha <= 1.0:
            raise ValueError(f"Invalid alpha value: {alpha}")
        self.optimizer, self.k, self.alpha = optimizer, k, alpha
        for table in _HOOK_TABLES:
            setattr(self, table, OrderedDict())
        self._patch_step_function()
        self._begin()

    def _begin(self):
        self._steps, self._slow = 0, {}
        self._remember()

    def _remember(self):
        """Slow weights of parameters that have none yet, such as those of a new group: where they are now."""
        for parameter in self._parameters():
            if parameter not in self._slow:
                self._slow[parameter] = parameter.detach().clone()

    def _parameters(self):
        return (parameter for group in self.optimizer.param_groups for parameter in group["params"])

    @property
    def defaults(self):
        return self.optimizer.defaults

    @property
    def param_groups(self):
        return self.optimizer.param_groups

    @property
    def state(self):
        return self.optimizer.state

    def __getstate__(self):
        return {key: self.__dict__[key] for key in ("optimizer", "k", "alpha", "_steps", "_slow")}

    def __setstate__(self, state):
        self.__dict__.update(state)
        for table in _HOOK_TABLES:
            self.__dict__.setdefault(table, OrderedDict())
        self._patch_step_function()

    def __repr__(self):
        return f"Lookahead (k: {self.k}, alpha: {self.alpha})\n{self.optimizer!r}"

    def add_param_group(self, param_group):
        self.optimizer.add_param_group(param_group)
        self._remember()

    def step(self, closure=None):
        loss = self.optimizer.step() if closure is None else self.optimizer.step(closure)
        self._steps += 1
        if self._steps % self.k == 0:
            with torch.no_grad():
                for parameter in self._parameters():
                    slow = self._slow[parameter]
                    slow.lerp_(parameter, self.alpha)
                    parameter.copy_(slow)
        return loss

    def state_dict(self):
        for hook in self._optimizer_state_dict_pre_hooks.values():
            hook(self)
        result = self.optimizer.state_dict()
        slow = [self._slow[parameter] for parameter in self._parameters()]
        result["lookahead"] = {"k": self.k, "alpha": self.alpha, "steps": self._steps, "slow": slow}
        for hook in self._optimizer_state_dict_post_hooks.values():
            result = hook(self, result) or result
        return result

    def load_state_dict(self, state_dict):
        state_dict = dict(state_dict)
        for hook in self._optimizer_load_state_dict_pre_hooks.values():
            state_dict = dict(hook(self, state_dict) or state_dict)
        own = state_dict.pop("lookahead", None)
        parameters = list(self._parameters())
        if own is not None and [slow.shape for slow in own["slow"]] != [parameter.shape for parameter in parameters]:
            raise ValueError("loaded state dict has slow weights of other shapes than the optimizer's parameters")
        self.optimizer.load_state_dict(state_dict)
        if own is None:
            self._begin()
        else:
            self.k, self.alpha, self._steps = own["k"], own["alpha"], own["steps"]
            for parameter, slow in zip(parameters, own["slow"]):
                self._slow[parameter] = slow.detach().to(parameter.device, parameter.dtype, copy=True)
        for hook in self._optimizer_load_state_dict_post_hooks.values():
            hook(self)
