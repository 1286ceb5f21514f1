"""`profile`: records while a program runs."""

import enum
import functools
import os
import socket
import time
import warnings

from flambeau import _C

from ._events import EventList


class ProfilerActivity(enum.IntEnum):
    """What can be recorded: here, what the processor does."""

    CPU = 0
    XPU = 1
    MTIA = 2
    CUDA = 3
    HPU = 4
    PrivateUse1 = 5

    def __str__(self):
        return f"ProfilerActivity.{self.name}"


class ProfilerAction(enum.Enum):
    """What happens during a step."""

    NONE = 0
    WARMUP = 1
    RECORD = 2
    RECORD_AND_SAVE = 3


def supported_activities():
    """The activities that can be recorded."""
    return {ProfilerActivity.CPU}


def kineto_available():
    """Whether PyTorch's recording library takes part; events are recorded without it."""
    return False


def schedule(*, wait, warmup, active, repeat=0, skip_first=0, skip_first_wait=0):
    """Which steps are recorded: after `skip_first` ones, cycles of `wait` idle, `warmup` discarded and `active` recorded
    steps, `repeat` times (0: without end). `skip_first_wait` other than 0 leaves out the first cycle's wait."""
    if min(wait, warmup, repeat, skip_first) < 0 or active <= 0:
        raise AssertionError(
            f"Invalid profiler schedule arguments. Got wait={wait} (need >= 0), warmup={warmup} (need >= 0), "
            f"active={active} (need > 0), repeat={repeat} (need >= 0), skip_first={skip_first} (need >= 0)."
        )
    if warmup == 0:
        warnings.warn("Profiler won't be using warmup, this can skew profiler results", stacklevel=2)

    def action(step):
        if step < 0:
            raise AssertionError(f"Step must be non-negative. Got {step}.")
        if step < skip_first:
            return ProfilerAction.NONE
        step -= skip_first
        if skip_first_wait != 0:
            step += wait
        cycle = wait + warmup + active
        if repeat > 0 and step >= repeat * cycle:
            return ProfilerAction.NONE
        step %= cycle
        if step < wait:
            return ProfilerAction.NONE
        if step < wait + warmup:
            return ProfilerAction.WARMUP
        return ProfilerAction.RECORD_AND_SAVE if step == cycle - 1 else ProfilerAction.RECORD

    return action


class record_function:
    """Names a range of a program in its profile; a context manager and a decorator."""

    def __init__(self, name, args=None):
        self.name, self.args = name, args
        self._start = None

    def __enter__(self):
        if _C._profiler_enabled():
            self._start = _C._profiler_now()
        return self

    def __exit__(self, *exc_info):
        if self._start is not None:
            _C._profiler_record(self.name, self._start)
            self._start = None

    def __call__(self, function):
        @functools.wraps(function)
        def wrapped(*args, **kwargs):
            with record_function(self.name, self.args):
                return function(*args, **kwargs)

        return wrapped


