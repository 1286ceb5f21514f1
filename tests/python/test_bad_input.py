"""Bad input raises; it never panics, aborts, hangs or changes an operand, and results do not depend on layouts.

At least 100,000 random calls are made, in worker processes. FLAMBEAU_FUZZ_CALLS sets another number, FLAMBEAU_FUZZ_SEED
another start; `python -m fuzz.worker SEED` in this folder repeats a call.
"""

import os
import pathlib
import sys

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from fuzz import calls  # noqa: E402
from fuzz.worker import Worker  # noqa: E402

CALLS = int(os.environ.get("FLAMBEAU_FUZZ_CALLS", "100000"))
START = int(os.environ.get("FLAMBEAU_FUZZ_SEED", "0"))
BATCH = 500


def test_random_calls():
    worker = Worker()
    made = 0

    def throw(first):
        nonlocal made
        problems = worker.throw(first, BATCH)
        made += BATCH
        assert not problems, "\n".join(f"{seed}: {text}" for seed, text in problems)

    @settings(max_examples=CALLS // BATCH, deadline=None, derandomize=True, database=None, phases=[Phase.generate])
    @given(st.integers(START, START + 2**48))
    def throw_somewhere(first):
        throw(first)

    try:
        throw_somewhere()
        # Hypothesis may draw a place twice, and stop early.
        while made < CALLS:
            throw(START + 2**50 + made)
    finally:
        worker.close()


def test_the_calls_reach_everything():
    """Every operator of the table and every public function is among what is called."""
    named = {name for _, name, _, _ in calls.operators()} | {name for _, name, _ in calls.functions()}
    from flambeau import _C

    for op in _C._declarations():
        if op["places"] and op["places"] != ["_C"]:
            assert op["name"] in named or op["name"] in calls.EXCLUDED or op["name"].startswith("_"), op["name"]
    assert len(calls.modules()) > 100
