use super::spectral::Spectral;
use super::*;
use crate::gemm::tests::Rng;
use crate::gemm::{GemmElement, matmul};
use flambeau_core::{C32, C64};
use num_traits::ToPrimitive;

fn random<T: LinalgElement>(rng: &mut Rng, count: usize) -> Vec<T> {
    (0..count).map(|_| T::from_c64(C64::new(rng.unit(), rng.unit()))).collect()
}
fn product<T: LinalgElement>(m: usize, n: usize, k: usize, a: &[T], b: &[T]) -> Vec<T> {
    let mut c = vec![T::ZERO; m * n];
    matmul(m, n, k, a, b, &mut c).unwrap();
    c
}
fn adjoint<T: LinalgElement>(m: usize, n: usize, a: &[T]) -> Vec<T> {
    transpose(m, n, a, |x| x.conj())
}
/// Largest difference, in units of the type's precision.
fn distance<T: LinalgElement>(a: &[T], b: &[T]) -> f64 {
    assert_eq!(a.len(), b.len());
    let epsilon = if size_of::<T::R>() == 4 { f32::EPSILON as f64 } else { f64::EPSILON };
    let difference = |(x, y): (&T, &T)| (x.to_c64() - y.to_c64()).norm() / epsilon;
    a.iter().zip(b).map(difference).fold(0.0, |m: f64, x| if x.is_nan() || x > m { x } else { m })
}
fn close<R: LinalgElement>(a: &[R], b: &[R]) -> bool {
    a.iter().zip(b).all(|(&x, &y)| (x.to_c64() - y.to_c64()).norm() < 1e-4)
}
fn hermitian<T: LinalgElement>(rng: &mut Rng, n: usize) -> Vec<T> {
    let a: Vec<T> = random(rng, n * n);
    let b = adjoint(n, n, &a);
    a.iter().zip(&b).map(|(&x, &y)| x + y).collect()
}
fn positive<T: LinalgElement>(rng: &mut Rng, n: usize) -> Vec<T> {
    let a: Vec<T> = random(rng, n * n);
    let mut c = product(n, n, n, &a, &adjoint(n, n, &a));
    c.iter_mut().step_by(n + 1).for_each(|x| *x += T::ONE);
    c
}

const SIZES: [usize; 10] = [0, 1, 2, 3, 4, 7, 16, 33, 70, 130];

fn check_lu<T: LinalgElement>() {
    let mut rng = Rng(1);
    for m in SIZES {
        for n in [m, m / 2, m + 5, 40] {
            let a: Vec<T> = random(&mut rng, m * n);
            let size = m.min(n);
            let (mut lu, mut pivots) = (a.clone(), vec![0; size]);
            assert_eq!(lu_factor(m, n, &mut lu, &mut pivots).unwrap(), 0);
            let (mut l, mut u) = (vec![T::ZERO; m * size], vec![T::ZERO; size * n]);
            for i in 0..m {
                for j in 0..n {
                    if j < i && j < size {
                        l[i * size + j] = lu[i * n + j];
                        assert!(lu[i * n + j].to_c64().norm() <= 1.5);
                    }
                    if j >= i {
                        u[i * n + j] = lu[i * n + j];
                    }
                }
                if i < size {
                    l[i * size + i] = T::ONE;
                }
            }
            let lu = product(m, n, size, &l, &u);
            let order = lu_unpack(m, &pivots).unwrap();
            let mut back = vec![T::ZERO; m * n];
            for i in 0..m {
                back[order[i] * n..(order[i] + 1) * n].copy_from_slice(&lu[i * n..(i + 1) * n]);
            }
            assert!(distance(&a, &back) < 60.0 + 3.0 * m as f64, "{m} {n} {}", distance(&a, &back));
        }
        // Diagonally dominant, so that the tolerance need not follow the condition.
        let mut a: Vec<T> = random(&mut rng, m * m);
        a.iter_mut().step_by(m + 1).for_each(|x| *x += T::from_c64(C64::new(m as f64, 0.0)));
        let x: Vec<T> = random(&mut rng, m * 3);
        let b = product(m, 3, m, &a, &x);
        let mut y = b.clone();
        assert_eq!(solve(m, 3, &a, &mut y).unwrap(), 0);
        assert!(distance(&x, &y) < 100.0, "{m} {}", distance(&x, &y));
        let (mut lu, mut pivots) = (a.clone(), vec![0; m]);
        lu_factor(m, m, &mut lu, &mut pivots).unwrap();
        for (op, matrix) in [
            (Op::None, a.clone()),
            (Op::Transpose, transpose(m, m, &a, |x| x)),
            (Op::Adjoint, adjoint(m, m, &a)),
        ] {
            let mut y = product(m, 3, m, &matrix, &x);
            lu_solve(m, 3, &lu, &pivots, &mut y, op).unwrap();
            assert!(distance(&x, &y) < 100.0, "{m} {op:?}");
        }
        let mut inverse = vec![T::ZERO; m * m];
        inv(m, &a, &mut inverse).unwrap();
        assert!(distance(&product(m, m, m, &a, &inverse), &identity(m)) < 60.0);
        let (sign, log) = slogdet(m, &a).unwrap();
        if m < 8 {
            let d = det(m, &a).unwrap().to_c64();
            let again = sign.to_c64() * log.to_f64().unwrap().exp();
            assert!((d - again).norm() <= 1e-5 * d.norm());
        }
    }
}

