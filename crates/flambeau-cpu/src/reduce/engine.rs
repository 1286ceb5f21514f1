//! The reduction engine. One of the modules with unsafe code.
//!
//! Elements reach a reducer as contiguous tiles of its input type. Where an output's elements lie close together
//! each tile is folded in lanes; where neighbouring outputs do, a row updates the accumulators of many outputs.
//! Partial results are merged pairwise, so that the rounding error of a sum grows with the logarithm of the count
//! (Higham, "The accuracy of floating point summation", 1993). The order depends on sizes and strides alone.

use super::cut::pieces;
use super::plan::{Kept, Plan, advance};
use crate::lanes::{LANES, merged};
use crate::pointwise::{Compute, Operand, load, store};
use crate::wide::{Body, wide};
use flambeau_core::Element;
use flambeau_core::parallel::sweep;
use parking_lot::Mutex;
use smallvec::SmallVec;
use std::mem::MaybeUninit;
use std::ops::Range;

/// Elements folded at once.
const TILE: usize = 1024;
/// Tiles of long runs that a thread adds up, as a power of two, and their elements.
const SQUARE_LEVEL: u32 = 5;
const SQUARE: usize = TILE << SQUARE_LEVEL;
/// Runs that are worth several threads, or a sweep.
const LONG: usize = 2 * SQUARE;
/// Outputs whose accumulators are updated together.
const WIDTH: usize = 1024;
/// Elements of narrow rows that are taken together.
const GROUP: usize = 256;
/// Elements that a lane adds up before the sum is merged with others: rounding errors of a sequence grow with its
/// length, and for equal elements they all have one sign.
const STEPS: usize = 8;
/// Rows added up before they are merged pairwise.
const ROWS: usize = 16;

/// How elements are combined. `merge` must be associative up to rounding.
pub trait Reducer: Copy + Sync {
    type In: Compute;
    type Acc: Copy + Send;
    type Out: Compute;
    /// The accumulator of no elements.
    fn start(&self) -> Self::Acc;
    fn step(&self, acc: Self::Acc, x: Self::In) -> Self::Acc;
    fn merge(&self, a: Self::Acc, b: Self::Acc) -> Self::Acc;
    /// Value of the output of the given number.
    fn finish(&self, acc: Self::Acc, output: usize) -> Self::Out;
    /// The accumulator of a contiguous tile.
    #[inline(always)]
    fn fold(&self, tile: &[Self::In]) -> Self::Acc {
        lanes(self, tile)
    }
}

/// Folds a tile in lanes that a compiler keeps in vector registers.
#[inline(always)]
pub(super) fn lanes<R: Reducer>(r: &R, tile: &[R::In]) -> R::Acc {
    let r = *r;
    if tile.len() < LANES {
        return tile.iter().fold(r.start(), |acc, &x| r.step(acc, x));
    }
    let mut acc = [r.start(); LANES];
    for (i, block) in tile.chunks(LANES * STEPS).enumerate() {
        // Called in one place only: a function of its own would be compiled for the baseline.
        let part = crate::lanes::lanes_from_memory(block, r.start(), |acc, x| r.step(acc, x));
        if i == 0 {
            acc = part;
            continue;
        }
        for l in 0..LANES {
            acc[l] = r.merge(acc[l], part[l]);
        }
    }
    merged(acc, |a, b| r.merge(a, b))
}

/// The accumulator of a tile.
#[inline]
fn folded<R: Reducer>(r: &R, tile: &[R::In]) -> R::Acc {
    if tile.len() < LANES {
        return tile.iter().fold(r.start(), |acc, &x| r.step(acc, x));
    }
    wide(Fold(r, tile))
}

struct Fold<'a, R: Reducer>(&'a R, &'a [R::In]);
impl<R: Reducer> Body for Fold<'_, R> {
    type Output = R::Acc;
    #[inline(always)]
    fn run(self) -> R::Acc {
        self.0.fold(self.1)
    }
}

