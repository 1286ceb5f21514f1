"""Recurrent layers and cells."""

import math
import warnings

import flambeau as torch
from flambeau._C import _nn

from .. import init
from ..parameter import Parameter
from ..utils.rnn import PackedSequence
from . import _recurrence
from .module import Module

__all__ = ["GRU", "GRUCell", "LSTM", "LSTMCell", "RNN", "RNNBase", "RNNCell", "RNNCellBase"]

_GATES = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}


def _apply_permutation(tensor, permutation, dim=1):
    return tensor.index_select(dim, permutation)


class RNNBase(Module):
    """What the recurrent layers share.

    Inputs are (T, B, input_size), (B, T, input_size) with `batch_first`, (T, input_size), or a packed sequence.
    """

    def __init__(
        self,
        mode,
        input_size,
        hidden_size,
        num_layers=1,
        bias=True,
        batch_first=False,
        dropout=0.0,
        bidirectional=False,
        proj_size=0,
        device=None,
        dtype=None,
    ):
        super().__init__()
        _check_settings(input_size, hidden_size, bias, batch_first, dropout)
        if dropout > 0 and num_layers == 1:
            warnings.warn(
                "dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects num_layers "
                f"greater than 1, but got dropout={dropout} and num_layers={num_layers}",
                stacklevel=2,
            )
        if input_size <= 0:
            raise ValueError("input_size must be greater than zero")
        if hidden_size <= 0:
            raise ValueError("hidden_size must be greater than zero")
        if num_layers <= 0:
            raise ValueError("num_layers must be greater than zero")
        if proj_size < 0:
            raise ValueError("proj_size should be a positive integer or zero to disable projections")
        if proj_size >= hidden_size:
            raise ValueError("proj_size has to be smaller than hidden_size")
        if mode not in _GATES:
            raise ValueError("Unrecognized RNN mode: " + mode)
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size

        directions = 2 if bidirectional else 1
        output_size = proj_size or hidden_size
        gates = _GATES[mode] * hidden_size
        self._all_weights = []
        for layer in range(num_layers):
            for direction in range(directions):
                width = input_size if layer == 0 else output_size * directions
                shapes = {"weight_ih": (gates, width), "weight_hh": (gates, output_size)}
                if bias:
                    shapes["bias_ih"] = shapes["bias_hh"] = (gates,)
                if proj_size:
                    shapes["weight_hr"] = (proj_size, hidden_size)
                suffix = f"_l{layer}" + ("_reverse" if direction else "")
                self._all_weights.append([name + suffix for name in shapes])
                for name, shape in shapes.items():
                    setattr(self, name + suffix, Parameter(torch.empty(shape, device=device, dtype=dtype)))
        self.reset_parameters()

    @property
    def _flat_weights_names(self):
        return [name for names in self._all_weights for name in names]

    @property
    def _flat_weights(self):
        return [getattr(self, name) for names in self._all_weights for name in names]

    @property
    def all_weights(self):
        """The parameters of each layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    def flatten_parameters(self):
        """Does nothing: the layout of the parameters is of no concern to the CPU's kernels."""

    def reset_parameters(self):
        """Draws all parameters from [-1, 1) / sqrt(hidden_size)."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def check_input(self, input, batch_sizes):
        """Raises unless the input's dtype and width fit."""
        dtype = self._flat_weights[0].dtype
        if input.dtype != dtype:
            raise ValueError(
                f"RNN input dtype ({input.dtype}) does not match weight dtype ({dtype}). Convert input: "
                f"input.to({dtype}), or convert model: model.to({input.dtype})"
            )
        expected = 3 if batch_sizes is None else 2
        if input.dim() != expected:
            raise RuntimeError(f"input must have {expected} dimensions, got {input.dim()}")
        if self.input_size != input.size(-1):
            raise RuntimeError(
                f"input.size(-1) must be equal to input_size. Expected {self.input_size}, got {input.size(-1)}"
            )

    def _batch_size(self, input, batch_sizes):
        if batch_sizes is not None:
            return int(batch_sizes[0])
        return input.size(0) if self.batch_first else input.size(1)

    def get_expected_hidden_size(self, input, batch_sizes):
        """The shape the hidden state must have."""
        layers = self.num_layers * (2 if self.bidirectional else 1)
        return layers, self._batch_size(input, batch_sizes), self.proj_size or self.hidden_size

    def check_hidden_size(self, hx, expected_hidden_size, msg="Expected hidden size {}, got {}"):
        """Raises unless a state has the expected shape."""
        if hx.size() != expected_hidden_size:
            raise RuntimeError(msg.format(expected_hidden_size, list(hx.size())))

    def check_forward_args(self, input, hidden, batch_sizes):
        """Raises unless input and state fit."""
        self.check_input(input, batch_sizes)
        self.check_hidden_size(hidden, self.get_expected_hidden_size(input, batch_sizes))

    def permute_hidden(self, hx, permutation):
        """A state with its batch reordered; None leaves it."""
        return hx if permutation is None else _apply_permutation(hx, permutation)

    def extra_repr(self):
        text = f"{self.input_size}, {self.hidden_size}"
        if self.proj_size != 0:
            text += f", proj_size={self.proj_size}"
        if self.num_layers != 1:
            text += f", num_layers={self.num_layers}"
        if self.bias is not True:
            text += f", bias={self.bias}"
        if self.batch_first is not False:
            text += f", batch_first={self.batch_first}"
        if self.dropout != 0:
            text += f", dropout={self.dropout}"
        if self.bidirectional is not False:
            text += f", bidirectional={self.bidirectional}"
        return text

    def _check_dims(self, input):
        if input.dim() not in (2, 3):
            kind = "RNN" if self.mode.startswith("RNN") else self.mode
            noun = " tensor" if kind == "RNN" else ""
            raise ValueError(f"{kind}: Expected input to be 2D or 3D, got {input.dim()}D{noun} instead")

    def _zero_state(self, input, batch, width):
        layers = self.num_layers * (2 if self.bidirectional else 1)
        return torch.zeros(layers, batch, width, dtype=input.dtype, device=input.device)

    def _forward(self, input, states):
        """(output, final states), for a tuple of states or None."""
        if isinstance(input, PackedSequence):
            data, batch_sizes, sorted_indices, unsorted_indices = input
            states = self._prepare(data, states, batch_sizes, sorted_indices)
            output, final = self._run(data, states, batch_sizes.tolist())
            output = PackedSequence(output, batch_sizes, sorted_indices, unsorted_indices)
            return output, self._unsort(final, unsorted_indices)

        self._check_dims(input)
        batched = input.dim() == 3
        if states is not None:
            self._check_state_dims(states, batched)
        if not batched:
            input = input.unsqueeze(0 if self.batch_first else 1)
            states = None if states is None else tuple(part.unsqueeze(1) for part in states)
        states = self._prepare(input, states, None, None)
        steps = input.transpose(0, 1) if self.batch_first else input
        if steps.size(0) == 0:
            raise RuntimeError("Expected sequence length to be larger than 0 in RNN")
        output, final = self._run(steps, states, None)
        if self.batch_first:
            output = output.transpose(0, 1)
        if not batched:
            output = output.squeeze(0 if self.batch_first else 1)
            final = tuple(part.squeeze(1) for part in final)
        return output, final

    def _prepare(self, input, states, batch_sizes, sorted_indices):
        """The initial states, zero where not given, sorted like the input; checked."""
        if states is None:
            batch = self._batch_size(input, batch_sizes)
            states = (self._zero_state(input, batch, self.proj_size or self.hidden_size),)
            if self.mode == "LSTM":
                states += (self._zero_state(input, batch, self.hidden_size),)
        else:
            states = tuple(self.permute_hidden(part, sorted_indices) for part in states)
        self.check_forward_args(input, states if self.mode == "LSTM" else states[0], batch_sizes)
        return states

    def _unsort(self, states, unsorted_indices):
        return tuple(
            part if unsorted_indices is None else _apply_permutation(part, unsorted_indices) for part in states
        )

    def _run(self, input, states, batch_sizes):
        return _recurrence.run(
            self.mode,
            input,
            states,
            self._flat_weights,
            self.bias,
            self.num_layers,
            self.dropout,
            self.training,
            self.bidirectional,
            batch_sizes,
        )

    def _check_state_dims(self, states, batched):
        dims = [part.dim() for part in states]
        expected = 3 if batched else 2
        if any(dim != expected for dim in dims):
            names, got, noun = "hx", f"{dims[0]}-D", "tensor"
            if len(dims) == 2:
                names, got, noun = "hx and cx", f"({dims[0]}-D, {dims[1]}-D)", "tensors"
            kind = "batched" if batched else "unbatched"
            raise RuntimeError(
                f"For {kind} {expected}-D input, {names} should also be {expected}-D but got {got} {noun}"
            )


