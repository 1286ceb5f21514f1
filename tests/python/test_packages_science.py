"""Packages for inference, flows, graphs and images, installed from PyPI and run with `python -m flambeau`.

Left out unless asked for: `pytest -m packages`. Needs a network and some minutes. Printed numbers are PyTorch's.
"""

import pytest
from packages import ORDINARY, check, environment

pytestmark = pytest.mark.packages
MORE = """opt_einsum jaxtyping mpmath pyro-api trampoline pyparsing aiohttp fsspec xxhash requests psutil jinja2 loguru
autoray kornia_rs matplotlib""".split()
FOR_TORCH = """pyro-ppl gpytorch linear_operator torchsde zuko nflows UMNN geotorch pytorch-metric-learning
torch-geometric kornia torchquad""".split()

HEAD = """
import math
import torch

def near(have, want, rtol=1e-3):
    want = torch.as_tensor(want, dtype=torch.float64)
    assert torch.allclose(torch.as_tensor(have).detach().double(), want, rtol=rtol, atol=1e-4), (have, want)

def train(parameters, loss, steps, lr):
    optimizer, losses = torch.optim.Adam(parameters, lr=lr), []
    for _ in range(steps):
        optimizer.zero_grad()
        value = loss()
        value.backward()
        optimizer.step()
        losses.append(value.item())
    return losses

torch.manual_seed(0)
"""

PYRO = """
import pyro
import pyro.distributions as dist
from pyro.infer import MCMC, NUTS, SVI, Predictive, Trace_ELBO
from pyro.infer.autoguide import AutoMultivariateNormal

pyro.set_rng_seed(0)
data = torch.cat([torch.ones(6), torch.zeros(4)])

def model(data):
    fairness = pyro.sample("f", dist.Beta(torch.tensor(10.0), torch.tensor(10.0)))
    with pyro.plate("d", len(data)):
        pyro.sample("obs", dist.Bernoulli(fairness), obs=data)

guide = AutoMultivariateNormal(model)
svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.02}), loss=Trace_ELBO())
losses = [svi.step(data) for _ in range(200)]
assert sum(losses[-50:]) < sum(losses[:50])
samples = Predictive(model, guide=guide, num_samples=200)(data)
assert abs(samples["f"].mean().item() - 16 / 30) < 0.05

covariance = torch.tensor([[1.0, 0.5], [0.5, 2.0]])
normal = lambda: pyro.sample("x", dist.MultivariateNormal(torch.tensor([1.0, -1.0]), covariance))
pyro.set_rng_seed(3)
chain = MCMC(NUTS(normal), num_samples=100, warmup_steps=50, disable_progbar=True)
chain.run()
near(chain.get_samples()["x"].mean(0), [1.0, -1.0], rtol=0.5)
assert chain.diagnostics()["x"]["n_eff"].shape == (2,)
"""

GPYTORCH = """
import gpytorch

x = torch.linspace(0, 1, 50)
y = torch.sin(x * (2 * math.pi)) + torch.randn(x.size()) * 0.2

class Exact(gpytorch.models.ExactGP):
    def __init__(self, likelihood):
        super().__init__(x, y, likelihood)
        self.mean_module = gpytorch.means.ConstantMean()
        self.covar_module = gpytorch.kernels.ScaleKernel(gpytorch.kernels.RBFKernel())

    def forward(self, x):
        return gpytorch.distributions.MultivariateNormal(self.mean_module(x), self.covar_module(x))

likelihood = gpytorch.likelihoods.GaussianLikelihood()
model = Exact(likelihood)
mll = gpytorch.mlls.ExactMarginalLogLikelihood(likelihood, model)
losses = train(model.parameters(), lambda: -mll(model(x), y), 40, 0.1)
assert losses[-1] < 0.5 * losses[0]
model.eval()
likelihood.eval()
with torch.no_grad(), gpytorch.settings.fast_pred_var():
    found = likelihood(model(x))
    low, high = found.confidence_region()
assert (found.mean - torch.sin(x * (2 * math.pi))).abs().max() < 0.25 and ((low < y) & (y < high)).float().mean() > 0.9
"""

FLOWS = """
import torchsde
import zuko
from nflows.distributions.normal import StandardNormal
from nflows.flows.base import Flow
from nflows.transforms import CompositeTransform, MaskedAffineAutoregressiveTransform, ReversePermutation

points, context = torch.randn(64, 3) * torch.tensor([1.0, 0.5, 2.0]), torch.randn(64, 5)
for make in (zuko.flows.NSF, zuko.flows.MAF, zuko.flows.RealNVP, zuko.flows.GF):
    flow = make(3, 5)
    losses = train(flow.parameters(), lambda: -flow(context).log_prob(points).mean(), 10, 1e-2)
    assert losses[-1] < losses[0] and flow(context[0]).sample((8,)).shape == (8, 3)
transforms = [layer for _ in range(3) for layer in (ReversePermutation(3), MaskedAffineAutoregressiveTransform(3, 4))]
flow = Flow(CompositeTransform(transforms), StandardNormal([3]))
losses = train(flow.parameters(), lambda: -flow.log_prob(points).mean(), 10, 1e-2)
assert losses[-1] < losses[0] and flow.sample(4).shape == (4, 3)

class Decay(torch.nn.Module):
    noise_type, sde_type = "diagonal", "ito"

    def __init__(self):
        super().__init__()
        self.rate = torch.nn.Parameter(torch.tensor(0.5))

    def f(self, t, y):
        return -self.rate * y

    def g(self, t, y):
        return 0.1 * torch.ones_like(y)

model, times = Decay(), torch.linspace(0, 1, 3)
noise = torchsde.BrownianInterval(0.0, 1.0, size=(500, 1), entropy=7, levy_area_approximation="space-time")
for solve in (torchsde.sdeint, torchsde.sdeint_adjoint):
    path = solve(model, torch.ones(500, 1), times, bm=noise, dt=0.05)
    near(path[-1].mean(), math.exp(-0.5), rtol=0.05)
    model.zero_grad()
    path[-1].mean().backward()
    near(model.rate.grad, -math.exp(-0.5), rtol=0.1)
"""

