//! Folds whose steps run side by side in a fixed number of lanes, in a form that compilers keep in vector registers: the
//! order of the steps is the same for all widths of registers.

use crate::wide::ahead;

/// Accumulators that run side by side.
pub(crate) const LANES: usize = 32;

/// With `AHEAD` memory is asked for 2 KB before it is read.
#[inline(always)]
fn lanes_with<const AHEAD: bool, T: Copy, A: Copy>(
    x: &[T],
    start: A,
    step: impl Fn(A, T) -> A,
) -> [A; LANES] {
    let mut acc = [start; LANES];
    let (lines, rest) = x.as_chunks::<LANES>();
    for line in lines {
        if AHEAD {
            let later = line.as_ptr().cast::<u8>().wrapping_add(2048);
            let mut at = 0;
            while at < size_of_val(line) {
                ahead(later.wrapping_add(at));
                at += 64;
            }
        }
        let line = *line;
        for l in 0..LANES {
            acc[l] = step(acc[l], line[l]);
        }
    }
    if !rest.is_empty() {
        // In a copy: an index that varies would keep the others out of registers.
        let mut tail = acc;
        tail.iter_mut().zip(rest).for_each(|(a, &v)| *a = step(*a, v));
        acc = tail;
    }
    acc
}

/// Lane `l` takes the elements `l`, `l + LANES` and so on.
#[inline(always)]
pub(crate) fn lanes<T: Copy, A: Copy>(x: &[T], start: A, step: impl Fn(A, T) -> A) -> [A; LANES] {
    lanes_with::<false, _, _>(x, start, step)
}

/// [`lanes`] of a slice that may come from memory, which is asked for 2 KB ahead.
#[inline(always)]
pub(crate) fn lanes_from_memory<T: Copy, A: Copy>(x: &[T], start: A, step: impl Fn(A, T) -> A) -> [A; LANES] {
    lanes_with::<true, _, _>(x, start, step)
}

/// Lanes in which elements that fill no line count once more with those before them, so that all lines are whole: for steps
/// that may see an element twice. With `AHEAD` as [`lanes_from_memory`].
#[inline(always)]
pub(crate) fn lanes_again<const AHEAD: bool, T: Copy, A: Copy>(
    x: &[T],
    start: A,
    step: impl Fn(A, T) -> A,
) -> [A; LANES] {
    let Some(last) = x.last_chunk::<LANES>() else {
        return lanes(x, start, step);
    };
    let mut acc = lanes_with::<AHEAD, _, _>(&x[..x.len() / LANES * LANES], start, &step);
    let last = *last;
    for l in 0..LANES {
        acc[l] = step(acc[l], last[l]);
    }
    acc
}

/// What is folded by [`folded`]: methods of a trait are inlined wherever they are called, closures are not.
pub(crate) trait Fold {
    type In: Copy;
    type Acc: Copy;
    /// An element that changes no accumulator.
    const NOTHING: Self::In;
    const START: Self::Acc;
    fn step(acc: Self::Acc, x: Self::In) -> Self::Acc;
    fn merge(a: Self::Acc, b: Self::Acc) -> Self::Acc;
}

/// `N` lanes of at least as many elements, the last of which are read again as a whole line, those that were counted before
/// as nothing. All indices are constants: lanes stay in registers.
#[inline(always)]
fn lanes_whole<const N: usize, F: Fold>(x: &[F::In]) -> [F::Acc; N] {
    let mut acc = [F::START; N];
    let (lines, rest) = x.as_chunks::<N>();
    for line in lines {
        let line = *line;
        for l in 0..N {
            acc[l] = F::step(acc[l], line[l]);
        }
    }
    let Some(last) = x.last_chunk::<N>() else { return acc };
    let (last, counted) = (*last, N - rest.len());
    for l in 0..N {
        acc[l] = F::step(acc[l], std::hint::select_unpredictable(l < counted, F::NOTHING, last[l]));
    }
    acc
}

/// Lanes as a row in memory: what is made of them one by one afterwards would have compilers keep them apart all along.
#[inline(always)]
pub(crate) fn in_row<A: Copy, const N: usize>(lanes: [A; N]) -> [A; N] {
    std::hint::black_box(lanes)
}