/// The accumulators of rows of `run` elements that begin `apart` elements apart; all are there.
struct FoldRows<'a, R: Reducer> {
    r: &'a R,
    from: *const R::In,
    run: usize,
    apart: isize,
    accs: &'a mut [R::Acc],
}
impl<R: Reducer> Body for FoldRows<'_, R> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        for (i, acc) in self.accs.iter_mut().enumerate() {
            let row = self.from.wrapping_offset(i as isize * self.apart);
            // SAFETY: a row's elements.
            *acc = self.r.fold(unsafe { std::slice::from_raw_parts(row, self.run) });
        }
    }
}

/// Merges a sequence of accumulators pairwise: the levels hold 2^k of them each, as the binary digits of the count.
struct Cascade<A> {
    levels: SmallVec<[A; 12]>,
    count: u64,
}

impl<A: Copy> Cascade<A> {
    fn new() -> Self {
        Cascade { levels: SmallVec::new(), count: 0 }
    }
    #[inline]
    fn push<R: Reducer<Acc = A>>(&mut self, r: &R, value: A) {
        self.push_level(r, value, 0);
    }
    /// Takes what `2^level` values were merged to, where as many or a multiple of them came before.
    #[inline]
    fn push_level<R: Reducer<Acc = A>>(&mut self, r: &R, mut value: A, level: u32) {
        let mut bits = self.count >> level;
        while bits & 1 == 1 {
            if let Some(top) = self.levels.pop() {
                value = r.merge(top, value);
            }
            bits >>= 1;
        }
        self.levels.push(value);
        self.count += 1 << level;
    }
    #[inline]
    fn finish<R: Reducer<Acc = A>>(self, r: &R) -> A {
        let mut values = self.levels.into_iter().rev();
        let Some(mut total) = values.next() else { return r.start() };
        for value in values {
            total = r.merge(value, total);
        }
        total
    }
}

/// Applies a reducer over the dimensions of `mask`. Each output has as many dimensions as `sizes`, its strides along
/// reduced ones being ignored.
///
/// # Safety
/// `src` must be valid at every index of `sizes`, each output writable at every index with reduced dimensions 0;
/// outputs must not overlap the input.
pub unsafe fn reduce<R: Reducer>(r: &R, src: &Operand, outs: &[&Operand], sizes: &[i64], mask: &[bool]) {
    let operands: SmallVec<[&Operand; 3]> = [src].into_iter().chain(outs.iter().copied()).collect();
    let done = pieces(&operands, sizes, |d| mask[d], false, &|operands, sizes| {
        // SAFETY: a part of what the caller vouches for.
        unsafe { reduce_piece(r, operands[0], &operands[1..], sizes, mask) };
        Ok(())
    });
    debug_assert!(done.is_ok());
}

/// # Safety
/// As for [`reduce`].
unsafe fn reduce_piece<R: Reducer>(r: &R, src: &Operand, outs: &[&Operand], sizes: &[i64], mask: &[bool]) {
    let Some(plan) = Plan::new(sizes, mask, src, outs) else { return };
    let group = if plan.count == 0 { None } else { plan.columns(GROUP) };
    let inner = plan.kept.last().cloned().unwrap_or(Kept {
        size: 1,
        stride: 0,
        out: outs.iter().map(|_| 0).collect(),
    });
    let outer = &plan.kept[..plan.kept.len().saturating_sub(1)];
    let mut index: SmallVec<[usize; 4]> = SmallVec::from_elem(0, outer.len());
    let item = src.dtype.size() as isize;
    loop {
        let at = |stride: &dyn Fn(&Kept) -> isize| -> isize {
            outer.iter().zip(&index).map(|(k, &i)| stride(k) * i as isize).sum()
        };
        let from = src.pointer.wrapping_offset(at(&|k| k.stride) * item);
        let to: SmallVec<[*mut u8; 2]> = outs
            .iter()
            .enumerate()
            .map(|(i, o)| o.pointer.wrapping_offset(at(&|k| k.out[i]) * o.dtype.size() as isize))
            .collect();
        // SAFETY: both walk one row of kept elements, valid by the caller's promise.
        unsafe {
            match group {
                Some(group) => columns(r, &plan, &inner, group, src, from, outs, &to),
                None => rows(r, &plan, &inner, src, from, outs, &to),
            }
        }
        if !advance(&mut index, outer.iter().map(|k| k.size)) {
            return;
        }
    }
}

