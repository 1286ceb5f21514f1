//! Products added to a tensor: `beta * input + alpha * (a @ b)`.

use super::{As, bmm, check_same_dtype, mm, mv, outer, product_with};
use crate::Tensor;
use crate::autograd::{Save, needs_grad, record};
use crate::generated::functions as f;
use crate::ops::support::{copy_data, deliver, scale};
use crate::ops::{shape, sparse};
use crate::schema::{Arg, Call, Ret, Target};
use flambeau_core::{DType, Result, Scalar, bail, bf16, f16, show};
use smallvec::smallvec;

/// A factor in the dtype that is computed in: integers drop fractions.
fn factor(s: Scalar, dtype: DType) -> Result<Scalar> {
    match s {
        Scalar::Complex(c) if !dtype.is_complex() => {
            if c.im != 0.0 {
                bail!("value cannot be converted to type {} without overflow", dtype.cpp_type());
            }
            factor(Scalar::Float(c.re), dtype)
        }
        Scalar::Float(v) if dtype.is_integral_or_bool() => {
            let whole = v.trunc();
            if !(-9.3e18..9.3e18).contains(&whole) {
                bail!("value cannot be converted to type int64_t without overflow");
            }
            Ok(Scalar::Int(whole as i64))
        }
        other => Ok(other),
    }
}

/// A factor as a half of the given dtype, if it is one.
fn rounded(s: Scalar, dtype: DType) -> Scalar {
    match s {
        Scalar::Float(v) if dtype == DType::BFloat16 => Scalar::Float(bf16::from_f64(v).to_f64()),
        Scalar::Float(v) if dtype == DType::Float16 => Scalar::Float(f16::from_f64(v).to_f64()),
        other => other,
    }
}

/// `beta * input + alpha * product`, where a zero beta ignores the input, NaN and all.
fn combine(input: &Tensor, product: &Tensor, beta: Scalar, alpha: Scalar) -> Result<Tensor> {
    let dtype = product.dtype();
    let (beta, alpha) = (factor(beta, dtype)?, factor(alpha, dtype)?);
    let scaled = if alpha.is(1) { product.clone() } else { scale(product, alpha)? };
    if beta.is(0) {
        return Ok(scaled);
    }
    let input = if beta.is(1) { input.clone() } else { scale(input, beta)? };
    f::add(&input, &scaled, 1i64.into())
}

/// The dtype of sums of products: halves are only rounded at the end.
fn computed_in(dtype: DType) -> DType {
    if matches!(dtype, DType::Float16 | DType::BFloat16) { DType::Float32 } else { dtype }
}

