//! Padded copies of images, split by the phases of a stride.

use crate::gemm::{GemmElement, turn};
use flambeau_core::{Result, buffer};

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
    pub data: Vec<T>,
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
        let data = buffer(count * each + SLACK)?;
        Ok(Image { count, channels, size, len, step, origins, data })
    }

    /// Room for as many images, on another thread.
    pub(super) fn another(&self) -> Result<Image<T>> {
        Ok(Image { origins: self.origins.clone(), data: buffer(self.data.len())?, ..*self })
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

    /// Calls `row(channel, phase, first place, source position of it, count)` for every row of the source's elements.
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
        let (plane, phases, step) = (volume(self.len), self.origins.len(), self.step[2]);
        let start = image * self.each();
        let mut data = std::mem::take(&mut self.data);
        let mut spare = T::ZERO;
        self.rows(|c, phase, to, from, count| {
            let to = &mut data[start + (c * phases + phase) * plane + to..][..count];
            let source = &source[from..];
            match step {
                1 => to.copy_from_slice(&source[..count]),
                2 => {
                    // A loop for vectors: the last element may have no neighbour.
                    let (last, to) = to.split_last_mut().unwrap_or((&mut spare, &mut []));
                    to.iter_mut().zip(source.as_chunks::<2>().0).for_each(|(to, from)| *to = from[0]);
                    *last = source[2 * (count - 1)];
                }
                _ => to.iter_mut().zip(source.iter().step_by(step)).for_each(|(to, from)| *to = *from),
            }
        });
        self.data = data;
    }

    /// Copies the channels of the only image, those of one position next to each other.
    pub(super) fn fill_channels_last(&mut self, source: &[T]) -> Result<()> {
        let (plane, step, channels, image) =
            (volume(self.len), self.step[2], self.channels, volume(self.size));
        let mut data = std::mem::take(&mut self.data);
        let mut done = Ok(());
        let one =
            Image { channels: 1, origins: std::mem::take(&mut self.origins), data: Vec::<T>::new(), ..*self };
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
