"""Everything that can be set on the segmentation commands; the defaults are the sample run."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from common.commands.settings import ClassesConfig, TrainedFlags
from common.errors import UserError
from common.networks.decoder import DecoderConfig
from common.reading.orientation import Orientation
from common.training.optim import OptimizerConfig
from common.training.settings import EngineConfig, LoaderConfig

MOST_CLASSES = 254
"""Labels are bytes, of which 255 is ignored and 254 belongs to no class."""

Colour = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """What is read, what its labels mean, and how training varies it."""

    root: Path | None = None
    """Folder of the data set; none means the generated sample set."""
    format: Literal["voc", "list", "folders"] = "voc"
    """voc, list (SPLIT.txt with a picture and its label a line) or folders (of equal names)."""
    train_split: str = "train"
    """Training split: train for VOC, or trainaug with --data.sbd."""
    val_split: str = "val"
    """Split that is scored."""
    sbd: Path | None = None
    """voc: benchmark_RELEASE/dataset of SBD, whose labels join VOC's in the split trainaug."""
    image_folder: str = "images/{split}"
    """folders: where a split's pictures lie under the root."""
    label_folder: str = "labels/{split}"
    """folders: where its label maps lie."""
    classes: tuple[str, ...] = ()
    """Names in the order of the labels; none: those of values or palette, or ROOT/classes.txt."""
    ignore_index: int = 255
    """Label value that is neither trained on nor scored."""
    values: tuple[int, ...] | dict[str, int | tuple[int, ...]] = ()
    """Label value of each class, or several by name: {road: [7, 8], car: 26}; none: 0, 1, 2, ..."""
    palette: tuple[Colour, ...] | dict[str, tuple[Colour, ...]] = ()
    """Red, green, blue of each class, or several by name, for masks that are colour pictures."""
    unknown: Literal["stop", "ignore"] = "stop"
    """Label values or colours of no class: an error, or ignored as void."""
    crop_size: tuple[int, int] = (96, 96)
    """Height and width of a training sample in pixels."""
    short_side: int = 96
    """Short side in pixels that training's scale 1 means; 0 takes the picture's own."""
    scales: tuple[float, float] = (0.8, 1.4)
    """Least and greatest scale in training."""
    flip_probability: float = 0.5
    """Share of the samples that are mirrored."""
    blur_probability: float = 0.0
    """Share of the samples that are blurred, by a deviation of up to a pixel."""
    orientation: Orientation | None = None
    """Pictures as stored, or upright as their EXIF says; none: sets stored, predict's upright."""
    on_error: Literal["stop", "skip"] = "stop"
    """On a damaged picture or label: stop with its name, or skip, count and list it."""

    def __post_init__(self) -> None:
        if any(side <= 0 for side in self.crop_size):
            raise UserError(
                f"--data.crop_size is {list(self.crop_size)}; height and width must be positive, "
                "such as [513, 513]"
            )
        if self.short_side < 0:
            raise UserError(f"--data.short_side is {self.short_side}; it must be 0 or more pixels")
        low, high = self.scales
        if not 0 < low <= high <= 100:
            raise UserError(
                f"--data.scales is {list(self.scales)}; it takes a least and a greatest scale, "
                "above 0 and at most 100, such as [0.5, 2.0]"
            )
        for flag in ("flip_probability", "blur_probability"):
            if not 0 <= getattr(self, flag) <= 1:
                raise UserError(f"--data.{flag} is {getattr(self, flag)}; it must be from 0 to 1")
        if self.sbd is not None and self.format != "voc":
            raise UserError(f"--data.sbd {self.sbd}: belongs to --data.format voc, not to others")
        self._check_labels()

    def _check_labels(self) -> None:
        if not 0 <= self.ignore_index <= 255:
            raise UserError(f"--data.ignore_index is {self.ignore_index}; it must be from 0 to 255")
        values = [value for entries in self.label_values for value in entries]
        colours = [colour for entries in self.label_colours for colour in entries]
        if any(not 0 <= value <= 255 for value in values):
            raise UserError("--data.values: label values must be from 0 to 255")
        if any(not 0 <= part <= 255 for colour in colours for part in colour):
            raise UserError("--data.palette: red, green and blue must be from 0 to 255")
        if len(set(values)) < len(values) or len(set(colours)) < len(colours):
            flag = "values" if len(set(values)) < len(values) else "palette"
            raise UserError(f"--data.{flag}: two classes have the same entry")
        self._check_names("values", self.values)
        self._check_names("palette", self.palette)
        if len(set(self.classes)) < len(self.classes):
            raise UserError("--data.classes: two classes have the same name")
        if len(self.classes) == 1 or len(self.classes) > MOST_CLASSES:
            raise UserError(
                f"--data.classes has {len(self.classes)} names; it takes 2 to {MOST_CLASSES}, "
                "the background among them if there is one"
            )

    def _check_names(self, flag: str, given: Collection[Any]) -> None:
        names = self.named_classes
        if isinstance(given, dict) and set(given) != set(names):
            raise UserError(
                f"--data.{flag}: is of {', '.join(map(str, given))}, but the classes are "
                f"{', '.join(names)}; it takes an entry for each"
            )
        if isinstance(given, dict) and not all(entry or entry == 0 for entry in given.values()):
            raise UserError(f"--data.{flag}: a class has no entry; it takes at least one for each")
        if given and names and len(given) != len(names):
            raise UserError(
                f"--data.{flag} has {len(given)} entries for {len(names)} classes; it takes one "
                "for each"
            )

    @property
    def named_classes(self) -> tuple[str, ...]:
        """The classes, or else those that values or palette name, in their order."""
        named = next((one for one in (self.values, self.palette) if isinstance(one, dict)), {})
        return self.classes or tuple(str(name) for name in named)

    @property
    def label_values(self) -> tuple[tuple[int, ...], ...]:
        """The values of each class, in the order of the classes; empty where none are given."""
        if not isinstance(self.values, dict):
            return tuple((value,) for value in self.values)
        entries = [self.values.get(name, ()) for name in self.named_classes]
        return tuple((entry,) if isinstance(entry, int) else entry for entry in entries)

    @property
    def label_colours(self) -> tuple[tuple[Colour, ...], ...]:
        """The colours of each class, in the order of the classes; empty where none are given."""
        if not isinstance(self.palette, dict):
            return tuple((colour,) for colour in self.palette)
        return tuple(self.palette.get(name, ()) for name in self.named_classes)


