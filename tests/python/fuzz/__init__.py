"""Random calls, made from a seed each, and the checks that they must pass."""
