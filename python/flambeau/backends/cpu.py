"""The processor."""

import functools
import os
import platform

__all__ = ["get_cpu_capability"]

_NEEDED = {"AVX512": ("avx512f", "avx512bw", "avx512dq", "avx512vl", "fma"), "AVX2": ("avx2", "fma")}


@functools.cache
def get_cpu_capability():
    """The widest instructions that are used, "AVX512", "AVX2" or "DEFAULT"; ``FLAMBEAU_ISA`` lowers it."""
    allowed = os.environ.get("FLAMBEAU_ISA", "").lower()
    if allowed == "baseline" or platform.machine() not in ("x86_64", "AMD64"):
        return "DEFAULT"
    try:
        with open("/proc/cpuinfo") as file:
            flags = set(next(line for line in file if line.startswith("flags")).split())
    except (OSError, StopIteration):  # it is not known here
        return "DEFAULT"
    levels = [level for level, needed in _NEEDED.items() if flags.issuperset(needed)]
    if allowed == "avx2":
        levels = [level for level in levels if level == "AVX2"]
    return levels[0] if levels else "DEFAULT"
