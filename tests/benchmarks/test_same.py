"""The comparison behind `benchmarks.same` sees one changed value, and only then."""

import json

import cv2
import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from benchmarks.same import DEFAULTS, Report, compare_recipes, compare_sides
from benchmarks.same_files import compare_folders, difference, first_difference
from benchmarks.same_runs import Side


@pytest.fixture
def pair(tmp_path):
    """Paths of one name on both sides."""

    def paths(name):
        for side in ("old", "new"):
            (tmp_path / side).mkdir(exist_ok=True)
        return tmp_path / "old" / name, tmp_path / "new" / name

    return paths


def written(paths, write, *contents):
    """The difference between two files that `write` makes of two contents."""
    for path, content in zip(paths, contents, strict=True):
        write(path, content)
    return difference(*paths)


def checkpoint(weight=0.5, count=3, dtype=torch.float32):
    weights = torch.tensor([[0.25, weight], [1.0, -1.0]], dtype=dtype)
    return {"model": {"stem.weight": weights}, "progress": {"step": count}, "ema": None}


def save(path, payload):
    torch.save(payload, path)


def save_json(path, content):
    path.write_text(json.dumps(content, indent=2) + "\n")


def save_lines(path, lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def picture(value=100):
    canvas = np.full((16, 16, 3), 100, dtype=np.uint8)
    canvas[:8, :8] = value
    return canvas


def save_picture(path, canvas):
    assert cv2.imwrite(str(path), canvas)


def test_equal_checkpoints(pair):
    assert written(pair("last.pt"), save, checkpoint(), checkpoint()) is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_one_bit_of_a_tensor(pair, dtype):
    changed = checkpoint(dtype=dtype)
    bits = changed["model"]["stem.weight"].view(torch.uint8)
    bits[0, bits.shape[1] // 2] ^= 1
    found = written(pair("last.pt"), save, checkpoint(dtype=dtype), changed)
    assert found.startswith("model.stem.weight: 1 of 4 values differ, at 1 0.5 / 0.50")


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (checkpoint(count=4), "progress.step: 3 / 4"),
        (
            checkpoint(dtype=torch.float64),
            "model.stem.weight: torch.float32 (2, 2) / torch.float64",
        ),
        ({**checkpoint(), "more": 1}, "more: only NEW has it"),
        ({**checkpoint(), "ema": {}}, "ema: None / {}"),
    ],
)
def test_another_value_in_a_checkpoint(pair, changed, expected):
    assert written(pair("last.pt"), save, checkpoint(), changed).startswith(expected)


@pytest.mark.parametrize(
    ("old", "new", "equal"),
    [
        (torch.tensor(float("nan")), torch.tensor(float("nan")), True),
        (torch.tensor(0.0), torch.tensor(-0.0), False),
        (float("nan"), float("nan"), True),
        (0.0, -0.0, False),
        (1, True, False),
        (1, 1.0, False),
        ([1, 2], [1, 2, 3], False),
        ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 2}]}, True),
        ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]}, False),
        (torch.empty(0, 3), torch.empty(0, 3), True),
        (torch.ones(2, 3).T, torch.ones(3, 2), True),
    ],
)
def test_values(old, new, equal):
    assert (first_difference(old, new) is None) is equal


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"a": 1, "versions": {"torch": "1"}}, {"a": 1, "versions": {"torch": "2"}}, None),
        ({"a": {"b": [1]}}, {"a": {"b": [2]}}, "a.b[0]: 1 / 2"),
        ({"a": 1}, {"b": 1}, "a: only OLD has it"),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, "the same values, written in another way"),
        ([{"versions": 1}], [{"versions": 2}], "[0].versions: 1 / 2"),
    ],
)
def test_json(pair, old, new, expected):
    assert written(pair("metrics.json"), save_json, old, new) == expected


def test_json_that_is_indented_otherwise(pair):
    old, new = pair("found.json")
    old.write_text(json.dumps({"a": 1}, indent=1))
    new.write_text(json.dumps({"a": 1}, indent=2))
    assert difference(old, new) == "the same values, written in another way"


