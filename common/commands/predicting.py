"""The loop of predict: read ahead, find, write; shared by ranks, and on disk at any time.

Three things happen at once: threads read and decode the next pictures, the main thread runs the
network, and other threads draw, encode and write what was found. Decoders, encoders and networks
let other threads run meanwhile; between processes every decoded picture would be copied.
"""

import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar, cast

from tqdm import tqdm

from common.commands import journal
from common.commands.inputs import Inputs, Source
from common.commands.journal import Entry, Finished, Journal
from common.errors import DamagedFile, UserError
from common.reading import image, video
from common.reading.image import Picture
from common.reading.left_out import LeftOut, OnError
from common.reading.orientation import Orientation
from common.training import distributed
from common.training.distributed import World

P = TypeVar("P", contravariant=True)
F = TypeVar("F")

Read = Callable[[Path], Any]
"""Reads an input; called in other threads than `Prediction.find`."""

_AHEAD = 2
"""Inputs that each reading thread is ahead by at most."""
_WRITERS = 2
"""Threads that draw and write at least: a PNG can take longer than the network's pass."""


class Prediction(Protocol[P, F]):
    """What the loop must know of a task.

    P is what is read of an input: a picture (H, W, 3), RGB, unless `each` is given another reader.
    """

    def find(self, source: Source, picture: P, frame: int | None) -> F:
        """What is in a picture; frame is the number of a video's, from 0 on."""
        ...

    def write(self, source: Source, picture: P, found: F) -> list[Entry]:
        """Write a picture's files; returns its entries in the list of results.

        Called in other threads than `find`.
        """
        ...

    def finish(self, entries: Sequence[Entry]) -> None:
        """Write the list of all results. Called once, or again after a stop, on the main rank."""
        ...


class FramePrediction(Prediction[Picture, F], Protocol):
    """What the loop must know besides of a task that takes videos."""

    def frame(
        self, source: Source, picture: Picture, found: F, frame: int
    ) -> tuple[Picture, list[Entry]]:
        """What is drawn of a video's frame, always in one size, and its entries."""
        ...

    def clip(self, source: Source, target: Path, frames: int) -> list[Entry]:
        """Entries of a whole video that was written to the target."""
        ...


class Done(NamedTuple):
    """What a command has done, over all ranks."""

    pictures: int
    videos: int
    """The camera's is one."""
    frames: int
    """Of all videos."""
    entries: list[Entry]
    """Of all inputs, with those of the parts that --resume went on from."""
    left_out: dict[str, int]
    """Inputs that could not be read, by kind."""

    def report(self, pictures: str = "pictures") -> None:
        """Print how many inputs could not be read, if any; `pictures` says what they are."""
        for kind, count in self.left_out.items():
            if count:
                name = pictures if kind == "pictures" else kind
                print(f"{count} {name} could not be read and were left out")


def each(
    inputs: Inputs,
    prediction: Prediction[Any, Any],
    out: Path,
    world: World,
    *,
    settings: str,
    resume: bool,
    workers: int,
    on_error: OnError,
    orientation: Orientation | None = None,
    video_suffix: str = ".mp4",
    read: Read | None = None,
    waiting: int | None = None,
) -> Done:
    """Work on all inputs, each on one rank; every rank gets what all have done.

    The list of results is written at the end, and when the command is stopped; what was finished
    before is in the journal in any case.

    Args:
        inputs: with the places of their results.
        prediction: the task's; one that takes videos is a `FramePrediction`.
        out: folder of the results.
        world: the ranks.
        settings: as `journal.digest` gives them.
        resume: whether inputs that are finished in the folder are left as they are.
        workers: threads that read ahead, on each rank; 0 reads in between.
        on_error: what to do with inputs that cannot be read.
        orientation: how pictures are seen, --data.orientation; None shows them upright.
        video_suffix: of the file that is written for a video.
        read: reads an input that is no video; none reads a picture.
        waiting: results that wait to be written while others are found; 0 keeps one in memory, none
            a few.

    Raises:
        UserError: an input cannot be read, a result cannot be written, or the folder holds what a
            stopped command has found and resume is not set.
    """
    done = distributed.from_main(lambda: journal.begin(out, settings, resume), world)
    read = read or partial(image.shown, orientation=orientation)
    waiting = 2 * max(_WRITERS, workers) if waiting is None else waiting
    loop = _Loop(prediction, out, workers, on_error, read, waiting, video_suffix, _shown(world))
    failure: UserError | None = None
    try:
        with journal.stoppable(out, world.main), Journal(out, world.rank, settings) as loop.journal:
            try:
                loop.pictures(_share(inputs.pictures, done, world))
                loop.videos(_share(inputs.videos, done, world, first=len(inputs.pictures)))
                if inputs.camera is not None and world.main:
                    loop.camera(inputs.camera)
            except DamagedFile as error:
                failure = journal.advised(error)
            except UserError as error:
                failure = error
        distributed.raise_first(failure, world)
        distributed.barrier(world)
    finally:
        finished = journal.read(out)
        if world.main:
            prediction.finish(journal.entries(finished))
    if world.main:
        journal.end(out)
    counts = distributed.share(distributed.gather([loop.counts()], world), world)
    pictures, videos, frames, *left = (sum(column) for column in zip(*counts, strict=True))
    left_out = dict(zip(("pictures", "videos"), left, strict=True))
    return Done(pictures, videos, frames, journal.entries(finished), left_out)


