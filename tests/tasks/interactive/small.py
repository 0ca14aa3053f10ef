"""Small data sets of objects, written by hand for the tests, and runs of an untrained network."""

import json

import numpy as np
import torch
from PIL import Image

from tasks.interactive.config import Config, DataConfig, ModelConfig
from tasks.interactive.model import build
from tests.tasks import kept

BACKBONE = "res2net26_14w_4s_half"
WIDTH, HEIGHT = 64, 48


def picture(seed, width=WIDTH, height=HEIGHT):
    """A smooth colourful picture."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def objects(width=WIDTH, height=HEIGHT):
    """A map of two objects, 1 and 3, with ignored pixels between them."""
    found = np.zeros((height, width), np.uint8)
    found[10:34, 8:28], found[10:34, 30:50], found[10:34, 28:30] = 1, 3, 255
    return found


def save(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values)).save(path)


def save_clicked(path, seed):
    """A picture, and beside it a file with a click."""
    save(path, picture(seed))
    clicks = [{"x": 20, "y": 15, "positive": True}]
    path.with_suffix(".json").write_text(json.dumps({"clicks": clicks}))


def write_voc(root, train=4, val=2):
    """The layout of VOC, two objects a picture."""
    for split, count, first in (("train", train, 0), ("val", val, 100)):
        names = [f"{number:03d}" for number in range(first, first + count)]
        for number, name in enumerate(names, start=first):
            save(root / "JPEGImages" / f"{name}.jpg", picture(number))
            mapped = Image.fromarray(objects())
            mapped.putpalette(list(range(256)) * 3)
            path = root / "SegmentationObject" / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            mapped.save(path)
        file = root / "ImageSets" / "Segmentation" / f"{split}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(names) + "\n")
    return root


def tiny_config(root=None, **changes):
    """The smallest interactive config."""
    data = {"root": root, "short_side": 0, "crop_size": (32, 32), **changes.pop("data", {})}
    settings = {"data": DataConfig(**data), "model": ModelConfig(channels=8)}
    return Config(backbone=BACKBONE, **{**settings, **changes})


def write_run(folder, root=None, **changes):
    """A run directory as train leaves it, of an untrained network; returns the model."""
    folder.mkdir(parents=True)
    settings = tiny_config(root, **changes)
    torch.manual_seed(0)
    model = build(settings)
    kept.write(folder, settings, model)
    return model.eval()
