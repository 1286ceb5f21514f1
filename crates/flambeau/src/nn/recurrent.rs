//! Recurrent layers over whole sequences, and their cells.

use super::functional as F;
use super::init;
use super::linear::{parameter, parameter_if, tensor_of};
use super::module::{Member, Module, Parameter, Training};
use super::repr::{self, Python};
use crate::ops::{join, nn::recurrent, random, shape};
use crate::schema::TensorOptions;
use crate::{Result, Tensor};
use flambeau_core::{bail, show};
use std::fmt;
use std::marker::PhantomData;

/// What tells the recurrent layers apart: [`Rnn`], [`Lstm`] and [`Gru`].
pub trait Recurrence: Send + Sync + 'static {
    const NAME: &'static str;
    /// How many rows of the weights belong to each unit.
    const GATES: i64;
    /// The hidden state; an LSTM's with the state of its cells.
    type State: Clone;
    #[doc(hidden)]
    fn parts(state: &Self::State) -> (&Tensor, Option<&Tensor>);
    #[doc(hidden)]
    fn state(hidden: Tensor, cell: Option<Tensor>) -> Result<Self::State>;
    #[doc(hidden)]
    fn mode(nonlinearity: Nonlinearity) -> &'static str;
}

/// `h' = tanh(W x + b + W' h + b')`, or `relu` of it (Elman 1990).
#[derive(Debug)]
pub struct Rnn;
/// Long short-term memory (Hochreiter and Schmidhuber 1997).
#[derive(Debug)]
pub struct Lstm;
/// Gated recurrent units (Cho et al. 2014).
#[derive(Debug)]
pub struct Gru;

impl Recurrence for Gru {
    const NAME: &'static str = "GRU";
    const GATES: i64 = 3;
    type State = Tensor;
    fn parts(state: &Tensor) -> (&Tensor, Option<&Tensor>) {
        (state, None)
    }
    fn state(hidden: Tensor, _: Option<Tensor>) -> Result<Tensor> {
        Ok(hidden)
    }
    fn mode(_: Nonlinearity) -> &'static str {
        "GRU"
    }
}
impl Recurrence for Rnn {
    const NAME: &'static str = "RNN";
    const GATES: i64 = 1;
    type State = Tensor;
    fn parts(state: &Tensor) -> (&Tensor, Option<&Tensor>) {
        (state, None)
    }
    fn state(hidden: Tensor, _: Option<Tensor>) -> Result<Tensor> {
        Ok(hidden)
    }
    fn mode(nonlinearity: Nonlinearity) -> &'static str {
        match nonlinearity {
            Nonlinearity::Tanh => "RNN_TANH",
            Nonlinearity::ReLU => "RNN_RELU",
        }
    }
}
impl Recurrence for Lstm {
    const NAME: &'static str = "LSTM";
    const GATES: i64 = 4;
    type State = (Tensor, Tensor);
    fn parts((hidden, cell): &(Tensor, Tensor)) -> (&Tensor, Option<&Tensor>) {
        (hidden, Some(cell))
    }
    fn state(hidden: Tensor, cell: Option<Tensor>) -> Result<(Tensor, Tensor)> {
        match cell {
            Some(cell) => Ok((hidden, cell)),
            None => bail!("the state of an LSTM's cells is missing"),
        }
    }
    fn mode(_: Nonlinearity) -> &'static str {
        "LSTM"
    }
}

/// The function of an [`RNN`]'s units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Nonlinearity {
    #[default]
    Tanh,
    ReLU,
}

