//! The text of tensors.

use super::{Info, Item, Values, format_tensor};
use crate::{Array, DType, Scalar, Tensor};
use std::fmt;

/// Elements of an array by index.
struct Elements(Array);

impl Values for Elements {
    fn shape(&self) -> &[i64] {
        &self.0.sizes
    }
    fn dtype(&self) -> DType {
        self.0.dtype
    }
    fn get(&self, index: &[i64]) -> Item {
        let mut one = self.0.clone();
        one.offset += index.iter().zip(&one.strides).map(|(&i, &s)| i * s).sum::<i64>();
        one.sizes.clear();
        one.strides.clear();
        let dtype = one.dtype;
        match Tensor::from_array(one).item() {
            Ok(Scalar::Bool(b)) => Item::Bool(b),
            Ok(Scalar::Int(i)) if dtype == DType::UInt64 => Item::UInt(i as u64),
            Ok(Scalar::Int(i)) => Item::Int(i),
            Ok(Scalar::UInt(i)) => Item::UInt(i),
            Ok(Scalar::Float(f)) => Item::Float(f),
            Ok(Scalar::Complex(c)) => Item::Complex(c.re, c.im),
            Err(_) => Item::Float(f64::NAN),
        }
    }
}

/// The text of a part of a sparse tensor, whose lines after the first start `indent` characters further in.
fn part_text(t: &Tensor, indent: usize) -> String {
    if t.numel() == 0 {
        return format!("tensor([], size={})", size_text(&t.sizes()));
    }
    let a = t.array();
    let sizes = a.sizes.clone();
    // The dtype is that of the whole, which names it.
    let info = Info { default_dtype: a.dtype, ..Info::new(&sizes, a.dtype) };
    format_tensor(Some(&Elements(a)), &info).replace('\n', &format!("\n{}", " ".repeat(indent)))
}

/// `(2, 3)`
fn size_text(sizes: &[i64]) -> String {
    let list: Vec<String> = sizes.iter().map(i64::to_string).collect();
    format!("({}{})", list.join(", "), if list.len() == 1 { "," } else { "" })
}

/// The text of a sparse tensor: its parts, then what it is.
fn sparse_text(t: &Tensor, coo: &crate::ops::sparse::Coo, prefix: &str) -> String {
    let indent = prefix.len() + 1;
    let gap = " ".repeat(indent);
    let mut text = format!(
        "{prefix}(indices={},\n{gap}values={}",
        part_text(&coo.indices, indent + "indices=".len()),
        part_text(&coo.values, indent + "values=".len())
    );
    let dtype = t.dtype();
    let default = crate::default_dtype();
    let plain = [default, default.to_complex(), DType::Int64, DType::Bool].contains(&dtype);
    let mut suffixes =
        vec![format!("size={}", size_text(&t.sizes())), format!("nnz={}", coo.values.sizes()[0])];
    if !plain {
        suffixes.push(format!("dtype=torch.{}", dtype.name()));
    }
    suffixes.push("layout=torch.sparse_coo".into());
    match t.grad_fn() {
        Some(f) => suffixes.push(format!("grad_fn=<{}>", f.name().rsplit("::").next().unwrap_or(""))),
        None if t.requires_grad() => suffixes.push("requires_grad=True".into()),
        None => {}
    }
    // The first suffix begins a line, as do those that would not fit.
    let mut width = usize::MAX;
    for suffix in &suffixes {
        if width.saturating_add(suffix.len() + 2) > super::options().linewidth {
            text += &format!(",\n{gap}{suffix}");
            width = indent + suffix.len();
        } else {
            text += &format!(", {suffix}");
            width += suffix.len() + 2;
        }
    }
    text + ")"
}

/// The text of a tensor; `prefix` is `tensor`, or in Python the name of a subclass.
pub fn tensor_text(t: &Tensor, prefix: &str) -> String {
    if let Some(coo) = t.coo() {
        return sparse_text(t, &coo, prefix);
    }
    let a = t.array();
    let (sizes, dtype, meta) = (a.sizes.clone(), a.dtype, a.device().is_meta());
    let grad_fn = t.grad_fn();
    let name = grad_fn.as_ref().map(|f| f.name().rsplit("::").next().unwrap_or(""));
    let info = Info {
        prefix,
        device: meta.then_some("meta"),
        default_dtype: crate::default_dtype(),
        requires_grad: t.requires_grad() && name.is_none(),
        grad_fn: name,
        ..Info::new(&sizes, dtype)
    };
    let values = Elements(a);
    format_tensor(if meta { None } else { Some(&values) }, &info)
}

/// As PyTorch prints it.
///
/// ```
/// let x = flambeau::tensor([1f32, 2.5])?.requires_grad_(true)?;
/// assert_eq!(x.to_string(), "tensor([1.0000, 2.5000], requires_grad=True)");
/// assert_eq!((&x + 1i64).to_string(), "tensor([2.0000, 3.5000], grad_fn=<AddBackward0>)");
/// # Ok::<(), flambeau::Error>(())
/// ```
impl fmt::Display for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&tensor_text(self, "tensor"))
    }
}
