//! Maximum pooling with windows at pseudo-random steps (Graham, 2014).

use super::{PoolElement, check, spatial};
use crate::gemm::size_product;
use flambeau_core::{Element, Result, ensure};
use num_traits::Float;

/// Where the windows start along one dimension, given a sample of [0, 1); the last one ends with the input.
fn starts<F: Float>(sample: F, input: usize, output: usize, kernel: usize) -> Vec<usize> {
    let mut starts = Vec::with_capacity(output);
    let room = input - kernel;
    if output > 1 {
        let step = number::<F>(room) / number::<F>(output - 1);
        let base = (sample * step).to_usize().unwrap_or(0);
        for i in 0..output - 1 {
            let at = ((number::<F>(i) + sample) * step).to_usize().unwrap_or(0);
            starts.push(at.saturating_sub(base).min(room));
        }
    }
    if output > 0 {
        starts.push(room);
    }
    starts
}

fn number<F: Float>(n: usize) -> F {
    F::from(n).unwrap_or_else(F::nan)
}

/// The largest element of each window and its index into the plane. `samples` are (planes, dims), in the order in
/// which `order` names the spatial dimensions. Ties and NaN as in [`super::max_pool`].
pub fn fractional_max_pool<T: PoolElement + Float + Element>(
    planes: usize,
    input: &[usize],
    output: &[usize],
    kernel: &[usize],
    order: &[usize],
    samples: &[T],
    from: &[T],
    values: &mut [T],
    indices: &mut [i64],
) -> Result<()> {
    let dims = input.len();
    let (ins, outs, kernels) = (spatial(input, 1)?, spatial(output, 1)?, spatial(kernel, 1)?);
    let (plane, out_plane) = (size_product(&ins)?, size_product(&outs)?);
    let total = size_product(&[planes, out_plane])?;
    check(
        "fractional_max_pool",
        &[
            (from.len(), size_product(&[planes, plane])?),
            (values.len(), total),
            (indices.len(), total),
            (samples.len(), size_product(&[planes, dims])?),
            (order.len(), dims),
        ],
    )?;
    let fits = ins.iter().zip(&kernels).all(|(&size, &k)| k > 0 && k <= size);
    ensure!(fits && order.iter().all(|&d| d < dims), "fractional_max_pool: kernel larger than the input");
    let mut at = 0;
    for p in 0..planes {
        let from = &from[p * plane..(p + 1) * plane];
        let mut tables: [Vec<usize>; 3] = [vec![0], vec![0], vec![0]];
        for (&d, &sample) in order.iter().zip(&samples[p * dims..(p + 1) * dims]) {
            tables[3 - dims + d] = starts(sample, input[d], output[d], kernel[d]);
        }
        for &z in &tables[0] {
            for &y in &tables[1] {
                for &x in &tables[2] {
                    let mut best = T::LOWEST;
                    let mut place = (z * ins[1] + y) * ins[2] + x;
                    for d in z..z + kernels[0] {
                        for h in y..y + kernels[1] {
                            let row = (d * ins[1] + h) * ins[2] + x;
                            for (i, &value) in from[row..row + kernels[2]].iter().enumerate() {
                                if value > best || PoolElement::is_nan(value) {
                                    (best, place) = (value, row + i);
                                }
                            }
                        }
                    }
                    values[at] = best;
                    indices[at] = place as i64;
                    at += 1;
                }
            }
        }
    }
    Ok(())
}
