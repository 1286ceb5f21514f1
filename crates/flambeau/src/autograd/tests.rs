//! Tests of recording and the engine.

use crate::generated::functions::{add, mul};
use crate::ops::reduce::sum;
use crate::ops::shape;
use crate::{Tensor, autograd};

fn leaf(values: &[f64]) -> Tensor {
    let t = Tensor::from_slice(values, &[values.len() as i64]).unwrap();
    t.set_requires_grad(true).unwrap();
    t
}

fn backward(t: &Tensor) {
    let seed = crate::ops::creation::scalar_tensor(1i64.into(), t.dtype()).unwrap();
    let root = (t.gradient_edge().unwrap(), seed);
    autograd::run_backward(&[root], None, Default::default()).unwrap();
}

#[test]
fn product_rule_and_accumulation() {
    let (x, y) = (leaf(&[1.0, 2.0]), leaf(&[3.0, 5.0]));
    let z = add(&mul(&x, &y).unwrap(), &x, 2i64.into()).unwrap();
    assert_eq!(z.grad_fn().unwrap().name(), "AddBackward0");
    backward(&sum(&z, None).unwrap());
    assert_eq!(x.grad().unwrap().to_vec::<f64>().unwrap(), [5.0, 7.0]);
    assert_eq!(y.grad().unwrap().to_vec::<f64>().unwrap(), [1.0, 2.0]);
    backward(&sum(&mul(&x, &x).unwrap(), None).unwrap());
    assert_eq!(x.grad().unwrap().to_vec::<f64>().unwrap(), [7.0, 11.0]);
}

#[test]
fn broadcasting_sums_the_gradient() {
    let (x, s) = (leaf(&[1.0, 2.0, 3.0]), leaf(&[2.0]));
    let m = shape::expand(&x, &[2, 3]).unwrap();
    backward(&sum(&mul(&m, &s).unwrap(), None).unwrap());
    assert_eq!(x.grad().unwrap().to_vec::<f64>().unwrap(), [4.0, 4.0, 4.0]);
    assert_eq!(s.grad().unwrap().to_vec::<f64>().unwrap(), [12.0]);
}

#[test]
fn second_derivative() {
    let x = leaf(&[3.0]);
    let y = sum(&mul(&mul(&x, &x).unwrap(), &x).unwrap(), None).unwrap();
    let one = crate::ops::creation::scalar_tensor(1i64.into(), y.dtype()).unwrap();
    let options = autograd::BackwardOptions { keep_graph: true, create_graph: true, accumulate: false };
    let inputs = [x.gradient_edge().unwrap()];
    let g = autograd::run_backward(&[(y.gradient_edge().unwrap(), one)], Some(&inputs), options).unwrap();
    let g = g[0].clone().unwrap();
    assert_eq!(g.to_vec::<f64>().unwrap(), [27.0]);
    backward(&sum(&g, None).unwrap());
    assert_eq!(x.grad().unwrap().to_vec::<f64>().unwrap(), [18.0]);
}

#[test]
fn in_place_on_a_view_reaches_the_base() {
    let x = leaf(&[1.0, 2.0, 3.0, 4.0]);
    let y = mul(&x, &x).unwrap();
    let window = shape::as_strided(&y, &[2], &[1], Some(1)).unwrap();
    let factor = leaf(&[10.0, 100.0]);
    crate::pointwise::run_(&crate::generated::defs::MUL, &[&window, &factor], &[]).unwrap();
    assert_eq!(y.to_vec::<f64>().unwrap(), [1.0, 40.0, 900.0, 16.0]);
    assert_eq!(y.grad_fn().unwrap().name(), "CopySlices");
    assert_eq!(window.grad_fn().unwrap().name(), "AsStridedBackward0");
    backward(&sum(&y, None).unwrap());
    assert_eq!(x.grad().unwrap().to_vec::<f64>().unwrap(), [2.0, 40.0, 600.0, 8.0]);
    assert_eq!(factor.grad().unwrap().to_vec::<f64>().unwrap(), [4.0, 9.0]);
}

#[test]
fn a_changed_saved_tensor_is_an_error() {
    let x = leaf(&[1.0, 2.0]);
    let y = mul(&x, &x).unwrap();
    let z = mul(&y, &y).unwrap();
    let one = leaf(&[1.0, 1.0]).alias();
    crate::pointwise::run_(&crate::generated::defs::MUL, &[&y, &one], &[]).unwrap();
    let total = sum(&z, None).unwrap();
    let seed = crate::ops::creation::scalar_tensor(1i64.into(), total.dtype()).unwrap();
    let error = autograd::run_backward(&[(total.gradient_edge().unwrap(), seed)], None, Default::default())
        .unwrap_err();
    assert!(error.message().contains("modified by an inplace operation"), "{error}");
}

