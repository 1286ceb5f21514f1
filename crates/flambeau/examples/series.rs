//! An LSTM that learns to predict a noisy series from its past.
//!
//! `cargo run --release -p flambeau --example series -- [EPOCHS]`

use flambeau::autograd::no_grad;
use flambeau::nn::{self, Forward, LSTM, Linear, Loss, Module, RecurrentOptions};
use flambeau::ops::join::stack;
use flambeau::optim::lr_scheduler::CosineAnnealingLR;
use flambeau::optim::{Adam, AdamOptions};
use flambeau::utils::data::{DataLoader, DataLoaderOptions, TensorDataset};
use flambeau::{Error, Result, Tensor, arange, manual_seed, randn};

/// How many values a prediction is made from.
const WINDOW: i64 = 24;

#[derive(Module)]
pub struct Forecast {
    lstm: LSTM,
    out: Linear,
}
impl Forecast {
    pub fn new(hidden: i64) -> Result<Forecast> {
        let options = RecurrentOptions { num_layers: 2, batch_first: true, ..Default::default() };
        Ok(Forecast { lstm: LSTM::with(1, hidden, options)?, out: Linear::new(hidden, 1)? })
    }
}
impl Forward for Forecast {
    /// The next value after each of the windows `(batch, time, 1)`.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (output, _) = self.lstm.forward(x, None)?;
        self.out.forward(&output.select(1, -1)?)
    }
}

/// Windows of a series of two waves with noise, and the values after them.
pub fn windows(length: i64) -> Result<(Tensor, Tensor)> {
    let t = arange(0., length as f64, 1, ())?;
    let series = (&t * 0.26).sin()? + (&t * 0.045).sin()? * 0.5 + randn([length], ())? * 0.05;
    let count = length - WINDOW;
    let pieces: Vec<Tensor> = (0..count).map(|i| series.i(i..i + WINDOW)).collect::<Result<_>>()?;
    Ok((stack(&pieces, 0)?.unsqueeze(-1)?, series.i(WINDOW..)?.unsqueeze(-1)?))
}

/// Trains on the first four fifths; returns the loss of each epoch, and that of the values held out.
pub fn train(net: &Forecast, x: &Tensor, y: &Tensor, epochs: i64) -> Result<(Vec<f64>, f64)> {
    let count = x.size(0)? * 4 / 5;
    let dataset = TensorDataset::new([x.i(..count)?, y.i(..count)?])?;
    let options = DataLoaderOptions { batch_size: 32, shuffle: true, num_workers: 1, ..Default::default() };
    let loader = DataLoader::new(dataset, options)?;
    let mut optimizer = Adam::new(net.parameters(), AdamOptions { lr: 1e-2, ..Default::default() })?;
    let mut scheduler = CosineAnnealingLR::new(&mut optimizer, epochs, 0.0)?;
    let criterion = nn::MSELoss::default();
    let mut losses = Vec::new();
    for _ in 0..epochs {
        let mut total = 0.;
        for batch in &loader {
            let [x, y] = batch?;
            optimizer.zero_grad();
            let loss = criterion.forward(&net.forward(&x)?, &y)?;
            loss.backward()?;
            optimizer.step()?;
            total += loss.to_f64()? * x.size(0)? as f64;
        }
        scheduler.step(&mut optimizer)?;
        losses.push(total / count as f64);
    }
    let held_out = no_grad(|| criterion.forward(&net.forward(&x.i(count..)?)?, &y.i(count..)?)?.to_f64())?;
    Ok((losses, held_out))
}

#[allow(dead_code)]
fn main() -> Result<()> {
    let epochs = std::env::args().nth(1).map_or(Ok(20), |n| n.parse::<i64>());
    let epochs = epochs.map_err(|error| Error::value(format!("the number of epochs: {error}")))?;
    manual_seed(0);
    let (x, y) = windows(1000)?;
    let net = Forecast::new(32)?;
    println!("{net}");
    let (losses, held_out) = train(&net, &x, &y, epochs)?;
    for (i, loss) in losses.iter().enumerate() {
        println!("epoch {:>3}  loss {loss:.5}", i + 1);
    }
    println!("held out: {held_out:.5} (the noise alone is 0.0025)");
    Ok(())
}