/// Writes finished accumulators to consecutive places of each output's row.
///
/// # Safety
/// Places `first..first + accs.len()` of the row must be writable.
unsafe fn deliver<R: Reducer>(
    r: &R,
    accs: &[R::Acc],
    first: usize,
    inner: &Kept,
    outs: &[&Operand],
    to: &[*mut u8],
) {
    for (i, out) in outs.iter().enumerate() {
        let stride = inner.out[i];
        let mut place = to[i].wrapping_offset(first as isize * stride * out.dtype.size() as isize);
        for part in accs.chunks(WIDTH) {
            let mut values = [const { MaybeUninit::<R::Out>::uninit() }; WIDTH];
            for (value, &acc) in values.iter_mut().zip(part) {
                value.write(r.finish(acc, i));
            }
            // SAFETY: as many values as were written above; places as promised by the caller.
            unsafe { store(values.as_ptr().cast::<R::Out>(), place, out.dtype, stride, part.len()) };
            place = place.wrapping_offset(part.len() as isize * stride * out.dtype.size() as isize);
        }
    }
}

/// Reduces each output's elements by themselves.
///
/// # Safety
/// As for [`reduce`], from one row of kept elements.
unsafe fn rows<R: Reducer>(
    r: &R,
    plan: &Plan,
    inner: &Kept,
    src: &Operand,
    from: *mut u8,
    outs: &[&Operand],
    to: &[*mut u8],
) {
    const BATCH: usize = 32;
    let item = src.dtype.size() as isize;
    // Rows that are tiles in memory are folded together: a call for each would take as long as a short one's fold.
    let near = match plan.reduced[..] {
        [(run, 1)] if plan.count > 0 && run <= TILE && src.dtype == R::In::DTYPE => {
            from.cast::<R::In>().is_aligned().then_some(run)
        }
        _ => None,
    };
    let mut done = 0;
    while done < inner.size {
        let n = (inner.size - done).min(BATCH);
        let mut accs = [r.start(); BATCH];
        if let Some(run) = near {
            let from = from.wrapping_offset(done as isize * inner.stride * item).cast::<R::In>();
            // The rows' elements, one after the other, valid by the caller's promise.
            wide(FoldRows { r, from: from.cast_const(), run, apart: inner.stride, accs: &mut accs[..n] });
        } else if plan.count > 0 {
            for (i, acc) in accs.iter_mut().enumerate().take(n) {
                let at = from.wrapping_offset((done + i) as isize * inner.stride * item);
                // SAFETY: passed on from the caller.
                *acc = unsafe { one(r, plan, src, at) };
            }
        }
        // SAFETY: passed on from the caller.
        unsafe { deliver(r, &accs[..n], done, inner, outs, to) };
        done += n;
    }
}

