"""Packages of optimization, symmetry, images, sound, spikes, privacy, agents, installed from PyPI, run with `python -m flambeau`.

Left out unless asked for: `pytest -m packages`. Needs a network and some minutes. What the programs print is compared
with what they print with PyTorch.
"""

import pytest
from packages import ORDINARY, check, environment

pytestmark = pytest.mark.packages
MORE = """threadpoolctl multipledispatch opt_einsum wadler_lindig jaxtyping pyre-extensions typing-inspect mypy-extensions sympy
pyyaml huggingface_hub safetensors pillow regex filelock requests PyWavelets librosa joblib pandas orjson importlib_metadata
setuptools<81 cloudpickle pyvers h5py matplotlib nir nirtorch scikit-optimize termcolor rich portalocker
einx ftfy loguru frozendict""".split()
FOR_TORCH = """botorch gpytorch linear_operator pyro-ppl pyro-api e3nn opt_einsum_fx torchvision timm
segmentation-models-pytorch entmax higher torchinfo torchsummary thop lpips piq tensorly pytorch-wavelets auraloss
nnAudio torchcde torchsde torchdiffeq trampoline boltons opacus snntorch norse deepxde pytorch-ignite tensordict torchrl
vit-pytorch vector-quantize-pytorch ema-pytorch denoising-diffusion-pytorch open_clip_torch lightly torch-optimizer pytorch-ranger
local-attention hyper-connections torch-einops-utils accelerate einops""".split()

HEAD = """
import warnings
warnings.simplefilter("ignore")
import torch

def show(name, *values):
    values = [torch.as_tensor(value).detach().double().flatten() for value in values]
    print(name, *("%.5g" % value for value in torch.cat(values).tolist()))

def train(model, loss, steps=3, lr=1e-2):
    optimizer, values = torch.optim.SGD(model.parameters(), lr=lr), []
    for _ in range(steps):
        optimizer.zero_grad()
        value = loss()
        value.backward()
        optimizer.step()
        values.append(value.item())
    return values

torch.manual_seed(0)
"""

BOTORCH = """
from botorch.acquisition import LogExpectedImprovement, UpperConfidenceBound, qLogExpectedImprovement
from botorch.models import SingleTaskGP
from botorch.models.transforms import Normalize, Standardize
from botorch.optim import optimize_acqf
from botorch.optim.fit import fit_gpytorch_mll_torch
from botorch.sampling.normal import SobolQMCNormalSampler
from botorch.test_functions import BraninCurrin
from botorch.utils.sampling import draw_sobol_samples
from botorch.utils.multi_objective.box_decompositions.non_dominated import FastNondominatedPartitioning
from botorch.utils.multi_objective.hypervolume import Hypervolume
from gpytorch.mlls import ExactMarginalLogLikelihood

f = BraninCurrin(negate=True).double()
x = draw_sobol_samples(bounds=f.bounds, n=8, q=1, seed=3).squeeze(1)
show("points", x)
y = f(x)
show("values", y)
gp = SingleTaskGP(x, y[:, :1], input_transform=Normalize(d=2), outcome_transform=Standardize(m=1))
fit_gpytorch_mll_torch(ExactMarginalLogLikelihood(gp.likelihood, gp), step_limit=30)
posterior = gp.posterior(x[:2] + 0.01)
show("posterior", posterior.mean, posterior.variance)
sampler = SobolQMCNormalSampler(sample_shape=torch.Size([64]), seed=2)
sample = sampler(posterior)
show("sample", sample.mean(), sample.std())
bounds = f.bounds.double()
for acquisition, q in ((LogExpectedImprovement(gp, best_f=y[:, 0].max()), 1), (UpperConfidenceBound(gp, beta=0.1), 1),
                       (qLogExpectedImprovement(gp, best_f=y[:, 0].max(), sampler=sampler), 2)):
    torch.manual_seed(1)
    found, value = optimize_acqf(acquisition, bounds=bounds, q=q, num_restarts=3, raw_samples=16)
    show(type(acquisition).__name__, value.max())
show("volume", Hypervolume(ref_point=f.ref_point.double()).compute(y[y[:, 0] > -100]))
"""

