"""`torch.profiler.profiler`: the profile and what it is made of."""

from ._profile import (  # noqa: F401
    ProfilerAction,
    ProfilerActivity,
    profile,
    record_function,
    schedule,
    supported_activities,
    tensorboard_trace_handler,
)

__all__ = ["ProfilerAction", "profile", "schedule", "supported_activities", "tensorboard_trace_handler"]


def _default_schedule_fn(_):
    """Records every step."""
    return ProfilerAction.RECORD
