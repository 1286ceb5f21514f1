"""Packages written for PyTorch, installed from PyPI into a fresh environment and run with `python -m flambeau`.

Left out unless asked for: `pytest -m packages`. Needs a network and some minutes.
"""

import package_environment
import pytest

pytestmark = pytest.mark.packages
FOR_TORCH = ["einops", "torchmetrics", "lightning-utilities", "torchdiffeq", "skorch", "pytorch-ignite", "torchinfo"]

EINOPS = """
import numpy as np
import torch
from einops import asnumpy, einsum, pack, parse_shape, rearrange, reduce, repeat, unpack
from einops.layers.torch import EinMix, Rearrange, Reduce

x = torch.arange(2 * 3 * 4 * 6, dtype=torch.float32).reshape(2, 3, 4, 6).requires_grad_()
n = x.detach().numpy()
assert np.array_equal(asnumpy(rearrange(x, "b c h w -> b (h w) c")), n.transpose(0, 2, 3, 1).reshape(2, 24, 3))
assert np.array_equal(asnumpy(rearrange(x, "b c (h p) (w q) -> (b h w) (p q c)", p=2, q=3))[0, :3], n[0, :, 0, 0])
pooled = reduce(x, "b c (h p) (w q) -> b c h w", "max", p=2, q=2)
assert np.array_equal(asnumpy(pooled), torch.nn.functional.max_pool2d(x, 2).detach().numpy())
pooled.sum().backward()
assert x.grad.sum().item() == pooled.numel()
for name in ("min", "max", "sum", "mean", "prod"):
    small = x.detach() / 50
    assert np.allclose(reduce(small, "b c h w -> c", name), getattr(small.numpy(), name)((0, 2, 3)), rtol=1e-4)
assert reduce(x.detach() > 3, "b c h w -> b", "all").tolist() == [False, True]
assert repeat(x, "b c h w -> b c (h 2) (w r)", r=3).shape == (2, 3, 8, 18)
assert parse_shape(x, "b _ h w") == {"b": 2, "h": 4, "w": 6}
assert torch.equal(einsum(torch.ones(2, 3), torch.ones(3, 4), "a b, b c -> a c"), torch.full((2, 4), 3.0))
packed, shapes = pack([torch.ones(2, 3), torch.ones(2, 4, 3)], "b * c")
assert packed.shape == (2, 5, 3) and [part.shape for part in unpack(packed, shapes, "b * c")] == [(2, 3), (2, 4, 3)]
assert rearrange([torch.ones(2), torch.zeros(2)], "n d -> d n").tolist() == [[1, 0], [1, 0]]

net = torch.nn.Sequential(
    torch.nn.Conv2d(1, 6, 5), Reduce("b c (h 2) (w 2) -> b c h w", "max"), torch.nn.ReLU(),
    torch.nn.Conv2d(6, 16, 5), Reduce("b c (h 2) (w 2) -> b c h w", "max"), torch.nn.ReLU(),
    Rearrange("b c h w -> b (c h w)"), torch.nn.LazyLinear(10),
)
net(torch.rand(2, 1, 28, 28)).logsumexp(1).sum().backward()
assert net[0].weight.grad.abs().sum() > 0
upscale = torch.nn.Sequential(torch.nn.Conv2d(1, 9, 3, padding=1), Rearrange("b (p q) h w -> b (h p) (w q)", p=3, q=3))
assert upscale(torch.rand(1, 1, 4, 4)).shape == (1, 12, 12)
mix = EinMix("b t c -> b t d", weight_shape="c d", bias_shape="d", c=4, d=3)
assert torch.allclose(mix(torch.ones(2, 5, 4)), (mix.weight.sum(0) + mix.bias).expand(2, 5, 3))
torch.jit.script(net)
"""

