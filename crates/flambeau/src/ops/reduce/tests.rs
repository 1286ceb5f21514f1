//! Values, shapes, gradients and messages of reductions and their relatives.

use crate::ops::{calculus, cumulative, distance, quantile, reduce, softmax, sort, statistics, unique};
use crate::schema::Ret;
use crate::{Tensor, autograd};
use flambeau_core::{DType, Result, Scalar};

type Function<'a> = &'a dyn Fn(&Tensor) -> Result<Tensor>;

/// Numbers that are neither equal nor close to each other.
fn numbers(n: usize) -> Vec<f64> {
    (0..n).map(|i| ((i * 37 + 11) % 101) as f64 / 50.0 - 1.0).collect()
}

fn matrix(values: &[f64], rows: i64) -> Tensor {
    Tensor::from_slice(values, &[rows, values.len() as i64 / rows]).unwrap()
}

/// `sum(f(x) * w)` with fixed weights, and its gradient, which has a graph of its own if asked.
fn loss_and_gradient(f: Function, x: &[f64], rows: i64, second: bool) -> (f64, Vec<f64>) {
    let x = matrix(x, rows);
    x.set_requires_grad(true).unwrap();
    let weighted = |t: &Tensor| {
        let w = Tensor::from_slice(&numbers(t.numel()), &t.sizes()).unwrap();
        reduce::sum(&t.mul(&w).unwrap(), None).unwrap()
    };
    let gradient = |loss: &Tensor, create_graph: bool| {
        let one = Tensor::from_slice(&[1f64], &[]).unwrap();
        let options = autograd::BackwardOptions { keep_graph: true, create_graph, accumulate: false };
        let inputs = [x.gradient_edge().unwrap()];
        let root = (loss.gradient_edge().unwrap(), one);
        autograd::run_backward(&[root], Some(&inputs), options).unwrap()[0].clone()
    };
    let mut loss = weighted(&f(&x).unwrap());
    if second {
        loss = weighted(&gradient(&loss, true).unwrap());
        if !loss.requires_grad() {
            return (loss.item().unwrap().to_f64(), vec![0.0; x.numel()]);
        }
    }
    let g = gradient(&loss, false);
    let g = g.map_or(vec![0.0; x.numel()], |g| g.to_vec::<f64>().unwrap());
    (loss.item().unwrap().to_f64(), g)
}

/// Compares first and second derivatives with differences.
fn check(name: &str, f: Function, x: &[f64], rows: i64) {
    for second in [false, true] {
        let (_, gradient) = loss_and_gradient(f, x, rows, second);
        for i in 0..x.len() {
            let h = 1e-5;
            let moved = |by: f64| {
                let mut x = x.to_vec();
                x[i] += by;
                loss_and_gradient(f, &x, rows, second).0
            };
            let expected = (moved(h) - moved(-h)) / (2.0 * h);
            assert!(
                (gradient[i] - expected).abs() < 1e-5 * (1.0 + expected.abs()),
                "{name}, second: {second}, element {i}: {} instead of {expected}",
                gradient[i]
            );
        }
    }
}

