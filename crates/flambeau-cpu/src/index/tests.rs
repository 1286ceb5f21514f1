use super::*;
use crate::mask::{count_nonzero, nonzero, select};

fn operand<T>(data: &mut [T], dtype: DType, strides: &[i64]) -> Operand {
    Operand { pointer: data.as_mut_ptr().cast(), dtype, strides: SmallVec::from_slice(strides) }
}

#[test]
fn takes_puts_and_folds() {
    let mut table = [10i32, 11, 12, 20, 21, 22];
    let picks = [1i64, -2, 1];
    let mut out = [0i32; 9];
    // out[i][j] = table[picks[i]][j]
    let walk = |plain: Operand, indexed: Operand| Walk {
        sizes: SmallVec::from_slice(&[3, 3]),
        plain,
        indexed,
        indices: SmallVec::from_vec(vec![Index {
            values: picks.as_ptr(),
            strides: SmallVec::from_slice(&[1, 0]),
            size: 2,
            stride: 3,
        }]),
    };
    let w = walk(operand(&mut out, DType::Int32, &[3, 1]), operand(&mut table, DType::Int32, &[0, 1]));
    // SAFETY: nine outputs, indices within the two rows.
    unsafe { take(&w) };
    assert_eq!(out, [20, 21, 22, 10, 11, 12, 20, 21, 22]);
    let mut ones = [1i32; 9];
    let w = walk(operand(&mut ones, DType::Int32, &[3, 1]), operand(&mut table, DType::Int32, &[0, 1]));
    // SAFETY: as above.
    unsafe { fold(&w, Fold::Add) };
    assert_eq!(table, [11, 12, 13, 22, 23, 24]);
    // SAFETY: as above.
    unsafe { put(&w) };
    assert_eq!(table, [1; 6]);
}

fn coordinates(mask: &[u8], sizes: &[i64]) -> Vec<i64> {
    let mut out = vec![0; count_nonzero(mask) * sizes.len()];
    nonzero(mask, sizes, &mut out);
    out
}

#[test]
fn ranges_and_counts() {
    for n in [0usize, 1, 7, 8, 129, 4095, 9000] {
        let mask: Vec<u8> = (0..n).map(|i| if i * 7919 % 5 < 2 { (i % 255 + 1) as u8 } else { 0 }).collect();
        let places: Vec<i64> = (0..n).filter(|&i| mask[i] != 0).map(|i| i as i64).collect();
        assert_eq!(count_nonzero(&mask), places.len());
        assert_eq!(coordinates(&mask, &[n as i64]), places);
        let from: Vec<u16> = (0..n as u16).collect();
        let mut to = vec![0u16; places.len()];
        // SAFETY: as many elements as the mask has, and as it selects.
        unsafe { select(&mask, 2, from.as_ptr().cast(), to.as_mut_ptr().cast()) };
        assert!(to.iter().map(|&i| i as i64).eq(places.iter().copied()));
        assert!(within(&places, 0, n as i64) && places.is_empty() == within(&places, -3, -2));
        if let Some(&last) = places.last() {
            assert!(!within(&places, 0, last) && within(&places, 0, last + 1) && !within(&places, 3, 3));
        }
    }
    assert!(
        within(&[i64::MIN, i64::MAX - 1], i64::MIN, i64::MAX) && !within(&[i64::MAX], i64::MIN, i64::MAX)
    );
    assert!(!within(&[-1], 0, i64::MAX) && within(&[-5, 4], -5, 5));
}

/// Rows added to rows, and single elements along the indexed dimension and across it.
#[test]
fn rows_and_elements_add_up() {
    for n in [1usize, 5, 33, 100] {
        let mut source: Vec<f32> = (0..3 * n).map(|i| i as f32 - 7.5).collect();
        let mut sums = vec![1f32; 2 * n];
        let picks = [1i64, 0, -1];
        let sizes = SmallVec::from_slice(&[3, n as i64]);
        let index = Index {
            values: picks.as_ptr(),
            strides: SmallVec::from_slice(&[1, 0]),
            size: 2,
            stride: n as i64,
        };
        let row = n as i64;
        let walk = Walk {
            sizes,
            plain: operand(&mut source, DType::Float32, &[row, 1]),
            indexed: operand(&mut sums, DType::Float32, &[0, 1]),
            indices: SmallVec::from_vec(vec![index]),
        };
        // SAFETY: three rows of n elements added to two.
        unsafe { fold(&walk, Fold::Add) };
        let wanted = |i: usize| if i < n { 1.0 + source[n + i] } else { 1.0 + source[i - n] + source[n + i] };
        assert_eq!(sums, (0..2 * n).map(wanted).collect::<Vec<_>>());
        for dim in 0..2 {
            // out[i][j] = table[index[i][j]][j], or table[i][index[i][j]]
            let mut table: Vec<i32> = (0..n * n).map(|i| i as i32).collect();
            let places: Vec<i64> = (0..n * n).map(|i| (i * 31 % n) as i64 - (i % 2 * n) as i64).collect();
            let mut out = vec![0i32; n * n];
            let strides = if dim == 0 { [0, 1] } else { [row, 0] };
            let walk = Walk {
                sizes: SmallVec::from_slice(&[row, row]),
                plain: operand(&mut out, DType::Int32, &[row, 1]),
                indexed: operand(&mut table, DType::Int32, &strides),
                indices: SmallVec::from_vec(vec![Index {
                    values: places.as_ptr(),
                    strides: SmallVec::from_slice(&[row, 1]),
                    size: row,
                    stride: if dim == 0 { row } else { 1 },
                }]),
            };
            // SAFETY: a table, its indices and results of one size.
            unsafe { take(&walk) };
            for (i, &have) in out.iter().enumerate() {
                let k = places[i].rem_euclid(row) as usize;
                assert_eq!(have as usize, if dim == 0 { k * n + i % n } else { i / n * n + k });
            }
        }
    }
}

