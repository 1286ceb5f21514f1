//! The loops of transforms. One of the modules with unsafe code.

use super::butterfly::{Complexes, Eight, Four, Odd, Small, Two};
use super::lanes::{Finish, Pass, Place};
use super::plan::FftElement;
use super::vector::Vector;
use crate::wide::{ahead, soon};
use num_complex::Complex;

/// Blocks of at most this many cells go through all their remaining passes, in the first-level cache.
const NEAR: usize = 128;
/// Rows of columns that are asked for before they are read or written.
const AHEAD: usize = 8;

/// All rows of a square, exchanged with its columns.
#[inline(always)]
unsafe fn transpose<V: Vector>(v: &mut [V; 16]) {
    // SAFETY: the caller has the instructions.
    unsafe {
        for _ in 0..V::N.trailing_zeros() {
            let old = *v;
            for i in 0..V::N / 2 {
                (v[2 * i], v[2 * i + 1]) = old[i].zip(old[i + V::N / 2]);
            }
        }
    }
}

/// A row of `count` elements, the other lanes zero.
#[inline(always)]
unsafe fn load_some<V: Vector<F: FftElement>>(from: *const V::F, count: usize) -> V {
    // SAFETY: the caller vouches for `count` elements.
    unsafe {
        if count >= V::N {
            return V::load(from);
        }
        let mut all = [V::F::default(); 16];
        for (i, x) in all.iter_mut().enumerate().take(count) {
            *x = *from.add(i);
        }
        V::load(all.as_ptr())
    }
}

#[inline(always)]
unsafe fn store_some<V: Vector<F: FftElement>>(v: V, to: *mut V::F, count: usize) {
    // SAFETY: as above.
    unsafe {
        if count >= V::N {
            return v.store(to);
        }
        let mut all = [V::F::default(); 16];
        v.store(all.as_mut_ptr());
        for (i, x) in all.iter().enumerate().take(count) {
            *to.add(i) = *x;
        }
    }
}

#[inline(always)]
pub(super) unsafe fn read<V: Vector<F: FftElement>>(
    cells: *mut V::F,
    from: *const V::F,
    p: Place,
    n: usize,
    swap: bool,
) {
    let cells = cells.cast::<V>();
    let first = swap as usize;
    // SAFETY: the caller vouches for the lines and for n cells.
    unsafe {
        if p.columns {
            let (low, high) = ((2 * p.count).min(V::N), (2 * p.count).saturating_sub(V::N));
            for i in 0..n {
                let row = from.add(i * p.apart);
                ahead(row.wrapping_add(AHEAD * p.apart));
                ahead(row.wrapping_add(AHEAD * p.apart + V::N));
                ahead(row.wrapping_add(AHEAD * p.apart + 2 * V::N - 1));
                let (re, im) = if p.count == V::N {
                    V::load(row).unzip(V::load(row.add(V::N)))
                } else {
                    load_some::<V>(row, low).unzip(load_some(row.wrapping_add(V::N), high))
                };
                *cells.add(2 * i + first) = re;
                *cells.add(2 * i + 1 - first) = im;
            }
            return;
        }
        let each = V::N / 2;
        let mut i = 0;
        while i < n {
            if p.soon != 0 {
                soon((p.soon as *const V).wrapping_add(i / each * V::N), V::N, true);
            }
            let mut v = [V::splat(V::F::default()); 16];
            if n - i >= each {
                for l in 0..V::N {
                    v[l] = V::load(from.add(l.min(p.count - 1) * p.apart + 2 * i));
                }
            } else {
                for l in 0..V::N {
                    v[l] = load_some(from.add(l.min(p.count - 1) * p.apart + 2 * i), 2 * (n - i));
                }
            }
            transpose(&mut v);
            if n - i >= each {
                for k in 0..each {
                    *cells.add(2 * (i + k) + first) = v[2 * k];
                    *cells.add(2 * (i + k) + 1 - first) = v[2 * k + 1];
                }
            } else {
                for k in 0..n - i {
                    *cells.add(2 * (i + k) + first) = v[2 * k];
                    *cells.add(2 * (i + k) + 1 - first) = v[2 * k + 1];
                }
            }
            i += each;
        }
    }
}

