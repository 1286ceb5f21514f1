//! The loader: batches of a dataset, made when they are asked for or ahead by threads.

use super::collate::Collate;
use super::dataset::Dataset;
use super::sampler::{BatchSampler, RandomSampler, Sampler, SequentialSampler, seed};
use crate::{Error, Generator, Result};
use flambeau_core::bail;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

type Batch<D> = <<D as Dataset>::Item as Collate>::Batch;

/// Settings of [`DataLoader`].
#[derive(Clone, Debug)]
pub struct DataLoaderOptions {
    pub batch_size: usize,
    /// Whether every pass has a random order.
    pub shuffle: bool,
    /// Whether a shorter last batch is left out.
    pub drop_last: bool,
    /// How many threads make batches; with none the caller's does.
    pub num_workers: usize,
    /// How many batches are made ahead for each of them.
    pub prefetch_factor: usize,
    /// Draws the order; without one, a generator that the default one seeds.
    pub generator: Option<Generator>,
}
impl Default for DataLoaderOptions {
    fn default() -> Self {
        DataLoaderOptions {
            batch_size: 1,
            shuffle: false,
            drop_last: false,
            num_workers: 0,
            prefetch_factor: 2,
            generator: None,
        }
    }
}

/// Passes over a dataset in batches. They come in the sampler's order, however many threads make them.
///
/// Threads share the default generator: datasets that draw random numbers draw them in no fixed order then.
pub struct DataLoader<D: Dataset> {
    pub dataset: Arc<D>,
    batches: BatchSampler,
    options: DataLoaderOptions,
}

impl<D: Dataset> DataLoader<D> {
    pub fn new(dataset: impl Into<Arc<D>>, options: DataLoaderOptions) -> Result<DataLoader<D>> {
        let dataset = dataset.into();
        let n = dataset.len();
        let sampler: Box<dyn Sampler> = match options.shuffle {
            true => Box::new(RandomSampler::new(n, options.generator.clone())?),
            false => Box::new(SequentialSampler(n)),
        };
        let batches = BatchSampler::of(sampler, options.batch_size, options.drop_last)?;
        Self::made(dataset, batches, options)
    }
    /// With batches of one's own; the settings for them are not looked at.
    pub fn with_sampler(
        dataset: impl Into<Arc<D>>,
        batches: BatchSampler,
        options: DataLoaderOptions,
    ) -> Result<DataLoader<D>> {
        if options.shuffle {
            bail!(Value, "sampler option is mutually exclusive with shuffle");
        }
        Self::made(dataset.into(), batches, options)
    }
    fn made(dataset: Arc<D>, batches: BatchSampler, options: DataLoaderOptions) -> Result<DataLoader<D>> {
        if options.num_workers > 0 && options.prefetch_factor == 0 {
            bail!(Value, "prefetch_factor must be positive");
        }
        Ok(DataLoader { dataset, batches, options })
    }
    /// How many batches a pass has.
    pub fn len(&self) -> usize {
        self.batches.len()
    }
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// A pass. An error ends it.
    pub fn iter(&self) -> DataLoaderIter<D> {
        let mut out = DataLoaderIter {
            dataset: self.dataset.clone(),
            order: Vec::new().into_iter(),
            fault: None,
            workers: None,
        };
        // PyTorch draws a seed for its workers first, whether there are any or not.
        let order = seed(self.options.generator.as_ref()).and_then(|_| self.batches.batches());
        match order {
            Ok(order) => out.order = order.into_iter(),
            Err(error) => out.fault = Some(error),
        }
        if self.options.num_workers > 0 && out.fault.is_none() {
            match Workers::start(&self.dataset, self.options.num_workers) {
                Ok(workers) => out.workers = Some(workers),
                Err(error) => out.fault = Some(error),
            }
            for _ in 0..self.options.num_workers * self.options.prefetch_factor {
                out.send();
            }
        }
        out
    }
}
impl<D: Dataset> IntoIterator for &DataLoader<D> {
    type Item = Result<Batch<D>>;
    type IntoIter = DataLoaderIter<D>;
    fn into_iter(self) -> DataLoaderIter<D> {
        self.iter()
    }
}

