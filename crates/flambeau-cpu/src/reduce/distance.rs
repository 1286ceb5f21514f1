//! Distances between all pairs of rows. One of the modules with unsafe code.

use super::norm::Norm;
use super::plan::advance;
use crate::pointwise::{Compute, Operand, load, store};
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
    let (mut left, mut right) = (vec![T::default(); n * width], vec![T::default(); m * width]);
    let mut row = vec![T::default(); m];
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
            for i in 0..n {
                let point = &left[i * width..(i + 1) * width];
                for (j, distance_to) in row.iter_mut().enumerate() {
                    *distance_to = distance(point, &right[j * width..(j + 1) * width], norm);
                }
                store(row.as_ptr(), place(out, i), out.dtype, out.strides[rank - 1] as isize, m);
            }
        }
        if !advance(&mut index, batch.iter().map(|&n| n as usize)) {
            return;
        }
    }
}
