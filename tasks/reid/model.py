"""The strong baseline: a backbone of last stride 1, a pooled feature, BNNeck and a classifier.

Luo et al., "Bag of Tricks and A Strong Baseline for Deep Person Re-identification", CVPRW 2019.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from backbone.detect import hint
from backbone.trunk import Pyramid, Trunk
from backbone.variants import MODELS
from common.commands import trained
from common.commands.classes import with_new_classes
from common.commands.config import choose
from common.commands.trained import Layout, Trained
from common.errors import UserError
from common.layers import Normalize
from tasks.reid.config import Config, ModelConfig

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

STRIDES = (1, 2, 2, 1)
"""The last stage keeps its input's resolution, without dilation."""

TRAINING_ONLY = ("classifier.", "centers")
"""Beginnings of the keys that only training needs: they depend on the persons trained on."""

_PUBLISHED = (
    ("base.", "backbone."),
    ("bottleneck.", "bottleneck."),
    ("classifier.", "classifier."),
)


class Features(NamedTuple):
    """What the model makes of pictures, in float32."""

    before: Tensor
    """(B, C) pooled; triplet, circle and center loss compare these."""
    after: Tensor
    """(B, C) after the batch norm of the neck; what the classifier and most tests use."""
    logits: Tensor | None
    """(B, persons); None without a classifier."""


class GeneralisedMean(nn.Module):
    """(mean of x^p)^(1 / p) over all places, with a trained p (Radenovic et al., TPAMI 2018)."""

    def __init__(self, power: float = 3.0, least: float = 1e-6) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.tensor([power]))
        self.least = least

    def forward(self, features: Tensor) -> Tensor:
        """Pool (B, C, h, w) to (B, C)."""
        return features.clamp(min=self.least).pow(self.p).mean(dim=(2, 3)).pow(1 / self.p)


class Average(nn.Module):
    """The mean over all places."""

    def forward(self, features: Tensor) -> Tensor:
        """Pool (B, C, h, w) to (B, C)."""
        return features.mean(dim=(2, 3))


POOLINGS: dict[str, type[nn.Module]] = {"average": Average, "gem": GeneralisedMean}
"""By the name of --model.pooling."""


