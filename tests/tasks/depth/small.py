"""Small depth data sets, written by hand for the tests, and runs of an untrained network."""

import cv2
import numpy as np
import torch
from PIL import Image

from tasks.depth.config import Config, DataConfig, ModelConfig
from tasks.depth.model import build
from tests.tasks import kept

BACKBONE = "res2net26_14w_4s_half"
WIDTH, HEIGHT = 64, 48


def picture(seed, width=WIDTH, height=HEIGHT):
    """A smooth colourful picture."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def depth(seed, width=WIDTH, height=HEIGHT):
    """Metres of a slope from 1 to 6, with a hole at the left; float32 (H, W)."""
    rows, columns = np.mgrid[:height, :width]
    metres = 1 + 4 * columns / width + rows / height + 0.1 * (seed % 7)
    metres[height // 3 : height // 2, : width // 8] = 0
    return metres.astype(np.float32)


def save(path, metres, scale=1000.0):
    """A 16-bit PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.round(metres * scale).astype(np.uint16))


def save_picture(path, seed, **size):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(seed, **size)).save(path)


def write_list(root, train=4, val=2, focal="500.0", **size):
    """The layout of BTS's lists: train.txt and val.txt; returns the root."""
    for split, count, first in (("train", train, 0), ("val", val, 100)):
        lines = []
        for number in range(first, first + count):
            image, label = f"{split}/rgb_{number}.png", f"{split}/sync_depth_{number}.png"
            save_picture(root / image, number, **size)
            save(root / label, depth(number, **size))
            lines.append(f"/{image} /{label} {focal}".strip())
        (root / f"{split}.txt").write_text("\n".join(lines) + "\n")
    return root


def write_folders(root, pictures=3, split="train"):
    """Pictures and depth maps of one stem in two folders."""
    for number in range(pictures):
        save_picture(root / split / "rgb" / f"{number}.png", number)
        save(root / split / "depth" / f"{number}.png", depth(number))
    return root


def tiny_config(root=None, **changes):
    """The smallest depth config."""
    data = {"root": root, "crop_size": (32, 32), **changes.pop("data", {})}
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
