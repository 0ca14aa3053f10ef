import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.data import default_collate

from common.training.sampling import generator_for
from tasks.pose.config import Config, DataConfig
from tasks.pose.data import ScoringSet, TrainSet, read, read_boxes, read_coco
from tasks.pose.mpii import read_mpii
from tasks.pose.skeleton import COCO, MPII
from tasks.pose.transforms import box_to_crop, to_image
from tests.tasks.pose import small


@pytest.mark.parametrize("folder", ["images/val2017", "val2017"])
def test_read_coco(tmp_path, folder):
    coco = small.content()
    coco["annotations"] += [
        small.person(200, 7, iscrowd=1, keypoints=[0] * 51),
        small.person(201, 8, keypoints=[0] * 51),
        small.person(202, 8, category_id=3),
        small.person(203, 9, bbox=[100, 50, 60, 70]),
    ]
    root = small.write_coco(tmp_path, coco, folder=folder)
    found = read_coco(root, "val2017")
    assert len(found) == 4
    assert found.ids.tolist() == [100, 101, 102, 203]
    assert found.image_ids.tolist() == [7, 8, 9, 9]
    assert found.images[8] == root / folder / "000000000008.jpg"
    assert found.joints.shape == (4, 17, 3)
    np.testing.assert_allclose(found.joints[0, 0], [45, 25, 2])
    # The published sanitation counts the last pixel of a box, not its end.
    np.testing.assert_allclose(found.boxes[[0, 3]], [[40, 20, 59, 79], [100, 50, 59, 69]])
    assert found.skeleton is COCO
    summary = found.summary()
    assert "4 persons in 3 pictures" in summary
    assert "1 crowds, 1 without joints" in summary
    data = (root / "annotations" / "person_keypoints_val2017.json").read_bytes()
    assert found.fingerprint == hashlib.sha256(data).hexdigest()


def published_box(box, width, height):
    """The published lines, for one box."""
    x, y, w, h = box
    x1, y1 = np.max((0, x)), np.max((0, y))
    x2 = np.min((width - 1, x1 + np.max((0, w - 1))))
    y2 = np.min((height - 1, y1 + np.max((0, h - 1))))
    return [x1, y1, x2 - x1, y2 - y1] if x2 >= x1 and y2 >= y1 else None


def test_boxes_are_clipped_as_published(tmp_path):
    generator = np.random.default_rng(0)
    drawn = generator.uniform([-20, -20, 2, 2], [150, 110, 150, 120], (60, 4)).round(2).tolist()
    coco = small.content(1)
    coco["annotations"] = [small.person(k, 7, bbox=box) for k, box in enumerate(drawn)]
    found = read_coco(small.write_coco(tmp_path, coco), "val2017")
    assert len(found) > 40
    for number, box in zip(found.ids, found.boxes, strict=True):
        np.testing.assert_allclose(
            box, published_box(drawn[number], small.WIDTH, small.HEIGHT), atol=1e-9
        )


def test_ground_truth_holds_everything_that_scoring_counts(tmp_path):
    coco = small.content()
    coco["annotations"].append(small.person(200, 7, iscrowd=1, keypoints=[0] * 51))
    coco["images"].append({**coco["images"][0], "id": 55, "file_name": "55.jpg"})
    found = read_coco(small.write_coco(tmp_path, coco), "val2017").ground_truth()
    assert [entry["id"] for entry in found["annotations"]] == [100, 101, 102, 200]
    assert [entry["id"] for entry in found["images"]] == [7, 8, 9, 55]
    assert found["categories"] == coco["categories"]
    assert all("segmentation" not in entry for entry in found["annotations"])


def test_training_sample(tmp_path):
    annotations = read_coco(small.write_coco(tmp_path), "val2017")
    config = replace(small.PLAIN, input_size=(256, 192), sigma=2)
    dataset = TrainSet(annotations, config)
    assert len(dataset) == 3
    sample = dataset.sample(1, generator_for(0, 0, 1))
    assert sample["image"].shape == (3, 256, 192)
    assert sample["image"].dtype == np.uint8
    assert sample["heatmaps"].shape == (17, 64, 48)
    assert sample["weights"].tolist() == [1] * 17
    assert sample["index"] == 1
    batch = default_collate([sample, sample])
    assert batch["image"].dtype == torch.uint8
    # The targets lie where the crop shows the joints.
    center, extent = box_to_crop(annotations.boxes[1], 0.75, 1.25)
    peaks = [np.unravel_index(heatmap.argmax(), (64, 48))[::-1] for heatmap in sample["heatmaps"]]
    back = to_image(np.array(peaks, dtype=float), center, extent, (48, 64), unbiased=False)
    pixel = extent[0] / 48
    assert np.abs(back - annotations.joints[1, :, :2]).max() <= pixel / 2 + 1e-6


def test_colour_order_is_the_recipes(tmp_path):
    annotations = read_coco(small.write_coco(tmp_path), "val2017")
    red, blue = (
        TrainSet(annotations, replace(small.PLAIN, colour=colour)).sample(0, generator_for(0, 0, 0))
        for colour in ("RGB", "BGR")
    )
    np.testing.assert_array_equal(red["image"], blue["image"][::-1])
    one, other = (
        ScoringSet(annotations, replace(small.PLAIN, colour=colour))[0] for colour in ("RGB", "BGR")
    )
    np.testing.assert_array_equal(one["image"], other["image"][::-1])


