//! Maximum pooling and its inverse.

use super::{PoolElement, PoolShape, along, check};
use crate::wide::{Body, wide};
use flambeau_core::{Element, Result, ensure};

/// The largest element of each window and its index into the input plane. NaN counts as largest (the last one is
/// taken); of equal elements the first.
pub fn max_pool<T: PoolElement>(
    s: &PoolShape,
    input: &[T],
    values: &mut [T],
    indices: Option<&mut [i64]>,
) -> Result<()> {
    let (plane, out_plane) = (s.input_plane(), s.output_plane());
    let total = s.planes * out_plane;
    check("max_pool", &[(input.len(), s.planes * plane), (values.len(), total)])?;
    if let Some(indices) = &indices {
        check("max_pool", &[(indices.len(), total)])?;
    }
    ensure!(
        plane > 0 || total == 0,
        "max_pool: Expected input to have non-zero size for non-batch dimensions"
    );
    match i32::try_from(plane) {
        // Positions in 32 bits, as wide as most elements.
        Ok(_) => wide(Maxima { s, input, values, indices }),
        Err(_) => one_by_one(s, input, values, indices),
    }
    Ok(())
}

/// [`max_pool`] a window after the other.
fn one_by_one<T: PoolElement>(s: &PoolShape, input: &[T], values: &mut [T], mut indices: Option<&mut [i64]>) {
    let (plane, out_plane) = (s.input_plane(), s.output_plane());
    let [_, height, width] = s.input;
    for p in 0..s.planes {
        let input = &input[p * plane..(p + 1) * plane];
        let mut at = p * out_plane;
        for od in 0..s.output[0] {
            let td = s.taps(0, od);
            for oh in 0..s.output[1] {
                let th = s.taps(1, oh);
                for ow in 0..s.output[2] {
                    let tw = s.taps(2, ow);
                    let mut best = T::LOWEST;
                    let mut from = (td.first * height + th.first) * width + tw.first;
                    for d in 0..td.count {
                        for h in 0..th.count {
                            let row = ((td.first + d * td.step) * height + th.first + h * th.step) * width;
                            for w in 0..tw.count {
                                let place = row + tw.first + w * tw.step;
                                let x = input[place];
                                if x > best || x.is_nan() {
                                    best = x;
                                    from = place;
                                }
                            }
                        }
                    }
                    values[at] = best;
                    if let Some(indices) = &mut indices {
                        // A window may miss the input where dilation steps over it.
                        indices[at] = from.min(plane - 1) as i64;
                    }
                    at += 1;
                }
            }
        }
    }
}

/// [`max_pool`] of planes of fewer than 2^31 elements: rows of windows take one tap after the other, without branches.
struct Maxima<'a, T> {
    s: &'a PoolShape,
    input: &'a [T],
    values: &'a mut [T],
    indices: Option<&'a mut [i64]>,
}
impl<T: PoolElement> Body for Maxima<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let Maxima { s, input, values, mut indices } = self;
        let (plane, length) = (s.input_plane(), s.output[2]);
        let [_, height, width] = s.input;
        let taps = s.row_taps();
        let firsts: Vec<usize> = (0..length).map(|o| s.taps(2, o).first).collect();
        // Positions of the best elements so far.
        let mut places = vec![0i32; length];
        let mut at = 0;
        for p in 0..s.planes {
            let input = &input[p * plane..(p + 1) * plane];
            for od in 0..s.output[0] {
                let td = s.taps(0, od);
                for oh in 0..s.output[1] {
                    let th = s.taps(1, oh);
                    let corner =
                        td.first.saturating_mul(height).saturating_add(th.first).saturating_mul(width);
                    let best = &mut values[at..at + length];
                    best.fill(T::LOWEST);
                    for (place, &first) in places.iter_mut().zip(&firsts) {
                        // A window may miss the input where dilation steps over it.
                        *place = corner.saturating_add(first).min(plane - 1) as i32;
                    }
                    for d in 0..td.count {
                        for h in 0..th.count {
                            let row = ((td.first + d * td.step) * height + th.first + h * th.step) * width;
                            for tap in &taps {
                                let mut here = (row + tap.start) as i32;
                                let results =
                                    (&mut best[tap.outputs.clone()], &mut places[tap.outputs.clone()]);
                                let row = &input[row..row + width];
                                along(results, row, tap.start, s.stride[2], |best, place, x| {
                                    let take = x > *best || x.is_nan();
                                    *best = if take { x } else { *best };
                                    *place = if take { here } else { *place };
                                    here = here.wrapping_add(s.stride[2] as i32);
                                });
                            }
                        }
                    }
                    if let Some(indices) = &mut indices {
                        for (index, &place) in indices[at..at + length].iter_mut().zip(&places) {
                            *index = i64::from(place);
                        }
                    }
                    at += length;
                }
            }
        }
    }
}

