//! Short-time Fourier transforms: of windows that slide over a signal, and the signal from them (Griffin and Lim,
//! "Signal estimation from modified short-time Fourier transform", 1984).

use super::fft;
use crate::Tensor;
use crate::generated::functions as f;
use crate::ops::{common_device, convert, creation, pad, shape};
use flambeau_core::{DType, Dims, Result, bail, show};

fn tensor_name(t: &Tensor) -> String {
    format!("torch.{}Tensor", t.dtype().cpp_name())
}

fn option<T: std::fmt::Display>(value: Option<T>) -> String {
    value.map_or("None".into(), |v| v.to_string())
}

fn flag(value: Option<bool>) -> String {
    option(value.map(|v| v as i32))
}

fn window_name(window: Option<&Tensor>) -> String {
    option(window.map(|w| format!("{}{{{}}}", tensor_name(w), show(&w.sizes()))))
}

/// The window with zeros around it that make it `n` points long; ones where there is none.
fn padded(window: Option<&Tensor>, length: i64, n: i64, like: &Tensor) -> Result<Tensor> {
    let window = match window {
        Some(window) => window.clone(),
        None => {
            let ones = Tensor::empty_raw(&[length], like.dtype().to_real(), like.device())?;
            creation::fill_data(&ones, 1i64.into())?;
            ones
        }
    };
    if length == n {
        return Ok(window);
    }
    let left = (n - length) / 2;
    pad::constant_pad_nd(&window, &[left, n - length - left], 0i64.into())
}

fn norm(normalized: bool) -> Option<&'static str> {
    if normalized { Some("ortho") } else { None }
}

/// `torch.stft`: transforms of `n_fft` points of every `hop_length`-th stretch of signals `(batch?, time)`, times a
/// window: `(batch?, frequencies, stretches)`, with a last dimension of 2 unless `return_complex`.
pub fn stft(
    self_: &Tensor,
    n_fft: i64,
    hop_length: Option<i64>,
    win_length: Option<i64>,
    window: Option<&Tensor>,
    center: bool,
    pad_mode: &str,
    normalized: bool,
    onesided: Option<bool>,
    return_complex: Option<bool>,
    align_to_window: Option<bool>,
) -> Result<Tensor> {
    if window.is_none() {
        crate::warn_once!(
            "A window was not provided. A rectangular window will be applied,which is known to cause spectral leakage. Other windows such as torch.hann_window or torch.hamming_window are recommended to reduce spectral leakage.To suppress this warning and use a rectangular window, explicitly set `window=torch.ones(n_fft, device=<device>)`.",
        );
    }
    if let Some(window) = window {
        common_device(&[self_, window])?;
    }
    if center && align_to_window.is_some() {
        bail!("stft align_to_window should only be set when center = false");
    }
    let (hop, length) = (hop_length.unwrap_or(n_fft / 4), win_length.unwrap_or(n_fft));
    let mut input = self_.clone();
    if center {
        let sizes = input.sizes();
        let mut wide: Dims = std::iter::repeat_n(1, 3usize.saturating_sub(sizes.len())).collect();
        wide.extend_from_slice(&sizes);
        let around = n_fft / 2;
        input = pad::pad(&shape::reshape(&input, &wide)?, &[around, around], pad_mode, None)?;
        let widened = input.sizes();
        input = shape::reshape(&input, &widened[widened.len() - sizes.len()..])?;
    }
    let fail = || {
        format!(
            "stft({}{}, n_fft={n_fft}, hop_length={hop}, win_length={length}, window={}, normalized={}, onesided={}, return_complex={}, align_to_window={}) ",
            tensor_name(&input),
            show(&input.sizes()),
            window_name(window),
            normalized as i32,
            flag(onesided),
            flag(return_complex),
            flag(align_to_window)
        )
    };
    let complex = input.is_complex() || window.is_some_and(Tensor::is_complex);
    let as_complex = match return_complex {
        Some(given) => given,
        None if complex => true,
        None => bail!(
            "stft requires the return_complex parameter be given for real inputs, and will further require that return_complex=True in a future PyTorch release."
        ),
    };
    if !input.dtype().is_differentiable() {
        bail!(NotImplemented, "{}: expected a tensor of floating point or complex values", fail());
    }
    let single = input.dim() == 1;
    if !single && input.dim() != 2 {
        bail!("{}: expected a 1D or 2D tensor", fail());
    }
    let points = input.size(-1)?;
    if n_fft <= 0 || n_fft > points {
        bail!("{}: expected 0 < n_fft < {points}, but got n_fft={n_fft}", fail());
    }
    if hop <= 0 {
        bail!("{}: expected hop_length > 0, but got hop_length={hop}", fail());
    }
    if length <= 0 || length > n_fft {
        bail!("{}: expected 0 < win_length <= n_fft, but got win_length={length}", fail());
    }
    if let Some(window) = window
        && window.sizes()[..] != [length]
    {
        bail!(
            "{}: expected a 1D window tensor of size equal to win_length={length}, but got window with size {}",
            fail(),
            show(&window.sizes())
        );
    }
    let half = onesided.unwrap_or(!complex);
    if half && complex {
        bail!("Cannot have onesided output if window or input is complex");
    }
    if align_to_window == Some(true) {
        // Stretches start where the window does.
        let left = (n_fft - length) / 2;
        input = pad::constant_pad_nd(&input, &[left, n_fft - length - left], 0i64.into())?;
    }
    let mut frames = shape::unfold(&input, -1, n_fft, hop)?;
    if window.is_some() || length < n_fft {
        frames = f::mul(&frames, &padded(window, length, n_fft, &input)?)?;
    }
    let last = frames.dim() - 1;
    let spectrum = if half {
        fft::half("stft", &frames, None, last, norm(normalized), true)?
    } else {
        fft::transform(&frames, None, last, norm(normalized), true)?
    };
    let out = shape::transpose(&spectrum, -2, -1)?;
    if as_complex { Ok(out) } else { convert::view_as_real(&out) }
}

