"""Everything that can be set on the saliency commands; the defaults are the run on sample data."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from common.commands.settings import RunConfig, TrainedFlags
from common.errors import UserError
from common.reading.orientation import Orientation
from common.training.optim import OptimizerConfig
from common.training.settings import EngineConfig, LoaderConfig
from tasks.salient.model import NetworkName, Normalisation
from tasks.salient.transforms import Fit


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """What is read, how pictures become inputs, and how training varies them.

    A set of pictures is named in one of three ways: the name of a folder in --data.root (DUTS-TR,
    ECSSD, ...), NAME=PICTURES:MASKS with two folders, or a list file (.lst, .txt) with a picture
    and its mask on each line.
    """

    root: Path | None = None
    """Folder that holds the data sets; none means the generated sample set."""
    train_set: str = "DUTS-TR"
    """Set that is trained on."""
    test_sets: tuple[str, ...] = ("DUTS-TE",)
    """Sets that are scored; the first one also chooses the best checkpoint."""
    edge_set: str = "edges"
    """Set of edge maps that the edge branch is trained on, if the model has one."""
    fit: Fit = "stretch"
    """Size of the inputs: the picture's own, or input_size by stretching or by padding; scale
    stretches in training and then keeps the aspect, the short side as long as input_size's."""
    input_size: tuple[int, int] = (112, 112)
    """Height and width of the inputs unless they are native."""
    resampling: Literal["area", "antialiased"] = "area"
    """Resizing: averaged when shrunk, else bilinear; or Pillow's bilinear filter (as many nets)."""
    colour: Literal["RGB", "BGR"] = "RGB"
    """Order of the channels: BGR for Caffe's weights, RGB for the others."""
    flip_probability: float = 0.5
    """Share of the training pictures that are mirrored."""
    least_crop: float = 1.0
    """Training pictures are cut to this share of their sides at least; 1 leaves them whole."""
    light: float = 0.0
    """Training pictures vary in brightness and contrast by at most this share."""
    allow_empty: bool = False
    """Whether a mask may be black all over; otherwise it is taken for damaged."""
    orientation: Orientation | None = None
    """Pictures as stored, or upright as their EXIF says; none: sets stored, predict's upright."""
    on_error: Literal["stop", "skip"] = "stop"
    """On a damaged picture or mask: stop with its name, or skip, count and list it."""

    def __post_init__(self) -> None:
        if any(side < 1 for side in self.input_size):
            raise UserError(
                f"--data.input_size is {list(self.input_size)}; height and width must be positive, "
                "such as [320, 320]"
            )
        if not self.test_sets:
            raise UserError("--data.test_sets is empty; name at least one, such as '[ECSSD]'")
        if not 0 <= self.flip_probability <= 1:
            raise UserError(
                f"--data.flip_probability is {self.flip_probability}; it must be from 0 to 1"
            )
        if not 0 < self.least_crop <= 1:
            raise UserError(f"--data.least_crop is {self.least_crop}; it must be in (0, 1]")
        if not 0 <= self.light < 1:
            raise UserError(f"--data.light is {self.light}; it must be in [0, 1)")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The head on the backbone, how it takes pixels, and how its maps are finished."""

    network: NetworkName = "poolnet"
    """PoolNet, or a network for polyps (pranet), lung infection (infnet), camouflage (sinetv2),
    cut-outs (senet, inspyrenet)."""
    head_width: float = 0.125
    """Factor on the published channels of the head (512, 512, 256, 256, 128 for PoolNet)."""
    head_batchnorm: bool = True
    """poolnet: BatchNorm in the head, which trains faster from random weights; published: none."""
    edge: bool = False
    """poolnet: whether there is an edge branch, trained with --data.edge_set."""
    normalisation: Normalisation = "imagenet"
    """imagenet (mean and deviation of 0..1) or caffe (mean of 0..255, for BGR)."""
    multiple: int = 1
    """Inputs are padded to multiples of this with the mean colour: 32 as in the other tasks."""
    freeze_batchnorm: bool = False
    """Keep the backbone's BatchNorm as its weights say: needed with single pictures a batch."""
    resize_maps: Literal["logits", "probabilities", "levels"] = "probabilities"
    """What is brought from the input's size to the picture's, bilinearly; levels are 0..255."""
    stretch_maps: bool = False
    """Whether each picture's map is stretched, so that its least value is 0 and its greatest 1."""

    def __post_init__(self) -> None:
        if self.edge and self.network != "poolnet":
            raise UserError(
                f"--model.edge true: {self.network} has no edge branch that learns from "
                "--data.edge_set; leave it out, or say --model.network poolnet"
            )
        if self.multiple < 1:
            raise UserError(f"--model.multiple is {self.multiple}; it must be 1 or more pixels")
        if not 0 < self.head_width <= 16:
            raise UserError(
                f"--model.head_width is {self.head_width}; it must be above 0, at most 16"
            )


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """What is minimised."""

    main: Literal["cross_entropy", "structure"] = "cross_entropy"
    """Of every map: cross entropy, or the structure loss (weighted near borders) of PraNet."""
    sides: float = 1.0
    """Weight of the loss of each coarser map, where the network has them; 0 leaves it out."""
    contour: float = 1.0
    """Weight of the outlines' cross entropy, where the network has them; 0 leaves it out."""
    reduction: Literal["sum", "mean"] = "mean"
    """Cross entropies are summed over a picture's pixels, as published, or averaged."""
    iou: float = 1.0
    """Weight of 1 - intersection over union; 0 leaves it out."""
    ssim: float = 0.0
    """Weight of 1 - structural similarity; 0 leaves it out."""

    def __post_init__(self) -> None:
        for flag in ("sides", "contour", "iou", "ssim"):
            if not getattr(self, flag) >= 0:
                raise UserError(f"--loss.{flag} is {getattr(self, flag)}; it must be 0 or more")


@dataclass(frozen=True, kw_only=True)
class Config(RunConfig):
    """Salient object detection: with no flag at all, a small network on generated sample data."""

    out: Path = Path("runs/salient")
    """Run directory."""
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    optimizer: OptimizerConfig = OptimizerConfig(
        name="adam", learning_rate=0.003, weight_decay=0.0, schedule="cosine", warmup_epochs=0.3
    )
    loader: LoaderConfig = LoaderConfig(workers=1)
    engine: EngineConfig = EngineConfig(epochs=8, batch_size=16, evaluate_every=8)

    def check(self, ranks: int) -> None:
        """Refuse batches that cannot be: pictures of different sizes do not stack.

        Raises:
            UserError: inputs of native size in micro-batches of several, or single ones that a
                network cannot normalise.
        """
        single = self.engine.accumulate * ranks == self.engine.batch_size
        if single and self.model.network == "senet":
            raise UserError(
                "--model.network senet: normalises one value of each picture over those that go "
                f"through it together, which is one with --engine.batch_size "
                f"{self.engine.batch_size}, --engine.accumulate {self.engine.accumulate} and "
                f"{ranks} processes; two are needed: say a greater --engine.batch_size"
            )
        if self.data.fit == "native" and not single:
            each = max(1, self.engine.batch_size // ranks)
            batch = each * ranks
            flag = "say" if batch == self.engine.batch_size else f"say --engine.batch_size {batch}"
            raise UserError(
                "--data.fit native: pictures of different sizes go through the network one by one; "
                f"with --engine.batch_size {self.engine.batch_size} and {ranks} processes {flag} "
                f"--engine.accumulate {each}"
            )


@dataclass(frozen=True, kw_only=True)
class ScoredConfig(TrainedFlags, Config):
    """A run's config together with what decides which of its models is used, and how."""
