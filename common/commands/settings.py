"""The settings that commands of all tasks share: of a run, and of a model that was trained."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from common.commands import zoo
from common.errors import UserError
from common.reading.records import SplitFiles
from common.training.optim import OptimizerConfig
from common.training.settings import EngineConfig, LoaderConfig


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """What every run has; a task gives the defaults of its sample run and adds its sections."""

    out: Path = Path("runs/run")
    """Run directory."""
    resume: bool = False
    """Continue the run in the run directory."""
    backbone: str = "res2net26_14w_4s_half"
    """A name of `python -m backbone.table`."""
    weights: str | None = None
    """Initial weights of the backbone: of a published model or trunk, a file, a run directory."""
    finetune: str | None = None
    """Start from a whole model of the task, head included: a run, a file, a published model."""
    freeze_backbone: bool = False
    """Train the head alone: the backbone stays as --weights or --finetune gives it, bit for bit."""
    optimizer: OptimizerConfig = OptimizerConfig()
    loader: LoaderConfig = LoaderConfig()
    engine: EngineConfig = EngineConfig()

    def __post_init__(self) -> None:
        if self.weights is not None and self.finetune is not None:
            raise UserError("--weights and --finetune: give one; --finetune brings its backbone")
        if self.freeze_backbone and self.source is None:
            raise UserError(
                "--freeze_backbone: would keep random numbers; give the weights of a trained "
                "backbone as --weights, or train all of it"
            )

    @property
    def source(self) -> str | None:
        """Where training began, for result cards; None from random weights."""
        return self.weights or self.finetune


@dataclass(frozen=True, kw_only=True)
class ClassesConfig(RunConfig):
    """What a run of a task with named classes has besides."""

    new_classes: bool = False
    """With --finetune: other classes; their layers begin anew but for classes of equal names."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.new_classes and self.finetune is None:
            raise UserError("--new_classes: belongs to --finetune; give a run or a file")


@dataclass(frozen=True, kw_only=True)
class TrainedFlags:
    """Which trained model a command takes, how it runs, and where its results go."""

    out: Path = Path("runs/results")
    """Folder of the results; unless given, the run directory or a folder in it."""
    run: Path | None = None
    """Run directory, or the name of a published model; its config is taken, and flags win."""
    checkpoint: str = "best"
    """best or last of the run, or a file: of this project, or in the published layout."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Precision of the forward pass."""
    compile: bool = False
    """Compile the network at its first picture of each size: a minute or so, then faster."""
    backend: Literal["torch", "onnxruntime", "auto"] = "torch"
    """What runs the trunk on a CPU: onnxruntime needs the extra `export`; auto takes the faster."""
    deploy: bool = True
    """Fold BatchNorm and fuse layers before inference: faster, with the same scores."""
    accept_licence: bool = False
    """Fetch a published model although its weights are not stated to be free for every use."""

    @property
    def folder(self) -> Path | None:
        """The run directory; None of a file and of a published model."""
        return None if zoo.named(self.run) else self.run


@dataclass(frozen=True, kw_only=True)
class SplitFlags:
    """Which splits of an annotated data set are taken, and where their files lie."""

    train_split: str = "train2017"
    """Split that is trained on: train2017 for COCO."""
    val_split: str = "val2017"
    """Split that is scored: val2017 for COCO."""
    train_annotations: Path | None = None
    """Annotations of the training split under any name; none looks for them by its name."""
    train_pictures: Path | None = None
    """Folder of its pictures; none looks for it."""
    val_annotations: Path | None = None
    """Annotations of the split that is scored; none looks for them by its name."""
    val_pictures: Path | None = None
    """Folder of its pictures; none looks for it."""

    def files(self, split: str) -> SplitFiles:
        """What is said of the files of one of the two splits."""
        if split == self.train_split and split != self.val_split:
            return SplitFiles(self.train_annotations, self.train_pictures, "train")
        return SplitFiles(self.val_annotations, self.val_pictures, "val")

    def check_files(self, formats: Sequence[str], format: str) -> None:
        """Refuse settings of files that contradict each other, or that a format does not have.

        Raises:
            UserError: the formats that have them are others; or one split has two files.
        """
        train = (self.train_annotations, self.train_pictures)
        val = (self.val_annotations, self.val_pictures)
        if format not in formats and any((*train, *val)):
            raise UserError(
                f"--data.train_annotations and the like belong to --data.format "
                f"{', '.join(formats)}, not to {format}"
            )
        if self.train_split == self.val_split and train != val and any(train):
            raise UserError(
                f"--data.train_split and --data.val_split are both {self.val_split}, with other "
                "files; give them different names"
            )
