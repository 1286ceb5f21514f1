//! Pooling to a given output size.

use super::{PoolElement, check, max_pool_backward, spatial};
use crate::gemm::size_product;
use flambeau_core::{Result, ensure};

/// The window of output `o`: first position and count, so that the windows cover the input.
#[inline(always)]
fn window(input: usize, output: usize, o: usize) -> (usize, usize) {
    // 128 bits, because the product of two sizes need not fit.
    let first = (o as u128 * input as u128 / output as u128) as usize;
    let end = ((o as u128 + 1) * input as u128).div_ceil(output as u128) as usize;
    (first, end - first)
}

/// Calls `visit(plane, output position, [(first, count); 3])` for each window.
fn windows(
    planes: usize,
    input: [usize; 3],
    output: [usize; 3],
    mut visit: impl FnMut(usize, usize, [(usize, usize); 3]),
) {
    if planes == 0 {
        return;
    }
    let tables: [Vec<(usize, usize)>; 3] =
        std::array::from_fn(|d| (0..output[d]).map(|o| window(input[d], output[d], o)).collect());
    let mut at = 0;
    for p in 0..planes {
        for &d in &tables[0] {
            for &h in &tables[1] {
                for &w in &tables[2] {
                    visit(p, at, [d, h, w]);
                    at += 1;
                }
            }
        }
    }
}

type Sizes = ([usize; 3], [usize; 3], usize, usize);

fn prepare(
    planes: usize,
    input: &[usize],
    output: &[usize],
    have_in: usize,
    have_out: usize,
) -> Result<Sizes> {
    let (ins, outs) = (spatial(input, 1)?, spatial(output, 1)?);
    let (in_plane, out_plane) = (size_product(&ins)?, size_product(&outs)?);
    check(
        "adaptive_pool",
        &[(have_in, size_product(&[planes, in_plane])?), (have_out, size_product(&[planes, out_plane])?)],
    )?;
    ensure!(
        have_out == 0 || in_plane > 0,
        "adaptive_pool: Expected input to have non-zero size for non-batch dimensions"
    );
    Ok((ins, outs, in_plane, out_plane))
}

/// The mean of each window; `input` and `output` are the spatial sizes.
pub fn adaptive_avg_pool<T: PoolElement>(
    planes: usize,
    input: &[usize],
    output: &[usize],
    from: &[T],
    out: &mut [T],
) -> Result<()> {
    let (ins, outs, plane, _) = prepare(planes, input, output, from.len(), out.len())?;
    windows(planes, ins, outs, |p, at, [d, h, w]| {
        let mut sum = T::ZERO;
        for z in d.0..d.0 + d.1 {
            for y in h.0..h.0 + h.1 {
                let row = p * plane + (z * ins[1] + y) * ins[2] + w.0;
                for &x in &from[row..row + w.1] {
                    sum = sum.add(x);
                }
            }
        }
        out[at] = sum.divide((d.1 * h.1 * w.1) as i64);
    });
    Ok(())
}

/// The gradient of [`adaptive_avg_pool`]; all of `out` is written.
pub fn adaptive_avg_pool_backward<T: PoolElement>(
    planes: usize,
    input: &[usize],
    output: &[usize],
    grad: &[T],
    out: &mut [T],
) -> Result<()> {
    let (ins, outs, plane, _) = prepare(planes, input, output, out.len(), grad.len())?;
    out.fill(T::ZERO);
    windows(planes, ins, outs, |p, at, [d, h, w]| {
        let share = grad[at].divide((d.1 * h.1 * w.1) as i64);
        for z in d.0..d.0 + d.1 {
            for y in h.0..h.0 + h.1 {
                let row = p * plane + (z * ins[1] + y) * ins[2] + w.0;
                for x in &mut out[row..row + w.1] {
                    *x = x.add(share);
                }
            }
        }
    });
    Ok(())
}

/// The largest element of each window and its index into the input plane; ties and NaN as in [`super::max_pool`].
pub fn adaptive_max_pool<T: PoolElement>(
    planes: usize,
    input: &[usize],
    output: &[usize],
    from: &[T],
    values: &mut [T],
    indices: &mut [i64],
) -> Result<()> {
    let (ins, outs, plane, _) = prepare(planes, input, output, from.len(), values.len())?;
    check("adaptive_max_pool", &[(indices.len(), values.len())])?;
    windows(planes, ins, outs, |p, at, [d, h, w]| {
        let mut best = T::LOWEST;
        let mut place = (d.0 * ins[1] + h.0) * ins[2] + w.0;
        for z in d.0..d.0 + d.1 {
            for y in h.0..h.0 + h.1 {
                let row = (z * ins[1] + y) * ins[2];
                for c in row + w.0..row + w.0 + w.1 {
                    let x = from[p * plane + c];
                    if x > best || x.is_nan() {
                        (best, place) = (x, c);
                    }
                }
            }
        }
        values[at] = best;
        indices[at] = place as i64;
    });
    Ok(())
}

/// The gradient of [`adaptive_max_pool`]; all of `out` is written.
pub fn adaptive_max_pool_backward<T: PoolElement>(
    planes: usize,
    input_plane: usize,
    output_plane: usize,
    grad: &[T],
    indices: &[i64],
    out: &mut [T],
) -> Result<()> {
    max_pool_backward(planes, input_plane, output_plane, grad, indices, out)
}
