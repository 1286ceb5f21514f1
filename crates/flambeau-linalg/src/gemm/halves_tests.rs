//! Products of `bfloat16` matrices against sums in `f64`: with the matrix unit where there is one, and with a loop in its place.

use super::amx::{self, Operands, ROW, SIDE};
use super::{Shape, gemm_bf16, halves, has_bf16};
use flambeau_core::bf16;

/// What the matrix unit does, number by number.
unsafe fn add_by_loop(o: &Operands, both: bool) {
    // SAFETY: addresses that the caller vouches for.
    unsafe {
        for half in 0..1 + both as usize {
            for r in 0..SIDE {
                for j in 0..2 * SIDE {
                    let at = o.sums.add((half * SIDE + r) * 2 * SIDE + j);
                    let mut sum = if o.more { at.read() } else { 0.0 };
                    for step in 0..o.steps {
                        for p in 0..2 * SIDE {
                            let a = o.a[half].add(step * o.a_step + r * o.a_row).cast::<bf16>().add(p);
                            let line = o.b[j / SIDE].add((step * SIDE + p / 2) * ROW).cast::<bf16>();
                            sum += a.read().to_f32() * line.add(j % SIDE * 2 + p % 2).read().to_f32();
                        }
                    }
                    at.write(sum);
                }
            }
        }
    }
}

/// A matrix of small numbers among NaNs, which none may read, and where it begins.
fn matrix(rows: usize, rs: usize, cols: usize, cs: usize, seed: usize) -> Vec<bf16> {
    let mut out = vec![bf16::NAN; (rows - 1) * rs + (cols - 1) * cs + 1];
    for i in 0..rows {
        for j in 0..cols {
            let x = (i * 7919 + j * 104_729 + seed).wrapping_mul(2_654_435_761) >> 7;
            out[i * rs + j * cs] = bf16::from_f32((x % 255) as f32 / 64.0 - 2.0);
        }
    }
    out
}

fn compare(m: usize, n: usize, k: usize, (a_rs, a_cs): (usize, usize), (b_rs, b_cs): (usize, usize)) {
    let (a, b) = (matrix(m, a_rs, k, a_cs, 1), matrix(k, b_rs, n, b_cs, 2));
    let bias = matrix(1, 1, n, 1, 3);
    let mut by_loop = vec![bf16::NAN; m * n];
    let s = Shape { m, n, k, a_rs, a_cs, b_rs, b_cs, c_rs: n, c_cs: 1 };
    if crate::level::level() == crate::level::Level::Avx512 || cfg!(not(target_arch = "x86_64")) {
        // SAFETY: matrices of these sizes and strides.
        unsafe {
            let (a, b, c) = (a.as_ptr(), b.as_ptr(), by_loop.as_mut_ptr());
            halves::serial(&s, a, b, Some(&bias), c, add_by_loop)
        };
    } else {
        return;
    }
    let mut by_unit = vec![bf16::NAN; m * n];
    if has_bf16(m, n, k) {
        gemm_bf16((m, n, k), &a, (a_rs, a_cs), &b, (b_rs, b_cs), Some(&bias), &mut by_unit).unwrap();
    } else {
        assert!(!amx::available() || m * n * k < 1 << 15 || m < 4 || n < 16 || k < 16);
        by_unit.copy_from_slice(&by_loop);
    }
    for i in 0..m {
        for j in 0..n {
            let mut sum = bias[j].to_f64();
            let mut size = sum.abs();
            for p in 0..k {
                let x = a[i * a_rs + p * a_cs].to_f64() * b[p * b_rs + j * b_cs].to_f64();
                sum += x;
                size += x.abs();
            }
            // One rounding to eight bits, and those of the sums.
            let bound = sum.abs() / 256.0 + size * k as f64 * 2f64.powi(-24);
            for got in [by_loop[i * n + j].to_f64(), by_unit[i * n + j].to_f64()] {
                assert!((got - sum).abs() <= bound, "{m}x{n}x{k} at {i}, {j}: {got} instead of {sum}");
            }
        }
    }
}

#[test]
fn all_orders_of_operands_and_odd_sizes() {
    for (m, n, k) in [(32, 32, 32), (33, 47, 65), (5, 100, 80), (70, 17, 1100), (16, 16, 129), (64, 48, 512)]
    {
        for (a_rs, a_cs) in [(k, 1), (k + 3, 1), (1, m), (1, m + 1), (2 * k, 2)] {
            for (b_rs, b_cs) in [(n, 1), (n + 5, 1), (1, k), (1, k + 1), (1, k + 2), (3 * n, 3)] {
                compare(m, n, k, (a_rs, a_cs), (b_rs, b_cs));
            }
        }
    }
}

#[test]
fn several_blocks_in_every_direction() {
    compare(1030, 40, 33, (33, 1), (40, 1));
    compare(40, 1060, 530, (1, 40), (1, 530));
    compare(64, 32, 1024, (1024, 1), (32, 1));
}

#[test]
fn special_values_and_ties() {
    let (m, n, k) = (32, 32, 32);
    if !has_bf16(m, n, k) {
        return;
    }
    let mut a = vec![bf16::ZERO; m * k];
    let mut b = vec![bf16::ZERO; k * n];
    for i in 0..k {
        b[i * n + i] = bf16::ONE;
    }
    // A product with the identity and a bias: 1 + 2^-8 lies between 1 and the next number.
    a[0] = bf16::ONE;
    a[k + 1] = bf16::INFINITY;
    a[2 * k + 2] = bf16::NAN;
    let bias = vec![bf16::from_f32(1.0 / 256.0); n];
    let mut c = vec![bf16::ZERO; m * n];
    gemm_bf16((m, n, k), &a, (k, 1), &b, (n, 1), Some(&bias), &mut c).unwrap();
    assert_eq!(c[0], bf16::ONE);
    assert_eq!(c[n + 1], bf16::INFINITY);
    assert!(c[n].is_nan() && c[2 * n + 2].is_nan() && c[2 * n].is_nan());
    assert_eq!(c[3 * n + 3], bias[3]);
    let short = gemm_bf16((m, n, k), &a[1..], (k, 1), &b, (n, 1), None, &mut c);
    assert!(short.unwrap_err().to_string().contains("out of bounds"));
}
