//! Products added to a tensor: `beta * input + alpha * (a @ b)`.

use super::{bmm, mm, mv, outer};
use crate::Tensor;
use crate::autograd::{Save, record};
use crate::generated::functions as f;
use crate::ops::shape;
use crate::ops::support::scale;
use flambeau_core::{Result, Scalar, bail, show};
use smallvec::smallvec;

/// `beta * input + alpha * product`, where a zero beta ignores the input, NaN and all.
fn combine(input: &Tensor, product: &Tensor, beta: Scalar, alpha: Scalar) -> Result<Tensor> {
    let dtype = product.dtype();
    for (name, s) in [("beta", beta), ("alpha", alpha)] {
        if dtype.is_integral_or_bool() && (s.is_float() || s.is_complex()) {
            bail!("For integral input tensors, argument {name} must not be a floating point number.");
        }
    }
    let scaled = if alpha.is(1) { product.clone() } else { scale(product, alpha)? };
    if beta.is(0) {
        return Ok(scaled);
    }
    let input = if beta.is(1) { input.clone() } else { scale(input, beta)? };
    f::add(&input, &scaled, 1i64.into())
}

fn check_input(input: &Tensor, product: &Tensor, name: &str) -> Result<()> {
    if input.dtype() != product.dtype() {
        bail!(
            "self and mat2 must have the same dtype, but got {} and {}",
            input.dtype().cpp_name(),
            product.dtype().cpp_name()
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

/// `torch.addmm`
pub fn addmm(self_: &Tensor, mat1: &Tensor, mat2: &Tensor, beta: Scalar, alpha: Scalar) -> Result<Tensor> {
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
    let product = {
        let _guard = crate::autograd::GradMode::no_grad();
        mm(mat1, mat2)?
    };
    check_input(self_, &product, "addmm")?;
    let out = {
        let _guard = crate::autograd::GradMode::no_grad();
        combine(self_, &product, beta, alpha)?
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
    let product = mv(mat, vec)?;
    check_input(self_, &product, "addmv")?;
    combine(self_, &product, beta, alpha)
}

/// `torch.addr`
pub fn addr(self_: &Tensor, vec1: &Tensor, vec2: &Tensor, beta: Scalar, alpha: Scalar) -> Result<Tensor> {
    if vec1.dim() != 1 || vec2.dim() != 1 {
        let (i, rank) = if vec1.dim() != 1 { (1, vec1.dim()) } else { (2, vec2.dim()) };
        bail!("addr: Expected 1-D argument vec{i}, but got {rank}-D");
    }
    let product = outer(vec1, vec2)?;
    let dtype = crate::pointwise::result_type(&[self_, &product]);
    if dtype == flambeau_core::DType::Bool {
        // Logical or of logical ands.
        let b = if beta.to_bool() { self_.clone() } else { scale(self_, false.into())? };
        let p = if alpha.to_bool() { product } else { scale(&product, false.into())? };
        return f::logical_or(&b, &p);
    }
    if !flambeau_core::broadcast_shapes(&self_.sizes(), &product.sizes()).is_ok_and(|s| s == product.sizes())
    {
        check_input(&shape::to_dtype(&self_.alias(), product.dtype())?, &product, "addr")?;
    }
    combine(self_, &shape::to_dtype(&product, dtype)?, beta, alpha)
}

/// `torch.baddbmm`
pub fn baddbmm(
    self_: &Tensor,
    batch1: &Tensor,
    batch2: &Tensor,
    beta: Scalar,
    alpha: Scalar,
) -> Result<Tensor> {
    let product = bmm(batch1, batch2)?;
    check_input(self_, &product, "baddbmm")?;
    combine(self_, &product, beta, alpha)
}

/// `torch.addbmm`: the sum of a batch of products, added.
pub fn addbmm(
    self_: &Tensor,
    batch1: &Tensor,
    batch2: &Tensor,
    beta: Scalar,
    alpha: Scalar,
) -> Result<Tensor> {
    let product =
        crate::ops::reduce::sum_dim(&bmm(batch1, batch2)?, Some(&[0]), false, Some(batch1.dtype()))?;
    check_input(self_, &product, "addbmm")?;
    combine(self_, &product, beta, alpha)
}
