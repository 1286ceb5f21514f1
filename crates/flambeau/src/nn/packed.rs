//! Sequences of different lengths in one batch: packed, padded, and between the two, `torch.nn.utils.rnn`.

use super::utils::pad_sequence;
use crate::ops::{index, join, pad, shape};
use crate::{Result, Tensor, tensor};
use flambeau_core::{bail, show};

/// Sequences sorted by decreasing length and laid out step by step: the first steps of all of them, then the second steps
/// of those that are long enough, and so on. The recurrent layers take them in `forward_packed`.
///
/// ```
/// use flambeau::nn::utils::{pack_sequence, unpack_sequence};
/// let packed = pack_sequence(&[flambeau::tensor([1i64, 2])?, flambeau::tensor([3i64, 4, 5])?], false)?;
/// assert_eq!(packed.data().to_string(), "tensor([3, 1, 4, 2, 5])");
/// assert_eq!(packed.batch_sizes(), [2, 2, 1]);
/// assert_eq!(unpack_sequence(&packed)?[0].to_string(), "tensor([1, 2])");
/// # Ok::<(), flambeau::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct PackedSequence {
    data: Tensor,
    batch_sizes: Vec<i64>,
    /// Where each sequence of the sorted batch was, if it was not sorted.
    sorted: Option<Vec<i64>>,
}

/// Steps with the same number of sequences: their first row, how many steps, how many sequences.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    pub(super) row: i64,
    pub(super) steps: i64,
    pub(super) alive: i64,
}

impl PackedSequence {
    /// The elements, `(total, ...)`.
    pub fn data(&self) -> &Tensor {
        &self.data
    }
    /// How many sequences there are at each step.
    pub fn batch_sizes(&self) -> &[i64] {
        &self.batch_sizes
    }
    /// How the batch was sorted: the place of each of its sequences before. None if it was sorted.
    pub fn sorted_indices(&self) -> Option<&[i64]> {
        self.sorted.as_deref()
    }
    /// The places that bring a sorted batch back into its order.
    pub fn unsorted_indices(&self) -> Option<Vec<i64>> {
        let sorted = self.sorted.as_ref()?;
        let mut out = vec![0; sorted.len()];
        sorted.iter().enumerate().for_each(|(place, &before)| out[before as usize] = place as i64);
        Some(out)
    }
    /// The same sequences with other elements, which a function of all steps made: an embedding's, say.
    pub fn map(&self, function: impl FnOnce(&Tensor) -> Result<Tensor>) -> Result<PackedSequence> {
        let data = function(&self.data)?;
        if data.sizes().first() != self.data.sizes().first() {
            bail!(
                Value,
                "expected {} steps of packed sequences, got a tensor of size {}",
                self.data.size(0)?,
                show(&data.sizes())
            );
        }
        Ok(PackedSequence { data, batch_sizes: self.batch_sizes.clone(), sorted: self.sorted.clone() })
    }

    pub(super) fn batch(&self) -> i64 {
        self.batch_sizes.first().copied().unwrap_or(0)
    }
    pub(super) fn stretches(&self) -> Vec<Stretch> {
        let mut out: Vec<Stretch> = Vec::new();
        let mut row = 0;
        for &alive in &self.batch_sizes {
            match out.last_mut() {
                Some(last) if last.alive == alive => last.steps += 1,
                _ => out.push(Stretch { row, steps: 1, alive }),
            }
            row += alive;
        }
        out
    }
    /// A state `(layers, batch, width)` with its batch in the order of the sequences here.
    pub(super) fn sort_state(&self, state: &Tensor) -> Result<Tensor> {
        reorder(state, 1, self.sorted_indices())
    }
    /// The other way.
    pub(super) fn unsort_state(&self, state: &Tensor) -> Result<Tensor> {
        reorder(state, 1, self.unsorted_indices().as_deref())
    }
}

fn reorder(x: &Tensor, dim: i64, places: Option<&[i64]>) -> Result<Tensor> {
    match places {
        Some(places) => index::index_select(x, dim, &tensor(places)?),
        None => Ok(x.clone()),
    }
}

