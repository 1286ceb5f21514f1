//! Products of two operands.

use super::{As, adjoint, check_same_dtype, conj, product};
use crate::Tensor;
use crate::autograd::{Save, record};
use crate::generated::functions as f;
use crate::ops::dense::{Dense, written};
use crate::ops::shape::{select, unsqueeze};
use crate::ops::{creation, reduce, shape, sparse};
use flambeau_core::{DType, Dims, Result, bail, broadcast_shapes, show};
use flambeau_cpu::gemm;
use smallvec::smallvec;

/// `torch.mm`: matrix times matrix.
pub fn mm(self_: &Tensor, mat2: &Tensor) -> Result<Tensor> {
    if self_.dim() != 2 {
        bail!("mm: self must be a matrix, got {}-D tensor", self_.dim());
    }
    if mat2.dim() != 2 {
        bail!("mm: mat2 must be a matrix, got {}-D tensor", mat2.dim());
    }
    let (a, b) = (self_.sizes(), mat2.sizes());
    if a[1] != b[0] {
        bail!("mm: mat1 and mat2 shapes cannot be multiplied ({}x{} and {}x{})", a[0], a[1], b[0], b[1]);
    }
    if sparse::any(&[self_, mat2]) {
        return sparse::mm(self_, mat2);
    }
    check_same_dtype(self_, mat2)?;
    let out = product(self_, As::Matrix, mat2, As::Matrix, &[a[0], b[1]])?;
    record(&[&out], "MmBackward0", &[self_, mat2], &[Save::Input(self_), Save::Input(mat2)], |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None, None]) };
        Ok(smallvec![
            if ctx.needs(0) { Some(mm(grad, &adjoint(&ctx.saved(1)?)?)?) } else { None },
            if ctx.needs(1) { Some(mm(&adjoint(&ctx.saved(0)?)?, grad)?) } else { None },
        ])
    })?;
    Ok(out)
}

/// `torch.bmm`: a batch of products.
pub fn bmm(self_: &Tensor, mat2: &Tensor) -> Result<Tensor> {
    if sparse::any(&[self_, mat2]) {
        return sparse::matmul(self_, mat2);
    }
    if self_.dim() != 3 {
        bail!("batch1 must be a 3D tensor");
    }
    if mat2.dim() != 3 {
        bail!("batch2 must be a 3D tensor");
    }
    let (a, b) = (self_.sizes(), mat2.sizes());
    if a[0] != b[0] || a[2] != b[1] {
        bail!(
            "Expected size for first two dimensions of batch2 tensor to be: [{}, {}] but got: [{}, {}].",
            a[0],
            a[2],
            b[0],
            b[1]
        );
    }
    check_same_dtype(self_, mat2)?;
    let out = product(self_, As::Batch, mat2, As::Batch, &[a[0], a[1], b[2]])?;
    record(&[&out], "BmmBackward0", &[self_, mat2], &[Save::Input(self_), Save::Input(mat2)], |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None, None]) };
        Ok(smallvec![
            if ctx.needs(0) { Some(bmm(grad, &adjoint(&ctx.saved(1)?)?)?) } else { None },
            if ctx.needs(1) { Some(bmm(&adjoint(&ctx.saved(0)?)?, grad)?) } else { None },
        ])
    })?;
    Ok(out)
}

/// `torch.mv`: matrix times vector.
pub fn mv(self_: &Tensor, vec: &Tensor) -> Result<Tensor> {
    if sparse::any(&[self_, vec]) && self_.dim() == 2 && vec.dim() == 1 && self_.sizes()[1] == vec.sizes()[0]
    {
        return sparse::mv(self_, vec);
    }
    let (a, b) = (self_.sizes(), vec.sizes());
    if a.len() != 2 || b.len() != 1 {
        bail!("vector + matrix @ vector expected, got {}, {}, {}", 1, a.len(), b.len());
    }
    if a[1] != b[0] {
        bail!("size mismatch, got input ({}), mat ({}x{}), vec ({})", a[0], a[0], a[1], b[0]);
    }
    check_same_dtype(self_, vec)?;
    let out = product(self_, As::Matrix, vec, As::Column, &[a[0]])?;
    record(&[&out], "MvBackward0", &[self_, vec], &[Save::Input(self_), Save::Input(vec)], |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None, None]) };
        Ok(smallvec![
            if ctx.needs(0) { Some(outer(grad, &conj(&ctx.saved(1)?)?)?) } else { None },
            if ctx.needs(1) { Some(mv(&adjoint(&ctx.saved(0)?)?, grad)?) } else { None },
        ])
    })?;
    Ok(out)
}

