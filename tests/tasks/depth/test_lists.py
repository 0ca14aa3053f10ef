"""Lists of samples: BTS's of both data sets in their own folders, CSV, and faulty ones."""

import pytest

from common.errors import UserError
from tasks.depth.config import Config, DataConfig, ModelConfig
from tasks.depth.data import read
from tests.tasks.depth import small


def split(root, name="train", **data):
    return read(Config(data=DataConfig(root=root, **data)), name)


def test_a_list_with_slashes_and_focal_lengths(tmp_path):
    found = split(small.write_list(tmp_path, focal="518.8579"))
    assert len(found) == 4
    assert found.focal(0) == 518.8579
    assert found.files[0] == tmp_path / "train/rgb_0.png"


def nyu(root):
    """BTS's folders of NYU: sync for training, official_splits/test for scoring."""
    for folder, names, scene in (
        ("sync", "nyudepthv2_train_files_with_gt", "basement_0001a"),
        ("official_splits/test", "nyudepthv2_test_files_with_gt", "bathroom"),
    ):
        small.save_picture(root / folder / scene / "rgb_00045.jpg", 1)
        small.save(root / folder / scene / "sync_depth_00045.png", small.depth(1))
        slash = "/" if folder == "sync" else ""
        line = f"{slash}{scene}/rgb_00045.jpg {slash}{scene}/sync_depth_00045.png 518.8579\n"
        (root / f"{names}.txt").write_text(line)
    return root


def kitti(root, part="data_depth_annotated"):
    """BTS's folders of KITTI, with a line of the test list that has no depth."""
    day, drive = "2011_09_26", "2011_09_26_drive_0002_sync"
    lines = []
    for number in (5, 6):
        image = f"{day}/{drive}/image_02/data/{number:010d}.png"
        small.save_picture(root / image, number)
        label = f"{drive}/proj_depth/groundtruth/image_02/{number:010d}.png"
        small.save(root / part / label, 10 * small.depth(number), 256)
        lines.append(f"{image} {label if number == 5 else None} 721.5377\n")
    (root / "eigen_test_files_with_gt.txt").write_text("".join(lines))
    return root


def test_the_layout_of_nyu(tmp_path):
    nyu(tmp_path)
    for name in ("nyudepthv2_train_files_with_gt", "nyudepthv2_test_files_with_gt"):
        sample = split(tmp_path, name).read(0)
        assert sample.image.shape[:2] == sample.depth.shape


@pytest.mark.parametrize("part", ["data_depth_annotated", "data_depth_annotated/val"])
def test_the_layout_of_kitti_and_lines_without_depth(tmp_path, part):
    name = "eigen_test_files_with_gt"
    found = split(kitti(tmp_path, part), name, depth_scale=256, max_depth=80)
    assert (len(found), found.without) == (1, 1)
    assert "1 more have no depth and do not count" in found.summary()
    assert found.read(0).depth.max() == pytest.approx(10 * small.depth(5).max(), abs=0.01)


@pytest.mark.parametrize("head", ["", "rgb,depth\n", "filename,depth_path,focal length\n"])
def test_a_csv_of_two_columns(tmp_path, head):
    small.save_picture(tmp_path / "a b" / "1.png", 1)
    small.save(tmp_path / "a b" / "d1.png", small.depth(1))
    (tmp_path / "train.csv").write_text(f"{head}a b/1.png,a b/d1.png\n")
    found = split(tmp_path)
    assert len(found) == 1 and found.focal(0) is None
    assert split(tmp_path, focal=100.0).focal(0) == 100


def test_names_with_spaces_and_paths_from_elsewhere(tmp_path):
    small.save_picture(tmp_path / "a b.png", 1)
    small.save(tmp_path / "d.png", small.depth(1))
    for text in (
        '"a b.png" d.png\n',
        f'"{tmp_path}/a b.png" {tmp_path}/d.png 500\n',
        "a b.png\td.png",
    ):
        (tmp_path / "own.txt").write_text(text)
        assert len(split(tmp_path, str(tmp_path / "own.txt"))) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a.png\n", "line 1: needs a picture, its depth map and"),
        ("a.png d.png 500 7\n", "found 4 words"),
        ("a.png d.png x\n", "the focal length is x; it must be a number of pixels"),
        ("a.png d.png -5\n", "the focal length is -5"),
        ("", "is empty"),
        ("a.png None 5\n", "not one of its 1 lines has a depth map"),
        ("b.png d.png\n", "1 of the files that it names do not exist"),
    ],
)
def test_lists_that_cannot_be_read_are_one_line(tmp_path, text, said):
    small.save_picture(tmp_path / "a.png", 1)
    small.save(tmp_path / "d.png", small.depth(1))
    (tmp_path / "train.txt").write_text(text)
    with pytest.raises(UserError) as caught:
        split(tmp_path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "train.txt" in str(caught.value)


def test_a_list_that_is_not_there_names_those_that_are(tmp_path):
    small.write_list(tmp_path)
    with pytest.raises(UserError, match=r"no list test\.txt .*lists there: train\.txt, val\.txt"):
        split(tmp_path, "test")


def test_a_network_that_needs_focal_lengths(tmp_path):
    small.write_list(tmp_path, focal="")
    model = ModelConfig(focal_reference=715.0)
    with pytest.raises(UserError, match=r"the focal length of 4 of 4 pictures of train is not"):
        read(Config(data=DataConfig(root=tmp_path), model=model), "train")
    known = DataConfig(root=tmp_path, focal=500.0)
    assert read(Config(data=known, model=model), "train").focal(3) == 500
