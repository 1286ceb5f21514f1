"""What a timer measured, and how times are written."""

import dataclasses
import math
import statistics
import textwrap

__all__ = ["Measurement", "TaskSpec", "select_unit", "trim_sigfig", "unit_to_english"]

_UNITS = [("ns", 1e-9, "nanosecond"), ("us", 1e-6, "microsecond"), ("ms", 1e-3, "millisecond"), ("s", 1.0, "second")]
# Wider spreads than these, relative to the median, are worth a warning.
_IQR_WARNING = 0.10
_IQR_GROSS_WARNING = 0.25


def select_unit(t):
    """The unit in which a time in seconds is best written, and its length in seconds."""
    place = min(max(math.floor(math.log10(t) / 3) + 3, 0), 3) if t > 0 else 0
    return _UNITS[place][:2]


def unit_to_english(u):
    """The name of a unit of time."""
    return {short: name for short, _, name in _UNITS}[u]


def trim_sigfig(x, n):
    """`x` rounded to `n` significant figures."""
    if x == 0 or not math.isfinite(x):
        return x
    scale = 10 ** (math.floor(math.log10(abs(x))) + 1 - n)
    return float(round(x / scale) * scale)


@dataclasses.dataclass(init=True, repr=False, eq=True, frozen=True)
class TaskSpec:
    """What is timed: the statement, its setup, how it is called, and the number of threads."""

    stmt: str
    setup: str
    global_setup: str = ""
    label: str | None = None
    sub_label: str | None = None
    description: str | None = None
    env: str | None = None
    num_threads: int = 1

    @property
    def title(self):
        """The label, or the statement."""
        if self.label is not None:
            return self.label + (f": {self.sub_label}" if self.sub_label else "")
        if "\n" not in self.stmt:
            return self.stmt + (f": {self.sub_label}" if self.sub_label else "")
        return f"stmt:{f' ({self.sub_label})' if self.sub_label else ''}\n{textwrap.indent(self.stmt, '  ')}"

    def setup_str(self):
        """The setup as a line (or more), or nothing."""
        if self.setup in ("", "pass"):
            return ""
        if "\n" in self.setup:
            return f"setup:\n{textwrap.indent(self.setup, '  ')}"
        return f"setup: {self.setup}"

    def summarize(self):
        """The title, the description and the setup."""
        parts = [self.title, self.description or "", self.setup_str()]
        return "\n".join(part + ("\n" if "\n" in part else "") for part in parts if part)


@dataclasses.dataclass(init=True, repr=False)
class Measurement:
    """Times of blocks of runs: `raw_times` in seconds, each for `number_per_run` runs."""

    number_per_run: int
    raw_times: list
    task_spec: TaskSpec
    metadata: dict | None = None

    @property
    def times(self):
        """Seconds a run, by block."""
        return [t / self.number_per_run for t in self.raw_times]

    def _sorted(self):
        if not self.raw_times:
            raise ValueError("a measurement without times")
        return sorted(self.times)

    @property
    def median(self):
        return statistics.median(self._sorted())

    @property
    def mean(self):
        return statistics.fmean(self._sorted())

    def _quantile(self, q):
        times = self._sorted()
        at = q * (len(times) - 1)
        low = math.floor(at)
        return times[low] + (at - low) * (times[min(low + 1, len(times) - 1)] - times[low])

    @property
    def iqr(self):
        """The distance of the quartiles."""
        return self._quantile(0.75) - self._quantile(0.25)

    @property
    def significant_figures(self):
        """The decimal places to believe: those that a 95 % interval of the median leaves standing, from the distance of the
        quartiles as if times were normal (which they are not: a rough guide)."""
        n = len(self.raw_times)
        spread = self.iqr / 1.349 / math.sqrt(n) * 1.645 * 2 if n > 1 else 0.0
        relative = max(spread / self.median, 1e-9) if self.median else 1.0
        return min(max(math.floor(-math.log10(relative)) + 1, 1), 5) if n > 1 else 5

    @property
    def has_warnings(self):
        return not self.meets_confidence(_IQR_WARNING)

    def meets_confidence(self, threshold=_IQR_WARNING):
        """Whether the distance of the quartiles is below `threshold` times the median."""
        return self.iqr / self.median < threshold if self.median else True

    @property
    def title(self):
        return self.task_spec.title

    @property
    def env(self):
        return self.task_spec.env

    @property
    def as_row_name(self):
        return self.task_spec.sub_label or self.task_spec.stmt or "[Unknown]"

    def __repr__(self):
        unit, scale = select_unit(self.median)
        lines = [object.__repr__(self), self.task_spec.summarize()]
        n = len(self.raw_times)
        lines.append(f"  {'Median: ' if n > 1 else ''}{self.median / scale:.2f} {unit}")
        if n >= 4:
            low, high = self._quantile(0.25) / scale, self._quantile(0.75) / scale
            lines.append(f"  IQR:    {self.iqr / scale:.2f} {unit} ({low:.2f} to {high:.2f})")
        threads = self.task_spec.num_threads
        runs = "runs per measurement" if n > 1 else "runs "
        lines.append(
            f"  {n} measurement{'s' if n > 1 else ''}, {self.number_per_run} {runs}, {threads} thread{'s' if threads > 1 else ''}"
        )
        if n > 1 and not self.meets_confidence(_IQR_GROSS_WARNING):
            lines.append(
                f"  WARNING: Interquartile range is {self.iqr / self.median * 100:.1f}% of the median measurement."
            )
            lines.append("           This suggests significant environmental influence.")
        elif n > 1 and not self.meets_confidence(_IQR_WARNING):
            lines.append(
                f"  WARNING: Interquartile range is {self.iqr / self.median * 100:.1f}% of the median measurement."
            )
            lines.append("           This could indicate system fluctuation.")
        return "\n".join(lines)

    @staticmethod
    def merge(measurements):
        """Joins measurements of the same task."""
        groups = {}
        for m in measurements:
            groups.setdefault(m.task_spec, []).append(m)
        merged = []
        for spec, group in groups.items():
            number = group[0].number_per_run
            # Blocks of other lengths are expressed in those of the first.
            times = [t * number / m.number_per_run for m in group for t in m.raw_times]
            merged.append(Measurement(number, times, spec))
        return merged