TORCHMETRICS = """
import copy
import pickle
import numpy as np
import torch
from sklearn import metrics as reference
from torchmetrics import AUROC, Accuracy, ConfusionMatrix, F1Score, MeanMetric, MetricCollection, R2Score

torch.manual_seed(0)
scores, target = torch.randn(200, 4).softmax(-1), torch.randint(4, (200,))
labels, truth = scores.argmax(1).numpy(), target.numpy()

def total(metric):
    for part in range(0, 200, 50):
        metric.update(scores[part : part + 50], target[part : part + 50])
    return metric.compute()

close = lambda a, b: np.testing.assert_allclose(np.asarray(a), b, rtol=1e-5)
close(total(Accuracy(task="multiclass", num_classes=4, average="micro")), reference.accuracy_score(truth, labels))
close(total(Accuracy(task="multiclass", num_classes=4, average="macro")), reference.balanced_accuracy_score(truth, labels))
for average in ("micro", "macro", "weighted", None):
    close(total(F1Score(task="multiclass", num_classes=4, average=average)),
          reference.f1_score(truth, labels, average=average))
for average in ("macro", "weighted"):
    close(total(AUROC(task="multiclass", num_classes=4, average=average)),
          reference.roc_auc_score(truth, scores.numpy(), multi_class="ovr", average=average))
close(total(ConfusionMatrix(task="multiclass", num_classes=4)), reference.confusion_matrix(truth, labels))
two, yes = torch.rand(300), torch.randint(2, (300,))
close(AUROC(task="binary")(two, yes), reference.roc_auc_score(yes.numpy(), two.numpy()))
close(F1Score(task="binary")(two, yes), reference.f1_score(yes.numpy(), (two > 0.5).numpy()))
close(Accuracy(task="multilabel", num_labels=3)(torch.ones(5, 3), torch.ones(5, 3).long()), 1.0)
close(R2Score()(two, two * 0.9 + 0.1), reference.r2_score((two * 0.9 + 0.1).numpy(), two.numpy()))
both = MetricCollection({"a": Accuracy(task="multiclass", num_classes=4), "f": F1Score(task="multiclass", num_classes=4)})
assert set(both(scores, target)) == {"a", "f"} and both.compute()["a"].ndim == 0
metric = Accuracy(task="multiclass", num_classes=4)
total(metric)
for other in (pickle.loads(pickle.dumps(metric)), copy.deepcopy(metric), metric.to("cpu")):
    assert other.compute() == metric.compute()
metric.persistent(True)
assert list(metric.state_dict()) == ["tp", "fp", "tn", "fn"]
metric.reset()
assert MeanMetric()(torch.tensor([1.0, 2.0])) == 1.5
"""

TORCHDIFFEQ = """
import torch
from torchdiffeq import odeint, odeint_adjoint, odeint_event

class Spiral(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.A = torch.nn.Parameter(torch.tensor([[-0.1, 2.0], [-2.0, -0.1]], dtype=torch.float64))

    def forward(self, t, y):
        return y @ self.A

start = torch.tensor([[2.0, 0.0]], dtype=torch.float64)
times = torch.linspace(0, 2, 5, dtype=torch.float64)
model = Spiral()
exact = torch.stack([start @ torch.matrix_exp(t * model.A.detach()) for t in times])
for method in ("dopri8", "dopri5", "bosh3", "fehlberg2", "adaptive_heun", "rk4",
               "midpoint", "euler"):
    options = {"step_size": 1e-2} if method in ("rk4", "midpoint", "euler") else None
    with torch.no_grad():
        error = (odeint(model, start, times, method=method, options=options) - exact).abs().max().item()
    assert error < (0.1 if method == "euler" else 1e-3), (method, error)

def gradient(solve):
    model.zero_grad()
    solve(model, start, times, rtol=1e-9, atol=1e-9).square().sum().backward()
    return model.A.grad.clone()

through, adjoint = gradient(odeint), gradient(odeint_adjoint)
assert torch.allclose(through, adjoint, rtol=1e-6), (through, adjoint)
fall = lambda t, y: torch.stack([y[1], torch.full_like(y[1], -9.81)])
moment, _ = odeint_event(fall, torch.tensor([10.0, 0.0]), torch.tensor(0.0), event_fn=lambda t, y: y[0])
assert abs(moment.item() - (2 * 10 / 9.81) ** 0.5) < 1e-4
torch.manual_seed(0)
learned = torch.nn.Sequential(torch.nn.Linear(2, 16), torch.nn.Tanh(), torch.nn.Linear(16, 2)).double()
right = torch.nn.Module()
right.net, right.forward = learned, lambda t, y: learned(y)
optimizer, losses = torch.optim.Adam(learned.parameters(), lr=0.01), []
for _ in range(20):
    optimizer.zero_grad()
    loss = (odeint_adjoint(right, start, times, adjoint_params=tuple(learned.parameters())) - exact).abs().mean()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
assert losses[-1] < losses[0]
"""