#[test]
fn lu() {
    check_lu::<f32>();
    check_lu::<f64>();
    check_lu::<C32>();
    check_lu::<C64>();
}

#[test]
fn lu_conventions() {
    // Values and order as in torch.linalg: exact here, whatever the rounding.
    let a = [1.0f32, 2.0, 3.0, 0.0, 1.0, 4.0, 5.0, 6.0, 0.0];
    let mut inverse = [0.0; 9];
    assert_eq!(inv(3, &a, &mut inverse).unwrap(), 0);
    for (x, y) in inverse.iter().zip([-24.0, 18.0, 5.0, 20.0, -15.0, -4.0, -5.0, 4.0, 1.0]) {
        assert!((x - y).abs() < 2e-4, "{inverse:?}");
    }
    let (mut lu, mut pivots) = (a, [0; 3]);
    assert_eq!(lu_factor(3, 3, &mut lu, &mut pivots).unwrap(), 0);
    assert_eq!(pivots, [3, 2, 3]);
    let mut singular = [1.0f64, 2.0, 2.0, 4.0];
    assert_eq!(lu_factor(2, 2, &mut singular, &mut [0; 2]).unwrap(), 2);
    let mut zero = [0.0f64; 9];
    assert_eq!(lu_factor(3, 3, &mut zero, &mut [0; 3]).unwrap(), 1);
    assert_eq!(det(2, &[1.0f64, 2.0, 2.0, 4.0]).unwrap(), 0.0);
    assert_eq!(slogdet(2, &[1.0f64, 2.0, 2.0, 4.0]).unwrap(), (0.0, f64::NEG_INFINITY));
    assert_eq!(det::<f64>(0, &[]).unwrap(), 1.0);
    assert!(lu_solve(2, 1, &[1.0f64; 4], &[1, 5], &mut [1.0; 2], Op::None).is_err());
    assert!(lu_solve(2, 1, &[1.0f64; 4], &[0, 1], &mut [1.0; 2], Op::None).is_err());
    assert!(solve(2, 1, &[1.0f64; 3], &mut [1.0; 2]).is_err());
}

fn check_triangles<T: LinalgElement>() {
    let mut rng = Rng(2);
    for n in SIZES {
        let mut a: Vec<T> = random(&mut rng, n * n);
        a.iter_mut().for_each(|x| *x = x.divide(T::from_c64(C64::new(1.0 + n as f64, 0.0))));
        a.iter_mut().step_by(n + 1).for_each(|x| *x += T::ONE);
        let x: Vec<T> = random(&mut rng, n * 4);
        for upper in [false, true] {
            for unit in [false, true] {
                for op in [Op::None, Op::Transpose, Op::Adjoint] {
                    let mut t = vec![T::ZERO; n * n];
                    for i in 0..n {
                        for j in 0..n {
                            if (i == j) || (i < j) == upper {
                                t[i * n + j] = if i == j && unit { T::ONE } else { a[i * n + j] };
                            }
                        }
                    }
                    let applied = match op {
                        Op::None => t,
                        Op::Transpose => transpose(n, n, &t, |x| x),
                        Op::Adjoint => adjoint(n, n, &t),
                    };
                    let mut b = product(n, 4, n, &applied, &x);
                    solve_triangular(n, 4, &a, upper, unit, op, &mut b).unwrap();
                    assert!(distance(&b, &x) < 200.0);
                    let mut b = product(4, n, n, &x, &applied);
                    solve_triangular_right(4, n, &a, upper, unit, op, &mut b).unwrap();
                    assert!(distance(&b, &x) < 200.0);
                }
            }
        }
    }
}

