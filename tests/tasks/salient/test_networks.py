"""What every network besides PoolNet must do: learn, run deployed, in bfloat16 and as ONNX."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from backbone import deploy
from common.commands import export as exporting
from common.commands.trained import Trained
from tasks.salient import export
from tasks.salient.config import LossConfig
from tasks.salient.inference import fresh
from tasks.salient.loss import terms
from tasks.salient.model import HEADS, build
from tests.common.commands.test_export import require_portable
from tests.tasks.salient import small
from tests.test_exported_tasks import PLAIN

SIZE = 64


def config(network, **model):
    return small.tiny_config(
        data={"input_size": (SIZE, SIZE)},
        model=small.ModelConfig(network=network, head_width=0.25, **model),
    )


def batch(count=2, size=SIZE):
    """Pictures whose object is what is red."""
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 80, (count, 3, size, size), generator=generator, dtype=torch.uint8)
    mask = torch.zeros(count, 1, size, size, dtype=torch.uint8)
    for number in range(count):
        mask[number, :, 10 + number : 40, 14 : 50 - number] = 255
    image[:, 0] += 175 * (mask[:, 0] > 0)
    return {"image": image, "mask": mask, "valid": torch.ones_like(mask)}


@pytest.mark.parametrize("network", HEADS)
def test_a_network_learns_in_all_of_its_parameters(network):
    torch.manual_seed(0)
    model, data = fresh(config(network)).train(), batch()
    losses = LossConfig(main="structure", iou=0)
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    totals = []
    for _ in range(8):
        found = terms(model(data["image"]), data, losses)
        total = sum(found.values())
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(total.item())
    assert {"saliency", "sides"} <= found.keys()
    silent = [
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]
    assert not silent
    assert totals[-1] < 0.8 * totals[0]


@pytest.mark.parametrize("width", [0.001, 0.1, 0.3, 1.1])
@pytest.mark.parametrize("network", HEADS)
def test_a_network_is_built_in_any_width(network, width):
    model = build(small.BACKBONE, width, network=network).eval()
    assert model(batch(1)["image"]).saliency.shape == (1, 1, SIZE, SIZE)


@pytest.mark.parametrize("network", HEADS)
def test_a_deployed_network_gives_the_same_at_any_size(network):
    torch.manual_seed(0)
    model = fresh(config(network)).eval()
    fast = deploy(model)
    low = deploy(model, precision="bf16")
    for height, width in ((SIZE, SIZE), (40, 75), (97, 130)):
        images = torch.randint(0, 256, (2, 3, height, width), dtype=torch.uint8)
        with torch.inference_mode():
            expected, found = model(images), fast(images)
            rounded = low(images).saliency.float()
        assert expected.saliency.shape == (2, 1, height, width)
        for one, other in zip(expected.sides, found.sides, strict=True):
            assert one.shape == (2, 1, height, width)
            assert torch.allclose(one, other, rtol=1e-3, atol=1e-4 * one.abs().max())
        scale = expected.saliency.abs().max()
        assert (found.saliency - expected.saliency).abs().max() < 1e-4 * scale
        assert (rounded - expected.saliency).abs().mean() < 0.03 * scale


def calibrated(model, network):
    """With BatchNorm on its way to training's: a fresh network's maps are flat.

    All the way, random weights magnify rounding until a map is anything, but InSPyReNet's.
    """
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0 if network == "inspyrenet" else 0.7
    with torch.no_grad():
        model.train()(batch(size=160)["image"])
    return model.eval()


@pytest.mark.slow
@pytest.mark.parametrize("network", HEADS)
def test_a_network_becomes_a_file_of_any_size(network, tmp_path):
    torch.manual_seed(0)
    chosen = replace(config(network, stretch_maps=True), backbone=PLAIN)
    graph = export.graph(chosen, calibrated(fresh(chosen), network))
    more = [torch.randint(0, 256, (1, 3, *size)).byte() for size in ((64, 64), (90, 226))]
    graph = replace(graph, examples=[*graph.examples, *more])
    with torch.inference_mode():
        for example in graph.examples:
            found = graph.module(example)
            assert found.amax() - found.amin() > 1e-3
    file = tmp_path / "n.pt"
    file.touch()
    card = exporting.write(graph, tmp_path / "n.onnx", Trained(file, {}, None))
    assert card["largest_difference"] < exporting.TOLERANCE
    require_portable(tmp_path / "n.onnx", ["batch", 3, "height", "width"])


@pytest.mark.parametrize("what", ["logits", "probabilities", "levels"])
@pytest.mark.parametrize("stretch", [False, True])
def test_a_file_leaves_finishing_to_its_reader(what, stretch):
    torch.manual_seed(0)
    chosen = config("pranet", resize_maps=what, stretch_maps=stretch)
    model = fresh(chosen).eval()
    graph = export.graph(chosen, model)
    said = graph.description["saliency"]
    assert (f"{what} are resized" in said) and ("stretched" in said) == stretch
    if stretch:
        assert (said.index("resized") < said.index("stretched")) == (what == "logits")
    image = batch()["image"]
    with torch.inference_mode():
        expected = model(image).saliency.sigmoid()
        torch.testing.assert_close(graph.module(image), expected, rtol=0, atol=1e-4)