def _check_settings(input_size, hidden_size, bias, batch_first, dropout):
    for name, value in (("input_size", input_size), ("hidden_size", hidden_size)):
        if not isinstance(value, int):
            raise TypeError(f"{name} should be of type int, got: {type(value).__name__}")
    for name, value in (("bias", bias), ("batch_first", batch_first)):
        if not isinstance(value, bool):
            raise TypeError(f"{name} should be of type bool, got: {type(value).__name__}")
    if isinstance(dropout, bool) or not 0 <= float(dropout) <= 1:
        raise ValueError(
            "dropout should be a number in range [0, 1] representing the probability of an element being zeroed"
        )


def _refuse_projection(kwargs):
    if "proj_size" in kwargs:
        raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")


class RNN(RNNBase):
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu of it, in layers (Elman 1990)."""

    def __init__(self, *args, **kwargs):
        _refuse_projection(kwargs)
        if len(args) > 3:
            nonlinearity = args[3]
            args = args[:3] + args[4:]
        else:
            nonlinearity = kwargs.pop("nonlinearity", "tanh")
        modes = {"tanh": "RNN_TANH", "relu": "RNN_RELU"}
        if not isinstance(nonlinearity, str) or nonlinearity not in modes:
            raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
        super().__init__(modes[nonlinearity], *args, **kwargs)
        self.nonlinearity = nonlinearity

    def forward(self, input, hx=None):
        output, (hidden,) = self._forward(input, None if hx is None else (hx,))
        return output, hidden


class LSTM(RNNBase):
    """Long short-term memory (Hochreiter and Schmidhuber 1997), in layers; the state is (h, c)."""

    def __init__(self, *args, **kwargs):
        super().__init__("LSTM", *args, **kwargs)

    def get_expected_cell_size(self, input, batch_sizes):
        """The shape the cell state must have."""
        layers = self.num_layers * (2 if self.bidirectional else 1)
        return layers, self._batch_size(input, batch_sizes), self.hidden_size

    def check_forward_args(self, input, hidden, batch_sizes):
        """Raises unless input and state fit."""
        self.check_input(input, batch_sizes)
        self.check_hidden_size(
            hidden[0],
            self.get_expected_hidden_size(input, batch_sizes),
            "Expected hidden[0] size {}, got {}",
        )
        self.check_hidden_size(
            hidden[1], self.get_expected_cell_size(input, batch_sizes), "Expected hidden[1] size {}, got {}"
        )

    def permute_hidden(self, hx, permutation):
        """A state with its batch reordered; None leaves it."""
        if permutation is None:
            return hx
        if isinstance(hx, tuple):
            return tuple(_apply_permutation(part, permutation) for part in hx)
        return _apply_permutation(hx, permutation)

    def forward(self, input, hx=None):
        return self._forward(input, hx if hx is None else tuple(hx))


class GRU(RNNBase):
    """Gated recurrent units (Cho et al. 2014), in layers."""

    def __init__(self, *args, **kwargs):
        _refuse_projection(kwargs)
        super().__init__("GRU", *args, **kwargs)

    def forward(self, input, hx=None):
        output, (hidden,) = self._forward(input, None if hx is None else (hx,))
        return output, hidden


class RNNCellBase(Module):
    """What the cells share: one step on an input (B, input_size) or (input_size)."""

    def __init__(self, input_size, hidden_size, bias, num_chunks, device=None, dtype=None):
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        gates = num_chunks * hidden_size

        def parameter(*shape):
            return Parameter(torch.empty(shape, device=device, dtype=dtype))

        self.weight_ih = parameter(gates, input_size)
        self.weight_hh = parameter(gates, hidden_size)
        if bias:
            self.bias_ih = parameter(gates)
            self.bias_hh = parameter(gates)
        else:
            self.register_parameter("bias_ih", None)
            self.register_parameter("bias_hh", None)
        self.reset_parameters()

    def extra_repr(self):
        text = f"{self.input_size}, {self.hidden_size}"
        if "bias" in self.__dict__ and self.bias is not True:
            text += f", bias={self.bias}"
        if "nonlinearity" in self.__dict__ and self.nonlinearity != "tanh":
            text += f", nonlinearity={self.nonlinearity}"
        return text

    def reset_parameters(self):
        """Draws all parameters from [-1, 1) / sqrt(hidden_size)."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def _step(self, step, input, states):
        """The new states of one step, batched or not; zeros stand for states that are None."""
        kind = type(self).__name__
        if input.dim() not in (1, 2):
            raise ValueError(f"{kind}: Expected input to be 1D or 2D, got {input.dim()}D instead")
        for place, state in enumerate(states):
            if state is not None and state.dim() not in (1, 2):
                name = f"hx[{place}]" if len(states) > 1 else "hidden"
                raise ValueError(f"{kind}: Expected {name} to be 1D or 2D, got {state.dim()}D instead")
        batched = input.dim() == 2
        if not batched:
            input = input.unsqueeze(0)
            states = [None if state is None else state.unsqueeze(0) for state in states]
        if input.size(1) != self.input_size:
            raise RuntimeError(f"input has inconsistent input_size: got {input.size(1)} expected {self.input_size}")
        if states[0] is None:
            zeros = torch.zeros(input.size(0), self.hidden_size, dtype=input.dtype, device=input.device)
            states = [zeros] * len(states)
        for place, state in enumerate(states):
            self._check_state(input, state, place)
        gates_in = _nn.linear(input, self.weight_ih, self.bias_ih)
        result = step(gates_in, tuple(states), self.weight_hh, self.bias_hh)
        return result if batched else tuple(state.squeeze(0) for state in result)

    def _check_state(self, input, state, place):
        if state.dim() != 2:
            raise RuntimeError(f"Expected 2D hidden{place} (batch x hidden_size), but got {state.dim()}D tensor")
        if input.size(0) != state.size(0):
            raise RuntimeError(
                f"Input batch size {input.size(0)} doesn't match hidden{place} batch size {state.size(0)}"
            )
        if state.size(1) != self.hidden_size:
            raise RuntimeError(
                f"hidden{place} has inconsistent hidden_size: got {state.size(1)}, expected {self.hidden_size}"
            )


