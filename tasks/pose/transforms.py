"""Boxes to crops, pictures to inputs, joints to heat maps and back, and the augmentations.

Points are (x, y) in pixels with the origin in the middle of the first pixel. `unbiased` selects
the coding of Huang et al., "The Devil Is in the Details: Delving Into Unbiased Data Processing for
Human Pose Estimation", CVPR 2020: sizes count the intervals between pixels (W - 1), so that crops,
mirror images and heat maps agree to the fraction of a pixel. Without it the coding is that of the
published SimpleBaseline models, which counts pixels and rounds a joint to a heat map's pixel.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.pose.skeleton import Skeleton

Floats = NDArray[np.float64]
Picture = NDArray[np.uint8]


def box_to_crop(box_xywh: Floats, aspect: float, padding: float) -> tuple[Floats, Floats]:
    """Center (2,) and extent (2,) in pixels of a box's crop.

    The box is grown to width / height = aspect, and then by the factor `padding`.
    """
    x, y, width, height = (float(value) for value in box_xywh)
    center = np.array([x + width / 2, y + height / 2])
    width, height = max(width, height * aspect), max(height, width / aspect)
    return center, np.array([width, height]) * padding


def crop_matrix(
    center: Floats,
    extent: Floats,
    rotation_degrees: float,
    size_wh: tuple[int, int],
    unbiased: bool,
) -> Floats:
    """Affine matrix (2, 3) from picture to crop pixels.

    A positive rotation turns the crop's frame clockwise, and so its content counterclockwise.
    """
    size = np.array(size_wh, dtype=np.float64)
    if unbiased:
        size -= 1
        scale = size / extent
    else:
        # The published code takes the scale of both axes from the width alone.
        scale = np.full(2, size[0] / extent[0])
    angle = np.deg2rad(rotation_degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    linear = scale[:, None] * turn
    return np.column_stack([linear, size / 2 - linear @ center])


def mirror_matrix(width: int) -> Floats:
    """Homogeneous matrix (3, 3) that mirrors a picture: pixel x goes to width - 1 - x."""
    return np.array([[-1.0, 0.0, width - 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])


def warp(image: Picture, matrix: Floats, size_wh: tuple[int, int]) -> Picture:
    """Crop (H, W, C) of a picture, bilinear, black where the picture ends."""
    return np.asarray(cv2.warpAffine(image, matrix, size_wh, flags=cv2.INTER_LINEAR), np.uint8)


def transform_points(points: Floats, matrix: Floats) -> Floats:
    """Points (..., 2) moved by an affine matrix (2, 3)."""
    return np.asarray(points @ matrix[:, :2].T + matrix[:, 2])


def to_image(
    points: Floats,
    center: Floats,
    extent: Floats,
    heatmap_size_wh: tuple[int, int],
    unbiased: bool,
) -> Floats:
    """Heat map points (..., 2) in picture pixels: the way back from an upright crop."""
    matrix = crop_matrix(center, extent, 0.0, heatmap_size_wh, unbiased)
    return np.asarray((points - matrix[:, 2]) / np.diag(matrix))


def to_heatmap(
    joints: Floats, size_wh: tuple[int, int], input_wh: tuple[int, int], unbiased: bool
) -> Floats:
    """Input points (..., 2) in heat map pixels, not rounded."""
    interval = 1 if unbiased else 0
    return np.asarray(
        joints * (np.subtract(size_wh, interval) / np.subtract(input_wh, interval)),
    )


def gaussian_heatmaps(
    joints: Floats,
    visible: NDArray[np.floating],
    size_wh: tuple[int, int],
    input_wh: tuple[int, int],
    sigma: float,
    unbiased: bool,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Targets (J, h, w) with peaks of 1, and weights (J,) of 0 or 1, for joints (J, 2).

    Joints are input pixels, sigma heat map pixels. A Gaussian is cut off at 3 sigma around the
    joint's pixel; a joint whose patch lies outside the map has weight 0, like one that is not
    labelled (visible 0).
    """
    exact = to_heatmap(joints, size_wh, input_wh, unbiased)
    # Truncation towards zero, not floor, as in the published targets.
    pixel = np.trunc(exact + 0.5)
    radius = int(3 * sigma)
    inside = np.all((pixel + radius >= 0) & (pixel - radius < size_wh), axis=1)
    weights = ((visible > 0) & inside).astype(np.float32)
    middle = exact if unbiased else pixel
    # A Gaussian is the product of its two axes.
    across, down = (
        _bells(middle[:, axis], pixel[:, axis], size_wh[axis], sigma) for axis in (0, 1)
    )
    across *= weights[:, None]
    return down[:, :, None] * across[:, None, :], weights


