"""Packages of models, installed from PyPI and run with `python -m flambeau`: language, images, agents, tables.

Left out unless asked for: `pytest -m packages`. Needs a network and some minutes. Printed numbers are PyTorch's.
"""

import pytest
from packages import ORDINARY, check, environment

pytestmark = pytest.mark.packages
MORE = """regex pyyaml filelock requests tokenizers safetensors huggingface_hub psutil pillow fsspec jinja2 httpx
cloudpickle farama-notifications python-dateutil pytz tzdata six matplotlib""".split()
FOR_TORCH = """transformers peft diffusers sentence-transformers accelerate einops stable-baselines3 gymnasium pandas
pytorch-tabnet monai geomloss torch-ema pytorch-msssim""".split()

HEAD = """
import os
os.environ["HF_HUB_OFFLINE"] = "1"
import tempfile
import numpy as np
import torch

folder = tempfile.mkdtemp()

def near(have, want, rtol=1e-4):
    want = torch.as_tensor(want, dtype=torch.float64)
    assert torch.allclose(torch.as_tensor(have).detach().double(), want, rtol=rtol, atol=1e-4), (have, want)

def train(parameters, loss, steps, lr):
    optimizer, losses = torch.optim.AdamW(parameters, lr=lr), []
    for _ in range(steps):
        optimizer.zero_grad()
        value = loss()
        value.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        losses.append(value.item())
    return losses

torch.manual_seed(0)
"""

TRANSFORMERS = """
from transformers import (
    BertConfig, BertForMaskedLM, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, T5Config,
    T5ForConditionalGeneration, Trainer, TrainingArguments, ViTConfig, ViTForImageClassification)

ids = torch.randint(5, 99, (3, 12))
mask = torch.ones_like(ids)
mask[1, 8:] = 0
small = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=37)
words = dict(vocab_size=99, **small)
text = dict(input_ids=ids, attention_mask=mask, labels=ids)
bert = lambda: BertForMaskedLM(BertConfig(**words, max_position_embeddings=64))
gpt2 = lambda: GPT2LMHeadModel(GPT2Config(vocab_size=99, n_embd=32, n_layer=2, n_head=4, n_positions=64,
                                          bos_token_id=1, eos_token_id=2))
llama = lambda: LlamaForCausalLM(LlamaConfig(**words, num_key_value_heads=2, pad_token_id=0))
t5 = lambda: T5ForConditionalGeneration(T5Config(vocab_size=99, d_model=32, d_kv=8, d_ff=37, num_layers=2, num_heads=4,
                                                 decoder_start_token_id=0))
vit = lambda: ViTForImageClassification(ViTConfig(**small, image_size=16, patch_size=4, num_labels=3))
picture = dict(pixel_values=torch.rand(2, 3, 16, 16), labels=torch.tensor([0, 2]))
made = {}
for name, make, batch in (("bert", bert, text), ("gpt2", gpt2, dict(input_ids=ids, labels=ids)), ("llama", llama, text),
                          ("t5", t5, {**text, "labels": ids[:, :7].clone()}), ("vit", vit, picture)):
    torch.manual_seed(0)
    model = made[name] = make()
    losses = train(list(model.parameters()), lambda: model(**batch).loss, 4, 1e-3)
    if name in LOSSES:
        near(losses, LOSSES[name])
    assert losses[-1] < losses[0]
    model.eval()
    model.save_pretrained(f"{folder}/{name}")
    with torch.no_grad():
        assert type(model).from_pretrained(f"{folder}/{name}")(**batch).logits.equal(model(**batch).logits)
settings = dict(attention_mask=mask, max_new_tokens=8, pad_token_id=0)
for name, wanted in WORDS.items():
    assert made[name].generate(ids, do_sample=False, **settings)[0, -8:].tolist() == wanted
    torch.manual_seed(1)
    sampled = made[name].generate(ids, do_sample=True, temperature=0.8, top_k=20, top_p=0.9, **settings)
    assert sampled[0, -8:].tolist() == SAMPLED[name]
    assert made[name].generate(ids, num_beams=3, **settings).shape == (3, 20)

data = [dict(input_ids=row, labels=row) for row in ids]
arguments = TrainingArguments(f"{folder}/run", max_steps=4, per_device_train_batch_size=2, logging_steps=1, report_to=[],
                              disable_tqdm=True, bf16=True, gradient_checkpointing=True, eval_strategy="steps", eval_steps=2,
                              learning_rate=1e-2, use_cpu=True)
trainer = Trainer(llama(), arguments, train_dataset=data, eval_dataset=data)
trainer.train()
losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
assert len(losses) == 4 and losses[-1] < losses[0] and trainer.predict(data).predictions.shape == (3, 12, 99)
"""

