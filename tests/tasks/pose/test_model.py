"""The pose model against the published network, written here from its keys and its definition."""

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from common.commands import trained
from common.commands.trained import Trained
from common.errors import UserError
from tasks.pose.model import (
    PoseHead,
    build,
    explain,
    from_published,
    to_published,
)

BLOCKS = (3, 4, 6, 3)
MEAN = torch.tensor([0.485, 0.456, 0.406]).reshape(3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).reshape(3, 1, 1)


class Reference:
    """The published network over a plain dict of weights: Res2Net (scale 4) or ResNet (scale 1).

    The first pass makes the weights, under the published names, as it needs them.
    """

    def __init__(self, scale, base_width=26, joints=17, seed=0):
        self.scale, self.base_width, self.joints = scale, base_width, joints
        self.state = {}
        self.generator = torch.Generator().manual_seed(seed)
        self(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))

    def weight(self, name, *shape):
        if name not in self.state:
            fan_in = math.prod(shape[1:])
            values = torch.randn(shape, generator=self.generator) * math.sqrt(2 / fan_in)
            self.state[name] = values
        return self.state[name]

    def norm(self, name, x):
        channels = x.shape[1]
        if f"{name}.weight" not in self.state:
            for part, low, high in (
                ("weight", 0.3, 0.9),
                ("bias", -0.3, 0.3),
                ("running_mean", -0.3, 0.3),
                ("running_var", 0.5, 1.5),
            ):
                values = torch.rand(channels, generator=self.generator) * (high - low) + low
                self.state[f"{name}.{part}"] = values
            self.state[f"{name}.num_batches_tracked"] = torch.tensor(1000)
        parts = [self.state[f"{name}.{part}"] for part in ("running_mean", "running_var")]
        return F.batch_norm(
            x, *parts, self.state[f"{name}.weight"], self.state[f"{name}.bias"], eps=1e-5
        )

    def conv(self, name, x, out, kernel, stride=1):
        weight = self.weight(f"{name}.weight", out, x.shape[1], kernel, kernel)
        return F.conv2d(x, weight, stride=stride, padding=kernel // 2)

    def block(self, name, x, planes, stride, first):
        width = planes if self.scale == 1 else planes * self.base_width // 64
        y = F.relu(self.norm(f"{name}.bn1", self.conv(f"{name}.conv1", x, width * self.scale, 1)))
        if self.scale == 1:
            y = F.relu(self.norm(f"{name}.bn2", self.conv(f"{name}.conv2", y, planes, 3, stride)))
        else:
            y = self.split_and_merge(name, y, width, stride, first)
        y = self.norm(f"{name}.bn3", self.conv(f"{name}.conv3", y, planes * 4, 1))
        if first:
            x = self.conv(f"{name}.downsample.0", x, planes * 4, 1, stride)
            x = self.norm(f"{name}.downsample.1", x)
        return F.relu(y + x)

    def split_and_merge(self, name, y, width, stride, first):
        parts = [y[:, i * width : (i + 1) * width] for i in range(self.scale)]
        done = []
        for i in range(self.scale - 1):
            part = parts[i] if first or i == 0 else parts[i] + done[-1]
            part = self.conv(f"{name}.convs.{i}", part, width, 3, stride)
            done.append(F.relu(self.norm(f"{name}.bns.{i}", part)))
        last = F.avg_pool2d(parts[-1], 3, stride, 1) if first else parts[-1]
        return torch.cat([*done, last], dim=1)

    def __call__(self, images):
        x = (images / 255 - MEAN) / STD
        x = F.relu(self.norm("bn1", self.stem(x)))
        x = F.max_pool2d(x, 3, 2, 1)
        for stage, (count, planes) in enumerate(zip(BLOCKS, (64, 128, 256, 512), strict=True), 1):
            for number in range(count):
                stride = 2 if stage > 1 and number == 0 else 1
                x = self.block(f"layer{stage}.{number}", x, planes, stride, number == 0)
        for layer in (0, 3, 6):
            name = f"deconv_layers.{layer}"
            weight = self.weight(f"{name}.weight", x.shape[1], 256, 4, 4)
            x = F.conv_transpose2d(x, weight, stride=2, padding=1)
            x = F.relu(self.norm(f"deconv_layers.{layer + 1}", x))
        weight = self.weight("final_layer.weight", self.joints, 256, 1, 1)
        return F.conv2d(x, weight, self.weight("final_layer.bias", self.joints))

    def stem(self, x):
        weight = self.weight("conv1.weight", 64, 3, 7, 7)
        return F.conv2d(x, weight, stride=2, padding=3)


@pytest.fixture(scope="module")
def res2net():
    return Reference(scale=4)


@pytest.fixture(scope="module")
def images():
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (2, 3, 96, 64), generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize(("name", "scale"), [("res2net50_26w_4s", 4), ("resnet50", 1)])
def test_published_keys_in_the_same_heat_maps_out(name, scale, images):
    reference = Reference(scale)
    model = build(name, joints=17).eval()
    load_weights(model, from_published(reference.state), "published.pth")
    with torch.inference_mode():
        expected, got = reference(images), model(images)
    assert got.shape == (2, 17, 24, 16)
    assert expected.std() > 0.05, "weights this small would prove nothing"
    assert (got - expected).norm() / expected.norm() < 1e-5


def test_to_published_gives_the_published_layout_back(res2net):
    model = build("res2net50_26w_4s", joints=17)
    load_weights(model, from_published(res2net.state), "published.pth")
    back = to_published(model.state_dict())
    assert list(back.keys() - res2net.state.keys()) == []
    assert all(torch.equal(back[key], value) for key, value in res2net.state.items())


def test_a_training_checkpoint_with_module_prefix_gives_the_same_weights(res2net, tmp_path):
    wrapped = {f"module.{key}": value for key, value in res2net.state.items()}
    checkpoint = {"epoch": 139, "model": "pose_res2net", "state_dict": wrapped, "perf": 0.73}
    plain = from_published(res2net.state)
    assert from_published(plain) is None, "these keys are ours"
    torch.save(checkpoint, tmp_path / "checkpoint.pth")
    found = trained.read("--checkpoint", tmp_path / "checkpoint.pth", from_published).state
    assert found.keys() == plain.keys()
    assert all(torch.equal(found[key], plain[key]) for key in plain)


def test_files_older_than_the_batch_counters_load(res2net):
    old = {k: v for k, v in res2net.state.items() if not k.endswith("num_batches_tracked")}
    model = build("res2net50_26w_4s", joints=17)
    load_weights(model, from_published(old), "old.pth")
    assert torch.equal(model.backbone.conv1.weight, res2net.state["conv1.weight"])


def load_weights(model, state, source):
    trained.load(model, Trained(Path(source), state, None), explain)


def refusal(model, state):
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(UserError) as caught:
        load_weights(model, state, "file.pth")
    after = model.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before), "nothing may be loaded"
    message = str(caught.value)
    assert message.startswith("file.pth: ")
    assert "\n" not in message
    assert len(message) < 500
    return message


