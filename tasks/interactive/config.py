"""Everything that can be set on the interactive commands; the defaults are the run on samples."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from common.commands.settings import RunConfig, SplitFlags, TrainedFlags
from common.errors import UserError
from common.reading.orientation import Orientation
from common.reading.voc_maps import AUGMENTED
from common.training.optim import OptimizerConfig
from common.training.settings import EngineConfig, LoaderConfig

Format = Literal["voc", "sbd", "coco", "grabcut", "berkeley", "davis", "folders"]
MaskKind = Literal["half", "band", "positive", "objects"]
NetworkName = Literal["late", "fcanet"]
Place = Literal["deepest", "random"]


@dataclass(frozen=True, kw_only=True)
class DataConfig(SplitFlags):
    """What is read, and how training varies it."""

    root: Path | None = None
    """Folder of the data set; none means the generated sample set."""
    format: Format = "voc"
    """voc (SegmentationObject), sbd (inst), coco (polygons), grabcut, berkeley, davis (folders as
    they are circulated), or folders (of equal names)."""
    train_split: str = "train"
    """Split that is trained on; voc: trainaug with --data.sbd, all but VOC's val, as FCA-Net."""
    val_split: str = "val"
    """Split whose objects are scored."""
    val_root: Path | None = None
    """Folder of the set that is scored; none: the same as is trained on."""
    val_format: Format | None = None
    """Its format; none: the same."""
    sbd: Path | None = None
    """voc: benchmark_RELEASE/dataset of SBD, whose objects join VOC's in the split trainaug."""
    image_folder: str = "{split}/img"
    """folders: where the pictures lie under the root."""
    mask_folder: str = "{split}/gt"
    """folders: where their masks lie."""
    masks: MaskKind = "half"
    """folders: what a mask says: half (object from 128 on), band (the same, but 128 is ignored),
    positive (all but 0), objects (one number for each, 255 ignored)."""
    least_area: int = 0
    """Objects of fewer pixels are not trained on; all are scored."""
    ignored: Literal["background", "ignored"] = "ignored"
    """What ignored pixels are in training: left out of the loss, or background as in FCA-Net's."""
    short_side: int = 128
    """Short side in pixels that pictures are resized to, everywhere; 0 takes their own. A network
    finds objects of the sizes that it was trained on."""
    crop_size: tuple[int, int] = (112, 112)
    """Height and width of a training sample in pixels; it always shows some of the object."""
    flip_probability: float = 0.5
    """Share of the training samples that are mirrored."""
    scales: tuple[float, float] = (0.8, 1.25)
    """Least and greatest factor on the size of a training picture."""
    brightness: tuple[float, float] = (0.8, 1.2)
    """Least and greatest factor on its brightness, and on each colour within half of that."""
    orientation: Orientation | None = None
    """Pictures as stored, or upright as their EXIF says; none: sets stored, predict's upright."""
    on_error: Literal["stop", "skip"] = "stop"
    """On a damaged picture or mask: stop with its name, or skip, count and list it."""

    def __post_init__(self) -> None:
        self.check_files(("coco",), self.format if self.format == "coco" else self.scored_format)
        if self.short_side < 0 or self.least_area < 0:
            raise UserError("--data.short_side and --data.least_area: must be 0 or more pixels")
        if any(side <= 0 for side in self.crop_size):
            raise UserError(
                f"--data.crop_size is {list(self.crop_size)}; height and width must be positive, "
                "such as [384, 384]"
            )
        if not 0 <= self.flip_probability <= 1:
            raise UserError(
                f"--data.flip_probability is {self.flip_probability}; it must be from 0 to 1"
            )
        for flag in ("scales", "brightness"):
            least, greatest = getattr(self, flag)
            if not 0 < least <= greatest < 100:
                raise UserError(
                    f"--data.{flag} is {[least, greatest]}; it takes a least and a greatest "
                    "factor above 0, such as [0.8, 1.25]"
                )
        other = self.val_root is not None or self.scored_format != self.format
        if other and self.train_split == self.val_split:
            raise UserError(
                f"--data.train_split and --data.val_split are both {self.val_split}, of two data "
                "sets; link one of them under another name"
            )
        if self.sbd is not None and (self.format, self.train_split) != ("voc", AUGMENTED):
            raise UserError("--data.sbd: belongs to --data.format voc --data.train_split trainaug")

    @property
    def scored_format(self) -> Format:
        """Of the set that is scored."""
        return self.val_format or self.format


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Where the clicks enter, and what is behind them."""

    network: NetworkName = "late"
    """late (the trunk sees the picture once, clicks enter behind it), or fcanet (Lin et al., CVPR
    2020: clicks enter before it)."""
    channels: int = 32
    """Width of the head; fcanet: 256."""
    atrous_rates: tuple[int, int, int] = (6, 12, 18)
    """fcanet: dilations of its pyramid: 6, 12, 18 as released, 5, 9, 14 in training at 384."""
    freeze_batchnorm: bool = False
    """Keep the trunk's BatchNorm as its weights say, for small batches."""

    def __post_init__(self) -> None:
        least = {"late": 8, "fcanet": 16}[self.network]
        if self.channels < least or self.channels % 8:
            raise UserError(
                f"--model.channels is {self.channels}; {self.network} takes multiples of 8 from "
                f"{least} on"
            )
        if any(rate < 1 for rate in self.atrous_rates):
            raise UserError(f"--model.atrous_rates is {list(self.atrous_rates)}; from 1 on")


