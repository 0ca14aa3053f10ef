"""A model that knows the answers, and runs of small real models, for the tests of the commands."""

import numpy as np
import torch
from torch import nn

from common.commands.opened import Opened
from tasks.pose.config import Config, DataConfig, ModelConfig
from tasks.pose.data import TrainSet
from tasks.pose.inference import Predictor
from tasks.pose.model import build
from tests.tasks import kept
from tests.tasks.pose import small

BACKBONE = "res2net26_14w_4s_half"
CHANNELS = (8, 8, 8)


class Oracle(nn.Module):
    """Draws the true heat maps of the annotated persons, one after the other."""

    def __init__(self, annotations, data):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        truth = TrainSet(annotations, data)
        generator = np.random.default_rng(0)
        samples = [truth.sample(row, generator) for row in range(len(truth))]
        self.heatmaps = torch.stack([torch.from_numpy(one["heatmaps"]) for one in samples])
        self.mirrored = annotations.skeleton.mirrored
        self.seen = 0

    def forward(self, images):
        """If there are more images than persons left, their second half is mirrored."""
        whole = len(self.heatmaps) - self.seen
        flipped = len(images) > whole
        count = len(images) // 2 if flipped else len(images)
        maps = self.heatmaps[self.seen : self.seen + count]
        self.seen += count
        return torch.cat((maps, maps[:, list(self.mirrored)].flip(-1))) if flipped else maps


def tiny_config(root=None, **changes):
    """The smallest pose config, without augmentation."""
    data = {"root": root, "scale_factor": 0, "rotation_probability": 0, "flip_probability": 0}
    data |= {"input_size": (64, 64), "coding": "published", **changes.pop("data", {})}
    settings = {"data": DataConfig(**data), "model": ModelConfig(head_channels=CHANNELS)}
    return Config(backbone=BACKBONE, **{**settings, **changes})


def write_run(folder, root=None, **changes):
    """A run directory as train leaves it, of an untrained network; returns the model."""
    folder.mkdir(parents=True)
    settings = tiny_config(root, **changes)
    torch.manual_seed(0)
    joints = 16 if settings.data.format == "mpii" else 17
    model = build(BACKBONE, joints, CHANNELS)
    # Heat maps of an untrained head are all but zero; these have joints to draw.
    nn.init.constant_(model.head.final_layer.bias, 0.6)
    kept.write(folder, settings, model)
    return model


def find_people(model, picture, boxes, config):
    """What the predictor of a model that is no run's finds."""
    opened = Opened(model, model, None, torch.device("cpu"), "fp32")
    return Predictor(opened, config)(picture, boxes)


def data_set(folder):
    """A small COCO data set with three pictures of one person each."""
    return small.write_coco(folder)