E3NN = """
from e3nn import o3
from e3nn.nn import BatchNorm, FullyConnectedNet, Gate

kinds = o3.Irreps("8x0e + 4x1o + 2x2e")
x, rotation = kinds.randn(5, -1), o3.rand_matrix()
turn = kinds.D_from_matrix(rotation)
show("turn", turn.sum(), turn.abs().sum())
harmonics = o3.spherical_harmonics([0, 1, 2, 3], torch.randn(5, 3), normalize=True, normalization="component")
show("harmonics", harmonics.sum(), harmonics.abs().sum())
linear = o3.Linear(kinds, "4x0e + 2x1o")
turned = linear(x) @ o3.Irreps("4x0e + 2x1o").D_from_matrix(rotation).T
assert torch.allclose(linear(x @ turn.T), turned, atol=1e-5)
show("linear", linear(x).sum())
product = o3.FullyConnectedTensorProduct(kinds, "1x0e + 1x1o", "4x0e + 2x1o", shared_weights=False)
net = FullyConnectedNet([3, 16, product.weight_numel], torch.relu)
out = product(x, harmonics[:, :4], net(torch.randn(5, 3)))
out.pow(2).sum().backward()
show("product", out.sum(), *(p.grad.abs().sum() for p in net.parameters()))
gate = Gate("16x0e", [torch.tanh], "6x0e", [torch.sigmoid], "4x1o + 2x2e")
show("gate", gate(gate.irreps_in.randn(3, -1)).sum(), BatchNorm("4x0e + 2x1o")(torch.randn(6, 10)).abs().sum())
show("wigner", o3.wigner_3j(1, 1, 2))
"""

IMAGES = """
import segmentation_models_pytorch as smp
import timm
import torchvision
from PIL import Image
from torchvision import models, ops, tv_tensors
from torchvision.models.feature_extraction import create_feature_extractor
from torchvision.transforms import v2

x, labels = torch.randn(2, 3, 64, 64), torch.tensor([1, 2])
names = dict(tv="mobilenet_v3_small shufflenet_v2_x0_5 convnext_tiny swin_t", timm="resnet18 convnext_atto ghostnet_050 mobilevitv2_050")
for kind, text in names.items():
    for name in text.split():
        torch.manual_seed(0)
        model = getattr(models, name)(num_classes=5) if kind == "tv" else timm.create_model(name, num_classes=5)
        show(name, train(model.train(), lambda: torch.nn.functional.cross_entropy(model(x), labels), 1))
for kind in ("Unet", "FPN"):
    torch.manual_seed(0)
    model, criterion = getattr(smp, kind)("resnet18", encoder_weights=None, classes=2), smp.losses.DiceLoss("multiclass")
    target = torch.randint(2, (2, 64, 64))
    show(kind, train(model, lambda: criterion(model(x), target), 1))
torch.manual_seed(0)
features = create_feature_extractor(models.resnet18().eval(), {"layer1.0.relu": "a", "layer4": "b"})(x)
show("features", *(value.abs().mean() for value in features.values()))
boxes = torch.tensor([[10.0, 10, 50, 60], [20, 30, 70, 80]])
targets = [dict(boxes=boxes, labels=labels), dict(boxes=boxes[:1], labels=labels[:1])]
for name in ("fasterrcnn_mobilenet_v3_large_320_fpn", "retinanet_resnet50_fpn"):
    torch.manual_seed(0)
    model = getattr(models.detection, name)(weights=None, weights_backbone=None, num_classes=4, min_size=96, max_size=128)
    losses = model.train()([torch.rand(3, 100, 120), torch.rand(3, 90, 80)], targets)
    sum(losses.values()).backward()
    show(name, [round(value.item(), 2) for value in losses.values()])
    assert set(model.eval()([torch.rand(3, 90, 80)])[0]) == {"boxes", "labels", "scores"}
picture = torch.arange(40 * 50 * 3).mul(7919).remainder(251).byte().view(40, 50, 3).numpy()
torch.manual_seed(0)
steps = [v2.ToImage(), v2.RandomResizedCrop(24, antialias=True), v2.RandomHorizontalFlip(1), v2.RandomRotation(20), v2.ColorJitter(0.2, 0.2),
         v2.ToDtype(torch.float32, scale=True), v2.GaussianBlur(3), v2.Normalize([0.5] * 3, [0.2] * 3)]
show("transforms", v2.Compose(steps)(Image.fromarray(picture)).abs().mean())
box = tv_tensors.BoundingBoxes([[1, 2, 10, 12]], format="XYXY", canvas_size=(20, 24))
show("box", v2.functional.horizontal_flip(box), ops.box_iou(boxes, boxes))
"""

