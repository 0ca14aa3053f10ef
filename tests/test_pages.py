"""What the pages say works: Python blocks are run, commands are parsed."""

import importlib
import re
import shlex
import wave
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.commands.card import describe_checkpoint
from common.commands.config import parse
from tasks.speaker.decision import FILE, Decision
from tests.tasks.classification import small as classification
from tests.tasks.depth import small as depth
from tests.tasks.detection import runs as detection
from tests.tasks.interactive import small as interactive
from tests.tasks.panoptic import small as panoptic
from tests.tasks.pose import oracle as pose
from tests.tasks.reid import small as reid
from tests.tasks.salient import small as salient
from tests.tasks.segmentation import oracle as segmentation
from tests.tasks.speaker import small as speaker
from tests.tasks.volumes import small as volumes

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES += sorted((ROOT / "tasks").glob("*/README.md"))


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), flags=re.M | re.S)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with a run of every task, two photographs, two recordings and a volume."""
    folder = tmp_path_factory.mktemp("pages")
    runs = folder / "runs"
    for task, module in (
        ("pose", pose), ("salient", salient), ("segmentation", segmentation),
        ("detection", detection), ("reid", reid), ("speaker", speaker),
        ("depth", depth), ("interactive", interactive), ("panoptic", panoptic),
        ("volumes", volumes),
    ):  # fmt: skip
        module.write_run(runs / task)
    classification.write_run(runs / "classification", folder / "none")
    decided = {"threshold": 0.5, "eer": 0.1, "misses": 0.1, "false_accepts": 0.1}
    scored = {"trials": "trials.txt", "count": 20, "scoring": "cosine", "top": 100}
    Decision(
        **decided,
        **scored,
        slope=None,
        offset=None,
        calibrated_on="",
        checkpoint=describe_checkpoint(runs / "speaker" / "best.pt", None)["sha256"],
    ).write(runs / "speaker" / FILE)
    volumes.save(folder / "scan.nii.gz", 0)
    (folder / "photos").mkdir()
    for number, name in enumerate(("photo.jpg", "group.jpg")):
        pixels = np.random.default_rng(number).integers(0, 256, (120, 160, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)
    for number, name in enumerate(("a.wav", "b.wav")):
        samples = np.random.default_rng(number).normal(0, 3000, 16000).astype(np.int16)
        with wave.open(str(folder / name), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(16000)
            file.writeframes(samples.tobytes())
    return folder


def test_every_example_of_the_python_pages_runs(workplace, monkeypatch, capsys):
    monkeypatch.chdir(workplace)
    names = {}
    found = blocks(ROOT / "docs" / "python.md", "python")
    assert len(found) >= 12
    for block in [*found, *blocks(ROOT / "docs" / "together.md", "python")]:
        exec(compile(block, block, "exec"), names)
    assert names["answers"].passes == 4, "those runs have trunks of their own"
    assert names["same"].all()
    assert names["distances"][0, 0] == pytest.approx(0, abs=1e-5)
    assert "photos: has no config.yaml" in capsys.readouterr().out


def test_the_front_page_opens_a_run(workplace, monkeypatch):
    monkeypatch.chdir(workplace)
    block = blocks(ROOT / "README.md", "python")[0]
    names = {"picture": np.zeros((120, 160, 3), np.uint8)}
    exec(compile(block, "README.md", "exec"), names)
    assert names["drawn"].shape == (120, 160, 3)


def commands(page):
    """The task commands of a page, as words; those with a placeholder are left out."""
    text = re.sub(r"\\\n\s*", " ", page.read_text())
    lines = re.findall(
        r"(?:^\s*|-m -- |`|\d+ -m )(?:python -m )?(tasks\.[^`\n]*)", text, flags=re.M
    )
    for line in lines:
        line = re.split(r"\s{2,}(?=[#a-z])|\s#|\s>", line.strip())[0].strip()
        if not re.search(r"\{|\.\.\.|\[[A-Z]|\$", line) and kind_names(line):
            yield line


def kind_names(line):
    """Names under which the module of a command may hold its config class."""
    return KINDS.get(line.split()[0].split(".")[-1], [])


KINDS = {
    "train": ["Config"],
    "check": ["Config"],
    "evaluate": ["EvaluateConfig", "ScoredConfig"],
    "predict": ["PredictConfig"],
    "export": ["ExportConfig"],
    "lens": ["LensConfig"],
    "pack": ["PackConfig"],
    "sample": ["SampleConfig"],
}
POSITIONAL = {"predict": "inputs", "export": "file", "sample": "out", "pack": "folders"}


def test_the_pages_have_commands():
    assert sum(len(list(commands(page))) for page in PAGES) > 60


@pytest.mark.parametrize("page", PAGES, ids=[f"{page.parent.name}/{page.stem}" for page in PAGES])
def test_every_command_of_a_page_has_flags_that_exist(page, monkeypatch):
    monkeypatch.chdir(ROOT)
    for line in commands(page):
        words = shlex.split(line)
        _, task, command = words[0].split(".")
        inside = ".sample.__main__" if command == "sample" else f".{command}"
        module = importlib.import_module(f"tasks.{task}{inside}")
        kind = next(getattr(module, name) for name in kind_names(line) if hasattr(module, name))
        parse(kind, words[1:], POSITIONAL.get(command))
