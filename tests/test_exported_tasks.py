"""Every task's network and every family of trunks becomes an ONNX file of any size."""

import importlib
from dataclasses import replace
from functools import partial

import pytest
import torch

from backbone import MODELS, deploy, res2net, resnet
from common import export
from common.export import Graph
from common.trained import Trained
from tasks.classification.labels import numbered
from tests.test_deployed_tasks import CASES, randomise

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
        dynamic=(0, 2, 3),
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
        dynamic=(0, 2, 3),
        examples=[torch.randn(2, 3, 64, 96), torch.randn(1, 3, 97, 65)],
        description={},
    )
    content = export.write(graph, tmp_path / "trunk.onnx", weights_in(tmp_path))
    assert content["largest_difference"] < 1e-4


@slow
@pytest.mark.parametrize(
    "task", ["pose", "salient", "segmentation", "reid", "speaker", "classification"]
)
def test_every_task(task, tmp_path):
    torch.manual_seed(0)
    module = importlib.import_module(f"tasks.{task}.export")
    name = "segmentation, deeplabv3plus" if task == "segmentation" else task
    model = randomise(CASES[name].build())
    config = module.ExportConfig()
    if task == "segmentation":
        config = replace(config, data=replace(config.data, classes=tuple("abcde")))
    more = (numbered(5),) if task == "classification" else ()
    graph = module.graph(config, model, *more)
    content = export.write(graph, tmp_path / f"{task}.onnx", weights_in(tmp_path))
    assert content["largest_difference"] < 1e-3
    assert content["task"] == task
