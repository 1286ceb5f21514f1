//! Regression on a table: normalised layers, a schedule that waits for the loss of held-out rows, the best model kept in a
//! file that PyTorch reads, and training that goes on from there.
//!
//! `cargo run --release -p flambeau --example regression -- [EPOCHS]`

use flambeau::autograd::no_grad;
use flambeau::io::{self, Value};
use flambeau::nn::{self, Forward, Linear, Loss, Module};
use flambeau::optim::lr_scheduler::{PlateauOptions, ReduceLROnPlateau};
use flambeau::optim::{AdamW, AdamWOptions};
use flambeau::utils::data::{DataLoader, DataLoaderOptions, TensorDataset, random_split};
use flambeau::{Error, Result, Tensor, manual_seed, rand, randn};
use std::path::Path;

/// Rows of ten numbers of which five matter, and what follows from them with noise (Friedman 1991).
pub fn table(rows: i64) -> Result<(Tensor, Tensor)> {
    let x = rand([rows, 10], ())?;
    let column = |i: i64| x.i((.., i));
    let wave = (column(0)? * column(1)? * std::f64::consts::PI).sin()? * 10.0;
    let bowl = (column(2)? - 0.5).square()? * 20.0;
    let y = wave + bowl + column(3)? * 10.0 + column(4)? * 5.0 + randn([rows], ())?;
    let (std, mean) = (y.std(true)?, y.mean()?);
    Ok((x, ((y - mean) / std).unsqueeze(1)?))
}

pub fn model(width: i64) -> Result<nn::Sequential> {
    let mut net = nn::Sequential::new();
    // The normalisation takes away what a bias before it would add.
    let options = nn::LinearOptions { bias: false, ..Default::default() };
    for inputs in [10, width] {
        let linear = Linear::with(inputs, width, options)?;
        net = net.append(linear).append(nn::BatchNorm1d::new(width)?).append(nn::SiLU);
    }
    Ok(net.append(nn::Dropout::new(0.05)?).append(Linear::new(width, 1)?))
}

/// Trains a model and keeps the best one in a file; returns the losses of held-out rows.
pub fn train(net: &nn::Sequential, data: (Tensor, Tensor), epochs: i64, file: &Path) -> Result<Vec<f64>> {
    let parts = random_split(TensorDataset::new([data.0, data.1])?, [0.8, 0.2], None)?;
    let options = DataLoaderOptions { batch_size: 64, shuffle: true, num_workers: 2, ..Default::default() };
    let learn = DataLoader::new(parts[0].clone(), options)?;
    let options = DataLoaderOptions { batch_size: parts[1].indices.len(), ..Default::default() };
    let held_out = DataLoader::new(parts[1].clone(), options)?;
    let mut optimizer = AdamW::new(net.parameters(), AdamWOptions { lr: 1e-2, ..Default::default() })?;
    let plateau = PlateauOptions { patience: 2, factor: 0.3, ..Default::default() };
    let mut scheduler = ReduceLROnPlateau::new(&mut optimizer, plateau)?;
    let criterion = nn::SmoothL1Loss::default();
    let mut losses: Vec<f64> = Vec::new();
    for epoch in 0..epochs {
        net.train(true);
        for batch in &learn {
            let [x, y] = batch?;
            optimizer.zero_grad();
            criterion.forward(&net.forward(&x)?, &y)?.backward()?;
            optimizer.step()?;
        }
        net.eval();
        let mut loss = 0.;
        for batch in &held_out {
            let [x, y] = batch?;
            loss += no_grad(|| criterion.forward(&net.forward(&x)?, &y)?.to_f64())?;
        }
        if losses.iter().all(|&other| loss < other) {
            let checkpoint = Value::dict([
                ("model", net.state_dict().into()),
                ("optimizer", optimizer.state_dict()),
                ("schedule", scheduler.state_dict()),
                ("epoch", epoch.into()),
                ("loss", loss.into()),
            ]);
            io::save(checkpoint, file)?;
        }
        losses.push(loss);
        scheduler.step(loss, &mut optimizer)?;
    }
    Ok(losses)
}

#[allow(dead_code)]
fn main() -> Result<()> {
    let epochs = std::env::args().nth(1).map_or(Ok(40), |n| n.parse::<i64>());
    let epochs = epochs.map_err(|error| Error::value(format!("the number of epochs: {error}")))?;
    manual_seed(0);
    let (net, data) = (model(64)?, table(2000)?);
    println!("{net}");
    let file = std::env::temp_dir().join("flambeau-regression.pt");
    for (i, loss) in train(&net, data, epochs, &file)?.iter().enumerate() {
        println!("epoch {:>3}  held out {loss:.4}", i + 1);
    }
    let best = io::load(&file)?;
    net.load_state_dict(&best["model"].to_state_dict()?)?;
    println!("best: epoch {}, {:.4}, in {}", best["epoch"], best["loss"].as_f64()?, file.display());
    Ok(())
}
