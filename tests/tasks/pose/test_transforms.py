import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.pose.skeleton import COCO, MPII
from tasks.pose.transforms import (
    Augmentation,
    Pose,
    augment,
    box_to_crop,
    crop,
    crop_matrix,
    flip,
    gaussian_heatmaps,
    half_body,
    rescale,
    rotate,
    to_heatmap,
    to_image,
    transform_points,
    warp,
)

numbers = st.floats(-500, 500, width=32)
lengths = st.floats(20, 800, width=32)
angles = st.floats(-90, 90, width=32)
both = pytest.mark.parametrize("unbiased", [False, True], ids=["published", "unbiased"])


def three_point_matrix(center, extent, degrees, size_wh):
    """The published construction: centre, a point above it, and a third at a right angle."""

    def third(first, second):
        difference = first - second
        return second + np.array([-difference[1], difference[0]], dtype=np.float32)

    radians = np.pi * degrees / 180
    up = np.array([0, extent[0] * -0.5])
    turned = np.array(
        [
            up[0] * np.cos(radians) - up[1] * np.sin(radians),
            up[0] * np.sin(radians) + up[1] * np.cos(radians),
        ]
    )
    source, target = np.zeros((3, 2), np.float32), np.zeros((3, 2), np.float32)
    source[0], source[1] = center, center + turned
    target[0] = np.array(size_wh) * 0.5
    target[1] = target[0] + [0, size_wh[0] * -0.5]
    source[2], target[2] = third(source[0], source[1]), third(target[0], target[1])
    return cv2.getAffineTransform(source, target)


def udp_matrix(center, extent, degrees, size_wh):
    """The unbiased warp in steps: to the centre, turn, scale, to the centre of the crop."""
    radians = np.deg2rad(-degrees)
    to_center = np.array([[1, 0, -center[0]], [0, 1, -center[1]], [0, 0, 1]])
    turn = np.array(
        [
            [np.cos(radians), -np.sin(radians), 0],
            [np.sin(radians), np.cos(radians), 0],
            [0, 0, 1],
        ]
    )
    last = np.array(size_wh) - 1.0
    scale = np.diag([last[0] / extent[0], last[1] / extent[1], 1])
    back = np.array([[1, 0, last[0] / 2], [0, 1, last[1] / 2], [0, 0, 1]])
    return (back @ scale @ turn @ to_center)[:2]


@given(numbers, numbers, lengths, angles)
def test_published_matrix_is_the_three_point_construction(x, y, width, degrees):
    center, extent = np.array([x, y]), np.array([width, width / 0.75])
    expected = three_point_matrix(center, extent, degrees, (192, 256))
    found = crop_matrix(center, extent, degrees, (192, 256), unbiased=False)
    corners = center + np.array([[0, 0], [-1, -1], [1, 1], [1, -1]]) * extent / 2
    # getAffineTransform takes float32 points.
    np.testing.assert_allclose(
        transform_points(corners, found), transform_points(corners, expected), atol=0.05
    )


def test_published_matrix_ignores_the_height():
    center = np.array([50.0, 60.0])
    one = crop_matrix(center, np.array([90.0, 120.0]), 10, (192, 256), unbiased=False)
    other = crop_matrix(center, np.array([90.0, 400.0]), 10, (192, 256), unbiased=False)
    np.testing.assert_array_equal(one, other)


@given(numbers, numbers, lengths, lengths, angles)
def test_unbiased_matrix_is_its_steps(x, y, width, height, degrees):
    center, extent = np.array([x, y]), np.array([width, height])
    found = crop_matrix(center, extent, degrees, (192, 256), unbiased=True)
    np.testing.assert_allclose(found, udp_matrix(center, extent, degrees, (192, 256)), atol=1e-8)