SIGNALS = """
import auraloss
import lpips
import piq
import tensorly
import torchcde
from entmax import Entmax15Loss, entmax15, entmax_bisect, sparsemax
from nnAudio import features
from pytorch_wavelets import DTCWTForward, DWTForward, DWTInverse
from tensorly.decomposition import parafac, tensor_train, tucker

x = torch.randn(4, 7, requires_grad=True)
for f in (sparsemax, entmax15):
    y = f(x, dim=-1)
    show(f.__name__, y[0], torch.autograd.grad(y.pow(2).sum(), x)[0].abs().sum())
alpha = torch.tensor(1.3, requires_grad=True)
y = entmax_bisect(x, alpha)
show("bisect", y[0], *(g.abs().sum() for g in torch.autograd.grad(y.pow(2).sum(), (x, alpha))))
show("loss", Entmax15Loss()(x, torch.tensor([1, 2, 3, 4])))
a, b = torch.rand(2, 3, 96, 96), torch.rand(2, 3, 96, 96)
for name in ("psnr", "ssim", "gmsd", "fsim", "vif_p", "haarpsi", "mdsi", "vsi", "dss", "srsim"):
    show(name, getattr(piq, name)(a, b))
distance = lpips.LPIPS(net="alex", pretrained=False, verbose=False, pnet_rand=True).eval()
show("lpips", distance(a[:, :, :64, :64], b[:, :, :64, :64]))
a, b = torch.randn(2, 1, 4096), torch.randn(2, 1, 4096)
show("sound", auraloss.freq.MultiResolutionSTFTLoss()(a, b), auraloss.time.SISDRLoss()(a, b), auraloss.time.ESRLoss()(a, b))
sound = a[0]
show("nnAudio", features.STFT(n_fft=512, verbose=False)(sound).abs().mean(),
     features.MelSpectrogram(sr=8000, n_fft=512, n_mels=20, verbose=False)(sound).mean(),
     features.CQT1992v2(sr=8000, n_bins=24, fmin=200, verbose=False)(sound).mean())
image = torch.randn(2, 3, 16, 16)
low, high = DWTForward(J=2, wave="db2")(image)
assert torch.allclose(DWTInverse(wave="db2")((low, high)), image, atol=1e-4)
show("wavelets", low.abs().sum(), *(part.abs().sum() for part in high), DTCWTForward(J=2)(image)[0].abs().sum())
tensorly.set_backend("pytorch")
data = torch.rand(5, 6, 7)
for found in (tensorly.cp_to_tensor(parafac(data, rank=3, init="svd", n_iter_max=20)),
              tensorly.tucker_to_tensor(tucker(data, rank=[2, 3, 3], n_iter_max=10)), tensor_train(data, rank=[1, 2, 2, 1]).to_tensor()):
    show("tensorly", tensorly.norm(found - data))

class Field(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 8)

    def forward(self, t, z):
        return self.layer(z).tanh().view(3, 4, 2)

path = torchcde.CubicSpline(torchcde.hermite_cubic_coefficients_with_backward_differences(torch.randn(3, 10, 2)))
field = Field()
z = torchcde.cdeint(path, field, torch.zeros(3, 4), path.interval, adjoint=False, method="rk4", options=dict(step_size=0.5))
z.pow(2).sum().backward()
show("cde", z.sum(), field.layer.weight.grad.abs().sum())
"""

