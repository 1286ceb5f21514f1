use super::*;
use crate::pointwise::Operand;
use flambeau_core::{DType, Element, contiguous_strides};

/// Numbers between -1 and 1 from a linear congruential generator.
fn numbers(n: usize) -> Vec<f64> {
    let mut state = 12345u64;
    (0..n)
        .map(|_| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
        })
        .collect()
}

fn operand<T: Element>(data: &mut [T], strides: &[i64], offset: usize) -> Operand {
    Operand { pointer: data[offset..].as_mut_ptr().cast(), dtype: T::DTYPE, strides: strides.into() }
}

/// Every index of `sizes` in row-major order.
fn indices(sizes: &[i64]) -> Vec<Vec<i64>> {
    sizes.iter().fold(vec![vec![]], |all, &n| {
        all.iter().flat_map(|i| (0..n).map(move |k| [i.clone(), vec![k]].concat())).collect()
    })
}

fn dot(index: &[i64], strides: &[i64]) -> usize {
    index.iter().zip(strides).map(|(i, s)| i * s).sum::<i64>() as usize
}

/// Shapes, strides and reduced dimensions that take every way through the engine.
fn cases() -> Vec<(Vec<i64>, Vec<i64>, Vec<bool>)> {
    let mut cases = Vec::new();
    for sizes in [
        vec![],
        vec![1],
        vec![5],
        vec![3000],
        vec![7, 9],
        vec![300, 3],
        vec![3, 300],
        vec![40, 260],
        vec![2, 3, 4],
        vec![5, 1, 30],
        vec![6, 200, 2],
        vec![3, 20, 40],
        vec![0],
        vec![3, 0],
        vec![0, 3],
    ] {
        for mask in 0..1 << sizes.len() {
            let mask: Vec<bool> = (0..sizes.len()).map(|d| mask >> d & 1 == 1).collect();
            cases.push((sizes.clone(), contiguous_strides(&sizes).to_vec(), mask.clone()));
            let reversed: Vec<i64> = sizes.iter().rev().copied().collect();
            let transposed = contiguous_strides(&reversed).iter().rev().copied().collect();
            cases.push((sizes.clone(), transposed, mask.clone()));
            let sparse = contiguous_strides(&sizes).iter().map(|s| s * 2).collect();
            cases.push((sizes.clone(), sparse, mask));
        }
    }
    cases
}

fn check(run: impl Fn(&Operand, &Operand, &[i64], &[bool]), start: f64, finish: impl Fn(&[f64]) -> f64) {
    for (sizes, strides, mask) in cases() {
        let n = 2 * sizes.iter().map(|&s| s.max(1)).product::<i64>() as usize;
        let mut data = numbers(n);
        let kept: Vec<i64> = sizes.iter().zip(&mask).map(|(&s, &m)| if m { 1 } else { s }).collect();
        let out_strides = contiguous_strides(&kept);
        let mut groups = vec![Vec::new(); kept.iter().product::<i64>() as usize];
        for index in indices(&sizes) {
            let masked: Vec<i64> = index.iter().zip(&mask).map(|(&i, &m)| if m { 0 } else { i }).collect();
            groups[dot(&masked, &out_strides)].push(data[dot(&index, &strides)]);
        }
        let expected: Vec<f64> = groups.iter().map(|g| finish(g)).collect();
        let mut out = vec![start; expected.len()];
        let src = operand(&mut data, &strides, 0);
        if !out.is_empty() {
            let to = operand(&mut out, &out_strides, 0);
            run(&src, &to, &sizes, &mask);
        }
        for (a, b) in out.iter().zip(&expected) {
            assert!(
                (a - b).abs() <= 1e-9 * b.abs().max(1.0) || a == b || (a.is_nan() && b.is_nan()),
                "{a} != {b} for {sizes:?} {strides:?} {mask:?}"
            );
        }
        // In single precision too: the tile is loaded instead of taken from the array.
        let mut single: Vec<f32> = out.iter().map(|_| 0.0).collect();
        if !single.is_empty() {
            run(&src, &operand(&mut single, &out_strides, 0), &sizes, &mask);
        }
        for (a, b) in single.iter().zip(&expected) {
            let (a, b) = (*a as f64, *b);
            assert!((a - b).abs() <= 1e-4 * b.abs().max(1.0) || a == b || (a.is_nan() && b.is_nan()));
        }
    }
}