/// Settings of the recurrent layers.
#[derive(Clone, Copy, Debug)]
pub struct RecurrentOptions {
    pub num_layers: usize,
    pub bias: bool,
    /// Whether sequences are `(batch, time, width)` instead of `(time, batch, width)`.
    pub batch_first: bool,
    /// The share of elements that are dropped between layers while training.
    pub dropout: f64,
    /// Whether each layer also reads the sequence backwards.
    pub bidirectional: bool,
    /// Of an [`RNN`]; the others have their own.
    pub nonlinearity: Nonlinearity,
    pub tensors: TensorOptions,
}
impl Default for RecurrentOptions {
    fn default() -> Self {
        RecurrentOptions {
            num_layers: 1,
            bias: true,
            batch_first: false,
            dropout: 0.0,
            bidirectional: false,
            nonlinearity: Nonlinearity::Tanh,
            tensors: TensorOptions::default(),
        }
    }
}

/// A recurrent layer in each direction.
#[derive(Debug)]
struct Pass {
    suffix: String,
    weight_ih: Parameter,
    weight_hh: Parameter,
    bias_ih: Option<Parameter>,
    bias_hh: Option<Parameter>,
}

/// Recurrent layers one over another: [`RNN`], [`LSTM`], [`GRU`].
///
/// ```
/// use flambeau::nn::{LSTM, Module, RecurrentOptions};
/// let options = RecurrentOptions { num_layers: 2, batch_first: true, ..Default::default() };
/// let lstm = LSTM::with(3, 5, options)?;
/// assert_eq!(lstm.to_string(), "LSTM(3, 5, num_layers=2, batch_first=True)");
/// let (output, (hidden, cell)) = lstm.forward(&flambeau::ones([4, 7, 3], ())?, None)?;
/// assert_eq!(output.sizes()[..], [4, 7, 5]); // the last layer's hidden state at every time
/// assert_eq!((&hidden.sizes()[..], &cell.sizes()[..]), (&[2, 4, 5][..], &[2, 4, 5][..])); // each layer's at the end
/// assert_eq!(lstm.state_dict().names().next(), Some("weight_ih_l0"));
/// # Ok::<(), flambeau::Error>(())
/// ```
#[derive(Debug)]
pub struct Recurrent<K> {
    pub input_size: i64,
    pub hidden_size: i64,
    pub options: RecurrentOptions,
    pub training: Training,
    passes: Vec<Pass>,
    kind: PhantomData<K>,
}
/// Layers of [`Rnn`] units.
pub type RNN = Recurrent<Rnn>;
/// Layers of [`Lstm`] units.
pub type LSTM = Recurrent<Lstm>;
/// Layers of [`Gru`] units.
pub type GRU = Recurrent<Gru>;

fn draw<'a>(size: i64, parameters: impl IntoIterator<Item = Option<&'a Parameter>>) -> Result<()> {
    let bound = 1.0 / (size as f64).sqrt();
    parameters.into_iter().flatten().try_for_each(|parameter| init::uniform_(parameter, -bound, bound))
}

impl<K: Recurrence> Recurrent<K> {
    /// One layer; all parameters are drawn from [-1, 1) / sqrt(hidden_size).
    pub fn new(input_size: i64, hidden_size: i64) -> Result<Self> {
        Self::with(input_size, hidden_size, RecurrentOptions::default())
    }
    pub fn with(input_size: i64, hidden_size: i64, options: RecurrentOptions) -> Result<Self> {
        for (name, size) in [
            ("input_size", input_size),
            ("hidden_size", hidden_size),
            ("num_layers", options.num_layers as i64),
        ] {
            if size <= 0 {
                bail!(Value, "{name} must be greater than zero");
            }
        }
        if !(0.0..=1.0).contains(&options.dropout) {
            bail!(
                Value,
                "dropout should be a number in range [0, 1] representing the probability of an element being zeroed"
            );
        }
        let Some(rows) = hidden_size.checked_mul(K::GATES) else { bail!(Value, "hidden_size is too large") };
        let directions = 1 + options.bidirectional as i64;
        let mut passes = Vec::new();
        for layer in 0..options.num_layers {
            let width = if layer == 0 { input_size } else { hidden_size * directions };
            for direction in 0..directions {
                let tensors = &options.tensors;
                let pass = Pass {
                    suffix: format!("_l{layer}{}", if direction > 0 { "_reverse" } else { "" }),
                    weight_ih: parameter(&[rows, width], tensors)?,
                    weight_hh: parameter(&[rows, hidden_size], tensors)?,
                    bias_ih: parameter_if(options.bias, &[rows], tensors)?,
                    bias_hh: parameter_if(options.bias, &[rows], tensors)?,
                };
                passes.push(pass);
            }
        }
        for p in &passes {
            let all = [Some(&p.weight_ih), Some(&p.weight_hh), p.bias_ih.as_ref(), p.bias_hh.as_ref()];
            draw(hidden_size, all)?;
        }
        let training = Training::default();
        Ok(Recurrent { input_size, hidden_size, options, training, passes, kind: PhantomData })
    }