@dataclass(frozen=True, kw_only=True)
class ModelConfig(DecoderConfig):
    """The head on the backbone."""

    auxiliary: bool = True
    """A second classifier on the fourth stage, in training only; see --loss.auxiliary."""


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """What is minimised."""

    cross_entropy: float = 1.0
    """Weight of the cross-entropy."""
    dice: float = 1.0
    """Weight of the Dice loss."""
    auxiliary: float = 0.4
    """Weight of the auxiliary classifier's cross-entropy, if the model has one."""
    hard_threshold: float = 1.0
    """Online hard example mining: only pixels whose class has less probability; 1 takes all."""
    hard_share: float = 0.1
    """Share of a picture's pixels that is taken in any case, the hardest."""

    def __post_init__(self) -> None:
        for flag in ("cross_entropy", "dice", "auxiliary"):
            if not getattr(self, flag) >= 0:
                raise UserError(f"--loss.{flag} is {getattr(self, flag)}; it must be 0 or more")
        if self.cross_entropy + self.dice == 0:
            raise UserError("--loss.cross_entropy and --loss.dice are both 0; one must be above")
        for flag in ("hard_threshold", "hard_share"):
            if not 0 < getattr(self, flag) <= 1:
                raise UserError(f"--loss.{flag} is {getattr(self, flag)}; it must be in (0, 1]")


@dataclass(frozen=True, kw_only=True)
class ScoringConfig:
    """How a picture becomes a label map."""

    short_side: int = 96
    """Pictures are resized to this short side before the network; 0 leaves them as they are."""
    scales: tuple[float, ...] = (1.0,)
    """Scales whose probabilities are averaged."""
    flip: bool = False
    """Average the probabilities with those of the mirrored picture."""
    window: tuple[int, int] | None = None
    """Height and width of sliding windows, for pictures too large for one pass."""
    overlap: float = 0.33
    """Share of a window that the next one repeats."""

    def __post_init__(self) -> None:
        if self.short_side < 0:
            raise UserError(f"--test.short_side is {self.short_side}; it must be 0 or more pixels")
        if not self.scales or not all(0 < scale <= 100 for scale in self.scales):
            raise UserError(
                f"--test.scales is {list(self.scales)}; it takes scales above 0 and at most 100, "
                "such as [1.0]"
            )
        if self.window is not None and min(self.window) < 1:
            raise UserError(
                f"--test.window is {list(self.window)}; height and width must be positive"
            )
        if not 0 <= self.overlap < 1:
            raise UserError(f"--test.overlap is {self.overlap}; it must be in [0, 1)")


@dataclass(frozen=True, kw_only=True)
class Config(ClassesConfig):
    """Semantic segmentation: with no flag at all, a small network on generated sample data."""

    out: Path = Path("runs/segmentation")
    """Run directory."""
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    optimizer: OptimizerConfig = OptimizerConfig(
        name="adam", learning_rate=0.01, weight_decay=0.0, schedule="poly", warmup_epochs=0.5
    )
    loader: LoaderConfig = LoaderConfig(workers=1)
    engine: EngineConfig = EngineConfig(epochs=10, batch_size=8, evaluate_every=5)
    test: ScoringConfig = ScoringConfig()


@dataclass(frozen=True, kw_only=True)
class ScoredConfig(TrainedFlags, Config):
    """A run's config together with what decides which of its models is used, and how."""
