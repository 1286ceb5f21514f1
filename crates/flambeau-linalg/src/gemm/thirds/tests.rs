//! Products of `f32` matrices in three parts against sums in `f64`: with the matrix unit where there is one, and with a loop in
//! its place.

use super::{Packed, PairLines, PairRows, Piece, Range, multiply, serial};
use crate::gemm::amx::{self, ROW, SIDE, THIRDS, TILE, Thirds};
use crate::gemm::{Base, Columns, Shape, gemm};
use crate::level::{Level, level};
use flambeau_core::bf16;

/// What the matrix unit does, number by number.
unsafe fn add_by_loop(o: &Thirds) {
    const PARTS: [(usize, usize); 6] = [(2, 0), (1, 0), (1, 1), (0, 1), (0, 2), (0, 0)];
    for r in 0..2 * SIDE {
        for j in 0..2 * SIDE {
            // SAFETY: addresses that the caller vouches for.
            unsafe {
                let mut sum = match o.base.is_null() {
                    true => 0.0,
                    false => o.base.wrapping_byte_add(r * o.base_row).add(j).read(),
                };
                for (step, &place) in o.steps.iter().enumerate() {
                    for (x, y) in PARTS {
                        let a = o.a.add(step * THIRDS + x * 2 * TILE + r / SIDE * TILE + r % SIDE * ROW);
                        for p in 0..SIDE {
                            let b = o.b.add(
                                place + y * o.b_part + p * o.b_row + j / SIDE * o.b_right + j % SIDE * 4,
                            );
                            for half in 0..2 {
                                let a = a.cast::<bf16>().add(2 * p + half).read().to_f32();
                                sum += a * b.cast::<bf16>().add(half).read().to_f32();
                            }
                        }
                    }
                }
                o.sums.wrapping_byte_add(r * o.sums_row).add(j).write(sum);
            }
        }
    }
}

/// A matrix of numbers of many sizes among NaNs, which none may read.
fn matrix(rows: usize, rs: usize, cols: usize, cs: usize, seed: u64) -> Vec<f32> {
    let mut out = vec![f32::NAN; (rows - 1) * rs + (cols - 1) * cs + 1];
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for i in 0..rows {
        for j in 0..cols {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let x = (state >> 40) as f32 / (1 << 24) as f32 - 0.5;
            out[i * rs + j * cs] = x * [1.0, 37.0, 0.001, 0.0][(state % 29).min(3) as usize];
        }
    }
    out
}

/// Products by the loop, and by the unit where there is one; none where the loop's vectors can't be.
fn products(s: &Shape, a: &[f32], b: &[f32], bias: Option<&[f32]>) -> Vec<Vec<f32>> {
    let mut all = Vec::new();
    if level() != Level::Avx512 {
        return all;
    }
    let bias = bias.map(<[f32]>::as_ptr);
    let mut c = vec![f32::NAN; s.m * s.c_rs];
    // SAFETY: matrices of these sizes and strides.
    unsafe { serial(s, a.as_ptr(), b.as_ptr(), bias, c.as_mut_ptr(), add_by_loop) };
    all.push(c);
    if amx::available() {
        let mut c = vec![f32::NAN; s.m * s.c_rs];
        // SAFETY: as above; there is a unit.
        assert!(unsafe { multiply(s, a.as_ptr(), b.as_ptr(), bias, c.as_mut_ptr()) });
        all.push(c);
    }
    all
}

fn compare(m: usize, n: usize, k: usize, (a_rs, a_cs): (usize, usize), (b_rs, b_cs): (usize, usize)) {
    let (a, b) = (matrix(m, a_rs, k, a_cs, 1), matrix(k, b_rs, n, b_cs, 2));
    let bias = matrix(1, 1, n, 1, 3);
    for bias in [None, Some(&bias[..])] {
        let s = Shape { m, n, k, a_rs, a_cs, b_rs, b_cs, c_rs: n + 3, c_cs: 1 };
        for c in products(&s, &a, &b, bias) {
            for i in 0..m {
                for j in 0..n {
                    let mut sum = bias.map_or(0.0, |bias| bias[j] as f64);
                    let mut size = sum.abs();
                    for p in 0..k {
                        let x = a[i * a_rs + p * a_cs] as f64 * b[p * b_rs + j * b_cs] as f64;
                        sum += x;
                        size += x.abs();
                    }
                    // Half a unit in the last place of each sum of 32 products, and what was left out.
                    let bound = size * (k.div_ceil(32) as f64 + 3.0) * 2f64.powi(-24);
                    let got = c[i * s.c_rs + j] as f64;
                    assert!((got - sum).abs() <= bound, "{m}x{n}x{k} at {i}, {j}: {got} instead of {sum}");
                }
                assert!(c[i * s.c_rs + n..][..3].iter().all(|x| x.is_nan()));
            }
        }
    }
}