fn check_vectors(a: &Tensor, b: &Tensor) -> Result<()> {
    if a.dim() != 1 || b.dim() != 1 {
        bail!("1D tensors expected, but got {}D and {}D tensors", a.dim(), b.dim());
    }
    if a.dtype() != b.dtype() {
        bail!(
            "dot : expected both vectors to have same dtype, but found {} and {}",
            a.dtype().cpp_name(),
            b.dtype().cpp_name()
        );
    }
    if a.numel() != b.numel() {
        bail!(
            "inconsistent tensor size, expected tensor {} and src {} to have the same number of elements, but got {} and {} elements respectively",
            show(&a.sizes()),
            show(&b.sizes()),
            a.numel(),
            b.numel()
        );
    }
    if a.dtype() == DType::Bool {
        bail!(NotImplemented, "\"dot\" not implemented for 'Bool'");
    }
    Ok(())
}

fn dot_of<T: gemm::GemmElement>(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let (x, y) = (Dense::<T>::of(a)?, Dense::<T>::of(b)?);
    written(&[], T::DTYPE, |out| {
        out[0] = gemm::dot(x.len(), &x, 1, &y, 1)?;
        Ok(())
    })
}

/// `torch.dot`: the sum of products of two vectors, without conjugation.
pub fn dot(self_: &Tensor, tensor: &Tensor) -> Result<Tensor> {
    check_vectors(self_, tensor)?;
    let out = match self_.dtype() {
        _ if self_.is_meta() || tensor.is_meta() => product(self_, As::Row, tensor, As::Column, &[])?,
        // In an order of its own, which is not that of a row's product with a column.
        DType::Float32 => dot_of::<f32>(self_, tensor)?,
        DType::Float64 => dot_of::<f64>(self_, tensor)?,
        DType::Complex64 => dot_of::<flambeau_core::C32>(self_, tensor)?,
        DType::Complex128 => dot_of::<flambeau_core::C64>(self_, tensor)?,
        _ => product(self_, As::Row, tensor, As::Column, &[])?,
    };
    record(&[&out], "DotBackward0", &[self_, tensor], &[Save::Input(self_), Save::Input(tensor)], |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None, None]) };
        Ok(smallvec![
            if ctx.needs(0) { Some(f::mul(grad, &conj(&ctx.saved(1)?)?)?) } else { None },
            if ctx.needs(1) { Some(f::mul(grad, &conj(&ctx.saved(0)?)?)?) } else { None },
        ])
    })?;
    Ok(out)
}

/// `torch.vdot`: as `dot`, the first vector conjugated.
pub fn vdot(self_: &Tensor, other: &Tensor) -> Result<Tensor> {
    check_vectors(self_, other)?;
    dot(&conj(self_)?, other)
}

/// `torch.outer`: every product of elements of two vectors.
pub fn outer(self_: &Tensor, vec2: &Tensor) -> Result<Tensor> {
    if self_.dim() != 1 || vec2.dim() != 1 {
        let (which, rank) = if self_.dim() != 1 { ("self", self_.dim()) } else { ("vec2", vec2.dim()) };
        bail!("outer: Expected 1-D argument {which}, but got {rank}-D");
    }
    f::mul(&unsqueeze(self_, 1)?, vec2)
}

/// `torch.inner`: sums of products over the last dimensions.
pub fn inner(self_: &Tensor, other: &Tensor) -> Result<Tensor> {
    if self_.dim() == 0 || other.dim() == 0 {
        return f::mul(self_, other);
    }
    let (a, b) = (self_.sizes(), other.sizes());
    if a.last() != b.last() {
        bail!(
            "inner() the last dimension must match on both input tensors but got shapes {} and {}",
            show(&a),
            show(&b)
        );
    }
    super::tensordot(self_, other, &[-1], &[-1])
}