    /// The last layer's outputs, and the states of all layers and directions at the end, from the given states at the
    /// start or from zeros. The input is `(time, batch, input_size)`, `(batch, time, input_size)` with `batch_first`,
    /// or `(time, input_size)`; states are `(layers * directions, batch, hidden_size)`.
    pub fn forward(&self, input: &Tensor, state: Option<&K::State>) -> Result<(Tensor, K::State)> {
        let rank = input.dim();
        if rank != 2 && rank != 3 {
            bail!(Value, "{}: Expected input to be 2D or 3D, got {rank}D instead", K::NAME);
        }
        let batched = rank == 3;
        let swap = self.options.batch_first && batched;
        let steps = match batched {
            true if swap => shape::transpose(input, 0, 1)?,
            true => input.clone(),
            false => shape::unsqueeze(input, 1)?,
        };
        let sizes = steps.sizes();
        if sizes[2] != self.input_size {
            bail!(
                "input.size(-1) must be equal to input_size. Expected {}, got {}",
                self.input_size,
                sizes[2]
            );
        }
        if sizes[0] == 0 {
            bail!("Expected sequence length to be larger than 0 in RNN");
        }
        let expected = [self.passes.len() as i64, sizes[1], self.hidden_size];
        let start = |part: Option<&Tensor>| -> Result<Tensor> {
            let Some(part) = part else {
                return Tensor::zeros_raw(&expected, steps.dtype(), steps.device());
            };
            let part = if batched { part.clone() } else { shape::unsqueeze(part, 1)? };
            if part.sizes()[..] != expected {
                bail!("Expected hidden size {}, got {}", expected[..].python(), show(&part.sizes()));
            }
            Ok(part)
        };
        let parts = state.map(K::parts);
        let hidden = start(parts.map(|(hidden, _)| hidden))?;
        let cell = if K::GATES == 4 { Some(start(parts.and_then(|(_, cell)| cell))?) } else { None };
        let (output, hidden, cell) = self.layers(steps, &hidden, cell.as_ref())?;
        let output = match batched {
            true if swap => shape::transpose(&output, 0, 1)?,
            true => output,
            false => shape::squeeze_dim(&output, 1)?,
        };
        let whole = |part: Tensor| if batched { Ok(part) } else { shape::squeeze_dim(&part, 1) };
        Ok((output, K::state(whole(hidden)?, cell.map(whole).transpose()?)?))
    }

    fn layers(
        &self,
        mut x: Tensor,
        hidden: &Tensor,
        cell: Option<&Tensor>,
    ) -> Result<(Tensor, Tensor, Option<Tensor>)> {
        let o = &self.options;
        let mode = K::mode(o.nonlinearity);
        let directions = 1 + o.bidirectional as usize;
        let (mut hiddens, mut cells) = (Vec::new(), Vec::new());
        for (layer, passes) in self.passes.chunks(directions).enumerate() {
            let mut outputs = Vec::with_capacity(directions);
            for (direction, pass) in passes.iter().enumerate() {
                let place = (layer * directions + direction) as i64;
                let gates = F::linear(&x, &pass.weight_ih, tensor_of(&pass.bias_ih))?;
                let h = shape::select(hidden, 0, place)?;
                let c = cell.map(|cell| shape::select(cell, 0, place)).transpose()?;
                let bias = tensor_of(&pass.bias_hh);
                let backward = direction == 1;
                let (output, last) =
                    recurrent::_rnn_layer(&gates, &h, c.as_ref(), &pass.weight_hh, bias, mode, backward)?;
                hiddens.push(shape::select(&output, 0, if backward { 0 } else { -1 })?);
                cells.push(last);
                outputs.push(output);
            }
            x = if directions == 1 { outputs.remove(0) } else { join::cat(&outputs, -1)? };
            if o.dropout > 0.0 && layer + 1 < o.num_layers {
                x = random::dropout(&x, o.dropout, self.training.get())?;
            }
        }
        let cells = if cell.is_some() { Some(join::stack(&cells, 0)?) } else { None };
        Ok((x, join::stack(&hiddens, 0)?, cells))
    }
}

