//! Tensors, random numbers, automatic derivatives, and a maximum-likelihood estimate by Newton's method.
//!
//! `cargo run -p flambeau --example introduction`

#[path = "common/mod.rs"]
mod common;

use common::Notebook;
use flambeau::autograd::functional::{hessian, jacobian};
use flambeau::autograd::{self, GradOptions};
use flambeau::io::StateDict;
use flambeau::ops::{join, random};
use flambeau::{
    DType, Result, Tensor, arange, full, linalg, linspace, manual_seed, rand, randn, tensor, zeros,
};
use std::f64::consts::PI;

#[allow(dead_code)]
fn main() -> Result<()> {
    run().map(drop)
}

pub fn run() -> Result<StateDict> {
    let mut page = Notebook::default();
    tensors(&mut page)?;
    derivatives(&mut page)?;
    likelihood(&mut page)?;
    Ok(page.finish())
}

fn tensors(page: &mut Notebook) -> Result<()> {
    page.show("steps", &arange(0., 1., 0.25, ())?)?;
    page.show("line", &linspace(0., 1., 5, ())?)?;
    manual_seed(1444);
    let (a, x) = (rand([2, 2], ())?, rand([2], ())?);
    page.show("A", &a)?;
    page.show("A @ x", &a.matmul(&x)?)?;
    page.show("x * x + x", &(&x * &x + &x))?;
    page.show("log x", &x.log()?)?;
    page.show("rows of A", &a.i(&x.gt_scalar(0.3)?)?)?;
    page.show("normal", &randn([20], ())?)?;
    let (ones, zeros) = (tensor([[1i64, 1], [1, 1]])?, zeros([3, 2], ())?);
    page.show("A over B", &join::cat(&[ones, zeros], 0)?)
}

/// `sin(2 pi x) + log(x)`
fn f(x: &Tensor) -> Result<Tensor> {
    (x * (2. * PI)).sin()?.add(&x.log()?)
}

fn derivatives(page: &mut Notebook) -> Result<()> {
    let x = tensor([1f32])?.requires_grad_(true)?;
    let gradient = autograd::grad(&f(&x)?, &[&x], None, GradOptions::default())?;
    page.show("f'(1)", gradient[0].as_ref().unwrap())?;
    let by_hand = (&x * (2. * PI)).cos()? * (2. * PI) + 1. / &x;
    page.show("f'(1) by hand", &by_hand)?;
    page.show("f''(1)", &hessian(f, &x)?)?;
    page.show("jacobian", &jacobian(f, &tensor([1f32, 1.])?)?)?;

    let (x, z) = (tensor([1f32])?.requires_grad_(true)?, tensor([0f32])?.requires_grad_(true)?);
    (3. * x.square()? + z.sin()?).backward()?;
    page.grad("dy/dx", &x)?;
    page.grad("dy/dz", &z)
}

/// Estimates the shape and the rate of a gamma distribution from draws.
fn likelihood(page: &mut Notebook) -> Result<()> {
    manual_seed(1444);
    let n = 50;
    let x = random::standard_gamma(&full([n], 1., DType::Float64)?, None)? * 2.;
    let (total, logs) = (x.sum()?, x.log()?.sum()?);
    let negated = |theta: &Tensor| -> Result<Tensor> {
        let (shape, rate) = (theta.select(0, 0)?, theta.select(0, 1)?);
        let normaliser = (&shape * rate.log()? - shape.lgamma()?) * n;
        Ok(-(normaliser + (&shape - 1.) * &logs - rate * &total))
    };
    let mut theta = tensor([1f64, 1.])?;
    for _ in 0..20 {
        let step = linalg::solve(&hessian(negated, &theta)?, &jacobian(negated, &theta)?, true)?;
        // Half steps while a parameter would become negative.
        let mut share = 1.;
        while (&theta - &step * share).min()?.to_f64()? <= 0. {
            share /= 2.;
        }
        theta = &theta - step * share;
    }
    page.show("shape and rate", &theta)?;
    page.show("variance", &linalg::inv(&(hessian(negated, &theta)? / n))?)
}