/// `torch.matmul`: the product that the ranks of the operands call for, batches broadcast.
pub fn matmul(self_: &Tensor, other: &Tensor) -> Result<Tensor> {
    if sparse::any(&[self_, other]) {
        return sparse::matmul(self_, other);
    }
    let (ra, rb) = (self_.dim(), other.dim());
    if ra == 0 || rb == 0 {
        bail!("both arguments to matmul need to be at least 1D, but they are {ra}D and {rb}D");
    }
    crate::ops::common_device(&[self_, other])?;
    match (ra, rb) {
        (1, 1) => dot(self_, other),
        (2, 1) => mv(self_, other),
        (1, 2) => {
            let out = mm(&unsqueeze(self_, 0)?, other)?;
            squeeze_at(&out, 0)
        }
        (2, 2) => mm(self_, other),
        (_, 1 | 2) if ra >= 3 => {
            // All leading dimensions are rows of one matrix.
            let a = self_.sizes();
            let k = a[ra - 1];
            let rows = flambeau_core::numel(&a[..ra - 1])?;
            let folded = shape::reshape(self_, &[rows, k])?;
            let out = if rb == 1 { mv(&folded, other)? } else { mm(&folded, other)? };
            let mut sizes = Dims::from_slice(&a[..ra - 1]);
            if rb == 2 {
                sizes.push(other.sizes()[1]);
            }
            unsafe_view(&out, &sizes)
        }
        _ => {
            let left = if ra == 1 { unsqueeze(self_, 0)? } else { self_.clone() };
            let right = if rb == 1 { unsqueeze(other, 1)? } else { other.clone() };
            let (a, b) = (left.sizes(), right.sizes());
            let (n, k, m) = (a[a.len() - 2], a[a.len() - 1], b[b.len() - 1]);
            let batch = broadcast_shapes(&a[..a.len() - 2], &b[..b.len() - 2])?;
            let count: i64 = flambeau_core::numel(&batch)?;
            let fold = |t: &Tensor, rows: i64, cols: i64| -> Result<Tensor> {
                let mut sizes = batch.clone();
                sizes.extend([rows, cols]);
                shape::reshape(&shape::expand(t, &sizes)?, &[count, rows, cols])
            };
            let out = bmm(&fold(&left, n, k)?, &fold(&right, b[b.len() - 2], m)?)?;
            let mut sizes = batch.clone();
            if ra > 1 {
                sizes.push(n);
            }
            if rb > 1 {
                sizes.push(m);
            }
            unsafe_view(&out, &sizes)
        }
    }
}

fn unsafe_view(t: &Tensor, sizes: &[i64]) -> Result<Tensor> {
    let from = t.sizes();
    let mut a = t.array();
    (a.sizes, a.strides) = (Dims::from_slice(sizes), flambeau_core::contiguous_strides(sizes));
    let out = t.alias_as(a);
    record(&[&out], "UnsafeViewBackward0", &[t], &[], move |ctx| {
        Ok(smallvec![match ctx.grad(0) {
            Some(grad) => Some(shape::reshape(grad, &from)?),
            None => None,
        }])
    })?;
    Ok(out)
}

fn squeeze_at(t: &Tensor, dim: usize) -> Result<Tensor> {
    let mut a = t.array();
    a.sizes.remove(dim);
    a.strides.remove(dim);
    crate::autograd::view_of(t, "SqueezeBackward4", a.sizes, a.strides, a.offset, move |_, grad| {
        unsqueeze(grad, dim as i64)
    })
}

/// `torch.nn.functional.linear`: `input @ weight.T + bias`.
pub fn linear(input: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let (rank, w) = (input.dim(), weight.dim());
    if w > 2 || w == 0 {
        bail!("linear(): weight must be 1D or 2D, got {w}D");
    }
    let transposed = if w == 2 { transpose_t(weight)? } else { weight.clone() };
    match bias {
        Some(bias) if rank == 2 && w == 2 => super::addmm(bias, input, &transposed, 1i64.into(), 1i64.into()),
        Some(bias) if rank >= 3 && w == 2 && input.is_contiguous() && bias.dim() == 1 => {
            let mut sizes = input.sizes();
            let rows = flambeau_core::numel(&sizes[..rank - 1])?;
            let folded = shape::view(input, &[rows, sizes[rank - 1]])?;
            let out = super::addmm(bias, &folded, &transposed, 1i64.into(), 1i64.into())?;
            sizes[rank - 1] = weight.sizes()[0];
            unsafe_view(&out, &sizes)
        }
        Some(bias) if rank == 1 && w == 2 => {
            let out = super::addmm(bias, &unsqueeze(input, 0)?, &transposed, 1i64.into(), 1i64.into())?;
            unsafe_view(&out, &[weight.sizes()[0]])
        }
        Some(bias) => f::add(&matmul(input, &transposed)?, bias, 1i64.into()),
        None => matmul(input, &transposed),
    }
}

