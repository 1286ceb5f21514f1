//! Random integers and permutations.

use super::continuous::is_wide_unsigned;
use super::error_text::not_implemented;
use super::generator::Generator;
use super::sample::{Numbers, fill_integers};
use super::uniform::max_finite;
use flambeau_core::{DType, Error, Result, bail, bf16, f16};

/// Ranges from here on draw 64 bits an element.
const WIDE_RANGE: u64 = 1 << 28;

/// Bits of the significand: floats hold every integer up to 2 to this power.
fn digits(dtype: DType) -> u32 {
    match dtype {
        DType::BFloat16 => 8,
        DType::Float16 => 11,
        DType::Float32 => 24,
        _ => 53,
    }
}

/// The smallest and largest values of an integral type, `bool` included.
fn integer_limits(dtype: DType) -> (i128, i128) {
    let bits = 8 * dtype.size() as u32;
    match dtype {
        DType::Bool => (0, 1),
        _ if dtype.is_signed() => (-(1 << (bits - 1)), (1 << (bits - 1)) - 1),
        _ => (0, (1 << bits) - 1),
    }
}

/// `random_()` without bounds: integers of the whole non-negative range of an integral dtype, of 0 to 2^digits in a
/// float one. `bool` is 0 or 1. Errors for complex and wide unsigned dtypes.
pub fn random_(g: &mut Generator, dtype: DType, out: &mut dyn Numbers) -> Result<()> {
    if out.count() == 0 {
        return Ok(());
    }
    if dtype.is_complex() || is_wide_unsigned(dtype) {
        return Err(not_implemented("random_kernel_cpu", dtype));
    }
    let count = match dtype {
        _ if dtype.is_floating_point() => (1 << digits(dtype)) + 1,
        _ => integer_limits(dtype).1 as u64 + 1,
    };
    draw(g, out, 0, count, dtype.size() == 8);
    Ok(())
}

/// The checked interval of [`random_from_to`].
#[derive(Clone, Debug, PartialEq)]
pub struct RandomBounds {
    base: i64,
    /// The number of values; `None` stands for 2^64.
    count: Option<u64>,
    /// Texts of the `UserWarning`s to give.
    pub warnings: Vec<String>,
}

/// The argument checks of `random_(from, to)` and `randint`; `to: None` is the largest value of the dtype, inclusive.
/// Errors for empty intervals, bounds that the dtype can't hold, and complex dtypes.
pub fn random_bounds(dtype: DType, from: i64, to: Option<i64>) -> Result<RandomBounds> {
    let mut warnings = Vec::new();
    let Some(to) = to else {
        return random_upwards(dtype, from);
    };
    if from >= to {
        bail!("random_ expects 'from' to be less than 'to', but got from={from} >= to={to}");
    }
    if dtype.is_complex() {
        bail!("check_random_bounds handles only integral, floating-point and boolean types");
    }
    let (mut from, mut to) = (from, to);
    check_range(dtype, from, to - 1, &mut warnings)?;
    if dtype.is_floating_point() {
        from = raise_from(dtype, from);
        to = lower_to(dtype, to);
        if from >= to {
            bail!(
                "random_ expects 'from' casted to dtype to be less than 'to' casted to dtype, but got from={from} >= \
                 to={to}"
            );
        }
    }
    Ok(RandomBounds { base: from, count: Some(to.wrapping_sub(from) as u64), warnings })
}

fn random_upwards(dtype: DType, mut from: i64) -> Result<RandomBounds> {
    let mut warnings = Vec::new();
    if from == i64::MIN {
        return match dtype {
            DType::Int64 | DType::Float64 | DType::Float32 | DType::BFloat16 => {
                Ok(RandomBounds { base: 0, count: None, warnings })
            }
            DType::UInt8 | DType::Int8 | DType::Int16 | DType::Int32 => Err(Error::runtime(
                "random_full_64_bits_range_kernel_cpu handles only int64, double, float and bfloat16",
            )),
            _ => Err(not_implemented("random_full_64_bits_range_kernel_cpu", dtype)),
        };
    }
    if dtype.is_complex() {
        bail!("random_from_to_impl handles only integral, floating-point and boolean types");
    }
    let last = match dtype {
        _ if dtype.is_floating_point() => 1i64 << digits(dtype),
        // PyTorch's 64-bit end wraps to -1.
        DType::UInt64 => -1,
        _ => integer_limits(dtype).1 as i64,
    };
    check_range(dtype, from, last, &mut warnings)?;
    if dtype.is_floating_point() {
        from = raise_from(dtype, from);
        if from >= last {
            bail!(
                "random_ expects 'from' casted to dtype to be less than or equal to 'to_inc' casted to dtype, but got \
                 from={from} > to_inc={last}"
            );
        }
    }
    Ok(RandomBounds { base: from, count: Some((last.wrapping_sub(from) as u64).wrapping_add(1)), warnings })
}

