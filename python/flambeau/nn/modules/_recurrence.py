"""The recurrences behind RNN, LSTM and GRU: one step of a cell, and layers of steps over whole sequences."""

import flambeau as torch
from flambeau._C import _nn

_linear = _nn.linear


def rnn_tanh_step(gates_in, state, w_hh, b_hh):
    """h' = tanh(gates_in + W h + b); `gates_in` is the input's share of the gates, its bias included."""
    (h,) = state
    return (torch.tanh(gates_in + _linear(h, w_hh, b_hh)),)


def rnn_relu_step(gates_in, state, w_hh, b_hh):
    """h' = relu(gates_in + W h + b)."""
    (h,) = state
    return (torch.relu(gates_in + _linear(h, w_hh, b_hh)),)


def lstm_step(gates_in, state, w_hh, b_hh, w_hr=None):
    """Hochreiter and Schmidhuber 1997, gates in the order input, forget, cell, output; h' projected by `w_hr`."""
    h, c = state
    i, f, g, o = (gates_in + _linear(h, w_hh, b_hh)).chunk(4, -1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    h = torch.sigmoid(o) * torch.tanh(c)
    return (h if w_hr is None else _linear(h, w_hr)), c


def gru_step(gates_in, state, w_hh, b_hh):
    """Cho et al. 2014, gates in the order reset, update, new; the reset gate applies after the product."""
    (h,) = state
    r_in, z_in, n_in = gates_in.chunk(3, -1)
    r_h, z_h, n_h = _linear(h, w_hh, b_hh).chunk(3, -1)
    r = torch.sigmoid(r_in + r_h)
    z = torch.sigmoid(z_in + z_h)
    n = torch.tanh(n_in + r * n_h)
    return ((h - n) * z + n,)


STEPS = {"RNN_TANH": rnn_tanh_step, "RNN_RELU": rnn_relu_step, "LSTM": lstm_step, "GRU": gru_step}


def run(mode, input, state, weights, bias, num_layers, dropout, training, bidirectional, batch_sizes=None):
    """Runs all layers over `input`: (T, B, width), or packed data (total, width) with its `batch_sizes`.

    `state` is (h,) or (h, c), each (layers * directions, B, width); `weights` is the flat list of the layers'
    weights, (w_ih, w_hh[, b_ih, b_hh][, w_hr]) for each. Returns the output and the final state.
    """
    directions = 2 if bidirectional else 1
    each = len(weights) // (num_layers * directions)
    projected = each == (5 if bias else 3)
    finals = []
    for layer in range(num_layers):
        # The product would copy it as well, but not begin with the biases.
        input = input.contiguous()
        outputs = []
        for direction in range(directions):
            place = layer * directions + direction
            own = weights[place * each : (place + 1) * each]
            w_hr = own[-1] if projected else None
            b_ih, b_hh = (own[2], own[3]) if bias else (None, None)
            gates_in = _linear(input, own[0], b_ih)
            start = tuple(part[place] for part in state)
            if batch_sizes is None and not projected:
                cell = start[1] if mode == "LSTM" else None
                output, cell = _nn._rnn_layer(gates_in, start[0], cell, own[1], b_hh, mode, direction == 1)
                last = output[0 if direction else -1]
                outputs.append(output)
                finals.append((last, cell) if mode == "LSTM" else (last,))
                continue
            extra = () if w_hr is None else (w_hr,)
            step = _bind(STEPS[mode], own[1], b_hh, extra)
            if batch_sizes is None:
                output, final = _over_steps(step, gates_in, start, direction)
            else:
                output, final = _over_packed(step, gates_in, start, direction, batch_sizes)
            outputs.append(output)
            finals.append(final)
        input = outputs[0] if directions == 1 else torch.cat(outputs, -1)
        if dropout and layer < num_layers - 1:
            input = torch.dropout(input, dropout, training)
    return input, tuple(torch.stack(parts) for parts in zip(*finals))


def _bind(step, w_hh, b_hh, extra):
    return lambda gates_in, state: step(gates_in, state, w_hh, b_hh, *extra)


def _over_steps(step, gates_in, state, backward):
    outputs = []
    steps = gates_in.unbind(0)
    for gates in reversed(steps) if backward else steps:
        state = step(gates, state)
        outputs.append(state[0])
    if backward:
        outputs.reverse()
    return torch.stack(outputs), state


def _over_packed(step, gates_in, state, backward, batch_sizes):
    steps = gates_in.split(batch_sizes)
    outputs = []
    if not backward:
        # Sequences end at the back of the batch: their states are set aside as they do.
        ended = []
        size = batch_sizes[0]
        for gates in steps:
            if gates.size(0) < size:
                ended.append(tuple(part[gates.size(0) :] for part in state))
                size = gates.size(0)
                state = tuple(part[:size] for part in state)
            state = step(gates, state)
            outputs.append(state[0])
        ended.append(state)
        final = tuple(torch.cat(parts) for parts in zip(*reversed(ended)))
        return torch.cat(outputs), final
    # Backward the batch grows: each sequence starts, from its initial state, at its last step.
    start = state
    size = batch_sizes[-1]
    state = tuple(part[:size] for part in start)
    for gates in reversed(steps):
        if gates.size(0) > size:
            fresh = tuple(part[size : gates.size(0)] for part in start)
            state = tuple(torch.cat(pair) for pair in zip(state, fresh))
            size = gates.size(0)
        state = step(gates, state)
        outputs.append(state[0])
    outputs.reverse()
    return torch.cat(outputs), state
