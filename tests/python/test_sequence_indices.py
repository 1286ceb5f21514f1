"""`x[sequence]`: short sequences that hold more than numbers stand for tuples, with a warning, as in PyTorch."""

import numpy as np
import pytest

import flambeau as torch

X = torch.arange(9.0).reshape(3, 3)


class Sequence:
    """What only the protocol shows to be a sequence."""

    def __init__(self, *items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        return self.items[i]


TUPLES = {
    "lists": [[0, 1], [1, 2]],
    "tuples in a list": [(0, 1), (1, 2)],
    "arrays": [np.array([0, 1]), np.array([1, 2])],
    "ranges": [range(2), range(1, 3)],
    "a slice": [slice(0, 2), 1],
    "None": [None, 1],
    "an ellipsis": [..., 1],
    "tensors": [torch.tensor([0, 1]), 1],
    "tensors of no dimension": [torch.tensor(0), torch.tensor(1)],
    "a number and a list": [0, [1, 2]],
    "masks": [[True, False, True], [0, 1]],
    "nested": [[[0, 1], [1, 2]]],
    "protocol": Sequence([0, 1], [1, 2]),
}


@pytest.mark.parametrize("name", TUPLES)
def test_sequences_that_stand_for_tuples(name):
    key = TUPLES[name]
    alone = tuple(key[i] for i in range(len(key)))
    with pytest.warns(UserWarning, match="non-tuple sequence"):
        assert X[key].equal(X[alone])
    y, z = X.clone(), X.clone()
    with pytest.warns(UserWarning, match="non-tuple sequence"):
        y[key] = -1
    z[alone] = -1
    assert y.equal(z) and not y.equal(X)


INDICES = {
    "numbers": [0, 2],
    "cut": [0.5, 2.9],
    "mask": [True, False, True],
    "range": range(0, 3, 2),
    "array": np.array([0, 2]),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", INDICES)
def test_sequences_that_are_indices(name):
    assert X[INDICES[name]].tolist() == [[0, 1, 2], [6, 7, 8]]


@pytest.mark.filterwarnings("error")
def test_arrays_and_long_lists_are_indices():
    assert X[np.array([[0, 1], [1, 2]])].shape == (2, 2, 3)
    assert X[[[0, 1]] * 32].shape == (32, 2, 3)
    assert X[[]].shape == (0, 3)
    with pytest.raises(IndexError):
        X[np.array([0.5])]


def test_what_is_no_index():
    for key in ("ab", {0: 1}, object()):
        with pytest.raises(IndexError):
            X[key]
    with pytest.warns(UserWarning), pytest.raises(IndexError, match="too many indices"):
        X[[[0]] * 31]
