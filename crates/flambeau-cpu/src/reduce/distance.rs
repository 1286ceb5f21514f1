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

/// Sums that one distance is made of; the `k`th term goes to the one of number `k % LANES`.
const LANES: usize = 8;
/// Rows of so many elements have these sums; shorter ones have a single one.
const LONG: usize = 32;
/// Distances that are computed side by side.
const COLUMNS: usize = 64;
/// From so many distances on tiles are worth it, even if they are filled up.
const FEW: usize = 16;
/// Rows whose distances to those of a tile are computed together.
const ROWS: usize = 32;

/// How differences make a distance.
trait Fold<T> {
    fn fold(self, start: T, add: impl Fn(T, T) -> T, merge: impl Fn(T, T) -> T, finish: impl Fn(T) -> T);
}

/// Gives `work` the functions of a norm.
#[inline(always)]
fn with_norm<T: Real>(norm: Norm, work: impl Fold<T>) {
    let (zero, one) = (T::zero(), T::one());
    let larger = |a: T, b: T| if b > a || b.is_nan() { b } else { a };
    let smaller = |a: T, b: T| if b < a || b.is_nan() { b } else { a };
    let plus = |a: T, b: T| a + b;
    match norm {
        Norm::Zero => work.fold(zero, |sum, d| sum + if d == zero { zero } else { one }, plus, |d| d),
        Norm::One => work.fold(zero, |sum, d| sum + d.abs(), plus, |d| d),
        Norm::Two => work.fold(zero, |sum, d| d.mul_add(d, sum), plus, |d| d.sqrt()),
        Norm::Max => work.fold(zero, |sum, d| larger(sum, d.abs()), larger, |d| d),
        Norm::Min => work.fold(T::infinity(), |sum, d| smaller(sum, d.abs()), smaller, |d| d),
        Norm::P(p) => {
            let p = T::from(p).unwrap_or(one);
            work.fold(zero, |sum, d| sum + d.abs().powf(p), plus, |d| d.powf(one / p))
        }
    }
}

/// The distance between two rows, in lanes.
struct Pair<'a, T>(&'a [T], &'a [T], &'a mut T);

impl<T: Real> Fold<T> for Pair<'_, T> {
    #[inline(always)]
    fn fold(self, start: T, add: impl Fn(T, T) -> T, merge: impl Fn(T, T) -> T, finish: impl Fn(T) -> T) {
        let Pair(a, b, out) = self;
        if a.len() < LONG {
            *out = finish(a.iter().zip(b).fold(start, |sum, (&a, &b)| add(sum, a - b)));
            return;
        }
        let mut lanes = [start; LANES];
        for (a, b) in a.chunks(LANES).zip(b.chunks(LANES)) {
            for ((lane, &a), &b) in lanes.iter_mut().zip(a).zip(b) {
                *lane = add(*lane, a - b);
            }
        }
        let half = [0, 1, 2, 3].map(|i| merge(lanes[i], lanes[i + 4]));
        *out = finish(merge(merge(half[0], half[2]), merge(half[1], half[3])));
    }
}

/// As [`Pair`], between each of some rows and `COLUMNS` others, to the same bits. The others are in a tile, which has the
/// first elements of its rows, then the second ones and so on.
struct Block<'a, T> {
    rows: &'a [T],
    tile: &'a [T],
    out: &'a mut [T],
}

impl<T: Real> Fold<T> for Block<'_, T> {
    #[inline(always)]
    fn fold(self, start: T, add: impl Fn(T, T) -> T, merge: impl Fn(T, T) -> T, finish: impl Fn(T) -> T) {
        let (tile, _) = self.tile.as_chunks::<COLUMNS>();
        let (out, _) = self.out.as_chunks_mut::<COLUMNS>();
        for (out, row) in out.iter_mut().zip(self.rows.chunks_exact(tile.len())) {
            if row.len() < LONG {
                let mut sums = [start; COLUMNS];
                for (&a, b) in row.iter().zip(tile) {
                    for j in 0..COLUMNS {
                        sums[j] = add(sums[j], a - b[j]);
                    }
                }
                *out = sums.map(&finish);
                continue;
            }
            let mut lanes = [[start; COLUMNS]; LANES];
            let ((row, last), (tile, last_of_tile)) = (row.as_chunks::<LANES>(), tile.as_chunks::<LANES>());
            for (l, lane) in lanes.iter_mut().enumerate() {
                // One lane after the other: its sums stay in registers.
                let mut sums = [start; COLUMNS];
                for (a, b) in row.iter().zip(tile) {
                    for j in 0..COLUMNS {
                        sums[j] = add(sums[j], a[l] - b[l][j]);
                    }
                }
                if let (Some(&a), Some(b)) = (last.get(l), last_of_tile.get(l)) {
                    for j in 0..COLUMNS {
                        sums[j] = add(sums[j], a - b[j]);
                    }
                }
                *lane = sums;
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

/// Work for a norm, compiled for each level of instructions.
struct Of<T, F>(Norm, F, std::marker::PhantomData<T>);
impl<T: Real, F: Fold<T>> Body for Of<T, F> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        with_norm(self.0, self.1);
    }
}

#[inline(always)]
fn run_wide<T: Real>(norm: Norm, work: impl Fold<T>) {
    wide(Of(norm, work, std::marker::PhantomData));
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
        (vec![T::default(); if tiled { filled * width } else { 0 }], vec![T::default(); m]);
    let mut block = [T::default(); ROWS * COLUMNS];
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
            let stride = out.strides[rank - 1] as isize;
            let put = |i: usize, j: usize, row: &[T]| {
                let at = place(out, i).wrapping_offset(j as isize * stride * out.dtype.size() as isize);
                store(row.as_ptr(), at, out.dtype, stride, row.len());
            };
            if tiled {
                for (first, tile) in (0..m).step_by(COLUMNS).zip(tiles.chunks_exact(COLUMNS * width)) {
                    for (b, rows) in left.chunks(ROWS * width).enumerate() {
                        let out = &mut block[..rows.len() / width * COLUMNS];
                        run_wide(norm, Block { rows, tile, out });
                        for (i, row) in out.chunks_exact(COLUMNS).enumerate() {
                            put(b * ROWS + i, first, &row[..COLUMNS.min(m - first)]);
                        }
                    }
                }
            } else {
                for i in 0..n {
                    let a = &left[i * width..(i + 1) * width];
                    for (j, out) in row.iter_mut().enumerate() {
                        run_wide(norm, Pair(a, &right[j * width..(j + 1) * width], out));
                    }
                    put(i, 0, &row);
                }
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
        for (m, width) in
            [(16, 1), (17, 10), (40, 8), (33, 27), (150, 11), (3, 5), (20, 0), (70, 32), (70, 45)]
        {
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
                    let mut wanted = 0.0;
                    with_norm(norm, Pair(pair[0], pair[1], &mut wanted));
                    assert!(x.to_bits() == wanted.to_bits() || (x.is_nan() && wanted.is_nan()), "{norm:?}");
                }
            }
        }
    }
}