TRAINING = """
import os
os.environ["DDE_BACKEND"] = "pytorch"
import functorch
import higher
import norse.torch
import numpy as np
import snntorch
from ignite.engine import Events, create_supervised_evaluator, create_supervised_trainer
from ignite.handlers import CosineAnnealingScheduler
from ignite.metrics import Accuracy, ConfusionMatrix, Loss
from opacus import GradSampleModule, PrivacyEngine
from opacus.layers import DPLSTM
from snntorch import functional, spikegen, surrogate
from torchinfo import summary

x, y = torch.randn(10, 3), torch.randn(10, 1)
net = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
with higher.innerloop_ctx(net, optimizer, copy_initial_weights=False) as (inner, steps):
    for _ in range(3):
        steps.step((inner(x) - y).pow(2).mean())
    value = (inner(x) - y).pow(2).mean()
    value.backward()
show("higher", value, *(p.grad.abs().sum() for p in net.parameters()))

net = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.GroupNorm(2, 4), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(144, 2))
for module, given in ((net, torch.randn(5, 1, 8, 8)), (torch.nn.Embedding(5, 3), torch.tensor([[1, 2], [3, 1]])),
                      (torch.nn.LayerNorm(3), torch.randn(4, 3)), (DPLSTM(3, 4, batch_first=True), torch.randn(2, 5, 3))):
    found = GradSampleModule(module)
    out = found(given)
    (out[0] if isinstance(out, tuple) else out).pow(2).sum().backward()
    show("samples", *(p.grad_sample.abs().sum() for p in found.parameters()))
torch.manual_seed(0)
data = torch.utils.data.TensorDataset(torch.randn(32, 4), torch.randint(2, (32,)))
model = torch.nn.Linear(4, 2)
engine = PrivacyEngine()
model, optimizer, loader = engine.make_private(
    module=model, optimizer=torch.optim.SGD(model.parameters(), lr=0.1), data_loader=torch.utils.data.DataLoader(data, batch_size=8),
    noise_multiplier=1.1, max_grad_norm=1.0, noise_generator=torch.Generator().manual_seed(3))
for given, label in loader:
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(model(given), label).backward()
    optimizer.step()
show("private", *(p.sum() for p in model.parameters()), engine.get_epsilon(1e-3))

cell, layer, out = snntorch.Leaky(beta=0.9, spike_grad=surrogate.fast_sigmoid()), torch.nn.Linear(5, 3), []
memory, spikes = cell.init_leaky(), spikegen.rate(torch.rand(4, 5), num_steps=10)
for given in spikes:
    spike, memory = cell(layer(given), memory)
    out.append(spike)
value = functional.ce_rate_loss()(torch.stack(out), torch.tensor([0, 1, 2, 0]))
value.backward()
show("snntorch", value, layer.weight.grad.abs().sum())
out, state = norse.torch.LIFRecurrent(3, 4)(torch.ones(6, 2, 3))
show("norse", out.sum(), state.v.sum())

torch.manual_seed(0)
data = torch.utils.data.TensorDataset(torch.randn(32, 4), torch.randint(3, (32,)))
loader, net = torch.utils.data.DataLoader(data, batch_size=8, shuffle=True), torch.nn.Linear(4, 3)
optimizer, criterion = torch.optim.SGD(net.parameters(), lr=0.1), torch.nn.CrossEntropyLoss()
trainer = create_supervised_trainer(net, optimizer, criterion)
trainer.add_event_handler(Events.ITERATION_STARTED, CosineAnnealingScheduler(optimizer, "lr", 0.1, 0.01, 8))
trainer.run(loader, 3)
evaluator = create_supervised_evaluator(net, metrics=dict(a=Accuracy(), b=Loss(criterion), c=ConfusionMatrix(3)))
evaluator.run(loader)
show("ignite", *(evaluator.state.metrics[name] for name in "abc"))

function, parameters = functorch.make_functional(net)
grads = functorch.vmap(functorch.grad(lambda p, x, y: criterion(function(p, x[None]), y[None])), (None, 0, 0))(parameters, *data.tensors)
show("functorch", *(g.abs().sum() for g in grads))
found = summary(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten(), torch.nn.LazyLinear(5)), (2, 3, 8, 8), verbose=0)
show("summary", found.total_params, found.total_mult_adds)

import deepxde
deepxde.config.set_random_seed(0)
line = deepxde.geometry.Interval(-1, 1)
edge = deepxde.icbc.DirichletBC(line, lambda x: 0, lambda x, on: on)
equation = lambda x, y: -deepxde.grad.hessian(y, x) - np.pi**2 * torch.sin(np.pi * x)
data = deepxde.data.PDE(line, equation, edge, 16, 2, solution=lambda x: np.sin(np.pi * x), num_test=20)
model = deepxde.Model(data, deepxde.nn.FNN([1, 16, 16, 1], "tanh", "Glorot uniform"))
model.compile("adam", lr=1e-2, verbose=0)
history, _ = model.train(iterations=40, display_every=40, verbose=0)
show("deepxde", float(np.sum(history.loss_train[-1])))
"""

