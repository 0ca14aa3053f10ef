"""Samples from files: what the network gets, what is scored, and every kind of bad mask."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from common.errors import DamagedFile
from common.reading import image as pictures
from common.training.sampling import Counted, generator_for
from tasks.salient import sets
from tasks.salient.config import DataConfig
from tasks.salient.data import ScoringSet, TrainSet, read_map, read_mask, read_pair
from tests.tasks.salient import small

PLAIN = DataConfig(fit="native", flip_probability=0)


@pytest.fixture
def root(tmp_path):
    small.write_set(tmp_path)
    return tmp_path


@pytest.fixture
def saliency(root):
    return sets.find("--data.test_sets", "DUTS-TE", root)


def draw(data, index=0):
    return data.sample(index, generator_for(0, 0, index))


def test_a_native_training_sample(saliency):
    sample = draw(TrainSet(saliency, PLAIN), 1)
    pair = saliency.pairs[1]
    assert np.array_equal(sample["image"].transpose(1, 2, 0), pictures.read(pair.image))
    assert np.array_equal(sample["mask"][0], np.asarray(Image.open(pair.label)))
    assert 90 in sample["mask"], "soft borders stay"
    assert (sample["valid"] == 1).all()
    assert sample["index"] == 1
    assert all(sample[name].dtype == np.uint8 for name in ("image", "mask", "valid"))


def test_colour_order_is_the_recipes(saliency):
    rgb = draw(TrainSet(saliency, PLAIN))["image"]
    bgr = draw(TrainSet(saliency, dataclasses.replace(PLAIN, colour="BGR")))["image"]
    assert np.array_equal(rgb, bgr[::-1])
    assert np.array_equal(
        ScoringSet(saliency, dataclasses.replace(PLAIN, colour="BGR"))[0]["image"], bgr
    )


def test_a_padded_training_sample_says_what_is_valid(saliency):
    config = dataclasses.replace(PLAIN, fit="pad", input_size=(48, 64))
    sample = draw(TrainSet(saliency, config))
    assert sample["image"].shape == (3, 48, 64)
    assert sample["valid"].sum() == 47 * 64
    assert (sample["valid"][0, 47:] == 0).all()


def test_edge_pictures_travel_with_the_others(saliency, tmp_path):
    images, masks = small.write_set(tmp_path, "edges", pictures=2, folders=("images", "masks"))
    edges = sets.find("--data.edge_set", "edges", tmp_path)
    data = TrainSet(saliency, PLAIN, edges)
    assert len(data) == 3
    assert len(TrainSet(edges, PLAIN, saliency)) == 3
    sample = draw(data, 2)
    assert np.array_equal(sample["edge_image"].transpose(1, 2, 0), pictures.read(images / "p0.jpg"))
    assert np.array_equal(sample["edge_map"][0], np.asarray(Image.open(masks / "p0.png")))
    padded = dataclasses.replace(PLAIN, fit="pad", input_size=(64, 64))
    assert (draw(TrainSet(saliency, padded, edges))["edge_map"][0, 48:] == 64).all()


def test_a_test_sample_keeps_the_masks_own_size(saliency):
    sample = ScoringSet(saliency, DataConfig(fit="stretch", input_size=(32, 40)))[2]
    assert sample["image"].shape == (3, 32, 40)
    assert (sample["rows"], sample["columns"]) == (32, 40)
    mask = np.frombuffer(sample["mask"], np.uint8).reshape(sample["mask_size"])
    assert np.array_equal(mask, np.asarray(Image.open(saliency.pairs[2].label)))
    assert sample["same_size"]


def replace_mask(saliency, picture, index=0):
    path = saliency.pairs[index].label
    picture.save(path)
    return path


def refusal(saliency, config=PLAIN, index=0):
    with pytest.raises(DamagedFile) as caught:
        read_pair(saliency.pairs[index], config)
    message = str(caught.value)
    assert message.startswith(str(saliency.pairs[index].label))
    assert "\n" not in message
    return message


def test_picture_and_mask_of_different_size(saliency):
    replace_mask(saliency, small.mask(0, (50, 40)))
    assert "has 50x40 pixels, its picture p0.jpg 60x44; training needs" in refusal(saliency)
    # Scoring resizes the map to the mask.
    sample = ScoringSet(saliency, PLAIN)[0]
    assert sample["mask_size"].tolist() == [40, 50]
    assert not sample["same_size"]
    replace_mask(saliency, small.mask(0, (44, 60)))
    assert "one of them was turned" in refusal(saliency)
    with pytest.raises(DamagedFile, match="one of them was turned"):
        ScoringSet(saliency, PLAIN)[0]


def test_a_mask_with_three_equal_channels_is_grey(saliency):
    wanted = np.asarray(small.mask(0))
    path = replace_mask(saliency, small.mask(0).convert("RGB"))
    assert np.array_equal(read_mask(path), wanted)
    path = replace_mask(saliency, small.mask(0).convert("LA"))
    assert np.array_equal(read_mask(path), wanted)
    path = replace_mask(saliency, small.mask(0).point(lambda level: 255 * (level > 127), "1"))
    assert np.array_equal(read_mask(path), np.where(wanted > 127, 255, 0))


def test_a_mask_of_sixteen_bits(saliency):
    wide = Image.fromarray(np.asarray(small.mask(0)).astype(np.uint16) * 257)
    path = replace_mask(saliency, wide)
    assert np.array_equal(read_mask(path), np.asarray(small.mask(0)))


def test_a_coloured_mask_and_a_palette_are_refused(saliency):
    replace_mask(saliency, small.picture(3))
    assert "must be grey, this one has colours" in refusal(saliency)
    palette = Image.fromarray((np.asarray(small.mask(0)) > 127).astype(np.uint8), "P")
    palette.putpalette([0, 0, 0, 128, 0, 0])
    replace_mask(saliency, palette)
    assert "a palette?" in refusal(saliency)


def test_a_palette_of_greys_is_read_as_it_looks(saliency):
    palette = Image.fromarray((np.asarray(small.mask(0)) > 127).astype(np.uint8), "P")
    palette.putpalette([0, 0, 0, 255, 255, 255])
    path = replace_mask(saliency, palette)
    assert np.array_equal(read_mask(path), np.where(np.asarray(small.mask(0)) > 127, 255, 0))


def test_a_mask_of_zeros_and_ones(saliency):
    ones = Image.fromarray((np.asarray(small.mask(0)) > 127).astype(np.uint8))
    replace_mask(saliency, ones)
    assert "levels 0 and 1; a mask goes up to 255" in refusal(saliency)


@pytest.mark.parametrize("level", [2, 100, 128, 129])
def test_a_mask_in_which_nothing_counts_as_an_object(saliency, level):
    dark = Image.fromarray(np.where(np.asarray(small.mask(0)) > 127, level, 0).astype(np.uint8))
    path = replace_mask(saliency, dark)
    if level > 128:
        assert read_mask(path).max() == level
    else:
        assert f"its lightest level is {level} and nothing up to 128" in refusal(saliency)
    assert read_map(path).max() == level


def test_eight_bits_within_sixteen_are_not_black(saliency):
    grey = np.where(np.asarray(small.mask(0)) > 127, 255, 0).astype(np.uint16)
    path = replace_mask(saliency, Image.fromarray(grey))
    assert "has 16 bits of which levels up to 255 are used" in refusal(saliency)
    replace_mask(saliency, Image.fromarray(257 * grey))
    assert np.array_equal(read_map(path), grey)


def test_a_black_mask_is_damaged_unless_it_is_meant(saliency):
    path = replace_mask(saliency, Image.new("L", (60, 44)))
    assert "black all over" in refusal(saliency)
    assert "--data.allow_empty true" in refusal(saliency)
    config = dataclasses.replace(PLAIN, allow_empty=True)
    assert not read_pair(saliency.pairs[0], config)[1].any()
    assert not read_mask(path, allow_empty=True).any()
    assert ScoringSet(saliency, config)[0] is not None


def test_a_jpg_mask_is_nearly_the_png(saliency, tmp_path):
    small.mask(0).convert("RGB").save(tmp_path / "m.jpg", quality=95)
    difference = read_mask(tmp_path / "m.jpg").astype(int) - np.asarray(small.mask(0))
    assert np.abs(difference).max() < 60
    assert np.abs(difference).mean() < 3


def test_files_that_are_no_pictures_inside(saliency):
    saliency.pairs[0].label.write_text("not a picture")
    assert "is not a picture" in refusal(saliency)
    saliency.pairs[1].label.write_bytes(saliency.pairs[1].label.read_bytes()[:60])
    assert "cut short" in refusal(saliency, index=1)


def test_damaged_samples_stop_or_are_skipped(saliency, capsys):
    replace_mask(saliency, Image.new("L", (60, 44)))
    with pytest.raises(DamagedFile, match="black all over"):
        ScoringSet(saliency, PLAIN)[0]
    skip = dataclasses.replace(PLAIN, on_error="skip")
    assert ScoringSet(saliency, skip)[0] is None
    assert "skipped: " in capsys.readouterr().err
    counted = Counted(TrainSet(saliency, PLAIN), seed=0, on_error="skip")
    assert counted[(0, 0)]["index"] == 1
    assert "black all over" in counted[(0, 0)]["skipped"]
