//! Indexing and broadcasting, a graph by hand, functions with a derivative of one's own, and a network that learns.
//!
//! `cargo run -p flambeau --example first_network`

#[path = "common/mod.rs"]
mod common;

use common::Notebook;
use flambeau::autograd::{self, Save, no_grad};
use flambeau::io::StateDict;
use flambeau::nn::{Forward, Linear, Module, ReLU, Sigmoid};
use flambeau::ops::join;
use flambeau::optim::{SGD, SGDOptions};
use flambeau::{Index, Result, Slice, Tensor, arange, manual_seed, ones, tensor, zeros};
use std::sync::{Arc, Mutex};

#[allow(dead_code)]
fn main() -> Result<()> {
    run().map(drop)
}

pub fn run() -> Result<StateDict> {
    let mut page = Notebook::default();
    indexing(&mut page)?;
    graph(&mut page)?;
    own_function(&mut page)?;
    learning(&mut page)?;
    look_ahead(&mut page)?;
    Ok(page.finish())
}

fn indexing(page: &mut Notebook) -> Result<()> {
    let t = arange(0, 12, 1, ())?.view(&[3, 4])?;
    page.show("t[0:2, 1:]", &t.i((0..2, 1..))?)?;
    page.show("t[:, ::2]", &t.i((.., Slice { start: None, stop: None, step: 2 }))?)?;
    page.show("t[..., -1]", &t.i((Index::Ellipsis, -1))?)?;
    page.show("t[[0, 2]]", &t.i(&tensor([0i64, 2])?)?)?;
    page.show("t[t > 8]", &t.i(&t.gt_scalar(8)?)?)?;
    t.i_put_((0, ..), &tensor(0i64)?)?;
    t.i_put_(&t.eq_scalar(11)?, &tensor(-1i64)?)?;
    page.show("t", &t)?;

    let (x, y) = (tensor([1i64, 1])?, tensor([2i64, 2])?);
    page.show("one after the other", &join::cat(&[x.clone(), y.clone()], 0)?)?;
    page.show("side by side", &join::stack(&[x, y], 1)?)?;
    page.show("broadcast", &(zeros([2, 3, 2], ())? + ones([3, 2], ())?))?;
    match zeros([2, 3, 2], ())?.add(&ones([3, 3], ())?) {
        Ok(_) => println!("the shapes fit"),
        Err(error) => println!("{error}"),
    }
    Ok(())
}

fn graph(page: &mut Notebook) -> Result<()> {
    let leaf = |value: f32| tensor([value])?.requires_grad_(true);
    let (a, w1, w2, w3, w4) = (leaf(1.)?, leaf(1.)?, leaf(2.)?, leaf(3.)?, leaf(4.)?);
    let (b, c) = (&w1 * &a, &w2 * &a);
    let d = &w3 * &b + &w4 * &c;
    let loss = 10. - d;
    page.show("L", &loss)?;
    loss.backward()?;
    for (name, t) in [("dL/da", &a), ("dL/dw1", &w1), ("dL/dw2", &w2), ("dL/dw3", &w3), ("dL/dw4", &w4)] {
        page.grad(name, t)?;
    }
    Ok(())
}

/// `exp` with its derivative written out: the result itself.
fn my_exp(x: &Tensor) -> Result<Tensor> {
    let y = no_grad(|| x.exp())?;
    autograd::record(&[&y], "MyExpBackward", &[x], &[Save::Output(0)], |ctx| {
        let gradient = ctx.grad_or_zeros(0)? * ctx.saved(0)?;
        Ok([Some(gradient)].into_iter().collect())
    })?;
    Ok(y)
}

fn own_function(page: &mut Notebook) -> Result<()> {
    let x = tensor([0f32, 1.])?.requires_grad_(true)?;
    let y = my_exp(&x)?;
    page.show("my exp", &y)?;
    let seen = Arc::new(Mutex::new(None));
    let hook = seen.clone();
    autograd::register_hook(
        &y,
        Arc::new(move |gradient: &Tensor| {
            println!("the gradient passes: {gradient}");
            *hook.lock().unwrap() = Some(gradient.clone());
            Ok(None)
        }),
    )?;
    (&y * 2.).sum()?.backward()?;
    page.grad("derivative of my exp", &x)?;
    let gradient = seen.lock().unwrap().take().unwrap();
    page.show("gradient seen by the hook", &gradient)
}

#[derive(Module)]
struct MyCoolNet {
    lin1: Linear,
    lin2: Linear,
    lin3: Linear,
    lin4: Linear,
    relu: ReLU,
    sig: Sigmoid,
}

impl MyCoolNet {
    fn new(inputs: i64, outputs: i64) -> Result<MyCoolNet> {
        Ok(MyCoolNet {
            lin1: Linear::new(inputs, 10)?,
            lin2: Linear::new(10, 15)?,
            lin3: Linear::new(15, 10)?,
            lin4: Linear::new(10, outputs)?,
            relu: ReLU,
            sig: Sigmoid,
        })
    }
}

impl Forward for MyCoolNet {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut hidden = x.clone();
        for layer in [&self.lin1, &self.lin2, &self.lin3] {
            hidden = self.relu.forward(&layer.forward(&hidden)?)?;
        }
        self.sig.forward(&self.lin4.forward(&hidden)?)
    }
}

fn learning(page: &mut Notebook) -> Result<()> {
    manual_seed(1444);
    let model = MyCoolNet::new(5, 5)?;
    println!("{model}");
    let mut optimizer =
        SGD::new(model.parameters(), SGDOptions { lr: 0.1, momentum: 0.8, ..Default::default() })?;
    let x = tensor([1f32, 2., 3., 4., 5.])?;
    let mut losses = Vec::new();
    for i in 0..10 {
        let loss = model.forward(&x)?.square()?.sum()?; // falls as the output approaches 0
        loss.backward()?;
        optimizer.step()?;
        optimizer.zero_grad();
        println!("loss {i}: {}", loss.to_f64()?);
        losses.push(loss.to_f64()? as f32);
    }
    page.show("losses", &tensor(losses)?)
}

/// An optimizer around another: every five steps its weights go half the way to the fast ones, which start again from there.
fn look_ahead(page: &mut Notebook) -> Result<()> {
    let w = tensor([1f32, -2.])?.requires_grad_(true)?;
    let mut fast = SGD::new([&w], SGDOptions { lr: 0.1, momentum: 0.8, ..Default::default() })?;
    let slow = w.detach()?.deep_clone()?;
    let mut path = Vec::new();
    for i in 1..=10 {
        (&w - 3.).square()?.sum()?.backward()?;
        fast.step()?;
        fast.zero_grad();
        if i % 5 == 0 {
            slow.lerp_scalar_(&w.detach()?, 0.5)?;
            no_grad(|| flambeau::ops::shape::copy_(&w, &slow, false))?;
        }
        path.push(w.detach()?.deep_clone()?);
    }
    page.show("looking ahead", &join::stack(&path, 0)?)
}
