"""Samples and batches: what is in them, and that randomness comes from the generator alone."""

import json
import time
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from common.errors import UserError
from common.reading.image import read
from common.reading.outlines import decode, encode
from common.training import sampling
from common.training.sampling import Batches, Counted, generator_for
from tasks.detection.batches import AspectBatches, collate, pad
from tasks.detection.data import ScoringSet, TrainSet, as_tested, order
from tests.tasks.detection import small
from tests.tasks.detection.small import read_split


@pytest.fixture
def root(tmp_path):
    return small.write(tmp_path / "coco")


def train_set(root, **changes):
    config = replace(small.PLAIN, **changes)
    return TrainSet(read_split(root, "val2017", config), config)


def sample_of(dataset, index=0, epoch=0):
    return dataset.sample(index, generator_for(0, epoch, index))


def test_a_plain_sample(root):
    sample = sample_of(train_set(root))
    assert sample["image"].dtype == np.uint8
    np.testing.assert_array_equal(
        sample["image"].transpose(1, 2, 0), read(root / "images" / "val2017" / "000000000007.jpg")
    )
    assert sample["boxes"].dtype == np.float32
    assert sample["boxes"].tolist() == [[20, 30, 80, 90], [100, 40, 130, 70]], "no crowd"
    assert sample["labels"].dtype == np.int64
    assert sample["labels"].tolist() == [1, 2]
    assert sample["masks"].dtype == np.uint8
    polygon = encode([np.reshape(small.TRIANGLE, (-1, 2))], small.HEIGHT, small.WIDTH)
    np.testing.assert_array_equal(sample["masks"][0], decode([polygon], 120, 160)[0])
    np.testing.assert_array_equal(sample["masks"][1], small.square())
    assert sample["image_id"] == 7


def test_boxes_alone(root):
    assert set(sample_of(train_set(root, masks=False))) == {"image", "boxes", "labels", "image_id"}


def test_the_order_of_colours(root):
    red, blue = (sample_of(train_set(root, colour=colour))["image"] for colour in ("RGB", "BGR"))
    np.testing.assert_array_equal(red, blue[::-1])


def test_pictures_without_objects_are_left_out_or_kept_as_negatives(root):
    assert len(train_set(root)) == 2
    kept = train_set(root, keep_empty=True)
    assert len(kept) == 3
    sample = sample_of(kept, 2)
    assert sample["image_id"] == 9
    assert sample["boxes"].shape == (0, 4)
    assert sample["labels"].shape == (0,)
    assert sample["masks"].shape == (0, small.HEIGHT, small.WIDTH)


def test_a_picture_with_a_crowd_alone_is_without_objects(root):
    coco = small.content()
    coco["annotations"] = [one for one in coco["annotations"] if one["id"] in (103, 501)]
    small.annotate(root, coco)
    assert [sample_of(train_set(root), index)["image_id"] for index in range(1)] == [8]
    coco["annotations"] = coco["annotations"][1:]
    small.annotate(root, coco)
    with pytest.raises(UserError, match="has crowds only"):
        train_set(root)


AUGMENTED = {"flip_probability": 0.5, "short_sides": (60, 90, 120, 150)}
JITTERED = {"jitter": (0.3, 2.0), "crop_size": (96, 128), "copy_paste_probability": 0.7}


@pytest.mark.parametrize("changes", [AUGMENTED, {**AUGMENTED, **JITTERED}])
def test_a_sample_depends_on_its_generator_alone(root, changes):
    dataset = train_set(root, **changes)
    first, again, other = (sample_of(dataset, epoch=epoch) for epoch in (3, 3, 4))
    for name, value in first.items():
        np.testing.assert_array_equal(value, again[name])
    assert first["image"].shape != other["image"].shape or (first["image"] != other["image"]).any()


def test_every_short_side_is_drawn_and_flips_are_as_frequent_as_asked(root):
    dataset = train_set(root, flip_probability=0.25, short_sides=(60, 90, 120))
    samples = [sample_of(dataset, epoch=epoch) for epoch in range(200)]
    sides = [sample["image"].shape[1] for sample in samples]
    assert set(sides) == {60, 90, 120}
    # The triangle lies at the left of a picture that is not mirrored.
    left = [one["boxes"][0, 0] < one["image"].shape[2] * 0.3 for one in samples]
    assert 0.65 < np.mean(left) < 0.85


