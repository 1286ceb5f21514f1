"""The programs of `examples`: each runs as it does on PyTorch, alone and from where PyTorch left off."""

import importlib.util
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

import flambeau as torch

ROOT = Path(__file__).parents[2]
RECORDED = ROOT / "tests" / "fixtures" / "programs"
LOSSES = json.loads((RECORDED / "losses.json").read_text())
# What each program prints last about what it has learnt.
LAST_WORD = {
    "autoencoder": "evidence lower bound",
    "carbon_dioxide": "LSTM:",
    "cart_pole": "poles stay up",
    "characters": "The Rays of Light",
    "diabetes": "network: explains",
    "digits_cnn": "held-out accuracy",
    "fisher": "log shape",
}


def run(name, folder, *options):
    """What a program prints, and its losses as pairs of step and loss."""
    log = folder / "log.jsonl"
    program = ROOT / "examples" / f"{name}.py"
    command = [sys.executable, "-m", "flambeau", program, "--quick", "--out", folder, "--log", log, *options]
    environment = {**os.environ, "PYTHONPATH": str(Path(torch.__file__).parents[1])}
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, encoding="utf-8", timeout=120, env=environment
    )
    assert done.returncode == 0, done.stderr
    records = map(json.loads, log.read_text().splitlines())
    return done.stdout, [[record["step"], record["loss"]] for record in records if "loss" in record]


def assert_as_recorded(found, expected):
    found = [pair for pair in found if pair[0] <= 100]
    assert [step for step, _ in found] == [step for step, _ in expected] and len(found) >= 5
    for (step, loss), (_, recorded) in zip(found, expected):
        assert math.isclose(loss, recorded, rel_tol=1e-3), (step, loss, recorded)


def test_every_program_is_recorded():
    programs = {file.stem for file in (ROOT / "examples").glob("*.py")} - {"common", "digits"}
    assert programs == set(LOSSES) == set(LAST_WORD)


@pytest.mark.parametrize("name", LAST_WORD)
def test_losses_of_pytorch(name, tmp_path):
    printed, losses = run(name, tmp_path, "--save", tmp_path / "saved.pt")
    assert_as_recorded(losses, LOSSES[name])
    assert printed.count("step ") >= 2 and LAST_WORD[name] in printed
    picture = tmp_path / f"{name}.png"
    if importlib.util.find_spec("matplotlib"):
        assert picture.read_bytes().startswith(b"\x89PNG") and picture.stat().st_size > 10_000
    else:
        assert not picture.exists() and printed.splitlines()[-1].startswith("no picture: matplotlib is not installed")
    state = torch.load(tmp_path / "saved.pt")
    assert state["step"] == losses[-1][0] and state["model"]


@pytest.mark.parametrize("name", LAST_WORD)
def test_going_on_from_pytorch(name, tmp_path):
    begun = torch.load(RECORDED / f"{name}.pt")["step"]
    _, losses = run(name, tmp_path, "--load", RECORDED / f"{name}.pt")
    assert losses[0][0] == begun + 1
    assert_as_recorded(losses, LOSSES[name][begun:])
