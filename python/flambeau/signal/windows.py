"""Window functions of `M` points: symmetric, or with `sym` False one period of a periodic one.

Source: Harris, On the use of windows for harmonic analysis with the discrete Fourier transform, 1978.
"""

import math

import flambeau as torch

__all__ = [
    "bartlett", "blackman", "cosine", "exponential", "gaussian", "general_cosine", "general_hamming", "hamming",
    "hann", "kaiser", "nuttall",
]  # fmt: skip


def _window(name, M, sym, dtype, layout, device, requires_grad, formula):
    """`formula(n, last)` over the points n, whose last is at `last`; 1 for a single point."""
    dtype = torch.get_default_dtype() if dtype is None else dtype
    if M < 0:
        raise ValueError(f"{name} requires non-negative window length, got M={M}")
    if layout != torch.strided:
        raise ValueError(f"{name} is implemented for strided tensors only, got: {layout}")
    if dtype not in (torch.float32, torch.float64):
        raise ValueError(f"{name} expects float32 or float64 dtypes, got: {dtype}")
    if M <= 1:
        out = torch.ones(M, dtype=dtype, device=device)
    else:
        points = torch.arange(M, dtype=torch.float64, device=device)
        out = formula(points, M - 1 if sym else M).to(dtype)
    return out.requires_grad_(requires_grad)


def general_cosine(M, *, a, sym=True, dtype=None, layout=torch.strided, device=None, requires_grad=False):
    """The alternating sum of cosines with weights `a`."""
    a = list(a)
    if not a:
        raise ValueError("Coefficients cannot be empty")

    def formula(n, last):
        return sum((-1) ** k * weight * torch.cos(n * (2 * math.pi * k / last)) for k, weight in enumerate(a))

    return _window("general_cosine", M, sym, dtype, layout, device, requires_grad, formula)


def general_hamming(M, *, alpha=0.54, sym=True, dtype=None, layout=torch.strided, device=None, requires_grad=False):
    """``alpha - (1 - alpha) cos``."""
    return general_cosine(
        M, a=[alpha, 1.0 - alpha], sym=sym, dtype=dtype, layout=layout, device=device, requires_grad=requires_grad
    )


def hamming(M, *, sym=True, dtype=None, layout=torch.strided, device=None, requires_grad=False):
    """Hamming's window."""
    return general_hamming(M, sym=sym, dtype=dtype, layout=layout, device=device, requires_grad=requires_grad)


def hann(M, *, sym=True, dtype=None, layout=torch.strided, device=None, requires_grad=False):
    """Hann's window."""
    return general_hamming(
        M, alpha=0.5, sym=sym, dtype=dtype, layout=layout, device=device, requires_grad=requires_grad
    )


def blackman(M, *, sym=True, dtype=None, layout=torch.strided, device=None, requires_grad=False):
    """Blackman's window."""
    return general_cosine(
        M, a=[0.42, 0.5, 0.08], sym=sym, dtype=dtype, layout=layout, device=device, requires_grad=requires_grad
    )


def nuttall(M, *, sym=True, dtype=None, layout=torch.strided, device=None, requires_grad=False):
    """Nuttall's window of four terms."""
    weights = [0.3635819, 0.4891775, 0.1365995, 0.0106411]
    return general_cosine(M, a=weights, sym=sym, dtype=dtype, layout=layout, device=device, requires_grad=requires_grad)


def bartlett(M, *, sym=True, dtype=None, layout=torch.strided, device=None, requires_grad=False):
    """The triangular window."""

    def formula(n, last):
        return 1 - (2 * n / last - 1).abs()

    return _window("bartlett", M, sym, dtype, layout, device, requires_grad, formula)


def cosine(M, *, sym=True, dtype=None, layout=torch.strided, device=None, requires_grad=False):
    """Half a period of a sine, sampled at the middles of intervals."""

    def formula(n, last):
        return torch.sin((n + 0.5) * (math.pi / (last + 1)))

    return _window("cosine", M, sym, dtype, layout, device, requires_grad, formula)


def exponential(
    M, *, center=None, tau=1.0, sym=True, dtype=None, layout=torch.strided, device=None, requires_grad=False
):
    """``exp(-|n - center| / tau)``; `center` only for periodic windows."""
    if tau <= 0:
        raise ValueError(f"Tau must be positive, got: {tau} instead.")
    if sym and center is not None:
        raise ValueError("Center must be None for symmetric windows")

    def formula(n, last):
        return torch.exp(-(n - (last / 2 if center is None else center)).abs() / tau)

    return _window("exponential", M, sym, dtype, layout, device, requires_grad, formula)


def gaussian(M, *, std=1.0, sym=True, dtype=None, layout=torch.strided, device=None, requires_grad=False):
    """A normal density with standard deviation `std`, 1 at its middle."""
    if std <= 0:
        raise ValueError(f"Standard deviation must be positive, got: {std} instead.")

    def formula(n, last):
        return torch.exp(-(((n - last / 2) / std) ** 2) / 2)

    return _window("gaussian", M, sym, dtype, layout, device, requires_grad, formula)


def kaiser(M, *, beta=12.0, sym=True, dtype=None, layout=torch.strided, device=None, requires_grad=False):
    """Kaiser's window, of Bessel functions."""
    if beta < 0:
        raise ValueError(f"beta must be non-negative, got: {beta} instead.")

    def formula(n, last):
        inside = (1 - (2 * n / last - 1) ** 2).clamp(min=0)
        return torch.special.i0(beta * inside.sqrt()) / torch.special.i0(torch.tensor(beta, dtype=torch.float64))

    return _window("kaiser", M, sym, dtype, layout, device, requires_grad, formula)
