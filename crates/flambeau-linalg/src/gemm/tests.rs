use super::*;
use flambeau_core::{C32, C64};

/// A small deterministic generator of test values.
pub(crate) struct Rng(pub u64);
impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        self.0 >> 33
    }
    pub(crate) fn unit(&mut self) -> f64 {
        self.next() as f64 / (1u64 << 30) as f64 - 1.0
    }
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

trait Sample: GemmElement {
    fn sample(rng: &mut Rng) -> Self;
    fn distance(self, other: Self) -> f64;
}
impl Sample for f32 {
    fn sample(rng: &mut Rng) -> Self {
        rng.unit() as f32
    }
    fn distance(self, o: Self) -> f64 {
        (self - o).abs() as f64
    }
}
impl Sample for f64 {
    fn sample(rng: &mut Rng) -> Self {
        rng.unit()
    }
    fn distance(self, o: Self) -> f64 {
        (self - o).abs() * 1e8
    }
}
impl Sample for C32 {
    fn sample(rng: &mut Rng) -> Self {
        C32::new(rng.unit() as f32, rng.unit() as f32)
    }
    fn distance(self, o: Self) -> f64 {
        (self - o).norm() as f64
    }
}
impl Sample for C64 {
    fn sample(rng: &mut Rng) -> Self {
        C64::new(rng.unit(), rng.unit())
    }
    fn distance(self, o: Self) -> f64 {
        (self - o).norm() * 1e8
    }
}
impl Sample for i64 {
    fn sample(rng: &mut Rng) -> Self {
        (rng.next() as i64).wrapping_mul(0x1234_5678_9abc)
    }
    fn distance(self, o: Self) -> f64 {
        if self == o { 0.0 } else { f64::INFINITY }
    }
}

fn strides(rng: &mut Rng, rows: usize, cols: usize, zero: bool) -> (usize, usize) {
    match rng.below(if zero { 5 } else { 4 }) {
        0 => (cols.max(1), 1),
        1 => (1, rows.max(1)),
        2 => (cols * 2 + 1, 2),
        3 => (3, rows * 3 + 2),
        _ => [(0, 1), (1, 0), (0, 0)][rng.below(3)],
    }
}

fn check_type<T: Sample>(seed: u64) {
    let mut rng = Rng(seed);
    let sizes = [0, 1, 2, 3, 5, 8, 9, 13, 17, 33, 70];
    for round in 0..400 {
        let (m, n, k) = (sizes[rng.below(11)], sizes[rng.below(11)], sizes[rng.below(11)]);
        let (a_rs, a_cs) = strides(&mut rng, m, k, true);
        let (b_rs, b_cs) = strides(&mut rng, k, n, true);
        let (c_rs, c_cs) = strides(&mut rng, m, n, false);
        let a: Vec<T> = (0..extent(m, a_rs, k, a_cs).unwrap()).map(|_| T::sample(&mut rng)).collect();
        let b: Vec<T> = (0..extent(k, b_rs, n, b_cs).unwrap()).map(|_| T::sample(&mut rng)).collect();
        let before: Vec<T> = (0..extent(m, c_rs, n, c_cs).unwrap()).map(|_| T::sample(&mut rng)).collect();
        let alpha = [T::ONE, T::ZERO, T::sample(&mut rng)][rng.below(3)];
        let beta = [T::ONE, T::ZERO, T::sample(&mut rng)][rng.below(3)];
        let mut c = before.clone();
        gemm(m, n, k, alpha, &a, a_rs, a_cs, &b, b_rs, b_cs, beta, &mut c, c_rs, c_cs).unwrap();
        let mut expected = before;
        for i in 0..m {
            for j in 0..n {
                let mut sum = T::ZERO;
                for p in 0..k {
                    sum = sum.add(a[i * a_rs + p * a_cs].mul(b[p * b_rs + j * b_cs]));
                }
                let at = &mut expected[i * c_rs + j * c_cs];
                *at = alpha.mul(sum).add(beta.mul(*at));
            }
        }
        for (x, y) in c.iter().zip(&expected) {
            assert!(x.distance(*y) < 1e-4, "{round}: {m}x{n}x{k} {x:?} {y:?}");
        }
    }
}

