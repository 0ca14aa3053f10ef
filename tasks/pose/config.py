"""Everything that can be set on the pose commands; the defaults are the run on sample data."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from common.commands.settings import RunConfig, SplitFlags, TrainedFlags
from common.errors import UserError
from common.reading.orientation import Orientation
from common.training.optim import OptimizerConfig
from common.training.settings import EngineConfig, LoaderConfig

STRIDE = 4
"""Input pixels per heat map pixel: the backbone's 32 over three doublings in the head."""


@dataclass(frozen=True, kw_only=True)
class DataConfig(SplitFlags):
    """What is read, how persons are cut out, and how training varies them."""

    root: Path | None = None
    """Folder of the data set; none means the generated sample set."""
    format: Literal["coco", "mpii", "yolo", "labelme"] = "coco"
    """mpii (16 joints; splits train and valid), or COCO's 17 as coco, yolo or labelme has them."""
    input_size: tuple[int, int] = (128, 96)
    """Height and width of a person's crop in pixels, multiples of 32."""
    padding: float = 1.1
    """Size of a crop over that of its box: 1.25 for published weights, from 1 on."""
    sigma: float = 1.2
    """Spread of the target Gaussians in heat map pixels."""
    colour: Literal["RGB", "BGR"] = "RGB"
    """Order of the channels: BGR for published pose weights, RGB for ImageNet ones."""
    coding: Literal["published", "unbiased"] = "unbiased"
    """Crop and heat map coordinates: as in published models, or unbiased (UDP)."""
    boxes: Path | None = None
    """A detector's box file for evaluation; none means the annotated boxes."""
    box_threshold: float = 0.0
    """Least score of a detector's box."""
    scale_factor: float = 0.1
    """Crops vary in size by this standard deviation and at most this much, below 1."""
    rotation: float = 0.0
    """Standard deviation of the rotation in degrees; at most twice of it."""
    rotation_probability: float = 0.6
    """Share of the samples that are rotated."""
    flip_probability: float = 0.5
    """Share of the samples that are mirrored."""
    half_body_probability: float = 0.0
    """Share of the samples that show the upper or lower body only."""
    orientation: Orientation | None = None
    """Pictures as stored, or upright as their EXIF says; none: sets stored, predict's upright."""
    on_error: Literal["stop", "skip"] = "stop"
    """On a damaged picture or annotation: stop with its name, or skip, count and list it."""

    @property
    def input_wh(self) -> tuple[int, int]:
        """Width and height of the crop."""
        return self.input_size[1], self.input_size[0]

    @property
    def heatmap_wh(self) -> tuple[int, int]:
        """Width and height of the heat maps."""
        return self.input_size[1] // STRIDE, self.input_size[0] // STRIDE

    @property
    def aspect(self) -> float:
        """Width over height of the crop."""
        return self.input_size[1] / self.input_size[0]

    @property
    def unbiased(self) -> bool:
        """Whether crops and heat maps are coded as in UDP."""
        return self.coding == "unbiased"

    def __post_init__(self) -> None:
        self.check_files(("coco", "yolo", "labelme"), self.format)
        if any(side <= 0 or side % 32 for side in self.input_size):
            raise UserError(
                f"--data.input_size is {list(self.input_size)}; height and width must be positive "
                "multiples of 32, such as [256, 192]"
            )
        if self.padding < 1:
            raise UserError(f"--data.padding is {self.padding}; it must be at least 1")
        if self.sigma <= 0:
            raise UserError(f"--data.sigma is {self.sigma}; it must be above 0")
        if not 0 <= self.scale_factor < 1:
            raise UserError(f"--data.scale_factor is {self.scale_factor}; it must be in [0, 1)")
        if self.rotation < 0:
            raise UserError(f"--data.rotation is {self.rotation}; it must be 0 or more degrees")
        for flag, probability in (
            ("rotation_probability", self.rotation_probability),
            ("flip_probability", self.flip_probability),
            ("half_body_probability", self.half_body_probability),
        ):
            if not 0 <= probability <= 1:
                raise UserError(f"--data.{flag} is {probability}; it must be from 0 to 1")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The head on the backbone."""

    head_channels: tuple[int, ...] = (128, 64, 64)
    """Channels of the three deconvolutions."""

    def __post_init__(self) -> None:
        if len(self.head_channels) != 3 or any(count <= 0 for count in self.head_channels):
            raise UserError(
                f"--model.head_channels is {list(self.head_channels)}; it takes three positive "
                "numbers, such as [256, 256, 256]"
            )


@dataclass(frozen=True, kw_only=True)
class ScoringConfig:
    """How heat maps become scored persons."""

    flip: bool = True
    """Average the heat maps with those of the mirrored crop."""
    shift: bool = True
    """Shift mirrored heat maps by a pixel, as published models need; unbiased coding does not."""
    nms: Literal["hard", "soft", "none"] = "hard"
    """How detections of one person are thinned out."""
    nms_threshold: float = 0.9
    """Object keypoint similarity above which two detections are one person."""
    joint_threshold: float = 0.2
    """Least score of a joint that counts for its person's score."""

    def __post_init__(self) -> None:
        for flag, threshold in (
            ("nms_threshold", self.nms_threshold),
            ("joint_threshold", self.joint_threshold),
        ):
            if not 0 <= threshold <= 1:
                raise UserError(f"--test.{flag} is {threshold}; it must be from 0 to 1")
        if self.nms == "soft" and self.nms_threshold == 0:
            raise UserError("--test.nms_threshold is 0; with --test.nms soft it must be above 0")


@dataclass(frozen=True, kw_only=True)
class Config(RunConfig):
    """Pose estimation: with no flag at all, a small network on generated sample data."""

    out: Path = Path("runs/pose")
    """Run directory."""
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    optimizer: OptimizerConfig = OptimizerConfig(
        name="adam", learning_rate=0.01, weight_decay=0.0, schedule="cosine", warmup_epochs=0.5
    )
    loader: LoaderConfig = LoaderConfig(workers=1)
    engine: EngineConfig = EngineConfig(epochs=10, batch_size=16, evaluate_every=10)
    test: ScoringConfig = ScoringConfig()


@dataclass(frozen=True, kw_only=True)
class ScoredConfig(TrainedFlags, Config):
    """A run's config together with what decides which of its models is used, and how."""