#[test]
fn triangles() {
    check_triangles::<f32>();
    check_triangles::<C64>();
}

fn check_cholesky<T: LinalgElement>() {
    let mut rng = Rng(3);
    for n in SIZES {
        let a: Vec<T> = positive(&mut rng, n);
        for upper in [false, true] {
            // The other triangle must not matter.
            let mut l = a.clone();
            for i in 0..n {
                for j in 0..n {
                    if i != j && (i < j) != upper {
                        l[i * n + j] = T::from_c64(C64::new(f64::NAN, 0.0));
                    }
                }
            }
            assert_eq!(cholesky(n, &mut l, upper).unwrap(), 0);
            let other = adjoint(n, n, &l);
            let back = if upper { product(n, n, n, &other, &l) } else { product(n, n, n, &l, &other) };
            assert!(distance(&a, &back) < 30.0 * (n + 1) as f64);
            let x: Vec<T> = random(&mut rng, n * 2);
            let mut b = product(n, 2, n, &a, &x);
            cholesky_solve(n, 2, &l, upper, &mut b).unwrap();
            assert!(distance(&b, &x) < 1e3 * (n + 1) as f64);
            let mut inverse = vec![T::ZERO; n * n];
            cholesky_inverse(n, &l, upper, &mut inverse).unwrap();
            assert!(distance(&product(n, n, n, &a, &inverse), &identity(n)) < 1e3 * (n + 1) as f64);
        }
    }
    let mut bad = identity::<T>(60);
    bad[52 * 61] = -T::ONE;
    assert_eq!(cholesky(60, &mut bad.clone(), false).unwrap(), 53);
    assert_eq!(cholesky(60, &mut bad, true).unwrap(), 53);
}

#[test]
fn cholesky_factors() {
    check_cholesky::<f32>();
    check_cholesky::<f64>();
    check_cholesky::<C32>();
    check_cholesky::<C64>();
}

fn check_qr<T: LinalgElement>() {
    let mut rng = Rng(4);
    for (m, n) in [(0, 3), (3, 0), (1, 1), (3, 3), (5, 2), (2, 5), (40, 33), (33, 70), (100, 64), (80, 80)] {
        let a: Vec<T> = random(&mut rng, m * n);
        let size = m.min(n);
        for (mode, inner) in [(QrMode::Reduced, size), (QrMode::Complete, m)] {
            let (mut q, mut r) = (vec![T::ZERO; m * inner], vec![T::ZERO; inner * n]);
            qr(m, n, &a, mode, &mut q, &mut r).unwrap();
            assert!(distance(&product(m, n, inner, &q, &r), &a) < 20.0 + m as f64);
            let gram = product(inner, inner, m, &adjoint(m, inner, &q), &q);
            assert!(distance(&gram, &identity(inner)) < 20.0 + m as f64);
            // LAPACK's diagonal is real.
            assert!((0..size).all(|i| T::COMPLEX || r[i * n + i].im() == T::R::ZERO));
        }
        let (mut factors, mut tau) = (a.clone(), vec![T::ZERO; size]);
        geqrf(m, n, &mut factors, &mut tau).unwrap();
        if m >= n {
            let (mut q, mut r) = (vec![T::ZERO; m * n], vec![T::ZERO; n * n]);
            qr(m, n, &a, QrMode::Reduced, &mut q, &mut r).unwrap();
            let mut again = vec![T::ZERO; m * n];
            householder_product(m, n, &factors, &tau, &mut again).unwrap();
            assert_eq!(distance(&q, &again), 0.0);
            let mut full = vec![T::ZERO; m * m];
            qr(m, n, &a, QrMode::Complete, &mut full, &mut vec![T::ZERO; m * n]).unwrap();
            let c: Vec<T> = random(&mut rng, m * 3);
            for (flip, q) in [(false, full.clone()), (true, adjoint(m, m, &full))] {
                let mut left = c.clone();
                ormqr(m, n, &factors, &tau, m, 3, &mut left, true, flip).unwrap();
                assert!(distance(&left, &product(m, 3, m, &q, &c)) < 50.0 + m as f64);
                let mut right = c.clone();
                ormqr(m, n, &factors, &tau, 3, m, &mut right, false, flip).unwrap();
                assert!(distance(&right, &product(3, m, m, &c, &q)) < 50.0 + m as f64);
            }
        }
    }
}

