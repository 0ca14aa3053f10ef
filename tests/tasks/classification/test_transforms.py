"""Pixels beside torchvision's, boxes beside their definition, randomness from one generator."""

import io
import random

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import CenterCrop, InterpolationMode, RandomResizedCrop, Resize
from torchvision.transforms import functional as F

from common.errors import DamagedFile
from common.sample import backgrounds
from tasks.classification import transforms
from tasks.classification.config import DataConfig, ScoringConfig
from tasks.classification.transforms import (
    Box,
    TrainTransform,
    evaluation_image,
    jpeg_size,
    random_box,
    reduction_for,
    resize_fast,
)
from tests.tasks.classification import small

SIDES = st.integers(1, 700)


@pytest.fixture(scope="module")
def photographs():
    """Real photographs, so that the mean difference of two filters means something."""
    found = backgrounds()
    return [found[name] for name in ("coffee", "cat", "rocket")]


def encoded(array, **options):
    return small.jpeg(Image.fromarray(array), **options)


@given(SIDES, SIDES, st.floats(0.01, 0.9), st.floats(0.2, 1.0), st.integers(0, 2**32))
def test_a_random_box_lies_inside_and_keeps_its_promises(width, height, least, aspect, seed):
    scale, ratio = (least, 1.0), (aspect, 1 / aspect)
    box = random_box(width, height, scale, ratio, np.random.default_rng(seed))
    assert 0 <= box.x <= box.x + box.width <= width
    assert 0 <= box.y <= box.y + box.height <= height
    assert box.width > 0
    assert box.height > 0
    # Sides are rounded to pixels.
    if aspect <= width / height <= 1 / aspect:
        assert (box.width + 0.5) * (box.height + 0.5) >= least * width * height * 0.99
        assert (box.width + 0.5) / max(box.height - 0.5, 0.5) >= aspect * 0.99


def test_boxes_are_distributed_as_torchvisions():
    generator = np.random.default_rng(0)
    image, scale, ratio = Image.new("RGB", (500, 375)), (0.08, 1.0), (3 / 4, 4 / 3)
    torch.manual_seed(0)
    theirs = np.array([RandomResizedCrop.get_params(image, scale, ratio) for _ in range(3000)])
    boxes = [random_box(500, 375, scale, ratio, generator) for _ in range(3000)]
    ours = np.array([(box.y, box.x, box.height, box.width) for box in boxes])
    spread = theirs.std(axis=0) / np.sqrt(3000)
    assert (np.abs(ours.mean(axis=0) - theirs.mean(axis=0)) < 4 * np.sqrt(2) * spread).all()
    assert ours.std(axis=0) == pytest.approx(theirs.std(axis=0), rel=0.06)


@pytest.mark.parametrize("size", [(900, 10), (10, 900)])
def test_a_box_that_never_fits_is_torchvisions_fallback(size):
    scale, ratio = (0.9, 1.0), (3 / 4, 4 / 3)
    top, left, height, width = RandomResizedCrop.get_params(Image.new("RGB", size), scale, ratio)
    box = random_box(*size, scale, ratio, np.random.default_rng(0))
    assert box == Box(left, top, width, height)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("size", "crop"), [(224, 0.875), (64, 1.0), (160, 0.95), (97, 0.9)])
def test_a_test_picture_has_torchvisions_pixels(photographs, interpolation, size, crop):
    test = ScoringConfig(input_size=size, crop=crop, interpolation=interpolation)
    method = InterpolationMode(interpolation)
    for photograph in (*photographs, photographs[0][:201, :333], photographs[1].swapaxes(0, 1)):
        data = encoded(np.ascontiguousarray(photograph))
        opened = Image.open(io.BytesIO(data.tobytes()))
        theirs = CenterCrop(size)(Resize(int(size / crop), method)(opened))
        ours = evaluation_image(data, "a.jpg", test)
        assert np.array_equal(ours, np.asarray(theirs))


def test_a_test_picture_obeys_the_orientation_only_if_asked():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = small.jpeg(small.picture(0, 64, 64), exif=exif)
    test = ScoringConfig(input_size=64)
    stored, seen = (
        evaluation_image(data, "a", test),
        evaluation_image(data, "a", test, orientation="upright"),
    )
    assert np.array_equal(np.rot90(stored, -1), seen)


def test_exact_training_pixels_are_torchvisions(photographs):
    config = DataConfig(input_size=96, decoding="exact", scale=(0.1, 1.0), flip_probability=0)
    transform = TrainTransform(config)
    for seed, photograph in enumerate(photographs):
        data = encoded(photograph)
        ours = transform(data, "a.jpg", np.random.default_rng(seed))
        height, width = photograph.shape[:2]
        generator = np.random.default_rng(seed)
        box = random_box(width, height, config.scale, config.ratio, generator)
        theirs = F.resized_crop(
            Image.open(io.BytesIO(data.tobytes())), box.y, box.x, box.height, box.width, [96, 96]
        )
        assert np.array_equal(ours, np.asarray(theirs))


@pytest.mark.parametrize("size", [32, 64, 128, 224])
def test_fast_pixels_are_near_those_of_pillow(photographs, size):
    """Less than 1.6 grey levels off in the mean, also where the decoder reduced by 2, 4 or 8."""
    config = DataConfig(input_size=size, scale=(0.08, 1.0), flip_probability=0)
    transform = TrainTransform(config)
    differences, reductions = [], set()
    for seed in range(60):
        photograph = photographs[seed % 3]
        data = encoded(photograph)
        fast = transform(data, "a.jpg", np.random.default_rng(seed)).astype(int)
        height, width = photograph.shape[:2]
        generator = np.random.default_rng(seed)
        box = random_box(width, height, config.scale, config.ratio, generator)
        reduction = reduction_for(box, size)
        x, y, across, down = (reduction * round(side / reduction) for side in box)
        crop = Image.open(io.BytesIO(data.tobytes())).crop((x, y, x + across, y + down))
        exact = np.asarray(crop.resize((size, size), Image.Resampling.BILINEAR))
        differences.append(np.abs(exact - fast).mean())
        reductions.add(reduction)
        assert max(abs(x - box.x), abs(y - box.y)) <= reduction / 2
    assert len(reductions) > 1 or size == 224
    assert np.mean(differences) < 1.6
    assert max(differences) < 6


