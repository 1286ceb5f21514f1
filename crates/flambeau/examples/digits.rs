//! Trains a small network on real handwritten digits, the program of examples/digits.py: same draws, same numbers.
//!
//! `cargo run --release -p flambeau --example digits -- [--epochs N] [--save FILE] [--load FILE]`
//!
//! `--load` skips the training and looks at a model that was saved here or by `python examples/digits.py --save FILE`.

use flambeau::autograd::no_grad;
use flambeau::io;
use flambeau::nn::{CrossEntropyLoss, Dropout, Forward, Linear, Loss, Module};
use flambeau::ops::random;
use flambeau::optim::{Adam, AdamOptions, lr_scheduler::StepLR};
use flambeau::{DType, Error, Generator, Result, Tensor, manual_seed, randperm, zeros};
use flate2::read::GzDecoder;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::Read;
use std::path::{Path, PathBuf};

/// A network with two hidden layers for images of 64 pixels.
#[derive(Module)]
pub struct Net {
    hidden: Linear,
    middle: Linear,
    out: Linear,
    dropout: Dropout,
}

impl Net {
    pub fn new(hidden: i64) -> Result<Net> {
        Ok(Net {
            hidden: Linear::new(64, hidden)?,
            middle: Linear::new(hidden, hidden)?,
            out: Linear::new(hidden, 10)?,
            dropout: Dropout::new(0.1)?,
        })
    }
}

impl Forward for Net {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = self.hidden.forward(x)?.relu()?;
        let x = self.dropout.forward(&self.middle.forward(&x)?.relu()?)?;
        self.out.forward(&x)
    }
}

/// Images `(n, 64)` in [0, 1] with their labels `(n,)`.
pub struct Digits {
    pub images: Tensor,
    pub labels: Tensor,
}

impl Digits {
    pub fn load() -> Result<Digits> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/data/digits.csv.gz");
        let fault = |error: std::io::Error| Error::runtime(format!("{}: {error}", path.display()));
        let mut text = String::new();
        GzDecoder::new(std::fs::File::open(&path).map_err(fault)?)
            .read_to_string(&mut text)
            .map_err(fault)?;
        let mut table = Vec::new();
        for number in text.split([',', '\n']).map(str::trim).filter(|number| !number.is_empty()) {
            table.push(number.parse::<f32>().map_err(|error| Error::value(format!("{number:?}: {error}")))?);
        }
        let table = Tensor::from_slice(&table, &[table.len() as i64 / 65, 65])?;
        Ok(Digits { images: table.i((.., 0..64))? / 16., labels: table.i((.., 64))?.long()? })
    }
    pub fn count(&self) -> i64 {
        self.labels.numel() as i64
    }
    pub fn pick(&self, index: &Tensor) -> Result<Digits> {
        Ok(Digits {
            images: self.images.index_select(0, index)?,
            labels: self.labels.index_select(0, index)?,
        })
    }
    /// In random order, split in those to learn from and those held out.
    pub fn split(&self) -> Result<(Digits, Digits)> {
        let order = randperm(self.count(), ())?;
        Ok((self.pick(&order.i(..1437)?)?, self.pick(&order.i(1437..)?)?))
    }
    /// The order of an epoch, drawn as Python's `DataLoader` draws it.
    fn shuffled(&self) -> Result<Tensor> {
        let draw = || random::random_(&zeros([], DType::Int64)?, None)?.item();
        draw()?; // the seed of the loader's workers
        let generator = Generator::new(draw()?.to_i64() as u64);
        random::randperm(self.count(), Some(&generator), &().into())
    }
}

pub struct Evaluation {
    pub loss: f64,
    pub accuracy: f64,
    pub guesses: Tensor,
}

pub fn evaluate(net: &Net, digits: &Digits) -> Result<Evaluation> {
    net.eval();
    no_grad(|| {
        let scores = net.forward(&digits.images)?;
        let guesses = scores.argmax(Some(1), false)?;
        Ok(Evaluation {
            loss: CrossEntropyLoss::default().forward(&scores, &digits.labels)?.to_f64()?,
            accuracy: guesses.eq(&digits.labels)?.float()?.mean()?.to_f64()?,
            guesses,
        })
    })
}

