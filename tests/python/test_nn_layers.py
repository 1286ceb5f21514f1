"""Layers and containers: what they print, hold and compute, in the small."""

import math
from collections import OrderedDict

import pytest

import flambeau as torch
import flambeau.nn.functional as F
from flambeau import nn
from flambeau._C import _nn


def close(actual, expected, tolerance=1e-5):
    return torch.allclose(actual, torch.tensor(expected), atol=tolerance)


def test_linear_starts_with_the_same_numbers_as_pytorch():
    torch.manual_seed(0)
    layer = nn.Linear(3, 2)
    assert close(layer.weight, [[-0.0043, 0.3097, -0.4752], [-0.4249, -0.2224, 0.1548]], 1e-4)
    assert layer(torch.ones(4, 3)).shape == (4, 2)


def test_sequential():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
    assert [name for name, _ in model.named_parameters()] == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert model(torch.ones(2, 3)).shape == (2, 1)
    assert len(model) == 3 and isinstance(model[-1], nn.Linear) and len(model[1:]) == 2
    model.append(nn.Tanh()).insert(0, nn.Identity())
    assert repr(model[0]) == "Identity()" and repr(model[4]) == "Tanh()"
    del model[0]
    assert list(model._modules) == ["0", "1", "2", "3"]
    named = nn.Sequential(OrderedDict(a=nn.ReLU(), b=nn.Tanh()))
    assert repr(named.b) == "Tanh()"
    with pytest.raises(IndexError, match="index 9 is out of range"):
        model[9]


def test_module_list_and_dict():
    layers = nn.ModuleList([nn.ReLU(), nn.ReLU(), nn.Tanh()])
    assert repr(layers) == "ModuleList(\n  (0-1): 2 x ReLU()\n  (2): Tanh()\n)"
    layers.insert(1, nn.Sigmoid())
    assert [type(layer).__name__ for layer in layers] == ["ReLU", "Sigmoid", "ReLU", "Tanh"]
    table = nn.ModuleDict({"a": nn.ReLU()})
    table["b"] = nn.Tanh()
    assert list(table) == ["a", "b"] and "b" in table and len(table) == 2
    table.pop("a")
    assert list(table.keys()) == ["b"]


def test_parameter_list_and_dict():
    values = nn.ParameterList([nn.Parameter(torch.ones(2, 3)), torch.ones(1), 5])
    assert isinstance(values[1], nn.Parameter) and values[2] == 5
    assert [name for name, _ in values.named_parameters()] == ["0", "1"]
    table = nn.ParameterDict({"w": torch.ones(2), "n": None})
    assert list(table.keys()) == ["w", "n"] and isinstance(table["w"], nn.Parameter)
    with pytest.raises(RuntimeError, match="ParameterDict should not be called."):
        table(1)


def test_activations():
    x = torch.tensor([-2.0, 0.0, 3.0])
    assert nn.ReLU()(x).tolist() == [0.0, 0.0, 3.0]
    assert nn.Hardtanh()(x).tolist() == [-1.0, 0.0, 1.0]
    assert close(nn.Softmax(dim=0)(x), [0.0064, 0.0471, 0.9465], 1e-4)
    assert close(nn.GLU()(torch.tensor([1.0, 2.0])), [0.8808], 1e-4)
    with pytest.warns(UserWarning, match="Implicit dimension choice for softmax"):
        F.softmax(x)
    with pytest.raises(TypeError, match="dim must be an int or None"):
        nn.Softmax("a")


def test_losses():
    x, y = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[1.0, 0.0], [0.0, 4.0]])
    assert nn.MSELoss()(x, y).item() == pytest.approx(13 / 4)
    assert nn.L1Loss(reduction="sum")(x, y).item() == 5.0
    logits = torch.tensor([[0.0, math.log(3.0)]])
    assert nn.CrossEntropyLoss()(logits, torch.tensor([1])).item() == pytest.approx(-math.log(0.75), rel=1e-5)
    assert nn.NLLLoss()(logits, torch.tensor([1])).item() == pytest.approx(-math.log(3.0), rel=1e-5)
    with pytest.raises(ValueError, match="foo is not a valid value for reduction"):
        F.mse_loss(x, y, reduction="foo")
    with pytest.warns(UserWarning, match="size_average and reduce args will be deprecated"):
        nn.MSELoss(size_average=False)
    with pytest.warns(UserWarning, match="Using a target size"):
        F.mse_loss(x, torch.ones(2))