/// `beta * input + alpha * product(a, b)` for operands of one dtype.
fn added(
    name: &str,
    input: &Tensor,
    (a, b): (&Tensor, &Tensor),
    (beta, alpha): (Scalar, Scalar),
    product: impl Fn(&Tensor, &Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    let dtype = a.dtype();
    let wide = computed_in(dtype);
    let product = match b.dtype() == dtype {
        true => product(&shape::to_dtype(a, wide)?, &shape::to_dtype(b, wide)?)?,
        false => product(a, b)?,
    };
    check_input(input, &product, dtype, name)?;
    shape::to_dtype(&combine(&shape::to_dtype(input, wide)?, &product, beta, alpha)?, dtype)
}

fn check_input(input: &Tensor, product: &Tensor, dtype: DType, name: &str) -> Result<()> {
    if input.dtype() != dtype {
        bail!(
            "self and mat2 must have the same dtype, but got {} and {}",
            input.dtype().cpp_name(),
            dtype.cpp_name()
        );
    }
    let (from, to) = (input.sizes(), product.sizes());
    if !flambeau_core::broadcast_shapes(&from, &to).is_ok_and(|s| s == to) {
        let at = from.len().min(to.len());
        let dim = (1..=at).find(|&i| {
            let (x, y) = (from[from.len() - i], to[to.len() - i]);
            x != y && x != 1
        });
        match dim {
            Some(i) if from.len() <= to.len() => bail!(
                "The expanded size of the tensor ({}) must match the existing size ({}) at non-singleton dimension {}.  Target sizes: {}.  Tensor sizes: {}",
                to[to.len() - i],
                from[from.len() - i],
                to.len() - i,
                show(&to),
                show(&from)
            ),
            _ => bail!(
                "expand({name}, size={}): the number of sizes provided ({}) must be greater or equal to the number of dimensions in the tensor ({})",
                show(&to),
                to.len(),
                from.len()
            ),
        }
    }
    Ok(())
}

/// Whether a tensor adds one number to each of `columns` columns of a product.
fn is_bias(t: &Tensor, dtype: DType, columns: i64, beta: Scalar, alpha: Scalar) -> bool {
    let one = alpha.is(1) && beta.is(1) && dtype.is_floating_point() && t.dtype() == dtype && !t.is_meta();
    one && t.with_array(|a| matches!(a.sizes[..], [n] | [1, n] if n == columns))
}

/// `torch.addmm`
pub fn addmm(self_: &Tensor, mat1: &Tensor, mat2: &Tensor, beta: Scalar, alpha: Scalar) -> Result<Tensor> {
    if sparse::any(&[self_, mat1, mat2]) {
        return sparse::addmm(self_, mat1, mat2, beta, alpha);
    }
    if mat1.dim() != 2 {
        bail!("mat1 must be a matrix, got {}-D tensor", mat1.dim());
    }
    if mat2.dim() != 2 {
        bail!("mat2 must be a matrix, got {}-D tensor", mat2.dim());
    }
    let (a, b) = (mat1.sizes(), mat2.sizes());
    if a[1] != b[0] {
        bail!("addmm: mat1 and mat2 shapes cannot be multiplied ({}x{} and {}x{})", a[0], a[1], b[0], b[1]);
    }
    if mat1.dtype() != mat2.dtype() {
        bail!(
            "mat1 and mat2 must have the same dtype, but got {} and {}",
            mat1.dtype().cpp_name(),
            mat2.dtype().cpp_name()
        );
    }
    let out = {
        let _guard = crate::autograd::GradMode::no_grad();
        let dtype = mat1.dtype();
        let wide = |t: &Tensor| shape::to_dtype(t, computed_in(dtype));
        if is_bias(self_, dtype, b[1], beta, alpha) && !mat1.is_meta() && !mat2.is_meta() {
            check_same_dtype(mat1, mat2)?;
            product_with(mat1, As::Matrix, mat2, As::Matrix, &[a[0], b[1]], Some(self_))?
        } else {
            let product = mm(&wide(mat1)?, &wide(mat2)?)?;
            check_input(self_, &product, dtype, "addmm")?;
            shape::to_dtype(&combine(&wide(self_)?, &product, beta, alpha)?, dtype)?
        }
    };
    let from = self_.sizes();
    record(
        &[&out],
        "AddmmBackward0",
        &[self_, mat1, mat2],
        &[Save::Input(mat1), Save::Input(mat2)],
        move |ctx| {
            let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None, None, None]) };
            let by = |t: Tensor, s: Scalar| if s.is(1) { Ok(t) } else { scale(&t, conj_scalar(s)) };
            Ok(smallvec![
                if ctx.needs(0) { Some(by(crate::ops::sum_to_size(grad, &from)?, beta)?) } else { None },
                if ctx.needs(1) {
                    Some(by(mm(grad, &super::adjoint(&ctx.saved(1)?)?)?, alpha)?)
                } else {
                    None
                },
                if ctx.needs(2) {
                    Some(by(mm(&super::adjoint(&ctx.saved(0)?)?, grad)?, alpha)?)
                } else {
                    None
                },
            ])
        },
    )?;
    Ok(out)
}

fn conj_scalar(s: Scalar) -> Scalar {
    match s {
        Scalar::Complex(c) => Scalar::Complex(c.conj()),
        other => other,
    }
}

/// `torch.addmv`
pub fn addmv(self_: &Tensor, mat: &Tensor, vec: &Tensor, beta: Scalar, alpha: Scalar) -> Result<Tensor> {
    added("addmv", self_, (mat, vec), (beta, alpha), mv)
}

