//! Data loading: orders that PyTorch 2.15 drew, threads, and what goes wrong.

use flambeau::utils::data::*;
use flambeau::{Error, Generator, Result, Tensor, arange, manual_seed, rand};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Held by tests that draw, as every pass does: they share the default generator.
static DRAWING: Mutex<()> = Mutex::new(());

fn tens() -> TensorDataset<1> {
    TensorDataset::new([arange(0, 10, 1, ()).unwrap()]).unwrap()
}
fn numbers<D: Dataset<Item = [Tensor; 1]>>(loader: &DataLoader<D>) -> Vec<Vec<i64>> {
    loader.iter().map(|batch| batch.unwrap()[0].to_vec().unwrap()).collect()
}

#[test]
fn passes_have_pytorchs_order() {
    let _guard = DRAWING.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    for num_workers in [0, 1, 3] {
        manual_seed(3);
        let options = DataLoaderOptions { batch_size: 3, shuffle: true, num_workers, ..Default::default() };
        let loader = DataLoader::new(tens(), options).unwrap();
        assert_eq!(numbers(&loader), [vec![6, 2, 0], vec![1, 8, 3], vec![5, 4, 7], vec![9]]);
        assert_eq!(numbers(&loader), [vec![3, 4, 0], vec![9, 6, 7], vec![1, 2, 5], vec![8]]);
        assert_eq!(rand([1], ()).unwrap().to_string(), "tensor([0.5944])");
    }
    let generator = Some(Generator::new(7));
    let options =
        DataLoaderOptions { batch_size: 4, shuffle: true, drop_last: true, generator, ..Default::default() };
    let loader = DataLoader::new(tens(), options).unwrap();
    assert_eq!(numbers(&loader), [[1, 3, 5, 7], [9, 4, 6, 2]]);
    assert_eq!(numbers(&loader), [[5, 1, 6, 0], [9, 7, 8, 4]]);
    assert_eq!(loader.len(), 2);
}

#[test]
fn splits_and_samplers_draw_as_pytorch() {
    let _guard = DRAWING.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    manual_seed(3);
    let indices = |parts: Vec<Subset<TensorDataset<1>>>| -> Vec<Vec<usize>> {
        parts.into_iter().map(|part| part.indices).collect()
    };
    let parts = random_split(tens(), [0.75, 0.25], None).unwrap();
    assert_eq!(indices(parts), [vec![6, 0, 3, 7, 8, 5, 1, 9], vec![2, 4]]);
    let parts = random_split(tens(), [7, 3], Some(&Generator::new(5))).unwrap();
    assert_eq!(indices(parts.clone()), [vec![1, 4, 9, 6, 3, 5, 0], vec![2, 8, 7]]);
    let loader = DataLoader::new(parts[1].clone(), DataLoaderOptions::default()).unwrap();
    assert_eq!(numbers(&loader), [[2], [8], [7]]);
    assert!(random_split(tens(), [7, 4], None).is_err());
    assert!(random_split(tens(), [0.7, 0.4], None).is_err());

    manual_seed(4);
    let sampler = RandomSampler::with(10, true, 12, None).unwrap();
    assert_eq!(sampler.indices().unwrap(), [7, 3, 8, 1, 3, 9, 3, 1, 4, 5, 1, 0]);
    let sampler = RandomSampler::with(10, false, 13, None).unwrap();
    assert_eq!(sampler.indices().unwrap(), [0, 4, 7, 3, 1, 5, 2, 9, 8, 6, 2, 4, 3]);
    let weights = [0.1, 0.5, 3.0];
    let sampler = WeightedRandomSampler::new(&weights, 8, true, None).unwrap();
    assert_eq!(sampler.indices().unwrap(), [1, 2, 2, 2, 2, 2, 1, 2]);
    let sampler = SubsetRandomSampler { indices: vec![4, 8, 9], generator: None };
    assert_eq!(sampler.indices().unwrap(), [8, 4, 9]);
    manual_seed(4);
    let sampler = WeightedRandomSampler::new(&weights, 2, false, None).unwrap();
    assert_eq!(sampler.indices().unwrap(), [2, 1]);
    let batches = BatchSampler::new(SequentialSampler(5), 2, false).unwrap();
    assert_eq!((batches.len(), batches.batches().unwrap()), (3, vec![vec![0, 1], vec![2, 3], vec![4]]));
    let loader = DataLoader::with_sampler(tens(), batches, DataLoaderOptions::default()).unwrap();
    assert_eq!(numbers(&loader), [vec![0, 1], vec![2, 3], vec![4]]);
}