#[test]
fn sums() {
    // SAFETY: operands as `check` makes them.
    check(|s, o, n, m| unsafe { sum(s, o, n, m, false, None).unwrap() }, 9.0, |g| g.iter().sum());
    // SAFETY: as above.
    check(
        |s, o, n, m| unsafe { sum(s, o, n, m, true, Some(2.0)).unwrap() },
        9.0,
        |g| g.iter().sum::<f64>() / 2.0,
    );
}

#[test]
fn extremes() {
    // SAFETY: as above.
    check(
        |s, o, n, m| unsafe { minmax(s, None, Some(o), n, m).unwrap() },
        9.0,
        |g| g.iter().copied().fold(f64::NEG_INFINITY, f64::max),
    );
}

#[test]
fn variances() {
    let variance = |g: &[f64]| {
        let mean = g.iter().sum::<f64>() / g.len() as f64;
        g.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (g.len() as f64 - 1.0).max(0.0)
    };
    // SAFETY: as above.
    check(|s, o, n, m| unsafe { moments(s, o, None, n, m, 1.0, false) }, 9.0, variance);
}

#[test]
fn norms() {
    for (p, f) in [
        (2.0, (|g: &[f64]| g.iter().map(|x| x * x).sum::<f64>().sqrt()) as fn(&[f64]) -> f64),
        (1.0, |g| g.iter().map(|x| x.abs()).sum()),
        (3.0, |g| g.iter().map(|x| x.abs().powi(3)).sum::<f64>().cbrt()),
    ] {
        // SAFETY: as above.
        check(|s, o, n, m| unsafe { norm(s, o, n, m, Norm::new(p)) }, 9.0, f);
    }
}

#[test]
fn euclidean_norms_are_of_memory_not_of_order() {
    let mut data: Vec<f32> = numbers(35).iter().map(|&x| x as f32).collect();
    let norms = [vec![5, 1], vec![1, 7]].map(|strides| {
        let mut out = [0f32];
        let (src, to) = (operand(&mut data, &strides, 0), operand(&mut out, &[0, 0], 0));
        // SAFETY: operands of these sizes.
        unsafe { norm(&src, &to, &[7, 5], &[true, true], Norm::Two) };
        out[0]
    });
    assert_eq!(norms[0], norms[1]);
}

#[test]
fn sums_are_accurate() {
    let mut data: Vec<f32> = vec![0.1; 1 << 22];
    for (sizes, mask) in [
        (vec![1 << 22], vec![true]),
        (vec![1 << 18, 16], vec![true, false]),
        (vec![1 << 20, 4], vec![true, false]),
    ] {
        let kept: i64 = sizes.iter().zip(&mask).map(|(&s, &m)| if m { 1 } else { s }).product();
        let mut out = vec![0f32; kept as usize];
        let strides = contiguous_strides(&sizes);
        let src = operand(&mut data, &strides, 0);
        let to_strides: Vec<i64> = if sizes.len() == 1 { vec![1] } else { vec![0, 1] };
        let to = operand(&mut out, &to_strides, 0);
        // SAFETY: operands of these sizes.
        unsafe { sum(&src, &to, &sizes, &mask, false, None).unwrap() };
        let exact = 0.1f32 as f64 * ((1u64 << 22) / kept as u64) as f64;
        for x in out {
            assert!((x as f64 - exact).abs() / exact < 1e-6, "{x} {exact}");
        }
    }
}

