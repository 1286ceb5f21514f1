"""Packages that train, explain and save models, as test_packages.py has others; losses are those of PyTorch."""

import pytest
from packages import ORDINARY, check, environment

pytestmark = pytest.mark.packages
MORE = [
    "pyyaml", "fsspec[http]", "psutil", "safetensors", "huggingface_hub", "einops", "matplotlib", "wadler-lindig",
    "beartype", "loguru", "frozendict", "sympy", "jinja2",
]  # fmt: skip
FOR_TORCH = [
    "lightning", "lightning-utilities", "pytorch-lightning", "torchmetrics", "accelerate", "x-transformers", "einx",
    "torch-einops-utils", "captum", "pytorch-optimizer", "rotary-embedding-torch", "lion-pytorch", "torch-ema", "jaxtyping",
]  # fmt: skip

LIGHTNING = """
import os
import tempfile
import lightning as L
import torch
from lightning.fabric.utilities.load import _lazy_load
from lightning.pytorch.callbacks import EarlyStopping, LearningRateMonitor, ModelCheckpoint, StochasticWeightAveraging
from lightning.pytorch.loggers import CSVLogger
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset, random_split

L.seed_everything(7)
X = torch.randn(256, 10)
y = (X[:, :3].sum(1) > 0).long()

class Data(L.LightningDataModule):
    def setup(self, stage):
        self.train, self.val = random_split(TensorDataset(X, y), [200, 56], generator=torch.Generator().manual_seed(1))
    def train_dataloader(self):
        return DataLoader(self.train, 20, shuffle=True)
    def val_dataloader(self):
        return DataLoader(self.val, 28)
    test_dataloader = val_dataloader

class Net(L.LightningModule):
    def __init__(self, hidden=16, lr=0.02):
        super().__init__()
        self.save_hyperparameters()
        self.net = torch.nn.Sequential(torch.nn.Linear(10, hidden), torch.nn.ReLU(), torch.nn.Dropout(0.1),
                                       torch.nn.Linear(hidden, 2))
        self.example_input_array = torch.zeros(2, 10)
    def forward(self, x):
        return self.net(x)
    def training_step(self, batch, i):
        loss = F.cross_entropy(self(batch[0]), batch[1])
        self.log("train_loss", loss, on_step=True, on_epoch=True)
        return loss
    def validation_step(self, batch, i):
        out = self(batch[0])
        self.log_dict({"val_loss": F.cross_entropy(out, batch[1]), "val_acc": (out.argmax(1) == batch[1]).float().mean()})
    test_step = validation_step
    def configure_optimizers(self):
        o = torch.optim.AdamW(self.parameters(), self.hparams.lr)
        return {"optimizer": o, "lr_scheduler": torch.optim.lr_scheduler.CosineAnnealingLR(o, 10)}

d = tempfile.mkdtemp()
keep = ModelCheckpoint(d, monitor="val_loss", save_top_k=2, save_last=True, filename="{epoch}-{val_loss:.3f}")
trainer = L.Trainer(max_epochs=6, accelerator="cpu", callbacks=[keep, EarlyStopping("val_loss"), LearningRateMonitor()],
                    logger=CSVLogger(d), enable_progress_bar=False, default_root_dir=d, gradient_clip_val=1.0,
                    log_every_n_steps=5, deterministic=True, accumulate_grad_batches=2)
net, data = Net(), Data()
trainer.fit(net, data)
close = lambda a, b: abs(float(a) - b) < 1e-4
assert close(trainer.callback_metrics["train_loss"], 0.19364) and close(trainer.callback_metrics["val_loss"], 0.149)
assert os.path.basename(keep.best_model_path) == "epoch=5-val_loss=0.149.ckpt"
assert close(trainer.test(net, data)[0]["val_loss"], 0.149)
again = Net.load_from_checkpoint(keep.best_model_path)
assert again.hparams.hidden == 16 and torch.equal(again.net[0].weight, net.net[0].weight)
quiet = dict(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
more = L.Trainer(max_epochs=8, enable_model_summary=False, profiler="simple", **quiet)
more.fit(Net(), data, ckpt_path=keep.last_model_path)
assert close(more.callback_metrics["train_loss"], 0.13747) and close(more.callback_metrics["val_loss"], 0.1281)
for settings in ({"precision": "bf16-mixed"}, {"fast_dev_run": True}, {"profiler": "pytorch", "enable_model_summary": False},
                 {"callbacks": [StochasticWeightAveraging(1e-2)]}, {"detect_anomaly": True}):
    L.Trainer(**{"max_epochs": 2, **quiet, **settings}).fit(Net(), data)
with L.Trainer(precision="64-true", **quiet).init_module(empty_init=True):
    assert Net().net[0].weight.dtype == torch.float64
summary = L.pytorch.utilities.model_summary.summarize(net)
assert summary.total_parameters == 210 and summary.total_flops == 768

fabric = L.Fabric(accelerator="cpu", devices=1)
model = fabric.setup_module(torch.nn.Linear(10, 2))
optimizer = fabric.setup_optimizers(torch.optim.SGD(model.parameters(), 0.1))
for a, b in fabric.setup_dataloaders(DataLoader(TensorDataset(X, y), 32)):
    optimizer.zero_grad()
    fabric.backward(F.cross_entropy(model(a), b))
    optimizer.step()
fabric.save(d + "/f.pt", {"model": model})
assert torch.equal(_lazy_load(d + "/f.pt")["model"]["weight"]._load_tensor(), model.module.weight)
"""

