"""Masks by blocks: which blocks of places have some, which have all."""

import flambeau as torch


def noop_mask(batch, head, token_q, token_kv):
    """A mask that has every place."""
    return torch.ones((), dtype=torch.bool, device=batch.device)


def _listed(dense):
    """How many blocks each row has, and the numbers of all blocks, its own first."""
    counts = dense.sum(-1, dtype=torch.int32)
    order = torch.argsort(dense.to(torch.int32), dim=-1, descending=True, stable=True)
    return counts, order.to(torch.int32).contiguous()


def _dense(counts, indices, columns):
    shape = (*counts.shape, columns)
    found = torch.zeros((*counts.shape, max(columns, indices.size(-1)) + 1), dtype=torch.int32, device=counts.device)
    listed = torch.arange(indices.size(-1), device=counts.device) < counts.unsqueeze(-1)
    places = torch.where(listed, indices.long(), found.size(-1) - 1)
    return found.scatter_(-1, places, 1)[..., :columns].reshape(shape)


_LISTS = [
    "kv_num_blocks", "kv_indices", "full_kv_num_blocks", "full_kv_indices",
    "q_num_blocks", "q_indices", "full_q_num_blocks", "full_q_indices",
]  # fmt: skip


class BlockMask:
    """A mask of queries and keys by blocks: for each row of blocks the columns that have some places, and those that have all."""

    def __init__(
        self, seq_lengths, kv_num_blocks, kv_indices, full_kv_num_blocks, full_kv_indices, q_num_blocks, q_indices,
        full_q_num_blocks, full_q_indices, BLOCK_SIZE=(128, 128), mask_mod=noop_mask,
    ):  # fmt: skip
        if kv_indices.dim() < 2:
            raise RuntimeError("BlockMask must have at least 2 dimensions")
        for one, other, name in (
            (full_kv_num_blocks, full_kv_indices, "full_kv"),
            (full_q_num_blocks, full_q_indices, "full_q"),
        ):
            if (one is None) != (other is None):
                raise AssertionError(f"{name}_num_blocks and {name}_indices must be both provided or omitted")
        self.seq_lengths, self.BLOCK_SIZE, self.mask_mod = seq_lengths, BLOCK_SIZE, mask_mod
        self.kv_num_blocks, self.kv_indices = kv_num_blocks, kv_indices
        self.full_kv_num_blocks, self.full_kv_indices = full_kv_num_blocks, full_kv_indices
        self.q_num_blocks, self.q_indices = q_num_blocks, q_indices
        self.full_q_num_blocks, self.full_q_indices = full_q_num_blocks, full_q_indices

    @classmethod
    def _of_blocks(cls, some, full, seq_lengths, size, mask_mod):
        lists = [part for dense in (some, full) for part in _listed(dense)]
        lists += [part for dense in (some, full) for part in _listed(dense.transpose(-2, -1))]
        return cls(seq_lengths, *lists, size, mask_mod)

    @classmethod
    def from_kv_blocks(
        cls, kv_num_blocks, kv_indices, full_kv_num_blocks=None, full_kv_indices=None, BLOCK_SIZE=128, mask_mod=None,
        seq_lengths=None, compute_q_blocks=True,
    ):  # fmt: skip
        """A mask of the blocks that are listed for each row of blocks."""
        size = (BLOCK_SIZE, BLOCK_SIZE) if isinstance(BLOCK_SIZE, int) else tuple(BLOCK_SIZE)
        if kv_indices.dim() < 2:
            raise RuntimeError("BlockMask must have at least 2 dimensions")
        columns = kv_indices.size(-1)
        seq_lengths = seq_lengths or (kv_indices.size(-2) * size[0], columns * size[1])
        lists = [None] * 4
        if compute_q_blocks:
            lists[:2] = _listed(_dense(kv_num_blocks, kv_indices, columns).transpose(-2, -1))
            if full_kv_num_blocks is not None:
                lists[2:] = _listed(_dense(full_kv_num_blocks, full_kv_indices, columns).transpose(-2, -1))
        return cls(
            seq_lengths,
            kv_num_blocks,
            kv_indices,
            full_kv_num_blocks,
            full_kv_indices,
            *lists,
            size,
            mask_mod or noop_mask,
        )

    @property
    def shape(self):
        """The mask's own shape: batches, heads, queries and keys."""
        return (*self.kv_indices.shape[:-2], *self.seq_lengths)

    def as_tuple(self, flatten=True):
        """All parts: lengths, lists of blocks, block sizes and the function."""
        lists = [getattr(self, name) for name in _LISTS]
        if flatten:
            return (*self.seq_lengths, *lists, *self.BLOCK_SIZE, self.mask_mod)
        return (self.seq_lengths, *lists, self.BLOCK_SIZE, self.mask_mod)

    def numel(self):
        """How many places there are, in the mask or not."""
        count = 1
        for n in self.shape:
            count *= n
        return count

    def sparsity(self):
        """The blocks that have no places, in per cent."""
        have = self.kv_num_blocks.sum().item()
        if self.full_kv_num_blocks is not None:
            have += self.full_kv_num_blocks.sum().item()
        total = self.kv_num_blocks.numel() * -(-self.seq_lengths[1] // self.BLOCK_SIZE[1])
        return 100 * (1 - have / total)

    def to_dense(self):
        """A tensor with 1 for each block that has places."""
        columns = -(-self.seq_lengths[1] // self.BLOCK_SIZE[1])
        found = _dense(self.kv_num_blocks, self.kv_indices, columns)
        if self.full_kv_num_blocks is not None:
            found = found | _dense(self.full_kv_num_blocks, self.full_kv_indices, columns)
        return found

    def to(self, device):
        """The mask with its lists on another device."""
        lists = [None if part is None else part.to(device) for part in (getattr(self, name) for name in _LISTS)]
        return BlockMask(self.seq_lengths, *lists, self.BLOCK_SIZE, self.mask_mod)

    def __getitem__(self, index):
        """The mask of some batches, heads or rows of blocks; its function still counts places from the first."""
        index = index if isinstance(index, tuple) else (index,)
        index = tuple(slice(i, i + 1 or None) if isinstance(i, int) else i for i in index)
        lists = [None if part is None else part[index] for part in (getattr(self, name) for name in _LISTS[:4])]
        rows = self.seq_lengths[0]
        if len(index) > 2 and index[2] != slice(None):
            rows = min(rows, lists[1].size(-2) * self.BLOCK_SIZE[0])
        return BlockMask.from_kv_blocks(
            *lists, self.BLOCK_SIZE, self.mask_mod, (rows, self.seq_lengths[1]), self.q_indices is not None
        )

    def _adjust(self, new_q_len, new_kv_len):
        """The mask cut to fewer queries and keys."""
        rows, columns = -(-new_q_len // self.BLOCK_SIZE[0]), -(-new_kv_len // self.BLOCK_SIZE[1])
        have = -(-self.seq_lengths[1] // self.BLOCK_SIZE[1])
        some = _dense(self.kv_num_blocks, self.kv_indices, have)[..., :rows, :columns].bool()
        full = torch.zeros_like(some)
        if self.full_kv_num_blocks is not None:
            full = _dense(self.full_kv_num_blocks, self.full_kv_indices, have)[..., :rows, :columns].bool()
        return BlockMask._of_blocks(some, full, (new_q_len, new_kv_len), self.BLOCK_SIZE, self.mask_mod)

    def to_string(self, grid_size=(20, 20), limit=4):
        """A picture of the blocks of each batch and head: those with all places, with some, and without."""
        some = _dense(self.kv_num_blocks, self.kv_indices, -(-self.seq_lengths[1] // self.BLOCK_SIZE[1]))
        dense = self.to_dense()
        pictures = []
        lead = dense.shape[:-2]
        for at in range(dense[..., 0, 0].numel()):
            if at == limit:
                pictures.append("...\nTo print out more, set BlockMask.to_string(limit=N)")
                break
            place = tuple(int(i) for i in torch.unravel_index(torch.tensor(at), lead)) if lead else ()
            rows = zip(dense[place].tolist(), some[place].tolist())
            lines = ["".join("░░" if part else "██" if has else "  " for has, part in zip(*row)) for row in rows]
            pictures.append("\n".join([str(place), *lines]))
        return "\n".join(pictures)

    def __str__(self):
        return f"BlockMask(shape={self.shape}, sparsity={self.sparsity():.2f}%, \n{self.to_string()}\n)"

    def __repr__(self):
        lists = [(name, getattr(self, name)) for name in _LISTS]
        lines = [f"{name}={None if part is None else part.shape!r}" for name, part in lists]
        lines += [f"BLOCK_SIZE={self.BLOCK_SIZE}", f"shape={self.shape}", f"sparsity={self.sparsity():.2f}%"]
        lines.append(f"mask_mod={getattr(self.mask_mod, '__name__', self.mask_mod)}")
        return "BlockMask(\n" + ",\n".join("    " + line for line in lines) + "\n)"
