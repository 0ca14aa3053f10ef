"""ERes2Nets small enough for tests: right at any size, trainable, deployed, exported, explained."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from backbone import deploy
from common.commands import export
from common.errors import UserError
from tasks.speaker import predict
from tasks.speaker.config import LossConfig, ModelConfig
from tasks.speaker.export import ExportConfig, graph
from tasks.speaker.loss import margin_loss
from tasks.speaker.model import build, from_published, to_published
from tasks.speaker.nets import NETS
from tests.tasks import commands
from tests.tasks.speaker.test_model import load_weights
from tests.test_deployed_tasks import randomise
from tests.test_exported_tasks import weights_in

SMALL = ModelConfig(
    bins=24, width=8, stem_stride=1, strides=(1, 2, 2, 2), embedding=12, centred=False, floor=1e-8
)
SIZES = {
    "eres2net": (32, 2, 2), "eres2net_common": (24, 3, 4),
    "eres2netv2": (26, 2, 2), "eres2netv2_w24s4ep4": (24, 4, 4),
}  # fmt: skip
"""Base width, scale and expansion."""


def made(name, config=SMALL, speakers=None):
    torch.manual_seed(0)
    return randomise(build(name, config, speakers))


class Reference:
    """The definition over a dict of published names, in double precision."""

    def __init__(self, name, state):
        self.v2, (self.base, self.scale, _) = "v2" in name, SIZES[name]
        self.state = {key: value.double() for key, value in state.items()}

    def conv(self, name, x, stride=1):
        weight, bias = self.state[f"{name}.weight"], self.state.get(f"{name}.bias")
        return F.conv2d(x, weight, bias, stride, padding=weight.shape[-1] // 2)

    def norm(self, name, x):
        parts = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(x, *(self.state[f"{name}.{part}"] for part in parts))

    def gate(self, name, x, y):
        hidden = self.conv(f"{name}.local_att.0", torch.cat((x, y), 1))
        hidden = self.norm(f"{name}.local_att.1", hidden)
        hidden = self.conv(f"{name}.local_att.3", hidden * hidden.sigmoid())
        a = 1 + self.norm(f"{name}.local_att.4", hidden).tanh()
        return x * a + y * (2 - a)

    def block(self, name, x, stride, gated):
        y = self.norm(f"{name}.bn1", self.conv(f"{name}.conv1", x, stride)).clamp(0, 20)
        results = []
        for i, chunk in enumerate(y.split(y.shape[1] // self.scale, dim=1)):
            if i and gated:
                chunk = self.gate(f"{name}.fuse_models.{i - 1}", results[-1], chunk)
            elif i:
                chunk = chunk + results[-1]
            chunk = self.norm(f"{name}.bns.{i}", self.conv(f"{name}.convs.{i}", chunk))
            results.append(chunk.clamp(0, 20))
        y = self.norm(f"{name}.bn3", self.conv(f"{name}.conv3", torch.cat(results, 1)))
        if f"{name}.shortcut.0.weight" in self.state:
            x = self.norm(f"{name}.shortcut.1", self.conv(f"{name}.shortcut.0", x, stride))
        return (y + x).clamp(0, 20)

    def __call__(self, energies):
        x = F.relu(self.norm("bn1", self.conv("conv1", energies.double()[:, None])))
        stages = []
        for stage, depth in enumerate((3, 4, 6, 3)):
            for number in range(depth):
                stride = 2 if stage and not number else 1
                x = self.block(f"layer{stage + 1}.{number}", x, stride, gated=stage > 1)
            stages.append(x)
        if self.v2:
            x = self.gate("fuse34", x, self.conv("layer3_ds", stages[2], 2))
        else:
            x = stages[0]
            for number, fuse in enumerate(("fuse_mode12", "fuse_mode123", "fuse_mode1234"), 1):
                smaller = self.conv(f"layer{number}_downsample", x, 2)
                x = self.gate(fuse, stages[number], smaller)
        frames = x.flatten(1, 2)
        pooled = torch.cat((frames.mean(-1), (frames.var(-1) + 1e-8).sqrt()), 1)
        return F.linear(pooled, self.state["seg_1.weight"], self.state["seg_1.bias"])


@pytest.mark.parametrize("name", SIZES)
def test_embeddings_are_those_of_the_definition(name):
    model = made(name, replace(SMALL, width=16))
    reference = Reference(name, to_published(model.state_dict()))
    energies = 3 * torch.randn(2, 24, 33)
    with torch.inference_mode():
        expected, found = reference(energies), model.answer(model.backbone(energies[:, None]))
    assert expected.std() > 0.05
    assert (found - expected).norm() / expected.norm() < 1e-4


@pytest.mark.parametrize("name", SIZES)
def test_a_deployed_network_gives_the_same(name):
    model, waves = made(name), torch.randn(2, 8000)
    fast = deploy(model)
    assert not [part for part in fast.modules() if isinstance(part, _BatchNorm)]
    low = deploy(model, precision="bf16")
    with torch.inference_mode():
        expected = model(waves)
        assert (fast(waves) - expected).norm() / expected.norm() < 1e-4
        assert F.cosine_similarity(low(waves), expected).min() > 0.99


@pytest.mark.parametrize("name", ["eres2net", "eres2netv2"])
def test_the_loss_falls_and_all_of_it_learns(name):
    torch.manual_seed(0)
    model = build(name, SMALL, 4)
    waves = 0.1 * torch.randn(8, 8000) * torch.linspace(0.2, 2, 8)[:, None].sin()
    labels = torch.arange(8) % 4
    optimizer = torch.optim.Adam(model.parameters(), 0.003)
    losses = []
    for _ in range(12):
        cosines = model(waves, torch.zeros(8, 4, dtype=torch.int64))
        loss = margin_loss(cosines, labels, LossConfig(), 0.0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    without = [key for key, value in model.named_parameters() if not value.grad.any()]
    # A bias before BatchNorm moves nothing; rounding alone gives it a gradient.
    assert all(key.endswith((".0.bias", ".3.bias")) for key in without)
    assert losses[-1] < 0.5 * losses[0]


def test_trained_by_the_command_and_heard_from_a_file_in_the_published_layout(shared, tmp_path):
    """In bf16: in fp32 the network learns above, and the command trains in its own tests."""
    root, run = shared.data("speaker"), tmp_path / "run"
    commands.fit(
        "speaker", root, run, "--backbone", "eres2net", "--model.stem_stride", "1",
        "--model.strides", "[1,2,2,2]", "--model.centred", "false", "--model.window", "povey",
        "--model.wave_scale", "1", "--model.floor", "1e-8", "--data.channel", "first",
        "--engine.epochs", "1", "--engine.precision", "bf16",
    )  # fmt: skip
    state = {
        key: value
        for key, value in to_published(commands.weights(run)).items()
        if not key.startswith("projection.")
    }
    torch.save(state, tmp_path / "pretrained_eres2net.ckpt")
    published = (
        "--config", "3dspeaker_eres2net", "--model.width", 8, "--model.bins", 24,
        "--model.embedding", 16, "--checkpoint", tmp_path / "pretrained_eres2net.ckpt",
    )  # fmt: skip
    found = []
    for words in (("--run", run), published):
        out = tmp_path / f"heard{len(found)}"
        words = (*words, root / "test", "--mode", "embed", "--loader.workers", 0, "--out", out)
        commands.call(predict.main, *words, "--engine.device", "cpu")
        with np.load(out / "embeddings.npz") as content:
            found.append(content["embeddings"])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_an_exported_network_gives_the_same(tmp_path):
    config = ExportConfig(backbone="eres2netv2", model=SMALL)
    one = graph(config, made("eres2netv2"))
    content = export.write(one, tmp_path / "network.onnx", weights_in(tmp_path))
    assert content["largest_difference"] < 1e-3
    assert content["backbone"] == "eres2netv2"


@pytest.mark.parametrize("name", NETS)
def test_wrong_settings_are_named_from_the_shapes(name):
    other = "eres2net" if name != "eres2net" else "eres2netv2"
    with torch.device("meta"):  # what is looked at are names and shapes
        state = from_published(to_published(build(name, SMALL, None).state_dict()))
        model = build(other, replace(SMALL, embedding=16), None)
    with pytest.raises(UserError) as caught:
        load_weights(model, state)
    settings = f"they look like --backbone {name} --model.width 8 --model.embedding 12 ("
    assert settings in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_with_a_missing_or_a_foreign_part_is_refused():
    model = made("eres2net")
    state = from_published(to_published(model.state_dict()))
    part = "backbone.fusion.fuse_mode12.local_att.0.weight"
    less = {key: value for key, value in state.items() if key != part}
    with pytest.raises(UserError, match=r"1 missing: backbone\.fusion\.fuse_mode12"):
        load_weights(model, less)
    more = from_published({**to_published(state), "seg_2.weight": torch.zeros(2)})
    with pytest.raises(UserError, match=r"1 unexpected: backbone\.seg_2\.weight"):
        load_weights(model, more)
