//! How numbers are computed on a CPU. Kernels work on slices and raw strided views; they know nothing of
//! tensors or gradients.

pub mod attention;
pub mod bag;
pub mod conv;
pub mod copy;
pub mod ctc;
pub mod fft;
pub use flambeau_linalg::{gemm, linalg};
pub mod grid;
pub mod index;
mod lanes;
pub mod margin;
pub mod mask;
pub mod math;
pub mod norm;
pub mod optim;
pub mod pad;
mod pieces;
pub mod pointwise;
pub mod pool;
pub mod random;
pub mod range;
pub mod recurrent;
pub mod reduce;
pub mod sort;
mod vector;
mod wide;

#[cfg(test)]
mod test_rng;