#[test]
fn all_orders_of_operands_and_odd_sizes() {
    for (m, n, k) in [(32, 32, 32), (33, 47, 65), (50, 36, 530), (64, 64, 31)] {
        for (a_rs, a_cs) in [(k, 1), (k + 3, 1), (1, m), (1, m + 1), (2 * k, 2)] {
            for (b_rs, b_cs) in [(n, 1), (n + 5, 1), (1, k), (1, k + 1), (3 * n, 3)] {
                compare(m, n, k, (a_rs, a_cs), (b_rs, b_cs));
            }
        }
    }
}

#[test]
fn several_blocks_in_every_direction() {
    compare(290, 40, 33, (33, 1), (40, 1));
    compare(40, 1060, 40, (1, 40), (1, 40));
    compare(33, 34, 1100, (1100, 1), (34, 1));
}

/// Numbers of 24 bits come through a product with the identity as they are, and products of whole numbers are exact.
#[test]
fn exact_numbers_stay_exact() {
    let n = 96;
    let mut one = vec![0f32; n * n];
    (0..n).for_each(|i| one[i * n + i] = 1.0);
    let x = matrix(n, n, n, 1, 5);
    let s = Shape { m: n, n, k: n, a_rs: n, a_cs: 1, b_rs: n, b_cs: 1, c_rs: n, c_cs: 1 };
    for c in products(&s, &x, &one, None).into_iter().chain(products(&s, &one, &x, None)) {
        assert_eq!(c, x);
    }
    let whole = |bits: u32, seed: u64| -> Vec<f32> {
        matrix(n, n, n, 1, seed).iter().map(|x| (x * 2f32.powi(bits as i32 - 6)).round()).collect()
    };
    for (p, q) in [(8, 9), (12, 4), (14, 3), (3, 13)] {
        let (a, b) = (whole(p, 6), whole(q, 7));
        for c in products(&s, &a, &b, None) {
            for i in 0..n {
                for j in 0..n {
                    let sum: f64 = (0..n).map(|p| a[i * n + p] as f64 * b[p * n + j] as f64).sum();
                    assert_eq!(c[i * n + j] as f64, sum);
                }
            }
        }
    }
}

#[test]
fn ranges_of_numbers() {
    let range = |least: f32, most: f32| Range::of(&[least, -most, 0.0]);
    let one = range(1.0, 1.0);
    assert!(Range::suits(one, one, 1 << 20));
    assert!(Range::suits(range(0.0, 0.0), one, 10));
    assert!(Range::suits(range(2f32.powi(-51), 1e10), range(2f32.powi(-51), 1e10), 1000));
    assert!(!Range::suits(range(2f32.powi(-52), 1.0), range(2f32.powi(-51), 1.0), 1000));
    assert!(!Range::suits(range(1e-40, 1.0), one, 10));
    assert!(!Range::suits(range(1.0, 1e30), range(1.0, 1e8), 10));
    assert!(!Range::suits(range(1.0, f32::MAX), range(1e-3, 1e-3), 10));
    assert!(!Range::suits(one, range(1.0, f32::INFINITY), 10));
    assert!(!Range::suits(range(1.0, f32::NAN), one, 10));
}

/// What the unit can't multiply comes out as from the tile kernel.
#[test]
fn special_values() {
    let n = 128;
    let (a, b) = (matrix(n, n, n, 1, 8), matrix(n, n, n, 1, 9));
    let product = |a: &[f32], b: &[f32]| {
        let mut c = vec![f32::NAN; n * n];
        gemm(n, n, n, 1.0, a, n, 1, b, n, 1, 0.0, &mut c, n, 1).unwrap();
        c
    };
    let usual = product(&a, &b);
    for special in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 1e36, 1e-41] {
        let mut x = a.clone();
        x[5 * n + 7] = special;
        let c = product(&x, &b);
        for j in 0..n {
            let sum: f64 = (0..n).map(|p| x[5 * n + p] as f64 * b[p * n + j] as f64).sum();
            let got = c[5 * n + j] as f64;
            let near = (got - sum).abs() <= sum.abs() * 1e-4 + 1e-3;
            assert!(near || got == sum || got.is_nan() && sum.is_nan(), "{special}: {got} instead of {sum}");
            assert!((c[6 * n + j] - usual[6 * n + j]).abs() <= usual[6 * n + j].abs() * 1e-4 + 1e-3);
        }
    }
    // Subnormal results of small numbers.
    let small: Vec<f32> = a.iter().map(|x| x * 1e-21).collect();
    let other: Vec<f32> = b.iter().map(|x| x * 1e-21).collect();
    for (got, x) in product(&small, &other).iter().zip(&usual) {
        let want = *x as f64 * 1e-42;
        assert!((*got as f64 - want).abs() <= want.abs() * 1e-4 + 2e-45 * 64.0);
    }
}

