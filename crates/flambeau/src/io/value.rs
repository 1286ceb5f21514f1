//! What a file of PyTorch's holds: tensors, numbers, texts, and lists and dictionaries of these.

use super::StateDict;
use crate::{C64, DType, Device, ErrorKind, Layout, Result, Tensor};
use flambeau_core::bail;
use std::fmt;

/// A value of Python's, as far as files hold them. Lists, tuples and dictionaries nest.
///
/// ```
/// use flambeau::io::Value;
/// let value = Value::dict([("epoch", Value::from(3)), ("loss", Value::List(vec![0.5.into(), 0.25.into()]))]);
/// assert_eq!(value["epoch"].as_i64()?, 3);
/// assert_eq!(value["loss"][1].as_f64()?, 0.25);
/// assert_eq!(value.to_string(), "{'epoch': 3, 'loss': [0.5, 0.25]}");
/// # Ok::<(), flambeau::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub enum Value {
    #[default]
    None,
    Bool(bool),
    Int(i64),
    /// An integer beyond 64 bits: its two's complement, low byte first.
    BigInt(Vec<u8>),
    Float(f64),
    Complex(C64),
    Str(String),
    Bytes(Vec<u8>),
    /// A tensor or a parameter.
    Tensor(Tensor),
    DType(DType),
    Device(Device),
    Layout(Layout),
    /// `torch.Size`.
    Size(Vec<i64>),
    List(Vec<Value>),
    Tuple(Vec<Value>),
    Set(Vec<Value>),
    Dict(Vec<(Value, Value)>),
    /// `collections.OrderedDict`, the type of modules' state dicts.
    OrderedDict(Vec<(Value, Value)>),
}

impl Value {
    /// A dictionary with texts for keys.
    pub fn dict<K: Into<Value>>(entries: impl IntoIterator<Item = (K, Value)>) -> Value {
        Value::Dict(entries.into_iter().map(|(key, value)| (key.into(), value)).collect())
    }
    /// What a dictionary has under a text.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let known = |k: &Value| matches!(k, Value::Str(text) if text == key);
        self.entries().ok()?.iter().find(|(k, _)| known(k)).map(|(_, value)| value)
    }
    /// What a dictionary has under a number, or a sequence at a place.
    pub fn at(&self, key: i64) -> Option<&Value> {
        match self {
            Value::List(items) | Value::Tuple(items) => items.get(usize::try_from(key).ok()?),
            _ => {
                let known = |k: &Value| matches!(k, Value::Int(n) if *n == key);
                self.entries().ok()?.iter().find(|(k, _)| known(k)).map(|(_, value)| value)
            }
        }
    }
    /// Adds to a dictionary, or replaces what it has under the key.
    pub fn insert(&mut self, key: &str, value: impl Into<Value>) -> Result<()> {
        let value = value.into();
        let (Value::Dict(entries) | Value::OrderedDict(entries)) = self else {
            bail!(Type, "expected a dictionary, got {}", self.kind());
        };
        match entries.iter_mut().find(|(k, _)| matches!(k, Value::Str(text) if text == key)) {
            Some((_, old)) => *old = value,
            None => entries.push((key.into(), value)),
        }
        Ok(())
    }
    /// The keys and values of a dictionary, in order.
    pub fn entries(&self) -> Result<&[(Value, Value)]> {
        match self {
            Value::Dict(entries) | Value::OrderedDict(entries) => Ok(entries),
            _ => bail!(Type, "expected a dictionary, got {}", self.kind()),
        }
    }
    /// The values of a list, a tuple or a set.
    pub fn items(&self) -> Result<&[Value]> {
        match self {
            Value::List(items) | Value::Tuple(items) | Value::Set(items) => Ok(items),
            _ => bail!(Type, "expected a sequence, got {}", self.kind()),
        }
    }
    pub fn is_none(&self) -> bool {
        matches!(self, Value::None)
    }
    /// A switch.
    pub fn as_bool(&self) -> Result<bool> {
        match self {
            Value::Bool(on) => Ok(*on),
            _ => bail!(Type, "expected True or False, got {}", self.kind()),
        }
    }
    /// An integer.
    pub fn as_i64(&self) -> Result<i64> {
        match self {
            Value::Int(n) => Ok(*n),
            Value::Bool(on) => Ok(*on as i64),
            _ => bail!(Type, "expected an integer, got {}", self.kind()),
        }
    }
    /// A number, or a tensor of one element.
    pub fn as_f64(&self) -> Result<f64> {
        match self {
            Value::Float(x) => Ok(*x),
            Value::Tensor(tensor) => tensor.to_f64(),
            _ => match self.as_i64() {
                Ok(n) => Ok(n as f64),
                Err(_) => bail!(Type, "expected a number, got {}", self.kind()),
            },
        }
    }
    /// A text.
    pub fn as_str(&self) -> Result<&str> {
        match self {
            Value::Str(text) => Ok(text),
            _ => bail!(Type, "expected a text, got {}", self.kind()),
        }
    }
    pub fn as_tensor(&self) -> Result<&Tensor> {
        match self {
            Value::Tensor(tensor) => Ok(tensor),
            _ => bail!(Type, "expected a tensor, got {}", self.kind()),
        }
    }
    /// A dictionary of tensors under texts, without their histories.
    pub fn to_state_dict(&self) -> Result<StateDict> {
        let mut out = StateDict::new();
        for (key, value) in self.entries()? {
            match value {
                Value::Tensor(tensor) => out.insert(key.as_str()?, tensor.alias()),
                _ => bail!(Type, "expected a dictionary of tensors, but {key} has {}", value.kind()),
            }
        }
        Ok(out)
    }
    /// The name of its type in Python.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Value::None => "None",
            Value::Bool(_) => "bool",
            Value::Int(_) | Value::BigInt(_) => "int",
            Value::Float(_) => "float",
            Value::Complex(_) => "complex",
            Value::Str(_) => "str",
            Value::Bytes(_) => "bytes",
            Value::Tensor(_) => "Tensor",
            Value::DType(_) => "torch.dtype",
            Value::Device(_) => "torch.device",
            Value::Layout(_) => "torch.layout",
            Value::Size(_) => "torch.Size",
            Value::List(_) => "list",
            Value::Tuple(_) => "tuple",
            Value::Set(_) => "set",
            Value::Dict(_) => "dict",
            Value::OrderedDict(_) => "OrderedDict",
        }
    }
}