@dataclass(frozen=True, kw_only=True)
class ClickConfig:
    """How the clicks of a training sample are made."""

    positive: int = 10
    """Most clicks on the object, at least one."""
    negative: int = 10
    """Most clicks beside it."""
    decay: float = 0.6
    """How much rarer one click more is; 1: all numbers alike, as published."""
    corrections: int = 3
    """Most clicks that answer the network's own mistakes."""
    correction_probability: float = 0.7
    """Probability of each of them, if the one before is there."""
    threshold: float = 0.5
    """Of the masks that they answer; published: 0.2."""
    place: Place = "random"
    """Where in the largest mistake: at its deepest pixel, or at random where it is deep."""
    box_probability: float = 0.1
    """late: share of the samples that begin with a box around the object."""

    def __post_init__(self) -> None:
        if self.positive < 1 or min(self.negative, self.corrections) < 0:
            raise UserError(
                "--simulation.positive: must be at least 1; --simulation.negative and "
                "--simulation.corrections: at least 0"
            )
        if not 0 < self.decay <= 1:
            raise UserError(f"--simulation.decay is {self.decay}; it is above 0, and 1 at most")
        for flag in ("correction_probability", "threshold", "box_probability"):
            if not 0 <= getattr(self, flag) <= 1:
                raise UserError(f"--simulation.{flag} is {getattr(self, flag)}; it is from 0 to 1")


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """What is minimised."""

    name: Literal["focal", "clicks"] = "focal"
    """focal (normalised focal loss), or clicks (cross entropy that weighs more near clicks, and
    that of the first click's branch; FCA-Net)."""
    gamma: float = 2.0
    """focal: how much less sure pixels count."""

    def __post_init__(self) -> None:
        if not self.gamma >= 0:
            raise UserError(f"--loss.gamma is {self.gamma}; it must be 0 or more")


@dataclass(frozen=True, kw_only=True)
class ScoringConfig:
    """How masks are made of clicks, and how the robot clicks."""

    threshold: float = 0.5
    """Pixels of a higher probability are the object's."""
    structural: bool = False
    """Keep the connected parts of a mask that hold a positive click alone (FCA-Net's structural
    integrity)."""
    clicks: int = 20
    """Most clicks of the robot user."""
    place: Place = "deepest"
    """Where it clicks in the largest mistake: the deepest pixel, or at random where it is deep."""

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1:
            raise UserError(f"--test.threshold is {self.threshold}; it is between 0 and 1")
        if self.clicks < 1:
            raise UserError(f"--test.clicks is {self.clicks}; it must be at least 1")


@dataclass(frozen=True, kw_only=True)
class Config(RunConfig):
    """Interactive segmentation: with no flag at all, a small network on generated sample data."""

    out: Path = Path("runs/interactive")
    """Run directory."""
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    simulation: ClickConfig = ClickConfig()
    loss: LossConfig = LossConfig()
    optimizer: OptimizerConfig = OptimizerConfig(
        name="adamw", learning_rate=0.002, weight_decay=0.01, schedule="poly", warmup_epochs=0.5
    )
    loader: LoaderConfig = LoaderConfig(workers=1)
    engine: EngineConfig = EngineConfig(epochs=8, batch_size=16, evaluate_every=8)
    test: ScoringConfig = ScoringConfig()

    def __post_init__(self) -> None:
        super().__post_init__()
        data = self.data
        if self.loss.name == "clicks" and self.model.network != "fcanet":
            raise UserError("--loss.name clicks: needs the first click's branch of fcanet")
        if data.train_split == AUGMENTED and data.scored_format == "sbd":
            raise UserError(
                "--data.val_format sbd: the split trainaug, which this network is trained on, "
                "holds SBD's val; score it on grabcut, berkeley, davis or voc"
            )


@dataclass(frozen=True, kw_only=True)
class ScoredConfig(TrainedFlags, Config):
    """A run's config together with what decides which of its models is used, and how."""
