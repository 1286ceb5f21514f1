"""The timer of small pieces of code."""

import pytest

import flambeau as torch
from flambeau.utils import benchmark


def measured(*times, number=10, **options):
    return benchmark.Measurement(number, list(times), benchmark.TaskSpec("f(x)", "pass", **options))


def test_a_timer_runs_its_statement():
    seen = []
    timer = benchmark.Timer("seen.append(torch.ones(1))", globals={"seen": seen}, label="append", sub_label="one")
    m = timer.timeit(20)
    assert m.number_per_run == 20 and len(m.times) == 1 and len(seen) >= 22
    assert m.median == m.mean == m.raw_times[0] / 20 and m.title == "append: one"
    m = timer.blocked_autorange(min_run_time=0.01)
    assert sum(m.raw_times) >= 0.01
    assert "append: one" in repr(m) and "1 thread" in repr(m)
    assert torch.get_num_threads() >= 1


def test_statistics():
    m = measured(1.0, 2.0, 3.0, 4.0, 5.0, number=1)
    assert m.median == 3 and m.mean == 3 and m.iqr == 2 and m.has_warnings and not m.meets_confidence(0.5)
    assert measured(1.0, 1.0).meets_confidence() and len(benchmark.Measurement.merge([m, m])[0].times) == 10
    assert benchmark.select_unit(1.5e-7) == ("ns", 1e-9) and benchmark.select_unit(3e-5) == ("us", 1e-6)
    assert benchmark.unit_to_english("us") == "microsecond" and benchmark.trim_sigfig(123456, 3) == 123000


def test_tables():
    table = benchmark.Compare(
        [
            measured(1e-4, label="sum", sub_label="small", description="ours"),
            measured(3e-4, label="sum", sub_label="small", description="theirs"),
            measured(2e-3, label="sum", sub_label="large", description="ours", num_threads=2),
        ]
    )
    text = str(table)
    lines = text.splitlines()
    assert lines[0].startswith("[---") and " sum " in lines[0] and "ours" in lines[1] and "theirs" in lines[1]
    assert [line for line in lines if "small" in line][0].split() == ["small", "|", "10.0", "|", "30.0"]
    assert "2 threads: " in text and "Times are in microseconds (us)." in text
    several = [benchmark.Measurement(1, [1e-3], benchmark.TaskSpec(code, "pass")) for code in ("x[1:]", "x[2:]")]
    assert [line for line in str(benchmark.Compare(several)).splitlines() if "[-" in line and " x[" in line]
    assert "x[1:]" in str(benchmark.Compare(several)) and str(benchmark.Compare(several)).count("Times are in") == 2
    table.colorize()
    assert "\033[92m" in str(table)


def test_what_is_refused():
    with pytest.raises(ValueError):
        benchmark.Timer(lambda: 1)
    with pytest.raises(NotImplementedError):
        benchmark.Timer("1").repeat()
    with pytest.raises(ValueError, match="Expected an instance of `Measurement`"):
        benchmark.Compare([1])
