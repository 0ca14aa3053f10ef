"""Runs that stop, by themselves or by a signal, and go on."""

import math
import signal

import pytest
import torch

from common.errors import UserError
from common.training import checkpoint
from common.training.distributed import World
from common.training.finite import FiniteWatch, first_bad
from common.training.stop import StopRequest
from tests.common.training import toy
from tests.common.training.toy import engine, log_of, losses


def test_loss_that_is_not_finite(tmp_path):
    with pytest.raises(UserError) as error:
        engine(tmp_path, poison=7).fit(resume=False)
    assert str(error.value).startswith("step 7: the loss is not finite (entropy is nan).")
    assert checkpoint.read(tmp_path / "run" / "last.pt")["progress"]["step"] == 6
    assert len(losses(tmp_path)) == 6


@pytest.mark.parametrize("steep", [4, 5, 12])  # before a checkpoint, between two, the last step
@pytest.mark.parametrize("clip", [0.0, 1.0])
def test_weights_that_are_not_finite_are_never_saved(tmp_path, steep, clip):
    settings = {"steep": steep, "clip": clip, "ema": 0.0}
    with pytest.raises(
        UserError, match=r"^step \d+: .*not finite.* The last checkpoint is from be"
    ):
        engine(tmp_path, **settings).fit(resume=False)
    saved = checkpoint.read(tmp_path / "run" / "last.pt")
    assert saved["progress"]["step"] < steep
    assert first_bad(saved["model"]) is None


def test_weights_that_are_not_finite_before_the_first_step(tmp_path):
    toy_engine = engine(tmp_path)
    toy_engine.model.head.weight.data[0, 0] = math.inf
    with pytest.raises(UserError, match=r"^head\.weight is not finite before the first step"):
        toy_engine.fit(resume=False)
    assert not (tmp_path / "run" / "last.pt").exists()


def test_what_is_not_finite_is_found_among_all_types():
    sound = {"a": torch.ones(2), "b": torch.tensor([1, 2]), "c": torch.ones(1).half(), "d": "text"}
    assert first_bad({}) is None and first_bad(sound) is None
    assert first_bad(sound | {"c": torch.tensor([1, math.nan]).bfloat16()}) == "c"
    assert first_bad({"x": torch.tensor(-math.inf)} | sound) == "x"


def test_a_folder_where_another_process_trains_is_refused(tmp_path, zygote):
    running = engine(tmp_path)
    running.run.open(resume=False)
    output = tmp_path / "output"
    with running.run.alone(main=True) as alone:
        assert alone
        assert zygote.run("train", output, out=str(running.run.path)) == [2]
    assert output.read_text().startswith(
        f"error: --out {running.run.path}: another process is training there; wait for its end"
    )
    assert zygote.run("train", output, out=str(running.run.path)) == [0]


def test_watch_remembers_the_first_bad_step():
    watch = FiniteWatch(torch.device("cpu"))
    watch.name(("a", "b"))
    for step, terms in enumerate([(1, 2), (math.inf, 2), (math.nan, math.nan), (1, 1)], start=1):
        watch.note(step, torch.tensor(terms, dtype=torch.float32))
    assert watch.bad()
    with pytest.raises(UserError, match=r"^step 2: the loss is not finite \(a is inf\)"):
        watch.raise_first(World())


def test_watch_of_a_sound_run():
    watch = FiniteWatch(torch.device("cpu"))
    watch.note(1, torch.tensor([1.0]))
    assert not watch.bad()
    watch.raise_first(World())


def test_loss_terms_may_not_change():
    watch = FiniteWatch(torch.device("cpu"))
    watch.name(("a",))
    with pytest.raises(ValueError, match="loss terms changed"):
        watch.name(("b",))


