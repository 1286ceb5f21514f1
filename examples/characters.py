"""A small transformer that learns to write like Newton, a character at a time.

    python -m flambeau examples/characters.py        # or python examples/characters.py with PyTorch

The text is four questions of the Opticks (data/README.md), 24,000 characters, of which the last tenth is held out. The model is
a decoder with causal attention and layer norms before each block: Radford, Wu, Child, Luan, Amodei and Sutskever, "Language
models are unsupervised multitask learners" (2019). The learning rate warms up and falls with the inverse root of the step, as
in Vaswani et al., "Attention is all you need" (2017). Draws the losses beside those of counting pairs of characters, and what it writes.
"""

import math

import torch
import torch.nn.functional as F
from common import DATA, Training, draw, options
from torch import nn


class Block(nn.Module):
    """Attention to the characters before, and a network for each place."""

    def __init__(self, width, heads, dropout):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.before_attention = nn.LayerNorm(width)
        self.project = nn.Linear(width, 3 * width)
        self.join = nn.Linear(width, width)
        self.network = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 4 * width),
            nn.GELU(),
            nn.Linear(4 * width, width),
            nn.Dropout(dropout),
        )

    def forward(self, x):
        batch, length, width = x.shape
        parts = self.project(self.before_attention(x)).view(batch, length, 3, self.heads, -1)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + F.dropout(self.join(seen.transpose(1, 2).reshape(batch, length, width)), self.dropout, self.training)
        return x + self.network(x)


class Transformer(nn.Module):
    def __init__(self, characters, context, width, heads, layers, dropout):
        super().__init__()
        self.context = context
        self.characters = nn.Embedding(characters, width)
        self.places = nn.Embedding(context, width)
        self.blocks = nn.Sequential(*(Block(width, heads, dropout) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, characters, bias=False)
        self.out.weight = self.characters.weight
        self.apply(self.start)

    @staticmethod
    def start(module):
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=0.05)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)

    def forward(self, ids):
        x = self.characters(ids) + self.places(torch.arange(ids.shape[1]))
        return self.out(self.norm(self.blocks(x)))


def batch(ids, context, size):
    """`size` stretches of the text and, for each place in them, the character that follows."""
    starts = torch.randint(len(ids) - context, (size, 1))
    places = starts + torch.arange(context + 1)
    rows = ids[places]
    return rows[:, :-1], rows[:, 1:]


@torch.no_grad()
def evaluate(model, ids):
    """The mean loss over a text cut into stretches."""
    model.eval()
    rows = ids[: (len(ids) - 1) // model.context * model.context + 1]
    scores = model(rows[:-1].view(-1, model.context))
    model.train()
    return F.cross_entropy(scores.flatten(0, 1), rows[1:]).item()


@torch.no_grad()
def write(model, ids, length, generator, temperature=0.7):
    """Goes on from `ids` by `length` characters."""
    model.eval()
    for _ in range(length):
        scores = model(ids[None, -model.context :])[0, -1]
        next_id = torch.multinomial((scores / temperature).softmax(0), 1, generator=generator)
        ids = torch.cat([ids, next_id])
    model.train()
    return ids


def groups(model, decay):
    """Weight decay for matrices only."""
    parameters = list(model.parameters())
    return [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": decay},
        {"params": [p for p in parameters if p.dim() == 1], "weight_decay": 0.0},
    ]


def pairs_loss(learnt, held, count):
    """The held-out loss of knowing only how often each character follows each other one."""
    table = torch.ones(count, count).index_put((learnt[:-1], learnt[1:]), torch.ones(len(learnt) - 1), accumulate=True)
    return F.nll_loss((table / table.sum(1, keepdim=True)).log()[held[:-1]], held[1:]).item()


def main(argv=None):
    chosen = options(__doc__, argv, steps=(400, 100))
    torch.manual_seed(chosen.seed)
    text = (DATA / "opticks.txt").read_text(encoding="utf-8")
    alphabet = sorted(set(text))
    ids = torch.tensor([alphabet.index(character) for character in text])
    split = len(ids) * 9 // 10
    learnt, held = ids[:split], ids[split:]

    size = (
        {"context": 32, "width": 16, "heads": 2, "layers": 1}
        if chosen.quick
        else {"context": 64, "width": 96, "heads": 4, "layers": 3}
    )
    model = Transformer(len(alphabet), **size, dropout=0.1)
    optimizer = torch.optim.AdamW(groups(model, 0.1), lr=6e-3 if chosen.quick else 3e-3, betas=(0.9, 0.98))
    warm = 50
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: min((n + 1) / warm, math.sqrt(warm / (n + 1))))
    training = Training(chosen, model, optimizer, scheduler)
    held_losses = []
    while training.done < chosen.steps:
        known, following = batch(learnt, model.context, 16)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(known).flatten(0, 1), following.flatten())
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        training.done += 1
        training.log(loss.item(), norm=norm.item())
        if training.done % 50 == 0:
            held_losses.append((training.step, evaluate(model, held)))
            training.write({"step": training.step, "held_out": held_losses[-1][1]})

    training.save()
    pairs = pairs_loss(learnt, held, len(alphabet))
    print(f"held out: {evaluate(model, held):.3f} nats a character; counting pairs {pairs:.3f}")
    generator = torch.Generator().manual_seed(chosen.seed)
    begin = torch.tensor([alphabet.index(character) for character in "The Rays of Light "])
    written = "".join(alphabet[i] for i in write(model, begin, 120 if chosen.quick else 600, generator).tolist())
    print(written)

    def figure(canvas):
        axes, page = canvas.subplots(1, 2)
        first = training.step - len(training.losses) + 1
        axes.plot(range(first, training.step + 1), training.losses, lw=0.8, label="training")
        if held_losses:
            axes.plot(*zip(*held_losses), "o-", label="held out")
        axes.axhline(pairs, color="gray", ls="--", label="counting pairs, held out")
        axes.set(xlabel="step", ylabel="nats a character")
        axes.legend()
        page.axis("off")
        page.set_title("what it writes")
        page.text(0, 1, written.replace("$", r"\$"), va="top", family="monospace", fontsize=7, wrap=True)

    draw(chosen.out / "characters.png", figure, figsize=(11, 4.5))


if __name__ == "__main__":
    main()
