"""Which model a command takes, and what is said when it does not fit."""

import argparse
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from common.commands import config, trained, training
from common.commands.settings import RunConfig, TrainedFlags
from common.commands.trained import Trained
from common.errors import UserError
from common.training import checkpoint


@dataclass(frozen=True, kw_only=True)
class Config(RunConfig):
    """A task's config."""

    width: int = 4
    """Channels."""
    heads: int = 1
    """Parts of the width."""

    def __post_init__(self):
        super().__post_init__()
        if self.width % self.heads:
            raise UserError(f"--heads {self.heads}: must divide --width, which is {self.width}")


@dataclass(frozen=True, kw_only=True)
class Scored(TrainedFlags, Config):
    """With the choice of a model."""

    inputs: tuple[Path, ...] = ()
    """Files."""


def no_layout(content):
    return None


def no_cause(wrong, state):
    return ""


def write_run(folder, state, ema=None):
    folder.mkdir(exist_ok=True)
    config.save(Config(out=folder, width=7), folder / "config.yaml")
    payload = {
        "format": checkpoint.FORMAT,
        "model": state,
        "ema": ema,
        "optimizer": {},
        "progress": {"epoch": 3},
        "config": "",
    }
    for name in ("last.pt", "best.pt"):
        checkpoint.save(folder / name, payload)


def test_a_run_of_another_task_is_named_and_a_wrong_flag_is_not_its_fault(tmp_path):
    run = tmp_path / "run"
    write_run(run, {})
    words = ["--run", str(run), "--heads", "2"]
    with pytest.raises(UserError, match=r"^--heads 2: must divide --width, which is 7$"):
        trained.parse(Scored, words)
    (run / "config.yaml").write_text("joints: 17\n")
    for each in (words, words[:2]):
        with pytest.raises(UserError, match=r"run: its config\.yaml does not fit this .*joints"):
            trained.parse(Scored, each)


def test_the_run_config_is_under_the_flags_and_results_go_into_the_run(tmp_path):
    write_run(tmp_path / "run", {})
    words = ["--run", str(tmp_path / "run")]
    found = trained.parse(Scored, words)
    assert (found.width, found.out, found.checkpoint) == (7, tmp_path / "run", "best")
    found = trained.parse(Scored, [*words, "--width", "9"], folder="drawn")
    assert (found.width, found.out) == (9, tmp_path / "run" / "drawn")
    found = trained.parse(Scored, [*words, "a.png", "--out", "here"], positional="inputs")
    assert (found.inputs, found.out) == ((Path("a.png"),), Path("here"))


def test_flags_must_fit_the_run_and_not_the_defaults(tmp_path):
    write_run(tmp_path / "run", {})
    config.save(Config(width=9, heads=3), tmp_path / "run" / "config.yaml")
    words = ["--run", str(tmp_path / "run")]
    assert trained.parse(Scored, [*words, "--heads", "9"]).heads == 9
    with pytest.raises(UserError, match="must divide --width, which is 9"):
        trained.parse(Scored, [*words, "--heads", "4"])


def test_a_file_needs_no_run():
    found = trained.parse(Scored, ["--checkpoint", "folder/model.pth"])
    assert found.out == Path("runs/model")


def test_a_finished_run_is_scored_under_its_own_config():
    found = training.finished_run(Scored, Scored(width=5, out=Path("here")))
    assert found == Scored(width=5, out=Path("here"), run=Path("here"))


def test_results_do_not_go_into_the_folder_of_another_run(tmp_path):
    for name in ("run", "other"):
        write_run(tmp_path / name, {})
    words = ["--run", str(tmp_path / "run"), "--out"]
    with pytest.raises(UserError, match=r"--out .*other: a run is kept there"):
        trained.parse(Scored, [*words, str(tmp_path / "other")])
    assert trained.parse(Scored, [*words, str(tmp_path / "run")]).out == tmp_path / "run"
    assert trained.parse(Scored, [*words, str(tmp_path / "other" / "new")])


def test_a_run_that_was_resumed_does_not_make_other_commands_go_on(tmp_path):
    write_run(tmp_path / "run", {})
    config.save(Config(resume=True), tmp_path / "run" / "config.yaml")
    words = ["--run", str(tmp_path / "run")]
    assert not trained.parse(Scored, words).resume
    assert trained.parse(Scored, [*words, "--resume"]).resume


def test_compiling_needs_the_deployed_network(tmp_path):
    write_run(tmp_path / "run", {})
    words = ["--run", str(tmp_path / "run"), "--compile", "--deploy", "false"]
    with pytest.raises(UserError, match="leave out --deploy false"):
        trained.parse(Scored, words)


def test_best_last_and_files_are_found(tmp_path):
    state = {"weight": torch.ones(2)}
    write_run(tmp_path / "run", state, ema={"weight": torch.zeros(2)})
    flags = Scored(run=tmp_path / "run", checkpoint="last")
    found = trained.find(flags, no_layout)
    assert found.epoch == 3
    assert not found.state["weight"].any(), "the average is what training evaluates"
    foreign = tmp_path / "foreign.pth"
    torch.save({"state_dict": {"module.w": torch.ones(1)}}, foreign)
    found = trained.find(Scored(checkpoint=str(foreign)), dict)
    assert list(found.state) == ["w"]
    assert found.epoch is None
    with pytest.raises(UserError, match="no model of this task"):
        trained.find(Scored(checkpoint=str(foreign)), no_layout)
    with pytest.raises(UserError, match="needs --run"):
        trained.find(Scored(checkpoint="last"), no_layout)


