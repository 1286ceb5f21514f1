//! Distances between all pairs of rows. One of the modules with unsafe code.

use super::norm::Norm;
use super::plan::advance;
use crate::pointwise::{Compute, Operand, load, store};
use crate::wide::{Body, wide};
use flambeau_core::{DType, Result, bail};
use smallvec::SmallVec;

trait Real: Compute + num_traits::Float {}
impl Real for f32 {}
impl Real for f64 {}

/// The distance of order `norm` between two rows, in lanes.
#[inline(always)]
fn distance<T: Real>(a: &[T], b: &[T], norm: Norm) -> T {
    #[inline(always)]
    fn fold<T: Real>(a: &[T], b: &[T], start: T, term: impl Fn(T) -> T, merge: impl Fn(T, T) -> T) -> T {
        let mut lanes = [start; 8];
        let (mut left, mut right) = (a.chunks_exact(8), b.chunks_exact(8));
        for (a, b) in (&mut left).zip(&mut right) {
            for i in 0..8 {
                lanes[i] = merge(lanes[i], term((a[i] - b[i]).abs()));
            }
        }
        for ((lane, &a), &b) in lanes.iter_mut().zip(left.remainder()).zip(right.remainder()) {
            *lane = merge(*lane, term((a - b).abs()));
        }
        let half = [0, 1, 2, 3].map(|i| merge(lanes[i], lanes[i + 4]));
        merge(merge(half[0], half[2]), merge(half[1], half[3]))
    }
    let (zero, one) = (T::zero(), T::one());
    let larger = |a: T, b: T| if b > a || b.is_nan() { b } else { a };
    let smaller = |a: T, b: T| if b < a || b.is_nan() { b } else { a };
    match norm {
        Norm::Zero => fold(a, b, zero, |d| if d == zero { zero } else { one }, |a, b| a + b),
        Norm::One => fold(a, b, zero, |d| d, |a, b| a + b),
        Norm::Two => fold(a, b, zero, |d| d * d, |a, b| a + b).sqrt(),
        Norm::Max => fold(a, b, zero, |d| d, larger),
        Norm::Min => fold(a, b, T::infinity(), |d| d, smaller),
        Norm::P(p) => {
            let p = T::from(p).unwrap_or(one);
            fold(a, b, zero, |d| d.powf(p), |a, b| a + b).powf(one / p)
        }
    }
}

/// Sums that one distance is made of; the `k`th term goes to the one of number `k % LANES`.
const LANES: usize = 8;
/// Distances that are computed side by side.
const COLUMNS: usize = 64;
/// From so many distances on tiles are worth it, even if they are filled up.
const FEW: usize = 16;

/// [`distance`] between a row and others, to the same bits. These are in tiles of `COLUMNS` rows (the last one is filled up),
/// each with the first elements of its rows, then the second ones and so on; `out` has room for all of the tiles.
struct Row<'a, T> {
    point: &'a [T],
    tiles: &'a [T],
    out: &'a mut [T],
    norm: Norm,
}

impl<T: Real> Row<'_, T> {
    #[inline(always)]
    fn fold(self, start: T, term: impl Fn(T) -> T, merge: impl Fn(T, T) -> T, finish: impl Fn(T) -> T) {
        let Row { point, tiles, out, .. } = self;
        let tiles = tiles.chunks_exact(point.len() * COLUMNS);
        let (out, _) = out.as_chunks_mut::<COLUMNS>();
        for (out, tile) in out.iter_mut().zip(tiles) {
            let mut lanes = [[start; COLUMNS]; LANES];
            let (rows, _) = tile.as_chunks::<COLUMNS>();
            for (a, b) in point.chunks(LANES).zip(rows.chunks(LANES)) {
                for ((lane, &a), b) in lanes.iter_mut().zip(a).zip(b) {
                    for (sum, &b) in lane.iter_mut().zip(b) {
                        *sum = merge(*sum, term((a - b).abs()));
                    }
                }
            }
            // Loops over whole lanes, which become vectors.
            let (low, high) = lanes.split_at_mut(LANES / 2);
            for (low, high) in low.iter_mut().zip(high) {
                for j in 0..COLUMNS {
                    low[j] = merge(low[j], high[j]);
                }
            }
            for j in 0..COLUMNS {
                out[j] = finish(merge(merge(lanes[0][j], lanes[2][j]), merge(lanes[1][j], lanes[3][j])));
            }
        }
    }
}

impl<T: Real> Body for Row<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let (zero, one) = (T::zero(), T::one());
        let larger = |a: T, b: T| if b > a || b.is_nan() { b } else { a };
        let smaller = |a: T, b: T| if b < a || b.is_nan() { b } else { a };
        match self.norm {
            Norm::Zero => self.fold(zero, |d| if d == zero { zero } else { one }, |a, b| a + b, |d| d),
            Norm::One => self.fold(zero, |d| d, |a, b| a + b, |d| d),
            Norm::Two => self.fold(zero, |d| d * d, |a, b| a + b, |d| d.sqrt()),
            Norm::Max => self.fold(zero, |d| d, larger, |d| d),
            Norm::Min => self.fold(T::infinity(), |d| d, smaller, |d| d),
            Norm::P(p) => {
                let p = T::from(p).unwrap_or(one);
                self.fold(zero, |d| d.powf(p), |a, b| a + b, |d| d.powf(one / p))
            }
        }
    }
}

