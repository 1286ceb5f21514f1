//! The tile kernel: a few rows of `a` times a few vectors of columns of `b`, with all sums in registers.

use super::lanes::Lanes;
use super::pack::{Part, pack};
use crate::level::Level;
use crate::prefetch::ahead;
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// What is added to the products of a tile.
#[derive(Clone, Copy)]
pub(super) enum Base<T> {
    Nothing,
    /// A matrix of contiguous rows, this many elements apart; 0 adds one row to all.
    Matrix(*const T, usize),
    /// One number for each row.
    Rows(*const T),
}

/// One tile of a product: `c = alpha * a @ b + base`.
pub(super) struct Tile<T> {
    /// Products in each sum.
    pub depth: usize,
    /// The rows' elements for the first product, then those for the second one, and so on; or, where `a_rs` is not 0, contiguous
    /// rows, so many elements apart.
    pub a: *const T,
    pub a_rs: usize,
    /// Line `p` of `b` begins `lines[p]` elements from here; it is read to the end of the last vector. The table goes on for
    /// [`AHEAD`] more numbers, of any value: what they name is asked for and not read.
    pub b: *const T,
    pub lines: *const usize,
    pub alpha: T,
    pub base: Base<T>,
    /// Whole vectors are written to contiguous rows, `c_rs` elements apart.
    pub c: *mut T,
    pub c_rs: usize,
    /// Which columns are kept, bit by bit from the first on: written one after the other, without gaps. All ones keeps the tile
    /// as it is.
    pub keep: u64,
}

/// How many lines ahead the operands are asked for.
pub(super) const AHEAD: usize = 8;

// The last line's addresses of the next one are not used.
#[allow(unused_assignments)]
#[inline(always)]
unsafe fn tile<V: Lanes, const R: usize, const W: usize, const PACKED: bool>(t: &Tile<V::T>, zero: V::T) {
    // SAFETY: the caller of the kernel vouches for the addresses and the instructions.
    unsafe {
        let mut sums = [[V::splat(zero); W]; R];
        // Three rows are found from one address: more addresses than that would not stay in registers.
        let third = |i: usize| t.a.wrapping_add(3 * i * t.a_rs);
        let (mut a, mut a1, mut a2, mut a3, mut a4) = (t.a, third(1), third(2), third(3), third(4));
        macro_rules! step {
            (3, $a:ident, $b:ident, $r:literal, $more:expr) => {
                if $r < R {
                    let x = V::splat(*$a.add($more));
                    for w in 0..W {
                        sums[$r][w] = x.mul_add($b[w], sums[$r][w]);
                    }
                }
            };
            ($p:expr) => {
                let line = t.b.add(*t.lines.add($p));
                let later = t.b.wrapping_add(*t.lines.add($p + AHEAD));
                let mut b = [V::splat(zero); W];
                for w in 0..W {
                    ahead(later.wrapping_add(w * V::N));
                    b[w] = V::load(line.add(w * V::N));
                }
                if PACKED {
                    ahead(a.wrapping_add(AHEAD * R));
                    if R * size_of::<V::T>() > 64 {
                        ahead(a.wrapping_add(AHEAD * R + 64 / size_of::<V::T>()));
                    }
                    for r in 0..R {
                        let x = V::splat(*a.add(r));
                        for w in 0..W {
                            sums[r][w] = x.mul_add(b[w], sums[r][w]);
                        }
                    }
                    a = a.add(R);
                } else {
                    step!(3, a, b, 0, 0);
                    step!(3, a, b, 1, t.a_rs);
                    step!(3, a, b, 2, 2 * t.a_rs);
                    step!(3, a1, b, 3, 0);
                    step!(3, a1, b, 4, t.a_rs);
                    step!(3, a1, b, 5, 2 * t.a_rs);
                    step!(3, a2, b, 6, 0);
                    step!(3, a2, b, 7, t.a_rs);
                    step!(3, a2, b, 8, 2 * t.a_rs);
                    step!(3, a3, b, 9, 0);
                    step!(3, a3, b, 10, t.a_rs);
                    step!(3, a3, b, 11, 2 * t.a_rs);
                    step!(3, a4, b, 12, 0);
                    step!(3, a4, b, 13, t.a_rs);
                    a = a.wrapping_add(1);
                    a1 = a1.wrapping_add(1);
                    a2 = a2.wrapping_add(1);
                    a3 = a3.wrapping_add(1);
                    a4 = a4.wrapping_add(1);
                }
            };
        }
        // The tile's own lines are asked for one after the other, so that the operands' ones don't wait for all of them.
        let (out, apart) = match t.base {
            Base::Matrix(from, stride) if stride > 0 => (from, stride),
            _ => (t.c.cast_const(), t.c_rs),
        };
        // The steps that are left after the first ones come in pairs: each copy of the step is code to compile.
        let mut first = t.depth.min(R);
        first -= (t.depth - first) % 2;
        for r in first..R {
            for w in 0..W {
                ahead(out.wrapping_add(r * apart + w * V::N));
            }
        }
        for p in 0..first {
            for w in 0..W {
                ahead(out.wrapping_add(p * apart + w * V::N));
            }
            step!(p);
        }
        let mut p = first;
        while p < t.depth {
            step!(p);
            step!(p + 1);
            p += 2;
        }
        let alpha = V::splat(t.alpha);
        match t.base {
            Base::Nothing => {
                for r in 0..R {
                    for w in 0..W {
                        sums[r][w] = sums[r][w].mul(alpha);
                    }
                }
            }
            Base::Matrix(from, stride) => {
                for r in 0..R {
                    for w in 0..W {
                        let base = V::load(from.add(r * stride + w * V::N));
                        sums[r][w] = sums[r][w].mul_add(alpha, base);
                    }
                }
            }
            Base::Rows(from) => {
                for r in 0..R {
                    let base = V::splat(*from.add(r));
                    for w in 0..W {
                        sums[r][w] = sums[r][w].mul_add(alpha, base);
                    }
                }
            }
        }
        if t.keep == u64::MAX {
            for r in 0..R {
                for w in 0..W {
                    sums[r][w].store(t.c.add(r * t.c_rs + w * V::N));
                }
            }
            return;
        }
        let mut to = t.c;
        for w in 0..W {
            let mask = (t.keep >> (w * V::N)) as u32 & ((1u64 << V::N) - 1) as u32;
            for r in 0..R {
                sums[r][w].compress(mask, to.add(r * t.c_rs));
            }
            to = to.add(mask.count_ones() as usize);
        }
    }
}

