//! The settings of a parameter group, by name.

use crate::Result;
use crate::io::Value;
use flambeau_core::bail;

/// A setting's value: a number, a switch, or a pair of numbers such as the decay rates of Adam.
pub trait Setting {
    /// As state dicts hold it.
    fn to_value(&self) -> Value;
    fn set_from(&mut self, value: &Value) -> Result<()>;
    /// As Python prints it.
    fn text(&self) -> String {
        self.to_value().to_string()
    }
}
impl Setting for f64 {
    fn to_value(&self) -> Value {
        (*self).into()
    }
    fn set_from(&mut self, value: &Value) -> Result<()> {
        *self = value.as_f64()?;
        Ok(())
    }
}
impl Setting for i64 {
    fn to_value(&self) -> Value {
        (*self).into()
    }
    fn set_from(&mut self, value: &Value) -> Result<()> {
        *self = value.as_i64()?;
        Ok(())
    }
}
impl Setting for bool {
    fn to_value(&self) -> Value {
        (*self).into()
    }
    fn set_from(&mut self, value: &Value) -> Result<()> {
        *self = value.as_bool()?;
        Ok(())
    }
}
impl Setting for Option<f64> {
    fn to_value(&self) -> Value {
        (*self).into()
    }
    fn set_from(&mut self, value: &Value) -> Result<()> {
        *self = if value.is_none() { None } else { Some(value.as_f64()?) };
        Ok(())
    }
}
impl<A: Setting, B: Setting> Setting for (A, B) {
    fn to_value(&self) -> Value {
        Value::Tuple(vec![self.0.to_value(), self.1.to_value()])
    }
    fn set_from(&mut self, value: &Value) -> Result<()> {
        match value.items()? {
            [a, b] => {
                self.0.set_from(a)?;
                self.1.set_from(b)
            }
            items => bail!(Value, "expected two numbers, got {}", items.len()),
        }
    }
}
impl Setting for (f64, f64, f64) {
    fn to_value(&self) -> Value {
        Value::Tuple(vec![self.0.into(), self.1.into(), self.2.into()])
    }
    fn set_from(&mut self, value: &Value) -> Result<()> {
        match value.items()? {
            [a, b, c] => *self = (a.as_f64()?, b.as_f64()?, c.as_f64()?),
            items => bail!(Value, "expected three numbers, got {}", items.len()),
        }
        Ok(())
    }
}
impl Setting for String {
    fn to_value(&self) -> Value {
        self.as_str().into()
    }
    fn set_from(&mut self, value: &Value) -> Result<()> {
        *self = value.as_str()?.to_string();
        Ok(())
    }
}
impl Setting for Vec<f64> {
    fn to_value(&self) -> Value {
        self.clone().into()
    }
    fn set_from(&mut self, value: &Value) -> Result<()> {
        *self = value.items()?.iter().map(Value::as_f64).collect::<Result<_>>()?;
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

/// Fails where a decay rate is not in `[0, 1)`.
pub(super) fn betas_in_range(betas: (f64, f64)) -> Result<()> {
    for (i, beta) in [betas.0, betas.1].into_iter().enumerate() {
        if !(0.0..1.0).contains(&beta) {
            bail!(Value, "Invalid beta parameter at index {i}: {}", crate::print::python_float(beta));
        }
    }
    Ok(())
}
