//! Whatever its strides, a tensor means its elements: operators give the same on a view as on a dense copy, and
//! broadcasting is what a loop over indices says it is.

use flambeau::ops::{self, join};
use flambeau::{Result, Slice, Tensor, arange};
use proptest::prelude::*;

/// A step from a tensor to a view of it; numbers are reduced to what the tensor allows.
#[derive(Clone, Debug)]
enum Step {
    Transpose(usize, usize),
    Slice(usize, i64, i64, i64),
    Select(usize, i64),
    Unsqueeze(usize),
    Expand(usize, i64),
    Permute(u64),
    Diagonal,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..4usize, 0..4usize).prop_map(|(a, b)| Step::Transpose(a, b)),
        (0..4usize, 0..3i64, 0..3i64, 1..3i64).prop_map(|(d, a, b, s)| Step::Slice(d, a, b, s)),
        (0..4usize, 0..4i64).prop_map(|(d, i)| Step::Select(d, i)),
        (0..4usize).prop_map(Step::Unsqueeze),
        (0..4usize, 1..4i64).prop_map(|(d, n)| Step::Expand(d, n)),
        any::<u64>().prop_map(Step::Permute),
        Just(Step::Diagonal),
    ]
}

fn apply(t: &Tensor, step: &Step) -> Result<Tensor> {
    let rank = t.dim();
    if rank == 0 {
        return t.unsqueeze(0);
    }
    let sizes = t.sizes();
    match *step {
        Step::Transpose(a, b) => t.transpose((a % rank) as i64, (b % rank) as i64),
        Step::Slice(d, skip, cut, step) => {
            let d = d % rank;
            let start = skip.min(sizes[d]);
            let stop = (sizes[d] - cut).max(start);
            ops::shape::slice(t, d as i64, Some(start), Some(stop), step)
        }
        Step::Select(d, i) if rank > 1 && sizes[d % rank] > 0 => {
            t.select((d % rank) as i64, i % sizes[d % rank])
        }
        Step::Unsqueeze(d) if rank < 4 => t.unsqueeze((d % (rank + 1)) as i64),
        Step::Expand(d, n) if sizes[d % rank] == 1 => {
            let mut sizes = sizes.to_vec();
            sizes[d % rank] = n;
            ops::shape::expand(t, &sizes)
        }
        Step::Permute(order) => {
            let mut dims: Vec<i64> = (0..rank as i64).collect();
            dims.sort_by_key(|d| order.rotate_left(13 * *d as u32));
            t.permute(&dims)
        }
        Step::Diagonal if rank > 1 => t.diagonal(0, 0, 1),
        _ => Ok(t.clone()),
    }
}

/// A view, by some steps, of a tensor of small integers as `f64`.
fn view() -> impl Strategy<Value = Tensor> {
    let sizes = prop::collection::vec(0..5i64, 1..4);
    (sizes, prop::collection::vec(step(), 0..6)).prop_map(|(sizes, steps)| {
        let numbers = arange(0., sizes.iter().product::<i64>() as f64, 1, flambeau::DType::Float64).unwrap();
        let numbers = (numbers % 17.) - 8.;
        let base = numbers.reshape(&sizes).unwrap();
        steps.iter().fold(base, |t, step| apply(&t, step).unwrap())
    })
}

