//! Sums of contiguous rows and columns, in the order in which PyTorch adds them up, so that results are the same to
//! the last bit: sequences of vectors add up in blocks, and blocks in blocks of blocks, which also keeps rounding errors
//! small (N. Higham, "The accuracy of floating point summation", 1993). One of the modules with unsafe code.

use super::engine::ahead;
use super::plan::{Plan, advance};
use crate::pointwise::Operand;
use crate::wide::{Body, wide};
use flambeau_core::DType;
use num_traits::Float;
use smallvec::SmallVec;

/// Levels of blocks.
const LEVELS: usize = 4;
/// Sequences of vectors that are added up side by side.
const SIDE: usize = 4;

/// How many elements ahead of a sum memory is asked for: more than a page, which processors do not look beyond.
const AHEAD: isize = 2048;
/// Columns that are added up together, so that memory is read in long stretches.
const PANEL: usize = 1024;

/// The lines of a block, and the number of its levels' digits.
#[inline(always)]
fn block_size(size: usize) -> (usize, usize) {
    let bits = size.max(2).next_power_of_two().trailing_zeros() as usize;
    let power = (bits / LEVELS).max(4);
    (1 << power, power)
}

/// `N` sums side by side of lines that begin `gap` elements apart, one after the other.
///
/// # Safety
/// `x` points at that many lines of `N` elements.
#[inline(always)]
unsafe fn run<T: Float, const N: usize>(x: *const T, lines: usize, gap: isize) -> [T; N] {
    let mut sums = [T::zero(); N];
    for i in 0..lines as isize {
        ahead(x.wrapping_offset(i * gap + AHEAD).cast());
        // SAFETY: a line by the caller's promise.
        let line = unsafe { x.offset(i * gap).cast::<[T; N]>().read_unaligned() };
        for l in 0..N {
            sums[l] = sums[l] + line[l];
        }
    }
    sums
}

/// `N` sums side by side of `size` lines that begin `gap` elements apart: in blocks, and blocks of blocks.
///
/// # Safety
/// As for [`run`].
#[inline(always)]
unsafe fn blocks<T: Float, const N: usize>(x: *const T, size: usize, gap: isize) -> [T; N] {
    let (step, power) = block_size(size);
    let mut sums = [[T::zero(); N]; LEVELS];
    let mut i = 0;
    while i + step <= size {
        // SAFETY: lines below `size`.
        let mut carry = unsafe { run::<T, N>(x.offset(i as isize * gap), step, gap) };
        i += step;
        for (j, level) in sums.iter_mut().enumerate().skip(1) {
            for l in 0..N {
                level[l] = level[l] + carry[l];
            }
            if i & ((step - 1) << (j * power)) != 0 || j == LEVELS - 1 {
                break;
            }
            carry = std::mem::replace(level, [T::zero(); N]);
        }
    }
    // SAFETY: as above.
    sums[0] = unsafe { run::<T, N>(x.offset(i as isize * gap), size - i, gap) };
    let [mut total, rest @ ..] = sums;
    for level in rest {
        for l in 0..N {
            total[l] = total[l] + level[l];
        }
    }
    total
}

/// `N` sums that were taken `SIDE` vectors of `W` at a time, the vectors from `first` to `size` that are left over and
/// begin `gap` elements apart, added up; `N = SIDE * W`.
///
/// # Safety
/// `x` points at `size` vectors of `W` elements.
#[inline(always)]
unsafe fn gather<T: Float, const N: usize, const W: usize>(
    sums: [T; N],
    x: *const T,
    first: usize,
    size: usize,
    gap: isize,
) -> [T; W] {
    let mut total = [T::zero(); W];
    total.copy_from_slice(&sums[..W]);
    for i in first..size {
        for l in 0..W {
            // SAFETY: an element of a vector below `size`.
            total[l] = total[l] + unsafe { *x.offset(i as isize * gap + l as isize) };
        }
    }
    for k in 1..SIDE {
        for l in 0..W {
            total[l] = total[l] + sums[k * W + l];
        }
    }
    total
}

