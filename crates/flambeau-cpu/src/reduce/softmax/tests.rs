//! Lines along memory and across it.

use super::*;
use flambeau_core::DType;

fn operand(data: &mut [f32], strides: [i64; 2]) -> Operand {
    Operand {
        pointer: data.as_mut_ptr().cast(),
        dtype: DType::Float32,
        strides: strides.into_iter().collect(),
    }
}

/// Lines along memory and across it, against sums in double precision.
#[test]
fn lines_as_defined() {
    for n in [1usize, 5, 31, 32, 33, 600, 1500] {
        for count in [1usize, 3, 70] {
            for along in [true, false] {
                let size = n * count;
                let mut x: Vec<f32> = (0..size).map(|i| (i * 7919 % 1013) as f32 / 60.0 - 9.0).collect();
                let mut g: Vec<f32> = (0..size).map(|i| (i * 31 % 97) as f32 / 50.0 - 1.0).collect();
                let at = |c: usize, k: usize| if along { c * n + k } else { k * count + c };
                // A line with an infinity that counts for nothing, one of nothing else, one with NaN.
                x[at(0, n / 2)] = f32::NEG_INFINITY;
                if count > 2 {
                    (0..n).for_each(|k| x[at(1, k)] = f32::NEG_INFINITY);
                    x[at(2, n - 1)] = f32::NAN;
                }
                let strides = if along { [n as i64, 1] } else { [1, count as i64] };
                let sizes = [count as i64, n as i64];
                let mut results = [vec![0f32; size], vec![0f32; size]];
                let mut grads = [vec![0f32; size], vec![0f32; size]];
                let mut sums = vec![0f32; count];
                let src = operand(&mut x, strides);
                let grad = operand(&mut g, strides);
                for (i, log) in [false, true].into_iter().enumerate() {
                    let to = operand(&mut results[i], strides);
                    let back = operand(&mut grads[i], strides);
                    // SAFETY: all of `size` elements.
                    unsafe {
                        softmax(&src, &to, &sizes, 1, log).unwrap();
                        softmax_backward(&grad, &to, &back, &sizes, 1, log).unwrap();
                    }
                }
                // SAFETY: a sum for each line.
                unsafe { logsumexp(&src, &operand(&mut sums, [1, 0]), &sizes, 1).unwrap() };
                let close = |a: f32, b: f64| {
                    let b32 = b as f32;
                    a == b32 || a.is_nan() && b.is_nan() || (f64::from(a) - b).abs() < 2e-5 * (1.0 + b.abs())
                };
                for c in 0..count {
                    let line: Vec<f64> = (0..n).map(|k| f64::from(x[at(c, k)])).collect();
                    let total: f64 = line.iter().map(|x| x.exp()).sum();
                    assert!(
                        close(sums[c], total.ln()),
                        "{n} {count} {along} {c}: {} {}",
                        sums[c],
                        total.ln()
                    );
                    let soft: Vec<f64> = line.iter().map(|x| x.exp() / total).collect();
                    let gs = |k: usize| f64::from(g[at(c, k)]);
                    let weighted: f64 = (0..n).map(|k| gs(k) * soft[k]).sum();
                    let plain: f64 = (0..n).map(gs).sum();
                    for k in 0..n {
                        let i = at(c, k);
                        assert!(close(results[0][i], soft[k]));
                        let log = if total == 0.0 { f64::NAN } else { line[k] - total.ln() };
                        assert!(close(results[1][i], log), "{} {log}", results[1][i]);
                        assert!(close(grads[0][i], (gs(k) - weighted) * soft[k]));
                        assert!(close(grads[1][i], gs(k) - soft[k] * plain));
                    }
                }
            }
        }
    }
}

/// Many short lines have the bits of each of them alone.
#[test]
fn short_lines_by_themselves() {
    for n in [1usize, 2, 7, 10, 16, 17, 31, 32, 33, 100] {
        let count = 70;
        let mut x: Vec<f32> = (0..n * count).map(|i| (i * 7919 % 1013) as f32 / 60.0 - 9.0).collect();
        let mut g: Vec<f32> = (0..n * count).map(|i| (i * 31 % 97) as f32 / 50.0 - 1.0).collect();
        for log in [false, true] {
            let run = |x: &mut [f32], g: &mut [f32]| {
                let sizes = [(x.len() / n) as i64, n as i64];
                let (mut y, mut back, mut sums) = (x.to_vec(), x.to_vec(), vec![0f32; x.len() / n]);
                let strides = [n as i64, 1];
                let (x, g) = (operand(x, strides), operand(g, strides));
                // SAFETY: all of these sizes.
                unsafe {
                    let result = operand(&mut y, strides);
                    softmax(&x, &result, &sizes, 1, log).unwrap();
                    softmax_backward(&g, &result, &operand(&mut back, strides), &sizes, 1, log).unwrap();
                    logsumexp(&x, &operand(&mut sums, [1, 0]), &sizes, 1).unwrap();
                }
                (y, back, sums)
            };
            let all = run(&mut x, &mut g);
            for (i, (x, g)) in x.chunks_mut(n).zip(g.chunks_mut(n)).enumerate() {
                let one = run(x, g);
                let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(&one.0), bits(&all.0[i * n..][..n]), "{n} {i}");
                assert_eq!(bits(&one.1), bits(&all.1[i * n..][..n]), "{n} {i}");
                assert_eq!(bits(&one.2), bits(&all.2[i..][..1]), "{n} {i}");
            }
        }
    }
}