/// The elements by their indices, read one at a time.
fn elements(t: &Tensor) -> Vec<f64> {
    indices(&t.sizes()).iter().map(|index| at(t, index)).collect()
}
fn at(t: &Tensor, index: &[i64]) -> f64 {
    index.iter().fold(t.clone(), |t, &i| t.select(0, i).unwrap()).to_f64().unwrap()
}
/// All indices of a shape in row-major order.
fn indices(sizes: &[i64]) -> Vec<Vec<i64>> {
    sizes.iter().fold(vec![Vec::new()], |all, &n| {
        all.iter().flat_map(|index| (0..n).map(move |i| [&index[..], &[i]].concat())).collect()
    })
}
/// A dense tensor of the same elements, not made by the operators under test.
fn dense(t: &Tensor) -> Tensor {
    Tensor::from_slice(&elements(t), &t.sizes()).unwrap()
}
fn same(a: &Tensor, b: &Tensor) -> bool {
    a.sizes() == b.sizes() && a.dtype() == b.dtype() && elements(a) == elements(b)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn copies_hold_the_elements(t in view()) {
        prop_assert!(same(&t, &dense(&t)));
        prop_assert_eq!(t.to_vec::<f64>().unwrap(), elements(&t));
        let copy = t.deep_clone().unwrap();
        prop_assert!(same(&copy, &t));
        let flat = ops::shape::contiguous(&t, None).unwrap();
        prop_assert!(flat.is_contiguous() && same(&flat, &t));
        prop_assert!(same(&t.reshape(&[-1]).unwrap(), &dense(&t).reshape(&[-1]).unwrap()));
    }

    #[test]
    fn pointwise_operators_follow_strides(t in view()) {
        let d = dense(&t);
        prop_assert!(same(&(&t + 1.5), &(&d + 1.5)));
        prop_assert!(same(&(&t * &t - &t), &(&d * &d - &d)));
        prop_assert!(same(&(&t + &d), &(&d + &t)));
        prop_assert!(same(&t.gt_scalar(0).unwrap().double().unwrap(), &d.gt_scalar(0).unwrap().double().unwrap()));
    }

    #[test]
    fn in_place_operators_write_through_views(t in view(), steps in prop::collection::vec(step(), 0..4)) {
        let base = t.deep_clone().unwrap();
        let view = steps.iter().fold(base.clone(), |t, step| apply(&t, step).unwrap());
        // An expanded view has elements that share memory: writing to it is refused.
        let overlaps = view.sizes().iter().zip(&view.strides()).any(|(&n, &s)| n > 1 && s == 0);
        let before = elements(&view);
        let result = view.mul_scalar_(3);
        if overlaps && view.numel() > 0 {
            prop_assert!(result.is_err());
            prop_assert_eq!(elements(&view), before);
        } else {
            result.unwrap();
            let tripled: Vec<f64> = before.iter().map(|x| 3. * x).collect();
            prop_assert_eq!(elements(&view), tripled);
            let again = steps.iter().fold(base, |t, step| apply(&t, step).unwrap());
            prop_assert!(same(&again, &view));
        }
    }

    #[test]
    fn reductions_follow_strides(t in view(), dim in 0..4usize, keepdim: bool) {
        let d = dense(&t);
        prop_assert_eq!(t.sum().unwrap().to_f64().unwrap(), elements(&t).iter().sum::<f64>());
        if t.dim() > 0 {
            let dim = (dim % t.dim()) as i64;
            let pair = |f: &dyn Fn(&Tensor) -> Result<Tensor>| same(&f(&t).unwrap(), &f(&d).unwrap());
            prop_assert!(pair(&|x| x.sum_dim(Some(&[dim]), keepdim)));
            prop_assert!(pair(&|x| x.cumsum(dim)));
            prop_assert!(pair(&|x| Ok(x.sort(dim, false)?.0)));
            if t.size(dim).unwrap() > 0 {
                prop_assert!(pair(&|x| x.amax(&[dim], keepdim)));
                prop_assert!(pair(&|x| x.argmin(Some(dim), keepdim)));
            }
        }
    }

    #[test]
    fn matrix_products_follow_strides(n in 0..5i64, k in 0..5i64, m in 0..5i64, flip: bool, skip: bool) {
        let numbers = |rows: i64, columns: i64, flip: bool| -> Tensor {
            let (r, c) = if flip { (columns, rows) } else { (rows, columns) };
            let wide = arange(0., (2 * r * c) as f64, 1, flambeau::DType::Float64).unwrap() % 7.;
            let wide = wide.reshape(&[r, 2 * c]).unwrap();
            let every = Slice { start: None, stop: Some(if skip { 2 * c } else { c }), step: if skip { 2 } else { 1 } };
            let t = wide.i((.., every)).unwrap();
            if flip { t.t().unwrap() } else { t }
        };
        let (a, b) = (numbers(n, k, flip), numbers(k, m, !flip));
        let product = a.matmul(&b).unwrap();
        let mut naive = Vec::new();
        for i in 0..n {
            for j in 0..m {
                naive.push((0..k).map(|l| at(&a, &[i, l]) * at(&b, &[l, j])).sum::<f64>());
            }
        }
        prop_assert_eq!(product.sizes().to_vec(), vec![n, m]);
        prop_assert_eq!(elements(&product), naive);
    }

    #[test]
    fn joining_and_indexing_follow_strides(t in view(), dim in 0..4usize, picks in prop::collection::vec(0..4i64, 0..4)) {
        if t.dim() == 0 {
            return Ok(());
        }
        let (d, dim) = (dense(&t), (dim % t.dim()) as i64);
        prop_assert!(same(&join::cat(&[t.clone(), d.clone()], dim).unwrap(), &join::cat(&[d.clone(), t.clone()], dim).unwrap()));
        let joined = join::cat(&[t.clone(), t.clone()], dim).unwrap();
        let n = t.size(dim).unwrap();
        prop_assert!(same(&joined.narrow(dim, n, n).unwrap(), &t));
        if n > 0 {
            let picks: Vec<i64> = picks.iter().map(|i| i % n).collect();
            let index = Tensor::from_slice(&picks, &[picks.len() as i64]).unwrap();
            let chosen = t.index_select(dim, &index).unwrap();
            prop_assert!(same(&chosen, &d.index_select(dim, &index).unwrap()));
            for (place, &i) in picks.iter().enumerate() {
                prop_assert!(same(&chosen.select(dim, place as i64).unwrap(), &t.select(dim, i).unwrap()));
            }
            if dim == 0 {
                prop_assert!(same(&t.i(&index).unwrap(), &chosen));
            }
        }
        let mask = t.gt_scalar(0).unwrap();
        let positive: Vec<f64> = elements(&t).into_iter().filter(|&x| x > 0.).collect();
        prop_assert_eq!(elements(&t.i(&mask).unwrap()), positive);
    }

    #[test]
    fn broadcasting_is_a_loop_over_indices(
        sizes in prop::collection::vec(0..4i64, 0..4), drop in 0..4usize, ones in any::<[bool; 8]>(),
    ) {
        // Two shapes that broadcast to `sizes`, or to less where both have 1.
        let left: Vec<i64> = sizes.iter().zip(ones).map(|(&n, one)| if one { 1 } else { n }).collect();
        let right: Vec<i64> = sizes.iter().zip(&ones[4..]).map(|(&n, &one)| if one { 1 } else { n }).collect();
        let right = right[drop.min(right.len())..].to_vec();
        let numbers = |sizes: &[i64], first: f64| {
            let count = sizes.iter().product::<i64>() as f64;
            arange(first, first + count, 1, flambeau::DType::Float64).unwrap().reshape(sizes).unwrap()
        };
        let (a, b) = (numbers(&left, 1.), numbers(&right, 10.));
        let offset = left.len() - right.len();
        let out: Vec<i64> = (0..left.len())
            .map(|i| {
                let r = if i < offset { 1 } else { right[i - offset] };
                if left[i] == 1 { r } else { left[i] }
            })
            .collect();
        let inside = |index: &[i64], sizes: &[i64]| -> Vec<i64> {
            index.iter().zip(sizes).map(|(&i, &n)| if n == 1 { 0 } else { i }).collect()
        };
        let naive: Vec<f64> = indices(&out)
            .iter()
            .map(|index| at(&a, &inside(index, &left)) - at(&b, &inside(&index[offset..], &right)))
            .collect();
        let difference = &a - &b;
        prop_assert_eq!(difference.sizes().to_vec(), out);
        prop_assert_eq!(elements(&difference), naive);
    }

    #[test]
    fn shapes_that_do_not_broadcast_are_refused(a in 2..5i64, b in 2..5i64) {
        prop_assume!(a != b);
        let (x, y) = (flambeau::ones([3, a], ()).unwrap(), flambeau::ones([b], ()).unwrap());
        let error = x.add(&y).unwrap_err();
        prop_assert_eq!(
            error.message(),
            format!("The size of tensor a ({a}) must match the size of tensor b ({b}) at non-singleton dimension 1")
        );
    }
}