/// The sum of a contiguous row.
#[inline(always)]
fn row<T: Float, const N: usize, const W: usize>(x: &[T]) -> T {
    let (from, n) = (x.as_ptr(), x.len());
    // SAFETY: lines and vectors within the row.
    unsafe {
        if n < W {
            let sums = blocks::<T, SIDE>(from, n / SIDE, SIDE as isize);
            return gather::<T, SIDE, 1>(sums, from, n / SIDE * SIDE, n, 1)[0];
        }
        let vectors = n / W;
        let sums = blocks::<T, N>(from, vectors / SIDE, N as isize);
        let lanes = gather::<T, N, W>(sums, from, vectors / SIDE * SIDE, vectors, W as isize);
        let rest = x[vectors * W..].iter().fold(T::zero(), |total, &v| total + v);
        lanes.iter().fold(rest, |total, &v| total + v)
    }
}

/// The sums of `out.len()` adjacent columns of `n` rows, `stride` elements apart.
///
/// # Safety
/// `x` points at that many rows.
#[inline(always)]
unsafe fn columns<T: Float, const N: usize, const W: usize>(
    x: *const T,
    n: usize,
    stride: isize,
    out: &mut [T],
) {
    let count = out.len();
    let (step, power) = block_size(n);
    let mut c = 0;
    let mut levels: Vec<T> = Vec::new();
    while c + N <= count {
        let width = (count - c).min(PANEL) / N * N;
        levels.clear();
        levels.resize((LEVELS - 1) * width, T::zero());
        let mut i = 0;
        while i + step <= n {
            for (g, sums) in levels[..width].as_chunks_mut::<N>().0.iter_mut().enumerate() {
                // SAFETY: rows under `n`, columns under `count`.
                let block = unsafe {
                    run::<T, N>(x.offset(i as isize * stride + (c + g * N) as isize), step, stride)
                };
                for l in 0..N {
                    sums[l] = sums[l] + block[l];
                }
            }
            i += step;
            for j in 1..LEVELS - 1 {
                if i & ((step - 1) << (j * power)) != 0 {
                    break;
                }
                let (below, above) = levels[(j - 1) * width..(j + 1) * width].split_at_mut(width);
                above.iter_mut().zip(below).for_each(|(a, b)| *a = *a + std::mem::replace(b, T::zero()));
            }
        }
        for (g, out) in out[c..c + width].as_chunks_mut::<N>().0.iter_mut().enumerate() {
            // SAFETY: as above.
            let mut total =
                unsafe { run::<T, N>(x.offset(i as isize * stride + (c + g * N) as isize), n - i, stride) };
            for level in levels.chunks_exact(width) {
                for l in 0..N {
                    total[l] = total[l] + level[g * N + l];
                }
            }
            *out = total;
        }
        c += width;
    }
    // Fewer columns than a vector has lanes.
    while count < W && c + SIDE <= count {
        // SAFETY: as above.
        out[c..c + SIDE].copy_from_slice(&unsafe { blocks::<T, SIDE>(x.add(c), n, stride) });
        c += SIDE;
    }
    while c < count {
        let width = W.min(count - c);
        // The vectors as lines without gaps, so that they are added up like rows; lanes beyond the last column are 0.
        let mut line = [T::zero(); W];
        let mut part = |i: usize, sums: &mut [T]| {
            for l in 0..width {
                // SAFETY: as above.
                line[l] = unsafe { *x.offset(i as isize * stride + (c + l) as isize) };
            }
            sums.iter_mut().zip(line).for_each(|(sum, v)| *sum = *sum + v);
        };
        let (size, mut sums) = (n / SIDE, [[T::zero(); N]; LEVELS]);
        let (step, power) = block_size(size);
        let mut i = 0;
        while i < size {
            for k in 0..SIDE {
                part(i * SIDE + k, &mut sums[0][k * W..][..W]);
            }
            i += 1;
            let mut j = 1;
            while i.is_multiple_of(step) && j < LEVELS {
                let below = std::mem::replace(&mut sums[j - 1], [T::zero(); N]);
                for l in 0..N {
                    sums[j][l] = sums[j][l] + below[l];
                }
                if i & ((step - 1) << (j * power)) != 0 {
                    break;
                }
                j += 1;
            }
        }
        let [mut total, rest @ ..] = sums;
        rest.iter().for_each(|level| total.iter_mut().zip(level).for_each(|(t, &v)| *t = *t + v));
        for i in size * SIDE..n {
            part(i, &mut total[..W]);
        }
        for k in 1..SIDE {
            for l in 0..W {
                total[l] = total[l] + total[k * W + l];
            }
        }
        out[c..c + width].copy_from_slice(&total[..width]);
        c += width;
    }
}