AGENTS = """
import os
os.environ["RL_LOGGING_LEVEL"] = "ERROR"
from tensordict import TensorDict, tensorclass
from tensordict.nn import TensorDictModule, TensorDictSequential
from torchrl.data import LazyTensorStorage, TensorDictReplayBuffer
from torchrl.modules import MLP

data = TensorDict({"a": torch.randn(3, 4), "b": {"c": torch.arange(3.0)}}, batch_size=[3])
model = TensorDictSequential(TensorDictModule(torch.nn.Linear(4, 5), ["a"], ["h"]), TensorDictModule(torch.nn.ReLU(), ["h"], ["o"]))
show("module", model(data)["o"])
parameters = TensorDict.from_module(model)
with parameters.data.mul(0).to_module(model):
    show("zeros", model(data)["o"].sum())
show("parts", data[0]["a"], data[torch.tensor([True, False, True])]["b", "c"], (data + 1)["a"].sum(), data.apply(lambda x: x * 2)["b", "c"])

@tensorclass
class Pair:
    x: torch.Tensor
    y: torch.Tensor

show("class", Pair(x=torch.ones(2, 3), y=torch.zeros(2), batch_size=[2])[0].x)
memory = TensorDictReplayBuffer(storage=LazyTensorStorage(100), batch_size=4)
memory.extend(TensorDict({"a": torch.arange(10.0)}, [10]))
show("memory", memory.sample()["a"])
show("net", MLP(3, 2, num_cells=[8])(torch.ones(1, 3)))
"""