impl<K: Recurrence> Module for Recurrent<K> {
    fn class_name(&self) -> String {
        K::NAME.into()
    }
    fn visit<'a>(&'a self, visitor: &mut dyn FnMut(&str, Member<'a>)) {
        for pass in &self.passes {
            let mut show = |name: &str, parameter: &'a Parameter| {
                visitor(&format!("{name}{}", pass.suffix), Member::Parameter(parameter));
            };
            show("weight_ih", &pass.weight_ih);
            show("weight_hh", &pass.weight_hh);
            pass.bias_ih.iter().for_each(|bias| show("bias_ih", bias));
            pass.bias_hh.iter().for_each(|bias| show("bias_hh", bias));
        }
        visitor("training", Member::Training(&self.training));
    }
    fn extra_repr(&self) -> String {
        let o = &self.options;
        let mut text = format!("{}, {}", self.input_size, self.hidden_size);
        if o.num_layers != 1 {
            text += &format!(", num_layers={}", o.num_layers);
        }
        if !o.bias {
            text += ", bias=False";
        }
        if o.batch_first {
            text += ", batch_first=True";
        }
        if o.dropout != 0.0 {
            text += &format!(", dropout={}", o.dropout.python());
        }
        if o.bidirectional {
            text += ", bidirectional=True";
        }
        text
    }
}
impl<K: Recurrence> fmt::Display for Recurrent<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repr())
    }
}

/// Settings of the cells.
#[derive(Clone, Copy, Debug)]
pub struct RecurrentCellOptions {
    pub bias: bool,
    /// Of an [`RNNCell`]; the others have their own.
    pub nonlinearity: Nonlinearity,
    pub tensors: TensorOptions,
}
impl Default for RecurrentCellOptions {
    fn default() -> Self {
        let (nonlinearity, tensors) = (Nonlinearity::Tanh, TensorOptions::default());
        RecurrentCellOptions { bias: true, nonlinearity, tensors }
    }
}

/// One step of a recurrent layer: [`RNNCell`], [`LSTMCell`], [`GRUCell`].
///
/// ```
/// use flambeau::nn::GRUCell;
/// let cell = GRUCell::new(3, 5)?;
/// let mut state = None;
/// for _ in 0..4 {
///     state = Some(cell.forward(&flambeau::ones([2, 3], ())?, state.as_ref())?);
/// }
/// assert_eq!(state.unwrap().sizes()[..], [2, 5]);
/// # Ok::<(), flambeau::Error>(())
/// ```
#[derive(Debug)]
pub struct RecurrentCell<K> {
    pub input_size: i64,
    pub hidden_size: i64,
    pub options: RecurrentCellOptions,
    pub weight_ih: Parameter,
    pub weight_hh: Parameter,
    pub bias_ih: Option<Parameter>,
    pub bias_hh: Option<Parameter>,
    kind: PhantomData<K>,
}
/// A step of [`RNN`].
pub type RNNCell = RecurrentCell<Rnn>;
/// A step of [`LSTM`].
pub type LSTMCell = RecurrentCell<Lstm>;
/// A step of [`GRU`].
pub type GRUCell = RecurrentCell<Gru>;