/// The tile kernel of a level for an element type, and how operands are copied for it.
pub struct Kernel<T> {
    /// Most rows of a tile.
    pub rows: usize,
    /// Elements of a vector.
    pub lanes: usize,
    /// Most vectors of a tile's rows.
    pub vectors: usize,
    /// Computes a tile of so many rows and so many vectors.
    ///
    /// # Safety
    /// Both are within the limits and nonzero, and every address that the tile names is valid.
    pub(super) run: unsafe fn(usize, usize, &Tile<T>),
    /// [`pack()`]
    pub(super) pack: unsafe fn(&Part, *const T, *mut T, usize, usize),
}

impl<T> Kernel<T> {
    /// Columns of the widest tile.
    pub fn width(&self) -> usize {
        self.lanes * self.vectors
    }
}

macro_rules! kernel {
    ($name:ident, $t:ident, $v:ty, [$($r:literal)*] $(, $feature:literal)?) => {
        $(#[target_feature(enable = $feature)])?
        unsafe fn $name(rows: usize, vectors: usize, t: &Tile<$t>) {
            // SAFETY: the level was detected; the rest is the caller's promise.
            unsafe {
                match (rows, vectors, t.a_rs) {
                    $(
                        ($r, 1, 0) => tile::<$v, $r, 1, true>(t, 0.0),
                        ($r, _, 0) => tile::<$v, $r, 2, true>(t, 0.0),
                        ($r, 1, _) => tile::<$v, $r, 1, false>(t, 0.0),
                        ($r, _, _) => tile::<$v, $r, 2, false>(t, 0.0),
                    )*
                    _ => debug_assert!(false, "a tile of {rows} rows"),
                }
            }
        }
    };
}
#[cfg(target_arch = "x86_64")]
mod compiled {
    use super::*;
    kernel!(single512, f32, __m512, [1 2 3 4 5 6 7 8 9 10 11 12 13 14], "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma");
    kernel!(double512, f64, __m512d, [1 2 3 4 5 6 7 8 9 10 11 12 13 14], "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma");
    kernel!(single256, f32, __m256, [1 2 3 4 5 6], "avx2,fma");
    kernel!(double256, f64, __m256d, [1 2 3 4 5 6], "avx2,fma");
    kernel!(single128, f32, __m128, [1 2 3 4]);
    kernel!(double128, f64, __m128d, [1 2 3 4]);
    pub static SINGLE: [Kernel<f32>; 3] = [
        Kernel { rows: 4, lanes: 4, vectors: 2, run: single128, pack: pack::<f32> },
        Kernel { rows: 6, lanes: 8, vectors: 2, run: single256, pack: pack::<f32> },
        Kernel { rows: 14, lanes: 16, vectors: 2, run: single512, pack: pack::<f32> },
    ];
    pub static DOUBLE: [Kernel<f64>; 3] = [
        Kernel { rows: 4, lanes: 2, vectors: 2, run: double128, pack: pack::<f64> },
        Kernel { rows: 6, lanes: 4, vectors: 2, run: double256, pack: pack::<f64> },
        Kernel { rows: 14, lanes: 8, vectors: 2, run: double512, pack: pack::<f64> },
    ];
}
#[cfg(not(target_arch = "x86_64"))]
mod compiled {
    use super::*;
    kernel!(single, f32, [f32; 4], [1 2 3 4 5 6 7 8]);
    kernel!(double, f64, [f64; 2], [1 2 3 4 5 6 7 8]);
    pub static SINGLE: [Kernel<f32>; 3] =
        [const { Kernel { rows: 8, lanes: 4, vectors: 2, run: single, pack: pack::<f32> } }; 3];
    pub static DOUBLE: [Kernel<f64>; 3] =
        [const { Kernel { rows: 8, lanes: 2, vectors: 2, run: double, pack: pack::<f64> } }; 3];
}

/// The kernel of a level for `f32`.
pub fn single(level: Level) -> &'static Kernel<f32> {
    &compiled::SINGLE[level as usize - 1]
}

/// The kernel of a level for `f64`.
pub fn double(level: Level) -> &'static Kernel<f64> {
    &compiled::DOUBLE[level as usize - 1]
}
