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
use crate::ops::shape;
use crate::pointwise::Held;
use flambeau_core::{Array, DType, Init, Result, bail, bf16};
use flambeau_cpu::gemm;

fn check_same_dtype(a: &Tensor, b: &Tensor) -> Result<()> {
    let (x, y) = (a.dtype(), b.dtype());
    if x != y {
        bail!("expected m1 and m2 to have the same dtype, but got: {} != {}", x.cpp_type(), y.cpp_type());
    }
    if x == DType::Bool {
        bail!(NotImplemented, "\"addmm_impl_cpu_\" not implemented for 'Bool'");
    }
    Ok(())
}

/// Up to so many elements, an operand's description is held in place; longer products let others change it meanwhile.
const HELD: usize = 1 << 12;

/// A description that nobody changes: held in place, or a copy.
enum Kept<'a> {
    Held(Held<'a>),
    Copy(Array),
}

impl std::ops::Deref for Kept<'_> {
    type Target = Array;
    #[inline]
    fn deref(&self) -> &Array {
        match self {
            Kept::Held(a) => a,
            Kept::Copy(a) => a,
        }
    }
}

/// The operand in the type that products are computed in.
fn computed(t: &Tensor) -> Result<Kept<'_>> {
    let dtype = t.dtype();
    if dtype != dtype.compute() {
        return Ok(Kept::Copy(shape::to_dtype(&t.alias(), dtype.compute())?.array()));
    }
    let held = t.read();
    Ok(if held.numel() <= HELD { Kept::Held(held) } else { Kept::Copy(held.clone()) })
}

/// How an array serves as a batch of matrices.
#[derive(Clone, Copy)]
enum As {
    Batch,
    Matrix,
    Row,
    Column,
}

/// Sizes and strides of an array as a batch of matrices.
struct Matrices {
    sizes: [i64; 3],
    strides: [i64; 3],
}

impl Matrices {
    fn of(a: &Array, how: As) -> Matrices {
        let (n, s) = (&a.sizes, &a.strides);
        let (sizes, strides) = match how {
            As::Batch => ([n[0], n[1], n[2]], [s[0], s[1], s[2]]),
            As::Matrix => ([1, n[0], n[1]], [0, s[0], s[1]]),
            As::Row => ([1, 1, n[0]], [0, 0, s[0]]),
            As::Column => ([1, n[0], 1], [0, s[0], 0]),
        };
        Matrices { sizes, strides }
    }
    /// The number of elements from the first to the last one.
    fn span(&self) -> usize {
        if self.sizes.contains(&0) {
            return 0;
        }
        1 + self.sizes.iter().zip(&self.strides).map(|(&n, &s)| (n - 1) * s).sum::<i64>() as usize
    }
    /// The step along a dimension; of a single element, any.
    fn step(&self, d: usize) -> usize {
        if self.sizes[d] > 1 { self.strides[d] as usize } else { 1 }
    }
}

/// Matrices of a batch whose products take fewer multiplications are computed as PyTorch does, one product after the other.
const FEW: usize = 400;

/// The matrix products of `a` and `b`, seen as batches of matrices that fit each other, without history; dense, of the
/// sizes `to`.
fn product(a: &Tensor, as_a: As, b: &Tensor, as_b: As, to: &[i64]) -> Result<Tensor> {
    product_with(a, as_a, b, as_b, to, None)
}