def test_normalisation():
    x = torch.tensor([[1.0, 2.0], [3.0, 6.0]])
    norm = nn.BatchNorm1d(2)
    out = norm(x)
    assert close(out, [[-1.0, -1.0], [1.0, 1.0]], 1e-4)
    assert close(norm.running_mean, [0.2, 0.4]) and norm.num_batches_tracked.item() == 1
    assert norm.eval()(x).shape == (2, 2)
    assert close(nn.LayerNorm(2)(x), [[-1.0, 1.0], [-1.0, 1.0]], 1e-4)
    with pytest.raises(ValueError, match="expected 2D or 3D input"):
        norm(torch.ones(2, 2, 2, 2))


def test_dropout_and_embedding():
    drop = nn.Dropout(0.5)
    x = torch.ones(100)
    assert set(drop(x).tolist()) <= {0.0, 2.0}
    assert drop.eval()(x).tolist() == x.tolist()
    table = nn.Embedding(4, 3, padding_idx=0)
    assert table(torch.tensor([[1, 0]])).shape == (1, 2, 3)
    assert table.weight[0].tolist() == [0.0, 0.0, 0.0]
    frozen = nn.Embedding.from_pretrained(torch.ones(2, 3))
    assert not frozen.weight.requires_grad
    bag = nn.EmbeddingBag.from_pretrained(torch.tensor([[1.0], [2.0], [4.0]]), mode="sum")
    assert bag(torch.tensor([0, 1, 2]), torch.tensor([0, 2])).tolist() == [[3.0], [4.0]]


def test_padding():
    x = torch.tensor([[1.0, 2.0, 3.0]])
    assert F.pad(x, (1, 2), value=9.0).tolist() == [[9.0, 1.0, 2.0, 3.0, 9.0, 9.0]]
    assert F.pad(x, (2, 1), mode="reflect").tolist() == [[3.0, 2.0, 1.0, 2.0, 3.0, 2.0]]
    assert F.pad(x, (2, 1), mode="replicate").tolist() == [[1.0, 1.0, 1.0, 2.0, 3.0, 3.0]]
    assert F.pad(x, (2, 1), mode="circular").tolist() == [[2.0, 3.0, 1.0, 2.0, 3.0, 1.0]]
    assert F.pad(x, (-1, 0)).tolist() == [[2.0, 3.0]]
    with pytest.raises(RuntimeError, match="Padding length must be divisible by 2"):
        F.pad(x, (1,))


@pytest.mark.parametrize("kind, states", [(nn.RNN, 1), (nn.GRU, 1), (nn.LSTM, 2)])
def test_recurrent_layers_agree_on_packed_and_padded_sequences(kind, states):
    from flambeau.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    torch.manual_seed(0)
    layer = kind(2, 3, num_layers=2, bidirectional=True)
    x = torch.randn(4, 2, 2)
    packed, _ = layer(pack_padded_sequence(x, [4, 2]))
    padded, lengths = pad_packed_sequence(packed)
    assert lengths.tolist() == [4, 2] and padded.shape == (4, 2, 6)
    alone, final = layer(x[:2, 1:])
    assert torch.allclose(padded[:2, 1:], alone, atol=1e-6)
    assert len(final if states == 2 else (final,)) == states


def test_attention_masks_the_future():
    torch.manual_seed(0)
    attention = nn.MultiheadAttention(4, 2)
    x = torch.randn(3, 1, 4)
    mask = nn.Transformer.generate_square_subsequent_mask(3)
    output, weights = attention(x, x, x, attn_mask=mask)
    assert output.shape == (3, 1, 4)
    assert torch.equal(weights[0].triu(1), torch.zeros(3, 3))
    fast, nothing = attention(x, x, x, attn_mask=mask, need_weights=False)
    assert nothing is None and torch.allclose(fast, output, atol=1e-6)


