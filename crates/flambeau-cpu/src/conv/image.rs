//! Padded copies of images, split by the phases of a stride.

use crate::gemm::{GemmElement, turn};
use crate::wide::{Body, wide};
use flambeau_core::{Result, Room};

/// Elements of the images that one part of the weights goes over.
const IMAGES: usize = 1 << 17;
/// Elements that may be read beyond an image: the lines of the widest tile.
pub(super) const SLACK: usize = 64;

pub(super) fn volume(sizes: [usize; 3]) -> usize {
    sizes.iter().product()
}

/// Channels of images, copied phase by phase with zeros around them.
pub(super) struct Image<T> {
    /// How many images fit.
    pub count: usize,
    channels: usize,
    /// Sizes of the source, and of each phase.
    size: [usize; 3],
    len: [usize; 3],
    step: [usize; 3],
    /// Where in the source the first element of each phase is.
    origins: Vec<[isize; 3]>,
    pub data: Room<T>,
}

impl<T: GemmElement> Image<T> {
    /// Room for as many of `images` images as go together, one at least.
    pub(super) fn new(
        images: usize,
        channels: usize,
        size: [usize; 3],
        len: [usize; 3],
        step: [usize; 3],
        origins: Vec<[isize; 3]>,
    ) -> Result<Image<T>> {
        let each = channels * origins.len() * volume(len);
        let count = (IMAGES / each.max(1)).min(images).max(1);
        let data = Room::new(count * each + SLACK)?;
        Ok(Image { count, channels, size, len, step, origins, data })
    }

    /// Room for as many images, on another thread.
    pub(super) fn another(&self) -> Result<Image<T>> {
        Ok(Image { origins: self.origins.clone(), data: Room::new(self.data.len())?, ..*self })
    }

    /// The places of a phase along dimension `d` that the source has.
    pub(super) fn valid(&self, origin: isize, d: usize) -> std::ops::Range<usize> {
        let (step, size) = (self.step[d] as isize, self.size[d] as isize);
        let low = (-origin).max(0).div_euclid(step) + ((-origin).max(0) % step != 0) as isize;
        let rest = (size - origin).max(0);
        let high = rest.div_euclid(step) + (rest % step != 0) as isize;
        let len = self.len[d] as isize;
        (low.min(len) as usize)..(high.min(len).max(low.min(len)) as usize)
    }

    /// Calls `row(channel, phase, first place, source position of it, count)` for every row of the source's elements. ([`Fill`] has
    /// the loops once more: they are compiled for each level there, but not what is called.)
    pub(super) fn rows(&self, mut row: impl FnMut(usize, usize, usize, usize, usize)) {
        for (phase, origin) in self.origins.iter().enumerate() {
            let [depths, heights, widths] = [0, 1, 2].map(|d| self.valid(origin[d], d));
            if widths.is_empty() {
                continue;
            }
            let source = |d: usize, at: usize| (origin[d] + (at * self.step[d]) as isize) as usize;
            for c in 0..self.channels {
                for z in depths.clone() {
                    for y in heights.clone() {
                        let to = (z * self.len[1] + y) * self.len[2] + widths.start;
                        let from = (source(0, z) * self.size[1] + source(1, y)) * self.size[2];
                        let from = c * volume(self.size) + from + source(2, widths.start);
                        row(c, phase, to, from, widths.len());
                    }
                }
            }
        }
    }

    /// Elements of one image.
    pub(super) fn each(&self) -> usize {
        self.channels * self.origins.len() * volume(self.len)
    }

    /// Copies the channels of an image, one plane for each channel and phase. Zeros stay where they are.
    pub(super) fn fill(&mut self, image: usize, source: &[T]) {
        let start = image * self.each();
        let mut data = std::mem::take(&mut self.data);
        wide(Fill { image: self, source, data: &mut data[start..] });
        self.data = data;
    }

    /// Copies the channels of the only image, those of one position next to each other.
    pub(super) fn fill_channels_last(&mut self, source: &[T]) -> Result<()> {
        let (plane, step, channels, image) =
            (volume(self.len), self.step[2], self.channels, volume(self.size));
        let mut data = std::mem::take(&mut self.data);
        let mut done = Ok(());
        let one =
            Image { channels: 1, origins: std::mem::take(&mut self.origins), data: Room::default(), ..*self };
        one.rows(|_, phase, to, from, count| {
            let to = &mut data[(phase * plane + to) * channels..];
            let turned = turn(channels, count, &source[from..], image, step, to, channels);
            if turned.is_err() {
                done = turned;
            }
        });
        (self.data, self.origins) = (data, one.origins);
        done
    }
}

/// Copies the channels of an image into its planes.
struct Fill<'a, T> {
    image: &'a Image<T>,
    source: &'a [T],
    data: &'a mut [T],
}
impl<T: GemmElement> Body for Fill<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let Fill { image, source, data } = self;
        let (plane, phases, [.., step]) = (volume(image.len), image.origins.len(), image.step);
        let [_, height, width] = image.size;
        for (phase, origin) in image.origins.iter().enumerate() {
            let (depths, heights) = (image.valid(origin[0], 0), image.valid(origin[1], 1));
            let widths = image.valid(origin[2], 2);
            if widths.is_empty() {
                continue;
            }
            let first = (origin[2] + (widths.start * step) as isize) as usize;
            for c in 0..image.channels {
                for z in depths.clone() {
                    let from_z = (origin[0] + (z * image.step[0]) as isize) as usize;
                    for y in heights.clone() {
                        let from_y = (origin[1] + (y * image.step[1]) as isize) as usize;
                        let from = c * volume(image.size) + (from_z * height + from_y) * width + first;
                        let to = (z * image.len[1] + y) * image.len[2] + widths.start;
                        let to = &mut data[(c * phases + phase) * plane + to..][..widths.len()];
                        match step {
                            1 => every::<T, 1>(&source[from..], to),
                            2 => every::<T, 2>(&source[from..], to),
                            _ => {
                                for (to, from) in to.iter_mut().zip(source[from..].iter().step_by(step)) {
                                    *to = *from;
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Writes every `STEP`-th element.
#[inline(always)]
fn every<T: Copy, const STEP: usize>(from: &[T], to: &mut [T]) {
    // Pieces that may overlap; the last element need not have a neighbour.
    let whole = from.len() >= to.len() * STEP;
    if to.len() >= 16 && whole {
        pieces::<T, STEP, 16>(from, to);
    } else if to.len() >= 8 && whole {
        pieces::<T, STEP, 8>(from, to);
    } else if to.len() >= 4 && whole {
        pieces::<T, STEP, 4>(from, to);
    } else {
        for i in 0..to.len() {
            to[i] = from[i * STEP];
        }
    }
}

/// [`every`] in pieces of `N`, the last two of which may overlap.
#[inline(always)]
fn pieces<T: Copy, const STEP: usize, const N: usize>(from: &[T], to: &mut [T]) {
    let n = to.len();
    let mut i = 0;
    while i < n {
        let at = i.min(n - N);
        let groups = from[at * STEP..(at + N) * STEP].as_chunks::<STEP>().0;
        let to = &mut to[at..at + N];
        for l in 0..N {
            to[l] = groups[l][0];
        }
        i += N;
    }
}
