"""The whole way from files to a score, and the command."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.commands import card
from common.commands.confusion import class_scores, confusion_matrix
from common.errors import UserError
from common.reading import image
from common.training.distributed import World
from tasks.segmentation import evaluate, report
from tasks.segmentation.config import ScoringConfig
from tasks.segmentation.data import read
from tests.tasks.segmentation import small
from tests.tasks.segmentation.oracle import Oracle, tiny_config, write_run

WORLD = World()


@pytest.fixture
def voc(tmp_path):
    return small.write_voc(tmp_path / "VOC2012")


def run_command(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["evaluate", *map(str, words)])
    evaluate.main()


def refusal(monkeypatch, *words):
    with pytest.raises(UserError) as caught:
        run_command(monkeypatch, *words)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def outcome(root, mistake=None, **changes):
    config = tiny_config(root, **changes)
    split = read(config, "val")
    return evaluate.evaluate(Oracle(split, mistake).eval(), split, config, WORLD)


def test_the_truth_scores_1(voc):
    found = outcome(voc)
    assert found.metrics == {"mIoU": 1, "pixel_accuracy": 1, "mean_accuracy": 1}
    assert found.skipped == 0
    # Void pixels, a column of each picture, are not counted.
    assert found.counts.sum() == 3 * 64 * 48 - 64 - 48 - 64
    assert np.array_equal(found.counts, np.diag(np.diag(found.counts)))


def test_known_mistakes_have_known_scores(voc):
    def bars_for_discs(labels):
        labels[labels == 1] = 2

    found = outcome(voc, bars_for_discs)
    truth = [small.labels(number, *(64, 48) if number % 2 else (48, 64)) for number in (6, 7, 8)]
    discs, bars = (sum(int((labels == label).sum()) for labels in truth) for label in (1, 2))
    scores = class_scores(found.counts)
    assert scores["IoU"] == pytest.approx([1, 0, bars / (bars + discs)])
    assert found.metrics["mIoU"] == pytest.approx((1 + bars / (bars + discs)) / 3)
    assert found.counts[1].tolist() == [0, 0, discs]


def test_scores_are_of_the_original_size(voc):
    """A network that sees pictures of half the size is scored against the whole label maps."""
    found = outcome(voc, test=ScoringConfig(short_side=24))
    assert found.counts.sum() == 3 * 64 * 48 - 64 - 48 - 64


def test_all_pictures_make_one_matrix_not_a_mean_of_scores(voc):
    seen = []

    def first_only(labels):
        seen.append(labels.shape)
        if len(seen) == 1:
            labels[:] = 0

    found = outcome(voc, first_only)
    config = tiny_config(voc)
    split = read(config, "val")
    truth = [split.read(index).label for index in range(3)]
    answers = [
        np.zeros_like(truth[0]),
        *(np.where(labels == 255, 0, labels) for labels in truth[1:]),
    ]
    parts = [confusion_matrix(*pair, 3) for pair in zip(truth, answers, strict=True)]
    assert np.array_equal(found.counts, sum(parts))


def test_the_command_writes_card_classes_and_pictures(voc, tmp_path, monkeypatch, capsys):
    write_run(tmp_path / "run", voc)
    run_command(monkeypatch, "--run", tmp_path / "run")
    printed = capsys.readouterr().out
    for words in (
        "mIoU",
        "pixel_accuracy",
        "scored at original size",
        "disc",
        "background everywhere",
    ):
        assert words in printed
    one = card.read(tmp_path / "run" / "metrics.json")
    assert one.task == "segmentation"
    assert one.protocol == {
        "scored_at": "original size", "short_side": "original", "scales": [1.0], "flip": False,
        "classes": 3, "ignore_index": 255, "precision": "fp32",
    }  # fmt: skip
    assert one.data["images"] == 3
    assert one.model["decoder"] == "deeplabv3plus"
    assert one.checkpoint["epoch"] == 3
    assert "IoU background" in one.metrics
    content = json.loads((tmp_path / "run" / "classes.json").read_text())
    assert [row["class"] for row in content["classes"]] == list(small.CLASSES)
    counts = np.array(content["confusion_matrix"])
    assert one.metrics["pixel_accuracy"] == pytest.approx(np.trace(counts) / counts.sum())
    assert content["classes"][1]["share"] == pytest.approx(counts[1].sum() / counts.sum())
    pictures = tmp_path / "run" / "pictures"
    sheet = image.read(pictures / "predictions.jpg")
    assert sheet.shape[0] > 3 * 240
    assert image.read(pictures / "confusion_matrix.png").std() > 10


def test_names_of_classes_are_no_formulas(tmp_path):
    path = tmp_path / "matrix.png"
    report.draw_confusion(path, np.eye(2, dtype=np.int64), ["$\\bad$", "5$ note"])
    assert image.read(path).std() > 10


def test_classes_in_another_order_are_refused(voc, tmp_path, monkeypatch):
    write_run(tmp_path / "run", voc)
    words = ("--run", tmp_path / "run", "--data.root", voc)
    names = (voc / "classes.txt").read_text().split()
    (voc / "classes.txt").write_text("\n".join([names[0], *names[:0:-1]]))
    message = refusal(monkeypatch, *words)
    assert "classes.txt has the classes in another order" in message
    assert f"({', '.join(names)})" in message


def test_flags_win_over_the_run_and_its_folder(voc, tmp_path, monkeypatch):
    write_run(tmp_path / "run", tmp_path / "nowhere")
    words = [
        "--run",
        tmp_path / "run",
        "--data.root",
        voc,
        "--test.flip",
        "--test.scales",
        "[0.5, 1]",
    ]
    words += ["--test.window", "[32, 32]", "--checkpoint", "last", "--precision", "bf16"]
    run_command(monkeypatch, *words, "--data.val_split", "train", "--out", tmp_path / "elsewhere")
    assert not (tmp_path / "run" / "metrics.json").exists()
    one = card.read(tmp_path / "elsewhere" / "metrics.json")
    assert one.protocol["flip"] is True
    assert one.protocol["scales"] == [0.5, 1.0]
    assert one.protocol["window"] == [32, 32]
    assert one.protocol["precision"] == "bf16"
    assert one.checkpoint["epoch"] == 5
    assert one.data["split"] == "train"
    assert one.data["images"] == 6


def test_a_class_that_does_not_occur_has_no_entry(voc, tmp_path, monkeypatch, capsys):
    for path in (voc / "SegmentationClass").iterdir():
        labels = np.asarray(Image.open(path)).copy()
        labels[labels == 1] = 0
        Image.fromarray(labels).save(path)
    config = tiny_config(voc)
    split = read(config, "val")
    found = evaluate.evaluate(Oracle(split).eval(), split, config, WORLD)
    assert found.metrics["mIoU"] == 1
    rows = evaluate.report.class_rows(found.counts, split.classes)
    assert rows[1] == {"class": "disc", "IoU": None, "accuracy": None, "share": 0}
    assert "-" in evaluate.report.class_table(rows)
    write_run(tmp_path / "run", voc)
    run_command(monkeypatch, "--run", tmp_path / "run")
    assert "note: 3 label maps of val: class disc has no pixel" in capsys.readouterr().out
    one = card.read(tmp_path / "run" / "metrics.json")
    assert one.data["absent_classes"] == "1 of 3 (disc)"


def test_what_is_missing_or_broken_is_told_in_one_line(voc, tmp_path, monkeypatch):
    write_run(tmp_path / "run", voc)
    assert "--run is missing" in refusal(monkeypatch)
    assert "no such folder" in refusal(monkeypatch, "--run", tmp_path / "none")
    run = ("--run", tmp_path / "run")
    assert "resnet51" in refusal(monkeypatch, *run, "--backbone", "resnet51")
    assert "--backbone" in refusal(monkeypatch, *run, "--backbone", "resnet26_half")
    assert "--model.decoder" in refusal(monkeypatch, *run, "--model.decoder", "unet")
    classes = "[background, disc, bar, ring]"
    assert "for 3 classes" in refusal(monkeypatch, *run, "--data.classes", classes)
    assert "test.txt" in refusal(monkeypatch, *run, "--data.val_split", "test")
    (tmp_path / "run" / "best.pt").unlink()
    assert "best.pt" in refusal(monkeypatch, *run)


@pytest.mark.slow
def test_two_ranks_count_what_one_counts(voc, tmp_path):
    """Each rank counts its share of the pictures; the sums are equal to the last pixel."""
    write_run(tmp_path / "run", voc)
    words = [
        "-m",
        "tasks.segmentation.evaluate",
        "--run",
        str(tmp_path / "run"),
        "--data.val_split",
    ]
    words += ["train", "--out"]
    ranks = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "--", *words[1:]]
    for command, out in ((words, "one"), (ranks, "two")):
        subprocess.run(
            [sys.executable, *command, str(tmp_path / out)],
            cwd=Path(__file__).parents[3], check=True, timeout=300,
        )  # fmt: skip
    one, two = ((tmp_path / out / "classes.json").read_text() for out in ("one", "two"))
    assert one == two
