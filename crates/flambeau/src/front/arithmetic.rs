//! `&a + &b`, `&a * 2.0`, `1.0 / &a`, `-&a`. Where the method would return an error the operator panics with its message.
//! Numbers are `f64` and `i64`, so that a literal has one type only.

use crate::ops;
use crate::{Result, Scalar, Tensor};
use std::ops::{Add, Div, Mul, Neg, Rem, Sub};

#[track_caller]
fn value(result: Result<Tensor>) -> Tensor {
    match result {
        Ok(tensor) => tensor,
        Err(error) => panic!("{error}"),
    }
}

fn one() -> Scalar {
    Scalar::Int(1)
}

/// The five operators in every combination of tensors, references to them and numbers.
macro_rules! binary {
    ($($trait:ident $method:ident: $tensors:expr, $scalar:expr, $reversed:expr;)*) => { $(
        binary!(@pair $trait $method $tensors; &Tensor, &Tensor; &Tensor, Tensor; Tensor, &Tensor; Tensor, Tensor);
        binary!(@number $trait $method $scalar, $reversed; f64 i64);
    )* };
    (@pair $trait:ident $method:ident $f:expr; $($left:ty, $right:ty);*) => { $(
        impl $trait<$right> for $left {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: $right) -> Tensor {
                let f: fn(&Tensor, &Tensor) -> Result<Tensor> = $f;
                #[allow(clippy::needless_borrow)]
                value(f(&self, &other))
            }
        }
    )* };
    (@number $trait:ident $method:ident $scalar:expr, $reversed:expr; $($number:ty)*) => { $(
        binary!(@one $trait $method $scalar, $reversed; &Tensor, $number);
        binary!(@one $trait $method $scalar, $reversed; Tensor, $number);
    )* };
    (@one $trait:ident $method:ident $scalar:expr, $reversed:expr; $tensor:ty, $number:ty) => {
        impl $trait<$number> for $tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: $number) -> Tensor {
                let f: fn(&Tensor, Scalar) -> Result<Tensor> = $scalar;
                #[allow(clippy::needless_borrow)]
                value(f(&self, other.into()))
            }
        }
        impl $trait<$tensor> for $number {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: $tensor) -> Tensor {
                let f: fn(&Tensor, Scalar) -> Result<Tensor> = $reversed;
                #[allow(clippy::needless_borrow)]
                value(f(&other, self.into()))
            }
        }
    };
}

binary! {
    Add add: |a, b| ops::add(a, b, one()), |a, s| ops::add_scalar(a, s, one()), |a, s| ops::add_scalar(a, s, one());
    Sub sub: |a, b| ops::sub(a, b, one()), |a, s| ops::sub_scalar(a, s, one()), |a, s| ops::rsub_scalar(a, s, one());
    Mul mul: ops::mul, ops::mul_scalar, ops::mul_scalar;
    Div div: ops::div, ops::div_scalar, |a, s| ops::mul_scalar(&ops::reciprocal(a)?, s);
    Rem rem: ops::remainder, ops::remainder_scalar, |a, s| ops::remainder_scalar_tensor(s, a);
}

impl Neg for &Tensor {
    type Output = Tensor;
    #[track_caller]
    fn neg(self) -> Tensor {
        value(ops::neg(self))
    }
}
impl Neg for Tensor {
    type Output = Tensor;
    #[track_caller]
    fn neg(self) -> Tensor {
        -&self
    }
}