/// The transpose of a matrix, under its own name in the graph.
pub(super) fn transpose_t(t: &Tensor) -> Result<Tensor> {
    let mut a = t.array();
    a.sizes.swap(0, 1);
    a.strides.swap(0, 1);
    crate::autograd::view_of(t, "TBackward0", a.sizes, a.strides, a.offset, |_, grad| transpose_t(grad))
}

/// `torch.nn.functional.bilinear`: `x1 @ weight[k] @ x2` for each k, plus bias.
pub fn bilinear(input1: &Tensor, input2: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let (a, b, w) = (input1.sizes(), input2.sizes(), weight.sizes());
    if a.len() != b.len() {
        bail!("bilinear(): input dimensions do not match: got {} and {}", a.len(), b.len());
    }
    if w.len() != 3 || a.is_empty() {
        bail!("bilinear(): weight must be 3-D and inputs at least 1-D");
    }
    if a[..a.len() - 1] != b[..b.len() - 1] {
        bail!("bilinear(): input batch dimensions do not match: got {} and {}", show(&a), show(&b));
    }
    if a[a.len() - 1] != w[1] {
        bail!(
            "bilinear(): input1 size does not match weight size: got {} but expected {}",
            a[a.len() - 1],
            w[1]
        );
    }
    if b[b.len() - 1] != w[2] {
        bail!(
            "bilinear(): input2 size does not match weight size: got {} but expected {}",
            b[b.len() - 1],
            w[2]
        );
    }
    let x = shape::reshape(input1, &[-1, w[1]])?;
    let y = shape::reshape(input2, &[-1, w[2]])?;
    let n = x.sizes()[0];
    // [n, i] x [o, i, j] -> [n, o, j], then summed against [n, j].
    let left = shape::reshape(&super::tensordot(&x, weight, &[1], &[1])?, &[n, w[0], w[2]])?;
    let out = matmul(&left, &unsqueeze(&y, 2)?)?;
    let mut sizes = Dims::from_slice(&a[..a.len() - 1]);
    sizes.push(w[0]);
    let out = shape::reshape(&out, &sizes)?;
    match bias {
        Some(bias) => f::add(&out, bias, 1i64.into()),
        None => Ok(out),
    }
}

/// `torch.kron`: the Kronecker product.
pub fn kron(self_: &Tensor, other: &Tensor) -> Result<Tensor> {
    let rank = self_.dim().max(other.dim());
    let (mut a, mut b, mut out) = (Dims::new(), Dims::new(), Dims::new());
    let pad = |s: &Dims, i: usize| if i + s.len() >= rank { s[i + s.len() - rank] } else { 1 };
    let (sa, sb) = (self_.sizes(), other.sizes());
    for i in 0..rank {
        a.extend([pad(&sa, i), 1]);
        b.extend([1, pad(&sb, i)]);
        out.push(
            pad(&sa, i)
                .checked_mul(pad(&sb, i))
                .ok_or_else(|| flambeau_core::Error::runtime("kron: size overflow"))?,
        );
    }
    let product = f::mul(&shape::reshape(self_, &a)?, &shape::reshape(other, &b)?)?;
    shape::reshape(&product, &out)
}

/// `torch.linalg.vecdot`: sums of products of conjugated and plain elements along a dimension.
pub fn vecdot(x: &Tensor, y: &Tensor, dim: i64) -> Result<Tensor> {
    if x.dtype() != y.dtype() {
        bail!(
            "linalg.vecdot: Expected x and y to have the same dtype, but found {} and {} instead",
            x.dtype().cpp_name(),
            y.dtype().cpp_name()
        );
    }
    if !x.dtype().is_differentiable() {
        bail!(
            "linalg.vecdot: Expected a floating point or complex tensor as input. Got {}",
            x.dtype().cpp_name()
        );
    }
    reduce::sum_dim(&f::mul(&conj(x)?, y)?, Some(&[dim]), false, None)
}