/// Sums (divided by `divisor`) over dimensions that follow each other in memory, into numbers of the same type. False
/// where nothing was done: for other types, and where neither the reduced nor the kept dimensions are contiguous.
///
/// # Safety
/// As for `reduce`.
pub(super) unsafe fn sum(
    src: &Operand,
    out: &Operand,
    sizes: &[i64],
    mask: &[bool],
    divisor: Option<f64>,
) -> bool {
    if src.dtype != out.dtype {
        return false;
    }
    // SAFETY: passed on from the caller.
    unsafe {
        match src.dtype {
            DType::Float32 => each::<f32, 32, 8>(src, out, sizes, mask, divisor.map(|d| d as f32)),
            DType::Float64 => each::<f64, 16, 4>(src, out, sizes, mask, divisor),
            _ => false,
        }
    }
}

/// # Safety
/// As for [`sum`], of operands of `T`.
unsafe fn each<T: Float, const N: usize, const W: usize>(
    src: &Operand,
    out: &Operand,
    sizes: &[i64],
    mask: &[bool],
    divisor: Option<T>,
) -> bool {
    let aligned = |o: &Operand| o.pointer.cast::<T>().is_aligned();
    let Some(plan) = Plan::new(sizes, mask, src, &[out]) else { return true };
    let [(n, stride)] = plan.reduced[..] else { return false };
    if plan.count == 0 || !aligned(src) || !aligned(out) {
        return false;
    }
    // The kept dimension that one call works on: its size, its stride, that of the results.
    let inner = plan.kept.last().map_or((1, 0, 1), |last| (last.size, last.stride, last.out[0]));
    let by_columns = stride != 1;
    if by_columns && (inner.1, inner.2) != (1, 1) {
        return false;
    }
    let outer = &plan.kept[..plan.kept.len().saturating_sub(1)];
    let mut index: SmallVec<[usize; 4]> = SmallVec::from_elem(0, outer.len());
    loop {
        let (mut from, mut to) = (0isize, 0isize);
        for (k, &i) in outer.iter().zip(&index) {
            from += k.stride * i as isize;
            to += k.out[0] * i as isize;
        }
        let x = src.pointer.cast::<T>().wrapping_offset(from).cast_const();
        let results = out.pointer.cast::<T>().wrapping_offset(to);
        // Rows of `n` elements (or `n` rows), and their results, valid by the caller's promise; the results do not overlap
        // the input.
        let work = Work::<T, N, W> { x, n, stride, results, inner, divisor };
        wide(work);
        if !advance(&mut index, outer.iter().map(|k| k.size)) {
            return true;
        }
    }
}

/// Sums over `n` elements `stride` apart, for each index of one kept dimension: elements and results are valid, and not
/// the same.
struct Work<T, const N: usize, const W: usize> {
    x: *const T,
    n: usize,
    stride: isize,
    results: *mut T,
    inner: (usize, isize, isize),
    divisor: Option<T>,
}

