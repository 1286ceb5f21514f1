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
