//! Convolutions with few channels in a group: sums along the rows of one output plane.
//!
//! The tile kernel takes rows of weights together, of which depthwise convolutions have one for each group. Sums have its
//! order and rounding: one product after the other, then what is added.

use crate::gemm::GemmElement;
use crate::wide::{Body, Level, level, wide};

/// Most output planes of a group, and products of each sum, for which this is faster than tiles.
const ROWS: usize = 2;
const DEPTH: usize = 128;
/// Output positions that are summed up together.
const WIDTH: usize = 16;

/// Whether output planes are computed one by one.
pub(super) fn pays(planes: usize, depth: usize) -> bool {
    planes <= ROWS && depth <= DEPTH
}

/// Pieces of the rows of an output plane of `size`: where each begins in an image plane of `len`, and in the output.
pub(super) fn pieces(size: [usize; 3], len: [usize; 3]) -> Vec<[usize; 2]> {
    let mut all = Vec::new();
    for row in 0..size[0] * size[1] {
        let start = (row / size[1] * len[1] + row % size[1]) * len[2];
        // The last piece of a row overlaps the one before.
        let places = (0..size[2]).step_by(WIDTH).map(|x| x.min(size[2].saturating_sub(WIDTH)));
        all.extend(places.map(|x| [start + x, row * size[2] + x]));
    }
    all
}

/// An output plane: each element is the sum of the products of `weights` and what lies `places` after its position in `image`,
/// which is readable for [`WIDTH`] elements more.
pub(super) struct Plane<'a, T> {
    pub image: &'a [T],
    pub places: &'a [usize],
    pub weights: &'a [T],
    pub base: Option<T>,
    pub pieces: &'a [[usize; 2]],
    /// Elements of a row of the output.
    pub width: usize,
    pub out: &'a mut [T],
}

impl<T: GemmElement> Plane<'_, T> {
    pub(super) fn compute(self) {
        match level() >= Level::Avx2 || cfg!(target_arch = "aarch64") {
            true => wide(Sums::<T, true>(self)),
            false => wide(Sums::<T, false>(self)),
        }
    }

    /// `N` pieces at once: one sum has to wait for itself. Apart from the stores, so that the sums stay in registers.
    #[inline(always)]
    fn sums<const N: usize, const FMA: bool>(&self, pieces: [[usize; 2]; N]) -> [[T; WIDTH]; N] {
        let mut sums = [[T::ZERO; WIDTH]; N];
        for (&place, &weight) in self.places.iter().zip(self.weights) {
            for n in 0..N {
                let seen = &self.image[pieces[n][0] + place..][..WIDTH];
                for l in 0..WIDTH {
                    sums[n][l] = weight.mul_add::<FMA>(seen[l], sums[n][l]);
                }
            }
        }
        sums
    }

    #[inline(always)]
    fn whole<const N: usize, const FMA: bool>(&self, pieces: [[usize; 2]; N]) -> [[T; WIDTH]; N] {
        let mut sums = self.sums::<N, FMA>(pieces);
        if let Some(base) = self.base {
            for n in 0..N {
                for l in 0..WIDTH {
                    sums[n][l] = sums[n][l].add(base);
                }
            }
        }
        sums
    }
}

/// `FMA`: products are added without being rounded.
struct Sums<'a, T, const FMA: bool>(Plane<'a, T>);

impl<T: GemmElement, const FMA: bool> Body for Sums<'_, T, FMA> {
    type Output = ();
    #[inline(always)]
    fn run(mut self) {
        let Sums(plane) = &mut self;
        if plane.width < WIDTH {
            return self.narrow();
        }
        let (fours, rest) = plane.pieces.as_chunks::<4>();
        for &four in fours {
            let sums = plane.whole::<4, FMA>(four);
            for n in 0..4 {
                plane.out[four[n][1]..][..WIDTH].copy_from_slice(&sums[n]);
            }
        }
        for &one in rest {
            let [sums] = plane.whole::<1, FMA>([one]);
            plane.out[one[1]..][..WIDTH].copy_from_slice(&sums);
        }
    }
}

impl<T: GemmElement, const FMA: bool> Sums<'_, T, FMA> {
    /// Rows shorter than a piece.
    #[inline(always)]
    fn narrow(self) {
        let Sums(plane) = self;
        let mut spare = [T::ZERO; WIDTH];
        for (&piece, out) in plane.pieces.iter().zip(plane.out.chunks_exact_mut(plane.width)) {
            let seen = plane.image;
            spare.fill(T::ZERO);
            for (&place, &weight) in plane.places.iter().zip(plane.weights) {
                for (sum, &x) in spare.iter_mut().zip(&seen[piece[0] + place..][..WIDTH]) {
                    *sum = weight.mul_add::<FMA>(x, *sum);
                }
            }
            for (out, &sum) in out.iter_mut().zip(&spare) {
                *out = plane.base.map_or(sum, |base| sum.add(base));
            }
        }
    }
}
