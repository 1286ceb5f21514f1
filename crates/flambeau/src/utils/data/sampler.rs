//! The order in which a dataset's samples are visited.

use crate::ops::random;
use crate::{DType, Generator, Result, Tensor};
use flambeau_core::bail;

/// Indices of samples, drawn anew for every pass.
pub trait Sampler: Send + Sync {
    /// The indices of a pass.
    fn indices(&self) -> Result<Vec<usize>>;
    /// How many there are.
    fn len(&self) -> usize;
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The numbers below `n` in order.
#[derive(Clone, Copy, Debug)]
pub struct SequentialSampler(pub usize);
impl Sampler for SequentialSampler {
    fn indices(&self) -> Result<Vec<usize>> {
        Ok((0..self.0).collect())
    }
    fn len(&self) -> usize {
        self.0
    }
}

/// A number drawn as PyTorch draws seeds.
pub(super) fn seed(generator: Option<&Generator>) -> Result<u64> {
    let drawn = random::random_(&Tensor::zeros_raw(&[], DType::Int64, crate::Device::CPU)?, generator)?;
    Ok(drawn.item()?.to_i64() as u64)
}
fn list(drawn: Tensor) -> Result<impl Iterator<Item = usize>> {
    Ok(drawn.to_vec::<i64>()?.into_iter().map(|i| i as usize))
}

/// The numbers below `n` in random order, or with `replacement` independent draws.
#[derive(Clone, Debug)]
pub struct RandomSampler {
    n: usize,
    replacement: bool,
    num_samples: usize,
    generator: Option<Generator>,
}
impl RandomSampler {
    /// Each once, in an order drawn by the generator, or by one that the default generator seeds.
    pub fn new(n: usize, generator: Option<Generator>) -> Result<RandomSampler> {
        Self::with(n, false, n, generator)
    }
    /// `num_samples` may be more or less than `n`.
    pub fn with(
        n: usize,
        replacement: bool,
        num_samples: usize,
        generator: Option<Generator>,
    ) -> Result<RandomSampler> {
        if num_samples == 0 || n == 0 {
            bail!(Value, "num_samples should be a positive integer value, but got num_samples={num_samples}");
        }
        Ok(RandomSampler { n, replacement, num_samples, generator })
    }
}
impl Sampler for RandomSampler {
    fn indices(&self) -> Result<Vec<usize>> {
        let generator = match &self.generator {
            Some(generator) => generator.clone(),
            None => Generator::new(seed(None)?),
        };
        let options = &DType::Int64.into();
        let mut out = Vec::with_capacity(self.num_samples);
        if self.replacement {
            // In blocks of 32, as PyTorch draws them.
            while out.len() < self.num_samples {
                let size = (self.num_samples - out.len()).min(32) as i64;
                out.extend(list(random::randint(self.n as i64, &[size], Some(&generator), options)?)?);
            }
            return Ok(out);
        }
        // The last permutation is drawn even where none of it is needed.
        loop {
            let left = self.num_samples - out.len();
            out.extend(list(random::randperm(self.n as i64, Some(&generator), options)?)?.take(left));
            if left < self.n {
                return Ok(out);
            }
        }
    }
    fn len(&self) -> usize {
        self.num_samples
    }
}

/// Given indices in random order.
#[derive(Clone, Debug)]
pub struct SubsetRandomSampler {
    pub indices: Vec<usize>,
    pub generator: Option<Generator>,
}
impl Sampler for SubsetRandomSampler {
    fn indices(&self) -> Result<Vec<usize>> {
        let n = self.indices.len() as i64;
        let order = random::randperm(n, self.generator.as_ref(), &().into())?;
        Ok(list(order)?.map(|i| self.indices[i]).collect())
    }
    fn len(&self) -> usize {
        self.indices.len()
    }
}

/// Indices drawn with probabilities in proportion to weights.
#[derive(Clone, Debug)]
pub struct WeightedRandomSampler {
    weights: Tensor,
    num_samples: usize,
    replacement: bool,
    generator: Option<Generator>,
}
impl WeightedRandomSampler {
    pub fn new(
        weights: &[f64],
        num_samples: usize,
        replacement: bool,
        generator: Option<Generator>,
    ) -> Result<WeightedRandomSampler> {
        if num_samples == 0 {
            bail!(Value, "num_samples should be a positive integer value, but got num_samples=0");
        }
        let weights = Tensor::from_slice(weights, &[weights.len() as i64])?;
        Ok(WeightedRandomSampler { weights, num_samples, replacement, generator })
    }
}
impl Sampler for WeightedRandomSampler {
    fn indices(&self) -> Result<Vec<usize>> {
        let generator = self.generator.as_ref();
        let n = self.num_samples as i64;
        Ok(list(random::multinomial(&self.weights, n, self.replacement, generator)?)?.collect())
    }
    fn len(&self) -> usize {
        self.num_samples
    }
}

/// Indices in lists of `batch_size`; with `drop_last` a shorter last one is left out.
pub struct BatchSampler {
    sampler: Box<dyn Sampler>,
    batch_size: usize,
    drop_last: bool,
}
impl BatchSampler {
    pub fn new(sampler: impl Sampler + 'static, batch_size: usize, drop_last: bool) -> Result<BatchSampler> {
        Self::of(Box::new(sampler), batch_size, drop_last)
    }
    pub(super) fn of(sampler: Box<dyn Sampler>, batch_size: usize, drop_last: bool) -> Result<BatchSampler> {
        if batch_size == 0 {
            bail!(Value, "batch_size should be a positive integer value, but got batch_size=0");
        }
        Ok(BatchSampler { sampler, batch_size, drop_last })
    }
    /// The batches of a pass.
    pub fn batches(&self) -> Result<Vec<Vec<usize>>> {
        let mut out: Vec<Vec<usize>> =
            self.sampler.indices()?.chunks(self.batch_size).map(<[usize]>::to_vec).collect();
        if self.drop_last && out.last().is_some_and(|last| last.len() < self.batch_size) {
            out.pop();
        }
        Ok(out)
    }
    /// How many batches a pass has.
    pub fn len(&self) -> usize {
        let n = self.sampler.len();
        if self.drop_last { n / self.batch_size } else { n.div_ceil(self.batch_size) }
    }
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
