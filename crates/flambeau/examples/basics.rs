//! Shapes, views and in-place operations; graphs that are made by running the program, and what is kept of them.
//!
//! `cargo run -p flambeau --example basics`

#[path = "common/mod.rs"]
mod common;

use common::Notebook;
use flambeau::autograd::{self, GradOptions, no_grad};
use flambeau::io::StateDict;
use flambeau::{Result, arange, full, manual_seed, ones, rand, randn, tensor};

#[allow(dead_code)]
fn main() -> Result<()> {
    run().map(drop)
}

pub fn run() -> Result<StateDict> {
    let mut page = Notebook::default();
    shapes(&mut page)?;
    graphs(&mut page)?;
    Ok(page.finish())
}

fn shapes(page: &mut Notebook) -> Result<()> {
    manual_seed(1444);
    let (x, y) = (randn([5, 3], ())?, rand([5, 3], ())?);
    page.show("x transposed", &x.transpose(0, 1)?)?;
    page.show("x + y", &(&x + &y))?;
    x.add_(&y)?;
    page.show("x after add_", &x)?;
    page.show("a @ b", &randn([5, 3], ())?.matmul(&randn([3, 4], ())?)?)?;

    let x = arange(0, 16, 1, ())?.view(&[4, 4])?;
    let y = x.view(&[16])?;
    y.i_put_(0, &tensor(100i64)?)?; // y is a view: x changes too
    page.show("x through its view", &x.view(&[-1, 8])?)?;
    match x.t()?.view(&[16]) {
        Ok(_) => println!("a transpose could be viewed as a vector"),
        Err(error) => println!("a transpose is not a vector: {error}"),
    }
    Ok(())
}

fn graphs(page: &mut Notebook) -> Result<()> {
    let x = arange(0., 4., 1, ())?.view(&[2, 2])?.requires_grad_(true)?;
    let y = &x + 2.;
    y.retain_grad()?;
    let z = &y * &y * 3.;
    let out = z.mean()?;
    for t in [&y, &z, &out] {
        println!("computed by {}", t.grad_fn().unwrap().name());
    }
    out.backward()?;
    page.show("mean", &out)?;
    page.grad("dout/dx", &x)?;
    page.grad("dout/dy", &y)?;

    // The loop runs as often as the numbers ask for; its gradient is that of the steps that ran.
    let first = full([3, 3], 0.5, ())?.requires_grad_(true)?;
    let (mut x, mut steps) = (first.clone(), 0);
    while x.detach()?.square()?.sum()?.sqrt()?.to_f64()? < 1000. {
        x = x * 2.;
        steps += 1;
    }
    x.mean()?.backward()?;
    page.number("steps", f64::from(steps))?;
    page.grad("gradient of a loop", &first)?;

    let x = tensor([1f32, 2., 3.])?.requires_grad_(true)?;
    let direction = tensor([0f32, 1., 0.0001])?;
    autograd::backward(&(&x * 2.), Some(&direction), GradOptions::default())?;
    page.grad("gradient along a direction", &x)?;
    for _ in 0..2 {
        (&x * 2.).mean()?.backward()?; // gradients add up until they are zeroed
    }
    page.grad("accumulated", &x)?;
    println!("without recording: {}", no_grad(|| &x * 2.));
    match ones([3], ())?.requires_grad_(true)?.add_scalar_(2) {
        Ok(_) => println!("a leaf could be changed"),
        Err(error) => println!("{error}"),
    }
    Ok(())
}
