"""Generators of CUDA devices: there are none."""

from ._absent import needs_cuda

__all__ = [
    "get_rng_state", "get_rng_state_all", "initial_seed", "manual_seed", "manual_seed_all", "seed", "seed_all",
    "set_rng_state", "set_rng_state_all",
]  # fmt: skip

get_rng_state = needs_cuda("get_rng_state")
set_rng_state = needs_cuda("set_rng_state")
seed = needs_cuda("seed")
seed_all = needs_cuda("seed_all")
initial_seed = needs_cuda("initial_seed")


def get_rng_state_all():
    """The states of all devices' generators: none."""
    return []


def set_rng_state_all(new_states):
    """Gives each device its generator's state: with no devices there must be no states."""
    for state in new_states:
        set_rng_state(state)


def manual_seed(seed):
    """Nothing: seeds of absent devices are ignored."""


def manual_seed_all(seed):
    """Nothing: seeds of absent devices are ignored."""
