//! Sums of the products of contiguous rows with a vector, in the orders in which PyTorch's build with MKL adds up `gemv` on
//! processors with AVX-512 (found by probing, bit for bit): in lanes of 64 bytes, which are then added up by halves.

use super::GemmElement;
#[cfg(target_arch = "x86_64")]
use crate::level::{Level, level};
use crate::prefetch::ahead;

/// Bytes ahead that memory is asked for: in long rows, and at most where the next group is asked for.
const AHEAD: usize = 2048;
pub(super) const NEAR: usize = 1 << 14;
/// Rows whose sums run side by side.
pub(super) const GROUP: usize = 4;

/// `sums += x * y` for `L` elements.
///
/// # Safety
/// `L` elements are valid at both addresses.
#[inline(always)]
unsafe fn lanes<T: GemmElement, const FMA: bool, const L: usize>(
    x: *const T,
    y: *const T,
    sums: &mut [T; L],
) {
    // SAFETY: an array of T has the alignment of T; the caller vouches for the elements.
    let (x, y) = unsafe { (&*x.cast::<[T; L]>(), &*y.cast::<[T; L]>()) };
    for l in 0..L {
        sums[l] = x[l].mul_add::<FMA>(y[l], sums[l]);
    }
}

/// [`lanes`] for `n < L` elements; the other lanes take zeros.
#[inline(always)]
unsafe fn rest<T: GemmElement, const FMA: bool, const L: usize>(
    n: usize,
    x: *const T,
    y: *const T,
    sums: &mut [T; L],
) {
    let (mut xs, mut ys) = ([T::ZERO; L], [T::ZERO; L]);
    for l in 0..n {
        // SAFETY: the caller vouches for n elements.
        unsafe { (xs[l], ys[l]) = (*x.add(l), *y.add(l)) };
    }
    // SAFETY: both arrays have L elements.
    unsafe { lanes::<T, FMA, L>(xs.as_ptr(), ys.as_ptr(), sums) }
}

/// The sum of the lanes: the two halves, then the two halves of the sum, and so on.
#[inline(always)]
fn halves<T: GemmElement, const L: usize>(mut lanes: [T; L]) -> T {
    let mut half = L / 2;
    while half > 0 {
        for l in 0..half {
            lanes[l] = lanes[l].add(lanes[l + half]);
        }
        half /= 2;
    }
    lanes[0]
}

/// [`group`], in the widest registers that there are for the type.
///
/// # Safety
/// As for [`group`].
#[inline(always)]
pub(super) unsafe fn quick_group<T: GemmElement, const FMA: bool>(
    n: usize,
    a: *const T,
    step: usize,
    x: *const T,
) -> [T; GROUP] {
    #[cfg(target_arch = "x86_64")]
    if FMA && T::SINGLE && level() == Level::Avx512 {
        // SAFETY: there is AVX-512; T is `f32`, and the rest is passed on.
        let sums = unsafe { super::rows_wide::group(n, a.cast(), step, x.cast()) };
        // SAFETY: arrays of one type, known by two names.
        return unsafe { std::mem::transmute_copy(&sums) };
    }
    // SAFETY: passed on.
    unsafe { group::<T, FMA>(n, a, step, x) }
}

/// [`wide`], in the widest registers that there are for the type.
///
/// # Safety
/// As for [`wide`].
#[inline(always)]
pub(super) unsafe fn quick_wide<T: GemmElement, const FMA: bool>(n: usize, a: *const T, x: *const T) -> T {
    #[cfg(target_arch = "x86_64")]
    if FMA && T::REAL && size_of::<T>() == 8 && level() == Level::Avx512 {
        // SAFETY: there is AVX-512; T is `f64`, and the rest is passed on.
        let sum = unsafe { super::rows_wide::double(n, a.cast(), x.cast()) };
        // SAFETY: numbers of one type, known by two names.
        return unsafe { std::mem::transmute_copy(&sum) };
    }
    // SAFETY: passed on.
    unsafe { wide::<T, FMA>(n, a, x) }
}

