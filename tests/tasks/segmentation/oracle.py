"""Models that know the answers, and runs of small real models, for the tests of the commands."""

import torch
from torch import nn

from common.networks.segmentation import Scores
from common.training.settings import EngineConfig, LoaderConfig
from tasks.segmentation.config import Config, DataConfig, ModelConfig, ScoringConfig
from tasks.segmentation.model import build
from tests.tasks import kept
from tests.tasks.segmentation import small

BACKBONE = "res2net26_14w_4s_half"


class Oracle(nn.Module):
    """Gives the true label maps of a split's pictures, one after the other, as logits.

    A void pixel is said to be of class 0. `mistake` may change a label map before it is given.
    """

    def __init__(self, split, mistake=None):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.split, self.mistake = split, mistake
        self.seen = 0

    def forward(self, images):
        labels = self.split.read(self.seen).label.copy()
        self.seen += 1
        labels[labels == 255] = 0
        if self.mistake is not None:
            self.mistake(labels)
        truth = torch.from_numpy(labels).long()
        logits = nn.functional.one_hot(truth, len(self.split.classes)).permute(2, 0, 1).float()
        return Scores(logits[None], None)


class Pointwise(nn.Module):
    """Logits of a pixel that depend on its colour alone: brightness of each channel."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.sizes = []

    def forward(self, images):
        self.sizes.append(tuple(images.shape[-2:]))
        return Scores(images.float() / 25.5, None)


def tiny_config(root=None, **changes):
    """The smallest segmentation config."""
    data = {"root": root, "classes": small.CLASSES, "crop_size": (64, 64), "short_side": 0}
    data |= changes.pop("data", {})
    settings = {
        "data": DataConfig(**data),
        "model": ModelConfig(channels=32, auxiliary=False),
        "loader": LoaderConfig(workers=0),
        "engine": EngineConfig(batch_size=2, device="cpu"),
        "test": ScoringConfig(short_side=0),
    }
    return Config(backbone=BACKBONE, **{**settings, **changes})


def write_run(folder, root=None, **changes):
    """A run directory as train leaves it, of an untrained network; returns the model."""
    folder.mkdir(parents=True)
    settings = tiny_config(root, **changes)
    torch.manual_seed(0)
    model = build(BACKBONE, len(settings.data.classes), settings.model)
    kept.write(folder, settings, model)
    return model
