"""Everything that can be set on the panoptic commands; the defaults are the run on sample data."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from common.commands.settings import ClassesConfig, TrainedFlags
from common.errors import UserError
from common.training.optim import OptimizerConfig
from common.training.settings import EngineConfig, LoaderConfig
from tasks.detection import config as detection

GROUPS = 32
"""Of the channels that the semantic head normalises together."""

_WITH_MASKS = ("mask_rcnn", "cascade_mask_rcnn")


@dataclass(frozen=True, kw_only=True)
class DataConfig(detection.PicturesConfig):
    """What is read, in which size, and how training varies it."""

    format: Literal["coco", "cityscapes"] = "coco"
    """coco (a JSON file and PNG ids), or cityscapes (gtFine and leftImg8bit)."""
    instances: bool = False
    """Learn and score things by instances_SPLIT.json, whose outlines overlap, not by the PNG."""
    things: tuple[str, ...] = ()
    """Names of the countable classes that are trained on and scored; none takes all."""
    stuff: tuple[str, ...] = ()
    """Names of the others; what is neither counts as unlabelled."""
    thing_ids: tuple[int, ...] = ()
    """Ids of the things in the annotation file, which a run keeps for its own results."""
    stuff_ids: tuple[int, ...] = ()
    """Ids of the stuff there."""

    def __post_init__(self) -> None:
        self.check_files(("coco",), self.format)
        super().__post_init__()
        if bool(self.things) != bool(self.stuff):
            missing = "stuff" if self.things else "things"
            raise UserError(f"--data.{missing} is missing: --data.things and --data.stuff belong "
                            "together")  # fmt: skip
        names = [*self.things, *self.stuff]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise UserError(f"--data.things and --data.stuff: {twice!r} is named twice")
        if self.instances and self.format == "cityscapes":
            raise UserError("--data.instances: Cityscapes has no instances_*.json; leave it out")


@dataclass(frozen=True, kw_only=True)
class ModelConfig(detection.ModelConfig):
    """The detector on the backbone, and the semantic head beside it."""

    semantic_channels: int = 64
    """Width of the semantic head; 128 in every published recipe."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.detector not in _WITH_MASKS:
            raise UserError(
                f"--model.detector {self.detector}: things need masks and the levels from stride "
                f"4 on; take {' or '.join(_WITH_MASKS)}"
            )
        if self.semantic_channels < GROUPS or self.semantic_channels % GROUPS:
            raise UserError(
                f"--model.semantic_channels is {self.semantic_channels}; {GROUPS} groups of them "
                "are normalised, so it must be 32, 64, 96, 128 or another multiple of 32"
            )


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """What is minimised besides the detector's terms."""

    semantic: float = 0.5
    """Weight of the semantic head's cross-entropy."""

    def __post_init__(self) -> None:
        if not self.semantic >= 0:
            raise UserError(f"--loss.semantic is {self.semantic}; it must be 0 or more")


@dataclass(frozen=True, kw_only=True)
class ScoringConfig(detection.ScoringConfig):
    """Which detections count, and how they and the stuff become one map."""

    thing_score: float = 0.5
    """Least score of a thing in the map; mmdetection takes 0.6."""
    overlap: float = 0.5
    """A thing is left out if more than this share of its pixels belongs to better ones."""
    stuff_area: int = 256
    """Least pixels of a class of stuff in a picture; 4096 for COCO."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for flag in ("thing_score", "overlap"):
            if not 0 <= getattr(self, flag) <= 1:
                raise UserError(f"--test.{flag} is {getattr(self, flag)}; it must be from 0 to 1")
        if self.stuff_area < 0:
            raise UserError(f"--test.stuff_area is {self.stuff_area}; it must be 0 or more")


@dataclass(frozen=True, kw_only=True)
class Config(ClassesConfig):
    """Panoptic segmentation: with no flag at all, a small network on generated sample data."""

    out: Path = Path("runs/panoptic")
    """Run directory."""
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    optimizer: OptimizerConfig = OptimizerConfig(
        name="adamw", learning_rate=0.001, weight_decay=1e-4, schedule="cosine", warmup_epochs=0.5
    )
    loader: LoaderConfig = LoaderConfig(workers=1)
    engine: EngineConfig = EngineConfig(epochs=6, batch_size=4, evaluate_every=3)
    test: ScoringConfig = ScoringConfig()


@dataclass(frozen=True, kw_only=True)
class ScoredConfig(TrainedFlags, Config):
    """A run's config together with what decides which of its models is used, and how."""
