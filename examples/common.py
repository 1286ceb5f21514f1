"""What the example programs share: their options, the log of losses, checkpoints and pictures."""

import argparse
import json
import time
from pathlib import Path

import torch

DATA = Path(__file__).parent / "data"


def options(doc, argv=None, **length):
    """The options of a program whose length is given as `unit=(usual, quick)`, with `--unit` filled in."""
    ((unit, (usual, quick)),) = length.items()
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument(f"--{unit}", type=int, help=f"{unit} in all (default: {usual}, or {quick} with --quick)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder of the picture")
    parser.add_argument("--quick", action="store_true", help="a smaller model and less time")
    parser.add_argument("--log", type=Path, help="writes what is logged to this file, a JSON object a line")
    parser.add_argument("--save", type=Path, help="writes a checkpoint to this file at the end")
    parser.add_argument("--load", type=Path, help="goes on from the checkpoint in this file")
    found = parser.parse_args(argv)
    if getattr(found, unit) is None:
        setattr(found, unit, quick if found.quick else usual)
    return found


class Training:
    """A model, its optimizer and its schedule, and how far they have come.

    `step` counts the optimizer's steps and `done` the epochs, or whatever the program counts in. Other things that a
    program must remember are `parts`, objects with `state_dict` and `load_state_dict`.
    """

    def __init__(self, options, model, optimizer, scheduler=None, every=20, **parts):
        self.parts = {"model": model, "optimizer": optimizer, "scheduler": scheduler, **parts}
        self.parts = {name: part for name, part in self.parts.items() if part is not None}
        self.options, self.every = options, every
        self.step = self.done = 0
        self.losses = []
        self.start = time.perf_counter()
        if options.load:
            self.load(options.load)
        if options.log:
            options.log.parent.mkdir(parents=True, exist_ok=True)
            options.log.write_text("")

    def log(self, loss, **more):
        """Counts a step and logs its loss, which is printed every so often."""
        self.step += 1
        self.losses.append(loss)
        self.write({"step": self.step, "loss": loss, **more})
        if self.step % self.every == 0:
            self.say(f"step {self.step}", loss=loss, **more)

    def write(self, record):
        if self.options.log:
            with self.options.log.open("a") as file:
                file.write(json.dumps(record) + "\n")

    def say(self, place, **values):
        shown = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
        print(f"{place:>10}  {shown}  ({time.perf_counter() - self.start:.1f} s)", flush=True)

    def save(self):
        """Writes a checkpoint if `--save` asks for one; the state of the random numbers is part of it."""
        if not self.options.save:
            return
        self.options.save.parent.mkdir(parents=True, exist_ok=True)
        state = {name: part.state_dict() for name, part in self.parts.items()}
        state |= {"step": self.step, "done": self.done, "random": torch.get_rng_state()}
        torch.save(state, self.options.save)
        print(f"checkpoint: {self.options.save}")

    def load(self, path):
        state = torch.load(path)
        for name, part in self.parts.items():
            part.load_state_dict(state[name])
        self.step, self.done = state["step"], state["done"]
        torch.set_rng_state(state["random"])


def draw(path, figure, **size):
    """Calls `figure` with a new matplotlib figure and writes it to `path`; without matplotlib says that it did not."""
    try:
        import matplotlib
    except ImportError:
        print("no picture: matplotlib is not installed (pip install matplotlib)")
        return
    matplotlib.use("Agg")
    from matplotlib import pyplot

    canvas = pyplot.figure(layout="constrained", **size)
    figure(canvas)
    path.parent.mkdir(parents=True, exist_ok=True)
    canvas.savefig(path, dpi=110)
    pyplot.close(canvas)
    print(f"picture: {path}")
