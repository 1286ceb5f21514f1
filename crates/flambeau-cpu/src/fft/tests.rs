use super::*;
use crate::random::Generator;
use crate::wide::{Level, highest};
use lanes::Lanes;
use square::Square;

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

/// The transform along the middle dimension by rustfft, one line after the other.
fn by_lines([outer, n, inner]: [usize; 3], input: &[Complex<f64>], forward: bool) -> Vec<Complex<f64>> {
    let fft = f64::algorithm(n, forward);
    let mut out = input.to_vec();
    for o in 0..outer {
        for l in 0..inner {
            let at = |i: usize| (o * n + i) * inner + l;
            let mut line: Vec<_> = (0..n).map(|i| input[at(i)]).collect();
            fft.process(&mut line);
            (0..n).for_each(|i| out[at(i)] = line[i]);
        }
    }
    out
}

fn close(have: &[Complex<f64>], want: &[Complex<f64>], tolerance: f64, what: &str) {
    assert_eq!(have.len(), want.len());
    let size = want.iter().map(|z| z.norm_sqr()).sum::<f64>() / want.len() as f64;
    for (i, (x, y)) in have.iter().zip(want).enumerate() {
        assert!((x - y).norm() < tolerance * size.sqrt(), "{what}: {i}: {x} {y}");
    }
}

fn single(x: &[Complex<f64>]) -> Vec<Complex<f32>> {
    x.iter().map(|z| Complex::new(z.re as f32, z.im as f32)).collect()
}
fn double(x: &[Complex<f32>]) -> Vec<Complex<f64>> {
    x.iter().map(|z| Complex::new(z.re as f64, z.im as f64)).collect()
}

/// Lines side by side, whole and partial registers of them, and lines as matrices.
#[test]
fn many_and_long_lines() {
    let mut rng = Generator::new(2);
    for n in [2, 15, 28, 64, 210, 256, 384, 1000, 1024, 2048, 4096] {
        for (outer, inner) in [(1, 1), (35, 1), (2, 19), (1, 33)] {
            let sizes = [outer, n, inner];
            let mut some = |count: usize| -> Vec<Complex<f64>> {
                (0..count).map(|_| Complex::new(rng.uniform() - 0.5, rng.uniform() - 0.5)).collect()
            };
            let input = some(outer * n * inner);
            let short = single(&input);
            let what = format!("{outer} {n} {inner}");
            for forward in [true, false] {
                let want = by_lines(sizes, &input, forward);
                let mut have = vec![Complex::default(); input.len()];
                c2c(outer, n, inner, &input, &mut have, forward, 1.0).unwrap();
                close(&have, &want, 1e-13, &what);
                let mut own = input.clone();
                c2c_in_place(outer, n, inner, &mut own, forward, 1.0).unwrap();
                close(&own, &want, 1e-13, &what);
                let mut small = vec![Complex::default(); input.len()];
                c2c(outer, n, inner, &short, &mut small, forward, 1.0).unwrap();
                close(&double(&small), &want, 2e-6, &what);
            }
            // Real lines, there and back.
            let (real, half) = (input.iter().map(|z| z.re).collect::<Vec<f64>>(), n / 2 + 1);
            let complex: Vec<_> = real.iter().map(|&x| Complex::new(x, 0.0)).collect();
            let whole = by_lines(sizes, &complex, true);
            let halves: Vec<_> =
                (0..outer).flat_map(|o| whole[o * n * inner..][..half * inner].to_vec()).collect();
            let mut have = vec![Complex::default(); halves.len()];
            r2c(outer, n, inner, &real, &mut have, true, 1.0).unwrap();
            close(&have, &halves, 1e-13, &what);
            let mut small = vec![Complex::default(); halves.len()];
            let narrow: Vec<f32> = real.iter().map(|&x| x as f32).collect();
            r2c(outer, n, inner, &narrow, &mut small, true, 1.0).unwrap();
            close(&double(&small), &halves, 2e-6, &what);
            let mut back = vec![0.0; real.len()];
            c2r(outer, n, inner, &halves, &mut back, false, 1.0 / n as f64).unwrap();
            assert!(back.iter().zip(&real).all(|(x, y)| (x - y).abs() < 1e-13), "{what}");
            let mut back = vec![0.0; real.len()];
            c2r(outer, n, inner, &single(&halves), &mut back, false, 1.0 / n as f32).unwrap();
            assert!(back.iter().zip(&real).all(|(x, y)| (*x as f64 - y).abs() < 2e-6), "{what}");
        }
    }
}

