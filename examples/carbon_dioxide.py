"""An LSTM that continues a century's most famous curve: carbon dioxide in the air on Mauna Loa.

    python -m flambeau examples/carbon_dioxide.py    # or python examples/carbon_dioxide.py with PyTorch

Learns the monthly changes of 1958–1991 (data/README.md; C. D. Keeling's curve), then forecasts 1992–1999 from its own answers,
eight years ahead, and draws the forecast beside what was measured. Compared with the forecast that repeats the changes of the
last year known. The network is that of Hochreiter and Schmidhuber, "Long short-term memory" (1997).
"""

import csv
import math

import torch
import torch.nn.functional as F
from common import DATA, Training, draw, options
from torch import nn


def load():
    """Monthly means from March 1958 on; a gap is filled by the line between its neighbours."""
    with (DATA / "co2.csv").open() as file:
        rows = list(csv.reader(file))[1:]
    values = [float(value) if value else math.nan for row in rows for value in row[1:]][2:]
    known = [i for i, value in enumerate(values) if not math.isnan(value)]
    for left, right in zip(known, known[1:]):
        for i in range(left + 1, right):
            values[i] = values[left] + (values[right] - values[left]) * (i - left) / (right - left)
    return torch.tensor(values)


class Forecaster(nn.Module):
    """From the changes so far, scaled, to the next one."""

    def __init__(self, width, layers):
        super().__init__()
        self.memory = nn.LSTM(1, width, layers, batch_first=True, dropout=0.1 if layers > 1 else 0.0)
        self.out = nn.Linear(width, 1)

    def forward(self, changes, state=None):
        seen, state = self.memory(changes.unsqueeze(-1), state)
        return self.out(seen).squeeze(-1), state


@torch.no_grad()
def forecast(model, changes, months):
    """`months` changes after those given, each fed back."""
    model.eval()
    answer, state = model(changes[None])
    found = [answer[:, -1:]]
    while len(found) < months:
        answer, state = model(found[-1], state)
        found.append(answer)
    model.train()
    return torch.cat(found, dim=1)[0]


def main(argv=None):
    chosen = options(__doc__, argv, steps=(400, 100))
    torch.manual_seed(chosen.seed)
    series = load()
    months = 96
    changes = series.diff()
    learnt = changes[:-months]
    mean, scale = learnt.mean(), learnt.std()
    scaled = (learnt - mean) / scale

    model = Forecaster(12, 1) if chosen.quick else Forecaster(32, 2)
    optimizer = torch.optim.RAdam(model.parameters(), lr=1e-2)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=100, T_mult=3, eta_min=1e-3)
    training = Training(chosen, model, optimizer, scheduler)
    length, size = 60, 16
    while training.done < chosen.steps:
        starts = torch.randint(len(scaled) - length, (size, 1))
        rows = scaled[starts + torch.arange(length + 1)]
        optimizer.zero_grad()
        answers, _ = model(rows[:, :-1])
        # The first year of a stretch only fills the memory.
        loss = F.smooth_l1_loss(answers[:, 12:], rows[:, 13:])
        loss.backward()
        nn.utils.clip_grad_value_(model.parameters(), 0.5)
        optimizer.step()
        scheduler.step()
        training.done += 1
        training.log(loss.item(), lr=scheduler.get_last_lr()[0])

    training.save()
    last = series[-months - 1]
    ahead = last + (forecast(model, scaled, months) * scale + mean).cumsum(0)
    naive = last + learnt[-12:].repeat(months // 12).cumsum(0)
    measured = series[-months:]
    errors = {
        name: (line - measured).square().mean().sqrt().item()
        for name, line in (("LSTM", ahead), ("last year again", naive))
    }
    for name, error in errors.items():
        print(f"{name}: {error:.2f} ppm off over {months // 12} years (root mean square)")

    def figure(canvas):
        curve, losses = canvas.subplots(1, 2, width_ratios=[2, 1])
        years = 1958 + (torch.arange(len(series)) + 2.5) / 12
        curve.plot(years[-240:], series[-240:], "k.", ms=3, label="measured")
        for (name, error), line in zip(errors.items(), (ahead, naive)):
            curve.plot(years[-months:], line, lw=1, label=f"{name}: {error:.2f} ppm off")
        curve.axvline(years[-months].item(), color="gray", ls=":")
        curve.set(xlabel="year", xticks=range(1980, 2001, 4), ylabel="carbon dioxide, ppm")
        curve.legend()
        losses.semilogy(training.losses, lw=0.8)
        losses.set(xlabel="step", title="loss")

    draw(chosen.out / "carbon_dioxide.png", figure, figsize=(11, 4.2))


if __name__ == "__main__":
    main()
