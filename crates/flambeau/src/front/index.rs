//! Indexing as in `x[0, 1:, None, mask]`: `x.i((0, 1.., Index::NewAxis, &mask))`.

use crate::ops::{index as indexed, shape};
use crate::{DType, Device, Result, Tensor};
use flambeau_core::bail;
use std::ops::{Range, RangeFrom, RangeFull, RangeTo};

/// `start:stop:step`, negative bounds counted from the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    pub start: Option<i64>,
    pub stop: Option<i64>,
    pub step: i64,
}

/// One element of an index.
#[derive(Clone, Debug)]
pub enum Index {
    Int(i64),
    Slice(Slice),
    /// As many whole dimensions as the other elements leave.
    Ellipsis,
    /// A new dimension of size 1.
    NewAxis,
    /// A new dimension, of size 1 if true and 0 if false.
    Bool(bool),
    /// Integer positions, or a mask.
    Tensor(Tensor),
}

fn range(start: Option<i64>, stop: Option<i64>) -> Index {
    Index::Slice(Slice { start, stop, step: 1 })
}
impl From<i64> for Index {
    fn from(i: i64) -> Self {
        Index::Int(i)
    }
}
impl From<Range<i64>> for Index {
    fn from(r: Range<i64>) -> Self {
        range(Some(r.start), Some(r.end))
    }
}
impl From<RangeFrom<i64>> for Index {
    fn from(r: RangeFrom<i64>) -> Self {
        range(Some(r.start), None)
    }
}
impl From<RangeTo<i64>> for Index {
    fn from(r: RangeTo<i64>) -> Self {
        range(None, Some(r.end))
    }
}
impl From<RangeFull> for Index {
    fn from(_: RangeFull) -> Self {
        range(None, None)
    }
}
impl From<Slice> for Index {
    fn from(slice: Slice) -> Self {
        Index::Slice(slice)
    }
}
impl From<bool> for Index {
    fn from(b: bool) -> Self {
        Index::Bool(b)
    }
}
impl From<&Tensor> for Index {
    fn from(t: &Tensor) -> Self {
        Index::Tensor(t.clone())
    }
}

/// An index: one element or a tuple of up to four.
pub trait IndexExpr {
    fn into_indices(self) -> Vec<Index>;
}
impl<T: Into<Index>> IndexExpr for T {
    fn into_indices(self) -> Vec<Index> {
        vec![self.into()]
    }
}
macro_rules! tuples { ($(($($name:ident),*))*) => { $(
    impl<$($name: Into<Index>),*> IndexExpr for ($($name,)*) {
        fn into_indices(self) -> Vec<Index> {
            #[allow(non_snake_case)]
            let ($($name,)*) = self;
            vec![$($name.into()),*]
        }
    }
)* } }
tuples!((A)(A, B)(A, B, C)(A, B, C, D));

fn is_mask(t: &Tensor) -> bool {
    matches!(t.dtype(), DType::Bool | DType::UInt8)
}

/// Takes the views of an index: integers, slices and new dimensions. What is left to do are the index tensors, listed
/// by the dimension of the view that they apply to.
pub fn index_views(t: &Tensor, items: &[Index]) -> Result<(Tensor, Vec<Option<Tensor>>)> {
    let rank = t.dim();
    let taken: usize = items
        .iter()
        .map(|item| match item {
            Index::NewAxis | Index::Ellipsis | Index::Bool(_) => 0,
            Index::Tensor(t) if is_mask(t) => t.dim(),
            _ => 1,
        })
        .sum();
    if taken > rank {
        bail!(Index, "too many indices for tensor of dimension {rank}");
    }
    let whole = |s: &Slice| s.start.is_none() && s.stop.is_none() && s.step == 1;
    if t.is_sparse()
        && items.iter().any(|i| {
            matches!(i, Index::Bool(_) | Index::Tensor(_)) || matches!(i, Index::Slice(s) if !whole(s))
        })
    {
        return Err(crate::ops::sparse::unknown("index"));
    }
    let mut view = t.clone();
    let mut dim = 0usize;
    let mut tensors: Vec<Option<Tensor>> = Vec::new();
    let mut seen_ellipsis = false;
    let place = |tensors: &mut Vec<Option<Tensor>>, dim: usize, t: Tensor| {
        if tensors.len() <= dim {
            tensors.resize(dim + 1, None);
        }
        tensors[dim] = Some(t);
    };
    for item in items {
        match item {
            Index::NewAxis => {
                view = shape::unsqueeze(&view, dim as i64)?;
                dim += 1;
            }
            Index::Ellipsis => {
                if !seen_ellipsis {
                    dim += rank - taken;
                    seen_ellipsis = true;
                }
            }
            Index::Int(i) => {
                let size = view.with_array(|a| a.sizes[dim]);
                if *i < -size || *i >= size {
                    bail!(Index, "index {i} is out of bounds for dimension {dim} with size {size}");
                }
                view = shape::select(&view, dim as i64, *i)?;
            }
            Index::Slice(Slice { start, stop, step }) => {
                if *step <= 0 {
                    bail!(Value, "step must be greater than zero");
                }
                let size = view.with_array(|a| a.sizes[dim]);
                let full = start.unwrap_or(0) == 0 && stop.is_none_or(|s| s >= size) && *step == 1;
                if !full {
                    view = shape::slice(&view, dim as i64, *start, *stop, *step)?;
                }
                dim += 1;
            }
            Index::Bool(b) => {
                view = shape::unsqueeze(&view, dim as i64)?;
                place(&mut tensors, dim, Tensor::from_slice(&[*b], &[1])?);
                dim += 1;
            }
            Index::Tensor(t) if t.dim() == 0 && is_mask(t) => {
                view = shape::unsqueeze(&view, dim as i64)?;
                let b = t.item()?.to_bool();
                place(&mut tensors, dim, Tensor::from_slice(&[b], &[1])?);
                dim += 1;
            }
            Index::Tensor(t) => {
                if t.device() != Device::CPU && view.device() == Device::CPU {
                    bail!(Index, "indices should be on the same device as the indexed tensor");
                }
                place(&mut tensors, dim, t.clone());
                dim += if is_mask(t) { t.dim() } else { 1 };
            }
        }
    }
    // A mask stands for all its dimensions.
    let mut given = Vec::with_capacity(tensors.len());
    let mut tensors = tensors.into_iter();
    while let Some(tensor) = tensors.next() {
        let masked = tensor.as_ref().filter(|t| is_mask(t)).map_or(1, |t| t.dim().max(1));
        given.push(tensor);
        tensors.by_ref().take(masked - 1).for_each(drop);
    }
    Ok((view, given))
}