/// Real columns: the rows `2 i` and `2 i + 1` are the parts of cell `i`.
#[inline(always)]
pub(super) unsafe fn read_rows<V: Vector<F: FftElement>>(
    cells: *mut V::F,
    from: *const V::F,
    p: Place,
    n: usize,
) {
    let cells = cells.cast::<V>();
    for i in 0..2 * n {
        // SAFETY: the caller vouches for the rows and for n cells.
        unsafe { *cells.add(i) = load_some(from.add(i * p.apart), p.count) };
    }
}

/// The cell of coefficient `f`: one more than there are stays behind them.
#[inline(always)]
fn cell_of(order: &[u32], f: usize) -> usize {
    order.get(f).map_or(order.len(), |&at| at as usize)
}

#[inline(always)]
pub(super) unsafe fn write<V: Vector<F: FftElement>>(
    cells: *const V::F,
    order: &[u32],
    to: *mut V::F,
    p: Place,
    n: usize,
    finish: Finish<V::F>,
) {
    let cells = cells.cast::<V>();
    let first = finish.swap as usize;
    // SAFETY: the caller vouches for the lines and the cells.
    unsafe {
        let (scale_re, scale_im) = (V::splat(finish.re), V::splat(finish.im));
        if p.columns {
            let (low, high) = ((2 * p.count).min(V::N), (2 * p.count).saturating_sub(V::N));
            for f in 0..n {
                let cell = cells.add(2 * cell_of(order, f));
                let (re, im) = ((*cell.add(first)).mul(scale_re), (*cell.add(1 - first)).mul(scale_im));
                let (x, y) = re.zip(im);
                let row = to.add(f * p.apart);
                ahead(row.wrapping_add(AHEAD * p.apart));
                ahead(row.wrapping_add(AHEAD * p.apart + V::N));
                ahead(row.wrapping_add(AHEAD * p.apart + 2 * V::N - 1));
                if p.count == V::N {
                    x.store(row);
                    y.store(row.add(V::N));
                } else {
                    store_some(x, row, low);
                    store_some(y, row.wrapping_add(V::N), high);
                }
            }
            return;
        }
        let each = V::N / 2;
        let mut f = 0;
        while f < n {
            if p.soon != 0 {
                soon((p.soon as *const V).wrapping_add(f / each * V::N), V::N, false);
            }
            let some = each.min(n - f);
            let mut v = [scale_re; 16];
            for k in 0..each {
                let cell = cells.add(2 * cell_of(order, f + k.min(some - 1)));
                v[2 * k] = (*cell.add(first)).mul(scale_re);
                v[2 * k + 1] = (*cell.add(1 - first)).mul(scale_im);
            }
            transpose(&mut v);
            if some == each && p.count == V::N {
                for l in 0..V::N {
                    v[l].store(to.add(l * p.apart + 2 * f));
                }
            } else {
                for l in 0..p.count {
                    store_some(v[l], to.add(l * p.apart + 2 * f), 2 * some);
                }
            }
            f += each;
        }
    }
}

#[inline(always)]
pub(super) unsafe fn write_rows<V: Vector<F: FftElement>>(
    cells: *const V::F,
    order: &[u32],
    to: *mut V::F,
    p: Place,
    n: usize,
    finish: Finish<V::F>,
) {
    let cells = cells.cast::<V>();
    let first = finish.swap as usize;
    // SAFETY: the caller vouches for the rows and the cells.
    unsafe {
        for f in 0..n {
            let cell = cells.add(2 * cell_of(order, f));
            let (re, im) = (*cell.add(first), *cell.add(1 - first));
            store_some(re.mul(V::splat(finish.re)), to.add(2 * f * p.apart), p.count);
            store_some(im.mul(V::splat(finish.im)), to.add((2 * f + 1) * p.apart), p.count);
        }
    }
}