macro_rules! values { ($($type:ty => |$x:ident| $value:expr;)*) => { $(
    impl From<$type> for Value {
        fn from($x: $type) -> Value {
            $value
        }
    }
)* } }
values! {
    bool => |x| Value::Bool(x);
    i64 => |x| Value::Int(x);
    f64 => |x| Value::Float(x);
    &str => |x| Value::Str(x.to_string());
    String => |x| Value::Str(x);
    Tensor => |x| Value::Tensor(x);
    &Tensor => |x| Value::Tensor(x.clone());
    DType => |x| Value::DType(x);
    Device => |x| Value::Device(x);
    StateDict => |x| Value::OrderedDict(x.into_iter().map(|(name, t)| (name.into(), t.into())).collect());
    &StateDict => |x| x.clone().into();
    &Value => |x| x.clone();
}
impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(items: Vec<T>) -> Value {
        Value::List(items.into_iter().map(Into::into).collect())
    }
}
impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Value {
        value.map_or(Value::None, Into::into)
    }
}
impl<A: Into<Value>, B: Into<Value>> From<(A, B)> for Value {
    fn from((a, b): (A, B)) -> Value {
        Value::Tuple(vec![a.into(), b.into()])
    }
}

impl TryFrom<Value> for StateDict {
    type Error = crate::Error;
    fn try_from(value: Value) -> Result<StateDict> {
        value.to_state_dict()
    }
}

/// Panics if there is nothing under the key; see [`Value::get`].
impl std::ops::Index<&str> for Value {
    type Output = Value;
    fn index(&self, key: &str) -> &Value {
        match self.get(key) {
            Some(value) => value,
            None => panic!("no {key:?} in a {}", self.kind()),
        }
    }
}
/// Panics if there is nothing under the number; see [`Value::at`].
impl std::ops::Index<i64> for Value {
    type Output = Value;
    fn index(&self, key: i64) -> &Value {
        match self.at(key) {
            Some(value) => value,
            None => panic!("no {key} in a {}", self.kind()),
        }
    }
}

/// The text that Python prints, tensors by their shapes.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, items: &[Value]| {
            items.iter().enumerate().try_for_each(|(i, item)| {
                f.write_str(if i > 0 { ", " } else { "" })?;
                write!(f, "{item}")
            })
        };
        match self {
            Value::None => f.write_str("None"),
            Value::Bool(on) => f.write_str(if *on { "True" } else { "False" }),
            Value::Int(n) => write!(f, "{n}"),
            Value::BigInt(bytes) => write!(f, "int.from_bytes({bytes:?}, 'little', signed=True)"),
            Value::Float(x) => f.write_str(&crate::print::python_float(*x)),
            Value::Complex(z) => write!(f, "({}{:+}j)", z.re, z.im),
            Value::Str(text) => write!(f, "'{text}'"),
            Value::Bytes(bytes) => write!(f, "b'{}'", bytes.escape_ascii()),
            Value::Tensor(tensor) => write!(f, "{tensor:?}"),
            Value::DType(dtype) => write!(f, "torch.{}", dtype.name()),
            Value::Device(device) => write!(f, "device('{device}')"),
            Value::Layout(layout) => write!(f, "{layout:?}"),
            Value::Size(sizes) => write!(f, "torch.Size({})", flambeau_core::show(sizes)),
            Value::List(items) => {
                f.write_str("[")?;
                list(f, items)?;
                f.write_str("]")
            }
            Value::Tuple(items) => {
                f.write_str("(")?;
                list(f, items)?;
                f.write_str(if items.len() == 1 { ",)" } else { ")" })
            }
            Value::Set(items) => {
                f.write_str("{")?;
                list(f, items)?;
                f.write_str("}")
            }
            Value::Dict(entries) | Value::OrderedDict(entries) => {
                f.write_str("{")?;
                for (i, (key, value)) in entries.iter().enumerate() {
                    f.write_str(if i > 0 { ", " } else { "" })?;
                    write!(f, "{key}: {value}")?;
                }
                f.write_str("}")
            }
        }
    }
}

/// An error that speaks of a file.
pub(super) fn file_fault(path: &std::path::Path, error: impl fmt::Display) -> crate::Error {
    crate::Error::new(ErrorKind::Runtime, format!("{}: {error}", path.display()))
}
