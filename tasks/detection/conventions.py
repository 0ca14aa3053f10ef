"""What code bases do otherwise with equal weights.

Each is right by itself: weights give their results under the convention that they were trained
with, and poor ones under another.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

Name = Literal["torchvision", "mmdetection"]
Weights = tuple[float, float, float, float]


class Conventions(NamedTuple):
    """How a code base places anchors, features and masks, and how a cascade votes."""

    rounded_anchors: bool
    """The corners of the anchors' shapes are rounded to whole pixels."""
    fixed_strides: bool
    """Anchors lie a level's stride apart; otherwise the input's side over the level's, rounded."""
    aligned: bool
    """A pixel's value lies at its centre, half a pixel from its number, where boxes are pooled,
    masks are learnt and masks are drawn back; otherwise at its number."""
    samples: int
    """Points across each of the places that a box is pooled to; 0 takes as many as there are
    features."""
    vote: Literal["probabilities", "logits"]
    """A cascade's score is the mean of its stages' probabilities, or that of their mean logits."""
    last_weights: Weights
    """Factors of the offsets of boxes in a cascade's third stage."""
    binary_masks: bool
    """Masks are learnt as 0 and 1; otherwise as the share of each place that the object covers."""


CONVENTIONS: Mapping[Name, Conventions] = {
    "torchvision": Conventions(
        rounded_anchors=True,
        fixed_strides=False,
        aligned=False,
        samples=2,
        vote="probabilities",
        last_weights=(30.0, 30.0, 15.0, 15.0),
        binary_masks=False,
    ),
    "mmdetection": Conventions(
        rounded_anchors=False,
        fixed_strides=True,
        aligned=True,
        samples=0,
        vote="logits",
        last_weights=(1 / 0.033, 1 / 0.033, 1 / 0.067, 1 / 0.067),
        binary_masks=True,
    ),
}
