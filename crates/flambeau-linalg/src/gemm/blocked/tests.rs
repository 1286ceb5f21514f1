use super::kernel::{double, single};
use super::*;
use crate::gemm::extent;
use crate::gemm::tests::Rng;
use crate::level::{Level, highest};

fn levels() -> impl Iterator<Item = Level> {
    [Level::Baseline, Level::Avx2, Level::Avx512].into_iter().filter(|&level| level <= highest())
}

fn numbers(rng: &mut Rng, count: usize) -> Vec<f64> {
    (0..count).map(|_| rng.unit() - 0.5).collect()
}

/// Against the definition, in sizes beyond each of the blocks and with strides of all kinds.
fn products<T: GemmElement>(kernel: &Kernel<T>, to: fn(f64) -> T, from: fn(T) -> f64, tolerance: f64) {
    let mut rng = Rng(3);
    for (m, n, k) in [
        (1, 1, 1),
        (3, 2100, 5),
        (300, 40, 2),
        (17, 33, 900),
        (29, 65, 400),
        (31, 260, 300),
        (8, 16, 17),
        (2, 3, 0),
    ] {
        for layout in 0..9 {
            let strides = |kind: usize, rows: usize, cols: usize| match kind {
                0 => (cols.max(1), 1),
                1 => (1, rows.max(1) + 2),
                _ => (2 * cols + 3, 2),
            };
            let (a_rs, a_cs) = strides(layout % 3, m, k);
            let (b_rs, b_cs) = strides(layout / 3, k, n);
            let (c_rs, c_cs) = strides((layout + 1) % 3, m, n);
            let mut some = |rows, rs, cols, cs| numbers(&mut rng, extent(rows, rs, cols, cs).unwrap());
            let (a, b, c) = (some(m, a_rs, k, a_cs), some(k, b_rs, n, b_cs), some(m, c_rs, n, c_cs));
            let (alpha, beta) = ([1.0, 0.5][layout % 2], [0.0, 1.0, -0.5][layout % 3]);
            let shape = Shape { m, n, k, a_rs, a_cs, b_rs, b_cs, c_rs, c_cs };
            let cast = |x: &[f64]| x.iter().map(|&x| to(x)).collect::<Vec<T>>();
            let (given_a, given_b) = (cast(&a), cast(&b));
            let mut have = match beta == 0.0 {
                true => vec![to(f64::NAN); c.len()],
                false => cast(&c),
            };
            if k > 0 {
                // SAFETY: the buffers reach as far as the strides.
                unsafe {
                    let (a, b, c) = (given_a.as_ptr(), given_b.as_ptr(), have.as_mut_ptr());
                    multiply(kernel, &shape, to(alpha), a, b, to(beta), c, None)
                };
                for i in 0..m {
                    for j in 0..n {
                        let sum: f64 = (0..k).map(|p| a[i * a_rs + p * a_cs] * b[p * b_rs + j * b_cs]).sum();
                        let at = i * c_rs + j * c_cs;
                        let expected = alpha * sum + beta * c[at];
                        let close = (from(have[at]) - expected).abs() < tolerance * (1.0 + expected.abs());
                        assert!(close, "{m} {n} {k} {layout}: {} {expected}", from(have[at]));
                    }
                }
            }
        }
    }
}

#[test]
fn products_on_all_levels() {
    for level in levels() {
        products::<f64>(double(level), |x| x, |x| x, 1e-11);
        products::<f32>(single(level), |x| x as f32, |x| x as f64, 1e-5);
    }
}

#[test]
fn rows_times_lines() {
    let mut rng = Rng(5);
    for level in levels() {
        for (count, depth, columns) in [(1, 1, 1), (5, 9, 7), (40, 3, 4), (15, 20, 3)] {
            let kernel = double(level);
            let columns = columns.min(kernel.width());
            let a = numbers(&mut rng, count * depth);
            let b = numbers(&mut rng, 500);
            let offsets: Vec<usize> = (0..depth).map(|p| p * 37 % 400).collect();
            let rows = Rows::with(kernel, count, depth, &a, depth, 1).unwrap();
            let bias = numbers(&mut rng, count);
            for keep in [u64::MAX, 0b1011_0101, 0b10] {
                let kept: Vec<usize> = (0..columns).filter(|c| keep >> c & 1 == 1).collect();
                let before = numbers(&mut rng, count * 40);
                for base in 0..3 {
                    if base == 2 && keep != u64::MAX {
                        continue;
                    }
                    let base = match base {
                        0 => Base::Nothing,
                        1 => Base::Rows(&bias[..]),
                        _ => Base::Result,
                    };
                    let (mut out, lines) = (before.clone(), Lines::new(offsets.clone()));
                    for part in rows.parts(depth) {
                        rows.multiply(part, &b, &lines, columns, keep, base, &mut out, 40).unwrap();
                    }
                    for (r, c) in (0..count).flat_map(|r| (0..40).map(move |c| (r, c))) {
                        let old = before[r * 40 + c];
                        let expected = match kept.get(c) {
                            None => old,
                            Some(&from) => {
                                let sum: f64 =
                                    (0..depth).map(|p| a[r * depth + p] * b[offsets[p] + from]).sum();
                                sum + match base {
                                    Base::Nothing => 0.0,
                                    Base::Rows(rows) => rows[r],
                                    Base::Result => old,
                                }
                            }
                        };
                        assert!(
                            (out[r * 40 + c] - expected).abs() < 1e-12,
                            "{level:?} {count} {depth} {keep} {r} {c}"
                        );
                    }
                }
            }
            let short = Lines::new(vec![b.len() - 1; depth]);
            assert!(rows.multiply(0..1, &b, &short, 1, 1, Base::Nothing, &mut [0.0; 4], 1).is_err());
        }
    }
}

#[test]
fn packed_columns() {
    let mut rng = Rng(7);
    for (m, k, n) in [(1, 3, 5), (30, 7, 70), (4, 0, 3), (3, 5, 32)] {
        let (a, b) = (numbers(&mut rng, m * (k + 1)), numbers(&mut rng, k * n));
        let before = numbers(&mut rng, m * (n + 2));
        let columns = Columns::new(m, k, n, &b, n, 1).unwrap();
        for (count, depth, add) in [(n, k, false), (n, k, true), (n - 1, k / 2, true)] {
            let mut c = before.clone();
            columns.product(m, &a, k + 1, [count, depth], 0.5, add, &mut c, n + 2).unwrap();
            for (i, j) in (0..m).flat_map(|i| (0..n + 2).map(move |j| (i, j))) {
                let old = before[i * (n + 2) + j];
                let sum: f64 = (0..depth).map(|p| a[i * (k + 1) + p] * b[p * n + j.min(n - 1)]).sum();
                let expected = match (j < count, add) {
                    (false, _) => old,
                    (true, true) => old + 0.5 * sum,
                    (true, false) => 0.5 * sum,
                };
                assert!((c[i * (n + 2) + j] - expected).abs() < 1e-12, "{m} {k} {n} {i} {j}");
            }
        }
        assert!(columns.product(m, &a, k + 1, [n + 1, k], 1.0, true, &mut before.clone(), n + 2).is_err());
    }
}