#[test]
fn qr_factors() {
    check_qr::<f32>();
    check_qr::<f64>();
    check_qr::<C32>();
    check_qr::<C64>();
    // Signs and tau as recorded from torch.geqrf.
    let (mut a, mut tau) = ([1.0f64, 2.0, 3.0, 4.0], [0.0; 2]);
    geqrf(2, 2, &mut a, &mut tau).unwrap();
    let expected = [-3.1622776601683795, -4.427188724235731, 0.7207592200561265, -0.6324555320336757];
    assert!(distance(&a, &expected) < 4.0, "{a:?}");
    assert!(distance(&tau, &[1.316227766016838, 0.0]) < 4.0, "{tau:?}");
    // Extreme scales.
    for scale in [1e-200, 1e200, 1e-310] {
        let a: Vec<f64> = [3.0, 1.0, 4.0, 2.0].iter().map(|x| x * scale).collect();
        let (mut q, mut r) = ([0.0; 4], [0.0; 4]);
        qr(2, 2, &a, QrMode::Reduced, &mut q, &mut r).unwrap();
        assert!((r[0] / scale + 5.0).abs() < 1e-9, "{r:?}");
    }
}

fn check_spectral<T: Spectral>() {
    let mut rng = Rng(5);
    for (m, n) in [
        (0, 2),
        (2, 0),
        (1, 1),
        (2, 2),
        (3, 5),
        (5, 3),
        (30, 12),
        (12, 30),
        (40, 40),
        (90, 90),
        (75, 70),
        (33, 80),
    ] {
        let a: Vec<T> = random(&mut rng, m * n);
        let size = m.min(n);
        for full in [false, true] {
            let (left, right) = if full { (m, n) } else { (size, size) };
            let (mut u, mut vh, mut s) =
                (vec![T::ZERO; m * left], vec![T::ZERO; right * n], vec![T::R::ZERO; size]);
            assert_eq!(svd(m, n, &a, full, &mut s, Some((&mut u, &mut vh))).unwrap(), 0);
            let u = super::transpose(left, m, &u, |x| x);
            assert!(s.windows(2).all(|w| w[0] >= w[1]));
            let mut scaled = vec![T::ZERO; m * size];
            for i in 0..m {
                for j in 0..size {
                    scaled[i * size + j] = u[i * left + j] * T::from_real(s[j]);
                }
            }
            assert!(distance(&product(m, n, size, &scaled, &vh[..size * n]), &a) < 200.0);
            assert!(distance(&product(left, left, m, &adjoint(m, left, &u), &u), &identity(left)) < 200.0);
            assert!(
                distance(&product(right, right, n, &vh, &adjoint(right, n, &vh)), &identity(right)) < 200.0
            );
            let mut only = s.clone();
            svd(m, n, &a, full, &mut only, None).unwrap();
            assert!(close(&only, &s));
        }
    }
    for n in [0, 1, 2, 3, 8, 40, 70, 150] {
        let a: Vec<T> = hermitian(&mut rng, n);
        for upper in [false, true] {
            let (mut w, mut rows) = (vec![T::R::ZERO; n], vec![T::ZERO; n * n]);
            // The other triangle and imaginary parts of the diagonal are not looked at.
            let mut b = a.clone();
            for i in 0..n {
                b[i * n + i] += T::from_c64(C64::I);
                for j in 0..i {
                    b[if upper { i * n + j } else { j * n + i }] = T::from_c64(C64::new(f64::NAN, 0.0));
                }
            }
            if !T::COMPLEX {
                (0..n).for_each(|i| b[i * n + i] = a[i * n + i]);
            }
            assert_eq!(eigh(n, &b, upper, &mut w, Some(&mut rows)).unwrap(), 0);
            let v = super::transpose(n, n, &rows, |x| x);
            assert!(w.windows(2).all(|w| w[0] <= w[1]));
            let mut scaled = v.clone();
            scaled.iter_mut().enumerate().for_each(|(i, x)| *x *= T::from_real(w[i % n]));
            assert!(distance(&product(n, n, n, &a, &v), &scaled) < 100.0 * (n + 1) as f64);
            assert!(distance(&product(n, n, n, &adjoint(n, n, &v), &v), &identity(n)) < 200.0);
            let mut only = w.clone();
            eigh(n, &a, upper, &mut only, None).unwrap();
            assert!(close(&only, &w));
        }
    }
    let bad = [T::from_c64(C64::new(f64::NAN, 0.0))];
    assert!(svd(1, 1, &bad, false, &mut [T::R::ZERO], None).unwrap() > 0);
    assert!(eigh(1, &bad, false, &mut [T::R::ZERO], None).unwrap() > 0);
}