/// `torch.linalg.matrix_power` for any integer power.
pub fn matrix_power(self_: &Tensor, n: i64) -> Result<Tensor> {
    let sizes = self_.sizes();
    if sizes.len() < 2 {
        bail!("linalg.matrix_power: The input tensor A must have at least 2 dimensions.");
    }
    let size = sizes[sizes.len() - 1];
    if sizes[sizes.len() - 2] != size {
        bail!(
            "linalg.matrix_power: A must be batches of square matrices, but they are {} by {size} matrices",
            sizes[sizes.len() - 2]
        );
    }
    if n == 0 {
        let eye = shape::expand(&identity(size, self_)?, &sizes)?;
        let out = shape::clone(&eye, Some(flambeau_core::MemoryFormat::Contiguous))?;
        record(&[&out], "CopyBackwards", &[self_], &[], |ctx| {
            Ok(smallvec![ctx.grad(0).map(shape::zeros_of).transpose()?])
        })?;
        return Ok(out);
    }
    if n < 0 {
        bail!(NotImplemented, "matrix_power: negative powers go through linalg.inv");
    }
    let mut power = self_.clone();
    let mut result: Option<Tensor> = None;
    let mut rest = n;
    loop {
        if rest & 1 == 1 {
            result = Some(match result {
                None => power.clone(),
                Some(r) => matmul(&r, &power)?,
            });
        }
        rest >>= 1;
        if rest == 0 {
            break;
        }
        power = matmul(&power, &power)?;
    }
    match result {
        Some(r) if n == 1 => shape::clone(&r, None),
        Some(r) => Ok(r),
        None => bail!("matrix_power of nothing"),
    }
}

fn identity(n: i64, like: &Tensor) -> Result<Tensor> {
    let eye = Tensor::zeros_raw(&[n, n], like.dtype(), like.device())?;
    let mut diagonal = eye.array();
    diagonal.strides = smallvec![n + 1];
    diagonal.sizes = smallvec![n];
    creation::fill_data(&Tensor::from_array(diagonal), 1i64.into())?;
    Ok(eye)
}

/// `torch.linalg.multi_dot`: a chain of products in the cheapest order (Cormen et al., ch. 15.2).
pub fn multi_dot(tensors: &[Tensor]) -> Result<Tensor> {
    let n = tensors.len();
    if n < 2 {
        bail!("multi_dot(): expected at least 2 tensors but got {n}");
    }
    let mut list = tensors.to_vec();
    let (first_vector, last_vector) = (list[0].dim() == 1, list[n - 1].dim() == 1);
    if first_vector {
        list[0] = unsqueeze(&list[0], 0)?;
    } else if list[0].dim() != 2 {
        bail!("multi_dot(): the first tensor must be 1D or 2D but got {}D", list[0].dim());
    }
    if last_vector {
        list[n - 1] = unsqueeze(&list[n - 1], 1)?;
    } else if list[n - 1].dim() != 2 {
        bail!("multi_dot(): the last tensor must be 1D or 2D but got {}D", list[n - 1].dim());
    }
    for (i, t) in list.iter().enumerate() {
        if t.dim() != 2 {
            bail!("multi_dot(): tensor {i} must be 2D but got {}D", t.dim());
        }
        if t.dtype() != list[0].dtype() {
            bail!(
                "multi_dot(): all tensors must have be the same dtype but tensor 0 is {} and tensor {i} {}",
                list[0].dtype().cpp_name(),
                t.dtype().cpp_name()
            );
        }
    }
    let mut p: Vec<i64> = vec![list[0].sizes()[0]];
    for (i, t) in list.iter().enumerate() {
        if t.sizes()[0] != p[i] {
            bail!(
                "multi_dot(): tensors {} and {i} with shapes {} and {} cannot be multiplied",
                i.max(1) - 1,
                show(&list[i.max(1) - 1].sizes()),
                show(&t.sizes())
            );
        }
        p.push(t.sizes()[1]);
    }
    let mut cost = vec![vec![0f64; n]; n];
    let mut split = vec![vec![0usize; n]; n];
    for len in 1..n {
        for i in 0..n - len {
            let j = i + len;
            cost[i][j] = f64::INFINITY;
            for s in i..j {
                let c = cost[i][s] + cost[s + 1][j] + p[i] as f64 * p[s + 1] as f64 * p[j + 1] as f64;
                if c < cost[i][j] {
                    (cost[i][j], split[i][j]) = (c, s);
                }
            }
        }
    }
    fn chain(list: &[Tensor], split: &[Vec<usize>], i: usize, j: usize) -> Result<Tensor> {
        if i == j {
            return Ok(list[i].clone());
        }
        let s = split[i][j];
        mm(&chain(list, split, i, s)?, &chain(list, split, s + 1, j)?)
    }
    let mut out = chain(&list, &split, 0, n - 1)?;
    if first_vector {
        out = select(&out, 0, 0)?;
    }
    if last_vector {
        out = select(&out, -1, 0)?;
    }
    Ok(out)
}