#[test]
fn derivatives() {
    let x = numbers(12);
    let cases: Vec<(&str, Function)> = vec![
        ("sum", &|x| reduce::sum_dim(x, Some(&[1]), false, None)),
        ("mean", &|x| reduce::mean_dim(x, Some(&[0]), true, None)),
        ("prod", &|x| reduce::prod(x, None)),
        ("prod_dim", &|x| reduce::prod_dim_int(x, 1, false, None)),
        ("amax", &|x| reduce::amax(x, &[1], false)),
        ("max", &|x| Ok(reduce::max_dim(x, 0, false)?.0)),
        ("min", &reduce::min),
        ("var", &|x| reduce::var_dim(x, Some(&[1]), true, false)),
        ("std", &|x| reduce::std(x, false)),
        ("var_mean", &|x| {
            let (v, m) = reduce::var_mean_dim(x, Some(&[0]), true, false)?;
            v.mul(&m)
        }),
        ("norm 1", &|x| reduce::linalg_vector_norm(x, Scalar::Int(1), Some(&[1]), false, None)),
        ("norm 2", &|x| reduce::linalg_vector_norm(x, Scalar::Int(2), Some(&[1]), false, None)),
        ("norm 3", &|x| reduce::linalg_vector_norm(x, Scalar::Int(3), None, false, None)),
        ("norm 1.5", &|x| reduce::linalg_vector_norm(x, 1.5.into(), None, false, None)),
        ("norm inf", &|x| reduce::linalg_vector_norm(x, f64::INFINITY.into(), Some(&[0]), false, None)),
        ("renorm", &|x| reduce::renorm(x, Scalar::Int(2), 0, 0.5.into())),
        ("cumsum", &|x| cumulative::cumsum(x, 1, None)),
        ("cumprod", &|x| cumulative::cumprod(x, 1, None)),
        ("cummax", &|x| Ok(cumulative::cummax(x, 1)?.0)),
        ("logcumsumexp", &|x| cumulative::logcumsumexp(x, 0)),
        ("softmax", &|x| softmax::softmax(x, 1, None)),
        ("log_softmax", &|x| softmax::log_softmax(x, 0, None)),
        ("logsumexp", &|x| softmax::logsumexp(x, &[1], false)),
        ("sort", &|x| Ok(sort::sort(x, 1, true)?.0)),
        ("topk", &|x| Ok(sort::topk(x, 2, 1, true, true)?.0)),
        ("median", &sort::median),
        ("kthvalue", &|x| Ok(sort::kthvalue(x, 2, 0, false)?.0)),
        ("quantile", &|x| quantile::quantile_scalar(x, 0.3, Some(1), false, "linear")),
        ("cdist", &|x| distance::cdist(x, &x.mul_scalar(-1.5)?, 2.0, None)),
        ("pdist", &|x| distance::pdist(x, 3.0)),
        ("cosine_similarity", &|x| distance::cosine_similarity(x, &x.sort(0, false)?.0, 1, 1e-8)),
        ("normalize", &|x| distance::normalize(x, 2.0, &[1], 1e-12)),
        ("trapezoid", &|x| calculus::trapezoid_dx(x, 0.5.into(), 1)),
        ("cumulative_trapezoid", &|x| calculus::cumulative_trapezoid_x(x, x, 1)),
        ("diff", &|x| calculus::diff(x, 2, 1, Some(x), None)),
        ("gradient", &|x| Ok(calculus::gradient_scalarint(x, None, None, 2)?[1].clone())),
        ("cov", &|x| statistics::cov(x, 1, None, None)),
        ("corrcoef", &statistics::corrcoef),
    ];
    for (name, f) in cases {
        check(name, f, &x, 3);
    }
}

#[test]
fn derivatives_of_products_with_zeros() {
    let mut x = numbers(12);
    (x[1], x[3], x[4], x[6]) = (0.0, 0.0, 0.0, 0.0);
    check("prod", &|x| reduce::prod_dim_int(x, 1, false, None), &x, 3);
    check("cumprod", &|x| cumulative::cumprod(x, 1, None), &x, 3);
}

#[test]
fn ties_share_the_gradient() {
    let (_, g) = loss_and_gradient(&reduce::max, &[1.0, 3.0, 3.0, 2.0], 1, false);
    let weight = numbers(1)[0];
    assert_eq!(g, [0.0, weight / 2.0, weight / 2.0, 0.0]);
}