def test_weights_for_other_joints_are_refused(res2net):
    message = refusal(build("res2net50_26w_4s", joints=16), from_published(res2net.state))
    assert "17 joints" in message
    assert "--data.format" in message
    assert "is (17,) and not (16,)" in message


def test_weights_of_another_backbone_are_refused_and_it_is_named(res2net):
    message = refusal(build("resnet50", joints=17), from_published(res2net.state))
    assert "--backbone res2net50_26w_4s" in message
    message = refusal(build("resnet101", joints=17), from_published(res2net.state))
    assert "--backbone res2net50_26w_4s" in message


def test_missing_and_unexpected_keys_are_listed(res2net):
    model = build("res2net50_26w_4s", joints=17)  # as it was after each refusal
    cut = dict(res2net.state)
    del cut["deconv_layers.3.weight"]
    message = refusal(model, from_published(cut))
    assert "1 missing: head.deconv_layers.3.weight" in message
    more = {**res2net.state, "fc.weight": torch.zeros(1000, 2048)}
    message = refusal(model, from_published(more))
    assert "1 unexpected: backbone.fc.weight" in message
    message = refusal(model, {"something": torch.zeros(1)})
    assert "missing" in message
    assert "..." in message


def test_an_unknown_backbone_is_refused():
    with pytest.raises(UserError, match=r"--backbone res3net: .*resnet50"):
        build("res3net", joints=17)


def test_parameter_counts():
    head = PoseHead(2048, joints=17)
    assert sum(parameter.numel() for parameter in head.parameters()) == 10_491_665
    with torch.device("meta"):
        model = build("res2net50_26w_4s", joints=17)
    assert sum(parameter.numel() for parameter in model.parameters()) == 34_141_785


def test_initial_head_is_as_published():
    torch.manual_seed(0)
    head = PoseHead(512, joints=17)
    for layer in (head.deconv_layers[0], head.deconv_layers[3], head.final_layer):
        assert layer.weight.mean().abs() < 1e-4
        assert layer.weight.std().item() == pytest.approx(0.001, rel=0.05)
    assert not head.final_layer.bias.any()
    for layer in (head.deconv_layers[1], head.deconv_layers[4]):
        assert (layer.weight == 1).all()
        assert not layer.bias.any()
        assert layer.momentum == 0.1
    assert [name for name, _ in head.named_parameters() if name.startswith("deconv_layers.0")] == [
        "deconv_layers.0.weight"
    ]


def test_head_channels_set_width_and_depth():
    head = PoseHead(64, joints=5, channels=(32, 16))
    assert head(torch.zeros(1, 64, 2, 3)).shape == (1, 5, 8, 12)
