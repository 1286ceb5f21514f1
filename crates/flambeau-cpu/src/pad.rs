//! Padding by maps: for each index along a dimension of the output the one of the input that it reads. Rows are copied in
//! stretches, and their gradients added in stretches.

use crate::wide::{Body, wide};
use flambeau_core::parallel::each;
use flambeau_core::{Result, ensure};
use smallvec::SmallVec;
use std::ops::{Add, Range};

/// Bytes that are worth a thread.
const GRAIN: usize = 1 << 18;
/// From so many bytes on the system's copy is worth its call.
const LONG: usize = 1024;

/// Stretches of fewer places that don't go on by one are taken apart.
const SHORT: usize = 4;

/// Places `to..to + n` of a row that read `from`, `from + step` and so on.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    to: usize,
    from: usize,
    n: usize,
    step: isize,
}

/// A dimension before the one whose maps make the rows.
#[derive(Clone, Copy, Debug)]
struct Outer<'a> {
    /// Of the output.
    size: usize,
    map: Option<&'a [i64]>,
    /// Of the input.
    stride: usize,
}

impl Outer<'_> {
    #[inline(always)]
    fn offset(&self, i: usize) -> usize {
        self.stride * self.map.map_or(i, |map| map[i] as usize)
    }
}

/// How the elements of a dense array are read to give those of a dense, padded one.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    outer: SmallVec<[Outer<'a>; 4]>,
    /// The outer dimension next to the rows.
    last: Outer<'a>,
    stretches: SmallVec<[Stretch; 4]>,
    /// Elements behind an index of the rows' dimension.
    block: usize,
    /// Elements of the input's and the output's rows.
    row: [usize; 2],
    rows: usize,
    /// Elements of the input and the output.
    len: [usize; 2],
}

fn product(sizes: impl Iterator<Item = usize>) -> Option<usize> {
    sizes.into_iter().try_fold(1, |n: usize, size| n.checked_mul(size))
}

/// The stretches that make up a map, none of which turns around.
fn stretches(map: &[i64]) -> SmallVec<[Stretch; 4]> {
    let mut all: SmallVec<[Stretch; 4]> = SmallVec::new();
    let mut to = 0;
    while to < map.len() {
        let step = map.get(to + 1).map_or(0, |next| next - map[to]);
        let goes_on = |pair: &&[i64]| pair[1] - pair[0] == step;
        let n = match (-1..=1).contains(&step) {
            true => 1 + map[to..].windows(2).take_while(goes_on).count(),
            false => 1,
        };
        // A few by themselves are faster than a loop.
        let n = if n < SHORT && step != 1 { 1 } else { n };
        all.push(Stretch { to, from: map[to] as usize, n, step: if n == 1 { 0 } else { step as isize } });
        to += n;
    }
    all
}

