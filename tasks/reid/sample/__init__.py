"""Writes the generated data set in Market-1501's layout: pedestrians seen by four cameras."""

from pathlib import Path

import numpy as np

from common.reading.image import write as write_picture
from common.sample import cached
from tasks.reid.sample.camera import CAMERAS, Place
from tasks.reid.sample.look import Look, family

VERSION = 1
"""Rises when the same seed gives other pictures, so that nobody trains on a stale cache."""

TRAIN_PERSONS, TEST_PERSONS = 320, 32

FAMILY = 4
"""People who share all their colours."""

TRAIN_SIGHTINGS, TEST_SIGHTINGS = 2, 3
"""Pictures of a person by each camera; the first of a test person is a query."""

_SIGHTING, _OTHERS = 1, 2  # What a stream of random numbers is for.


def write(
    folder: Path, seed: int = 0, train: int = TRAIN_PERSONS, test: int = TEST_PERSONS
) -> None:
    """Write pictures of `train` persons to learn and of `test` other ones to find again.

    Every camera sees a person to learn twice, and one to find again three times: once as a query,
    twice in the gallery. A sixth as many pictures as the gallery has are distractors (person
    0000), a twelfth are junk (person -1). The same seed gives the same looks and the same bytes of
    a person alone, whatever the numbers of persons are.
    """
    places = [Place(camera) for camera in CAMERAS]
    for name in ("bounding_box_train", "query", "bounding_box_test"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    splits = (("train", 1, train, TRAIN_SIGHTINGS), ("test", 5001, test, TEST_SIGHTINGS))
    for split, first, persons, sightings in splits:
        looks = _looks(seed, first, persons)
        for number, look in enumerate(looks, start=first):
            for camera, place in enumerate(places, start=1):
                for sighting in range(sightings):
                    generator = np.random.default_rng([_SIGHTING, seed, number, camera, sighting])
                    beside = looks[generator.integers(len(looks))]
                    passer_by = beside if generator.random() < 0.12 else None
                    picture = place.see(look, passer_by, generator)
                    chosen = _folder(split, sighting)
                    name = f"{number:04d}_c{camera}s1_{number * 10 + sighting:06d}_00.jpg"
                    write_picture(folder / chosen / name, picture)
    _write_others(folder / "bounding_box_test", places, seed, test)


def sample_set() -> Path:
    """Folder of the default set, generated on first use."""
    return cached("reid", VERSION, write)


def _looks(seed: int, first: int, persons: int) -> list[Look]:
    looks: list[Look] = []
    for begin in range(first, first + persons, FAMILY):
        looks += family(FAMILY, np.random.default_rng([_SIGHTING, seed, begin]))
    return looks[:persons]


def _folder(split: str, sighting: int) -> str:
    if split == "train":
        return "bounding_box_train"
    return "query" if sighting == 0 else "bounding_box_test"


def _write_others(folder: Path, places: list[Place], seed: int, persons: int) -> None:
    """Distractors, who are nobody's query, and false detections."""
    gallery = persons * len(places) * (TEST_SIGHTINGS - 1)
    for kind, count in (("0000", gallery // 6), ("-1", gallery // 12)):
        for number in range(count):
            generator = np.random.default_rng([_OTHERS, seed, int(kind) + 1, number])
            camera = int(generator.integers(len(places)))
            look = family(1, generator)[0]
            see = places[camera].see if kind == "0000" else None
            picture = see(look, None, generator) if see else places[camera].miss(look, generator)
            write_picture(folder / f"{kind}_c{camera + 1}s1_{number:06d}_00.jpg", picture)