ACCELERATE = """
import os
import tempfile
import torch
from accelerate import Accelerator, infer_auto_device_map, init_empty_weights, load_checkpoint_and_dispatch
from accelerate.utils import set_seed
from torch.utils.data import DataLoader, TensorDataset

set_seed(42)
accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
X = torch.randn(120, 8)
y = X[:, :2].sum(1, keepdim=True)
make = lambda: torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.GELU(), torch.nn.Linear(16, 1))
model = make()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
loader = DataLoader(TensorDataset(X, y), batch_size=16, shuffle=True)
scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, 40)
model, optimizer, loader, scheduler = accelerator.prepare(model, optimizer, loader, scheduler)
losses = []
for _ in range(4):
    for a, b in loader:
        with accelerator.accumulate(model):
            loss = torch.nn.functional.mse_loss(model(a), b)
            accelerator.backward(loss)
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
    losses.append(loss.item())
assert max(abs(a - b) for a, b in zip(losses, [1.62754, 2.90997, 2.97658, 3.22484])) < 1e-4, losses
folder = tempfile.mkdtemp()
accelerator.save_state(folder)
weight = model[0].weight.detach().clone()
torch.nn.init.zeros_(model[0].weight)
accelerator.load_state(folder)
assert torch.equal(model[0].weight, weight)
accelerator.save_model(model, folder + "/m")
with init_empty_weights():
    empty = make()
assert empty[0].weight.is_meta and infer_auto_device_map(empty, max_memory={"cpu": 10000}) == {"": "cpu"}
loaded = load_checkpoint_and_dispatch(empty, folder + "/m/model.safetensors", device_map={"": "cpu"})
assert torch.equal(loaded(X), accelerator.unwrap_model(model)(X))
assert sum(len(a) for a, _ in accelerator.skip_first_batches(loader, 6)) == 24
"""

CAPTUM = """
import torch
from captum.attr import (DeepLift, FeatureAblation, GradientShap, IntegratedGradients, KernelShap, LayerConductance,
                         LayerGradCam, LRP, NoiseTunnel, Occlusion, Saliency, ShapleyValues)

torch.manual_seed(123)
net = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)).eval()
x, zero = torch.rand(2, 3), torch.zeros(2, 3)
change = net(x)[:, 0] - net(zero)[:, 0]
for method in (IntegratedGradients, DeepLift, ShapleyValues):
    given = method(net).attribute(x, zero, target=0)
    assert torch.allclose(given.sum(1), change, atol=2e-2), method
grad, = torch.autograd.grad(net(x.requires_grad_())[:, 1].sum(), x)
assert torch.allclose(Saliency(net).attribute(x, target=1), grad.abs())
x = x.detach()
for row, name in ((x, FeatureAblation), (x, LRP), (x[:1], KernelShap)):
    assert name(net).attribute(row, target=1).shape == row.shape
assert GradientShap(net).attribute(x, zero, target=0).isfinite().all()
assert NoiseTunnel(Saliency(net)).attribute(x, nt_type="smoothgrad", nt_samples=4, target=0).shape == x.shape
total = LayerConductance(net, net[0]).attribute(x, zero, target=0).sum(1)
assert torch.allclose(total, change, atol=1e-2)
images = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(144, 3))
picture = torch.rand(1, 1, 8, 8)
assert LayerGradCam(images, images[0]).attribute(picture, target=0).shape == (1, 1, 6, 6)
windows = Occlusion(images).attribute(picture, target=0, sliding_window_shapes=(1, 3, 3), strides=(1, 1, 1))
assert windows.shape == picture.shape
"""