impl<'a> Plan<'a> {
    /// For an input of `sizes`; dimensions without a map stay as they are. Fails where a map leads out of its dimension or
    /// sizes overflow.
    pub fn new(sizes: &[usize], maps: &[Option<&'a [i64]>]) -> Result<Self> {
        ensure!(sizes.len() == maps.len(), "pad: a map for each dimension is needed");
        for (&size, map) in sizes.iter().zip(maps) {
            let inside = |&i: &i64| usize::try_from(i).is_ok_and(|i| i < size);
            ensure!(map.is_none_or(|map| map.iter().all(inside)), "pad: a map leads out of its dimension");
        }
        let padded = |d: usize| maps[d].map_or(sizes[d], <[i64]>::len);
        let from = product(sizes.iter().copied().filter(|&n| n > 0));
        let to = product((0..sizes.len()).map(padded).filter(|&n| n > 0));
        let (Some(from), Some(to)) = (from, to) else {
            flambeau_core::bail!("pad: sizes overflow");
        };
        let (from, to) = (
            if sizes.contains(&0) { 0 } else { from },
            if (0..sizes.len()).any(|d| padded(d) == 0) { 0 } else { to },
        );
        let rows_at = maps.iter().rposition(Option::is_some);
        let whole = [0];
        // Without a map all elements are one block.
        let (map, rest) = match rows_at {
            Some(d) => (maps[d].unwrap_or_default(), d + 1),
            None => (&whole[..], 0),
        };
        let block: usize = sizes[rest..].iter().product();
        let row = [rows_at.map_or(1, |d| sizes[d]) * block, map.len() * block];
        let mut outer: SmallVec<[Outer<'a>; 4]> = SmallVec::new();
        let mut stride = row[0];
        for d in (0..rows_at.unwrap_or(0)).rev() {
            match outer.last_mut() {
                Some(inner) if inner.map.is_none() && maps[d].is_none() => inner.size *= sizes[d],
                _ => outer.push(Outer { size: padded(d), map: maps[d], stride }),
            }
            stride *= sizes[d];
        }
        outer.reverse();
        let last = outer.pop().unwrap_or(Outer { size: 1, map: None, stride: 0 });
        let rows = to.checked_div(row[1]).unwrap_or(0);
        Ok(Plan { outer, last, stretches: stretches(map), block, row, rows, len: [from, to] })
    }

    /// Where in the input each row starts.
    fn starts(&self, rows: Range<usize>) -> Vec<usize> {
        let mut starts = Vec::with_capacity(rows.len());
        let mut row = rows.start;
        while row < rows.end {
            let (mut group, first) = (row / self.last.size, row % self.last.size);
            let mut start = 0;
            for outer in self.outer.iter().rev() {
                start += outer.offset(group % outer.size);
                group /= outer.size;
            }
            let count = (self.last.size - first).min(rows.end - row);
            starts.extend((first..first + count).map(|i| start + self.last.offset(i)));
            row += count;
        }
        starts
    }

    /// Writes all of `out`; elements have `item` bytes. Fails where the buffers don't fit, or there are no such elements.
    pub fn take(&self, item: usize, input: &[u8], out: &mut [u8]) -> Result<()> {
        match item {
            1 => self.take_items::<1>(input, out),
            2 => self.take_items::<2>(input, out),
            4 => self.take_items::<4>(input, out),
            8 => self.take_items::<8>(input, out),
            16 => self.take_items::<16>(input, out),
            _ => flambeau_core::bail!("pad: elements of {item} bytes"),
        }
    }

    fn take_items<const N: usize>(&self, input: &[u8], out: &mut [u8]) -> Result<()> {
        let ((input, []), (out, [])) = (input.as_chunks::<N>(), out.as_chunks_mut::<N>()) else {
            flambeau_core::bail!("pad: buffers don't match the sizes");
        };
        ensure!([input.len(), out.len()] == self.len, "pad: buffers don't match the sizes");
        if out.is_empty() {
            return Ok(());
        }
        let rows = GRAIN.div_ceil(self.row[1] * N);
        each(out.chunks_mut(rows * self.row[1]).enumerate(), 1, |(i, out)| {
            wide(Take { plan: self, first: i * rows, input, out });
            Ok(())
        })
    }

    /// Adds `grad`, of the output's sizes, to `sum`, of the input's, in row-major order of `grad`. Fails where the buffers
    /// don't fit.
    pub fn add<T: Copy + Send + Sync + Add<Output = T>>(&self, grad: &[T], sum: &mut [T]) -> Result<()> {
        ensure!([sum.len(), grad.len()] == self.len, "pad: buffers don't match the sizes");
        if grad.is_empty() {
            return Ok(());
        }
        // Planes that no map joins are independent of each other.
        let first = self.outer.first().unwrap_or(&self.last);
        let planes = if first.map.is_none() { first.size } else { 1 };
        let (from, to) = (grad.len() / planes, sum.len() / planes);
        let together = GRAIN.div_ceil(from * size_of::<T>());
        let parts = sum.chunks_mut(together * to).zip(grad.chunks(together * from));
        each(parts.enumerate(), 1, |(i, (sum, grad))| {
            let first = i * together * (self.rows / planes);
            wide(Sum { plan: self, first, start: i * together * to, grad, sum });
            Ok(())
        })
    }
}

/// Rows of the output from `first` on.
struct Take<'a, 'm, const N: usize> {
    plan: &'a Plan<'m>,
    first: usize,
    input: &'a [[u8; N]],
    out: &'a mut [[u8; N]],
}

/// Pieces of `STEP` elements, the last two of which may overlap.
#[inline(always)]
fn copy_steps<const N: usize, const STEP: usize>(from: &[[u8; N]], to: &mut [[u8; N]]) {
    let n = to.len();
    let mut i = 0;
    while i + STEP <= n {
        to[i..i + STEP].copy_from_slice(&from[i..i + STEP]);
        i += STEP;
    }
    if i < n && n >= STEP {
        to[n - STEP..].copy_from_slice(&from[n - STEP..]);
    }
}

/// Copies elements in a row; calls of the system's copy would take longer than most of them.
#[inline(always)]
fn copy<const N: usize>(from: &[[u8; N]], to: &mut [[u8; N]]) {
    let bytes = to.len() * N;
    let from = &from[..to.len()];
    if bytes >= LONG {
        to.copy_from_slice(from);
    } else if to.len() >= 16 {
        copy_steps::<N, 16>(from, to);
    } else if to.len() >= 4 {
        copy_steps::<N, 4>(from, to);
    } else {
        copy_steps::<N, 1>(from, to);
    }
}

impl<const N: usize> Body for Take<'_, '_, N> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let Take { plan, first, input, out } = self;
        let block = plan.block;
        let starts = plan.starts(first..first + out.len() / plan.row[1]);
        for (to, start) in out.chunks_exact_mut(plan.row[1]).zip(starts) {
            let from = &input[start..][..plan.row[0]];
            for s in &plan.stretches {
                if s.n == 1 && block == 1 {
                    to[s.to] = from[s.from];
                    continue;
                }
                let to = &mut to[s.to * block..][..s.n * block];
                match (s.step, block) {
                    (1, _) => copy(&from[s.from * block..][..s.n * block], to),
                    (0, 1) => to.fill(from[s.from]),
                    (_, 1) => {
                        let from = from[s.from + 1 - s.n..][..s.n].iter().rev();
                        for (to, &from) in to.iter_mut().zip(from) {
                            *to = from;
                        }
                    }
                    _ => {
                        for (i, to) in to.chunks_exact_mut(block).enumerate() {
                            let at = s.from.wrapping_add_signed(s.step * i as isize);
                            copy(&from[at * block..][..block], to);
                        }
                    }
                }
            }
        }
    }
}

