"""Everything that can be set on the speaker commands; the defaults are the run on sample data."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from common.commands.settings import RunConfig, TrainedFlags
from common.errors import UserError
from common.training.optim import OptimizerConfig
from common.training.settings import EngineConfig, LoaderConfig
from tasks.speaker.features import RATE, SHORTEST, Channel, Window, frames_of

LONGEST = 3600
"""Seconds to which recordings may be cut at most."""

Scoring = Literal["cosine", "mean", "s-norm", "as-norm"]


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """What is read, and how training varies it."""

    root: Path | None = None
    """Folder of the data set; none means the generated sample set."""
    train: Path = Path("dev/wav")
    """Below the root: a folder of speakers, a list of `speaker path`, or a folder of Kaldi."""
    trials: tuple[Path, ...] = (Path("veri_test.txt"),)
    """Below the root: trial lists in VoxCeleb or Kaldi form; the first chooses the best epoch."""
    audio: tuple[Path, ...] = (Path("test/wav"), Path("dev/wav"), Path("wav"), Path("."))
    """Folders below the root where the files of lists are looked for, in this order."""
    channel: Channel = "mean"
    """Of recordings with several channels: their mean, or the first as 3D-Speaker takes it."""
    seconds: float = 2.0
    """Length of a training crop; a shorter utterance is repeated."""
    speeds: tuple[float, ...] = (1.0,)
    """Speeds of playing, drawn by chance; each one makes new speakers. Begins with 1.0."""
    noise: Path | None = None
    """MUSAN, a folder with noise, music and speech; absolute or below the root."""
    rooms: Path | None = None
    """Room impulse responses (RIRS_NOISES/simulated_rirs); absolute or below the root."""
    augment_probability: float = 0.6
    """Share of the crops with noise or a room, where these folders are given: half each."""
    dither: float = 0.0
    """Standard deviation of white noise in steps of 16-bit samples, in training; Kaldi has 1."""
    time_mask: int = 0
    """SpecAugment: hides up to so many frames at a place; 0 turns it off."""
    frequency_mask: int = 0
    """SpecAugment: hides up to so many mel bins; 0 turns it off."""
    mask_probability: float = 0.6
    """Share of the crops with these masks."""
    on_error: Literal["stop", "skip"] = "stop"
    """On a damaged recording: stop with its name, or skip, count and list it."""

    def __post_init__(self) -> None:
        if not 0.5 <= self.seconds <= LONGEST:
            raise UserError(
                f"--data.seconds is {self.seconds}; it must be at least 0.5, at most {LONGEST}"
            )
        if not self.trials:
            raise UserError("--data.trials is empty; name at least one trial list")
        if not self.speeds or self.speeds[0] != 1.0 or len(set(self.speeds)) < len(self.speeds):
            raise UserError(
                f"--data.speeds is {list(self.speeds)}; it must begin with 1.0 and name each speed "
                "once, such as [1.0, 0.9, 1.1]"
            )
        if any(not 0.5 <= speed <= 2 for speed in self.speeds):
            raise UserError(f"--data.speeds is {list(self.speeds)}; each must be from 0.5 to 2")
        for flag, probability in (
            ("augment_probability", self.augment_probability),
            ("mask_probability", self.mask_probability),
        ):
            if not 0 <= probability <= 1:
                raise UserError(f"--data.{flag} is {probability}; it must be from 0 to 1")
        for flag, amount in (
            ("dither", self.dither),
            ("time_mask", self.time_mask),
            ("frequency_mask", self.frequency_mask),
        ):
            if not amount >= 0:
                raise UserError(f"--data.{flag} is {amount}; it must not be negative")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Features, and what stands around the backbone."""

    bins: int = 80
    """Mel filters."""
    window: Window = "hamming"
    """Window of a frame: hamming (WeSpeaker) or povey (Kaldi's default, 3D-Speaker)."""
    wave_scale: float = 32768.0
    """What samples of -1..1 are multiplied by: 32768 as in WeSpeaker, 1 as in 3D-Speaker."""
    width: int | None = 16
    """Channels of the stem; none means the backbone's own (64, 32 of a half and a small one)."""
    stem_stride: int = 2
    """Stride of the stem, in time and frequency; the small nets have 1."""
    strides: tuple[int, int, int, int] = (2, 2, 2, 1)
    """Strides of the four stages, in time and frequency."""
    pooling: Literal["statistics", "attentive"] = "statistics"
    """How frames become one vector: mean and deviation, or both weighted by attention."""
    floor: float = 1e-7
    """Added to the variance under the deviation's root: 1e-7 as WeSpeaker, 1e-8 as 3D-Speaker."""
    embedding: int = 128
    """Numbers of an embedding; published models have 256 or 192."""
    centred: bool = True
    """Batch-normalise embeddings, so that they share no direction; published small nets do not."""
    subcentres: int = 1
    """Centres of a training speaker; a sample counts with the nearest."""

    def __post_init__(self) -> None:
        for flag in ("bins", "stem_stride", "embedding", "subcentres"):
            if getattr(self, flag) < 1:
                raise UserError(f"--model.{flag} is {getattr(self, flag)}; it must be at least 1")
        if self.width is not None and self.width < 4:
            raise UserError(f"--model.width is {self.width}; it must be at least 4")
        for flag in ("wave_scale", "floor"):
            if not getattr(self, flag) > 0:
                raise UserError(f"--model.{flag} is {getattr(self, flag)}; it must be above 0")
        if min(self.strides) < 1:
            raise UserError(
                f"--model.strides is {list(self.strides)}; it takes four numbers from 1 on"
            )
        most = frames_of(round(SHORTEST * RATE)) - 1
        if self.frames_joined > most:
            raise UserError(
                f"--model.stem_stride {self.stem_stride} and --model.strides "
                f"{list(self.strides)} join {self.frames_joined} frames into one, but a recording "
                f"of {SHORTEST:g} s must leave two; their product may be at most {most}"
            )

    @property
    def frames_joined(self) -> int:
        """Frames of features that become one of the backbone's."""
        return self.stem_stride * math.prod(self.strides)


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Softmax over the training speakers' cosines, with a margin for the right one."""

    name: Literal["aam", "am"] = "aam"
    """aam adds the margin to the angle (ArcFace), am takes it off the cosine (CosFace)."""
    margin: float = 0.1
    """Margin at the end: radians for aam."""
    scale: float = 16.0
    """What cosines are multiplied by at the end."""
    initial_margin: float = 0.0
    """Margin up to the first epoch of the ramp."""
    initial_scale: float | None = None
    """Scale up to the first epoch of the ramp; none means the final one."""
    ramp: tuple[float, float] = (4.0, 10.0)
    """Epochs, counted from 0, between which margin and scale go from first to last value."""
    ramp_shape: Literal["exponential", "linear"] = "exponential"
    """exponential goes fast at first, to a thousandth of the way at the end (WeSpeaker)."""

    def __post_init__(self) -> None:
        for flag in ("margin", "initial_margin"):
            if not 0 <= getattr(self, flag) <= 1.5:
                raise UserError(f"--loss.{flag} is {getattr(self, flag)}; it must be from 0 to 1.5")
        for flag, scale in (("scale", self.scale), ("initial_scale", self.initial_scale)):
            if scale is not None and not scale > 0:
                raise UserError(f"--loss.{flag} is {scale}; it must be above 0")
        if not 0 <= self.ramp[0] <= self.ramp[1]:
            raise UserError(
                f"--loss.ramp is {list(self.ramp)}; it takes the first and the last epoch of the "
                "change, such as [20, 40]"
            )


