//! Maximum pooling and its inverse.

use super::rows::{PaddedRows, WIDE, put, taken};
use super::{PoolElement, PoolShape, check};
use crate::wide::{Body, wide};
use flambeau_core::parallel::each;
use flambeau_core::{Element, Result, ensure};

/// Elements that are worth a thread.
const GRAIN: usize = 1 << 15;
/// Rows of fewer windows that are at least as wide take each by itself.
const FEW: usize = 4;

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
    if total == 0 {
        return Ok(());
    }
    // Positions in 32 bits, as wide as most elements.
    let small = i32::try_from(plane).is_ok();
    let rows = PaddedRows::new(s).filter(|_| small);
    let alone = small && s.dilation[2] == 1 && (rows.is_none() || s.output[2] < FEW && s.kernel[2] >= FEW);
    let planes = GRAIN.div_ceil(plane);
    let parts = input.chunks(planes * plane).zip(values.chunks_mut(planes * out_plane));
    let part = |input: &[T], values: &mut [T], indices: &mut [i64]| {
        let s = &PoolShape { planes: input.len() / plane, ..*s };
        match rows {
            _ if alone => wide(Windows { s, input, values, indices }),
            Some(rows) => wide(Maxima { s, input, values, indices, rows }),
            None => one_by_one(s, input, values, indices),
        }
        Ok(())
    };
    match indices {
        Some(indices) => {
            let parts = parts.zip(indices.chunks_mut(planes * out_plane));
            each(parts, 1, |((input, values), indices)| part(input, values, indices))
        }
        None => each(parts, 1, |(input, values)| part(input, values, &mut [])),
    }
}

/// [`max_pool`] a window after the other.
fn one_by_one<T: PoolElement>(s: &PoolShape, input: &[T], values: &mut [T], indices: &mut [i64]) {
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
                    if let Some(index) = indices.get_mut(at) {
                        // A window may miss the input where dilation steps over it.
                        *index = from.min(plane - 1) as i64;
                    }
                    at += 1;
                }
            }
        }
    }
}

/// [`max_pool`] of planes of fewer than 2^31 elements: windows next to each other take one tap after the other in registers,
/// without branches.
struct Maxima<'a, T> {
    s: &'a PoolShape,
    input: &'a [T],
    values: &'a mut [T],
    /// As many as values, or none.
    indices: &'a mut [i64],
    rows: PaddedRows,
}
impl<T: PoolElement> Body for Maxima<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        // Strides are constants.
        match (self.s.stride[2], self.indices.is_empty()) {
            (1, true) => self.strided::<1, false>(),
            (1, false) => self.strided::<1, true>(),
            (2, true) => self.strided::<2, false>(),
            (2, false) => self.strided::<2, true>(),
            (3, true) => self.strided::<3, false>(),
            (3, false) => self.strided::<3, true>(),
            (_, true) => self.strided::<4, false>(),
            (_, false) => self.strided::<4, true>(),
        }
    }
}

impl<T: PoolElement> Maxima<'_, T> {
    /// For `STRIDE` along rows.
    #[inline(always)]
    fn strided<const STRIDE: usize, const PLACES: bool>(self) {
        let Maxima { s, input, values, indices, rows } = self;
        let (plane, [_, height, width], [.., length]) = (s.input_plane(), s.input, s.output);
        let ([.., kernel], [.., dilation]) = (s.kernel, s.dilation);
        let [.., padding] = s.padding;
        // Where the first window of a block has its first tap, and the others have theirs from there.
        let firsts: Vec<i32> = match PLACES {
            true => (0..length).map(|o| s.taps(2, o).first.min(plane) as i32).collect(),
            false => Vec::new(),
        };
        let mut steps = [0i32; WIDE];
        for l in 0..WIDE {
            steps[l] = (l * STRIDE) as i32;
        }
        let mut copy = Vec::new();
        let mut at = 0;
        for p in 0..s.planes {
            let image = &input[p * plane..];
            let (image, apart) = rows.of(s, image, T::LOWEST, &mut copy);
            for od in 0..s.output[0] {
                let td = s.taps(0, od);
                for oh in 0..s.output[1] {
                    let th = s.taps(1, oh);
                    let corner = td.first.saturating_mul(height).saturating_add(th.first);
                    let corner = corner.saturating_mul(width).min(plane) as i32;
                    for o in (0..length).step_by(WIDE) {
                        let n = WIDE.min(length - o);
                        let (mut best, mut places) = ([T::LOWEST; WIDE], [0i32; WIDE]);
                        if PLACES {
                            places[..n].copy_from_slice(&firsts[o..o + n]);
                            for l in 0..WIDE {
                                // A window may miss the input where dilation steps over it.
                                places[l] = corner.saturating_add(places[l]).min(plane as i32 - 1);
                            }
                        }
                        for d in 0..td.count {
                            for h in 0..th.count {
                                let row = (td.first + d * td.step) * height + th.first + h * th.step;
                                for k in 0..kernel {
                                    let from = o * STRIDE + k * dilation;
                                    let x = taken::<T, STRIDE>(&image[row * apart + from..]);
                                    let first = (row * width + from).wrapping_sub(padding) as i32;
                                    for l in 0..WIDE {
                                        let take = (x[l] > best[l]) | x[l].is_nan();
                                        best[l] = if take { x[l] } else { best[l] };
                                        if PLACES {
                                            let here = first.wrapping_add(steps[l]);
                                            places[l] = if take { here } else { places[l] };
                                        }
                                    }
                                }
                            }
                        }
                        put(&mut values[at + o..], best, n);
                        if PLACES {
                            let mut wide = [0i64; WIDE];
                            for l in 0..WIDE {
                                wide[l] = i64::from(places[l]);
                            }
                            put(&mut indices[at + o..], wide, n);
                        }
                    }
                    at += length;
                }
            }
        }
    }
}

