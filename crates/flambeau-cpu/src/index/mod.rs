//! Elements that index arrays name: gathering, scattering, folding. One of the modules with unsafe code.

mod cut;
mod moves;
#[cfg(test)]
mod tests;

pub use cut::{take, take_within};

use crate::pointwise::Operand;
use crate::wide::{Body, ahead, wide};
use flambeau_core::{C32, C64, DType, bf16, dispatch, f16};
use moves::Mover;
use smallvec::SmallVec;

/// One index array: its values pick the place along one dimension of the indexed operand.
#[derive(Clone, Debug)]
pub struct Index {
    pub values: *const i64,
    /// Of the index array over the walk's sizes, in elements.
    pub strides: SmallVec<[i64; 5]>,
    /// Of the dimension that it indexes.
    pub size: i64,
    pub stride: i64,
}

/// A walk over `sizes`: `plain` is addressed by position alone, `indexed` by position and index arrays
/// (its strides along dimensions that are indexed are 0). Index values lie in `-size..size`.
#[derive(Clone, Debug)]
pub struct Walk {
    pub sizes: SmallVec<[i64; 5]>,
    pub plain: Operand,
    pub indexed: Operand,
    pub indices: SmallVec<[Index; 2]>,
}

/// What happens to an element of the indexed operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fold {
    Add,
    Mul,
    /// NaN wins.
    Max,
    /// NaN wins.
    Min,
}

/// The least and the greatest of the values.
pub fn bounds(values: &[i64]) -> Option<(i64, i64)> {
    let first = *values.first()?;
    Some(wide(|| values.iter().fold((first, first), |(low, high), &v| (low.min(v), high.max(v)))))
}

/// Whether all values lie in `low..high`.
pub fn within(values: &[i64], low: i64, high: i64) -> bool {
    if low >= high {
        return values.is_empty();
    }
    let room = high.wrapping_sub(low) as u64;
    // Without a branch for each value, but not through all of a long list after a bad one. From the end on: what comes next
    // begins where this ends.
    values.rchunks(4096).all(|part| {
        wide(|| part.iter().fold(0, |bad, &v| bad | (v.wrapping_sub(low) as u64 >= room) as u64)) == 0
    })
}

/// Done to pairs of a plain and an indexed element.
trait Visit {
    /// Elements at `plain`, `step` bytes from each to the next, with those that lie `by` bytes from `indexed`, in order.
    ///
    /// # Safety
    /// All of them are valid.
    unsafe fn many(&self, plain: *mut u8, step: isize, indexed: *mut u8, by: &[isize]);
    /// Elements in a row at `plain` with those whose values, in a row too, name their places along a dimension.
    ///
    /// # Safety
    /// All of them are valid.
    unsafe fn along(&self, plain: *mut u8, indexed: *mut u8, n: usize, index: Along);
    /// Elements whose addresses go on in equal steps (in bytes).
    ///
    /// # Safety
    /// The `n` elements of both are valid.
    unsafe fn run(&self, plain: *mut u8, indexed: *mut u8, n: usize, steps: (isize, isize));
    /// Rows of `n` adjacent elements, `apart` bytes from one to the next at `plain`, with those that values in a row name. False
    /// where nothing was done.
    ///
    /// # Safety
    /// All of them are valid.
    unsafe fn rows(
        &self,
        _plain: *mut u8,
        _apart: isize,
        _indexed: *mut u8,
        _n: usize,
        _index: Along,
        _count: usize,
    ) -> bool {
        false
    }
}

/// Values in a row, the size of the dimension that they index and its stride in bytes.
#[derive(Clone, Copy)]
struct Along {
    values: *const i64,
    size: i64,
    stride: isize,
}
impl Along {
    /// # Safety
    /// There is a value at `i`.
    #[inline(always)]
    unsafe fn offset(&self, i: usize) -> isize {
        // SAFETY: as promised.
        from_start(unsafe { self.values.add(i).read() }, self.size) as isize * self.stride
    }
}

