"""One set in several formats is one set: the same objects, whatever files say it."""

import json

import numpy as np
import pytest

from common.errors import UserError
from tasks.detection.config import Config, DataConfig, ModelConfig
from tasks.detection.data import TrainSet, read
from tests.tasks.detection import small

NAMES = ("person", "cat", "kite")


def set_of(root, data_format, **changes):
    data = {"root": root, "format": data_format, "masks": False, "val_split": "val"}
    config = DataConfig(**data | {"train_split": "train"} | changes)
    return read(Config(data=config, model=ModelConfig(detector="faster_rcnn")), "val")


def write_yolo(root, annotations):
    (root / "labels" / "val").mkdir(parents=True)
    for row, image in enumerate(annotations.images):
        height, width = annotations.sizes[row]
        objects = annotations.objects(row)
        lines = []
        for label, (left, top, right, bottom) in zip(objects.labels, objects.boxes, strict=True):
            middle = ((left + right) / 2 / width, (top + bottom) / 2 / height)
            sides = ((right - left) / width, (bottom - top) / height)
            lines.append(" ".join(map(str, (label - 1, *middle, *sides))) + "\n")
        (root / "labels" / "val" / f"{image.stem}.txt").write_text("".join(lines))
    names = "".join(f"  {number}: {name}\n" for number, name in enumerate(NAMES))
    (root / "data.yaml").write_text(f"path: .\nval: images/val\nnames:\n{names}")


def write_labelme(root, annotations):
    (root / "val").mkdir(parents=True)
    for row, image in enumerate(annotations.images):
        objects = annotations.objects(row)
        shapes = [
            {"label": NAMES[label - 1], "points": [box[2:], box[:2]], "shape_type": "rectangle"}
            for label, box in zip(objects.labels, objects.boxes.tolist(), strict=True)
        ]
        content = {"shapes": shapes, "imagePath": f"..\\images\\val\\{image.name}"}
        (root / "val" / f"{image.stem}.json").write_text(json.dumps(content))
    (root / "classes.txt").write_text("\n".join(NAMES))


@pytest.mark.parametrize(
    ("data_format", "write"), [("yolo", write_yolo), ("labelme", write_labelme)]
)
def test_the_same_objects_in_every_format(tmp_path, data_format, write):
    coco = small.content()
    coco["annotations"] = [one for one in coco["annotations"] if not one["iscrowd"]]
    root = small.write(tmp_path, coco, split="val", folder="images/val")
    expected = set_of(root, "coco")
    write(root, expected)
    found = set_of(root, data_format)
    assert found.classes == expected.classes == NAMES
    assert found.sizes.tolist() == expected.sizes.tolist()
    for row in range(len(expected)):
        assert found.images[row].resolve() == expected.images[row]
        np.testing.assert_allclose(found.objects(row).boxes, expected.objects(row).boxes)
        assert found.objects(row).labels.tolist() == expected.objects(row).labels.tolist()
    assert len(TrainSet(found, small.PLAIN)) == 2
    assert "; layout: " in found.summary()
    assert set_of(root, data_format, classes=("kite",)).classes == ("kite",)
    assert len(found.ground_truth()["annotations"]) == 3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": "voc", "val_pictures": "x"}, "belong to --data.format coco, yolo, labelme"),
        ({"train_split": "val", "train_annotations": "x"}, "are both val, with other files"),
    ],
)
def test_files_that_cannot_be_named(tmp_path, changes, words):
    with pytest.raises(UserError, match=words):
        DataConfig(**{"masks": False, "val_split": "val"} | changes)


def test_each_split_has_its_own_files(tmp_path):
    data = DataConfig(train_annotations=tmp_path / "a", val_pictures=tmp_path / "b")
    assert data.files("train2017") == (tmp_path / "a", None, "train")
    assert data.files("val2017") == (None, tmp_path / "b", "val")
