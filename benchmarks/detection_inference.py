"""``python -m benchmarks.detection_inference``: Mask R-CNN beside torchvision's, in turns.

maskrcnn_resnet50_fpn and this project's network with the same weights find the same objects; the
time goes from a decoded picture to masks of the whole picture, and the ratio is printed. Before
that the masks: how well the targets of training, drawn back, overlap with the objects they were
made of. With ``--recipe mask_rcnn_res2net101_mmdet`` instead: the seconds and the memory that this
recipe's network takes for a picture, with random weights.
"""

import argparse
import resource
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from pycocotools import mask as coco_mask
from torchvision.models.detection import maskrcnn_resnet50_fpn
from torchvision.models.detection.roi_heads import paste_masks_in_image, project_masks_on_boxes
from torchvision.ops import roi_align

from backbone import deploy
from common.commands import config as configuration
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
    found: dict[str, list[float]] = {}
    for row in range(min(len(annotations), 100)):
        objects, (height, width) = annotations.objects(row), annotations.sizes[row].tolist()
        outlines = [objects.outlines[place] for place in np.flatnonzero(~objects.crowd)]
        truth = torch.from_numpy(draw(outlines, View((height, width), (height, width))))
        if not len(truth):
            continue
        boxes = torch.from_numpy(objects.boxes[~objects.crowd]).float()
        targets = project_masks_on_boxes(truth, boxes, torch.arange(len(boxes)), 28)[:, None]
        regions = torch.cat((torch.arange(len(boxes))[:, None], boxes), dim=1)
        centred = roi_align(truth[:, None].float(), regions, 28, aligned=True)
        size = (height, width)
        back = {
            "torchvision's": paste_masks_in_image(targets, boxes, size)[:, 0] >= 0.5,
            "at numbers": _decoded(encode(targets, boxes, size, 0.5)),
            "at numbers, drawn at centres": _decoded(
                encode(targets, boxes, size, 0.5, aligned=True)
            ),
            "at centres": _decoded(encode(centred, boxes, size, 0.5, aligned=True)),
            "at centres, 0 and 1": _decoded(
                encode((centred >= 0.5).float(), boxes, size, 0.5, aligned=True)
            ),
        }
        for name, masks in back.items():
            both = (masks.bool() & truth.bool()).sum((1, 2))
            either = (masks.bool() | truth.bool()).sum((1, 2))
            found.setdefault(name, []).extend((both / either).tolist())
    for name, values in found.items():
        print(f"masks, {name}: mean IoU {statistics.mean(values):.3f} of {len(values)} objects")


def _decoded(runs: list[dict[str, object]]) -> torch.Tensor:
    return torch.from_numpy(np.array([coco_mask.decode(one) for one in runs]))


def cost(recipe: str, deployed: bool, rounds: int) -> tuple[float, float, int]:
    """Median wall seconds of a picture, peak memory of this process in GiB, and objects found."""
    torch.manual_seed(0)
    config = configuration.parse(Config, ["--config", recipe])
    model = build(config.backbone, CLASSES, config.model, config.test).eval()
    for name, value in model.state_dict().items():
        if name.endswith("cls_score.bias"):
            value[1:6] = 3.0  # as below
        if name.endswith("bn3.weight"):
            value *= 0.25  # or a hundred random blocks add up to more than can be told apart
    network = deploy(model) if deployed else model
    del model
    seconds, count = [], 0
    with torch.inference_mode():
        for picture in list(backgrounds().values())[:1] * (rounds + 1):
            start = time.perf_counter()
            planes = torch.from_numpy(as_tested(picture, config.data))
            size, stored = torch.tensor([planes.shape[1:]]), torch.tensor([picture.shape[:2]])
            count = len(detect(network, pad([planes]), size, stored, config)[0].scores)
            seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return statistics.median(seconds[1:]), peak, count


def costs(recipe: str, rounds: int) -> None:
    """Print them for the network as it is and deployed, each in a process of its own."""
    for deployed in (False, True):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            seconds, peak, count = pool.submit(cost, recipe, deployed, rounds).result()
        print(
            f"{recipe}, {'deployed' if deployed else 'plain'}: {seconds:.2f} s a picture, peak "
            f"{peak:.2f} GiB, {count} objects, {torch.get_num_threads()} threads"
        )


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--short_side", type=int, default=320)
    flags.add_argument("--longest_side", type=int, default=640)
    flags.add_argument("--rounds", type=int, default=4)
    flags.add_argument("--root", type=Path, default=None)
    flags.add_argument("--recipe", default=None)
    given = flags.parse_args()
    if given.recipe is not None:
        costs(given.recipe, given.rounds)
        return
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
