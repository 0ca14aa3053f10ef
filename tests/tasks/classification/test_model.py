"""Published layouts beside the networks that they are of."""

import pickle

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from common.commands import trained
from common.errors import UserError
from tasks.classification import checkpoints
from tasks.classification.config import ModelConfig
from tasks.classification.model import build, explain, from_published, to_published
from tests.tasks.classification import small

MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


def randomise(module):
    """Batch norms of their own, so that two different nets cannot agree by accident."""
    generator = torch.Generator().manual_seed(1)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.weight.data.uniform_(0.3, 0.9, generator=generator)
            part.bias.data.normal_(0, 0.2, generator=generator)
            part.running_mean.normal_(0, 0.2, generator=generator)
            part.running_var.uniform_(0.5, 1.5, generator=generator)
    return module.eval()


def pictures(size=64):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (2, 3, size, size), dtype=torch.uint8, generator=generator)


def loaded(backbone, content, tmp_path):
    """Our model with a foreign file's weights, by the way that the commands go."""
    torch.save(content, tmp_path / "foreign.pth")
    weights = checkpoints.read(str(tmp_path / "foreign.pth"), "--checkpoint")
    model = build(backbone, checkpoints.class_count(weights), ModelConfig())
    trained.load(model, weights, explain)
    return model.eval()


def same_scores(ours, theirs):
    images = pictures()
    with torch.inference_mode():
        expected = theirs((images / 255 - MEAN) / STD)
        found = ours(images)
    assert expected.std() > 1e-4
    assert ((found - expected).norm() / expected.norm()).item() < 1e-4


@pytest.mark.parametrize(
    ("name", "timm_name"),
    [("res2net50_26w_4s", "res2net50_26w_4s"), ("dla60_res2net", "dla60_res2net")],
)
def test_timms_scores(name, timm_name, tmp_path):
    theirs = randomise(timm.create_model(timm_name, num_classes=1000))
    state = theirs.state_dict()
    if name.startswith("dla"):
        assert state["fc.weight"].ndim == 4, "DLA's classifier is a 1x1 convolution"
        # What the authors' files have besides, and nothing uses.
        state["level3.project.0.weight"] = torch.ones(256, 128, 1, 1)
    same_scores(loaded(name, state, tmp_path), theirs)


def test_torchvisions_scores(tmp_path):
    theirs = randomise(torchvision.models.resnet50(num_classes=1000))
    same_scores(loaded("resnet50", theirs.state_dict(), tmp_path), theirs)


def tiny(classes=7):
    torch.manual_seed(0)
    return randomise(build(small.BACKBONE, classes, ModelConfig()))


@pytest.mark.parametrize("wrapping", ["bare", "official", "torchvision", "old"])
def test_what_training_code_wraps_weights_in(wrapping, tmp_path):
    model = tiny()
    state = to_published(model.state_dict())
    parallel = {f"module.{key}": value for key, value in state.items()}
    content = {
        "bare": state,
        "official": {"epoch": 99, "arch": "res2net50", "state_dict": parallel, "optimizer": {}},
        "torchvision": {"model": state, "epoch": 89},
        "old": {key: value for key, value in state.items() if "num_batches" not in key},
    }[wrapping]
    same = loaded(small.BACKBONE, content, tmp_path)
    with torch.inference_mode():
        assert torch.equal(same(pictures()), model(pictures()))


STEM = {"backbone.conv1.": "backbone.stem.", "backbone.bn1.": "backbone.stem.7."}


def of_mmpretrain(model, deep=False):
    """A classifier's state dict as mmpretrain keeps it."""
    names = {"fc.": "head.fc.", **(STEM if deep else {})}
    state = {}
    for key, value in model.state_dict().items():
        old = next((one for one in names if key.startswith(one)), "")
        state[names.get(old, "") + key.removeprefix(old)] = value
    return {"meta": {"epoch": 100}, "state_dict": state}


