"""Sequences of different lengths in one batch: packed, padded, and between the two."""

from collections import namedtuple

import flambeau as torch

__all__ = [
    "PackedSequence",
    "invert_permutation",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpack_sequence",
    "unpad_sequence",
]


class PackedSequence(namedtuple("PackedSequence", ["data", "batch_sizes", "sorted_indices", "unsorted_indices"])):
    """Sequences sorted by decreasing length and laid out step by step.

    `data` (total, ...) holds the first steps of all sequences, then the second steps of those long enough, and so on;
    `batch_sizes` counts the sequences at each step. `sorted_indices` is how the batch was sorted, None if it was.
    """

    __slots__ = ()

    def __new__(cls, data, batch_sizes=None, sorted_indices=None, unsorted_indices=None):
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        if batch_sizes is None:
            if not (isinstance(data, (list, tuple)) and len(data) == 2):
                raise AssertionError("Expected data to be a list or tuple of length 2")
            data, batch_sizes = data
        elif batch_sizes.device.type != "cpu":
            raise ValueError(
                "batch_sizes should always be on CPU. Instances of PackedSequence should never be created manually. "
                "They should be instantiated by functions like pack_sequence and pack_padded_sequences in "
                "nn.utils.rnn. https://pytorch.org/docs/stable/nn.html#torch.nn.utils.rnn.pack_sequence"
            )
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def to(self, *args, **kwargs):
        """The sequences on another device or in another dtype; itself if nothing changes."""
        data = self.data.to(*args, **kwargs)
        if data is self.data:
            return self
        # The indices follow to the device, but are never cast.
        move = lambda tensor: None if tensor is None else tensor.to(data.device)
        return type(self)(data, self.batch_sizes, move(self.sorted_indices), move(self.unsorted_indices))

    def cuda(self, *args, **kwargs):
        """The sequences on a CUDA device."""
        probe = torch.empty(0, dtype=self.data.dtype, device=self.data.device).to(*args, **kwargs)
        if probe.device.type == "cuda":
            return self.to(*args, **kwargs)
        return self.to(*args, **{"device": "cuda", **kwargs})

    def cpu(self, *args, **kwargs):
        """The sequences on the CPU."""
        probe = torch.empty(0, dtype=self.data.dtype, device=self.data.device).to(*args, **kwargs)
        if probe.device.type == "cpu":
            return self.to(*args, **kwargs)
        return self.to(*args, **{"device": "cpu", **kwargs})

    def pin_memory(self):
        """The sequences in page-locked memory."""
        pin = lambda tensor: None if tensor is None else tensor.pin_memory()
        return type(self)(
            self.data.pin_memory(), self.batch_sizes, pin(self.sorted_indices), pin(self.unsorted_indices)
        )

    def double(self):
        """The sequences in float64."""
        return self.to(dtype=torch.double)

    def float(self):
        """The sequences in float32."""
        return self.to(dtype=torch.float)

    def half(self):
        """The sequences in float16."""
        return self.to(dtype=torch.half)

    def long(self):
        """The sequences in int64."""
        return self.to(dtype=torch.long)

    def int(self):
        """The sequences in int32."""
        return self.to(dtype=torch.int)

    def short(self):
        """The sequences in int16."""
        return self.to(dtype=torch.short)

    def char(self):
        """The sequences in int8."""
        return self.to(dtype=torch.int8)

    def byte(self):
        """The sequences in uint8."""
        return self.to(dtype=torch.uint8)

    @property
    def is_cuda(self):
        """Whether the data are on a CUDA device."""
        return self.data.is_cuda

    def is_pinned(self):
        """Whether the data are in page-locked memory."""
        return self.data.is_pinned()


def invert_permutation(permutation):
    """The permutation that undoes another one; None for None."""
    if permutation is None:
        return None
    result = torch.empty_like(permutation, memory_format=torch.contiguous_format)
    result.scatter_(0, permutation, torch.arange(0, permutation.numel(), device=permutation.device))
    return result


def pack_padded_sequence(input, lengths, batch_first=False, enforce_sorted=True):
    """Packs padded sequences (T, B, ...), or (B, T, ...) with `batch_first`, of the given lengths.

    They must be sorted by decreasing length unless `enforce_sorted` is False, which sorts them.
    """
    lengths = torch.as_tensor(lengths, dtype=torch.int64, device="cpu")
    sorted_indices = None
    if not enforce_sorted:
        lengths, sorted_indices = torch.sort(lengths, descending=True)
        sorted_indices = sorted_indices.to(input.device)
        input = input.index_select(0 if batch_first else 1, sorted_indices)
    data, batch_sizes = _pack(input, lengths, batch_first)
    return PackedSequence(data, batch_sizes, sorted_indices, None)


