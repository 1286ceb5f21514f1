//! Linear algebra, `torch.linalg`.
//!
//! ```
//! use flambeau::{linalg, tensor};
//! let a = tensor([[2f32, 1.], [1., 3.]])?;
//! let x = linalg::solve(&a, &tensor([3f32, 5.])?, true)?;
//! assert_eq!(x.to_string(), "tensor([0.8000, 1.4000])");
//! # Ok::<(), flambeau::Error>(())
//! ```

pub use crate::ops::linalg::{
    linalg_cholesky as cholesky, linalg_det as det, linalg_eig as eig, linalg_eigh as eigh,
    linalg_eigvals as eigvals, linalg_eigvalsh as eigvalsh, linalg_inv as inv, linalg_norm as norm,
    linalg_pinv as pinv, linalg_qr as qr, linalg_slogdet as slogdet, linalg_solve as solve,
    linalg_solve_triangular as solve_triangular, linalg_svd as svd, linalg_svdvals as svdvals,
};