@pytest.mark.parametrize("stem", ["conv1", "stem"])
def test_mmpretrains_names(tmp_path, stem):
    """Also where it calls a deep stem otherwise."""
    torch.manual_seed(0)
    name = "res2net50_v1b" if stem == "stem" else small.BACKBONE
    model = randomise(build(name, 7, ModelConfig()))
    same = loaded(name, of_mmpretrain(model, stem), tmp_path)
    assert all(
        torch.equal(a, b) for a, b in zip(same.parameters(), model.parameters(), strict=True)
    )


def test_a_head_of_mmpretrain_that_is_no_linear_layer_is_refused(tmp_path):
    content = of_mmpretrain(tiny())
    content["state_dict"]["head.layers.0.weight"] = torch.rand(3)
    with pytest.raises(UserError, match=r"1 unexpected: backbone\.head\.layers\.0\.weight"):
        loaded(small.BACKBONE, content, tmp_path)


def test_paddles_files(tmp_path):
    """Its linear layer is the other way round."""
    model = tiny()
    arrays = {
        "out.weight": model.fc.weight.detach().T.numpy(),
        "out.bias": model.fc.bias.detach().numpy(),
        "conv1._conv.weight": model.backbone.conv1.weight.detach().numpy(),
    }
    (tmp_path / "net.pdparams").write_bytes(pickle.dumps(arrays, protocol=2))
    found = checkpoints.read(str(tmp_path / "net.pdparams"), "--checkpoint").state
    assert torch.equal(found["fc.weight"], model.fc.weight)
    assert torch.equal(found["backbone.conv1.weight"], model.backbone.conv1.weight)


def test_a_file_that_says_another_rule_of_first_blocks_is_refused(tmp_path):
    """Weights of equal shapes would load, and score something else."""
    torch.manual_seed(0)
    content = of_mmpretrain(build("res2net50_v1b", 7, ModelConfig()), deep=True)
    with pytest.raises(UserError, match=r"this one treats .*; say --backbone res2net50_v1b$"):
        loaded("res2net50_v1b_strided", content, tmp_path)


def test_safetensors(tmp_path):
    model = tiny()
    save_file(to_published(model.state_dict()), tmp_path / "model.safetensors")
    weights = checkpoints.read(str(tmp_path / "model.safetensors"), "--checkpoint")
    assert torch.equal(weights.state["fc.weight"], model.fc.weight)
    assert weights.state.keys() == model.state_dict().keys()


def test_published_names_and_back():
    state = tiny().state_dict()
    back = from_published(to_published(state))
    assert back.keys() == state.keys()
    assert all(torch.equal(back[key], state[key]) for key in state)


@pytest.mark.parametrize("content", [{}, {"conv1.weight": torch.ones(1)}])
def test_what_is_no_classifier(content):
    assert from_published(content) is None


def test_scores_are_the_linear_layer_of_the_mean():
    model = tiny(5)
    images = pictures(96)
    with torch.inference_mode():
        features = model.backbone(model.normalize(images)).c5
        expected = features.flatten(2).mean(dim=2) @ model.fc.weight.T + model.fc.bias
        assert torch.allclose(model(images), expected, atol=1e-5)
        assert torch.allclose(model(images.float()), expected, atol=1e-5)
    assert features.shape[2:] == (3, 3)


@pytest.mark.parametrize(("stem_stride", "max_pool", "side"), [(1, True, 4), (1, False, 8)])
def test_small_pictures_may_keep_more_of_their_resolution(stem_stride, max_pool, side):
    varied = build(small.BACKBONE, 7, ModelConfig(stem_stride=stem_stride, max_pool=max_pool))
    varied.load_state_dict(tiny().state_dict())
    with torch.inference_mode():
        assert varied.eval().backbone(pictures().float()).c5.shape[2:] == (side, side)


def test_the_likely_cause_of_a_misfit():
    state = tiny(4).state_dict()
    classes = explain(["fc.weight", "fc.bias"], state)
    assert "they are for 4 classes; train --new_classes keeps" in classes
    assert f"--backbone {small.BACKBONE}" in explain(["backbone.conv1.weight"], state)
    weights = trained.Trained(small.__file__, state, None)
    with pytest.raises(UserError, match="they are for 4 classes"):
        trained.load(tiny(5), weights, explain)
