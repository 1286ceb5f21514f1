//! A network with two layers, losses, optimizers and a schedule; the loss of Q-learning.
//!
//! `cargo run -p flambeau --example training`

#[path = "common/mod.rs"]
mod common;

use common::Notebook;
use flambeau::autograd::no_grad;
use flambeau::io::StateDict;
use flambeau::nn::functional::{self as F, Reduction};
use flambeau::nn::{self, Forward, Linear, Loss, Module};
use flambeau::optim::{self, lr_scheduler::StepLR};
use flambeau::{Result, Tensor, manual_seed, ones, rand, randn, tensor};

#[allow(dead_code)]
fn main() -> Result<()> {
    run().map(drop)
}

#[derive(Module)]
struct Net {
    fc1: Linear,
    fc2: Linear,
}

impl Net {
    fn new(inputs: i64, hidden: i64, outputs: i64) -> Result<Net> {
        Ok(Net { fc1: Linear::new(inputs, hidden)?, fc2: Linear::new(hidden, outputs)? })
    }
}

impl Forward for Net {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let hidden = F::sigmoid(&self.fc1.forward(x)?)?;
        F::softmax(&self.fc2.forward(&hidden)?, 1)
    }
}

pub fn run() -> Result<StateDict> {
    let mut page = Notebook::default();
    let w = tensor([0.5f32])?.requires_grad_(true)?;
    let y = tensor([2f32])?.requires_grad_(true)?;
    (&w * &w * &y).backward()?;
    page.grad("dz/dw", &w)?;
    page.grad("dz/dy", &y)?;

    network(&mut page)?;
    optimizers(&mut page)?;
    criteria(&mut page)?;
    q_learning(&mut page)?;
    Ok(page.finish())
}

fn network(page: &mut Notebook) -> Result<()> {
    manual_seed(1444);
    let net = Net::new(4, 8, 3)?;
    println!("{net}");
    for (name, parameter) in net.named_parameters() {
        println!("{name}: {:?}", parameter.sizes());
    }
    let (input, target) = (randn([5, 4], ())?, rand([5, 3], ())?);
    page.show("output", &net.forward(&input)?)?;

    // A step by hand, then steps of an optimizer.
    let criterion = nn::MSELoss::default();
    criterion.forward(&net.forward(&input)?, &target)?.backward()?;
    for parameter in net.parameters() {
        let gradient = parameter.grad().unwrap();
        no_grad(|| parameter.sub_(&(gradient * 0.01)))?;
    }
    let mut optimizer =
        optim::SGD::new(net.parameters(), optim::SGDOptions { lr: 0.5, ..Default::default() })?;
    let mut losses = Vec::new();
    for _ in 0..10 {
        optimizer.zero_grad();
        let loss = criterion.forward(&net.forward(&input)?, &target)?;
        loss.backward()?;
        optimizer.step()?;
        losses.push(loss.to_f64()? as f32);
    }
    page.show("losses", &tensor(losses)?)
}

fn optimizers(page: &mut Notebook) -> Result<()> {
    use optim::*;
    fn minimize<A: Algorithm>(page: &mut Notebook, name: &str, options: A) -> Result<()> {
        let w = tensor([1f32, -2.])?.requires_grad_(true)?;
        let mut optimizer = Optimizer::new([&w], options)?;
        for _ in 0..5 {
            optimizer.zero_grad();
            (&w - 3.).square()?.sum()?.backward()?;
            optimizer.step()?;
        }
        page.show(name, &w)
    }
    minimize(page, "SGD", SGDOptions { lr: 0.1, ..Default::default() })?;
    minimize(page, "momentum", SGDOptions { lr: 0.1, momentum: 0.9, ..Default::default() })?;
    minimize(page, "Adam", AdamOptions::default())?;
    minimize(page, "AdamW", AdamWOptions { lr: 0.1, ..Default::default() })?;
    minimize(page, "Adagrad", AdagradOptions { lr: 0.1, ..Default::default() })?;
    minimize(page, "RMSprop", RMSpropOptions { lr: 0.01, ..Default::default() })?;

    let w = ones([1], ())?.requires_grad_(true)?;
    let mut optimizer = SGD::new([&w], SGDOptions { lr: 1., ..Default::default() })?;
    let mut scheduler = StepLR::new(&mut optimizer, 2, 0.1)?;
    let mut rates = Vec::new();
    for _ in 0..4 {
        optimizer.step()?;
        scheduler.step(&mut optimizer)?;
        rates.push(optimizer.param_groups[0].options.lr);
    }
    page.show("learning rates", &tensor(rates)?)
}

fn criteria(page: &mut Notebook) -> Result<()> {
    let x = tensor([[0.1f32, 0.9], [0.8, 0.3]])?;
    let y = tensor([[0f32, 1.], [1., 0.]])?;
    let losses: [(&str, &dyn Loss); 6] = [
        ("MSELoss", &nn::MSELoss::default()),
        ("L1Loss", &nn::L1Loss::default()),
        ("SmoothL1Loss", &nn::SmoothL1Loss::default()),
        ("BCELoss", &nn::BCELoss::default()),
        ("BCEWithLogitsLoss", &nn::BCEWithLogitsLoss::default()),
        ("HuberLoss", &nn::HuberLoss::default()),
    ];
    for (name, loss) in losses {
        page.show(name, &loss.forward(&x, &y)?)?;
    }
    let classes = tensor([1i64, 0])?;
    page.show("CrossEntropyLoss", &nn::CrossEntropyLoss::default().forward(&x, &classes)?)
}

/// The values of the chosen actions against what the next states promise.
fn q_learning(page: &mut Notebook) -> Result<()> {
    manual_seed(1444);
    let net = Linear::new(3, 2)?;
    let (state, action) = (randn([4, 3], ())?, tensor([0i64, 1, 1, 0])?);
    let q = net.forward(&state)?.gather(1, &action.unsqueeze(1)?)?.squeeze_dim(1)?;
    let best = no_grad(|| net.forward(&randn([4, 3], ())?)?.amax(&[1], false))?;
    let target = ones([4], ())? + best * 0.9;
    let loss = F::smooth_l1_loss(&q, &target, Reduction::Mean, 1.0)?;
    loss.backward()?;
    page.show("q", &q)?;
    page.show("loss", &loss)?;
    page.grad("dloss/dweight", &net.weight)
}
