//! PyTorch's programming model in Rust.
pub mod print;
