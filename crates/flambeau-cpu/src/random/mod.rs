//! Random streams: PyTorch's CPU generator and its distributions, draw for draw and bit for bit.
//!
//! Functions fill contiguous slices in storage order. What a tensor with other strides gets:
//!
//! * Every filler but [`normal_`] visits the elements in *memory order* (dimensions sorted by falling stride), so a
//!   strided output equals the contiguous fill of the same number of elements, laid down in memory order. That holds
//!   for channels-last and transposed tensors too.
//! * [`normal_`] has two streams. Contiguous outputs of 16 elements or more are filled in blocks of 16; shorter ones
//!   and all non-contiguous ones (channels-last among them) draw one by one with [`normal_serial_`], in memory order.
//!   Complex tensors are the real tensor of their pairs, twice as long, with `std / sqrt(2)`.
//! * Functions of a tensor of parameters (`bernoulli_` with tensor `p`, [`poisson`], [`binomial`],
//!   [`standard_gamma`]) draw in memory order of the output.
//!
//! Fillers take the [`DType`](flambeau_core::DType) beside the slice because `bool` is stored as `u8`.
//!
//! The arithmetic follows PyTorch's AVX2 build: products are fused with the sums that follow them where that build
//! fuses them, and `float32` normals use the single-precision polynomials of Moshier's Cephes library. `log`, `cos`
//! and their kin in `float64` come from the platform's C library, as in PyTorch.

mod binomial;
mod continuous;
mod error_text;
mod fused;
mod gamma;
mod generator;
mod integer;
mod multinomial;
mod normal;
mod normal_f32;
mod poisson;
mod sample;
mod uniform;

#[cfg(test)]
mod tests;

pub use binomial::{bernoulli_, bernoulli_tensor_, binomial};
pub use continuous::{cauchy_, exponential_, geometric_, log_normal_};
pub use gamma::{dirichlet, standard_gamma};
pub use generator::{DEFAULT_SEED, Generator, STATE_SIZE};
pub use integer::{RandomBounds, random_, random_bounds, random_from_to, randperm};
pub use multinomial::{check_multinomial, multinomial};
pub use normal::{check_normal_std, normal_, normal_serial_};
pub use poisson::poisson;
pub use sample::{Numbers, Parameters, Sample};
pub use uniform::{check_uniform_bounds, uniform_};
