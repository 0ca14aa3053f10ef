"""``python -m tasks.reid.predict --run runs/reid INPUT... --out DIR``: features, or a search.

INPUT are pictures of one person each, or folders of them. Their features go to `features.npz`:
`paths` (N,), `features` (N, C). With ``--gallery FOLDER`` the inputs are queries: each one gets a
picture with the nearest of the folder, and `ranked.csv` lists them all. Where file names tell
persons as Market-1501's do, hits are framed green and others red. `parts/` keeps what was found,
for ``--resume``.
"""

import contextlib
import csv
import io
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from common import outputs
from common.commands import command, inputs, journal, trained
from common.commands.inputs import SAMPLE_SEED, InputFlags
from common.errors import UserError
from common.reading import image, video
from common.reading.image import PICTURES
from common.training import distributed
from common.training.distributed import World
from tasks.reid import parts, sample
from tasks.reid.config import ScoredConfig, ScoringConfig
from tasks.reid.data import photographs
from tasks.reid.inference import Predictor, compare, embed_files, open_model
from tasks.reid.metrics import nearest

_PART = 500
"""Pictures of a part that is kept, at least."""

_SHEET = "_ranked.jpg"
_ONLY_PICTURES = "what is compared are pictures of one person each; name such, or folders of them"


@dataclass(frozen=True, kw_only=True)
class PredictConfig(InputFlags, ScoredConfig):
    """Write the features of pictures, or search a folder for the people in them."""

    gallery: Path | None = None
    """Folder that is searched for each input; none writes the inputs' features."""
    top: int = 10
    """Pictures that a search shows."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.top < 1:
            raise UserError(f"--top is {self.top}; it must be 1 or more")
        if self.sample < 0:
            raise UserError(f"--sample is {self.sample}; it must be 0 or more")
        if self.sample and (self.inputs or self.gallery):
            raise UserError("--sample: brings its own queries and gallery; leave out the others")
        if self.camera is not None:
            raise UserError(f"--camera {self.camera}: {_ONLY_PICTURES}")
        for path in self.inputs:
            if video.is_video(path) and not path.is_dir():
                raise UserError(f"{path}: {_ONLY_PICTURES}")


def main() -> None:
    """Read the flags, and write features or search."""
    config = trained.parse(PredictConfig, sys.argv[1:], folder="predictions", positional="inputs")
    with distributed.started(config.engine.device) as world:
        predict(config, world)


def predict(config: PredictConfig, world: World) -> None:
    """Write features or search, as the config says; called on all ranks, which share the work."""
    with _given(config) as (pictures, gallery):
        predictor = Predictor(open_model(config, world.device), config)
        if gallery is None:
            write_features(predictor, config, list(pictures), world)
        else:
            search(predictor, config, pictures, gallery, world)


@contextlib.contextmanager
def _given(config: PredictConfig) -> Iterator[tuple[dict[Path, Path], list[Path] | None]]:
    """The pictures, each with its folder under --out, and those among which to search, if any."""
    if config.sample:
        with TemporaryDirectory() as folder:
            queries, gallery = _sample(Path(folder), config.sample)
            yield dict.fromkeys(queries, Path()), gallery
        return
    if not config.inputs:
        raise UserError(
            "no input given: name pictures or folders, such as predict --run runs/reid photos/"
        )
    pictures = inputs.listed(config.inputs, config.recursive, PICTURES)
    if config.gallery is None:
        yield pictures, None
    elif not config.gallery.is_dir():
        raise UserError(f"--gallery {config.gallery}: no such folder")
    else:
        yield pictures, list(inputs.listed([config.gallery], config.recursive, PICTURES))


def _sample(folder: Path, count: int) -> tuple[list[Path], list[Path]]:
    """Generated queries of people that no training has seen, and where to find them."""
    sample.write(folder, seed=SAMPLE_SEED, train=0, test=max(sample.FAMILY, -(-count // 4)))
    queries = sorted((folder / "query").iterdir())
    gallery = sorted((folder / "bounding_box_test").iterdir())
    chosen = [queries[place * len(queries) // count] for place in range(count)]
    return chosen, [path for path in gallery if not path.name.startswith("-1")]


def write_features(
    predictor: Predictor, config: PredictConfig, pictures: Sequence[Path], world: World
) -> None:
    """Write the features of pictures to features.npz in config.out.

    Raises:
        UserError: not one picture can be read.
    """
    found = _embed(predictor, config, pictures, "inputs", world)
    if not world.main:
        return
    if not found.paths:
        raise UserError(f"not one of the {len(pictures)} pictures can be read")
    file = config.out / "features.npz"
    parts.write(file, [str(path) for path in found.paths], found.features)
    parts.end(config.out / "parts" / "inputs")
    count, size = found.features.shape
    print(f"wrote {file}: {count} features of {size} numbers{_left_out(pictures, found)}")


def search(
    predictor: Predictor,
    config: PredictConfig,
    queries: Mapping[Path, Path],
    gallery: Sequence[Path],
    world: World,
) -> None:
    """Find the nearest pictures of a gallery for each query; writes sheets and ranked.csv.

    The query's own file does not count where it lies in the gallery.

    Raises:
        UserError: not one picture can be read.
    """
    places = outputs.places(queries, config.out, (_SHEET,), gallery)
    asked = _embed(predictor, config, list(queries), "inputs", world)
    among = _embed(predictor, config, gallery, "gallery", world)
    if not world.main:
        return
    if not asked.paths or not among.paths:
        raise UserError("no picture of the queries or of the gallery can be read")
    lines = [("query", "rank", "picture", "distance")]
    for query, row in zip(asked.paths, _distances(asked, among, config.test), strict=True):
        order = nearest(row[None], min(config.top, len(row)))[0].tolist()
        order = [index for index in order if np.isfinite(row[index])]
        file = config.out / f"{places[query]}{_SHEET}"
        file.parent.mkdir(parents=True, exist_ok=True)
        image.write(file, predictor.draw(query, [among.paths[index] for index in order]))
        lines += [
            (str(query), str(rank), str(among.paths[index]), f"{row[index]:.6f}")
            for rank, index in enumerate(order, start=1)
        ]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    outputs.write_text(config.out / "ranked.csv", text.getvalue())
    for kind in ("inputs", "gallery"):
        parts.end(config.out / "parts" / kind)
    skipped = _left_out([*queries, *gallery], asked, among)
    print(
        f"searched {len(among.paths):,} pictures for {len(asked.paths)} queries{skipped}; sheets "
        f"and ranked.csv are in {config.out}"
    )


class _Found(NamedTuple):
    """Pictures that could be read, and their features (N, C)."""

    paths: list[Path]
    features: NDArray[np.float32]


def _embed(
    predictor: Predictor,
    config: PredictConfig,
    pictures: Sequence[Path],
    kind: str,
    world: World,
) -> _Found:
    """The features of pictures, as far as they can be read; on rank 0, which keeps them in parts.

    Raises:
        UserError: a picture cannot be read, or --resume meets features of another model.
    """
    folder, model = config.out / "parts" / kind, predictor.opened
    # What is searched, and how much of it is shown, changes no feature.
    settings = journal.digest(replace(config, gallery=None, top=1), model.weights.file)
    done = distributed.from_main(lambda: parts.begin(folder, settings, config.resume), world)
    rest = [path for path in pictures if parts.key(path) not in done]
    batch = config.engine.batch_size * world.size
    step = -(-_PART // batch) * batch
    with journal.stoppable(config.out, world.main):
        for start in range(0, len(rest), step):
            part = rest[start : start + step]
            with model.running():
                found = embed_files(model.network, part, config, world, photographs(config.data))
            sound = [part[index] for index in found.indices.tolist()]
            distributed.from_main(partial(parts.add, folder, sound, found.features), world)
    known = parts.read(folder) if world.main else {}
    paths = [path for path in pictures if parts.key(path) in known]
    return _Found(paths, np.array([known[parts.key(path)] for path in paths], dtype=np.float32))


def _distances(asked: _Found, among: _Found, test: ScoringConfig) -> Iterator[NDArray[np.float32]]:
    """Distances (G,) of each query to the gallery; infinite to its own file, if that is there.

    Where the rest of the gallery has a part in a distance, the own file has none.
    """
    resolved = {path.resolve(): place for place, path in enumerate(among.paths)}
    own = [resolved.get(query.resolve()) for query in asked.paths]
    apart = bool(test.expansion or test.rerank)
    together = [number for number, place in enumerate(own) if place is None or not apart]
    blocks = compare(asked.features[together], among.features, test) if together else ()
    rows = (row for block in blocks for row in block)
    for number, place in enumerate(own):
        if place is None or not apart:
            row = next(rows)
        elif len(among.paths) > 1:
            others = np.delete(among.features, place, axis=0)
            (block,) = compare(asked.features[[number]], others, test)
            row = np.insert(block[0], place, np.inf)
        else:
            row = np.empty(1, dtype=np.float32)
        if place is not None:
            row[place] = np.inf
        yield row


def _left_out(pictures: Sequence[Path], *found: _Found) -> str:
    count = len(pictures) - sum(len(one.paths) for one in found)
    return f" ({count} pictures could not be read and were left out)" if count else ""


if __name__ == "__main__":
    command.run(main)
