//! What an operator declaration becomes at run time: the table that Python's argument parser, the generic
//! tests and the docs read. The table itself is generated from `ops/*.ops`.

use crate::{Generator, Tensor};
use flambeau_core::{C64, DType, Device, Layout, MemoryFormat, Result, Scalar, bail};
use smallvec::SmallVec;

/// An operator: all overloads of one name.
#[derive(Debug)]
pub struct OpDef {
    pub name: &'static str,
    /// Where it is found: `torch`, `Tensor`, `nn.functional`, `linalg`, …
    pub places: &'static [&'static str],
    /// Further names, each as `place.name` (`torch.multiply`, `Tensor.multiply`).
    pub aliases: &'static [&'static str],
    pub overloads: &'static [Overload],
    pub doc: &'static str,
}

/// One signature of an operator.
pub struct Overload {
    /// The part after the dot in `sum.dim_IntList`; empty for the plain one.
    pub name: &'static str,
    pub params: &'static [Param],
    /// Whether `x.name_()` exists.
    pub inplace: bool,
    /// Number of `out=` tensors; 0 where there is no `out=`, 255 for a list of any length.
    pub out: u8,
    /// Whether Python numbers may stand for its tensors, as in `torch.add(1, 2)`.
    pub numbers: bool,
    /// Field names of a named tuple result; empty for other results.
    pub fields: &'static [&'static str],
    /// Restricts the overload to some of the operator's places; empty means all.
    pub only: &'static [&'static str],
    pub call: fn(&Call) -> Result<Ret>,
    /// Present for pointwise operators.
    pub pointwise: Option<&'static crate::pointwise::PointwiseDef>,
    /// Whether it takes sparse tensors (pointwise operators decide for themselves).
    pub sparse: bool,
}

impl Overload {
    /// Runs the operator `name`, which this is an overload of.
    #[inline]
    pub fn run(&self, name: &str, call: &Call) -> Result<Ret> {
        if crate::ops::sparse::in_use() && !self.sparse && self.pointwise.is_none() {
            crate::ops::sparse::refuse(name, self.name, call)?;
        }
        (self.call)(call)
    }
}

impl std::fmt::Debug for Overload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Overload({:?}, {} parameters)", self.name, self.params.len())
    }
}

/// A parameter of a signature.
#[derive(Debug)]
pub struct Param {
    pub name: &'static str,
    pub kind: Kind,
    pub default: Default,
    pub keyword_only: bool,
}

/// Parameter types, as in PyTorch's schema grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Tensor,
    OptTensor,
    /// `Tensor[]`
    Tensors,
    /// `Tensor?[]`
    OptTensors,
    Scalar,
    OptScalar,
    /// `Scalar[]`
    Scalars,
    Int,
    OptInt,
    /// `int[]`: the number is N of `int[N]`, where one int stands for N equal ones (0: no such rule).
    Ints(u8),
    OptInts(u8),
    Float,
    OptFloat,
    Floats,
    OptFloats,
    Bool,
    OptBool,
    /// `bool[N]`
    Bools,
    Str,
    OptStr,
    DType,
    OptDType,
    OptDevice,
    OptLayout,
    OptMemoryFormat,
    OptGenerator,
}

