//! Datasets, samplers and the loader that makes batches of them, in threads if wanted.
//!
//! ```
//! use flambeau::utils::data::{DataLoader, DataLoaderOptions, TensorDataset};
//! use flambeau::{arange, manual_seed};
//! manual_seed(0);
//! let x = arange(0, 10, 1, ())?;
//! let dataset = TensorDataset::new([x.clone(), &x * 10])?;
//! let options = DataLoaderOptions { batch_size: 4, shuffle: true, ..Default::default() };
//! let loader = DataLoader::new(dataset, options)?;
//! let mut sizes = Vec::new();
//! for batch in loader.iter() {
//!     let [x, y] = batch?;
//!     assert!((&x * 10).equal(&y)?);
//!     sizes.push(x.numel());
//! }
//! assert_eq!((loader.len(), sizes), (3, vec![4, 4, 2]));
//! # Ok::<(), flambeau::Error>(())
//! ```
//!
//! After the same [`manual_seed`](crate::manual_seed) the order is that of PyTorch's loader.

mod collate;
mod dataset;
mod loader;
mod sampler;

pub use collate::Collate;
pub use dataset::{ConcatDataset, Dataset, Lengths, Subset, TensorDataset, random_split};
pub use loader::{DataLoader, DataLoaderIter, DataLoaderOptions};
pub use sampler::{
    BatchSampler, RandomSampler, Sampler, SequentialSampler, SubsetRandomSampler, WeightedRandomSampler,
};