/// Adds each output gradient to the input element that its index names; `out` is overwritten. Errors when an index
/// lies outside the plane.
pub fn max_pool_backward<T: PoolElement>(
    planes: usize,
    input_plane: usize,
    output_plane: usize,
    grad: &[T],
    indices: &[i64],
    out: &mut [T],
) -> Result<()> {
    let (ins, outs) = (planes.checked_mul(input_plane), planes.checked_mul(output_plane));
    ensure!(ins == Some(out.len()) && outs == Some(grad.len()), "max_pool_backward: sizes don't match");
    check("max_pool_backward", &[(indices.len(), grad.len())])?;
    out.fill(T::ZERO);
    if grad.is_empty() {
        return Ok(());
    }
    let inside = indices.iter().all(|&i| i >= 0 && (i as usize) < input_plane);
    ensure!(inside, "max_pool_backward: invalid max index");
    let grads = grad.chunks_exact(output_plane).zip(indices.chunks_exact(output_plane));
    for ((grad, indices), out) in grads.zip(out.chunks_exact_mut(input_plane.max(1))) {
        for (&g, &i) in grad.iter().zip(indices) {
            out[i as usize] = out[i as usize].add(g);
        }
    }
    Ok(())
}

/// Writes each input element to the place in its output plane that its index names, zeros elsewhere.
///
/// `sizes` are the output's spatial sizes. Errors, with PyTorch's text, when an index lies outside the plane.
pub fn max_unpool<T: Element>(
    planes: usize,
    input_plane: usize,
    sizes: &[usize],
    input: &[T],
    indices: &[i64],
    out: &mut [T],
) -> Result<()> {
    let output_plane = crate::gemm::size_product(sizes)?;
    check_unpool(planes, input_plane, output_plane, input.len(), indices, out.len(), sizes)?;
    out.fill(T::default());
    if input.is_empty() {
        return Ok(());
    }
    let inputs = input.chunks_exact(input_plane).zip(indices.chunks_exact(input_plane));
    for ((input, indices), out) in inputs.zip(out.chunks_exact_mut(output_plane)) {
        for (&x, &i) in input.iter().zip(indices) {
            out[i as usize] = x;
        }
    }
    Ok(())
}

fn check_unpool(
    planes: usize,
    input_plane: usize,
    output_plane: usize,
    input: usize,
    indices: &[i64],
    output: usize,
    sizes: &[usize],
) -> Result<()> {
    let (ins, outs) = (planes.checked_mul(input_plane), planes.checked_mul(output_plane));
    ensure!(ins == Some(input) && outs == Some(output), "max_unpool: sizes don't match");
    check("max_unpool", &[(indices.len(), input)])?;
    if let Some(bad) = indices.iter().find(|&&i| i < 0 || i as usize >= output_plane) {
        let sizes: Vec<String> = sizes.iter().map(|x| x.to_string()).collect();
        flambeau_core::bail!(
            "Found an invalid max index: {bad} (output volumes are of size {})",
            sizes.join("x")
        );
    }
    Ok(())
}

/// The gradient of [`max_unpool`]: each input element's is the output gradient at its index.
pub fn max_unpool_backward<T: Element>(
    planes: usize,
    input_plane: usize,
    sizes: &[usize],
    grad: &[T],
    indices: &[i64],
    out: &mut [T],
) -> Result<()> {
    let output_plane = crate::gemm::size_product(sizes)?;
    check_unpool(planes, input_plane, output_plane, out.len(), indices, grad.len(), sizes)?;
    if out.is_empty() {
        return Ok(());
    }
    let outs = out.chunks_exact_mut(input_plane).zip(indices.chunks_exact(input_plane));
    for ((out, indices), grad) in outs.zip(grad.chunks_exact(output_plane)) {
        for (x, &i) in out.iter_mut().zip(indices) {
            *x = grad[i as usize];
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_windows_are_as_single_windows() {
        for (input, kernel, stride, padding, dilation) in [
            ([4, 9, 28], [1, 2, 2], [1, 2, 2], [0; 3], [1; 3]),
            ([1, 7, 33], [1, 3, 3], [1, 1, 1], [0, 1, 1], [1, 1, 1]),
            ([3, 8, 20], [2, 3, 5], [2, 3, 3], [1, 1, 2], [1, 2, 1]),
            ([1, 5, 6], [1, 5, 9], [1, 1, 2], [0, 2, 4], [1, 1, 1]),
            ([1, 6, 11], [1, 2, 3], [1, 2, 4], [0, 1, 1], [1, 5, 3]),
        ] {
            for ceil in [false, true] {
                let s = PoolShape::new(2, &input, &kernel, &stride, &padding, &dilation, ceil).unwrap();
                let n = 2 * s.input_plane();
                let x: Vec<f32> = (0..n)
                    .map(|i| match i * 7919 % 23 {
                        0 => f32::NAN,
                        1 | 2 => f32::NEG_INFINITY,
                        k => (k % 9) as f32,
                    })
                    .collect();
                let total = 2 * s.output_plane();
                let (mut a, mut b) = (vec![0f32; total], vec![0f32; total]);
                let (mut i, mut j) = (vec![0; total], vec![0; total]);
                max_pool(&s, &x, &mut a, Some(&mut i)).unwrap();
                one_by_one(&s, &x, &mut b, Some(&mut j));
                assert_eq!(i, j, "{s:?}");
                assert!(a.iter().zip(&b).all(|(a, b)| a.to_bits() == b.to_bits()));
            }
        }
    }
}
