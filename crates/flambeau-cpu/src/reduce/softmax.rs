//! Softmax, log-softmax, and the logarithm of a sum of exponentials along a dimension. One of the modules with
//! unsafe code.

use super::plan::advance;
use crate::pointwise::{Compute, Kernel, Operand, Operation, Prim, load, store};
use flambeau_core::{Result, bail, dispatch};
use smallvec::SmallVec;

/// Lines that are worked on together where they lie side by side.
const WIDTH: usize = 64;

/// Real compute types with their exponential.
trait Real:
    Compute
    + super::Arith
    + PartialOrd
    + std::ops::Add<Output = Self>
    + std::ops::Sub<Output = Self>
    + std::ops::SubAssign
{
    const LOWEST: Self;
    fn times(self, other: Self) -> Self;
    fn inverse(self) -> Self;
    fn ln(self) -> Self;
}
macro_rules! real {
    ($($t:ty),*) => { $(impl Real for $t {
        const LOWEST: $t = <$t>::NEG_INFINITY;
        #[inline(always)]
        fn times(self, other: $t) -> $t {
            self * other
        }
        #[inline(always)]
        fn inverse(self) -> $t {
            1.0 / self
        }
        #[inline(always)]
        fn ln(self) -> $t {
            crate::vector::Vector::log(self)
        }
    })* };
}
real!(f32, f64);

macro_rules! real_dispatch {
    ($dtype:expr, $T:ident => $body:expr) => {
        dispatch!(real $dtype, $T => $body, else bail!(NotImplemented, "softmax serves real floating-point types"))
    };
}

/// The lines along one dimension, several side by side where another dimension has a smaller stride.
struct Lines {
    n: usize,
    /// For each operand: stride along the line, stride between lines of a group.
    strides: SmallVec<[(isize, isize); 3]>,
    count: usize,
    outer: SmallVec<[(usize, SmallVec<[isize; 3]>); 4]>,
}

impl Lines {
    fn new(operands: &[&Operand], sizes: &[i64], dim: usize) -> Lines {
        let n = sizes.get(dim).map_or(1, |&n| n as usize);
        let along = |o: &Operand| o.strides.get(dim).map_or(0, |&s| s as isize);
        let others: SmallVec<[usize; 6]> = (0..sizes.len()).filter(|&d| d != dim && sizes[d] != 1).collect();
        let beside = others.iter().copied().min_by_key(|&d| operands[0].strides[d].unsigned_abs());
        let beside = beside
            .filter(|&d| operands[0].strides[d].unsigned_abs() < along(operands[0]).unsigned_abs() as u64);
        let step = |o: &Operand| beside.map_or(0, |d| o.strides[d] as isize);
        Lines {
            n,
            strides: operands.iter().map(|o| (along(o), step(o))).collect(),
            count: beside.map_or(1, |d| sizes[d] as usize),
            outer: others
                .into_iter()
                .filter(|&d| Some(d) != beside)
                .map(|d| (sizes[d] as usize, operands.iter().map(|o| o.strides[d] as isize).collect()))
                .collect(),
        }
    }

    /// Calls `work(offsets, width)` for each group of at most `WIDTH` lines, with the element offset of its first
    /// line in each operand.
    fn each(&self, mut work: impl FnMut(&[isize], usize)) {
        let mut index: SmallVec<[usize; 4]> = SmallVec::from_elem(0, self.outer.len());
        loop {
            let mut first = 0;
            while first < self.count {
                let width = (self.count - first).min(WIDTH);
                let offsets: SmallVec<[isize; 3]> = (0..self.strides.len())
                    .map(|i| {
                        let outer: isize =
                            self.outer.iter().zip(&index).map(|(d, &j)| d.1[i] * j as isize).sum();
                        outer + first as isize * self.strides[i].1
                    })
                    .collect();
                work(&offsets, width);
                first += width;
            }
            if !advance(&mut index, self.outer.iter().map(|d| d.0)) {
                return;
            }
        }
    }
}

