"""From files to samples: what is read, what is cut, and what is refused."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from common.errors import DamagedFile, UserError
from tasks.depth.config import Config, DataConfig, ScoringConfig
from tasks.depth.data import ScoringSet, TrainSet, read
from tests.tasks.depth import small


@pytest.fixture
def root(tmp_path):
    return small.write_list(tmp_path)


def config(root, **data):
    return Config(data=DataConfig(root=root, **data))


def test_a_training_sample(root):
    settings = config(root, crop_size=(32, 40))
    found = TrainSet(read(settings, "train"), settings.data).sample(1, np.random.default_rng(0))
    assert found["image"].shape == (3, 32, 40) and found["image"].dtype == np.uint8
    assert found["depth"].shape == (32, 40) and found["depth"].dtype == np.float32
    assert found["focal"] == 500 and found["index"] == 1


def test_a_picture_to_be_scored_is_whole_and_its_depth_has_its_own_size(root):
    settings = config(root, short_side=24)
    found = ScoringSet(read(settings, "val"), settings)[0]
    assert found["image"].shape == (3, 24, 32)
    assert found["depth"].shape == (small.HEIGHT, small.WIDTH)
    assert found["shown"].tolist() == [small.HEIGHT, small.WIDTH]


@pytest.mark.parametrize("suffix", [".png", ".npy"])
def test_folders_of_equal_names(tmp_path, suffix):
    small.write_folders(tmp_path)
    if suffix == ".npy":
        for path in (tmp_path / "train" / "depth").glob("*.png"):
            values = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            np.save(path.with_suffix(".npy"), values)
            path.unlink()
    found = read(config(tmp_path, format="folders"), "train")
    assert len(found) == 3
    np.testing.assert_allclose(found.read(2).depth, small.depth(2), atol=6e-4)
    assert found.focal(0) is None


def test_folders_that_are_not_there(tmp_path):
    small.write_folders(tmp_path)
    with pytest.raises(UserError, match=r"--data\.image_folder .*val/rgb: no such folder"):
        read(config(tmp_path, format="folders"), "val")


def test_a_depth_map_of_another_size(root):
    small.save(root / "train" / "sync_depth_0.png", small.depth(0, 32, 24))
    with pytest.raises(DamagedFile) as caught:
        read(config(root), "train")
    assert "has 32x24 pixels, its picture" in str(caught.value)
    assert "depth by its nearest pixels" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_damaged_is_skipped_if_asked(root, capsys):
    small.save(root / "val" / "sync_depth_100.png", np.zeros((48, 64)))
    settings = config(root, on_error="skip")
    split = ScoringSet(read(settings, "val"), settings)
    assert split[0] is None and split[1] is not None
    assert "no measurement at all" in capsys.readouterr().err
    stopped = replace(settings, data=replace(settings.data, on_error="stop"))
    with pytest.raises(DamagedFile, match="no measurement at all"):
        read(stopped, "val")


def test_the_kb_crop_of_a_picture_to_be_scored(tmp_path):
    small.write_list(tmp_path, train=1, val=1, width=1242, height=375)
    for kb, size, place in (("paste", (375, 1242), [23, 13]), ("cut", (352, 1216), [0, 0])):
        data = DataConfig(root=tmp_path, kb_crop=True)
        settings = Config(data=data, test=ScoringConfig(kb=kb))
        found = ScoringSet(read(settings, "val"), settings)[0]
        assert found["image"].shape == (3, 352, 1216)
        assert found["depth"].shape == size
        assert found["place"].tolist() == place
        whole = read(settings, "val").read(0)
        np.testing.assert_array_equal(found["image"][:, 0, 0], whole.image[23, 13])


def test_pictures_that_are_none_of_kittis(root):
    with pytest.raises(DamagedFile, match=r"64x48 pixels, and --data\.kb_crop takes 1216x352"):
        read(config(root, kb_crop=True), "train")
    settings = config(root, kb_crop=True, on_error="skip")
    samples = TrainSet(read(settings, "train"), settings.data)
    with pytest.raises(DamagedFile, match=r"64x48 pixels, and --data\.kb_crop takes 1216x352"):
        samples.sample(0, np.random.default_rng(0))


def test_a_border_that_leaves_nothing(root):
    settings = config(root, border=(45, 43, 8, 32))
    samples = TrainSet(read(settings, "train"), settings.data)
    with pytest.raises(DamagedFile, match=r"of which --data\.border .* leaves none"):
        samples.sample(0, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"depth_scale": 0.0}, "--data.depth_scale is 0.0"),
        ({"min_depth": 0.0}, "--data.min_depth 0.0"),
        ({"focal": -1.0}, "--data.focal is -1.0"),
        ({"border": (0, 0, 0, -1)}, "--data.border"),
        ({"crop_size": (0, 8)}, "--data.crop_size"),
        ({"rotation": 200.0}, "--data.rotation is 200.0"),
        ({"flip_probability": 2.0}, "--data.flip_probability is 2.0"),
        ({"brightness": (1.0, 0.5)}, "--data.brightness"),
    ],
)
def test_settings_that_cannot_be(settings, said):
    with pytest.raises(UserError) as caught:
        DataConfig(**settings)
    assert said in str(caught.value)