/// A position counted from the start.
#[inline(always)]
fn from_start(value: i64, size: i64) -> i64 {
    value + (size & (value >> 63))
}

/// Positions whose places are found together.
const BLOCK: usize = 64;
/// Rows ahead of a visit that memory is asked for, and how many bytes of them.
const AHEAD: i64 = 4;
const AHEAD_BYTES: usize = 512;

/// How far from the indexed operand's start places lie that one more index array adds `stride` bytes a value to; the
/// values are valid, and in a `ROW` follow each other.
struct Places<'a, const ROW: bool> {
    by: &'a mut [isize],
    values: *const i64,
    gap: isize,
    size: i64,
    stride: isize,
}
impl<const ROW: bool> Body for Places<'_, ROW> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let Places { by, values, gap, size, stride } = self;
        let gap = if ROW { 1 } else { gap };
        for (i, by) in by.iter_mut().enumerate() {
            // SAFETY: as promised where it was made.
            let value = unsafe { values.offset(i as isize * gap).read() };
            *by += from_start(value, size) as isize * stride;
        }
    }
}

/// Visits every position in row-major order.
///
/// # Safety
/// As for [`take()`], for what the visitor does.
unsafe fn visit(walk: &Walk, item: usize, visitor: &dyn Visit) {
    if walk.sizes.contains(&0) {
        return;
    }
    let item = item as isize;
    // Neighbouring dimensions that every operand walks as one are merged; innermost first.
    let mut sizes: SmallVec<[i64; 5]> = SmallVec::new();
    let mut strides: SmallVec<[SmallVec<[i64; 4]>; 5]> = SmallVec::new();
    for d in (0..walk.sizes.len()).rev().filter(|&d| walk.sizes[d] != 1) {
        let here: SmallVec<[i64; 4]> = [walk.plain.strides[d], walk.indexed.strides[d]]
            .into_iter()
            .chain(walk.indices.iter().map(|i| i.strides[d]))
            .collect();
        let merges = match (sizes.last(), strides.last()) {
            (Some(&n), Some(inner)) => here.iter().zip(inner).all(|(&o, &i)| o == i.wrapping_mul(n)),
            _ => false,
        };
        match sizes.last_mut() {
            Some(n) if merges => *n *= walk.sizes[d],
            _ => {
                sizes.push(walk.sizes[d]);
                strides.push(here);
            }
        }
    }
    if sizes.is_empty() {
        sizes.push(1);
        strides.push(SmallVec::from_elem(0, 2 + walk.indices.len()));
    }
    let n = sizes[0] as usize;
    let inner = &strides[0];
    let uniform = inner[2..].iter().all(|&s| s == 0);
    let steps = (inner[0] as isize * item, inner[1] as isize * item);
    let mut counter: SmallVec<[i64; 5]> = SmallVec::from_elem(0, sizes.len());
    let mut at: SmallVec<[i64; 6]> = SmallVec::from_elem(0, 2 + walk.indices.len());
    let place = |index: &Index, at: i64| -> isize {
        // SAFETY: the index array is valid at every position of the walk.
        let value = unsafe { index.values.offset(at as isize).read() };
        (from_start(value, index.size) * index.stride) as isize
    };
    // Whole rows, one for each value.
    if let ([index], [_, rows], true) = (&walk.indices[..], &sizes[..], uniform && steps == (item, item))
        && let [apart, 0, 1] = strides[1][..]
    {
        let along = Along { values: index.values, size: index.size, stride: index.stride as isize * item };
        let (plain, indexed, apart) = (walk.plain.pointer, walk.indexed.pointer, apart as isize * item);
        // SAFETY: every position is valid by the caller's promise.
        if unsafe { visitor.rows(plain, apart, indexed, n, along, *rows as usize) } {
            return;
        }
    }
    // Short lines of elements and values that follow each other: blocks of several.
    if let ([index], [_, rows], true) = (&walk.indices[..], &sizes[..], !uniform && n < BLOCK / 2)
        && let [1, 0, 1] = inner[..]
        && let [plain, apart, values] = strides[1][..]
        && (plain, values) == (sizes[0], sizes[0])
    {
        let total = n * *rows as usize;
        let (apart, stride) = (apart as isize * item, index.stride as isize * item);
        let (mut line, mut left) = (0, n);
        for first in (0..total).step_by(BLOCK) {
            let mut by = [0isize; BLOCK];
            let by = &mut by[..BLOCK.min(total - first)];
            for by in by.iter_mut() {
                *by = line;
                left -= 1;
                if left == 0 {
                    (line, left) = (line.wrapping_add(apart), n);
                }
            }
            let values = index.values.wrapping_add(first);
            wide(Places::<true> { by: &mut *by, values, gap: 1, size: index.size, stride });
            let plain = walk.plain.pointer.wrapping_offset(first as isize * item);
            // SAFETY: every position is valid by the caller's promise.
            unsafe { visitor.many(plain, item, walk.indexed.pointer, by) };
        }
        return;
    }
    loop {
        let plain = walk.plain.pointer.wrapping_offset(at[0] as isize * item);
        let mut indexed = walk.indexed.pointer.wrapping_offset(at[1] as isize * item);
        // SAFETY: every position is valid by the caller's promise.
        unsafe {
            if uniform {
                for (index, &at) in walk.indices.iter().zip(&at[2..]) {
                    indexed = indexed.wrapping_offset(place(index, at) * item);
                }
                if let ([index], true) = (&walk.indices[..], sizes.len() > 1 && counter[1] + AHEAD < sizes[1])
                {
                    let soon = walk.indexed.pointer.wrapping_offset(
                        (at[1] + AHEAD * strides[1][1]) as isize * item
                            + place(index, at[2] + AHEAD * strides[1][2]) * item,
                    );
                    let bytes = n.saturating_mul(item as usize).min(AHEAD_BYTES);
                    (0..bytes).step_by(64).for_each(|line| ahead(soon.wrapping_add(line)));
                }
                visitor.run(plain, indexed, n, steps);
            } else if let ([index], true) = (&walk.indices[..], steps == (item, 0) && inner[2] == 1) {
                let values = index.values.offset(at[2] as isize);
                let along = Along { values, size: index.size, stride: index.stride as isize * item };
                visitor.along(plain, indexed, n, along);
            } else {
                let mut all = [0isize; BLOCK];
                for first in (0..n).step_by(BLOCK) {
                    let by = &mut all[..BLOCK.min(n - first)];
                    by.iter_mut().enumerate().for_each(|(i, by)| *by = steps.1 * (first + i) as isize);
                    for (index, (&at, &gap)) in walk.indices.iter().zip(at[2..].iter().zip(&inner[2..])) {
                        let values = index.values.offset((at + gap * first as i64) as isize);
                        let (gap, stride) = (gap as isize, index.stride as isize * item);
                        match gap {
                            1 => wide(Places::<true> { by: &mut *by, values, gap, size: index.size, stride }),
                            _ => {
                                wide(Places::<false> { by: &mut *by, values, gap, size: index.size, stride })
                            }
                        }
                    }
                    visitor.many(plain.wrapping_offset(steps.0 * first as isize), steps.0, indexed, by);
                }
            }
        }
        let mut d = 1;
        loop {
            if d == sizes.len() {
                return;
            }
            counter[d] += 1;
            for (at, &stride) in at.iter_mut().zip(&strides[d]) {
                *at += stride;
            }
            if counter[d] < sizes[d] {
                break;
            }
            for (at, &stride) in at.iter_mut().zip(&strides[d]) {
                *at -= stride * sizes[d];
            }
            counter[d] = 0;
            d += 1;
        }
    }
}