WANTED = """
LOSSES = {
    "bert": [4.58712, 4.51169, 4.44440, 4.39738], "gpt2": [4.60388, 4.48981, 4.40278, 4.34437],
    "llama": [4.59071, 4.50726, 4.42959, 4.35994], "vit": [1.13973, 0.98033, 0.90627, 0.87477],
}
WORDS = {"gpt2": [5, 5, 5, 40, 40, 40, 40, 40], "llama": [5] * 8}
SAMPLED = {"gpt2": [80, 19, 19, 6, 21, 36, 86, 21], "llama": [5, 83, 46, 64, 21, 16, 89, 77]}
"""

ADAPTERS = """
from peft import IA3Config, LoraConfig, PeftModel, PrefixTuningConfig, get_peft_model
from sentence_transformers import SentenceTransformer, losses, util
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Transformer
from transformers import BertConfig, BertModel, BertTokenizer, LlamaConfig, LlamaForCausalLM

small = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=36)
ids = torch.randint(5, 99, (4, 12))

def base():
    torch.manual_seed(1)
    return LlamaForCausalLM(LlamaConfig(vocab_size=99, **small, num_key_value_heads=2))

places = ["q_proj", "v_proj"]
for settings in (LoraConfig(r=4, target_modules=places, lora_dropout=0.1, task_type="CAUSAL_LM"),
                 LoraConfig(r=4, target_modules=places, use_dora=True), LoraConfig(r=4, target_modules=places, init_lora_weights="pissa"),
                 IA3Config(target_modules=[*places, "down_proj"], feedforward_modules=["down_proj"]),
                 PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4)):
    model = get_peft_model(base(), settings)
    parameters = [p for p in model.parameters() if p.requires_grad]
    assert 0 < sum(p.numel() for p in parameters) < 3000
    values = train(parameters, lambda: model(input_ids=ids, labels=ids).loss, 4, 1e-2)
    assert values[-1] < values[0]
    model.eval()
    logits = model(input_ids=ids).logits
    model.save_pretrained(f"{folder}/adapter")
    near(PeftModel.from_pretrained(base(), f"{folder}/adapter").eval()(input_ids=ids).logits, logits)
    if hasattr(model, "merge_and_unload"):
        near(model.merge_and_unload()(input_ids=ids).logits, logits, rtol=1e-3)

words = "[PAD] [UNK] [CLS] [SEP] [MASK] the cat dog sat on mat log ran to a house".split()
with open(f"{folder}/vocab.txt", "w") as file:
    file.write("\\n".join(words))
BertTokenizer(f"{folder}/vocab.txt").save_pretrained(folder)
BertModel(BertConfig(vocab_size=len(words), **small, max_position_embeddings=32)).save_pretrained(folder)
model = SentenceTransformer(modules=[Transformer(folder), Pooling(32), Dense(32, 16), Normalize()], device="cpu")
texts = ["the cat sat on the mat", "a dog ran to the house", "the dog sat on a log"]
vectors = model.encode(texts, convert_to_tensor=True)
near(model.similarity(vectors, vectors).diag(), torch.ones(3))
assert util.semantic_search(vectors[:1], vectors, top_k=2)[0][0]["corpus_id"] == 0
criterion, halves = losses.MultipleNegativesRankingLoss(model), [model.preprocess(texts), model.preprocess(texts[::-1])]
values = train(list(model.parameters()), lambda: criterion([dict(half) for half in halves], None), 5, 1e-3)
assert values[-1] < values[0]
"""

