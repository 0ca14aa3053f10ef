"""Pictures of every kind under sound annotations: which are read, and what is said of others."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from common.errors import DamagedFile
from common.training.sampling import generator_for
from tasks.pose.data import ScoringSet, TrainSet, read_coco
from tests.tasks.pose import small
from tests.tasks.pose.small import refused


@pytest.fixture
def root(tmp_path):
    return tmp_path / "coco"


def first_picture(root):
    return root / "images" / "val2017" / "000000000007.jpg"


def test_a_truncated_jpeg(root):
    path = first_picture(small.write_coco(root))
    path.write_bytes(path.read_bytes()[:-300])
    annotations = read_coco(root, "val2017")
    with pytest.raises(DamagedFile, match=f"^{path}: .*cut short"):
        TrainSet(annotations, small.PLAIN).sample(0, generator_for(0, 0, 0))
    with pytest.raises(DamagedFile, match=f"^{path}: .*cut short"):
        ScoringSet(annotations, small.PLAIN)[0]
    assert ScoringSet(annotations, replace(small.PLAIN, on_error="skip"))[0] is None


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grey_and_cmyk_pictures_just_work(root, mode):
    path = first_picture(small.write_coco(root))
    with Image.open(path) as stored:
        picture = stored.convert("RGB")
    picture.convert(mode).save(path, quality=95)
    annotations = read_coco(root, "val2017")
    sample = TrainSet(annotations, small.PLAIN).sample(0, generator_for(0, 0, 0))
    expected = np.asarray(picture.convert(mode).convert("RGB")).mean(axis=(0, 1))
    assert sample["image"].shape == (3, 128, 96)
    assert sample["image"].max() > expected.mean()


@pytest.mark.parametrize("mode", ["RGBA", "P", "16 bits"])
def test_deep_palette_and_transparent_pictures_just_work(root, mode):
    coco = small.content(1)
    coco["images"][0]["file_name"] = "picture.png"
    small.write_coco(root, coco)
    picture = small.picture(7)
    if mode == "16 bits":
        picture = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    else:
        picture = picture.convert(mode)
    picture.save(root / "images" / "val2017" / "picture.png")
    sample = ScoringSet(read_coco(root, "val2017"), small.PLAIN)[0]
    assert sample["image"].shape == (3, 128, 96)
    assert sample["image"].std() > 10


def test_exif_rotation_is_ignored_because_annotations_count_stored_pixels(root):
    path = first_picture(small.write_coco(root))
    before = ScoringSet(read_coco(root, "val2017"), small.PLAIN)[0]["image"]
    exif = Image.Exif()
    exif[0x0112] = 6
    data, segment = path.read_bytes(), exif.tobytes()
    length = (len(segment) + 2).to_bytes(2, "big")
    path.write_bytes(data[:2] + b"\xff\xe1" + length + segment + data[2:])
    with Image.open(path) as stored:
        assert stored.getexif()[0x0112] == 6
    after = ScoringSet(read_coco(root, "val2017"), small.PLAIN)[0]["image"]
    np.testing.assert_array_equal(before, after)


def test_a_picture_that_was_really_turned(root):
    path = first_picture(small.write_coco(root))
    small.picture(7).transpose(Image.Transpose.ROTATE_90).save(path)
    annotations = read_coco(root, "val2017")
    line = refused(lambda: ScoringSet(annotations, small.PLAIN)[0], path, "120x160", "160x120")
    assert "turned after it was annotated" in line


def test_a_picture_of_another_size(root):
    path = first_picture(small.write_coco(root))
    small.picture(7).resize((80, 60)).save(path)
    annotations = read_coco(root, "val2017")
    dataset = TrainSet(annotations, small.PLAIN)
    refused(lambda: dataset.sample(0, generator_for(0, 0, 0)), path, "80x60", "scaled or replaced")
