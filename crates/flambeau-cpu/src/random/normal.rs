//! Normal numbers.

use super::error_text::{general, not_implemented};
use super::fused::scale_add_f64;
use super::generator::{Generator, unit_f32};
use super::normal_f32::{self, GROUP};
use super::sample::{Numbers, Reals, Sample};
use flambeau_core::{DType, Result, bail};

/// Elements that the block path makes at a time: eight pairs.
pub(super) const BLOCK: usize = 16;

/// Errors unless `std >= 0`.
pub fn check_normal_std(std: f64) -> Result<()> {
    if std.is_nan() || std < 0.0 {
        bail!("normal expects std >= 0.0, but found std {}", general(std));
    }
    Ok(())
}

/// Fills a contiguous tensor with normal numbers. Complex elements have variance `std^2` in all, half of it in each
/// part, and `mean` in both. Errors if `std` is negative or NaN, or the dtype integral.
///
/// From 16 (real) numbers on, each block of 16 uniforms gives the angles (second half) and radii (first half) of eight
/// pairs; a last partial block makes the last 16 numbers anew from 16 more uniforms. Fewer numbers are drawn as by
/// [`normal_serial_`].
pub fn normal_(g: &mut Generator, dtype: DType, out: &mut dyn Numbers, mean: f64, std: f64) -> Result<()> {
    check_normal_std(std)?;
    if out.count() == 0 {
        return Ok(());
    }
    let std = spread(dtype, std);
    match out.reals() {
        Reals::F32(out) if out.len() >= BLOCK => fill_f32(g, out, mean as f32, std as f32),
        Reals::F64(out) if out.len() >= BLOCK => fill_f64(g, out, mean, std),
        Reals::F16(out) if out.len() >= BLOCK => {
            fill_half(g, out, mean as f32, std as f32, half::f16::from_f32)
        }
        Reals::BF16(out) if out.len() >= BLOCK => {
            fill_half(g, out, mean as f32, std as f32, half::bf16::from_f32)
        }
        reals => serial(g, dtype, reals, mean, std)?,
    }
    Ok(())
}

/// Fills with normal numbers drawn one by one, whatever their number: what PyTorch does for fewer than 16 numbers and
/// for any tensor that is not contiguous. Errors as [`normal_`] does.
pub fn normal_serial_(
    g: &mut Generator,
    dtype: DType,
    out: &mut dyn Numbers,
    mean: f64,
    std: f64,
) -> Result<()> {
    check_normal_std(std)?;
    if out.count() == 0 {
        return Ok(());
    }
    serial(g, dtype, out.reals(), mean, spread(dtype, std))
}

/// The standard deviation of the real numbers that make up the elements.
fn spread(dtype: DType, std: f64) -> f64 {
    if dtype.is_complex() { std / 2f64.sqrt() } else { std }
}

fn serial(g: &mut Generator, dtype: DType, out: Reals<'_>, mean: f64, std: f64) -> Result<()> {
    fn run<T: Sample>(g: &mut Generator, out: &mut [T], mean: f64, std: f64) {
        for o in out {
            *o = T::from_f64(g.standard_normal().mul_add(std, mean));
        }
    }
    match out {
        Reals::F32(out) => run(g, out, mean, std),
        Reals::F64(out) => run(g, out, mean, std),
        Reals::F16(out) => run(g, out, mean, std),
        Reals::BF16(out) => run(g, out, mean, std),
        Reals::None => return Err(not_implemented("normal_kernel_cpu", dtype)),
    }
    Ok(())
}

fn fill_f32(g: &mut Generator, out: &mut [f32], mean: f32, std: f32) {
    g.fill32(out, unit_f32);
    let (blocks, rest) = out.as_chunks_mut::<BLOCK>();
    normal_f32::transform(blocks, mean, std);
    if !rest.is_empty() {
        let tail = last_block(out);
        g.fill32(tail, unit_f32);
        normal_f32::transform(std::slice::from_mut(tail), mean, std);
    }
}

fn fill_f64(g: &mut Generator, out: &mut [f64], mean: f64, std: f64) {
    g.fill_uniform64(out, |u| u);
    let (blocks, rest) = out.as_chunks_mut::<BLOCK>();
    transform_f64(blocks, mean, std);
    if !rest.is_empty() {
        let tail = last_block(out);
        g.fill_uniform64(tail, |u| u);
        transform_f64(std::slice::from_mut(tail), mean, std);
    }
}

/// Halves are the rounded `float32` normals, but whole blocks alone draw: no uniforms are spent on a partial one.
fn fill_half<T: Copy>(g: &mut Generator, out: &mut [T], mean: f32, std: f32, round: impl Fn(f32) -> T) {
    let mut run = |out: &mut [[T; BLOCK]]| {
        let mut batch = [[0f32; BLOCK]; GROUP];
        for group in out.chunks_mut(GROUP) {
            let batch = &mut batch[..group.len()];
            g.fill32(batch.as_flattened_mut(), unit_f32);
            normal_f32::transform(batch, mean, std);
            for (o, &x) in group.as_flattened_mut().iter_mut().zip(batch.as_flattened()) {
                *o = round(x);
            }
        }
    };
    let (blocks, rest) = out.as_chunks_mut::<BLOCK>();
    run(blocks);
    if !rest.is_empty() {
        run(std::slice::from_mut(last_block(out)));
    }
}

/// The last 16 elements of a slice that is at least as long.
fn last_block<T>(out: &mut [T]) -> &mut [T; BLOCK] {
    match out.last_chunk_mut() {
        Some(block) => block,
        None => unreachable!("shorter outputs are drawn serially"),
    }
}

fn transform_f64(blocks: &mut [[f64; BLOCK]], mean: f64, std: f64) {
    for block in &mut *blocks {
        for i in 0..BLOCK / 2 {
            let radius = (-2.0 * (1.0 - block[i]).ln()).sqrt();
            let (sin, cos) = (2.0 * std::f64::consts::PI * block[i + BLOCK / 2]).sin_cos();
            block[i] = radius * cos;
            block[i + BLOCK / 2] = radius * sin;
        }
    }
    scale_add_f64(blocks.as_flattened_mut(), std, mean);
}