def test_cards_say_the_same_in_any_order_and_whatever_the_hash_of_the_file(pair):
    old, new = pair("metrics.json")
    checkpoint = {"file": "best.pt", "sha256": "1", "epoch": 2}
    card = {"metrics": {"AP": 0.5}, "checkpoint": checkpoint, "versions": {"torch": "1"}}
    old.write_text(json.dumps(card))
    other = {"checkpoint": {**checkpoint, "sha256": "2"}, "versions": {}, "metrics": {"AP": 0.5}}
    new.write_text(json.dumps(other))
    assert difference(old, new) is None
    new.write_text(json.dumps({**other, "metrics": {"AP": 0.6}}))
    assert "metrics.AP" in difference(old, new)


def test_settings_are_equal_in_any_order(pair):
    old, new = pair("config.yaml")
    old.write_text("a: 1\nb: {c: 2}\n")
    new.write_text("b: {c: 2}\na: 1\n")
    assert difference(old, new) is None
    new.write_text("b: {c: 3}\na: 1\n")
    assert "b.c" in difference(old, new)


STEP = {"step": 1, "epoch": 0, "loss": 0.5, "samples_per_second": 10.0}
SCORES = {"epoch": 0, "metrics": {"AP": 0.1}}


@pytest.mark.parametrize(
    ("lines", "equal"),
    [
        ([{**STEP, "samples_per_second": 99.0}, SCORES], True),
        ([STEP, STEP, SCORES, SCORES], True),  # a step that was repeated after a stop
        ([{**STEP, "loss": 0.7}, STEP, SCORES], True),
        ([{**STEP, "loss": 0.5000001}, SCORES], False),
        ([STEP, {"epoch": 0, "metrics": {"AP": 0.2}}], False),
        ([STEP], False),
        ([STEP, {**STEP, "step": 2}, SCORES], False),
    ],
)
def test_logs(pair, lines, equal):
    assert (written(pair("log.jsonl"), save_lines, [STEP, SCORES], lines) is None) is equal


def test_pictures(pair):
    assert written(pair("a.png"), save_picture, picture(), picture()) is None
    assert "bytes" in written(pair("a.png"), save_picture, picture(), picture(101))
    assert written(pair("a.jpg"), save_picture, picture(), picture()) is None
    found = written(pair("a.jpg"), save_picture, picture(), picture(101))
    assert found.startswith("pixels: ") and found.endswith("at 0 100 / 101")


def test_one_byte_of_a_png(pair):
    old, new = pair("a.png")
    save_picture(old, picture())
    content = bytearray(old.read_bytes())
    content[20] ^= 1
    new.write_bytes(content)
    assert (
        difference(old, new)
        == f"{len(content)} bytes / {len(content)}, the first that differs is 20"
    )


def test_a_jpeg_of_other_bytes_and_the_same_pixels(pair):
    old, new = pair("a.jpg")
    save_picture(old, picture())
    content = old.read_bytes()
    new.write_bytes(content[:2] + b"\xff\xfe\x00\x04hi" + content[2:])  # a comment
    assert difference(old, new) is None


def save_clip(path, lefts):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10.0, (64, 48))
    for left in lefts:
        frame = np.zeros((48, 64, 3), dtype=np.uint8)
        frame[10:30, left : left + 20] = 255
        writer.write(frame)
    writer.release()


def test_videos(pair):
    paths = pair("clip.mp4")
    assert written(paths, save_clip, [4, 8, 12], [4, 8, 12]) is None
    assert written(paths, save_clip, [4, 8, 12], [4, 8, 20]).startswith("frame 2: ")
    assert written(paths, save_clip, [4, 8, 12], [4, 8]) == "3 frames / 2"


def save_arrays(path, arrays):
    np.savez(path, **arrays)


def test_arrays(pair):
    paths, names = pair("features.npz"), np.array(["a.jpg", "b.jpg"])
    whole = {"paths": names, "features": np.ones((2, 3), np.float32)}
    changed = {**whole, "features": np.array([[1, 1, 1], [1, 1, 2]], np.float32)}
    assert written(paths, save_arrays, whole, whole) is None
    assert written(paths, save_arrays, whole, changed) == (
        "features: 1 of 6 values differ, at 5 1.0 / 2.0"
    )
    renamed = {**whole, "paths": np.array(["a.jpg", "c.jpg"])}
    assert "b.jpg / c.jpg" in written(paths, save_arrays, whole, renamed)
    assert written(paths, save_arrays, whole, {"paths": names}).startswith("arrays ")