/// Transforms of `R` points, `apart` cells from each other.
#[inline(always)]
unsafe fn points<V: Vector<F: FftElement>, S: Small<R>, const R: usize>(block: *mut V, pass: &Pass<V::F>) {
    let apart = 2 * pass.size / R;
    // SAFETY: the caller vouches for `size` cells.
    unsafe {
        let y = S::run(load::<V, R>(block, apart), &pass.table);
        for k in 0..R {
            y[k].store(block.add(k * apart));
        }
        for (j, w) in pass.twiddles.chunks_exact(R - 1).enumerate() {
            let block = block.add(2 * j + 2);
            let y = S::run(load::<V, R>(block, apart), &pass.table);
            y[0].store(block);
            for k in 1..R {
                let turn = Complexes { re: V::splat(w[k - 1].re), im: V::splat(w[k - 1].im) };
                y[k].mul(turn).store(block.add(k * apart));
            }
        }
    }
}

#[inline(always)]
unsafe fn load<V: Vector, const R: usize>(block: *const V, apart: usize) -> [Complexes<V>; R] {
    // SAFETY: passed on.
    unsafe {
        let mut x = [Complexes::load(block); R];
        for k in 1..R {
            x[k] = Complexes::load(block.add(k * apart));
        }
        x
    }
}

#[inline(always)]
unsafe fn pass<V: Vector<F: FftElement>>(block: *mut V, pass: &Pass<V::F>) {
    // SAFETY: passed on.
    unsafe {
        match pass.radix {
            2 => points::<V, Two, 2>(block, pass),
            3 => points::<V, Odd, 3>(block, pass),
            4 => points::<V, Four, 4>(block, pass),
            5 => points::<V, Odd, 5>(block, pass),
            7 => points::<V, Odd, 7>(block, pass),
            _ => points::<V, Eight, 8>(block, pass),
        }
    }
}

#[inline(always)]
pub(super) unsafe fn run<V: Vector<F: FftElement>>(cells: *mut V::F, passes: &[Pass<V::F>], n: usize) {
    let cells = cells.cast::<V>();
    let far = passes.iter().take_while(|pass| pass.size > NEAR).count();
    let (first, rest) = passes.split_at(far);
    // SAFETY: blocks make up the n cells.
    unsafe {
        for one in first {
            for block in (0..n).step_by(one.size) {
                pass(cells.add(2 * block), one);
            }
        }
        let Some(largest) = rest.first() else { return };
        for near in (0..n).step_by(largest.size) {
            for one in rest {
                for block in (near..near + largest.size).step_by(one.size) {
                    pass(cells.add(2 * block), one);
                }
            }
        }
    }
}

#[inline(always)]
pub(super) unsafe fn part_of<V: Vector<F: FftElement>>(
    cells: *mut V::F,
    order: &[u32],
    twiddles: &[Complex<V::F>],
    n: usize,
) {
    let cells = cells.cast::<V>();
    // SAFETY: the order has the numbers of n cells, behind which there is one more.
    unsafe {
        let zero = V::splat(V::F::default());
        let first = Complexes::load(cells);
        let (sum, difference) = (first.re.add(first.im), first.re.sub(first.im));
        Complexes { re: sum.add(sum), im: zero }.store(cells);
        Complexes { re: difference.add(difference), im: zero }.store(cells.add(2 * n));
        for k in 1..n.div_ceil(2) {
            let (at, mirrored) = (cells.add(2 * order[k] as usize), cells.add(2 * order[n - k] as usize));
            let (a, b) = (Complexes::load(at), Complexes::load(mirrored));
            let turn = Complexes { re: V::splat(twiddles[k].re), im: V::splat(twiddles[k].im) };
            let (x, y) = parted(a, b, turn);
            x.store(at);
            y.store(mirrored);
        }
        if n.is_multiple_of(2) {
            let at = cells.add(2 * order[n / 2] as usize);
            let x = Complexes::load(at);
            Complexes { re: x.re.add(x.re), im: zero.sub(x.im.add(x.im)) }.store(at);
        }
    }
}

/// A cell whose imaginary parts are multiplied.
#[inline(always)]
unsafe fn signed<V: Vector>(at: *const V, sign: V) -> Complexes<V> {
    // SAFETY: the caller vouches for a cell.
    unsafe { Complexes { re: *at, im: (*at.add(1)).mul(sign) } }
}

