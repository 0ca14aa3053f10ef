import contextlib
import dataclasses
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.commands import config
from common.errors import UserError
from common.training.settings import EngineConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inner:
    """Inner settings."""

    epochs: int = 3
    """How many epochs."""
    precision: Literal["fp32", "bf16"] = "fp32"
    compile: bool = False

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise ValueError(f"--inner.epochs is {self.epochs}; it must be 1 or more")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outer:
    """Outer settings."""

    out: Path = Path("runs/x")
    root: Path | None = None
    rate: float = 0.1
    size: tuple[int, int] = (256, 192)
    milestones: tuple[int, ...] = (90, 120)
    inputs: tuple[Path, ...] = ()
    resume: bool = False
    inner: Inner = Inner()


@pytest.fixture
def yaml_file(tmp_path):
    def write(text: str) -> str:
        path = tmp_path / "some.yaml"
        path.write_text(text)
        return str(path)

    return write


def test_no_words_give_the_defaults():
    assert config.parse(Outer, []) == Outer()


def test_what_was_read_before_leaves_no_trace(yaml_file):
    file = yaml_file("root: /data\nmilestones: [1]\ninner:\n  epochs: 7\n")
    for words in (["--config", file, "--resume"], ["--inner.epochs", "8"], ["--rate", "fast"]):
        with contextlib.suppress(UserError):
            assert config.parse(Outer, words) != Outer()
        assert config.parse(Outer, []) == Outer()


def test_flags_win_over_a_file_wherever_they_stand(yaml_file):
    file = yaml_file("inner:\n  epochs: 7\n  precision: bf16\n")
    before = config.parse(Outer, ["--inner.epochs", "2", "--config", file])
    after = config.parse(Outer, ["--config", file, "--inner.epochs", "2"])
    assert before == after == Outer(inner=Inner(epochs=2, precision="bf16"))


def test_later_files_win_over_earlier_ones(tmp_path):
    (tmp_path / "a.yaml").write_text("rate: 1.0\ninner:\n  epochs: 5\n")
    (tmp_path / "b.yaml").write_text("rate: 2.0\n")
    words = ["--config", str(tmp_path / "a.yaml"), f"--config={tmp_path / 'b.yaml'}"]
    assert config.parse(Outer, words) == Outer(rate=2.0, inner=Inner(epochs=5))


def test_switches_stand_alone_or_with_a_value():
    assert config.parse(Outer, ["--resume"]).resume
    assert config.parse(Outer, ["--resume", "--rate", "2"]) == Outer(resume=True, rate=2.0)
    assert not config.parse(Outer, ["--resume", "false"]).resume
    assert config.parse(Outer, ["--inner.compile"]).inner.compile


@pytest.mark.parametrize(
    "words",
    [
        ["a.jpg", "b", "--rate", "2", "--resume"],
        ["--rate", "2", "--resume", "a.jpg", "b"],
        ["--rate=2", "a.jpg", "--resume", "true", "b"],
        ["--resume", "--rate", "2", "--", "a.jpg", "b"],
    ],
)
def test_bare_words_anywhere_among_the_flags(words):
    parsed = config.parse(Outer, words, positional="inputs")
    assert parsed == Outer(inputs=(Path("a.jpg"), Path("b")), rate=2.0, resume=True)


def test_a_bare_word_after_two_dashes_may_look_like_a_flag():
    parsed = config.parse(Outer, ["--rate", "2", "--", "--odd.jpg"], positional="inputs")
    assert parsed == Outer(inputs=(Path("--odd.jpg"),), rate=2.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Needed:
    """A field without a default."""

    out: Path


def test_a_bare_word_that_is_not_utf_8():
    with pytest.raises(UserError, match="the name is not UTF-8; give its folder"):
        config.parse(Outer, ["caf\udce9.png"], positional="inputs")
    found = config.parse(Outer, ["caf\u00e9.png"], positional="inputs")
    assert found.inputs == (Path("caf\u00e9.png"),)


def test_a_single_bare_word():
    assert config.parse(Needed, ["some where"], positional="out") == Needed(out=Path("some where"))
    for words in ([], ["a", "b"]):
        with pytest.raises(UserError):
            config.parse(Needed, words, positional="out")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--inner.epoch", "5"], "--inner.epoch"),
        (["--milestones", "3"], "--milestones: 3 is not a list; write '[3]'"),
        (["--inner.epochs", "many"], "--inner.epochs: Expected a int. Got value: many"),
        (["--inner.epochs", "0"], "--inner.epochs is 0; it must be 1 or more"),
        (["--inner.precision", "fp16"], "--inner.precision"),
        (["--size", "[1, 2, 3]"], "--size"),
        (["--config", "nowhere.yaml"], "nowhere.yaml"),
        (["--rate"], "--rate"),
        (["stray"], "stray"),
    ],
)
def test_mistakes_are_one_line_that_names_the_flag(words, message):
    with pytest.raises(UserError) as caught:
        config.parse(Outer, words)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("inner:\n  epochz: 3\n", "inner.epochz"),
        ("epocs: 3\n", "epocs"),
        ("inner:\n  epochs: three\n", "inner.epochs"),
        ("inner: [\n", "parsing"),
        ("inner:\n#  epochs: 3\n", "inner: is empty; it is a section"),
        ("inner: [1, 2]\n", r"inner: is \[1, 2\]; it is a section"),
        ("inner:\n  epochs:\n", "--inner.epochs: is empty; give a value"),
        ("out: null\n", "--out: is empty; give a value"),
        ("inner: 3\n", "inner"),
    ],
)
def test_mistakes_in_a_file_name_the_key(yaml_file, text, message):
    with pytest.raises(UserError, match=message) as caught:
        config.parse(Outer, ["--config", yaml_file(text)])
    assert "\n" not in str(caught.value)


