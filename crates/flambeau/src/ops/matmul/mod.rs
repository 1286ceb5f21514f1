//! Matrix products and what is built of them.

mod added;
mod einsum;
mod products;

pub use added::{addbmm, addbmm_, addmm, addmv, addr, baddbmm};
pub use einsum::{einsum, tensordot};
pub use products::{
    bilinear, bmm, dot, inner, kron, linear, matmul, matrix_power, mm, multi_dot, mv, outer, vdot, vecdot,
};

use crate::Tensor;
use crate::ops::{cpp_type, shape};
use flambeau_core::{Array, DType, Result, bail};

fn check_same_dtype(a: &Tensor, b: &Tensor) -> Result<()> {
    let (x, y) = (a.dtype(), b.dtype());
    if x != y {
        bail!("expected m1 and m2 to have the same dtype, but got: {} != {}", cpp_type(x), cpp_type(y));
    }
    if x == DType::Bool {
        bail!(NotImplemented, "\"addmm_impl_cpu_\" not implemented for 'Bool'");
    }
    Ok(())
}

/// The operand in the type that products are computed in.
fn computed(t: &Tensor) -> Result<Array> {
    let dtype = t.dtype();
    Ok(if dtype == dtype.compute() {
        t.array()
    } else {
        shape::to_dtype(&t.alias(), dtype.compute())?.array()
    })
}

/// `out[b] = a[b] @ c[b]` for arrays `[batch, m, k]` and `[batch, k, n]`, without history. The result is dense.
fn product(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    crate::ops::common_device(&[a, b])?;
    let (dtype, device) = (a.dtype(), a.device());
    let (x, y) = (computed(a)?, computed(b)?);
    let (batch, m, k, n) = (x.sizes[0], x.sizes[1], x.sizes[2], y.sizes[2]);
    let out = Tensor::empty_raw(&[batch, m, n], dtype.compute(), device)?;
    if !device.is_meta() && out.numel() > 0 {
        let target = out.array();
        macro_rules! run {
            ($t:ty) => {{
                let stride = |s: i64, size: i64| if size > 1 { s as usize } else { 1 };
                // SAFETY: arrays lie within their storages; the output is fresh. Lengths span from the first
                // to the last element that the strides reach.
                unsafe {
                    let slice = |a: &Array| -> &[$t] {
                        let len = if a.numel() == 0 {
                            0
                        } else {
                            1 + a.sizes.iter().zip(&a.strides).map(|(&n, &s)| (n - 1) * s).sum::<i64>()
                                as usize
                        };
                        if len == 0 { &[] } else { std::slice::from_raw_parts(a.data_ptr().cast(), len) }
                    };
                    let to = std::slice::from_raw_parts_mut(target.data_ptr().cast::<$t>(), target.numel());
                    let (xs, ys) = (slice(&x), slice(&y));
                    for i in 0..batch {
                        let from_x = xs.get((i * x.strides[0]) as usize..).unwrap_or(&[]);
                        let from_y = ys.get((i * y.strides[0]) as usize..).unwrap_or(&[]);
                        let base = (i * m * n) as usize;
                        flambeau_cpu::gemm::gemm::<$t>(
                            m as usize,
                            n as usize,
                            k as usize,
                            <$t as flambeau_cpu::gemm::GemmElement>::ONE,
                            from_x,
                            stride(x.strides[1], m),
                            stride(x.strides[2], k),
                            from_y,
                            stride(y.strides[1], k),
                            stride(y.strides[2], n),
                            <$t as flambeau_cpu::gemm::GemmElement>::ZERO,
                            &mut to[base..base + (m * n) as usize],
                            n as usize,
                            1,
                        )?;
                    }
                }
            }};
        }
        match dtype.compute() {
            DType::Float32 => run!(f32),
            DType::Float64 => run!(f64),
            DType::Complex64 => run!(flambeau_core::C32),
            DType::Complex128 => run!(flambeau_core::C64),
            _ => run!(i64),
        }
    }
    shape::to_dtype(&out, dtype)
}

/// A batch of one around a matrix, without history.
fn batched(t: &Tensor) -> Tensor {
    let mut a = t.array();
    a.sizes.insert(0, 1);
    a.strides.insert(0, 0);
    Tensor::from_array(a)
}

/// Conjugate transpose; differentiable.
fn adjoint(t: &Tensor) -> Result<Tensor> {
    let t = shape::transpose(t, -2, -1)?;
    if t.is_complex() { conj(&t) } else { Ok(t) }
}

/// Conjugate; real tensors are their own.
fn conj(t: &Tensor) -> Result<Tensor> {
    if t.is_complex() { crate::generated::functions::conj_physical(t) } else { Ok(t.clone()) }
}
