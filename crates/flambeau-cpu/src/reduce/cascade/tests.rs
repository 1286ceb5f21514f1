//! The order of sums, by definition.

use super::*;

#[test]
fn short_rows_are_rows() {
    fn check<S: Source, const N: usize, const W: usize, const P: usize>(make: impl Fn(f32) -> S)
    where
        S::Sum: PartialEq,
    {
        for n in (1..5 * P * W * SIDE).chain([400, 511, 512]).filter(|&n| is_short::<S, P>(n)) {
            let x: Vec<S> = (0..ROWS * (n + 3)).map(|i| make((i * 37 % 101) as f32 * 0.37 - 9.1)).collect();
            // SAFETY: rows of n elements, three more between them.
            let sums = unsafe { short_rows::<S, W, P>(x.as_ptr(), n, n as isize + 3) };
            for (r, sum) in sums.into_iter().enumerate() {
                // SAFETY: as above.
                let single = unsafe { row::<S, N, W, P>(x.as_ptr().add(r * (n + 3)), n, &[]) };
                assert!(sum == single, "{n} {r}");
            }
        }
    }
    check::<f32, 32, 8, 1>(|x| x);
    check::<f64, 16, 4, 1>(|x| x as f64 / 3.0);
    check::<bf16, 32, 8, 2>(bf16::from_f32);
    check::<C32, 16, 4, 1>(|x| C32::new(x, 1.0 / x));
}

/// PyTorch's order: 16 numbers are four vectors of four, added up one to the other, and then their lanes.
#[test]
fn complex_numbers_have_vectors_of_four() {
    let x: Vec<C32> = (1..=20).map(|i| C32::new(1.0 / i as f32, (i as f32).sqrt())).collect();
    let lane = |l: usize| (((x[l] + x[16 + l]) + x[4 + l]) + x[8 + l]) + x[12 + l];
    let expected = ((lane(0) + lane(1)) + lane(2)) + lane(3);
    // SAFETY: 20 elements.
    assert_eq!(unsafe { row::<C32, 16, 4, 1>(x.as_ptr(), 20, &[]) }, expected);
}

#[test]
fn known_sums_change_nothing() {
    for n in [LONG, 1_000_003, 65_536 * 33 + 77] {
        let x: Vec<f32> = (0..n).map(|i| (i * 7919 % 10007) as f32 * 0.37 - 999.1).collect();
        let known = known::<f32, 32, 8, 1>(x.as_ptr(), n).unwrap();
        assert!(!known.is_empty());
        // SAFETY: n elements.
        let [a, b] = unsafe {
            [row::<f32, 32, 8, 1>(x.as_ptr(), n, &[]), row::<f32, 32, 8, 1>(x.as_ptr(), n, &known)]
        };
        assert_eq!(a.to_bits(), b.to_bits(), "{n}");
    }
}

#[test]
fn rows_and_columns_add_up() {
    for n in [1, 3, 4, 7, 8, 9, 33, 500, 5000] {
        let x: Vec<f64> = (0..n).map(|i| (i % 17) as f64).collect();
        let exact: f64 = x.iter().sum();
        // SAFETY: n elements.
        assert_eq!(unsafe { row::<f64, 16, 4, 1>(x.as_ptr(), n, &[]) }, exact);
        for width in [1, 3, 8, 40] {
            let wide: Vec<f32> = (0..n * width).map(|i| (i / width % 17) as f32).collect();
            let mut out = vec![0f32; width];
            // SAFETY: n rows of `width` elements.
            unsafe { columns::<f32, 32, 8>(wide.as_ptr(), n, width as isize, &mut out, width < 8) };
            assert!(out.iter().all(|&v| v as f64 == exact), "{n} {width}");
        }
    }
}

