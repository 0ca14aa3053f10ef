"""Small saliency data sets, written for the tests, and runs of an untrained network."""

import numpy as np
import torch
from PIL import Image

from tasks.salient.config import Config, DataConfig, ModelConfig
from tasks.salient.inference import fresh
from tests.tasks import kept

BACKBONE = "res2net26_14w_4s_half"
WIDTH, HEIGHT = 60, 44


def picture(seed, size=(WIDTH, HEIGHT)):
    """A smooth colourful picture."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def mask(seed, size=(WIDTH, HEIGHT)):
    """A bright box with a soft border on black."""
    generator = np.random.default_rng(seed)
    level = np.zeros((size[1], size[0]), dtype=np.uint8)
    top, left = generator.integers(4, 12, 2)
    level[top : top + 20, left : left + 25] = 255
    level[top, left : left + 25] = 90
    return Image.fromarray(level)


def write_set(root, name="DUTS-TE", pictures=3, folders=("{}-Image", "{}-Mask")):
    """Write a set in DUTS's layout; returns the folders of pictures and masks."""
    images, masks = (root / name / folder.format(name) for folder in folders)
    images.mkdir(parents=True)
    masks.mkdir(parents=True, exist_ok=True)
    for number in range(pictures):
        picture(number).save(images / f"p{number}.jpg", quality=95)
        mask(number).save(masks / f"p{number}.png")
    return images, masks


def tiny_config(root=None, data=None, **changes):
    """The smallest saliency config."""
    data = {"root": root, "input_size": (32, 32), **(data or {})}
    settings = {
        "data": DataConfig(**data),
        "model": ModelConfig(head_width=0.02, head_batchnorm=False),
    }
    return Config(backbone=BACKBONE, **{**settings, **changes})


def write_run(folder, root=None, **changes):
    """A run directory as train leaves it, of an untrained network; returns the model."""
    folder.mkdir(parents=True)
    settings = tiny_config(root, **changes)
    torch.manual_seed(0)
    model = fresh(settings)
    for module in model.head.modules():
        # The maps of an untrained head are flat; these have something to show.
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
    kept.write(folder, settings, model)
    return model.eval()
