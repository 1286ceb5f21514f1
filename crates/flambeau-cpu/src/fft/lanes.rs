//! Transforms of many lines side by side, one in each lane of vector registers. One of the modules with unsafe code.
//!
//! A block of lines is copied into cells, one for each place, that hold the real parts of all lines and then the imaginary
//! ones. Passes (decimation in frequency, in place) leave coefficient `f` in the cell `order[f]`, from where it is written.
//! Transforms with the exponent `+2 pi i j k / n` are those with the other sign between an exchange of real and imaginary
//! parts, which costs nothing where cells are read and written.

use super::butterfly::Table;
use super::kernel::Kernel;
use super::plan::FftElement;
use crate::wide::level;
use num_complex::Complex;
use std::cell::Cell;

/// The longest lines: their cells stay in the second-level cache.
const LONGEST: usize = 1 << 12;

/// One pass: transforms of `radix` points in blocks of `size` cells.
pub struct Pass<F> {
    pub(super) radix: usize,
    pub(super) size: usize,
    /// For each place but the first of a part of a block, what its results but the first are multiplied by.
    pub(super) twiddles: Vec<Complex<F>>,
    pub(super) table: Table<F>,
}

/// How lines of one length are transformed.
pub(super) struct Lanes<F: 'static> {
    n: usize,
    passes: Vec<Pass<F>>,
    order: Vec<u32>,
    kernel: &'static Kernel<F>,
}

/// Memory for cells, kept by its thread.
#[repr(align(64))]
#[derive(Clone, Copy)]
struct Line {
    _bytes: [u8; 64],
}
thread_local! {
    static SCRATCH: Cell<Vec<Line>> = const { Cell::new(Vec::new()) };
}

/// At most this many cache lines are kept.
const KEPT: usize = 1 << 18;

/// Calls `work` with memory for so many numbers, on a cache line's boundary.
pub(super) fn with_memory<F, R>(numbers: usize, work: impl FnOnce(*mut F) -> R) -> R {
    let mut memory = SCRATCH.take();
    let lines = (numbers * size_of::<F>()).div_ceil(64);
    if memory.len() < lines {
        memory = vec![Line { _bytes: [0; 64] }; lines];
    }
    let result = work(memory.as_mut_ptr().cast());
    if memory.len() <= KEPT {
        SCRATCH.set(memory);
    }
    result
}

fn part<F: FftElement>(x: f64) -> F {
    <F as num_traits::NumCast>::from(x).unwrap_or_else(F::nan)
}

/// `exp(-2 pi i k / n)`
pub(super) fn root<F: FftElement>(k: usize, n: usize) -> Complex<F> {
    let (sin, cos) = (std::f64::consts::TAU * (k % n) as f64 / n as f64).sin_cos();
    Complex::new(part(cos), part(-sin))
}

/// The radices of a length, or none where it has other factors.
fn radices(n: usize) -> Option<Vec<usize>> {
    let (mut rest, mut radices) = (n, Vec::new());
    for radix in [7, 5, 3] {
        while rest.is_multiple_of(radix) {
            radices.push(radix);
            rest /= radix;
        }
    }
    if !rest.is_power_of_two() {
        return None;
    }
    // Eights; a remainder of sixteen is two fours.
    while rest > 1 {
        let radix = if rest == 16 { 4 } else { rest.min(8) };
        radices.push(radix);
        rest /= radix;
    }
    // The last pass multiplies by no twiddle factors: the largest transform; else the larger first.
    radices.sort_by_key(|&radix| std::cmp::Reverse(radix));
    Some(radices)
}

impl<F: FftElement> Lanes<F> {
    /// None where lines of this length are not transformed side by side on this processor.
    pub fn new(n: usize) -> Option<Lanes<F>> {
        Lanes::with(F::kernel(level())?, n)
    }

    /// [`Lanes::new`] for a kernel.
    pub fn with(kernel: &'static Kernel<F>, n: usize) -> Option<Lanes<F>> {
        if !(2..=LONGEST).contains(&n) {
            return None;
        }
        let radices = radices(n)?;
        let mut order = vec![0u32; n];
        for (at, f) in (0..n).zip(frequencies(&radices)) {
            order[f] = at as u32;
        }
        let mut size = n;
        let passes = radices
            .iter()
            .map(|&radix| {
                let mut table = [F::zero(); 16];
                for k in 0..radix {
                    let z = root::<F>(k, radix);
                    table[k] = z.re;
                    if radix < 8 {
                        table[8 + k] = -z.im;
                    }
                }
                let twiddles = (1..size / radix)
                    .flat_map(|j| (1..radix).map(move |k| (j, k)))
                    .map(|(j, k)| root(j * k, size))
                    .collect();
                let pass = Pass { radix, size, twiddles, table };
                size /= radix;
                pass
            })
            .collect();
        Some(Lanes { n, passes, order, kernel })
    }

    /// Lines that are transformed together.
    pub fn width(&self) -> usize {
        self.kernel.lanes
    }

    /// Calls `work` with memory for the cells, and one more.
    pub fn cells<R>(&self, work: impl FnOnce(Cells<F>) -> R) -> R {
        let numbers = (self.n + 1) * 2 * self.kernel.lanes;
        with_memory(numbers, |cells| work(Cells { plan: self, cells }))
    }

