"""``python -m tasks.reid.predict --run runs/reid INPUT... --out DIR``: features, or a search.

INPUT are pictures of one person each, or folders of them. Their features go to `features.npz`:
`paths` (N,), `features` (N, C). With ``--gallery FOLDER`` the inputs are queries: each one gets a
picture with the nearest of the folder, and `ranked.csv` lists them all. Where file names tell
persons as Market-1501's do, hits are framed green and others red.
"""

import csv
import io
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from backbone import WeightsError, deploy
from common import outputs
from common.commands import command, trained
from common.errors import UserError
from common.reading import image
from common.training import distributed
from common.training.distributed import World
from tasks.reid import draw, sample
from tasks.reid.config import ScoringConfig
from tasks.reid.inference import ScoredConfig, compare, embed_files, restore
from tasks.reid.market import NOBODY, person_and_camera
from tasks.reid.metrics import nearest
from tasks.reid.model import from_published

SAMPLE_SEED = 1
"""Another seed than that of the set which is learnt and scored."""


@dataclass(frozen=True, kw_only=True)
class PredictConfig(ScoredConfig):
    """Write the features of pictures, or search a folder for the people in them."""

    inputs: tuple[Path, ...] = ()
    """Pictures and folders of pictures: the words that belong to no flag."""
    gallery: Path | None = None
    """Folder that is searched for each input; none writes the inputs' features."""
    top: int = 10
    """Pictures that a search shows."""
    sample: int = 0
    """Instead of inputs, so many freshly generated queries and their gallery."""

    def __post_init__(self) -> None:
        if self.top < 1:
            raise UserError(f"--top is {self.top}; it must be 1 or more")
        if self.sample < 0:
            raise UserError(f"--sample is {self.sample}; it must be 0 or more")
        if self.sample and (self.inputs or self.gallery):
            raise UserError("--sample: brings its own queries and gallery; leave out the others")


def main() -> None:
    """Read the flags, and write features or search."""
    config = trained.parse(PredictConfig, sys.argv[1:], folder="predictions", positional="inputs")
    with distributed.started(config.engine.device) as world:
        predict(config, world)


def predict(config: PredictConfig, world: World) -> None:
    """Write features or search, as the config says; called on all ranks, which share the work."""
    if config.sample:
        with TemporaryDirectory() as folder:
            queries, gallery = _sample(Path(folder), config.sample)
            search(config, queries, gallery, world)
        return
    if not config.inputs:
        raise UserError(
            "no input given: name pictures or folders, such as predict --run runs/reid photos/"
        )
    pictures = image.list_images(config.inputs)
    if config.gallery is None:
        write_features(config, pictures, world)
    else:
        if not config.gallery.is_dir():
            raise UserError(f"--gallery {config.gallery}: no such folder")
        search(config, pictures, image.list_images([config.gallery]), world)


def _sample(folder: Path, count: int) -> tuple[list[Path], list[Path]]:
    """Generated queries of people whom no training has seen, and where to find them."""
    sample.write(folder, seed=SAMPLE_SEED, train=0, test=max(sample.FAMILY, -(-count // 4)))
    queries = sorted((folder / "query").iterdir())
    gallery = sorted((folder / "bounding_box_test").iterdir())
    chosen = [queries[place * len(queries) // count] for place in range(count)]
    return chosen, [path for path in gallery if not path.name.startswith("-1")]


def write_features(config: PredictConfig, pictures: Sequence[Path], world: World) -> None:
    """Write the features of pictures to features.npz in config.out.

    Raises:
        UserError: not one picture can be read.
    """
    (found,) = _embed(config, world, pictures)
    if not world.main:
        return
    if not found.paths:
        raise UserError(f"not one of the {len(pictures)} pictures can be read")
    outputs.make_folder(config.out)
    file = config.out / "features.npz"
    content = io.BytesIO()
    np.savez(content, paths=np.array([str(path) for path in found.paths]), features=found.features)
    try:
        file.write_bytes(content.getbuffer())
    except OSError as error:
        raise UserError(f"{file}: cannot be written ({error.strerror})") from None
    count, size = found.features.shape
    print(f"wrote {file}: {count} features of {size} numbers{_left_out(pictures, found)}")


def search(
    config: PredictConfig, queries: Sequence[Path], gallery: Sequence[Path], world: World
) -> None:
    """Find the nearest pictures of a gallery for each query; writes sheets and ranked.csv.

    The query's own file does not count where it lies in the gallery.

    Raises:
        UserError: not one picture can be read.
    """
    targets = outputs.targets(queries, config.out, "_ranked.jpg", gallery)
    asked, among = _embed(config, world, queries, gallery)
    if not world.main:
        return
    if not asked.paths or not among.paths:
        raise UserError("no picture of the queries or of the gallery can be read")
    lines = [("query", "rank", "picture", "distance")]
    for query, row in zip(asked.paths, _distances(asked, among, config.test), strict=True):
        order = nearest(row[None], min(config.top, len(row)))[0].tolist()
        order = [index for index in order if np.isfinite(row[index])]
        draw.sheet([_ranked(query, [among.paths[index] for index in order])], targets[query], True)
        lines += [
            (str(query), str(rank), str(among.paths[index]), f"{row[index]:.6f}")
            for rank, index in enumerate(order, start=1)
        ]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    outputs.write_text(config.out / "ranked.csv", text.getvalue())
    skipped = _left_out([*queries, *gallery], asked, among)
    print(
        f"searched {len(among.paths):,} pictures for {len(asked.paths)} queries{skipped}; sheets "
        f"and ranked.csv are in {config.out}"
    )


@dataclass(frozen=True)
class _Embedded:
    paths: list[Path]
    features: NDArray[np.float32]


def _embed(config: PredictConfig, world: World, *groups: Sequence[Path]) -> list[_Embedded]:
    """The features of each group's pictures, as far as they can be read; on rank 0."""
    weights = trained.find(config, from_published)
    model = restore(config, weights, world.device)
    if config.deploys:
        model = deploy(model)
    embedded = []
    for group in groups:
        read, features = embed_files(
            model, tuple(group), config, world, config.precision, upright=True
        )
        embedded.append(_Embedded([group[index] for index in read.tolist()], features))
    return embedded


def _distances(
    asked: _Embedded, among: _Embedded, test: ScoringConfig
) -> Iterator[NDArray[np.float32]]:
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


def _ranked(query: Path, found: Sequence[Path]) -> list[tuple[Path, draw.Colour, str]]:
    """The cells of a sheet: the query, then what was found, framed if both names tell persons."""
    known = person_and_camera(query)
    cells = [(query, draw.QUERY, _title(query, "query"))]
    for rank, path in enumerate(found, start=1):
        frame = draw.UNKNOWN
        if (its := person_and_camera(path)) is not None and known is not None:
            frame = draw.HIT if its[0] == known[0] != NOBODY else draw.MISS
        cells.append((path, frame, _title(path, str(rank))))
    return cells


def _title(path: Path, otherwise: str) -> str:
    known = person_and_camera(path)
    return f"{known[0]} c{known[1]}" if known else otherwise


def _left_out(pictures: Sequence[Path], *found: _Embedded) -> str:
    count = len(pictures) - sum(len(one.paths) for one in found)
    return f" ({count} pictures could not be read and were left out)" if count else ""


if __name__ == "__main__":
    command.run(main, WeightsError)
