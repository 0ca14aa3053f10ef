"""Everything that can be set on the volume commands; the defaults are the run on sample data."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from common.commands.settings import ClassesConfig, TrainedFlags
from common.errors import UserError
from common.networks.decoder import DecoderConfig
from common.training.optim import OptimizerConfig
from common.training.settings import EngineConfig, LoaderConfig

MOST_CLASSES = 254
"""Labels are bytes, of which 255 is ignored."""

Convention = Literal["surface_distance", "medpy"]
SplitName = Literal["train", "val", "all"]
Window = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """What is read, what the network sees of it, and how training varies it."""

    root: Path | None = None
    """Folder of the data set; none means the generated sample set."""
    format: Literal["dataset", "lits", "kits", "folders"] = "dataset"
    """dataset (dataset.json of the Medical Segmentation Decathlon or nnU-Net), lits
    (volume-N.nii, segmentation-N.nii), kits (case_N/imaging.nii.gz) or folders (of equal names)."""
    train_split: SplitName = "train"
    """Training split: the cases of all other folds, or all."""
    val_split: SplitName = "val"
    """Split that is scored: the cases of --fold, those of the others, or all."""
    folds: int = 5
    """Folds of the cases, drawn as nnU-Net draws them, where the set brings no split file."""
    splits: Path | None = None
    """JSON with a {train, val} of case names for each fold; none: splits_final.json in the root."""
    image_folder: str = "images"
    """folders: where the volumes lie under the root."""
    label_folder: str = "labels"
    """folders: where their labels lie."""
    channel: int = 0
    """dataset: channel of a case that has several, such as 1 for CASE_0001.nii.gz."""
    classes: tuple[str, ...] = ()
    """Names in the order of the labels, background first; none: those of dataset.json."""
    windows: tuple[Window, ...] = ((-100.0, 200.0),)
    """Lower and upper end in HU of what each slice is shown through."""
    slices: int = 3
    """Neighbouring slices that are seen through each window; channels are slices times windows."""
    slice_distance: float = 0.0
    """Millimetres between them, to the nearest slice; 0 takes the very next ones."""
    spacing: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Millimetres between slices, rows and columns that volumes are brought to; 0: their own."""
    crop_size: tuple[int, int] = (64, 64)
    """Height and width of a training sample in pixels."""
    crops_per_case: int = 32
    """Training samples that an epoch takes of each case."""
    foreground_share: float = 0.9
    """Share of the samples that lie around a voxel of a class, each class of the case as often."""
    rotation: float = 10.0
    """Training samples are turned by at most this, in degrees."""
    scales: tuple[float, float] = (0.85, 1.2)
    """Least and greatest scale in training."""
    flip_probability: float = 0.0
    """Share of the samples that are mirrored left to right; not where organs have sides."""
    shift: float = 10.0
    """HU by which the values of a sample are shifted at most."""
    noise: float = 10.0
    """HU of the noise that is added at most."""
    prepared: Path | None = None
    """Folder for cases that are ready to be cut, written once; none keeps them in memory."""
    on_error: Literal["stop", "skip"] = "stop"
    """On a damaged volume or label: stop with its name, or skip, count and list it."""

    def __post_init__(self) -> None:
        self._check_view()
        self._check_training()
        if self.folds < 2:
            raise UserError(f"--data.folds is {self.folds}; it must be 2 or more")
        if self.channel < 0:
            raise UserError(f"--data.channel is {self.channel}; it must be 0 or more")
        if len(set(self.classes)) < len(self.classes):
            raise UserError("--data.classes: two classes have the same name")
        if len(self.classes) == 1 or len(self.classes) > MOST_CLASSES:
            raise UserError(
                f"--data.classes has {len(self.classes)} names; it takes 2 to {MOST_CLASSES}, "
                "the background first"
            )

    def _check_view(self) -> None:
        if not self.windows or not all(low < high for low, high in self.windows):
            raise UserError(
                f"--data.windows is {[list(one) for one in self.windows]}; it takes pairs of a "
                "lower and an upper end in HU, such as [[-160, 240]]"
            )
        if self.slices < 1 or self.slices % 2 == 0:
            raise UserError(f"--data.slices is {self.slices}; it must be 1, 3, 5 or another odd")
        if not 0 <= self.slice_distance < 1000:
            raise UserError(
                f"--data.slice_distance is {self.slice_distance}; it must be 0 or more millimetres"
            )
        if not all(0 <= one < 1000 for one in self.spacing):
            raise UserError(
                f"--data.spacing is {list(self.spacing)}; it takes millimetres between slices, "
                "rows and columns, 0 for the volume's own, such as [0, 0.8, 0.8]"
            )

    def _check_training(self) -> None:
        if any(side <= 0 for side in self.crop_size) or self.crops_per_case < 1:
            raise UserError(
                f"--data.crop_size is {list(self.crop_size)} and --data.crops_per_case "
                f"{self.crops_per_case}; both must be positive"
            )
        for flag in ("foreground_share", "flip_probability"):
            if not 0 <= getattr(self, flag) <= 1:
                raise UserError(f"--data.{flag} is {getattr(self, flag)}; it must be from 0 to 1")
        if not 0 <= self.rotation <= 180:
            raise UserError(f"--data.rotation is {self.rotation}; it must be from 0 to 180 degrees")
        if not 0 < self.scales[0] <= self.scales[1] <= 100:
            raise UserError(
                f"--data.scales is {list(self.scales)}; it takes a least and a greatest scale "
                "above 0, such as [0.8, 1.2]"
            )
        for flag in ("shift", "noise"):
            if not 0 <= getattr(self, flag) < 10000:
                raise UserError(f"--data.{flag} is {getattr(self, flag)}; it must be 0 or more HU")

    @property
    def channels(self) -> int:
        """Channels that the network is given."""
        return self.slices * len(self.windows)


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """What is minimised."""

    cross_entropy: float = 1.0
    """Weight of the cross-entropy."""
    dice: float = 1.0
    """Weight of the Dice loss."""

    def __post_init__(self) -> None:
        for flag in ("cross_entropy", "dice"):
            if not getattr(self, flag) >= 0:
                raise UserError(f"--loss.{flag} is {getattr(self, flag)}; it must be 0 or more")
        if self.cross_entropy + self.dice == 0:
            raise UserError("--loss.cross_entropy and --loss.dice are both 0; one must be above")


