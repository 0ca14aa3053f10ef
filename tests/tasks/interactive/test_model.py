"""The networks: FCA-Net against its authors' numbers, and what enters where in ours."""

from pathlib import Path

import numpy as np
import pytest
import torch

from backbone import MODELS
from benchmarks.golden import interactive as golden
from benchmarks.golden.compare import weights_of
from common.commands import config as configuration
from common.commands import recipes, trained
from common.errors import UserError
from tasks.interactive.clicks import Click, distance, nearest
from tasks.interactive.config import Config, ModelConfig
from tasks.interactive.fcanet import ALL_CLICKS, FIRST_CLICK
from tasks.interactive.late import planes
from tasks.interactive.model import LAYOUT, build
from tasks.interactive.parts import bump, resize
from tests.tasks.interactive import small

RECORDED = {
    # Norm of the early features, of the logits and of the first branch's features and logits,
    # and the logits at every sixth of the picture.
    "fcanet_res2net": (
        216.153632, 601.483727, 26.928522, 0.615407,
        (-1.350065, -4.861221, -5.086378, -4.186593, -4.198194, -5.069092), 73_705_722, 1150,
    ),
    "fcanet_resnet": (
        284.126362, 134.337890, 27.528079, 0.774382,
        (0.09596, -1.006385, -1.140934, -1.081694, -1.090939, -0.80613), 73_034_658, 742,
    ),
}  # fmt: skip


def theirs(key):
    """A key of ours as the published files have it."""
    for ours, published in (
        ("head.first_predictor.", "first_pred_decoder.pred_conv."),
        ("head.first.", "first_conv."),
        ("head.pyramid.whole.", "my_aspp.global_avg_pool."),
        ("head.pyramid.merge.0.", "my_aspp.conv1."),
        ("head.pyramid.merge.1.", "my_aspp.bn1."),
        ("head.decoder.side.", "my_decoder.side_conv."),
        ("head.decoder.merge.", "my_decoder.merge_conv."),
        ("head.predictor.", "pred_decoder.pred_conv."),
    ):
        if key.startswith(ours):
            return published + key.removeprefix(ours)
    if key.startswith("head.pyramid.branches."):
        _, _, _, place, layer, rest = key.split(".", 5)
        return f"my_aspp.aspp{int(place) + 1}.{('atrous_conv', 'bn')[int(layer)]}.{rest}"
    early = key.startswith(("backbone.conv1.", "backbone.bn1.", "backbone.layer1."))
    return ("backbone_pre." if early else "backbone_last.") + key.removeprefix("backbone.")


@pytest.mark.parametrize(
    "name", ["fcanet_res2net", pytest.param("fcanet_resnet", marks=pytest.mark.slow)]
)
def test_fcanet_gives_its_authors_numbers(name):
    early, whole, branch, alone, samples, parameters, entries = RECORDED[name]
    file = recipes.find(Config, golden.RECIPES[name])
    with torch.device("meta"):
        fresh = build(configuration.read(Config, Path(file)))
    shapes = {theirs(key): tuple(value.shape) for key, value in fresh.state_dict().items()}
    assert len(shapes) == entries
    assert sum(one.numel() for one in fresh.parameters()) == parameters
    model = golden.loaded(name, weights_of({"shapes": shapes})).double()
    y, x, c = np.mgrid[:96, :128, :3]
    image = (7 * x + 13 * y + 29 * c) % 256
    clicks = [Click(40, 50), Click(70, 30), Click(10, 10, False)]
    hints = np.concatenate([nearest(clicks, 96, 128), distance(clicks[0], 96, 128)[None]])
    colours = torch.from_numpy(image.transpose(2, 0, 1)[None]).double()
    given = torch.from_numpy(hints[None]).double()
    with torch.no_grad():
        encoded = model.encode(colours)
        features = model.backbone(torch.cat([encoded, bump(given[:, :2], ALL_CLICKS)], dim=1))
        attended = model.head.first(features.c2, bump(given[:, 2:], FIRST_CLICK))
        logits = model.decode(encoded, given).mask
        first = model.head.first_predictor(attended)
    norms = [float(one.norm()) for one in (features.c2, logits, attended, first)]
    assert norms == pytest.approx([early, whole, branch, alone], rel=2e-6)
    flat = logits.flatten()
    found = [float(flat[place * len(flat) // 6]) for place in range(6)]
    assert found == pytest.approx(samples, abs=3e-6)


def test_gaussians_have_the_published_widths():
    found = bump(torch.tensor([0.0, 1, 2, 5, 10, 255]), ALL_CLICKS)
    assert found.tolist() == pytest.approx([1, 0.972655, 0.895025, 0.5, 0.0625, 0], abs=1e-6)
    assert bump(torch.tensor([15.0, 30]), FIRST_CLICK).tolist() == pytest.approx([0.5, 0.0625])


def hints(clicks=(), previous=0.0, size=(48, 64)):
    third = np.full((1, *size), previous, np.float32)
    return torch.from_numpy(np.concatenate([nearest(clicks, *size), third]))[None].double()


@pytest.mark.parametrize("network", ["late", "fcanet"])
def test_every_size_and_every_hint_count(network):
    torch.manual_seed(0)
    model = (
        build(small.tiny_config(model=ModelConfig(network=network, channels=16))).eval().double()
    )
    low, high = (0.2, 0.9) if network == "late" else (2.0, 40.0)
    for size in ((48, 64), (33, 70)):
        images = (
            torch.from_numpy(small.picture(3, *size[::-1]).copy()).permute(2, 0, 1)[None].double()
        )
        variants = [
            hints([Click(20, 15)], low, size), hints([Click(40, 30)], low, size),
            hints([Click(20, 15), Click(9, 9, False)], low, size),
            hints([Click(20, 15)], high, size),
        ]  # fmt: skip
        with torch.inference_mode():
            found = [model(torch.cat([images, one], dim=1)).mask for one in variants]
            encoded = model.encode(images)
            assert torch.allclose(model.decode(encoded, variants[0]).mask, found[0], atol=1e-5)
        assert {one.shape for one in found} == {(1, 1, *size)}
        assert all((one - found[0]).abs().max() > 1e-9 for one in found[1:])
    assert model.late == (network == "late")


def test_likeness_is_that_to_the_clicked_places():
    looks = torch.zeros(1, 4, 12, 16).double()
    looks[:, 0] = 1
    looks[:, :, 2:8, 2:10] = torch.tensor([0.0, 1, 0, 0]).double()[:, None, None]
    found = planes(looks.flatten(2), resize(hints([Click(20, 20)]), (12, 16)))
    inside = torch.zeros(12, 16, dtype=torch.bool)
    inside[2:8, 2:10] = True
    likeness = found[0, 4]
    assert likeness[inside].min() > 2 * likeness[~inside].max()
    assert found[0, 5].abs().max() < 1e-3, "no negative click, no likeness to one"


@pytest.mark.parametrize("backbone", [name for name in MODELS if name.startswith("dla")][:1])
def test_fcanet_refuses_other_trunks(backbone):
    model = ModelConfig(network="fcanet", channels=16)
    with pytest.raises(UserError, match=f"--backbone {backbone}: fcanet takes"):
        build(Config(backbone=backbone, model=model))


def test_weights_of_the_other_network_are_named(tmp_path):
    small.write_run(tmp_path / "run", model=ModelConfig(network="fcanet", channels=16))
    model = build(small.tiny_config())
    found = trained.read("--finetune", tmp_path / "run", LAYOUT.translate)
    with pytest.raises(UserError, match=r"--model\.network fcanet --model\.channels 16"):
        trained.load(model, found, LAYOUT.explain)
