"""Trains a small network on real handwritten digits and draws what it learned.

Runs on PyTorch too: only the import lines differ. Writes digits.svg beside the current directory's `out/`.
"""

import argparse
import csv
import gzip
import math
import sys
import time
from pathlib import Path

import flambeau as torch
from flambeau import nn
from flambeau.utils.data import DataLoader, TensorDataset

DATA = Path(__file__).parent / "data" / "digits.csv.gz"


def load():
    """Images (n, 64) scaled to [0, 1] and their labels (n,)."""
    with gzip.open(DATA, "rt") as file:
        rows = [[float(value) for value in row] for row in csv.reader(file)]
    table = torch.tensor(rows)
    return table[:, :-1] / 16, table[:, -1].long()


class Net(nn.Module):
    def __init__(self, hidden=128):
        super().__init__()
        self.hidden = nn.Linear(64, hidden)
        self.middle = nn.Linear(hidden, hidden)
        self.out = nn.Linear(hidden, 10)
        self.dropout = nn.Dropout(0.1)

    def forward(self, x):
        x = torch.relu(self.hidden(x))
        x = self.dropout(torch.relu(self.middle(x)))
        return self.out(x)


def train(model, loader, optimizer, criterion):
    model.train()
    total = 0.0
    for images, labels in loader:
        optimizer.zero_grad()
        loss = criterion(model(images), labels)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(labels)
    return total / len(loader.dataset)


@torch.no_grad()
def evaluate(model, images, labels, criterion):
    model.eval()
    scores = model(images)
    guesses = scores.argmax(dim=1)
    return criterion(scores, labels).item(), (guesses == labels).float().mean().item(), guesses


def progress(epoch, epochs, loss, accuracy):
    if not sys.stderr.isatty():
        return
    done = int(30 * epoch / epochs)
    bar = "█" * done + "·" * (30 - done)
    sys.stderr.write(f"\r{bar} {epoch}/{epochs}  loss {loss:.4f}  held-out {accuracy:.2%} ")
    if epoch == epochs:
        sys.stderr.write("\n")


def draw(history, images, labels, guesses, path):
    """An SVG: the loss curves, and held-out digits with what the network took them for (mistakes first)."""
    width, height = 860, 330
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    low = min(min(a, b) for a, b in history)
    high = max(max(a, b) for a, b in history)

    def place(i, loss):
        x = 50 + 330 * i / max(len(history) - 1, 1)
        share = (math.log(loss) - math.log(low)) / max(math.log(high) - math.log(low), 1e-9)
        return f"{x:.1f},{280 - 230 * share:.1f}"

    for column, (name, color) in enumerate((("training", "#1f77b4"), ("held out", "#ff7f0e"))):
        points = " ".join(place(i, pair[column]) for i, pair in enumerate(history))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="2"/>')
        parts.append(f'<text x="{290}" y="{60 + 18 * column}" fill="{color}">{name}</text>')
    parts.append('<path d="M50 45V280H385" fill="none" stroke="#888"/>')
    parts.append(f'<text x="50" y="30">cross-entropy (log scale, {low:.3f} to {high:.3f})</text>')
    parts.append('<text x="330" y="298">epoch</text>')
    order = sorted(range(len(labels)), key=lambda i: guesses[i].item() == labels[i].item())[:24]
    for place_number, i in enumerate(order):
        x, y = 430 + 68 * (place_number % 6), 45 + 70 * (place_number // 6)
        for p, value in enumerate(images[i].tolist()):
            shade = round(255 * (1 - value))
            parts.append(
                f'<rect x="{x + 6 * (p % 8)}" y="{y + 6 * (p // 8)}" width="6.2" height="6.2" '
                f'fill="rgb({shade},{shade},{shade})"/>'
            )
        guess, label = guesses[i].item(), labels[i].item()
        color, text = ("#2a7", str(guess)) if guess == label else ("#d33", f"{guess} (is {label})")
        parts.append(f'<text x="{x}" y="{y + 62}" fill="{color}">{text}</text>')
    parts.append('<text x="430" y="30">held-out digits, mistakes first</text></svg>')
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(parts))


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("out"))
    parser.add_argument("--hidden", type=int, default=128, help="width of the hidden layers")
    parser.add_argument("--save", type=Path, help="writes the trained model to this .safetensors file")
    options = parser.parse_args(argv)

    torch.manual_seed(options.seed)
    images, labels = load()
    order = torch.randperm(len(labels))
    images, labels = images[order], labels[order]
    split = 1437
    loader = DataLoader(TensorDataset(images[:split], labels[:split]), batch_size=32, shuffle=True)
    held_images, held_labels = images[split:], labels[split:]

    model = Net(options.hidden)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=15, gamma=0.4)
    start, history = time.perf_counter(), []
    for epoch in range(1, options.epochs + 1):
        loss = train(model, loader, optimizer, criterion)
        held_loss, accuracy, guesses = evaluate(model, held_images, held_labels, criterion)
        scheduler.step()
        history.append((loss, held_loss))
        progress(epoch, options.epochs, loss, accuracy)

    print(f"{'digit':>5} {'images':>7} {'right':>6} {'share':>8}")
    for digit in range(10):
        chosen = held_labels == digit
        right = (guesses[chosen] == digit).sum().item()
        count = chosen.sum().item()
        print(f"{digit:>5} {count:>7} {right:>6} {right / count:>8.1%}")
    print(f"\nheld-out accuracy {accuracy:.2%} after {options.epochs} epochs, {time.perf_counter() - start:.1f} s")
    draw(history, held_images, held_labels, guesses, options.out / "digits.svg")
    print(f"picture: {options.out / 'digits.svg'}")
    if options.save:
        from flambeau.utils.safetensors import save_file

        save_file(model.state_dict(), options.save)
        print(f"model: {options.save}")
    return accuracy


if __name__ == "__main__":
    main()
