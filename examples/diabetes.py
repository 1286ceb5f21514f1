"""Regression on a table, stopped early: how far diabetes has gone after a year, from ten measurements.

    python -m flambeau examples/diabetes.py          # or python examples/diabetes.py with PyTorch

442 patients (data/README.md): 300 to learn from, 71 that say when to stop, 71 to judge by. The learning rate falls when the
held-out loss no longer does (`ReduceLROnPlateau`); after 25 epochs without a better loss the best weights are taken. Compared
with least squares. Draws the losses, and what is foretold against what came.
"""

import csv

import torch
from common import DATA, Training, draw, options
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split


def load():
    with (DATA / "diabetes.csv").open() as file:
        table = torch.tensor([[float(value) for value in row] for row in list(csv.reader(file))[1:]])
    return table[:, :-1], table[:, -1:]


class EarlyStopping:
    """Keeps the weights with the best loss; `over` after `patience` epochs without a better one."""

    def __init__(self, model, patience):
        self.model, self.patience = model, patience
        self.best, self.waited, self.weights = float("inf"), 0, model.state_dict()

    def look(self, loss):
        self.waited += 1
        if loss < self.best:
            self.best, self.waited = loss, 0
            self.weights = {name: value.clone() for name, value in self.model.state_dict().items()}

    @property
    def over(self):
        return self.waited >= self.patience

    def state_dict(self):
        return {"best": self.best, "waited": self.waited, "weights": self.weights}

    def load_state_dict(self, state):
        self.best, self.waited, self.weights = state["best"], state["waited"], state["weights"]


def main(argv=None):
    chosen = options(__doc__, argv, epochs=(300, 10))
    torch.manual_seed(chosen.seed)
    inputs, targets = load()
    parts = random_split(range(len(targets)), [300, 71, 71], generator=torch.Generator().manual_seed(1))
    learnt, held, judged = (torch.tensor(list(part)) for part in parts)
    mean, scale = inputs[learnt].mean(0), inputs[learnt].std(0)
    inputs = (inputs - mean) / scale
    middle, spread = targets[learnt].mean(), targets[learnt].std()
    targets = (targets - middle) / spread
    loader = DataLoader(TensorDataset(inputs[learnt], targets[learnt]), batch_size=30, shuffle=True, drop_last=True)

    width = 16 if chosen.quick else 48
    model = nn.Sequential(
        nn.Linear(10, width), nn.SiLU(), nn.Dropout(0.2), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 1)
    )
    criterion = nn.HuberLoss(delta=1.5)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.05, amsgrad=True)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=8)
    stopping = EarlyStopping(model, 25)
    training = Training(chosen, model, optimizer, scheduler, every=50, stopping=stopping)
    held_losses = []
    while training.done < chosen.epochs and not stopping.over:
        model.train()
        for batch, answers in loader:
            optimizer.zero_grad()
            loss = criterion(model(batch), answers)
            loss.backward()
            optimizer.step()
            training.log(loss.item(), lr=optimizer.param_groups[0]["lr"])
        model.eval()
        with torch.no_grad():
            held_loss = criterion(model(inputs[held]), targets[held]).item()
        held_losses.append((training.step, held_loss))
        scheduler.step(held_loss)
        stopping.look(held_loss)
        training.done += 1
        training.write({"epoch": training.done, "held_out": held_loss})

    training.save()
    model.load_state_dict(stopping.weights)
    model.eval()
    known = torch.cat([inputs[learnt], torch.ones(len(learnt), 1)], dim=1)
    weights = torch.linalg.lstsq(known, targets[learnt]).solution
    with torch.no_grad():
        foretold = model(inputs[judged])
        line = torch.cat([inputs[judged], torch.ones(len(judged), 1)], dim=1) @ weights
    print(
        f"{'stopped early' if stopping.over else 'stopped'} after {training.done} epochs, best held-out loss {stopping.best:.4f}"
    )
    shares = {}
    for name, answer in (("network", foretold), ("least squares", line)):
        left = (answer - targets[judged]).square().mean() / targets[judged].var(correction=0)
        shares[name] = 1 - left.item()
        print(f"{name}: explains {shares[name]:.1%} of the variance of {len(judged)} patients not learnt from")

    def figure(canvas):
        losses, points = canvas.subplots(1, 2)
        first = training.step - len(training.losses) + 1
        losses.plot(range(first, training.step + 1), training.losses, lw=0.5, alpha=0.6, label="training")
        if held_losses:
            losses.plot(*zip(*held_losses), label="held out")
        losses.set(xlabel="step", title="loss", ylim=(0, 0.8))
        losses.legend()
        truth = (targets[judged] * spread + middle).squeeze(1)
        for (name, share), answer in zip(shares.items(), (foretold, line)):
            points.scatter(truth, (answer * spread + middle).squeeze(1), s=14, label=f"{name}: {share:.0%} explained")
        points.axline((150, 150), slope=1, color="gray", lw=0.8)
        points.set(xlabel="how far it went", ylabel="foretold")
        points.legend()

    draw(chosen.out / "diabetes.png", figure, figsize=(10.5, 4.5))


if __name__ == "__main__":
    main()