impl<T: Float, const N: usize, const W: usize> Body for Work<T, N, W> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let (count, from, to) = self.inner;
        if self.stride != 1 {
            // SAFETY: results of adjacent columns follow each other.
            unsafe {
                let results = std::slice::from_raw_parts_mut(self.results, count);
                columns::<T, N, W>(self.x, self.n, self.stride, results);
                if let Some(divisor) = self.divisor {
                    results.iter_mut().for_each(|v| *v = *v / divisor);
                }
            }
            return;
        }
        for i in 0..count as isize {
            // SAFETY: a row of elements and its result.
            unsafe {
                let total = row::<T, N, W>(std::slice::from_raw_parts(self.x.offset(i * from), self.n));
                *self.results.offset(i * to) = self.divisor.map_or(total, |divisor| total / divisor);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_columns_add_up() {
        for n in [1, 3, 4, 7, 8, 9, 33, 500, 5000] {
            let x: Vec<f64> = (0..n).map(|i| (i % 17) as f64).collect();
            let exact: f64 = x.iter().sum();
            assert_eq!(row::<f64, 16, 4>(&x), exact);
            for width in [1, 3, 8, 40] {
                let wide: Vec<f32> = (0..n * width).map(|i| (i / width % 17) as f32).collect();
                let mut out = vec![0f32; width];
                // SAFETY: n rows of `width` elements.
                unsafe { columns::<f32, 32, 8>(wide.as_ptr(), n, width as isize, &mut out) };
                assert!(out.iter().all(|&v| v as f64 == exact), "{n} {width}");
            }
        }
    }

    /// The order, element by element: lane `l` of a line of sums, lines in blocks of blocks, then lanes.
    fn plain(x: &[f32]) -> f32 {
        let w = if x.len() < 8 { 1 } else { 8 };
        let lines = x.len() / (4 * w);
        let (step, power) = block_size(lines);
        let mut lanes: Vec<f32> = (0..4 * w)
            .map(|l| {
                let mut sums = [0f32; LEVELS];
                for i in 1..=lines {
                    sums[0] += x[(i - 1) * 4 * w + l];
                    let mut j = 1;
                    while i % step == 0 && j < LEVELS {
                        sums[j] += std::mem::take(&mut sums[j - 1]);
                        if i & ((step - 1) << (j * power)) != 0 {
                            break;
                        }
                        j += 1;
                    }
                }
                sums[0] + sums[1] + sums[2] + sums[3]
            })
            .collect();
        let vectors = x.len() / w;
        (lines * 4 * w..vectors * w).for_each(|i| lanes[i % w] += x[i]);
        let total = |l: usize| lanes[l] + lanes[w + l] + lanes[2 * w + l] + lanes[3 * w + l];
        let rest = if w == 1 { 0.0 } else { x[vectors * w..].iter().fold(0.0, |t, v| t + v) };
        match w {
            1 => total(0),
            _ => (0..w).fold(rest, |t, l| t + total(l)),
        }
    }

    #[test]
    fn the_order_of_additions() {
        use crate::wide::{Level, highest, wide_at};
        for n in [1, 5, 7, 8, 31, 32, 100, 511, 512, 1000, 1023, 9000, 70_001, 600_000] {
            let x: Vec<f32> = (0..n).map(|i| ((i * 7919 % 1013) as f32 - 500.0) * 1e-3).collect();
            for level in [Level::Baseline, Level::Avx2, Level::Avx512].into_iter().filter(|&l| l <= highest())
            {
                let sum = wide_at(level, || row::<f32, 32, 8>(&x));
                assert_eq!(sum.to_bits(), plain(&x).to_bits(), "{n} {level:?}");
            }
            // Columns of a wide matrix add up like lines of one lane.
            let width = 43;
            let rows = n.min(5000);
            let wide: Vec<f32> =
                (0..rows * width).map(|i| ((i * 7919 % 1013) as f32 - 500.0) * 1e-3).collect();
            let mut out = vec![0f32; width];
            // SAFETY: `rows` rows of `width` elements.
            unsafe { columns::<f32, 32, 8>(wide.as_ptr(), rows, width as isize, &mut out) };
            // SAFETY: as above.
            let one = unsafe { blocks::<f32, 1>(wide.as_ptr().add(7), rows, width as isize) }[0];
            assert_eq!(out[7].to_bits(), one.to_bits());
        }
    }

    #[test]
    fn errors_grow_slowly_with_the_length() {
        let x = vec![0.1f32; 1 << 22];
        // The number that PyTorch gives on one thread.
        assert_eq!(row::<f32, 32, 8>(&x), 419_430.28);
    }
}