/// Runs it on a thread whose stack a recursion over a graph would overflow at once.
fn on_a_small_stack(run: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(256 * 1024).spawn(run).unwrap();
    thread.join().unwrap();
}

#[test]
fn a_million_operations_are_differentiated_and_freed_without_recursion() {
    on_a_small_stack(|| {
        let x = leaf(&[1.0]);
        let mut y = x.clone();
        for _ in 0..1_000_000 {
            y = add(&y, &x, 1i64.into()).unwrap();
        }
        let total = sum(&y, None).unwrap();
        backward(&total);
        drop((y, total));
        assert_eq!(x.grad().unwrap().to_vec::<f64>().unwrap(), [1_000_001.0]);
    });
}

#[test]
fn a_long_chain_has_a_second_derivative() {
    on_a_small_stack(|| {
        let n = 50_000;
        let x = leaf(&[1.0]);
        let mut y = x.clone();
        for _ in 1..n {
            y = mul(&y, &x).unwrap();
        }
        let inputs = [x.gradient_edge().unwrap()];
        let options = autograd::BackwardOptions { keep_graph: true, create_graph: true, accumulate: false };
        let one = leaf(&[1.0]).alias();
        let root = (y.gradient_edge().unwrap(), one.clone());
        let g = autograd::run_backward(&[root], Some(&inputs), options).unwrap();
        let g = g[0].clone().unwrap();
        let root = (g.gradient_edge().unwrap(), one);
        let h = autograd::run_backward(&[root], Some(&inputs), options).unwrap();
        assert_eq!(g.to_vec::<f64>().unwrap(), [n as f64]);
        assert_eq!(h[0].as_ref().unwrap().to_vec::<f64>().unwrap(), [n as f64 * (n - 1) as f64]);
        drop((y, g, h));
    });
}

#[test]
fn chains_of_views_and_of_gradients_are_freed_without_recursion() {
    on_a_small_stack(|| {
        for t in [leaf(&[1.0, 2.0]), Tensor::from_slice(&[1i64, 2], &[2]).unwrap()] {
            let mut view = t.clone();
            for _ in 0..200_000 {
                view = shape::slice(&view, 0, None, None, 1).unwrap();
            }
            assert!(view.base().unwrap().is_same(&t));
        }
        let mut t = leaf(&[1.0]).alias();
        for _ in 0..200_000 {
            let holder = leaf(&[1.0]).alias();
            holder.set_grad(Some(t));
            t = holder;
        }
    });
}

/// `g` and the gradient of the sum of `g`, for `g` the gradient of `sum(x³)`.
fn two_derivatives(x: &Tensor) -> (Vec<f64>, Vec<f64>) {
    let y = sum(&mul(&mul(x, x).unwrap(), x).unwrap(), None).unwrap();
    let one = crate::ops::creation::scalar_tensor(1i64.into(), y.dtype()).unwrap();
    let options = autograd::BackwardOptions { keep_graph: true, create_graph: true, accumulate: false };
    let inputs = [x.gradient_edge().unwrap()];
    let root = (y.gradient_edge().unwrap(), one.clone());
    let g = autograd::run_backward(&[root], Some(&inputs), options).unwrap()[0].clone().unwrap();
    let root = (sum(&g, None).unwrap().gradient_edge().unwrap(), one);
    let h = autograd::run_backward(&[root], Some(&inputs), options).unwrap()[0].clone().unwrap();
    (g.to_vec().unwrap(), h.to_vec().unwrap())
}

#[test]
fn tensors_unpacked_by_hooks_have_their_history() {
    let x = leaf(&[1.0, -2.0, 3.0]);
    let plain = two_derivatives(&x);
    autograd::push_saved_hooks(autograd::SavedHooks {
        pack: std::sync::Arc::new(|t| {
            assert!(!t.requires_grad());
            Ok(std::sync::Arc::new(t.to_vec::<f64>()?))
        }),
        unpack: std::sync::Arc::new(|packed| {
            let values = packed.downcast_ref::<Vec<f64>>().unwrap();
            Tensor::from_slice(values, &[values.len() as i64])
        }),
    });
    let hooked = two_derivatives(&x);
    assert!(autograd::pop_saved_hooks());
    assert_eq!(plain, hooked);
    assert_eq!(plain.1, [6.0, -12.0, 18.0]);
}