/// A packed operand gives what a product gives, added to the result or not, and leaves it alone where numbers do not allow it.
#[test]
fn packed_columns() {
    for (m, n, k) in [(32, 64, 32), (64, 70, 65), (37, 512, 128), (100, 31, 40)] {
        let (a, b) = (matrix(m, k + 2, k, 1, 10), matrix(k, 1, n, k, 11));
        let s = Shape { m, n, k, a_rs: k + 2, a_cs: 1, b_rs: 1, b_cs: k, c_rs: n, c_cs: 1 };
        let all = products(&s, &a, &b, None);
        if all.is_empty() {
            return;
        }
        // SAFETY: a matrix of these sizes and strides.
        let packed = unsafe { Packed::with(k, n, b.as_ptr(), 1, k).unwrap() };
        for (by_unit, want) in all.iter().enumerate() {
            for more in [false, true] {
                let mut c = vec![2.0; m * (n + 1)];
                let mut special = a.clone();
                special[1] = f32::NAN;
                let mut by = |a: &[f32]| {
                    let (a, c) = (a.as_ptr(), c.as_mut_ptr());
                    let run = |add| {
                        // SAFETY: a matrix of these sizes, and a unit where it is called.
                        unsafe { packed.product_by(&Shape { c_rs: n + 1, ..s }, a, more, c, add) }
                    };
                    match by_unit {
                        0 => run(add_by_loop),
                        // SAFETY: there is a unit.
                        _ => unsafe { amx::with_tiles(|| run(amx::add_thirds)) },
                    }
                };
                assert!(!by(&special));
                assert!(by(&a));
                for (row, want) in c.chunks_exact(n + 1).zip(want.chunks_exact(n)) {
                    for (&got, &want) in row.iter().zip(want) {
                        let want = if more { want + 2.0 } else { want };
                        assert!((got - want).abs() <= 1e-5 * want.abs().max(1.0), "{got} instead of {want}");
                    }
                    assert_eq!(row[n], 2.0);
                }
            }
        }
    }
}

