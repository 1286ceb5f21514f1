//! Singular values and eigenvalues of general matrices, by faer.

use super::{LinalgElement, check};
use crate::gemm::GemmElement;
use faer::diag::DiagMut;
use faer::dyn_stack::{MemBuffer, MemStack, StackReq};
use faer::linalg::evd::{self, ComputeEigenvectors};
use faer::linalg::svd::{self as faer_svd, ComputeSvdVectors, SvdParams};
use faer::{Auto, MatMut, MatRef, Par, Spec};
use flambeau_core::{C32, C64, Result, ensure};
use num_complex::Complex;

/// Types with a decomposition. `Complex<f32>` is computed in `Complex<f64>`.
#[doc(hidden)]
pub trait Spectral: LinalgElement {
    type Wide: LinalgElement;
    fn widen(self) -> Self::Wide;
    fn narrow(wide: Self::Wide) -> Self;
    fn narrow_real(wide: <Self::Wide as LinalgElement>::R) -> Self::R;
    /// The decomposition of faer; a method of the trait, so that this crate compiles it once and its users do not.
    /// Whether the iteration converged.
    fn faer_svd(
        a: MatRef<'_, Self::Wide>,
        s: &mut [Self::Wide],
        u: Option<MatMut<'_, Self::Wide>>,
        v: Option<MatMut<'_, Self::Wide>>,
        full: bool,
    ) -> Result<bool>;
}
macro_rules! spectral {
    ($($t:ty, $r:ty => $w:ty, $wr:ty;)*) => { $(impl Spectral for $t {
        type Wide = $w;
        fn widen(self) -> $w {
            <$w>::from_c64(self.to_c64())
        }
        fn narrow(wide: $w) -> Self {
            Self::from_c64(wide.to_c64())
        }
        fn narrow_real(wide: $wr) -> $r {
            wide as $r
        }
        fn faer_svd(
            a: MatRef<'_, $w>,
            s: &mut [$w],
            u: Option<MatMut<'_, $w>>,
            v: Option<MatMut<'_, $w>>,
            full: bool,
        ) -> Result<bool> {
            run_svd(a, s, u, v, full)
        }
    })* };
}
spectral! {
    f32, f32 => f32, f32;
    f64, f64 => f64, f64;
    C32, f32 => C64, f64;
    C64, f64 => C64, f64;
}

/// Size below which faer's divisions of a problem end in QR iterations: measured (its own choice is 128).
const UNDIVIDED_SVD: usize = 32;

fn run_svd<W: LinalgElement>(
    a: MatRef<'_, W>,
    s: &mut [W],
    u: Option<MatMut<'_, W>>,
    v: Option<MatMut<'_, W>>,
    full: bool,
) -> Result<bool> {
    let compute = match (&u, full) {
        (None, _) => ComputeSvdVectors::No,
        (_, false) => ComputeSvdVectors::Thin,
        (_, true) => ComputeSvdVectors::Full,
    };
    let (m, n) = (a.nrows(), a.ncols());
    let mut params = <SvdParams as Auto<W>>::auto();
    params.recursion_threshold = UNDIVIDED_SVD;
    let params: Spec<SvdParams, W> = params.into();
    let mut buffer = scratch(faer_svd::svd_scratch::<W>(m, n, compute, compute, Par::Seq, params))?;
    let (s, stack) = (DiagMut::from_slice_mut(s), MemStack::new(&mut buffer));
    Ok(faer_svd::svd(a, s, u, v, Par::Seq, stack, params).is_ok())
}

fn wish(wanted: bool) -> ComputeEigenvectors {
    if wanted { ComputeEigenvectors::Yes } else { ComputeEigenvectors::No }
}

/// Scratch memory, or an error instead of an abort when there is not enough.
pub(super) fn scratch(requirement: StackReq) -> Result<MemBuffer> {
    MemBuffer::try_new(requirement).map_err(|_| {
        flambeau_core::Error::runtime(format!(
            "DefaultCPUAllocator: not enough memory: you tried to allocate {} bytes.",
            requirement.size_bytes()
        ))
    })
}