/// Counts how many samples were asked for; fails or panics at some.
struct Counting {
    asked: AtomicUsize,
    fails: usize,
    panics: usize,
}
impl Dataset for Counting {
    type Item = (i64, (f32, String));
    fn len(&self) -> usize {
        1000
    }
    fn get(&self, index: usize) -> Result<Self::Item> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if index == self.fails {
            return Err(Error::value("no such sample"));
        }
        assert_ne!(index, self.panics, "on purpose");
        Ok((index as i64, (index as f32 / 2.0, format!("sample {index}"))))
    }
}
fn counting(fails: usize, panics: usize, num_workers: usize) -> DataLoader<Counting> {
    let dataset = Counting { asked: AtomicUsize::new(0), fails, panics };
    let options = DataLoaderOptions { batch_size: 2, num_workers, ..Default::default() };
    DataLoader::new(dataset, options).unwrap()
}

#[test]
fn errors_end_a_pass_and_threads_end_with_it() {
    let _guard = DRAWING.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    for num_workers in [0, 2] {
        let loader = counting(5, 1001, num_workers);
        let mut pass = loader.iter();
        let (n, (half, text)) = pass.next().unwrap().unwrap();
        assert_eq!(n.to_vec::<i64>().unwrap(), [0, 1]);
        assert_eq!(half.to_vec::<f32>().unwrap(), [0.0, 0.5]);
        assert_eq!(text, ["sample 0", "sample 1"]);
        assert!(pass.next().unwrap().is_ok());
        assert_eq!(pass.next().unwrap().unwrap_err().message(), "no such sample");
        assert!(pass.next().is_none());
    }
    let loader = counting(1001, 3, 2);
    let mut pass = loader.iter();
    assert!(pass.next().unwrap().is_ok());
    assert!(pass.next().unwrap().unwrap_err().message().contains("panicked"));
    assert!(pass.next().is_none());

    // No more is made ahead than asked for, and a pass can be left at any time.
    let loader = counting(1001, 1001, 2);
    let mut pass = loader.iter();
    pass.next().unwrap().unwrap();
    drop(pass);
    let asked = loader.dataset.asked.load(Ordering::Relaxed);
    assert!((2..=10).contains(&asked), "{asked}");
    assert_eq!(loader.iter().count(), 500);
}

#[test]
fn datasets_are_checked() {
    let _guard = DRAWING.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let (a, b) = (arange(0, 3, 1, ()).unwrap(), arange(0, 4, 1, ()).unwrap());
    let error = TensorDataset::new([a.clone(), b.clone()]).unwrap_err();
    assert_eq!(error.message(), "Size mismatch between tensors");
    let two = ConcatDataset::new(vec![TensorDataset::new([a]).unwrap(), TensorDataset::new([b]).unwrap()]);
    let options = DataLoaderOptions { batch_size: 5, ..Default::default() };
    let loader = DataLoader::new(two, options.clone()).unwrap();
    assert_eq!(numbers(&loader), [vec![0, 1, 2, 0, 1], vec![2, 3]]);
    assert!(loader.dataset.get(7).is_err());
    assert!(DataLoader::new(tens(), DataLoaderOptions { batch_size: 0, ..options }).is_err());
    let uneven = Collate::collate(vec![vec![1i64], vec![1, 2]]);
    assert!(uneven.is_err());
}