macro_rules! by_size {
    ($walk:expr, $put:literal) => {
        match $walk.plain.dtype.size() {
            1 => visit($walk, 1, &Mover::<u8, $put>(std::marker::PhantomData)),
            2 => visit($walk, 2, &Mover::<u16, $put>(std::marker::PhantomData)),
            4 => visit($walk, 4, &Mover::<u32, $put>(std::marker::PhantomData)),
            8 => visit($walk, 8, &Mover::<u64, $put>(std::marker::PhantomData)),
            _ => visit($walk, 16, &Mover::<[u64; 2], $put>(std::marker::PhantomData)),
        }
    };
}

/// [`take()`] on this thread.
///
/// # Safety
/// As for [`take()`].
unsafe fn take_part(walk: &Walk) {
    // SAFETY: passed on from the caller.
    unsafe { by_size!(walk, false) }
}

/// `indexed[place(i)] = plain[i]`; of several writes to one place the last in row-major order stays.
///
/// # Safety
/// As for [`take()`], with `indexed` writable.
pub unsafe fn put(walk: &Walk) {
    // SAFETY: passed on from the caller.
    unsafe { by_size!(walk, true) }
}

/// An element type that can be folded.
trait Foldable: Copy {
    fn fold(self, other: Self, how: Fold) -> Self;
}
macro_rules! fold_ints {
    ($($t:ty),*) => { $(impl Foldable for $t {
        #[inline(always)]
        fn fold(self, other: Self, how: Fold) -> Self {
            match how {
                Fold::Add => self.wrapping_add(other),
                Fold::Mul => self.wrapping_mul(other),
                Fold::Max => self.max(other),
                Fold::Min => self.min(other),
            }
        }
    })* };
}
fold_ints!(u8, i8, i16, i32, i64, u16, u32, u64);
macro_rules! fold_floats {
    ($($t:ty),*) => { $(impl Foldable for $t {
        #[inline(always)]
        fn fold(self, other: Self, how: Fold) -> Self {
            match how {
                Fold::Add => self + other,
                Fold::Mul => self * other,
                Fold::Max if self.is_nan() || self > other => self,
                Fold::Min if self.is_nan() || self < other => self,
                _ => other,
            }
        }
    })* };
}
fold_floats!(f32, f64);
macro_rules! fold_halves {
    ($($t:ty),*) => { $(impl Foldable for $t {
        #[inline(always)]
        fn fold(self, other: Self, how: Fold) -> Self {
            <$t>::from_f32(f32::from(self).fold(f32::from(other), how))
        }
    })* };
}
fold_halves!(f16, bf16);
macro_rules! fold_complex {
    ($($t:ty),*) => { $(impl Foldable for $t {
        #[inline(always)]
        fn fold(self, other: Self, how: Fold) -> Self {
            match how {
                Fold::Mul => self * other,
                _ => self + other,
            }
        }
    })* };
}
fold_complex!(C32, C64);