def _pack(input, lengths, batch_first):
    if input.numel() == 0:
        raise RuntimeError("Cannot pack empty tensors.")
    if lengths.dim() != 1:
        raise RuntimeError(
            f"'lengths' argument should be a 1D CPU int64 tensor, but got {lengths.dim()}D cpu Long tensor"
        )
    if batch_first:
        input = input.transpose(0, 1)
    batch = input.size(1)
    counts = lengths.tolist()
    if len(counts) != batch:
        raise RuntimeError(
            f"Expected `len(lengths)` to be equal to batch_size, but got {len(counts)} (batch_size={batch})"
        )
    if counts[-1] <= 0 or min(counts) <= 0:
        raise RuntimeError(
            "Length of all samples has to be greater than 0, but found an element in 'lengths' that is <= 0"
        )
    if any(earlier < later for earlier, later in zip(counts, counts[1:])):
        raise RuntimeError(
            "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. You can pass "
            "`enforce_sorted=False` to pack_padded_sequence and/or pack_sequence to sidestep this requirement if you "
            "do not need ONNX exportability."
        )
    # Between the ends of two sequences the number of those that go on is constant: one slice for each such stretch.
    pieces, sizes, start = [], [], 0
    for alive in range(batch, 0, -1):
        end = counts[alive - 1]
        if end > start:
            piece = input[start:end, :alive]
            pieces.append(piece.reshape(piece.size(0) * alive, *input.shape[2:]))
            sizes += [alive] * (end - start)
            start = end
    return torch.cat(pieces), torch.tensor(sizes, dtype=torch.int64)


def pad_packed_sequence(sequence, batch_first=False, padding_value=0.0, total_length=None):
    """The padded sequences (T, B, ...), or (B, T, ...) with `batch_first`, and their lengths."""
    longest = sequence.batch_sizes.size(0)
    if total_length is not None:
        if total_length < longest:
            raise ValueError(
                "Expected total_length to be at least the length of the longest sequence in input, but got "
                f"total_length={total_length} and max sequence length being {longest}"
            )
        longest = total_length
    padded, lengths = _pad_packed(sequence.data, sequence.batch_sizes, padding_value, longest)
    if batch_first:
        padded = padded.transpose(0, 1)
    order = sequence.unsorted_indices
    if order is not None:
        return padded.index_select(0 if batch_first else 1, order), lengths[order.cpu()]
    return padded, lengths


def _pad_packed(data, batch_sizes, padding_value, total_length):
    sizes = batch_sizes.tolist()
    batch = sizes[0]
    steps = []
    for step, size in zip(data.split(sizes), sizes):
        if size < batch:
            step = torch.cat([step, step.new_full((batch - size, *data.shape[1:]), padding_value)])
        steps.append(step)
    missing = total_length - len(sizes)
    padded = torch.stack(steps)
    if missing:
        padded = torch.cat([padded, padded.new_full((missing, *padded.shape[1:]), padding_value)])
    lengths = [sum(size > place for size in sizes) for place in range(batch)]
    return padded, torch.tensor(lengths, dtype=torch.int64)


def pad_sequence(sequences, batch_first=False, padding_value=0.0, padding_side="right"):
    """Sequences (L_i, ...) as one tensor (T, B, ...), or (B, T, ...) with `batch_first`, padded to the longest."""
    if not (isinstance(sequences, torch.Tensor) or hasattr(sequences, "__iter__")):
        raise RuntimeError(
            f"pad_sequence: Expected iterable for input sequences, but got arg of type: {type(sequences)}"
        )
    sequences = list(sequences)
    if not sequences:
        raise RuntimeError("received an empty list of sequences")
    if padding_side not in ("left", "right"):
        raise RuntimeError(f"Expected padding_side to be one of left or right, but got {padding_side}.")
    longest = max(sequence.size(0) for sequence in sequences)
    trailing = sequences[0].shape[1:]
    shape = (len(sequences), longest) if batch_first else (longest, len(sequences))
    result = sequences[0].new_full((*shape, *trailing), padding_value)
    for place, sequence in enumerate(sequences):
        length = sequence.size(0)
        row = result[place] if batch_first else result[:, place]
        row.narrow(0, 0 if padding_side == "right" else longest - length, length).copy_(sequence)
    return result


def unpad_sequence(padded_sequences, lengths, batch_first=False):
    """The sequences of a padded tensor, as a list."""
    if not batch_first:
        padded_sequences = padded_sequences.transpose(0, 1)
    return [sequence[: int(length)] for sequence, length in zip(padded_sequences, lengths)]


def pack_sequence(sequences, enforce_sorted=True):
    """Packs a list of sequences (L_i, ...)."""
    lengths = torch.as_tensor([sequence.size(0) for sequence in sequences])
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences):
    """The sequences of a packed one, as a list."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