#[test]
fn every_type_and_stride() {
    check_type::<f32>(1);
    check_type::<f64>(2);
    check_type::<C32>(3);
    check_type::<C64>(4);
    check_type::<i64>(5);
}

#[test]
fn beta_zero_does_not_read_c() {
    for (m, n, k) in
        [(3, 3, 3), (9, 9, 9), (40, 40, 40), (1, 50, 50), (50, 1, 50), (4, 4, 0), (30, 30, 1), (30, 30, 2)]
    {
        let (a, b) = (vec![1.0f32; m * k], vec![1.0f32; k * n]);
        let mut c = vec![f32::NAN; m * n];
        matmul(m, n, k, &a, &b, &mut c).unwrap();
        assert!(c.iter().all(|&x| x == k as f32), "{m} {n} {k}");
    }
}

#[test]
fn nothing_to_sum_scales_c() {
    let mut c = [1.0f64, 2.0, 3.0, 4.0];
    gemm(2, 2, 0, 1.0, &[], 1, 1, &[], 2, 1, 0.5, &mut c, 2, 1).unwrap();
    assert_eq!(c, [0.5, 1.0, 1.5, 2.0]);
}

#[test]
fn batches() {
    let mut rng = Rng(9);
    let (batch, m, n, k) = (5, 3, 4, 6);
    let a: Vec<f64> = (0..batch * m * k).map(|_| rng.unit()).collect();
    let b: Vec<f64> = (0..k * n).map(|_| rng.unit()).collect();
    let mut c = vec![0.0; batch * m * n];
    gemm_batched(batch, m, n, k, 1.0, &a, m * k, k, 1, &b, 0, n, 1, 0.0, &mut c, m * n, n, 1).unwrap();
    for i in 0..batch {
        let mut one = vec![0.0; m * n];
        matmul(m, n, k, &a[i * m * k..], &b, &mut one).unwrap();
        assert_eq!(one, c[i * m * n..][..m * n]);
    }
}

#[test]
fn short_operands_are_refused() {
    let mut c = [0.0f32; 4];
    assert!(matmul(2, 2, 3, &[0.0; 5], &[0.0; 6], &mut c).is_err());
    assert!(matmul(2, 2, 3, &[0.0; 6], &[0.0; 5], &mut c).is_err());
    assert!(matmul(2, 3, 2, &[0.0; 6], &[0.0; 6], &mut c).is_err());
    let huge = usize::MAX / 2;
    assert!(gemm(huge, 2, huge, 1.0f32, &[0.0], 3, 1, &[0.0], 1, 1, 0.0, &mut c, 3, 1).is_err());
    assert!(dot(3, &[1.0f32; 3], 2, &[1.0; 3], 1).is_err());
}

/// What `torch.dot` gives on a processor with AVX-512, whatever the level here: only fused products are needed.
#[test]
#[cfg(target_arch = "x86_64")]
fn dot_products_have_pytorchs_bits() {
    if !std::is_x86_feature_detected!("fma") {
        return;
    }
    const SINGLE: [(usize, u32); 13] = [
        (3, 0x419159c4),
        (5, 0x414109f8),
        (9, 0x41d3a2e8),
        (17, 0x42083532),
        (24, 0x4259f95a),
        (33, 0x4227d81a),
        (40, 0x42723bd8),
        (56, 0x42df6db6),
        (65, 0x42ea0d4d),
        (96, 0x42a52492),
        (120, 0x4301c77b),
        (200, 0x42ef670e),
        (1000, 0xc1f6214e),
    ];
    const DOUBLE: [(usize, u64); 13] = [
        (3, 0x40322b3884fcace2),
        (5, 0x4028213f2b3884fc),
        (9, 0x403a745d1745d174),
        (17, 0x404106a63bd81a98),
        (24, 0x404b3f2b3884fcac),
        (33, 0x4044fb03531dec0c),
        (40, 0x404e477b03531deb),
        (56, 0x405bedb6db6db6db),
        (65, 0x405d41a98ef606a7),
        (96, 0x4054a4924924924a),
        (120, 0x406038ef606a63be),
        (200, 0x405dece213f2b388),
        (1000, 0xc03ec427e56710a4),
    ];
    let numbers = |n: i64, step: i64, period: i64, middle: i64| {
        (0..n).map(move |k| (k * step % period - middle) as f64)
    };
    for (n, bits) in SINGLE {
        let x: Vec<f32> = numbers(n as i64, 37, 101, 50).map(|k| k as f32 / 7.0).collect();
        let y: Vec<f32> = numbers(n as i64, 53, 97, 48).map(|k| k as f32 / 11.0).collect();
        assert_eq!(dot(n, &x, 1, &y, 1).unwrap().to_bits(), bits, "{n}");
    }
    for (n, bits) in DOUBLE {
        let x: Vec<f64> = numbers(n as i64, 37, 101, 50).map(|k| k / 7.0).collect();
        let y: Vec<f64> = numbers(n as i64, 53, 97, 48).map(|k| k / 11.0).collect();
        assert_eq!(dot(n, &x, 1, &y, 1).unwrap().to_bits(), bits, "{n}");
    }
}

