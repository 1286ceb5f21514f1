//! ASGD (Polyak and Juditsky 1992), Rprop (Riedmiller and Braun 1993), Adafactor (Shazeer and Stern 2018), Muon (Jordan et
//! al. 2024).

use super::optimizer::{Algorithm, Optimizer, State, add_, addcmul_, direction, real};
use super::settings::{Setting, at_least_zero, settings};
use crate::io::Value;
use crate::ops::shape::{clone_dense, copy_};
use crate::ops::{creation, matmul, reduce};
use crate::print::python_float;
use crate::{C64, DType, Result, Scalar, Tensor};
use flambeau_core::bail;

settings! {
    /// Settings of [`ASGD`].
    ASGDOptions {
        lr: f64 = 1e-2,
        /// How fast the parameters decay, and the learning rate with them.
        lambd: f64 = 1e-4,
        /// The power by which the learning rate falls.
        alpha: f64 = 0.75,
        /// When averaging starts.
        t0: f64 = 1e6,
        weight_decay: f64 = 0.0,
        maximize: bool = false,
    }
}
settings! {
    /// Settings of [`Rprop`].
    RpropOptions {
        lr: f64 = 1e-2,
        /// By how much steps shrink and grow.
        etas: (f64, f64) = (0.5, 1.2),
        /// The smallest and the largest step.
        step_sizes: (f64, f64) = (1e-6, 50.0),
        maximize: bool = false,
    }
}
settings! {
    /// Settings of [`Adafactor`].
    AdafactorOptions {
        lr: f64 = 1e-2,
        beta2_decay: f64 = -0.8,
        /// The least squares, by default the smallest step from 1 of the dtype, and the least size of parameters.
        eps: (Option<f64>, f64) = (None, 1e-3),
        /// The largest size of an update.
        d: f64 = 1.0,
        weight_decay: f64 = 0.0,
        maximize: bool = false,
    }
}
settings! {
    /// Settings of [`Muon`].
    MuonOptions {
        lr: f64 = 1e-3,
        weight_decay: f64 = 0.1,
        momentum: f64 = 0.95,
        nesterov: bool = true,
        ns_coefficients: (f64, f64, f64) = (3.4445, -4.775, 2.0315),
        eps: f64 = 1e-7,
        ns_steps: i64 = 5,
        adjust_lr_fn: MuonRate = MuonRate::Default,
    }
}

/// Gradient descent that also keeps the mean of its parameters, in the state `ax`.
pub type ASGD = Optimizer<ASGDOptions>;
/// Steps by the signs of gradients, longer while they stay the same.
pub type Rprop = Optimizer<RpropOptions>;
/// Adam that keeps the squares of a matrix's gradients as means of rows and columns only.
pub type Adafactor = Optimizer<AdafactorOptions>;
/// Steps along the nearest orthogonal matrix of the momentum; for matrices only.
pub type Muon = Optimizer<MuonOptions>;

