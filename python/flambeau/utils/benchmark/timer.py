"""The timer of statements."""

import textwrap
import time
import timeit

import flambeau as torch

from .measurement import Measurement, TaskSpec

__all__ = ["Timer", "timer"]


def timer():
    """Seconds of a clock; work on an accelerator, if any, is waited for."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


class _threads:
    """Runs a block with a number of threads."""

    def __init__(self, number):
        self.number = number

    def __enter__(self):
        self.before = torch.get_num_threads()
        torch.set_num_threads(self.number)

    def __exit__(self, *_):
        torch.set_num_threads(self.before)


class Timer:
    """Times `stmt` after `setup`, both text, with the names of `globals`.

    `label`, `sub_label`, `description` and `env` tell where a measurement stands in the tables of `Compare`.
    """

    _timer_cls = timeit.Timer

    def __init__(
        self,
        stmt="pass",
        setup="pass",
        global_setup="",
        timer=timer,
        globals=None,
        label=None,
        sub_label=None,
        description=None,
        env=None,
        num_threads=1,
        language="python",
    ):
        if not isinstance(stmt, str):
            raise ValueError("Currently only a `str` stmt is supported.")
        if str(language).lower() not in ("python", "py", "language.python"):
            raise NotImplementedError("flambeau.utils.benchmark: only statements in Python can be timed")
        if global_setup:
            raise ValueError("global_setup is C++ only, got `" + repr(global_setup) + "`")
        # The package is at hand under both names; the caller's dictionary stays as it is.
        names = {"torch": torch, "flambeau": torch, **(globals or {})}
        stmt, setup = (_dedented(text) for text in (stmt, setup))
        self._timer = self._timer_cls(stmt=stmt, setup=setup, timer=timer, globals=names)
        self._task_spec = TaskSpec(stmt, setup, global_setup, label, sub_label, description, env, num_threads)

    def _timeit(self, number):
        # Even an empty loop takes some time.
        return max(self._timer.timeit(number), 1e-9)

    def timeit(self, number=1000000):
        """One block of `number` runs, after some to warm up."""
        with _threads(self._task_spec.num_threads):
            self._timeit(max(number // 100, 2))
            return Measurement(number, [self._timeit(number)], self._task_spec)

    def repeat(self, repeat=-1, number=-1):
        raise NotImplementedError("See `Timer.blocked_autorange.`")

    def autorange(self, callback=None):
        raise NotImplementedError("See `Timer.blocked_autorange.`")

    def _block(self, least):
        """Runs in a block that lasts at least a thousandth of `least` and in which the clock does not count."""
        clock = self._clock()
        number = 1
        while True:
            seconds = self._timeit(number)
            if clock / seconds <= 1e-4 and seconds >= least / 1000 or seconds > 0.1:
                return number
            number *= 10

    def _clock(self):
        """Seconds that asking the clock takes."""
        times = sorted(self._timeit_empty() for _ in range(5))
        return times[2]

    def _timeit_empty(self):
        clock = self._timer.timer
        first = clock()
        for _ in range(100):
            clock()
        return max((clock() - first) / 100, 0.0)

    def blocked_autorange(self, callback=None, min_run_time=0.2):
        """Blocks of runs, as long as the clock needs to be exact, until `min_run_time` seconds are over."""
        with _threads(self._task_spec.num_threads):
            number = self._block(min_run_time)
            return self._loop(number, min_run_time, None, lambda _: True, callback)

    def adaptive_autorange(self, threshold=0.1, *, min_run_time=0.01, max_run_time=10.0, callback=None):
        """As `blocked_autorange`, until the quartiles lie closer than `threshold` times the median, or time is up."""
        with _threads(self._task_spec.num_threads):
            number = self._block(0.05)

            def settled(times):
                return len(times) > 3 and Measurement(number, times, self._task_spec).meets_confidence(threshold)

            return self._loop(number, min_run_time, max_run_time, settled, callback)

    def _loop(self, number, least, most, settled, callback):
        total, times = 0.0, []
        while (total < least or not settled(times)) and not (most is not None and total >= most and times):
            seconds = self._timeit(number)
            if callback is not None:
                callback(number, seconds)
            times.append(seconds)
            total += seconds
        return Measurement(number, times, self._task_spec)

    def collect_callgrind(self, number=100, *, repeats=None, collect_baseline=True, retain_out_file=False):
        """Not there: run Python under `valgrind --tool=callgrind` instead."""
        raise NotImplementedError(
            "flambeau.utils.benchmark.Timer.collect_callgrind: counting instructions is not there"
        )


def _dedented(text):
    """Text of several lines may be indented as the code around it is."""
    return textwrap.dedent(text.removeprefix("\n")).rstrip()
