//! Sums of products over named dimensions.

use super::bmm;
use crate::Tensor;
use crate::generated::functions as f;
use crate::ops::{reduce, shape, shape::unsqueeze};
use flambeau_core::{Dims, Result, bail, numel, show, wrap_dim};

/// `torch.tensordot` over the given dimensions of each operand.
pub fn tensordot(self_: &Tensor, other: &Tensor, dims_self: &[i64], dims_other: &[i64]) -> Result<Tensor> {
    if dims_self.len() != dims_other.len() {
        bail!("both dimension lists should have same length");
    }
    if self_.dtype() != other.dtype() {
        bail!(
            "tensordot: both inputs should have same dtype, but got {} and {}",
            self_.dtype().cpp_name(),
            other.dtype().cpp_name()
        );
    }
    let (mut a, mut b) = (self_.sizes(), other.sizes());
    let (mut left, mut right) = (self_.clone(), other.clone());
    let wrap = |dims: &[i64], rank: usize| -> Result<Vec<usize>> {
        dims.iter().map(|&d| wrap_dim(d, rank)).collect()
    };
    let (da, db) = (wrap(dims_self, a.len())?, wrap(dims_other, b.len())?);
    let mut k = 1i64;
    for (i, (&x, &y)) in da.iter().zip(&db).enumerate() {
        if da[..i].contains(&x) || db[..i].contains(&y) {
            bail!("tensordot: dims appear more than once");
        }
        if a[x] != b[y] && a[x] != 1 && b[y] != 1 {
            bail!(
                "contracted dimensions need to match, but first has size {} in dim {} and second has size {} in dim {}",
                a[x],
                dims_self[i],
                b[y],
                dims_other[i]
            );
        }
        if a[x] != b[y] {
            // One side is the same all along the other: that other is summed.
            let sum = |t: &Tensor, d: usize, size: i64| match size {
                1 => Ok(t.clone()),
                _ => reduce::sum_dim(t, Some(&[d as i64]), true, Some(t.dtype())),
            };
            (left, right) = (sum(&left, x, a[x])?, sum(&right, y, b[y])?);
            (a[x], b[y]) = (1, 1);
        }
        k = numel(&[k, a[x]])?;
    }
    let free =
        |rank: usize, used: &[usize]| -> Vec<usize> { (0..rank).filter(|d| !used.contains(d)).collect() };
    let (fa, fb) = (free(a.len(), &da), free(b.len(), &db));
    let order = |x: &[usize], y: &[usize]| -> Dims { x.iter().chain(y).map(|&d| d as i64).collect() };
    let count = |free: &[usize], sizes: &[i64]| numel(&free.iter().map(|&d| sizes[d]).collect::<Dims>());
    let (rows, cols) = (count(&fa, &a)?, count(&fb, &b)?);
    let left = shape::reshape(&shape::permute(&left, &order(&fa, &da))?, &[rows, k])?;
    let right = shape::reshape(&shape::permute(&right, &order(&db, &fb))?, &[k, cols])?;
    let sizes: Dims = fa.iter().map(|&d| a[d]).chain(fb.iter().map(|&d| b[d])).collect();
    shape::reshape(&super::mm(&left, &right)?, &sizes)
}

/// Labels of the dimensions of an operand; `ELLIPSIS + i` for those that `...` covers.
type Labels = Vec<u32>;
const ELLIPSIS: u32 = 1000;