/// How [`Muon`]'s learning rate follows from the shape of a matrix.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MuonRate {
    /// As [`MuonRate::Original`].
    #[default]
    Default,
    /// For equal spectral norms.
    Original,
    /// For AdamW's usual sizes of updates.
    MatchRmsAdamW,
    /// For equal spectral norms, of wide matrices too.
    SpectralUnclamped,
}
impl MuonRate {
    const NAMES: [(MuonRate, &'static str); 3] = [
        (MuonRate::Original, "original"),
        (MuonRate::MatchRmsAdamW, "match_rms_adamw"),
        (MuonRate::SpectralUnclamped, "spectral_unclamped"),
    ];
}
impl Setting for MuonRate {
    fn to_value(&self) -> Value {
        Self::NAMES.iter().find(|(rate, _)| rate == self).map(|(_, name)| *name).into()
    }
    fn set_from(&mut self, value: &Value) -> Result<()> {
        *self = match value {
            Value::None => MuonRate::Default,
            value => match Self::NAMES.iter().find(|(_, name)| value.as_str().is_ok_and(|v| v == *name)) {
                Some((rate, _)) => *rate,
                None => bail!(Value, "Adjust learning rate function {value} is not supported"),
            },
        };
        Ok(())
    }
}

impl Algorithm for ASGDOptions {
    const NAME: &'static str = "ASGD";
    fn learning_rate(&mut self) -> &mut f64 {
        &mut self.lr
    }
    fn check(&self) -> Result<()> {
        at_least_zero("learning rate", self.lr)?;
        at_least_zero("weight_decay value", self.weight_decay)
    }
    fn update(&self, parameter: &Tensor, grad: &Tensor, state: &mut State) -> Result<()> {
        let &ASGDOptions { lr, lambd, alpha, t0, weight_decay, maximize } = self;
        let count = state.count();
        let (eta, mu) = (state.scalar("eta", lr), state.scalar("mu", 1.0));
        let mean = real(&state.zeros("ax", parameter)?)?;
        let grad = real(&direction(grad, parameter, maximize, weight_decay)?)?;
        let parameter = real(parameter)?;
        let rate = eta.to_f64()?;
        parameter.mul_scalar_(1.0 - lambd * rate)?;
        add_(&parameter, &grad, -rate)?;
        let share = mu.to_f64()?;
        if share == 1.0 {
            copy_(&mean, &parameter, false)?;
        } else {
            mean.add_(&(&parameter - &mean).mul_scalar(share)?)?;
        }
        eta.fill_scalar_(lr / (1.0 + lambd * lr * count).powf(alpha))?;
        mu.fill_scalar_(1.0 / (count - t0).max(1.0))?;
        Ok(())
    }
}

impl Algorithm for RpropOptions {
    const NAME: &'static str = "Rprop";
    fn learning_rate(&mut self) -> &mut f64 {
        &mut self.lr
    }
    fn check(&self) -> Result<()> {
        at_least_zero("learning rate", self.lr)?;
        let (shrink, grow) = self.etas;
        if !(0.0 < shrink && shrink < 1.0 && 1.0 < grow) {
            bail!(Value, "Invalid eta values: {}, {}", python_float(shrink), python_float(grow));
        }
        Ok(())
    }
    fn update(&self, parameter: &Tensor, grad: &Tensor, state: &mut State) -> Result<()> {
        let &RpropOptions { lr, etas: (shrink, grow), step_sizes: (smallest, largest), maximize } = self;
        state.count();
        let previous = real(&state.zeros("prev", parameter)?)?;
        let size = match state.get("step_size") {
            Some(size) => size,
            None => {
                let start =
                    if parameter.is_complex() { Scalar::Complex(C64::new(lr, lr)) } else { lr.into() };
                let options = (parameter.dtype(), parameter.device()).into();
                let size = creation::full(&parameter.sizes(), start, &options)?;
                state.insert("step_size", size.clone());
                size
            }
        };
        let size = real(&size)?;
        let grad = real(&direction(grad, parameter, maximize, 0.0)?)?;
        let agreement = grad.mul(&previous)?.sign()?;
        let turned = agreement.lt_scalar(0)?;
        let factor = creation::ones_like(&agreement, &().into(), None)?;
        factor.masked_fill_scalar_(&agreement.gt_scalar(0)?, grow)?;
        factor.masked_fill_scalar_(&turned, shrink)?;
        size.mul_(&factor)?;
        size.clamp_(Some(smallest.into()), Some(largest.into()))?;
        // Where the sign turned, this step is left out, and the next one starts without a memory.
        let grad = grad.masked_fill_scalar(&turned, 0)?;
        addcmul_(&real(parameter)?, &grad.sign()?, &size, -1.0)?;
        copy_(&previous, &grad, false).map(drop)
    }
}

fn norm(x: &Tensor) -> Result<f64> {
    reduce::linalg_vector_norm(x, 2i64.into(), None, false, None)?.to_f64()
}

impl Algorithm for AdafactorOptions {
    const NAME: &'static str = "Adafactor";
    const OTHERS: &'static [(&'static str, Option<bool>)] = &[("foreach", None)];
    const LIKE_PARAMETERS: bool = false;
    fn learning_rate(&mut self) -> &mut f64 {
        &mut self.lr
    }
    fn check(&self) -> Result<()> {
        let faults = [
            ("Learning rate should be >= 0", self.lr, self.lr < 0.0),
            ("beta2_decay should be <= 0", self.beta2_decay, self.beta2_decay > 0.0),
            ("epsilon1 should be >= 0", self.eps.0.unwrap_or(0.0), self.eps.0.is_some_and(|eps| eps < 0.0)),
            ("epsilon2 should be >= 0", self.eps.1, self.eps.1 < 0.0),
            ("Clipping threshold d should be >= 1", self.d, self.d < 1.0),
            ("weight_decay should be >= 0", self.weight_decay, self.weight_decay < 0.0),
        ];
        for (text, value, fault) in faults {
            if fault || value.is_nan() {
                bail!(Value, "{text} but is: {}", python_float(value));
            }
        }
        Ok(())
    }
    fn update(&self, parameter: &Tensor, grad: &Tensor, state: &mut State) -> Result<()> {
        let &AdafactorOptions { lr, beta2_decay, eps, d, weight_decay, maximize } = self;
        if parameter.is_complex() {
            bail!("Adafactor does not support complex parameters");
        }
        let grad = direction(grad, parameter, maximize, 0.0)?;
        let floor = eps.0.unwrap_or(match parameter.dtype() {
            DType::Float64 => f64::EPSILON,
            DType::Float16 => 2f64.powi(-10),
            DType::BFloat16 => 2f64.powi(-7),
            _ => f32::EPSILON.into(),
        });
        let count = state.count();
        let weight = count.powf(beta2_decay);
        let rate = lr.min(1.0 / count.sqrt());
        let scale = eps.1.max(norm(parameter)? / (parameter.numel() as f64).sqrt()) * rate;
        if weight_decay != 0.0 {
            parameter.mul_scalar_(1.0 - lr * weight_decay)?;
        }
        let estimate = if grad.dim() > 1 {
            let mut means = Vec::new();
            for (name, dim) in [("row_var", -1), ("col_var", -2)] {
                let two = Scalar::Int(2);
                let mean = reduce::linalg_vector_norm(&grad, two, Some(&[dim]), true, None)?
                    .square()?
                    .div_scalar(grad.size(dim)?)?;
                let kept = state.zeros(name, &mean)?;
                kept.lerp_scalar_(&mean, weight)?;
                means.push(kept);
            }
            let outer = matmul::matmul(&means[0], &means[1])?;
            outer.div(&means[0].mean_dim(Some(&[-2]), true)?.clamp_min(floor)?)?
        } else {
            let variance = state.zeros("variance", &grad)?;
            variance.lerp_scalar_(&grad.square()?, weight)?;
            variance
        };
        let update = estimate.clamp_min(floor * floor)?.rsqrt()?.mul(&grad)?;
        let size = (norm(&update)? / ((update.numel() as f64).sqrt() * d)).max(1.0);
        add_(parameter, &update, -scale / size)
    }
}