/// The accumulator of all elements that one output shares; there is at least one.
///
/// # Safety
/// As for [`reduce`].
#[inline]
unsafe fn one<R: Reducer>(r: &R, plan: &Plan, src: &Operand, from: *mut u8) -> R::Acc {
    let item = src.dtype.size() as isize;
    let direct = src.dtype == R::In::DTYPE;
    let (run, stride) = plan.reduced.last().copied().unwrap_or((1, 1));
    let outer = &plan.reduced[..plan.reduced.len().saturating_sub(1)];
    let mut tile = [const { MaybeUninit::<R::In>::uninit() }; TILE];
    if outer.is_empty() && run <= TILE {
        // SAFETY: `run` elements, which fit the tile.
        return folded(r, unsafe { fetch(src, from, stride, run, direct, tile.as_mut_ptr().cast()) });
    }
    // Shorter runs are gathered in the tile.
    let whole = if direct && stride == 1 { 2 * LANES } else { TILE / 2 };
    let mut cascade = Cascade::new();
    let mut first = 0;
    if outer.is_empty() && run >= LONG {
        let sums = Squares {
            r,
            src,
            from,
            stride,
            accs: (0..run / SQUARE).map(|_| Mutex::new(r.start())).collect(),
        };
        let body: &(dyn Fn(Range<usize>) + Sync) = &|range| sums.work(range);
        sweep(sums.accs.len(), 1, body);
        first = sums.accs.len() * SQUARE;
        sums.accs.iter().for_each(|acc| cascade.push_level(r, *acc.lock(), SQUARE_LEVEL));
    }
    let mut index: SmallVec<[usize; 4]> = SmallVec::from_elem(0, outer.len());
    let mut filled = 0;
    loop {
        let at: isize = outer.iter().zip(&index).map(|(d, &i)| d.1 * i as isize).sum();
        let row = from.wrapping_offset(at * item);
        let mut done = first;
        while done < run {
            let place = row.wrapping_offset(done as isize * stride * item);
            if run >= whole {
                let n = (run - done).min(TILE);
                // SAFETY: n elements of the row, which fit the tile.
                let slice = unsafe { fetch(src, place, stride, n, direct, tile.as_mut_ptr().cast()) };
                cascade.push(r, folded(r, slice));
                done += n;
            } else {
                // So that tiles are full.
                let n = (run - done).min(TILE - filled);
                // SAFETY: the tile has room for n more elements.
                unsafe {
                    load(place, src.dtype, stride, tile.as_mut_ptr().cast::<R::In>().add(filled), n);
                }
                filled += n;
                done += n;
                if filled == TILE {
                    // SAFETY: the tile is full.
                    let full = unsafe { std::slice::from_raw_parts(tile.as_ptr().cast(), TILE) };
                    cascade.push(r, folded(r, full));
                    filled = 0;
                }
            }
        }
        if !advance(&mut index, outer.iter().map(|d| d.0)) {
            break;
        }
    }
    if filled > 0 {
        // SAFETY: `filled` elements were loaded.
        let rest = unsafe { std::slice::from_raw_parts(tile.as_ptr().cast(), filled) };
        cascade.push(r, folded(r, rest));
    }
    cascade.finish(r)
}

/// Parts of a long run whose accumulators the merge would hold at the level [`SQUARE_LEVEL`].
struct Squares<'a, R: Reducer> {
    r: &'a R,
    src: &'a Operand,
    from: *mut u8,
    stride: isize,
    accs: Vec<Mutex<R::Acc>>,
}
// SAFETY: the elements are read only.
unsafe impl<R: Reducer> Sync for Squares<'_, R> {}

impl<R: Reducer> Squares<'_, R> {
    fn work(&self, range: Range<usize>) {
        let (src, mut tile) = (self.src, [const { MaybeUninit::<R::In>::uninit() }; TILE]);
        let direct = src.dtype == R::In::DTYPE;
        for i in range {
            let mut cascade = Cascade::new();
            for t in 0..1 << SQUARE_LEVEL {
                let at = (i * SQUARE + t * TILE) as isize * self.stride * src.dtype.size() as isize;
                let place = self.from.wrapping_offset(at);
                // SAFETY: elements of the run, which fit the tile.
                let slice = unsafe { fetch(src, place, self.stride, TILE, direct, tile.as_mut_ptr().cast()) };
                cascade.push(self.r, folded(self.r, slice));
            }
            *self.accs[i].lock() = cascade.finish(self.r);
        }
    }
}

/// A run of elements as a slice: of the array itself if it fits, else of the tile that they are loaded to.
///
/// # Safety
/// `n` elements must be readable at the stride; the tile has room for them.
#[inline(always)]
unsafe fn fetch<'a, T: Compute>(
    src: &Operand,
    from: *mut u8,
    stride: isize,
    n: usize,
    direct: bool,
    tile: *mut T,
) -> &'a [T] {
    // SAFETY: as promised by the caller. Foreign memory may be unaligned, which `load` allows.
    unsafe {
        if direct && stride == 1 && from.cast::<T>().is_aligned() {
            std::slice::from_raw_parts(from.cast::<T>(), n)
        } else {
            load(from, src.dtype, stride, tile, n);
            std::slice::from_raw_parts(tile, n)
        }
    }
}