#[test]
fn results_of_empty_reductions() {
    let x = Tensor::from_slice::<f32>(&[], &[2, 0]).unwrap();
    assert_eq!(reduce::sum(&x, None).unwrap().item().unwrap(), Scalar::Float(0.0));
    assert_eq!(reduce::prod_dim_int(&x, 1, false, None).unwrap().to_vec::<f32>().unwrap(), [1.0, 1.0]);
    assert!(reduce::mean(&x, None).unwrap().item().unwrap().to_f64().is_nan());
    assert_eq!(reduce::all(&x).unwrap().item().unwrap(), Scalar::Bool(true));
    assert_eq!(reduce::amax(&x, &[0], false).unwrap().sizes()[..], [0]);
    assert!(reduce::amax(&x, &[1], false).is_err() && reduce::max(&x).is_err());
    assert!(reduce::argmax(&x, None, false).is_err() && reduce::argmin(&x, Some(0), false).is_ok());
}

#[test]
fn dtypes() {
    let ints = Tensor::from_slice(&[200u8, 100], &[2]).unwrap();
    assert_eq!(reduce::sum(&ints, None).unwrap().dtype(), DType::Int64);
    assert_eq!(reduce::sum(&ints, None).unwrap().item().unwrap(), Scalar::Int(300));
    assert_eq!(reduce::sum(&ints, Some(DType::UInt8)).unwrap().item().unwrap(), Scalar::Int(44));
    assert_eq!(reduce::any(&ints).unwrap().dtype(), DType::UInt8);
    assert_eq!(reduce::max(&ints).unwrap().dtype(), DType::UInt8);
    let message = reduce::mean(&ints, None).unwrap_err().to_string();
    assert!(message.ends_with("Got: Byte"), "{message}");
    let half = Tensor::from_slice(&[0.5f32, 0.25], &[2]).unwrap().to_dtype(DType::Bool, false, false);
    assert_eq!(reduce::sum(&half.unwrap(), None).unwrap().item().unwrap(), Scalar::Int(2));
}

#[test]
fn nan_is_the_greatest() {
    let x = Tensor::from_slice(&[1.0, f64::NAN, 2.0], &[3]).unwrap();
    assert!(reduce::max(&x).unwrap().item().unwrap().to_f64().is_nan());
    assert_eq!(reduce::argmin(&x, None, false).unwrap().item().unwrap(), Scalar::Int(1));
    assert_eq!(sort::argsort(&x, 0, true).unwrap().to_vec::<i64>().unwrap(), [1, 2, 0]);
    assert_eq!(sort::nanmedian(&x).unwrap().item().unwrap(), Scalar::Float(1.0));
    assert_eq!(reduce::nansum(&x, None, false, None).unwrap().item().unwrap(), Scalar::Float(3.0));
}

#[test]
fn unique_returns_what_is_asked_for() {
    let x = Tensor::from_slice(&[3i64, 1, 3, 2], &[2, 2]).unwrap();
    match unique::unique(&x, true, true, true, None).unwrap() {
        Ret::Tuple(t) => {
            assert_eq!(t[0].to_vec::<i64>().unwrap(), [1, 2, 3]);
            assert_eq!(
                (t[1].sizes()[..].to_vec(), t[1].to_vec::<i64>().unwrap()),
                (vec![2, 2], vec![2, 0, 2, 1])
            );
            assert_eq!(t[2].to_vec::<i64>().unwrap(), [1, 1, 2]);
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(unique::unique(&x, true, false, false, Some(0)).unwrap(), Ret::Tensor(_)));
}

#[test]
fn messages() {
    let x = matrix(&numbers(6), 2);
    let text = |r: Result<Tensor>| format!("{:?}", r.unwrap_err());
    assert_eq!(
        text(reduce::sum_dim(&x, Some(&[2]), false, None)),
        "IndexError: Dimension out of range (expected to be in range of [-2, 1], but got 2)"
    );
    assert_eq!(
        text(reduce::sum_dim(&x, Some(&[0, -2]), false, None)),
        "RuntimeError: dim 0 appears multiple times in the list of dims"
    );
    assert_eq!(
        text(sort::topk(&x, 4, 1, true, true).map(|t| t.0)),
        "RuntimeError: selected index k out of range"
    );
    assert_eq!(
        text(quantile::quantile_scalar(&x, 2.0, None, false, "linear")),
        "RuntimeError: quantile() q must be in the range [0, 1] but got 2"
    );
}