/// Singular value decomposition `a = U @ diag(s) @ Vh` of the m x n `a`.
///
/// `s` receives min(m, n) values in descending order; `vectors` the factors `U` (m x k) and `Vh` (k' x n), where k and
/// k' are min(m, n), or m and n when `full`. Returns 0, or a positive info when the iteration did not converge or
/// an element is not finite.
pub fn svd<T: Spectral>(
    m: usize,
    n: usize,
    a: &[T],
    full: bool,
    s: &mut [T::R],
    vectors: Option<(&mut [T], &mut [T])>,
) -> Result<i32> {
    check("svd", a.len(), m, n)?;
    let size = m.min(n);
    ensure!(s.len() == size, "svd: expected {size} singular values");
    let (left, right) = if full { (m, n) } else { (size, size) };
    if let Some((u, vh)) = &vectors {
        check("svd", u.len(), m, left)?;
        check("svd", vh.len(), right, n)?;
    }
    if a.iter().any(|x| !x.finite()) {
        return Ok(size as i32 + 1);
    }
    if size == 0 {
        if let Some((u, vh)) = vectors {
            u.fill(T::ZERO);
            vh.fill(T::ZERO);
            u.iter_mut().step_by(left + 1).for_each(|x| *x = T::ONE);
            vh.iter_mut().step_by(right + 1).for_each(|x| *x = T::ONE);
        }
        return Ok(0);
    }
    let wide: Vec<T::Wide> = a.iter().map(|x| x.widen()).collect();
    let mut values = vec![T::Wide::ZERO; size];
    let wanted = vectors.is_some();
    // Column-major U, and V with contiguous rows of V.T: both are what the outputs need after one pass.
    let mut u = vec![T::Wide::ZERO; if wanted { m * left } else { 0 }];
    let mut v = vec![T::Wide::ZERO; if wanted { n * right } else { 0 }];
    let converged = T::faer_svd(
        MatRef::from_row_major_slice(&wide, m, n),
        &mut values,
        wanted.then(|| MatMut::from_column_major_slice_mut(&mut u, m, left)),
        wanted.then(|| MatMut::from_column_major_slice_mut(&mut v, n, right)),
        full,
    )?;
    if !converged {
        return Ok(size as i32);
    }
    for (s, value) in s.iter_mut().zip(&values) {
        *s = T::narrow_real(value.re());
    }
    if let Some((out_u, out_vh)) = vectors {
        for i in 0..m {
            for j in 0..left {
                out_u[i * left + j] = T::narrow(u[j * m + i]);
            }
        }
        for (out, x) in out_vh.iter_mut().zip(&v) {
            *out = T::narrow(x.conj());
        }
    }
    Ok(0)
}

/// Eigenvalues and, in the columns of `vectors`, right eigenvectors of the n x n `a`; computed in double precision.
///
/// As in LAPACK's `geev`, each vector has norm 1 and a real largest component. Returns 0, or a positive info when an
/// element is not finite.
pub fn eig<T: LinalgElement>(
    n: usize,
    a: &[T],
    values: &mut [Complex<T::R>],
    vectors: Option<&mut [Complex<T::R>]>,
) -> Result<i32>
where
    T::R: num_traits::Float,
{
    check("eig", a.len(), n, n)?;
    ensure!(values.len() == n, "eig: expected {n} eigenvalues");
    if let Some(v) = &vectors {
        check("eig", v.len(), n, n)?;
    }
    if a.iter().any(|x| !x.finite()) {
        return Ok(n as i32 + 1);
    }
    if n == 0 {
        return Ok(0);
    }
    let narrow = |z: C64| {
        let part = |x: f64| num_traits::NumCast::from(x).unwrap_or(T::R::ZERO);
        Complex::new(part(z.re), part(z.im))
    };
    let wanted = vectors.is_some();
    let (eigenvalues, mut u) = if T::COMPLEX {
        eig_complex(n, a.iter().map(|x| x.to_c64()).collect(), wanted)?
    } else {
        eig_real(n, a.iter().map(|x| x.to_c64().re).collect(), wanted)?
    };
    if eigenvalues.is_empty() {
        return Ok(n as i32);
    }
    for (out, &value) in values.iter_mut().zip(&eigenvalues) {
        *out = narrow(value);
    }
    if let Some(out) = vectors {
        for (j, column) in u.chunks_exact_mut(n).enumerate() {
            normalize(column, !T::COMPLEX && eigenvalues[j].im == 0.0);
            for (i, &x) in column.iter().enumerate() {
                out[i * n + j] = narrow(x);
            }
        }
    }
    Ok(0)
}