TRANSFORMERS = """
import torch
from rotary_embedding_torch import RotaryEmbedding
from x_transformers import AutoregressiveWrapper, Decoder, Encoder, TransformerWrapper, ViTransformerWrapper

torch.manual_seed(0)
x = torch.randint(0, 64, (2, 20))
make = lambda layers: TransformerWrapper(num_tokens=64, max_seq_len=32, attn_layers=layers)
text = AutoregressiveWrapper(make(Decoder(dim=32, depth=2, heads=4, rotary_pos_emb=True, ff_glu=True)))
flash = make(Decoder(dim=32, depth=2, heads=4, attn_flash=True, attn_qk_norm=True, attn_one_kv_head=True))
alibi = make(Encoder(dim=32, depth=2, heads=4, alibi_pos_bias=True, alibi_num_heads=2, use_rmsnorm=True))
images = ViTransformerWrapper(image_size=16, patch_size=8, num_classes=5, attn_layers=Encoder(dim=32, depth=2, heads=4))
picture, label = torch.randn(3, 3, 16, 16), torch.tensor([0, 1, 2])
for model, loss_of in ((text, lambda: text(x)), (flash, lambda: flash(x).logsumexp(-1).mean()),
                       (alibi, lambda: alibi(x, mask=torch.ones_like(x).bool()).square().mean()),
                       (images, lambda: torch.nn.functional.cross_entropy(images(picture), label))):
    optimizer, losses = torch.optim.Adam(model.parameters(), 1e-3), []
    for _ in range(5):
        optimizer.zero_grad()
        losses.append(loss_of())
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < losses[0]
assert text.eval().generate(x[:, :4], 8, temperature=0.0).shape == (2, 8)
rotary, q = RotaryEmbedding(dim=8), torch.randn(1, 2, 6, 16)
turned = rotary.rotate_queries_or_keys(q)
assert torch.allclose(turned.norm(dim=-1), q.norm(dim=-1), atol=1e-5) and torch.equal(turned[:, :, 0], q[:, :, 0])
"""

OPTIMIZERS = """
import tempfile
import pytorch_optimizer
import torch
from beartype import beartype
from huggingface_hub import PyTorchModelHubMixin
from jaxtyping import Float, Int, jaxtyped
from lion_pytorch import Lion
from safetensors.torch import load_file, load_model, save_file, save_model
from torch_ema import ExponentialMovingAverage

def train(make):
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    x = torch.randn(16, 4)
    loss_of = lambda: (net(x) - x.sum(1, keepdim=True)).square().mean()
    optimizer = make(net.parameters())
    average = ExponentialMovingAverage(net.parameters(), decay=0.9)
    for _ in range(4):
        optimizer.zero_grad()
        loss_of().backward()
        optimizer.step()
        average.update()
    optimizer.load_state_dict(optimizer.state_dict())
    last = loss_of().item()
    with average.average_parameters():
        assert loss_of().item() != last
    return last

# Losses of PyTorch.
assert abs(train(lambda p: Lion(p, lr=1e-2, weight_decay=1e-2)) - 3.87902) < 1e-4
for name, expected in {"adabelief": 3.78731, "adamp": 3.88389, "adan": 3.88217, "came": 0.97366, "lamb": 3.68481, "lars": 4.41616}.items():
    loss = train(lambda p: pytorch_optimizer.load_optimizer(name)(p, lr=1e-2))
    assert abs(loss - expected) < 1e-4, (name, loss)

@jaxtyped(typechecker=beartype)
def chosen(a: Float[torch.Tensor, "b c"], i: Int[torch.Tensor, "b"]) -> Float[torch.Tensor, "c"]:
    return a[i].sum(0)

assert chosen(torch.ones(2, 3), torch.tensor([0, 1])).tolist() == [2, 2, 2]
for wrong in ((torch.ones(2, 3), torch.tensor([0])), (torch.ones(2, 3).long(), torch.tensor([0, 1]))):
    try:
        chosen(*wrong)
    except Exception as error:
        assert "TypeCheckError" in type(error).__name__
    else:
        raise AssertionError(wrong)

folder = tempfile.mkdtemp()
for dtype in (torch.float32, torch.float16, torch.bfloat16, torch.int8, torch.bool, torch.int64):
    tensor = torch.arange(6).reshape(2, 3).to(dtype)
    save_file({"a": tensor}, folder + "/a.safetensors")
    assert load_file(folder + "/a.safetensors")["a"].equal(tensor)
tied = torch.nn.ModuleList([torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)])
tied[1].weight = tied[0].weight
save_model(tied, folder + "/t.safetensors")
assert load_model(tied, folder + "/t.safetensors") == (set(), [])

class Shared(torch.nn.Module, PyTorchModelHubMixin):
    def __init__(self, width=3):
        super().__init__()
        self.linear = torch.nn.Linear(2, width)

one = Shared(4)
one.save_pretrained(folder + "/hub")
assert Shared.from_pretrained(folder + "/hub").linear.weight.equal(one.linear.weight)
"""
PROGRAMS = {
    "lightning": LIGHTNING, "accelerate": ACCELERATE, "captum": CAPTUM, "transformers": TRANSFORMERS,
    "optimizers": OPTIMIZERS,
}  # fmt: skip


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    return environment(tmp_path_factory.mktemp("packages"), FOR_TORCH, ORDINARY + MORE)


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name, python, tmp_path):
    check(python, name, PROGRAMS[name], tmp_path)
