"""Small data sets of people, written by hand for the tests, and a tiny trained run."""

import dataclasses
import zlib

import numpy as np
import torch
from PIL import Image
from scipy.io import savemat

from common.commands import config
from common.training import checkpoint
from common.training.settings import EngineConfig, LoaderConfig
from tasks.reid.config import Config, DataConfig, ScoringConfig
from tasks.reid.model import build

PLAIN = DataConfig(input_size=(32, 16), flip_probability=0, padding=0, erase_probability=0)
"""No augmentation."""


def picture(seed, size=(24, 48), variant=0):
    """A smooth colourful picture of that width and height; variants of a seed look much alike."""
    coarse = np.random.default_rng(int(seed)).integers(0, 256, (4, 2, 3))
    coarse = coarse + np.random.default_rng([7, variant]).integers(-9, 10, coarse.shape)
    smooth = Image.fromarray(np.clip(coarse, 0, 255).astype(np.uint8))
    return smooth.resize(size, Image.Resampling.BICUBIC)


def save(path, seed=0):
    """Each file name is a variant of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(seed, variant=zlib.crc32(path.name.encode())).save(path, quality=95)
    return path


def write_market(root, train=(1, 2, 3), test=(11, 12, 13), cameras=(1, 2), extra=()):
    """Two pictures of each person by each camera; of test persons the first is a query."""
    for folder, persons in (("bounding_box_train", train), ("bounding_box_test", test)):
        (root / folder).mkdir(parents=True, exist_ok=True)
        for person in persons:
            for camera in cameras:
                for number in (0, 1):
                    query = folder == "bounding_box_test" and number == 0
                    name = f"{person:04d}_c{camera}s1_{number:06d}_00.jpg"
                    save(root / ("query" if query else folder) / name, person)
    (root / "query").mkdir(exist_ok=True)
    for name in extra:
        save(root / name, 77)
    return root


def write_msmt17(root, version=1):
    """Two persons of training and two others of the test, both numbered from 0."""
    train, test = ("train", "test") if version == 1 else ("mask_train_v2", "mask_test_v2")
    lists = {"train": train, "val": train, "query": test, "gallery": test}
    for number, (name, folder) in enumerate(lists.items()):
        lines = []
        for person in (0, 1):
            for camera in (1, 14):
                file = f"{person:04d}/{person:04d}_{number:03d}_{camera:02d}_0303morning_0008_0.jpg"
                save(root / folder / file, person)
                lines.append(f"{file} {person}\n")
        (root / f"list_{name}.txt").write_text("".join(lines))
    return root


def write_cuhk03(root, boxes="detected"):
    """Two persons for training and two for the test, in the form of the protocol's own files."""
    names, labels, parts = [], [], {"train_idx": [], "query_idx": [], "gallery_idx": []}
    for label in (1, 2, 3, 4):
        for view in (1, 2):
            for number in (1, 2):
                name = f"{1 + label % 2}_{label:03d}_{view}_{number + 5 * (view - 1):02d}.png"
                save(root / f"images_{boxes}" / name, label)
                names.append(name)
                labels.append(label)
                part = "train" if label < 3 else ("query" if number == 1 else "gallery")
                parts[f"{part}_idx"].append(len(names))
    filelist = np.empty((len(names), 1), dtype=object)
    filelist[:, 0] = names
    columns = {key: np.array(value)[:, None] for key, value in parts.items()}
    savemat(
        root / f"cuhk03_new_protocol_config_{boxes}.mat",
        {"filelist": filelist, "labels": np.array(labels)[:, None], **columns},
    )
    return root


def write_csv(file, rows=None, header="path,person,camera,split"):
    """A table of persons with names; pictures lie beside it."""
    if rows is None:
        rows = [
            (f"{split}/{person}_{camera}.jpg", person, camera, split)
            for split in ("train", "query", "gallery")
            for person in (("ann", "bob") if split == "train" else ("cid", "dora"))
            for camera in ("door", "hall")
        ]
    file.parent.mkdir(parents=True, exist_ok=True)
    for row in rows:
        if len(row) == 4 and row[0]:
            save(file.parent / row[0], len(row[1]))
    file.write_text("\n".join([header, *(",".join(row) for row in rows)]) + "\n")
    return file


def tiny_config(root=None, **data):
    """A config whose model and pictures are as small as can be."""
    return Config(
        backbone="resnet26_half",
        data=dataclasses.replace(PLAIN, root=root, **data),
        loader=LoaderConfig(workers=0),
        engine=EngineConfig(epochs=1, batch_size=8, device="cpu"),
        test=ScoringConfig(),
    )


def write_run(out, root=None, persons=3, **data):
    """A run directory with a config and two checkpoints of untrained weights; returns the model."""
    settings = dataclasses.replace(tiny_config(root, **data), out=out)
    torch.manual_seed(0)
    model = build(settings.backbone, settings.model, persons)
    text = config.to_yaml(settings)
    run = checkpoint.RunDirectory(out, text)
    run.open(resume=False)
    run.write_config()
    for file, epoch in ((run.best, 3), (run.last, 5)):
        progress = {"epoch": epoch, "samples": 0, "step": 0, "best": None}
        checkpoint.save(
            file,
            {
                "format": 1, "model": model.state_dict(), "ema": None, "optimizer": None,
                "progress": progress, "config": text,
            },
        )  # fmt: skip
    return model
