//! Sorting of keys packed with positions: comparison sort for short rows, least-significant-digit radix for long.

/// A key in the high half and a position in the low half of one integer.
pub(super) trait Item: Copy + Ord + Default {
    fn pack(key: u64, position: usize) -> Self;
    fn position(self) -> usize;
    /// The digit of the key that starts at bit `shift`.
    fn digit(self, shift: u32, mask: usize) -> usize;
}

impl Item for u64 {
    #[inline(always)]
    fn pack(key: u64, position: usize) -> Self {
        key << 32 | position as u64
    }
    #[inline(always)]
    fn position(self) -> usize {
        self as u32 as usize
    }
    #[inline(always)]
    fn digit(self, shift: u32, mask: usize) -> usize {
        (self >> (32 + shift)) as usize & mask
    }
}

impl Item for u128 {
    #[inline(always)]
    fn pack(key: u64, position: usize) -> Self {
        (key as u128) << 64 | position as u128
    }
    #[inline(always)]
    fn position(self) -> usize {
        self as usize
    }
    #[inline(always)]
    fn digit(self, shift: u32, mask: usize) -> usize {
        ((self >> 64) as u64 >> shift) as usize & mask
    }
}

/// Below this length a comparison sort wins.
const RADIX_FROM: usize = 1500;
const DIGIT: u32 = 11;

/// Sorts items that were packed in the order of their positions.
pub(super) fn sort_items<I: Item>(items: &mut Vec<I>, bits: u32) {
    let n = items.len();
    let short = if bits <= 8 { 48 } else { RADIX_FROM };
    if n < short || n > u32::MAX as usize {
        items.sort_unstable();
        return;
    }
    let width = bits.min(if bits <= 8 { 8 } else { DIGIT });
    let passes = bits.div_ceil(width) as usize;
    let (buckets, mask) = (1usize << width, (1usize << width) - 1);
    let mut counts = vec![0u32; buckets * passes];
    for &item in items.iter() {
        for pass in 0..passes {
            counts[pass * buckets + item.digit(pass as u32 * width, mask)] += 1;
        }
    }
    let mut other = vec![I::default(); n];
    for pass in 0..passes {
        let counts = &mut counts[pass * buckets..(pass + 1) * buckets];
        if counts.iter().any(|&count| count as usize == n) {
            continue;
        }
        let mut start = 0;
        for count in counts.iter_mut() {
            let here = *count;
            *count = start;
            start += here;
        }
        for &item in items.iter() {
            let at = &mut counts[item.digit(pass as u32 * width, mask)];
            other[*at as usize] = item;
            *at += 1;
        }
        std::mem::swap(items, &mut other);
    }
}