def _bells(middle: Floats, pixel: Floats, length: int, sigma: float) -> NDArray[np.float32]:
    """Gaussians (J, length) around middle (J,), 0 beyond 3 sigma from pixel (J,)."""
    position = np.arange(length)
    bells = np.exp(-((position - middle[:, None]) ** 2) / (2 * sigma**2))
    bells[np.abs(position - pixel[:, None]) > int(3 * sigma)] = 0
    return bells.astype(np.float32)


@dataclass(frozen=True)
class Pose:
    """A person before the crop, in pixels of the picture as it is seen; augmentations change it."""

    joints: Floats
    """(J, 2) x and y."""
    visible: NDArray[np.floating]
    """(J,) above 0 where labelled."""
    center: Floats
    extent: Floats
    rotation: float = 0.0
    """Degrees."""
    mirrored: bool = False
    """Whether the picture is seen mirrored."""


@dataclass(frozen=True)
class Augmentation:
    """Strength of the augmentations; all zero leaves a person as it is."""

    scale_factor: float = 0.0
    rotation: float = 0.0
    """Standard deviation in degrees."""
    rotation_probability: float = 0.0
    flip_probability: float = 0.0
    half_body_probability: float = 0.0


def augment(
    pose: Pose,
    width: int,
    aspect: float,
    skeleton: Skeleton,
    strength: Augmentation,
    generator: np.random.Generator,
) -> Pose:
    """Half body, scale, rotation, mirror image: the order and distributions of SimpleBaseline."""
    # The published code asks for more than eight labelled joints, in both data sets.
    enough = np.count_nonzero(pose.visible > 0) > 8
    if enough and generator.random() < strength.half_body_probability:
        pose = half_body(pose, aspect, skeleton, generator)
    pose = rescale(pose, strength.scale_factor, generator)
    if generator.random() < strength.rotation_probability:
        pose = rotate(pose, strength.rotation, generator)
    if generator.random() < strength.flip_probability:
        pose = flip(pose, width, skeleton)
    return pose


def half_body(
    pose: Pose, aspect: float, skeleton: Skeleton, generator: np.random.Generator
) -> Pose:
    """Crop around the labelled joints of the upper or, as often, of the lower body."""
    upper = np.zeros(skeleton.joints, dtype=bool)
    upper[list(skeleton.upper_body)] = True
    labelled = pose.visible > 0
    halves = (labelled & upper, labelled & ~upper)
    # The published code compares a normal variate with 0.5 and so takes the upper half in 69 of 100
    # cases; here both halves have the same chance.
    first = int(generator.random() >= 0.5)
    for half in (halves[first], halves[1 - first]):
        if np.count_nonzero(half) > 2:
            corner, size = pose.joints[half].min(axis=0), np.ptp(pose.joints[half], axis=0)
            if not size.any():
                continue
            _, extent = box_to_crop(np.concatenate([corner, size]), aspect, padding=1.5)
            return replace(pose, center=pose.joints[half].mean(axis=0), extent=extent)
    return pose


def rescale(pose: Pose, factor: float, generator: np.random.Generator) -> Pose:
    """Crop grown or shrunk by a normal variate around 1, limited to 1 - factor and 1 + factor."""
    scale = np.clip(generator.standard_normal() * factor + 1, 1 - factor, 1 + factor)
    return replace(pose, extent=pose.extent * scale)


def rotate(pose: Pose, degrees: float, generator: np.random.Generator) -> Pose:
    """Crop turned by a normal variate of this standard deviation, limited to twice of it."""
    angle = np.clip(generator.standard_normal() * degrees, -2 * degrees, 2 * degrees)
    return replace(pose, rotation=pose.rotation + float(angle))


def flip(pose: Pose, width: int, skeleton: Skeleton) -> Pose:
    """Person in the mirrored picture: left joints change places with right ones."""
    order = list(skeleton.mirrored)
    last = np.array([width - 1, 0])
    mirror = np.array([-1, 1])
    return replace(
        pose,
        joints=last + mirror * pose.joints[order],
        visible=pose.visible[order],
        center=last + mirror * pose.center,
        mirrored=not pose.mirrored,
    )


def crop(
    image: Picture, pose: Pose, size_wh: tuple[int, int], unbiased: bool
) -> tuple[Picture, Floats]:
    """Input picture (H, W, 3) and the joints (J, 2) in it, by one interpolation."""
    matrix = crop_matrix(pose.center, pose.extent, pose.rotation, size_wh, unbiased)
    joints = transform_points(pose.joints, matrix)
    if pose.mirrored:
        # The stored picture is not mirrored: mirroring it is part of the one warp.
        matrix = matrix @ mirror_matrix(image.shape[1])
    return warp(image, matrix, size_wh), joints
