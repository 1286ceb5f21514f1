//! Matrix products and linear algebra on slices, over faer. A crate of its own because faer's generic code is
//! slow to compile, and changes here are rare.

pub mod gemm;
pub mod level;
pub mod linalg;
pub mod prefetch;