GRAPHS = """
import torch_geometric.nn as gnn
from torch_geometric.data import Batch, Data
from torch_geometric.explain import Explainer, GNNExplainer
from torch_geometric.loader import DataLoader

edges = torch.tensor([[0, 1, 1, 2, 2, 3, 3, 4, 4, 0, 0, 2], [1, 0, 2, 1, 3, 2, 4, 3, 0, 4, 2, 0]])
data = Data(x=torch.arange(25.0).reshape(5, 5).sin(), edge_index=edges, y=torch.tensor([0, 1, 0, 1, 1]))
for kind in (gnn.GCNConv, gnn.SAGEConv, gnn.GATConv, gnn.GATv2Conv, gnn.TransformerConv):
    torch.manual_seed(0)
    one, two = kind(5, 8), kind(8, 2)
    loss = lambda: torch.nn.functional.cross_entropy(two(one(data.x, edges).relu(), edges), data.y)
    losses = train([*one.parameters(), *two.parameters()], loss, 30, 0.01)
    assert losses[-1] < losses[0]
batch = Batch.from_data_list([data, data.clone()])
near(gnn.global_mean_pool(batch.x, batch.batch), torch.stack([data.x.mean(0)] * 2))
near(gnn.global_max_pool(batch.x, batch.batch), torch.stack([data.x.amax(0)] * 2))
assert [part.num_graphs for part in DataLoader([data] * 5, batch_size=2)] == [2, 2, 1]
model = gnn.GCN(5, 8, 2, 2)
settings = dict(mode="multiclass_classification", task_level="node", return_type="raw")
explainer = Explainer(model, GNNExplainer(epochs=5), explanation_type="model", node_mask_type="attributes",
                      edge_mask_type="object", model_config=settings)
assert explainer(data.x, edges, index=1).edge_mask.shape == (12,)
"""

IMAGES = """
import geotorch
import kornia
from pytorch_metric_learning import losses as metric
from torchquad import Simpson, set_up_backend

image = torch.rand(2, 3, 16, 16)
near(kornia.color.hsv_to_rgb(kornia.color.rgb_to_hsv(image)), image)
near(kornia.color.lab_to_rgb(kornia.color.rgb_to_lab(image)), image)
near(kornia.geometry.rotate(image, torch.tensor([90.0, 90.0])), image.rot90(1, (2, 3)), rtol=1e-2)
near(kornia.filters.box_blur(image, 3)[..., 1:-1, 1:-1], torch.nn.functional.avg_pool2d(image, 3, 1))
assert kornia.enhance.equalize(image).shape == image.shape and kornia.losses.ssim_loss(image, image, 5) < 1e-5
change = kornia.augmentation.AugmentationSequential(
    kornia.augmentation.ColorJitter(0.1, 0.1, 0.1, 0.1, p=1.0), kornia.augmentation.RandomAffine((-15.0, 20.0), p=1.0),
    kornia.augmentation.RandomErasing(p=1.0), data_keys=["input", "mask"])
assert [part.shape for part in change(image, image[:, :1])] == [(2, 3, 16, 16), (2, 1, 16, 16)]

layer = torch.nn.Linear(6, 6)
geotorch.orthogonal(layer, "weight")
train(layer.parameters(), lambda: (layer(torch.eye(6)) - torch.eye(6)).square().sum(), 10, 0.05)
near(layer.weight @ layer.weight.T, torch.eye(6))

vectors, labels = torch.randn(32, 16), torch.arange(4).repeat(8)
for make in (metric.TripletMarginLoss, metric.NTXentLoss, metric.CircleLoss, metric.SupConLoss):
    net = torch.nn.Linear(16, 8)
    values = train(net.parameters(), lambda: make()(net(vectors), labels), 20, 0.01)
    assert values[-1] < values[0]
set_up_backend("torch", data_type="float64")
area = Simpson().integrate(lambda x: x[:, 0].sin() + x[:, 1].exp(), dim=2, N=1001,
                           integration_domain=[[0, 1], [-1, 1]], backend="torch")
near(area, 2 * (1 - math.cos(1)) + math.e - 1 / math.e)
"""

PROGRAMS = {"pyro": PYRO, "gpytorch": GPYTORCH, "flows": FLOWS, "graphs": GRAPHS, "images": IMAGES}


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    return environment(tmp_path_factory.mktemp("packages"), FOR_TORCH, ORDINARY + MORE)


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name, python, tmp_path):
    check(python, name, HEAD + PROGRAMS[name], tmp_path)