@dataclass(frozen=True, kw_only=True)
class ScoringConfig:
    """How trials are scored."""

    seconds: tuple[float, ...] = (0.0, 2.0, 3.0, 4.0)
    """Lengths to which utterances are cut for a score each; 0 is their full length."""
    cut: Literal["both", "test"] = "both"
    """Whether both recordings of a trial are cut, or only the second."""
    scoring: Scoring = "cosine"
    """What the headline score, the threshold and predict use; the others are listed as well."""
    top: int = 300
    """as-norm: cohort speakers nearest to a recording; at most all."""
    cohort_utterances: int = 4
    """Utterances of each training speaker for mean, cohort and calibration; 0 takes all."""
    calibration: Path | None = None
    """Trial list below the root to calibrate on; none makes trials of training speakers."""
    shared_names: Literal["refuse", "allow"] = "refuse"
    """Trials of speakers who are named as training speakers; allow where these are other people."""

    def __post_init__(self) -> None:
        if not self.seconds or not all(s == 0 or 0.5 <= s <= LONGEST for s in self.seconds):
            raise UserError(
                f"--test.seconds is {list(self.seconds)}; each must be 0 (full length) or at least "
                f"0.5, at most {LONGEST}"
            )
        if self.top < 2:
            raise UserError(
                f"--test.top is {self.top}; it must be at least 2, as one score has no deviation"
            )
        if self.cohort_utterances < 0:
            raise UserError(
                f"--test.cohort_utterances is {self.cohort_utterances}; it must not be negative"
            )


@dataclass(frozen=True, kw_only=True)
class Config(RunConfig):
    """Speaker verification: with no flag at all, a small network on generated sample data."""

    out: Path = Path("runs/speaker")
    """Run directory."""
    backbone: str = "res2net26_14w_4s_half"
    """A name of `python -m backbone.table`, wespeaker_res2net34, wespeaker_resnet34, or of the
    ERes2Nets: eres2net, eres2net_common, eres2netv2, eres2netv2_w24s4ep4."""
    weights: str | None = None
    """Initial weights of the backbone, which may be for pictures: a name, a file or a run."""
    finetune: str | None = None
    """Start from a whole speaker model, class weights included: a run directory or a file."""
    new_speakers: bool = False
    """With --finetune: the training speakers are others, so their class weights begin anew."""
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig(bins=64)
    loss: LossConfig = LossConfig()
    optimizer: OptimizerConfig = OptimizerConfig(
        name="adam", learning_rate=0.006, weight_decay=0.0, schedule="cosine", warmup_epochs=1.0
    )
    loader: LoaderConfig = LoaderConfig(workers=1)
    engine: EngineConfig = EngineConfig(epochs=16, batch_size=16, evaluate_every=8)
    test: ScoringConfig = ScoringConfig()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.new_speakers and self.finetune is None:
            raise UserError("--new_speakers: belongs to --finetune; give a run or a file")


@dataclass(frozen=True, kw_only=True)
class ScoredConfig(TrainedFlags, Config):
    """A run's config together with what decides which of its models is used, and how."""