/// Default values as they are written in declarations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Default {
    /// The argument is required.
    Required,
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(&'static str),
    Ints(&'static [i64]),
    Format(MemoryFormat),
}

/// A list of integers given as an argument.
pub type IntList = SmallVec<[i64; 6]>;

/// An argument after parsing, in the order of the parameters.
#[derive(Debug)]
pub enum Arg<'a> {
    None,
    Tensor(&'a Tensor),
    /// A tensor made for the call, such as a Python number given for a `Tensor` parameter.
    Owned(Tensor),
    Tensors(Vec<Tensor>),
    OptTensors(Vec<Option<Tensor>>),
    Scalar(Scalar),
    Scalars(Vec<Scalar>),
    Int(i64),
    Ints(IntList),
    Float(f64),
    Floats(Vec<f64>),
    Bool(bool),
    Bools(Vec<bool>),
    Str(std::borrow::Cow<'a, str>),
    DType(DType),
    Device(Device),
    Layout(Layout),
    MemoryFormat(MemoryFormat),
    Generator(&'a Generator),
}

/// How the result is delivered.
#[derive(Debug)]
pub enum Target<'a> {
    /// A new tensor.
    Fresh,
    /// Written to the first argument (`x.op_()`).
    InPlace,
    /// Written to the given tensors (`out=`).
    Out(&'a [Tensor]),
}

/// A call on its way to an operator. The parser guarantees that `args` fits the overload's parameters.
#[derive(Debug)]
pub struct Call<'a> {
    pub args: &'a [Arg<'a>],
    pub target: Target<'a>,
}

/// What an operator returns.
#[derive(Debug)]
pub enum Ret {
    None,
    Tensor(Tensor),
    /// A tuple of fixed length.
    Tuple(SmallVec<[Tensor; 4]>),
    /// `Tensor[]`, given to Python as a tuple (or list where PyTorch gives one).
    Tensors(Vec<Tensor>),
    /// A pair of a tensor and a list.
    WithList(Tensor, Vec<Tensor>),
    Bool(bool),
    Int(i64),
    Float(f64),
    Scalar(Scalar),
    Complex(C64),
    Ints(Vec<i64>),
    DType(DType),
}

impl From<Tensor> for Ret {
    fn from(t: Tensor) -> Ret {
        Ret::Tensor(t)
    }
}
impl From<()> for Ret {
    fn from(_: ()) -> Ret {
        Ret::None
    }
}
impl From<(Tensor, Tensor)> for Ret {
    fn from((a, b): (Tensor, Tensor)) -> Ret {
        Ret::Tuple(smallvec::smallvec![a, b])
    }
}
impl From<(Tensor, Tensor, Tensor)> for Ret {
    fn from((a, b, c): (Tensor, Tensor, Tensor)) -> Ret {
        Ret::Tuple(smallvec::smallvec![a, b, c])
    }
}
impl From<(Tensor, Tensor, Tensor, Tensor)> for Ret {
    fn from((a, b, c, d): (Tensor, Tensor, Tensor, Tensor)) -> Ret {
        Ret::Tuple(smallvec::smallvec![a, b, c, d])
    }
}
impl From<Vec<Tensor>> for Ret {
    fn from(v: Vec<Tensor>) -> Ret {
        Ret::Tensors(v)
    }
}
impl From<(Tensor, Vec<Tensor>)> for Ret {
    fn from((t, v): (Tensor, Vec<Tensor>)) -> Ret {
        Ret::WithList(t, v)
    }
}
macro_rules! ret_from { ($($t:ty => $v:ident),*) => { $(impl From<$t> for Ret { fn from(v: $t) -> Ret { Ret::$v(v) } })* } }
ret_from!(bool => Bool, i64 => Int, f64 => Float, Scalar => Scalar, Vec<i64> => Ints, DType => DType);

/// Typed access to arguments, for the generated adaptors.
impl<'a> Call<'a> {
    pub fn tensor(&self, i: usize) -> Result<&Tensor> {
        match &self.args[i] {
            Arg::Tensor(t) => Ok(t),
            Arg::Owned(t) => Ok(t),
            other => mismatch(i, "a Tensor", other),
        }
    }
    pub fn opt_tensor(&self, i: usize) -> Result<Option<&Tensor>> {
        if let Arg::None = self.args[i] { Ok(None) } else { self.tensor(i).map(Some) }
    }
    pub fn tensors(&self, i: usize) -> Result<&[Tensor]> {
        match &self.args[i] {
            Arg::Tensors(list) => Ok(list),
            other => mismatch(i, "a list of Tensors", other),
        }
    }
    pub fn opt_tensors(&self, i: usize) -> Result<&[Option<Tensor>]> {
        match &self.args[i] {
            Arg::OptTensors(list) => Ok(list),
            other => mismatch(i, "a list of Tensors", other),
        }
    }
    pub fn scalar(&self, i: usize) -> Result<Scalar> {
        match self.args[i] {
            Arg::Scalar(s) => Ok(s),
            Arg::Int(v) => Ok(Scalar::Int(v)),
            Arg::Float(v) => Ok(Scalar::Float(v)),
            Arg::Bool(v) => Ok(Scalar::Bool(v)),
            ref other => mismatch(i, "a Number", other),
        }
    }
    pub fn opt_scalar(&self, i: usize) -> Result<Option<Scalar>> {
        if let Arg::None = self.args[i] { Ok(None) } else { self.scalar(i).map(Some) }
    }
    pub fn scalars(&self, i: usize) -> Result<&[Scalar]> {
        match &self.args[i] {
            Arg::Scalars(list) => Ok(list),
            other => mismatch(i, "a list of Numbers", other),
        }
    }
    pub fn int(&self, i: usize) -> Result<i64> {
        match self.args[i] {
            Arg::Int(v) => Ok(v),
            ref other => mismatch(i, "an int", other),
        }
    }
    pub fn opt_int(&self, i: usize) -> Result<Option<i64>> {
        if let Arg::None = self.args[i] { Ok(None) } else { self.int(i).map(Some) }
    }
    pub fn ints(&self, i: usize) -> Result<&[i64]> {
        match &self.args[i] {
            Arg::Ints(list) => Ok(list),
            other => mismatch(i, "a tuple of ints", other),
        }
    }
    pub fn opt_ints(&self, i: usize) -> Result<Option<&[i64]>> {
        if let Arg::None = self.args[i] { Ok(None) } else { self.ints(i).map(Some) }
    }
    pub fn float(&self, i: usize) -> Result<f64> {
        match self.args[i] {
            Arg::Float(v) => Ok(v),
            Arg::Int(v) => Ok(v as f64),
            ref other => mismatch(i, "a float", other),
        }
    }
    pub fn opt_float(&self, i: usize) -> Result<Option<f64>> {
        if let Arg::None = self.args[i] { Ok(None) } else { self.float(i).map(Some) }
    }
    pub fn floats(&self, i: usize) -> Result<&[f64]> {
        match &self.args[i] {
            Arg::Floats(list) => Ok(list),
            other => mismatch(i, "a tuple of floats", other),
        }
    }
    pub fn opt_floats(&self, i: usize) -> Result<Option<&[f64]>> {
        if let Arg::None = self.args[i] { Ok(None) } else { self.floats(i).map(Some) }
    }
    pub fn bool(&self, i: usize) -> Result<bool> {
        match self.args[i] {
            Arg::Bool(v) => Ok(v),
            ref other => mismatch(i, "a bool", other),
        }
    }
    pub fn opt_bool(&self, i: usize) -> Result<Option<bool>> {
        if let Arg::None = self.args[i] { Ok(None) } else { self.bool(i).map(Some) }
    }
    pub fn bools(&self, i: usize) -> Result<&[bool]> {
        match &self.args[i] {
            Arg::Bools(list) => Ok(list),
            other => mismatch(i, "a tuple of bools", other),
        }
    }
    pub fn str(&self, i: usize) -> Result<&str> {
        match &self.args[i] {
            Arg::Str(s) => Ok(s),
            other => mismatch(i, "a str", other),
        }
    }
    pub fn opt_str(&self, i: usize) -> Result<Option<&str>> {
        if let Arg::None = self.args[i] { Ok(None) } else { self.str(i).map(Some) }
    }
    pub fn dtype(&self, i: usize) -> Result<DType> {
        match self.args[i] {
            Arg::DType(d) => Ok(d),
            ref other => mismatch(i, "a torch.dtype", other),
        }
    }
    pub fn opt_dtype(&self, i: usize) -> Result<Option<DType>> {
        if let Arg::None = self.args[i] { Ok(None) } else { self.dtype(i).map(Some) }
    }
    pub fn opt_device(&self, i: usize) -> Result<Option<Device>> {
        match self.args[i] {
            Arg::None => Ok(None),
            Arg::Device(d) => Ok(Some(d)),
            ref other => mismatch(i, "a torch.device", other),
        }
    }
    pub fn opt_layout(&self, i: usize) -> Result<Option<Layout>> {
        match self.args[i] {
            Arg::None => Ok(None),
            Arg::Layout(d) => Ok(Some(d)),
            ref other => mismatch(i, "a torch.layout", other),
        }
    }
    pub fn opt_memory_format(&self, i: usize) -> Result<Option<MemoryFormat>> {
        match self.args[i] {
            Arg::None => Ok(None),
            Arg::MemoryFormat(d) => Ok(Some(d)),
            ref other => mismatch(i, "a torch.memory_format", other),
        }
    }
    pub fn opt_generator(&self, i: usize) -> Result<Option<&Generator>> {
        match self.args[i] {
            Arg::None => Ok(None),
            Arg::Generator(d) => Ok(Some(d)),
            ref other => mismatch(i, "a torch.Generator", other),
        }
    }
    /// The `dtype, layout, device, pin_memory, requires_grad` group starting at parameter `i`.
    pub fn options(&self, i: usize) -> Result<TensorOptions> {
        use Arg::{Bool, None as No};
        // Mostly none is given; a constant is there as a whole, where options put together one by one are waited for.
        if let Some([No, No, No, No | Bool(false), No | Bool(false)]) = self.args.get(i..i + 5) {
            return Ok(TensorOptions::default());
        }
        Ok(TensorOptions {
            dtype: self.opt_dtype(i)?,
            layout: self.opt_layout(i + 1)?,
            device: self.opt_device(i + 2)?,
            pin_memory: self.opt_bool(i + 3)?.unwrap_or(false),
            requires_grad: self.opt_bool(i + 4)?.unwrap_or(false),
        })
    }
}

#[cold]
fn mismatch<T>(i: usize, expected: &str, got: &Arg) -> Result<T> {
    bail!(Type, "argument {} must be {expected}, got {got:?}", i + 1)
}

/// The keyword group of tensor factories, `TensorOptions options` in declarations.
#[derive(Clone, Copy, Debug, std::default::Default)]
pub struct TensorOptions {
    pub dtype: Option<DType>,
    pub layout: Option<Layout>,
    pub device: Option<Device>,
    pub pin_memory: bool,
    pub requires_grad: bool,
}
