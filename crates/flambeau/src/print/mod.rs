//! The text of `repr(tensor)`, letter for letter as PyTorch prints it.
//!
//! Independent of the tensor type: anything that implements [`Values`] can be printed.
//!
//! ```
//! use flambeau::print::{Info, Item, Values, format_tensor};
//! use flambeau_core::DType;
//!
//! struct Row([f64; 3]);
//! impl Values for Row {
//!     fn shape(&self) -> &[i64] {
//!         &[3]
//!     }
//!     fn dtype(&self) -> DType {
//!         DType::Float32
//!     }
//!     fn get(&self, index: &[i64]) -> Item {
//!         Item::Float(self.0[index[0] as usize])
//!     }
//! }
//! let row = Row([1.0, 2.5, -3.0]);
//! let info = Info { requires_grad: true, ..Info::of(&row) };
//! assert_eq!(format_tensor(Some(&row), &info), "tensor([ 1.0000,  2.5000, -3.0000], requires_grad=True)");
//! ```

mod cells;
mod layout;
mod number;
mod options;
mod tensor;
#[cfg(test)]
mod tests;

pub use number::python_float;
pub use options::{PrintOptions, Profile, SetPrintOptions, options, set_options, set_printoptions};
pub use tensor::tensor_text;

use cells::Cells;
use flambeau_core::DType;
use layout::Visible;
use std::fmt::Write;

/// One element, widened without loss to the largest type of its kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Item {
    Bool(bool),
    Int(i64),
    UInt(u64),
    Float(f64),
    Complex(f64, f64),
}

/// What can be printed: an array whose elements can be read one at a time.
pub trait Values {
    /// The size of each dimension.
    fn shape(&self) -> &[i64];
    /// The element type; `get` returns the matching kind of [`Item`].
    fn dtype(&self) -> DType;
    /// The element at a multi-index of `shape().len()` entries, each within its size.
    fn get(&self, index: &[i64]) -> Item;
}

/// What surrounds the elements in the text: the name before the bracket and the suffixes after it.
#[derive(Clone, Copy, Debug)]
pub struct Info<'a> {
    pub shape: &'a [i64],
    pub dtype: DType,
    /// The default floating point type; it and its complex type are printed without `dtype=`.
    pub default_dtype: DType,
    /// `"tensor"`, or the class name of a subclass.
    pub prefix: &'a str,
    /// The device to show, such as `"cuda:0"` or `"meta"`; `None` where it is the default device.
    pub device: Option<&'a str>,
    /// Ready-made suffixes that follow `dtype=`, such as `"layout=torch._mkldnn"`.
    pub extra: &'a [&'a str],
    /// Shows `requires_grad=True`, unless there is a `grad_fn`.
    pub requires_grad: bool,
    /// The node's name, as in `"AddBackward0"`.
    pub grad_fn: Option<&'a str>,
    /// The text of a forward-mode tangent.
    pub tangent: Option<&'a str>,
}

impl<'a> Info<'a> {
    /// A plain tensor of the given shape and type on the default device, outside the graph.
    pub fn new(shape: &'a [i64], dtype: DType) -> Self {
        Info {
            shape,
            dtype,
            default_dtype: DType::Float32,
            prefix: "tensor",
            device: None,
            extra: &[],
            requires_grad: false,
            grad_fn: None,
            tangent: None,
        }
    }
    /// A plain tensor with the shape and type of `values`.
    pub fn of(values: &'a dyn Values) -> Self {
        Self::new(values.shape(), values.dtype())
    }
}

/// The text of `repr(tensor)` under the process-wide [`options`]. `values` is `None` for a meta tensor;
/// otherwise its shape must be `info.shape`.
pub fn format_tensor(values: Option<&dyn Values>, info: &Info) -> String {
    format_tensor_with(values, info, &options())
}

/// [`format_tensor`] under the given options.
pub fn format_tensor_with(values: Option<&dyn Values>, info: &Info, options: &PrintOptions) -> String {
    let indent = info.prefix.chars().count() + 1;
    let empty = info.shape.contains(&0);
    // In floating point, so that the product of an expanded tensor's sizes can't overflow.
    let count: f64 = info.shape.iter().map(|&n| n as f64).product();
    let summarize = count > options.threshold;
    let no_edges = summarize && options.edgeitems == 0;

    let mut out = String::with_capacity(64);
    out.push_str(info.prefix);
    out.push('(');
    match values {
        None => out.push_str("..."),
        Some(_) if empty => out.push_str("[]"),
        Some(_) if no_edges && !info.shape.is_empty() => out.push_str("[...]"),
        Some(values) => {
            let visible = Visible::new(info.shape, summarize.then_some(options.edgeitems));
            let cells = Cells::new(&visible.read(values), info.dtype, options);
            layout::write_nested(&mut out, &visible, &cells, indent, options.linewidth);
        }
    }

    let mut suffixes = layout::Suffixes::new(&mut out, indent, options.linewidth);
    if let Some(device) = info.device {
        suffixes.push(|out| write!(out, "device='{device}'"));
    }
    let shows_size = match values {
        None => true,
        Some(_) if empty => info.shape.len() != 1,
        Some(_) => options.edgeitems == 0,
    };
    if shows_size {
        suffixes.push(|out| write_size(out, info.shape));
    }
    let implied = info.dtype == info.default_dtype
        || values.is_some()
            && !empty
            && (matches!(info.dtype, DType::Int64 | DType::Bool)
                || info.dtype.is_complex() && info.dtype == info.default_dtype.to_complex());
    if !implied {
        suffixes.push(|out| write!(out, "dtype={}", info.dtype));
    }
    for extra in info.extra {
        suffixes.push(|out| out.write_str(extra));
    }
    if let Some(name) = info.grad_fn {
        suffixes.push(|out| write!(out, "grad_fn=<{name}>"));
    } else if info.requires_grad {
        suffixes.push(|out| out.write_str("requires_grad=True"));
    }
    if let Some(tangent) = info.tangent {
        suffixes.push(|out| write!(out, "tangent={tangent}"));
    }
    out.push(')');
    out
}

/// `size=` and a Python tuple.
fn write_size(out: &mut String, shape: &[i64]) -> std::fmt::Result {
    out.push_str("size=(");
    for (i, n) in shape.iter().enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        write!(out, "{n}")?;
    }
    out.push_str(if shape.len() == 1 { ",)" } else { ")" });
    Ok(())
}
