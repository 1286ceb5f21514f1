//! Convolutions with few channels in a group: sums along the rows of one output plane, and over it.
//!
//! The tile kernel takes rows of weights together, of which depthwise convolutions have one for each group. Sums have its
//! order and rounding: one product after the other, then what is added.

use crate::gemm::GemmElement;
use crate::wide::{Body, Level, level, wide};

/// Most output planes of a group, and products of each sum, for which this is faster than tiles.
const ROWS: usize = 2;
const DEPTH: usize = 128;
/// Output positions that are summed up together.
pub(super) const WIDTH: usize = 16;

/// Most pieces of a plane of short rows that are kept until all are there.
const MANY: usize = 32;

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
    /// Rows shorter than a piece: what lies between them is computed too where that is less work.
    #[inline(always)]
    fn narrow(self) {
        let Sums(plane) = self;
        let reach = plane.pieces.last().map_or(0, |last| last[0] + plane.width);
        let count = reach.div_ceil(WIDTH);
        let mut all = [[T::ZERO; WIDTH]; MANY];
        if count > MANY || count > plane.pieces.len() {
            return Sums::<T, FMA>(plane).row_by_row();
        }
        let at = |i: usize| [i * WIDTH, 0];
        let mut i = 0;
        while i + 4 <= count {
            let sums = plane.whole::<4, FMA>([at(i), at(i + 1), at(i + 2), at(i + 3)]);
            all[i..i + 4].copy_from_slice(&sums);
            i += 4;
        }
        while i < count {
            [all[i]] = plane.whole::<1, FMA>([at(i)]);
            i += 1;
        }
        let all = all.as_flattened();
        for (&[start, _], out) in plane.pieces.iter().zip(plane.out.chunks_exact_mut(plane.width)) {
            // Not a call of the system for so few.
            for (out, &sum) in out.iter_mut().zip(&all[start..][..plane.width]) {
                *out = sum;
            }
        }
    }

    #[inline(always)]
    fn row_by_row(self) {
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

/// The sum of the lanes, halves at a time.
pub(super) fn total<T: GemmElement>(lanes: &[T; WIDTH]) -> T {
    let mut lanes = *lanes;
    let mut half = WIDTH / 2;
    while half > 0 {
        for l in 0..half {
            lanes[l] = lanes[l].add(lanes[l + half]);
        }
        half /= 2;
    }
    lanes[0]
}

/// Sums of the products of `slopes` and what lies at each of `places` in `image`, in lanes.
pub(super) struct Products<'a, T> {
    pub image: &'a [T],
    pub places: &'a [usize],
    pub slopes: &'a [T],
    /// The lanes of each place, which are added to.
    pub sums: &'a mut [[T; WIDTH]],
}

impl<T: GemmElement> Products<'_, T> {
    pub(super) fn add(self) {
        match level() >= Level::Avx2 || cfg!(target_arch = "aarch64") {
            true => wide(Added::<T, true>(self)),
            false => wide(Added::<T, false>(self)),
        }
    }
}

struct Added<'a, T, const FMA: bool>(Products<'a, T>);

impl<T: GemmElement, const FMA: bool> Body for Added<'_, T, FMA> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let Added(Products { image, places, slopes, sums }) = self;
        let (lines, rest) = slopes.as_chunks::<WIDTH>();
        let mut tail = [T::ZERO; WIDTH];
        tail[..rest.len()].copy_from_slice(rest);
        for (&place, sums) in places.iter().zip(sums) {
            let seen = &image[place..][..slopes.len()];
            let (others, rest) = seen.as_chunks::<WIDTH>();
            let mut lanes = [T::ZERO; WIDTH];
            for (line, seen) in lines.iter().zip(others) {
                for l in 0..WIDTH {
                    lanes[l] = line[l].mul_add::<FMA>(seen[l], lanes[l]);
                }
            }
            if !rest.is_empty() {
                let mut last = [T::ZERO; WIDTH];
                last[..rest.len()].copy_from_slice(rest);
                for l in 0..WIDTH {
                    lanes[l] = tail[l].mul_add::<FMA>(last[l], lanes[l]);
                }
            }
            for l in 0..WIDTH {
                sums[l] = sums[l].add(lanes[l]);
            }
        }
    }
}
