"""Running an optimizer on other tensors than its own."""

from contextlib import contextmanager

__all__ = ["swap_in_optimizer_params_and_state"]


@contextmanager
def swap_in_optimizer_params_and_state(optimizer, swapin_parameters, swapin_optim_state):
    """Within the context, `optimizer` has the parameters (a dict, in order) and the state dict given."""
    own_state, own_groups = optimizer.state, optimizer.param_groups
    given = list(swapin_parameters.values())
    count = sum(len(group["params"]) for group in own_groups)
    if len(given) != count:
        raise ValueError(f"expected {count} parameters to swap in, but got {len(given)}")
    remaining = iter(given)
    groups, numbered = [], {}
    for own, saved in zip(own_groups, swapin_optim_state["param_groups"]):
        group = {key: value for key, value in saved.items() if key != "params"}
        group["params"] = [next(remaining) for _ in own["params"]]
        numbered.update(zip(saved["params"], group["params"]))
        groups.append(group)
    state = type(own_state)(dict)
    for number, value in swapin_optim_state["state"].items():
        state[numbered.get(number, number)] = dict(value)
    optimizer.state, optimizer.param_groups = state, groups
    try:
        yield
    finally:
        optimizer.state, optimizer.param_groups = own_state, own_groups
