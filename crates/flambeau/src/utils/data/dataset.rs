//! Datasets: by index, of tensors, and made of other datasets.

use super::collate::{Collate, all};
use crate::ops::random;
use crate::{Generator, Result, Tensor};
use flambeau_core::bail;
use std::sync::Arc;

/// Samples by index.
///
/// ```
/// use flambeau::utils::data::{DataLoader, DataLoaderOptions, Dataset};
/// struct Squares;
/// impl Dataset for Squares {
///     type Item = (i64, f64);
///     fn len(&self) -> usize {
///         4
///     }
///     fn get(&self, index: usize) -> flambeau::Result<(i64, f64)> {
///         Ok((index as i64, (index * index) as f64))
///     }
/// }
/// let loader = DataLoader::new(Squares, DataLoaderOptions { batch_size: 4, num_workers: 2, ..Default::default() })?;
/// let (n, squares) = loader.iter().next().unwrap()?;
/// assert_eq!((n.to_vec::<i64>()?, squares.to_vec::<f64>()?), (vec![0, 1, 2, 3], vec![0., 1., 4., 9.]));
/// # Ok::<(), flambeau::Error>(())
/// ```
pub trait Dataset: Send + Sync + 'static {
    type Item: Collate;
    fn len(&self) -> usize;
    fn get(&self, index: usize) -> Result<Self::Item>;
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// A batch of samples; overridden where there is a quicker way, or another one to join them.
    fn batch(&self, indices: &[usize]) -> Result<<Self::Item as Collate>::Batch> {
        Collate::collate(indices.iter().map(|&index| self.get(index)).collect::<Result<_>>()?)
    }
}
impl<D: Dataset> Dataset for Arc<D> {
    type Item = D::Item;
    fn len(&self) -> usize {
        (**self).len()
    }
    fn get(&self, index: usize) -> Result<D::Item> {
        (**self).get(index)
    }
    fn batch(&self, indices: &[usize]) -> Result<<D::Item as Collate>::Batch> {
        (**self).batch(indices)
    }
}

/// Samples that are the rows of `N` tensors, which all have the same first size.
#[derive(Clone, Debug)]
pub struct TensorDataset<const N: usize> {
    pub tensors: [Tensor; N],
}
impl<const N: usize> TensorDataset<N> {
    pub fn new(tensors: [Tensor; N]) -> Result<Self> {
        let Some(first) = tensors.first() else { bail!(Value, "a dataset of no tensors") };
        let length = first.size(0)?;
        for tensor in &tensors {
            if tensor.size(0)? != length {
                bail!(Assertion, "Size mismatch between tensors");
            }
        }
        Ok(TensorDataset { tensors })
    }
}
impl<const N: usize> Dataset for TensorDataset<N> {
    type Item = [Tensor; N];
    fn len(&self) -> usize {
        self.tensors[0].sizes()[0] as usize
    }
    fn get(&self, index: usize) -> Result<[Tensor; N]> {
        all(|i| self.tensors[i].select(0, index as i64))
    }
    fn batch(&self, indices: &[usize]) -> Result<[Tensor; N]> {
        let rows: Vec<i64> = indices.iter().map(|&index| index as i64).collect();
        let rows = Tensor::from_slice(&rows, &[rows.len() as i64])?;
        all(|i| self.tensors[i].index_select(0, &rows))
    }
}

/// Some samples of a dataset.
#[derive(Debug)]
pub struct Subset<D> {
    pub dataset: Arc<D>,
    pub indices: Vec<usize>,
}
impl<D> Clone for Subset<D> {
    fn clone(&self) -> Self {
        Subset { dataset: self.dataset.clone(), indices: self.indices.clone() }
    }
}
impl<D: Dataset> Subset<D> {
    pub fn new(dataset: Arc<D>, indices: Vec<usize>) -> Subset<D> {
        Subset { dataset, indices }
    }
    fn place(&self, index: usize) -> Result<usize> {
        match self.indices.get(index) {
            Some(&place) => Ok(place),
            None => bail!(Index, "index {index} is out of bounds for a subset of {}", self.indices.len()),
        }
    }
}
impl<D: Dataset> Dataset for Subset<D> {
    type Item = D::Item;
    fn len(&self) -> usize {
        self.indices.len()
    }
    fn get(&self, index: usize) -> Result<D::Item> {
        self.dataset.get(self.place(index)?)
    }
    fn batch(&self, indices: &[usize]) -> Result<<D::Item as Collate>::Batch> {
        let places: Vec<usize> = indices.iter().map(|&index| self.place(index)).collect::<Result<_>>()?;
        self.dataset.batch(&places)
    }
}

