use super::*;

fn shape(interpolation: Interpolation, padding: Padding, align_corners: bool) -> GridShape {
    GridShape {
        batch: 1,
        channels: 2,
        dims: 2,
        input: [1, 3, 4],
        points: 2,
        interpolation,
        padding,
        align_corners,
    }
}

/// Gradients and their gradients against differences.
#[test]
fn derivatives() {
    let input: Vec<f64> = (0..24).map(|i| ((i * 7919 % 101) as f64) / 50.0 - 1.0).collect();
    let grad: Vec<f64> = (0..4).map(|i| 0.3 + i as f64 * 0.41).collect();
    let of_input: Vec<f64> = (0..24).map(|i| ((i * 31 % 17) as f64) / 9.0 - 0.8).collect();
    let of_grid = [0.7, -0.4, 0.2, 1.1];
    let grid = [0.31, -0.43, 0.57, 0.12];
    for interpolation in [Interpolation::Linear, Interpolation::Nearest, Interpolation::Cubic] {
        for padding in [Padding::Zeros, Padding::Border, Padding::Reflection] {
            for corners in [false, true] {
                let s = shape(interpolation, padding, corners);
                let value = |grid: &[f64]| {
                    let mut out = [0.0; 4];
                    sample(&s, &input, grid, &mut out).unwrap();
                    out.iter().zip(&grad).map(|(y, g)| y * g).sum::<f64>()
                };
                let (mut gi, mut gg) = ([0.0; 24], [0.0; 4]);
                sample_backward(&s, &grad, &input, &grid, &mut gi, &mut gg).unwrap();
                let paired = |grid: &[f64]| {
                    let (mut gi, mut gg) = ([0.0; 24], [0.0; 4]);
                    sample_backward(&s, &grad, &input, grid, &mut gi, &mut gg).unwrap();
                    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
                    dot(&gi, &of_input) + dot(&gg, &of_grid)
                };
                let (mut tg, mut ti, mut tgrid) = ([0.0; 4], [0.0; 24], [0.0; 4]);
                sample_backward_backward(
                    &s,
                    [&of_input, &of_grid],
                    [&grad, &input, &grid],
                    [&mut tg, &mut ti, &mut tgrid],
                )
                .unwrap();
                for d in 0..4 {
                    let moved = |f: &dyn Fn(&[f64]) -> f64| {
                        let (mut up, mut down) = (grid, grid);
                        up[d] += 1e-5;
                        down[d] -= 1e-5;
                        (f(&up) - f(&down)) / 2e-5
                    };
                    assert!((moved(&value) - gg[d]).abs() < 1e-7, "{interpolation:?} {padding:?} {corners}");
                    assert!((moved(&paired) - tgrid[d]).abs() < 1e-5, "{interpolation:?} {padding:?}");
                }
                // What is linear in the output's gradient: its own derivative dotted with it.
                let total: f64 = tg.iter().zip(&grad).map(|(x, y)| x * y).sum();
                assert!((total - paired(&grid)).abs() < 1e-10);
            }
        }
    }
}

#[test]
fn outside_and_nan() {
    let s = shape(Interpolation::Linear, Padding::Zeros, false);
    let mut out = [9.0; 4];
    sample(&s, &[1.0; 24], &[5.0, 0.0, f64::NAN, 0.0], &mut out).unwrap();
    assert_eq!(out[0], 0.0);
    assert_eq!(out[1], 0.0);
    assert!(sample(&s, &[1.0; 23], &[0.0; 4], &mut out).is_err());
}

fn numbers(n: usize, scale: f64) -> Vec<f64> {
    (0..n).map(|i| ((i * 7919 + i * i % 31) % 1009) as f64 / 504.5 * scale - scale).collect()
}

/// Blocks of positions give what each position by itself gives, to the bit.
#[test]
fn blocks() {
    fn check<F: Real>(s: &GridShape) {
        let of = |n: usize, scale: f64| -> Vec<F> {
            numbers(n, scale).iter().map(|&x| F::from(x).unwrap()).collect()
        };
        let [d, h, w] = s.input;
        let (pixels, places) = (s.batch * s.channels * d * h * w, s.batch * s.points * s.dims);
        let (input, mut grid) = (of(pixels, 3.0), of(places, 1.48));
        let grad = of(s.batch * s.channels * s.points, 1.0);
        for (i, x) in [f64::NAN, f64::INFINITY, -1e30, 1e30, 1.0, -1.0, 7.3].into_iter().enumerate() {
            if let Some(to) = grid.get_mut(i * 5) {
                *to = F::from(x).unwrap();
            }
        }
        let same = |a: &[F], b: &[F]| {
            assert!(a.iter().zip(b).all(|(x, y)| x == y || (x.is_nan() && y.is_nan())), "{s:?}");
        };
        let (mut out, mut wanted) = (grad.clone(), grad.clone());
        sample(s, &input, &grid, &mut out).unwrap();
        sample_each(s, &input, &grid, &mut wanted);
        same(&out, &wanted);
        let (mut gi, mut gg) = (input.clone(), grid.clone());
        let (mut wanted_gi, mut wanted_gg) = (vec![F::zero(); pixels], grid.clone());
        sample_backward(s, &grad, &input, &grid, &mut gi, &mut gg).unwrap();
        backward_each(s, [&grad, &input, &grid], &mut wanted_gi, &mut wanted_gg);
        same(&gi, &wanted_gi);
        same(&gg, &wanted_gg);
    }
    for interpolation in [Interpolation::Linear, Interpolation::Nearest, Interpolation::Cubic] {
        for padding in [Padding::Zeros, Padding::Border, Padding::Reflection] {
            for align_corners in [false, true] {
                let base = shape(interpolation, padding, align_corners);
                for (dims, input, points) in [(2, [1, 9, 8], 300), (2, [1, 1, 3], 3), (3, [3, 2, 8], 70)] {
                    let s = GridShape { batch: 2, channels: 3, dims, input, points, ..base };
                    check::<f32>(&s);
                    check::<f64>(&s);
                }
            }
        }
    }
}

#[test]
fn whole_numbers_within_limits() {
    for x in [0.0, 0.9, -0.9, 1e6, -7.5, 2147483520.0, 2147483648.0, -2147483648.0, 1e20, -1e20] {
        assert_eq!((x as f32).truncated(), x as f32 as i32);
        assert_eq!(x.truncated(), x as i32);
    }
    assert_eq!((f32::NAN.truncated(), f64::NEG_INFINITY.truncated()), (0, i32::MIN));
}