/// Folds elements in lanes, where their order is free.
#[inline(always)]
pub(crate) fn folded<F: Fold>(x: &[F::In]) -> F::Acc {
    if x.len() < LANES {
        let mut acc = F::START;
        for &x in x {
            acc = F::step(acc, x);
        }
        return acc;
    }
    merged(lanes_whole::<LANES, F>(x), F::merge)
}

/// Sums in lanes; what fills no line goes to the first ones, in blocks of constant sizes: they stay in registers.
#[inline(always)]
pub(crate) fn sums<T: Copy + Default + std::ops::Add<Output = T>>(x: &[T]) -> [T; LANES] {
    #[inline(always)]
    fn block<'a, const N: usize, T: Copy + std::ops::Add<Output = T>>(
        acc: &mut [T; LANES],
        x: &'a [T],
    ) -> &'a [T] {
        let Some((block, rest)) = x.split_first_chunk::<N>() else { return x };
        for l in 0..N {
            acc[l] = acc[l] + block[l];
        }
        rest
    }
    let (zero, whole) = (T::default(), x.len() / LANES * LANES);
    if whole == 0 {
        return lanes(x, zero, |a, x| a + x);
    }
    let mut acc = lanes(&x[..whole], zero, |a, x| a + x);
    let rest = block::<16, _>(&mut acc, &x[whole..]);
    let rest = block::<8, _>(&mut acc, rest);
    let rest = block::<4, _>(&mut acc, rest);
    let rest = block::<2, _>(&mut acc, rest);
    block::<1, _>(&mut acc, rest);
    acc
}

/// [`lanes`] of the pairs of two slices of one length.
#[inline(always)]
pub(crate) fn lanes_of_pairs<T: Copy, A: Copy>(
    x: &[T],
    y: &[T],
    start: A,
    step: impl Fn(A, T, T) -> A,
) -> [A; LANES] {
    let mut acc = [start; LANES];
    let ((left, x), (right, y)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    for (x, y) in left.iter().zip(right) {
        let (x, y) = (*x, *y);
        for l in 0..LANES {
            acc[l] = step(acc[l], x[l], y[l]);
        }
    }
    if !x.is_empty() {
        let mut tail = acc;
        tail.iter_mut().zip(x.iter().zip(y)).for_each(|(a, (&x, &y))| *a = step(*a, x, y));
        acc = tail;
    }
    acc
}

#[inline(always)]
fn halve<A: Copy, const N: usize, const M: usize>(a: [A; N], merge: impl Fn(A, A) -> A) -> [A; M] {
    let mut half = [a[0]; M];
    for i in 0..M {
        half[i] = merge(a[i], a[i + M]);
    }
    half
}

/// Merges lanes: the upper half into the lower one, until one is left.
#[inline(always)]
pub(crate) fn merged<A: Copy>(lanes: [A; LANES], merge: impl Fn(A, A) -> A) -> A {
    let sixteen: [A; 16] = halve(lanes, &merge);
    let eight: [A; 8] = halve(sixteen, &merge);
    let four: [A; 4] = halve(eight, &merge);
    let [a, b]: [A; 2] = halve(four, &merge);
    merge(a, b)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Sum;
    impl Fold for Sum {
        type In = i64;
        type Acc = i64;
        const NOTHING: i64 = 0;
        const START: i64 = 0;
        fn step(acc: i64, x: i64) -> i64 {
            acc + x
        }
        fn merge(a: i64, b: i64) -> i64 {
            a + b
        }
    }

    #[test]
    fn every_element_once() {
        for n in [0, 1, 7, 8, 9, 15, 31, 32, 33, 63, 100, 256] {
            let x: Vec<i64> = (0..n).map(|i| i * i - 7).collect();
            let total = x.iter().sum::<i64>();
            assert_eq!(merged(lanes(&x, 0, |a, v| a + v), |a, b| a + b), total);
            assert_eq!(merged(sums(&x), |a, b| a + b), total);
            assert_eq!(folded::<Sum>(&x), total);
            let most = x.iter().copied().fold(i64::MIN, i64::max);
            assert_eq!(merged(lanes_again::<false, _, _>(&x, i64::MIN, i64::max), i64::max), most);
            let y: Vec<i64> = (0..n).rev().collect();
            let dot: i64 = x.iter().zip(&y).map(|(x, y)| x * y).sum();
            assert_eq!(merged(lanes_of_pairs(&x, &y, 0, |a, x, y| a + x * y), |a, b| a + b), dot);
        }
    }
}