/// Reduces many neighbouring outputs at once; `group` rows of them are taken together.
///
/// # Safety
/// As for [`reduce`], from one row of kept elements.
unsafe fn columns<R: Reducer>(
    r: &R,
    plan: &Plan,
    inner: &Kept,
    group: usize,
    src: &Operand,
    from: *mut u8,
    outs: &[&Operand],
    to: &[*mut u8],
) {
    let item = src.dtype.size() as isize;
    let direct = src.dtype == R::In::DTYPE;
    let (last, last_stride) = plan.reduced.last().copied().unwrap_or((1, 0));
    let outer = &plan.reduced[..plan.reduced.len().saturating_sub(1)];
    let mut tile = [const { MaybeUninit::<R::In>::uninit() }; WIDTH];
    let mut first = 0;
    while first < inner.size {
        let width = if group > 1 { inner.size } else { (inner.size - first).min(WIDTH) };
        let total = width * group;
        let start = from.wrapping_offset(first as isize * inner.stride * item);
        let mut accs: SmallVec<[R::Acc; 16]> = SmallVec::from_elem(r.start(), total);
        // Levels of the pairwise merge, `total` accumulators each.
        let mut levels: Vec<R::Acc> = Vec::new();
        let (mut blocks, mut filled) = (0u64, 0);
        let mut index: SmallVec<[usize; 4]> = SmallVec::from_elem(0, outer.len());
        loop {
            let at: isize = outer.iter().zip(&index).map(|(d, &i)| d.1 * i as isize).sum();
            let mut row = start.wrapping_offset(at * item);
            let mut i = 0;
            while i < last {
                let taken = group.min(last - i);
                // SAFETY: the row's elements are valid by the caller's promise; the tile holds WIDTH of them.
                let slice =
                    unsafe { fetch(src, row, inner.stride, width * taken, direct, tile.as_mut_ptr().cast()) };
                wide(StepAll(r, &mut accs, slice));
                filled += 1;
                if filled == ROWS && plan.count > ROWS * group {
                    push_block(r, &mut levels, &mut blocks, &mut accs);
                    filled = 0;
                }
                row = row.wrapping_offset(taken as isize * last_stride * item);
                i += taken;
            }
            if !advance(&mut index, outer.iter().map(|d| d.0)) {
                break;
            }
        }
        for level in levels.chunks_exact(total).rev() {
            for (acc, &other) in accs.iter_mut().zip(level) {
                *acc = r.merge(other, *acc);
            }
        }
        let mut rows = group;
        while rows > 1 {
            let rest = rows.div_ceil(2);
            for i in 0..(rows - rest) * width {
                accs[i] = r.merge(accs[i], accs[rest * width + i]);
            }
            rows = rest;
        }
        // SAFETY: passed on from the caller.
        unsafe { deliver(r, &accs[..width], first, inner, outs, to) };
        first += width;
    }
}

/// A step of each accumulator with the element of its place.
struct StepAll<'a, R: Reducer>(&'a R, &'a mut [R::Acc], &'a [R::In]);
impl<R: Reducer> Body for StepAll<'_, R> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let r = *self.0;
        self.1.iter_mut().zip(self.2).for_each(|(acc, &x)| *acc = r.step(*acc, x));
    }
}

/// Each accumulator merged with one that came before.
struct MergeAll<'a, R: Reducer>(&'a R, &'a mut [R::Acc], &'a [R::Acc]);
impl<R: Reducer> Body for MergeAll<'_, R> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let r = *self.0;
        self.1.iter_mut().zip(self.2).for_each(|(acc, &other)| *acc = r.merge(other, *acc));
    }
}

/// Moves a block of accumulators to the levels and starts them anew.
fn push_block<R: Reducer>(r: &R, levels: &mut Vec<R::Acc>, blocks: &mut u64, accs: &mut [R::Acc]) {
    let mut bits = *blocks;
    while bits & 1 == 1 {
        let top = levels.len() - accs.len();
        wide(MergeAll(r, accs, &levels[top..]));
        levels.truncate(top);
        bits >>= 1;
    }
    levels.extend_from_slice(accs);
    accs.fill(r.start());
    *blocks += 1;
}