#[test]
fn vectors() {
    let mut rng = Rng(11);
    for n in [0, 1, 5, 31, 32, 33, 100, 3000] {
        let x: Vec<C64> = (0..2 * n).map(|_| C64::sample(&mut rng)).collect();
        let y: Vec<C64> = (0..3 * n).map(|_| C64::sample(&mut rng)).collect();
        for (ix, iy) in [(1, 1), (2, 3), (2, 1), (0, 1)] {
            let plain: C64 = (0..n).map(|i| x[i * ix] * y[i * iy]).sum();
            assert!((dot(n, &x, ix, &y, iy).unwrap() - plain).norm() < 1e-9);
        }
    }
}

#[test]
fn short_rows_add_up_in_a_known_order() {
    // Nine products: rows in groups of four, and one that is left.
    let x: Vec<f32> = (0..9).map(|i| 1.0 / (3.0 + i as f32)).collect();
    let a: Vec<f32> = (0..45).map(|i| 1.0 / (7.0 + (i * i % 31) as f32)).collect();
    let mut y = [0f32; 5];
    gemm(5, 1, 9, 1.0, &a, 9, 1, &x, 1, 1, 0.0, &mut y, 1, 1).unwrap();
    for (row, &y) in y.iter().enumerate() {
        let p: Vec<f32> = (0..9).map(|i| a[9 * row + i] * x[i]).collect();
        let expected = if row < 4 {
            (((p[0] + p[1]) + p[5]) + (p[3] + p[7])) + ((p[2] + p[6]) + (p[4] + p[8]))
        } else {
            p.iter().skip(1).fold(p[0], |s, &v| s + v)
        };
        assert_eq!(y.to_bits(), expected.to_bits(), "{row}");
    }
}

#[test]
fn rounded_products_add_up_one_after_the_other() {
    let a: Vec<f32> = (0..35).map(|i| 1.0 / (3.0 + i as f32)).collect();
    let b: Vec<f32> = (0..21).map(|i| 1.0 / (7.0 + (i * i % 5) as f32)).collect();
    let mut c = [0f32; 15];
    gemm_rounded(5, 3, 7, &a, 7, 1, &b, 3, 1, &mut c).unwrap();
    for (at, &c) in c.iter().enumerate() {
        let (i, j) = (at / 3, at % 3);
        let expected = (1..7).fold(a[7 * i] * b[j], |s, p| s + a[7 * i + p] * b[3 * p + j]);
        assert_eq!(c.to_bits(), expected.to_bits(), "{i} {j}");
    }
    gemm_rounded(5, 3, 0, &a, 7, 1, &b, 3, 1, &mut c).unwrap();
    assert_eq!(c, [0.0; 15]);
    assert!(gemm_rounded(5, 3, 7, &a[1..], 7, 1, &b, 3, 1, &mut c).is_err());
}

