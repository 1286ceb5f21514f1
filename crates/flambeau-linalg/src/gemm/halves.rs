//! Products of `bfloat16` matrices on processors with a matrix unit for them: sums in `f32`, rounded once. One of the modules
//! with unsafe code.
//!
//! Panels of 32 columns of `b`, packed as the unit reads them (the elements of two lines side by side), go over blocks of 32
//! rows of `a`, which are read where they are if they can be. The unit takes subnormal numbers for zeros and adds the products
//! of a row two by two in order, whatever the place of an element in the result.

use super::amx::{self, Operands, ROW, SIDE, TILE};
use super::blocked::{self, Part, Scratch};
use super::{Shape, Shared, divided};
use crate::level::{Level, level};
use flambeau_core::Result;
use flambeau_core::bf16;
use flambeau_core::halves::{narrow_bf16, widen_bf16};

/// Elements of a step in each row, and rows and columns of a block.
const STEP: usize = 32;
const BLOCK: usize = 2 * SIDE;
/// Products of a block between two visits to its sums, so that a panel stays in the first-level cache.
const DEPTH: usize = 512;
/// Rows that a panel goes over, and columns of the panels that go over packed rows.
const ROWS: usize = 1024;
const COLUMNS: usize = 1024;
/// Multiplications that are worth the packing.
const WORTH: usize = 1 << 15;
/// Bytes between rows whose elements meet in few sets of the first-level cache.
const CROWDED: usize = 2048;

/// Whether products of these sizes are computed by the matrix unit.
pub fn has_bf16(m: usize, n: usize, k: usize) -> bool {
    let large = m >= 4 && n >= SIDE && k >= SIDE && m.saturating_mul(n).saturating_mul(k) >= WORTH;
    large && level() == Level::Avx512 && amx::available()
}

/// `c = a @ b`, with a `bias` for each column if there is one, for `a` of m x k, `b` of k x n and `c` of m x n with contiguous
/// rows, one after the other. Errors when an operand is too short, or [`has_bf16`] is false.
pub fn gemm_bf16(
    (m, n, k): (usize, usize, usize),
    a: &[bf16],
    (a_rs, a_cs): (usize, usize),
    b: &[bf16],
    (b_rs, b_cs): (usize, usize),
    bias: Option<&[bf16]>,
    c: &mut [bf16],
) -> Result<()> {
    let fits = bias.is_none_or(|bias| bias.len() == n);
    flambeau_core::ensure!(
        fits && has_bf16(m, n, k),
        "gemm: no product of bfloat16 matrices of {m}x{k} and {k}x{n}"
    );
    let s = Shape { m, n, k, a_rs, a_cs, b_rs, b_cs, c_rs: n, c_cs: 1 };
    s.check(a.len(), b.len(), c.len())?;
    let by_rows = m >= n;
    let (count, other) = if by_rows { (m, n) } else { (n, m) };
    // An eighth of the time of other products.
    let work = BLOCK * other * k / 8;
    let (a, b, c) = (Shared(a.as_ptr()), Shared(b.as_ptr()), Shared(c.as_mut_ptr()));
    divided(count.div_ceil(BLOCK), work, |units| {
        let first = units.start * BLOCK;
        let count = (units.end * BLOCK).min(count) - first;
        let (rows, columns) = if by_rows { (first, 0) } else { (0, first) };
        let part = if by_rows { Shape { m: count, ..s } } else { Shape { n: count, ..s } };
        let bias = bias.map(|bias| &bias[columns..columns + part.n]);
        // SAFETY: a part of what was checked; parts have no element of `c` in common. There is a matrix unit.
        unsafe {
            let a = a.get().wrapping_add(rows * a_rs);
            let b = b.get().wrapping_add(columns * b_cs);
            let c = c.get().add(rows * n + columns);
            amx::with_tiles(|| serial(&part, a, b, bias, c, amx::add));
        }
    });
    Ok(())
}