/// One pass over a loader.
pub struct DataLoaderIter<D: Dataset> {
    dataset: Arc<D>,
    order: std::vec::IntoIter<Vec<usize>>,
    fault: Option<Error>,
    workers: Option<Workers<Batch<D>>>,
}

/// Threads that take lists of indices and give batches back, with their numbers.
struct Workers<B> {
    tasks: Option<Sender<(usize, Vec<usize>)>>,
    results: Receiver<(usize, Result<B>)>,
    threads: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    /// Batches that came before their turn.
    early: HashMap<usize, Result<B>>,
    sent: usize,
    taken: usize,
}

impl<B: Send + 'static> Workers<B> {
    fn start<D>(dataset: &Arc<D>, count: usize) -> Result<Workers<B>>
    where
        D: Dataset,
        D::Item: Collate<Batch = B>,
    {
        let (tasks, queue) = channel::<(usize, Vec<usize>)>();
        let queue = Arc::new(Mutex::new(queue));
        let (give, results) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for number in 0..count {
            let (queue, give, dataset) = (queue.clone(), give.clone(), dataset.clone());
            let stopped = stop.clone();
            let work = move || {
                loop {
                    let task = queue.lock().recv();
                    let Ok((number, indices)) = task else { return };
                    if stopped.load(Ordering::Relaxed) {
                        return;
                    }
                    let made = catch_unwind(AssertUnwindSafe(|| dataset.batch(&indices)));
                    let made = made.unwrap_or_else(|_| Err(Error::runtime("a dataset panicked in a worker")));
                    if give.send((number, made)).is_err() {
                        return;
                    }
                }
            };
            let thread = std::thread::Builder::new().name(format!("loader {number}")).spawn(work);
            threads.push(thread.map_err(|error| Error::runtime(format!("no thread for a worker: {error}")))?);
        }
        Ok(Workers { tasks: Some(tasks), results, threads, stop, early: HashMap::new(), sent: 0, taken: 0 })
    }
    fn next(&mut self) -> Option<Result<B>> {
        if self.taken == self.sent {
            return None;
        }
        let number = self.taken;
        self.taken += 1;
        loop {
            if let Some(batch) = self.early.remove(&number) {
                return Some(batch);
            }
            match self.results.recv() {
                Ok((other, batch)) => drop(self.early.insert(other, batch)),
                Err(_) => return Some(Err(Error::runtime("the workers of a loader are gone"))),
            }
        }
    }
}
impl<B> Drop for Workers<B> {
    fn drop(&mut self) {
        // The threads end after the batches that they are at; what is queued is thrown away.
        self.stop.store(true, Ordering::Relaxed);
        self.tasks = None;
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

impl<D: Dataset> DataLoaderIter<D> {
    /// Gives the workers one more batch to make.
    fn send(&mut self) {
        if let Some(workers) = &mut self.workers
            && let Some(tasks) = &workers.tasks
            && let Some(indices) = self.order.next()
            && tasks.send((workers.sent, indices)).is_ok()
        {
            workers.sent += 1;
        }
    }
}
impl<D: Dataset> Iterator for DataLoaderIter<D> {
    type Item = Result<Batch<D>>;
    fn next(&mut self) -> Option<Result<Batch<D>>> {
        if let Some(error) = self.fault.take() {
            return Some(Err(error));
        }
        let batch = match &mut self.workers {
            None => self.order.next().map(|indices| self.dataset.batch(&indices)),
            Some(workers) => {
                let batch = workers.next();
                self.send();
                batch
            }
        };
        if matches!(batch, Some(Err(_))) {
            self.order = Vec::new().into_iter();
            self.workers = None;
        }
        batch
    }
    fn size_hint(&self) -> (usize, Option<usize>) {
        let ahead = self.workers.as_ref().map_or(0, |workers| workers.sent - workers.taken);
        let n = self.order.len() + ahead + self.fault.is_some() as usize;
        (0, Some(n))
    }
}
