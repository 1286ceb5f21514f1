"""Timing of small pieces of code, as `torch.utils.benchmark`: warmed up, in blocks, with robust statistics, as tables."""

from .compare import Compare
from .measurement import Measurement, TaskSpec, select_unit, trim_sigfig, unit_to_english
from .timer import Timer, timer

__all__ = ["Compare", "Measurement", "TaskSpec", "Timer", "select_unit", "timer", "trim_sigfig", "unit_to_english"]
