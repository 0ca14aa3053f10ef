"""Small sets of volumes for the tests, and runs of an untrained network."""

import json

import numpy as np
import torch

from tasks.volumes import nifti
from tasks.volumes.config import Config, DataConfig
from tasks.volumes.model import build
from tasks.volumes.sample.phantom import phantom
from tasks.volumes.volume import Grid
from tests.tasks import kept

BACKBONE = "res2net26_14w_4s_half"
CLASSES = ("background", "liver", "kidney", "lesion")
SHAPE, SPACING = (6, 40, 36), (8.0, 2.4, 2.6)


def scan(seed, shape=SHAPE, spacing=SPACING):
    """Values and labels (Z, Y, X) of a body."""
    return phantom(shape, spacing, np.random.default_rng(seed))


def grid(letters="LPS", shape=SHAPE, spacing=SPACING, origin=(10.0, -20.0, 30.0)):
    """A file's grid whose stored axes run to these directions."""
    matrix, stored = np.zeros((3, 3)), []
    for axis, letter in enumerate(letters):
        world = next(one for one, both in enumerate(("RL", "AP", "SI")) if letter in both)
        matrix[world, axis] = spacing[2 - world] * (1 if letter in "RAS" else -1)
        stored.append(shape[2 - world])
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = matrix, origin
    return Grid(tuple(stored), affine)


def save(path, seed, letters="LPS"):
    """A scan as a file; returns its values and labels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    body = scan(seed)
    nifti.write_scan(path, body.values, grid(letters))
    return body


def save_labels(path, labels, letters="LPS"):
    path.parent.mkdir(parents=True, exist_ok=True)
    nifti.write_labels(path, labels, grid(letters))


def write_pair(images, labels, name, seed, label_name=None):
    body = save(images / f"{name}.nii.gz", seed)
    save_labels(labels / f"{label_name or name}.nii.gz", body.labels)


def write_nnunet(root, cases=4):
    """nnU-Net's layout: channel suffixes, names to numbers."""
    for number in range(cases):
        name = f"case_{number}"
        write_pair(root / "imagesTr", root / "labelsTr", f"{name}_0000", number, name)
    labels = {name: number for number, name in enumerate(CLASSES)}
    content = {"channel_names": {"0": "CT"}, "labels": labels, "file_ending": ".nii.gz"}
    (root / "dataset.json").write_text(json.dumps(content))
    return root


def tiny_config(root=None, **changes):
    """The smallest config of volumes."""
    data = {"root": root, "classes": CLASSES, "crop_size": (32, 32), "folds": 2}
    data |= changes.pop("data", {})
    settings = {"data": DataConfig(**data)}
    return Config(backbone=BACKBONE, **{**settings, **changes})


def write_run(folder, root=None, **changes):
    """A run directory as train leaves it, of an untrained network; returns the model."""
    folder.mkdir(parents=True)
    settings = tiny_config(root, **changes)
    torch.manual_seed(0)
    model = build(settings)
    torch.nn.init.normal_(model.head[0].weight)  # large enough for every class to win somewhere
    kept.write(folder, settings, model)
    return model.eval()
