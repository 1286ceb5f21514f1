//! The ways of the tile engine that depend on sizes and strides, against plain loops.

use super::{Operand, Operation, Prim, Program, Source, Step, run};
use flambeau_core::{DType, Element};

fn sum() -> Program {
    let args = [Source::Input(0), Source::Input(1), Source::Input(1)];
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

#[test]
fn results_larger_than_the_caches() {
    let n = super::stream::STREAM / 4 + 4099;
    let mut a: Vec<f32> = (0..n).map(|i| (i % 1000) as f32).collect();
    let mut b = a.clone();
    let mut out = vec![0f32; n + 1];
    let (x, y, to) = (operand(&mut a, &[1]), operand(&mut b, &[1]), operand(&mut out[1..], &[1]));
    // SAFETY: operands of these sizes.
    unsafe { run(&sum(), DType::Float32, &[n as i64], &to, &[x, y], &[]).unwrap() };
    assert!(out[0] == 0.0 && out[1..].iter().enumerate().all(|(i, &v)| v == 2.0 * (i % 1000) as f32));
}

#[test]
fn streams_of_any_alignment() {
    let from: Vec<u8> = (0..200u8).collect();
    for (start, n) in [(0, 0), (1, 5), (3, 100), (8, 160), (15, 16), (16, 17)] {
        let mut to = vec![255u8; 250];
        // SAFETY: within both.
        unsafe { super::stream::stream(from.as_ptr(), to.as_mut_ptr().add(start), n) };
        super::stream::settle();
        assert_eq!(&to[start..start + n], &from[..n]);
        assert!(to[..start].iter().chain(&to[start + n..]).all(|&v| v == 255));
    }
}
