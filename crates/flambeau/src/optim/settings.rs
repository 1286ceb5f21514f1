//! The settings of a parameter group, by name.

use crate::ops::creation::scalar_tensor;
use crate::print::python_float;
use crate::{DType, Result, Scalar, Tensor};
use flambeau_core::bail;

/// A setting's value: a number, a switch, or the two decay rates of Adam.
pub trait Setting {
    /// As Python prints it.
    fn text(&self) -> String;
    /// As a tensor, for state dicts.
    fn to_tensor(&self) -> Result<Tensor>;
    fn set_from(&mut self, tensor: &Tensor) -> Result<()>;
}
impl Setting for f64 {
    fn text(&self) -> String {
        python_float(*self)
    }
    fn to_tensor(&self) -> Result<Tensor> {
        scalar_tensor(Scalar::Float(*self), DType::Float64)
    }
    fn set_from(&mut self, tensor: &Tensor) -> Result<()> {
        *self = tensor.to_f64()?;
        Ok(())
    }
}
impl Setting for bool {
    fn text(&self) -> String {
        if *self { "True" } else { "False" }.into()
    }
    fn to_tensor(&self) -> Result<Tensor> {
        scalar_tensor(Scalar::Bool(*self), DType::Bool)
    }
    fn set_from(&mut self, tensor: &Tensor) -> Result<()> {
        *self = tensor.item()?.to_bool();
        Ok(())
    }
}
impl Setting for (f64, f64) {
    fn text(&self) -> String {
        format!("({}, {})", self.0.text(), self.1.text())
    }
    fn to_tensor(&self) -> Result<Tensor> {
        Tensor::from_slice(&[self.0, self.1], &[2])
    }
    fn set_from(&mut self, tensor: &Tensor) -> Result<()> {
        match tensor.to_vec::<f64>()?[..] {
            [a, b] => *self = (a, b),
            _ => bail!(Value, "expected two numbers, got {}", tensor.numel()),
        }
        Ok(())
    }
}

/// Settings that can be listed.
pub trait Settings {
    /// Every setting by name.
    fn list(&mut self) -> Vec<(&'static str, &mut dyn Setting)>;
}

/// A struct of settings with defaults.
macro_rules! settings {
    ($(#[$doc:meta])* $name:ident { $($(#[$note:meta])* $field:ident: $type:ty = $default:expr,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub struct $name { $($(#[$note])* pub $field: $type,)* }
        impl Default for $name {
            fn default() -> Self {
                $name { $($field: $default),* }
            }
        }
        impl $crate::optim::Settings for $name {
            fn list(&mut self) -> Vec<(&'static str, &mut dyn $crate::optim::Setting)> {
                vec![$((stringify!($field), &mut self.$field as &mut dyn $crate::optim::Setting)),*]
            }
        }
    };
}
pub(super) use settings;

/// Fails unless the number is at least 0, with PyTorch's text.
pub(super) fn at_least_zero(what: &str, value: f64) -> Result<()> {
    if value < 0.0 || value.is_nan() {
        bail!(Value, "Invalid {what}: {}", value.text());
    }
    Ok(())
}
