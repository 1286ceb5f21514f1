"""Learns to balance a pole on a cart by trial and error.

    python -m flambeau examples/cart_pole.py         # or python examples/cart_pole.py with PyTorch

The cart and its pole are those of Barto, Sutton and Anderson, "Neuronlike adaptive elements that can solve difficult learning
control problems" (1983), many at a time in one tensor. The actor says how to push and the critic how long the pole will stay up:
Mnih et al., "Asynchronous methods for deep reinforcement learning" (2016), with generalised advantages (Schulman et al., 2016).
Draws how long poles stayed up as learning went on, and the pushes that were learnt.
"""

import math

import torch
import torch.nn.functional as F
from common import Training, draw, options
from torch import nn
from torch.distributions import Categorical

GRAVITY, CART, POLE, HALF_LENGTH, FORCE, SECONDS = 9.8, 1.0, 0.1, 0.5, 10.0, 0.02


class CartPoles:
    """Carts on a track: position, speed, the pole's angle and its speed. A cart whose pole falls starts afresh."""

    def __init__(self, count, longest):
        self.longest = longest
        self.state = torch.empty(count, 4, dtype=torch.float64).uniform_(-0.05, 0.05)
        self.age = torch.zeros(count)
        self.finished = []

    def step(self, push):
        """Pushes left (0) or right (1); says which poles fell and which runs are over for their length."""
        x, speed, angle, turning = self.state.unbind(1)
        force = (push * 2.0 - 1) * FORCE
        sine, cosine = angle.sin(), angle.cos()
        shared = (force + POLE * HALF_LENGTH * turning**2 * sine) / (CART + POLE)
        turn = (GRAVITY * sine - cosine * shared) / (HALF_LENGTH * (4 / 3 - POLE * cosine**2 / (CART + POLE)))
        thrust = shared - POLE * HALF_LENGTH * turn * cosine / (CART + POLE)
        change = torch.stack([speed, thrust, turning, turn], dim=1)
        self.state = self.state + SECONDS * change
        self.age = self.age + 1
        fell = (self.state[:, 0].abs() > 2.4) | (self.state[:, 2].abs() > math.radians(12))
        over = (self.age >= self.longest) & ~fell
        return fell, over

    def restart(self, which):
        self.finished += self.age[which].tolist()
        fresh = torch.empty_like(self.state).uniform_(-0.05, 0.05)
        self.state = torch.where(which[:, None], fresh, self.state)
        self.age = self.age.masked_fill(which, 0)

    def state_dict(self):
        return {"state": self.state, "age": self.age, "finished": self.finished[-100:]}

    def load_state_dict(self, state):
        self.state, self.age, self.finished = state["state"], state["age"], state["finished"]


class ActorCritic(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.actor = nn.Sequential(nn.Linear(4, width), nn.Tanh(), nn.Linear(width, 2))
        self.critic = nn.Sequential(nn.Linear(4, width), nn.Tanh(), nn.Linear(width, 1))
        nn.init.orthogonal_(self.actor[-1].weight, gain=0.01)

    def forward(self, state):
        """What to do, as a distribution, and what to hope for: the length of the run to come, in units of 100 steps."""
        state = state.float() * torch.tensor([1.0, 1.0, 5.0, 1.0])
        return Categorical(logits=self.actor(state)), self.critic(state).squeeze(-1)


def advantages(rewards, values, following, fell, ended, discount, smooth):
    """How much better each step went than hoped. Nothing follows a fall; `ended` steps are the last of their runs."""
    errors = rewards + discount * following * ~fell - values
    found, last = [], torch.zeros_like(errors[0])
    for error, end in zip(errors.flip(0), ended.flip(0)):
        last = error + discount * smooth * ~end * last
        found.append(last)
    return torch.stack(found[::-1])


def main(argv=None):
    chosen = options(__doc__, argv, steps=(500, 100))
    torch.manual_seed(chosen.seed)
    longest = 200 if chosen.quick else 500
    carts = CartPoles(16, longest)
    model = ActorCritic(16 if chosen.quick else 64)
    optimizer = torch.optim.RMSprop(model.parameters(), lr=4e-3, alpha=0.95, eps=1e-5)
    scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, total_iters=600)
    training = Training(chosen, model, optimizer, scheduler, every=25, carts=carts)
    lengths = []
    while training.done < chosen.steps:
        record = []
        for _ in range(16 if chosen.quick else 32):
            policy, hoped = model(carts.state)
            push = policy.sample()
            fell, over = carts.step(push)
            with torch.no_grad():
                following = model(carts.state)[1]
            carts.restart(fell | over)
            record.append((policy.log_prob(push), policy.entropy(), hoped, following, fell, fell | over))
        chances, entropy, hoped, following, fell, ended = map(torch.stack, zip(*record))
        rewards = torch.full_like(hoped, 0.01)
        better = advantages(rewards, hoped.detach(), following, fell, ended, discount=0.99, smooth=0.95)
        actor_loss = -(chances * better / better.std()).mean()
        critic_loss = F.mse_loss(hoped, hoped.detach() + better)
        loss = actor_loss + critic_loss - 0.01 * entropy.mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        scheduler.step()
        training.done += 1
        recent = carts.finished[-50:]
        lengths.append(sum(recent) / max(len(recent), 1))
        training.log(critic_loss.item(), actor=actor_loss.item(), entropy=entropy.mean().item(), length=lengths[-1])

    training.save()
    with torch.no_grad():
        carts = CartPoles(64, longest)
        up = torch.ones(64, dtype=torch.bool)
        for _ in range(longest):
            up &= ~carts.step(model(carts.state)[0].probs.argmax(1))[0]
        print(f"{up.sum().item()} of {len(up)} poles stay up for {longest} steps ({longest * SECONDS:.0f} s)")
        angles, turning = torch.linspace(-0.2, 0.2, 60), torch.linspace(-2, 2, 60)
        grid = torch.zeros(60, 60, 4)
        grid[..., 2], grid[..., 3] = angles, turning[:, None]
        chance = model(grid)[0].probs[..., 1]

    def figure(canvas):
        curve, policy = canvas.subplots(1, 2)
        curve.plot(range(training.step - len(lengths) + 1, training.step + 1), lengths)
        curve.set(xlabel="update", ylabel="steps", title="how long poles stayed up (mean of 50)")
        image = policy.imshow(
            chance.numpy(), origin="lower", extent=(-0.2, 0.2, -2, 2), aspect="auto", cmap="RdBu", vmin=0, vmax=1
        )
        policy.set(xlabel="angle", ylabel="its speed", title="chance of a push to the right, cart at rest")
        canvas.colorbar(image, ax=policy)

    draw(chosen.out / "cart_pole.png", figure, figsize=(10.5, 4.2))


if __name__ == "__main__":
    main()
