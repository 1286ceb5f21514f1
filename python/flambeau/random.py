"""Random numbers: the default generator and its seed."""

default_generator = None


def manual_seed(seed):
    """Seeds the default generator."""
    raise NotImplementedError


get_rng_state = initial_seed = seed = set_rng_state = manual_seed
