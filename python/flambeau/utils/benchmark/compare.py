"""Tables of measurements."""

import math

from .measurement import Measurement, select_unit, trim_sigfig, unit_to_english

__all__ = ["Compare"]

_BEST, _GOOD, _BAD, _VERY_BAD = "\033[92m\033[1m", "\033[34m\033[1m", "\033[2m\033[91m", "\033[31m\033[1m"
_END = "\033[0m\033[0m"


def _unique(items):
    return list(dict.fromkeys(items))


def _label(m):
    """What the measurements of a table have in common."""
    return m.task_spec.label or m.task_spec.stmt


class Compare:
    """Measurements side by side: a table for each label, a row for each sub-label, a column for each description."""

    def __init__(self, results):
        self._results = []
        self.extend_results(results)
        self._trimmed = self._coloured = self._rowwise = self._warn = False

    def extend_results(self, results):
        """Adds measurements."""
        for result in results:
            if not isinstance(result, Measurement):
                raise ValueError(f"Expected an instance of `Measurement`, got {type(result)} instead.")
        self._results.extend(results)

    def trim_significant_figures(self):
        """Shows the figures only that the spread leaves standing."""
        self._trimmed = True

    def colorize(self, rowwise=False):
        """Colours the best and the worst, by column or by row."""
        self._coloured, self._rowwise = True, rowwise

    def highlight_warnings(self):
        """Marks measurements with much spread."""
        self._warn = True

    def print(self):
        """Prints the tables."""
        print(str(self))

    def __str__(self):
        groups = {}
        for m in Measurement.merge(self._results):
            groups.setdefault(_label(m), []).append(m)
        return "\n".join(self._table(group) for group in groups.values())

    def _table(self, results):
        unit, scale = select_unit(min(m.median for m in results))
        columns = _unique(m.task_spec.description for m in results)
        environments = _unique(m.task_spec.env for m in results)
        name = lambda m: (f"({m.task_spec.env})  " if len(environments) > 1 else "") + m.as_row_name  # noqa: E731
        threads = _unique(m.task_spec.num_threads for m in results)
        rows = [
            (t, n) for t in sorted(threads) for n in _unique(name(m) for m in results if m.task_spec.num_threads == t)
        ]
        cells = {(m.task_spec.num_threads, name(m), m.task_spec.description): m for m in results}
        label = max([len(n) for _, n in rows] + [0]) + 6
        texts, widths = [[] for _ in rows], []
        for column in columns:
            found = [cells.get((*row, column)) for row in rows]
            figures = [m.significant_figures if self._trimmed else 3 for m in found if m]
            values = [
                m and (trim_sigfig(m.median / scale, m.significant_figures) if self._trimmed else m.median / scale)
                for m in found
            ]
            least = min((v for v in values if v), default=1.0)
            places = (
                max(min(figures, default=3) - 1 - math.floor(math.log10(max(least, 1e-9))), 0) if self._trimmed else 1
            )
            column_texts = [f"{v:.{places}f}" if v is not None else "" for v in values]
            if self._warn:
                column_texts = [
                    text + (f" (! {m.iqr / m.median * 100:.0f}%)" if m and m.has_warnings else "")
                    for m, text in zip(found, column_texts)
                ]
            head = "" if column is None else str(column)
            widths.append(max([len(t) for t in column_texts] + [len(head)]))
            for row, text in zip(texts, column_texts):
                row.append(text)
        heads = [("" if c is None else str(c)).center(w) for c, w in zip(columns, widths)]
        total = label + sum(w + 5 for w in widths)
        lines = [
            f" {_label(results[0]).splitlines()[0]} ".center(total - 2, "-").join("[]"),
            " " * label + "".join(f"  |  {h}" for h in heads),
        ]
        before = None
        for (count, row), line in zip(rows, texts):
            if count != before:
                lines.append(f"{count} threads: ".ljust(total, "-"))
                before = count
            painted = self._painted((count, row), line, columns, cells, rows)
            padded = [" " * (w - len(t)) + p for t, p, w in zip(line, painted, widths)]
            lines.append(f"      {row}".ljust(label) + "".join(f"  |  {p}" for p in padded))
        lines += ["", f"Times are in {unit_to_english(unit)}s ({unit}).", ""]
        if self._warn and any(m.has_warnings for m in results):
            lines += ["(! XX%) Measurement has high variance, where XX is the IQR / median * 100.", ""]
        return "\n".join(lines)

    def _painted(self, row, texts, columns, cells, rows):
        if not self._coloured:
            return texts
        out = []
        for column, text in zip(columns, texts):
            mine = cells.get((*row, column))
            if mine is None:
                out.append(text)
                continue
            others = [(*row, c) for c in columns] if self._rowwise else [(*r, column) for r in rows]
            others = [cells[key].median for key in others if key in cells]
            ratio = mine.median / min(others)
            paint = (
                _BEST
                if ratio <= 1.0 + 1e-9
                else _GOOD
                if ratio < 1.1
                else _VERY_BAD
                if ratio > 5
                else _BAD
                if ratio > 2
                else ""
            )
            out.append(f"{paint}{text}{_END}" if paint else text)
        return out