/// Errors if a bound is outside the dtype; notes a warning if a float dtype can't hold all integers up to it.
fn check_range(dtype: DType, from: i64, last: i64, warnings: &mut Vec<String>) -> Result<()> {
    for (name, bound) in [("from", from), ("to - 1", last)] {
        let inside = if dtype.is_floating_point() {
            (bound as f64).abs() <= max_finite(dtype)
        } else {
            let (low, high) = integer_limits(dtype);
            (low..=high).contains(&(bound as i128))
        };
        if !inside {
            bail!("{name} is out of bounds for {}", dtype.cpp_type());
        }
    }
    if dtype.is_floating_point() {
        let digits = digits(dtype);
        for (name, bound) in [("from", from), ("to - 1", last)] {
            if bound.unsigned_abs() > 1 << digits {
                warnings.push(format!(
                    "{name} is out of bounds [-(2^{digits}), 2^{digits}]. Due to precision limitations {} can \
                     support discrete uniform distribution only within this range. This warning will become an error \
                     in version 1.7 release, please fix the code in advance",
                    dtype.cpp_type()
                ));
            }
        }
    }
    Ok(())
}

/// The integer nearest to `x` in a float dtype. 2^63 wraps to the smallest integer, as it does on x86.
fn rounded(dtype: DType, x: i64) -> i64 {
    let x = match dtype {
        DType::Float16 => f16::from_f32(x as f32).to_f64(),
        DType::BFloat16 => bf16::from_f32(x as f32).to_f64(),
        DType::Float32 => x as f32 as f64,
        _ => x as f64,
    };
    if x >= -(i64::MIN as f64) { i64::MIN } else { x as i64 }
}

/// The distance between the neighbours of the float dtype on either side of `x`, doubled.
fn step(dtype: DType, x: i64) -> i64 {
    let exponent = x.unsigned_abs().checked_ilog2().unwrap_or(0);
    1 << (exponent + 1).saturating_sub(digits(dtype))
}

/// The lower bound moved up where `from + 1` rounds below `from`.
fn raise_from(dtype: DType, from: i64) -> i64 {
    let next = rounded(dtype, from.saturating_add(1));
    if next < from { next.saturating_add(step(dtype, from.saturating_add(1))) } else { from }
}

/// The upper bound moved down where `to - 1` rounds to `to` or above.
fn lower_to(dtype: DType, to: i64) -> i64 {
    let previous = rounded(dtype, to.saturating_sub(1));
    if previous >= to { previous.saturating_sub(step(dtype, to.saturating_sub(1))) } else { to }
}

/// Fills with integers of the checked interval: one word an element below 2^28 values, two from there on.
pub fn random_from_to(g: &mut Generator, out: &mut dyn Numbers, bounds: &RandomBounds) {
    match bounds.count {
        Some(count) => draw(g, out, bounds.base, count, count >= WIDE_RANGE),
        None => fill_integers(out, |_, batch| g.fill64(batch, |w| w as i64)),
    }
}

fn draw(g: &mut Generator, out: &mut dyn Numbers, base: i64, count: u64, wide: bool) {
    if wide {
        fill_integers(out, |_, batch| g.fill64(batch, |w| ((w % count) as i64).wrapping_add(base)));
    } else if let Ok(count) = u32::try_from(count) {
        // The remainder by two multiplications (Lemire, Kaser and Kurz, Faster remainder by direct computation, 2019).
        let inverse = (u64::MAX / count as u64).wrapping_add(1);
        let make = |w: u32| {
            let fraction = inverse.wrapping_mul(w as u64);
            let remainder = ((fraction as u128 * count as u128) >> 64) as i64;
            base.wrapping_add(remainder)
        };
        fill_integers(out, |_, batch| g.fill32(batch, make));
    } else {
        fill_integers(out, |_, batch| g.fill32(batch, |w| base.wrapping_add((w as u64 % count) as i64)));
    }
}

/// Fills with a random permutation of `0..out.len()` (Fisher and Yates; inside out, with 64-bit draws, from
/// 214,748,364 elements on), which are then stored as `dtype`. Errors if that can't hold every index, or has no
/// permutations.
pub fn randperm(g: &mut Generator, dtype: DType, out: &mut [i64]) -> Result<()> {
    check_randperm(dtype, out.len())?;
    let n = out.len();
    for (i, o) in out.iter_mut().enumerate() {
        *o = i as i64;
    }
    if n < (u32::MAX / 20) as usize {
        for i in 0..n.saturating_sub(1) {
            out.swap(i, i + (g.random() % (n - i) as u32) as usize);
        }
    } else {
        for i in 0..n {
            out.swap(i, (g.random64() % (i as u64 + 1)) as usize);
        }
    }
    Ok(())
}

fn check_randperm(dtype: DType, n: usize) -> Result<()> {
    match dtype {
        DType::Float16 if n > (1 << 11) + 1 => bail!("n cannot be greater than 2049 for Half type."),
        DType::Float32 if n > (1 << 24) + 1 => bail!("n cannot be greater than 2^24+1 for Float type."),
        DType::Float64 if n as u64 > (1 << 53) + 1 => {
            bail!("n cannot be greater than 2^53+1 for Double type.")
        }
        _ if dtype.is_floating_point() => Ok(()),
        _ if !dtype.is_integral() => Err(not_implemented("randperm", dtype)),
        _ if n as i128 - 1 > integer_limits(dtype).1 => {
            let name = match dtype {
                DType::UInt8 => "uint8_t",
                DType::Int8 => "int8_t",
                DType::Int16 => "int16_t",
                DType::UInt16 => "uint16_t",
                DType::UInt32 => "uint32_t",
                _ => "int",
            };
            bail!("value cannot be converted to type {name} without overflow")
        }
        _ if is_wide_unsigned(dtype) => Err(not_implemented("randperm", dtype)),
        _ => Ok(()),
    }
}
