"""Unmodified PyTorch programs."""

import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(*args, **kwargs):
    return subprocess.run([sys.executable, *args], capture_output=True, text=True, timeout=600, **kwargs)


def test_code_module_and_script(tmp_path):
    program = "import torch, sys\nimport torch.nn as nn\nfrom torch.nn import functional as F\nprint(torch.ones(2) + 1, F.relu(torch.tensor(-1.)), sys.argv[1:])"
    script = tmp_path / "program.py"
    script.write_text(program)
    expected = "tensor([2., 2.]) tensor(0.) ['a', '--b']\n"
    assert run("-m", "flambeau", "-c", program, "a", "--b").stdout == expected
    assert run("-m", "flambeau", str(script), "a", "--b").stdout == expected
    assert run("-m", "flambeau", "-m", "program", "a", "--b", cwd=tmp_path).stdout == expected


def test_missing_part_is_named():
    result = run("-m", "flambeau", "-c", "import torch.nothing_of_the_kind")
    assert result.returncode != 0 and "torch.nothing_of_the_kind" in result.stderr


def test_digits(tmp_path):
    result = run(str(EXAMPLES / "digits.py"), "--epochs", "25", "--out", str(tmp_path))
    assert result.returncode == 0, result.stderr
    accuracy = float(result.stdout.split("held-out accuracy ")[1].split("%")[0])
    assert accuracy > 97
    assert (tmp_path / "digits.svg").read_text().startswith("<svg")
