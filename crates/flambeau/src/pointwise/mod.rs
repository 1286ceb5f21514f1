//! Pointwise operators: declared expressions, their derivatives, and their execution over broadcast operands.

pub mod expr;

pub use expr::PointwiseDef;
