//! Transforms of a few points, each point a vector of numbers. One of the modules with unsafe code.

use super::vector::Vector;

/// A complex number for each lane.
#[derive(Clone, Copy)]
pub(super) struct Complexes<V> {
    pub re: V,
    pub im: V,
}

impl<V: Vector> Complexes<V> {
    #[inline(always)]
    pub unsafe fn load(at: *const V) -> Self {
        // SAFETY: the caller vouches for two vectors.
        unsafe { Complexes { re: *at, im: *at.add(1) } }
    }
    #[inline(always)]
    pub unsafe fn store(self, at: *mut V) {
        // SAFETY: as above.
        unsafe {
            *at = self.re;
            *at.add(1) = self.im;
        }
    }
    #[inline(always)]
    pub unsafe fn add(self, b: Self) -> Self {
        // SAFETY: the caller has the instructions, here and below.
        unsafe { Complexes { re: self.re.add(b.re), im: self.im.add(b.im) } }
    }
    #[inline(always)]
    pub unsafe fn sub(self, b: Self) -> Self {
        // SAFETY: as above.
        unsafe { Complexes { re: self.re.sub(b.re), im: self.im.sub(b.im) } }
    }
    /// `self - i b`.
    #[inline(always)]
    unsafe fn sub_i(self, b: Self) -> Self {
        // SAFETY: as above.
        unsafe { Complexes { re: self.re.add(b.im), im: self.im.sub(b.re) } }
    }
    /// `self + i b`.
    #[inline(always)]
    unsafe fn add_i(self, b: Self) -> Self {
        // SAFETY: as above.
        unsafe { Complexes { re: self.re.sub(b.im), im: self.im.add(b.re) } }
    }
    #[inline(always)]
    pub unsafe fn mul(self, b: Self) -> Self {
        // SAFETY: as above.
        unsafe {
            Complexes { re: self.im.fnma(b.im, self.re.mul(b.re)), im: self.im.fma(b.re, self.re.mul(b.im)) }
        }
    }
    /// `self + s b` and `self - s b` for real `s`.
    #[inline(always)]
    unsafe fn both(self, s: V, b: Self) -> (Self, Self) {
        // SAFETY: as above.
        unsafe {
            let sum = Complexes { re: b.re.fma(s, self.re), im: b.im.fma(s, self.im) };
            let difference = Complexes { re: b.re.fnma(s, self.re), im: b.im.fnma(s, self.im) };
            (sum, difference)
        }
    }
}

/// What multiplies in transforms of `R` points: cosines, then sines, of the multiples of a turn's part.
pub(super) type Table<F> = [F; 16];

/// A transform of `R` points.
pub(super) trait Small<const R: usize> {
    /// # Safety
    /// The processor must have the instructions of the vectors.
    unsafe fn run<V: Vector>(x: [Complexes<V>; R], table: &Table<V::F>) -> [Complexes<V>; R];
}
pub(super) struct Two;
pub(super) struct Four;
pub(super) struct Eight;
/// An odd number of points: cosines of the sums of elements that mirror each other, sines of the differences.
pub(super) struct Odd;

impl Small<2> for Two {
    #[inline(always)]
    unsafe fn run<V: Vector>(x: [Complexes<V>; 2], _: &Table<V::F>) -> [Complexes<V>; 2] {
        // SAFETY: passed on, here and below.
        unsafe { [x[0].add(x[1]), x[0].sub(x[1])] }
    }
}

impl Small<4> for Four {
    #[inline(always)]
    unsafe fn run<V: Vector>(x: [Complexes<V>; 4], _: &Table<V::F>) -> [Complexes<V>; 4] {
        // SAFETY: as above.
        unsafe {
            let (a, b) = (x[0].add(x[2]), x[0].sub(x[2]));
            let (c, d) = (x[1].add(x[3]), x[1].sub(x[3]));
            [a.add(c), b.sub_i(d), a.sub(c), b.add_i(d)]
        }
    }
}

impl Small<8> for Eight {
    #[inline(always)]
    unsafe fn run<V: Vector>(x: [Complexes<V>; 8], table: &Table<V::F>) -> [Complexes<V>; 8] {
        // SAFETY: as above.
        unsafe {
            let root = V::splat(table[1]);
            let e = Four::run([x[0], x[2], x[4], x[6]], table);
            let o = Four::run([x[1], x[3], x[5], x[7]], table);
            // (1 - i) o and (-1 - i) o, without their common factor.
            let first = Complexes { re: o[1].re.add(o[1].im), im: o[1].im.sub(o[1].re) };
            let third = Complexes { re: o[3].im.sub(o[3].re), im: o[3].re.add(o[3].im) };
            let (y1, y5) = e[1].both(root, first);
            // The imaginary part of (-1 - i) o is -(re + im).
            let y3 = Complexes { re: third.re.fma(root, e[3].re), im: third.im.fnma(root, e[3].im) };
            let y7 = Complexes { re: third.re.fnma(root, e[3].re), im: third.im.fma(root, e[3].im) };
            [e[0].add(o[0]), y1, e[2].sub_i(o[2]), y3, e[0].sub(o[0]), y5, e[2].add_i(o[2]), y7]
        }
    }
}

impl<const R: usize> Small<R> for Odd {
    #[inline(always)]
    unsafe fn run<V: Vector>(x: [Complexes<V>; R], table: &Table<V::F>) -> [Complexes<V>; R] {
        // SAFETY: as above.
        unsafe {
            let mut out = x;
            for k in 1..=R / 2 {
                out[0] = out[0].add(x[k].add(x[R - k]));
            }
            for j in 1..=R / 2 {
                let mut even = x[0];
                let mut turned: Option<Complexes<V>> = None;
                for k in 1..=R / 2 {
                    let (sum, difference) = (x[k].add(x[R - k]), x[k].sub(x[R - k]));
                    let (cos, sin) = (V::splat(table[j * k % R]), V::splat(table[8 + j * k % R]));
                    even = Complexes { re: sum.re.fma(cos, even.re), im: sum.im.fma(cos, even.im) };
                    turned = Some(match turned {
                        None => Complexes { re: difference.re.mul(sin), im: difference.im.mul(sin) },
                        Some(t) => {
                            Complexes { re: difference.re.fma(sin, t.re), im: difference.im.fma(sin, t.im) }
                        }
                    });
                }
                if let Some(turned) = turned {
                    out[j] = even.sub_i(turned);
                    out[R - j] = even.add_i(turned);
                }
            }
            out
        }
    }
}
