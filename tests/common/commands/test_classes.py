"""What is kept of a model that learns other classes."""

from pathlib import Path

import pytest
import torch
from torch import nn

from common.commands import classes
from common.commands.settings import ClassesConfig
from common.commands.trained import Trained
from common.errors import UserError


def layers(state):
    return {key: value for key, value in state.items() if key.startswith("1.")}


def no_cause(wrong, state):
    return ""


def source(count, config=None):
    state = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, count)).state_dict()
    return Trained(Path("best.pt"), state, 3, config=config)


def finetuned(weights, found, wanted, rows=None, **flags):
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, rows or len(wanted)))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    config = ClassesConfig(finetune="runs/a", **flags)
    classes.finetune(model, config, weights, layers, found, wanted, no_cause)
    return before, model.state_dict()


def test_rows_of_equal_names_are_kept_and_others_begin_anew(capsys):
    weights = source(3)
    before, after = finetuned(weights, ("a", "b", "c"), ("c", "x", "a", "y"), new_classes=True)
    assert torch.equal(after["0.weight"], weights.state["0.weight"])
    for key in ("1.weight", "1.bias"):
        old = weights.state[key]
        wanted = torch.stack([old[2], before[key][1], old[0], before[key][3]])
        assert torch.equal(after[key], wanted)
    assert capsys.readouterr().err == (
        "--finetune runs/a: begins anew: 1; the rows of 2 of 4 classes are kept (c, a)\n"
    )


def test_a_background_before_the_classes_is_kept():
    weights = source(3)
    before, after = finetuned(weights, ("a", "b"), ("b", "x", "y"), rows=4, new_classes=True)
    old = weights.state["1.bias"]
    assert after["1.bias"].tolist() == [old[0], old[2], *before["1.bias"][2:]]


def test_classes_without_names_begin_anew_all(capsys):
    before, after = finetuned(source(2), (), ("a", "b"), new_classes=True)
    assert torch.equal(after["1.weight"], before["1.weight"])
    assert "of its 2 classes none is kept, as the source does not name its own" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (("b", "a"), "another order"),
        (("a", "x"), r"\(1 missing \(b\), 1 unexpected \(x\)"),
        (("a",), r"\(1 classes instead of 2, 1 missing \(b\)"),
    ],
)
def test_other_classes_are_refused_without_the_flag(wanted, words):
    with pytest.raises(UserError, match=rf"^--finetune runs/a: .*{words}.*--new_classes keeps all"):
        finetuned(source(2), ("a", "b"), wanted)
    finetuned(source(2), ("a", "b"), ("a", "b"))
    finetuned(source(2), (), ("a", "b"))


def test_a_run_says_its_classes():
    found = classes.of_run(source(1, "data: {classes: [a, b]}\nengine: {epochs: 3}"))
    assert found == {"classes": ["a", "b"]}
    for text in (None, "", "a", "data: 3"):
        assert classes.of_run(source(1, text)) == {}


def test_the_flag_belongs_to_finetune():
    with pytest.raises(UserError, match="--new_classes: belongs to --finetune"):
        ClassesConfig(new_classes=True)


def test_classes_that_never_occur_are_told(capsys):
    names = ("a", "b", "c", "d", "e")
    found = classes.absent((0, 2, 0, 0, 0), names)
    assert found == ["a", "c", "d", "e"]
    assert classes.without(found, "pixel") == "4 classes have no pixel (a, c, d, ...)"
    assert classes.without(["a"], "object") == "class a has no object"
    assert classes.unscored(found, 5) == {"absent_classes": "4 of 5 (a, c, d, ...)"}
    assert classes.unscored([], 5) == {}
    classes.tell_unscored([], "pixel", "val")
    classes.tell_unscored(["a"], "pixel", "val")
    assert capsys.readouterr().out == (
        "note: val: class a has no pixel, so no score tells how well it is found\n"
    )
