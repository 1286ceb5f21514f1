//! Sparse tensors against their dense forms, their gradients, and what is refused.

use flambeau::nn::{Embedding, EmbeddingOptions, Forward, Module};
use flambeau::ops::sparse::sparse_coo_tensor;
use flambeau::optim::{
    Adagrad, AdagradOptions, Adam, AdamOptions, SGD, SGDOptions, SparseAdam, SparseAdamOptions,
};
use flambeau::{Result, Tensor, tensor};

fn sample() -> Result<Tensor> {
    let indices = tensor([0i64, 1, 1, 0, 2, 0, 2, 2])?.view(&[2, 4])?;
    sparse_coo_tensor(&indices, &tensor([3f64, 4., 5., -1.])?, Some(&[2, 3]), false)
}

fn same(a: &Tensor, b: &Tensor) -> Result<bool> {
    Ok((&a.to_dense(None)? - b).abs()?.max()?.to_f64()? < 1e-12)
}

#[test]
fn what_is_computed_is_what_dense_tensors_give() -> Result<()> {
    let s = sample()?;
    let d = s.to_dense(None)?;
    assert_eq!(d.to_vec::<f64>()?, [0., 0., 2., 4., 0., 5.]);
    assert!(s.is_sparse() && !d.is_sparse() && s.nnz()? == 4 && s.coalesce()?.nnz()? == 3);
    assert!(same(&(&s + &s), &(&d * 2.0))?);
    assert!(same(&(&s * &d), &(&d * &d))?);
    assert!(same(&(&d + &s), &(&d * 2.0))?);
    assert!(same(&s.t()?, &d.t()?)?);
    assert!(same(&s.matmul(&d.t()?)?, &d.matmul(&d.t()?)?)?);
    assert!(same(&s.matmul(&s.t()?)?, &d.matmul(&d.t()?)?)?);
    assert!(same(&s.sum_dim(Some(&[0]), false)?, &d.sum_dim(Some(&[0]), false)?)?);
    assert_eq!(s.sum()?.to_f64()?, 11.0);
    assert_eq!(
        s.coalesce()?.to_string(),
        "tensor(indices=tensor([[0, 1, 1],\n                       [2, 0, 2]]),\n       values=tensor([2., 4., 5.]),\n       \
         size=(2, 3), nnz=3, dtype=torch.float64, layout=torch.sparse_coo)"
    );
    Ok(())
}

#[test]
fn gradients_reach_values_and_dense_operands() -> Result<()> {
    let indices = tensor([0i64, 1, 0, 0, 1, 0])?.view(&[2, 3])?; // the first and the last are at one place
    let values = tensor([2f64, 3., 5.])?.requires_grad_(true)?;
    let dense = tensor([1f64, 2., 3., 4.])?.view(&[2, 2])?.detach()?.requires_grad_(true)?;
    let s = sparse_coo_tensor(&indices, &values, Some(&[2, 2]), false)?;
    s.matmul(&dense)?.sum()?.backward()?;
    assert_eq!(values.grad().unwrap().to_vec::<f64>()?, [3., 7., 3.]);
    assert_eq!(dense.grad().unwrap().to_vec::<f64>()?, [7., 7., 3., 3.]);
    Ok(())
}

#[test]
fn others_compute_nothing() -> Result<()> {
    let s = sample()?;
    for result in [s.exp(), s.gt_scalar(0), s.div(&s), s.i(0..1)] {
        assert!(result.unwrap_err().message().contains("SparseCPU") || s.is_sparse());
    }
    assert!(s.to_vec::<f64>().is_err() && s.item().is_err());
    let indices = tensor([0i64, 9])?.view(&[1, 2])?;
    let error = sparse_coo_tensor(&indices, &tensor([1f32, 2.])?, Some(&[3]), false).unwrap_err();
    assert_eq!(error.message(), "size is inconsistent with indices: for dim 0, size is 3 but found index 9");
    Ok(())
}

/// The same gradients, dense: rows without one do not change at all.
#[test]
fn tables_learn_from_sparse_gradients() -> Result<()> {
    let start = || -> Result<Embedding> {
        let weights = flambeau::arange(0, 8, 1, flambeau::DType::Float64)?.view(&[4, 2])?;
        let mut table = Embedding::from_pretrained(&(&weights / 4.0), false)?;
        table.options = EmbeddingOptions { sparse: true, ..Default::default() };
        Ok(table)
    };
    let words = tensor([1i64, 3, 1])?;
    let lose = |table: &Embedding| table.forward(&words)?.pow_scalar(2)?.sum();
    let (a, b) = (start()?, start()?);
    let mut sparse = SGD::new(a.parameters(), SGDOptions { lr: 0.1, ..Default::default() })?;
    let mut dense = SGD::new(b.parameters(), SGDOptions { lr: 0.1, ..Default::default() })?;
    let mut root = Adagrad::new(start()?.parameters(), AdagradOptions::default())?;
    for _ in 0..3 {
        for (table, optimizer) in [(&a, &mut sparse), (&b, &mut dense)] {
            optimizer.zero_grad();
            lose(table)?.backward()?;
            let grad = table.weight.grad().unwrap();
            assert!(grad.is_sparse());
            if std::ptr::eq(table, &b) {
                table.weight.set_grad(Some(grad.to_dense(None)?));
            }
            optimizer.step()?;
        }
    }
    // Equal up to the order in which the rows of one word are added.
    assert!(same(&a.weight.detach()?, &b.weight.detach()?)?);
    assert!(same(&a.weight.detach()?.i(0)?, &tensor([0f64, 0.25])?)?);
    root.step()?;
    let c = start()?;
    lose(&c)?.backward()?;
    let mut adam = Adam::new(c.parameters(), AdamOptions::default())?;
    assert_eq!(adam.step().unwrap_err().message(), "Adam does not support sparse gradients");
    let mut own = SparseAdam::new(c.parameters(), SparseAdamOptions { lr: 0.1, ..Default::default() })?;
    own.step()?;
    // The first step of Adam is the learning rate in the direction of the gradient.
    let moved = &c.weight.detach()? - &start()?.weight.detach()?;
    let rounded: Vec<f64> = moved.to_vec::<f64>()?.iter().map(|x| (x * 1e6).round() / 1e6).collect();
    assert_eq!(rounded, [0., 0., -0.1, -0.1, 0., 0., -0.1, -0.1]);
    Ok(())
}
