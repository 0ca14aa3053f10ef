"""Everything that can be set on the re-identification commands; the defaults are the sample run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from common.commands.settings import RunConfig, TrainedFlags
from common.errors import UserError
from common.reading.orientation import Orientation
from common.training.optim import OptimizerConfig
from common.training.settings import EngineConfig, LoaderConfig


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """What is read, and how training varies it."""

    root: Path | None = None
    """Folder (csv: file) that is scored, and trained on without train_sets; none: samples."""
    format: Literal["market", "msmt17", "cuhk03", "csv"] = "market"
    """Layout of root: market (Market-1501's folders and names), msmt17, cuhk03 or csv."""
    train_sets: tuple[str, ...] = ()
    """Sets that are trained on together instead of root, each as FORMAT:FOLDER."""
    train_split: Literal["train", "trainval"] = "train"
    """msmt17: train on list_train.txt alone, or with list_val.txt."""
    cuhk03_boxes: Literal["detected", "labeled"] = "detected"
    """cuhk03: crops of a detector, or drawn by hand."""
    input_size: tuple[int, int] = (64, 32)
    """Height and width in pixels to which every picture is scaled, multiples of 16."""
    pictures_per_person: int = 4
    """K: pictures of each person in a batch, which so holds P = batch_size / K persons."""
    flip_probability: float = 0.5
    """Share of the training pictures that are mirrored."""
    padding: int = 3
    """Black pixels around a training picture, out of which its own size is cut at random."""
    erase_probability: float = 0.0
    """Share of the training pictures with a rectangle erased (random erasing)."""
    orientation: Orientation | None = None
    """Pictures as stored, or upright as their EXIF says; none: sets stored, predict's upright."""
    on_error: Literal["stop", "skip"] = "stop"
    """On a damaged picture or a name that says no person: stop, or skip, count and list it."""

    def __post_init__(self) -> None:
        if any(side <= 0 or side % 16 for side in self.input_size):
            raise UserError(
                f"--data.input_size is {list(self.input_size)}; height and width must be positive "
                "multiples of 16, such as [256, 128]"
            )
        if self.pictures_per_person < 2:
            raise UserError(
                f"--data.pictures_per_person is {self.pictures_per_person}; it must be 2 or more, "
                "because a picture is pulled towards the others of its person"
            )
        if self.padding < 0:
            raise UserError(f"--data.padding is {self.padding}; it must be 0 or more pixels")
        for flag in ("flip_probability", "erase_probability"):
            if not 0 <= getattr(self, flag) <= 1:
                raise UserError(f"--data.{flag} is {getattr(self, flag)}; it must be from 0 to 1")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The head on the backbone."""

    pooling: Literal["average", "gem"] = "average"
    """Global average, or generalised mean with a trained exponent."""
    stem_relu: bool = True
    """ReLU after the stem; false for checkpoints of the published strong baseline, which left it
    out of its ResNet."""


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """What is minimised: identity loss, a loss of pairs, and the distance to class centers."""

    label_smoothing: float = 0.1
    """Share of the target that is spread over all persons."""
    pairs: Literal["triplet", "circle", "none"] = "triplet"
    """Batch-hard triplet loss, circle loss, or neither."""
    triplet_margin: float = 0.3
    """triplet: how much farther the nearest other person has to be, in Euclidean distance."""
    circle_margin: float = 0.25
    """circle: relaxation m of the cosine similarities."""
    circle_scale: float = 128.0
    """circle: scale gamma."""
    center_weight: float = 0.0
    """Weight of the center loss, such as 0.0005; 0 turns it off."""
    center_rate: float = 0.5
    """Learning rate of the centers."""

    def __post_init__(self) -> None:
        if not 0 <= self.label_smoothing < 1:
            raise UserError(
                f"--loss.label_smoothing is {self.label_smoothing}; it must be in [0, 1)"
            )
        for flag in ("triplet_margin", "center_weight", "center_rate"):
            if not getattr(self, flag) >= 0:
                raise UserError(f"--loss.{flag} is {getattr(self, flag)}; it must not be negative")
        if not 0 < self.circle_margin < 1:
            raise UserError(f"--loss.circle_margin is {self.circle_margin}; it must be in (0, 1)")
        if not self.circle_scale > 0:
            raise UserError(f"--loss.circle_scale is {self.circle_scale}; it must be above 0")


@dataclass(frozen=True, kw_only=True)
class ScoringConfig:
    """How pictures are compared."""

    feature: Literal["after", "before"] = "after"
    """The feature after or before the batch norm of the neck."""
    normalize: bool = True
    """Compare features of unit length, which ranks as the cosine does."""
    flip: bool = False
    """Average the features of a picture and of its mirror image."""
    expansion: int = 0
    """Query expansion: average a query with so many of its nearest gallery pictures."""
    expansion_power: float = 0.0
    """Weight of a neighbour: its cosine similarity to this power; 0 weighs all alike."""
    rerank: bool = False
    """k-reciprocal re-ranking."""
    rerank_k1: int = 20
    """Neighbours among which reciprocal ones are sought."""
    rerank_k2: int = 6
    """Neighbours over which the encoding is averaged."""
    rerank_weight: float = 0.3
    """Weight of the plain distance relative to the Jaccard distance."""

    def __post_init__(self) -> None:
        for flag in ("expansion", "expansion_power"):
            if not getattr(self, flag) >= 0:
                raise UserError(f"--test.{flag} is {getattr(self, flag)}; it must be 0 or more")
        for flag in ("rerank_k1", "rerank_k2"):
            if getattr(self, flag) < 1:
                raise UserError(f"--test.{flag} is {getattr(self, flag)}; it must be 1 or more")
        if self.rerank_k2 > self.rerank_k1 + 1:
            raise UserError(
                f"--test.rerank_k2 is {self.rerank_k2}; it must be at most rerank_k1 + 1, which is "
                f"{self.rerank_k1 + 1}"
            )
        if not 0 <= self.rerank_weight <= 1:
            raise UserError(f"--test.rerank_weight is {self.rerank_weight}; it must be from 0 to 1")


@dataclass(frozen=True, kw_only=True)
class Config(RunConfig):
    """Person re-identification: with no flag at all, a small network on generated sample data."""

    out: Path = Path("runs/reid")
    """Run directory."""
    finetune: str | None = None
    """Start from a whole model, a run directory or a checkpoint file; the classifier is new."""
    steady_rate: bool = False
    """Keep the learning rate through an epoch, counted from 1, as the published code does."""
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    optimizer: OptimizerConfig = OptimizerConfig(
        name="adam", learning_rate=4e-3, weight_decay=5e-4, schedule="cosine", warmup_epochs=1
    )
    loader: LoaderConfig = LoaderConfig(workers=1)
    engine: EngineConfig = EngineConfig(epochs=16, batch_size=64, evaluate_every=4)
    test: ScoringConfig = ScoringConfig(feature="before", flip=True)


@dataclass(frozen=True, kw_only=True)
class ScoredConfig(TrainedFlags, Config):
    """A run's config together with what decides which of its models is used, and how."""