#[inline(always)]
pub(super) unsafe fn join_to<V: Vector<F: FftElement>>(
    cells: *mut V::F,
    twiddles: &[Complex<V::F>],
    sign: V::F,
    n: usize,
) {
    let cells = cells.cast::<V>();
    // SAFETY: there are n + 1 cells.
    unsafe {
        let sign = V::splat(sign);
        let (first, last) = (*cells, *cells.add(2 * n));
        Complexes { re: first.sub(last), im: first.add(last) }.store(cells);
        for k in 1..n.div_ceil(2) {
            let (at, mirrored) = (cells.add(2 * k), cells.add(2 * (n - k)));
            let (a, b) = (signed(at, sign), signed(mirrored, sign));
            let (sum_re, sum_im) = (a.re.add(b.re), a.im.sub(b.im));
            let difference = Complexes { re: a.re.sub(b.re), im: a.im.add(b.im) };
            let turn = Complexes { re: V::splat(twiddles[k].re), im: V::splat(twiddles[k].im) };
            let odd = difference.mul(turn);
            Complexes { re: sum_im.add(odd.re), im: sum_re.sub(odd.im) }.store(at);
            Complexes { re: odd.re.sub(sum_im), im: sum_re.add(odd.im) }.store(mirrored);
        }
        if n.is_multiple_of(2) {
            let at = cells.add(n);
            let x = signed(at, sign);
            let zero = V::splat(V::F::default());
            Complexes { re: zero.sub(x.im.add(x.im)), im: x.re.add(x.re) }.store(at);
        }
    }
}

/// Blocks of `N` coefficients of `N` columns, multiplied, become blocks of columns of coefficients, `apart` numbers from
/// each other.
#[inline(always)]
pub(super) unsafe fn turn<V: Vector>(
    cells: *const V::F,
    order: &[u32],
    twiddles: *const V::F,
    to: *mut V::F,
    apart: usize,
) {
    let cells = cells.cast::<V>();
    // SAFETY: the caller vouches for the cells, as many twiddle factors, and as much memory.
    unsafe {
        for (i, order) in order.chunks_exact(V::N).enumerate() {
            let (mut re, mut im) = ([V::load(twiddles); 16], [V::load(twiddles); 16]);
            for l in 0..V::N {
                let at = twiddles.add((i * V::N + l) * 2 * V::N);
                let factor = Complexes { re: V::load(at), im: V::load(at.add(V::N)) };
                let x = Complexes::load(cells.add(2 * order[l] as usize)).mul(factor);
                (re[l], im[l]) = (x.re, x.im);
            }
            transpose(&mut re);
            transpose(&mut im);
            let to = to.add(i * apart).cast::<V>();
            for l in 0..V::N {
                Complexes { re: re[l], im: im[l] }.store(to.add(2 * l));
            }
        }
    }
}

/// `N` neighbouring complex numbers.
#[inline(always)]
unsafe fn load_line<V: Vector>(from: *const V::F) -> Complexes<V> {
    // SAFETY: passed on.
    unsafe {
        let (re, im) = V::load(from).unzip(V::load(from.add(V::N)));
        Complexes { re, im }
    }
}

#[inline(always)]
unsafe fn store_line<V: Vector>(x: Complexes<V>, to: *mut V::F) {
    // SAFETY: passed on.
    unsafe {
        let (low, high) = x.re.zip(x.im);
        low.store(to);
        high.store(to.add(V::N));
    }
}

#[inline(always)]
unsafe fn reversed<V: Vector>(x: Complexes<V>) -> Complexes<V> {
    // SAFETY: passed on.
    unsafe { Complexes { re: x.re.reverse(), im: x.im.reverse() } }
}