@both
@given(numbers, numbers, lengths, st.tuples(numbers, numbers))
def test_to_image_is_the_way_back(unbiased, x, y, width, point):
    center, extent = np.array([x, y]), np.array([width, width / 0.75])
    point = np.array(point)
    matrix = crop_matrix(center, extent, 0, (192, 256), unbiased)
    on_heatmap = to_heatmap(transform_points(point, matrix), (48, 64), (192, 256), unbiased)
    back = to_image(on_heatmap, center, extent, (48, 64), unbiased)
    np.testing.assert_allclose(back, point, atol=1e-6)


def test_known_crop():
    center, extent = box_to_crop(np.array([100.0, 50, 30, 80]), aspect=0.75, padding=1.25)
    np.testing.assert_allclose(center, [115, 90])
    np.testing.assert_allclose(extent, [75, 100])
    center, extent = box_to_crop(np.array([100.0, 50, 90, 80]), aspect=0.75, padding=1)
    np.testing.assert_allclose(extent, [90, 120])
    matrix = crop_matrix(center, extent, 0, (180, 240), unbiased=False)
    np.testing.assert_allclose(transform_points(center, matrix), [90, 120])
    matrix = crop_matrix(center, extent, 0, (181, 241), unbiased=True)
    np.testing.assert_allclose(transform_points(center, matrix), [90, 120])
    np.testing.assert_allclose(transform_points(center - extent / 2, matrix), [0, 0], atol=1e-9)


def test_a_positive_rotation_turns_the_content_counterclockwise():
    matrix = crop_matrix(np.zeros(2), np.full(2, 100.0), 90, (100, 100), unbiased=False)
    # A point right of the centre comes to lie above it.
    np.testing.assert_allclose(transform_points(np.array([20.0, 0]), matrix), [50, 30], atol=1e-9)


def pose_in(picture, joints, **changes):
    height, width = picture.shape[:2]
    center, extent = np.array([width / 2 + 3, height / 2 - 2]), np.array([90.0, 120.0])
    return Pose(joints, np.ones(len(joints)), center, extent, **changes)


@pytest.mark.parametrize("skeleton", [COCO, MPII])
def test_flipping_twice_changes_nothing(skeleton):
    generator = np.random.default_rng(0)
    visible = generator.integers(0, 3, skeleton.joints).astype(float)
    joints = generator.uniform(0, 200, (skeleton.joints, 2))
    pose = Pose(joints, visible, np.array([80.0, 90]), np.array([60.0, 80]))
    once = flip(pose, 201, skeleton)
    assert once.mirrored
    twice = flip(once, 201, skeleton)
    assert not twice.mirrored
    np.testing.assert_allclose(twice.joints, pose.joints)
    np.testing.assert_allclose(twice.center, pose.center)
    np.testing.assert_array_equal(twice.visible, pose.visible)


@both
@pytest.mark.parametrize("rotation", [0.0, 25.0])
def test_a_marked_pixel_moves_where_its_joint_does(unbiased, rotation):
    picture = np.zeros((160, 201, 3), dtype=np.uint8)
    joints = np.zeros((COCO.joints, 2))
    joints[9] = 83, 71  # The left wrist.
    cv2.circle(picture, (83, 71), 3, (255, 255, 255), -1)
    pose = flip(pose_in(picture, joints), 201, COCO)
    np.testing.assert_array_equal(pose.joints[10], [201 - 1 - 83, 71])
    pose = Pose(pose.joints, pose.visible, pose.center, pose.extent, rotation, pose.mirrored)
    image, points = crop(picture, pose, (192, 256), unbiased)
    weight = image[:, :, 0].astype(float)
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    seen = np.array([(columns * weight).sum(), (rows * weight).sum()]) / weight.sum()
    np.testing.assert_allclose(points[10], seen, atol=0.1)