/// [`gemm_bf16`] of a part on this thread, with [`amx::add`] or what stands in for it.
///
/// # Safety
/// Every address that the sizes and strides reach must be valid, and `add` callable.
pub(super) unsafe fn serial(
    s: &Shape,
    a: *const bf16,
    b: *const bf16,
    bias: Option<&[bf16]>,
    c: *mut bf16,
    add: unsafe fn(&Operands, bool),
) {
    let depth = s.k.min(DEPTH).next_multiple_of(STEP);
    let rows = s.m.min(ROWS).next_multiple_of(BLOCK);
    // Sums of all panels are kept where these are visited again.
    let (panels, all) = match s.k > DEPTH {
        true => (rows * BLOCK, rows * s.n.min(COLUMNS).next_multiple_of(BLOCK)),
        false => (0, BLOCK * BLOCK),
    };
    let (right, left) = (depth * BLOCK / 2, rows * depth / 2);
    let spare = TILE / size_of::<f32>();
    Scratch::with(spare + right + left + all, |memory: *mut f32| {
        let (spare, memory) = (memory, memory.wrapping_add(spare));
        let (right, left) = (memory, memory.wrapping_add(right));
        let sums = left.wrapping_add(rows * depth / 2);
        for (m0, n1, k0) in visits(s) {
            let (m, k) = (ROWS.min(s.m - m0), DEPTH.min(s.k - k0));
            let steps = k.div_ceil(STEP);
            let apart = steps * TILE / size_of::<f32>();
            for n0 in (n1..s.n.min(n1 + COLUMNS)).step_by(BLOCK) {
                let n = BLOCK.min(s.n - n0);
                let sums = sums.wrapping_add((n0 - n1) / BLOCK * panels);
                // SAFETY: the three pieces lie in the memory; the rest is a part of what the caller vouches for.
                unsafe {
                    let b = b.wrapping_add(k0 * s.b_rs + n0 * s.b_cs);
                    for (j, to) in [(0, right), (SIDE, right.add(apart))] {
                        let count = n.saturating_sub(j).min(SIDE);
                        pairs(b.wrapping_add(j * s.b_cs), (count, s.b_cs), (k, s.b_rs), to);
                    }
                    let a = a.wrapping_add(m0 * s.a_rs + k0 * s.a_cs);
                    for i in (0..m).step_by(BLOCK) {
                        let count = BLOCK.min(m - i);
                        let own = left.add(i * depth / 2);
                        let from = a.wrapping_add(i * s.a_rs);
                        let whole = count.is_multiple_of(SIDE) && k.is_multiple_of(STEP);
                        let near = whole && s.a_cs == 1 && !(s.a_rs * 2).is_multiple_of(CROWDED);
                        if !near && n0 == n1 {
                            lines(from, (count, s.a_rs), (k, s.a_cs), own);
                        }
                        let (first, row, step, second) = match near {
                            true => (from.cast(), 2 * s.a_rs, ROW, 2 * SIDE * s.a_rs),
                            false => (own.cast::<u8>().cast_const(), ROW, TILE, steps * TILE),
                        };
                        let own_sums = if s.k > DEPTH { sums.add(i * BLOCK) } else { sums };
                        let operands = Operands {
                            a: [first, first.wrapping_add(second)],
                            a_row: row,
                            a_step: step,
                            b: [right.cast(), right.add(apart).cast()],
                            steps,
                            sums: own_sums,
                            spare,
                            more: k0 > 0,
                        };
                        add(&operands, count > SIDE);
                        // The sums are near now.
                        let last = if k0 + k == s.k { count } else { 0 };
                        let bias = bias.map(|bias| &bias[n0..n0 + n]);
                        for r in i..i + last {
                            let sums = std::slice::from_raw_parts(own_sums.add((r - i) * BLOCK), n);
                            let to = std::slice::from_raw_parts_mut(c.add((m0 + r) * s.c_rs + n0), n);
                            round(sums, bias, to);
                        }
                    }
                }
            }
        }
    })
}

/// The first row, column and product of each block, one after the other.
fn visits(s: &Shape) -> impl Iterator<Item = (usize, usize, usize)> {
    let Shape { m, n, k, .. } = *s;
    let of_rows = move |m0| (0..n).step_by(COLUMNS).map(move |n1| (m0, n1));
    let of_columns = move |(m0, n1)| (0..k).step_by(DEPTH).map(move |k0| (m0, n1, k0));
    (0..m).step_by(ROWS).flat_map(of_rows).flat_map(of_columns)
}

/// Writes pairs of elements of up to 16 columns for the unit: `to[p * 16 + j]` has elements `2 p` and `2 p + 1` of column `j`,
/// zero beyond the `count` columns and `k` elements, to the end of the last step.
///
/// # Safety
/// The elements, and tiles for all steps, are valid.
unsafe fn pairs(from: *const bf16, (count, apart): (usize, usize), (k, step): (usize, usize), to: *mut f32) {
    let all = k.div_ceil(STEP) * SIDE;
    let whole = k / 2;
    // SAFETY: passed on; pairs are moved as numbers of 32 bits, on which nothing is computed.
    unsafe {
        if step == 1 && apart.is_multiple_of(2) && from.cast::<f32>().is_aligned() && count > 0 {
            let part = Part { count, depth: whole, apart: apart / 2, step: 1 };
            blocked::pack(&part, from.cast(), to, SIDE, SIDE);
        } else if apart == 1 && count == SIDE {
            interleave(from, step, whole, to);
        } else {
            for p in 0..whole {
                for j in 0..SIDE {
                    let at = |i: usize| match j < count {
                        true => from.add(j * apart + (2 * p + i) * step).read(),
                        false => bf16::ZERO,
                    };
                    to.add(p * SIDE + j).cast::<[bf16; 2]>().write([at(0), at(1)]);
                }
            }
        }
        std::ptr::write_bytes(to.add(whole * SIDE), 0, (all - whole) * SIDE);
        if !k.is_multiple_of(2) {
            for j in 0..count {
                let last = from.add(j * apart + (k - 1) * step).read();
                to.add(whole * SIDE + j).cast::<bf16>().write(last);
            }
        }
    }
}