fn parse(part: &str, rank: Option<usize>, what: &str) -> Result<(Labels, bool)> {
    let mut labels = Labels::new();
    let mut ellipsis_at = None;
    let mut chars = part.chars().filter(|c| !c.is_whitespace()).peekable();
    while let Some(c) = chars.next() {
        if c == '.' {
            if chars.next() != Some('.') || chars.next() != Some('.') {
                bail!("einsum(): found '.' for {what} that is not part of any ellipsis");
            }
            if ellipsis_at.is_some() {
                bail!("einsum(): found '.' for {what} for which an ellipsis was already found");
            }
            ellipsis_at = Some(labels.len());
        } else if c.is_ascii_alphabetic() {
            labels.push(c as u32);
        } else {
            bail!(
                "einsum(): invalid subscript given at index 0 in the equation string, subscripts must be in [a-zA-Z]"
            );
        }
    }
    if let Some(rank) = rank {
        let covered = rank.checked_sub(labels.len());
        match (ellipsis_at, covered) {
            (Some(at), Some(n)) => {
                // The last covered dimension has the same label in every operand.
                let inner: Vec<u32> = (0..n as u32).map(|i| ELLIPSIS + (n as u32 - 1 - i)).collect();
                labels.splice(at..at, inner);
            }
            (None, Some(0)) => {}
            _ => bail!(
                "einsum(): the number of subscripts in the equation ({}) {} the number of dimensions ({rank}) for {what}{}",
                labels.len(),
                if ellipsis_at.is_some() { "is more than" } else { "does not match" },
                if ellipsis_at.is_some() { "" } else { " and no ellipsis was given" }
            ),
        }
    }
    Ok((labels, ellipsis_at.is_some()))
}

/// `torch.einsum`
pub fn einsum(equation: &str, tensors: &[Tensor]) -> Result<Tensor> {
    if tensors.is_empty() {
        bail!("einsum(): must provide at least one operand");
    }
    let (left, right) = match equation.split_once("->") {
        Some((l, r)) => (l, Some(r)),
        None => (equation, None),
    };
    let parts: Vec<&str> = left.split(',').collect();
    if parts.len() != tensors.len() {
        let more = parts.len() < tensors.len();
        bail!(
            "einsum(): {} operands were provided than specified in the equation",
            if more { "more" } else { "fewer" }
        );
    }
    let mut operands: Vec<(Labels, Tensor)> = Vec::new();
    let mut covered = 0usize;
    for (i, (part, t)) in parts.iter().zip(tensors).enumerate() {
        let (labels, ellipsis) = parse(part, Some(t.dim()), &format!("operand {i}"))?;
        if ellipsis {
            covered = covered.max(labels.iter().filter(|&&l| l >= ELLIPSIS).count());
        }
        operands.push((labels, t.clone()));
    }
    let dots: Labels = (0..covered as u32).rev().map(|i| ELLIPSIS + i).collect();
    let output: Labels = match right {
        Some(r) => {
            let (mut labels, ellipsis) = parse(r, None, "the output")?;
            if ellipsis {
                let at = r.chars().filter(|c| !c.is_whitespace()).position(|c| c == '.').unwrap_or(0);
                labels.splice(at..at, dots.iter().copied());
            }
            for (i, l) in labels.iter().enumerate() {
                let shown = char::from_u32(*l).unwrap_or('.');
                if labels[..i].contains(l) {
                    bail!("einsum(): output subscript {shown} appears more than once in the output");
                }
                if *l < ELLIPSIS && !operands.iter().any(|(o, _)| o.contains(l)) {
                    bail!(
                        "einsum(): output subscript {shown} does not appear in the equation for any input operand"
                    );
                }
            }
            labels
        }
        None => {
            // Labels that appear once, in alphabetical order, after the covered dimensions.
            let mut counts = std::collections::BTreeMap::new();
            for (labels, _) in &operands {
                for &l in labels.iter().filter(|&&l| l < ELLIPSIS) {
                    *counts.entry(l).or_insert(0) += 1;
                }
            }
            dots.iter().copied().chain(counts.into_iter().filter(|(_, n)| *n == 1).map(|(l, _)| l)).collect()
        }
    };
    // Sizes of labels, 1 broadcasting.
    let mut sizes = std::collections::HashMap::new();
    for (i, (labels, t)) in operands.iter().enumerate() {
        for (&l, &n) in labels.iter().zip(&t.sizes()) {
            let known = sizes.entry(l).or_insert(n);
            if *known != n && n != 1 {
                if *known != 1 {
                    let shown = char::from_u32(l).unwrap_or('.');
                    bail!(
                        "einsum(): subscript {shown} has size {n} for operand {i} which does not broadcast with previously seen size {known}"
                    );
                }
                *known = n;
            }
        }
    }
    // Repeated labels of one operand are diagonals.
    for (labels, t) in &mut operands {
        let mut i = 0;
        while i < labels.len() {
            if let Some(j) = (i + 1..labels.len()).find(|&j| labels[j] == labels[i]) {
                let s = t.sizes();
                if s[i] != s[j] {
                    bail!(
                        "einsum(): subscript {} is repeated for operand 0 but the sizes don't match, {} != {}",
                        char::from_u32(labels[i]).unwrap_or('.'),
                        s[j],
                        s[i]
                    );
                }
                *t = diagonal(t, i, j)?;
                labels.remove(j);
            } else {
                i += 1;
            }
        }
    }
    let mut rest = operands.into_iter();
    let Some((mut labels, mut acc)) = rest.next() else { bail!("einsum(): no operands") };
    let remaining: Vec<(Labels, Tensor)> = rest.collect();
    for i in 0..remaining.len() {
        let (other_labels, other) = &remaining[i];
        let needed = |l: &u32| output.contains(l) || remaining[i + 1..].iter().any(|(o, _)| o.contains(l));
        (labels, acc) = contract(&labels, &acc, other_labels, other, &needed)?;
    }
    let gone: Dims = (0..labels.len()).filter(|&d| !output.contains(&labels[d])).map(|d| d as i64).collect();
    if !gone.is_empty() {
        acc = reduce::sum_dim(&acc, Some(&gone), false, None)?;
        labels.retain(|l| output.contains(l));
    }
    let mut order = Dims::new();
    for l in &output {
        match labels.iter().position(|x| x == l) {
            Some(d) => order.push(d as i64),
            None => {
                acc = unsqueeze(&acc, labels.len() as i64)?;
                order.push(labels.len() as i64);
                labels.push(*l);
            }
        }
    }
    shape::permute(&acc, &order)
}

