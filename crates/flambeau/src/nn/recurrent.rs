//! Recurrent layers over whole sequences, padded or packed.

use super::functional as F;
use super::init;
use super::linear::{parameter, parameter_if, tensor_of};
use super::module::{Member, Module, Parameter, Training};
use super::packed::{PackedSequence, Stretch};
use super::repr::Python;
use crate::generated::functions as f;
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
    /// Of an [`LSTM`]: how wide its hidden state is once a matrix has made it narrower; 0 if there is none.
    pub proj_size: i64,
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
            proj_size: 0,
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
    weight_hr: Option<Parameter>,
}

impl Pass {
    /// All steps of `gates` `(time, batch, gates * hidden_size)`: the hidden states, the last of them, and the last state
    /// of the cells.
    fn run(
        &self,
        gates: &Tensor,
        hidden: &Tensor,
        cell: Option<&Tensor>,
        mode: &str,
        backward: bool,
    ) -> Result<(Tensor, Tensor, Tensor)> {
        let bias = tensor_of(&self.bias_hh);
        if let (Some(project), Some(cell)) = (&self.weight_hr, cell) {
            return self.run_projected(gates, hidden, cell, project, backward);
        }
        let (output, cell) =
            recurrent::_rnn_layer(gates, hidden, cell, &self.weight_hh, bias, mode, backward)?;
        let last = shape::select(&output, 0, if backward { 0 } else { -1 })?;
        Ok((output, last, cell))
    }
    /// The same of an LSTM whose hidden state is projected.
    fn run_projected(
        &self,
        gates: &Tensor,
        hidden: &Tensor,
        cell: &Tensor,
        project: &Tensor,
        backward: bool,
    ) -> Result<(Tensor, Tensor, Tensor)> {
        let (mut h, mut c) = (hidden.clone(), cell.clone());
        let width = c.size(1)?;
        let mut outputs = Vec::new();
        let steps = gates.size(0)?;
        for t in 0..steps {
            let t = if backward { steps - 1 - t } else { t };
            let share = F::linear(&h, &self.weight_hh, tensor_of(&self.bias_hh))?;
            let sum = f::add(&shape::select(gates, 0, t)?, &share, 1.into())?;
            let part = |i: i64| shape::narrow(&sum, 1, i * width, width);
            let kept = f::mul(&f::sigmoid(&part(1)?)?, &c)?;
            let new = f::mul(&f::sigmoid(&part(0)?)?, &f::tanh(&part(2)?)?)?;
            c = f::add(&kept, &new, 1.into())?;
            h = F::linear(&f::mul(&f::sigmoid(&part(3)?)?, &f::tanh(&c)?)?, project, None)?;
            outputs.push(h.clone());
        }
        if backward {
            outputs.reverse();
        }
        Ok((join::stack(&outputs, 0)?, h, c))
    }
    /// Packed sequences, a stretch with the same number of them at a time.
    fn run_packed(
        &self,
        gates: &Tensor,
        stretches: &[Stretch],
        [hidden, cell]: [&Tensor; 2],
        mode: &str,
        backward: bool,
    ) -> Result<(Tensor, Tensor, Tensor)> {
        let lstm = mode == "LSTM";
        let top = |x: &Tensor, n: i64| shape::narrow(x, 0, 0, n);
        let rest = |x: &Tensor, from: i64, to: i64| shape::narrow(x, 0, from, to - from);
        let first = match backward {
            true => stretches.last(),
            false => stretches.first(),
        };
        let mut alive = first.map_or(0, |stretch| stretch.alive);
        let (mut h, mut c) = (top(hidden, alive)?, top(cell, alive)?);
        let mut outputs = Vec::new();
        // The states of sequences that have ended, which are at the back of the batch.
        let (mut hiddens, mut cells) = (Vec::new(), Vec::new());
        let order: Vec<&Stretch> =
            if backward { stretches.iter().rev().collect() } else { stretches.iter().collect() };
        for stretch in order {
            let n = stretch.alive;
            if n < alive {
                hiddens.push(rest(&h, n, alive)?);
                cells.push(rest(&c, n, alive)?);
                (h, c) = (top(&h, n)?, top(&c, n)?);
            } else if n > alive {
                // Backward a sequence begins at its last step.
                h = join::cat(&[h, rest(hidden, alive, n)?], 0)?;
                c = join::cat(&[c, rest(cell, alive, n)?], 0)?;
            }
            alive = n;
            let rows = shape::narrow(gates, 0, stretch.row, stretch.steps * n)?;
            let steps = rows.reshape(&[stretch.steps, n, gates.size(1)?])?;
            let (output, last, new) = self.run(&steps, &h, lstm.then_some(&c), mode, backward)?;
            h = last;
            c = if lstm { new } else { h.clone() };
            outputs.push(output.reshape(&[stretch.steps * n, h.size(1)?])?);
        }
        if backward {
            outputs.reverse();
        }
        hiddens.push(h);
        cells.push(c);
        hiddens.reverse();
        cells.reverse();
        Ok((join::cat(&outputs, 0)?, join::cat(&hiddens, 0)?, join::cat(&cells, 0)?))
    }
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

pub(super) fn draw<'a>(size: i64, parameters: impl IntoIterator<Item = Option<&'a Parameter>>) -> Result<()> {
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
        let projected = options.proj_size;
        if projected < 0 {
            bail!(Value, "proj_size should be a positive integer or zero to disable projections");
        }
        if projected > 0 && K::NAME != "LSTM" {
            bail!(Value, "proj_size argument is only supported for LSTM, not RNN or GRU");
        }
        if projected >= hidden_size {
            bail!(Value, "proj_size has to be smaller than hidden_size");
        }
        let output_size = if projected > 0 { projected } else { hidden_size };
        let Some(rows) = hidden_size.checked_mul(K::GATES) else { bail!(Value, "hidden_size is too large") };
        let directions = 1 + options.bidirectional as i64;
        let mut passes = Vec::new();
        for layer in 0..options.num_layers {
            let width = if layer == 0 { input_size } else { output_size * directions };
            for direction in 0..directions {
                let tensors = &options.tensors;
                let pass = Pass {
                    suffix: format!("_l{layer}{}", if direction > 0 { "_reverse" } else { "" }),
                    weight_ih: parameter(&[rows, width], tensors)?,
                    weight_hh: parameter(&[rows, output_size], tensors)?,
                    bias_ih: parameter_if(options.bias, &[rows], tensors)?,
                    bias_hh: parameter_if(options.bias, &[rows], tensors)?,
                    weight_hr: parameter_if(projected > 0, &[projected, hidden_size], tensors)?,
                };
                passes.push(pass);
            }
        }
        for p in &passes {
            let [ih, hh, hr] = [&p.bias_ih, &p.bias_hh, &p.weight_hr].map(Option::as_ref);
            draw(hidden_size, [Some(&p.weight_ih), Some(&p.weight_hh), ih, hh, hr])?;
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
        let part = |x: &Tensor| if batched { Ok(x.clone()) } else { shape::unsqueeze(x, 1) };
        let (hidden, cell) = self.start(state, sizes[1], &steps, part)?;
        let (output, hidden, cell) = self.layers(steps, None, &hidden, cell.as_ref())?;
        let output = match batched {
            true if swap => shape::transpose(&output, 0, 1)?,
            true => output,
            false => shape::squeeze_dim(&output, 1)?,
        };
        let whole = |part: Tensor| if batched { Ok(part) } else { shape::squeeze_dim(&part, 1) };
        Ok((output, K::state(whole(hidden)?, cell.map(whole).transpose()?)?))
    }

    /// The same for packed sequences. States are in the order that the sequences had before they were sorted, as are the
    /// ones that are returned.
    ///
    /// ```
    /// use flambeau::nn::{GRU, utils::{pack_sequence, pad_packed_sequence}};
    /// let gru = GRU::new(3, 5)?;
    /// let packed = pack_sequence(&[flambeau::ones([2, 3], ())?, flambeau::ones([4, 3], ())?], false)?;
    /// let (output, hidden) = gru.forward_packed(&packed, None)?;
    /// let (padded, lengths) = pad_packed_sequence(&output, true, 0.0, None)?;
    /// assert_eq!((&padded.sizes()[..], &lengths[..]), (&[2, 4, 5][..], &[2, 4][..]));
    /// assert_eq!(hidden.sizes()[..], [1, 2, 5]);
    /// # Ok::<(), flambeau::Error>(())
    /// ```
    pub fn forward_packed(
        &self,
        input: &PackedSequence,
        state: Option<&K::State>,
    ) -> Result<(PackedSequence, K::State)> {
        let data = input.data();
        let &[_, width] = &data.sizes()[..] else {
            bail!("input must have 2 dimensions, got {}", data.dim());
        };
        if width != self.input_size {
            bail!("input.size(-1) must be equal to input_size. Expected {}, got {width}", self.input_size);
        }
        let sort = |part: &Tensor| {
            if part.dim() == 3 && part.sizes()[1] == input.batch() {
                input.sort_state(part)
            } else {
                Ok(part.clone())
            }
        };
        let (hidden, cell) = self.start(state, input.batch(), data, sort)?;
        let stretches = input.stretches();
        let (output, hidden, cell) = self.layers(data.clone(), Some(&stretches), &hidden, cell.as_ref())?;
        let hidden = input.unsort_state(&hidden)?;
        let cell = cell.map(|cell| input.unsort_state(&cell)).transpose()?;
        Ok((input.map(|_| Ok(output))?, K::state(hidden, cell)?))
    }

    /// The states at the start as the layers take them, zeros where none are given; checked.
    fn start(
        &self,
        state: Option<&K::State>,
        batch: i64,
        like: &Tensor,
        change: impl Fn(&Tensor) -> Result<Tensor>,
    ) -> Result<(Tensor, Option<Tensor>)> {
        let projected = self.options.proj_size;
        let start = |part: Option<&Tensor>, width: i64| -> Result<Tensor> {
            let expected = [self.passes.len() as i64, batch, width];
            let Some(part) = part else {
                return Tensor::zeros_raw(&expected, like.dtype(), like.device());
            };
            let part = change(part)?;
            if part.sizes()[..] != expected {
                bail!("Expected hidden size {}, got {}", expected[..].python(), show(&part.sizes()));
            }
            Ok(part)
        };
        let parts = state.map(K::parts);
        let width = if projected > 0 { projected } else { self.hidden_size };
        let hidden = start(parts.map(|(hidden, _)| hidden), width)?;
        let cell = match K::GATES {
            4 => Some(start(parts.and_then(|(_, cell)| cell), self.hidden_size)?),
            _ => None,
        };
        Ok((hidden, cell))
    }

    /// All layers over `(time, batch, width)`, or over packed rows `(total, width)` in stretches.
    fn layers(
        &self,
        mut x: Tensor,
        packed: Option<&[Stretch]>,
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
                let backward = direction == 1;
                let (output, h, c) = match packed {
                    Some(packed) => {
                        let states = [&h, c.as_ref().unwrap_or(&h)];
                        pass.run_packed(&gates, packed, states, mode, backward)?
                    }
                    None => pass.run(&gates, &h, c.as_ref(), mode, backward)?,
                };
                hiddens.push(h);
                cells.push(c);
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
            pass.weight_hr.iter().for_each(|weight| show("weight_hr", weight));
        }
        visitor("training", Member::Training(&self.training));
    }
    fn extra_repr(&self) -> String {
        let o = &self.options;
        let mut text = format!("{}, {}", self.input_size, self.hidden_size);
        if o.proj_size != 0 {
            text += &format!(", proj_size={}", o.proj_size);
        }
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