def test_the_longest_side_bounds_the_picture(root):
    dataset = train_set(root, short_sides=(120,), longest_side=130)
    assert sample_of(dataset)["image"].shape == (3, 98, 130)


@pytest.mark.parametrize("masks", [True, False])
def test_jittered_samples_are_sound(root, masks):
    changes = {**JITTERED, "copy_paste_probability": 0.5 * masks, "masks": masks}
    dataset = train_set(root, **changes)
    counts = []
    for epoch in range(80):
        sample = sample_of(dataset, epoch=epoch)
        assert sample["image"].shape == (3, 96, 128)
        assert (sample["boxes"] >= 0).all()
        assert (sample["boxes"] <= [128, 96, 128, 96]).all()
        assert (sample["boxes"][:, 2:] - sample["boxes"][:, :2] >= 1).all()
        counts.append(len(sample["labels"]))
        assert len(sample["boxes"]) == counts[-1]
        if masks:
            assert sample["masks"].shape == (counts[-1], 96, 128)
            assert sample["masks"].any(axis=(1, 2)).all()
    assert min(counts) < 2
    assert max(counts) > 2 if masks else max(counts) == 2, "pasted ones come on top"


def test_masks_are_refused_where_there_are_none(root):
    coco = small.content()
    coco["annotations"][2]["segmentation"] = []
    small.annotate(root, coco)
    with pytest.raises(
        UserError, match=r"1 of 4 objects have no 'segmentation', .*--model.detector faster_rcnn$"
    ):
        read_split(root, "val2017", small.PLAIN)
    assert len(read_split(root, "val2017", replace(small.PLAIN, masks=False))) == 3


def test_chosen_classes(root):
    dataset = train_set(root, classes=("kite",))
    assert len(dataset) == 1
    assert sample_of(dataset)["labels"].tolist() == [1]


def test_whole_pictures_for_evaluation(root):
    config = replace(small.PLAIN, test_short_side=60)
    dataset = ScoringSet(read_split(root, "val2017", config), config)
    assert len(dataset) == 3, "pictures without objects are scored too"
    sample = dataset[2]
    assert sample["image"].shape == (3, 60, 80)
    assert sample["image_id"] == 9
    assert sample["original_size"].tolist() == [small.HEIGHT, small.WIDTH]
    stored = read(root / "images" / "val2017" / "000000000009.jpg")
    np.testing.assert_array_equal(sample["image"], as_tested(stored, config))


def test_a_batch_is_padded_with_zeros_to_multiples_of_the_stride():
    samples = [
        {
            "image": np.full((3, *size), 7, np.uint8),
            "boxes": np.zeros((count, 4), np.float32),
            "labels": np.ones(count, np.int64),
            "masks": np.ones((count, *size), np.uint8),
            "image_id": number,
            "skipped": "",
        }
        for number, (size, count) in enumerate([((50, 97), 2), ((64, 30), 0)])
    ]
    batch = collate(samples)
    assert batch["image"].shape == (2, 3, 64, 128)
    assert batch["image"].dtype == torch.uint8
    assert batch["size"].tolist() == [[50, 97], [64, 30]]
    for image, (height, width) in zip(batch["image"], batch["size"].tolist(), strict=True):
        assert (image[:, :height, :width] == 7).all()
        assert image.sum() == 7 * 3 * height * width
    assert [tuple(boxes.shape) for boxes in batch["boxes"]] == [(2, 4), (0, 4)]
    assert [tuple(masks.shape) for masks in batch["masks"]] == [(2, 50, 97), (0, 64, 30)]
    assert batch["labels"][0].tolist() == [1, 1]
    assert batch["image_id"].tolist() == [0, 1]
    assert batch["skipped"] == ["", ""]


def test_a_batch_for_evaluation(root):
    dataset = ScoringSet(read_split(root, "val2017", small.PLAIN), small.PLAIN)
    batch = collate([dataset[0], dataset[1]])
    assert set(batch) == {"image", "size", "image_id", "original_size"}
    assert batch["original_size"].tolist() == [[120, 160]] * 2
    assert pad([torch.ones(3, 32, 64)]).shape == (1, 3, 32, 64)


