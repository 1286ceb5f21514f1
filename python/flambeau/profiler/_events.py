"""Recorded events, their averages, and the table and trace that show them."""

import gzip
import json
import os
from collections import OrderedDict

_WIDTH = 12
_UNITS = {"s": 1e6, "ms": 1e3, "us": 1.0}
# Products whose first two matrix operands are arguments 0 and 1, or 1 and 2.
_PRODUCTS = {"aten::mm": 0, "aten::bmm": 0, "aten::matmul": 0, "aten::addmm": 1, "aten::baddbmm": 1}


def _time(microseconds, unit=None):
    if unit is None:
        unit = "s" if microseconds >= 1e6 else "ms" if microseconds >= 1e3 else "us"
    return f"{microseconds / _UNITS[unit]:.3f}{unit}"


def _share(part, whole):
    return "NaN" if whole == 0 and part != 0 else f"{100 * part / whole if whole else 0:.2f}%"


def _flops(name, shapes):
    """Multiplications and additions of a matrix product; 0 for other operators."""
    if name == "aten::linear" and len(shapes) > 1 and shapes[0] and shapes[1]:
        rows = 1
        for size in shapes[0]:
            rows *= size
        return 2 * rows * shapes[1][0]
    first = _PRODUCTS.get(name)
    if first is None or len(shapes) < first + 2 or len(shapes[first]) < 2 or len(shapes[first + 1]) < 2:
        return 0
    total = 2 * shapes[first + 1][-1]
    for size in shapes[first]:
        total *= size
    return total


class _Times:
    """Times of an event or of several, in microseconds."""

    @property
    def cpu_time(self):
        return self.cpu_time_total / self.count if self.count else 0.0

    @property
    def cpu_time_str(self):
        return _time(self.cpu_time)

    @property
    def cpu_time_total_str(self):
        return _time(self.cpu_time_total)

    @property
    def self_cpu_time_total_str(self):
        return _time(self.self_cpu_time_total)

    # Nothing runs on another device.
    device_time = device_time_total = self_device_time_total = 0.0
    cpu_memory_usage = self_cpu_memory_usage = device_memory_usage = self_device_memory_usage = 0
    device_time_str = device_time_total_str = self_device_time_total_str = "0.000us"
    use_device = None
    is_async = is_remote = is_legacy = False
    node_id = -1
    overload_name = ""


class Interval:
    """From `start` to `end`, in microseconds since profiling began."""

    def __init__(self, start, end):
        self.start, self.end = start, end

    def elapsed_us(self):
        return self.end - self.start


class FunctionEvent(_Times):
    """One call of an operator, one node of a backward pass, or one named range."""

    def __init__(self, id, name, kind, start, end, thread, input_shapes):
        self.id, self.name, self.kind, self.thread = id, name, kind, thread
        self.time_range = Interval(start, end)
        self.input_shapes = input_shapes
        self.cpu_parent, self.cpu_children = None, []
        self.count = 1
        self.stack, self.kernels = [], []
        self.flops = _flops(name, input_shapes)

    @property
    def key(self):
        return self.name

    @property
    def is_user_annotation(self):
        return self.kind == "range"

    @property
    def cpu_time_total(self):
        return self.time_range.elapsed_us()

    @property
    def self_cpu_time_total(self):
        return self.cpu_time_total - sum(child.cpu_time_total for child in self.cpu_children)

    def __repr__(self):
        return (
            f"<FunctionEvent id={self.id} name={self.name} cpu_time={self.cpu_time_str} "
            f"start_us={self.time_range.start} end_us={self.time_range.end} "
            f"cpu_children={[child.id for child in self.cpu_children]} thread={self.thread} "
            f"input_shapes={self.input_shapes}>"
        )


class FunctionEventAvg(_Times):
    """What the events of one name took together."""

    def __init__(self):
        self.key, self.input_shapes, self.count, self.flops = None, "", 0, 0
        self.cpu_time_total = self.self_cpu_time_total = 0.0
        self.cpu_parent, self.cpu_children, self.stack = None, None, []
        self.is_user_annotation = False

    def add(self, other):
        """Adds an event, or the sum of others of the same name."""
        if self.key is None:
            self.key, self.input_shapes = other.key, other.input_shapes
            self.is_user_annotation = other.is_user_annotation
            self.cpu_parent = other.cpu_parent
        self.cpu_time_total += other.cpu_time_total
        self.self_cpu_time_total += other.self_cpu_time_total
        self.count += other.count
        self.flops += other.flops
        return self

    __iadd__ = add

    def __repr__(self):
        return (
            f"<FunctionEventAvg key={self.key} self_cpu_time={self.self_cpu_time_total_str} "
            f"cpu_time={self.cpu_time_str} input_shapes={self.input_shapes}>"
        )