def test_a_run_that_was_killed_early_says_which_checkpoint_it_has(tmp_path):
    (tmp_path / "last.pt").touch()
    with pytest.raises(UserError, match=r"best\.pt: no such checkpoint; .*say --checkpoint last"):
        trained.find(Scored(run=tmp_path), no_layout)


def test_safetensors_are_foreign_checkpoints(tmp_path):
    file = tmp_path / "model.safetensors"
    save_file({"w": torch.ones(3)}, file)
    found = trained.find(Scored(checkpoint=str(file)), dict)
    assert torch.equal(found.state["w"], torch.ones(3))
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(UserError, match=r"model\.safetensors: is cut short"):
        trained.find(Scored(checkpoint=str(file)), dict)


def test_loading_is_strict_and_all_or_nothing():
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    state = {"0.weight": torch.zeros(3, 2), "0.bias": torch.zeros(4), "2.bias": torch.zeros(1)}

    def explain(wrong, weights):
        assert wrong == ["1.weight", "1.bias", "2.bias", "0.bias"]
        assert weights.keys() == state.keys()
        return "; it is another one"

    with pytest.raises(UserError) as caught:
        trained.load(model, Trained(Path("a.pt"), state, None), explain)
    assert str(caught.value) == (
        "a.pt: the weights do not fit the model; it is another one (2 missing: 1.weight, 1.bias; "
        "1 unexpected: 2.bias; 1 misshapen: 0.bias is (4,) and not (3,))"
    )
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_weights_that_are_not_finite_are_refused_by_name():
    model = nn.BatchNorm1d(2)
    before = model.weight.clone()
    state = nn.BatchNorm1d(2).state_dict() | {"running_var": torch.tensor([1.0, float("nan")])}
    with pytest.raises(
        UserError, match=r"^x\.pt: running_var is not finite: this checkpoint is of"
    ):
        trained.load(model, Trained(Path("x.pt"), state, None), no_cause)
    assert torch.equal(model.weight, before)


def test_old_files_without_batch_counters_load_but_a_missing_layer_is_missed():
    model = nn.Sequential(nn.BatchNorm2d(2))
    state = {key: value + 1 for key, value in model.state_dict().items()}
    del state["0.num_batches_tracked"]
    trained.load(model, Trained(Path("old.pt"), state, None), no_cause)
    assert torch.equal(model[0].running_mean, torch.ones(2))
    with pytest.raises(UserError, match="5 missing"):
        trained.load(model, Trained(Path("old.pt"), {}, None), no_cause)


def test_a_ready_model_is_in_eval_mode():
    model = nn.Conv2d(2, 4, 3)
    trained.ready(model, torch.device("cpu"))
    assert not model.training
    assert model.weight.is_contiguous(memory_format=torch.channels_last)


def test_averaged_weights_go_first_which_a_line_says(tmp_path, capsys):
    file, model = tmp_path / "t.pth", nn.Linear(2, 1)
    averaged = {f"module._orig_mod.{k}": v + 1 for k, v in model.state_dict().items()}
    torch.save({"state_dict": model.state_dict(), "state_dict_ema": averaged, "epoch": 3}, file)
    before = model.weight.clone()
    trained.load(model, trained.read("--checkpoint", file, dict), no_cause)
    assert torch.equal(model.weight, before + 1)
    said = "its averaged weights (entry state_dict_ema) are taken, not the raw ones"
    assert capsys.readouterr().err == f"{file}: {said}\n"


def test_weights_under_this_projects_names_need_no_translation(tmp_path):
    """As its own weights are in safetensors, or saved by somebody's script."""
    state = {"backbone.conv1.weight": torch.ones(1), "head.weight": torch.ones(2)}
    save_file(state, tmp_path / "a.safetensors")
    found = trained.read("--checkpoint", tmp_path / "a.safetensors", no_layout)
    assert found.state.keys() == state.keys()


def test_what_training_scripts_keep_beside_the_weights(tmp_path):
    """Flags as argparse parsed them are read; what would run code is refused by its name."""
    file = tmp_path / "a.pth"
    torch.save({"state_dict": {"a": torch.ones(2)}, "args": argparse.Namespace(lr=1)}, file)
    assert trained.read("--checkpoint", file, dict).state["a"].tolist() == [1, 1]
    torch.save({"state_dict": {"a": torch.ones(2)}, "path": Path("x")}, file)
    with pytest.raises(UserError, match=r"refused, because reading it would run code \(pathlib"):
        trained.read("--checkpoint", file, dict)


def test_a_foreign_file_with_a_flipped_bit(tmp_path):
    file = tmp_path / "a.pth"
    torch.save({"a": torch.full((50,), 1.25)}, file)
    data = bytearray(file.read_bytes())
    data[bytes(data).find(torch.full((2,), 1.25).numpy().tobytes())] ^= 1
    file.write_bytes(data)
    with pytest.raises(UserError, match="cut short or damaged"):
        trained.read("--checkpoint", file, dict)


def test_a_foreign_file_with_a_damaged_directory(tmp_path):
    file = tmp_path / "a.pth"
    torch.save({"a": torch.ones(5)}, file)
    data = bytearray(file.read_bytes())
    data[data.find(b"PK\x01\x02")] = 0
    file.write_bytes(data)
    with pytest.raises(UserError, match="cut short or damaged"):
        trained.read("--checkpoint", file, dict)


def test_weights_that_are_no_fractions_are_refused():
    model = nn.Linear(2, 2)
    state = {key: value.to(torch.int8) for key, value in model.state_dict().items()}
    with pytest.raises(UserError, match=r"weight, bias are of torch\.int8"):
        trained.load(model, Trained(Path("old.pt"), state, None), no_cause)
