//! How samples become a batch.

use crate::ops::join::stack;
use crate::{Result, Tensor};
use flambeau_core::bail;

/// Samples that can be joined: tensors and numbers become a tensor with a first dimension more, texts a list, and arrays,
/// tuples and lists of these are joined place by place.
pub trait Collate: Sized {
    type Batch: Send + 'static;
    fn collate(samples: Vec<Self>) -> Result<Self::Batch>;
}

impl Collate for Tensor {
    type Batch = Tensor;
    fn collate(samples: Vec<Tensor>) -> Result<Tensor> {
        stack(&samples, 0)
    }
}
macro_rules! numbers { ($($number:ty)*) => { $(
    impl Collate for $number {
        type Batch = Tensor;
        fn collate(samples: Vec<$number>) -> Result<Tensor> {
            Tensor::from_slice(&samples, &[samples.len() as i64])
        }
    }
)* } }
numbers!(f32 f64 i64 i32 u8 bool);
impl Collate for usize {
    type Batch = Tensor;
    fn collate(samples: Vec<usize>) -> Result<Tensor> {
        i64::collate(samples.into_iter().map(|n| n as i64).collect())
    }
}
impl Collate for String {
    type Batch = Vec<String>;
    fn collate(samples: Vec<String>) -> Result<Vec<String>> {
        Ok(samples)
    }
}
impl<A: Collate, B: Collate> Collate for (A, B) {
    type Batch = (A::Batch, B::Batch);
    fn collate(samples: Vec<(A, B)>) -> Result<Self::Batch> {
        let (a, b) = samples.into_iter().unzip();
        Ok((A::collate(a)?, B::collate(b)?))
    }
}
impl<A: Collate, B: Collate, C: Collate> Collate for (A, B, C) {
    type Batch = (A::Batch, B::Batch, C::Batch);
    fn collate(samples: Vec<(A, B, C)>) -> Result<Self::Batch> {
        let (mut a, mut b, mut c) = (Vec::new(), Vec::new(), Vec::new());
        for (x, y, z) in samples {
            a.push(x);
            b.push(y);
            c.push(z);
        }
        Ok((A::collate(a)?, B::collate(b)?, C::collate(c)?))
    }
}
impl<T: Collate + Send + 'static> Collate for Vec<T> {
    type Batch = Vec<T::Batch>;
    fn collate(samples: Vec<Vec<T>>) -> Result<Vec<T::Batch>> {
        let n = samples.first().map_or(0, Vec::len);
        if samples.iter().any(|sample| sample.len() != n) {
            bail!("each element in list of batch should be of equal size");
        }
        let mut places: Vec<Vec<T>> = (0..n).map(|_| Vec::with_capacity(samples.len())).collect();
        for sample in samples {
            places.iter_mut().zip(sample).for_each(|(place, part)| place.push(part));
        }
        places.into_iter().map(T::collate).collect()
    }
}
impl<const N: usize> Collate for [Tensor; N] {
    type Batch = [Tensor; N];
    fn collate(samples: Vec<[Tensor; N]>) -> Result<[Tensor; N]> {
        all(|i| {
            let place: Vec<Tensor> = samples.iter().map(|sample| sample[i].clone()).collect();
            stack(&place, 0)
        })
    }
}

/// An array of tensors, or the first error.
pub(super) fn all<const N: usize>(f: impl Fn(usize) -> Result<Tensor>) -> Result<[Tensor; N]> {
    let list: Vec<Tensor> = (0..N).map(f).collect::<Result<_>>()?;
    match list.try_into() {
        Ok(array) => Ok(array),
        Err(_) => bail!("{N} tensors were expected"),
    }
}
