"""The command that compares networks with recorded outputs: what it says, and its exit status."""

import json

import pytest
import torch

from benchmarks.golden import __main__ as golden
from benchmarks.golden import compare, pose
from benchmarks.golden.pose import JOINTS
from tasks.pose.model import build


@pytest.fixture
def entry(monkeypatch):
    """A recorded network: what this project's own gives, under the published names.

    With fewer blocks and channels than its recipe says.
    """
    monkeypatch.setattr(pose, "build", lambda *_: build("resnet26_half", JOINTS, (16, 16)))
    model = pose.build().eval()
    shapes = {
        key.removeprefix("head.").removeprefix("backbone."): list(value.shape)
        for key, value in model.state_dict().items()
    }
    state = compare.weights_of({"shapes": shapes})
    prefix = {key.partition(".")[2]: key for key in model.state_dict()}
    model.load_state_dict({prefix[key]: value for key, value in state.items()})
    with torch.inference_mode():
        (output,) = [model.answer(model.backbone(compare.picture(256, 192, seed=9)))]
    recorded = {
        "shape": list(output.shape),
        "norm": float(output.norm()),
        "sample": compare.sampled(output).tolist(),
    }
    return {"shapes": shapes, "outputs": [recorded]}


def test_equal_networks_other_outputs_and_unknown_names(entry, tmp_path, capsys):
    def run(content):
        (tmp_path / "file.json").write_text(json.dumps(content))
        return golden.main([str(tmp_path / "file.json")]), capsys.readouterr().out

    status, said = run({"pose_resnet50": entry})
    assert status == 0 and "equal: largest relative difference" in said
    status, said = run({"pose_resnet50": entry, "nobody's": entry})
    assert status == 2 and "unknown" in said.splitlines()[1]
    sample = [*entry["outputs"][0]["sample"][:-1], 5.0]
    other = {**entry, "outputs": [{**entry["outputs"][0], "sample": sample}]}
    status, said = run({"pose_resnet50": other})
    assert status == 1 and "DIFFERS" in said
    shapes = {key: value for key, value in entry["shapes"].items() if key != "bn1.weight"}
    status, said = run({"pose_resnet50": {**entry, "shapes": shapes}})
    assert status == 1 and "FAILED" in said and len(said.splitlines()) == 1


@pytest.mark.parametrize("place", ["output", "sample", "norm"])
def test_what_is_no_number_is_never_equal(place):
    output = torch.ones(2, 3)
    one = {"shape": [2, 3], "norm": 6**0.5, "sample": [1.0] * 6}
    assert compare.near([output], [one]).passed
    if place == "output":
        output[1, 2] = torch.nan
    else:
        one[place] = float("nan") if place == "norm" else [float("nan")] + [1.0] * 5
    both = [torch.ones(1)], [{"shape": [1], "norm": 1.0, "sample": [1.0]}]
    for found, recorded in (([output], [one]), ([output, *both[0]], [one, *both[1]])):
        outcome = compare.near(found, recorded)
        assert not outcome.passed and "nan" in outcome.text


@pytest.mark.parametrize("text", ["", '{"a":', "[1]", "null", '"x"', "{}"])
def test_a_file_of_no_networks_is_one_line(tmp_path, capsys, text):
    (tmp_path / "file.json").write_text(text)
    with pytest.raises(SystemExit) as stopped:
        golden.main([str(tmp_path / "file.json")])
    assert stopped.value.code == 2
    assert "file.json: " in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    "entry",
    [
        5,
        {"outputs": []},
        {"shapes": {"conv1.weight": [2]}},
        {"shapes": [1], "outputs": []},
        {"shapes": {"conv1.weight": "x"}, "outputs": []},
        {"shapes": {"conv1.weight": [2]}, "override": {"conv1.weight": "x"}, "outputs": []},
        {"shapes": {"conv1.weight": [2]}, "scale": {"(": 2}, "outputs": []},
    ],
)
def test_an_entry_of_another_form_is_one_line(entry):
    status, text = golden.line("pose_resnet50", entry)
    assert status == 1 and text.startswith("FAILED: ") and "\n" not in text


def test_weights_are_scaled_and_overridden():
    shapes = {"a.weight": [2, 3], "a.bias": [2], "b.running_var": [4], "n.num_batches_tracked": []}
    plain = compare.weights_of({"shapes": shapes})
    assert plain["n.num_batches_tracked"] == 7 and plain["b.running_var"].min() >= 0.5
    changed = compare.weights_of(
        {"shapes": shapes, "scale": {r"^a\.": 2.0}, "override": {"a.bias": [1.0, 2.0]}}
    )
    assert torch.equal(changed["a.weight"], 2 * plain["a.weight"])
    assert changed["a.bias"].tolist() == [1.0, 2.0]
    assert torch.equal(changed["b.running_var"], plain["b.running_var"])