class profile:
    """Records what runs within `with profile() as p:`, or between `p.start()` and `p.stop()`.

    Args:
        schedule: a function from a step's number to a `ProfilerAction`, see `schedule`; steps end with `p.step()`.
        on_trace_ready: called with the profile when a recorded cycle ends.
        record_shapes: keeps the sizes of operands.
        with_flops: counts the multiplications and additions of matrix products.
        acc_events: keeps the events of earlier cycles.

    The remaining arguments are accepted for PyTorch's sake; memory, stacks and modules are not recorded.
    """

    def __init__(
        self,
        *,
        activities=None,
        schedule=None,
        on_trace_ready=None,
        record_shapes=False,
        profile_memory=False,
        with_stack=False,
        with_flops=False,
        with_modules=False,
        experimental_config=None,
        execution_trace_observer=None,
        acc_events=False,
        custom_trace_id_callback=None,
        post_processing_timeout_s=None,
    ):
        self.activities = set(activities) if activities else supported_activities()
        self.schedule = schedule
        self.on_trace_ready = on_trace_ready
        self.record_shapes, self.with_flops = record_shapes, with_flops
        self.profile_memory, self.with_stack, self.with_modules = profile_memory, with_stack, with_modules
        self.acc_events = acc_events
        self.step_num = 0
        self.current_action = ProfilerAction.NONE
        self._events = None
        self._metadata = {}
        self._recording = False
        self._step_start = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, exc_type, exc_value, traceback):
        self.stop()

    def _action(self):
        return ProfilerAction.RECORD if self.schedule is None else self.schedule(self.step_num)

    def _begin(self):
        if self._recording or self.current_action in (ProfilerAction.NONE, ProfilerAction.WARMUP):
            return
        if _C._profiler_enabled():
            raise RuntimeError("Profiler is already enabled on this thread")
        self._begun = _C._profiler_now()
        _C._profiler_start()
        self._recording = True

    def _end(self, ready):
        if not self._recording:
            return
        self._recording = False
        settings = {"record_shapes": self.record_shapes, "with_flops": self.with_flops}
        events = EventList._of(_C._profiler_stop(), self._begun, **settings)
        if self.acc_events and self._events is not None:
            events = EventList([*self._events, *events], with_flops=self.with_flops, by_shape=self.record_shapes)
        self._events = events
        if ready and self.on_trace_ready is not None:
            self.on_trace_ready(self)

    def _end_step(self):
        if self._recording and self._step_start is not None:
            _C._profiler_record(f"ProfilerStep#{self.step_num}", self._step_start)
        self._step_start = None

    def _begin_step(self):
        if self.schedule is not None and self._recording:
            self._step_start = _C._profiler_now()

    def start(self):
        """Begins."""
        self.current_action = self._action()
        self._begin()
        self._begin_step()

    def step(self):
        """Ends a step of the schedule."""
        self._end_step()
        before = self.current_action
        self.step_num += 1
        self.current_action = self._action()
        if before == ProfilerAction.RECORD_AND_SAVE:
            self._end(ready=True)
        elif before == ProfilerAction.RECORD and self.current_action in (ProfilerAction.NONE, ProfilerAction.WARMUP):
            warnings.warn("Incorrect schedule: RECORD followed by " + self.current_action.name, stacklevel=2)
            self._end(ready=False)
        self._begin()
        self._begin_step()

    def stop(self):
        """Ends."""
        self._end_step()
        self._end(ready=True)
        self.current_action = ProfilerAction.NONE

    def _recorded(self, doing):
        if self._events is None:
            raise AssertionError(f"Profiler must be initialized before {doing}")
        return self._events

    def events(self):
        """The recorded events."""
        return self._recorded("accessing events")

    def key_averages(
        self,
        group_by_input_shape=False,
        group_by_stack_n=0,
        group_by_overload_name=False,
        include_python_functions=False,
    ):
        """The events by name, and by input shapes if asked for (which needs `record_shapes`)."""
        return self._recorded("getting key averages").key_averages(group_by_input_shape, group_by_stack_n)

    def export_chrome_trace(self, path):
        """Writes a trace for `chrome://tracing` or Perfetto."""
        self._recorded("exporting chrome trace").export_chrome_trace(path)

    def export_stacks(self, path, metric="self_cpu_time_total"):
        """Writes chains of calls with their times for a flame graph."""
        self._recorded("exporting stacks").export_stacks(path, metric)

    def add_metadata(self, key, value):
        """Notes something about the run."""
        self._metadata[key] = value

    def add_metadata_json(self, key, value):
        """Notes something about the run, given as JSON."""
        self._metadata[key] = value


def tensorboard_trace_handler(dir_name, worker_name=None, use_gzip=False):
    """An `on_trace_ready` that writes every cycle to a file of its own in a directory."""

    def handler(prof):
        os.makedirs(dir_name, exist_ok=True)
        worker = worker_name or f"{socket.gethostname()}_{os.getpid()}"
        name = f"{worker}.{time.time_ns()}.pt.trace.json" + (".gz" if use_gzip else "")
        prof.export_chrome_trace(os.path.join(dir_name, name))

    return handler