struct Folder<T>(Fold, std::marker::PhantomData<T>);
impl<T: Foldable> Folder<T> {
    /// Folds pairs of places, in order.
    ///
    /// # Safety
    /// All of them are valid.
    #[inline(always)]
    unsafe fn each(&self, pairs: impl Iterator<Item = (*mut u8, *mut u8)>) {
        macro_rules! each {
            ($how:expr) => {
                for (plain, indexed) in pairs {
                    let (from, to) = (plain.cast::<T>(), indexed.cast::<T>());
                    // SAFETY: valid by the caller's promise.
                    unsafe { to.write_unaligned(to.read_unaligned().fold(from.read_unaligned(), $how)) }
                }
            };
        }
        // The choice stays out of the loops.
        match self.0 {
            Fold::Add => each!(Fold::Add),
            Fold::Mul => each!(Fold::Mul),
            Fold::Max => each!(Fold::Max),
            Fold::Min => each!(Fold::Min),
        }
    }
}

impl<T: Foldable> Visit for Folder<T> {
    unsafe fn many(&self, plain: *mut u8, step: isize, indexed: *mut u8, by: &[isize]) {
        // Loops of their own: closures are compiled now this way, now that.
        macro_rules! each {
            ($how:expr) => {{
                let mut from = plain;
                for &by in by {
                    let to = indexed.wrapping_offset(by).cast::<T>();
                    // SAFETY: passed on from the caller.
                    unsafe {
                        let value = from.cast::<T>().read_unaligned();
                        to.write_unaligned(to.read_unaligned().fold(value, $how));
                    }
                    from = from.wrapping_offset(step);
                }
            }};
        }
        match self.0 {
            Fold::Add => each!(Fold::Add),
            Fold::Mul => each!(Fold::Mul),
            Fold::Max => each!(Fold::Max),
            Fold::Min => each!(Fold::Min),
        }
    }
    unsafe fn along(&self, plain: *mut u8, indexed: *mut u8, n: usize, index: Along) {
        // SAFETY: passed on from the caller.
        let place =
            |i: usize| unsafe { (plain.cast::<T>().add(i).cast(), indexed.wrapping_offset(index.offset(i))) };
        // SAFETY: as above.
        unsafe { self.each((0..n).map(place)) }
    }
    unsafe fn run(&self, plain: *mut u8, indexed: *mut u8, n: usize, steps: (isize, isize)) {
        let size = size_of::<T>() as isize;
        if steps == (size, size) && self.0 == Fold::Add {
            wide(AddRow(plain.cast::<T>(), indexed.cast::<T>(), n));
            return;
        }
        let place = |i: isize| (plain.wrapping_offset(i * steps.0), indexed.wrapping_offset(i * steps.1));
        // SAFETY: passed on from the caller.
        unsafe { self.each((0..n as isize).map(place)) }
    }
}