def save_network(path, parts):
    """An ONNX file of y = x + addend, with a description."""
    addend, description = parts
    shape = ["batch", 3, "height", "width"]
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "addend"], ["y"])],
        "sum",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [helper.make_tensor("addend", TensorProto.FLOAT, [1], [addend])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {"description": json.dumps({"task": description})})
    onnx.save(model, path)


def test_networks(pair):
    paths = pair("network.onnx")
    assert written(paths, save_network, (0.5, "a"), (0.5, "a")) is None
    assert written(paths, save_network, (0.5, "a"), (0.75, "a")).startswith("output y: ")
    assert (
        written(paths, save_network, (0.5, "a"), (0.5, "b"))
        == "interface[2].description.task: a / b"
    )


def test_texts_and_paths_of_the_checkouts(pair, tmp_path):
    old, new = pair("said.txt")
    old.write_text(f"wrote\n{old.parent}/runs\n")
    new.write_text(f"wrote\n{new.parent}/runs\n")
    assert difference(old, new, [old.parent, new.parent]) is None
    assert difference(old, new).startswith("line 2: ")
    new.write_text(f"wrote\n{new.parent}/rums\n")
    assert difference(old, new, [old.parent, new.parent]) == "line 2: PLACE/runs / PLACE/rums"


def test_what_cannot_be_read_is_a_difference(pair):
    for name in ("last.pt", "metrics.json", "log.jsonl", "a.jpg", "a.mp4", "a.npz", "a.onnx"):
        found = written(pair(name), lambda path, content: path.write_text(content), "no", "yes")
        assert found is not None, name


def test_folders(pair):
    for name in ("a.txt", "b.txt", "events.out.tfevents.1"):
        for number, path in enumerate(pair(name)):
            path.write_text(f"{number * (name != 'a.txt')}\n")
    old, new = pair("c.txt")
    old.write_text("only here")
    assert compare_folders(old.parent, new.parent) == Report(
        1, ("b.txt: line 1: 0 / 1", "c.txt: only OLD has it")
    )


def test_recipes():
    old = {DEFAULTS: {"loss.dice": "1.0"}, "a.yaml": {"loss.dice": "0.5"}}
    assert compare_recipes(old, old) == Report(2, ())
    defaults = {DEFAULTS: {"loss.dice": "1.0", "loss.focal": "0.0"}}
    recipe, added = {"loss.dice": "0.5", "loss.focal": "0.0"}, ("new setting loss.focal = 0.0",)
    assert compare_recipes(old, {**defaults, "a.yaml": recipe}) == Report(2, (), added)
    recipe = {"loss.dice": "0.5", "loss.focal": "2.0"}
    wrong = ("a.yaml: loss.focal: not there / 2.0",)
    assert compare_recipes(old, {**defaults, "a.yaml": recipe}) == Report(1, wrong, added)


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        ({DEFAULTS: {"loss.dice": "0.9"}, "a.yaml": {"loss.dice": "0.5"}},
         "(defaults): loss.dice: 1.0 / 0.9"),
        ({DEFAULTS: {"loss.dice": "1.0"}, "a.yaml": {}}, "a.yaml: loss.dice: 0.5 / not there"),
        ({DEFAULTS: {"loss.dice": "1.0"}}, "a.yaml: only OLD has it"),
        ({DEFAULTS: {"loss.dice": "1.0"}, "a.yaml": {"error": "unknown key"}},
         "a.yaml: NEW: unknown key"),
    ],
)  # fmt: skip
def test_another_recipe(new, expected):
    old = {DEFAULTS: {"loss.dice": "1.0"}, "a.yaml": {"loss.dice": "0.5"}}
    assert compare_recipes(old, new) == Report(1, (expected,))


def test_a_command_that_failed_on_both_sides_is_a_difference(tmp_path):
    sides = [Side(tmp_path, tmp_path / name, {"train": "failed"}) for name in ("old", "new")]
    for side in sides:
        (side.folder / "train").mkdir(parents=True)
        (side.folder / "train" / "a.txt").write_text("equal")
    assert compare_sides(*sides, "train", []) == Report(1, ("OLD: failed", "NEW: failed"))
    assert compare_sides(*sides, "export", []).differences == ("no file was written",)