/// [`max_pool`] of planes of fewer than 2^31 elements, a window after the other, without dilation of rows: elements next to each
/// other are compared side by side.
struct Windows<'a, T> {
    s: &'a PoolShape,
    input: &'a [T],
    values: &'a mut [T],
    /// As many as values, or none.
    indices: &'a mut [i64],
}
impl<T: PoolElement> Body for Windows<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let Windows { s, input, values, indices } = self;
        let (plane, [_, height, width]) = (s.input_plane(), s.input);
        let mut places = [0i32; WIDE];
        for l in 0..WIDE {
            places[l] = l as i32;
        }
        let mut at = 0;
        for p in 0..s.planes {
            let image = &input[p * plane..];
            for od in 0..s.output[0] {
                let td = s.taps(0, od);
                for oh in 0..s.output[1] {
                    let th = s.taps(1, oh);
                    for ow in 0..s.output[2] {
                        let tw = s.taps(2, ow);
                        let corner = td.first.saturating_mul(height).saturating_add(th.first);
                        let corner = corner.saturating_mul(width).saturating_add(tw.first);
                        let corner = corner.min(plane - 1) as i32;
                        let (mut best, mut from) = ([T::LOWEST; WIDE], [corner; WIDE]);
                        for d in 0..td.count {
                            for h in 0..th.count {
                                let row = (td.first + d * td.step) * height + th.first + h * th.step;
                                let start = row * width + tw.first;
                                for k in (0..tw.count).step_by(WIDE) {
                                    let (mut x, n) = ([T::LOWEST; WIDE], (tw.count - k).min(WIDE));
                                    match image[start + k..].first_chunk::<WIDE>() {
                                        Some(all) => x = *all,
                                        None => x[..n].copy_from_slice(&image[start + k..][..n]),
                                    }
                                    let first = (start + k) as i32;
                                    for l in 0..WIDE {
                                        let take =
                                            ((x[l] > best[l]) | x[l].is_nan()) & (places[l] < n as i32);
                                        best[l] = if take { x[l] } else { best[l] };
                                        from[l] = if take { first + places[l] } else { from[l] };
                                    }
                                }
                            }
                        }
                        let mut half = WIDE / 2;
                        while half > 0 {
                            for l in 0..half {
                                (best[l], from[l]) =
                                    better((best[l], from[l]), (best[l + half], from[l + half]));
                            }
                            half /= 2;
                        }
                        values[at] = best[0];
                        if let Some(index) = indices.get_mut(at) {
                            *index = i64::from(from[0]);
                        }
                        at += 1;
                    }
                }
            }
        }
    }
}

/// Which of two elements with their positions a window takes: the last NaN, else the first of the largest.
#[inline(always)]
fn better<T: PoolElement>(a: (T, i32), b: (T, i32)) -> (T, i32) {
    let numbers = !a.0.is_nan() & ((b.0 > a.0) | ((b.0 == a.0) & (b.1 < a.1)));
    let take = numbers | (b.0.is_nan() & (!a.0.is_nan() | (b.1 > a.1)));
    if take { b } else { a }
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
            ([1, 4, 40], [1, 2, 3], [1, 1, 3], [0, 1, 1], [1, 1, 1]),
            ([1, 3, 70], [1, 1, 5], [1, 1, 4], [0, 0, 2], [1, 1, 1]),
            ([1, 7, 7], [1, 7, 7], [1, 7, 7], [0; 3], [1; 3]),
            ([2, 5, 50], [2, 3, 40], [1, 1, 5], [0, 1, 9], [1, 1, 1]),
            ([1, 5, 50], [1, 3, 4], [1, 1, 6], [0, 1, 2], [1, 1, 2]),
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
                one_by_one(&s, &x, &mut b, &mut j);
                assert_eq!(i, j, "{s:?}");
                assert!(a.iter().zip(&b).all(|(a, b)| a.to_bits() == b.to_bits()));
                max_pool(&s, &x, &mut a, None).unwrap();
                assert!(a.iter().zip(&b).all(|(a, b)| a.to_bits() == b.to_bits()));
            }
        }
    }
}