MODELS = """
import einx
import open_clip
import torch_optimizer
from denoising_diffusion_pytorch import GaussianDiffusion, Unet
from ema_pytorch import EMA
from lightly.loss import BarlowTwinsLoss, NegativeCosineSimilarity, NTXentLoss, VICRegLoss
from local_attention import LocalAttention
from vector_quantize_pytorch import FSQ, LFQ, ResidualVQ, VectorQuantize
from vit_pytorch import SimpleViT, ViT

size, images = dict(image_size=32, patch_size=8, num_classes=3, dim=16, depth=2, heads=2, mlp_dim=32), torch.randn(2, 3, 32, 32)
for kind in (ViT, SimpleViT):
    torch.manual_seed(0)
    model = kind(**size)
    show(kind.__name__, train(model, lambda: model(images).pow(2).sum()))
for make in (lambda: VectorQuantize(dim=8, codebook_size=16), lambda: ResidualVQ(dim=8, num_quantizers=2, codebook_size=16),
             lambda: FSQ(levels=[4, 3], dim=8), lambda: LFQ(codebook_size=16, dim=8)):
    torch.manual_seed(0)
    found = make()(torch.randn(2, 6, 8))
    show("quantized", found[0].sum(), found[1].flatten()[:4])
torch.manual_seed(0)
diffusion = GaussianDiffusion(Unet(dim=8, dim_mults=(1, 2), flash_attn=False), image_size=16, timesteps=5)
show("diffusion", diffusion(torch.rand(2, 3, 16, 16)), diffusion.sample(batch_size=1).mean())
net = torch.nn.Linear(2, 2)
mean = EMA(net, beta=0.9, update_after_step=0, update_every=1)
for _ in range(3):
    with torch.no_grad():
        net.weight.add_(1)
    mean.update()
show("ema", mean.ema_model.weight)
torch.manual_seed(0)
clip = open_clip.CLIP(
    embed_dim=16, vision_cfg=dict(layers=1, width=32, head_width=16, patch_size=8, image_size=32),
    text_cfg=dict(context_length=8, vocab_size=99, width=32, heads=2, layers=1))
found = clip(images, torch.randint(1, 98, (2, 8)))
show("clip", *(value.sum() for value in found), open_clip.ClipLoss()(*found))
a, b = torch.randn(6, 8), torch.randn(6, 8)
show("lightly", *(kind()(a, b) for kind in (NTXentLoss, BarlowTwinsLoss, VICRegLoss, NegativeCosineSimilarity)))
q = torch.randn(2, 2, 32, 8)
show("attention", LocalAttention(dim=8, window_size=8, causal=True)(q, q, q).sum(), einx.sum("a [b]", a))
for name in "AdaBound AdaMod Adafactor AdamP AggMo DiffGrad LARS Lamb MADGRAD NovoGrad QHAdam SGDP SWATS Yogi Ranger".split():
    torch.manual_seed(0)
    net, x = torch.nn.Linear(3, 2), torch.randn(5, 3)
    optimizer = getattr(torch_optimizer, name)(net.parameters(), lr=0.05)
    for _ in range(3):
        optimizer.zero_grad()
        value = net(x).pow(2).sum()
        value.backward()
        optimizer.step()
    show(name, value)
"""

PROGRAMS = {
    "botorch": BOTORCH, "e3nn": E3NN, "images": IMAGES, "signals": SIGNALS, "training": TRAINING, "agents": AGENTS,
    "models": MODELS,
}  # fmt: skip

