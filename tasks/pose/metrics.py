"""From heat maps to joints, and from joints to scores: pure functions of arrays.

The decoding follows Xiao, Wu and Wei, "Simple Baselines for Human Pose Estimation and Tracking"
(ECCV 2018) and its published code; the unbiased one follows Zhang et al., "Distribution-Aware
Coordinate Representation for Human Pose Estimation" (CVPR 2020).
"""

import contextlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor

PERSON = 1
"""COCO's category of persons."""

COCO_STATISTICS = {"AP": 0, "AP50": 1, "AP75": 2, "APM": 3, "APL": 4, "AR": 5}
PCKH_PARTS = {
    "Head": (9,),
    "Shoulder": (12, 13),
    "Elbow": (11, 14),
    "Wrist": (10, 15),
    "Hip": (2, 3),
    "Knee": (1, 4),
    "Ankle": (0, 5),
}
# MPII's pelvis and thorax: the published mean leaves them out.
PCKH_EXCLUDED = (6, 7)
PCKH_HEAD_SHARE = 0.6


def decode(
    heatmaps: Tensor, unbiased: bool = False, *, sigma: float = 2.0
) -> tuple[Tensor, Tensor]:
    """Find each joint's place and score in its heat map.

    Args:
        heatmaps: (N, J, h, w), any float type and device.
        unbiased: refine the maximum to its sub-pixel place by a Taylor expansion, instead of
            the published quarter pixel towards the higher neighbour.
        sigma: standard deviation in heat-map pixels of the Gaussians that the network learned,
            used by the unbiased decoding alone.

    Returns:
        Points (N, J, 2) as x, y in heat-map pixels and scores (N, J), the maxima, in float32.
        A heat map without a positive value gives the point (0, 0). Of equal maxima the first in
        reading order counts.
    """
    heatmaps = heatmaps.float()
    values = heatmaps.flatten(2)
    places = _places_of_maxima(values)
    scores = values.gather(2, places[..., None])[..., 0]
    width = heatmaps.shape[-1]
    peaks = torch.stack((places % width, places // width), dim=-1)
    offsets = _taylor_offsets(heatmaps, peaks, sigma) if unbiased else _quarter(heatmaps, peaks)
    return (peaks + offsets) * (scores > 0)[..., None], scores


def _places_of_maxima(values: Tensor) -> Tensor:
    """Index (N, J) of the first maximum of values (N, J, K)."""
    if values.device.type == "cpu":
        # NumPy's argmax is vectorised on the CPU and six times as fast as PyTorch's.
        return torch.from_numpy(values.detach().numpy().argmax(axis=2))
    return values.argmax(dim=2)


def _quarter(heatmaps: Tensor, peaks: Tensor) -> Tensor:
    """A quarter of a pixel towards the higher neighbour, (N, J, 2); 0 within 2 px of a border."""
    around = _windows(heatmaps, peaks, radius=1)
    right_minus_left = around[..., 1, 2] - around[..., 1, 0]
    below_minus_above = around[..., 2, 1] - around[..., 0, 1]
    signs = torch.stack((right_minus_left, below_minus_above), dim=-1).sign()
    # The published rule is 1 < x < W - 1, so it spares two pixels at one side and one at the other.
    return 0.25 * signs * _inside(peaks, heatmaps, low=2, high=2)[..., None]


def _taylor_offsets(heatmaps: Tensor, peaks: Tensor, sigma: float) -> Tensor:
    """Distance (N, J, 2) from each peak to the maximum of the Gaussian below it.

    The logarithm of a Gaussian is a parabola, so one Newton step from the peak reaches its
    maximum. Maps are smoothed by the same Gaussian first ("modulation"), which keeps a Gaussian's
    centre and calms noise; nearer to a border than two sigma, where the smoothing would push
    the centre inwards, the map is taken as it is. The step is held to one pixel, the reach of the
    3 x 3 differences, and left out where they show no maximum or do not fit in the map.
    """
    radius = round(2.5 * sigma)
    windows = _windows(heatmaps, peaks, radius + 1)
    band = _blur_band(radius, sigma).to(heatmaps)
    margin = math.ceil(2 * sigma)
    whole = _inside(peaks, heatmaps, low=margin, high=margin + 1)[..., None, None]
    plain = windows[..., radius : radius + 3, radius : radius + 3]
    logs = torch.where(whole, band @ windows @ band.T, plain).clamp(min=1e-10).log()

    slope_x = 0.5 * (logs[..., 1, 2] - logs[..., 1, 0])
    slope_y = 0.5 * (logs[..., 2, 1] - logs[..., 0, 1])
    bend_x = logs[..., 1, 2] - 2 * logs[..., 1, 1] + logs[..., 1, 0]
    bend_y = logs[..., 2, 1] - 2 * logs[..., 1, 1] + logs[..., 0, 1]
    twist = 0.25 * (logs[..., 2, 2] - logs[..., 2, 0] - logs[..., 0, 2] + logs[..., 0, 0])
    determinant = bend_x * bend_y - twist * twist
    usable = (bend_x < 0) & (determinant > 0) & _inside(peaks, heatmaps, low=1, high=2)
    safe = torch.where(usable, determinant, 1.0)
    step_x = (twist * slope_y - bend_y * slope_x) / safe
    step_y = (twist * slope_x - bend_x * slope_y) / safe
    step = torch.stack((step_x, step_y), dim=-1).clamp(-1.0, 1.0)
    return torch.where(usable[..., None], step, 0.0)


def _windows(heatmaps: Tensor, peaks: Tensor, radius: int) -> Tensor:
    """The squares (N, J, 2r + 1, 2r + 1) around the peaks, 0 outside the heat maps."""
    height, width = heatmaps.shape[-2:]
    reach = torch.arange(-radius, radius + 1, device=heatmaps.device)
    columns = peaks[..., 0, None] + reach
    rows = peaks[..., 1, None] + reach
    places = (
        rows.clamp(0, height - 1)[..., :, None] * width + columns.clamp(0, width - 1)[..., None, :]
    )
    values = heatmaps.flatten(2).gather(2, places.flatten(2)).view(places.shape)
    rows_in = (rows >= 0) & (rows < height)
    columns_in = (columns >= 0) & (columns < width)
    return values * (rows_in[..., :, None] & columns_in[..., None, :])


def _inside(peaks: Tensor, heatmaps: Tensor, *, low: int, high: int) -> Tensor:
    """Which peaks (N, J) satisfy low <= x <= W - high and low <= y <= H - high."""
    height, width = heatmaps.shape[-2:]
    limits = peaks.new_tensor((width - high, height - high))
    return ((peaks >= low) & (peaks <= limits)).all(dim=-1)


def _blur_band(radius: int, sigma: float) -> Tensor:
    """Matrix (3, 2r + 3) that smooths a window's rows to its three middle ones."""
    reach = torch.arange(-radius, radius + 1, dtype=torch.float64)
    kernel = torch.exp(-(reach**2) / (2 * sigma**2))
    kernel /= kernel.sum()
    band = torch.zeros(3, 2 * radius + 3, dtype=torch.float64)
    for row in range(3):
        band[row, row : row + len(kernel)] = kernel
    return band


def flip_back(
    heatmaps: Tensor, flip_pairs: Sequence[tuple[int, int]], shift: bool = True
) -> Tensor:
    """Turn the heat maps of a mirrored picture into those of the picture itself.

    Args:
        heatmaps: (N, J, h, w) of the mirrored picture.
        flip_pairs: joints that change places, such as the left and the right wrist.
        shift: move the maps one pixel to the right, the first column staying as it is. The
            published coding needs it: there the mirrored maps lie almost a pixel too far left.

    Returns:
        Heat maps (N, J, h, w).
    """
    order = list(range(heatmaps.shape[1]))
    for first, second in flip_pairs:
        order[first], order[second] = order[second], order[first]
    mirrored = heatmaps[:, order].flip(-1)
    if shift:
        mirrored = torch.cat((mirrored[..., :1], mirrored[..., :-1]), dim=-1)
    return mirrored


def rescore(
    box_scores: NDArray[np.floating[Any]],
    joint_scores: NDArray[np.floating[Any]],
    threshold: float = 0.2,
) -> NDArray[np.float64]:
    """Scores (N,) of persons: box score times the mean of the joint scores above a threshold.

    Args:
        box_scores: (N,), 1 for ground-truth boxes.
        joint_scores: (N, J), maxima of the heat maps.
        threshold: joints at or below it do not count; a person without any other scores 0.
    """
    scores = np.asarray(joint_scores, dtype=np.float64)
    counted = scores > threshold
    totals = np.where(counted, scores, 0.0).sum(axis=1)
    means = totals / np.maximum(counted.sum(axis=1), 1)
    return np.asarray(np.asarray(box_scores, dtype=np.float64) * means)


def coco_scores(
    ground_truth: dict[str, Any], results: list[dict[str, Any]], sigmas: NDArray[np.float64]
) -> dict[str, float]:
    """COCO's keypoint scores by pycocotools, without files and in silence.

    Args:
        ground_truth: the content of a `person_keypoints_*.json`; stays unchanged.
        results: dicts of image_id, category_id, keypoints (x, y, score of every joint) and
            score, in any order: persons of equal score are taken in an order of their own.
        sigmas: (J,) spread of each joint, as in `Skeleton.sigmas`.

    Returns:
        AP, AP50, AP75, APM, APL and AR between 0 and 1, over the pictures of the ground truth.
        Without any result they are 0. A score is -1, COCO's mark, where the ground truth has
        no labelled person at all or none of the size.

    Raises:
        ValueError: A result is of a picture that the ground truth does not list.
    """
    known = {image["id"] for image in ground_truth["images"]}
    strange = sorted({result["image_id"] for result in results} - known)
    if strange:
        raise ValueError(f"results for pictures that the ground truth lacks, such as {strange[0]}")
    persons = [one for one in ground_truth["annotations"] if one["category_id"] == PERSON]
    # pycocotools reports on stdout and writes into the dicts it is given.
    with contextlib.redirect_stdout(None):
        truth = _coco(ground_truth["images"], [_labelled(person) for person in persons])
        found = _coco(
            ground_truth["images"], [_measured(result) for result in sorted(results, key=_rank)]
        )
        evaluation = COCOeval(truth, found, "keypoints")
        evaluation.params.kpt_oks_sigmas = np.asarray(sigmas, dtype=np.float64)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {name: float(evaluation.stats[place]) for name, place in COCO_STATISTICS.items()}


def _rank(result: dict[str, Any]) -> tuple[Any, ...]:
    """Sort key that orders results alike however they came."""
    return (result["image_id"], -result["score"], *result["keypoints"])


def _measured(result: dict[str, Any]) -> dict[str, Any]:
    """A result with the extent of its joints as box and area, by which COCO sorts it by size."""
    columns, rows = result["keypoints"][0::3], result["keypoints"][1::3]
    left, top = min(columns), min(rows)
    width, height = max(columns) - left, max(rows) - top
    return {**result, "bbox": [left, top, width, height], "area": width * height}


def _labelled(annotation: dict[str, Any]) -> dict[str, Any]:
    """An annotation with the fields that some data sets leave out."""
    labelled = sum(visible > 0 for visible in annotation["keypoints"][2::3])
    return {
        **annotation,
        "area": annotated_area(annotation),
        "iscrowd": int(bool(annotation.get("iscrowd"))),
        "num_keypoints": labelled,
    }


def annotated_area(annotation: dict[str, Any]) -> float:
    """A person's area in square pixels: that of the box where the file does not say."""
    area = annotation.get("area")
    *_, width, height = annotation["bbox"]
    return float(width * height if area is None else area)


def _coco(images: list[dict[str, Any]], persons: list[dict[str, Any]]) -> COCO:
    """A COCO index over persons, numbered anew from 1."""
    index = COCO()
    index.dataset = {
        "images": images,
        "categories": [{"id": PERSON}],
        # An id of 0 would count as "no match" in pycocotools, so ids in files are not trusted.
        "annotations": [{**person, "id": number} for number, person in enumerate(persons, 1)],
    }
    index.createIndex()
    return index


def pckh(
    predicted: NDArray[np.floating[Any]],
    truth: NDArray[np.floating[Any]],
    visible: NDArray[Any],
    head_sizes: NDArray[np.floating[Any]],
    threshold: float = 0.5,
) -> dict[str, float]:
    """MPII's share of joints found within half a head, in percent.

    Args:
        predicted: (N, 16, 2) in pixels of the picture.
        truth: (N, 16, 2) in the same pixels.
        visible: (N, 16), joints to count.
        head_sizes: (N,), diagonals of the annotated head boxes in pixels; 0.6 of one is the unit.
        threshold: a joint is found if its error is at most this many units.

    Returns:
        Head, Shoulder, Elbow, Wrist, Hip, Knee and Ankle (each the mean of its joints), Mean over
        all joints but pelvis and thorax weighted by how often they are visible, and Mean@0.1,
        which as published is taken at a threshold of 0.11. A part with a joint that is never
        visible, and a mean without any joint, is -1.

    Raises:
        ValueError: A head size is not positive.
    """
    heads = np.asarray(head_sizes, dtype=np.float64)
    if not (heads > 0).all():
        raise ValueError("head sizes must be positive")
    counted = np.asarray(visible) > 0
    distances = np.linalg.norm(np.asarray(predicted, dtype=np.float64) - truth, axis=2)
    errors = distances / (PCKH_HEAD_SHARE * heads[:, None])
    counts = counted.sum(axis=0)
    shares = 100.0 * ((errors <= threshold) & counted).sum(axis=0) / np.maximum(counts, 1)
    scores = {
        part: float(shares[list(joints)].mean()) if counts[list(joints)].all() else -1.0
        for part, joints in PCKH_PARTS.items()
    }
    kept = counted.copy()
    kept[:, list(PCKH_EXCLUDED)] = False
    for name, limit in (("Mean", threshold), ("Mean@0.1", 0.11)):
        found = ((errors <= limit) & kept).sum()
        scores[name] = float(100.0 * found / kept.sum()) if kept.any() else -1.0
    return scores
