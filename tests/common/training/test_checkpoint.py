import os
import zipfile

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.errors import UserError
from common.training import checkpoint
from common.training.checkpoint import RunDirectory

PAYLOAD = {
    "format": 1,
    "model": {"backbone.weight": torch.arange(6.0).reshape(2, 3), "count": torch.tensor(3)},
    "ema": None,
    "optimizer": {"state": {0: {"step": torch.tensor(2.0)}}, "param_groups": [{"lr": 0.1}]},
    "progress": {"epoch": 1, "samples": 4, "step": 9, "best": None},
    "config": "engine: {}",
}


@pytest.fixture
def last(tmp_path):
    path = tmp_path / "last.pt"
    checkpoint.save(path, PAYLOAD)
    return path


def test_round_trip(last):
    read = checkpoint.read(last)
    assert torch.equal(read["model"]["backbone.weight"], PAYLOAD["model"]["backbone.weight"])
    assert read["model"]["count"].dtype == torch.int64
    assert {k: v for k, v in read.items() if k not in ("model", "optimizer")} == {
        k: v for k, v in PAYLOAD.items() if k not in ("model", "optimizer")
    }
    assert os.listdir(last.parent) == ["last.pt"]


def test_equal_contents_are_equal_bytes(last, tmp_path):
    checkpoint.save(tmp_path / "other.pt", PAYLOAD)
    assert last.read_bytes() == (tmp_path / "other.pt").read_bytes()


@pytest.mark.parametrize("part", [0, 0.01, 0.5, 0.99])
def test_cut_short(last, part):
    content = last.read_bytes()
    (last.parent / "best.pt").write_bytes(content)
    last.write_bytes(content[: int(part * len(content))])
    with pytest.raises(UserError) as error:
        checkpoint.read(last)
    size = f"{int(part * len(content)):,} bytes"
    assert str(error.value) == (
        f"{last}: is cut short or not a checkpoint (found {size}); {last.parent / 'best.pt'} is "
        f"still there: use --checkpoint best to evaluate it, or start again with another --out "
        f"and --weights {last.parent / 'best.pt'}"
    )


def test_advice_without_another_checkpoint(last):
    last.write_bytes(b"")
    with pytest.raises(UserError, match=r"start again with another --out$"):
        checkpoint.read(last)


