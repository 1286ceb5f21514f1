"""Fourier transforms: against the sums that define them, gradients, and errors."""

import math

import pytest

import flambeau as torch
from flambeau import fft
from flambeau.autograd import gradcheck, gradgradcheck


def make(*shape, dtype=torch.float64):
    torch.manual_seed(len(shape))
    return torch.randn(*shape, dtype=dtype)


def matrix(n, sign=-1):
    k = torch.arange(n, dtype=torch.float64)
    return torch.exp(sign * 2j * math.pi / n * torch.outer(k, k))


def near(a, b):
    torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 9, 17, 30])
def test_sums(n):
    z = make(3, n, dtype=torch.complex128)
    whole = z @ matrix(n)
    near(fft.fft(z), whole)
    near(fft.ifft(whole), z)
    near(fft.fft(z.mT, dim=0), whole.mT)
    x = make(3, n)
    half = (x.to(z.dtype) @ matrix(n))[:, : n // 2 + 1]
    near(fft.rfft(x), half)
    near(fft.rfft(x.mT, dim=0), half.mT)
    near(fft.irfft(half, n), x)
    near(fft.irfft(half.mT, n, dim=0), x.mT)
    near(fft.ihfft(x), half.conj() / n)
    near(fft.hfft(half.conj() / n, n), x)
    near(fft.rfft(x, norm="ortho"), half / math.sqrt(n))


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6])
def test_gradients(n):
    x, z = make(2, 4).requires_grad_(), make(2, 4, dtype=torch.complex128).requires_grad_()
    for function in (fft.rfft, fft.ihfft):
        assert gradcheck(lambda x: function(x, n), (x,)) and gradgradcheck(lambda x: function(x, n), (x,))
        assert gradcheck(lambda x: function(x, n, dim=0), (x,))
    for function in (fft.irfft, fft.hfft, fft.fft):
        assert gradcheck(lambda z: function(z, n), (z,)) and gradgradcheck(lambda z: function(z, n), (z,))
        assert gradcheck(lambda z: function(z, n, dim=0), (z,))


def test_frequencies():
    assert fft.fftfreq(5, 0.5).tolist() == pytest.approx([0, 0.4, 0.8, -0.8, -0.4])
    assert fft.fftfreq(4).tolist() == [0, 0.25, -0.5, -0.25]
    assert fft.rfftfreq(4, dtype=torch.float16).tolist() == [0, 0.25, 0.5]
    assert fft.fftfreq(0).shape == (0,)
    out = torch.empty(0)
    assert fft.fftfreq(3, out=out) is out and out.shape == (3,)
    with pytest.raises(RuntimeError, match="floating point"):
        fft.fftfreq(4, dtype=torch.int64)
    with pytest.raises(RuntimeError, match="negative"):
        fft.fftfreq(-1)
    for n in (2**55, 2**62, 2**63 - 1):
        with pytest.raises(RuntimeError):
            fft.fftfreq(n)


@pytest.mark.parametrize("name", ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"])
def test_bad_arguments(name):
    function = getattr(fft, name)
    x = torch.ones(2, 3)
    for n in (0, -1, 2**55, 2**62, 2**63 - 1, -(2**63)):
        with pytest.raises(RuntimeError):
            function(x, n)
    with pytest.raises(IndexError):
        function(x, dim=2**55)
    with pytest.raises(RuntimeError):
        function(torch.ones(2, 0))
    with pytest.raises(RuntimeError, match="normalization"):
        function(x, norm="other")
    with pytest.raises(NotImplementedError):
        function(x.half())
    many = getattr(fft, name + "n")
    with pytest.raises(RuntimeError, match="unique"):
        many(x, dim=(0, 0))
    with pytest.raises(RuntimeError, match="same length"):
        many(x, s=(1, 2), dim=(0,))
    assert fft.fft(torch.ones(0, 3)).shape == (0, 3)
    empty = torch.ones(0, 3, requires_grad=True)
    if name in ("irfft", "hfft"):
        function(empty, 2**55).sum().backward()
        assert empty.grad.shape == (0, 3)


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("normalized", [True, False])
@pytest.mark.parametrize("onesided", [True, False])
def test_short_time(center, normalized, onesided):
    x = make(2, 100)
    window = torch.hann_window(16, dtype=torch.float64) + 0.1
    options = dict(window=window, center=center, normalized=normalized, onesided=onesided)
    spectrum = torch.stft(x, 16, return_complex=True, **options)
    back = torch.istft(spectrum, 16, **options)
    near(back, x[:, : back.shape[1]])
    assert back.shape == x.shape
    parts = torch.stft(x, 16, return_complex=False, **options)
    near(torch.view_as_complex(parts.contiguous()), spectrum)
    if not center:
        frames = x.unfold(-1, 16, 4) * window
        want = fft.fft(frames, norm="ortho" if normalized else None).mT
        near(spectrum, want[:, : spectrum.shape[1]])


def test_short_time_gradients_and_errors():
    x = make(40).requires_grad_()
    window = (make(8) + 2).requires_grad_()
    assert gradcheck(lambda x, w: torch.stft(x, 8, window=w, return_complex=True), (x, window))
    z = make(5, 6, dtype=torch.complex128).requires_grad_()
    assert gradcheck(lambda z: torch.istft(z, 8), (z,))
    assert torch.stft(x, 8, win_length=4, center=False, align_to_window=True, return_complex=True).shape == (5, 19)
    assert torch.istft(z, 8, length=3).shape == (3,)
    near(torch.istft(z, 8, length=30)[-10:].detach(), torch.zeros(10, dtype=torch.float64))
    for options in (
        dict(n_fft=0), dict(n_fft=-1), dict(n_fft=2**62), dict(n_fft=8, hop_length=0), dict(n_fft=8, win_length=9),
        dict(n_fft=8, window=torch.ones(7)), dict(n_fft=8, hop_length=-(2**63)), dict(n_fft=8, win_length=0),
    ):  # fmt: skip
        with pytest.raises(RuntimeError):
            torch.stft(x, return_complex=True, **options)
        with pytest.raises(RuntimeError):
            torch.istft(z, **options)
    with pytest.raises(RuntimeError, match="return_complex"):
        torch.stft(x, 8)
    with pytest.raises(TypeError):
        torch.istft(x.detach().reshape(5, 8), 8)
    with pytest.raises(RuntimeError, match="overlap"):
        torch.istft(z, 8, window=torch.zeros(8))
    for length in (-4, 0, 2**63 - 1):
        with pytest.raises(RuntimeError):
            torch.istft(z, 8, length=length)
