//! Strided matrices inside one buffer.
//!
//! Blocked algorithms read some blocks of a matrix while they write others. A [`View`] is a copyable rectangle of
//! a mutably borrowed buffer: it makes no references to elements, only reads and writes of single ones and calls of
//! kernels on pointers, and every rectangle is checked when it is cut out.

use super::{LinalgElement, kernels};
use crate::gemm::{Shape, extent};
use std::marker::PhantomData;

pub(super) struct View<'a, T> {
    pointer: *mut T,
    pub rows: usize,
    pub cols: usize,
    pub rs: usize,
    pub cs: usize,
    lifetime: PhantomData<&'a mut [T]>,
}
impl<T> Clone for View<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for View<'_, T> {}

impl<'a, T: LinalgElement> View<'a, T> {
    /// The matrix of the given strides at the start of `buffer`, which must be long enough for it.
    pub fn new(buffer: &'a mut [T], rows: usize, cols: usize, rs: usize, cs: usize) -> Self {
        assert!(extent(rows, rs, cols, cs).is_some_and(|n| n <= buffer.len()));
        View { pointer: buffer.as_mut_ptr(), rows, cols, rs, cs, lifetime: PhantomData }
    }

    /// A contiguous row-major matrix.
    pub fn row_major(buffer: &'a mut [T], rows: usize, cols: usize) -> Self {
        Self::new(buffer, rows, cols, cols, 1)
    }

    /// The rectangle of `rows` x `cols` whose corner is at (`i`, `j`).
    pub fn block(self, i: usize, j: usize, rows: usize, cols: usize) -> Self {
        assert!(i + rows <= self.rows && j + cols <= self.cols);
        let pointer = self.pointer.wrapping_add(i * self.rs + j * self.cs);
        View { pointer, rows, cols, ..self }
    }

    pub fn transposed(self) -> Self {
        View { rows: self.cols, cols: self.rows, rs: self.cs, cs: self.rs, ..self }
    }

    #[inline(always)]
    pub fn get(self, i: usize, j: usize) -> T {
        assert!(i < self.rows && j < self.cols);
        // SAFETY: inside the rectangle, which lies inside the buffer.
        unsafe { *self.pointer.add(i * self.rs + j * self.cs) }
    }

    #[inline(always)]
    pub fn set(self, i: usize, j: usize, value: T) {
        assert!(i < self.rows && j < self.cols);
        // SAFETY: inside the rectangle, which lies inside the mutably borrowed buffer.
        unsafe { *self.pointer.add(i * self.rs + j * self.cs) = value }
    }

    pub fn swap_rows(self, i: usize, k: usize) {
        assert!(i < self.rows && k < self.rows);
        if i == k {
            return;
        }
        if self.cs == 1 {
            // SAFETY: two different rows of the rectangle do not overlap.
            unsafe {
                let (x, y) = (self.pointer.add(i * self.rs), self.pointer.add(k * self.rs));
                std::ptr::swap_nonoverlapping(x, y, self.cols);
            }
            return;
        }
        for j in 0..self.cols {
            // SAFETY: both elements are inside the rectangle.
            unsafe {
                std::ptr::swap(
                    self.pointer.add(i * self.rs + j * self.cs),
                    self.pointer.add(k * self.rs + j * self.cs),
                )
            };
        }
    }

    /// `self = alpha * a @ b + beta * self`; the blocks must not overlap.
    pub fn multiply(self, alpha: T, a: View<'_, T>, b: View<'_, T>, beta: T) {
        assert!(a.rows == self.rows && b.cols == self.cols && a.cols == b.rows);
        if self.rows == 0 || self.cols == 0 {
            return;
        }
        let shape = Shape {
            m: self.rows,
            n: self.cols,
            k: a.cols,
            a_rs: a.rs,
            a_cs: a.cs,
            b_rs: b.rs,
            b_cs: b.cs,
            c_rs: self.rs,
            c_cs: self.cs,
        };
        // SAFETY: each rectangle lies inside its buffer, and their shapes agree.
        unsafe { shape.multiply(alpha, a.pointer, b.pointer, beta, self.pointer) }
    }

    /// Solves `triangle @ x = self` by substitution, in place, for at most `SUBSTITUTED` rows, which must be contiguous.
    pub fn substitute(self, triangle: View<'_, T>, upper: bool, unit: bool) {
        assert!(triangle.rows == self.rows && triangle.cols == self.rows && (self.cs == 1 || self.cols <= 1));
        assert!(self.rows <= kernels::SUBSTITUTED);
        let (n, k) = (self.rows, self.cols);
        // SAFETY: both rectangles lie inside their buffers, and the rows of `self` are contiguous.
        unsafe {
            kernels::substitute(
                n,
                k,
                triangle.pointer,
                triangle.rs,
                triangle.cs,
                upper,
                unit,
                self.pointer,
                self.rs,
            )
        }
    }

    /// LU factors of `self` (contiguous rows), in place, without blocking; returns the info of `getrf`.
    pub fn lu_unblocked(self, pivots: &mut [i32]) -> i32 {
        assert!(self.cs == 1 && pivots.len() == self.rows.min(self.cols));
        // SAFETY: the rectangle lies inside its buffer and its rows are contiguous.
        unsafe { kernels::lu(self.rows, self.cols, self.pointer, self.rs, pivots) }
    }
}
