"""The older interface to `flambeau.profiler`."""

from flambeau import _C
from flambeau.profiler import EventList, FunctionEvent, FunctionEventAvg, kineto_available, record_function

__all__ = [
    "EventList", "FunctionEvent", "FunctionEventAvg", "emit_itt", "emit_nvtx", "kineto_available", "profile",
    "record_function",
]  # fmt: skip


class profile:
    """Records what runs within `with profile() as p:`; `print(p)` shows it."""

    def __init__(
        self,
        enabled=True,
        *,
        use_cuda=False,
        use_device=None,
        record_shapes=False,
        with_flops=False,
        profile_memory=False,
        with_stack=False,
        with_modules=False,
        use_kineto=False,
        use_cpu=True,
        experimental_config=None,
        acc_events=False,
        custom_trace_id_callback=None,
    ):
        self.enabled = enabled
        self.record_shapes, self.with_flops = record_shapes, with_flops
        self.entered = False
        self.function_events = None

    def __enter__(self):
        if not self.enabled:
            return None
        if self.entered:
            raise RuntimeError("Profiler context manager is not reentrant")
        if _C._profiler_enabled():
            raise RuntimeError("Profiler is already enabled on this thread")
        self.entered = True
        self._begun = _C._profiler_now()
        _C._profiler_start()
        return self

    def __exit__(self, exc_type, exc_value, traceback):
        if self.enabled:
            settings = {"record_shapes": self.record_shapes, "with_flops": self.with_flops}
            self.function_events = EventList._of(_C._profiler_stop(), self._begun, **settings)
        return False

    def _finished(self):
        if self.function_events is None:
            raise RuntimeError("Profiler didn't finish running")
        return self.function_events

    def __str__(self):
        return "<unfinished torch.autograd.profile>" if self.function_events is None else str(self.function_events)

    __repr__ = __str__

    def table(self, sort_by=None, row_limit=100, max_src_column_width=75, max_name_column_width=55, **settings):
        """See `EventList.table`."""
        return self._finished().table(sort_by, row_limit, max_src_column_width, max_name_column_width, **settings)

    def key_averages(self, group_by_input_shape=False, group_by_stack_n=0, group_by_overload_name=False):
        """See `EventList.key_averages`."""
        return self._finished().key_averages(group_by_input_shape, group_by_stack_n)

    def total_average(self):
        """All events taken together."""
        return self._finished().total_average()

    def export_chrome_trace(self, path):
        """Writes a trace for `chrome://tracing` or Perfetto."""
        self._finished().export_chrome_trace(path)

    @property
    def self_cpu_time_total(self):
        """The time of all events together, in microseconds."""
        return self._finished().self_cpu_time_total


class emit_nvtx:
    """Marks every operator for NVIDIA's profiler. It takes an NVIDIA device, so only `enabled=False` can be entered."""

    _missing = "NVTX functions not installed. Are you sure you have a CUDA build?"

    def __init__(self, enabled=True, record_shapes=False):
        self.enabled, self.record_shapes = enabled, record_shapes

    def __enter__(self):
        if self.enabled:
            raise RuntimeError(self._missing)

    def __exit__(self, exc_type, exc_value, traceback):
        return False


class emit_itt(emit_nvtx):
    """Marks every operator for Intel's profiler. This build has none, so only `enabled=False` can be entered."""

    _missing = "ITT functions not installed. Are you sure you have a ITT build?"


def _profiler_enabled():
    """Whether a profile is being recorded in this thread."""
    return _C._profiler_enabled()


def _disable_profiler():
    """Ends the recording and drops what it has."""
    _C._profiler_stop()
