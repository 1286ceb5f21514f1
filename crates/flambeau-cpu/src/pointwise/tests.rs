//! The ways of the tile engine that depend on sizes and strides, against plain loops.

use super::{Operand, Operation, Prim, Program, Source, Step, run};
use flambeau_core::{DType, Element, Scalar};

fn sum() -> Program {
    let args = [Source::Input(0), Source::Input(1), Source::Input(1), Source::Input(1)];
    let steps = vec![Step { operation: Operation::Prim(Prim::Add), args, to: 0 }];
    Program { steps, result: Source::Register(0), registers: 1, consts: 0 }
}

fn operand<T: Element>(data: &mut [T], strides: &[i64]) -> Operand {
    Operand { pointer: data.as_mut_ptr().cast(), dtype: T::DTYPE, strides: strides.into() }
}

#[test]
fn transposed_operands() {
    for (rows, columns) in [(2, 40), (16, 33), (37, 100), (50, 5000), (3, 31)] {
        let mut a: Vec<f32> = (0..rows * columns).map(|i| i as f32).collect();
        let mut b: Vec<i32> = (0..rows * columns).map(|i| -3 * i as i32).collect();
        let mut out = vec![0f32; rows * columns];
        let (r, c) = (rows as i64, columns as i64);
        let (x, y, to) = (operand(&mut a, &[1, r]), operand(&mut b, &[1, r]), operand(&mut out, &[c, 1]));
        // SAFETY: operands of these sizes.
        unsafe { run(&sum(), DType::Float32, &[r, c], &to, &[x, y], &[]).unwrap() };
        for i in 0..rows {
            for j in 0..columns {
                assert_eq!(out[i * columns + j], -2.0 * (j * rows + i) as f32, "{rows} {columns} {i} {j}");
            }
        }
        // A transposed operand in three dimensions, and one that is broadcast.
        let mut out = vec![0f32; 2 * rows * columns];
        let (x, one) = (operand(&mut a, &[0, 1, r]), operand(&mut b[..1], &[0, 0, 0]));
        let to = operand(&mut out, &[r * c, c, 1]);
        // SAFETY: operands of these sizes.
        unsafe { run(&sum(), DType::Float32, &[2, r, c], &to, &[x, one], &[]).unwrap() };
        let right = |k: usize| (k % columns * rows + k / columns % rows) as f32;
        assert!(out.iter().enumerate().all(|(k, &v)| v == right(k)), "{rows} {columns}");
    }
}

/// Dense halves, which go without tiles, and strided ones, which do not, have the same results.
#[test]
fn halves_with_and_without_tiles() {
    let n = 1003;
    let bits: Vec<u16> = (0..n as u32 * 4).map(|i| (i.wrapping_mul(2654435761) >> 15) as u16).collect();
    for dtype in [DType::BFloat16, DType::Float16] {
        let prims = [Prim::Add, Prim::Sub, Prim::Mul, Prim::Div, Prim::Neg, Prim::Abs, Prim::Copysign];
        let chosen = [Operation::Choose(Prim::Lt), Operation::Choose(Prim::Le), Operation::Clamp];
        for operation in prims.map(Operation::Prim).into_iter().chain(chosen) {
            let mut program = sum();
            program.steps[0].operation = operation;
            if chosen.contains(&operation) {
                let (low, high) = (Source::Const(0), Source::Const(1));
                program.steps[0].args = [Source::Input(0), low, high, Source::Input(1)];
                program.consts = 2;
            }
            let consts = [Scalar::Float(-0.3), Scalar::Float(0.7)];
            let mut results = [1i64, 2].map(|stride| {
                let mut numbers = bits.clone();
                let mut out = vec![0u16; n];
                let place = |first: usize, numbers: &mut [u16]| Operand {
                    pointer: numbers[first..].as_mut_ptr().cast(),
                    dtype,
                    strides: [stride].into_iter().collect(),
                };
                // The same numbers at either stride.
                if stride == 2 {
                    (0..2 * n).for_each(|i| numbers[2 * i] = bits[i]);
                }
                let (x, y) = (place(0, &mut numbers), place(n * stride as usize, &mut numbers));
                let to =
                    Operand { pointer: out.as_mut_ptr().cast(), dtype, strides: [1].into_iter().collect() };
                // SAFETY: operands of n numbers.
                unsafe { run(&program, DType::Float32, &[n as i64], &to, &[x, y], &consts).unwrap() };
                out
            });
            let strided = results[1].split_off(0);
            // NaN may become quiet, or not.
            let infinite = if dtype == DType::BFloat16 { 0x7F80 } else { 0x7C00 };
            let same = |(&a, &b): (&u16, &u16)| a == b || [a, b].iter().all(|v| v & 0x7FFF > infinite);
            assert!(results[0].iter().zip(&strided).all(same), "{dtype} {operation:?}");
        }
    }
}