#[test]
fn singular_and_hermitian() {
    check_spectral::<f32>();
    check_spectral::<f64>();
    check_spectral::<C32>();
    check_spectral::<C64>();
}

fn check_eig<T: LinalgElement>() {
    let mut rng = Rng(6);
    for n in [0, 1, 2, 3, 5, 20, 60] {
        let a: Vec<T> = random(&mut rng, n * n);
        let zero = num_complex::Complex::new(T::R::ZERO, T::R::ZERO);
        let (mut w, mut v) = (vec![zero; n], vec![zero; n * n]);
        assert_eq!(eig(n, &a, &mut w, Some(&mut v)).unwrap(), 0);
        let wide = |z: &num_complex::Complex<T::R>| C64::new(z.re.to_f64().unwrap(), z.im.to_f64().unwrap());
        let (w, v): (Vec<C64>, Vec<C64>) = (w.iter().map(wide).collect(), v.iter().map(wide).collect());
        let a: Vec<C64> = a.iter().map(|x| x.to_c64()).collect();
        let left = product(n, n, n, &a, &v);
        for i in 0..n {
            for j in 0..n {
                assert!((left[i * n + j] - v[i * n + j] * w[j]).norm() < 1e-4, "{n}");
            }
            let norm: f64 = (0..n).map(|j| v[j * n + i].norm_sqr()).sum();
            assert!((norm - 1.0).abs() < 1e-5);
        }
    }
}

#[test]
fn eigenvalues() {
    check_eig::<f32>();
    check_eig::<f64>();
    check_eig::<C32>();
    check_eig::<C64>();
    let mut w = [C64::ZERO; 2];
    eig(2, &[0.0f64, -1.0, 1.0, 0.0], &mut w, None).unwrap();
    assert!((w[0] - C64::I).norm() < 1e-12 && (w[1] + C64::I).norm() < 1e-12, "{w:?}");
}

fn check_lstsq<T: Spectral>() {
    let mut rng = Rng(7);
    let rcond: T::R = num_traits::NumCast::from(if size_of::<T::R>() == 4 { 1e-5 } else { 1e-14 }).unwrap();
    for (m, n) in [(0, 2), (2, 0), (5, 5), (20, 6), (6, 20), (40, 40)] {
        for driver in [Driver::Gels, Driver::Gelsy, Driver::Gelsd, Driver::Gelss] {
            let a: Vec<T> = random(&mut rng, m * n);
            let b: Vec<T> = random(&mut rng, m * 2);
            let x = lstsq(m, n, 2, &a, &b, rcond, driver).unwrap();
            assert_eq!((x.info, x.rank), (0, m.min(n)), "{m} {n} {driver:?}");
            let mut rest = product(m, 2, n, &a, &x.solution);
            rest.iter_mut().zip(&b).for_each(|(x, &y)| *x -= y);
            // The normal equations hold, and wide systems are solved exactly.
            let normal = product(n, 2, m, &adjoint(m, n, &a), &rest);
            assert!(distance(&normal, &vec![T::ZERO; n * 2]) < 1e4, "{m} {n} {driver:?}");
            let some = m > n && n > 0 && driver != Driver::Gelsy;
            assert_eq!(x.residuals.len(), if some { 2 } else { 0 });
        }
    }
    // Rank one, least norm: [[1, 1], [1, 1]] x = [2, 2] is solved by [1, 1].
    let (ones, b) = (vec![T::ONE; 4], vec![T::ONE + T::ONE; 2]);
    for driver in [Driver::Gelsy, Driver::Gelsd] {
        let x = lstsq(2, 2, 1, &ones, &b, rcond, driver).unwrap();
        assert_eq!(x.rank, 1);
        assert!(distance(&x.solution, &[T::ONE; 2]) < 20.0);
    }
}

#[test]
fn least_squares() {
    check_lstsq::<f32>();
    check_lstsq::<f64>();
    check_lstsq::<C32>();
    check_lstsq::<C64>();
}