/// Biases of the columns, in products of all kinds.
#[test]
fn biases() {
    let mut rng = Rng(7);
    for (m, n, k) in
        [(1, 5, 3), (4, 1, 9), (3, 4, 0), (2, 3, 4), (9, 20, 30), (70, 33, 40), (40, 2100, 20), (65, 90, 800)]
    {
        for turned in 0..4 {
            let mut some = |count: usize| -> Vec<f64> { (0..count).map(|_| rng.unit()).collect() };
            let (a, b, bias) = (some(m * k), some(k * n), some(n));
            let (a_rs, a_cs) = if turned & 1 == 0 { (k, 1) } else { (1, m) };
            let (b_rs, b_cs) = if turned & 2 == 0 { (n, 1) } else { (1, k) };
            let mut c = vec![f64::NAN; m * n];
            gemm_biased(m, n, k, &a, a_rs, a_cs, &b, b_rs, b_cs, &bias, &mut c).unwrap();
            let mut plain = vec![0.0; m * n];
            gemm(m, n, k, 1.0, &a, a_rs, a_cs, &b, b_rs, b_cs, 0.0, &mut plain, n, 1).unwrap();
            for (i, (&c, plain)) in c.iter().zip(plain).enumerate() {
                assert!((c - (plain + bias[i % n])).abs() < 1e-12, "{m} {n} {k} {i}");
            }
        }
    }
    let mut c = [0.0; 4];
    assert!(gemm_biased(2, 2, 1, &[1.0; 2], 1, 1, &[1.0; 2], 2, 1, &[1.0; 3], &mut c).is_err());
    assert!(gemm_biased(2, 2, 1, &[1.0; 2], 1, 1, &[1.0; 2], 2, 1, &[1.0; 2], &mut c[..3]).is_err());
}

#[test]
fn small_products_round_every_term() {
    let a: Vec<f32> = (0..9).map(|i| 1.0 / (3.0 + i as f32)).collect();
    let b: Vec<f32> = (0..9).map(|i| 1.0 / (7.0 + (i * i % 5) as f32)).collect();
    let mut c = [0f32; 9];
    matmul(3, 3, 3, &a, &b, &mut c).unwrap();
    for (at, &c) in c.iter().enumerate() {
        let (i, j) = (at / 3, at % 3);
        let expected = (a[3 * i] * b[j] + a[3 * i + 1] * b[3 + j]) + a[3 * i + 2] * b[6 + j];
        assert_eq!(c.to_bits(), expected.to_bits(), "{i} {j}");
    }
}

/// Products large enough for several threads have the same bits on any number of them.
#[test]
fn any_number_of_threads() {
    fn check<T: GemmElement>(rng: &mut Rng, to: fn(f64) -> T, alpha: f64, beta: f64) {
        // rows, columns, both with remainders; a batch; vectors
        for (batch, m, n, k) in
            [(1, 301, 255, 140), (1, 130, 517, 150), (40, 70, 71, 60), (1, 1201, 1, 1103), (1, 1, 1300, 1024)]
        {
            assert!(batch * m * n * k * 8 > 2 * GRAIN);
            let mut numbers = |count: usize| (0..count).map(|_| to(rng.unit() - 0.5)).collect::<Vec<T>>();
            let (a, b, c) = (numbers(batch * m * k), numbers(batch * k * n), numbers(batch * m * n));
            let product = |threads: usize| {
                flambeau_core::parallel::set_num_threads(threads);
                let mut c = c.clone();
                let (x, y) = (to(alpha), to(beta));
                gemm_batched(batch, m, n, k, x, &a, m * k, k, 1, &b, k * n, n, 1, y, &mut c, m * n, n, 1)
                    .unwrap();
                c
            };
            let alone = product(1);
            for threads in [2, 3, 8] {
                assert!(product(threads) == alone, "{batch} {m} {n} {k} on {threads} threads");
            }
        }
    }
    let mut rng = Rng(9);
    check::<f32>(&mut rng, |x| x as f32, 1.0, 0.0);
    check::<f32>(&mut rng, |x| x as f32, 0.3, 0.7);
    check::<f64>(&mut rng, |x| x, 0.3, 1.0);
    flambeau_core::parallel::set_num_threads(1);
}
