"""A published model by its name, wherever a run directory may stand, in every task."""

import hashlib
import importlib
import json

import numpy as np
import pytest
import torch
import yaml

from backbone import MODELS
from common.commands import trained, zoo
from common.commands.zoo import card
from common.errors import UserError
from tasks import TASKS, open_run
from tests.server import serving
from tests.tasks import commands
from tests.tasks.rows import ROWS, SMALL


class Toys:
    """A server with one published model, which is the best checkpoint of a task's small run."""

    def __init__(self, shared, folder, server):
        self.shared, self.folder, self.server = shared, folder, server

    def publish(self, task, **changed):
        """Put a run's weights on the server, and write their card; gives the name."""
        run, file = self.shared.trained(task), self.folder / "toy.pth"
        torch.save({"state_dict": commands.weights(run)}, file)
        self.server.content = file.read_bytes()
        fields = {
            "task": task, "title": "A toy", "intended": "Tests. Not for diagnosis.",
            "research": True, "recipe": str(run / "config.yaml"),
            "backbone": yaml.safe_load((run / "config.yaml").read_text())["backbone"],
            "file": "toy.pth", "urls": [self.server.url],
            "sha256": hashlib.sha256(self.server.content).hexdigest(), "megabytes": 1,
            "code_licence": "MIT", "weights_licence": "MIT", "permissive": True, "score": "none",
            "protocol": "none", "source": "here", "example": "photos/", **changed,
        }  # fmt: skip
        (card.CARDS / "toy.test.yaml").write_text(yaml.safe_dump(fields))
        return "toy.test"


