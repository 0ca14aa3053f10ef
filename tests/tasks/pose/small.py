"""Small COCO and MPII data sets, written by hand for the tests."""

import json

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from common.errors import UserError
from tasks.pose.config import DataConfig

WIDTH, HEIGHT = 160, 120
PLAIN = DataConfig(
    coding="published", padding=1.25, scale_factor=0, rotation_probability=0, flip_probability=0
)
"""Published coding, no augmentation."""


def person(number, image_id, **changes):
    """An annotation with the joints spread over the box (40, 20, 60, 80)."""
    joints = np.column_stack([np.linspace(45, 95, 17), np.linspace(25, 95, 17), np.full(17, 2)])
    entry = {
        "id": number,
        "image_id": image_id,
        "category_id": 1,
        "iscrowd": 0,
        "bbox": [40, 20, 60, 80],
        "area": 2400,
        "num_keypoints": 17,
        "keypoints": joints.ravel().tolist(),
        "segmentation": [[40, 20, 100, 20, 100, 100]],
    }
    return {**entry, **changes}


def content(pictures=3):
    """The dictionary of an annotation file: one person a picture."""
    return {
        "images": [
            {"id": 7 + k, "file_name": f"{7 + k:012d}.jpg", "width": WIDTH, "height": HEIGHT}
            for k in range(pictures)
        ],
        "annotations": [person(100 + k, 7 + k) for k in range(pictures)],
        "categories": [{"id": 1, "name": "person"}],
    }


def write_coco(root, coco=None, split="val2017", folder="images/val2017"):
    """Write a data set; every picture that it names is made."""
    coco = content() if coco is None else coco
    (root / folder).mkdir(parents=True)
    for entry in coco["images"]:
        picture(entry["id"]).save(root / folder / entry["file_name"], quality=95)
    annotate(root, coco, split)
    return root


def annotate(root, coco, split="val2017"):
    """Write the annotation file only."""
    file = root / "annotations" / f"person_keypoints_{split}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(coco if isinstance(coco, str) else json.dumps(coco))
    return file


def picture(seed):
    """A smooth colourful picture."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)


def write_mpii(root, persons=3, split="valid"):
    """Write an MPII data set; returns its persons and the head boxes (2, 2, N)."""
    generator = np.random.default_rng(0)
    entries = [
        {
            "image": f"{k // 2:09d}.jpg",
            "center": [80.0, 60.0],
            "scale": 0.5,
            "joints": generator.uniform(20, 100, (16, 2)).round(1).tolist(),
            "joints_vis": [1] * 15 + [k % 2],
        }
        for k in range(persons)
    ]
    (root / "annot").mkdir(parents=True)
    (root / "images").mkdir()
    for name in {entry["image"] for entry in entries}:
        picture(1).save(root / "images" / name)
    (root / "annot" / f"{split}.json").write_text(json.dumps(entries))
    heads = generator.uniform(10, 60, (2, 2, persons))
    savemat(
        root / "annot" / "gt_valid.mat",
        {
            "pos_gt_src": np.array([entry["joints"] for entry in entries]).transpose(1, 2, 0),
            "jnt_missing": 1 - np.array([entry["joints_vis"] for entry in entries]).T,
            "headboxes_src": heads,
        },
    )
    return entries, heads


def refused(read, *words):
    """The one line that a reader is refused with; it must contain the words."""
    with pytest.raises(UserError) as caught:
        read()
    line = str(caught.value)
    assert "\n" not in line
    for word in words:
        assert str(word) in line
    return line
