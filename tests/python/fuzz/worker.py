"""Workers: processes that make random calls or read damaged files, so that one that aborts or hangs is noticed and named.

`python -m fuzz.worker SEED` (in tests/python) repeats one call by itself, `python -m fuzz.worker --module files SEED` one file.
"""

import importlib
import json
import mmap
import os
import signal
import struct
import subprocess
import sys
import tempfile
import time

# One call may not take longer, in seconds of processor time.
LIMIT = float(os.environ.get("FLAMBEAU_FUZZ_LIMIT", "10"))
# Address space of a worker: allocations beyond it fail.
MEMORY = 3 << 29


def confine():
    """Limits memory, so that sizes beyond it fail as they would on any machine."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, ValueError, OSError):
        pass


def serve(module, path):
    """Reads `first count` lines and answers each with the failures, as JSON; notes each seed in shared memory."""
    confine()
    checks = importlib.import_module("fuzz." + module)

    with open(path, "r+b") as file:
        shared = mmap.mmap(file.fileno(), 16)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        first, count = map(int, line.split())
        failures = []
        for seed in range(first, first + count):
            shared[:16] = struct.pack("<qd", seed, time.process_time())
            problem = checks.run(seed)
            if problem:
                failures.append([seed, problem])
        shared[:16] = struct.pack("<qd", -1, 0.0)
        answers.write(json.dumps(failures) + "\n")
        answers.flush()


class Worker:
    """One process; `throw(first, count)` runs a module's checks in it and lists `(seed, problem)`."""

    def __init__(self, module="checks"):
        self.module = module
        self.process = None
        self.file = tempfile.NamedTemporaryFile()  # noqa: SIM115 - lives as long as the worker
        self.file.write(bytes(16))
        self.file.flush()
        self.shared = mmap.mmap(self.file.fileno(), 16)

    def start(self):
        here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        path = os.pathsep.join([here, *filter(None, sys.path)])
        self.process = subprocess.Popen(
            [sys.executable, "-m", "fuzz.worker", "--serve", self.module, self.file.name],
            cwd=here, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=sys.stderr if os.environ.get("FLAMBEAU_FUZZ_LOUD") else subprocess.DEVNULL, text=True,
            env={**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "RUST_BACKTRACE": "0"},
        )  # fmt: skip

    def stop(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process.stdin.close()
            self.process.stdout.close()
            self.process = None

    def close(self):
        self.stop()
        self.shared.close()
        self.file.close()

    def throw(self, first, count):
        problems, end = [], first + count
        while first < end:
            if self.process is None:
                self.start()
            self.shared[:16] = struct.pack("<qd", -1, 0.0)
            self.process.stdin.write(f"{first} {end - first}\n")
            self.process.stdin.flush()
            answer, seed = self.wait()
            if answer is not None:
                return problems + json.loads(answer)
            # The calls before the deadly one are lost with the process: they are made again, which is cheap.
            code = self.process.poll()
            what = "hung" if code is None else f"killed the process ({name_of(code)})"
            self.stop()
            if seed < 0:
                raise RuntimeError(f"a worker did not start: {what}")
            if seed > first:
                problems += self.throw(first, seed - first)
            problems.append((seed, f"{what}: {told(self.module, seed)}"))
            first = seed + 1
        return problems

    def wait(self):
        """The answer, or None and the seed that the process died or hangs at."""
        import select

        seen, since = None, time.monotonic()
        while True:
            ready, _, _ = select.select([self.process.stdout], [], [], 0.5)
            seed, _ = struct.unpack("<qd", self.shared[:16])
            if ready:
                line = self.process.stdout.readline()
                if line:
                    return line, None
                self.process.wait()
                return None, seed
            if seed != seen:
                seen, since = seed, time.monotonic()
            # Wall time: generous, since the machine may be busy.
            if time.monotonic() - since > 4 * LIMIT:
                return None, seed


def name_of(code):
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"exit status {code}"


def told(module, seed):
    """What a seed stands for in words, by a process of its own: making it may be deadly too."""
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    path = os.pathsep.join([here, *filter(None, sys.path)])
    try:
        done = subprocess.run(
            [sys.executable, "-m", "fuzz.worker", "--show", "--module", module, str(seed)],
            capture_output=True, cwd=here, text=True, timeout=20, env={**os.environ, "PYTHONPATH": path},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"seed {seed}"
    return done.stdout.strip() or f"seed {seed}"


if __name__ == "__main__":
    if sys.argv[1] == "--serve":
        serve(*sys.argv[2:])
    else:
        confine()
        module = sys.argv[sys.argv.index("--module") + 1] if "--module" in sys.argv else "checks"
        checks = importlib.import_module("fuzz." + module)
        seed = int(sys.argv[-1])
        print(checks.show(seed), flush=True)
        if sys.argv[1] != "--show":
            begin = time.perf_counter()
            print(checks.run(seed))
            print(f"{time.perf_counter() - begin:.3f} s")
