//! A variational autoencoder of handwritten digits (Kingma and Welling 2014), which draws digits of its own at the end.
//!
//! `cargo run --release -p flambeau --example vae -- [EPOCHS]`

#[path = "digits.rs"]
#[allow(dead_code)]
mod digits;

use flambeau::autograd::no_grad;
use flambeau::nn::functional::{Reduction, binary_cross_entropy_with_logits};
use flambeau::nn::{self, Forward, Linear, Module};
use flambeau::optim::{Adam, AdamOptions};
use flambeau::utils::data::{DataLoader, DataLoaderOptions, TensorDataset};
use flambeau::{Error, Result, Tensor, manual_seed, randn};

/// How many numbers stand for an image.
const CODE: i64 = 4;

#[derive(Module)]
pub struct Vae {
    encoder: nn::Sequential,
    mean: Linear,
    log_variance: Linear,
    decoder: nn::Sequential,
}
impl Vae {
    pub fn new(hidden: i64) -> Result<Vae> {
        Ok(Vae {
            encoder: nn::Sequential::new().append(Linear::new(64, hidden)?).append(nn::ReLU),
            mean: Linear::new(hidden, CODE)?,
            log_variance: Linear::new(hidden, CODE)?,
            decoder: nn::Sequential::new()
                .append(Linear::new(CODE, hidden)?)
                .append(nn::ReLU)
                .append(Linear::new(hidden, 64)?),
        })
    }
    /// The loss of a batch of images: how badly they come back, and how far codes are from normal.
    pub fn loss(&self, images: &Tensor) -> Result<Tensor> {
        let hidden = self.encoder.forward(images)?;
        let (mean, log_variance) = (self.mean.forward(&hidden)?, self.log_variance.forward(&hidden)?);
        let code = &mean + (&log_variance * 0.5).exp()? * randn(mean.sizes(), ())?;
        let back = self.decoder.forward(&code)?;
        let lost = binary_cross_entropy_with_logits(&back, images, None, None, Reduction::Sum)?;
        let divergence = (mean.square()? + log_variance.exp()? - &log_variance - 1.0).sum()? * 0.5;
        Ok((lost + divergence) / images.size(0)? as f64)
    }
}

/// Trains a model on images `(n, 64)`; returns the loss of each epoch.
pub fn train(net: &Vae, images: &Tensor, epochs: i64) -> Result<Vec<f64>> {
    let options = DataLoaderOptions { batch_size: 64, shuffle: true, drop_last: true, ..Default::default() };
    let loader = DataLoader::new(TensorDataset::new([images.clone()])?, options)?;
    let mut optimizer = Adam::new(net.parameters(), AdamOptions { lr: 2e-3, ..Default::default() })?;
    let mut losses = Vec::new();
    for _ in 0..epochs {
        let mut total = 0.;
        for batch in &loader {
            let [images] = batch?;
            optimizer.zero_grad();
            let loss = net.loss(&images)?;
            loss.backward()?;
            optimizer.step()?;
            total += loss.to_f64()?;
        }
        losses.push(total / loader.len() as f64);
    }
    Ok(losses)
}

#[allow(dead_code)]
fn main() -> Result<()> {
    let epochs = std::env::args().nth(1).map_or(Ok(40), |n| n.parse::<i64>());
    let epochs = epochs.map_err(|error| Error::value(format!("the number of epochs: {error}")))?;
    manual_seed(0);
    let images = digits::Digits::load()?.images;
    let net = Vae::new(128)?;
    for (i, loss) in train(&net, &images, epochs)?.iter().enumerate() {
        println!("epoch {:>3}  loss {loss:.3}", i + 1);
    }
    let drawn = no_grad(|| net.decoder.forward(&randn([4, CODE], ())?)?.sigmoid())?;
    for row in 0..8 {
        let mut line = String::new();
        for image in 0..4 {
            for shade in drawn.i((image, row * 8..row * 8 + 8))?.to_vec::<f64>()? {
                line.push([' ', '.', ':', '+', '#'][(shade * 4.99) as usize]);
            }
            line += "   ";
        }
        println!("{line}");
    }
    Ok(())
}
