"""A session on a picture: clicks, undo, boxes and masks to begin with, and what cannot be."""

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
import torch

from common.errors import UserError
from tasks import open_run
from tasks.interactive.clicks import Click
from tasks.interactive.config import ModelConfig, ScoringConfig
from tasks.interactive.draw import NEGATIVE, POSITIVE, overlay, shape
from tasks.interactive.inference import fit, fitted_size
from tasks.interactive.session import Session
from tests.tasks.interactive import small

PICTURE = small.picture(3)


@pytest.fixture(scope="module", params=["late", "fcanet"])
def predictor(request, tmp_path_factory):
    run = tmp_path_factory.mktemp(request.param) / "run"
    small.write_run(run, model=ModelConfig(network=request.param, channels=16))
    return open_run(run, device="cpu")


@pytest.fixture(scope="module")
def late(tmp_path_factory):
    run = tmp_path_factory.mktemp("late") / "run"
    small.write_run(run)
    return open_run(run, device="cpu")


def test_the_same_clicks_give_the_same_and_an_undo_the_bytes_of_before(predictor):
    session = predictor.start(PICTURE)
    states = [session.probabilities]
    assert session.mask.shape == (48, 64) and not session.mask.any()
    for click in ((20, 15, True), (40, 30, False), (10, 40, True)):
        session.click(*click)
        states.append(session.probabilities)
    assert len(session.clicks) == 3 and session.clicks[1] == Click(40, 30, False)
    assert all((one != two).any() for one, two in pairwise(states))
    again = predictor(PICTURE, session.clicks)
    assert np.array_equal(again.probabilities, session.probabilities)
    for expected in reversed(states[:-1]):
        session.undo()
        assert np.array_equal(session.probabilities, expected)
    assert not session.undo().any() and session.clicks == ()


def test_the_two_halves_of_a_call(predictor, tmp_path):
    small.save(tmp_path / "a.png", PICTURE)
    clicks = [(20, 15, True), (40, 30, False)]
    features = predictor.features(tmp_path / "a.png")
    found = predictor.answer(features, clicks)
    assert np.array_equal(found.mask, predictor(PICTURE, clicks).mask)
    both = predictor.many([PICTURE, PICTURE], [clicks, None])
    assert np.array_equal(both[0].probabilities, found.probabilities)
    assert both[1].clicks == (Click(32, 24),), "without clicks, the middle"
    assert predictor.trunk_input.trunk == predictor.trunk_input.trunk
    assert predictor.draw(PICTURE, found).shape == PICTURE.shape
    cut = predictor.cutout(PICTURE, found)
    assert ((cut[..., 3] == 255) == found.mask).all()
    told = predictor.describe(found)
    assert told["area"] == found.mask.sum() and len(told["clicks"]) == 2


@pytest.mark.parametrize(
    ("clicks", "message"),
    [
        ([(64, 5, True)], "outside of the picture"),
        ([(5, 5, False)], "no positive click before it"),
        ([(5, 5, True), (5, 5, False)], "contradicts click number 1"),
    ],
)
def test_clicks_that_cannot_be(late, clicks, message):
    session = late.start(PICTURE)
    with pytest.raises(UserError, match=message) as caught:
        for one in clicks:
            session.click(*one)
    assert "\n" not in str(caught.value)
    assert len(session.clicks) == len(clicks) - 1, "what is refused changes nothing"


def test_a_box_or_a_mask_to_begin_with(late):
    boxed = late.start(PICTURE, box=(8, 10, 27, 33))
    assert boxed.probabilities.any(), "a box is answered"
    inside = small.objects() == 1
    masked = late.start(PICTURE, mask=inside)
    assert (masked.mask == inside).all(), "a mask is kept until it is clicked on"
    masked.click(20, 15, positive=False)
    with pytest.raises(UserError, match=r"50x40 pixels, the picture 64x48"):
        late.start(PICTURE, mask=np.ones((40, 50), bool))
    with pytest.raises(UserError, match="is empty"):
        late.start(PICTURE, mask=np.zeros((48, 64), np.uint8))
    with pytest.raises(UserError, match="give one of them"):
        late.start(PICTURE, mask=inside, box=(1, 1, 3, 3))
    with pytest.raises(UserError, match="64x48 pixels"):
        late.start(PICTURE, box=(1, 1, 64, 3))


def test_fcanet_takes_clicks_alone(tmp_path):
    small.write_run(tmp_path / "run", model=ModelConfig(network="fcanet", channels=16))
    predictor = open_run(tmp_path / "run", device="cpu")
    with pytest.raises(UserError, match="takes clicks alone"):
        predictor.start(PICTURE, box=(1, 1, 5, 5))
    assert "clicks" in predictor.trunk_input.resize


