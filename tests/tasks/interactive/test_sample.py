"""The generated data set: layout, ignored bands, and that it is reproducible."""

import numpy as np
import pytest

from common.reading.image import read as read_picture
from tasks.interactive import sample
from tasks.interactive.masks import IGNORED, numbers
from tests.tasks.interactive import small


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample") / "set"
    sample.write(folder, seed=5, train=12, val=3)
    return folder


def test_a_second_and_a_shorter_set_have_the_same_bytes(root, tmp_path):
    sample.write(tmp_path / "set", seed=5, train=4, val=2)
    for path in sorted((tmp_path / "set").rglob("*.[jp][pn]g")):
        other = root / path.relative_to(tmp_path / "set")
        assert other.read_bytes() == path.read_bytes()


def test_objects_are_numbered_and_a_third_has_bands(root):
    banded = 0
    for path in sorted((root / "SegmentationObject").glob("*.png")):
        labels = numbers(path, None)
        picture = read_picture(root / "JPEGImages" / f"{path.stem}.jpg")
        assert labels.shape == picture.shape[:2]
        values = set(np.unique(labels)) - {0, IGNORED}
        assert values <= {1, 2, 3, 4, 5} and values
        beside = (np.diff(labels, axis=1) != 0) & (labels[:, 1:] != 255) & (labels[:, :-1] != 255)
        banded += not beside.any()
    assert banded == 5, "every third of 15"


def test_the_band_is_along_every_border():
    labels = small.objects()
    labels[labels == 255] = 0
    found = sample._with_band(labels)
    changed = found != labels
    assert (found[changed] == 255).all() and changed[10, 8] and changed[9, 8] and not changed[8, 8]


def test_a_click_for_every_picture(root):
    found = sample.click_files(root)
    assert len(found) == 15
    assert all(path.with_suffix(".json").is_file() for path in found)
