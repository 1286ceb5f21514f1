//! Recurrent layers, one direction of all steps at a time.

use crate::Tensor;
use crate::autograd::{
    BackwardOptions, Context, GradMode, Grads, Save, grad_enabled, needs_grad, record, run_backward,
};
use crate::generated::functions as f;
use crate::ops::dense::{Dense, written_all};
use crate::ops::{join, shape};
use flambeau_core::{DType, Result, bail, show};
use flambeau_cpu::recurrent::{self, Cell, Kept, Recurrence};
use smallvec::smallvec;

fn cell_of(mode: &str) -> Result<Cell> {
    Ok(match mode {
        "LSTM" => Cell::Lstm,
        "GRU" => Cell::Gru,
        "RNN_TANH" => Cell::Tanh,
        "RNN_RELU" => Cell::Relu,
        _ => bail!("Unrecognized RNN mode: {mode}"),
    })
}

/// The operands of a layer, in the order of the node's edges.
struct Operands {
    gates: Tensor,
    hx: Tensor,
    cx: Option<Tensor>,
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Operands {
    fn list(&self) -> Vec<&Tensor> {
        let mut list = vec![&self.gates, &self.hx];
        list.extend(&self.cx);
        list.push(&self.weight);
        list.extend(&self.bias);
        list
    }

    fn sizes(&self, cell: Cell, reverse: bool) -> Result<Recurrence> {
        let (gates, h, weight) = (self.gates.sizes(), self.hx.sizes(), self.weight.sizes());
        let dtype = self.gates.dtype();
        if gates.len() != 3 || h.len() != 2 || h[0] != gates[1] {
            bail!("recurrent layer: gates of size {} and a state of size {}", show(&gates), show(&h));
        }
        let width = h[1].checked_mul(cell.gates() as i64);
        let fits = width == Some(gates[2])
            && weight[..] == [gates[2], h[1]]
            && self.bias.as_ref().is_none_or(|bias| bias.sizes()[..] == [gates[2]])
            && self.cx.as_ref().is_none_or(|cx| cx.sizes() == h)
            && self.cx.is_some() == (cell == Cell::Lstm);
        if !fits {
            bail!(
                "recurrent layer: operands don't fit gates of size {} and a state of size {}",
                show(&gates),
                show(&h)
            );
        }
        if let Some(other) = self.list().iter().find(|t| t.dtype() != dtype) {
            bail!("expected scalar type {} but found {}", dtype.cpp_name(), other.dtype().cpp_name());
        }
        let [steps, batch, hidden] = [gates[0], gates[1], h[1]].map(|n| n as usize);
        Ok(Recurrence { cell, steps, batch, hidden, reverse })
    }

    /// The outputs of all steps and the last cell state (others' last state), in differentiable operators.
    fn composed(&self, s: &Recurrence) -> Result<(Tensor, Tensor)> {
        let n = s.hidden as i64;
        let one = || 1i64.into();
        let mut h = self.hx.clone();
        let mut c = self.cx.clone();
        let mut outputs = vec![h.clone(); s.steps];
        for t in 0..s.steps {
            let t = if s.reverse { s.steps - 1 - t } else { t };
            let gates = shape::select(&self.gates, 0, t as i64)?;
            let share = super::super::matmul::linear(&h, &self.weight, self.bias.as_ref())?;
            let part = |x: &Tensor, i: i64| shape::narrow(x, 1, i * n, n);
            let sum = |i: i64| f::add(&part(&gates, i)?, &part(&share, i)?, one());
            h = match s.cell {
                Cell::Tanh => f::tanh(&sum(0)?)?,
                Cell::Relu => f::relu(&sum(0)?)?,
                Cell::Lstm => {
                    let old = c.as_ref().unwrap_or(&h);
                    let kept = f::mul(&f::sigmoid(&sum(1)?)?, old)?;
                    let new = f::add(&kept, &f::mul(&f::sigmoid(&sum(0)?)?, &f::tanh(&sum(2)?)?)?, one())?;
                    let h = f::mul(&f::sigmoid(&sum(3)?)?, &f::tanh(&new)?)?;
                    c = Some(new);
                    h
                }
                Cell::Gru => {
                    let (r, z) = (f::sigmoid(&sum(0)?)?, f::sigmoid(&sum(1)?)?);
                    let new = f::add(&part(&gates, 2)?, &f::mul(&r, &part(&share, 2)?)?, one())?;
                    let new = f::tanh(&new)?;
                    f::add(&f::mul(&f::sub(&h, &new, one())?, &z)?, &new, one())?
                }
            };
            outputs[t] = h.clone();
        }
        Ok((join::stack(&outputs, 0)?, c.unwrap_or(h)))
    }

    /// The gradients by differentiating the composed form, for gradients that are to be differentiated again.
    fn composed_backward(&self, s: &Recurrence, grads: [Option<&Tensor>; 2]) -> Result<Grads> {
        // Operands of their own, so that a path from one to another does not count.
        let own = |t: &Tensor| -> Result<Tensor> {
            let out = t.alias();
            record(&[&out], "AliasBackward0", &[t], &[], |ctx| Ok(smallvec![ctx.grad(0).cloned()]))?;
            Ok(out)
        };
        let _guard = GradMode::set(true);
        let apart = Operands {
            gates: own(&self.gates)?,
            hx: own(&self.hx)?,
            cx: self.cx.as_ref().map(own).transpose()?,
            weight: own(&self.weight)?,
            bias: self.bias.as_ref().map(own).transpose()?,
        };
        let (out, last) = apart.composed(s)?;
        let mut roots = Vec::new();
        for (result, grad) in [&out, &last].into_iter().zip(grads) {
            if let (Some(edge), Some(grad)) = (result.gradient_edge(), grad) {
                roots.push((edge, grad.clone()));
            }
        }
        let list = apart.list();
        let edges: Vec<_> = list.iter().filter_map(|t| t.gradient_edge()).collect();
        let options = BackwardOptions { keep_graph: true, create_graph: true, accumulate: false };
        let mut found = run_backward(&roots, Some(&edges), options)?.into_iter();
        let grads = list.iter().map(|t| t.gradient_edge().and_then(|_| found.next().flatten()));
        Ok(grads.collect())
    }
}

/// What the kernel and its gradient share.
#[derive(Clone, Copy)]
struct Fused {
    sizes: Recurrence,
    biased: bool,
}

impl Fused {
    fn backward(&self, ctx: &Context) -> Result<Grads> {
        let s = &self.sizes;
        let lstm = s.cell == Cell::Lstm;
        let operands = Operands {
            gates: ctx.saved(0)?,
            hx: ctx.saved(1)?,
            cx: ctx.saved_opt(2)?,
            weight: ctx.saved(3)?,
            bias: ctx.saved_opt(4)?,
        };
        let again = grad_enabled()
            && operands.list().into_iter().chain(ctx.grads().iter().flatten()).any(Tensor::requires_grad);
        if again || ctx.grads().iter().flatten().any(Tensor::is_meta) {
            return operands.composed_backward(s, [ctx.grad(0), ctx.grad(1).filter(|_| lstm)]);
        }
        let (out, all, cells) = (ctx.saved(5)?, ctx.saved(6)?, ctx.saved(7)?);
        let (grad, grad_last) = (ctx.grad_or_zeros(0)?, ctx.grad_or_zeros(1)?);
        let dtype = out.dtype();
        macro_rules! run {
            ($T:ty) => {{
                let _guard = GradMode::no_grad();
                let dense = |t: &Tensor| Dense::<$T>::of(t);
                let (h, weight, out) = (dense(&operands.hx)?, dense(&operands.weight)?, dense(&out)?);
                let c = operands.cx.as_ref().map(dense).transpose()?;
                let (all, cells, grad) = (dense(&all)?, dense(&cells)?, dense(&grad)?);
                let last = if lstm { Some(dense(&grad_last)?) } else { None };
                let from = Kept {
                    h: &h,
                    c: c.as_deref().unwrap_or(&[]),
                    weight: &weight,
                    out: &out,
                    all: &all,
                    cells: &cells,
                };
                let width = (s.hidden * s.cell.gates()) as i64;
                let states = operands.hx.sizes();
                let cell_states: &[i64] = if lstm { &states } else { &[0] };
                let (gates, weights) = (operands.gates.sizes(), operands.weight.sizes());
                let sizes: [&[i64]; 5] = [&gates, &states, cell_states, &weights, &[width]];
                let [by_gates, by_h, by_c, by_weight, by_bias] = written_all(sizes, dtype, |written| {
                    let given: [&[$T]; 2] = [&grad, last.as_deref().unwrap_or(&[])];
                    recurrent::backward(s, &from, given, written)
                })?;
                let mut grads: Grads = smallvec![Some(by_gates), Some(by_h)];
                if lstm {
                    grads.push(Some(by_c));
                }
                grads.push(Some(by_weight));
                if self.biased {
                    grads.push(Some(by_bias));
                }
                Ok(grads)
            }};
        }
        if dtype == DType::Float64 { run!(f64) } else { run!(f32) }
    }
}

/// All steps of one direction of a recurrent layer: `gates` (steps, batch, gates * hidden) is the input's share of the gates with
/// its biases. Returns the states of all steps, and an LSTM's last cell state (an empty tensor for others).
pub fn _rnn_layer(
    gates: &Tensor,
    hx: &Tensor,
    cx: Option<&Tensor>,
    weight_hh: &Tensor,
    bias_hh: Option<&Tensor>,
    mode: &str,
    reverse: bool,
) -> Result<(Tensor, Tensor)> {
    let cell = cell_of(mode)?;
    let operands = Operands {
        gates: gates.clone(),
        hx: hx.clone(),
        cx: cx.cloned(),
        weight: weight_hh.clone(),
        bias: bias_hh.cloned(),
    };
    crate::ops::common_device(&operands.list())?;
    let (s, dtype) = (operands.sizes(cell, reverse)?, gates.dtype());
    let lstm = cell == Cell::Lstm;
    if !matches!(dtype, DType::Float32 | DType::Float64) || gates.is_meta() || s.steps == 0 {
        let (out, last) = match s.steps {
            0 => (
                shape::narrow(gates, 2, 0, s.hidden as i64)?,
                operands.cx.clone().unwrap_or_else(|| hx.clone()),
            ),
            _ => operands.composed(&s)?,
        };
        let none = || Tensor::empty_raw(&[0], dtype, gates.device());
        return Ok((out, if lstm { last } else { none()? }));
    }
    let keep = needs_grad(&operands.list());
    let states = [s.batch as i64, s.hidden as i64];
    let cell_states: &[i64] = if lstm { &states } else { &[0] };
    let all = [s.steps as i64, states[0], states[1]];
    let (all_kept, all_cells) = match keep {
        true => ([all[0], all[1], all[2] * cell.kept() as i64], if lstm { all } else { [0, 0, 0] }),
        false => ([0; 3], [0; 3]),
    };
    macro_rules! run {
        ($T:ty) => {{
            let _guard = GradMode::no_grad();
            let dense = |t: &Tensor| Dense::<$T>::of(t);
            let (gates, h, weight) = (dense(gates)?, dense(hx)?, dense(weight_hh)?);
            let (c, bias) = (cx.map(dense).transpose()?, bias_hh.map(dense).transpose()?);
            let given: [&[$T]; 4] = [&gates, &h, c.as_deref().unwrap_or(&[]), &weight];
            written_all([&all, cell_states, &all_kept, &all_cells], dtype, |[out, last, kept, cells]| {
                let kept = if keep { Some([kept, cells]) } else { None };
                recurrent::forward(&s, given, bias.as_deref(), [out, last], kept)
            })?
        }};
    }
    let [out, last, kept, cells] = if dtype == DType::Float64 { run!(f64) } else { run!(f32) };
    let saves = [
        Save::Input(gates),
        Save::Input(hx),
        Save::Opt(cx),
        Save::Input(weight_hh),
        Save::Opt(bias_hh),
        Save::Output(0),
        Save::Input(&kept),
        Save::Input(&cells),
    ];
    let this = Fused { sizes: s, biased: bias_hh.is_some() };
    record(&[&out, &last], "RnnLayerBackward0", &operands.list(), &saves, move |ctx| this.backward(ctx))?;
    Ok((out, last))
}
