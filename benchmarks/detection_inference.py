"""``python -m benchmarks.detection_inference``: Mask R-CNN beside torchvision's, in turns.

maskrcnn_resnet50_fpn and this project's network with the same weights find the same objects; the
time goes from a decoded picture to masks of the whole picture, and the ratio is printed.
"""

import argparse
import statistics
import time

import numpy as np
import torch
from torchvision.models.detection import maskrcnn_resnet50_fpn

from common.sample import backgrounds
from tasks.detection.batches import pad
from tasks.detection.config import DataConfig, ModelConfig, TestConfig
from tasks.detection.data import as_tested
from tasks.detection.inference import detect
from tasks.detection.model import build
from tasks.detection.published import from_published

CLASSES = 80


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--short_side", type=int, default=320)
    flags.add_argument("--longest_side", type=int, default=640)
    flags.add_argument("--rounds", type=int, default=4)
    given = flags.parse_args()
    torch.manual_seed(0)
    sizes = {"min_size": given.short_side, "max_size": given.longest_side}
    theirs = maskrcnn_resnet50_fpn(
        weights=None, weights_backbone=None, num_classes=CLASSES + 1, **sizes
    ).eval()
    # Random weights find noise; a bias gives every picture its hundred objects.
    theirs.roi_heads.box_predictor.cls_score.bias.data[1:6] = 3.0
    model = ModelConfig(channels=256, box_channels=1024, proposals=(1000, 1000), samples=512)
    ours = build("resnet50", CLASSES, model).eval()
    counts = {key: value for key, value in ours.state_dict().items() if "num_batches" in key}
    ours.load_state_dict({**counts, **from_published(theirs.state_dict())})  # type: ignore[dict-item]
    ours.to(memory_format=torch.channels_last)
    data = DataConfig(test_short_side=given.short_side, longest_side=given.longest_side)

    def by_us(picture: np.ndarray) -> int:
        planes = torch.from_numpy(as_tested(picture, data))
        size, stored = torch.tensor([planes.shape[1:]]), torch.tensor([picture.shape[:2]])
        return len(detect(ours, pad([planes]), size, stored, TestConfig())[0].scores)

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
