"""Damaged and hostile files are refused with an error of those documented, soon and in little memory, or read.

FLAMBEAU_FUZZ_FILES sets the number of files; `python test_bad_files.py COUNT [FIRST]` reads as many and lists what is wrong;
`python -m fuzz.worker --module files SEED` in this folder repeats one.
"""

import os
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from fuzz import files  # noqa: E402
from fuzz.worker import Worker  # noqa: E402

FILES = int(os.environ.get("FLAMBEAU_FUZZ_FILES", "6000"))


def test_hostile_files():
    hostile = files.pages()[0]
    worker = Worker("files")
    try:
        problems = worker.throw(0, len(hostile))
    finally:
        worker.close()
    assert not problems, "\n".join(text for _, text in problems)


def test_damaged_files():
    worker = Worker("files")
    try:
        problems = worker.throw(1 << 32, FILES)
    finally:
        worker.close()
    assert not problems, "\n".join(f"{seed}: {text}" for seed, text in problems)


def test_good_files_are_read_and_damage_is_found():
    """The checks see something: good files load, and both answers to damage occur."""
    for kind, data in files.pages()[1]:
        assert kind == "torch" or files.read(kind, data)
    answers = set()
    for seed in range(1 << 33, (1 << 33) + 300):
        kind, name, data = files.make(seed)
        try:
            files.read(kind, data)
            answers.add((name, "read"))
        except Exception as error:
            answers.add((name, type(error).__name__))
    assert {name for name, _ in answers} == {"written", "spliced", "within", "mutated"}
    assert {"read", "UnpicklingError", "RuntimeError", "ValueError"} <= {answer for _, answer in answers}


def main(count, first=1 << 40, batch=2000):
    """Reads `count` files and prints what is wrong with the reading of each."""
    worker, start, wrong = Worker("files"), time.time(), 0
    for begin in range(first, first + count, batch):
        for seed, text in worker.throw(begin, min(batch, first + count - begin)):
            wrong += 1
            print(f"{seed}: {text}", flush=True)
        if (begin - first) // batch % 25 == 24:
            print(f"{begin - first + batch} files, {wrong} wrong, {time.time() - start:.0f} s", flush=True)
    worker.close()
    print(f"{count} files, {wrong} wrong, {time.time() - start:.0f} s")
    return wrong


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])) > 0)
