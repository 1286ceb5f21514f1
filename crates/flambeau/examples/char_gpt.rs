//! A small language model of characters, on questions of Newton's Opticks (examples/data/README.md): attention, training with
//! warm-up and clipped gradients, and text drawn from it.
//!
//! `cargo run --release -p flambeau --example char_gpt -- [STEPS]`

use flambeau::autograd::no_grad;
use flambeau::nn::utils::clip_grad_norm_;
use flambeau::nn::{self, EncoderMasks, Forward, Module};
use flambeau::ops::{join::stack, random};
use flambeau::optim::lr_scheduler::{OneCycleLR, OneCycleOptions};
use flambeau::optim::{AdamW, AdamWOptions};
use flambeau::{Error, Result, Tensor, arange, manual_seed, randint};
use std::path::Path;

/// How many characters the model looks back at.
const CONTEXT: i64 = 32;

/// A text as numbers of its characters.
pub struct Text {
    pub characters: Vec<char>,
    pub data: Tensor,
}
impl Text {
    pub fn load() -> Result<Text> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/data/opticks.txt");
        let text = std::fs::read_to_string(&path);
        let text = text.map_err(|e| Error::runtime(format!("{}: {e}", path.display())))?;
        let mut characters: Vec<char> = text.chars().collect();
        characters.sort();
        characters.dedup();
        let number = |c: char| characters.binary_search(&c).map_or(0, |i| i as i64);
        let data: Vec<i64> = text.chars().map(number).collect();
        Ok(Text { data: Tensor::from_slice(&data, &[data.len() as i64])?, characters })
    }
    /// Pieces of the text at random places, and the same one character later.
    fn batch(&self, size: i64) -> Result<(Tensor, Tensor)> {
        let places = randint(0, self.data.numel() as i64 - CONTEXT, [size], ())?.to_vec::<i64>()?;
        let pieces = |shift: i64| -> Result<Tensor> {
            let piece = |&i: &i64| self.data.i(i + shift..i + shift + CONTEXT);
            stack(&places.iter().map(piece).collect::<Result<Vec<_>>>()?, 0)
        };
        Ok((pieces(0)?, pieces(1)?))
    }
}

#[derive(Module)]
pub struct Gpt {
    tokens: nn::Embedding,
    positions: nn::Embedding,
    blocks: nn::ModuleList<nn::TransformerEncoderLayer>,
    norm: nn::LayerNorm,
    head: nn::Linear,
}
impl Gpt {
    pub fn new(vocabulary: i64, width: i64, depth: usize) -> Result<Gpt> {
        let options = nn::TransformerLayerOptions {
            dim_feedforward: 4 * width,
            dropout: 0.0,
            activation: nn::TransformerActivation::GELU,
            batch_first: true,
            norm_first: true,
            ..Default::default()
        };
        let (tokens, positions) =
            (nn::Embedding::new(vocabulary, width)?, nn::Embedding::new(CONTEXT, width)?);
        let blocks: Result<Vec<_>> =
            (0..depth).map(|_| nn::TransformerEncoderLayer::with(width, 4, options)).collect();
        let (blocks, norm) = (nn::ModuleList::new(blocks?), nn::LayerNorm::new([width])?);
        Ok(Gpt { tokens, positions, blocks, norm, head: nn::Linear::new(width, vocabulary)? })
    }
}
impl Forward for Gpt {
    /// The scores of the next characters, `(batch, length, vocabulary)`.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let length = x.size(1)?;
        let causal = nn::generate_square_subsequent_mask(length, ())?;
        let masks = EncoderMasks { mask: Some(&causal), is_causal: true, ..Default::default() };
        let positions = self.positions.forward(&arange(0, length, 1, ())?)?;
        let mut x = self.tokens.forward(x)? + positions;
        for block in self.blocks.iter() {
            x = block.forward(&x, masks)?;
        }
        self.head.forward(&self.norm.forward(&x)?)
    }
}

/// Trains a model; returns the loss of every step.
pub fn train(net: &Gpt, text: &Text, steps: i64) -> Result<Vec<f64>> {
    let mut optimizer = AdamW::new(net.parameters(), AdamWOptions { lr: 1e-3, ..Default::default() })?;
    let mut scheduler = OneCycleLR::new(&mut optimizer, 3e-3, steps + 1, OneCycleOptions::default())?;
    let mut losses = Vec::new();
    for _ in 0..steps {
        let (x, y) = text.batch(16)?;
        let scores = net.forward(&x)?.flatten(0, 1)?;
        let loss =
            nn::functional::cross_entropy(&scores, &y.flatten(0, 1)?, None, -100, Default::default(), 0.)?;
        optimizer.zero_grad();
        loss.backward()?;
        clip_grad_norm_(net.parameters(), 1.0, 2.0)?;
        optimizer.step()?;
        scheduler.step(&mut optimizer)?;
        losses.push(loss.to_f64()?);
    }
    Ok(losses)
}

/// Text that the model goes on with after a character.
pub fn generate(net: &Gpt, text: &Text, length: usize) -> Result<String> {
    no_grad(|| {
        let mut numbers = vec![0i64];
        for _ in 0..length {
            let seen = &numbers[numbers.len().saturating_sub(CONTEXT as usize)..];
            let scores = net.forward(&Tensor::from_slice(seen, &[1, seen.len() as i64])?)?;
            let shares = (scores.i((0, -1))? / 0.8).softmax(0, None)?;
            numbers.push(random::multinomial(&shares, 1, false, None)?.item()?.to_i64());
        }
        Ok(numbers.iter().map(|&i| text.characters[i as usize]).collect())
    })
}

#[allow(dead_code)]
fn main() -> Result<()> {
    let steps = std::env::args().nth(1).map_or(Ok(1000), |n| n.parse::<i64>());
    let steps = steps.map_err(|error| Error::value(format!("the number of steps: {error}")))?;
    manual_seed(0);
    let text = Text::load()?;
    let net = Gpt::new(text.characters.len() as i64, 64, 2)?;
    let losses = train(&net, &text, steps)?;
    for (i, loss) in losses.iter().enumerate().step_by(100) {
        println!("step {i:>5}  loss {loss:.4}");
    }
    println!("{}", generate(&net, &text, 400)?);
    Ok(())
}
