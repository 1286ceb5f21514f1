"""The earlier way of `functorch` to call modules as functions of their parameters, given in order."""

import copy

import flambeau as torch

from ..func import functional_call

__all__ = [
    "FunctionalModule", "FunctionalModuleWithBuffers", "combine_state_for_ensemble", "make_functional", "make_functional_with_buffers",
]  # fmt: skip


def _without_state(model):
    """A copy of the module, on the device `meta`, whose tensors are given at each call; and its tensors' names."""
    stateless = copy.deepcopy(model).to("meta")
    return (
        stateless,
        [name for name, _ in model.named_parameters(remove_duplicate=False)],
        [name for name, _ in model.named_buffers(remove_duplicate=False)],
    )


class FunctionalModule(torch.nn.Module):
    """A module whose parameters are its first argument: what `make_functional` makes."""

    def __init__(self, stateless_model, param_names):
        super().__init__()
        self.stateless_model, self.param_names = stateless_model, tuple(param_names)

    def forward(self, params, *args, **kwargs):
        """The module's result with these parameters."""
        return functional_call(self.stateless_model, dict(zip(self.param_names, params)), args, kwargs)


class FunctionalModuleWithBuffers(torch.nn.Module):
    """A module whose parameters and buffers are its first arguments: what `make_functional_with_buffers` makes."""

    def __init__(self, stateless_model, param_names, buffer_names):
        super().__init__()
        self.stateless_model = stateless_model
        self.param_names, self.buffer_names = tuple(param_names), tuple(buffer_names)

    def forward(self, params, buffers, *args, **kwargs):
        """The module's result with these parameters and buffers."""
        state = dict(zip(self.param_names, params)) | dict(zip(self.buffer_names, buffers))
        return functional_call(self.stateless_model, state, args, kwargs)


def _parameters(model, names, disable_autograd_tracking):
    found = dict(model.named_parameters(remove_duplicate=False))
    values = (found[name].detach().clone() for name in names)
    return tuple(
        v if disable_autograd_tracking else torch.nn.Parameter(v, found[n].requires_grad) for n, v in zip(names, values)
    )


def make_functional(model, disable_autograd_tracking=False):
    """A module as a function of its parameters, and the parameters: `func(params, *args)`. It may have no buffers."""
    if next(model.buffers(), None) is not None:
        raise RuntimeError(
            "make_functional(model): `model` has buffers. Please use make_functional_with_buffers(model) instead."
        )
    stateless, names, _ = _without_state(model)
    return FunctionalModule(stateless, names), _parameters(model, names, disable_autograd_tracking)


def make_functional_with_buffers(model, disable_autograd_tracking=False):
    """A module as a function of its parameters and buffers, and both: `func(params, buffers, *args)`."""
    stateless, names, buffers = _without_state(model)
    found = dict(model.named_buffers(remove_duplicate=False))
    return (
        FunctionalModuleWithBuffers(stateless, names, buffers),
        _parameters(model, names, disable_autograd_tracking),
        tuple(found[name].detach().clone() for name in buffers),
    )


def combine_state_for_ensemble(models):
    """Several modules of one class as one function for `vmap`, with their parameters and buffers stacked."""
    if len(models) == 0:
        raise RuntimeError("combine_state_for_ensemble: Expected at least one model, got 0.")
    if len({model.training for model in models}) > 1:
        raise RuntimeError("combine_state_for_ensemble: Expected all models to have the same training/eval mode.")
    if len({type(model) for model in models}) > 1:
        raise RuntimeError("combine_state_for_ensemble: Expected all models to be of the same class.")
    functions, parameters, buffers = zip(*(make_functional_with_buffers(model) for model in models))
    stacked = tuple(torch.stack(values).detach().requires_grad_(values[0].requires_grad) for values in zip(*parameters))
    return functions[0], stacked, tuple(torch.stack(values) for values in zip(*buffers))
