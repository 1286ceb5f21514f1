//! Floating point numbers as Python's `format` writes them.

use std::fmt::Write;

/// No double has more digits after the point than this, nor more significant ones: further digits are zeros.
/// Rust's formatter takes at most 65535, Python's any number.
const DIGITS: usize = 1100;

/// `nan`, `inf` or `-inf`; false if the number is finite.
fn write_special(out: &mut String, x: f64) -> bool {
    if x.is_nan() {
        out.push_str("nan");
    } else if x.is_infinite() {
        out.push_str(if x > 0.0 { "inf" } else { "-inf" });
    } else {
        return false;
    }
    true
}

pub(super) fn push_repeated(out: &mut String, c: char, count: usize) {
    out.extend(std::iter::repeat_n(c, count));
}

/// `x * 10^precision` rounded half to even, exactly; `None` where that takes more than 64 bits or 18 digits.
fn scaled(x: f64, precision: usize) -> Option<u64> {
    const POWERS: [u64; 19] = {
        let mut powers = [1; 19];
        let mut i = 1;
        while i < 19 {
            powers[i] = powers[i - 1] * 10;
            i += 1;
        }
        powers
    };
    let power = *POWERS.get(precision)?;
    let bits = x.to_bits();
    let (exponent, fraction) = ((bits >> 52) as i32 & 0x7ff, bits & ((1 << 52) - 1));
    // x = mantissa / 2^shift
    let (mantissa, shift) = match exponent {
        0 => (fraction, 1074),
        _ => (fraction | 1 << 52, 1075 - exponent),
    };
    // Below 2^(53 + 60), so nothing is lost.
    let product = mantissa as u128 * power as u128;
    match shift {
        ..=-11 => None,
        -10..=0 => u64::try_from(product).ok()?.checked_mul(1 << -shift),
        1..=120 => {
            let quotient = product >> shift;
            let (rest, half) = (product & ((1 << shift) - 1), 1 << (shift - 1));
            let up = rest > half || rest == half && quotient & 1 == 1;
            u64::try_from(quotient + up as u128).ok()
        }
        // Less than half.
        _ => Some(0),
    }
}

/// Appends a number's digits from a buffer filled backwards, with the point before the last `precision` of them.
fn push_decimal(out: &mut String, mut digits: u64, precision: usize, negative: bool) {
    // A sign, 20 digits and a point.
    let mut buffer = [b'0'; 22];
    let mut at = buffer.len();
    let mut written = 0;
    while digits > 0 || written <= precision {
        if written == precision && precision > 0 {
            at -= 1;
            buffer[at] = b'.';
        }
        at -= 1;
        buffer[at] = b'0' + (digits % 10) as u8;
        digits /= 10;
        written += 1;
    }
    if negative {
        at -= 1;
        buffer[at] = b'-';
    }
    out.extend(buffer[at..].iter().map(|&b| b as char));
}

/// `f"{x:.{precision}f}"`.
pub(super) fn write_fixed(out: &mut String, x: f64, precision: usize) {
    if write_special(out, x) {
        return;
    }
    // Several times as fast as the formatter, for the numbers that tensors hold.
    if let Some(digits) = scaled(x, precision) {
        return push_decimal(out, digits, precision, x.is_sign_negative());
    }
    let digits = precision.min(DIGITS);
    // Writing to a String can't fail.
    let _ = write!(out, "{x:.digits$}");
    push_repeated(out, '0', precision.min(i32::MAX as usize) - digits);
}

/// `f"{x:.{precision}e}"`: the exponent has a sign and at least two digits.
pub(super) fn write_exponent(out: &mut String, x: f64, precision: usize) {
    if write_special(out, x) {
        return;
    }
    let digits = precision.min(DIGITS);
    let start = out.len();
    let _ = write!(out, "{x:.digits$e}");
    let Some(at) = out[start..].rfind('e').map(|i| i + start) else { return };
    let exponent: i32 = out[at + 1..].parse().unwrap_or(0);
    out.truncate(at);
    push_repeated(out, '0', precision.min(i32::MAX as usize) - digits);
    let _ = write!(out, "e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs());
}

/// `repr` of a Python float: the shortest digits that name it, with an exponent from 1e16 and below 1e-4.
///
/// ```
/// use flambeau::print::python_float;
/// assert_eq!([1e-5, 0.1, 1.0, 1e16].map(python_float), ["1e-05", "0.1", "1.0", "1e+16"]);
/// ```
pub fn python_float(x: f64) -> String {
    let mut out = String::new();
    if write_special(&mut out, x) {
        return out;
    }
    let text = format!("{x:e}");
    let Some((mantissa, exponent)) = text.split_once('e') else { return text };
    match exponent.parse::<i32>() {
        Ok(e) if x != 0.0 && !(-4..16).contains(&e) => {
            let sign = if e < 0 { '-' } else { '+' };
            format!("{mantissa}e{sign}{:02}", e.abs())
        }
        _ => format!("{x:?}"),
    }
}
