"""The classes of a detector's weights: others are learnt, or some of them counted."""

from pathlib import Path

import pytest
import torch

from common.commands import classes, trained
from common.commands.trained import Trained
from common.errors import UserError
from tasks.detection.checkpoints import (
    category_ids,
    class_rows,
    known_classes,
    model_classes,
)
from tasks.detection.config import DataConfig, ScoredConfig
from tasks.detection.inference import Predictor, open_named
from tasks.detection.model import build
from tasks.detection.published import COCO_CLASSES, COCO_NUMBERS
from tests.tasks.detection import runs
from tests.tasks.detection.test_model import ALL, DETECTORS, batch, randomised, tiny

OLD, NEW = ("a", "b", "c", "d"), ("c", "x", "a")


def detector(name, count):
    return build("res2net26_14w_4s_half", count, tiny(name), ALL)


@pytest.mark.parametrize("name", DETECTORS)
def test_rows_of_equal_names_are_kept(name):
    """Of the class scores, and of boxes and masks where each class has its own."""
    old, new = detector(name, 4), detector(name, 3)
    fresh = {key: value.clone() for key, value in new.state_dict().items()}
    source = Trained(Path("x.pt"), old.state_dict(), 1)
    state = classes.with_new_classes(new, source, class_rows, OLD, NEW, "--finetune x").state
    new.load_state_dict(dict(state))
    assert class_rows(state)
    for key, value in state.items():
        was, mine = old.state_dict()[key], fresh[key]
        if "cls_logits" in key and "classification" in key:
            anchors = len(value) // 3
            for row in range(len(value)):
                anchor, place = divmod(row, 3)
                assert len(was) == anchors * 4
                kept = {0: was[anchor * 4 + 2], 2: was[anchor * 4]}.get(place, mine[row])
                assert torch.equal(value[row], kept), key
        elif value.shape != was.shape:
            each = len(value) // 4
            assert each in (1, 4) and len(was) == 5 * each
            parts = [was[:each], was[3 * each : 4 * each], mine[2 * each : 3 * each],
                     was[each : 2 * each]]  # fmt: skip
            assert torch.equal(value, torch.cat(parts)), key
        else:
            assert torch.equal(value, was), key


def test_a_file_of_80_classes_needs_neither_names_nor_a_data_set(tmp_path):
    model = detector("fcos", 80)
    torch.save({"state_dict": model.state_dict()}, tmp_path / "x.pth")
    config = ScoredConfig(
        checkpoint=str(tmp_path / "x.pth"), backbone="res2net26_14w_4s_half", model=tiny("fcos"),
        data=DataConfig(masks=False),
    )  # fmt: skip
    named, found = open_named(config, torch.device("cpu"))
    assert named.data.classes == COCO_CLASSES and named.data.category_ids == COCO_NUMBERS
    assert Predictor(found, named).ids == COCO_NUMBERS


def test_a_checkpoint_of_80_classes_from_elsewhere_is_cocos():
    state = detector("fcos", 80).state_dict()
    elsewhere = Trained(Path("x.pth"), state, None)
    assert known_classes(elsewhere) == (COCO_CLASSES, COCO_NUMBERS)
    assert len(set(COCO_CLASSES)) == len(COCO_NUMBERS) == 80
    named = dict(zip(COCO_CLASSES, COCO_NUMBERS, strict=True))
    assert (named["person"], named["stop sign"], named["toothbrush"]) == (1, 13, 90)
    assert model_classes(elsewhere, ("person",)) == COCO_CLASSES
    own = tuple(f"own {number}" for number in range(80))
    assert model_classes(elsewhere, own) == own, "a list of as many says what they are"
    with pytest.raises(UserError, match=r"x\.pth knows 80 classes, 'unicorn' is none of them"):
        model_classes(elsewhere, ("unicorn",))
    assert model_classes(Trained(Path("x"), detector("fcos", 3).state_dict(), None), NEW) == NEW


def test_ids_follow_the_names():
    text = "data: {classes: [a, b, c], category_ids: [4, 9, 2]}"
    run = Trained(Path("x.pt"), {}, 1, config=text)
    for asked, ids in ((("c", "a"), (2, 4)), (("b", "a", "c"), (9, 4, 2))):
        config = runs.tiny_config(data={"classes": asked, "category_ids": (4, 9, 2)})
        assert category_ids(run, config) == ids


@pytest.mark.parametrize("name", ["mask_rcnn", "fcos"])
def test_a_model_gives_some_of_its_classes(name):
    torch.manual_seed(0)
    model = randomised(detector(name, 4)).eval()
    images, sizes, _ = batch()
    with torch.inference_mode():
        every = model(images, sizes)
        model.keep(OLD, ("d", "a"))
        some = model(images, sizes)
    for one, all_found in zip(some, every, strict=True):
        wanted = [place for place, label in enumerate(all_found["labels"]) if label in (1, 4)]
        assert wanted
        assert torch.equal(one["boxes"], all_found["boxes"][wanted])
        names = [OLD[label - 1] for label in all_found["labels"][wanted].tolist()]
        assert [("d", "a")[label - 1] for label in one["labels"].tolist()] == names
    assert "kept" not in model.state_dict()


def test_predict_keeps_the_classes_that_are_asked_for(tmp_path, capsys):
    runs.write_run(tmp_path / "run", sure=True)
    flags = ("--test.score_threshold", "0")
    picture = torch.zeros(64, 64, 3, dtype=torch.uint8).numpy()
    every = Predictor.open(tmp_path / "run", device="cpu", flags=flags)
    some = Predictor.open(
        tmp_path / "run", device="cpu", flags=(*flags, "--data.classes", "[kite, person]")
    )
    assert "of its 3 classes 2 count: kite, person" in capsys.readouterr().err
    wanted = [one for one in every.describe(every(picture)) if one["class"] != "cat"]
    found = some.describe(some(picture))
    assert found == wanted
    assert {(one["class"], one["category_id"]) for one in found} <= {("kite", 44), ("person", 1)}
    with pytest.raises(UserError, match="knows 3 classes, 'dog' is none of them"):
        Predictor.open(tmp_path / "run", device="cpu", flags=("--data.classes", "[dog]"))


def test_trained_weights_bring_their_config(tmp_path):
    runs.write_run(tmp_path / "run")
    weights = trained.read("--finetune", tmp_path / "run", lambda _: None)
    assert known_classes(weights) == (runs.CLASSES, (1, 17, 44))
