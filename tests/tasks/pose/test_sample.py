import json

import cv2
import numpy as np
import pycocotools.coco
import pytest

from common.reading.image import read
from common.training.sampling import generator_for
from tasks.pose import sample
from tasks.pose.data import TrainSet, read_coco
from tasks.pose.sample.figure import dress, pose
from tasks.pose.sample.painting import paint
from tasks.pose.skeleton import COCO
from tests.tasks.pose import small


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample")
    sample.write(folder, seed=3, train=70, val=6)
    return folder


def annotations_of(root, split):
    return json.loads((root / "annotations" / f"person_keypoints_{split}.json").read_text())


def test_layout(root):
    names = [path.name for path in sorted((root / "images" / "train2017").iterdir())]
    assert names == [f"{number:012d}.jpg" for number in range(1, 71)]
    assert len(list((root / "images" / "val2017").iterdir())) == 6
    assert sorted(path.name for path in root.iterdir()) == ["annotations", "images"]


def test_the_loader_reads_it_and_leaves_nothing_out(root):
    for split, pictures in (("train2017", 70), ("val2017", 6)):
        annotations = read_coco(root, split)
        assert len(annotations.images) == pictures
        assert len(annotations) >= pictures
        assert not any(annotations.dropped.values())
        dataset = TrainSet(annotations, small.PLAIN)
        for index in range(len(dataset)):
            assert dataset.sample(index, generator_for(0, 0, index))["weights"].sum() >= 5


def test_pycocotools_reads_it(root):
    official = pycocotools.coco.COCO(str(root / "annotations" / "person_keypoints_val2017.json"))
    for entry in official.loadAnns(official.getAnnIds()):
        # The outlines enclose the visible pixels that the area counts.
        mask = official.annToMask(entry)
        assert mask.sum() == pytest.approx(entry["area"], rel=0.25)
        assert cv2.boundingRect(mask) == pytest.approx(tuple(entry["bbox"]), abs=2)


def test_fields_agree_with_each_other(root):
    content = annotations_of(root, "train2017")
    sizes = {entry["id"]: (entry["width"], entry["height"]) for entry in content["images"]}
    flags = []
    for entry in content["annotations"]:
        joints = np.array(entry["keypoints"]).reshape(-1, 3)
        width, height = sizes[entry["image_id"]]
        labelled = joints[joints[:, 2] > 0]
        assert entry["num_keypoints"] == len(labelled)
        assert (joints[joints[:, 2] == 0] == 0).all()
        assert (labelled[:, :2] >= -0.5).all()
        assert (labelled[:, :2] <= [width, height]).all()
        x, y, across, down = entry["bbox"]
        seen = joints[joints[:, 2] == 2, :2]
        assert (seen >= np.array([x, y]) - 3).all()
        assert (seen <= np.array([x + across, y + down]) + 3).all()
        flags += joints[:, 2].tolist()
    # Hidden joints and joints that cannot be guessed are there, but not many.
    assert 0.6 < np.mean(np.array(flags) == 2) < 0.97
    assert 0.01 < np.mean(np.array(flags) == 1) < 0.3


def test_several_people_a_picture(root):
    people = [entry["image_id"] for entry in annotations_of(root, "train2017")["annotations"]]
    assert set(np.bincount(people)[1:]) == {1, 2, 3}


def test_the_same_seed_gives_the_same_bytes_and_length_does_not_matter(root, tmp_path):
    sample.write(tmp_path, seed=3, train=4, val=2)
    for split, first in (("train2017", 1), ("val2017", 500_001)):
        for number in (first, first + 1):
            name = f"images/{split}/{number:012d}.jpg"
            assert (root / name).read_bytes() == (tmp_path / name).read_bytes()
        longer, shorter = annotations_of(root, split), annotations_of(tmp_path, split)
        count = len(shorter["annotations"])
        assert longer["annotations"][:count] == shorter["annotations"]
    sample.write(tmp_path / "other", seed=4, train=1, val=1)
    name = "images/train2017/000000000001.jpg"
    assert (root / name).read_bytes() != (tmp_path / "other" / name).read_bytes()


def test_the_persons_left_is_on_the_viewers_right_when_facing():
    facing, turned = [], []
    for seed in range(300):
        body = pose(np.random.default_rng(seed))
        x, _, depth = body.joints.T
        nose_is_near = depth[0] > body.head[2] + 0.03
        nose_is_far = depth[0] < body.head[2] - 0.03
        for names, ahead in ((facing, nose_is_near), (turned, nose_is_far)):
            if ahead:
                names += [x[left] > x[right] for left, right in COCO.flip_pairs[2:3]]
    assert np.mean(facing) > 0.95
    assert np.mean(turned) < 0.05
    assert len(facing) > 2 * len(turned) > 10


def test_limbs_vary_and_stay_in_proportion():
    bodies = [pose(np.random.default_rng(seed)).joints for seed in range(100)]
    upper_arm = np.array([np.linalg.norm(joints[7] - joints[5]) for joints in bodies])
    thigh = np.array([np.linalg.norm(joints[13] - joints[11]) for joints in bodies])
    assert upper_arm.std() > 0.005
    assert 1.15 < (thigh / upper_arm).min() < (thigh / upper_arm).max() < 1.8


def test_a_painting_covers_the_joints_it_calls_visible():
    fabric = np.full((1200, 1200), 128, dtype=np.uint8)
    for seed in range(20):
        generator = np.random.default_rng(seed)
        painting = paint(pose(generator), dress(generator), np.array([200.0, 150.0]), 200.0, fabric)
        local = np.round(painting.joints - painting.corner).astype(int)
        for (x, y), flag in zip(local, painting.visible, strict=True):
            if flag == 2:
                assert painting.coverage[y - 1 : y + 2, x - 1 : x + 2].max() > 127
        assert (painting.colour[painting.coverage == 0] == 0).all()


def test_visible_wrists_look_like_skin_or_sleeve():
    """Joints lie on what is painted there: the hand's colour beyond the wrist is the skin's."""
    fabric = np.full((1200, 1200), 128, dtype=np.uint8)
    close = []
    for seed in range(40):
        generator = np.random.default_rng(seed)
        look, body = dress(generator), pose(generator)
        painting = paint(body, look, np.array([200.0, 150.0]), 240.0, fabric)
        for row in (0, 1):
            if painting.visible[9 + row] == 2:
                hand = body.hands[row, :2] * 240 + [200, 150] - painting.corner
                colour = painting.colour[round(hand[1]), round(hand[0])]
                close.append(np.abs(colour - np.array(look.skin) * 0.96).max() < 45)
    assert len(close) > 40
    assert np.mean(close) > 0.8


def test_pictures_look_like_photographs(root):
    for path in (root / "images" / "train2017").iterdir():
        picture = read(path)
        assert picture.std() > 15
        assert 320 <= picture.shape[1] <= 400
        assert 256 <= picture.shape[0] <= 320
