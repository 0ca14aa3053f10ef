"""Everything that can be set on the classification commands; the defaults are the sample run."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from common.commands.settings import ClassesConfig, TrainedFlags
from common.errors import UserError
from common.reading.orientation import Orientation
from common.training.optim import OptimizerConfig
from common.training.settings import EngineConfig, LoaderConfig


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """What is read, and how training varies it."""

    root: Path | None = None
    """Folder of the data set; none means the generated sample set."""
    format: Literal["folder", "shards"] = "folder"
    """folder (ROOT/SPLIT/CLASS/picture.jpg) or shards (ROOT/SPLIT/*.tar, WebDataset's layout)."""
    train_split: str = "train"
    """Split that is trained on."""
    val_split: str = "val"
    """Split that is scored."""
    val_list: Path | None = None
    """ImageNet's list of the validation pictures, where these lie in one folder; see the README."""
    classes: Path | None = None
    """A file with a name and a title per line; none takes ROOT/classes.txt, if it is there."""
    input_size: int = 64
    """Height and width of the training pictures in pixels."""
    scale: tuple[float, float] = (0.6, 1.0)
    """Least and largest share of a picture's area that a random crop keeps."""
    ratio: tuple[float, float] = (0.75, 4 / 3)
    """Least and largest width over height of a random crop."""
    flip_probability: float = 0.5
    """Share of the samples that are mirrored."""
    randaugment: int = 0
    """Magnitude of RandAugment, such as 7 or 9, up to 10; 0 turns it off."""
    randaugment_operations: int = 2
    """RandAugment's operations on each picture."""
    decoding: Literal["fast", "exact"] = "fast"
    """Scaling of training crops: exact gives torchvision's pixels, fast nearly them, sooner."""
    orientation: Orientation | None = None
    """Pictures as stored, or upright as their EXIF says; none: sets stored, predict's upright."""
    on_error: Literal["stop", "skip"] = "stop"
    """On a damaged picture: stop with its name, or skip, count and list it."""

    def __post_init__(self) -> None:
        if self.input_size < 8:
            raise UserError(f"--data.input_size {self.input_size}: must be at least 8 pixels")
        for flag, (least, largest) in (("scale", self.scale), ("ratio", self.ratio)):
            if not 0 < least <= largest:
                raise UserError(
                    f"--data.{flag} {[least, largest]}: needs two rising numbers above 0"
                )
        if self.scale[1] > 1:
            raise UserError(f"--data.scale {list(self.scale)}: a crop is at most the whole, 1")
        if not 0 <= self.flip_probability <= 1:
            raise UserError(f"--data.flip_probability {self.flip_probability}: must be from 0 to 1")
        if not 0 <= self.randaugment <= 10:
            raise UserError(f"--data.randaugment {self.randaugment}: must be from 0 to 10")
        if self.randaugment_operations < 1:
            raise UserError(
                f"--data.randaugment_operations {self.randaugment_operations}: must be at least 1"
            )


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """How the backbone is built; its weights fit whatever is chosen here."""

    stem_stride: int = 2
    """Stride of the backbone's first convolution; 1 suits small pictures."""
    max_pool: bool = True
    """Whether a max pool of stride 2 follows it; false suits small pictures."""

    def __post_init__(self) -> None:
        if self.stem_stride not in (1, 2):
            raise UserError(f"--model.stem_stride {self.stem_stride}: must be 1 or 2")


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Targets softer than one class per picture."""

    label_smoothing: float = 0.0
    """Share of a target that is spread evenly over all classes."""
    mixup: float = 0.0
    """Alpha of mixup, which blends two pictures of a batch, such as 0.2; 0 turns it off."""
    cutmix: float = 0.0
    """Alpha of CutMix, which pastes a box of one picture into another, such as 1; 0 is off."""
    mix_probability: float = 1.0
    """Share of the batches that are mixed; with both alphas above 0, each half of the time."""

    def __post_init__(self) -> None:
        if not 0 <= self.label_smoothing < 1:
            raise UserError(
                f"--loss.label_smoothing {self.label_smoothing}: must be at least 0 and below 1"
            )
        for flag, alpha in (("mixup", self.mixup), ("cutmix", self.cutmix)):
            if not 0 <= alpha < math.inf:
                raise UserError(f"--loss.{flag} {alpha}: must not be negative or infinite")
        if not 0 <= self.mix_probability <= 1:
            raise UserError(f"--loss.mix_probability {self.mix_probability}: must be from 0 to 1")

    @property
    def mixes(self) -> bool:
        """Whether batches are mixed at all."""
        return (self.mixup > 0 or self.cutmix > 0) and self.mix_probability > 0


@dataclass(frozen=True, kw_only=True)
class ScoringConfig:
    """How a picture is brought to the network for its score: scaled, then its centre cut out."""

    input_size: int = 64
    """Height and width of the centre crop in pixels."""
    crop: float = 1.0
    """Crop over the picture's short side, such as 0.875: 224 pixels of 256."""
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    """Filter of the scaling."""
    subset: bool = False
    """Score a data set that lacks some of the model's classes."""

    def __post_init__(self) -> None:
        if self.input_size < 8:
            raise UserError(f"--test.input_size {self.input_size}: must be at least 8 pixels")
        if not 0.1 <= self.crop <= 1:
            raise UserError(f"--test.crop {self.crop}: must be from 0.1 to 1")


@dataclass(frozen=True, kw_only=True)
class Config(ClassesConfig):
    """Classification: with no flag at all, a small network on generated sample data."""

    out: Path = Path("runs/classification")
    """Run directory."""
    finetune: str | None = None
    """Start from a whole classifier, last layer included: the same sources as --weights."""
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    optimizer: OptimizerConfig = OptimizerConfig(
        name="adam", learning_rate=0.004, weight_decay=0.0, schedule="cosine", warmup_epochs=0.5
    )
    loader: LoaderConfig = LoaderConfig(workers=1)
    engine: EngineConfig = EngineConfig(epochs=12, batch_size=32, evaluate_every=4)
    test: ScoringConfig = ScoringConfig()

    def __post_init__(self) -> None:
        super().__post_init__()
        micro_batch = self.engine.batch_size // self.engine.accumulate
        if self.loss.mixes and micro_batch % 2:
            raise UserError(
                f"--engine.batch_size {self.engine.batch_size} in --engine.accumulate "
                f"{self.engine.accumulate} parts: --loss.mixup and --loss.cutmix mix pairs, so a "
                "part must be even"
            )


@dataclass(frozen=True, kw_only=True)
class ScoredConfig(TrainedFlags, Config):
    """A run's config together with what decides which of its models is used, and how."""