@pytest.fixture
def toys(shared, tmp_path, monkeypatch):
    monkeypatch.setattr(card, "CARDS", tmp_path / "cards")
    monkeypatch.setenv("RES2NET_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    card.CARDS.mkdir()
    with serving(b"", "toy.pth") as server:
        yield Toys(shared, tmp_path, server)


@pytest.mark.parametrize("task", TASKS)
def test_evaluate_takes_the_name_and_gives_the_runs_score(toys, task, tmp_path, capfd):
    name, run = toys.publish(task), toys.shared.trained(task)
    evaluate = importlib.import_module(f"tasks.{task}.evaluate")
    commands.call(evaluate.main, "--run", name, "--data.root", toys.shared.data(task), *SMALL[:4])
    assert "toy.test: Tests. Not for diagnosis." in capfd.readouterr().err
    found = json.loads((tmp_path / "runs" / name / "metrics.json").read_text())
    own = json.loads((run / "metrics.json").read_text())
    assert found["metrics"] == pytest.approx(own["metrics"], rel=1e-6)
    assert found["model"]["published"] == found["model"]["weights"] == name
    assert found["model"]["intended"] == "Tests. Not for diagnosis."
    assert (found["checkpoint"]["file"], found["checkpoint"]["epoch"]) == ("toy.pth", None)


@pytest.mark.parametrize("task", TASKS)
def test_training_starts_from_the_name(toys, task, tmp_path, capfd):
    name, run = toys.publish(task), toys.shared.trained(task)
    state = commands.weights(run)
    begun = commands.start(
        task, toys.shared.data(task), tmp_path / "run", *ROWS[task].trained, "--weights", name
    )
    assert "toy.test: Tests. Not for diagnosis." in capfd.readouterr().err
    trunk = [key for key in state if key.startswith("backbone.")]
    assert trunk and all(torch.equal(begun[key], state[key]) for key in trunk)
    assert not any(torch.equal(begun[key], state[key]) for key in ROWS[task].head)


def test_the_door_takes_the_name(toys):
    picture = next((toys.shared.data("salient")).rglob("*.jpg"))
    own = open_run(toys.shared.trained("salient"), device="cpu")(picture)
    found = open_run(toys.publish("salient"), device="cpu")(picture)
    assert all(np.array_equal(one, other) for one, other in zip(found, own, strict=True))


def test_an_exported_file_says_whose_weights_it_holds(toys, tmp_path):
    name = toys.publish("reid", weights_licence="no commercial use")
    export = importlib.import_module("tasks.reid.export").main
    commands.call(export, "--run", name, tmp_path / "x.onnx")
    found = json.loads((tmp_path / "x.json").read_text())
    assert found["published"] == name and found["weights_licence"] == "no commercial use"
    assert "Not for diagnosis" in found["intended"]


def test_a_whole_model_is_taken_by_finetune(toys, tmp_path, capfd):
    name, state = toys.publish("pose"), commands.weights(toys.shared.trained("pose"))
    begun = commands.start("pose", toys.shared.data("pose"), tmp_path / "a", "--finetune", name)
    assert all(torch.equal(begun[key], state[key]) for key in state)
    assert "toy.test: Tests. Not for diagnosis." in capfd.readouterr().err
    with pytest.raises(UserError, match=r"the recipe of toy\.test is .*config\.yaml"):
        commands.start(
            "pose", toys.shared.data("pose"), tmp_path / "b", "--finetune", name,
            "--model.head_channels", "[8, 8, 8]",
        )  # fmt: skip


def test_a_file_by_hand_takes_the_place_of_the_download(toys, tmp_path, capfd):
    name = toys.publish("pose", sha256=None)
    given = ["--run", name, "--data.root", toys.shared.data("pose"), *SMALL[:4]]
    evaluate = importlib.import_module("tasks.pose.evaluate").main
    with pytest.raises(UserError, match="nobody publishes a hash of its file"):
        commands.call(evaluate, *given)
    torch.save({"state_dict": {}}, tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"other\.pth"):
        commands.call(evaluate, *given, "--checkpoint", tmp_path / "other.pth")
    assert "--pin" not in capfd.readouterr().err  # of a file that is not the model's
    commands.call(evaluate, *given, "--checkpoint", tmp_path / "toy.pth")
    digest = hashlib.sha256((tmp_path / "toy.pth").read_bytes()).hexdigest()
    said = capfd.readouterr().err
    assert f"its sha256 is {digest}" in said and "common.commands.zoo toy.test --pin" in said
    assert toys.server.requests == []
    zoo.pin(zoo.named(name), tmp_path / "toy.pth")
    commands.call(evaluate, *given)


def test_names_that_cannot_be_taken_are_one_line(toys, tmp_path):
    toys.publish("pose")
    salient = importlib.import_module("tasks.salient.evaluate").main
    with pytest.raises(UserError, match=r"use the commands of tasks\.pose"):
        commands.call(salient, "--run", "toy.test")
    pose = importlib.import_module("tasks.pose.evaluate").main
    with pytest.raises(UserError, match=r"--checkpoint last: toy\.test is published as one file"):
        commands.call(pose, "--run", "toy.test", "--checkpoint", "last")
    for source in ("toy.tset", "toy_test"):
        with pytest.raises(UserError, match=r"such as toy\.test"):
            commands.call(pose, "--run", source)
        with pytest.raises(UserError, match="of which there are none for salient"):
            commands.call(salient, "--run", source)
        with pytest.raises(UserError, match=r"such as toy\.test"):
            open_run(source)
        with pytest.raises(UserError, match=r"such as toy\.test"):
            trained.read("--finetune", source, lambda state: None)
    toys.publish("pose", weights_licence="no commercial use", permissive=False)
    given = ["--run", "toy.test", "--data.root", toys.shared.data("pose"), *SMALL[:4]]
    with pytest.raises(UserError, match=r"no commercial use.*--accept_licence"):
        commands.call(pose, *given)
    commands.call(pose, *given, "--accept_licence")
    commands.call(pose, *given)


def test_what_training_cannot_start_from_is_refused_before_anything_is_fetched(toys, tmp_path):
    name, data = toys.publish("pose"), toys.shared.data("salient")
    with pytest.raises(
        UserError, match=r"another task, pose; its trunk alone .*--weights toy\.test"
    ):
        commands.start("salient", data, tmp_path / "a", "--finetune", name)
    for task in ("salient", "pose"):
        flags = ("--weights", name, "--backbone", "resnet26_half")
        with pytest.raises(UserError, match="say --backbone res2net26_14w_4s_half"):
            commands.start(task, toys.shared.data(task), tmp_path / "b", *flags)
    assert toys.server.requests == []
    with pytest.raises(UserError, match=r"[Nn]ame too long"):
        open_run("a" * 300)


def test_a_trunk_under_another_rule_says_so(toys, tmp_path, capfd):
    trunk = MODELS["res2net50_v1b"]()
    torch.save({f"backbone.{k}": v for k, v in trunk.state_dict().items()}, tmp_path / "x.pth")
    name = toys.publish("pose", sha256=None, backbone="res2net50_v1b_strided")
    zoo.pin(zoo.named(name), tmp_path / "x.pth")
    other = MODELS["res2net50_v1b"]()
    trained.load_trunk(other, name)
    assert "--backbone res2net50_v1b_strided" in "".join(capfd.readouterr())
    assert torch.equal(trunk.bn1.bias, other.bn1.bias)
