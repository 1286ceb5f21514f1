//! Scalar expressions: what a pointwise operator computes for one element. Declarations print them into
//! constant tables; at run time they are simplified, differentiated and compiled into tile programs.

/// The primitive functions that expressions are made of. Each has one kernel for each compute type that it
/// serves (`flambeau-cpu`), and one derivative rule (`derive.rs`).
pub use flambeau_cpu::pointwise::Prim;

use super::ParamValue;
use crate::Tensor;
use flambeau_core::{DType, ErrorKind, Result};

/// A node of a declared expression; operands are indices of earlier nodes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Node {
    /// The i-th tensor operand (in derivatives also the output gradient and the result).
    Input(u8),
    /// The i-th non-tensor parameter's value.
    Param(u8),
    Const(f64),
    /// Imaginary unit times the value.
    ImagConst(f64),
    Unary(Prim, u16),
    Binary(Prim, u16, u16),
    /// `condition ? a : b`
    Select(u16, u16, u16),
}

/// How the dtype of computation and result follow from the operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promote {
    /// Result in the common dtype.
    Common,
    /// Integers and bool become the default float dtype.
    Float,
    /// Computed in the common dtype, result `bool`.
    Bool,
    /// As `Common`, but a complex input gives a real result.
    Real,
    /// As `Float`, but a complex input gives a real result.
    FloatReal,
    /// The result has the dtype of the first tensor operand, whatever the others are.
    First,
}

/// One alternative of an expression: which parameter values and dtype categories it is for.
#[derive(Debug)]
pub struct Case {
    /// `(parameter index, its text value)` that must hold, for `str` parameters; for optional parameters the
    /// text is `None` or `Some`, for bools `True` or `False`. The first case that holds counts.
    pub when: &'static [(u8, &'static str)],
    /// Dtype categories, as bits 1 bool, 2 integral, 4 float, 8 complex of the computation dtype.
    pub categories: u8,
    /// The nodes in order; the last is the result.
    pub nodes: &'static [Node],
}

/// A derivative that a declaration states itself instead of leaving it to symbolic differentiation.
#[derive(Debug)]
pub struct Override {
    /// Which tensor operand.
    pub input: u8,
    /// Expression over the inputs, then `grad` (index = number of inputs), then `result` (one more).
    /// Empty for a gradient of zero, or if the operator is not differentiable with respect to the operand.
    pub cases: &'static [Case],
    pub zero: bool,
    /// What the message names where there is no derivative.
    pub refused: &'static str,
}

/// A pointwise operator, as declared.
#[derive(Debug)]
pub struct PointwiseDef {
    pub name: &'static str,
    /// `AddBackward0`
    pub backward_name: &'static str,
    /// Indices of the parameters that are tensors, in order; the others are parameters of the expression.
    pub tensors: &'static [u8],
    pub params: &'static [u8],
    /// Which of `params` (positions in it) take part in type promotion as numbers do: `other`, `exponent`,
    /// `min`, `max`; not `alpha`, `negative_slope`.
    pub promoting: &'static [u8],
    /// Whether such numbers stop at the limits of a narrow integer dtype instead of wrapping.
    pub saturate: bool,
    /// Which of `tensors` (positions in it) are conditions, which take no part in type promotion.
    pub conditions: &'static [u8],
    pub promote: Promote,
    /// Bit `1 << DType` set for each computation dtype that it serves.
    pub dtypes: u16,
    /// The name in `"x" not implemented for 'Half'`, such as `lgamma_cpu`.
    pub kernel_name: &'static str,
    /// Dtype categories (bits as in [`Case`]) that are refused with a message of their own.
    pub refusals: &'static [(u8, ErrorKind, &'static str)],
    /// Looks at the operands, the parameters and the common dtype before anything runs.
    pub check: Option<fn(&[&Tensor], &[ParamValue], DType) -> Result<()>>,
    pub cases: &'static [Case],
    pub overrides: &'static [Override],
    /// False for functions such as `floor_divide` that refuse to be differentiated.
    pub differentiable: bool,
    /// Whether results never require grad.
    pub detached: bool,
    /// Whether a product and the sum that it goes into are rounded once.
    pub fused: bool,
}

impl PointwiseDef {
    /// What most declarations leave out.
    pub const PLAIN: PointwiseDef = PointwiseDef {
        name: "",
        backward_name: "",
        tensors: &[],
        params: &[],
        promoting: &[],
        saturate: false,
        conditions: &[],
        promote: Promote::Common,
        dtypes: 0,
        kernel_name: "",
        refusals: &[],
        check: None,
        cases: &[],
        overrides: &[],
        differentiable: true,
        detached: false,
        fused: false,
    };
}
