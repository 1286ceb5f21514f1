"""Profiles: what is recorded, who called whom, tables, traces and schedules."""

import json

import flambeau as torch
import pytest
from flambeau.profiler import ProfilerAction, ProfilerActivity, profile, record_function, schedule


def work():
    x = torch.ones(4, 5, requires_grad=True)
    with record_function("forward"):
        y = torch.relu(x @ torch.ones(5, 6)).sum()
    y.backward()
    return x


def test_operators_gradients_and_ranges_are_recorded():
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True, with_flops=True) as p:
        work()
    names = [event.name for event in p.events()]
    for name in ("forward", "aten::matmul", "aten::relu", "aten::sum"):
        assert names.count(name) == 1, names
    assert any(name.startswith("autograd::engine::evaluate_function: ReluBackward0") for name in names)
    by_name = {event.name: event for event in p.events()}
    product, forward = by_name["aten::matmul"], by_name["forward"]
    assert product.cpu_parent is forward and product in forward.cpu_children
    assert product.input_shapes == [[4, 5], [5, 6]] and product.flops == 2 * 4 * 5 * 6
    assert forward.cpu_time_total >= product.cpu_time_total > 0
    assert forward.self_cpu_time_total == pytest.approx(
        forward.cpu_time_total - sum(child.cpu_time_total for child in forward.cpu_children)
    )
    starts = [event.time_range.start for event in p.events()]
    assert starts == sorted(starts) and starts[0] >= 0


def test_averages_and_their_table():
    with profile(record_shapes=True) as p:
        for size in (3, 3, 4):
            torch.ones(size).exp()
    averages = p.key_averages()
    exp = next(average for average in averages if average.key == "aten::exp")
    assert exp.count == 3 and exp.cpu_time == exp.cpu_time_total / 3
    shaped = p.key_averages(group_by_input_shape=True)
    assert sorted(a.count for a in shaped if a.key == "aten::exp") == [1, 2]
    table = averages.table(sort_by="count", row_limit=1)
    lines = table.splitlines()
    assert lines[0] == lines[2] == lines[4] and set(lines[0]) == {"-", " "}
    assert lines[1].split("  ")[-3:] == ["  # of Calls", ""] or lines[1].rstrip().endswith("# of Calls")
    for title in ("Name", "Self CPU %", "Self CPU", "CPU total %", "CPU total", "CPU time avg"):
        assert title in lines[1]
    assert "aten::" in lines[3] and lines[3].split()[-1] == "3" and len(lines) == 6
    assert lines[5].startswith("Self CPU time total: ")
    assert "Input Shapes" in shaped.table() and "[[4]]" in shaped.table()
    assert averages.table(time_unit="s").count("us") == 0
    with pytest.raises(ValueError, match="time_unit"):
        averages.table(time_unit="h")
    assert p.events().total_average().key == "Total"


def test_chrome_trace(tmp_path):
    with profile() as p:
        work()
    path = tmp_path / "trace.json"
    p.export_chrome_trace(str(path))
    events = [event for event in json.loads(path.read_text())["traceEvents"] if event["ph"] == "X"]
    assert {"forward", "aten::matmul"} <= {event["name"] for event in events}
    forward = next(event for event in events if event["name"] == "forward")
    product = next(event for event in events if event["name"] == "aten::matmul")
    assert forward["ts"] <= product["ts"] and product["ts"] + product["dur"] <= forward["ts"] + forward["dur"]
    p.export_chrome_trace(str(tmp_path / "trace.json.gz"))
    assert (tmp_path / "trace.json.gz").read_bytes()[:2] == b"\x1f\x8b"


def test_schedule():
    action = schedule(wait=1, warmup=1, active=2, repeat=2, skip_first=1)
    expected = "NONE NONE WARMUP RECORD RECORD_AND_SAVE NONE WARMUP RECORD RECORD_AND_SAVE NONE NONE NONE".split()
    assert [action(step) for step in range(12)] == [ProfilerAction[name] for name in expected]
    with pytest.raises(AssertionError, match="Invalid profiler schedule arguments"):
        schedule(wait=0, warmup=0, active=0)
    seen = []
    with profile(schedule=action, on_trace_ready=lambda p: seen.append((p.step_num, p.events()))) as p:
        for _ in range(10):
            torch.ones(3).exp()
            p.step()
    assert [number for number, _ in seen] == [5, 9]
    names = [event.name for event in seen[0][1]]
    assert names.count("aten::exp") == 2 and names[0] == "ProfilerStep#3" and "ProfilerStep#4" in names


def test_steps_of_optimizers_and_the_older_interface():
    p = torch.ones(2, requires_grad=True)
    p.grad = torch.ones(2)
    optimizer = torch.optim.SGD([p], lr=0.1)
    with torch.autograd.profiler.profile() as old:
        optimizer.step()
    assert "Optimizer.step#SGD.step" in str(old) and old.self_cpu_time_total > 0
    with pytest.raises(RuntimeError, match="not reentrant"):
        old.__enter__()


def test_nothing_is_recorded_outside_and_one_at_a_time():
    fresh = profile()
    with pytest.raises(AssertionError, match="must be initialized before getting key averages"):
        fresh.key_averages()
    with profile() as p:
        with pytest.raises(RuntimeError, match="already enabled"):
            with profile():
                pass
        torch.ones(2).exp()
    torch.ones(2).sin()
    assert "aten::sin" not in [event.name for event in p.events()]

    @record_function("decorated")
    def decorated():
        return torch.ones(2).exp()

    with profile() as p:
        decorated()
    assert "decorated" in [event.name for event in p.events()]
