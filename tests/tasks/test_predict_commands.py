"""What the predict command of every task has to do with its inputs and with what it leaves."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pytest
from PIL import Image

from backbone import WeightsError
from common.errors import DamagedFile, UserError
from tests.tasks.classification import small as classification
from tests.tasks.commands import call
from tests.tasks.depth import small as depth
from tests.tasks.detection import runs as detection_runs
from tests.tasks.detection import small as detection
from tests.tasks.interactive import small as interactive
from tests.tasks.panoptic import small as panoptic
from tests.tasks.pose import oracle as pose_runs
from tests.tasks.pose import small as pose
from tests.tasks.reid import small as reid
from tests.tasks.salient import small as salient
from tests.tasks.segmentation import oracle as segmentation_runs
from tests.tasks.segmentation import small as segmentation
from tests.tasks.speaker import small as speaker
from tests.tasks.volumes import small as volumes


@dataclass(frozen=True, kw_only=True)
class Row:
    """A task, a run of it that was not trained, and what its predict command takes and leaves."""

    name: str
    write_run: Callable[[Path], object]
    save: Callable[[Path, int], object]
    """Writes an input: to a path, by a seed."""
    input: str = "a.png"
    flags: tuple[str, ...] = ()
    """Without which an input cannot be worked on."""
    empty: str = "no picture or video in this folder"
    """What is said of a folder without inputs."""


@dataclass(frozen=True, kw_only=True)
class Drawing(Row):
    """A task that draws what it finds on pictures."""

    size: tuple[int, int]
    """Width and height of the inputs."""
    drawn: str
    """The first file of an input, from its name without suffix."""
    listed: tuple[str, str | None]
    """The file that lists all, and the key of the list if that is not the whole content."""
    key: str | None = None
    """Where an entry names its file."""
    samples: int = 2
    """As few generated pictures as it draws."""

    def entries(self, out):
        file, key = self.listed
        content = json.loads((out / file).read_text())
        return content if key is None else content[key]

    def files(self, out):
        """The names of the inputs that have entries, in their order."""
        return list(dict.fromkeys(entry["file_name"] for entry in self.entries(out)))


DRAWING = (
    Drawing(
        name="pose",
        write_run=pose_runs.write_run,
        save=lambda path, seed: pose.picture(seed).save(path),
        size=(pose.WIDTH, pose.HEIGHT),
        drawn="{}.jpg",
        listed=("keypoints.json", "people"),
        key="drawn",
    ),
    Drawing(
        name="salient",
        write_run=salient.write_run,
        save=lambda path, seed: salient.picture(seed).save(path),
        size=(salient.WIDTH, salient.HEIGHT),
        drawn="{}_map.png",
        listed=("saliency.json", "files"),
        key="map",
    ),
    Drawing(
        name="segmentation",
        write_run=segmentation_runs.write_run,
        save=lambda path, seed: Image.fromarray(segmentation.picture(seed)).save(path),
        size=(segmentation.WIDTH, segmentation.HEIGHT),
        drawn="{}.png",
        listed=("segments.json", "files"),
        key="labels",
    ),
    Drawing(
        name="detection",
        write_run=lambda folder: detection_runs.write_run(folder, sure=True),
        save=lambda path, seed: detection.picture(seed).save(path),
        size=(detection.WIDTH, detection.HEIGHT),
        drawn="{}.jpg",
        listed=("detections.json", None),
    ),
    Drawing(
        name="classification",
        write_run=lambda folder: classification.write_run(
            folder, classification.write_tree(folder.parent / "data")
        ),
        save=lambda path, seed: classification.picture(seed, 90, 70).save(path),
        size=(90, 70),
        drawn="{}.jpg",
        listed=("predictions.json", None),
        key="drawn",
        samples=10,
    ),
    Drawing(
        name="depth",
        write_run=depth.write_run,
        save=lambda path, seed: Image.fromarray(depth.picture(seed)).save(path),
        size=(depth.WIDTH, depth.HEIGHT),
        drawn="{}_depth.png",
        listed=("depth.json", "files"),
        key="depth",
    ),
    Drawing(
        name="interactive",
        write_run=interactive.write_run,
        save=lambda path, seed: Image.fromarray(interactive.picture(seed)).save(path),
        flags=("--clicks", "20,15,+"),
        size=(interactive.WIDTH, interactive.HEIGHT),
        drawn="{}_mask.png",
        listed=("masks.json", "images"),
        key="mask",
    ),
    Drawing(
        name="panoptic",
        write_run=lambda folder: panoptic.write_run(folder, sure=True),
        save=lambda path, seed: Image.fromarray(panoptic.picture(seed)).save(path),
        size=(panoptic.WIDTH, panoptic.HEIGHT),
        drawn="{}_panoptic.png",
        listed=("panoptic.json", "images"),
        key="panoptic",
    ),
)

ROWS = (
    *DRAWING,
    Row(name="reid", write_run=reid.write_run, save=reid.save, empty="no picture in this folder"),
    Row(
        name="speaker",
        write_run=speaker.write_run,
        save=lambda path, seed: speaker.audio.write(path, speaker.noise(seed=seed)),
        input="a.wav",
        empty="no recordings in this folder",
    ),
    Row(
        name="volumes",
        write_run=volumes.write_run,
        save=volumes.save,
        input="a.nii.gz",
        empty="no volume in this folder",
    ),
)

drawing = pytest.mark.parametrize("row", DRAWING, ids=lambda row: row.name)
every_task = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The run of a task, made when it is first asked for."""
    made = {}

    def run_of(row):
        if row.name not in made:
            made[row.name] = tmp_path_factory.mktemp(row.name) / "run"
            row.write_run(made[row.name])
        return made[row.name]

    return run_of


