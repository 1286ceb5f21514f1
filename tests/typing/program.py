"""What a type checker must accept: run by `mypy` in CI, with `flambeau` found through its stubs."""

from __future__ import annotations

import flambeau as torch
from flambeau import Tensor, nn, optim


def attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    scores = query @ key.transpose(-2, -1) / query.size(-1) ** 0.5
    return torch.softmax(scores, dim=-1) @ value


class Net(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(64, width)
        self.out = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.relu(self.hidden(x)))


def train(x: Tensor, y: Tensor) -> float:
    net = Net(32)
    optimizer = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    criterion = nn.CrossEntropyLoss()
    loss = criterion(net(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return float(loss.item())


def shapes() -> None:
    x: Tensor = torch.zeros(2, 3, dtype=torch.float64)
    values, indices = x.max(dim=1)
    total: Tensor = values.sum() + indices.float().mean()
    parts: tuple[Tensor, ...] = torch.split(x, 1)
    rows: list[list[float]] = x.tolist()
    q, r = torch.linalg.qr(x)
    print(total, parts, rows, q, r, x.shape[0], x[0, 1:], x + 1, 2 * x, -x, x.T, x > 0)
    with torch.no_grad():
        x.add_(1).mul_(x)
    del x