fn place(o: &Operand, offset: isize) -> *mut u8 {
    o.pointer.wrapping_offset(offset * o.dtype.size() as isize)
}

/// Reads `width` lines of `n` into `buffer`: one line contiguously, or several with the lines side by side.
///
/// # Safety
/// The lines must be readable, the buffer hold `n * width` elements.
unsafe fn read<T: Compute>(
    o: &Operand,
    offset: isize,
    (along, step): (isize, isize),
    n: usize,
    width: usize,
    buffer: &mut [T],
) {
    // SAFETY: as promised by the caller.
    unsafe {
        if width == 1 {
            load(place(o, offset), o.dtype, along, buffer.as_mut_ptr(), n);
        } else {
            for (k, row) in buffer.chunks_exact_mut(width).enumerate().take(n) {
                load(place(o, offset + k as isize * along), o.dtype, step, row.as_mut_ptr(), width);
            }
        }
    }
}

/// The reverse of [`read`].
///
/// # Safety
/// As for [`read`], with writable lines.
unsafe fn write<T: Compute>(
    o: &Operand,
    offset: isize,
    (along, step): (isize, isize),
    n: usize,
    width: usize,
    buffer: &[T],
) {
    // SAFETY: as promised by the caller.
    unsafe {
        if width == 1 {
            store(buffer.as_ptr(), place(o, offset), o.dtype, along, n);
        } else {
            for (k, row) in buffer.chunks_exact(width).enumerate().take(n) {
                store(row.as_ptr(), place(o, offset + k as isize * along), o.dtype, step, width);
            }
        }
    }
}

/// Folds each of `width` lines that lie side by side in `buffer`; one line in 16 lanes.
#[inline(always)]
fn fold<T: Copy>(buffer: &[T], width: usize, start: T, totals: &mut [T], f: impl Fn(T, T) -> T) {
    if width == 1 {
        let mut lanes = [start; 16];
        let mut chunks = buffer.chunks_exact(16);
        for chunk in &mut chunks {
            for (lane, &x) in lanes.iter_mut().zip(chunk) {
                *lane = f(*lane, x);
            }
        }
        for (lane, &x) in lanes.iter_mut().zip(chunks.remainder()) {
            *lane = f(*lane, x);
        }
        let mut half = 8;
        while half > 0 {
            for i in 0..half {
                lanes[i] = f(lanes[i], lanes[i + half]);
            }
            half /= 2;
        }
        totals[0] = lanes[0];
        return;
    }
    totals[..width].fill(start);
    for row in buffer.chunks_exact(width) {
        for (total, &x) in totals.iter_mut().zip(row) {
            *total = f(*total, x);
        }
    }
}

/// Changes each element by the number that belongs to its line.
#[inline(always)]
fn update<T: Copy>(buffer: &mut [T], width: usize, by: &[T], f: impl Fn(T, T) -> T) {
    if width == 1 {
        let by = by[0];
        for x in buffer {
            *x = f(*x, by);
        }
        return;
    }
    for row in buffer.chunks_exact_mut(width) {
        for (x, &by) in row.iter_mut().zip(by) {
            *x = f(*x, by);
        }
    }
}

/// The exponential function of a compute type over slices.
pub(crate) fn exp_kernel<T: Compute>() -> Result<fn(&[T], &mut [T])> {
    match T::kernel(Operation::Prim(Prim::Exp)) {
        Some(Kernel::Unary(f)) => Ok(f),
        _ => bail!("no exponential function for {}", T::DTYPE.name()),
    }
}

/// Exponentials in place, through a small tile.
pub(crate) fn exp_in_place<T: Compute>(exp: fn(&[T], &mut [T]), buffer: &mut [T]) {
    let mut tile = [T::default(); 256];
    for part in buffer.chunks_mut(256) {
        let tile = &mut tile[..part.len()];
        exp(part, tile);
        part.copy_from_slice(tile);
    }
}