/// [`product`], with a vector of the same dtype added to the rows of a single one.
fn product_with(
    a: &Tensor,
    as_a: As,
    b: &Tensor,
    as_b: As,
    to: &[i64],
    bias: Option<&Tensor>,
) -> Result<Tensor> {
    crate::ops::common_device(&[a, b])?;
    let (dtype, device) = (a.dtype(), a.device());
    if let Some(out) = product_of_halves(a, as_a, b, as_b, to, bias)? {
        return Ok(out);
    }
    let (x, y) = (computed(a)?, computed(b)?);
    let bias = bias.map(|bias| shape::contiguous(bias, None)).transpose()?;
    let bias = bias.as_ref().map(computed).transpose()?;
    let (out, pointer) = Tensor::empty_at(to, dtype.compute(), device)?;
    let length = flambeau_core::count(to) as usize;
    if !device.is_meta() && length > 0 {
        let (p, q) = (Matrices::of(&x, as_a), Matrices::of(&y, as_b));
        let ([batch, m, k], n) = (p.sizes, q.sizes[2]);
        let step = (m * n) as usize;
        macro_rules! run {
            ($t:ty) => {{
                // SAFETY: arrays lie within their storages; the output is fresh. Lengths span from the first
                // to the last element that the strides reach.
                unsafe {
                    let slice = |a: &Array, m: &Matrices| -> &[$t] {
                        match m.span() {
                            0 => &[],
                            len => std::slice::from_raw_parts(a.data_ptr().cast(), len),
                        }
                    };
                    let to = std::slice::from_raw_parts_mut(pointer.cast::<$t>(), length);
                    let (xs, ys) = (slice(&x, &p), slice(&y, &q));
                    let (m, n, k) = (m as usize, n as usize, k as usize);
                    let [a_rs, a_cs, b_rs, b_cs] = [p.step(1), p.step(2), q.step(1), q.step(2)];
                    let one = <$t as gemm::GemmElement>::ONE;
                    let zero = <$t as gemm::GemmElement>::ZERO;
                    if let (As::Matrix, As::Column) = (as_a, as_b) {
                        gemm::gemv(m, k, one, xs, a_rs, a_cs, ys, b_rs, zero, to, 1)?;
                    } else if let Some(bias) = &bias {
                        let bias = std::slice::from_raw_parts(bias.data_ptr().cast(), n);
                        gemm::gemm_biased::<$t>(m, n, k, xs, a_rs, a_cs, ys, b_rs, b_cs, bias, to)?;
                    } else {
                        let few = matches!((as_a, as_b), (As::Batch, As::Batch))
                            && m.saturating_mul(n).saturating_mul(k) < FEW;
                        if few {
                            for (i, to) in (0..batch).zip(to.chunks_exact_mut(step)) {
                                let a = xs.get((i * p.strides[0]) as usize..).unwrap_or(&[]);
                                let b = ys.get((i * q.strides[0]) as usize..).unwrap_or(&[]);
                                gemm::gemm_rounded(m, n, k, a, a_rs, a_cs, b, b_rs, b_cs, to)?;
                            }
                        } else {
                            let count = batch as usize;
                            let [a_bs, b_bs] = [&p, &q].map(|x| x.strides[0] as usize);
                            gemm::gemm_batched(
                                count, m, n, k, one, xs, a_bs, a_rs, a_cs, ys, b_bs, b_rs, b_cs, zero, to,
                                step, n, 1,
                            )?;
                        }
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
    if dtype == dtype.compute() { Ok(out) } else { shape::to_dtype(&out, dtype) }
}

/// [`product_with`] by the processor's unit for matrices of halves; none where there is no such unit, or it does not pay.
fn product_of_halves(
    a: &Tensor,
    as_a: As,
    b: &Tensor,
    as_b: As,
    to: &[i64],
    bias: Option<&Tensor>,
) -> Result<Option<Tensor>> {
    let halves = |t: &Tensor| t.dtype() == DType::BFloat16 && t.device().is_cpu();
    if !halves(a) || !halves(b) || !bias.is_none_or(halves) {
        return Ok(None);
    }
    let (x, y) = (a.array(), b.array());
    let (p, q) = (Matrices::of(&x, as_a), Matrices::of(&y, as_b));
    let ([batch, m, k], n) = (p.sizes, q.sizes[2]);
    let sizes = (m as usize, n as usize, k as usize);
    if batch == 0 || !gemm::has_bf16(sizes.0, sizes.1, sizes.2) {
        return Ok(None);
    }
    let bias = bias.map(|bias| shape::contiguous(bias, None)).transpose()?.map(|bias| bias.array());
    let out = Array::empty(to, DType::BFloat16, a.device(), Init::Uninit)?;
    // SAFETY: arrays lie within their storages; the output is fresh. Lengths span from the first to the last element that
    // the strides reach.
    unsafe {
        let slice = |a: &Array, span: usize| std::slice::from_raw_parts(a.data_ptr().cast::<bf16>(), span);
        let (xs, ys) = (slice(&x, p.span()), slice(&y, q.span()));
        let bias = bias.as_ref().map(|bias| slice(bias, sizes.1));
        let to = std::slice::from_raw_parts_mut(out.data_ptr().cast::<bf16>(), out.numel());
        for (i, to) in (0..batch).zip(to.chunks_exact_mut(sizes.0 * sizes.1)) {
            let (a, b) = (&xs[(i * p.strides[0]) as usize..], &ys[(i * q.strides[0]) as usize..]);
            gemm::gemm_bf16(sizes, a, (p.step(1), p.step(2)), b, (q.step(1), q.step(2)), bias, to)?;
        }
    }
    Ok(Some(Tensor::from_array(out)))
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
