"""Maximum likelihood with error bars: how measurements of patients bear on their disease, and how sure that is.

    python -m flambeau examples/fisher.py            # or python examples/fisher.py with PyTorch

How far diabetes went in a year (data/README.md) is taken to follow a gamma distribution whose logarithmic mean is linear in age,
sex, body mass index, blood pressure and two measurements of the blood. Once the likelihood is greatest, its second derivatives
there (`torch.autograd.functional.hessian`) are the observed Fisher matrix, and their inverse the covariance of the estimates:
R. A. Fisher, "On the mathematical foundations of theoretical statistics" (1922); B. Efron and D. Hinkley, "Assessing the accuracy
of the maximum likelihood estimator" (1978). Patients are also drawn anew many times and fitted again (the bootstrap). Prints the
table, draws confidence ellipses over what the bootstrap found.
"""

import csv
import math

import torch
from common import DATA, Training, draw, options
from torch import nn
from torch.autograd.functional import hessian, jacobian
from torch.distributions import Gamma, Normal

NAMES = ("age", "sex", "bmi", "bp", "s3", "s5")


def load():
    """A column of ones and the measurements, standardised, and the outcome."""
    with (DATA / "diabetes.csv").open() as file:
        rows = list(csv.DictReader(file))
    inputs = torch.tensor([[float(row[name]) for name in NAMES] for row in rows], dtype=torch.float64)
    inputs = (inputs - inputs.mean(0)) / inputs.std(0)
    outcome = torch.tensor([float(row["progression"]) for row in rows], dtype=torch.float64)
    return torch.cat([torch.ones(len(rows), 1, dtype=torch.float64), inputs], dim=1), outcome


def negative_log_likelihood(theta, inputs, outcome):
    """`theta`: the coefficients, and the logarithm of the gamma distribution's shape."""
    mean, shape = (inputs @ theta[:-1]).exp(), theta[-1].exp()
    return -Gamma(shape, shape / mean).log_prob(outcome).sum()


class Model(nn.Module):
    def __init__(self, start):
        super().__init__()
        self.theta = nn.Parameter(start)

    def forward(self, inputs, outcome):
        return negative_log_likelihood(self.theta, inputs, outcome)


def newton(theta, inputs, outcome, steps=4):
    """The maximum near `theta`."""
    loss = lambda theta: negative_log_likelihood(theta, inputs, outcome)
    for _ in range(steps):
        theta = theta - torch.linalg.solve(hessian(loss, theta), jacobian(loss, theta))
    return theta


def main(argv=None):
    chosen = options(__doc__, argv, steps=(30, 10))
    torch.manual_seed(chosen.seed)
    inputs, outcome = load()
    model = Model(torch.cat([outcome.mean().log()[None], torch.zeros(len(NAMES) + 1, dtype=torch.float64)]))
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=2, line_search_fn="strong_wolfe")
    training = Training(chosen, model, optimizer, every=2)

    def closure():
        optimizer.zero_grad()
        loss = model(inputs, outcome)
        loss.backward()
        return loss

    while training.done < chosen.steps:
        loss = optimizer.step(closure)
        training.done += 1
        training.log(loss.item(), gradient=model.theta.grad.norm().item())
    training.save()

    best = newton(model.theta.detach(), inputs, outcome, steps=2)
    fisher = hessian(lambda theta: negative_log_likelihood(theta, inputs, outcome), best)
    covariance = torch.linalg.inv(fisher)
    errors = covariance.diagonal().sqrt()
    again = []
    for _ in range(20 if chosen.quick else 400):
        drawn = torch.randint(len(outcome), (len(outcome),))
        again.append(newton(best, inputs[drawn], outcome[drawn], steps=3))
    again = torch.stack(again)
    chances = 2 * Normal(0.0, 1.0).cdf(-(best / errors).abs())
    print(f"{'':>10} {'estimate':>9} {'error':>8} {'bootstrap':>9} {'p':>9}")
    for row in zip(
        ("constant", *NAMES, "log shape"), best.tolist(), errors.tolist(), again.std(0).tolist(), chances.tolist()
    ):
        print("{:>10} {:9.4f} {:8.4f} {:9.4f} {:9.2g}".format(*row))
    training.write({"estimate": best.tolist(), "error": errors.tolist()})

    def ellipse(i, j, share):
        """Points around the region that holds the true pair of coefficients with this chance."""
        values, vectors = torch.linalg.eigh(covariance[[i, j]][:, [i, j]])
        turn = torch.linspace(0, 2 * math.pi, 100, dtype=torch.float64)
        circle = torch.stack([turn.cos(), turn.sin()]) * math.sqrt(-2 * math.log(1 - share))
        return best[[i, j], None] + vectors @ (values.sqrt()[:, None] * circle)

    def figure(canvas):
        for axes, (i, j) in zip(canvas.subplots(1, 3), ((3, 4), (5, 6), (1, 2))):
            axes.plot(*again[:, [i, j]].T, ".", ms=3, color="gray", label="bootstrap")
            for share in (0.5, 0.95):
                axes.plot(*ellipse(i, j, share), label=f"{share:.0%}")
            axes.plot(*best[[i, j]], "k+", ms=10)
            axes.set(xlabel=NAMES[i - 1], ylabel=NAMES[j - 1])
        axes.legend()

    draw(chosen.out / "fisher.png", figure, figsize=(12, 4))


if __name__ == "__main__":
    main()