@given(
    st.builds(
        Outer,
        out=st.sampled_from(
            [Path(p) for p in ("runs/a b", "/tmp/null", "~/x: y", "1e3", "-.5E+1", "1_0", "a #b")]
        ),
        root=st.none() | st.just(Path("data/coco")),
        rate=st.floats(1e-9, 1e9),
        size=st.tuples(st.integers(1, 999), st.integers(1, 999)),
        milestones=st.lists(st.integers(0, 99), max_size=4).map(tuple),
        inputs=st.lists(st.sampled_from([Path("a"), Path("1"), Path("null")]), max_size=3).map(
            tuple
        ),
        resume=st.booleans(),
        inner=st.builds(Inner, epochs=st.integers(1, 99), precision=st.just("bf16")),
    )
)
def test_a_saved_config_reads_back_equal(tmp_path_factory, original):
    path = tmp_path_factory.mktemp("config") / "config.yaml"
    config.save(original, path)
    assert config.read(Outer, path) == original


def test_a_flag_is_no_yaml_comment():
    for words in (["--root", "#3/x"], ["--root=photos #3"], ["--root", "a#b"], ["--root", "&x"]):
        expected = Path(words[-1].removeprefix("--root="))
        assert config.parse(Outer, words).root == expected
    found = config.parse(Outer, ["#1.png", "b #2.png"], positional="inputs")
    assert found.inputs == (Path("#1.png"), Path("b #2.png"))


@pytest.mark.parametrize("text", ["#3/data", "&x", "?", "# a", "- b", "{c}", "*d", "12:30", "1e3"])
def test_texts_that_yaml_reads_otherwise_are_kept_in_a_file(tmp_path, text):
    original = Outer(root=Path(text), inputs=(Path(text),))
    config.save(original, tmp_path / "config.yaml")
    assert config.read(Outer, tmp_path / "config.yaml") == original


def test_a_home_of_nobody_is_told(yaml_file):
    for words in (["--out=~no.body/x"], ["--config", yaml_file("out: ~no.body/x\n")]):
        with pytest.raises(UserError, match=r"^~no\.body/x: there is no such user or no home"):
            config.parse(Outer, words)


def test_the_home_folder_in_a_flag_and_in_a_file(yaml_file):
    home = Path.home()
    assert config.parse(Outer, ["--out=~/x"]).out == home / "x"
    assert config.parse(Outer, ["--config", yaml_file("root: ~/data\n")]).root == home / "data"


def test_a_file_that_is_not_utf_8_is_named(tmp_path):
    file = tmp_path / "latin.yaml"
    file.write_bytes("out: é\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"--config .*latin\.yaml: is not text in UTF-8"):
        config.parse(Outer, ["--config", str(file)])


def test_a_seed_that_no_generator_takes():
    with pytest.raises(UserError, match=r"--engine\.seed 9223372036854775808: must be below"):
        EngineConfig(seed=2**63)


def test_reading_a_missing_file_names_it(tmp_path):
    with pytest.raises(UserError, match=r"gone\.yaml"):
        config.read(Outer, tmp_path / "gone.yaml")


def test_help_shows_the_field_docstrings(capsys):
    with pytest.raises(SystemExit) as caught:
        config.parse(Outer, ["--help"])
    assert caught.value.code == 0
    assert "How many epochs." in capsys.readouterr().out


def test_choose_names_flag_and_choices():
    assert config.choose("--backbone", "b", {"a": 1, "b": 2}) == 2
    with pytest.raises(UserError, match="--backbone c: unknown; choose one of a, b"):
        config.choose("--backbone", "c", {"a": 1, "b": 2})
