"""A run's data: `read` lists all of it, the data sets give crops to train on or what is embedded.

What is listed is of `material`: trial lists (`trials`) and training speakers (`speakers`).
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from common.errors import DamagedFile, UserError
from common.reading.left_out import LeftOut
from tasks.speaker import audio, sample
from tasks.speaker.audio import Recording, Wave
from tasks.speaker.config import Config, DataConfig
from tasks.speaker.features import RATE, SHORTEST, Channel
from tasks.speaker.kaldi import FILES, directory_of
from tasks.speaker.learnt import Learnt, shared_names
from tasks.speaker.material import Material, TrialSet
from tasks.speaker.noise import Disturbances, find_disturbances
from tasks.speaker.speakers import Speakers, find_files, read_speakers
from tasks.speaker.transforms import dither, fit, is_silent, mask_positions
from tasks.speaker.trials import read_trials, speaker_of


def read(config: Config, learnt: Learnt | None = None, need_speakers: bool = True) -> Material:
    """Trial lists and training speakers, checked against each other; recordings are read later.

    Args:
        config: names root, training speakers and lists.
        learnt: whom the model learnt before; None if nobody knows.
        need_speakers: without them the lists are still read if --data.train is not there.

    Raises:
        UserError: files are missing or of another form, or training knows what is to be scored.
    """
    data = config.data
    root = root_of(config)
    there = need_speakers or (root / data.train).exists()
    require = data.on_error == "stop"
    speakers = read_speakers(root, data.train, data.audio, require) if there else None
    sets = tuple(read_set(root, file, data.audio, require) for file in data.trials)
    calibration = None
    if config.test.calibration is not None:
        calibration = read_set(root, config.test.calibration, data.audio, require)
    _refuse_equal_names(sets)
    known = [] if learnt is None else [learnt]
    if speakers is not None:
        known.append(Learnt(speakers.source, frozenset(speakers.names)))
    shared: set[str] = set()
    if calibration is not None:
        shared |= _shared([calibration], known, config)
        known.append(_tried(calibration))
    shared |= _shared(sets, known, config)
    if speakers is not None:
        for one in (*sets, *([calibration] if calibration else [])):
            _refuse_trained_on(speakers, one)
    return Material(root, sets, speakers, calibration, frozenset(shared))


def training_files(config: Config) -> Sequence[str]:
    """Recordings that a run of this config is trained on. Raises UserError as `read` does."""
    data = config.data
    return read_speakers(root_of(config), data.train, data.audio, False).files


def _shared(lists: Iterable[TrialSet], known: Iterable[Learnt], config: Config) -> set[str]:
    """Speakers of the lists that are known by name. Raises UserError unless they may be."""
    allowed = config.test.shared_names == "allow"
    pairs = [(other, _tried(one)) for one in lists for other in known]
    return {name for other, one in pairs for name in shared_names(other, one, allowed)}


def _tried(one: TrialSet) -> Learnt:
    return Learnt(one.trials.file, one.speakers)


def _refuse_equal_names(sets: Sequence[TrialSet]) -> None:
    """Refuse lists of one name, as their results would have one name."""
    for one in sets:
        same = [other.trials.file for other in sets if other.name == one.name]
        if len(same) > 1:
            raise UserError(
                f"--data.trials: {same[0]} and {same[1]} are both called {one.name}, and so would "
                "their results be; give one of them another name"
            )


def _refuse_trained_on(speakers: Speakers, one: TrialSet) -> None:
    """Refuse recordings that are trained on as well, whatever their speakers are called."""
    trained = set(speakers.files)
    both = [file for file in map(str, one.files) if file in trained]
    if both:
        raise UserError(
            f"{one.trials.file}: {len(both)} of its {len(one.files)} recordings are training "
            f"recordings of {speakers.source}, such as {both[0]}; scores of voices that the model "
            "knows mean nothing"
        )


def root_of(config: Config) -> Path:
    """--data.root, or the folder of the generated sample set without one."""
    return config.data.root or sample.sample_set()


def read_set(root: Path, file: Path, folders: Sequence[Path], require: bool) -> TrialSet:
    """A list of files, or of utterances of the data directory that is beside it or in `folders`.

    Raises:
        UserError: it is missing or of another form, or a recording is missing and `require` is set.
    """
    source = root / file
    trials = read_trials(source)
    places = [source.parent, *(root / folder for folder in folders)]
    directory = directory_of(trials.recordings, source, places)
    if directory is None:
        files = find_files(trials.recordings, root, folders, source, require)
        return TrialSet(trials, tuple(files), frozenset(map(speaker_of, trials.recordings)))
    paths = [directory.files[name] for name in trials.recordings]
    found = find_files(paths, root, folders, directory.folder / FILES, require)
    speakers = (directory.speakers.get(name, speaker_of(name)) for name in trials.recordings)
    return TrialSet(trials, tuple(found), frozenset(speakers))


class TrainSet:
    """Crops of the speakers' utterances; common.training.sampling draws from it.

    Speeds make speakers: with S of them, label `s + k * S` is speaker s at the k-th speed.
    """

    def __init__(
        self, speakers: Speakers, config: DataConfig, bins: int, disturbances: Disturbances
    ) -> None:
        self.speakers, self.config, self.bins = speakers, config, bins
        self.disturbances = disturbances

    @property
    def classes(self) -> int:
        """Number of labels."""
        return len(self.speakers.names) * len(self.config.speeds)

    def __len__(self) -> int:
        """Number of utterances."""
        return len(self.speakers)

    def sample(self, index: int, generator: np.random.Generator) -> dict[str, Any]:
        """Wave (N,) float32 of -1..1, masks (4,) to hide (transforms.mask_positions), label, index.

        Raises DamagedFile when the recording cannot be read or is silent.
        """
        config = self.config
        kind = int(generator.integers(len(config.speeds)))
        speed = config.speeds[kind]
        length = round(config.seconds * RATE)
        with audio.opened(Path(self.speakers.files[index]), config.channel) as recording:
            # One sample more than needed, because lengths at other rates are rounded.
            wave = _crop(recording, config.seconds * speed + 1 / RATE, generator)
        wave = fit(audio.change_speed(wave, speed), length)
        wave = self.disturbances.apply(wave, generator)
        wave = dither(wave, config.dither, generator)
        return {
            "wave": wave,
            "masks": mask_positions(length, self.bins, config, generator),
            "label": int(self.speakers.labels[index]) + kind * len(self.speakers.names),
            "index": index,
        }


def training_set(speakers: Speakers, root: Path, config: Config) -> TrainSet:
    """The speakers' crops with the augmentations of the config.

    Raises:
        UserError: --data.noise or --data.rooms is not there.
    """
    disturbances = find_disturbances(root, config.data)
    return TrainSet(speakers, config.data, config.model.bins, disturbances)


class ScoringSet(Dataset[dict[str, Any] | None]):
    """Whole recordings, or their first seconds, to be embedded one by one.

    A recording that cannot be read is None when `data.on_error` is "skip", and reported on stderr.
    """

    def __init__(self, files: Sequence[Path | str], data: DataConfig, seconds: float = 0.0) -> None:
        self.files, self.data, self.seconds = files, data, seconds

    def __len__(self) -> int:
        """Number of recordings."""
        return len(self.files)

    def __getitem__(self, index: int) -> dict[str, Any] | None:
        """Wave (N,) float32 of -1..1 and index; N is the same for all if `seconds` is given."""
        with LeftOut(self.data.on_error):
            wave = load(Path(self.files[index]), self.data.channel, self.seconds)
            return {"wave": wave, "index": index}
        return None


def load(path: Path, channel: Channel, seconds: float = 0.0) -> Wave:
    """A recording (N,) for the model: its first `seconds`, or all of it if that is 0.

    Several channels become one as `channel` says.

    One that is shorter than asked for, or than SHORTEST, is repeated.

    Raises:
        DamagedFile: it cannot be read or is silent.
    """
    wave = audio.read(path, 0.0, seconds or None, channel)
    if is_silent(wave):
        part = "" if not seconds else f" in its first {seconds:g} s"
        raise DamagedFile(f"{path}: is silent{part}: all samples are equal")
    return fit(wave, round(seconds * RATE)) if seconds else long_enough(wave)


def long_enough(wave: Wave) -> Wave:
    """The samples (N,), repeated up to SHORTEST seconds if they are fewer."""
    return fit(wave, max(len(wave), round(SHORTEST * RATE)))


def _crop(recording: Recording, seconds: float, generator: np.random.Generator) -> Wave:
    """A part of a recording at a random place, or all of it if it is shorter."""
    latest = max(0.0, recording.seconds - seconds)
    wave = recording.read(generator.uniform(0, latest), seconds)
    if not is_silent(wave):
        return wave
    # Some recordings begin or pause with digital silence: then crop where there is sound.
    whole = recording.read()
    if is_silent(whole):
        raise DamagedFile(f"{recording.path}: is silent: all samples are equal")
    first = int(np.flatnonzero(whole != whole[0])[0])
    count = int(np.ceil(seconds * RATE))
    start = max(0, min(first, len(whole) - count))
    return whole[start : start + count]