/// Distances between the rows of two arrays of points. `out` has the sizes `sizes`: any batch, then the numbers of
/// rows of both; the operands have the batch, their rows, and `width` columns.
///
/// # Safety
/// All operands must be valid at those sizes, `out` for writing.
pub unsafe fn distances(
    a: &Operand,
    b: &Operand,
    out: &Operand,
    sizes: &[i64],
    width: i64,
    norm: Norm,
) -> Result<()> {
    // SAFETY: passed on from the caller.
    unsafe {
        match out.dtype.compute() {
            DType::Float32 => run::<f32>(a, b, out, sizes, width as usize, norm),
            DType::Float64 => run::<f64>(a, b, out, sizes, width as usize, norm),
            _ => bail!(NotImplemented, "distances serve real floating-point types"),
        }
    }
    Ok(())
}

/// # Safety
/// As for [`distances`].
unsafe fn run<T: Real>(a: &Operand, b: &Operand, out: &Operand, sizes: &[i64], width: usize, norm: Norm) {
    if sizes.contains(&0) {
        return;
    }
    let rank = sizes.len();
    let (n, m) = (sizes[rank - 2] as usize, sizes[rank - 1] as usize);
    let batch = &sizes[..rank - 2];
    let mut index: SmallVec<[usize; 4]> = SmallVec::from_elem(0, batch.len());
    let tiled = m >= FEW && width > 0;
    let filled = if tiled { m.next_multiple_of(COLUMNS) } else { m };
    let (mut left, mut right) = (vec![T::default(); n * width], vec![T::default(); m * width]);
    let (mut tiles, mut row) =
        (vec![T::default(); if tiled { filled * width } else { 0 }], vec![T::default(); filled]);
    loop {
        let place = |o: &Operand, i: usize| -> *mut u8 {
            let at: i64 = o.strides.iter().zip(&index).map(|(&s, &i)| s * i as i64).sum();
            let at = at + o.strides[rank - 2] * i as i64;
            o.pointer.wrapping_offset(at as isize * o.dtype.size() as isize)
        };
        // SAFETY: rows lie within the operands; the buffers hold them.
        unsafe {
            for (o, buffer, count) in [(a, &mut left, n), (b, &mut right, m)] {
                for i in 0..count {
                    let to = buffer[i * width..(i + 1) * width].as_mut_ptr();
                    load(place(o, i), o.dtype, o.strides[rank - 1] as isize, to, width);
                }
            }
            for j in (0..m).filter(|_| tiled) {
                let tile = &mut tiles[j / COLUMNS * COLUMNS * width..];
                for k in 0..width {
                    tile[k * COLUMNS + j % COLUMNS] = right[j * width + k];
                }
            }
            for i in 0..n {
                let point = &left[i * width..(i + 1) * width];
                if tiled {
                    wide(Row { point, tiles: &tiles, out: &mut row, norm });
                } else {
                    for (j, distance_to) in row[..m].iter_mut().enumerate() {
                        *distance_to = distance(point, &right[j * width..(j + 1) * width], norm);
                    }
                }
                store(row.as_ptr(), place(out, i), out.dtype, out.strides[rank - 1] as isize, m);
            }
        }
        if !advance(&mut index, batch.iter().map(|&n| n as usize)) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_are_as_pairs() {
        let number =
            |i: usize| ((i * 7919 % 1013) as f32 / 300.0 - 1.7) * if i % 97 == 5 { f32::NAN } else { 1.0 };
        for (m, width) in [(16, 1), (17, 10), (40, 8), (33, 27), (150, 11), (3, 5), (20, 0)] {
            let left: Vec<f32> = (0..2 * width).map(|i| number(i + 11)).collect();
            let right: Vec<f32> = (0..m * width).map(number).collect();
            for norm in [Norm::Zero, Norm::One, Norm::Two, Norm::Max, Norm::Min, Norm::P(2.5)] {
                let mut out = vec![9f32; 2 * m];
                let operand = |pointer: *mut f32, stride: usize| Operand {
                    pointer: pointer.cast(),
                    dtype: DType::Float32,
                    strides: SmallVec::from_slice(&[stride as i64, 1]),
                };
                let (a, b) = (left.as_ptr().cast_mut(), right.as_ptr().cast_mut());
                let (a, b, to) = (operand(a, width), operand(b, width), operand(out.as_mut_ptr(), m));
                // SAFETY: arrays of these sizes.
                unsafe { distances(&a, &b, &to, &[2, m as i64], width as i64, norm).unwrap() };
                for (at, x) in out.iter().enumerate() {
                    let (i, j) = (at / m, at % m);
                    let pair = [&left[i * width..][..width], &right[j * width..][..width]];
                    let wanted = distance(pair[0], pair[1], norm);
                    assert!(x.to_bits() == wanted.to_bits() || (x.is_nan() && wanted.is_nan()), "{norm:?}");
                }
            }
        }
    }
}
