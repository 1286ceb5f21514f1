use super::divide::tridiagonal;
use super::*;
use crate::linalg::element::Real;

/// Residual and lack of orthogonality, in units of the last place of the matrix and of 1.
fn defects<R: Real>(d: &[R], e: &[R]) -> (f64, f64) {
    let n = d.len();
    let wide = |x: R| x.to_c64().re;
    let (mut values, mut lost, mut rows) = (d.to_vec(), e.to_vec(), vec![R::ONE; n * n]);
    assert!(tridiagonal(&mut values, &mut lost, Some(&mut rows)).unwrap());
    assert!(values.windows(2).all(|w| w[0] <= w[1]), "{values:?}");
    let unit = wide(<R as Float>::epsilon());
    let largest = d.iter().chain(e).fold(f64::MIN_POSITIVE, |m, &x| m.max(wide(x).abs()));

    let (mut only, mut lost) = (d.to_vec(), e.to_vec());
    assert!(tridiagonal(&mut only, &mut lost, None).unwrap());
    for (&x, &y) in values.iter().zip(&only) {
        assert!((wide(x) - wide(y)).abs() <= 20.0 * unit * largest, "n {n}: {} and {}", wide(x), wide(y));
    }

    let row = |j: usize| rows[j * n..(j + 1) * n].iter().map(|&x| wide(x)).collect::<Vec<_>>();
    let (mut residual, mut angle) = (0.0f64, 0.0f64);
    for j in 0..n {
        let v = row(j);
        for i in 0..n {
            let mut sum = (wide(d[i]) - wide(values[j])) * v[i];
            if i > 0 {
                sum += wide(e[i - 1]) * v[i - 1];
            }
            if i + 1 < n {
                sum += wide(e[i]) * v[i + 1];
            }
            residual = residual.max(sum.abs());
        }
        for k in 0..=j {
            let dot: f64 = v.iter().zip(row(k)).map(|(x, y)| x * y).sum();
            angle = angle.max((dot - (j == k) as i32 as f64).abs());
        }
    }
    assert!(residual.is_finite() && angle.is_finite(), "n {n}");
    (residual / unit / largest, angle / unit)
}

fn check_tridiagonal<R: Real>() {
    let mut state = 9u64;
    let mut random = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as f64 / (1u64 << 24) as f64 - 0.5
    };
    let mut matrices: Vec<(&str, Vec<f64>, Vec<f64>)> = Vec::new();
    for n in [1, 2, 3, 16, 17, 31, 33, 34, 50, 64, 65, 100, 129, 200] {
        let mut some = |n: usize| (0..n).map(|_| random()).collect::<Vec<_>>();
        let (d, e) = (some(n), some(n - 1));
        matrices.push(("zero", vec![0.0; n], vec![0.0; n - 1]));
        matrices.push(("multiple of 1", vec![-3.0; n], vec![0.0; n - 1]));
        matrices.push(("differences", vec![2.0; n], vec![-1.0; n - 1]));
        matrices.push(("no diagonal", vec![0.0; n], vec![1.0; n - 1]));
        let middle = (n / 2) as f64;
        matrices.push(("Wilkinson", (0..n).map(|i| (i as f64 - middle).abs()).collect(), vec![1.0; n - 1]));
        let glued = (0..n - 1).map(|i| if i % 21 == 20 { 1e-6 } else { 1.0 }).collect();
        matrices.push(("glued", (0..n).map(|i| ((i % 21) as f64 - 10.0).abs()).collect(), glued));
        let power = |base: f64| move |i: usize| base.powi(-(i as i32));
        matrices.push(("graded", (0..n).map(power(1.3)).collect(), (0..n - 1).map(power(1.31)).collect()));
        matrices.push(("falling", (0..n).map(power(10.0)).collect(), (0..n - 1).map(power(10.0)).collect()));
        matrices.push((
            "two values",
            (0..n).map(|i| (i % 2) as f64).collect(),
            e.iter().map(|x| x * 1e-7).collect(),
        ));
        matrices.push(("weak", d.clone(), e.iter().map(|x| x * 1e-4).collect()));
        matrices.push(("huge", d.iter().map(|x| x * 1e37).collect(), e.iter().map(|x| x * 1e37).collect()));
        matrices.push(("random", d, e));
    }
    for (name, d, e) in matrices {
        let [d, e] = [d, e].map(|v| v.into_iter().map(R::of).collect::<Vec<R>>());
        let (residual, angle) = defects(&d, &e);
        let bound = 20.0 + d.len() as f64 / 4.0;
        assert!(residual < bound && angle < bound, "{name} {}: {residual} {angle}", d.len());
    }
}

#[test]
fn tridiagonal_matrices() {
    check_tridiagonal::<f32>();
    check_tridiagonal::<f64>();
}

#[test]
fn values_of_differences() {
    let n = 150;
    let (mut d, mut e) = (vec![2.0; n], vec![-1.0; n - 1]);
    assert!(tridiagonal(&mut d, &mut e, None).unwrap());
    for (j, &x) in d.iter().enumerate() {
        let known = 2.0 - 2.0 * (std::f64::consts::PI * (j + 1) as f64 / (n + 1) as f64).cos();
        assert!((x - known).abs() < 1e-14, "{j}: {x} {known}");
    }
}

#[test]
fn not_finite() {
    assert!(!tridiagonal(&mut [1.0, f64::NAN], &mut [1.0], None).unwrap());
    assert!(!tridiagonal(&mut [1.0; 40], &mut [f64::INFINITY; 39], None).unwrap());
}

#[test]
fn huge_and_tiny() {
    for scale in [1e-30f32, 1e30] {
        let a = [2.0, 1.0, 1.0, 3.0].map(|x| x * scale);
        let mut values = [0.0; 2];
        assert_eq!(eigh(2, &a, false, &mut values, None).unwrap(), 0);
        let known = [(5.0 - 5f32.sqrt()) / 2.0, (5.0 + 5f32.sqrt()) / 2.0];
        for (x, known) in values.iter().zip(known) {
            assert!((x / scale - known).abs() < 1e-5, "{values:?}");
        }
    }
}
