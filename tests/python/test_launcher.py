"""Unmodified PyTorch programs."""

import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.mark.parametrize(
    "code, name",
    [
        ("import torch.nothing_of_the_kind", "torch.nothing_of_the_kind"),
        ("import torch.export", "torch.export"),
        ("import torch; torch.export.export", "torch.export"),
        ("from torch import export", "export"),
        ("import torch; torch.onnx.export", "torch.onnx"),
        ("from torch.onnx import export", "export"),
        ("import torch.nn.quantized.dynamic", "torch.nn.quantized"),
        ("from torch.nn import NothingOfTheKind", "NothingOfTheKind"),
        ("import torch; torch.nothing_of_the_kind", "nothing_of_the_kind"),
        ("import torch.utils.nothing_of_the_kind", "torch.utils.nothing_of_the_kind"),
    ],
)
def test_missing_part_is_named(code, name):
    result = run("-m", "flambeau", "-c", code)
    assert result.returncode == 1 and name in result.stderr.splitlines()[-1]


def test_same_modules_under_both_names():
    code = """
import torch, flambeau, torch.nn.functional as F, torch.optim.lr_scheduler, torch.utils.data as d, importlib, pickle
assert torch is flambeau and F is flambeau.nn.functional and d is flambeau.utils.data
assert torch.optim.lr_scheduler.StepLR is flambeau.optim.lr_scheduler.StepLR
assert importlib.import_module("torch.nn.modules.linear").Linear is torch.nn.Linear
assert flambeau.nn.__name__ == "torch.nn" and torch.nn.Linear.__module__ == "torch.nn.modules.linear"
assert type(pickle.loads(pickle.dumps(torch.nn.Linear(1, 1)))) is torch.nn.Linear
assert isinstance(torch.ones(1), torch.Tensor) and not hasattr(torch, "export")
print("fine")
"""
    assert run("-m", "flambeau", "-c", code).stdout == "fine\n"
    assert run("-c", "import flambeau; flambeau.install(); flambeau.install()" + code).stdout == "fine\n"


def test_install_after_another_torch(tmp_path):
    (tmp_path / "torch.py").write_text("")
    result = run("-c", "import torch, flambeau; flambeau.install()", cwd=tmp_path)
    assert result.returncode == 1 and "already been imported" in result.stderr


def test_exit_codes_and_usage(tmp_path):
    script = tmp_path / "leaves.py"
    script.write_text("import sys; sys.exit(7)")
    assert run("-m", "flambeau", str(script)).returncode == 7
    script.write_text("1 / 0")
    result = run("-m", "flambeau", str(script))
    assert result.returncode == 1 and f'File "{script}", line 1' in result.stderr
    assert run("-m", "flambeau").returncode == 2 and run("-m", "flambeau", "-c").returncode == 2
    assert run("-m", "flambeau", "--help").stdout.startswith("usage: python -m flambeau")
    assert run("-m", "flambeau", "-", "x", input="import sys, torch; print(torch.ones(1).item(), sys.argv)").stdout == (
        "1.0 ['-', 'x']\n"
    )


def test_neighbours_of_a_script_can_be_imported(tmp_path):
    (tmp_path / "helper_of_script.py").write_text("import torch\nvalue = torch.ones(2).sum().item()")
    (tmp_path / "script.py").write_text(
        "import helper_of_script, sys; print(helper_of_script.value, __name__, __file__)"
    )
    result = run("-m", "flambeau", str(tmp_path / "script.py"))
    assert result.stdout == f"2.0 __main__ {tmp_path / 'script.py'}\n"


@pytest.mark.parametrize("how", ["script", "module"])
def test_processes_started_afresh(tmp_path, how):
    (tmp_path / "starts.py").write_text(
        """
import multiprocessing, sys, torch

def work(x, queue):
    queue.put((torch.tensor(x) * 2).tolist() + sys.argv[1:])

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=work, args=([1, 2], queue))
    process.start()
    print(queue.get(timeout=60), process.join())
"""
    )
    args = [str(tmp_path / "starts.py")] if how == "script" else ["-m", "starts"]
    result = run("-m", "flambeau", *args, "--flag", cwd=tmp_path)
    assert result.stdout == "[2, 4, '--flag'] None\n", result.stderr


def test_digits(tmp_path):
    result = run(str(EXAMPLES / "digits.py"), "--epochs", "25", "--out", str(tmp_path))
    assert result.returncode == 0, result.stderr
    accuracy = float(result.stdout.split("held-out accuracy ")[1].split("%")[0])
    assert accuracy > 97
    assert (tmp_path / "digits.svg").read_text().startswith("<svg")


def test_versions_that_programs_ask_for():
    code = """
import torch, importlib.metadata, importlib.util
assert torch.__version__ == torch.version.__version__ == importlib.metadata.version("torch")
assert torch.__version__ >= "2.1" and torch.__version__ < (3,) and str(torch.__version__).startswith("2.15.0+flambeau")
assert importlib.util.find_spec("torch") is not None and torch.__name__ == "torch"
try:
    importlib.metadata.version("torchvision_that_is_not_there")
except importlib.metadata.PackageNotFoundError:
    print("fine")
"""
    assert run("-m", "flambeau", "-c", code).stdout == "fine\n"
    assert run("-c", "import flambeau; print(flambeau.__version__)").stdout == "0.1.0\n"


def test_compilers_say_once_that_they_do_nothing():
    code = """
import torch
for _ in range(3):
    torch.compile(torch.nn.Linear(1, 1)), torch.compile(lambda x: x), torch.jit.script(torch.nn.Linear(1, 1))
"""
    errors = run("-m", "flambeau", "-c", code).stderr.splitlines()
    assert [line.split(":")[0] for line in errors] == ["torch.compile", "torch.jit.script"]


def test_classes_of_tensors_say_torch():
    code = "import torch; print(torch.torch is torch, torch.Tensor.__module__, torch.nn.Parameter.__module__)"
    assert run("-m", "flambeau", "-c", code).stdout == "True torch torch.nn.parameter\n"
    code = "import pickle, torch; p = torch.nn.Parameter(torch.ones(2)); print(type(pickle.loads(pickle.dumps(p))) is type(p))"
    assert run("-m", "flambeau", "-c", code).stdout == "True\n"


def test_names_of_modules_that_are_attributes():
    code = "import pickle, torch; pickle.dumps(torch.ones(1)); from torch._C._functorch import is_batchedtensor as f; print(f(torch.ones(1)))"
    done = run("-m", "flambeau", "-c", code)
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_operators_carry_names_and_attributes():
    code = """
import pickle, torch, torch.nn.functional as F
F.relu.note = 1
assert F.relu.note == 1 and not hasattr(F.gelu, "note") and torch.relu.__module__ == "torch"
for f in (torch.relu, F.gelu, torch.Tensor.add, torch.linalg.norm):
    data = pickle.dumps(f)
    assert pickle.loads(data) is f and b"torch" in data and b"flambeau" not in data, f
print("fine")
"""
    done = run("-m", "flambeau", "-c", code)
    assert (done.stdout, done.stderr) == ("fine\n", "")
