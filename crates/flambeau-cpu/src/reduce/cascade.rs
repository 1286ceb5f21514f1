//! Sums of contiguous rows and columns, in the order in which PyTorch adds them up, so that results are the same to
//! the last bit: sequences of vectors add up in blocks, and blocks in blocks of blocks, which also keeps rounding errors
//! small (N. Higham, "The accuracy of floating point summation", 1993). One of the modules with unsafe code.

use super::plan::{Plan, advance};
use crate::pointwise::Operand;
use crate::wide::wide;
use flambeau_core::DType;
use num_traits::Float;
use smallvec::SmallVec;

/// Levels of blocks.
const LEVELS: usize = 4;
/// Sequences of vectors that are added up side by side.
const SIDE: usize = 4;

/// `N` sums side by side of `size` lines.
#[inline(always)]
fn blocks<T: Float, const N: usize>(size: usize, line: impl Fn(usize) -> [T; N]) -> [T; N] {
    let bits = size.max(2).next_power_of_two().trailing_zeros() as usize;
    let power = (bits / LEVELS).max(4);
    let step = 1usize << power;
    let mut sums = [[T::zero(); N]; LEVELS];
    let mut i = 0;
    while i + step <= size {
        for _ in 0..step {
            let line = line(i);
            for l in 0..N {
                sums[0][l] = sums[0][l] + line[l];
            }
            i += 1;
        }
        for j in 1..LEVELS {
            let below = std::mem::replace(&mut sums[j - 1], [T::zero(); N]);
            for l in 0..N {
                sums[j][l] = sums[j][l] + below[l];
            }
            if i & ((step - 1) << (j * power)) != 0 {
                break;
            }
        }
    }
    while i < size {
        let line = line(i);
        for l in 0..N {
            sums[0][l] = sums[0][l] + line[l];
        }
        i += 1;
    }
    let [mut total, rest @ ..] = sums;
    for level in rest {
        for l in 0..N {
            total[l] = total[l] + level[l];
        }
    }
    total
}

/// `W` sums of `size` vectors, taken `SIDE` at a time; `N = SIDE * W`. `lines(i)` are the vectors from `i` on, `line(i)` is
/// vector `i`.
#[inline(always)]
fn side_by_side<T: Float, const N: usize, const W: usize>(
    size: usize,
    lines: impl Fn(usize) -> [T; N],
    line: impl Fn(usize) -> [T; W],
) -> [T; W] {
    let sums = blocks::<T, N>(size / SIDE, |i| lines(i * SIDE));
    let mut total = [T::zero(); W];
    total.copy_from_slice(&sums[..W]);
    for i in size / SIDE * SIDE..size {
        let line = line(i);
        for l in 0..W {
            total[l] = total[l] + line[l];
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
    if x.len() < W {
        let one = |i: usize| [x[i]];
        return side_by_side::<T, SIDE, 1>(x.len(), |i| std::array::from_fn(|k| x[i + k]), one)[0];
    }
    let vectors = x.len() / W;
    let lanes = side_by_side::<T, N, W>(
        vectors,
        |i| std::array::from_fn(|l| x[i * W + l]),
        |i| std::array::from_fn(|l| x[i * W + l]),
    );
    let rest = x[vectors * W..].iter().fold(T::zero(), |total, &v| total + v);
    lanes.iter().fold(rest, |total, &v| total + v)
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
    // SAFETY: called below with rows under n and columns under count.
    let at = |i: usize, c: usize| unsafe { *x.offset(i as isize * stride + c as isize) };
    let mut c = 0;
    while c + N <= count {
        let sums = blocks::<T, N>(n, |i| std::array::from_fn(|l| at(i, c + l)));
        out[c..c + N].copy_from_slice(&sums);
        c += N;
    }
    // Fewer columns than a vector has lanes.
    while count < W && c + SIDE <= count {
        let sums = blocks::<T, SIDE>(n, |i| std::array::from_fn(|l| at(i, c + l)));
        out[c..c + SIDE].copy_from_slice(&sums);
        c += SIDE;
    }
    while c < count {
        let width = W.min(count - c);
        // Lanes beyond the last column repeat it.
        let lane = |l: usize| c + l.min(width - 1);
        let sums = side_by_side::<T, N, W>(
            n,
            |i| std::array::from_fn(|l| at(i + l / W, lane(l % W))),
            |i| std::array::from_fn(|l| at(i, lane(l))),
        );
        out[c..c + width].copy_from_slice(&sums[..width]);
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
            DType::Float32 => run::<f32, 32, 8>(src, out, sizes, mask, divisor.map(|d| d as f32)),
            DType::Float64 => run::<f64, 16, 4>(src, out, sizes, mask, divisor),
            _ => false,
        }
    }
}

unsafe fn run<T: Float, const N: usize, const W: usize>(
    src: &Operand,
    out: &Operand,
    sizes: &[i64],
    mask: &[bool],
    divisor: Option<T>,
) -> bool {
    let Some(plan) = Plan::new(sizes, mask, src, &[out]) else { return true };
    let [(n, stride)] = plan.reduced[..] else { return false };
    let by_columns = match plan.kept.last() {
        _ if plan.count == 0 => return false,
        _ if stride == 1 => false,
        Some(last) if last.stride == 1 && last.out[0] == 1 => true,
        _ => return false,
    };
    let width = if by_columns { plan.kept[plan.kept.len() - 1].size } else { 1 };
    let outer = &plan.kept[..plan.kept.len() - by_columns as usize];
    let mut index: SmallVec<[usize; 4]> = SmallVec::from_elem(0, outer.len());
    loop {
        let (mut from, mut to) = (0isize, 0isize);
        for (k, &i) in outer.iter().zip(&index) {
            from += k.stride * i as isize;
            to += k.out[0] * i as isize;
        }
        // SAFETY: a row of `n` elements (or `n` rows of `width` elements), and `width` results, by the caller's
        // promise; the results do not overlap the input.
        unsafe {
            let x = src.pointer.cast::<T>().wrapping_offset(from).cast_const();
            let results = std::slice::from_raw_parts_mut(out.pointer.cast::<T>().wrapping_offset(to), width);
            wide(|| match by_columns {
                true => columns::<T, N, W>(x, n, stride, results),
                false => results[0] = row::<T, N, W>(std::slice::from_raw_parts(x, n)),
            });
            if let Some(divisor) = divisor {
                results.iter_mut().for_each(|v| *v = *v / divisor);
            }
        }
        if !advance(&mut index, outer.iter().map(|k| k.size)) {
            return true;
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

    #[test]
    fn errors_grow_slowly_with_the_length() {
        let x = vec![0.1f32; 1 << 22];
        // The number that PyTorch gives on one thread.
        assert_eq!(row::<f32, 32, 8>(&x), 419_430.28);
    }
}
