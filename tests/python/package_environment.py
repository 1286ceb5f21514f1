"""Fresh environments with packages written for PyTorch, and programs run in them with `python -m flambeau`."""

import os
import pathlib
import subprocess
import venv

import flambeau

ORDINARY = ["numpy", "scipy", "scikit-learn", "tqdm", "tabulate", "packaging", "typing_extensions"]


def make(folder, ordinary, for_torch):
    """Makes an environment; `for_torch` name torch as a dependency, so they come without theirs. Gives its Python."""
    venv.create(folder, with_pip=True)
    found = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    pip = [str(found), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *ORDINARY, *ordinary], check=True)
    subprocess.run([*pip, "--no-deps", *for_torch], check=True)
    return found


def run(python, name, text, folder):
    """Runs a program; its errors are the test's."""
    program = folder / f"{name}_program.py"
    program.write_text(text)
    environment = {**os.environ, "PYTHONPATH": str(pathlib.Path(flambeau.__file__).parents[1])}
    done = subprocess.run(
        [python, "-m", "flambeau", program], env=environment, capture_output=True, text=True, timeout=600, cwd=folder
    )
    assert done.returncode == 0, done.stderr