#[test]
fn positions_of_extremes() {
    for (sizes, strides, _) in cases() {
        for dim in 0..sizes.len() {
            if sizes.contains(&0) {
                continue;
            }
            let n = 2 * sizes.iter().product::<i64>() as usize;
            let mut data: Vec<f64> = numbers(n).iter().map(|x| (x * 20.0).round()).collect();
            data[n / 3] = f64::NAN;
            let kept: Vec<i64> =
                sizes.iter().enumerate().map(|(d, &s)| if d == dim { 1 } else { s }).collect();
            let out_strides = contiguous_strides(&kept);
            let count = kept.iter().product::<i64>() as usize;
            let (mut values, mut at) = (vec![0f64; count], vec![-1i64; count]);
            let src = operand(&mut data, &strides, 0);
            // SAFETY: operands of these sizes.
            unsafe {
                extreme_with_index(
                    &src,
                    Some(&operand(&mut values, &out_strides, 0)),
                    &operand(&mut at, &out_strides, 0),
                    &sizes,
                    dim,
                    true,
                )
                .unwrap()
            };
            for index in indices(&kept) {
                let line: Vec<f64> = (0..sizes[dim])
                    .map(|k| {
                        let mut i = index.clone();
                        i[dim] = k;
                        data[dot(&i, &strides)]
                    })
                    .collect();
                let mut best = 0;
                for (k, &x) in line.iter().enumerate() {
                    if !line[best].is_nan() && (x > line[best] || x.is_nan()) {
                        best = k;
                    }
                }
                let place = dot(&index, &out_strides);
                assert_eq!(at[place], best as i64, "{sizes:?} {strides:?} {dim}");
                assert!(values[place] == line[best] || line[best].is_nan());
            }
        }
    }
}

#[test]
fn scans_and_softmax() {
    for (sizes, strides, _) in cases() {
        for dim in 0..sizes.len() {
            if sizes.contains(&0) {
                continue;
            }
            let n = 2 * sizes.iter().product::<i64>() as usize;
            let mut data = numbers(n);
            let out_strides = contiguous_strides(&sizes);
            let count = sizes.iter().product::<i64>() as usize;
            let src = operand(&mut data, &strides, 0);
            let mut sums = vec![0f64; count];
            let mut back = vec![0f64; count];
            let mut soft = vec![0f64; count];
            let mut logs = vec![0f64; count];
            // SAFETY: operands of these sizes.
            unsafe {
                scan(Scan::Sum, &src, &operand(&mut sums, &out_strides, 0), None, &sizes, dim, false)
                    .unwrap();
                scan(Scan::Sum, &src, &operand(&mut back, &out_strides, 0), None, &sizes, dim, true).unwrap();
                softmax(&src, &operand(&mut soft, &out_strides, 0), &sizes, dim, false).unwrap();
                softmax(&src, &operand(&mut logs, &out_strides, 0), &sizes, dim, true).unwrap();
            }
            for index in indices(&sizes) {
                let line: Vec<f64> = (0..sizes[dim])
                    .map(|k| {
                        let mut i = index.clone();
                        i[dim] = k;
                        data[dot(&i, &strides)]
                    })
                    .collect();
                let (k, place) = (index[dim] as usize, dot(&index, &out_strides));
                let total: f64 = line.iter().map(|x| x.exp()).sum();
                assert!((sums[place] - line[..=k].iter().sum::<f64>()).abs() < 1e-9);
                assert!((back[place] - line[k..].iter().sum::<f64>()).abs() < 1e-9);
                assert!((soft[place] - line[k].exp() / total).abs() < 1e-12);
                assert!((logs[place] - (line[k] - total.ln())).abs() < 1e-12);
            }
        }
    }
}