fn diagonal(t: &Tensor, i: usize, j: usize) -> Result<Tensor> {
    let mut a = t.array();
    let from = (a.sizes.clone(), a.strides.clone(), a.offset);
    a.strides[i] += a.strides[j];
    a.sizes.remove(j);
    a.strides.remove(j);
    let view = (a.sizes.clone(), a.strides.clone(), a.offset);
    // The gradient goes to the diagonal of zeros laid out densely.
    let _ = (&from, &view);
    crate::autograd::view_of(t, "DiagonalBackward0", a.sizes, a.strides, a.offset, move |_, grad| {
        let sizes = &from.0;
        let dense = flambeau_core::contiguous_strides(sizes);
        let mut strides = dense.clone();
        strides[i] += dense[j];
        strides.remove(j);
        let mut kept = sizes.clone();
        kept.remove(j);
        shape::as_strided_backward(grad, (sizes, &dense, 0), (&kept, &strides, 0))
    })
}

/// Contracts two operands over the labels that nothing else needs.
fn contract(
    la: &Labels,
    a: &Tensor,
    lb: &Labels,
    b: &Tensor,
    needed: &dyn Fn(&u32) -> bool,
) -> Result<(Labels, Tensor)> {
    let size =
        |labels: &Labels, t: &Tensor, l: u32| labels.iter().position(|&x| x == l).map(|d| t.sizes()[d]);
    // Labels of one side only that are not needed are summed first.
    let presum = |labels: &Labels, t: &Tensor, other: &Labels| -> Result<(Labels, Tensor)> {
        let dims: Dims = (0..labels.len())
            .filter(|&d| !other.contains(&labels[d]) && !needed(&labels[d]))
            .map(|d| d as i64)
            .collect();
        if dims.is_empty() {
            return Ok((labels.clone(), t.clone()));
        }
        let kept = labels.iter().copied().filter(|l| other.contains(l) || needed(l)).collect();
        Ok((kept, reduce::sum_dim(t, Some(&dims), false, None)?))
    };
    let (la, a) = presum(la, a, lb)?;
    let (lb, b) = presum(lb, b, &la)?;
    // Sums of small integers are int64, products are not.
    let common = a.dtype().promote(b.dtype());
    let (a, b) = match a.dtype().is_integral_or_bool() && b.dtype().is_integral_or_bool() {
        true => (shape::to_dtype(&a, common)?, shape::to_dtype(&b, common)?),
        false => (a, b),
    };
    // A size of 1 on one side only stands for a broadcast dimension: treat it as belonging to the other side.
    let both = |l: &u32| match (size(&la, &a, *l), size(&lb, &b, *l)) {
        (Some(x), Some(y)) => x == y,
        _ => false,
    };
    let broadcast = la.iter().any(|l| lb.contains(l) && !both(l));
    if broadcast {
        // Rare: align and multiply, then sum.
        let all: Labels = la.iter().copied().chain(lb.iter().copied().filter(|l| !la.contains(l))).collect();
        let align = |labels: &Labels, t: &Tensor| -> Result<Tensor> {
            let mut t = t.clone();
            let mut have = labels.clone();
            for l in &all {
                if !have.contains(l) {
                    t = unsqueeze(&t, have.len() as i64)?;
                    have.push(*l);
                }
            }
            let order: Dims =
                all.iter().map(|l| have.iter().position(|x| x == l).unwrap_or(0) as i64).collect();
            shape::permute(&t, &order)
        };
        let product = f::mul(&align(&la, &a)?, &align(&lb, &b)?)?;
        let gone: Dims = (0..all.len()).filter(|&d| !needed(&all[d])).map(|d| d as i64).collect();
        let kept: Labels = all.into_iter().filter(|l| needed(l)).collect();
        let out = if gone.is_empty() {
            product
        } else {
            reduce::sum_dim(&product, Some(&gone), false, Some(product.dtype()))?
        };
        return Ok((kept, out));
    }
    let batch: Labels = la.iter().copied().filter(|l| lb.contains(l) && needed(l)).collect();
    let summed: Labels = la.iter().copied().filter(|l| lb.contains(l) && !needed(l)).collect();
    let only_a: Labels = la.iter().copied().filter(|l| !lb.contains(l)).collect();
    let only_b: Labels = lb.iter().copied().filter(|l| !la.contains(l)).collect();
    let arrange = |labels: &Labels, t: &Tensor, groups: [&Labels; 3]| -> Result<(Tensor, [i64; 3])> {
        let mut order = Dims::new();
        let mut sizes = [1i64; 3];
        let shape_of = t.sizes();
        for (i, group) in groups.iter().enumerate() {
            for l in group.iter() {
                let d = labels.iter().position(|x| x == l).unwrap_or(0);
                order.push(d as i64);
                sizes[i] = numel(&[sizes[i], shape_of[d]])?;
            }
        }
        Ok((shape::reshape(&shape::permute(t, &order)?, &sizes)?, sizes))
    };
    let (x, xs) = arrange(&la, &a, [&batch, &only_a, &summed])?;
    let (y, ys) = arrange(&lb, &b, [&batch, &summed, &only_b])?;
    if xs[2] != ys[1] {
        bail!("einsum(): operands do not match: {} and {}", show(&xs), show(&ys));
    }
    let out = bmm(&x, &y)?;
    let labels: Labels = batch.iter().chain(&only_a).chain(&only_b).copied().collect();
    let mut sizes = Dims::new();
    for l in &labels {
        sizes.push(size(&la, &a, *l).or(size(&lb, &b, *l)).unwrap_or(1));
    }
    Ok((labels, shape::reshape(&out, &sizes)?))
}