@pytest.fixture
def pictures(row, tmp_path):
    """A folder of two inputs."""
    folder = tmp_path / "in"
    folder.mkdir()
    for seed, name in enumerate(("a.png", "b.jpg")):
        row.save(folder / name, seed)
    return folder


def predict(row, *words):
    words = (*words, *row.flags, "--engine.device", "cpu", "--loader.workers", "0")
    call(import_module(f"tasks.{row.name}.predict").main, *words)


def refusal(row, *words):
    with pytest.raises((UserError, WeightsError)) as caught:
        predict(row, *words)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@every_task
def test_what_is_missing_is_told_in_one_line(row, runs, tmp_path):
    empty, there = tmp_path / "empty", tmp_path / row.input
    gone = there.with_stem("none")
    empty.mkdir()
    row.save(there, 0)
    words = ("--run", runs(row), "--out", tmp_path / "out")
    assert "no input given" in refusal(row, *words)
    assert f"{gone.name}: no such file" in refusal(row, gone, *words)
    assert row.empty in refusal(row, empty, *words)
    assert "--run is missing" in refusal(row, there)
    assert "--sample" in refusal(row, there, *words, "--sample", 10)
    assert "--sample is -1" in refusal(row, *words, "--sample", -1)
    assert not (tmp_path / "out").exists()


@drawing
def test_the_default_folder_is_in_the_run(row, runs, pictures):
    predict(row, pictures / "a.png", "--run", runs(row))
    assert (runs(row) / "predictions" / row.drawn.format("a")).is_file()


@drawing
def test_equal_names_do_not_overwrite_each_other(row, runs, pictures, tmp_path):
    other, out = tmp_path / "other", tmp_path / "out"
    other.mkdir()
    row.save(other / "a.png", 5)
    both = [pictures / "a.png", other / "a.png"]
    predict(row, *both, "--run", runs(row), "--out", out)
    names = [row.drawn.format(stem) for stem in ("a", "a_2")]
    assert all((out / name).is_file() for name in names)
    assert row.files(out) == [str(path) for path in both]
    if row.key:
        assert [entry[row.key] for entry in row.entries(out)] == names


@drawing
def test_an_input_is_never_overwritten(row, runs, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for seed, name in enumerate({"a.png", row.drawn.format("a")}):
        row.save(folder / name, seed)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    line = refusal(row, folder, "--run", runs(row), "--out", folder)
    assert f"would overwrite the input {folder / row.drawn.format('a')}" in line
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@drawing
def test_pictures_are_seen_upright(row, runs, tmp_path):
    row.save(tmp_path / "upright.png", 3)
    exif = Image.Exif()
    exif[0x0112] = 6  # the viewer turns it by 90 degrees clockwise
    stored = Image.open(tmp_path / "upright.png").transpose(Image.Transpose.ROTATE_90)
    stored.save(tmp_path / "turned.jpg", exif=exif, quality=100, subsampling=0)
    both = [tmp_path / name for name in ("upright.png", "turned.jpg")]
    predict(row, *both, "--run", runs(row), "--out", tmp_path / "out")
    sizes = [
        Image.open(tmp_path / "out" / row.drawn.format(stem)).size for stem in ("upright", "turned")
    ]
    assert sizes[0] == sizes[1]
    assert row.name == "classification" or sizes[0] == row.size


@drawing
def test_a_damaged_picture_stops_or_is_skipped(row, runs, pictures, tmp_path, capsys):
    sound = (pictures / "b.jpg").read_bytes()
    (pictures / "aa.jpg").write_bytes(sound[: len(sound) // 2])
    words = (pictures, "--run", runs(row), "--out", tmp_path / "out")
    with pytest.raises(DamagedFile, match=r"aa\.jpg: the picture is cut short"):
        predict(row, *words)
    predict(row, *words, "--resume", "--data.on_error", "skip")
    assert row.files(tmp_path / "out") == ["a.png", "b.jpg"]
    assert not (tmp_path / "out" / row.drawn.format("aa")).exists()
    printed = capsys.readouterr()
    assert "1 pictures could not be read" in printed.out
    assert "aa.jpg" in printed.err


@drawing
def test_resume_goes_on_where_it_stopped(row, runs, pictures, tmp_path):
    out = tmp_path / "out"
    words = (pictures, "--run", runs(row), "--out", out)
    predict(row, *words)
    first = out / row.drawn.format("a")
    before = first.stat().st_mtime_ns
    row.save(pictures / "c.png", 5)
    predict(row, *words, "--resume")
    assert first.stat().st_mtime_ns == before
    assert (out / "progress.jsonl").exists()
    assert row.files(out) == ["a.png", "b.jpg", "c.png"]
    line = refusal(row, *words, "--resume", "--precision", "bf16")
    assert "under other settings" in line


@drawing
def test_freshly_generated_pictures(row, runs, tmp_path):
    out = tmp_path / "out"
    predict(row, "--run", runs(row), "--sample", row.samples, "--out", out)
    assert len(row.files(out)) == row.samples
    assert len(list(out.glob(row.drawn.format("*")))) >= row.samples
