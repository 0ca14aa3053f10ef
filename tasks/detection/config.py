"""Everything that can be set on the detection commands; the defaults are the sample run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from common.commands.settings import ClassesConfig, SplitFlags, TrainedFlags
from common.errors import UserError
from common.reading.orientation import Orientation
from common.training.optim import OptimizerConfig
from common.training.settings import EngineConfig, LoaderConfig
from tasks.detection.conventions import CONVENTIONS, Conventions, Name

DetectorName = Literal[
    "faster_rcnn", "mask_rcnn", "cascade_rcnn", "cascade_mask_rcnn", "htc", "retinanet", "fcos"
]
Resize = Literal["area", "linear"]
_SINGLE_STAGE = ("retinanet", "fcos")


@dataclass(frozen=True, kw_only=True)
class PicturesConfig(SplitFlags):
    """Which pictures are read, and in which size; also of tasks that build on a detector."""

    root: Path | None = None
    """Folder of the data set; none means the generated sample set."""
    short_sides: tuple[int, ...] = (96,)
    """Short sides in pixels that training draws from; several make it multi-scale."""
    test_short_side: int = 96
    """Short side in pixels of the pictures that are scored."""
    longest_side: int = 1333
    """No picture becomes longer than this, its short side then stays below; 0: no limit."""
    resize: Resize = "area"
    """How pictures shrink: area averages; linear, as in mmdetection, reads single pixels."""
    flip_probability: float = 0.5
    """Share of the training samples that are mirrored."""
    group_by_aspect: bool = True
    """Each training batch holds only landscape or only portrait pictures, which pads less."""
    orientation: Orientation | None = None
    """Pictures as stored, or upright as their EXIF says; none: sets stored, predict's upright."""
    on_error: Literal["stop", "skip"] = "stop"
    """On a damaged picture or annotation: stop with its name, or skip, count and list it."""

    def __post_init__(self) -> None:
        if not self.short_sides or min(self.short_sides) < 1:
            raise UserError(
                f"--data.short_sides is {list(self.short_sides)}; it takes one or more lengths in "
                "pixels, such as [640, 672, 704, 736, 768, 800]"
            )
        for flag, least in (("test_short_side", 1), ("longest_side", 0)):
            if getattr(self, flag) < least:
                raise UserError(
                    f"--data.{flag} is {getattr(self, flag)}; it must be {least} or more"
                )
        longest_short = max(*self.short_sides, self.test_short_side)
        if 0 < self.longest_side < longest_short:
            raise UserError(
                f"--data.longest_side is {self.longest_side}; it must be at least the greatest "
                f"short side, {longest_short}"
            )
        self.check_share("flip_probability")

    def check_share(self, flag: str) -> None:
        """Refuse a share that is none.

        Raises:
            UserError: it is not from 0 to 1.
        """
        if not 0 <= getattr(self, flag) <= 1:
            raise UserError(f"--data.{flag} is {getattr(self, flag)}; it must be from 0 to 1")


