//! Reductions over any set of dimensions. One of the modules with unsafe code.

use crate::pointwise::{Compute, Operand, load, store};
use flambeau_core::{Result, dispatch};
use smallvec::SmallVec;
use std::mem::MaybeUninit;

const TILE: usize = 512;

/// Folds the elements that share an output element, in row-major order of the reduced dimensions.
pub trait Reducer<T: Compute>: Clone {
    /// Takes the next elements.
    fn take(&mut self, tile: &[T]);
    fn finish(self) -> T;
}

/// Applies a reducer: `src` has the sizes `sizes`; `out` has the same number of dimensions, its strides along
/// reduced dimensions being ignored.
///
/// # Safety
/// `src` must be valid at every index of `sizes`, `out` writable at every index with reduced dimensions 0.
pub unsafe fn reduce<T: Compute, R: Reducer<T>>(
    start: &R,
    src: &Operand,
    out: &Operand,
    sizes: &[i64],
    reduced: &[bool],
) {
    let split = |want: bool| -> SmallVec<[usize; 5]> {
        (0..sizes.len()).filter(|&d| reduced[d] == want && sizes[d] != 1).collect()
    };
    let (kept, inner) = (split(false), split(true));
    if kept.iter().any(|&d| sizes[d] == 0) {
        return;
    }
    let empty = inner.iter().any(|&d| sizes[d] == 0);
    let last = inner.last().copied();
    let rows = &inner[..inner.len().saturating_sub(1)];
    let run = last.map_or(1, |d| sizes[d]) as usize;
    let stride = last.map_or(1, |d| src.strides[d]) as isize;
    let item = src.dtype.size() as isize;
    let mut tile = [const { MaybeUninit::<T>::uninit() }; TILE];
    let mut kept_index: SmallVec<[i64; 5]> = SmallVec::from_elem(0, kept.len());
    loop {
        let mut state = start.clone();
        let base: i64 = kept.iter().zip(&kept_index).map(|(&d, &i)| src.strides[d] * i).sum();
        if !empty {
            let mut index: SmallVec<[i64; 5]> = SmallVec::from_elem(0, rows.len());
            loop {
                let at: i64 = base + rows.iter().zip(&index).map(|(&d, &i)| src.strides[d] * i).sum::<i64>();
                let row = src.pointer.wrapping_offset(at as isize * item);
                let mut done = 0;
                while done < run {
                    let n = (run - done).min(TILE);
                    let from = row.wrapping_offset(done as isize * stride * item);
                    // SAFETY: in bounds by the caller's promise; n elements fit the tile.
                    let slice = unsafe {
                        if src.dtype == T::DTYPE && stride == 1 {
                            std::slice::from_raw_parts(from.cast::<T>(), n)
                        } else {
                            load(from, src.dtype, stride, tile.as_mut_ptr().cast::<T>(), n);
                            std::slice::from_raw_parts(tile.as_ptr().cast::<T>(), n)
                        }
                    };
                    state.take(slice);
                    done += n;
                }
                if !advance(&mut index, rows, sizes) {
                    break;
                }
            }
        }
        let result = state.finish();
        let at: i64 = kept.iter().zip(&kept_index).map(|(&d, &i)| out.strides[d] * i).sum();
        let to = out.pointer.wrapping_offset(at as isize * out.dtype.size() as isize);
        // SAFETY: writable by the caller's promise.
        unsafe { store(&result, to, out.dtype, 1, 1) };
        if !advance(&mut kept_index, &kept, sizes) {
            return;
        }
    }
}

fn advance(index: &mut [i64], dims: &[usize], sizes: &[i64]) -> bool {
    for (i, &d) in index.iter_mut().zip(dims).rev() {
        *i += 1;
        if *i < sizes[d] {
            return true;
        }
        *i = 0;
    }
    false
}

/// Pairwise summation over tiles: the error grows with the logarithm of the count (Higham, "The accuracy of
/// floating point summation", 1993).
#[derive(Clone)]
struct Sum<T> {
    /// Partial sums of 2^k tiles each, as the binary digits of the count of tiles.
    levels: SmallVec<[T; 8]>,
    count: u64,
    rest: Option<T>,
}

impl<T: Compute + std::ops::Add<Output = T>> Sum<T> {
    fn new() -> Self {
        Sum { levels: SmallVec::new(), count: 0, rest: None }
    }
    fn push(&mut self, mut value: T) {
        let mut bits = self.count;
        while bits & 1 == 1 {
            if let Some(top) = self.levels.pop() {
                value = top + value;
            }
            bits >>= 1;
        }
        self.levels.push(value);
        self.count += 1;
    }
}

impl<T: Compute + std::ops::Add<Output = T>> Reducer<T> for Sum<T> {
    fn take(&mut self, tile: &[T]) {
        if tile.len() < 8 {
            for &v in tile {
                self.rest = Some(self.rest.map_or(v, |r| r + v));
            }
            return;
        }
        let mut lanes = [T::default(); 16];
        let mut chunks = tile.chunks_exact(16);
        for chunk in &mut chunks {
            for (lane, &v) in lanes.iter_mut().zip(chunk) {
                *lane = *lane + v;
            }
        }
        for (lane, &v) in lanes.iter_mut().zip(chunks.remainder()) {
            *lane = *lane + v;
        }
        let mut width = 8;
        while width > 0 {
            for i in 0..width {
                lanes[i] = lanes[i] + lanes[i + width];
            }
            width /= 2;
        }
        self.push(lanes[0]);
    }
    fn finish(self) -> T {
        let mut total = self.rest;
        for value in self.levels.into_iter().rev() {
            total = Some(total.map_or(value, |t| t + value));
        }
        total.unwrap_or_default()
    }
}

/// Sums in the compute type of the output.
///
/// # Safety
/// As for [`reduce`].
pub unsafe fn sum(src: &Operand, out: &Operand, sizes: &[i64], reduced: &[bool]) -> Result<()> {
    // SAFETY: passed on from the caller.
    match out.dtype.compute() {
        flambeau_core::DType::Int64 => unsafe { reduce::<i64, _>(&WrappingSum(0), src, out, sizes, reduced) },
        other => {
            dispatch!(compute other, T => unsafe { reduce::<T, _>(&Sum::<T>::new(), src, out, sizes, reduced) })
        }
    }
    Ok(())
}

#[derive(Clone)]
struct WrappingSum(i64);
impl Reducer<i64> for WrappingSum {
    fn take(&mut self, tile: &[i64]) {
        self.0 = tile.iter().fold(self.0, |a, &b| a.wrapping_add(b));
    }
    fn finish(self) -> i64 {
        self.0
    }
}