/// Adds `n` elements in a row to others, which are valid.
struct AddRow<T>(*mut T, *mut T, usize);
impl<T: Foldable> Body for AddRow<T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let AddRow(from, to, n) = self;
        for i in 0..n {
            // SAFETY: as promised where it was made.
            unsafe {
                let sum = to.add(i).read_unaligned().fold(from.add(i).read_unaligned(), Fold::Add);
                to.add(i).write_unaligned(sum);
            }
        }
    }
}

/// `indexed[place(i)] = fold(indexed[place(i)], plain[i])` in row-major order; bools add as `or`. Complex
/// numbers have no greatest and least.
///
/// # Safety
/// As for [`put`].
pub unsafe fn fold(walk: &Walk, how: Fold) {
    let how = match (walk.plain.dtype, how) {
        (DType::Bool, Fold::Add) => Fold::Max,
        (DType::Bool, Fold::Mul) => Fold::Min,
        _ => how,
    };
    // SAFETY: passed on from the caller.
    dispatch!(storage walk.plain.dtype, T => unsafe { visit(walk, size_of::<T>(), &Folder::<T>(how, std::marker::PhantomData)) })
}

/// Zeroes what lies above (`upper` false) or below the diagonal `k` of each row-major matrix.
pub fn triangle(data: &mut [u8], item: usize, rows: usize, columns: usize, k: i64, upper: bool) {
    if rows == 0 || columns == 0 {
        return;
    }
    for matrix in data.chunks_exact_mut(rows * columns * item) {
        for (i, row) in matrix.chunks_exact_mut(columns * item).enumerate() {
            // Column i + k is on the diagonal.
            let on = (i as i64).saturating_add(k);
            if upper {
                row[..on.clamp(0, columns as i64) as usize * item].fill(0);
            } else {
                row[on.saturating_add(1).clamp(0, columns as i64) as usize * item..].fill(0);
            }
        }
    }
}