/// [`part_of`] for one line: `N` coefficients and their mirror images together.
#[inline(always)]
pub(super) unsafe fn part_line<V: Vector<F: FftElement>>(line: *mut V::F, twiddles: *const V::F, n: usize) {
    // SAFETY: the caller vouches for n + 1 complex numbers and n twiddle factors; those below lie between 1 and n - 1.
    unsafe {
        let (re, im) = (*line, *line.add(1));
        (*line, *line.add(1)) = (re + im + (re + im), V::F::default());
        (*line.add(2 * n), *line.add(2 * n + 1)) = (re - im + (re - im), V::F::default());
        let mut k = 1;
        while k + V::N <= n + 1 - k - V::N {
            let (at, mirrored) = (line.add(2 * k), line.add(2 * (n + 1 - k - V::N)));
            let (a, b) = (load_line::<V>(at), reversed(load_line::<V>(mirrored)));
            let (x, y) = parted(a, b, load_line(twiddles.add(2 * k)));
            store_line(x, at);
            store_line(reversed(y), mirrored);
            k += V::N;
        }
        while 2 * k < n {
            let (at, mirrored) = (line.add(2 * k), line.add(2 * (n - k)));
            let (even_re, even_im) = (*at + *mirrored, *at.add(1) - *mirrored.add(1));
            let (re, im) = (*at.add(1) + *mirrored.add(1), *mirrored - *at);
            let (cos, sin) = (*twiddles.add(2 * k), *twiddles.add(2 * k + 1));
            let (odd_re, odd_im) = (re * cos - im * sin, re * sin + im * cos);
            (*at, *at.add(1)) = (even_re + odd_re, even_im + odd_im);
            (*mirrored, *mirrored.add(1)) = (even_re - odd_re, odd_im - even_im);
            k += 1;
        }
        if 2 * k == n {
            let at = line.add(n);
            (*at, *at.add(1)) = (*at + *at, -(*at.add(1) + *at.add(1)));
        }
    }
}

/// The coefficients that take the places of two that mirror each other.
#[inline(always)]
unsafe fn parted<V: Vector>(
    a: Complexes<V>,
    b: Complexes<V>,
    turn: Complexes<V>,
) -> (Complexes<V>, Complexes<V>) {
    // SAFETY: the caller has the instructions.
    unsafe {
        // The even part is a + conj(b), the odd one (a - conj(b)) / i, turned.
        let (even_re, even_im) = (a.re.add(b.re), a.im.sub(b.im));
        let odd = Complexes { re: a.im.add(b.im), im: b.re.sub(a.re) }.mul(turn);
        let x = Complexes { re: even_re.add(odd.re), im: even_im.add(odd.im) };
        (x, Complexes { re: even_re.sub(odd.re), im: odd.im.sub(even_im) })
    }
}

/// [`Square::join`](super::square::Square::join): `N` coefficients and their mirror images together.
#[inline(always)]
pub(super) unsafe fn join_line<V: Vector<F: FftElement>>(
    line: *const V::F,
    work: *mut V::F,
    twiddles: *const V::F,
    n: usize,
) {
    // SAFETY: as in `part_line`.
    unsafe {
        let (first, last) = (*line, *line.add(2 * n));
        (*work, *work.add(1)) = (first + last, first - last);
        let mut k = 1;
        while k + V::N <= n + 1 - k - V::N {
            let back = 2 * (n + 1 - k - V::N);
            let (a, b) = (load_line::<V>(line.add(2 * k)), reversed(load_line::<V>(line.add(back))));
            let (sum_re, sum_im) = (a.re.add(b.re), a.im.sub(b.im));
            let difference = Complexes { re: a.re.sub(b.re), im: a.im.add(b.im) };
            let odd = difference.mul(load_line(twiddles.add(2 * k)));
            store_line(Complexes { re: sum_re.sub(odd.im), im: sum_im.add(odd.re) }, work.add(2 * k));
            let y = Complexes { re: sum_re.add(odd.im), im: odd.re.sub(sum_im) };
            store_line(reversed(y), work.add(back));
            k += V::N;
        }
        while 2 * k <= n {
            let (a, b) = (line.add(2 * k), line.add(2 * (n - k)));
            let (sum_re, sum_im) = (*a + *b, *a.add(1) - *b.add(1));
            let (re, im) = (*a - *b, *a.add(1) + *b.add(1));
            let (cos, sin) = (*twiddles.add(2 * k), *twiddles.add(2 * k + 1));
            let (odd_re, odd_im) = (re * cos - im * sin, re * sin + im * cos);
            // In the middle both are the same.
            let (x, y) = (work.add(2 * k), work.add(2 * (n - k)));
            (*y, *y.add(1)) = (sum_re + odd_im, odd_re - sum_im);
            (*x, *x.add(1)) = (sum_re - odd_im, sum_im + odd_re);
            k += 1;
        }
    }
}