/// The order, element by element: lane `l` of a line of sums, lines in blocks of blocks, then lanes.
fn plain(x: &[f32]) -> f32 {
    let w = if x.len() < 8 { 1 } else { 8 };
    let lines = x.len() / (4 * w);
    let (step, power) = block_size(lines);
    let mut lanes: Vec<f32> = (0..4 * w)
        .map(|l| {
            let mut sums = [0f32; LEVELS];
            for i in 1..=lines {
                sums[0] += x[(i - 1) * 4 * w + l];
                let mut j = 1;
                while i % step == 0 && j < LEVELS {
                    sums[j] += std::mem::take(&mut sums[j - 1]);
                    if i & ((step - 1) << (j * power)) != 0 {
                        break;
                    }
                    j += 1;
                }
            }
            sums[0] + sums[1] + sums[2] + sums[3]
        })
        .collect();
    let vectors = x.len() / w;
    (lines * 4 * w..vectors * w).for_each(|i| lanes[i % w] += x[i]);
    let total = |l: usize| lanes[l] + lanes[w + l] + lanes[2 * w + l] + lanes[3 * w + l];
    let rest = if w == 1 { 0.0 } else { x[vectors * w..].iter().fold(0.0, |t, v| t + v) };
    match w {
        1 => total(0),
        _ => (0..w).fold(rest, |t, l| t + total(l)),
    }
}

#[test]
fn the_order_of_additions() {
    use crate::wide::{Level, highest, wide_at};
    for n in [1, 5, 7, 8, 31, 32, 100, 511, 512, 1000, 1023, 9000, 70_001, 600_000] {
        let x: Vec<f32> = (0..n).map(|i| ((i * 7919 % 1013) as f32 - 500.0) * 1e-3).collect();
        for level in [Level::Baseline, Level::Avx2, Level::Avx512].into_iter().filter(|&l| l <= highest()) {
            // SAFETY: n elements.
            let sum = wide_at(level, || unsafe { row::<f32, 32, 8, 1>(x.as_ptr(), n, &[]) });
            assert_eq!(sum.to_bits(), plain(&x).to_bits(), "{n} {level:?}");
        }
        // Columns of a wide matrix add up like lines of one lane.
        let width = 43;
        let rows = n.min(5000);
        let wide: Vec<f32> = (0..rows * width).map(|i| ((i * 7919 % 1013) as f32 - 500.0) * 1e-3).collect();
        let mut out = vec![0f32; width];
        // SAFETY: `rows` rows of `width` elements.
        unsafe { columns::<f32, 32, 8>(wide.as_ptr(), rows, width as isize, &mut out, width < 8) };
        // SAFETY: as above.
        let one = unsafe { line_blocks::<f32, 1, 1>(wide.as_ptr().add(7), rows, width as isize, &[]) }[0];
        assert_eq!(out[7].to_bits(), one.to_bits());
    }
}

#[test]
fn errors_grow_slowly_with_the_length() {
    let x = vec![0.1f32; 1 << 22];
    // The number that PyTorch gives on one thread.
    // SAFETY: as many elements as there are.
    assert_eq!(unsafe { row::<f32, 32, 8, 1>(x.as_ptr(), x.len(), &[]) }, 419_430.28);
}

/// Columns that fill no line of vectors are added up as a row of them alone would be.
#[test]
fn last_columns_are_rows_of_vectors() {
    fn check<S: Source, const N: usize, const W: usize>(make: impl Fn(f32) -> S)
    where
        S::Sum: PartialEq + std::fmt::Debug,
    {
        for n in [1, 3, 7, 64, 70, 1000] {
            for count in (1..50).chain([PANEL + 1, PANEL + 5, PANEL + 9]) {
                let x: Vec<S> =
                    (0..n * count).map(|i| make((i * 7919 % 10007) as f32 * 0.37 - 999.1)).collect();
                let mut out = vec![S::Sum::zero(); count];
                for first in (0..count).step_by(PANEL) {
                    let (from, end) = (x.as_ptr().wrapping_add(first), count.min(first + PANEL));
                    // SAFETY: n rows of `count` elements.
                    unsafe { columns::<S, N, W>(from, n, count as isize, &mut out[first..end], count < W) };
                }
                let lines = if count < W { count / SIDE * SIDE } else { count / N * N };
                for c in lines..count {
                    let column: Vec<S> = (0..n).map(|i| x[i * count + c]).collect();
                    // SAFETY: n elements.
                    let expected = unsafe { row::<S, SIDE, 1, 1>(column.as_ptr(), n, &[]) };
                    assert_eq!(out[c], expected, "{n} {count} {c}");
                }
            }
        }
    }
    check::<f32, 32, 8>(|x| x);
    check::<f64, 16, 4>(|x| x as f64 / 3.0);
    check::<C32, 16, 4>(|x| C32::new(x, 1.0 / x));
    check::<C64, 8, 2>(|x| C64::new(x as f64 / 3.0, x as f64 / 7.0));
}