/// Rows of the gradient from `first` on; `sum` begins at `start` of the whole.
struct Sum<'a, 'm, T> {
    plan: &'a Plan<'m>,
    first: usize,
    start: usize,
    grad: &'a [T],
    sum: &'a mut [T],
}

#[inline(always)]
fn add_row<T: Copy + Add<Output = T>>(from: &[T], to: &mut [T]) {
    to.iter_mut().zip(from).for_each(|(to, &from)| *to = *to + from);
}

impl<T: Copy + Add<Output = T>> Body for Sum<'_, '_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let Sum { plan, first, start: origin, grad, sum } = self;
        let block = plan.block;
        let starts = plan.starts(first..first + grad.len() / plan.row[1]);
        for (from, start) in grad.chunks_exact(plan.row[1]).zip(starts) {
            let to = &mut sum[start - origin..][..plan.row[0]];
            for s in &plan.stretches {
                if s.n == 1 && block == 1 {
                    to[s.from] = to[s.from] + from[s.to];
                    continue;
                }
                let from = &from[s.to * block..][..s.n * block];
                match (s.step, block) {
                    (1, _) => add_row(from, &mut to[s.from * block..][..s.n * block]),
                    (0, 1) => to[s.from] = from.iter().fold(to[s.from], |sum, &g| sum + g),
                    (_, 1) => {
                        let to = to[s.from + 1 - s.n..][..s.n].iter_mut().rev();
                        to.zip(from).for_each(|(to, &from)| *to = *to + from);
                    }
                    _ => {
                        for (i, from) in from.chunks_exact(block).enumerate() {
                            let at = s.from.wrapping_add_signed(s.step * i as isize);
                            add_row(from, &mut to[at * block..][..block]);
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The element of the input that each one of the output reads.
    fn places(sizes: &[usize], maps: &[Option<&[i64]>]) -> Vec<usize> {
        sizes.iter().zip(maps).fold(vec![0], |places, (&size, map)| {
            let own: Vec<usize> =
                map.map_or((0..size).collect(), |map| map.iter().map(|&i| i as usize).collect());
            places.iter().flat_map(|&p| own.iter().map(move |&i| p * size + i)).collect()
        })
    }

    #[test]
    fn as_element_by_element() {
        let long: Vec<i64> =
            (0..40).map(|i: i64| (i - 3).abs().min(37)).chain([36, 35, 34, 34, 0, 7]).collect();
        let wrapped: Vec<i64> = (0..400).map(|i| (i + 390) % 395).collect();
        let cases: &[(&[usize], &[Option<&[i64]>])] = &[
            (&[3, 4], &[None, None]),
            (&[3, 4, 5], &[None, Some(&[1, 0, 1, 2, 3, 2]), Some(&[2, 1, 0, 1, 2, 3, 4, 3])]),
            (&[300, 7, 38], &[None, Some(&[0, 0, 0, 6]), Some(&long)]),
            (&[2, 3, 4, 5], &[Some(&[1, 1, 0]), None, Some(&[3, 0, 1]), None]),
            (&[2, 5, 6, 3], &[None, Some(&[4, 3, 2]), Some(&[0, 0, 1, 2, 3, 3, 2, 1]), None]),
            (&[2, 2, 395], &[None, None, Some(&wrapped)]),
            (&[2, 3], &[None, Some(&[])]),
            (&[0, 3], &[None, Some(&[2, 2])]),
        ];
        for (sizes, maps) in cases {
            let plan = Plan::new(sizes, maps).unwrap();
            let places = places(sizes, maps);
            let count: usize = sizes.iter().product();
            macro_rules! check {
                ($t:ty) => {{
                    let input: Vec<$t> = (0..count).map(|i| (i % 251) as $t).collect();
                    let bytes: Vec<u8> = input.iter().flat_map(|x| x.to_ne_bytes()).collect();
                    let wanted: Vec<u8> = places.iter().flat_map(|&p| input[p].to_ne_bytes()).collect();
                    let mut out = vec![9; wanted.len()];
                    plan.take(size_of::<$t>(), &bytes, &mut out).unwrap();
                    assert!(out == wanted, "{sizes:?}");
                }};
            }
            check!(u8);
            check!(u16);
            check!(f32);
            check!(f64);
            check!(u128);
            let grad: Vec<f32> = (0..places.len()).map(|i| (i as f32).sin()).collect();
            let (mut sum, mut wanted) = (vec![0f32; count], vec![0f32; count]);
            places.iter().zip(&grad).for_each(|(&p, g)| wanted[p] += g);
            plan.add(&grad, &mut sum).unwrap();
            assert_eq!(sum, wanted, "{sizes:?}");
        }
    }

    #[test]
    fn refuses_what_does_not_fit() {
        assert!(Plan::new(&[3], &[Some(&[0, 3])]).is_err());
        assert!(Plan::new(&[3], &[Some(&[-1])]).is_err());
        assert!(Plan::new(&[3, 2], &[None]).is_err());
        assert!(Plan::new(&[usize::MAX, 2], &[None, None]).is_err());
        let plan = Plan::new(&[3], &[Some(&[2, 1])]).unwrap();
        assert!(plan.take(4, &[0; 12], &mut [0; 7]).is_err());
        assert!(plan.take(4, &[0; 8], &mut [0; 8]).is_err());
        assert!(plan.take(3, &[0; 9], &mut [0; 6]).is_err());
        assert!(plan.add(&[1.0f32], &mut [0.0; 3]).is_err());
    }
}