def test_the_trunk_sees_a_picture_once(late, monkeypatch):
    seen, layers = [], late.opened.layers
    backbone = layers.backbone
    monkeypatch.setattr(
        layers, "_modules", {**layers._modules, "backbone": Counted(backbone, seen)}
    )
    session = late.start(PICTURE)
    for x in (5, 15, 25):
        session.click(x, 9)
    assert len(seen) == 1


class Counted(torch.nn.Module):
    def __init__(self, inner, seen):
        super().__init__()
        self.inner, self.seen = inner, seen

    def forward(self, x):
        self.seen.append(1)
        return self.inner(x)


class Hints:
    """Answers with the hints that it was given, for what the session tells a network."""

    def __init__(self):
        self.given = []

    def __call__(self, hints):
        self.given.append(hints.copy())
        return np.full(hints.shape[1:], 0.7, np.float32)


def test_what_a_session_tells_the_network():
    for late in (True, False):
        asked = Hints()
        session = Session(asked, late, (48, 64), (96, 128), ScoringConfig())
        session.click(10, 20)
        session.click(30, 40, positive=False)
        first, second = asked.given
        assert first[0, 40, 20] == 0 and first[1].min() == 255
        assert second[1, 80, 60] == 0
        if late:
            assert not first[2].any() and second[2] == pytest.approx(0.7)
        else:
            assert np.array_equal(first[2], first[0]) and np.array_equal(second[2], first[2])


def test_structural_integrity_is_an_option():
    def answer(hints):
        found = np.zeros(hints.shape[1:], np.float32)
        found[2:6, 2:6] = found[10:14, 10:14] = 0.9
        return found

    sessions = [
        Session(answer, True, (20, 20), (20, 20), ScoringConfig(structural=one))
        for one in (False, True)
    ]
    areas = [int(one.click(3, 3).sum()) for one in sessions]
    assert areas == [32, 16]


def test_a_broken_model_is_told():
    session = Session(
        lambda hints: np.full(hints.shape[1:], np.nan, np.float32),
        True, (8, 8), (8, 8), ScoringConfig(),
    )  # fmt: skip
    with pytest.raises(UserError, match="not finite"):
        session.click(1, 1)


def test_the_size_of_the_input_is_fcanets():
    assert fitted_size((100, 150), 512) == (512, 768)
    assert fitted_size((321, 481), 512) == (512, 767)
    assert fitted_size((33, 40), 0) == (33, 40)
    assert fit(PICTURE, 96).shape == (96, 128, 3)


def test_compiling_is_refused(tmp_path):
    small.write_run(tmp_path / "run")
    with pytest.raises(UserError, match="--compile: "):
        open_run(tmp_path / "run", device="cpu", compile=True)


def test_shapes_are_cocos():
    from pycocotools import mask as coco_mask

    mask = np.zeros((30, 40), bool)
    mask[5:15, 8:20] = True
    found = shape(mask)
    assert (found["area"], found["bbox"]) == (120, [8, 5, 12, 10])
    runs = coco_mask.merge(coco_mask.frPyObjects(found["segmentation"], 30, 40))
    assert abs(int(coco_mask.area(runs)) - 120) <= 12
    mask[8:10, 10:12] = False
    holed = shape(mask)["segmentation"]
    assert (coco_mask.decode(holed) == mask).all(), "polygons cannot have holes"
    assert shape(np.zeros((3, 4), bool)) == {"area": 0, "bbox": [0] * 4, "segmentation": []}


def test_clicks_are_drawn_in_their_colours_and_shapes():
    picture = small.picture(3, 480, 480)
    clicks = [Click(100, 200), Click(300, 200, False)]
    drawn = overlay(picture, np.zeros((480, 480), bool), clicks)
    for click, colour in zip(clicks, (POSITIVE, NEGATIVE), strict=True):
        inside = (drawn == colour).all(axis=2)
        assert inside[click.y, click.x] and inside[click.y, click.x + 6]
        assert inside[click.y + 8, click.x + 8] == (not click.positive), "a square has corners"


def test_a_click_after_an_undo_is_as_if_the_undone_one_had_never_been(predictor):
    kept, other = [(20, 15, True), (40, 30, False)], [(50, 40, True), (8, 8, False)]
    plain = predictor(PICTURE, [*kept, (30, 44, True)])
    session = predictor.start(PICTURE)
    for one in (*kept, *other):
        session.click(*one)
    for _ in other:
        session.undo()
    session.click(30, 44)
    assert np.array_equal(session.probabilities, plain.probabilities)
    assert session.clicks == plain.clicks


def test_what_undo_keeps_of_a_click_is_one_number_a_pixel():
    def answer(hints):
        return np.full(hints.shape[1:], 0.7, np.float32)

    session = Session(answer, True, (400, 300), (400, 300), ScoringConfig())
    session.click(0, 0)
    tracemalloc.start()
    for x in range(1, 21):
        session.click(x, 5)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept <= (20 + 2.5) * 4 * 400 * 300, "and the distances from the clicks, once"
