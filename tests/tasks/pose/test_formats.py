"""Persons in the formats of annotation tools, and categories that are not COCO's."""

import json

import numpy as np
import pytest

from common.errors import UserError
from tasks.pose.config import Config, DataConfig
from tasks.pose.data import read
from tasks.pose.metrics import coco_scores
from tasks.pose.skeleton import COCO
from tests.tasks.pose import small


def set_of(root, data_format):
    config = DataConfig(root=root, format=data_format, train_split="train", val_split="val")
    return read(Config(data=config), "val")


def write_yolo(root, expected):
    (root / "labels" / "val").mkdir(parents=True)
    size = np.array([small.WIDTH, small.HEIGHT])
    for number, path in expected.images.items():
        joints = expected.joints[expected.image_ids == number] / [*size, 1]
        middle, sides = np.array([70, 60]) / size, np.array([60, 80]) / size
        lines = [" ".join(map(str, [0, *middle, *sides, *one.ravel()])) + "\n" for one in joints]
        (root / "labels" / "val" / f"{path.stem}.txt").write_text("".join(lines))
    order = list(COCO.mirrored)
    text = f"val: images/val\nnames: [person]\nkpt_shape: [17, 3]\nflip_idx: {order}\n"
    (root / "data.yaml").write_text(text)


def write_labelme(root, expected):
    (root / "val").mkdir()
    for number, path in expected.images.items():
        (joints,) = expected.joints[expected.image_ids == number]
        shapes = [
            {"label": "person", "points": [[40, 20], [100, 100]], "shape_type": "rectangle"},
            *(
                {"label": name, "points": [point], "shape_type": "point"}
                for name, point in zip(COCO.names, joints[:, :2].tolist(), strict=True)
            ),
        ]
        content = {"shapes": shapes, "imagePath": f"../images/val/{path.name}"}
        (root / "val" / f"{path.stem}.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("data_format", "write"), [("yolo", write_yolo), ("labelme", write_labelme)]
)
def test_the_same_persons_in_every_format(tmp_path, data_format, write):
    root = small.write_coco(tmp_path, split="val", folder="images/val")
    expected = set_of(root, "coco")
    write(root, expected)
    found = set_of(root, data_format)
    assert [path.resolve() for path in found.images.values()] == list(expected.images.values())
    np.testing.assert_allclose(found.joints, expected.joints)
    np.testing.assert_allclose(found.boxes, expected.boxes)
    answers = [
        {
            "image_id": int(number),
            "category_id": 1,
            "keypoints": joints.ravel().tolist(),
            "score": 1,
        }
        for number, joints in zip(found.image_ids, found.joints, strict=True)
    ]
    scores = coco_scores(found.ground_truth(), answers, np.array(COCO.sigmas))
    assert scores["AP"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("categories", "person"),
    [
        ([{"id": 0, "name": "things"}, {"id": 3, "name": "Person"}], 3),
        ([{"id": 0, "name": "athlete"}], 0),
        ([{"id": 1, "name": "x"}, {"id": 2, "name": "y"}], 1),
    ],
)
def test_the_category_of_persons(tmp_path, categories, person):
    coco = small.content() | {"categories": categories}
    for entry in coco["annotations"]:
        entry["category_id"] = person
    found = set_of(small.write_coco(tmp_path, coco, split="val", folder="val"), "coco")
    assert len(found) == 3
    assert {entry["category_id"] for entry in found.ground_truth()["annotations"]} == {1}


def test_mpii_has_its_own_files():
    with pytest.raises(
        UserError, match=r"belong to --data\.format coco, yolo, labelme, not to mpii"
    ):
        DataConfig(format="mpii", val_annotations="x")
