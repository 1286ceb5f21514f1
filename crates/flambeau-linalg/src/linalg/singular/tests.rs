use super::divide::bidiagonal;
use crate::linalg::element::Real;
use num_traits::Float;

/// Residuals of both sides and lack of orthogonality, in units of the last place of the matrix and of 1.
fn defects<R: Real>(name: &str, d: &[R], e: &[R]) -> (f64, f64) {
    let n = d.len();
    let unit = <R as Float>::epsilon().wide();
    let largest = d.iter().chain(e).fold(f64::MIN_POSITIVE, |m, x| m.max(x.wide().abs()));
    let (mut values, mut only) = (d.to_vec(), d.to_vec());
    let (mut left, mut right) = (vec![R::ONE; n * n], vec![R::ONE; n * n]);
    assert!(bidiagonal(&mut values, e, Some((&mut left, &mut right))).unwrap(), "{name} {n}");
    assert!(bidiagonal(&mut only, e, None).unwrap());
    let shown: Vec<f64> = values.iter().map(|x| x.wide()).collect();
    assert!(values.windows(2).all(|w| w[0] >= w[1]) && values[n - 1] >= R::ZERO, "{name} {n}: {shown:?}");
    for (&x, &y) in values.iter().zip(&only) {
        assert!(
            (x.wide() - y.wide()).abs() <= 20.0 * unit * largest,
            "{name} {n}: {} {}",
            x.wide(),
            y.wide()
        );
    }
    let row = |of: &[R], j: usize| of[j * n..(j + 1) * n].iter().map(|x| x.wide()).collect::<Vec<_>>();
    let (mut residual, mut angle) = (0.0f64, 0.0f64);
    for j in 0..n {
        let (u, v, s) = (row(&left, j), row(&right, j), values[j].wide());
        for i in 0..n {
            let next = if i + 1 < n { e[i].wide() * v[i + 1] } else { 0.0 };
            residual = residual.max((d[i].wide() * v[i] + next - s * u[i]).abs());
            let before = if i > 0 { e[i - 1].wide() * u[i - 1] } else { 0.0 };
            residual = residual.max((d[i].wide() * u[i] + before - s * v[i]).abs());
        }
        for k in 0..=j {
            for (of, x) in [(&left, &u), (&right, &v)] {
                let dot: f64 = x.iter().zip(row(of, k)).map(|(x, y)| x * y).sum();
                angle = angle.max((dot - (j == k) as i32 as f64).abs());
            }
        }
    }
    assert!(residual.is_finite() && angle.is_finite(), "{name} {n}");
    (residual / unit / largest, angle / unit)
}

fn check_bidiagonal<R: Real>() {
    let mut state = 5u64;
    let mut random = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as f64 / (1u64 << 24) as f64 - 0.5
    };
    for n in [1, 2, 3, 8, 9, 10, 16, 17, 18, 31, 33, 50, 64, 65, 100, 129, 200] {
        let mut some = |n: usize| (0..n).map(|_| random()).collect::<Vec<_>>();
        let (d, e) = (some(n), some(n - 1));
        let power = |base: f64| move |i: usize| base.powi(-(i as i32));
        let spoiled =
            |at: usize| d.iter().enumerate().map(|(i, &x)| if i % at == at - 1 { 0.0 } else { x }).collect();
        let matrices: Vec<(&str, Vec<f64>, Vec<f64>)> = vec![
            ("zero", vec![0.0; n], vec![0.0; n - 1]),
            ("multiple of 1", vec![-3.0; n], vec![0.0; n - 1]),
            ("ones", vec![1.0; n], vec![1.0; n - 1]),
            ("no diagonal", vec![0.0; n], vec![1.0; n - 1]),
            ("graded", (0..n).map(power(1.3)).collect(), (0..n - 1).map(power(1.31)).collect()),
            ("falling", (0..n).map(power(10.0)).collect(), (0..n - 1).map(power(10.0)).collect()),
            ("rising", (0..n).map(power(0.9)).collect(), (0..n - 1).map(power(0.9)).collect()),
            ("two values", (0..n).map(|i| (i % 2) as f64).collect(), e.iter().map(|x| x * 1e-7).collect()),
            ("some zeros", spoiled(3), e.clone()),
            ("last zero", spoiled(n), e.clone()),
            (
                "cut",
                d.clone(),
                e.iter().enumerate().map(|(i, &x)| if i % 5 == 4 { 0.0 } else { x }).collect(),
            ),
            ("weak", d.clone(), e.iter().map(|x| x * 1e-4).collect()),
            ("strong", d.iter().map(|x| x * 1e-4).collect(), e.clone()),
            ("huge", d.iter().map(|x| x * 1e37).collect(), e.iter().map(|x| x * 1e37).collect()),
            ("tiny", d.iter().map(|x| x * 1e-30).collect(), e.iter().map(|x| x * 1e-30).collect()),
            ("random", d.clone(), e.clone()),
        ];
        for (name, d, e) in matrices {
            let [d, e] = [d, e].map(|v| v.into_iter().map(R::of).collect::<Vec<R>>());
            let (residual, angle) = defects(name, &d, &e);
            let bound = 20.0 + n as f64 / 4.0;
            assert!(residual < bound && angle < bound, "{name} {n}: {residual} {angle}");
        }
    }
}

#[test]
fn bidiagonal_matrices() {
    check_bidiagonal::<f32>();
    check_bidiagonal::<f64>();
}

#[test]
fn values_of_ones() {
    let n = 120;
    let mut d = vec![1.0; n];
    assert!(bidiagonal(&mut d, &vec![1.0; n - 1], None).unwrap());
    for (j, &x) in d.iter().enumerate() {
        let known = 2.0 * (std::f64::consts::PI * (j + 1) as f64 / (2 * n + 1) as f64).cos();
        assert!((x - known).abs() < 1e-14, "{j}: {x} {known}");
    }
}

#[test]
fn not_finite() {
    assert!(!bidiagonal(&mut [1.0, f64::NAN], &[1.0], None).unwrap());
    assert!(!bidiagonal(&mut [1.0; 40], &[f64::INFINITY; 39], None).unwrap());
}