@dataclass(frozen=True, kw_only=True)
class DataConfig(PicturesConfig):
    """What is read, in which size, and how training varies it."""

    format: Literal["coco", "voc", "yolo", "labelme"] = "coco"
    """coco (also as tools export it), voc (boxes only; trainval and test), yolo or labelme."""
    classes: tuple[str, ...] = ()
    """Names of the classes, label 1 first, that are trained on and scored; none takes all."""
    category_ids: tuple[int, ...] = ()
    """Ids of these classes in the annotation file, which a run keeps for its own detections."""
    masks: bool = True
    """Read the objects' outlines too; without, boxes alone."""
    colour: Literal["RGB", "BGR"] = "RGB"
    """Order of the channels: RGB for ImageNet weights, BGR for weights made by Caffe."""
    jitter: tuple[float, float] | None = None
    """Large-scale jitter, such as [0.1, 2.0]: scales relative to crop_size, for short_sides."""
    crop_size: tuple[int, int] = (1024, 1024)
    """Height and width of a training sample under --data.jitter."""
    copy_paste_probability: float = 0.0
    """Share of the training samples that get objects of another picture pasted in."""
    keep_empty: bool = False
    """Train on pictures without objects too, as negatives."""

    def __post_init__(self) -> None:
        self.check_files(("coco", "yolo", "labelme"), self.format)
        super().__post_init__()
        if len(set(self.classes)) < len(self.classes):
            raise UserError("--data.classes: two classes have the same name")
        self.check_share("copy_paste_probability")
        if self.jitter is not None and not 0 < self.jitter[0] <= self.jitter[1]:
            raise UserError(
                f"--data.jitter is {list(self.jitter)}; it takes a least and a greatest scale "
                "above 0, such as [0.1, 2.0]"
            )
        if min(self.crop_size) < 1:
            raise UserError(
                f"--data.crop_size is {list(self.crop_size)}; height and width must be positive"
            )
        self._check_masks()

    def _check_masks(self) -> None:
        if self.copy_paste_probability and not self.masks:
            raise UserError(
                "--data.copy_paste_probability cuts objects out by their masks; it needs "
                "--data.masks true"
            )
        if self.format == "voc" and self.masks:
            raise UserError(
                "--data.format voc has boxes only; say --data.masks false, with a detector without "
                "masks, such as --model.detector faster_rcnn"
            )


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The detector on the backbone."""

    detector: DetectorName = "mask_rcnn"
    """Two stages (masks or none), a cascade of three heads, htc (hybrid cascade), or one stage."""
    conventions: Name = "torchvision"
    """Two stages: how anchors, features and masks are placed, and how a cascade votes."""
    channels: int = 64
    """Width of the feature pyramid and the heads; 256 in every published recipe."""
    box_channels: int = 128
    """Two stages: width of the two layers that look at a box; 1024 in every published recipe."""
    anchor_size: int = 16
    """Side in pixels of the smallest anchors, which doubles at each level; published: 32."""
    proposals: tuple[int, int] = (200, 100)
    """Two stages: proposals of a picture in training and in testing; published: 2000 and 1000."""
    samples: int = 32
    """Two stages: proposals of a picture that a head learns from; 512 in published recipes."""
    frozen_stages: int = 0
    """Stem and stages that do not learn: 2 in published recipes, the stem and the first stage."""
    frozen_batchnorm: bool = False
    """Keep the backbone's BatchNorm as it is in --weights, as tiny batches need."""

    @property
    def masks(self) -> bool:
        """Whether the detector draws masks."""
        return "mask" in self.detector or self.detector == "htc"

    @property
    def boxes_only(self) -> str:
        """The name of the same detector without masks."""
        with_masks = {
            "mask_rcnn": "faster_rcnn",
            "cascade_mask_rcnn": "cascade_rcnn",
            "htc": "cascade_rcnn",
        }
        return with_masks.get(self.detector, self.detector)

    @property
    def cascade(self) -> bool:
        """Whether it has three heads in a row."""
        return "cascade" in self.detector or self.detector == "htc"

    @property
    def rules(self) -> Conventions:
        """What the conventions' name stands for."""
        return CONVENTIONS[self.conventions]

    def __post_init__(self) -> None:
        if self.detector in _SINGLE_STAGE and self.conventions != "torchvision":
            raise UserError(
                f"--model.conventions {self.conventions}: is for detectors of two stages; "
                f"{self.detector} has torchvision's alone"
            )
        for flag in ("channels", "box_channels", "anchor_size", "samples"):
            if getattr(self, flag) < 1:
                raise UserError(f"--model.{flag} is {getattr(self, flag)}; it must be 1 or more")
        if self.detector == "fcos" and (self.channels % 32 or self.channels < 64):
            raise UserError(
                f"--model.channels is {self.channels}; fcos normalises 32 groups of them, so it "
                "must be 64, 96, 128 or another multiple of 32"
            )
        if min(self.proposals) < 1:
            raise UserError(
                f"--model.proposals is {list(self.proposals)}; it takes two positive numbers, such "
                "as [2000, 1000]"
            )
        if not 0 <= self.frozen_stages <= 5:
            raise UserError(
                f"--model.frozen_stages is {self.frozen_stages}; it must be from 0 (none) to 5 "
                "(the whole backbone)"
            )


@dataclass(frozen=True, kw_only=True)
class ScoringConfig:
    """Which detections count, and how they are scored."""

    score_threshold: float = 0.05
    """Least score of a detection."""
    nms_threshold: float = 0.5
    """Overlap (IoU) with a better one of its class at which a detection is dropped."""
    detections: int = 100
    """Most detections of a picture; COCO counts the best 100."""
    mask_threshold: float = 0.5
    """Least probability of a mask's pixels."""
    scorer: Literal["pycocotools", "hotcoco"] = "pycocotools"
    """What computes AP: the reference, or the fast one of the extra `fast`, which agrees."""

    def __post_init__(self) -> None:
        for flag in ("score_threshold", "nms_threshold", "mask_threshold"):
            if not 0 <= getattr(self, flag) <= 1:
                raise UserError(f"--test.{flag} is {getattr(self, flag)}; it must be from 0 to 1")
        if self.detections < 1:
            raise UserError(f"--test.detections is {self.detections}; it must be 1 or more")


class DetectorConfig(Protocol):
    """What the settings of a run say of its detector; also of tasks that build on one."""

    @property
    def model(self) -> ModelConfig:
        """Which it is."""
        ...

    @property
    def test(self) -> ScoringConfig:
        """Which of its detections count."""
        ...

    @property
    def source(self) -> str | None:
        """Where training began."""
        ...


@dataclass(frozen=True, kw_only=True)
class Config(ClassesConfig):
    """Object detection: with no flag at all, a small Mask R-CNN on generated sample data."""

    out: Path = Path("runs/detection")
    """Run directory."""
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    optimizer: OptimizerConfig = OptimizerConfig(
        name="adamw", learning_rate=0.001, weight_decay=1e-4, schedule="cosine", warmup_epochs=0.5
    )
    loader: LoaderConfig = LoaderConfig(workers=1)
    engine: EngineConfig = EngineConfig(epochs=6, batch_size=4, evaluate_every=3)
    test: ScoringConfig = ScoringConfig()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.model.masks and not self.data.masks:
            raise UserError(
                f"--data.masks false: --model.detector {self.model.detector} learns masks; say "
                f"--model.detector {self.model.boxes_only}, or --data.masks true"
            )


@dataclass(frozen=True, kw_only=True)
class ScoredConfig(TrainedFlags, Config):
    """A run's config together with what decides which of its models is used, and how."""