#[test]
fn matrices_are_rows_then_columns() {
    let mut rng = Generator::new(3);
    for (batch, rows, n) in [(3, 5, 6), (40, 32, 33), (2, 256, 256), (1, 3, 1000)] {
        let input: Vec<Complex<f64>> =
            (0..batch * rows * n).map(|_| Complex::new(rng.uniform() - 0.5, rng.uniform() - 0.5)).collect();
        let mut have = vec![Complex::default(); input.len()];
        for forward in [true, false] {
            let want = by_lines([batch * rows, n, 1], &input, forward);
            let want: Vec<_> = by_lines([batch, rows, n], &want, forward).iter().map(|z| z * 0.5).collect();
            c2c_matrices(batch, rows, n, &input, &mut have, forward, 0.5).unwrap();
            close(&have, &want, 1e-13, "complex");
        }
        let (real, half) = (input.iter().map(|z| z.re).collect::<Vec<f64>>(), n / 2 + 1);
        let mut want = vec![Complex::default(); batch * rows * half];
        r2c(batch * rows, n, 1, &real, &mut want, true, 1.0).unwrap();
        let want = by_lines([batch, rows, half], &want, true);
        let mut have = vec![Complex::default(); want.len()];
        r2c_matrices(batch, rows, n, &real, &mut have, true, 1.0).unwrap();
        close(&have, &want, 1e-13, "real");
    }
}

/// Every kernel that this processor can run, on lines side by side and on one line as a matrix.
#[test]
fn all_levels() {
    fn check<F: FftElement>(to: fn(f64) -> F, from: fn(F) -> f64, tolerance: f64) {
        let mut rng = Generator::new(4);
        for kernel in
            [Level::Avx2, Level::Avx512].into_iter().filter(|&l| l <= highest()).filter_map(F::kernel)
        {
            let lanes = Lanes::with(kernel, 420).unwrap();
            let (n, count) = (420, lanes.width() - 1);
            let input: Vec<Complex<f64>> =
                (0..count * n).map(|_| Complex::new(rng.uniform() - 0.5, rng.uniform() - 0.5)).collect();
            let given: Vec<_> = input.iter().map(|z| Complex::new(to(z.re), to(z.im))).collect();
            let mut out = given.clone();
            lanes.cells(|mut cells| {
                let place = place(count, n, 1, 2);
                cells.read(&given, place, false, false);
                cells.run();
                cells.write(&mut out, place, false, Finish { re: F::one(), im: F::one(), swap: false });
            });
            let out: Vec<_> = out.iter().map(|z| Complex::new(from(z.re), from(z.im))).collect();
            close(&out, &by_lines([count, n, 1], &input, true), tolerance, "lanes");
            let n = 256;
            let square = Square::with(kernel, n).unwrap();
            let mut out = vec![Complex::default(); n];
            square.run(&given[..n], &mut out, true, F::one());
            let out: Vec<_> = out.iter().map(|z| Complex::new(from(z.re), from(z.im))).collect();
            close(&out, &by_lines([1, n, 1], &input[..n], false), tolerance, "square");
        }
    }
    check::<f64>(|x| x, |x| x, 1e-13);
    check::<f32>(|x| x as f32, |x| x as f64, 2e-6);
}