/// The smallest absolute value is nothing.
fn vanishes(envelope: &Tensor) -> Result<bool> {
    if envelope.is_meta() {
        return Ok(false);
    }
    if envelope.numel() == 0 {
        bail!(
            "min(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction dim with the 'dim' argument."
        );
    }
    let least = crate::ops::reduce::amin(&f::abs(&envelope.alias())?, &[], false)?;
    Ok(shape::to_dtype(&least, DType::Float64)?.item()?.to_f64() < 1e-11)
}

/// `torch.istft`: the signals of least squares distance from transforms `(batch?, frequencies, stretches)` that
/// [`stft`] gives.
pub fn istft(
    self_: &Tensor,
    n_fft: i64,
    hop_length: Option<i64>,
    win_length: Option<i64>,
    window: Option<&Tensor>,
    center: bool,
    normalized: bool,
    onesided: Option<bool>,
    length: Option<i64>,
    return_complex: bool,
) -> Result<Tensor> {
    if window.is_none() {
        crate::warn_once!(
            "A window was not provided. A rectangular window will be applied.Please provide the same window used by stft to make the inversion lossless.To suppress this warning and use a rectangular window, explicitly set `window=torch.ones(n_fft, device=<device>)`.",
        );
    }
    if let Some(window) = window {
        common_device(&[self_, window])?;
    }
    let (hop, reach) = (hop_length.unwrap_or(n_fft / 4), win_length.unwrap_or(n_fft));
    if !self_.is_complex() {
        bail!(
            Type,
            "istft requires a complex-valued input tensor matching the output from stft with return_complex=True."
        );
    }
    let sizes = self_.sizes();
    let fail = || {
        format!(
            "istft(CPU{}Type{}, n_fft={n_fft}, hop_length={hop}, win_length={reach}, window={}, center={}, normalized={}, onesided={}, length={}, return_complex={}) ",
            self_.dtype().cpp_name(),
            show(&sizes),
            window_name(window),
            center as i32,
            normalized as i32,
            flag(onesided),
            option(length),
            return_complex as i32
        )
    };
    if self_.numel() == 0 {
        bail!("{}: input tensor cannot be empty.", fail());
    }
    let [.., found, stretches] = sizes[..] else {
        bail!("{}: expected a tensor with 3 or 4 dimensions, but got {}", fail(), sizes.len() + 1);
    };
    if sizes.len() > 3 {
        bail!("{}: expected a tensor with 3 or 4 dimensions, but got {}", fail(), sizes.len() + 1);
    }
    let half = onesided.unwrap_or(found != n_fft);
    if half && n_fft / 2 + 1 != found {
        bail!(
            "{}: expected the frequency dimension (3rd to the last) of the input tensor to match n_fft / 2 + 1 when onesided=True, but got {found}",
            fail()
        );
    }
    if !half && n_fft != found {
        bail!(
            "{}: expected the frequency dimension (3rd to the last) of the input tensor to match n_fft when onesided=False, but got {found}",
            fail()
        );
    }
    if hop <= 0 || hop > reach {
        bail!("{}: expected 0 < hop_length <= win_length", fail());
    }
    if reach <= 0 || reach > n_fft {
        bail!("{}: expected 0 < win_length <= n_fft", fail());
    }
    if let Some(window) = window {
        if window.sizes()[..] != [reach] {
            bail!("{}: Invalid window shape. window has to be 1D and length of `win_length`", fail());
        }
        if window.is_complex() && !return_complex {
            bail!("Complex windows are incompatible with return_complex=False");
        }
    }
    if return_complex && half {
        bail!("Cannot have onesided output if window or input is complex");
    }
    let window = padded(window, reach, n_fft, self_)?;
    let single = sizes.len() == 2;
    let input = if single { shape::unsqueeze(self_, 0)? } else { self_.clone() };
    let input = shape::transpose(&input, 1, 2)?;
    let frames = if return_complex {
        fft::transform(&input, None, 2, norm(normalized), false)?
    } else {
        let input = if half { input } else { shape::narrow(&input, -1, 0, n_fft / 2 + 1)? };
        fft::from_half(&input, Some(n_fft), 2, norm(normalized), false)?
    };
    let total = (stretches - 1).checked_mul(hop).and_then(|n| n.checked_add(n_fft));
    let Some(total) = total else { bail!("{}: the signal is too long", fail()) };
    let weighted = f::mul(&frames, &window)?;
    let add_up = |t: &Tensor, batch: i64| shape::unfold_backward(t, &[batch, total], 1, n_fft, hop);
    let signal = add_up(&weighted, weighted.size(0)?)?;
    let squares = shape::expand(&f::mul(&window, &window)?, &[1, stretches, n_fft])?;
    let envelope = add_up(&squares, 1)?;
    let start = if center { n_fft / 2 } else { 0 };
    let end = match length {
        Some(length) => start.saturating_add(length),
        None if center => total - n_fft / 2,
        None => total,
    };
    let cut = |t: &Tensor| shape::slice(t, 1, Some(start), Some(end), 1);
    let envelope = cut(&envelope)?;
    if vanishes(&envelope)? {
        bail!("{}window overlap add min: 1", fail());
    }
    let mut out = f::div(&cut(&signal)?, &envelope)?;
    if single {
        out = shape::squeeze_dim(&out, 0)?;
    }
    if end > total {
        crate::warn(
            "The length of signal is shorter than the length parameter. Result is being padded with zeros in the tail. Please check your center and hop_length settings.",
        );
        out = pad::constant_pad_nd(&out, &[0, end - total], 0i64.into())?;
    }
    Ok(out)
}