class RNNCell(RNNCellBase):
    """One step of `RNN`."""

    def __init__(self, input_size, hidden_size, bias=True, nonlinearity="tanh", device=None, dtype=None):
        super().__init__(input_size, hidden_size, bias, num_chunks=1, device=device, dtype=dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input, hx=None):
        steps = {"tanh": _recurrence.rnn_tanh_step, "relu": _recurrence.rnn_relu_step}
        if self.nonlinearity not in steps:
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        (hidden,) = self._step(steps[self.nonlinearity], input, [hx])
        return hidden


class LSTMCell(RNNCellBase):
    """One step of `LSTM`; the state is (h, c)."""

    def __init__(self, input_size, hidden_size, bias=True, device=None, dtype=None):
        super().__init__(input_size, hidden_size, bias, num_chunks=4, device=device, dtype=dtype)

    def forward(self, input, hx=None):
        if isinstance(hx, torch.Tensor):
            raise TypeError("lstm_cell(): argument 'hx' (position 2) must be tuple of Tensors, not Tensor")
        return self._step(_recurrence.lstm_step, input, [None, None] if hx is None else list(hx))


class GRUCell(RNNCellBase):
    """One step of `GRU`."""

    def __init__(self, input_size, hidden_size, bias=True, device=None, dtype=None):
        super().__init__(input_size, hidden_size, bias, num_chunks=3, device=device, dtype=dtype)

    def forward(self, input, hx=None):
        (hidden,) = self._step(_recurrence.gru_step, input, [hx])
        return hidden