fn check_ldl<T: LinalgElement>() {
    let mut rng = Rng(8);
    for n in [0, 1, 2, 3, 5, 10, 40] {
        for is_hermitian in [false, true] {
            for round in 0..10 {
                let mut a: Vec<T> = random(&mut rng, n * n);
                let b = if is_hermitian { adjoint(n, n, &a) } else { transpose(n, n, &a, |x| x) };
                a.iter_mut().zip(&b).for_each(|(x, &y)| *x += y);
                if round % 2 == 0 {
                    // A zero diagonal forces 2 x 2 blocks.
                    a.iter_mut().step_by(n + 1).for_each(|x| *x = T::ZERO);
                }
                if n == 1 {
                    a[0] = T::ONE;
                }
                let x: Vec<T> = random(&mut rng, n * 2);
                let mut b = product(n, 2, n, &a, &x);
                let (mut ld, mut pivots) = (a.clone(), vec![0; n]);
                if ldl_factor(n, &mut ld, is_hermitian, &mut pivots).unwrap() != 0 {
                    continue;
                }
                ldl_solve(n, 2, &mut ld, &pivots, is_hermitian, &mut b).unwrap();
                assert!(distance(&b, &x) < 1e6, "{n} {is_hermitian} {}", distance(&b, &x));
            }
        }
    }
    assert!(ldl_solve(2, 1, &mut [T::ONE; 4], &[-1, 2], false, &mut [T::ONE; 2]).is_err());
}

#[test]
fn ldl() {
    check_ldl::<f64>();
    check_ldl::<C64>();
}

#[test]
fn exponential() {
    let mut out = [0.0f64; 4];
    matrix_exp(2, &[0.0, -1.0, 1.0, 0.0], &mut out).unwrap();
    let (s, c) = 1f64.sin_cos();
    assert!(distance(&out, &[c, -s, s, c]) < 8.0);
    for scale in [1e-3, 0.1, 0.5, 1.5, 4.0, 30.0] {
        matrix_exp(2, &[0.0, -scale, scale, 0.0], &mut out).unwrap();
        let (s, c) = scale.sin_cos();
        assert!(distance(&out, &[c, -s, s, c]) < 200.0, "{scale} {out:?}");
        let mut single = [0.0f32; 4];
        let x = scale as f32;
        matrix_exp(2, &[0.0, -x, x, 0.0], &mut single).unwrap();
        assert!(distance(&single, &[c as f32, -s as f32, s as f32, c as f32]) < 200.0);
    }
    let mut out = [C64::ZERO];
    matrix_exp(1, &[C64::new(0.0, std::f64::consts::PI)], &mut out).unwrap();
    assert!((out[0] + 1.0).norm() < 1e-14);
    let mut out = [0.0f64];
    matrix_exp(1, &[f64::INFINITY], &mut out).unwrap();
    assert!(out[0].is_nan());
}

#[test]
fn tiny_systems_are_bitwise_as_recorded() {
    #[cfg(target_arch = "x86_64")]
    if !std::arch::is_x86_feature_detected!("fma") {
        return;
    }
    let floats = |text: &str| -> Vec<f32> {
        text.split_whitespace().map(|x| f32::from_bits(x.parse::<i32>().unwrap() as u32)).collect()
    };
    let mut seen = 0;
    for line in include_str!("../../tests/fixtures/inverse.txt").lines().filter(|line| !line.starts_with('#'))
    {
        let parts: Vec<&str> = line.split('|').collect();
        let (what, n) = parts[0].split_once(' ').unwrap();
        let n: usize = n.parse().unwrap();
        let (mut a, expected) = (floats(parts[1]), floats(parts[3]));
        let result = match what {
            "inv" => {
                let mut out = vec![0.0; n * n];
                inv(n, &a, &mut out).unwrap();
                out
            }
            "solve" => {
                let mut b = floats(parts[2]);
                solve(n, 1, &a, &mut b).unwrap();
                b
            }
            _ => {
                let mut pivots = vec![0; n];
                lu_factor(n, n, &mut a, &mut pivots).unwrap();
                let recorded: Vec<i32> = parts[2].split_whitespace().map(|x| x.parse().unwrap()).collect();
                assert_eq!(pivots, recorded);
                a
            }
        };
        assert_eq!(result, expected, "{line}");
        seen += 1;
    }
    assert!(seen > 50);
}
