"""A convolutional network that reads handwritten digits, trained on randomly disturbed images.

    python -m flambeau examples/digits_cnn.py        # or python examples/digits_cnn.py with PyTorch

1,437 images of 8×8 pixels are learnt from and 360 held out (data/README.md). Two convolutions with batch normalisation, pooling and
dropout, each image turned, stretched and moved at random whenever it is seen; in the manner of LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition" (1998).
Draws the losses, the first layer's filters and the held-out digits that the network is least sure of.
"""

import csv
import gzip

import torch
import torch.nn.functional as F
from common import DATA, Training, draw, options
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def load():
    """Images (n, 1, 8, 8) scaled to [0, 1] and their labels (n,)."""
    with gzip.open(DATA / "digits.csv.gz", "rt") as file:
        table = torch.tensor([[float(value) for value in row] for row in csv.reader(file)])
    return table[:, :-1].reshape(-1, 1, 8, 8) / 16, table[:, -1].long()


class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.first = nn.Conv2d(1, width, 3, padding=1, bias=False)
        self.features = nn.Sequential(
            self.first,
            nn.BatchNorm2d(width),
            nn.GELU(),
            nn.Conv2d(width, 2 * width, 3, padding=1, bias=False),
            nn.BatchNorm2d(2 * width),
            nn.GELU(),
            nn.AvgPool2d(2),
            nn.Dropout(0.2),
        )
        self.out = nn.Linear(2 * width * 16, 10)

    def forward(self, x):
        return self.out(self.features(x).flatten(1))


def disturbed(images, turn=0.15, stretch=0.1, shift=0.1):
    """Each image turned, stretched, slanted and moved a little, at random."""
    noise = torch.rand(len(images), 4) * 2 - 1
    angle, scale = turn * noise[:, 0], 1 + stretch * noise[:, 1]
    rows = [
        angle.cos() * scale,
        -angle.sin(),
        shift * noise[:, 2],
        angle.sin(),
        angle.cos() * scale,
        shift * noise[:, 3],
    ]
    grid = F.affine_grid(torch.stack(rows, dim=1).view(-1, 2, 3), images.shape, align_corners=False)
    return F.grid_sample(images, grid, padding_mode="zeros", align_corners=False)


def evaluate(model, images, labels):
    model.eval()
    with torch.no_grad():
        scores = model(images)
    model.train()
    return F.cross_entropy(scores, labels).item(), scores.softmax(1)


def main(argv=None):
    chosen = options(__doc__, argv, epochs=(30, 5))
    torch.manual_seed(chosen.seed)
    images, labels = load()
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(1))
    (images, held), (labels, held_labels) = images[order].split([1437, 360]), labels[order].split([1437, 360])
    loader = DataLoader(TensorDataset(images, labels), batch_size=64, shuffle=True)

    model = Net(4 if chosen.quick else 24)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.02)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9, nesterov=True, weight_decay=5e-4)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=8, gamma=0.3)
    training = Training(chosen, model, optimizer, scheduler)
    held_losses = []
    while training.done < chosen.epochs:
        for batch, answers in loader:
            optimizer.zero_grad()
            loss = criterion(model(disturbed(batch)), answers)
            loss.backward()
            optimizer.step()
            training.log(loss.item())
        scheduler.step()
        training.done += 1
        held_loss, chances = evaluate(model, held, held_labels)
        right = (chances.argmax(1) == held_labels).float().mean().item()
        held_losses.append((training.step, held_loss))
        training.say(f"epoch {training.done}", held_out_loss=held_loss, held_out_right=right)
        training.write({"epoch": training.done, "held_out": held_loss, "right": right})

    training.save()
    held_loss, chances = evaluate(model, held, held_labels)
    guesses = chances.argmax(1)
    right = (guesses == held_labels).float().mean().item()
    print(f"held-out accuracy {right:.2%}, parameters {sum(p.numel() for p in model.parameters())}")

    def figure(canvas):
        curves, rest = canvas.subfigures(1, 2, width_ratios=[1, 1.2])
        axes = curves.subplots()
        first = training.step - len(training.losses) + 1
        axes.semilogy(range(first, training.step + 1), training.losses, lw=0.8, label="training")
        if held_losses:
            axes.semilogy(*zip(*held_losses), "o-", label="held out")
        axes.set(xlabel="step", title=f"cross-entropy; {right:.1%} of held-out digits right")
        axes.legend()
        filters, doubts = rest.subfigures(2, 1, height_ratios=[1, 2.6])
        filters.suptitle("filters of the first layer")
        weights = model.first.weight.detach()[:24, 0]
        for place, weight in zip(filters.subplots(2, 12).flat, [*weights, *[None] * 24]):
            place.axis("off")
            if weight is not None:
                place.imshow(weight.numpy(), cmap="RdBu", vmin=-1, vmax=1)
        doubts.suptitle("least sure of")
        sure = chances.gather(1, held_labels[:, None]).squeeze(1)
        for place, i in zip(doubts.subplots(3, 8).flat, sure.argsort().tolist()):
            place.imshow(held[i, 0].numpy(), cmap="gray_r")
            place.set_title(
                f"{guesses[i]} (is {held_labels[i]})", fontsize=8, color="k" if guesses[i] == held_labels[i] else "r"
            )
            place.axis("off")

    draw(chosen.out / "digits_cnn.png", figure, figsize=(12, 5.5))


if __name__ == "__main__":
    main()
