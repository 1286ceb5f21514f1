//! Checks of arguments that declarations name with `check:`. Each sees the parsed call before anything runs.

use crate::schema::Call;
use flambeau_core::{Result, bail};

/// `alpha` of add and sub: no float factor for integers, no number but a bool for bools.
pub fn alpha(c: &Call) -> Result<()> {
    let alpha = c.scalar(2)?;
    if alpha.is(1) {
        return Ok(());
    }
    let mut dtype = c.tensor(0)?.dtype();
    dtype = match c.tensor(1) {
        Ok(other) => super::result_type(&[c.tensor(0)?, other]),
        Err(_) => super::common_dtype(&[c.tensor(0)?], std::iter::once(c.scalar(1)?)).promote(dtype),
    };
    if alpha.is_float() && dtype.is_integral_or_bool() {
        bail!("For integral input tensors, argument alpha must not be a floating point number.");
    }
    if alpha.is_complex() && !dtype.is_complex() {
        bail!("For non-complex input tensors, argument alpha must not be a complex number.");
    }
    if matches!(alpha, flambeau_core::Scalar::Bool(_)) && dtype != flambeau_core::DType::Bool {
        bail!("Boolean alpha only supported for Boolean results.");
    }
    Ok(())
}

/// `approximate` of gelu.
pub fn gelu(c: &Call) -> Result<()> {
    let approximate = c.str(1)?;
    if approximate != "none" && approximate != "tanh" {
        bail!("approximate argument must be either none or tanh.");
    }
    Ok(())
}
