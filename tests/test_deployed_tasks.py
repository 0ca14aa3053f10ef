"""Every task's model, deployed, gives what the trained one gives: scores do not depend on it."""

import importlib
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from backbone import deploy
from common.commands.config import parse
from common.networks.decoder import DECODERS

SLIM = "res2net26_14w_4s_half"
TOLERANCE = 1e-4


class Case(NamedTuple):
    build: Callable[[], torch.nn.Module]
    inputs: tuple[int, ...]
    left: int = 0
    """BatchNorms that follow no layer: they normalise a sum, a pool or a concatenation."""
    entry: str = "forward"


def model_of(task):
    return importlib.import_module(f"tasks.{task}.model")


def config_of(task):
    return importlib.import_module(f"tasks.{task}.config").Config()


def segmentation(decoder):
    from dataclasses import replace

    stride = DECODERS[decoder].output_strides[-1]
    config = replace(config_of("segmentation").model, decoder=decoder, output_stride=stride)
    return model_of("segmentation").build(SLIM, 5, config)


def interactive(network):
    from dataclasses import replace

    config = replace(config_of("interactive"), backbone=SLIM)
    options = replace(config.model, network=network, channels=16)
    return model_of("interactive").build(replace(config, model=options))


def depth(decoder, channels):
    from dataclasses import replace

    config = replace(config_of("depth"), backbone=SLIM)
    options = replace(config.model, decoder=decoder, channels=channels)
    return model_of("depth").build(replace(config, model=options))


def volumes():
    from dataclasses import replace

    config = replace(config_of("volumes"), backbone=SLIM)
    return model_of("volumes").build(
        replace(config, data=replace(config.data, slices=5, classes=tuple("abc")))
    )


CASES = {
    "pose": Case(lambda: model_of("pose").build(SLIM, 5, (16, 16)), (2, 3, 64, 64)),
    "salient": Case(lambda: model_of("salient").build(SLIM, 0.1), (2, 3, 75, 66)),
    "salient, edges": Case(lambda: model_of("salient").build(SLIM, 0.1, edge=True), (1, 3, 64, 64)),
    "reid": Case(
        lambda: model_of("reid").build(config_of("reid").backbone, config_of("reid").model),
        (2, 3, 64, 32),
        left=1,
    ),
    "speaker": Case(
        lambda: model_of("speaker").build(
            config_of("speaker").backbone, config_of("speaker").model, None
        ),
        (2, 8000),
    ),
    "classification": Case(
        lambda: model_of("classification").build(SLIM, 5, config_of("classification").model),
        (2, 3, 64, 64),
    ),
    "volumes": Case(volumes, (1, 5, 70, 65)),
    **{
        f"depth, {decoder}": Case(
            lambda decoder=decoder, channels=channels: depth(decoder, channels),
            (1, 3, 70, 65),
            left,
        )
        for decoder, channels, left in (("light", 32, 0), ("fusion", 32, 0), ("bts", 128, 9))
    },
    **{
        f"interactive, {network}": Case(
            lambda network=network: interactive(network), (2, 6, 70, 65)
        )
        for network in ("late", "fcanet")
    },
    **{
        f"segmentation, {decoder}": Case(
            lambda decoder=decoder: segmentation(decoder), (1, 3, 70, 65)
        )
        for decoder in ("deeplabv3plus", "fpn", "unet")
    },
}


def tensors(result):
    if isinstance(result, torch.Tensor):
        return [result]
    return [one for part in result if part is not None for one in tensors(part)]


def randomise(model):
    generator = torch.Generator().manual_seed(1)
    for part in model.modules():
        if isinstance(part, _BatchNorm):
            part.running_mean.normal_(0, 0.2, generator=generator)
            part.running_var.uniform_(0.5, 1.5, generator=generator)
            if part.weight is not None:
                part.weight.data.uniform_(0.3, 0.9, generator=generator)
                part.bias.data.normal_(0, 0.2, generator=generator)
    return model.eval()


@pytest.mark.parametrize("name", CASES)
def test_a_deployed_model_gives_the_same(name):
    torch.manual_seed(0)
    case = CASES[name]
    model = randomise(case.build())
    fast = deploy(model, entry=case.entry)
    assert type(fast) is type(model)
    assert sum(isinstance(part, _BatchNorm) for part in fast.modules()) == case.left
    x = (
        torch.randint(0, 256, case.inputs).float()
        if len(case.inputs) == 4
        else torch.randn(case.inputs)
    )
    with torch.inference_mode():
        expected = tensors(getattr(model, case.entry)(x))
        found = tensors(getattr(fast, case.entry)(x))
    for one, other in zip(found, expected, strict=True):
        assert other.std() > 0
        assert ((one - other).norm() / other.norm()).item() < TOLERANCE


TASKS = (
    "pose",
    "salient",
    "segmentation",
    "reid",
    "speaker",
    "classification",
    "detection",
    "depth",
    "interactive",
    "panoptic",
    "volumes",
)


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_the_flag(task):
    for command in ("evaluate", "predict"):
        module = importlib.import_module(f"tasks.{task}.{command}")
        names = ("EvaluateConfig", "PredictConfig", "ScoredConfig")
        kind = next(getattr(module, name) for name in names if hasattr(module, name))
        assert kind().deploy
        found = parse(kind, ["--precision", "bf16", "--compile", "--deploy", "false"])
        assert (found.precision, found.compile, found.deploy) == ("bf16", True, False)


@pytest.mark.parametrize("detector", ["mask_rcnn", "retinanet"])
def test_a_deployed_detector_finds_the_same(detector):
    config = importlib.import_module("tasks.detection.config")
    torch.manual_seed(0)
    options = {"channels": 32, "box_channels": 16, "proposals": (60, 30), "samples": 16}
    model = model_of("detection").build(
        SLIM,
        3,
        config.ModelConfig(detector=detector, **options),
        config.ScoringConfig(score_threshold=0.0, detections=20),
    )
    randomise(model)
    for layer in model.modules():
        # A fresh head gives all places the same score, so that rounding would choose among them.
        if isinstance(layer, nn.Conv2d) and layer.weight.std() < 0.02:
            layer.weight.data *= 6
    fast = deploy(model)
    assert not [part for part in fast.modules() if isinstance(part, _BatchNorm)]
    images, sizes = (
        torch.randint(0, 256, (1, 3, 64, 96), dtype=torch.uint8),
        torch.tensor([[64, 96]]),
    )
    with torch.inference_mode():
        (found,), (expected,) = fast(images, sizes), model(images, sizes)
    assert found.keys() == expected.keys() and len(expected["scores"])
    for name, values in expected.items():
        torch.testing.assert_close(found[name], values, rtol=1e-3, atol=1e-3)