    pub fn len(&self) -> usize {
        self.n
    }
    pub fn passes(&self) -> &[Pass<F>] {
        &self.passes
    }
    /// The cell of each coefficient.
    pub fn order(&self) -> &[u32] {
        &self.order
    }
}

/// The frequency of each cell after passes of these radices.
fn frequencies(radices: &[usize]) -> Vec<usize> {
    let Some((&radix, rest)) = radices.split_first() else { return vec![0] };
    let inner = frequencies(rest);
    (0..radix).flat_map(|k| inner.iter().map(move |f| f * radix + k)).collect()
}

/// Where the lines of a block lie in memory: `count` of them, `apart` numbers between neighbours. With `columns` lines are
/// neighbours in rows, and the rows are `apart` numbers from each other.
#[derive(Clone, Copy)]
pub struct Place {
    pub count: usize,
    pub apart: usize,
    pub columns: bool,
    /// Of lines that follow each other: the address of memory that will be written (where lines are read) or read (where they
    /// are written) next. It is asked for meanwhile, as much of it as goes through the loop.
    pub soon: usize,
}

impl Place {
    /// Numbers from the first to the last of lines of `elements` elements of `parts` numbers each.
    fn extent(self, elements: usize, parts: usize) -> usize {
        match self.columns {
            true => (elements - 1) * self.apart + self.count * parts,
            false => (self.count - 1) * self.apart + elements * parts,
        }
    }
}

/// What results are multiplied by, and whether the parts are exchanged.
#[derive(Clone, Copy)]
pub struct Finish<F> {
    pub re: F,
    pub im: F,
    pub swap: bool,
}

/// The cells of one block of lines.
pub(super) struct Cells<'a, F: 'static> {
    plan: &'a Lanes<F>,
    cells: *mut F,
}

impl<F: FftElement> Cells<'_, F> {
    fn fits(&self, place: Place, len: usize, elements: usize, parts: usize) {
        assert!((1..=self.plan.kernel.lanes).contains(&place.count));
        assert!(place.extent(elements, parts) <= len);
    }

    /// Reads `n` complex numbers of each line; `extra` reads one more.
    pub fn read(&mut self, from: &[Complex<F>], place: Place, extra: bool, swap: bool) {
        let n = self.plan.n + extra as usize;
        self.fits(place, 2 * from.len(), n, 2);
        // SAFETY: the lines lie in the slice, and the cells are as many.
        unsafe { (self.plan.kernel.read)(self.cells, from.as_ptr().cast(), place, n, swap) }
    }

    /// Reads `2 n` real numbers of each line, two to a cell.
    pub fn read_real(&mut self, from: &[F], place: Place) {
        let n = self.plan.n;
        self.fits(place, from.len(), 2 * n, 1);
        // SAFETY: as above.
        unsafe {
            match place.columns {
                true => (self.plan.kernel.read_rows)(self.cells, from.as_ptr(), place, n),
                false => (self.plan.kernel.read)(self.cells, from.as_ptr(), place, n, false),
            }
        }
    }

    /// Transforms what was read.
    pub fn run(&mut self) {
        // SAFETY: passes stay within n cells.
        unsafe { (self.plan.kernel.run)(self.cells, &self.plan.passes, self.plan.n) }
    }

    /// Writes the coefficients; `extra` writes one more cell.
    pub fn write(&mut self, to: &mut [Complex<F>], place: Place, extra: bool, finish: Finish<F>) {
        let n = self.plan.n + extra as usize;
        self.fits(place, 2 * to.len(), n, 2);
        // SAFETY: the lines lie in the slice, and the cells are as many.
        unsafe {
            (self.plan.kernel.write)(self.cells, &self.plan.order, to.as_mut_ptr().cast(), place, n, finish)
        }
    }

    /// Writes `2 n` real numbers for each line, two of each cell.
    pub fn write_real(&mut self, to: &mut [F], place: Place, finish: Finish<F>) {
        let n = self.plan.n;
        self.fits(place, to.len(), 2 * n, 1);
        let (order, to) = (&self.plan.order, to.as_mut_ptr());
        // SAFETY: as above.
        unsafe {
            match place.columns {
                true => (self.plan.kernel.write_rows)(self.cells, order, to, place, n, finish),
                false => (self.plan.kernel.write)(self.cells, order, to, place, n, finish),
            }
        }
    }

    /// Twice the first `n + 1` coefficients of `2 n` real numbers from the `n` coefficients in the cells, of which they
    /// were the real and imaginary parts. `twiddles` are the first `n` roots of order `2 n`.
    pub fn part(&mut self, twiddles: &[Complex<F>]) {
        assert!(twiddles.len() >= self.plan.n);
        // SAFETY: there is one more cell than `n`.
        unsafe { (self.plan.kernel.part)(self.cells, &self.plan.order, twiddles, self.plan.n) }
    }

    /// From `n + 1` coefficients of real lines to the `n` complex numbers whose transform has `2 n` real numbers as its
    /// parts, exchanged for the transform of the other sign.
    ///
    /// Imaginary parts are multiplied by `sign` first. `twiddles` are the conjugates of those of [`Cells::part`].
    pub fn join(&mut self, twiddles: &[Complex<F>], sign: F) {
        assert!(twiddles.len() >= self.plan.n);
        // SAFETY: as above.
        unsafe { (self.plan.kernel.join)(self.cells, twiddles, sign, self.plan.n) }
    }
}
