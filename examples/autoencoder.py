"""A variational autoencoder that lays handwritten digits out on a plane.

    python -m flambeau examples/autoencoder.py       # or python examples/autoencoder.py with PyTorch

1,797 images of 8×8 pixels (data/README.md) are described by two numbers each, drawn from a normal distribution that the encoder
gives; the decoder makes the image again. What is made small is the negative evidence lower bound of Kingma and Welling,
"Auto-encoding variational Bayes" (2014). Draws the plane: where the digits lie, and what the decoder makes of each place.
"""

import csv
import gzip

import torch
import torch.nn.functional as F
from common import DATA, Training, draw, options
from torch import nn
from torch.distributions import ContinuousBernoulli, Independent, Normal, kl_divergence
from torch.utils.data import DataLoader, TensorDataset


def load():
    """Images (n, 64) scaled to [0, 1] and their labels (n,)."""
    with gzip.open(DATA / "digits.csv.gz", "rt") as file:
        table = torch.tensor([[float(value) for value in row] for row in csv.reader(file)])
    return table[:, :-1] / 16, table[:, -1].long()


class Autoencoder(nn.Module):
    def __init__(self, width, latent=2):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Linear(64, width), nn.ELU(), nn.Linear(width, width), nn.ELU(), nn.Linear(width, 2 * latent)
        )
        self.decoder = nn.Sequential(
            nn.Linear(latent, width), nn.ELU(), nn.Linear(width, width), nn.ELU(), nn.Linear(width, 64)
        )
        self.register_buffer("middle", torch.zeros(latent))

    def encode(self, images):
        mean, log_scale = self.encoder(images).chunk(2, dim=-1)
        return Independent(Normal(mean, log_scale.exp()), 1)

    def decode(self, codes):
        return Independent(ContinuousBernoulli(logits=self.decoder(codes)), 1)

    def loss(self, images):
        """How badly images are made again, and how far their codes are from what is expected of codes."""
        codes = self.encode(images)
        expected = Independent(Normal(self.middle, torch.ones_like(self.middle)), 1).expand(codes.batch_shape)
        again = -self.decode(codes.rsample()).log_prob(images)
        return again.mean(), kl_divergence(codes, expected).mean()


def main(argv=None):
    chosen = options(__doc__, argv, epochs=(60, 4))
    torch.manual_seed(chosen.seed)
    images, labels = load()
    loader = DataLoader(TensorDataset(images), batch_size=64, shuffle=True)
    model = Autoencoder(16 if chosen.quick else 96)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.97)
    training = Training(chosen, model, optimizer, scheduler, every=50)
    while training.done < chosen.epochs:
        for (batch,) in loader:
            optimizer.zero_grad()
            again, distance = model.loss(batch)
            # Codes may say much at first, so that they come to say something.
            weight = min(1.0, 0.1 + training.step / 500)
            loss = again + weight * distance
            loss.backward()
            optimizer.step()
            training.log(loss.item(), again=again.item(), distance=distance.item())
        scheduler.step()
        training.done += 1

    training.save()
    model.eval()
    with torch.no_grad():
        codes = model.encode(images).mean
        again, distance = model.loss(images)
        print(
            f"evidence lower bound {-(again + distance).item():.2f} nats an image, of which the codes cost {distance.item():.2f}"
        )
        quantiles = torch.linspace(0.03, 0.97, 14)
        steps = Normal(0.0, 1.0).icdf(quantiles)
        grid = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=-1)
        made = model.decoder(grid).sigmoid().view(14, 14, 8, 8)
        made = F.pad(made, (1, 1, 1, 1)).flip(0).permute(0, 2, 1, 3).reshape(140, 140)
    spread = torch.stack([codes[labels == digit].mean(0) for digit in range(10)])
    print("middles of the digits:", ", ".join(f"{d} ({x:.1f}, {y:.1f})" for d, (x, y) in enumerate(spread.tolist())))

    def figure(canvas):
        plane, page, losses = canvas.subplots(1, 3)
        points = plane.scatter(*codes.T.numpy(), c=labels.numpy(), cmap="tab10", s=5)
        plane.legend(*points.legend_elements(), ncols=2, fontsize=7)
        plane.set_title("where the digits lie")
        page.imshow(made.numpy(), cmap="gray_r")
        page.set_title("what is made of each place")
        page.axis("off")
        losses.plot(training.losses, lw=0.6)
        losses.set(xlabel="step", title="loss")

    draw(chosen.out / "autoencoder.png", figure, figsize=(13, 4.4))


if __name__ == "__main__":
    main()
