"""Models that know the answers, and runs of small real models, for the tests of the commands."""

import torch
from torch import nn
from torchvision.models.detection.roi_heads import project_masks_on_boxes

from common.training.settings import EngineConfig, LoaderConfig
from tasks.detection.config import Config, DataConfig, ModelConfig, ScoringConfig
from tasks.detection.model import build
from tasks.detection.transforms import View, draw
from tests.tasks import kept

BACKBONE = "res2net26_14w_4s_half"
CLASSES = ("person", "cat", "kite")


class Knows(nn.Module):
    """Finds the annotated objects of a split's pictures, one picture after the other.

    `mistake` may change (boxes, labels, scores) in the pixels of the network's input.
    """

    def __init__(self, annotations, mistake=None):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.annotations, self.mistake, self.seen = annotations, mistake, 0

    def forward(self, images, sizes):
        objects = self.annotations.objects(self.seen)
        stored = tuple(self.annotations.sizes[self.seen].tolist())
        self.seen += 1
        kept = ~objects.crowd
        height, width = sizes[0].tolist()
        scale = torch.tensor([width / stored[1], height / stored[0]]).repeat(2)
        found = {
            "boxes": torch.from_numpy(objects.boxes[kept]).float() * scale,
            "labels": torch.from_numpy(objects.labels[kept]),
            "scores": torch.linspace(0.9, 0.6, int(kept.sum())),
        }
        outlines = [one for one, there in zip(objects.outlines, kept, strict=True) if there]
        whole = torch.from_numpy(draw(outlines, View(stored, stored)))
        boxes = torch.from_numpy(objects.boxes[kept]).float()
        found["masks"] = project_masks_on_boxes(whole, boxes, torch.arange(len(boxes)), 28)[:, None]
        if self.mistake is not None:
            self.mistake(found)
        return [found]


def tiny_config(root=None, **changes):
    """The smallest detection config."""
    data = {"root": root, "short_sides": (64,), "test_short_side": 64, "classes": CLASSES}
    data |= {"category_ids": (1, 17, 44), **changes.pop("data", {})}
    settings = {
        "data": DataConfig(**data),
        "model": ModelConfig(channels=32, box_channels=16, proposals=(60, 30), samples=16),
        "loader": LoaderConfig(workers=0),
        "engine": EngineConfig(batch_size=2, device="cpu"),
        "test": ScoringConfig(),
    }
    return Config(backbone=BACKBONE, **{**settings, **changes})


def write_run(folder, root=None, sure=False, **changes):
    """A run directory as train leaves it, of an untrained network; returns the model.

    A `sure` one is biased to see a person in everything.
    """
    folder.mkdir(parents=True)
    settings = tiny_config(root, **changes)
    torch.manual_seed(0)
    model = build(BACKBONE, len(settings.data.classes), settings.model)
    if sure:
        model.detector.roi_heads.box_predictor.cls_score.bias.data[1] = 5
    kept.write(folder, settings, model)
    return model