def test_layer_arguments_are_checked():
    for build, text in [
        (lambda: nn.Conv2d(3, 4, 2, groups=2), "in_channels must be divisible by groups"),
        (lambda: nn.GroupNorm(2, 3), "num_channels (3) must be divisible by num_groups (2)"),
        (lambda: nn.Dropout(2.0), "dropout probability has to be between 0 and 1, but got 2.0"),
        (lambda: nn.RNN(3, 4, nonlinearity="x"), "Unknown nonlinearity 'x'. Select from 'tanh' or 'relu'."),
    ]:
        with pytest.raises(ValueError) as caught:
            build()
        assert str(caught.value) == text


def test_initialisers():
    tensor = torch.empty(50, 40)
    nn.init.kaiming_uniform_(tensor, a=math.sqrt(5))
    assert tensor.abs().max() <= 1 / math.sqrt(40)
    assert nn.init.trunc_normal_(tensor, a=-0.5, b=0.7).min() >= -0.5
    assert nn.init.constant_(tensor, 3.0).unique().tolist() == [3.0]
    assert nn.init.calculate_gain("leaky_relu", 1.0) == 1.0
    with pytest.raises(ValueError, match="Unsupported nonlinearity foo"):
        nn.init.calculate_gain("foo")


def test_clipping_gradients():
    parameters = [nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1))]
    parameters[0].grad = torch.tensor([3.0, 0.0])
    parameters[1].grad = torch.tensor([4.0])
    assert nn.utils.clip_grad_norm_(parameters, 1.0).item() == 5.0
    assert close(parameters[0].grad, [0.6, 0.0])
    nn.utils.clip_grad_value_(parameters, 0.5)
    assert close(parameters[1].grad, [0.5])
    vector = nn.utils.parameters_to_vector(parameters)
    nn.utils.vector_to_parameters(vector + 1, parameters)
    assert parameters[1].tolist() == [1.0]


@pytest.mark.parametrize("mode, gates", [("LSTM", 4), ("GRU", 3), ("RNN_TANH", 1), ("RNN_RELU", 1)])
@pytest.mark.parametrize("reverse", [False, True])
def test_recurrent_layers_differentiate_twice(mode, gates, reverse):
    torch.manual_seed(3)
    size, lstm = 3, mode == "LSTM"

    def operand(*shape):
        return torch.randn(*shape, dtype=torch.float64, requires_grad=True)

    operands = [operand(2, 2, gates * size), operand(2, size), operand(gates * size, size), operand(gates * size)]
    operands += [operand(2, size)] if lstm else []

    def layer(x, h, weight, bias, c=None):
        output, cell = _nn._rnn_layer(x, h, c, weight, bias, mode, reverse)
        return (output, cell) if lstm else output

    assert torch.autograd.gradcheck(layer, operands)
    assert torch.autograd.gradgradcheck(layer, operands)


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
def test_recurrent_layers_agree_with_their_cells(kind):
    torch.manual_seed(4)
    layer = kind(3, 5, num_layers=2, bidirectional=True, batch_first=True, dtype=torch.float64)
    x = torch.randn(2, 4, 3, dtype=torch.float64, requires_grad=True)
    output, _ = layer(x)
    # A packed sequence goes step by step.
    packed = nn.utils.rnn.pack_padded_sequence(x, [4, 4], batch_first=True)
    stepped, _ = nn.utils.rnn.pad_packed_sequence(layer(packed)[0], batch_first=True)
    assert torch.allclose(output, stepped, atol=1e-12)
    weights = [x, *layer.parameters()]
    direct = torch.autograd.grad(output.square().sum(), weights)
    other = torch.autograd.grad(stepped.square().sum(), weights)
    assert all(torch.allclose(a, b, atol=1e-10) for a, b in zip(direct, other))
    with torch.no_grad():
        assert torch.equal(layer(x)[0], output)