class EventList(list):
    """Events in the order of their beginnings, or their averages."""

    def __init__(self, events=(), *, with_flops=False, averaged=False, by_shape=False):
        super().__init__(events)
        self._with_flops, self._averaged, self._by_shape = with_flops, averaged, by_shape

    @classmethod
    def _of(cls, recorded, begin, *, record_shapes=False, with_flops=False):
        """From `(name, kind, start, end, thread, shapes)` with times in nanoseconds; finds out who called whom."""
        # Of two that begin together the longer is the caller.
        recorded = sorted(recorded, key=lambda event: (event[2], -event[3]))
        events, open_calls = [], {}
        for id, (name, kind, start, end, thread, shapes) in enumerate(recorded):
            event = FunctionEvent(id, name, kind, (start - begin) / 1e3, (end - begin) / 1e3, thread, shapes)
            if not record_shapes:
                event.input_shapes = []
            callers = open_calls.setdefault(thread, [])
            while callers and callers[-1].time_range.end < event.time_range.end:
                callers.pop()
            if callers:
                event.cpu_parent = callers[-1]
                callers[-1].cpu_children.append(event)
            callers.append(event)
            events.append(event)
        return cls(events, with_flops=with_flops, by_shape=record_shapes)

    @property
    def self_cpu_time_total(self):
        """The time of all events together, in microseconds."""
        return sum(event.self_cpu_time_total for event in self)

    def key_averages(self, group_by_input_shapes=False, group_by_stack_n=0, group_by_overload_name=False):
        """The events of each name (and, if asked for, of equal input shapes) taken together."""
        groups = OrderedDict()
        for event in self:
            key = (event.key, str(event.input_shapes) if group_by_input_shapes else "")
            groups.setdefault(key, FunctionEventAvg()).add(event)
        for average in groups.values():
            if not group_by_input_shapes:
                average.input_shapes = ""
        return EventList(groups.values(), with_flops=self._with_flops, averaged=True, by_shape=group_by_input_shapes)

    def total_average(self):
        """All events taken together."""
        total = FunctionEventAvg()
        for event in self:
            total.add(event)
            total.key = None
        total.key = "Total"
        return total

    def table(
        self,
        sort_by=None,
        row_limit=100,
        max_src_column_width=75,
        max_name_column_width=55,
        max_shapes_column_width=80,
        header=None,
        top_level_events_only=False,
        time_unit=None,
    ):
        """The events as text, a line each.

        Args:
            sort_by: an attribute such as `"cpu_time_total"`, `"self_cpu_time_total"` or `"count"`: largest first.
            row_limit: how many lines; -1 for all.
            time_unit: `"s"`, `"ms"` or `"us"` for all times.
        """
        if not self:
            return ""
        if time_unit is not None and time_unit not in _UNITS:
            raise ValueError(f"Invalid time_unit: {time_unit}. Must be one of 's', 'ms', or 'us'.")
        total = self.self_cpu_time_total
        rows = list(self)
        if sort_by is not None:
            rows.sort(key=lambda event: getattr(event, sort_by), reverse=True)
        if top_level_events_only:
            rows = [event for event in rows if event.cpu_parent is None]
        if row_limit >= 0:
            rows = rows[:row_limit]

        def fitted(text, width):
            return text if width is None or len(text) <= width - 3 else text[: width - 3] + "..."

        def width_of(texts, limit):
            width = max(len(text) for text in texts) + 4
            return width if limit is None else min(width, limit)

        columns = [("Name", width_of([event.key for event in self], max_name_column_width))]
        columns += [
            (title, _WIDTH)
            for title in ("Self CPU %", "Self CPU", "CPU total %", "CPU total", "CPU time avg", "# of Calls")
        ]
        if self._by_shape:
            shapes = [str(event.input_shapes) for event in self]
            columns.append(("Input Shapes", max(width_of(shapes, max_shapes_column_width), _WIDTH)))
        if self._with_flops:
            columns.append(("Total FLOPs", _WIDTH))

        def line(cells):
            return "".join(f"{cell:>{width}}  " for cell, (_, width) in zip(cells, columns))

        rule = line(["-" * width for _, width in columns])
        out = []
        if header is not None:
            out += ["=" * len(rule), header]
        if top_level_events_only:
            out += ["=" * len(rule), "This report only display top-level ops statistics"]
        out += [rule, line([title for title, _ in columns]), rule]
        for event in rows:
            cells = [
                fitted(event.key, max_name_column_width),
                _share(event.self_cpu_time_total, total),
                _time(event.self_cpu_time_total, time_unit),
                _share(event.cpu_time_total, total) if not event.is_async else 0,
                _time(event.cpu_time_total, time_unit),
                _time(event.cpu_time, time_unit),
                event.count,
            ]
            if self._by_shape:
                cells.append(fitted(str(event.input_shapes), max_shapes_column_width))
            if self._with_flops:
                cells.append(event.flops or "--")
            out.append(line(cells))
        out += [rule, f"Self CPU time total: {_time(total, time_unit)}", ""]
        return "\n".join(out)

    def __str__(self):
        return self.table()

    def export_chrome_trace(self, path):
        """Writes the events for `chrome://tracing` or Perfetto; compressed if the name ends with `.gz`."""
        process = os.getpid()
        events = [
            {"ph": "M", "name": "process_name", "pid": process, "tid": 0, "ts": 0, "args": {"name": "python"}},
        ]
        for event in self:
            events.append(
                {
                    "ph": "X",
                    "cat": "user_annotation" if event.is_user_annotation else "cpu_op",
                    "name": event.name,
                    "pid": process,
                    "tid": event.thread,
                    "ts": event.time_range.start,
                    "dur": event.time_range.elapsed_us(),
                    "args": {"External id": event.id, "Input Dims": event.input_shapes},
                }
            )
        trace = {"schemaVersion": 1, "displayTimeUnit": "ms", "traceEvents": events}
        with gzip.open(path, "wt") if str(path).endswith(".gz") else open(path, "w") as file:
            json.dump(trace, file)

    def export_stacks(self, path, metric):
        """Writes one line for each chain of calls, with its own time in microseconds, as flame graphs want them."""
        if metric != "self_cpu_time_total":
            raise ValueError("metric should be one of: ['self_cpu_time_total']")
        chains = OrderedDict()
        for event in self:
            chain, caller = [], event
            while caller is not None:
                chain.append(caller.name.translate(str.maketrans(" ;\n\t", "____")))
                caller = caller.cpu_parent
            key = ";".join(reversed(chain))
            chains[key] = chains.get(key, 0) + event.self_cpu_time_total
        with open(path, "w") as file:
            for chain, time in chains.items():
                if int(time) > 0:
                    file.write(f"{chain} {int(time)}\n")
