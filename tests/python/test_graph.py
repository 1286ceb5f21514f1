"""`flambeau.graph`: what is drawn, and how it is laid out."""

import random
import xml.etree.ElementTree

import pytest

import flambeau
import flambeau as torch
from flambeau._graph_layout import assign_rows, layered


def texts(drawing):
    root = xml.etree.ElementTree.fromstring(drawing.svg)
    return [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]


def test_operations_leaves_values_and_gradients():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    w = torch.tensor([0.5, -1.0], requires_grad=True)
    loss = (x * w).sum()
    loss.backward(retain_graph=True)
    drawing = flambeau.graph(loss)
    shown = texts(drawing)
    assert {"x", "w", "loss", "MulBackward0", "SumBackward0"} <= set(shown)
    assert {"(2,)", "()", "[1, 2]", "[0.5, -1]", "-1.5", "grad [0.5, -1]", "grad [1, 2]"} <= set(shown)
    assert repr(drawing) == "<Graph: 2 operations, 2 leaves>"
    assert drawing._repr_svg_() == drawing.svg


def test_names_from_params_and_modules():
    first, second = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    pair = [first, second]
    del first, second
    assert {"alpha", "beta"} <= set(
        texts(flambeau.graph((pair[0] * pair[1]).sum(), {"alpha": pair[0], "beta": pair[1]}))
    )
    model = torch.nn.Linear(2, 1)
    out = model(torch.ones(1, 2)).sum()
    assert {"weight", "bias"} <= set(texts(flambeau.graph(out, model)))
    assert {"model.weight", "model.bias"} <= set(texts(flambeau.graph(out)))


def test_intermediate_variables_are_named():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    hidden = x * 3
    out = hidden.exp().sum()
    assert "hidden (2,)" in texts(flambeau.graph(out)) and "[3, 6]" in texts(flambeau.graph(out))


def test_dot_and_files(tmp_path):
    x = torch.tensor(1.0, requires_grad=True)
    drawing = flambeau.graph(x * 2)
    assert drawing.dot.startswith("digraph {") and "MulBackward0" in drawing.dot and "->" in drawing.dot
    drawing.save(tmp_path / "graph.svg")
    drawing.save(str(tmp_path / "graph.dot"))
    assert (tmp_path / "graph.svg").read_text() == drawing.svg
    assert (tmp_path / "graph.dot").read_text() == drawing.dot
    with pytest.raises(ValueError, match="ends in .svg or .dot"):
        drawing.save("graph.png")
    with pytest.raises(TypeError, match="expected a tensor"):
        flambeau.graph([1])


def test_same_operand_twice_is_one_edge():
    x = torch.tensor(1.0, requires_grad=True)
    assert "×2" in texts(flambeau.graph(x * x))


def test_a_leaf_alone():
    x = torch.ones(2)
    assert texts(flambeau.graph(x))[:2] == ["x", "(2,)"]


def test_long_graphs_are_truncated():
    x = torch.tensor(1.0, requires_grad=True)
    y = x
    for _ in range(4000):
        y = y * 1.0
    drawing = flambeau.graph(y)
    assert "only the 2000 nodes nearest to the result are shown" in repr(drawing)
    assert drawing.svg.count("MulBackward0") == 2000


def random_graph(seed, count=60, edges=90):
    generator = random.Random(seed)
    return [tuple(sorted(generator.sample(range(count), 2), reverse=True)) for _ in range(edges)], [
        (generator.uniform(20, 120), generator.uniform(20, 60)) for _ in range(count)
    ]


@pytest.mark.parametrize("seed", range(8))
def test_layout(seed):
    edges, sizes = random_graph(seed)
    rows = assign_rows(len(sizes), edges)
    assert all(rows[source] > rows[target] for source, target in edges)
    centres, paths, (width, height) = layered(sizes, edges)
    for i, (x, y) in enumerate(centres):
        w, h = sizes[i]
        assert -1e-6 <= x - w / 2 and x + w / 2 <= width + 1e-6 and -1e-6 <= y - h / 2 and y + h / 2 <= height + 1e-6
        for j in range(i):
            other_x, other_y = centres[j]
            apart_x = abs(x - other_x) >= (w + sizes[j][0]) / 2 - 1e-6
            apart_y = abs(y - other_y) >= (h + sizes[j][1]) / 2 - 1e-6
            assert apart_x or apart_y
    for path, (source, target) in zip(paths, edges):
        assert centres[source][1] < centres[target][1]
        assert all(a[1] < b[1] for a, b in zip(path, path[1:]))


def test_a_tree_needs_no_crossings():
    # a binary tree of 31 boxes, numbered at random
    numbers = list(range(31))
    random.Random(1).shuffle(numbers)
    edges = [(numbers[child], numbers[(child - 1) // 2]) for child in range(1, 31)]
    centres, _, _ = layered([(40, 20)] * 31, edges)
    by_row = {}
    for source, target in edges:
        by_row.setdefault(centres[source][1], []).append((centres[source][0], centres[target][0]))
    for pairs in by_row.values():
        ends = [target for _, target in sorted(pairs)]
        assert ends == sorted(ends)
