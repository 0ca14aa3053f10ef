"""PoolNet against the published network, written here from its keys and its definition."""

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from backbone import MODELS
from common.commands import trained
from common.commands.trained import Trained
from common.errors import UserError
from tasks.salient.model import build
from tasks.salient.networks.poolnet import CHANNELS, PoolNetHead, scaled
from tasks.salient.published import CLASSIFIER, explain, from_published, to_published
from tests.tasks.salient import small

BLOCKS = (3, 4, 6, 3)
MEAN = torch.tensor([0.485, 0.456, 0.406]).reshape(3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).reshape(3, 1, 1)
CAFFE = torch.tensor([104.00699, 116.66877, 122.67892]).reshape(3, 1, 1)


class Reference:
    """The published Res2Net-50 PoolNet over a plain dict of weights under their published names.

    The first pass makes the weights as it needs them. Works on one picture at a time.
    """

    def __init__(self, edge=False, seed=0):
        self.edge = edge
        self.state = {}
        self.generator = torch.Generator().manual_seed(seed)
        picture = torch.zeros(1, 3, 128, 128)
        self.saliency(picture)
        if edge:
            self.edges(picture)

    def conv(self, name, x, out, kernel, *, stride=1, dilation=1, bias=False):
        key = f"{name}.weight"
        if key not in self.state:
            shape = (out, x.shape[1], kernel, kernel)
            deviation = math.sqrt(2 / math.prod(shape[1:]))
            self.state[key] = torch.randn(shape, generator=self.generator) * deviation
            if bias:
                self.state[f"{name}.bias"] = torch.randn(out, generator=self.generator)
        offset = self.state[f"{name}.bias"] if bias else None
        padding = kernel // 2 * dilation
        return F.conv2d(x, self.state[key], offset, stride, padding, dilation)

    def norm(self, name, x):
        if f"{name}.weight" not in self.state:
            for part, low, high in (
                ("weight", 0.3, 0.9),
                ("bias", -0.3, 0.3),
                ("running_mean", -0.3, 0.3),
                ("running_var", 0.5, 1.5),
            ):
                values = torch.rand(x.shape[1], generator=self.generator) * (high - low) + low
                self.state[f"{name}.{part}"] = values
            self.state[f"{name}.num_batches_tracked"] = torch.tensor(1000)
        mean, variance = (self.state[f"{name}.{part}"] for part in ("running_mean", "running_var"))
        return F.batch_norm(
            x, mean, variance, self.state[f"{name}.weight"], self.state[f"{name}.bias"]
        )

    def block(self, name, x, planes, stride, dilation, first):
        width = planes * 26 // 64
        y = F.relu(self.norm(f"{name}.bn1", self.conv(f"{name}.conv1", x, 4 * width, 1)))
        parts, done = y.split(width, dim=1), []
        for i in range(3):
            part = parts[i] if first or i == 0 else parts[i] + done[-1]
            part = self.conv(f"{name}.convs.{i}", part, width, 3, stride=stride, dilation=dilation)
            done.append(F.relu(self.norm(f"{name}.bns.{i}", part)))
        done.append(F.avg_pool2d(parts[3], 3, stride, 1) if first else parts[3])
        y = self.norm(f"{name}.bn3", self.conv(f"{name}.conv3", torch.cat(done, 1), 4 * planes, 1))
        if first:
            x = self.conv(f"{name}.downsample.0", x, 4 * planes, 1, stride=stride)
            x = self.norm(f"{name}.downsample.1", x)
        return F.relu(y + x)

    def trunk(self, x):
        base = "base.resnet"
        x = F.relu(self.norm(f"{base}.bn1", self.conv(f"{base}.conv1", x, 64, 7, stride=2)))
        taps = [x]
        x = F.max_pool2d(x, 3, 2, 1, ceil_mode=True)
        for stage, (count, planes) in enumerate(zip(BLOCKS, (64, 128, 256, 512), strict=True), 1):
            for number in range(count):
                stride = 2 if stage in (2, 3) and number == 0 else 1
                dilation = 2 if stage == 4 else 1
                name = f"{base}.layer{stage}.{number}"
                x = self.block(name, x, planes, stride, dilation, number == 0)
            taps.append(x)
        for part, shape in (("weight", (1000, 2048)), ("bias", (1000,))):
            # Published files carry ImageNet's classifier along.
            self.state.setdefault(f"{base}.fc.{part}", torch.zeros(shape))
        return taps

    def steps(self, taps):
        """The features of the four steps down."""
        reduced = self.conv("base.ppms_pre", taps[4], 512, 1)
        views = [reduced]
        for index, cells in enumerate((1, 3, 5)):
            pooled = F.adaptive_avg_pool2d(reduced, cells)
            pooled = F.relu(self.conv(f"base.ppms.{index}.1", pooled, 512, 1))
            views.append(up(pooled, reduced))
        everything = F.relu(self.conv("base.ppm_cat.0", torch.cat(views, 1), 512, 3))
        converted = [
            F.relu(self.conv(f"convert.convert0.{index}.0", tap, out, 1))
            for index, (tap, out) in enumerate(zip(taps, (128, 256, 256, 512, 512), strict=True))
        ]
        merged, found = converted[4], []
        for index, out in enumerate((512, 256, 256, 128)):
            below = converted[3 - index]
            guide = F.relu(self.conv(f"base.infos.{index}.0", up(everything, below), out, 3))
            merged = self.pooled(index, merged)
            if index > 0:
                merged = up(merged, below)
            merged = self.conv(f"deep_pool.{index}.conv_sum", merged, out, 3)
            merged = self.conv(f"deep_pool.{index}.conv_sum_c", merged + below + guide, out, 3)
            found.append(merged)
        return found

    def pooled(self, index, x):
        total = x
        for number, side in enumerate((2, 4, 8)):
            small = F.avg_pool2d(x, side, side)
            small = self.conv(f"deep_pool.{index}.convs.{number}", small, x.shape[1], 3)
            total = total + up(small, x)
        return F.relu(total)

    def saliency(self, picture):
        steps = self.steps(self.trunk(picture))
        merged = self.conv("deep_pool.4.conv_sum", self.pooled(4, steps[3]), 128, 3)
        if self.edge:
            features = torch.cat([up(x, merged) for x in self.edge_features(steps)], 1)
            for layer, out in ((0, 64), (2, 128), (4, 128), (6, 128)):
                features = F.relu(self.conv(f"edgeinfo.trans.{layer}", features, out, 3))
            merged = torch.cat([merged, features], 1)
        kernel = 3 if self.edge else 1
        return up(self.conv("score.score", merged, 1, kernel, bias=True), picture)

    def edge_features(self, steps):
        found = []
        for index, x in enumerate(steps):
            channels = x.shape[1]
            for unit in (1, 2):
                y = self.conv(f"block.{index}.block_in{unit}.0", x, channels // 4, 1)
                y = self.conv(f"block.{index}.block_mid{unit}.0.0", y, channels // 4, 3)
                y = self.conv(f"block.{index}.block_mid{unit}.0.1", y, channels, 1)
                x = F.relu(x + y)
            found.append(self.conv(f"block.{index}.block_out.0", x, 16, 1))
        return found

    def edges(self, picture):
        """The fused edge map and those of the four steps."""
        features = self.edge_features(self.steps(self.trunk(picture)))
        each = [
            up(self.conv(f"fuse.trans.{index}", x, 1, 1, bias=True), picture)
            for index, x in enumerate(features)
        ]
        each = torch.cat(each, 1)
        return torch.cat([self.conv("fuse.fuse", each, 1, 1, bias=True), each], 1)


def up(x, like):
    return F.interpolate(x, like.shape[2:], mode="bilinear", align_corners=True)


@pytest.fixture(scope="module")
def plain():
    return Reference()


@pytest.fixture(scope="module")
def joint():
    return Reference(edge=True)


@pytest.fixture(scope="module")
def plain_model(plain):
    return loaded(plain, "res2net50_26w_4s")


@pytest.fixture(scope="module")
def joint_model(joint):
    return loaded(joint, "res2net50_26w_4s", edge=True, normalisation="caffe")


def loaded(reference, *arguments, **options):
    """A model with the reference's weights, through their published names."""
    model = build(*arguments, **options).eval()
    load_weights(model, from_published(reference.state))
    return model


def empty(*arguments, **options):
    """A model without values: what is asked of it are names and shapes."""
    with torch.device("meta"):
        return build(*arguments, **options)


def pictures(*shape, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


def load_weights(model, state, source="published.pth"):
    trained.load(model, Trained(Path(source), state, None), explain)


def same(got, expected):
    assert expected.std() > 0.05, "weights this small would prove nothing"
    return (got - expected).norm() / expected.norm() < 1e-5


@pytest.mark.parametrize("size", [(111, 131), (144, 120)])
def test_published_keys_in_the_same_map_out(plain, plain_model, size):
    images = pictures(1, 3, *size)
    with torch.inference_mode():
        expected, got = plain.saliency((images / 255 - MEAN) / STD), plain_model(images)
    assert got.saliency.shape == (1, 1, *size)
    assert got.edges is None
    assert same(got.saliency, expected)


def test_published_joint_keys_in_the_same_maps_out(joint, joint_model):
    images, edge_images = pictures(1, 3, 112, 120), pictures(1, 3, 128, 113, seed=2)
    with torch.inference_mode():
        got = joint_model(images, edge_images)
        assert same(got.saliency, joint.saliency(images - CAFFE))
        assert same(got.edges, joint.edges(edge_images - CAFFE))
    assert got.edges.shape == (1, 5, 128, 113)


@pytest.mark.parametrize("name", ["plain", "joint"])
def test_to_published_gives_the_published_layout_back(name, request):
    reference, model = map(request.getfixturevalue, (name, f"{name}_model"))
    back = to_published(model.state_dict())
    assert back.keys() == reference.state.keys() - set(CLASSIFIER)
    assert all(torch.equal(back[key], reference.state[key]) for key in back)


def test_parameters_with_the_classifier_that_the_published_file_carries(plain):
    model = empty("res2net50_26w_4s")
    own = sum(parameter.numel() for parameter in model.parameters())
    classifier = sum(plain.state[key].numel() for key in CLASSIFIER)
    assert own + classifier == 70_452_145
    assert own == 68_403_145
    learnt = empty("res2net50_26w_4s", freeze=True)
    frozen = sum(p.numel() for p in learnt.parameters() if not p.requires_grad)
    batch_norms = [m for m in model.backbone.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert frozen == sum(2 * module.num_features for module in batch_norms)


def test_our_own_keys_are_no_published_ones(plain):
    assert from_published(from_published(plain.state)) is None
    assert from_published({"base.resnet.conv1.weight": torch.zeros(1)}) is None


def refusal(model, state):
    with pytest.raises(UserError) as caught:
        load_weights(model, state, "file.pth")
    message = str(caught.value)
    assert message.startswith("file.pth: ")
    assert "\n" not in message
    return message


def test_what_does_not_fit_is_explained():
    plain, joint = (
        to_published(empty(small.BACKBONE, 0.25, edge=edge).state_dict()) for edge in (False, True)
    )
    message = refusal(empty(small.BACKBONE, 0.25), from_published(joint))
    assert "say --model.edge true" in message
    message = refusal(empty(small.BACKBONE, 0.25, edge=True), from_published(plain))
    assert "say --model.edge false" in message
    message = refusal(empty(small.BACKBONE, 1), from_published(plain))
    assert "--model.head_width 0.25 " in message
    message = refusal(empty("resnet26_half", 0.25), from_published(plain))
    assert f"--backbone {small.BACKBONE}" in message
    normed = empty(small.BACKBONE, 0.25, batchnorm=True)
    assert "say --model.head_batchnorm false" in refusal(normed, from_published(plain))
    message = refusal(empty(small.BACKBONE, 0.25), normed.state_dict())
    assert "say --model.head_batchnorm true" in message
    cut = {key: value for key, value in plain.items() if key != "base.infos.2.0.weight"}
    message = refusal(empty(small.BACKBONE, 0.25), from_published(cut))
    assert "1 missing: head.guidance.2.0.weight" in message
    more = {**plain, "something.weight": torch.zeros(1)}
    message = refusal(empty(small.BACKBONE, 0.25), from_published(more))
    assert "1 unexpected: something.weight" in message


def test_an_unknown_backbone_is_refused():
    with pytest.raises(UserError, match=r"--backbone res3net: .*resnet50"):
        build("res3net")


SOME = ["res2net26_14w_4s_half", "resnet26_half", "res2net50_v1b", "res2next50", "dla60_res2net"]


@pytest.mark.parametrize("name", SOME)
def test_any_backbone_and_any_size(name):
    model = build(name, 0.03, edge=True).eval()
    assert model.backbone.strides == (2, 4, 8, 16, 16)
    with torch.inference_mode():
        for size in ((1, 1), (50, 130), (model.least_side, model.least_side)):
            got = model(pictures(2, 3, *size), pictures(1, 3, *size))
            assert got.saliency.shape == (2, 1, *size)
            assert got.edges.shape == (1, 5, *size)
            assert torch.isfinite(got.saliency).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_every_backbone(name):
    test_any_backbone_and_any_size(name)


@pytest.mark.parametrize("name", ["res2net26_14w_4s_half", "dla60_res2net"])
def test_the_least_side_is_the_least(name):
    model = build(name, 0.03).eval()
    least, model.least_side = model.least_side, 0
    with torch.inference_mode():
        model(pictures(1, 3, least, least))
        with pytest.raises(RuntimeError, match="too small"):
            model(pictures(1, 3, least - 1, least))


def test_small_pictures_are_continued_by_their_border():
    model = build("res2net26_14w_4s_half", 0.05).eval()
    small_picture = pictures(1, 3, 60, 80)
    padding = (0, 111 - 80, 0, 111 - 60)
    continued = F.pad(small_picture.float(), padding, mode="replicate")
    with torch.inference_mode():
        expected = model(continued).saliency[..., :60, :80]
        assert torch.allclose(model(small_picture).saliency, expected, atol=1e-6)


def test_the_head_starts_as_published():
    torch.manual_seed(0)
    head = PoolNetHead(empty("res2net50_26w_4s").backbone.channels)
    for layer in (head.score, head.pyramid.merge[0], head.deep_pool[0].convs[1]):
        assert layer.weight.mean().abs() < 2e-3
        assert layer.weight.std().item() == pytest.approx(0.01, rel=0.15)
    assert not head.score.bias.any()
    narrow = build(small.BACKBONE, 0.25).head.deep_pool[0].convs[0].weight
    assert narrow.std().item() == pytest.approx(0.02, rel=0.05)
    biased = [name for name, _ in head.named_parameters() if name.endswith("bias")]
    assert biased == ["score.bias"]


def test_batchnorm_in_the_head_is_an_addition():
    """It stands behind sums and merged features; all else has the published names and shapes."""
    plain, normed = (build(small.BACKBONE, 0.1, batchnorm=choice).head for choice in (False, True))
    norms = [name for name, module in normed.named_modules() if "BatchNorm" in str(type(module))]
    # Five conversions, four guides, the pyramid's merging, five sums and four fusions.
    assert len(norms) == 5 + 4 + 1 + 5 + 4
    assert not any("BatchNorm" in str(type(module)) for module in plain.modules())
    shapes = [
        sorted(tuple(p.shape) for p in head.parameters() if p.ndim == 4) for head in (plain, normed)
    ]
    assert shapes[0] == shapes[1]
    assert all("branches" not in name and "convs" not in name for name in norms)


def test_batchnorm_in_the_head_starts_with_hes_deviation():
    torch.manual_seed(0)
    head = build(small.BACKBONE, 0.5, batchnorm=True).head
    weight = head.pyramid.merge[0][0].weight
    assert weight.std().item() == pytest.approx(math.sqrt(2 / weight[0].numel()), rel=0.05)
    assert head.score.weight.std() < 0.03, "maps begin as grey"


def test_a_single_small_picture_trains_with_batchnorm_in_the_head():
    """Means over the whole picture are not normalised: they would have no deviation."""
    model = build(small.BACKBONE, 0.05, batchnorm=True).train()
    model(pictures(1, 3, 111, 111)).saliency.sum().backward()
    assert model.head.deep_pool[0].conv_sum[0].weight.grad.isfinite().all()


def test_the_width_scales_all_of_the_head():
    assert scaled(1) == CHANNELS == (128, 256, 256, 512, 512)
    assert scaled(0.125) == (16, 32, 32, 64, 64)
    assert scaled(0.0001) == (1, 1, 1, 1, 1)


def test_edges_do_not_learn_from_saliency():
    """The edge features that the saliency score takes are detached, as published."""
    model = build(small.BACKBONE, 0.05, edge=True)
    model(pictures(1, 3, 64, 64)).saliency.sum().backward()
    assert all(parameter.grad is None for parameter in model.head.edge.blocks.parameters())
    assert model.head.edge.description[0].weight.grad is not None
    assert model.backbone.conv1.weight.grad is not None
    model(pictures(1, 3, 64, 64), pictures(1, 3, 64, 64)).edges.sum().backward()
    assert model.head.edge.blocks[0].out.weight.grad is not None


def test_edges_of_a_network_without_them():
    with pytest.raises(ValueError, match="without its edge branch"):
        build(small.BACKBONE, 0.05)(pictures(1, 3, 64, 64), pictures(1, 3, 64, 64))


def test_frozen_statistics_stay_in_training():
    model = build(small.BACKBONE, 0.05, freeze=True).train()
    before = model.backbone.bn1.running_mean.clone()
    model(pictures(2, 3, 64, 64)).saliency.sum().backward()
    assert torch.equal(model.backbone.bn1.running_mean, before)
    assert not any("bn" in name for name, p in model.named_parameters() if p.grad is not None)
