"""Commands run on the code of a checkout, and a failure of theirs is told."""

import pytest

from benchmarks import same_start
from benchmarks.same_runs import Side

TOY = """
import os, pathlib, signal, sys, time
from tasks.toy.words import WORD
if "--wait" in sys.argv:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(int(sys.argv[-1])))
    pathlib.Path("train/run").mkdir(parents=True)
    pathlib.Path("train/run/log.jsonl").write_text("{}")
    time.sleep(60)
print(WORD, os.path.basename(os.getcwd()), *sys.argv[1:], os.environ["OMP_NUM_THREADS"], __name__)
if "--fail" in sys.argv:
    sys.exit("error: the last words")
"""


@pytest.fixture
def side(tmp_path, monkeypatch):
    """A checkout with a toy for a task, and a folder to run it in."""
    monkeypatch.setattr(same_start, "_PACKAGES", ())  # the toy needs none
    toy = tmp_path / "checkout" / "tasks" / "toy"
    toy.mkdir(parents=True)
    (toy / "words.py").write_text("WORD = 'own'\n")
    for name in ("train", "predict"):
        (toy / f"{name}.py").write_text(TOY)
    (tmp_path / "work").mkdir()
    with same_start.Servers() as servers:
        yield Side(tmp_path / "checkout", tmp_path / "work", servers=servers)


def test_commands_run_on_the_code_of_the_checkout(side):
    side.command("toy", "predict", ["--a", "1"])
    side.command("toy", "predict", ["--b"])
    said = (side.folder / "predict" / "said.txt").read_text()
    assert said == "own work --a 1 1 __main__\nown work --b 1 __main__\n"
    assert not side.failures


def test_a_command_that_fails_is_noted_with_its_last_words(side):
    side.command("toy", "predict", ["--fail"])
    side.command("toy", "predict", [])
    assert side.failures == {
        "predict": "python -m tasks.toy.predict: status 1, not 0: error: the last words"
    }


@pytest.mark.parametrize(
    ("words", "failure"),
    [
        (["--wait", "143"], None),
        (["--wait", "7"], "python -m tasks.toy.train: status 7, not 143: "),
        ([], "python -m tasks.toy.train: status 0, not 143: own work 1 __main__"),
    ],
)
def test_a_training_is_stopped_once_it_has_begun(side, words, failure):
    side.command("toy", "train", words, stop=True)
    assert side.failures.get("train") == failure