class _Job(NamedTuple):
    """An input with its number among all."""

    order: int
    source: Source

    @property
    def key(self) -> str:
        """The input in the journal."""
        # Not resolved: several names of one file are several inputs.
        return str(self.source.path.absolute())


def _share(sources: Sequence[Source], done: set[str], world: World, first: int = 0) -> list[_Job]:
    """This rank's part of what is not finished."""
    jobs = [_Job(order, source) for order, source in enumerate(sources, start=first)]
    return [job for job in jobs if job.key not in done][world.rank :: world.size]


class _Loop:
    """One rank's work."""

    journal: Journal

    def __init__(
        self,
        prediction: Prediction[Any, Any],
        out: Path,
        workers: int,
        on_error: OnError,
        read: Read,
        waiting: int,
        video_suffix: str,
        shown: bool,
    ) -> None:
        self.prediction, self.out, self.read, self.waiting = prediction, out, read, waiting
        self.workers, self.video_suffix, self.shown = workers, video_suffix, shown
        self.left_pictures, self.left_videos = LeftOut(on_error), LeftOut(on_error)
        self.frames = 0

    def counts(self) -> list[int]:
        """Pictures, videos and frames that are done, and pictures and videos left out."""
        pictures, videos = self.left_pictures, self.left_videos
        return [pictures.kept, videos.kept, self.frames, pictures.count, videos.count]

    def pictures(self, jobs: Sequence[_Job]) -> None:
        """Read, find and write, all at once; at most so many pictures wait to be written."""
        bar = tqdm(total=len(jobs), desc="predicting", unit="picture", disable=not self.shown)
        waiting: deque[tuple[_Job, Future[list[Entry]]]] = deque()
        pool = ThreadPoolExecutor(max(_WRITERS, self.workers))
        try:
            with _read_ahead(jobs, self.workers, self.read) as pictures:
                for job, read in zip(jobs, pictures, strict=True):
                    with self.left_pictures:
                        picture = read()
                        found = self.prediction.find(job.source, picture, None)
                        (self.out / job.source.place).parent.mkdir(parents=True, exist_ok=True)
                        write = partial(self.prediction.write, job.source, picture, found)
                        waiting.append((job, pool.submit(write)))
                    while len(waiting) > self.waiting:
                        self._note(*waiting.popleft())
                    bar.update()
        finally:
            # What was found is kept also where something went wrong behind it.
            while waiting:
                self._note(*waiting.popleft())
            pool.shutdown()
            bar.close()

    def _note(self, job: _Job, written: "Future[list[Entry]]") -> None:
        self.journal.add(Finished(job.key, job.order, written.result()))

    def videos(self, jobs: Sequence[_Job]) -> None:
        """Draw on the frames of each video."""
        prediction = cast(FramePrediction[Any], self.prediction)
        for job in jobs:
            target = self.out / f"{job.source.place}{self.video_suffix}"
            with self.left_videos:
                target.parent.mkdir(parents=True, exist_ok=True)
                drawn = _Frames(prediction, job.source)
                frames = video.transform(job.source.path, target, drawn, self.shown)
                entries = [*drawn.entries, *prediction.clip(job.source, target, frames)]
                self.journal.add(Finished(job.key, job.order, entries))
                self.frames += frames

    def camera(self, address: str) -> None:
        """Draw on the frames of a camera or a stream until it ends or Ctrl-C comes."""
        prediction = cast(FramePrediction[Any], self.prediction)
        name = f"camera{address}" if address.isdecimal() else "camera"
        source = Source(Path(name), Path(name), name)
        target = self.out / f"{name}{self.video_suffix}"
        drawn = _Frames(prediction, source)
        frames = video.record(address, target, drawn, self.shown)
        entries = [*drawn.entries, *prediction.clip(source, target, frames)]
        self.journal.add(Finished(f"camera {address}", 0, entries))
        self.frames += frames
        self.left_videos.kept += 1


class _Frames:
    """Turns a video's frames into what is drawn of them, and keeps their entries."""

    def __init__(self, prediction: FramePrediction[Any], source: Source) -> None:
        self.prediction, self.source = prediction, source
        self.entries: list[Entry] = []
        self.number = 0

    def __call__(self, picture: Picture) -> Picture:
        found = self.prediction.find(self.source, picture, self.number)
        drawn, entries = self.prediction.frame(self.source, picture, found, self.number)
        self.entries += entries
        self.number += 1
        return drawn


@contextmanager
def _read_ahead(
    jobs: Sequence[_Job], workers: int, read: Read
) -> Iterator[Iterator[Callable[[], Any]]]:
    """For each job in order what gives its input, which threads read while others are worked on.

    Without workers it is read when it is asked for.
    """
    paths = [job.source.path for job in jobs]
    if not workers:
        yield (partial(read, path) for path in paths)
        return
    pool = ThreadPoolExecutor(workers)

    def given() -> Iterator[Callable[[], Any]]:
        ahead: deque[Future[Any]] = deque()
        for path in paths:
            ahead.append(pool.submit(read, path))
            if len(ahead) > _AHEAD * workers:
                yield ahead.popleft().result
        while ahead:
            yield ahead.popleft().result

    try:
        yield given()
    finally:
        pool.shutdown(cancel_futures=True)


def _shown(world: World) -> bool:
    return world.main and sys.stderr.isatty()
