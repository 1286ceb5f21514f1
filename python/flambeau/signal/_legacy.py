"""The window functions of the ``torch`` namespace, periodic unless told otherwise."""

import flambeau as torch

from . import windows


def _window(name, make, window_length, periodic, dtype, device, requires_grad):
    if window_length < 0:
        raise RuntimeError(f"{name} requires non-negative window_length, got window_length={window_length}")
    dtype = torch.get_default_dtype() if dtype is None else dtype
    if not dtype.is_floating_point:
        raise RuntimeError(f"{name} expects floating point dtypes, got: {dtype}")
    out = make(window_length, sym=not periodic, dtype=torch.float64).to(device=device, dtype=dtype)
    return out.requires_grad_(requires_grad)


def bartlett_window(
    window_length, periodic=True, *, dtype=None, layout=torch.strided, device=None, requires_grad=False
):
    """The triangular window."""
    return _window("bartlett_window", windows.bartlett, window_length, periodic, dtype, device, requires_grad)


def blackman_window(
    window_length, periodic=True, *, dtype=None, layout=torch.strided, device=None, requires_grad=False
):
    """Blackman's window."""
    return _window("blackman_window", windows.blackman, window_length, periodic, dtype, device, requires_grad)


def hann_window(window_length, periodic=True, *, dtype=None, layout=torch.strided, device=None, requires_grad=False):
    """Hann's window."""
    return _window("hann_window", windows.hann, window_length, periodic, dtype, device, requires_grad)


def hamming_window(
    window_length, periodic=True, alpha=0.54, beta=0.46, *, dtype=None, layout=torch.strided, device=None,
    requires_grad=False,
):  # fmt: skip
    """``alpha - beta cos``."""

    def make(length, sym, dtype):
        return windows.general_cosine(length, a=[alpha, beta], sym=sym, dtype=dtype)

    return _window("hamming_window", make, window_length, periodic, dtype, device, requires_grad)


def kaiser_window(
    window_length, periodic=True, beta=12.0, *, dtype=None, layout=torch.strided, device=None, requires_grad=False
):
    """Kaiser's window."""

    def make(length, sym, dtype):
        return windows.kaiser(length, beta=beta, sym=sym, dtype=dtype)

    return _window("kaiser_window", make, window_length, periodic, dtype, device, requires_grad)