def test_samples_are_a_function_of_the_generator(tmp_path):
    annotations = read_coco(small.write_coco(tmp_path), "val2017")
    dataset = TrainSet(annotations, DataConfig(half_body_probability=0.3))
    one, same, other = (dataset.sample(0, generator_for(0, epoch, 0)) for epoch in (3, 3, 4))
    np.testing.assert_array_equal(one["image"], same["image"])
    np.testing.assert_array_equal(one["heatmaps"], same["heatmaps"])
    assert not np.array_equal(one["image"], other["image"])


@pytest.mark.parametrize("coding", ["published", "unbiased"])
def test_a_test_sample_is_the_training_sample_without_augmentation(tmp_path, coding):
    annotations = read_coco(small.write_coco(tmp_path), "val2017")
    config = replace(small.PLAIN, coding=coding)
    trained = TrainSet(annotations, config).sample(2, generator_for(0, 0, 0))
    tested = ScoringSet(annotations, config)[2]
    np.testing.assert_array_equal(trained["image"], tested["image"])
    assert tested["image_id"] == 9
    assert tested["annotation"] == 2
    assert tested["index"] == 2
    assert tested["score"] == 1.0
    np.testing.assert_allclose(tested["center"], [40 + 59 / 2, 20 + 79 / 2])
    np.testing.assert_allclose(tested["extent"], [79 * 0.75 * 1.25, 79 * 1.25])
    assert default_collate([tested])["center"].dtype == torch.float64


def box(image_id, score, xywh=(10, 10, 50, 60), category=1):
    return {"image_id": image_id, "category_id": category, "bbox": list(xywh), "score": score}


def test_detected_boxes(tmp_path):
    annotations = read_coco(small.write_coco(tmp_path), "val2017")
    file = tmp_path / "boxes.json"
    rows = [
        box(9, 0.9),
        box(7, 0.1),
        box(7, 0.8, category=2),
        box(7, 0.8, (5, 5, 0, 10)),
        box(7, 0.8, (500, 5, 20, 20)),
        box(8, 0.5, (-5, -5, 40, 200)),
    ]
    file.write_text(json.dumps(rows))
    boxes = read_boxes(file, annotations, threshold=0.2)
    assert boxes.image_ids.tolist() == [9, 8]
    assert boxes.scores.tolist() == [0.9, 0.5]
    # Detected boxes are not clipped.
    np.testing.assert_allclose(boxes.boxes, [[10, 10, 50, 60], [-5, -5, 40, 200]])
    assert "2 boxes in 2 pictures" in boxes.summary()
    assert "1 of other categories" in boxes.summary()
    assert "1 with a score below 0.2" in boxes.summary()
    assert "2 of no area or outside the picture" in boxes.summary()
    dataset = ScoringSet(annotations, DataConfig(), boxes)
    assert len(dataset) == 2
    assert dataset[0]["image_id"] == 9
    assert dataset[0]["score"] == 0.9
    assert dataset[0]["annotation"] == -1


@pytest.mark.parametrize("split", ["train", "valid"])
def test_read_mpii(tmp_path, split):
    entries, heads = small.write_mpii(tmp_path, split=split)
    found = read_mpii(tmp_path, split)
    assert found.skeleton is MPII
    assert len(found) == 3
    assert found.image_ids.tolist() == [0, 0, 1]
    assert found.images[1] == tmp_path / "images" / "000000001.jpg"
    np.testing.assert_allclose(found.joints[:, :, :2], np.array([e["joints"] for e in entries]) - 1)
    assert found.joints[:, 15, 2].tolist() == [0, 1, 0]
    # The published lines: the centre moves down by 15 * scale, the scale grows by 1.25.
    center, extent = box_to_crop(found.boxes[0], 1.0, 1.25)
    np.testing.assert_allclose(center, [80 - 1, 60 + 15 * 0.5 - 1])
    np.testing.assert_allclose(extent, [0.5 * 1.25 * 200] * 2)
    if split == "valid":
        expected = np.linalg.norm(heads[1] - heads[0], axis=0)
        np.testing.assert_allclose(found.head_sizes, expected)
    else:
        assert found.head_sizes.size == 0


def test_mpii_samples(tmp_path):
    small.write_mpii(tmp_path)
    annotations = read_mpii(tmp_path, "valid", "stop")
    config = replace(small.PLAIN, format="mpii", input_size=(256, 256), sigma=2)
    sample = TrainSet(annotations, config).sample(0, generator_for(0, 0, 0))
    assert sample["heatmaps"].shape == (16, 64, 64)
    assert sample["weights"].tolist()[15] == 0
    assert ScoringSet(annotations, config)[2]["annotation"] == 2


def test_joints_that_nobody_has_labelled_are_told(tmp_path, capsys):
    coco = small.content()
    for one in coco["annotations"]:
        one["keypoints"][3 * 3 + 2] = one["keypoints"][4 * 3 + 2] = 0
    data = replace(small.PLAIN, root=small.write_coco(tmp_path, coco))
    read(Config(data=data), "val2017").tell_absent()
    assert capsys.readouterr().err == (
        "note: person_keypoints_val2017.json: 2 of 17 joints are labelled in none of 3 persons "
        "(left_ear, right_ear)\n"
    )
