"""Derivatives of functions as functions."""

from ..func import hessian, jacfwd, jacrev, jvp, linearize, vjp

__all__ = ["hessian", "jacfwd", "jacrev", "jvp", "linearize", "vjp"]