/// Scales an eigenvector to norm 1, and unless it is `real` turns its largest component to the real axis.
fn normalize(v: &mut [C64], real: bool) {
    let length = super::qr::norm(v);
    if length == 0.0 {
        return;
    }
    let mut factor = C64::new(1.0 / length, 0.0);
    if !real {
        let mut largest = C64::ZERO;
        for &x in v.iter() {
            if x.norm_sqr() > largest.norm_sqr() {
                largest = x;
            }
        }
        factor = factor * largest.conj() / largest.norm();
    }
    v.iter_mut().for_each(|x| *x *= factor);
    if !real && let Some(largest) = v.iter_mut().max_by(|x, y| x.norm_sqr().total_cmp(&y.norm_sqr())) {
        largest.im = 0.0;
    }
}

/// Eigenvalues (none when the iteration failed) and column-major eigenvectors.
type Pairs = (Vec<C64>, Vec<C64>);

fn eig_complex(n: usize, a: Vec<C64>, wanted: bool) -> Result<Pairs> {
    let mut values = vec![C64::ZERO; n];
    let mut u = vec![C64::ZERO; if wanted { n * n } else { 0 }];
    let none = ComputeEigenvectors::No;
    let mut buffer = scratch(evd::evd_scratch::<C64>(n, none, wish(wanted), Par::Seq, Default::default()))?;
    let done = evd::evd_cplx(
        MatRef::from_row_major_slice(&a, n, n),
        DiagMut::from_slice_mut(&mut values),
        None,
        wanted.then(|| MatMut::from_column_major_slice_mut(&mut u, n, n)),
        Par::Seq,
        MemStack::new(&mut buffer),
        Default::default(),
    );
    Ok(if done.is_ok() { (values, u) } else { (Vec::new(), Vec::new()) })
}

fn eig_real(n: usize, a: Vec<f64>, wanted: bool) -> Result<Pairs> {
    let (mut re, mut im) = (vec![0.0; n], vec![0.0; n]);
    let mut u = vec![0.0; if wanted { n * n } else { 0 }];
    let none = ComputeEigenvectors::No;
    let mut buffer = scratch(evd::evd_scratch::<f64>(n, none, wish(wanted), Par::Seq, Default::default()))?;
    let done = evd::evd_real(
        MatRef::from_row_major_slice(&a, n, n),
        DiagMut::from_slice_mut(&mut re),
        DiagMut::from_slice_mut(&mut im),
        None,
        wanted.then(|| MatMut::from_column_major_slice_mut(&mut u, n, n)),
        Par::Seq,
        MemStack::new(&mut buffer),
        Default::default(),
    );
    if done.is_err() {
        return Ok((Vec::new(), Vec::new()));
    }
    let values: Vec<C64> = re.iter().zip(&im).map(|(&re, &im)| C64::new(re, im)).collect();
    let mut vectors = vec![C64::ZERO; u.len()];
    let mut j = 0;
    while wanted && j < n {
        let real = &u[j * n..(j + 1) * n];
        if im[j] == 0.0 || j + 1 == n {
            for i in 0..n {
                vectors[j * n + i] = C64::new(real[i], 0.0);
            }
            j += 1;
        } else {
            // A conjugate pair shares two real columns: real and imaginary part.
            let imaginary = &u[(j + 1) * n..(j + 2) * n];
            for i in 0..n {
                let z = C64::new(real[i], imaginary[i]);
                vectors[j * n + i] = z;
                vectors[(j + 1) * n + i] = z.conj();
            }
            j += 2;
        }
    }
    Ok((values, vectors))
}