fn train_epoch(net: &Net, digits: &Digits, optimizer: &mut Adam) -> Result<f64> {
    net.train(true);
    let criterion = CrossEntropyLoss::default();
    let mut total = 0.;
    for batch in digits.shuffled()?.split(32, 0)? {
        let batch = digits.pick(&batch)?;
        optimizer.zero_grad();
        let loss = criterion.forward(&net.forward(&batch.images)?, &batch.labels)?;
        loss.backward()?;
        optimizer.step()?;
        total += loss.to_f64()? * batch.count() as f64;
    }
    Ok(total / digits.count() as f64)
}

/// Trains a network; `each` sees the number of every epoch, its loss, and how the held-out digits went.
pub fn train(
    net: &Net,
    learn: &Digits,
    held_out: &Digits,
    epochs: u64,
    mut each: impl FnMut(u64, f64, &Evaluation),
) -> Result<()> {
    let mut optimizer = Adam::new(net.parameters(), AdamOptions { lr: 2e-3, ..Default::default() })?;
    let mut scheduler = StepLR::new(&mut optimizer, 15, 0.4)?;
    for epoch in 1..=epochs {
        let loss = train_epoch(net, learn, &mut optimizer)?;
        let evaluation = evaluate(net, held_out)?;
        scheduler.step(&mut optimizer)?;
        each(epoch, loss, &evaluation);
    }
    Ok(())
}

fn table(digits: &Digits, evaluation: &Evaluation) -> Result<()> {
    println!("{:>5} {:>7} {:>6} {:>8}", "digit", "images", "right", "share");
    for digit in 0..10i64 {
        let chosen = digits.labels.eq_scalar(digit)?;
        let images = chosen.sum()?.to_f64()?;
        let right = chosen.logical_and(&evaluation.guesses.eq_scalar(digit)?)?.sum()?.to_f64()?;
        println!("{digit:>5} {images:>7} {right:>6} {:>7.1}%", 100. * right / images);
    }
    println!("\nheld-out accuracy {:.2}%, loss {:.4}", 100. * evaluation.accuracy, evaluation.loss);
    Ok(())
}

#[derive(Default)]
struct Options {
    epochs: Option<u64>,
    save: Option<PathBuf>,
    load: Option<PathBuf>,
}

fn options() -> Result<Options> {
    let mut out = Options::default();
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| Error::value(format!("{name} needs a value")))?;
        match name.as_str() {
            "--epochs" => {
                out.epochs = Some(value.parse().map_err(|e| Error::value(format!("--epochs {value}: {e}")))?)
            }
            "--save" => out.save = Some(value.into()),
            "--load" => out.load = Some(value.into()),
            _ => return Err(Error::value(format!("unknown option {name}"))),
        }
    }
    Ok(out)
}

#[allow(dead_code)]
fn main() -> Result<()> {
    let options = options()?;
    manual_seed(0);
    let (learn, held_out) = Digits::load()?.split()?;
    let net = match &options.load {
        Some(path) => {
            let state = io::safetensors::load_file(path)?;
            let width = state.get("hidden.bias").map_or(128, |bias| bias.numel() as i64);
            let net = Net::new(width)?;
            net.load_state_dict(&state)?;
            net
        }
        None => {
            let (net, epochs) = (Net::new(128)?, options.epochs.unwrap_or(40));
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len}  {msg}  {elapsed}");
            let bar = ProgressBar::new(epochs).with_style(style.map_err(|e| Error::value(e.to_string()))?);
            train(&net, &learn, &held_out, epochs, |_, loss, held| {
                bar.set_message(format!("loss {loss:.4}  held-out {:.2}%", 100. * held.accuracy));
                bar.inc(1);
            })?;
            bar.finish();
            net
        }
    };
    println!("{net}\n");
    table(&held_out, &evaluate(&net, &held_out)?)?;
    if let Some(path) = options.save {
        io::safetensors::save_file(&net.state_dict(), &path, &[("format", "pt")])?;
        println!("model: {}", path.display());
    }
    Ok(())
}