/// `torch.addr`
pub fn addr(self_: &Tensor, vec1: &Tensor, vec2: &Tensor, beta: Scalar, alpha: Scalar) -> Result<Tensor> {
    if vec1.dim() != 1 || vec2.dim() != 1 {
        let (i, rank) = if vec1.dim() != 1 { (1, vec1.dim()) } else { (2, vec2.dim()) };
        bail!("addr: Expected 1-D argument vec{i}, but got {rank}-D");
    }
    let product = outer(vec1, vec2)?;
    let dtype = crate::pointwise::result_type(&[self_, &product]);
    for (name, s) in [("beta", beta), ("alpha", alpha)] {
        if dtype.is_integral_or_bool() && (s.is_float() || s.is_complex()) {
            bail!("For integral input tensors, argument {name} must not be a floating point number.");
        }
    }
    if dtype == DType::Bool {
        // Logical or of logical ands.
        let b = if beta.to_bool() { self_.clone() } else { scale(self_, false.into())? };
        let p = if alpha.to_bool() { product } else { scale(&product, false.into())? };
        return f::logical_or(&b, &p);
    }
    if !flambeau_core::broadcast_shapes(&self_.sizes(), &product.sizes()).is_ok_and(|s| s == product.sizes())
    {
        check_input(&shape::to_dtype(&self_.alias(), product.dtype())?, &product, product.dtype(), "addr")?;
    }
    // In halves every step is rounded, the first being the product with `alpha`.
    let (beta, alpha) = (rounded(beta, dtype), rounded(factor(alpha, dtype)?, dtype));
    let left = shape::to_dtype(vec1, dtype)?;
    let left = if alpha.is(1) { left } else { scale(&left, alpha)? };
    combine(self_, &outer(&left, &shape::to_dtype(vec2, dtype)?)?, beta, 1i64.into())
}

/// `torch.baddbmm`
pub fn baddbmm(
    self_: &Tensor,
    batch1: &Tensor,
    batch2: &Tensor,
    beta: Scalar,
    alpha: Scalar,
) -> Result<Tensor> {
    added("baddbmm", self_, (batch1, batch2), (beta, alpha), bmm)
}

/// `torch.addbmm`: the sum of a batch of products, added.
pub fn addbmm(
    self_: &Tensor,
    batch1: &Tensor,
    batch2: &Tensor,
    beta: Scalar,
    alpha: Scalar,
) -> Result<Tensor> {
    let dtype = batch1.dtype();
    if computed_in(dtype) != dtype && batch1.dim() == 3 && batch2.dim() == 3 && self_.dtype() == dtype {
        // Halves are rounded after every product.
        let count = batch1.sizes()[0];
        if count > 0 && batch2.sizes()[0] == count {
            let one = |t: &Tensor, i: i64| shape::select(t, 0, i);
            let mut out = addmm(self_, &one(batch1, 0)?, &one(batch2, 0)?, beta, alpha)?;
            for i in 1..count {
                out = addmm(&out, &one(batch1, i)?, &one(batch2, i)?, 1i64.into(), alpha)?;
            }
            return Ok(out);
        }
    }
    added("addbmm", self_, (batch1, batch2), (beta, alpha), |a, b| {
        let product = bmm(a, b)?;
        crate::ops::reduce::sum_dim(&product, Some(&[0]), false, Some(product.dtype()))
    })
}

/// `Tensor.addbmm_`; as in PyTorch, a tensor that broadcasts to the result takes its shape.
pub fn addbmm_(
    self_: &Tensor,
    batch1: &Tensor,
    batch2: &Tensor,
    beta: Scalar,
    alpha: Scalar,
) -> Result<Tensor> {
    let whole = match (&batch1.sizes()[..], &batch2.sizes()[..]) {
        ([_, n, _], [_, _, m]) => Some([*n, *m]),
        _ => None,
    };
    if let Some(sizes) = whole
        && self_.sizes()[..] != sizes
        && !needs_grad(&[self_, batch1, batch2])
    {
        let out = addbmm(self_, batch1, batch2, beta, alpha)?;
        shape::resize_raw(self_, &sizes)?;
        copy_data(self_, &out)?;
        self_.bump_version();
        return Ok(self_.clone());
    }
    let args =
        [Arg::Tensor(self_), Arg::Tensor(batch1), Arg::Tensor(batch2), Arg::Scalar(beta), Arg::Scalar(alpha)];
    let done = deliver(&Call { args: &args, target: Target::InPlace }, |c| {
        Ok(Ret::Tensor(addbmm(c.tensor(0)?, batch1, batch2, beta, alpha)?))
    })?;
    match done {
        Ret::Tensor(out) => Ok(out),
        _ => bail!("addbmm_: no result"),
    }
}
