"""Orders of contraction by opt_einsum: not used."""

enabled, strategy = False, None


def is_available():
    """False."""
    return False