impl Algorithm for MuonOptions {
    const NAME: &'static str = "Muon";
    const OTHERS: &'static [(&'static str, Option<bool>)] = &[];
    fn learning_rate(&mut self) -> &mut f64 {
        &mut self.lr
    }
    fn check(&self) -> Result<()> {
        for (name, value) in
            [("Learning rate", self.lr), ("momentum", self.momentum), ("weight decay", self.weight_decay)]
        {
            if value < 0.0 || value.is_nan() {
                bail!(Value, "{name} should be >= 0 but is: {}", python_float(value));
            }
        }
        if self.ns_steps >= 100 {
            bail!(Value, "Number of steps must be less than 100 for computational efficiency");
        }
        Ok(())
    }
    fn start(&self, parameter: &Tensor, _: &mut State) -> Result<()> {
        if parameter.dim() != 2 {
            bail!(
                Value,
                "Muon only supports 2D parameters whereas we found a parameter with size: torch.Size({})",
                flambeau_core::show(&parameter.sizes())
            );
        }
        Ok(())
    }
    fn update(&self, parameter: &Tensor, grad: &Tensor, state: &mut State) -> Result<()> {
        let &MuonOptions { lr, weight_decay, momentum, nesterov, .. } = self;
        if parameter.is_complex() {
            bail!("Muon does not support complex parameters");
        }
        let buffer = state.zeros("momentum_buffer", parameter)?;
        buffer.lerp_scalar_(grad, 1.0 - momentum)?;
        let update = if nesterov { grad.lerp_scalar(&buffer, momentum)? } else { buffer };
        let update = self.orthogonalised(&update)?;
        parameter.mul_scalar_(1.0 - lr * weight_decay)?;
        let sizes = parameter.sizes();
        let (rows, columns) = (sizes[0] as f64, sizes[1] as f64);
        let rate = match self.adjust_lr_fn {
            MuonRate::Default | MuonRate::Original => lr * (rows / columns).max(1.0).sqrt(),
            MuonRate::SpectralUnclamped => lr * (rows / columns).sqrt(),
            MuonRate::MatchRmsAdamW => lr * (0.2 * rows.max(columns).sqrt()),
        };
        add_(parameter, &update, -rate)
    }
}

impl MuonOptions {
    /// Pushes the singular values towards 1 by a quintic polynomial, in bfloat16.
    fn orthogonalised(&self, matrix: &Tensor) -> Result<Tensor> {
        let (a, b, c) = self.ns_coefficients;
        let tall = matrix.sizes()[0] > matrix.sizes()[1];
        let x = clone_dense(matrix)?.bfloat16()?;
        let x = if tall { x.t()? } else { x };
        let size = reduce::linalg_vector_norm(&x, 2i64.into(), None, false, None)?.clamp_min(self.eps)?;
        let mut x = x.div(&size)?;
        for _ in 0..self.ns_steps {
            let gram = matmul::matmul(&x, &x.t()?)?;
            let poly = matmul::addmm(&gram, &gram, &gram, b.into(), c.into())?;
            x = matmul::addmm(&x, &poly, &x, a.into(), 1i64.into())?;
        }
        if tall { x.t() } else { Ok(x) }
    }
}