@both
def test_a_mirrored_crop_is_the_crop_of_the_mirrored_picture(unbiased):
    picture = cv2.GaussianBlur(
        np.random.default_rng(0).integers(0, 256, (160, 201, 3)).astype(np.uint8), (0, 0), 2
    )
    pose = flip(pose_in(picture, np.zeros((17, 2)), rotation=20.0), 201, COCO)
    found, _ = crop(picture, pose, (96, 128), unbiased)
    matrix = crop_matrix(pose.center, pose.extent, pose.rotation, (96, 128), unbiased)
    expected = warp(np.ascontiguousarray(picture[:, ::-1]), matrix, (96, 128))
    assert np.abs(found.astype(int) - expected).max() <= 3
    assert np.abs(found.astype(int) - expected).mean() < 0.5


def published_target(joint, size_wh, sigma, stride=4):
    """The published loop over one joint: the patch, cropped at the borders, and the weight."""
    width, height = size_wh
    heatmap = np.zeros((height, width), dtype=np.float32)
    radius = sigma * 3
    mu_x, mu_y = int(joint[0] / stride + 0.5), int(joint[1] / stride + 0.5)
    left, top, right, bottom = mu_x - radius, mu_y - radius, mu_x + radius + 1, mu_y + radius + 1
    if left >= width or top >= height or right <= 0 or bottom <= 0:
        return heatmap, 0
    x = np.arange(2 * radius + 1)
    patch = np.exp(-((x - radius) ** 2 + (x[:, None] - radius) ** 2) / (2 * sigma**2))
    inside_x = slice(max(0, -left), min(right, width) - left)
    inside_y = slice(max(0, -top), min(bottom, height) - top)
    heatmap[max(0, top) : min(bottom, height), max(0, left) : min(right, width)] = patch[
        inside_y, inside_x
    ]
    return heatmap, 1


@settings(max_examples=200)
@given(st.floats(-60, 260), st.floats(-60, 320), st.sampled_from([2, 3]))
def test_published_targets(x, y, sigma):
    expected, weight = published_target((x, y), (48, 64), sigma)
    heatmaps, weights = gaussian_heatmaps(
        np.array([[x, y]]), np.ones(1), (48, 64), (192, 256), sigma, unbiased=False
    )
    assert weights[0] == weight
    np.testing.assert_allclose(heatmaps[0], expected, atol=1e-6)
    assert heatmaps.dtype == np.float32
    assert weights.dtype == np.float32


@given(st.floats(0, 191), st.floats(0, 255))
def test_unbiased_targets_peak_between_pixels(x, y):
    heatmaps, weights = gaussian_heatmaps(
        np.array([[x, y]]), np.ones(1), (48, 64), (192, 256), 2, unbiased=True
    )
    assert weights[0] == 1
    # The logarithm of a Gaussian is a parabola: its top is where its slope on a pixel says.
    row, column = np.unravel_index(heatmaps[0].argmax(), heatmaps[0].shape)
    expected = np.array([x, y]) * np.array([47, 63]) / np.array([191, 255])
    assert np.abs(expected - [column, row]).max() <= 0.5 + 1e-6
    value = heatmaps[0, row, column]
    np.testing.assert_allclose(
        value, np.exp(-((expected - [column, row]) ** 2).sum() / 8), rtol=1e-5
    )


def test_weights_follow_visibility():
    joints = np.array([[96.0, 128], [96, 128], [96, 128], [-40, 128]])
    heatmaps, weights = gaussian_heatmaps(
        joints, np.array([0, 1, 2, 2.0]), (48, 64), (192, 256), 2, unbiased=False
    )
    assert weights.tolist() == [0, 1, 1, 0]
    assert heatmaps.max(axis=(1, 2)).tolist() == [0, 1, 1, 0]
    assert np.argwhere(heatmaps[1] == 1).tolist() == [[32, 24]]


def standing(generator):
    joints = generator.uniform(40, 160, (COCO.joints, 2))
    joints[:11, 1] -= 40
    return Pose(joints, np.full(17, 2.0), np.array([100.0, 100]), np.array([90.0, 120]))


def test_no_augmentation_is_the_identity():
    generator = np.random.default_rng(1)
    pose = standing(generator)
    found = augment(pose, 200, 0.75, COCO, Augmentation(), generator)
    np.testing.assert_array_equal(found.extent, pose.extent)
    assert found.rotation == 0
    assert not found.mirrored