SKORCH = """
import pickle
import tempfile
import numpy as np
import torch
from sklearn.datasets import make_classification, make_regression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor
from skorch.callbacks import Checkpoint, EarlyStopping, EpochScoring, GradientNormClipping, LRScheduler

X, y = make_classification(300, 20, n_informative=10, random_state=0)
X, y = X.astype("float32"), y.astype("int64")

class Net(torch.nn.Module):
    def __init__(self, num_units=10, nonlin=torch.nn.ReLU()):
        super().__init__()
        self.first, self.nonlin = torch.nn.Linear(20, num_units), nonlin
        self.dropout, self.last = torch.nn.Dropout(0.2), torch.nn.Linear(num_units, 2)

    def forward(self, X):
        return self.last(self.dropout(self.nonlin(self.first(X)))).softmax(-1)

torch.manual_seed(0)
net = NeuralNetClassifier(Net, max_epochs=20, lr=0.1, iterator_train__shuffle=True, verbose=0)
pipe = Pipeline([("scale", StandardScaler()), ("net", net)])
pipe.fit(X, y)
assert pipe.score(X, y) > 0.7 and pipe.predict_proba(X).shape == (300, 2)
assert len(net.history) == 20 or len(pipe["net"].history) == 20
search = GridSearchCV(pipe, {"net__lr": [0.01, 0.1], "net__module__num_units": [5, 20]}, cv=3, scoring="accuracy")
search.fit(X, y)
assert search.best_score_ > 0.7 and search.best_params_["net__lr"] == 0.1
assert cross_val_score(net, X, y, cv=3).mean() > 0.6
again = pickle.loads(pickle.dumps(search.best_estimator_))
assert np.array_equal(again.predict(X), search.predict(X))

Xr, yr = make_regression(200, 20, random_state=0)
Xr, yr = Xr.astype("float32"), (yr / 100).astype("float32").reshape(-1, 1)
folder = tempfile.mkdtemp()
callbacks = [EarlyStopping(patience=5), LRScheduler("StepLR", step_size=5), Checkpoint(dirname=folder),
             GradientNormClipping(10.0)]
regressor = NeuralNetRegressor(torch.nn.Linear, module__in_features=20, module__out_features=1, max_epochs=20, lr=0.05,
                               callbacks=callbacks, optimizer=torch.optim.Adam, verbose=0)
regressor.fit(Xr, yr)
assert regressor.score(Xr, yr) > 0.5
regressor.save_params(f_params=folder + "/p.pt", f_optimizer=folder + "/o.pt", f_history=folder + "/h.json")
other = NeuralNetRegressor(torch.nn.Linear, module__in_features=20, module__out_features=1, optimizer=torch.optim.Adam)
other.initialize().load_params(f_params=folder + "/p.pt", f_optimizer=folder + "/o.pt", f_history=folder + "/h.json")
assert np.array_equal(other.predict(Xr), regressor.predict(Xr))
regressor.load_params(checkpoint=Checkpoint(dirname=folder))
class Margin(torch.nn.Linear):
    def forward(self, X):
        return super().forward(X).squeeze(-1)
binary = NeuralNetBinaryClassifier(Margin, module__in_features=20, module__out_features=1, max_epochs=5, verbose=0,
                                   callbacks=[EpochScoring("roc_auc", lower_is_better=False)], iterator_train__num_workers=1)
assert set(binary.fit(X, y.astype("float32")).predict(X)) <= {0, 1}
"""

IGNITE = """
import tempfile
import torch
from ignite.engine import Events, create_supervised_evaluator, create_supervised_trainer
from ignite.handlers import Checkpoint, CosineAnnealingScheduler, EarlyStopping, ModelCheckpoint, TerminateOnNan
from ignite.metrics import Accuracy, ConfusionMatrix, Loss, Precision, RunningAverage
from torch.utils.data import DataLoader, TensorDataset
from torchinfo import summary

torch.manual_seed(0)
X = torch.randn(256, 6)
y = (X.sum(1) > 0).long()
loader = DataLoader(TensorDataset(X, y), 16, shuffle=True)
model = torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.ReLU(), torch.nn.Linear(16, 2))
assert summary(model, input_size=(4, 6), verbose=0).total_params == 146
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
trainer = create_supervised_trainer(model, optimizer, torch.nn.CrossEntropyLoss())
metrics = {"accuracy": Accuracy(), "loss": Loss(torch.nn.CrossEntropyLoss()), "precision": Precision(average=True),
           "matrix": ConfusionMatrix(2)}
evaluator = create_supervised_evaluator(model, metrics=metrics)
RunningAverage(output_transform=lambda loss: loss).attach(trainer, "loss")
trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda engine: evaluator.run(loader))
keep = ModelCheckpoint(tempfile.mkdtemp(), "run", n_saved=1)
trainer.add_event_handler(Events.EPOCH_COMPLETED, keep, {"model": model, "optimizer": optimizer})
evaluator.add_event_handler(Events.COMPLETED, EarlyStopping(3, lambda e: e.state.metrics["accuracy"], trainer))
trainer.add_event_handler(Events.ITERATION_COMPLETED, TerminateOnNan())
trainer.add_event_handler(Events.ITERATION_STARTED, CosineAnnealingScheduler(optimizer, "lr", 0.01, 0.001, 16))
trainer.run(loader, max_epochs=5)
assert evaluator.state.metrics["accuracy"] > 0.9 and evaluator.state.metrics["matrix"].sum() == 256
Checkpoint.load_objects({"model": model, "optimizer": optimizer}, torch.load(keep.last_checkpoint))
"""

PROGRAMS = {
    "einops": EINOPS, "torchmetrics": TORCHMETRICS, "torchdiffeq": TORCHDIFFEQ, "skorch": SKORCH, "ignite": IGNITE,
}  # fmt: skip


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    return package_environment.make(tmp_path_factory.mktemp("packages"), [], FOR_TORCH)


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name, python, tmp_path):
    package_environment.run(python, name, PROGRAMS[name], tmp_path)
