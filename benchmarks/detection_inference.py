"""``python -m benchmarks.detection_inference``: Mask R-CNN beside torchvision's, in turns.

maskrcnn_resnet50_fpn and this project's network with the same weights find the same objects; the
time goes from a decoded picture to masks of the whole picture, and the ratio is printed. Then the
masks: how well the targets of training, drawn back, overlap with the objects they were made of.
"""

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from pycocotools import mask as coco_mask
from torchvision.models.detection import maskrcnn_resnet50_fpn
from torchvision.models.detection.roi_heads import paste_masks_in_image, project_masks_on_boxes

from backbone import deploy
from common.sample import backgrounds
from tasks.detection.batches import pad
from tasks.detection.config import Config, DataConfig, ModelConfig
from tasks.detection.data import as_tested, read
from tasks.detection.inference import detect
from tasks.detection.masks import encode
from tasks.detection.model import build
from tasks.detection.published import from_published
from tasks.detection.sample import sample_set
from tasks.detection.transforms import View, draw

CLASSES = 80


def overlaps(root: Path) -> None:
    """Mean IoU of objects with their 28x28 targets drawn back, by us and by torchvision."""
    annotations = read(Config(data=DataConfig(root=root)), "val2017")
    found: dict[str, list[float]] = {"ours": [], "torchvision's": []}
    for row in range(min(len(annotations), 100)):
        objects, (height, width) = annotations.objects(row), annotations.sizes[row].tolist()
        outlines = [objects.outlines[place] for place in np.flatnonzero(~objects.crowd)]
        truth = torch.from_numpy(draw(outlines, View((height, width), (height, width))))
        boxes = torch.from_numpy(objects.boxes[~objects.crowd]).float()
        targets = project_masks_on_boxes(truth, boxes, torch.arange(len(boxes)), 28)[:, None]
        runs = encode(targets, boxes, (height, width), 0.5)
        back = {
            "ours": torch.from_numpy(np.array([coco_mask.decode(one) for one in runs])),
            "torchvision's": paste_masks_in_image(targets, boxes, (height, width))[:, 0] >= 0.5,
        }
        for name, masks in back.items():
            if len(masks):
                both = (masks.bool() & truth.bool()).sum((1, 2))
                either = (masks.bool() | truth.bool()).sum((1, 2))
                found[name] += (both / either).tolist()
    for name, values in found.items():
        print(f"masks, {name}: mean IoU {statistics.mean(values):.3f} of {len(values)} objects")


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--short_side", type=int, default=320)
    flags.add_argument("--longest_side", type=int, default=640)
    flags.add_argument("--rounds", type=int, default=4)
    flags.add_argument("--root", type=Path, default=None)
    given = flags.parse_args()
    overlaps(given.root or sample_set())
    torch.manual_seed(0)
    sizes = {"min_size": given.short_side, "max_size": given.longest_side}
    theirs = maskrcnn_resnet50_fpn(
        weights=None, weights_backbone=None, num_classes=CLASSES + 1, **sizes
    ).eval()
    # Random weights find noise; a bias gives every picture its hundred objects.
    theirs.roi_heads.box_predictor.cls_score.bias.data[1:6] = 3.0
    model = ModelConfig(channels=256, box_channels=1024, anchor_size=32, proposals=(1000, 1000))
    ours = build("resnet50", CLASSES, model).eval()
    counts = {key: value for key, value in ours.state_dict().items() if "num_batches" in key}
    ours.load_state_dict({**counts, **from_published(theirs.state_dict())})  # type: ignore[dict-item]
    ours = deploy(ours)  # as evaluate and predict do
    data = DataConfig(test_short_side=given.short_side, longest_side=given.longest_side)

    def by_us(picture: np.ndarray) -> int:
        planes = torch.from_numpy(as_tested(picture, data))
        size, stored = torch.tensor([planes.shape[1:]]), torch.tensor([picture.shape[:2]])
        return len(detect(ours, pad([planes]), size, stored, Config())[0].scores)

    def by_them(picture: np.ndarray) -> int:
        found = theirs([torch.from_numpy(picture).permute(2, 0, 1) / 255])[0]
        masks = found["masks"] > 0.5
        return len(masks)

    pictures = list(backgrounds().values())
    ratios, times = [], {"ours": [], "torchvision's": []}
    with torch.inference_mode():
        by_us(pictures[0]), by_them(pictures[0])
        for _ in range(given.rounds):
            for picture in pictures:
                spent = []
                for name, find in (("ours", by_us), ("torchvision's", by_them)):
                    start = time.process_time()
                    count = find(picture)
                    spent.append(time.process_time() - start)
                    times[name].append(spent[-1])
                ratios.append(spent[0] / spent[1])
    for name, seconds in times.items():
        print(f"{name}: {statistics.median(seconds):.3f} s of processor time a picture")
    print(f"ratio {statistics.median(ratios):.3f} (median of {len(ratios)}; {count} objects each)")


if __name__ == "__main__":
    main()