def test_distributions_of_the_augmentations():
    generator = np.random.default_rng(2)
    pose = standing(generator)
    strength = Augmentation(0.3, 40, 0.6, 0.5, 0)
    drawn = [augment(pose, 200, 0.75, COCO, strength, generator) for _ in range(4000)]
    scale = np.array([one.extent[0] / pose.extent[0] for one in drawn])
    assert scale.min() == pytest.approx(0.7)
    assert scale.max() == pytest.approx(1.3)
    # A normal variate of deviation 0.3 lies beyond +0.3 in 15.87 of 100 cases.
    assert (scale > 1.2999).mean() == pytest.approx(0.1587, abs=0.025)
    turns = np.array([one.rotation for one in drawn])
    assert (turns == 0).mean() == pytest.approx(0.4, abs=0.03)
    assert np.abs(turns).max() == 80
    assert (np.abs(turns) == 80).mean() == pytest.approx(0.6 * 0.0455, abs=0.01)
    assert np.mean([one.mirrored for one in drawn]) == pytest.approx(0.5, abs=0.03)


def test_augmentation_is_a_function_of_the_generator():
    pose = standing(np.random.default_rng(3))
    strength = Augmentation(0.3, 40, 0.6, 0.5, 0.3)
    one, same, other = (
        augment(pose, 200, 0.75, COCO, strength, np.random.default_rng(seed)) for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(one.extent, same.extent)
    np.testing.assert_array_equal(one.joints, same.joints)
    assert one.extent[0] != other.extent[0]


def test_half_body_takes_both_halves():
    generator = np.random.default_rng(4)
    pose = standing(generator)
    middles = {tuple(half_body(pose, 0.75, COCO, generator).center) for _ in range(50)}
    expected = {tuple(pose.joints[:11].mean(axis=0)), tuple(pose.joints[11:].mean(axis=0))}
    assert middles == expected
    extent = half_body(pose, 0.75, COCO, generator).extent
    assert extent[0] / extent[1] == pytest.approx(0.75)


def test_half_body_needs_three_joints_of_a_half():
    generator = np.random.default_rng(5)
    pose = standing(generator)
    pose.visible[11:] = 0
    middles = {tuple(half_body(pose, 0.75, COCO, generator).center) for _ in range(20)}
    assert middles == {tuple(pose.joints[:11].mean(axis=0))}
    pose.visible[2:] = 0
    assert half_body(pose, 0.75, COCO, generator) is pose


def test_half_body_share_and_its_least_number_of_joints():
    generator = np.random.default_rng(6)
    pose = standing(generator)
    strength = Augmentation(half_body_probability=0.3)
    drawn = [augment(pose, 200, 0.75, COCO, strength, generator) for _ in range(2000)]
    share = np.mean([not np.array_equal(one.center, pose.center) for one in drawn])
    assert share == pytest.approx(0.3, abs=0.035)
    pose.visible[8:] = 0
    always = Augmentation(half_body_probability=1)
    assert augment(pose, 200, 0.75, COCO, always, generator).center is pose.center


def test_a_rotation_and_a_scale_keep_the_rest():
    generator = np.random.default_rng(7)
    pose = standing(generator)
    turned = rotate(rescale(pose, 0.3, generator), 40, generator)
    assert turned.joints is pose.joints
    assert turned.center is pose.center


@pytest.mark.parametrize("skeleton", [COCO, MPII])
def test_flip_pairs_are_named_left_and_right(skeleton):
    paired = {name for pair in skeleton.flip_pairs for name in (skeleton.names[i] for i in pair)}
    sided = {name for name in skeleton.names if name.startswith(("left_", "right_"))}
    assert paired == sided
    for one, other in skeleton.flip_pairs:
        names = {skeleton.names[one], skeleton.names[other]}
        part = next(iter(names)).split("_", 1)[1]
        assert names == {f"left_{part}", f"right_{part}"}