/// Sums of [`GROUP`] rows, `step` apart, of `n` numbers of four bytes: the first lane begins with the first product; what
/// follows the whole lines is added to a line that begins with their sum.
///
/// # Safety
/// `n` elements of every row and of `x` are valid, `n` nonzero.
#[inline(always)]
pub(super) unsafe fn group<T: GemmElement, const FMA: bool>(
    n: usize,
    a: *const T,
    step: usize,
    x: *const T,
) -> [T; GROUP] {
    const L: usize = 16;
    // Short rows end before what is far ahead of them is needed.
    let next = GROUP * step * size_of::<T>();
    let distance = if next <= NEAR { next } else { AHEAD };
    let mut sums = [[T::ZERO; L]; GROUP];
    let mut i = 1;
    // SAFETY: i + L <= n for whole lines, n - i < L for the last one.
    unsafe {
        for r in 0..GROUP {
            sums[r][0] = (*a.add(r * step)).mul(*x);
        }
        while i + L <= n {
            for r in 0..GROUP {
                let row = a.add(r * step + i);
                ahead(row.cast::<u8>().wrapping_add(distance));
                lanes::<T, FMA, L>(row, x.add(i), &mut sums[r]);
            }
            i += L;
        }
        if i < n {
            for r in 0..GROUP {
                if i > 1 {
                    let sum = halves(sums[r]);
                    sums[r] = [T::ZERO; L];
                    sums[r][0] = sum;
                }
                rest::<T, FMA, L>(n - i, a.add(r * step + i), x.add(i), &mut sums[r]);
            }
        }
    }
    sums.map(halves)
}

/// The sum of one of the last rows, of `n` numbers of four bytes: all but the first product in lanes, two lines at a time
/// if `paired`.
///
/// # Safety
/// `n` elements of both are valid, `n` nonzero.
#[inline(always)]
pub(super) unsafe fn last<T: GemmElement, const FMA: bool>(
    n: usize,
    a: *const T,
    x: *const T,
    paired: bool,
) -> T {
    // SAFETY: passed on; the first element exists.
    unsafe {
        let first = (*a).mul(*x);
        first.add(halves(line::<T, FMA, 16>(n - 1, a.add(1), x.add(1), paired)))
    }
}

/// The sum of a row of `n` numbers of eight bytes.
///
/// # Safety
/// `n` elements of both are valid.
#[inline(always)]
pub(super) unsafe fn wide<T: GemmElement, const FMA: bool>(n: usize, a: *const T, x: *const T) -> T {
    // SAFETY: passed on.
    let s = unsafe { line::<T, FMA, 8>(n, a, x, true) };
    (s[0].add(s[2]).add(s[1].add(s[3]))).add(s[4].add(s[6]).add(s[5].add(s[7])))
}

/// Products of `n` elements in `L` lanes; two lines at a time, as long as there are two, if `paired`.
#[inline(always)]
unsafe fn line<T: GemmElement, const FMA: bool, const L: usize>(
    n: usize,
    a: *const T,
    x: *const T,
    paired: bool,
) -> [T; L] {
    let (mut sums, mut others) = ([T::ZERO; L], [T::ZERO; L]);
    let mut i = 0;
    // SAFETY: no line ends behind n.
    unsafe {
        while paired && i + 2 * L <= n {
            ahead(a.add(i).cast::<u8>().wrapping_add(AHEAD));
            ahead(a.add(i + L).cast::<u8>().wrapping_add(AHEAD));
            lanes::<T, FMA, L>(a.add(i), x.add(i), &mut sums);
            lanes::<T, FMA, L>(a.add(i + L), x.add(i + L), &mut others);
            i += 2 * L;
        }
        for l in 0..L {
            sums[l] = sums[l].add(others[l]);
        }
        while i + L <= n {
            lanes::<T, FMA, L>(a.add(i), x.add(i), &mut sums);
            i += L;
        }
        if i < n {
            rest::<T, FMA, L>(n - i, a.add(i), x.add(i), &mut sums);
        }
    }
    sums
}
