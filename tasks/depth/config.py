"""Everything that can be set on the depth commands; the defaults are the run on sample data."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from common.commands.settings import RunConfig, TrainedFlags
from common.errors import UserError
from common.reading.orientation import Orientation
from common.training.optim import OptimizerConfig
from common.training.settings import EngineConfig, LoaderConfig

DecoderName = Literal["light", "bts", "fusion"]
Alignment = Literal["none", "median", "least_squares"]
Crop = Literal["none", "eigen_nyu", "eigen_kitti", "garg"]


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """What is read, what its numbers mean in metres, and how training varies it."""

    root: Path | None = None
    """Folder of the data set; none means the generated sample set."""
    format: Literal["list", "folders"] = "list"
    """list (picture, depth and focal length a line, as BTS's) or folders (of equal names)."""
    train_split: str = "train"
    """Training split; list: NAME of ROOT/NAME.txt or .csv, or a list file."""
    val_split: str = "val"
    """Split that is scored."""
    image_folder: str = "{split}/rgb"
    """Where a split's pictures lie under the root; a list's paths may count from here."""
    depth_folder: str = "{split}/depth"
    """Where its depth maps lie; a list's paths may count from here."""
    depth_scale: float | None = None
    """Units of a metre: 1000 for NYU, 256 for KITTI; none: 1000 in whole numbers, 1 in others."""
    min_depth: float = 0.001
    """Metres; what is nearer is no measurement, and predictions are never nearer."""
    max_depth: float = 10.0
    """Metres; what is farther is neither learnt nor scored, and predictions are never farther."""
    focal: float | None = None
    """Focal length in pixels of pictures whose list does not tell it."""
    kb_crop: bool = False
    """Take the lowest 352 rows and the middle 1216 columns of each picture, as for KITTI."""
    short_side: int = 0
    """Short side in pixels that pictures are resized to, everywhere; 0 takes their own."""
    border: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Pixels that training cuts off at top, left, bottom, right: [45, 43, 8, 32] for NYU."""
    crop_size: tuple[int, int] = (96, 128)
    """Height and width of a training sample in pixels."""
    rotation: float = 0.0
    """Training pictures are turned by at most this, in degrees."""
    flip_probability: float = 0.5
    """Share of the training samples that are mirrored."""
    colour_probability: float = 0.5
    """Share of the training samples whose gamma, brightness and colours vary."""
    brightness: tuple[float, float] = (0.75, 1.25)
    """Least and greatest factor of their brightness; gamma and colours vary from 0.9 to 1.1."""
    orientation: Orientation | None = None
    """Pictures as stored, or upright as their EXIF says; none: sets stored, predict's upright."""
    on_error: Literal["stop", "skip"] = "stop"
    """On a damaged picture or depth map: stop with its name, or skip, count and list it."""

    def __post_init__(self) -> None:
        if self.depth_scale is not None and not 0 < self.depth_scale < 1e9:
            raise UserError(f"--data.depth_scale is {self.depth_scale}; it must be above 0")
        if not 0 < self.min_depth < self.max_depth < 1e6:
            raise UserError(
                f"--data.min_depth {self.min_depth} and --data.max_depth {self.max_depth}: must be "
                "above 0 metres, the second one the larger"
            )
        if self.focal is not None and not 0 < self.focal < 1e6:
            raise UserError(f"--data.focal is {self.focal}; it must be above 0 pixels")
        if self.short_side < 0 or min(self.border) < 0:
            raise UserError("--data.short_side and --data.border: must be 0 or more pixels")
        if any(side <= 0 for side in self.crop_size):
            raise UserError(
                f"--data.crop_size is {list(self.crop_size)}; height and width must be positive, "
                "such as [416, 544]"
            )
        if not 0 <= self.rotation <= 180:
            raise UserError(f"--data.rotation is {self.rotation}; it must be from 0 to 180 degrees")
        for flag in ("flip_probability", "colour_probability"):
            if not 0 <= getattr(self, flag) <= 1:
                raise UserError(f"--data.{flag} is {getattr(self, flag)}; it must be from 0 to 1")
        if not 0 < self.brightness[0] <= self.brightness[1] < 100:
            raise UserError(
                f"--data.brightness is {list(self.brightness)}; it takes a least and a greatest "
                "factor above 0, such as [0.75, 1.25]"
            )


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The head on the backbone."""

    decoder: DecoderName = "light"
    """bts (Lee et al., 2019), fusion (Hu et al., WACV 2019), or a light one for a CPU."""
    channels: int = 32
    """Width of the decoder; 512 in every published recipe."""
    multiple: int = 1
    """Inputs are padded to multiples of this with the mean colour: 32 as in the other tasks."""
    focal_reference: float = 0.0
    """Multiply depth by the picture's focal length over this one: 715.0873 for KITTI; 0: off."""
    freeze: Literal["none", "affine", "batchnorm"] = "none"
    """affine: the trunk's first convolution, and weight and bias of its blocks' BatchNorm, as in
    BTS; batchnorm: all of its BatchNorm, for small batches."""

    def __post_init__(self) -> None:
        least = {"light": 8, "bts": 128, "fusion": 32}[self.decoder]
        step = 8 if self.decoder == "light" else 32
        if self.channels < least or self.channels % step:
            raise UserError(
                f"--model.channels is {self.channels}; {self.decoder} takes multiples of {step} "
                f"from {least} on"
            )
        if self.multiple < 1:
            raise UserError(f"--model.multiple is {self.multiple}; it must be 1 or more pixels")
        if not self.focal_reference >= 0:
            raise UserError(
                f"--model.focal_reference is {self.focal_reference}; it must be 0 or more pixels"
            )


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """What is minimised."""

    name: Literal["silog", "hu", "ssi"] = "silog"
    """silog (scale-invariant logarithmic), hu (depth, gradient, normal), ssi (without metres)."""
    least_depth: float = 0.1
    """Metres; nearer pixels are not learnt: 0.1 for NYU, 1.0 for KITTI."""
    balance: float = 0.85
    """silog: share of the squared mean that is taken off; 1 ignores the scale."""
    gradient: float = 1.0
    """hu: weight of the gradient term; ssi: of the gradient matching, published 0.5."""
    normal: float = 1.0
    """hu: weight of the normal term."""

    def __post_init__(self) -> None:
        for flag in ("least_depth", "gradient", "normal"):
            if not getattr(self, flag) >= 0:
                raise UserError(f"--loss.{flag} is {getattr(self, flag)}; it must be 0 or more")
        if not 0 <= self.balance <= 1:
            raise UserError(f"--loss.balance is {self.balance}; it must be from 0 to 1")


@dataclass(frozen=True, kw_only=True)
class ScoringConfig:
    """How a depth map is made of a picture, and which of its pixels are scored."""

    crop: Crop = "none"
    """Scored part: Eigen's for NYU (480x640) or KITTI, or Garg's."""
    kb: Literal["paste", "cut"] = "paste"
    """With --data.kb_crop: score in the whole picture, as BTS's last script, or cut the ground
    truth first, as its online evaluation and AdaBins do: other pixels."""
    align: Alignment = "none"
    """Bring every prediction to its ground truth: by the ratio of medians, or by least squares
    (scale and shift) in inverse depth."""
    flip: bool = False
    """Average with the mirrored prediction of the mirrored picture."""


@dataclass(frozen=True, kw_only=True)
class Config(RunConfig):
    """Depth from one picture: with no flag at all, a small network on generated sample data."""

    out: Path = Path("runs/depth")
    """Run directory."""
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    optimizer: OptimizerConfig = OptimizerConfig(
        name="adamw", learning_rate=0.002, weight_decay=0.01, schedule="poly", warmup_epochs=0.5
    )
    loader: LoaderConfig = LoaderConfig(workers=1)
    engine: EngineConfig = EngineConfig(epochs=8, batch_size=8, evaluate_every=4)
    test: ScoringConfig = ScoringConfig()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.metric and self.test.align == "none":
            raise UserError(
                "--loss.name ssi: knows no metres, so that its depth cannot be scored as it is; "
                "say --test.align least_squares"
            )

    @property
    def metric(self) -> bool:
        """Whether the network gives metres; otherwise inverse depth of any scale and shift."""
        return self.loss.name != "ssi"


@dataclass(frozen=True, kw_only=True)
class ScoredConfig(TrainedFlags, Config):
    """A run's config together with what decides which of its models is used, and how."""