/// Columns at any place of lines of pairs: a convolution of one dimension, with gaps between its rows.
#[test]
fn shifted_columns() {
    if level() != Level::Avx512 {
        return;
    }
    let (channels, taps, outs, length, width) = (40, 3, 37, 103, 25);
    let image = matrix(channels, length, length, 1, 12);
    let weight = matrix(outs, channels * taps, channels * taps, 1, 13);
    let mut lines = PairLines::with(2 * SIDE, length).unwrap();
    for line in 0..2 * SIDE {
        let channel = |c: usize| image.get(c * length..(c + 1) * length).unwrap_or(&[]);
        let first = line / SIDE * 2 * SIDE + line % SIDE;
        lines.fill(line, channel(first), channel(first + SIDE)).unwrap();
    }
    // Steps: 32 channels of a tap, with zeros for channels that there are not.
    let (mut rows, mut places) = (vec![0f32; outs * 2 * taps * 32], Vec::new());
    for (step, (group, tap)) in (0..2).flat_map(|g| (0..taps).map(move |t| (g, t))).enumerate() {
        places.push(group * SIDE * lines.pitch() + tap);
        for o in 0..outs {
            for c in (group * 32..channels).take(32) {
                rows[(o * 2 * taps + step) * 32 + c % 32] = weight[(o * channels + c) * taps + tap];
            }
        }
    }
    let depth = places.len() * 32;
    let rows = PairRows::with(outs, depth, &rows, depth, 1).unwrap();
    assert!(rows.suits(&lines) && rows.sizes() == (2, 6));
    // 100 positions, the last of each 25 left out, in pieces of 32.
    let piece = |at: usize| {
        let keep = (0..32).filter(|j| at + j < 100 && (at + j) % width != width - 1);
        let done = (0..at).filter(|j| j % width != width - 1).count();
        Piece { at, keep: keep.map(|j| 1 << j).sum(), done }
    };
    let pieces = [0, 32, 64, 96].map(piece);
    let kept: Vec<usize> = (0..100).filter(|j| j % width != width - 1).collect();
    let bias: Vec<f32> = (0..outs).map(|o| o as f32).collect();
    let mut units: Vec<unsafe fn(&Thirds)> = vec![add_by_loop];
    if amx::available() {
        units.push(amx::add_thirds);
    }
    for add in units {
        let mut out = vec![f32::NAN; outs * kept.len()];
        for block in 0..2 {
            let (out, base) = (&mut out[block * 32 * kept.len()..], Base::Rows(&bias[block * 32..]));
            let mut run = || {
                // SAFETY: there is AVX-512, and a unit where it is called.
                unsafe { rows.multiply_by(block, &lines, &places, &pieces, base, out, kept.len(), add) }
            };
            let done = match amx::available() {
                // SAFETY: there is a unit.
                true => unsafe { amx::with_tiles(run) },
                false => run(),
            };
            done.unwrap();
        }
        for o in 0..outs {
            for (i, &at) in kept.iter().enumerate() {
                let (mut sum, mut size) = (bias[o] as f64, bias[o] as f64);
                for c in 0..channels {
                    for tap in 0..taps {
                        let x = weight[(o * channels + c) * taps + tap] as f64
                            * image[c * length + at + tap] as f64;
                        sum += x;
                        size += x.abs();
                    }
                }
                let got = out[o * kept.len() + i] as f64;
                assert!(
                    (got - sum).abs() <= size * 8.0 * 2f64.powi(-24),
                    "{o}, {at}: {got} instead of {sum}"
                );
            }
        }
        let short = &mut out[..kept.len() * 32 - 1];
        // SAFETY: refused before anything is computed.
        let refused =
            unsafe { rows.multiply_by(0, &lines, &places, &pieces, Base::Nothing, short, kept.len(), add) };
        assert!(refused.unwrap_err().to_string().contains("out of bounds"));
    }
}

/// Products with the first elements of the first columns, scaled or not, as attention to earlier keys has them.
#[test]
fn first_columns_and_elements() {
    let (m, n, k) = (32, 200, 160);
    let (a, b) = (matrix(m, k, k, 1, 14), matrix(k, n, n, 1, 15));
    let columns = Columns::new(m, k, n, &b, n, 1).unwrap();
    for (count, depth) in [(n, k), (170, k), (n, 100), (33, 97), (64, 64)] {
        for alpha in [1.0, 0.125] {
            let mut c = vec![7.0; m * (n + 1)];
            columns.product(m, &a, k, [count, depth], alpha, false, &mut c, n + 1).unwrap();
            for (i, row) in c.chunks_exact(n + 1).enumerate() {
                for (j, &got) in row.iter().enumerate() {
                    let terms = (0..depth).map(|p| a[i * k + p] as f64 * b[p * n + j.min(n - 1)] as f64);
                    let (sum, size) = terms.fold((0.0, 0.0), |(sum, size), x| (sum + x, size + x.abs()));
                    let near = (got as f64 - sum * alpha as f64).abs() <= size * 1e-5;
                    assert!(if j < count { near } else { got == 7.0 }, "{count} {depth} at {i}, {j}: {got}");
                }
            }
        }
    }
}

#[test]
fn any_number_of_threads() {
    for (m, n, k) in [(520, 300, 600), (100, 1500, 200)] {
        let (mut a, b) = (matrix(m, k, k, 1, 19), matrix(k, 1, n, k, 20));
        for special in [1.0, 1e-42] {
            // One part alone has the number that sends the whole product the other way.
            a[(m - 1) * k] = special;
            let run = |threads: usize| {
                flambeau_core::parallel::set_num_threads(threads);
                let mut c = vec![f32::NAN; m * n];
                gemm(m, n, k, 1.0, &a, k, 1, &b, 1, k, 0.0, &mut c, n, 1).unwrap();
                c
            };
            let alone = run(1);
            for threads in [2, 3, 8] {
                assert!(run(threads) == alone, "{threads} threads");
            }
        }
    }
    flambeau_core::parallel::set_num_threads(1);
}
