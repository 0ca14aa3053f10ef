"""Small ImageFolder trees and runs, written by hand for the tests."""

import io

import numpy as np
import torch
from PIL import Image

from common.commands import config
from common.training import checkpoint, optim
from common.training.settings import EngineConfig
from tasks.classification import labels
from tasks.classification.config import Config, DataConfig, ScoringConfig
from tasks.classification.data import read
from tasks.classification.model import build

CLASSES = ("bee", "cat", "dog")
BACKBONE = "res2net26_14w_4s_half"


def read_split(data, split):
    """A split of the data set that these settings name."""
    return read(Config(data=data), split)


def picture(seed, width=48, height=40):
    """A smooth colourful picture."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def jpeg(image, **options):
    """The bytes of a picture's file."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", **{"quality": 92, **options})
    return np.frombuffer(stream.getvalue(), np.uint8)


def write_tree(root, train=4, val=2, classes=CLASSES):
    """An ImageFolder tree with so many pictures of each class."""
    for split, count in (("train", train), ("val", val)):
        for number, name in enumerate(classes):
            folder = root / split / name
            folder.mkdir(parents=True)
            for index in range(count):
                path = folder / f"{name}_{index}.jpg"
                picture(100 * number + index + (split == "val") * 50).save(path, quality=92)
    return root


def tiny_config(root, **changes):
    """A config that takes seconds."""
    plain = {
        "backbone": BACKBONE,
        "data": DataConfig(root=root, input_size=32),
        "test": ScoringConfig(input_size=32),
        "engine": EngineConfig(epochs=1, batch_size=4, device="cpu"),
        "optimizer": optim.OptimizerConfig(name="sgd", learning_rate=0.01),
    }
    return Config(**{**plain, **changes})


def write_run(folder, root, classes=CLASSES, **changes):
    """A run directory of an untrained model; returns the model."""
    folder.mkdir(parents=True)
    settings = tiny_config(root, out=folder, **changes)
    config.save(settings, folder / "config.yaml")
    torch.manual_seed(3)
    model = build(settings.backbone, len(classes), settings.model).eval()
    checkpoint.save(
        folder / "best.pt",
        {
            "format": checkpoint.FORMAT,
            "model": model.state_dict(),
            "ema": None,
            "progress": {"epoch": 3},
            "config": config.to_yaml(settings),
        },
    )
    labels.write(labels.Classes(tuple(classes), tuple(classes)), folder / labels.FILE)
    return model