/// Datasets one after another.
#[derive(Debug)]
pub struct ConcatDataset<D> {
    pub datasets: Vec<D>,
}
impl<D: Dataset> ConcatDataset<D> {
    pub fn new(datasets: Vec<D>) -> ConcatDataset<D> {
        ConcatDataset { datasets }
    }
}
impl<D: Dataset> Dataset for ConcatDataset<D> {
    type Item = D::Item;
    fn len(&self) -> usize {
        self.datasets.iter().map(Dataset::len).sum()
    }
    fn get(&self, index: usize) -> Result<D::Item> {
        let mut rest = index;
        for dataset in &self.datasets {
            match rest.checked_sub(dataset.len()) {
                Some(beyond) => rest = beyond,
                None => return dataset.get(rest),
            }
        }
        bail!(Index, "index {index} is out of bounds for datasets of {} samples", self.len())
    }
}

/// The lengths of the parts of a dataset: numbers of samples, or shares that add up to 1.
#[derive(Clone, Debug)]
pub enum Lengths {
    Counts(Vec<usize>),
    Shares(Vec<f64>),
}
impl<const N: usize> From<[usize; N]> for Lengths {
    fn from(counts: [usize; N]) -> Self {
        Lengths::Counts(counts.to_vec())
    }
}
impl<const N: usize> From<[f64; N]> for Lengths {
    fn from(shares: [f64; N]) -> Self {
        Lengths::Shares(shares.to_vec())
    }
}
impl Lengths {
    fn counts(self, total: usize) -> Result<Vec<usize>> {
        let shares = match self {
            Lengths::Counts(counts) => return Ok(counts),
            Lengths::Shares(shares) => shares,
        };
        if shares.iter().any(|share| !(0.0..=1.0).contains(share))
            || (shares.iter().sum::<f64>() - 1.0).abs() > 1e-9
        {
            bail!(Value, "the shares of a split must be between 0 and 1 and add up to 1, got {shares:?}");
        }
        let mut counts: Vec<usize> =
            shares.iter().map(|share| (total as f64 * share).floor() as usize).collect();
        // What is left over is dealt out in turn.
        let left = total.saturating_sub(counts.iter().sum());
        let n = counts.len();
        (0..left).for_each(|i| counts[i % n] += 1);
        Ok(counts)
    }
}

/// Splits a dataset at random; the draws are from the generator, or from the default one.
///
/// ```
/// use flambeau::utils::data::{Dataset, TensorDataset, random_split};
/// let dataset = TensorDataset::new([flambeau::arange(0, 10, 1, ())?])?;
/// let parts = random_split(dataset, [0.8, 0.2], None)?;
/// assert_eq!((parts[0].len(), parts[1].len()), (8, 2));
/// # Ok::<(), flambeau::Error>(())
/// ```
pub fn random_split<D: Dataset>(
    dataset: impl Into<Arc<D>>,
    lengths: impl Into<Lengths>,
    generator: Option<&Generator>,
) -> Result<Vec<Subset<D>>> {
    let dataset = dataset.into();
    let total = dataset.len();
    let counts = lengths.into().counts(total)?;
    if counts.iter().try_fold(0usize, |sum, &n| sum.checked_add(n)) != Some(total) {
        bail!(Value, "Sum of input lengths does not equal the length of the input dataset!");
    }
    let order = random::randperm(total as i64, generator, &().into())?.to_vec::<i64>()?;
    let mut order = order.into_iter().map(|i| i as usize);
    Ok(counts.into_iter().map(|n| Subset::new(dataset.clone(), order.by_ref().take(n).collect())).collect())
}
