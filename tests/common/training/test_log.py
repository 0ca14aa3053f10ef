import json
import time

import pytest

from common.errors import UserError
from common.training import log


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


STEP = {"epoch": 0, "samples": 8, "loss": 0.5, "entropy": 0.5, "learning_rate": 0.1}


def test_lines(tmp_path, capsys):
    path = tmp_path / "log.jsonl"
    with log.Log(path, speaks=True, total=32, done=0) as writer:
        writer.advance(8)
        writer.step({"step": 1, **STEP})
        writer.metrics(0, 1, {"AP": 0.25})
        writer.skipped(1, 0, ["a.png: cut", "a.png: cut"])
        writer.skipped(1, 0, ["a.png: cut"])
    step, metrics, skipped = lines(path)
    assert step.pop("samples_per_second") > 0
    assert step == {"step": 1, **STEP}
    assert metrics == {"epoch": 0, "metrics": {"AP": 0.25}}
    assert skipped == {"step": 1, "epoch": 0, "skipped": ["a.png: cut"]}
    text = capsys.readouterr().out.splitlines()
    assert text[0].startswith("epoch 0 step 1 loss 0.5 ")
    assert text[0].endswith(" left")
    assert text[1:] == ["epoch 0 finished: AP 0.2500", "skipped: a.png: cut"]
    assert list(tmp_path.glob("events.out.tfevents.*"))


def test_other_ranks_are_silent(tmp_path, capsys):
    with log.Log(tmp_path / "log.jsonl", speaks=False, total=32, done=0) as writer:
        writer.advance(8)
        writer.step({"step": 1, **STEP})
        writer.metrics(0, 1, {"AP": 0.25})
        writer.skipped(1, 0, ["a.png: cut"])
        writer.say("hello")
    assert not list(tmp_path.iterdir())
    assert capsys.readouterr().out == ""


def test_a_terminal_gets_a_bar(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(log.sys.stderr, "isatty", lambda: True)
    with log.Log(tmp_path / "log.jsonl", speaks=True, total=32, done=8) as writer:
        writer.advance(8)
        writer.step({"step": 1, **STEP})
        writer.say("hello")
    captured = capsys.readouterr()
    assert "16/32" in captured.err
    assert "epoch 0, loss 0.5" in captured.err
    assert captured.out == "hello\n"


def test_truncate_drops_what_the_checkpoint_has_not_seen(tmp_path):
    path = tmp_path / "log.jsonl"
    kept = [
        {"step": 1, "loss": 1.0},
        {"epoch": 0, "metrics": {"AP": 0.1}},
        {"step": 2, "loss": 1.0},
        {"step": 2, "epoch": 1, "skipped": ["a"]},
    ]
    dropped = [{"step": 3, "loss": 1.0}, {"epoch": 1, "metrics": {"AP": 0.2}}]
    path.write_text(
        "".join(json.dumps(line) + "\n" for line in [*kept, *dropped]) + '{"step": 1, "l'
    )
    log.truncate(path, step=2, epoch=1)
    assert lines(path) == kept
    log.truncate(tmp_path / "none.jsonl", step=2, epoch=1)


def test_a_full_disk_is_named(tmp_path, monkeypatch):
    with log.Log(tmp_path / "log.jsonl", speaks=True, total=32, done=0) as writer:
        writer._file.close()
        writer._file = open("/dev/full", "w")  # noqa: SIM115
        with pytest.raises(
            UserError, match=r"log\.jsonl: the log cannot be written: No space left"
        ):
            writer.metrics(0, 1, {"AP": 0.25})
        writer._file = (tmp_path / "log.jsonl").open("a")


def test_truncate_drops_what_is_no_line_of_a_log(tmp_path):
    path = tmp_path / "log.jsonl"
    sound = '{"step": 1, "epoch": 0}'
    path.write_bytes(sound.encode() + b'\n12\nnull\n[1]\n{"x": 1}\n"metrics"\n\xff\xfe\n')
    log.truncate(path, step=5, epoch=1)
    assert path.read_text() == sound + "\n"


def test_truncate_names_the_file_that_cannot_be_written(tmp_path, monkeypatch):
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1}\n')

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(UserError, match=r"log\.jsonl: cannot be written: No space left"):
        log.truncate(path, step=5, epoch=1)


def test_curves_of_steps_that_a_resumed_run_repeats_are_taken_back(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    for begin, end in ((0, 7), (4, 9)):
        if begin:
            time.sleep(1.1)  # the files' names and order are of their second
        with log.Log(tmp_path / "log.jsonl", True, total=80, done=8 * begin, step=begin) as writer:
            for step in range(begin + 1, end + 1):
                writer.advance(8)
                writer.step({**STEP, "step": step, "loss": float(begin)})
    curves = accumulator.EventAccumulator(str(tmp_path))
    curves.Reload()
    points = [(event.step, event.value) for event in curves.Scalars("loss")]
    assert points == [*((step, 0.0) for step in range(1, 5)), *((s, 4.0) for s in range(5, 10))]
