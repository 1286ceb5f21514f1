"""An environment with packages from PyPI, and programs run in it with flambeau in place of torch."""

import os
import pathlib
import subprocess
import venv

import flambeau

ORDINARY = ["numpy", "scipy", "scikit-learn", "tqdm", "tabulate", "packaging", "typing_extensions"]


def environment(folder, for_torch, ordinary=ORDINARY):
    """The interpreter of a fresh environment; packages that name torch as a dependency come without theirs."""
    venv.create(folder, with_pip=True)
    found = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    pip = [str(found), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *ordinary], check=True)
    subprocess.run([*pip, "--no-deps", *for_torch], check=True)
    return found


def check(python, name, text, folder):
    """Runs a program, which has to end well, and gives what it printed."""
    program = folder / f"{name}_program.py"
    program.write_text(text)
    root = pathlib.Path(flambeau.__file__).parents[1]
    variables = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(
        [python, "-m", "flambeau", program], env=variables, capture_output=True, text=True, timeout=600, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
