"""Small panoptic data sets, written by hand for the tests, and runs of an untrained network."""

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from common.commands import trained
from common.commands.trained import Trained
from common.training.settings import EngineConfig, LoaderConfig
from tasks.panoptic.config import Config, DataConfig, ModelConfig, ScoringConfig
from tasks.panoptic.maps import write_ids
from tasks.panoptic.model import LAYOUT, build
from tests.tasks import kept

BACKBONE = "res2net26_14w_4s_half"
WIDTH, HEIGHT = 64, 48
CATEGORIES = [
    {"id": 200, "name": "sky", "isthing": 0},
    {"id": 7, "name": "cat", "isthing": 1},
    {"id": 92, "name": "grass", "isthing": 0},
    {"id": 3, "name": "kite", "isthing": 1},
]
"""Not in their order: kite is label 1, cat 2, grass 3, sky 4."""
THINGS, STUFF = ("kite", "cat"), ("grass", "sky")

SKY, GRASS, KITE, CAT = 70_000, 500, 12, 13
"""Ids in the PNG."""


def picture(seed, width=WIDTH, height=HEIGHT):
    """A smooth colourful picture."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def ids():
    """Sky above grass with a void line between; a kite in the sky, a cat on the border."""
    found = np.zeros((HEIGHT, WIDTH), np.int32)
    found[:20], found[22:] = SKY, GRASS
    found[4:12, 6:16], found[15:35, 40:56] = KITE, CAT
    return found


def segments(found, **changes):
    """The segments of a map in COCO's form; `changes` by id."""
    kinds = {SKY: 200, GRASS: 92, KITE: 3, CAT: 7}
    return [
        {
            "id": number,
            "category_id": category,
            "area": int((found == number).sum()),
            "iscrowd": 0,
            **changes.get(f"s{number}", {}),
        }
        for number, category in kinds.items()
        if (found == number).any()
    ]


def write(root, pictures=3, splits=("train2017", "val2017"), **changes):
    """A set in COCO's layout; every picture has the same map. Returns the root."""
    for place, split in enumerate(splits):
        (root / split).mkdir(parents=True)
        folder = root / "annotations" / f"panoptic_{split}"
        folder.mkdir(parents=True)
        images, annotations = [], []
        for number in range(10 * place + 1, 10 * place + 1 + pictures):
            Image.fromarray(picture(number)).save(root / split / f"{number}.png")
            write_ids(folder / f"{number}.png", ids())
            images.append(
                {"id": number, "file_name": f"{number}.png", "width": WIDTH, "height": HEIGHT}
            )
            annotations.append(
                {
                    "image_id": number,
                    "file_name": f"{number}.png",
                    "segments_info": segments(ids(), **changes),
                }
            )
        annotate(root, {"images": images, "annotations": annotations}, split)
    return root


def file_of(root, split="val2017"):
    return root / "annotations" / f"panoptic_{split}.json"


def annotate(root, content, split="val2017"):
    """Write the annotation file only."""
    file_of(root, split).write_text(json.dumps({"categories": CATEGORIES, **content}))


def content(root, split="val2017"):
    return json.loads(file_of(root, split).read_text())


def tiny_config(root=None, **changes):
    """The smallest panoptic config."""
    data = {"root": root, "short_sides": (64,), "test_short_side": 64, "group_by_aspect": False}
    data |= {"things": THINGS, "stuff": STUFF, "thing_ids": (3, 7), "stuff_ids": (92, 200)}
    settings = {
        "data": DataConfig(**{**data, **changes.pop("data", {})}),
        "model": ModelConfig(
            channels=32, box_channels=16, proposals=(60, 30), samples=16, semantic_channels=32
        ),
        "loader": LoaderConfig(workers=0),
        "engine": EngineConfig(batch_size=2, device="cpu"),
        "test": ScoringConfig(stuff_area=50),
    }
    return Config(**{"backbone": BACKBONE, **settings, **changes})


def write_run(folder, root=None, sure=False, **changes):
    """A run directory as train leaves it, of an untrained network; returns the model.

    A `sure` one is biased to see a kite in everything, and grass elsewhere.
    """
    folder.mkdir(parents=True)
    settings = tiny_config(root, **changes)
    torch.manual_seed(0)
    model = build(settings, len(settings.data.things), len(settings.data.stuff))
    if sure:
        model.detector.roi_heads.box_predictor.cls_score.bias.data[1] = 5
        model.semantic.predictor.bias.data[1] = 9
    kept.write(folder, settings, model)
    return model.eval()


def weights(state):
    """Weights of a file from elsewhere."""
    return Trained(Path("x.pth"), state, None)


def load(model, state):
    trained.load(model, weights(state), LAYOUT.explain)