/// `exp(x - max) / sum(exp(x - max))` along `dim`, or its logarithm.
///
/// # Safety
/// Both operands must be valid at every index of `sizes`, `out` for writing; they may be the same view.
pub unsafe fn softmax(src: &Operand, out: &Operand, sizes: &[i64], dim: usize, log: bool) -> Result<()> {
    if sizes.contains(&0) {
        return Ok(());
    }
    let lines = Lines::new(&[src, out], sizes, dim);
    real_dispatch!(out.dtype, T => {
        let exp = exp_kernel::<T>()?;
        let mut buffer: Vec<T> = vec![T::default(); lines.n * lines.count.min(WIDTH)];
        let mut scratch: Vec<T> = if log { buffer.clone() } else { Vec::new() };
        let (mut high, mut total) = ([T::default(); WIDTH], [T::default(); WIDTH]);
        lines.each(|offsets, width| {
            let buffer = &mut buffer[..lines.n * width];
            // SAFETY: the lines lie within the operands; the buffer holds them.
            unsafe { read(src, offsets[0], lines.strides[0], lines.n, width, buffer) };
            fold(buffer, width, T::LOWEST, &mut high, |a, x| if x > a || super::Arith::is_nan(x) { x } else { a });
            update(buffer, width, &high, |x, high| x - high);
            if log {
                let scratch = &mut scratch[..buffer.len()];
                exp(buffer, scratch);
                fold(scratch, width, T::default(), &mut total, |a, x| a + x);
                total.iter_mut().take(width).for_each(|t| *t = Real::ln(*t));
                update(buffer, width, &total, |x, total| x - total);
            } else {
                exp_in_place(exp, buffer);
                fold(buffer, width, T::default(), &mut total, |a, x| a + x);
                total.iter_mut().take(width).for_each(|t| *t = t.inverse());
                update(buffer, width, &total, |x, total| x.times(total));
            }
            // SAFETY: as above.
            unsafe { write(out, offsets[1], lines.strides[1], lines.n, width, buffer) };
        });
    });
    Ok(())
}

/// The gradient of [`softmax`]: `(g - sum(g * y)) * y`, or `g - exp(y) * sum(g)` for the logarithm, from the
/// gradient and the result `y`.
///
/// # Safety
/// All operands must be valid at every index of `sizes`, `out` for writing; `out` must not overlap the others.
pub unsafe fn softmax_backward(
    grad: &Operand,
    result: &Operand,
    out: &Operand,
    sizes: &[i64],
    dim: usize,
    log: bool,
) -> Result<()> {
    if sizes.contains(&0) {
        return Ok(());
    }
    let lines = Lines::new(&[grad, result, out], sizes, dim);
    real_dispatch!(out.dtype, T => {
        let exp = exp_kernel::<T>()?;
        let size = lines.n * lines.count.min(WIDTH);
        let (mut grads, mut results) = (vec![T::default(); size], vec![T::default(); size]);
        let mut products: Vec<T> = vec![T::default(); size];
        let mut total = [T::default(); WIDTH];
        lines.each(|offsets, width| {
            let size = lines.n * width;
            let (grads, results, products) = (&mut grads[..size], &mut results[..size], &mut products[..size]);
            // SAFETY: the lines lie within the operands; the buffers hold them.
            unsafe {
                read(grad, offsets[0], lines.strides[0], lines.n, width, grads);
                read(result, offsets[1], lines.strides[1], lines.n, width, results);
            }
            if log {
                fold(grads, width, T::default(), &mut total, |a, x| a + x);
                exp(results, products);
                update(products, width, &total, |y, total| y.times(total));
                for (g, &p) in grads.iter_mut().zip(products.iter()) {
                    *g -= p;
                }
            } else {
                for ((p, &g), &y) in products.iter_mut().zip(grads.iter()).zip(results.iter()) {
                    *p = g.times(y);
                }
                fold(products, width, T::default(), &mut total, |a, x| a + x);
                update(grads, width, &total, |g, total| g - total);
                for (g, &y) in grads.iter_mut().zip(results.iter()) {
                    *g = g.times(y);
                }
            }
            // SAFETY: as above.
            unsafe { write(out, offsets[2], lines.strides[2], lines.n, width, grads) };
        });
    });
    Ok(())
}