class ReidModel(nn.Module):
    """A picture of a person in, a feature out that is near to those of the same person.

    Args:
        backbone: gives a pyramid whose `c5` is pooled.
        pooling: (B, C, h, w) to (B, C).
        normalize: takes the pictures.
        persons: that are trained on; 0 makes a model without classifier.
        centers: keep a center of each person for the center loss. They are a buffer: no gradient
            of the optimizer moves them, see `tasks.reid.loss.center_step`.
    """

    centers: Tensor | None

    def __init__(
        self,
        backbone: Trunk,
        pooling: nn.Module,
        normalize: nn.Module,
        persons: int = 0,
        centers: bool = False,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.pooling = pooling
        self.normalize = normalize
        channels = backbone.channels.c5
        self.bottleneck = nn.BatchNorm1d(channels)
        # Without a shift the features stay around the origin, where angles compare them best.
        self.bottleneck.bias.requires_grad_(False)
        self.classifier = nn.Linear(channels, persons, bias=False) if persons else None
        if self.classifier is not None:
            nn.init.normal_(self.classifier.weight, std=0.001)
        self.register_buffer("centers", torch.randn(persons, channels) if centers else None)

    def forward(self, images: Tensor, erased: Tensor | None = None) -> Features:
        """Features of uint8 RGB pictures (B, 3, H, W), parts of which may be `erased`."""
        return self.answer(self.backbone(self.prepare(images, erased)))

    def prepare(self, images: Tensor, erased: Tensor | None = None) -> Tensor:
        """What the trunk is given: normalised pictures (B, 3, H, W).

        `erased` (B, 4) are rectangles, top, left, height and width, that are filled in after the
        normalisation; those of no area fill nothing.
        """
        normalized: Tensor = self.normalize(images)
        return normalized if erased is None else erase(normalized, erased)

    def answer(self, pyramid: Pyramid[Tensor]) -> Features:
        """What the head makes of the trunk's features."""
        features = pyramid.c5
        # Distances need more digits than bfloat16 has.
        with torch.autocast(features.device.type, enabled=False):
            before = self.pooling(features.float())
            after = self.bottleneck(before)
            logits = None if self.classifier is None else self.classifier(after)
        return Features(before, after, logits)


def erase(normalized: Tensor, rectangles: Tensor) -> Tensor:
    """Fill rectangles (B, 4) of normalised pictures (B, 3, H, W) as the published code does.

    It fills with the numbers of the ImageNet mean, 0.485, 0.456 and 0.406, although the mean of a
    normalised picture is 0.
    """
    top, left, height, width = (column[:, None] for column in rectangles.unbind(dim=1))
    rows = torch.arange(normalized.shape[2], device=normalized.device)
    columns = torch.arange(normalized.shape[3], device=normalized.device)
    tall = (rows >= top) & (rows < top + height)
    wide = (columns >= left) & (columns < left + width)
    inside = (tall[:, :, None] & wide[:, None, :])[:, None]
    return torch.where(inside, normalized.new_tensor(MEAN).view(3, 1, 1), normalized)


def build(backbone: str, model: ModelConfig, persons: int = 0, centers: bool = False) -> ReidModel:
    """A model with a fresh backbone of the given name, on the CPU.

    Args:
        backbone: a name of `MODELS`.
        model: pooling and stem.
        persons: that the classifier tells apart; 0 makes the model that searches, without one.
        centers: keep a center of each person, for the center loss.

    Raises:
        UserError: no backbone has that name, or it has no stem ReLU to leave out.
    """
    trunk = choose("--backbone", backbone, MODELS)(strides=STRIDES)
    if not model.stem_relu:
        if not isinstance(getattr(trunk, "relu", None), nn.ReLU):
            raise UserError(
                f"--model.stem_relu false: {backbone} has no ReLU of the stem to leave out"
            )
        trunk.relu = nn.Identity()
    return ReidModel(
        trunk,
        POOLINGS[model.pooling](),
        Normalize(MEAN, STD),
        persons,
        centers,
    )


def from_published(state: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """A published checkpoint's weights under the names of `ReidModel`; None if it is no such.

    Takes what the strong baseline's code writes: "base.", "bottleneck." and "classifier.".
    """
    if not any(key.startswith("base.") for key in state):
        return None
    return _renamed(state, _PUBLISHED)


def to_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A `ReidModel`'s weights under the published names; what has none there is left out."""
    back = tuple((own, published) for published, own in _PUBLISHED)
    known = {k: v for k, v in state.items() if k.startswith(tuple(own for own, _ in back))}
    return _renamed(known, back)


def _renamed(state: Mapping[str, Tensor], names: Sequence[tuple[str, str]]) -> dict[str, Tensor]:
    renamed = {}
    for key, value in state.items():
        for old, new in names:
            if key.startswith(old):
                key = new + key.removeprefix(old)
                break
        renamed[key] = value
    return renamed


def explain(wrong: Sequence[str], state: Mapping[str, Tensor]) -> str:
    """The likely cause when weights do not fit the model, for the message."""
    if wrong and all(key.startswith("pooling.") for key in wrong):
        has = any(key.startswith("pooling.") for key in state)
        return f": say --model.pooling {'gem' if has else 'average'}"
    return hint(wrong, state)


LAYOUT = Layout(from_published, explain)
"""What is known of checkpoints from elsewhere."""


def without_persons(weights: Trained) -> Trained:
    """The weights without those that only training needs, which fit no other training set."""
    kept = {k: v for k, v in weights.state.items() if not k.startswith(TRAINING_ONLY)}
    return replace(weights, state=kept)


def person_rows(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights that depend on the persons trained on, a row for each."""
    return {key: value for key, value in state.items() if key.startswith(TRAINING_ONLY)}


def start_from(model: ReidModel, config: Config) -> None:
    """Give a fresh model the weights that --weights or --finetune names, if any.

    The model keeps its own classifier and centers: no two training sets have the same persons.

    Raises:
        UserError, WeightsError: they cannot be read or do not fit.
    """
    if config.weights is not None:
        trained.load_trunk(model.backbone, config.weights)
    if config.finetune is not None:
        source = trained.read("--finetune", config.finetune, LAYOUT.translate)
        flag = f"--finetune {config.finetune}"
        weights = with_new_classes(model, source, person_rows, (), (), flag)
        trained.load(model, weights, LAYOUT.explain)
