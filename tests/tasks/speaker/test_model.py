"""The speaker models against the published nets, written here from their keys and definition."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from common.commands import trained
from common.commands.trained import Trained
from common.errors import UserError
from tasks.speaker.config import ModelConfig
from tasks.speaker.features import Fbank
from tasks.speaker.model import (
    BACKBONES,
    Classifier,
    build,
    explain,
    from_published,
    hide,
    to_published,
    without_classifier,
)
from tasks.speaker.pooling import AttentiveStatisticsPooling, StatisticsPooling
from tests.tasks.speaker.small import BACKBONE, TINY

BLOCKS, STRIDES = (3, 4, 6, 3), (1, 2, 2, 2)
PUBLISHED = ModelConfig(stem_stride=1, strides=STRIDES, width=32, embedding=256, centred=False)


class Reference:
    """The published net over a plain dict of weights: Res2Net, or ResNet34 of basic blocks.

    The first pass makes the weights, under the published names, as it needs them.
    """

    def __init__(self, res2net, embedding=256, width=32, seed=0):
        self.res2net, self.embedding, self.width = res2net, embedding, width
        self.state = {}
        self.generator = torch.Generator().manual_seed(seed)
        self(torch.zeros(1, 80, 40))

    def weight(self, name, *shape):
        if name not in self.state:
            values = torch.randn(shape, generator=self.generator)
            self.state[name] = values * math.sqrt(2 / math.prod(shape[1:]))
        return self.state[name]

    def norm(self, name, x):
        if f"{name}.weight" not in self.state:
            for part, low, high in (
                ("weight", 0.3, 0.9), ("bias", -0.3, 0.3),
                ("running_mean", -0.3, 0.3), ("running_var", 0.5, 1.5),
            ):  # fmt: skip
                values = torch.rand(x.shape[1], generator=self.generator) * (high - low) + low
                self.state[f"{name}.{part}"] = values
            self.state[f"{name}.num_batches_tracked"] = torch.tensor(1000)
        names = ("running_mean", "running_var", "weight", "bias")
        mean, variance, weight, bias = (
            self.state[f"{name}.{part}"][:, None, None] for part in names
        )
        return (x - mean) / (variance + 1e-5).sqrt() * weight + bias

    def conv(self, name, x, out, kernel, stride=1):
        weight = self.weight(f"{name}.weight", out, x.shape[1], kernel, kernel)
        return F.conv2d(x, weight, stride=stride, padding=kernel // 2)

    def shortcut(self, name, x, out, stride):
        if stride == 1 and x.shape[1] == out:
            return x
        y = self.conv(f"{name}.shortcut.0", x, out, 1, stride)
        return self.norm(f"{name}.shortcut.1", y)

    def split_block(self, name, x, planes, stride):
        cut = lambda y: y.clamp(0, 20)  # noqa: E731
        width = planes // 2
        y = cut(self.norm(f"{name}.bn1", self.conv(f"{name}.conv1", x, 2 * width, 1, stride)))
        left, right = y[:, :width], y[:, width:]
        left = cut(self.norm(f"{name}.bns.0", self.conv(f"{name}.convs.0", left, width, 3)))
        y = self.conv(f"{name}.conv3", torch.cat((left, right), 1), 2 * planes, 1)
        return cut(self.norm(f"{name}.bn3", y) + self.shortcut(name, x, 2 * planes, stride))

    def basic_block(self, name, x, planes, stride):
        y = F.relu(self.norm(f"{name}.bn1", self.conv(f"{name}.conv1", x, planes, 3, stride)))
        y = self.norm(f"{name}.bn2", self.conv(f"{name}.conv2", y, planes, 3))
        return F.relu(y + self.shortcut(name, x, planes, stride))

    def __call__(self, features):
        x = F.relu(self.norm("bn1", self.conv("conv1", features[:, None], self.width, 3)))
        block = self.split_block if self.res2net else self.basic_block
        for stage in range(4):
            for number in range(BLOCKS[stage]):
                stride = STRIDES[stage] if number == 0 else 1
                x = block(f"layer{stage + 1}.{number}", x, self.width * 2**stage, stride)
        frames = x.reshape(len(x), -1, x.shape[-1]).double()
        mean = frames.mean(-1)
        deviation = (frames.var(-1, unbiased=True) + 1e-7).sqrt()
        pooled = torch.cat((mean, deviation), 1).float()
        weight = self.weight("seg_1.weight", self.embedding, pooled.shape[1])
        return F.linear(pooled, weight, self.weight("seg_1.bias", self.embedding))


NAMES = {"wespeaker_res2net34": True, "wespeaker_resnet34": False}


def load_weights(model, state, source="published.pt"):
    trained.load(model, Trained(Path(source), state, None), explain)


@pytest.fixture(scope="module")
def waves():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(2, 16000, generator=generator) * 0.1


@pytest.mark.parametrize("name", NAMES)
def test_published_keys_in_the_same_embeddings_out(name, waves):
    reference = Reference(NAMES[name])
    model = build(name, PUBLISHED, None).eval()
    load_weights(model, from_published(reference.state))
    with torch.inference_mode():
        expected, got = reference(Fbank()(waves)), model(waves)
    assert got.shape == (2, 256)
    assert expected.std() > 0.05, "weights this small would prove nothing"
    assert (got - expected).norm() / expected.norm() < 1e-4
    assert (expected[0] - expected[1]).norm() > 1e-2


@pytest.mark.parametrize(
    ("name", "embedding", "count", "published"),
    [
        ("wespeaker_res2net34", 256, 4_689_024, 4.68),
        ("wespeaker_res2net34", 192, 4_033_600, 4.03),
        ("wespeaker_resnet34", 256, 6_634_336, 6.63),
    ],
)
def test_parameter_counts_are_the_published_ones(name, embedding, count, published):
    model = build(name, replace(PUBLISHED, embedding=embedding), None)
    found = sum(parameter.numel() for parameter in model.parameters())
    assert found == count
    assert math.floor(found / 1e4) / 100 == published, "published cut off, not rounded"


def test_weights_of_wespeaker_bring_its_speakers():
    reference = Reference(True, width=8)
    state = {**reference.state, "projection.weight": torch.randn(7, 256)}
    small = replace(PUBLISHED, width=8)
    model = build("wespeaker_res2net34", small, 7)
    load_weights(model, from_published(state))
    assert torch.equal(model.classifier.weight, state["projection.weight"])
    back = to_published(model.state_dict())
    assert back.keys() == state.keys()
    assert all(torch.equal(back[key], value) for key, value in state.items())
    inference = build("wespeaker_res2net34", small, None)
    load_weights(inference, without_classifier(from_published(state)))


def test_other_files_are_not_taken_for_published_ones():
    assert from_published({"conv1.weight": torch.zeros(1)}) is None
    assert from_published(build(BACKBONE, TINY, None).state_dict()) is None


def refusal(model, state):
    with pytest.raises(UserError) as caught:
        load_weights(model, state, "file.pt")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_weights_that_do_not_fit_are_explained():
    small = replace(PUBLISHED, width=8)
    state = from_published(Reference(True, width=8).state)
    other = build("wespeaker_resnet34", small, None)
    assert "--backbone wespeaker_res2net34 --model.width 8" in refusal(other, state)
    wider = build("wespeaker_res2net34", PUBLISHED, None)
    assert "--model.width 8" in refusal(wider, state)
    smaller = build(
        "wespeaker_res2net34",
        replace(PUBLISHED, width=8, embedding=192),
        None,
    )
    message = refusal(smaller, state)
    assert "2560 numbers to 256" in message
    assert "--model.embedding" in message
    training = build("wespeaker_res2net34", small, 5)
    assert "no training speakers" in refusal(training, state)
    assert "7 training speakers" in refusal(
        training, {**state, "classifier.weight": torch.zeros(7, 256)}
    )
    shared = build("res2net26_26w_4s", TINY, None).state_dict()
    assert "--backbone res2net26_26w_4s" in refusal(build("resnet26", TINY, None), shared)


@pytest.mark.parametrize("pooling", ["statistics", "attentive"])
@pytest.mark.parametrize("name", ["res2net26_14w_4s_half", "res2net50_26w_8s", "resnet26_half"])
def test_the_shared_trunk_serves_sound(name, pooling, waves):
    config = ModelConfig(bins=40, width=8, pooling=pooling, embedding=12, strides=(1, 2, 2, 1))
    model = build(name, config, 6)
    assert model.backbone.conv1.weight.shape[1] == 1
    cosines = model(waves, torch.zeros(2, 4, dtype=torch.int64))
    assert cosines.shape == (2, 6)
    assert cosines.abs().max() <= 1
    assert model(waves).shape == (2, 12)
    cosines.sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_every_backbone_but_dla_is_offered():
    from backbone import MODELS

    assert set(MODELS) - set(BACKBONES) == {"dla60_res2net", "dla60_res2next"}
    with pytest.raises(UserError, match="--backbone res3net"):
        build("res3net", TINY, None)
    with pytest.raises(UserError, match="--backbone dla60_res2net: unknown"):
        build("dla60_res2net", TINY, None)
    with pytest.raises(UserError, match=r"--model\.width 4"):
        build("res2net26_14w_4s", ModelConfig(width=4), None)


def test_embeddings_do_not_depend_on_the_batch_or_on_loudness():
    torch.manual_seed(0)
    model = build(BACKBONE, TINY, None).eval()
    waves = torch.randn(3, 12000) * 0.1
    with torch.inference_mode():
        together = model(waves)
        alone = torch.cat([model(wave[None]) for wave in waves])
        quiet = model(waves / 10)
        integers = model((waves * 32768).round().to(torch.int16))
    assert torch.allclose(together, alone, atol=1e-5)
    assert torch.allclose(together, quiet, atol=1e-3)
    assert torch.allclose(together, integers, atol=0.05 * together.abs().max())


def test_bfloat16_stays_near():
    torch.manual_seed(0)
    model = build(BACKBONE, TINY, 5).eval()
    waves = torch.randn(3, 12000) * 0.1
    with torch.inference_mode():
        exact = model(waves)
        with torch.autocast("cpu", torch.bfloat16):
            rough = model(waves)
            assert model(waves, torch.zeros(3, 4, dtype=torch.int64)).dtype == torch.float32
    assert rough.dtype == torch.float32
    assert F.cosine_similarity(exact, rough).min() > 0.99


def test_masks_hide_frames_and_bins_and_nothing_else():
    features = torch.ones(2, 5, 7)
    masks = torch.tensor([[1, 2, 3, 1], [0, 0, 0, 0]])
    hidden = hide(features, masks)
    expected = np.ones((5, 7))
    expected[:, 1:3] = 0
    expected[3] = 0
    np.testing.assert_array_equal(hidden[0], expected)
    assert torch.equal(hidden[1], features[1])


def test_statistics_pooling():
    features = torch.randn(2, 3, 4, 9)
    pooled = StatisticsPooling(3, 4)(features)
    assert pooled.shape == (2, 24)
    assert pooled[1, 5] == pytest.approx(features[1, 1, 1].mean().item(), abs=1e-6)
    assert pooled[1, 12 + 5] == pytest.approx(features[1, 1, 1].std().item(), abs=1e-5)
    still = torch.zeros(1, 3, 4, 9, requires_grad=True)
    StatisticsPooling(3, 4)(still).sum().backward()
    assert torch.isfinite(still.grad).all()
    for kind in (StatisticsPooling, AttentiveStatisticsPooling):
        deviations = kind(3, 4, floor=1e-4)(torch.zeros(1, 3, 4, 9))[0, 12:]
        assert torch.allclose(deviations, torch.tensor(1e-2))


def test_attentive_pooling_weighs_frames():
    torch.manual_seed(0)
    pooling = AttentiveStatisticsPooling(3, 2, bottleneck=4)
    features = torch.randn(1, 3, 2, 9)
    frames = features.reshape(6, 9).double()
    hidden = torch.tanh(
        pooling.hidden.weight[:, :, 0].double() @ frames + pooling.hidden.bias[:, None].double()
    )
    logits = pooling.weights.weight[:, :, 0].double() @ hidden
    weights = (logits + pooling.weights.bias[:, None].double()).softmax(-1)
    mean = (weights * frames).sum(-1)
    deviation = ((weights * (frames - mean[:, None]) ** 2).sum(-1)).sqrt()
    expected = torch.cat((mean, deviation)).float()
    assert torch.allclose(pooling(features)[0], expected, atol=1e-5)
    assert sum(p.numel() for p in pooling.parameters()) == 6 * 4 + 4 + 4 * 6 + 6


def test_the_nearest_centre_of_a_speaker_counts():
    classifier = Classifier(2, 2, subcentres=2)
    with torch.no_grad():
        classifier.weight.copy_(torch.tensor([[1.0, 0], [0, 2], [-3, 0], [-1, -1]]))
    cosines = classifier(torch.tensor([[0.0, 5.0], [-1.0, 0.0]]))
    expected = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert torch.allclose(cosines, expected, atol=1e-6)
    assert classifier.weight.shape == (4, 2)


def test_inference_models_have_no_classifier():
    model = build(BACKBONE, TINY, None)
    assert not any(key.startswith("classifier") for key in model.state_dict())
    with pytest.raises(ValueError, match="embeds only"):
        model(torch.zeros(1, 16000), torch.zeros(1, 4, dtype=torch.int64))
