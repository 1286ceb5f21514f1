"""Pictures a second that a DataLoader with two workers decodes: zlib, differences between neighbours as in PNG, normalisation.

    python -m flambeau benchmarks/data_loader.py                  # of flambeau
    python benchmarks/data_loader.py                              # of PyTorch
    python benchmarks/data_loader.py --compare PYTHON             # both by turns and their ratio

With `--compare`, this interpreter has flambeau and PYTHON has PyTorch. `--work` multiplies matrices in the main process after each batch.
"""

import argparse
import statistics
import subprocess
import sys
import time
import zlib


def dataset(torch, count, side):
    import numpy

    generator = numpy.random.default_rng(0)
    page = numpy.add.outer(numpy.arange(side), numpy.arange(side))[..., None] + numpy.arange(3) * 40
    coded = []
    for _ in range(min(count, 64)):
        picture = (page * generator.integers(1, 4) + generator.integers(0, 12, (side, side, 3))).astype("uint8")
        difference = numpy.diff(picture, axis=1, prepend=numpy.zeros((side, 1, 3), "uint8"))
        coded.append(zlib.compress(difference.tobytes(), 6))

    class Pictures(torch.utils.data.Dataset):
        def __len__(self):
            return count

        def __getitem__(self, i):
            difference = numpy.frombuffer(zlib.decompress(coded[i % len(coded)]), "uint8").reshape(side, side, 3)
            picture = numpy.add.accumulate(difference, axis=1, dtype="uint8")
            tensor = torch.from_numpy(picture).permute(2, 0, 1).float().div(255)
            return (tensor - 0.5) / 0.25, i % 10

    return Pictures()


def measure(options):
    import torch
    import torch.utils.data

    torch.set_num_threads(1)
    loader = torch.utils.data.DataLoader(
        dataset(torch, options.count, options.side), batch_size=options.batch, num_workers=options.workers, shuffle=True,
        persistent_workers=options.workers > 0,
    )  # fmt: skip
    weight = torch.ones(400, 400)
    rates = []
    for _ in range(options.passes + 1):
        start, seen, total = time.perf_counter(), 0, 0.0
        for pictures, labels in loader:
            seen += len(labels)
            total += pictures[:, 0, 0, 0].sum().item()
            for _ in range(options.work):
                weight @ weight
        assert seen == options.count and total == total
        rates.append(seen / (time.perf_counter() - start))
    # The first pass starts the workers.
    return statistics.median(rates[1:])


def compare(options, arguments):
    rounds = []
    for _ in range(options.rounds):
        pair = []
        for command in ([sys.executable, "-m", "flambeau"], [options.compare]):
            done = subprocess.run([*command, __file__, *arguments], check=True, capture_output=True, text=True)
            pair.append(float(done.stdout.split()[0]))
        rounds.append(pair)
        print("flambeau {:.0f}, PyTorch {:.0f} pictures/s: {:.2f}".format(*pair, pair[0] / pair[1]), flush=True)
    print(f"ratio {statistics.median(a / b for a, b in rounds):.2f} (above 1: flambeau is faster)")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--compare", metavar="PYTHON")
    parser.add_argument("--rounds", type=int, default=5)
    sizes = {"count": 1600, "side": 96, "batch": 32, "workers": 2, "passes": 3, "work": 0}
    for name, value in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    if options.compare:
        compare(options, [part for name in sizes for part in (f"--{name}", str(getattr(options, name)))])
    else:
        print(f"{measure(options):.0f} pictures/s")


if __name__ == "__main__":
    main()
