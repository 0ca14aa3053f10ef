"""Small segmentation data sets, written by hand for the tests."""

from dataclasses import replace

import numpy as np
from PIL import Image
from scipy.io import savemat

from tasks.segmentation.config import Config
from tasks.segmentation.data import read
from tasks.segmentation.palette import voc_colours, write_labels

WIDTH, HEIGHT = 64, 48
CLASSES = ("background", "disc", "bar")


def read_split(root, split, data):
    """A split of the data set under a root."""
    return read(Config(data=replace(data, root=root)), split)


def labels(seed, width=WIDTH, height=HEIGHT):
    """A disc and a bar on the background, a column of void at the left."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    found = np.zeros((height, width), dtype=np.uint8)
    found[(x - generator.integers(12, width - 12)) ** 2 + (y - height // 2) ** 2 < 100] = 1
    top = int(generator.integers(2, height - 8))
    found[top : top + 6, width // 3 :] = 2
    found[:, 0] = 255
    return found


def picture(seed, width=WIDTH, height=HEIGHT):
    """The classes in colours of their own, and noise."""
    colours = np.array([[60, 90, 60], [220, 40, 40], [40, 60, 230]])
    classes = np.where(labels(seed, width, height) == 255, 0, labels(seed, width, height))
    noise = np.random.default_rng(seed).normal(0, 8, (height, width, 1))
    return np.clip(colours[classes] + noise, 0, 255).astype(np.uint8)


def write_voc(root, train=6, val=3, classes=CLASSES):
    """VOC's layout, pictures of two sizes; returns the root."""
    lists = root / "ImageSets" / "Segmentation"
    for folder in (lists, root / "JPEGImages", root / "SegmentationClass"):
        folder.mkdir(parents=True)
    names = [f"2007_{number:06d}" for number in range(train + val)]
    for number, name in enumerate(names):
        size = (WIDTH, HEIGHT) if number % 2 else (HEIGHT, WIDTH)
        Image.fromarray(picture(number, *size)).save(
            root / "JPEGImages" / f"{name}.jpg", quality=95
        )
        write_labels(
            root / "SegmentationClass" / f"{name}.png", labels(number, *size), voc_colours()
        )
    (lists / "train.txt").write_text("\n".join(names[:train]) + "\n")
    (lists / "val.txt").write_text("\n".join(names[train:]) + "\n")
    if classes:
        (root / "classes.txt").write_text("\n".join(classes) + "\n")
    return root


def write_sbd(root, voc, train, val):
    """SBD's layout with lists of these names; JPEGs that VOC lacks are added there."""
    (root / "cls").mkdir(parents=True)
    for split, names in (("train", train), ("val", val)):
        (root / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))
        for name in names:
            # Another label than VOC's, and no void, as in the official files.
            save_mat(root / "cls" / f"{name}.mat", np.full((HEIGHT, WIDTH), 2, np.uint8))
            picture_file = voc / "JPEGImages" / f"{name}.jpg"
            if not picture_file.exists():
                Image.fromarray(picture(1)).save(picture_file)
    return root


def save_mat(path, segmentation):
    """A label file in the structure of SBD's."""
    classes = np.unique(segmentation).astype(np.uint8)
    savemat(
        path,
        {"GTcls": {"Boundaries": 0, "Segmentation": segmentation, "CategoriesPresent": classes}},
        do_compression=True,
    )


def write_list(root, pictures=4, split="train"):
    """CamVid's layout: `train.txt` with a picture and its label a line, void is 3."""
    (root / split).mkdir(parents=True)
    (root / f"{split}annot").mkdir()
    lines = []
    for number in range(pictures):
        image, label = f"{split}/{number}.png", f"{split}annot/{number}.png"
        Image.fromarray(picture(number)).save(root / image)
        stored = labels(number)
        stored[stored == 255] = 3
        Image.fromarray(stored).save(root / label)
        lines.append(f"{image} /{label}")
    (root / f"{split}.txt").write_text("\n".join(lines) + "\n")
    return root