WANTED = {
    "botorch": """
points 0.068465 0.22453 0.62149 0.72308 0.9612 0.49307 0.47092 0.9936 0.26371 0.36156 0.80122 0.86294 0.64095 0.10864 0.16618 0.60805
values -124.41 -8.3848 -93.061 -5.5125 -24.672 -6.5087 -140.91 -4.7124 -20.487 -10.212 -155.2 -4.6008 -9.1094 -10.85 -5.0943 -7.5534
posterior -118.6 -99.212 29.184 28.161
sample -108.9 11.083
LogExpectedImprovement 3.2317
UpperConfidenceBound 24.458
qLogExpectedImprovement 3.4832
volume 0
""",
    "e3nn": """
turn 10.735 45.586
harmonics 16.298 70.155
linear -3.9347
product -5.9649 141.87 359.15
gate -14.263 49.219
wigner 0 0 -0.18257 0 -0.31623 0 0.31623 0 0 0 0.31623 0 0 0 0 0 0.31623 0 0 0 0 0 0.36515 0 0 0 0 0 0.31623 0 0.31623 0 0 0 0 0 0 0 0.31623 0 0 0 -0.18257 0 0.31623
""",
    "images": """
mobilenet_v3_small 1.6032
shufflenet_v2_x0_5 1.458
convnext_tiny 1.667
swin_t 1.9982
resnet18 1.6629
convnext_atto 1.7987
ghostnet_050 1.4722
mobilevitv2_050 1.6349
Unet 0.50256
FPN 0.6517
features 0.24385 0.97404
fasterrcnn_mobilenet_v3_large_320_fpn 1.41 0.13 0.69 0.01
retinanet_resnet50_fpn 1.13 0.66
transforms 0.16301
box 14 2 23 12 1 0.25 0.25 1
""",
    "signals": """
sparsemax 0 0 0 0 0.57835 0.42165 0 4.7108
entmax15 0 0 0.030564 0.006918 0.52486 0.41747 0.020194 2.6643
bisect 0.0041337 0.0035917 0.072603 0.047273 0.44638 0.36334 0.062683 1.6697 1.3973
loss 1.4757
psnr 7.7657
ssim 0.00016817
gmsd 0.18676
fsim 0.74165
vif_p 0.0014713
haarpsi 0.42702
mdsi 0.58284
vsi 0.85964
dss 0.50539
srsim 0.86919
lpips 0.00095683 0.0010784
sound 1.3951 46.607 2.0114
nnAudio 7.7793 11.666 1.0625
wavelets 101.17 989.38 287.97 171.21
tensorly 3.2121
tensorly 3.2603
tensorly 3.4398
cde -5.2938 200.97
""",
    "training": """
higher 0.5583 0.6909 0.55478 0.74936 0.18021
samples 319.39 20.342 31.899 22.584 2284.9 40.084
samples 33.776
samples 95.99 85.647
samples 17.529 9.7907 4.2059 9.7907
private -1.2782 -0.4262 2.1249
snntorch 1.1076 0.085346
norse 6 -3.0508
ignite 0.28125 1.2015 3 3 2 9 5 1 4 4 1
functorch 139.97 43.338
summary 837 9514
deepxde 7.0431
""",
    "agents": """
module 0 0 0.3785 0 0 0 0.54406 0.45553 0.30166 0 0 0.21462 0.76458 0.24073 0
zeros 0
parts 1.541 -0.29343 -2.1788 0.56843 0 2 8.8583 0 2 4
class 1 1 1
memory 1 0 9 3
net 0.45098 0.11771
""",
    "models": """
ViT 1.9365 0.053948 0.0020743
SimpleViT 0.2674 0.033262 0.0098097
quantized 0.57748 6 13 6 4
quantized -1.2071 7 15 5 13
quantized -8.0699 7 7 5 6
quantized 18.925 10 2 2 0
diffusion 4.5246e-05 0.51889
ema 2.6237 2.1417 2.3835 2.539
clip 1.5865 1.9084 14.286 0.86273
lightly 2.7115 10.373 53.692 0.049524
attention -28.168 0.23549 0.12802 0.55631 3.2003 -0.32498 -2.2187
AdaBound 1.7318
AdaMod 3.3379
Adafactor 3.2145
AdamP 1.7318
AggMo 0.33516
DiffGrad 2.0016
LARS 0.31645
Lamb 2.7576
MADGRAD 2.3596
NovoGrad 1.8437
QHAdam 1.7318
SGDP 0.31645
SWATS 1.7414
Yogi 1.7323
Ranger 0.28413
""",
}


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    return environment(tmp_path_factory.mktemp("packages"), FOR_TORCH, ORDINARY + MORE)


def number(word):
    try:
        return pytest.approx(float(word), rel=2e-3, abs=1e-4)
    except ValueError:
        return word


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name, python, tmp_path):
    found, wanted = (
        text.strip().splitlines() for text in (check(python, name, HEAD + PROGRAMS[name], tmp_path), WANTED[name])
    )
    assert len(found) == len(wanted)
    for have, want in zip(found, wanted):
        head, *have = have.split()
        assert [head, *map(float, have)] == [number(word) for word in want.split()], want