/// Writes values to what [`index_views`] left.
pub fn index_assign(view: &Tensor, tensors: &[Option<Tensor>], values: &Tensor) -> Result<()> {
    if tensors.iter().any(Option::is_some) {
        return indexed::index_put_(view, tensors, values, false).map(drop);
    }
    // Leading dimensions of size 1 of the values are dropped, as in NumPy.
    let mut sizes = values.sizes();
    while sizes.len() > view.dim() && sizes[0] == 1 {
        sizes.remove(0);
    }
    let values = if sizes.len() != values.dim() { &shape::view(values, &sizes)? } else { values };
    let to = view.sizes();
    if !flambeau_core::broadcast_shapes(&sizes, &to).is_ok_and(|sizes| sizes == to) {
        return shape::expand(&values.alias(), &to).map(drop);
    }
    shape::copy_(view, values, false).map(drop)
}

impl Tensor {
    /// The part of the tensor that an index names: a view for integers, slices and new dimensions, a copy where
    /// tensors are among the indices.
    ///
    /// ```
    /// use flambeau::{Index, arange, tensor};
    /// let t = arange(0, 12, 1, ())?.view(&[3, 4])?;
    /// assert_eq!(t.i((0..2, 2..))?.to_string(), "tensor([[2, 3],\n        [6, 7]])");
    /// assert_eq!(t.i((.., -1))?.to_string(), "tensor([ 3,  7, 11])");
    /// assert_eq!(t.i((Index::Ellipsis, 0))?.to_string(), "tensor([0, 4, 8])");
    /// assert_eq!(t.i(&t.gt_scalar(8)?)?.to_string(), "tensor([ 9, 10, 11])");
    /// assert_eq!(t.i(&tensor([2i64, 0])?)?.sizes()[..], [2, 4]);
    /// assert_eq!(t.i(3).unwrap_err().message(), "index 3 is out of bounds for dimension 0 with size 3");
    /// # Ok::<(), flambeau::Error>(())
    /// ```
    pub fn i(&self, index: impl IndexExpr) -> Result<Tensor> {
        let (view, tensors) = index_views(self, &index.into_indices())?;
        if tensors.iter().any(Option::is_some) { indexed::index(&view, &tensors) } else { Ok(view) }
    }

    /// Assigns to the part of the tensor that an index names; the values are broadcast to it.
    ///
    /// ```
    /// use flambeau::{tensor, zeros};
    /// let t = zeros([2, 3], ())?;
    /// t.i_put_((0, 1..), &tensor([1f32, 2.])?)?;
    /// assert_eq!(t.to_string(), "tensor([[0., 1., 2.],\n        [0., 0., 0.]])");
    /// # Ok::<(), flambeau::Error>(())
    /// ```
    pub fn i_put_(&self, index: impl IndexExpr, values: &Tensor) -> Result<()> {
        crate::ops::sparse::check_dense("index_put_", self)?;
        let (view, tensors) = index_views(self, &index.into_indices())?;
        index_assign(&view, &tensors, values)
    }
}