@pytest.mark.parametrize("workers", [0, 2])
def test_through_the_loader_with_a_damaged_picture(root, workers):
    path = root / "images" / "val2017" / "000000000008.jpg"
    path.write_bytes(path.read_bytes()[:-400])
    dataset = train_set(root, on_error="skip")
    loader = DataLoader(
        Counted(dataset, seed=0, on_error="skip"),
        batch_sampler=Batches(lambda _: [0, 1], batch_size=2, epochs=1),
        num_workers=workers,
        collate_fn=partial(sampling.collate, stack=collate),
    )
    (batch,) = loader
    assert batch["image_id"].tolist() == [7, 7]
    assert batch["skipped"][0] == ""
    assert str(path) in batch["skipped"][1]


# --- batches of one aspect ---


LANDSCAPE = np.random.default_rng(0).random(103) < 0.7


def test_each_batch_is_of_one_aspect_and_no_sample_comes_twice():
    batches = AspectBatches(LANDSCAPE, 8, seed=3)
    for epoch in range(4):
        found = batches(epoch)
        assert len(found) == LANDSCAPE.sum() // 8 * 8 + (~LANDSCAPE).sum() // 8 * 8
        assert len(set(found.tolist())) == len(found)
        kinds = LANDSCAPE[found].reshape(-1, 8)
        assert (kinds.all(axis=1) | ~kinds.any(axis=1)).all()
        assert kinds[:, 0].any()
        assert not kinds[:, 0].all()


def test_the_order_is_a_pure_function_of_seed_and_epoch():
    first = AspectBatches(LANDSCAPE, 8, seed=3)(5)
    np.random.seed(1)
    np.testing.assert_array_equal(first, AspectBatches(LANDSCAPE, 8, seed=3)(5))
    for other in (AspectBatches(LANDSCAPE, 8, seed=4)(5), AspectBatches(LANDSCAPE, 8, seed=3)(6)):
        assert (first != other).any()


def test_all_samples_come_up_over_the_epochs_and_kinds_are_mixed():
    batches = AspectBatches(LANDSCAPE, 8, seed=0)
    assert set(np.concatenate([batches(epoch) for epoch in range(12)]).tolist()) == set(range(103))
    kinds = [LANDSCAPE[batches(epoch)].reshape(-1, 8)[:, 0].tolist() for epoch in range(6)]
    assert any(kind != sorted(kind) for kind in kinds)
    assert len({tuple(kind) for kind in kinds}) > 1


@pytest.mark.parametrize(("ranks", "accumulate"), [(1, 1), (2, 1), (2, 2), (4, 1)])
def test_every_rank_gets_micro_batches_of_one_aspect(ranks, accumulate):
    order = AspectBatches(LANDSCAPE, 8, seed=3)
    steps = []
    for rank in range(ranks):
        own = list(Batches(order, 8, 2, accumulate, rank, ranks))
        steps.append([{bool(LANDSCAPE[index]) for _, index in micro} for micro in own])
    for kinds in zip(*steps, strict=True):
        assert all(kind == kinds[0] and len(kind) == 1 for kind in kinds)


def test_the_order_of_a_training_set(root, capsys):
    coco = small.content()
    coco["images"][1] |= {"width": small.HEIGHT, "height": small.WIDTH}
    small.write(root / "turned", coco)
    grouped = train_set(root / "turned", group_by_aspect=True)
    assert sorted(order(grouped, 1, seed=0)(0).tolist()) == [0, 1]
    assert order(grouped, 2, seed=0) is None
    said = "neither the landscape nor the portrait pictures of 2 fill a batch of 2"
    assert said in capsys.readouterr().err
    assert order(train_set(root / "turned"), 2, seed=0) is None


def test_reading_coco_is_quick(root):
    """A file of 3,000 pictures and 20,000 objects: COCO's training set has forty times as many."""
    coco = small.content()
    coco["images"] = [
        {"id": number, "file_name": f"{number}.jpg", "width": 160, "height": 120}
        for number in range(3000)
    ]
    ring = np.random.default_rng(0).uniform(20, 90, 50).round(2).tolist()
    coco["annotations"] = [
        small.triangle(number, number % 3000, segmentation=[ring]) for number in range(20_000)
    ]
    text = json.dumps(coco)
    small.annotate(root, text)
    start = time.process_time()
    annotations = read_split(root, "val2017", replace(small.PLAIN, on_error="skip"))
    assert time.process_time() - start < 6  # 0.8 s on an idle core.
    assert len(annotations.ids) == 20_000