DIFFUSERS = """
from diffusers import DDIMScheduler, DDPMPipeline, DDPMScheduler, UNet2DModel

unet = UNet2DModel(sample_size=16, layers_per_block=1, block_out_channels=(16, 32), norm_num_groups=8,
                   down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"))
schedule, images = DDPMScheduler(num_train_timesteps=50), torch.rand(4, 3, 16, 16) * 2 - 1

def loss():
    noise, times = torch.randn_like(images), torch.randint(0, 50, (4,))
    return torch.nn.functional.mse_loss(unet(schedule.add_noise(images, noise, times), times).sample, noise)

values = train(list(unet.parameters()), loss, 8, 1e-3)
assert values[-1] < values[0]
pipeline = DDPMPipeline(unet=unet, scheduler=schedule)
pipeline.save_pretrained(f"{folder}/pipeline")
draw = lambda p: p(batch_size=2, generator=torch.Generator().manual_seed(1), num_inference_steps=5, output_type="np").images
near(draw(DDPMPipeline.from_pretrained(f"{folder}/pipeline")), draw(pipeline))
steps = DDIMScheduler(num_train_timesteps=50)
steps.set_timesteps(5)
sample = torch.randn(1, 3, 16, 16)
with torch.no_grad():
    for t in steps.timesteps:
        sample = steps.step(unet(sample, t).sample, t, sample).prev_sample
assert sample.isfinite().all()
"""

AGENTS = """
from stable_baselines3 import A2C, DQN, PPO, SAC

torch.set_num_threads(1)
kinds = ((PPO, "CartPole-v1", dict(n_steps=64, batch_size=32, n_epochs=2), 192), (A2C, "CartPole-v1", {}, 100),
         (DQN, "CartPole-v1", dict(learning_starts=20, batch_size=16), 120),
         (SAC, "Pendulum-v1", dict(learning_starts=20, batch_size=16), 60))
for kind, world, settings, steps in kinds:
    agent = kind("MlpPolicy", world, seed=0, device="cpu", policy_kwargs=dict(net_arch=[16]), **settings).learn(steps)
    if kind is PPO:
        near(sum(p.double().abs().sum() for p in agent.policy.parameters()), 40.67281)
    agent.save(f"{folder}/agent")
    seen = agent.observation_space.sample()
    again = kind.load(f"{folder}/agent", device="cpu")
    assert np.allclose(again.predict(seen, deterministic=True)[0], agent.predict(seen, deterministic=True)[0])
"""

TABLES = """
from geomloss import SamplesLoss
from monai.losses import DiceCELoss, FocalLoss
from monai.networks.nets import SegResNet, UNet
from pytorch_msssim import ms_ssim
from pytorch_tabnet.tab_model import TabNetClassifier
from torch_ema import ExponentialMovingAverage

table = np.random.RandomState(0).rand(64, 6).astype("float32")
labels = (table[:, 0] + table[:, 1] > 1).astype(int)
model = TabNetClassifier(n_d=4, n_a=4, n_steps=2, verbose=0, seed=0, device_name="cpu")
model.fit(table, labels, eval_set=[(table, labels)], max_epochs=4, batch_size=32, virtual_batch_size=16)
assert model.history["loss"][-1] < model.history["loss"][0] and model.explain(table[:3])[0].shape == (3, 6)

image, target = torch.rand(1, 1, 32, 32), torch.randint(0, 2, (1, 1, 32, 32)).float()
criterion = DiceCELoss(to_onehot_y=True, softmax=True)
for net in (UNet(2, 1, 2, (4, 8, 16), (2, 2), num_res_units=1), SegResNet(2, 8, 1, 2, blocks_down=(1, 1), blocks_up=(1,))):
    mean = ExponentialMovingAverage(net.parameters(), decay=0.9)
    values = train(list(net.parameters()), lambda: criterion(net(image), target), 5, 1e-2)
    mean.update()
    with mean.average_parameters():
        assert criterion(net(image), target).isfinite() and values[-1] < values[0]
assert FocalLoss(to_onehot_y=True)(torch.zeros(1, 2, 8, 8), torch.zeros(1, 1, 8, 8)).isfinite()

a, b = torch.randn(50, 2, requires_grad=True), torch.randn(40, 2) + 1
for kind in ("sinkhorn", "gaussian", "energy"):
    value = SamplesLoss(kind, p=2, blur=0.1, backend="tensorized")(a, b)
    assert value > 0 and torch.autograd.grad(value, a)[0].isfinite().all()
image = torch.rand(1, 3, 176, 176)
near(ms_ssim(image, image, data_range=1.0), 1.0)
"""

PROGRAMS = {"transformers": WANTED + TRANSFORMERS, "adapters": ADAPTERS, "diffusers": DIFFUSERS, "agents": AGENTS}
PROGRAMS["tables"] = TABLES


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    return environment(tmp_path_factory.mktemp("packages"), FOR_TORCH, ORDINARY + MORE)


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name, python, tmp_path):
    check(python, name, HEAD + PROGRAMS[name], tmp_path)
