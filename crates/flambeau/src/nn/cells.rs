//! One step of the recurrent layers.

use super::functional as F;
use super::linear::{parameter, parameter_if, tensor_of};
use super::module::{Member, Module, Parameter};
use super::recurrent::{Gru, Lstm, Nonlinearity, Recurrence, Rnn, draw};
use super::repr;
use crate::ops::{nn::recurrent, shape};
use crate::schema::TensorOptions;
use crate::{Result, Tensor};
use flambeau_core::bail;
use std::fmt;
use std::marker::PhantomData;

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