/// Short rows of operands that are broadcast along either dimension, have gaps or go backwards, of either dtype.
#[test]
fn short_rows() {
    for (batch, rows, inner) in
        [(1, 7, 1), (1, 300, 3), (3, 50, 10), (2, 1000, 16), (1, 70, 127), (2, 40, 128), (4, 3, 129)]
    {
        let (r, c) = (rows as i64, inner as i64);
        let layouts = [
            [0, c, 1],
            [c, 0, 1],
            [r, 1, 0],
            [0, 1, 0],
            [0, 0, 2],
            [2 * r * c, 2 * c, 2],
            [r * c, -c, -1],
            [3, 2, 5],
        ];
        let room = 8 * batch * rows * inner + 8;
        let number = |i: usize| (i * 37 % 1009) as i32;
        let mut a: Vec<f32> = (0..2 * room).map(|i| number(i) as f32).collect();
        let mut b: Vec<i32> = (0..2 * room).map(number).collect();
        for one in layouts {
            for other in layouts {
                let n = batch * rows * inner;
                let (mut out, mut bytes) = (vec![0f32; n], vec![0i16; n]);
                let dense = [r * c, c, 1];
                let (x, y) = (operand(&mut a[room..], &one), operand(&mut b[room..], &other));
                let sizes = [batch as i64, r, c];
                // SAFETY: operands of these sizes, in the middle of their memory.
                unsafe {
                    run(
                        &sum(),
                        DType::Float32,
                        &sizes,
                        &operand(&mut out, &dense),
                        &[x.clone(), y.clone()],
                        &[],
                    )
                    .unwrap();
                    run(&sum(), DType::Float32, &sizes, &operand(&mut bytes, &dense), &[x.clone(), y], &[])
                        .unwrap();
                }
                for (k, (&v, &w)) in out.iter().zip(&bytes).enumerate() {
                    let index = [k / inner / rows, k / inner % rows, k % inner].map(|i| i as i64);
                    let at = |strides: [i64; 3]| (0..3).map(|d| strides[d] * index[d]).sum::<i64>();
                    let value = |strides| number((room as i64 + at(strides)) as usize);
                    let expected = value(one) + value(other);
                    assert_eq!((v, w), (expected as f32, expected as i16), "{sizes:?} {one:?} {other:?} {k}");
                }
            }
            // In place, and as it is.
            let n = batch * rows * inner;
            let (mut out, mut copy) = (vec![1.5f32; n], vec![0f64; n]);
            let dense = [r * c, c, 1];
            let (to, x) = (operand(&mut out, &dense), operand(&mut a[room..], &one));
            let plain = Program { steps: vec![], result: Source::Input(0), registers: 0, consts: 0 };
            let sizes = [batch as i64, r, c];
            // SAFETY: as above.
            unsafe {
                run(&sum(), DType::Float32, &sizes, &to, &[to.clone(), x.clone()], &[]).unwrap();
                run(&plain, DType::Float32, &sizes, &operand(&mut copy, &dense), &[x], &[]).unwrap();
            }
            assert!(out.iter().zip(&copy).all(|(&v, &x)| v as f64 == x + 1.5), "{sizes:?} {one:?}");
        }
    }
}

/// Short rows in more dimensions.
#[test]
fn short_rows_of_rows() {
    let layouts =
        [[0, 3, 1, 0], [0, 3, 0, 1], [1, 0, 0, 0], [0, 1, 3, 0], [36, 0, 0, 2], [0, 0, 2, 3], [9, 0, 3, 1]];
    for sizes in [[50, 4, 3, 3], [700, 1, 3, 3], [2, 60, 40, 3], [3, 5, 200, 2]] {
        let n = sizes.iter().product::<i64>() as usize;
        let mut a: Vec<f32> = (0..26000).map(|i| (i * 37 % 1009) as f32).collect();
        let mut b: Vec<i16> = (0..26000).map(|i| (i * 37 % 1009) as i16).collect();
        for one in layouts {
            for other in layouts {
                let mut out = vec![0f32; n];
                let dense = [sizes[1] * sizes[2] * sizes[3], sizes[2] * sizes[3], sizes[3], 1];
                let (x, y) = (operand(&mut a, &one), operand(&mut b, &other));
                // SAFETY: operands of these sizes, whose last elements are below 26000.
                unsafe {
                    run(&sum(), DType::Float32, &sizes, &operand(&mut out, &dense), &[x, y], &[]).unwrap()
                };
                for (k, &v) in out.iter().enumerate() {
                    let mut rest = k as i64;
                    let (mut i, mut j) = (0, 0);
                    for d in (0..4).rev() {
                        let index = rest % sizes[d];
                        rest /= sizes[d];
                        (i, j) = (i + index * one[d], j + index * other[d]);
                    }
                    assert_eq!(
                        v,
                        ((i * 37 % 1009) + (j * 37 % 1009)) as f32,
                        "{sizes:?} {one:?} {other:?} {k}"
                    );
                }
            }
        }
    }
}