/// Packs padded sequences `(longest, batch, ...)`, or `(batch, longest, ...)` with `batch_first`, of the given lengths.
/// They must be sorted by decreasing length unless `enforce_sorted` is false, which sorts them.
pub fn pack_padded_sequence(
    input: &Tensor,
    lengths: &[i64],
    batch_first: bool,
    enforce_sorted: bool,
) -> Result<PackedSequence> {
    if input.numel() == 0 {
        bail!("Cannot pack empty tensors.");
    }
    if input.dim() < 2 {
        bail!("expected padded sequences of at least 2 dimensions, got {}", input.dim());
    }
    let mut steps = if batch_first { shape::transpose(input, 0, 1)? } else { input.clone() };
    let batch = steps.size(1)?;
    if lengths.len() as i64 != batch {
        bail!(
            "Expected `len(lengths)` to be equal to batch_size, but got {} (batch_size={batch})",
            lengths.len()
        );
    }
    if lengths.iter().any(|&length| length <= 0) {
        bail!(
            "Length of all samples has to be greater than 0, but found an element in 'lengths' that is <= 0"
        );
    }
    let mut lengths = lengths.to_vec();
    let mut sorted = None;
    if !enforce_sorted {
        let mut order: Vec<i64> = (0..batch).collect();
        order.sort_by_key(|&place| std::cmp::Reverse(lengths[place as usize]));
        lengths = order.iter().map(|&place| lengths[place as usize]).collect();
        steps = reorder(&steps, 1, Some(&order))?;
        sorted = Some(order);
    }
    if lengths.windows(2).any(|pair| pair[0] < pair[1]) {
        bail!(
            "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. You can pass `enforce_sorted=False` to pack_padded_sequence and/or pack_sequence to sidestep this requirement if you do not need ONNX exportability."
        );
    }
    // Between the ends of two sequences the number of those that go on is constant: one piece for each such stretch.
    let (mut pieces, mut batch_sizes, mut start) = (Vec::new(), Vec::new(), 0);
    for (place, &end) in lengths.iter().enumerate().rev() {
        let alive = place as i64 + 1;
        if end > start {
            let piece = shape::narrow(&shape::narrow(&steps, 0, start, end - start)?, 1, 0, alive)?;
            let mut sizes = piece.sizes().to_vec();
            sizes.splice(..2, [(end - start) * alive]);
            pieces.push(piece.reshape(&sizes)?);
            batch_sizes.extend((start..end).map(|_| alive));
            start = end;
        }
    }
    Ok(PackedSequence { data: join::cat(&pieces, 0)?, batch_sizes, sorted })
}

/// The sequences `(longest, batch, ...)`, or `(batch, longest, ...)` with `batch_first`, filled up with a value, and their
/// lengths. `total_length` is how long they are made at least.
pub fn pad_packed_sequence(
    sequence: &PackedSequence,
    batch_first: bool,
    padding_value: f64,
    total_length: Option<i64>,
) -> Result<(Tensor, Vec<i64>)> {
    let longest = sequence.batch_sizes.len() as i64;
    let total = total_length.unwrap_or(longest);
    if total < longest {
        bail!(
            Value,
            "Expected total_length to be at least the length of the longest sequence in input, but got total_length={total} and max sequence length being {longest}"
        );
    }
    let batch = sequence.batch();
    let fill = |x: &Tensor, dim: usize, n: i64| {
        let mut amounts = vec![0; 2 * x.dim()];
        amounts[2 * (x.dim() - 1 - dim) + 1] = n;
        pad::pad(x, &amounts, "constant", Some(padding_value))
    };
    let mut pieces = Vec::new();
    for Stretch { row, steps, alive } in sequence.stretches() {
        let rows = shape::narrow(&sequence.data, 0, row, steps * alive)?;
        let mut sizes = rows.sizes().to_vec();
        sizes.splice(..1, [steps, alive]);
        pieces.push(fill(&rows.reshape(&sizes)?, 1, batch - alive)?);
    }
    let padded = fill(&join::cat(&pieces, 0)?, 0, total - longest)?;
    let ends = |place: i64| sequence.batch_sizes.iter().filter(|&&alive| alive > place).count() as i64;
    let mut lengths: Vec<i64> = (0..batch).map(ends).collect();
    let order = sequence.unsorted_indices();
    if let Some(order) = &order {
        lengths = order.iter().map(|&place| lengths[place as usize]).collect();
    }
    let padded = reorder(&padded, 1, order.as_deref())?;
    Ok((if batch_first { shape::transpose(&padded, 0, 1)? } else { padded }, lengths))
}

/// Packs sequences `(length, ...)`, see [`pack_padded_sequence`].
pub fn pack_sequence(sequences: &[Tensor], enforce_sorted: bool) -> Result<PackedSequence> {
    let lengths: Vec<i64> = sequences.iter().map(|sequence| sequence.size(0)).collect::<Result<_>>()?;
    pack_padded_sequence(&pad_sequence(sequences, false, 0.0)?, &lengths, false, enforce_sorted)
}

/// The sequences of padded ones `(longest, batch, ...)`, or `(batch, longest, ...)` with `batch_first`.
pub fn unpad_sequence(padded: &Tensor, lengths: &[i64], batch_first: bool) -> Result<Vec<Tensor>> {
    let dim = if batch_first { 0 } else { 1 };
    let one = |(place, &length): (usize, &i64)| {
        shape::narrow(&shape::select(padded, dim, place as i64)?, 0, 0, length)
    };
    lengths.iter().enumerate().map(one).collect()
}

/// The sequences of packed ones, in the order in which they were before.
pub fn unpack_sequence(packed: &PackedSequence) -> Result<Vec<Tensor>> {
    let (padded, lengths) = pad_packed_sequence(packed, true, 0.0, None)?;
    unpad_sequence(&padded, &lengths, true)
}