/// Contiguous lines of `f32`, which go without tiles, have the sums of others.
#[test]
fn running_sums_without_tiles() {
    for n in [1, 2, 3, 4, 7, 255, 1003] {
        let mut x: Vec<f32> = (0..3 * n).map(|i| (i * 7919 % 1013) as f32 * 0.37 - 99.9).collect();
        let mut apart: Vec<f32> = x.iter().flat_map(|&v| [v, 0.0]).collect();
        let sizes = [3, n as i64];
        let mut sums = [vec![0f32; 3 * n], vec![0f32; 3 * n]];
        for (data, stride, out) in [(&mut x, 1, 0), (&mut apart, 2, 1)] {
            let operand = |data: &mut [f32], stride: i64| Operand {
                pointer: data.as_mut_ptr().cast(),
                dtype: DType::Float32,
                strides: [n as i64 * stride, stride].into_iter().collect(),
            };
            let (src, to) = (operand(data, stride), operand(&mut sums[out], 1));
            // SAFETY: operands of these sizes.
            unsafe { scan(Scan::Sum, &src, &to, None, &sizes, 1, false).unwrap() };
        }
        assert_eq!(sums[0], sums[1], "{n}");
    }
}

#[test]
fn rows_of_all_lengths() {
    use flambeau_core::bf16;
    for n in [1usize, 5, 31, 32, 33, 63, 100, 1000, 70_000] {
        let count = 3;
        let wide: Vec<f64> = numbers(count * n).iter().map(|x| 1.0 + x * 0.01).collect();
        let mut single: Vec<f32> = wide.iter().map(|&x| x as f32).collect();
        let mut half: Vec<bf16> = wide.iter().map(|&x| bf16::from_f32(x as f32)).collect();
        let mut whole: Vec<i64> = wide.iter().map(|x| (x * 1e4) as i64).collect();
        let mut double = wide;
        let (sizes, strides, mask) = ([count as i64, n as i64], [n as i64, 1], [false, true]);
        let (mut s, mut d, mut h, mut w) = ([0f32; 3], [0f64; 3], [bf16::ZERO; 3], [0i64; 3]);
        // SAFETY: operands of these sizes.
        unsafe {
            prod(&operand(&mut single, &strides, 0), &operand(&mut s, &[1, 0], 0), &sizes, &mask);
            prod(&operand(&mut double, &strides, 0), &operand(&mut d, &[1, 0], 0), &sizes, &mask);
            norm(&operand(&mut half, &strides, 0), &operand(&mut h, &[1, 0], 0), &sizes, &mask, Norm::Two);
            let (from, to) = (operand(&mut whole, &strides, 0), operand(&mut w, &[1, 0], 0));
            sum(&from, &to, &sizes, &mask, false, None).unwrap();
        }
        for i in 0..count {
            let row = i * n..(i + 1) * n;
            let product = |x: &mut dyn Iterator<Item = f64>| x.product::<f64>();
            let right = product(&mut single[row.clone()].iter().map(|&x| f64::from(x)));
            assert!((f64::from(s[i]) / right - 1.0).abs() < 1e-6 * (n as f64).sqrt() + 1e-6, "{n}");
            let right = product(&mut double[row.clone()].iter().copied());
            assert!((d[i] / right - 1.0).abs() < 1e-11, "{n}");
            let squares: f64 = half[row.clone()].iter().map(|x| x.to_f64() * x.to_f64()).sum();
            assert_eq!(h[i], bf16::from_f32(squares.sqrt() as f32), "{n}");
            assert_eq!(w[i], whole[row].iter().sum::<i64>(), "{n}");
        }
    }
}

#[test]
fn sums_without_nan() {
    for n in [3usize, 40, 1000, 70_000] {
        let mut with: Vec<f32> = numbers(n).iter().map(|&x| x as f32).collect();
        let mut without = with.clone();
        for i in (0..n).step_by(7) {
            (with[i], without[i]) = (f32::NAN, 0.0);
        }
        let (mut a, mut b) = ([0f32], [0f32]);
        // SAFETY: operands of these sizes.
        unsafe {
            let to = operand(&mut a, &[0], 0);
            sum(&operand(&mut with, &[1], 0), &to, &[n as i64], &[true], true, None).unwrap();
            let to = operand(&mut b, &[0], 0);
            sum(&operand(&mut without, &[1], 0), &to, &[n as i64], &[true], false, None).unwrap();
        }
        assert_eq!(a[0].to_bits(), b[0].to_bits());
    }
}