def test_log_of_a_resumed_run_has_every_step_once(tmp_path):
    """Stopped after step 7 with a checkpoint of step 5: the lines of 6 and 7 are written again."""
    with pytest.raises(UserError):
        engine(tmp_path, save_every=5, poison=8).fit(resume=False)
    assert len(losses(tmp_path)) == 7
    engine(tmp_path, save_every=5).fit(resume=True)
    steps = [line["step"] for line in log_of(tmp_path) if "loss" in line]
    assert steps == list(range(1, 13))
    assert [line["epoch"] for line in log_of(tmp_path) if "metrics" in line] == [0, 1, 2]


def test_skipped_files_of_a_stopped_run_are_logged_each_once(tmp_path):
    """Met before the checkpoint, between two lines of the log, and again after going on."""
    damaged = {"damaged": (0, 9), "on_error": "skip", "log_every": 100, "save_every": 1}
    order = {"order": lambda epoch: [*range(9), *range(10, 36)] if epoch == 0 else range(36)}
    with pytest.raises(UserError):
        engine(tmp_path, **damaged, **order, poison=3).fit(resume=False)
    engine(tmp_path, **damaged, **order).fit(resume=True)
    lines = [line for line in log_of(tmp_path) if "skipped" in line]
    assert [(line["epoch"], line["skipped"]) for line in lines] == [
        (0, ["image0.png: cannot be read"]),
        (1, ["image9.png: cannot be read"]),
    ]


def test_resuming_a_finished_run_changes_nothing(tmp_path):
    engine(tmp_path).fit(resume=False)
    before = (tmp_path / "run" / "last.pt").read_bytes()
    assert engine(tmp_path).fit(resume=True).epoch == 3
    assert (tmp_path / "run" / "last.pt").read_bytes() == before


def test_a_run_may_be_made_longer(tmp_path):
    engine(tmp_path).fit(resume=False)
    assert engine(tmp_path, epochs=4).fit(resume=True).step == 16
    toy.build(tmp_path / "whole", World(), epochs=4).fit(resume=False)
    longer, whole = (checkpoint.read(tmp_path / n / "last.pt")["model"] for n in ("run", "whole"))
    assert all(torch.equal(longer[name], whole[name]) for name in whole)


def test_resuming_with_other_settings_lists_them(tmp_path):
    engine(tmp_path).fit(resume=False)
    config = (tmp_path / "run" / "config.yaml").read_text()
    with pytest.raises(UserError) as error:
        engine(tmp_path, seed=1, batch_size=4, length=20).fit(resume=True)
    assert (tmp_path / "run" / "config.yaml").read_text() == config
    for words in (
        "engine.seed: the run has 0, now 1",
        "engine.batch_size: the run has 8, now 4",
        "length: the run has 36, now 20",
    ):
        assert words in str(error.value)


def test_never_overwrites_and_never_resumes_from_nothing(tmp_path):
    with pytest.raises(UserError, match="start without --resume"):
        engine(tmp_path).fit(resume=True)
    engine(tmp_path, epochs=1).fit(resume=False)
    with pytest.raises(UserError, match="already holds a run"):
        engine(tmp_path).fit(resume=False)


def test_second_signal_acts_at_once():
    # A test run that a shell started in the background would ignore SIGINT from its start.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), StopRequest(patient=False) as stop:
            signal.raise_signal(signal.SIGINT)
            assert stop.requested
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_signals_from_torchrun_come_twice():
    before = signal.getsignal(signal.SIGTERM)
    with StopRequest(patient=True) as stop:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert stop.stopped().code == 143
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_run_goes_on_with_as_many_samples_as_it_began_with(tmp_path):
    toy.build(tmp_path / "run", World(), epochs=1).fit(resume=False)
    fewer = toy.build(tmp_path / "run", World(), epochs=2)
    fewer.data.dataset.length = 15
    with pytest.raises(UserError, match=r"began with [\d,]+ training samples, now there are 15"):
        fewer.fit(resume=True)
    payload = checkpoint.read(tmp_path / "run" / "last.pt")
    del payload["samples"]  # as earlier versions wrote it
    checkpoint.save(tmp_path / "run" / "last.pt", payload)
    toy.build(tmp_path / "run", World(), epochs=2).fit(resume=True)
