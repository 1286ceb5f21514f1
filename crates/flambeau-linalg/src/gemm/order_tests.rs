//! The orders of sums that PyTorch's build with MKL has on processors with AVX-512, whatever the level here: only fused
//! products are needed. The numbers were recorded from PyTorch 2.15.
#![cfg(target_arch = "x86_64")]

use super::{dot, gemv};
use flambeau_core::{C32, C64};

fn numbers(n: usize, step: i64, period: i64, middle: i64) -> impl Iterator<Item = f64> {
    (0..n as i64).map(move |k| (k * step % period - middle) as f64)
}

fn a(n: usize) -> impl Iterator<Item = f64> {
    numbers(n, 37, 101, 50)
}

fn b(n: usize) -> impl Iterator<Item = f64> {
    numbers(n, 53, 97, 48)
}

/// `torch.mv` of seven rows, of which three are no group of four: a hash of the bits of the sums.
#[test]
fn rows_of_matrices() {
    if !std::is_x86_feature_detected!("fma") {
        return;
    }
    const EXPECTED: [(usize, u64, u64); 8] = [
        (1, 0x0e1b_ae26_80db_75d2, 0x091f_ffff_fafd_b129),
        (3, 0x0e06_0368_1eda_f684, 0xac65_9c42_7568_2c86),
        (9, 0x0e0e_b6dd_c8fa_0543, 0xf5df_7959_b0bb_aff8),
        (17, 0x0efb_2f00_dc87_b5de, 0x5296_f7b0_0254_0b44),
        (18, 0x0e26_a048_3d26_a30f, 0xcb65_909f_5805_4545),
        (33, 0x0e28_050e_cae5_0cd6, 0x0eb5_263b_5ce7_19fd),
        (70, 0x0f22_cfa5_27da_c291, 0x7126_3a98_c5ee_78ec),
        (200, 0x0e46_77e9_27c8_28aa, 0xd566_13f2_3c9b_661a),
    ];
    let hash = |bits: u64, next: u64| bits.wrapping_mul(31).wrapping_add(next);
    for (n, single, double) in EXPECTED {
        let m: Vec<f32> = a(7 * n).map(|k| k as f32 / 7.0).collect();
        let x: Vec<f32> = b(n).map(|k| k as f32 / 11.0).collect();
        let mut y = [0f32; 7];
        gemv(7, n, 1.0, &m, n, 1, &x, 1, 0.0, &mut y, 1).unwrap();
        assert_eq!(y.iter().fold(0, |h, y| hash(h, y.to_bits().into())), single, "{n}");
        let m: Vec<f64> = a(7 * n).map(|k| k / 7.0).collect();
        let x: Vec<f64> = b(n).map(|k| k / 11.0).collect();
        let mut y = [0f64; 7];
        gemv(7, n, 1.0, &m, n, 1, &x, 1, 0.0, &mut y, 1).unwrap();
        assert_eq!(y.iter().fold(0, |h, y| hash(h, y.to_bits())), double, "{n}");
    }
}

/// `torch.dot` of complex numbers.
#[test]
fn complex_dot_products() {
    if !std::is_x86_feature_detected!("fma") {
        return;
    }
    const SINGLE: [(usize, u32, u32); 8] = [
        (1, 0x42000d4c, 0x409b6db7),
        (3, 0x41912493, 0x41756711),
        (9, 0x40f6db6c, 0x41af45d2),
        (17, 0xc0e98efc, 0x42805d18),
        (24, 0x419fcac9, 0x4291f2b4),
        (40, 0x4215248f, 0xc16427e4),
        (57, 0x41b00000, 0xc220d4c7),
        (200, 0xc0d2b350, 0x41854c84),
    ];
    const DOUBLE: [(usize, u64, u64); 8] = [
        (1, 0x404001a98ef606a6, 0x40136db6db6db6da),
        (3, 0x4032249249249249, 0x402eace213f2b388),
        (9, 0x401edb6db6db6db4, 0x4035e8ba2e8ba2e7),
        (17, 0xc01d31dec0d4c778, 0x40500ba2e8ba2e8c),
        (24, 0x4033f959c427e569, 0x40523e567109f95a),
        (40, 0x4042a4924924924a, 0xc02c84fcace213f8),
        (57, 0x4036000000000008, 0xc0441a98ef606a64),
        (200, 0xc01a567109f95980, 0x4030a98ef606a638),
    ];
    let pairs = |parts: Vec<f64>| -> Vec<[f64; 2]> { parts.chunks(2).map(|p| [p[0], p[1]]).collect() };
    for (n, re, im) in SINGLE {
        let single = |parts, by: f32| -> Vec<C32> {
            pairs(parts).into_iter().map(|[re, im]| C32::new(re as f32 / by, im as f32 / by)).collect()
        };
        let (x, y) = (single(a(2 * n).collect(), 7.0), single(b(2 * n).collect(), 11.0));
        let sum = dot(n, &x, 1, &y, 1).unwrap();
        assert_eq!((sum.re.to_bits(), sum.im.to_bits()), (re, im), "{n}");
    }
    for (n, re, im) in DOUBLE {
        let double = |parts, by: f64| -> Vec<C64> {
            pairs(parts).into_iter().map(|[re, im]| C64::new(re / by, im / by)).collect()
        };
        let (x, y) = (double(a(2 * n).collect(), 7.0), double(b(2 * n).collect(), 11.0));
        let sum = dot(n, &x, 1, &y, 1).unwrap();
        assert_eq!((sum.re.to_bits(), sum.im.to_bits()), (re, im), "{n}");
    }
}