#[test]
fn nan_wins() {
    assert!(1.0f32.fold(f32::NAN, Fold::Max).is_nan() && f32::NAN.fold(1.0, Fold::Min).is_nan());
    assert_eq!(2.0f64.fold(1.0, Fold::Max), 2.0);
}

#[test]
fn coordinates_and_triangles() {
    assert_eq!(coordinates(&[0, 1, 0, 1, 1, 0], &[2, 3]), [0, 1, 1, 0, 1, 1]);
    assert_eq!(coordinates(&[1], &[]), [] as [i64; 0]);
    let mut m = [1u8; 6];
    triangle(&mut m, 1, 2, 3, 0, false);
    assert_eq!(m, [1, 0, 0, 1, 1, 0]);
    let mut m = [1u8; 6];
    triangle(&mut m, 1, 2, 3, i64::MAX, true);
    assert_eq!(m, [0; 6]);
}

#[test]
fn rows_of_all_lengths_and_short_lines() {
    for n in [1usize, 3, 15, 16, 17, 25, 40, 63, 64, 65, 100, 1025, 2000] {
        let rows = 9usize;
        let mut table: Vec<i32> = (0..(rows * n) as i32).collect();
        let picks: Vec<i64> = (0..37).map(|i| i * 7 % 18 - 9).collect();
        let row = |pick: i64| (if pick < 0 { pick + rows as i64 } else { pick }) as usize * n;
        let mut out = vec![-1i32; picks.len() * n];
        let walk = |plain: &mut Vec<i32>, indexed: &mut Vec<i32>| Walk {
            sizes: SmallVec::from_slice(&[picks.len() as i64, n as i64]),
            plain: operand(plain, DType::Int32, &[n as i64, 1]),
            indexed: operand(indexed, DType::Int32, &[0, 1]),
            indices: SmallVec::from_vec(vec![Index {
                values: picks.as_ptr(),
                strides: SmallVec::from_slice(&[1, 0]),
                size: rows as i64,
                stride: n as i64,
            }]),
        };
        // SAFETY: as many elements, indices within the rows.
        unsafe { take(&walk(&mut out, &mut table)) };
        for (out, &pick) in out.chunks(n).zip(&picks) {
            assert_eq!(out, &table[row(pick)..][..n]);
        }
        let mut back = vec![-1i32; rows * n];
        // SAFETY: as above.
        unsafe { put(&walk(&mut out, &mut back)) };
        assert_eq!(back, table);
        // A line of values for each row.
        let values: Vec<i64> = (0..rows * n).map(|i| (i * 5 % (2 * n)) as i64 - n as i64).collect();
        let mut lines = vec![-1i32; rows * n];
        let along = |plain: &mut Vec<i32>, indexed: &mut Vec<i32>| Walk {
            sizes: SmallVec::from_slice(&[rows as i64, n as i64]),
            plain: operand(plain, DType::Int32, &[n as i64, 1]),
            indexed: operand(indexed, DType::Int32, &[n as i64, 0]),
            indices: SmallVec::from_vec(vec![Index {
                values: values.as_ptr(),
                strides: SmallVec::from_slice(&[n as i64, 1]),
                size: n as i64,
                stride: 1,
            }]),
        };
        // SAFETY: as above.
        unsafe { take(&along(&mut lines, &mut table)) };
        let column = |v: i64| (if v < 0 { v + n as i64 } else { v }) as usize;
        for (i, &v) in lines.iter().enumerate() {
            assert_eq!(v, table[i / n * n + column(values[i])]);
        }
        let mut sums = vec![0i32; rows * n];
        // SAFETY: as above.
        unsafe { fold(&along(&mut lines, &mut sums), Fold::Add) };
        let mut expected = vec![0i32; rows * n];
        for (i, &v) in lines.iter().enumerate() {
            expected[i / n * n + column(values[i])] += v;
        }
        assert_eq!(sums, expected);
    }
}