def test_four_samples_a_pixel_are_much_better_than_one(photographs):
    crop = photographs[0][:380, :380]
    exact = np.asarray(Image.fromarray(crop).resize((224, 224), Image.Resampling.BILINEAR))
    fast = np.abs(resize_fast(crop, 224) - exact.astype(int)).mean()
    plain = np.abs(cv2.resize(crop, (224, 224)) - exact.astype(int)).mean()
    assert fast < 0.5 * plain


@pytest.mark.parametrize("size", [16, 40])
def test_large_pictures_of_other_formats_are_averaged(photographs, size):
    stream = io.BytesIO()
    Image.fromarray(photographs[0]).save(stream, "PNG")
    data = np.frombuffer(stream.getvalue(), np.uint8)
    settings = {"input_size": size, "scale": (1.0, 1.0), "ratio": (1.5, 1.5)}
    ours, exact = (
        TrainTransform(DataConfig(decoding=decoding, flip_probability=0, **settings))(
            data, "a.png", np.random.default_rng(0)
        ).astype(int)
        for decoding in ("fast", "exact")
    )
    assert np.abs(ours - exact).mean() < 4


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"quality": 5}])
@given(width=st.integers(1, 90), height=st.integers(1, 90))
@settings(max_examples=20)
def test_the_size_is_read_from_the_header(options, width, height):
    assert jpeg_size(small.jpeg(small.picture(0, width, height), **options)) == (width, height)


def test_the_size_of_a_picture_with_a_preview_is_its_own():
    preview = small.jpeg(small.picture(0, 16, 12)).tobytes()
    exif = Image.Exif()
    exif[0x010E] = "a" * 300
    whole = small.jpeg(small.picture(1, 80, 60), exif=exif).tobytes()
    segment = b"\xff\xe1" + (len(preview) + 2).to_bytes(2, "big") + preview
    data = np.frombuffer(whole[:2] + segment + whole[2:], np.uint8)
    assert jpeg_size(data) == (80, 60)
    assert jpeg_size(data[:200]) is None
    assert jpeg_size(np.frombuffer(b"\x89PNG\r\n\x1a\n" + bytes(40), np.uint8)) is None
    assert jpeg_size(data[:0]) is None


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(8, 400))
def test_a_reduction_leaves_the_box_as_large_as_the_input(width, height, size):
    reduction = reduction_for(Box(0, 0, width, height), size)
    short = min(width, height)
    assert reduction == 1 or short / reduction >= size
    assert reduction == 8 or short < 2 * reduction * size


@pytest.mark.parametrize("randaugment", [0, 9])
@pytest.mark.parametrize("decoding", ["fast", "exact"])
def test_a_sample_is_a_function_of_its_generator(decoding, randaugment):
    config = DataConfig(input_size=32, decoding=decoding, randaugment=randaugment)
    transform = TrainTransform(config)
    data = small.jpeg(small.picture(1, 90, 70))
    seen = []
    for state in (0, 1):
        random.seed(state)
        np.random.seed(state)
        torch.manual_seed(state)
        seen.append([transform(data, "a", np.random.default_rng(seed)) for seed in range(12)])
    for one, other in zip(*seen, strict=True):
        assert np.array_equal(one, other)
    assert len({picture.tobytes() for picture in seen[0]}) == 12
    assert all(picture.shape == (32, 32, 3) for picture in seen[0])


def test_pictures_are_mirrored_as_often_as_asked():
    data = small.jpeg(small.picture(1, 64, 64))
    settings = {"input_size": 64, "scale": (1.0, 1.0), "ratio": (1.0, 1.0)}
    plain = TrainTransform(DataConfig(flip_probability=0, **settings))
    upright = plain(data, "a", np.random.default_rng(0))
    transform = TrainTransform(DataConfig(flip_probability=0.3, **settings))
    pictures = [transform(data, "a", np.random.default_rng(seed)) for seed in range(200)]
    mirrored = [np.array_equal(picture, upright[:, ::-1]) for picture in pictures]
    assert all(
        flag or np.array_equal(picture, upright)
        for flag, picture in zip(mirrored, pictures, strict=True)
    )
    assert 0.2 < np.mean(mirrored) < 0.4


def test_a_header_that_is_not_the_pictures_is_damage(monkeypatch):
    """Crops are drawn from the header, so that it must be what is decoded."""
    monkeypatch.setattr(transforms, "jpeg_size", lambda _: (100, 80))
    transform = TrainTransform(DataConfig(input_size=16))
    with pytest.raises(DamagedFile, match=r"a\.jpg: its header and its pixels have different"):
        transform(small.jpeg(small.picture(1, 200, 160)), "a.jpg", np.random.default_rng(0))


@pytest.mark.parametrize("decoding", ["fast", "exact"])
def test_a_damaged_picture_is_named(decoding):
    transform = TrainTransform(DataConfig(decoding=decoding))
    data = small.jpeg(small.picture(1, 200, 160))
    for broken in (data[:-300], data[:100], data[:0], np.zeros(50, np.uint8)):
        with pytest.raises(DamagedFile, match=r"^somewhere/a\.jpg: "):
            transform(broken, "somewhere/a.jpg", np.random.default_rng(0))
