//! What a gradient says, step by step, and what descending along it finds: a minimum, an inverse matrix, a solution.
//!
//! `cargo run -p flambeau --example gradients`

#[path = "common/mod.rs"]
mod common;

use common::Notebook;
use flambeau::autograd::no_grad;
use flambeau::io::StateDict;
use flambeau::{DType, Result, Tensor, eye, linalg, tensor, zeros};

#[allow(dead_code)]
fn main() -> Result<()> {
    run().map(drop)
}

pub fn run() -> Result<StateDict> {
    let mut page = Notebook::default();
    graph(&mut page)?;
    neuron(&mut page)?;
    descent(&mut page)?;
    Ok(page.finish())
}

fn leaf(value: f32) -> Result<Tensor> {
    tensor([value])?.requires_grad_(true)
}

fn graph(page: &mut Notebook) -> Result<()> {
    let (a, b) = (leaf(1.)?, leaf(2.)?);
    let (m, n) = (&a + &b, a.max_other(&b)?);
    let p = &m * &n;
    let l = p.pow_scalar(2)?;
    for t in [&m, &n, &p] {
        t.retain_grad()?;
    }
    l.backward()?;
    page.show("l", &l)?;
    for (name, t) in [("dl/dp", &p), ("dl/dm", &m), ("dl/dn", &n), ("dl/da", &a), ("dl/db", &b)] {
        page.grad(name, t)?;
    }
    // The ratio of a small change in b to the change in l is about the gradient.
    let again = |b: &Tensor| -> Result<Tensor> { ((&a + b) * a.max_other(b)?).pow_scalar(2) };
    page.show("ratio of change", &((again(&(&b + 0.001))? - &l) / 0.001))
}

/// Two layers and a logistic output: gradients by the graph and by small changes.
fn neuron(page: &mut Notebook) -> Result<()> {
    let loss = |v: &Tensor| -> Result<Tensor> {
        let first = tensor([3f64, 4., -2., 10.])?.dot(v)?.relu()?;
        let second = tensor([7f64, 1., 1., 4.])?.dot(v)?.relu()?;
        (1. / (1. + (second - first).exp()?)).log()
    };
    let v = tensor([0.2f64, 0.3, -0.1, 0.1])?.requires_grad_(true)?;
    loss(&v)?.backward()?;
    page.grad("gradient", &v)?;
    let mut ratios = Vec::new();
    for k in 0..4 {
        let moved = v.detach()? + eye(4, DType::Float64)?.select(0, k)? * 1e-6;
        ratios.push(((loss(&moved)? - loss(&v)?) / 1e-6).to_f64()?);
    }
    page.show("ratios", &tensor(ratios)?)
}

/// Repeats `w -= rate * gradient`; the rate may depend on the step.
fn descend(
    w: &Tensor,
    steps: i32,
    rate: impl Fn(i32) -> f64,
    f: impl Fn(&Tensor) -> Result<Tensor>,
) -> Result<()> {
    for step in 0..steps {
        f(w)?.backward()?;
        let gradient = w.grad().unwrap();
        no_grad(|| w.sub_(&(gradient * rate(step))))?;
        w.zero_grad();
    }
    Ok(())
}

fn descent(page: &mut Notebook) -> Result<()> {
    let w = leaf(0.97)?;
    descend(&w, 1000, |_| 0.01, |w| Ok((w - 3.).pow_scalar(2)? + 10.))?;
    page.show("minimum of a parabola", &w)?;

    let a = tensor([[2f32, 1.], [1., 3.]])?;
    let w = zeros([2, 2], ())?.requires_grad_(true)?;
    let distance = |w: &Tensor| (a.matmul(w)? - eye(2, ())?).square()?.sum()?.sqrt();
    descend(&w, 300, |i| 0.1 * 0.98f64.powi(i), distance)?;
    page.show("inverse by descent", &w)?;
    page.show("inverse", &linalg::inv(&a)?)?;

    let a = tensor([[3f32, 4., -2.], [2., -3., 4.], [1., -2., 3.]])?;
    let b = tensor([0f32, 11., 7.])?;
    let w = zeros([3], ())?.requires_grad_(true)?;
    descend(&w, 4000, |_| 0.01, |w| (a.matmul(w)? - &b).square()?.sum())?;
    page.show("solution by descent", &w)?;
    page.show("solution", &linalg::solve(&a, &b, true)?)
}