@dataclass(frozen=True, kw_only=True)
class ScoringConfig:
    """How a volume is segmented, and by which rules it is scored."""

    batch_size: int = 8
    """Slices that go through the network together."""
    window: tuple[int, int] | None = None
    """Height and width of overlapping windows within a slice; none takes whole slices."""
    overlap: float = 0.5
    """Share of a window that the next one repeats, at least."""
    smoothing: float = 0.0
    """Deviation in slices of the Gaussian by which neighbouring slices' answers are averaged."""
    flip: bool = False
    """Average with the mirrored answer of the mirrored slices; not where organs have sides."""
    largest_component: tuple[str, ...] = ()
    """Classes of which only the largest piece is kept."""
    regions: dict[str, tuple[int, ...]] | None = None
    """Scored regions by the labels they hold, {liver: [1, 2], tumour: [2]}; none: each class."""
    lesions: tuple[str, ...] = ("lesion", "tumour", "tumor", "cancer")
    """Regions of these names are scored piece by piece as well."""
    lesion_overlap: float = 0.0
    """A lesion is found if its IoU with what touches it is above this: 0.5 for LiTS."""
    distances: Convention = "surface_distance"
    """Definition of HD95 and ASD: surface elements and their areas, or medpy's border voxels."""
    tolerance: float = 2.0
    """Millimetres up to which surfaces agree, for NSD."""
    empty_dice: Literal["leave_out", "one"] = "leave_out"
    """A region that is neither there nor found: does not count, or has Dice 1, as in LiTS."""
    empty_distance: Literal["diagonal", "leave_out"] = "diagonal"
    """A region that is missed or made up: its distances are the volume's diagonal, or left out."""

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise UserError(f"--test.batch_size is {self.batch_size}; it must be 1 or more")
        if self.window is not None and min(self.window) < 8:
            raise UserError(f"--test.window is {list(self.window)}; sides must be 8 pixels or more")
        for flag in ("overlap", "lesion_overlap"):
            if not 0 <= getattr(self, flag) < 1:
                raise UserError(f"--test.{flag} is {getattr(self, flag)}; it must be in [0, 1)")
        if not 0 <= self.smoothing <= 10:
            raise UserError(f"--test.smoothing is {self.smoothing}; it must be from 0 to 10 slices")
        if not self.tolerance >= 0:
            raise UserError(f"--test.tolerance is {self.tolerance}; it must be 0 or more mm")


@dataclass(frozen=True, kw_only=True)
class Config(ClassesConfig):
    """Organs and tumours on CT: with no flag at all, a small network on generated phantoms."""

    out: Path = Path("runs/volumes")
    """Run directory."""
    fold: int = 0
    """Which fold of the cases is held out and scored, from 0 on."""
    data: DataConfig = DataConfig()
    model: DecoderConfig = DecoderConfig(decoder="unet", output_stride=32, channels=128)
    loss: LossConfig = LossConfig()
    optimizer: OptimizerConfig = OptimizerConfig(
        name="adamw", learning_rate=0.003, weight_decay=0.01, schedule="poly", warmup_epochs=0.5
    )
    loader: LoaderConfig = LoaderConfig(workers=1)
    engine: EngineConfig = EngineConfig(epochs=16, batch_size=8, evaluate_every=8)
    test: ScoringConfig = ScoringConfig()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fold < 0:
            raise UserError(f"--fold is {self.fold}; it must be 0 or more")


@dataclass(frozen=True, kw_only=True)
class ScoredConfig(TrainedFlags, Config):
    """A run's config together with what decides which of its models is used, and how."""
