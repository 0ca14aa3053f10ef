"""Every task's network and every family of trunks becomes an ONNX file of any size."""

import importlib
from dataclasses import replace
from functools import partial

import pytest
import torch

from backbone import MODELS, deploy, res2net, resnet
from common.commands import export
from common.commands.export import Graph
from common.commands.trained import Trained
from common.networks.decoder import DECODERS
from tasks.classification.labels import numbered
from tasks.segmentation.config import ModelConfig
from tasks.segmentation.model import build as segmentation_model
from tests.common.commands.test_export import require_portable
from tests.test_deployed_tasks import CASES, model_of, randomise

TINY = (1, 1, 1, 1)
FAMILIES = {
    "res2net": partial(res2net, TINY, width=16),
    "v1b, dilated": partial(
        res2net, TINY, width=16, stem="deep", average_shortcut=True, strides=(1, 2, 1, 1),
        dilations=(1, 1, 2, 4),
    ),
    "res2next": partial(res2net, TINY, width=32, base_width=4, cardinality=8),
    "se_res2net": partial(res2net, TINY, width=16, squeeze_excitation=True),
    "resnet": partial(resnet, TINY, width=16),
    "dla": MODELS["dla60_res2net"],
}  # fmt: skip
slow = pytest.mark.slow

PLAIN = "resnet26_half"
"""The trunk under heads: trunks of Res2Net blocks, which take longer, have tests of their own."""


def weights_in(folder):
    file = folder / "best.pt"
    file.write_bytes(b"weights")
    return Trained(file, {}, 1)


@pytest.mark.parametrize(
    "family",
    [name if name == "v1b, dilated" else pytest.param(name, marks=slow) for name in FAMILIES],
)
def test_a_trunk_of_every_family(family, tmp_path):
    trunk = deploy(randomise(FAMILIES[family]()), portable=True)
    pictures = [torch.randn(2, 3, 64, 96), torch.randn(1, 3, 97, 65)]
    graph = Graph(
        module=trunk,
        entry="images",
        results=("c1", "c2", "c3", "c4", "c5"),
        dynamic=export.PICTURES,
        examples=pictures,
        description={},
    )
    content = export.write(graph, tmp_path / "trunk.onnx", weights_in(tmp_path))
    assert content["largest_difference"] < 1e-4


@slow
@pytest.mark.parametrize("variant", MODELS)
def test_every_variant(variant, tmp_path):
    trunk = deploy(randomise(MODELS[variant]()), portable=True)
    graph = Graph(
        module=trunk,
        entry="images",
        results=("c1", "c2", "c3", "c4", "c5"),
        dynamic=export.PICTURES,
        examples=[torch.randn(2, 3, 64, 96), torch.randn(1, 3, 97, 65)],
        description={},
    )
    content = export.write(graph, tmp_path / "trunk.onnx", weights_in(tmp_path))
    assert content["largest_difference"] < 1e-4


def test_pictures_smaller_than_the_head_of_salient_needs(tmp_path):
    torch.manual_seed(0)
    module = importlib.import_module("tasks.salient.export")
    model = randomise(model_of("salient").build(PLAIN, 0.1))
    graph = module.graph(module.ExportConfig(), model)
    small = [torch.randint(0, 256, (1, 3, *size)).byte() for size in ((64, 64), (5, 200))]
    graph = replace(graph, examples=[*graph.examples, *small])
    content = export.write(graph, tmp_path / "salient.onnx", weights_in(tmp_path))
    assert content["largest_difference"] < 1e-4
    assert content["differences"]["1 x 3 x 64 x 64"] < 1e-4
    assert "any size" in content["images"]
    with torch.inference_mode():  # what is checked against is the model's own way
        torch.testing.assert_close(
            graph.module(small[0]), model.eval()(small[0]).saliency.sigmoid(), rtol=0, atol=1e-4
        )


@pytest.mark.parametrize(
    ("decoder", "stride"),
    [
        ("pspnet", 16),
        pytest.param("pspnet", 8, marks=slow),
        *(pytest.param(name, one.output_strides[-1], marks=slow) for name, one in DECODERS.items()),
    ],
)
def test_every_decoder_of_segmentation(decoder, stride, tmp_path):
    torch.manual_seed(0)
    module = importlib.import_module("tasks.segmentation.export")
    config = module.ExportConfig(backbone=PLAIN)
    options = ModelConfig(decoder=decoder, output_stride=stride, channels=32)
    model = randomise(segmentation_model(config.backbone, 3, options))
    config = replace(config, data=replace(config.data, classes=tuple("abc")), model=options)
    graph = module.graph(config, model)
    small = [torch.randint(0, 256, (1, 3, *size)).byte() for size in ((16, 300), (31, 33))]
    graph = replace(graph, examples=[*graph.examples, *small])
    content = export.write(graph, tmp_path / "network.onnx", weights_in(tmp_path))
    assert content["largest_difference"] < 1e-3


@slow
@pytest.mark.parametrize(
    "task",
    [
        *("pose", "salient", "segmentation", "reid", "speaker", "classification"),
        *("depth, light", "depth, bts", "depth, fusion"),
        *("interactive, late", "interactive, fcanet", "volumes"),
    ],
)
def test_every_task(task, tmp_path):
    torch.manual_seed(0)
    name = "segmentation, deeplabv3plus" if task == "segmentation" else task
    task = task.split(",")[0]
    module = importlib.import_module(f"tasks.{task}.export")
    model = randomise(CASES[name].build())
    config = module.ExportConfig()
    if task == "segmentation":
        config = replace(config, data=replace(config.data, classes=tuple("abcde")))
    if task == "volumes":
        config = replace(config, data=replace(config.data, classes=tuple("abc"), slices=5))
    more = (numbered(5),) if task == "classification" else ()
    graph = module.graph(config, model, *more)
    content = export.write(graph, tmp_path / f"{task}.onnx", weights_in(tmp_path))
    assert content["largest_difference"] < 1e-3
    assert content["task"] == task
    channels = {"interactive": 6, "volumes": 5}.get(task, 3)
    pictures = ["batch", channels, "height", "width"]
    entry = ["batch", "samples"] if task == "speaker" else pictures
    require_portable(tmp_path / f"{task}.onnx", entry)