/// `to[p * 16 + j]` has elements `j` of lines `2 p` and `2 p + 1` of 16 contiguous elements.
///
/// # Safety
/// The lines and `16 * pairs` elements of `to` are valid; there is AVX-512.
unsafe fn interleave(from: *const bf16, step: usize, pairs: usize, to: *mut f32) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{
            _mm256_loadu_si256, _mm512_cvtepu16_epi32, _mm512_or_si512, _mm512_slli_epi32,
            _mm512_storeu_si512,
        };
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2")]
        unsafe fn wide(from: *const bf16, step: usize, pairs: usize, to: *mut f32) {
            for p in 0..pairs {
                // SAFETY: passed on.
                unsafe {
                    let line = |i: usize| _mm256_loadu_si256(from.add((2 * p + i) * step).cast());
                    let (low, high) = (_mm512_cvtepu16_epi32(line(0)), _mm512_cvtepu16_epi32(line(1)));
                    let both = _mm512_or_si512(low, _mm512_slli_epi32::<16>(high));
                    _mm512_storeu_si512(to.add(p * SIDE).cast(), both);
                }
            }
        }
        // SAFETY: passed on.
        unsafe { wide(from, step, pairs, to) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    for p in 0..pairs {
        for j in 0..SIDE {
            // SAFETY: passed on.
            unsafe {
                let at = |i: usize| from.add((2 * p + i) * step + j).read();
                to.add(p * SIDE + j).cast::<[bf16; 2]>().write([at(0), at(1)]);
            }
        }
    }
}

/// Writes up to 32 rows of `k` elements for the unit: tiles of 16 rows and 32 elements, those of the first 16 rows before the
/// others, zero where there are none.
///
/// # Safety
/// The elements, and tiles for all steps and 32 rows, are valid.
unsafe fn lines(from: *const bf16, (count, apart): (usize, usize), (k, step): (usize, usize), to: *mut f32) {
    let steps = k.div_ceil(STEP);
    for half in 0..count.div_ceil(SIDE) {
        for t in 0..steps {
            // SAFETY: one tile after the other; the rest is passed on.
            unsafe {
                let from = from.wrapping_add(half * SIDE * apart + t * STEP * step);
                let to = to.add((half * steps + t) * TILE / size_of::<f32>());
                let (rows, k) = (SIDE.min(count - half * SIDE), STEP.min(k - t * STEP));
                if apart == 1 && step > 1 {
                    // As columns, and those turned.
                    let mut turned = [0f32; SIDE * SIDE];
                    pairs(from, (rows, 1), (k, step), turned.as_mut_ptr());
                    let part = Part { count: SIDE, depth: SIDE, apart: SIDE, step: 1 };
                    blocked::pack(&part, turned.as_ptr(), to, SIDE, 0);
                    continue;
                }
                for r in 0..SIDE {
                    let to = to.cast::<bf16>().add(r * STEP);
                    let own = if r < rows { k } else { 0 };
                    if step == 1 {
                        std::ptr::copy_nonoverlapping(from.wrapping_add(r * apart), to, own);
                    } else {
                        (0..own).for_each(|p| to.add(p).write(from.add(r * apart + p * step).read()));
                    }
                    std::ptr::write_bytes(to.add(own), 0, STEP - own);
                }
            }
        }
    }
}

/// Rounds sums, with biases, to the nearest numbers, ties to even.
fn round(sums: &[f32], bias: Option<&[bf16]>, to: &mut [bf16]) {
    #[inline(always)]
    fn body(sums: &[f32], bias: Option<&[bf16]>, to: &mut [bf16]) {
        match bias {
            None => to.iter_mut().zip(sums).for_each(|(to, &x)| *to = narrow_bf16(x)),
            Some(bias) => {
                to.iter_mut()
                    .zip(sums)
                    .zip(bias)
                    .for_each(|((to, &x), &b)| *to = narrow_bf16(x + widen_bf16(b)));
            }
        }
    }
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2")]
        fn wide(sums: &[f32], bias: Option<&[bf16]>, to: &mut [bf16]) {
            body(sums, bias, to)
        }
        if level() == Level::Avx512 {
            // SAFETY: detected.
            return unsafe { wide(sums, bias, to) };
        }
    }
    body(sums, bias, to)
}
