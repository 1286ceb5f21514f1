//! Eigenvalues of general matrices, by faer, and what types have these and other decompositions.

use super::singular::{self, Factors};
use super::{LinalgElement, check, symmetric};
use crate::gemm::GemmElement;
use faer::diag::DiagMut;
use faer::dyn_stack::{MemBuffer, MemStack, StackReq};
use faer::linalg::evd::{self, ComputeEigenvectors};
use faer::{MatMut, MatRef, Par};
use flambeau_core::{C32, C64, Result, ensure};
use num_complex::Complex;

/// Types with a decomposition. `Complex<f32>` is computed in `Complex<f64>`. Whether its iteration converged is what
/// the methods return; they are methods of the trait, so that this crate compiles each once and its users none.
#[doc(hidden)]
pub trait Spectral: LinalgElement {
    type Wide: LinalgElement;
    fn widen(self) -> Self::Wide;
    fn narrow(wide: Self::Wide) -> Self;
    fn narrow_real(wide: <Self::Wide as LinalgElement>::R) -> Self::R;
    /// Eigenvalues and vectors (rows) of the lower triangle of a column-major matrix, which is lost, by way of its
    /// multiple.
    fn eigh_of(
        n: usize,
        a: &mut [Self::Wide],
        scale: <Self::Wide as LinalgElement>::R,
        values: &mut [<Self::Wide as LinalgElement>::R],
        vectors: Option<&mut [Self::Wide]>,
    ) -> Result<bool>;
    /// Singular values and vectors of a column-major matrix, which is lost, with at least as many rows as columns.
    fn svd_of(
        m: usize,
        n: usize,
        a: &mut [Self::Wide],
        values: &mut [<Self::Wide as LinalgElement>::R],
        factors: Option<Factors<'_, Self::Wide>>,
    ) -> Result<bool>;
}
macro_rules! spectral {
    ($($t:ty, $r:ty => $w:ty, $wr:ty;)*) => { $(impl Spectral for $t {
        type Wide = $w;
        #[inline(always)]
        fn widen(self) -> $w {
            <$w>::from_c64(self.to_c64())
        }
        #[inline(always)]
        fn narrow(wide: $w) -> Self {
            Self::from_c64(wide.to_c64())
        }
        #[inline(always)]
        fn narrow_real(wide: $wr) -> $r {
            wide as $r
        }
        fn eigh_of(n: usize, a: &mut [$w], scale: $wr, values: &mut [$wr], vectors: Option<&mut [$w]>) -> Result<bool> {
            symmetric::decompose(n, a, scale, values, vectors)
        }
        fn svd_of(m: usize, n: usize, a: &mut [$w], values: &mut [$wr], factors: Option<Factors<'_, $w>>) -> Result<bool> {
            singular::decompose(m, n, a, values, factors)
        }
    })* };
}
spectral! {
    f32, f32 => f32, f32;
    f64, f64 => f64, f64;
    C32, f32 => C32, f32;
    C64, f64 => C64, f64;
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
