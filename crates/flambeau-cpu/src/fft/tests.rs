use super::*;
use crate::random::Generator;

fn naive(line: &[Complex<f64>], forward: bool) -> Vec<Complex<f64>> {
    let n = line.len();
    let sign = if forward { -1.0 } else { 1.0 };
    (0..n)
        .map(|k| {
            (0..n)
                .map(|j| {
                    let angle = sign * std::f64::consts::TAU * (j * k % n) as f64 / n as f64;
                    line[j] * Complex::from_polar(1.0, angle)
                })
                .sum()
        })
        .collect()
}

const LENGTHS: [usize; 14] = [1, 2, 3, 4, 5, 6, 7, 8, 12, 30, 64, 97, 101, 250];

#[test]
fn agrees_with_the_definition() {
    let mut rng = Generator::new(1);
    for n in LENGTHS {
        for (outer, inner) in [(1, 1), (3, 1), (2, 5), (1, 40)] {
            for forward in [true, false] {
                let half = n / 2 + 1;
                let input: Vec<Complex<f64>> = (0..outer * n * inner)
                    .map(|_| Complex::new(rng.uniform() - 0.5, rng.uniform() - 0.5))
                    .collect();
                let mut complex = vec![Complex::default(); input.len()];
                c2c(outer, n, inner, &input, &mut complex, forward, 0.5).unwrap();
                let short: Vec<Complex<f32>> =
                    input.iter().map(|z| Complex::new(z.re as f32, z.im as f32)).collect();
                let mut single = vec![Complex::default(); short.len()];
                c2c(outer, n, inner, &short, &mut single, forward, 0.5).unwrap();
                let real: Vec<f64> = input.iter().map(|z| z.re).collect();
                let mut halved = vec![Complex::default(); outer * half * inner];
                r2c(outer, n, inner, &real, &mut halved, forward, 0.5).unwrap();
                // Any coefficients, imaginary parts where they must be disregarded included.
                let coefficients: Vec<Complex<f64>> = (0..outer * half * inner)
                    .map(|_| Complex::new(rng.uniform() - 0.5, rng.uniform() - 0.5))
                    .collect();
                let mut back = vec![0.0; outer * n * inner];
                c2r(outer, n, inner, &coefficients, &mut back, forward, 0.5).unwrap();
                for o in 0..outer {
                    for l in 0..inner {
                        let at = |i: usize| (o * n + i) * inner + l;
                        let at_half = |i: usize| (o * half + i) * inner + l;
                        let line: Vec<_> = (0..n).map(|i| input[at(i)]).collect();
                        for (i, want) in naive(&line, forward).into_iter().enumerate() {
                            let want = want * 0.5;
                            assert!((complex[at(i)] - want).norm() < 1e-10);
                            let have = single[at(i)];
                            assert!((Complex::new(have.re as f64, have.im as f64) - want).norm() < 1e-4);
                        }
                        let line: Vec<_> = line.iter().map(|z| Complex::new(z.re, 0.0)).collect();
                        for (i, want) in naive(&line, forward).into_iter().take(half).enumerate() {
                            assert!((halved[at_half(i)] - want * 0.5).norm() < 1e-10, "{n} {i} {forward}");
                        }
                        let mut full = vec![Complex::default(); n];
                        for i in (0..n).rev() {
                            full[i] = if i < half {
                                coefficients[at_half(i)]
                            } else {
                                coefficients[at_half(n - i)].conj()
                            };
                            if i == 0 || 2 * i == n {
                                full[i].im = 0.0;
                            }
                        }
                        for (i, want) in naive(&full, forward).into_iter().enumerate() {
                            assert!((back[at(i)] - want.re * 0.5).abs() < 1e-10, "{n} {i} {forward}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn refusals() {
    let mut data = [Complex::new(0.0f32, 0.0); 4];
    let input = data;
    assert!(c2c(1, 3, 1, &input, &mut data, true, 1.0).is_err());
    assert!(c2c(1, 0, 1, &[], &mut [] as &mut [Complex<f32>], true, 1.0).is_err());
    assert!(c2c(usize::MAX, 4, 4, &input, &mut data, true, 1.0).is_err());
    assert!(c2c(0, 4, 1, &[], &mut [] as &mut [Complex<f32>], true, 1.0).is_ok());
    assert!(r2c(1, 4, 1, &[0.0f32; 4], &mut data, true, 1.0).is_err());
    assert!(c2r(1, 4, 1, &data, &mut [0.0f32; 4], true, 1.0).is_err());
}