@settings(
    deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_never_a_crash_nor_a_wrong_weight(last, place, bit):
    whole = last.read_bytes()
    content = bytearray(whole)
    content[int(place * len(content))] ^= 1 << bit
    damaged = last.with_name("damaged.pt")
    damaged.write_bytes(content)
    try:
        read = checkpoint.read(damaged)
    except UserError as error:
        assert str(damaged) in str(error)
    else:
        assert torch.equal(read["model"]["backbone.weight"], PAYLOAD["model"]["backbone.weight"])


def test_a_tensor_that_is_marked_as_a_folder_is_found(last):
    """torch.load would hand out memory that nothing was read into."""
    content = bytearray(last.read_bytes())
    with zipfile.ZipFile(last) as archive:
        entry = archive.start_dir
        while not content[entry + 46 :].startswith(b"archive/data/0"):
            entry = content.index(b"PK\x01\x02", entry + 4)
    content[entry + 38] |= 0x10  # of the external attributes
    last.write_bytes(content)
    with pytest.raises(UserError, match=f"^{last}: is damaged"):
        checkpoint.read(last)


def test_foreign_files(tmp_path):
    text, archive, tensors, code, newer = (tmp_path / n for n in ("a", "b", "c", "d", "e"))
    text.write_text("hello")
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("hello.txt", "hello")
    torch.save({"weight": torch.zeros(2)}, tensors)
    torch.save({**PAYLOAD, "config": os.system}, code)
    torch.save({**PAYLOAD, "format": 2}, newer)
    for path, words in (
        (text, "cut short or not a checkpoint"),
        (archive, "is damaged"),
        (tensors, "not a checkpoint of this project"),
        (code, "not a checkpoint of this project"),
        (newer, "format 2; this version reads format 1"),
        (tmp_path / "none", "no such checkpoint"),
        (tmp_path, "no such checkpoint"),
    ):
        with pytest.raises(UserError, match=words):
            checkpoint.read(path)


def test_code_in_a_checkpoint_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({**PAYLOAD, "config": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(UserError):
        checkpoint.read(tmp_path / "evil.pt")
    assert not (tmp_path / "ran").exists()


def test_a_failed_write_keeps_the_previous_one(last, monkeypatch):
    before = last.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.os, "fsync", full)
    with pytest.raises(UserError, match="No space left on device; the previous one is kept"):
        checkpoint.save(last, {**PAYLOAD, "ema": {}})
    assert last.read_bytes() == before
    assert os.listdir(last.parent) == ["last.pt"]
    with pytest.raises(UserError, match="there is no previous one"):
        checkpoint.save(last.with_name("best.pt"), PAYLOAD)


def test_differences():
    saved = "engine: {epochs: 3, batch_size: 32, device: cpu}\nloader: {workers: 2}\nout: a\nold: 1"
    given_text = (
        "engine: {epochs: 9, batch_size: 16, device: cuda, log_every: 5}\n"
        "loader: {workers: 0}\nout: b\nresume: true\ndata: {root: null, size: [256, 192]}"
    )
    assert checkpoint.differences(saved, given_text) == [
        "engine.batch_size: the run has 32, now 16",
        "old: the run has 1, now nothing",
        "data.size: the run has nothing, now [256, 192]",
    ]
    assert checkpoint.differences(saved, saved) == []
    assert checkpoint.differences("", "") == []


def test_a_setting_that_is_newer_than_the_run_had_its_default():
    saved, defaults = "a: 1\n", "a: 5\nflag: false\ngone: 3\n"
    assert checkpoint.differences(saved, "a: 1\nflag: false", defaults) == []
    assert checkpoint.differences(saved, "a: 1\nflag: true", defaults) == [
        "flag: the run has False, now True"
    ]


def test_run_directory_is_never_overwritten(last):
    run = RunDirectory(last.parent, "a: 1")
    with pytest.raises(UserError, match=r"already holds a run \(last.pt\).*--resume.*--out"):
        run.open(resume=False)
    with pytest.raises(UserError, match="already holds a run"):
        run.check(resume=False)
    run.open(resume=True)
    run.last.rename(run.best)
    with pytest.raises(UserError, match=r"already holds a run \(best.pt\)"):
        run.open(resume=False)
    with pytest.raises(UserError, match=r"last\.pt does not exist; start without --resume"):
        run.open(resume=True)


def test_run_directory_is_made_and_cleaned(tmp_path):
    run = RunDirectory(tmp_path / "deep" / "run", "")
    run.check(resume=False)
    assert not run.path.exists()
    run.open(resume=False)
    leftover = run.path / "last.pt.tmp"
    leftover.write_bytes(b"half")
    run.open(resume=False)
    with run.alone(main=False):
        assert leftover.exists()
    with run.alone(main=True):
        assert not leftover.exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"--out .*cannot be made"):
        RunDirectory(tmp_path / "file" / "run", "").open(resume=False)


def test_resuming_with_other_settings(tmp_path):
    run = RunDirectory(tmp_path, "engine: {seed: 1}")
    run.require_same({"config": "engine: {seed: 1, epochs: 4}", "samples": 9, "optimizer": {}}, 9)
    with pytest.raises(UserError, match=r"engine.seed: the run has 2, now 1\. Use the run's own"):
        run.require_same({"config": "engine: {seed: 2}", "optimizer": {}}, 9)


def test_the_best_of_a_run_is_no_last_of_one(tmp_path):
    run = RunDirectory(tmp_path, "engine: {seed: 1}")
    with pytest.raises(UserError, match=r"last\.pt: holds no optimizer, as the best\.pt of a run"):
        run.require_same({"config": "engine: {seed: 1}"}, 9)


def test_a_system_without_locks_trains_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "fcntl", None)
    with RunDirectory(tmp_path, "a: 1\n").alone(main=True) as alone:
        assert alone
