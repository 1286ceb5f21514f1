//! Copies of any strides and sizes of elements, against plain loops.

use super::copy;
use crate::pointwise::Operand;
use crate::test_rng::Rng;
use flambeau_core::{DType, Element};

/// Copies between arrays of bytes that were laid out with these strides, forward or backward.
fn check(dtype: DType, sizes: &[i64], to: &[i64], from: &[i64]) {
    let size = dtype.size();
    // Where the first element is, and how much memory there is.
    let extent = |strides: &[i64]| {
        let reach = |sign: i64| -> i64 {
            sizes.iter().zip(strides).map(|(&n, &s)| ((n - 1) * s * sign).max(0)).sum::<i64>()
        };
        (reach(-1) as usize * size, (reach(1) + reach(-1) + 1) as usize * size)
    };
    let ((source_at, source_len), (target_at, target_len)) = (extent(from), extent(to));
    let mut source: Vec<u8> = (0..source_len).map(|i| (i * 37 + i / 251) as u8).collect();
    let mut target = vec![0xEEu8; target_len + 3];
    let mut right = target.clone();
    let mut index = vec![0i64; sizes.len()];
    'all: loop {
        let at = |strides: &[i64]| index.iter().zip(strides).map(|(i, s)| i * s).sum::<i64>() * size as i64;
        let (t, s) = (target_at as i64 + 3 + at(to), source_at as i64 + at(from));
        right[t as usize..][..size].copy_from_slice(&source[s as usize..][..size]);
        let mut d = 0;
        loop {
            if d == sizes.len() {
                break 'all;
            }
            index[d] += 1;
            if index[d] < sizes[d] {
                break;
            }
            index[d] = 0;
            d += 1;
        }
    }
    let operand = |data: &mut [u8], at: usize, strides: &[i64]| Operand {
        pointer: data[at..].as_mut_ptr(),
        dtype,
        strides: strides.into(),
    };
    let dst = operand(&mut target, target_at + 3, to);
    let src = operand(&mut source, source_at, from);
    // SAFETY: arrays of these extents.
    unsafe { copy(&dst, &src, sizes).unwrap() };
    assert!(target == right, "{dtype} {sizes:?} {to:?} {from:?}");
}

const DTYPES: [DType; 5] = [DType::UInt8, DType::BFloat16, DType::Float32, DType::Int64, DType::Complex128];

#[test]
fn rows_lines_and_transposed() {
    for dtype in DTYPES {
        for (rows, columns) in [
            (1, 1),
            (3, 5),
            (70, 2),
            (71, 3),
            (69, 4),
            (3, 70),
            (8, 8),
            (9, 17),
            (33, 40),
            (7, 700),
            (65, 129),
        ] {
            let (r, c) = (rows as i64, columns as i64);
            check(dtype, &[r, c], &[c, 1], &[c, 1]);
            check(dtype, &[r, c], &[c + 3, 1], &[c + 2, 1]);
            check(dtype, &[r, c], &[c, 1], &[1, r]);
            check(dtype, &[r, c], &[1, r], &[c, 1]);
            check(dtype, &[r, c], &[c, 1], &[2 * c, 2]);
            check(dtype, &[r, c], &[c, 1], &[c, -1]);
            check(dtype, &[r, c], &[c, 1], &[-c, -1]);
            check(dtype, &[r, c], &[c, 1], &[0, 1]);
            check(dtype, &[r, c], &[c, 1], &[1, 0]);
            check(dtype, &[r, c], &[c, 1], &[0, 0]);
            check(dtype, &[r, c], &[3 * c, 3], &[c, 1]);
            check(dtype, &[2, r, 3, c], &[r * 3 * c, c, r * c, 1], &[c, 6 * c, 2 * c, 1]);
            check(dtype, &[2, 3, r, c], &[3 * r * c, r * c, c, 1], &[3, 1, 6, 6 * r]);
        }
    }
}

#[test]
fn transposed_beyond_the_caches() {
    for (dtype, rows, columns) in
        [(DType::Float32, 800, 801), (DType::Int64, 640, 512), (DType::Int16, 1100, 1008)]
    {
        check(dtype, &[rows, columns], &[columns, 1], &[1, rows]);
    }
    // Rows that begin with cache lines, as memory of tensors does.
    let (rows, columns) = (512i64, 1024 + 16);
    let mut source: Vec<u32> = (0..(rows * columns) as u32).collect();
    let mut target = vec![0u32; (rows * columns) as usize + 16];
    let start = target.as_ptr().align_offset(64);
    let dst = Operand {
        pointer: target[start..].as_mut_ptr().cast(),
        dtype: u32::DTYPE,
        strides: [columns, 1].as_slice().into(),
    };
    let src = Operand {
        pointer: source.as_mut_ptr().cast(),
        dtype: u32::DTYPE,
        strides: [1, rows].as_slice().into(),
    };
    // SAFETY: arrays of these sizes.
    unsafe { copy(&dst, &src, &[rows, columns]).unwrap() };
    for i in 0..rows * columns {
        assert_eq!(target[start + i as usize], (i % columns * rows + i / columns) as u32);
    }
}

#[test]
fn any_strides() {
    let mut rng = Rng(7);
    for _ in 0..300 {
        let rank = rng.below(4) + 1;
        let sizes: Vec<i64> = (0..rank).map(|_| rng.below(12) as i64 + 1).collect();
        let layout = |rng: &mut Rng, spread: bool| {
            let mut order: Vec<usize> = (0..rank).collect();
            for i in (1..rank).rev() {
                order.swap(i, rng.below(i + 1));
            }
            let (mut strides, mut stride) = (vec![0; rank], 1 + (spread && rng.below(3) == 0) as i64);
            for d in order {
                strides[d] = if rng.below(5) == 0 { -stride } else { stride };
                stride = stride * sizes[d] + if spread { rng.below(3) as i64 } else { 0 };
            }
            strides
        };
        let (to, mut from) = (layout(&mut rng, true), layout(&mut rng, true));
        if rng.below(4) == 0 {
            from[rng.below(rank)] = 0;
        }
        check(DTYPES[rng.below(5)], &sizes, &to, &from);
    }
}

#[test]
fn booleans_and_small_integers_to_floats() {
    let mut source: Vec<u8> = vec![0, 1, 2, 255, 0, 7];
    let mut to = [9f32; 6];
    let operand = |pointer: *mut u8, dtype| Operand { pointer, dtype, strides: [1].into_iter().collect() };
    let dst = operand(to.as_mut_ptr().cast(), DType::Float32);
    // SAFETY: six elements each.
    unsafe { copy(&dst, &operand(source.as_mut_ptr(), DType::Bool), &[6]).unwrap() };
    assert_eq!(to, [0.0, 1.0, 1.0, 1.0, 0.0, 1.0]);
    // SAFETY: as above.
    unsafe { copy(&dst, &operand(source.as_mut_ptr(), DType::Int8), &[6]).unwrap() };
    assert_eq!(to, [0.0, 1.0, 2.0, -1.0, 0.0, 7.0]);
}
