"""The joints of COCO and MPII: names, left and right pairs, limbs to draw, scoring constants."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Skeleton:
    """Joint convention of a data set; all integers are joint indices."""

    names: tuple[str, ...]
    flip_pairs: tuple[tuple[int, int], ...]
    """Joints that change places when a picture is mirrored."""
    limbs: tuple[tuple[int, int], ...]
    """Pairs of joints that a drawing connects."""
    sigmas: tuple[float, ...]
    """Spread of human annotators per joint, relative to the object's scale; empty without OKS."""
    upper_body: tuple[int, ...]
    """Joints above the waist, for the half-body augmentation."""

    @property
    def joints(self) -> int:
        """Number of joints J."""
        return len(self.names)

    @property
    def mirrored(self) -> tuple[int, ...]:
        """Order of the joints (J) after mirroring a picture."""
        order = list(range(self.joints))
        for left, right in self.flip_pairs:
            order[left], order[right] = right, left
        return tuple(order)


COCO = Skeleton(
    names=(
        "nose",
        "left_eye",
        "right_eye",
        "left_ear",
        "right_ear",
        "left_shoulder",
        "right_shoulder",
        "left_elbow",
        "right_elbow",
        "left_wrist",
        "right_wrist",
        "left_hip",
        "right_hip",
        "left_knee",
        "right_knee",
        "left_ankle",
        "right_ankle",
    ),
    flip_pairs=((1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12), (13, 14), (15, 16)),
    limbs=(
        (15, 13),
        (13, 11),
        (16, 14),
        (14, 12),
        (11, 12),
        (5, 11),
        (6, 12),
        (5, 6),
        (5, 7),
        (7, 9),
        (6, 8),
        (8, 10),
        (0, 1),
        (0, 2),
        (1, 3),
        (2, 4),
        (3, 5),
        (4, 6),
    ),
    # The constants of the COCO keypoint evaluation.
    sigmas=(
        0.026,
        *(0.025, 0.025, 0.035, 0.035),
        *(0.079, 0.079, 0.072, 0.072, 0.062, 0.062),
        *(0.107, 0.107, 0.087, 0.087, 0.089, 0.089),
    ),
    upper_body=tuple(range(11)),
)

MPII = Skeleton(
    names=(
        "right_ankle",
        "right_knee",
        "right_hip",
        "left_hip",
        "left_knee",
        "left_ankle",
        "pelvis",
        "thorax",
        "upper_neck",
        "head_top",
        "right_wrist",
        "right_elbow",
        "right_shoulder",
        "left_shoulder",
        "left_elbow",
        "left_wrist",
    ),
    flip_pairs=((0, 5), (1, 4), (2, 3), (10, 15), (11, 14), (12, 13)),
    limbs=(
        (0, 1),
        (1, 2),
        (2, 6),
        (6, 3),
        (3, 4),
        (4, 5),
        (6, 7),
        (7, 8),
        (8, 9),
        (10, 11),
        (11, 12),
        (12, 7),
        (7, 13),
        (13, 14),
        (14, 15),
    ),
    sigmas=(),
    upper_body=tuple(range(7, 16)),
)

SKELETONS: dict[str, Skeleton] = {"coco": COCO, "mpii": MPII, "yolo": COCO, "labelme": COCO}
"""The joints of each --data.format."""
