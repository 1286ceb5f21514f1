//! Transforms of one line as a matrix: its columns, then its rows, several of them side by side (the algorithm of Gentleman
//! and Sande). Reads and writes go along the line, and what is between stays in the caches. One of the modules with unsafe code.

use super::kernel::Kernel;
use super::lanes::{Finish, Lanes, Place, root, with_memory};
use super::plan::FftElement;
use crate::wide::soon;
use num_complex::Complex;

/// A line of `rows * columns` elements.
pub(super) struct Square<F: 'static> {
    /// Transforms columns, each of which has an element in each row.
    down: Lanes<F>,
    /// Transforms rows.
    across: Lanes<F>,
    /// What column coefficients are multiplied by, for each register of columns and each coefficient: real parts, then
    /// imaginary ones.
    twiddles: Vec<F>,
    kernel: &'static Kernel<F>,
}

impl<F: FftElement> Square<F> {
    /// None where a line of this length is not such a matrix.
    pub fn new(n: usize) -> Option<Square<F>> {
        Square::with(F::kernel(crate::wide::level())?, n)
    }

    /// [`Square::new`] for a kernel.
    pub fn with(kernel: &'static Kernel<F>, n: usize) -> Option<Square<F>> {
        let lanes = kernel.lanes;
        if !n.is_multiple_of(lanes * lanes) {
            return None;
        }
        // Both sides are whole registers; as near to a square as can be.
        let parts = n / (lanes * lanes);
        let up = (1..=parts).rfind(|d| parts.is_multiple_of(*d) && d * d <= parts)?;
        let (rows, columns) = (up * lanes, parts / up * lanes);
        let (down, across) = (Lanes::with(kernel, rows)?, Lanes::with(kernel, columns)?);
        let mut twiddles = Vec::with_capacity(2 * n);
        for first in (0..columns).step_by(lanes) {
            for k in 0..rows {
                twiddles.extend((first..first + lanes).map(|j| root::<F>(j * k, n).re));
                twiddles.extend((first..first + lanes).map(|j| root::<F>(j * k, n).im));
            }
        }
        Some(Square { down, across, twiddles, kernel })
    }

    /// The transforms of lines that follow each other, or those with the other sign between exchanges of the parts.
    pub fn run(&self, from: &[Complex<F>], to: &mut [Complex<F>], swap: bool, scale: F) {
        let (rows, columns, lanes) = (self.down.len(), self.across.len(), self.kernel.lanes);
        let n = rows * columns;
        assert!(from.len() == to.len() && from.len().is_multiple_of(n));
        let finish = Finish { re: scale, im: scale, swap };
        let place = |apart| Place { count: lanes, apart, columns: true, soon: 0 };
        let (k, cell) = (self.kernel, 2 * lanes);
        with_memory(2 * n + rows * cell, |memory: *mut F| {
            let mut following = from.chunks_exact(n).skip(1);
            for (from, to) in from.chunks_exact(n).zip(to.chunks_exact_mut(n)) {
                let next = following.next().unwrap_or(&[]);
                // SAFETY: the memory has a cell for each row, and for each column in each register of rows; rows and columns
                // are whole registers, and the slices have all of them.
                unsafe {
                    let (cells, turned) = (memory, memory.add(rows * cell));
                    let (from, to) = (from.as_ptr().cast::<F>(), to.as_mut_ptr().cast::<F>());
                    for first in (0..columns).step_by(lanes) {
                        soon(to.wrapping_add(2 * first * rows), 2 * lanes * rows, true);
                        (k.read)(cells, from.add(2 * first), place(2 * columns), rows, swap);
                        (k.run)(cells, self.down.passes(), rows);
                        let twiddles = self.twiddles.as_ptr().add(2 * first * rows);
                        (k.turn)(
                            cells,
                            self.down.order(),
                            twiddles,
                            turned.add(first * cell),
                            columns * cell,
                        );
                    }
                    for first in (0..rows).step_by(lanes) {
                        if !next.is_empty() {
                            soon(
                                next.as_ptr().cast::<F>().wrapping_add(2 * first * columns),
                                2 * lanes * columns,
                                false,
                            );
                        }
                        let block = turned.add(first * 2 * columns);
                        (k.run)(block, self.across.passes(), columns);
                        (k.write)(
                            block,
                            self.across.order(),
                            to.add(2 * first),
                            place(2 * rows),
                            columns,
                            finish,
                        );
                    }
                }
            }
        })
    }

    /// [`Lanes`]' `part` for a line of one more element than the transform's.
    pub fn part(&self, line: &mut [Complex<F>], twiddles: &[Complex<F>]) {
        let n = line.len() - 1;
        assert!(twiddles.len() >= n);
        // SAFETY: the line has n + 1 elements.
        unsafe { (self.kernel.part_line)(line.as_mut_ptr().cast(), twiddles.as_ptr().cast(), n) }
    }

    /// From `n + 1` coefficients of a real line to the `n` complex numbers whose transform of the other sign has its
    /// numbers as parts.
    pub fn join(&self, line: &[Complex<F>], work: &mut [Complex<F>], twiddles: &[Complex<F>]) {
        let n = work.len();
        assert!(line.len() == n + 1 && twiddles.len() >= n);
        // SAFETY: as above.
        unsafe {
            let work = work.as_mut_ptr().cast();
            (self.kernel.join_line)(line.as_ptr().cast(), work, twiddles.as_ptr().cast(), n)
        }
    }
}