impl<K: Recurrence> RecurrentCell<K> {
    /// Parameters drawn from [-1, 1) / sqrt(hidden_size).
    pub fn new(input_size: i64, hidden_size: i64) -> Result<Self> {
        Self::with(input_size, hidden_size, RecurrentCellOptions::default())
    }
    pub fn with(input_size: i64, hidden_size: i64, options: RecurrentCellOptions) -> Result<Self> {
        let Some(rows) = hidden_size.checked_mul(K::GATES) else { bail!(Value, "hidden_size is too large") };
        let tensors = &options.tensors;
        let out = RecurrentCell {
            input_size,
            hidden_size,
            options,
            weight_ih: parameter(&[rows, input_size], tensors)?,
            weight_hh: parameter(&[rows, hidden_size], tensors)?,
            bias_ih: parameter_if(options.bias, &[rows], tensors)?,
            bias_hh: parameter_if(options.bias, &[rows], tensors)?,
            kind: PhantomData,
        };
        let all = [Some(&out.weight_ih), Some(&out.weight_hh), out.bias_ih.as_ref(), out.bias_hh.as_ref()];
        draw(hidden_size, all)?;
        Ok(out)
    }
    /// The next state, from an input `(batch, input_size)` or `(input_size)` and a state, by default zeros.
    pub fn forward(&self, input: &Tensor, state: Option<&K::State>) -> Result<K::State> {
        let rank = input.dim();
        if rank != 1 && rank != 2 {
            bail!(Value, "{}: Expected input to be 1D or 2D, got {rank}D instead", self.class_name());
        }
        let rows = |x: &Tensor| if rank == 2 { Ok(x.clone()) } else { shape::unsqueeze(x, 0) };
        let input = rows(input)?;
        let parts = state.map(K::parts);
        let start = |part: Option<&Tensor>| match part {
            Some(part) => rows(part),
            None => Tensor::zeros_raw(&[input.sizes()[0], self.hidden_size], input.dtype(), input.device()),
        };
        let hidden = start(parts.map(|(hidden, _)| hidden))?;
        let cell = if K::GATES == 4 { Some(start(parts.and_then(|(_, cell)| cell))?) } else { None };
        let gates = F::linear(&input, &self.weight_ih, tensor_of(&self.bias_ih))?;
        let (output, last) = recurrent::_rnn_layer(
            &shape::unsqueeze(&gates, 0)?,
            &hidden,
            cell.as_ref(),
            &self.weight_hh,
            tensor_of(&self.bias_hh),
            K::mode(self.options.nonlinearity),
            false,
        )?;
        let whole = |x: Tensor| if rank == 2 { Ok(x) } else { shape::squeeze_dim(&x, 0) };
        let hidden = whole(shape::select(&output, 0, 0)?)?;
        K::state(hidden, cell.map(|_| whole(last)).transpose()?)
    }
}
impl<K: Recurrence> Module for RecurrentCell<K> {
    fn class_name(&self) -> String {
        format!("{}Cell", K::NAME)
    }
    fn visit<'a>(&'a self, visitor: &mut dyn FnMut(&str, Member<'a>)) {
        visitor("weight_ih", Member::Parameter(&self.weight_ih));
        visitor("weight_hh", Member::Parameter(&self.weight_hh));
        self.bias_ih.iter().for_each(|bias| visitor("bias_ih", Member::Parameter(bias)));
        self.bias_hh.iter().for_each(|bias| visitor("bias_hh", Member::Parameter(bias)));
    }
    fn extra_repr(&self) -> String {
        let mut text = format!("{}, {}", self.input_size, self.hidden_size);
        if !self.options.bias {
            text += ", bias=False";
        }
        if self.options.nonlinearity == Nonlinearity::ReLU && K::NAME == "RNN" {
            text += ", nonlinearity=relu";
        }
        text
    }
}
impl<K: Recurrence> fmt::Display for RecurrentCell<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&repr::module(&self.class_name(), &self.extra_repr(), &[]))
    }
}
