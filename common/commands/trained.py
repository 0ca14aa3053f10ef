"""From a run directory or a file to a trained model: what evaluate and predict begin with."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from backbone import MODELS, Trunk, WeightsError, files
from backbone import load as load_backbone
from backbone.blocks import FirstBlock
from backbone.detect import PREFIX, detect
from backbone.variants import first_block_of, full_name
from backbone.wrappings import note, unwrap
from common.commands import config as configuration
from common.commands import recipes, zoo
from common.commands.settings import TrainedFlags
from common.commands.zoo import Card
from common.errors import UserError
from common.training import checkpoint, distributed
from common.training.finite import first_bad

_COUNT = "num_batches_tracked"
_SHOWN = 2

Flags = TypeVar("Flags", bound=TrainedFlags)

Translate = Callable[[Mapping[str, Tensor]], dict[str, Tensor] | None]
"""Weights of others, unwrapped -> under this project's names, None if they are unknown."""

Explain = Callable[[Sequence[str], Mapping[str, Tensor]], str]
"""Keys that do not fit, and the weights -> the likely cause as "; ...", or nothing."""


class Layout(NamedTuple):
    """What a task knows of checkpoints that others wrote."""

    translate: Translate
    explain: Explain


@dataclass(frozen=True)
class Trained:
    """A model's weights under the names of this project, and where they are from."""

    file: Path
    state: Mapping[str, Tensor]
    epoch: int | None
    """Epochs trained; None where the file does not say."""
    averaged: str | None = None
    """The file's entry, if it holds averaged weights beside raw ones; these are the state."""
    config: str | None = None
    """The settings of the run that they are from, in YAML; None of other files."""
    published: Card | None = None
    """What is known of a published model; None of other files."""
    first_block: FirstBlock | None = None
    """The rule of first blocks that they were trained under, where the file says it."""

    @property
    def backbone(self) -> str | None:
        """Name of their trunk, where a run or a card says it."""
        if self.published is not None:
            return self.published.backbone
        return None if self.config is None else files.named_in(self.config)


def parse(
    kind: type[Flags], words: Sequence[str], *, folder: str = "", positional: str | None = None
) -> Flags:
    """Read the words of evaluate or predict over the config of the run that they name.

    Args:
        kind: the task's config class with the `TrainedFlags` added.
        words: of the command line.
        folder: where in the run directory the results go, unless --out says otherwise.
        positional: the field that takes the bare words.

    Raises:
        UserError: neither a run nor a checkpoint file is given, the run has no config, or a flag is
            wrong.
    """
    # Whether the other flags fit together is for the run's config to say, not for the defaults.
    run, checkpoint = configuration.peek(kind, words, positional, "run", "checkpoint")
    if run is None and checkpoint in ("best", "last"):
        raise UserError(
            "--run is missing: give a run directory, or --config RECIPE.yaml and --checkpoint FILE"
        )
    card = zoo.named(run)
    base = results_folder(Path(checkpoint).stem) if run is None else run
    out = (results_folder(card.name) if card else base) / folder
    # What a command goes on with is its own work, not the training that the run was.
    defaults = ["--out", str(out), "--resume", "false"]
    if run is None:
        config = configuration.parse(kind, [*defaults, *words], positional)
    else:
        file = str(_config_of(run, kind)) if card is None else _recipe_of(card, kind)
        try:
            config = configuration.parse(kind, [*defaults, "--config", file, *words], positional)
        except UserError:
            _require_kind(kind, file, run)
            raise
    require_no_other_run(config.out, None if card else run)
    if config.compile and not config.deploy:
        raise UserError("--compile: compiles the deployed network; leave out --deploy false")
    return config


def results_folder(name: str) -> Path:
    """Where the results go of what belongs to no run, unless --out says otherwise."""
    return Path("runs") / name


def require_no_other_run(out: Path, run: Path | None) -> None:
    """Refuse to leave results in the folder of a run that they are not of.

    Raises:
        UserError: a run is kept there.
    """
    kept = (out / "config.yaml").exists()
    if kept and (run is None or out.resolve() != run.resolve()):
        raise UserError(
            f"--out {out}: a run is kept there, and these results are not of it; name another "
            "folder"
        )


def _require_kind(kind: type[Flags], file: str, run: Path) -> None:
    """Refuse a run of another task by its own name, not by those of flags that nobody gave."""
    try:
        configuration.parse(kind, ["--config", file])
    except UserError as error:
        found = f"its config.yaml does not fit this command ({error})"
        raise UserError(f"--run {run}: {found}") from error


def _config_of(run: Path, kind: type[Flags]) -> Path:
    file = run / "config.yaml"
    if not file.is_file():
        found = "has no config.yaml" if run.is_dir() else "no such folder"
        raise UserError(
            f"--run {run}: {found}; give the folder that train wrote, or the name of a published "
            f"model, {zoo.close(run, recipes.folder_of(kind).parent.name)}"
        )
    return file


def _recipe_of(card: Card, kind: type[Flags]) -> str:
    """The recipe of a published model, if it is of the command's task."""
    if recipes.folder_of(kind).parent.name != card.task:
        raise UserError(
            f"--run {card.name}: is a model of another task; use the commands of tasks.{card.task}"
        )
    return recipes.find(kind, card.recipe)


def find(flags: TrainedFlags, translate: Translate) -> Trained:
    """Read the checkpoint that --run and --checkpoint name.

    Raises:
        UserError: it is missing, damaged or of no model of the task.
    """
    card = zoo.named(flags.run)
    if card is not None:
        return _published(flags, card, translate)
    if flags.checkpoint not in ("best", "last"):
        return read("--checkpoint", flags.checkpoint, translate)
    if flags.run is None:
        raise UserError(f"--checkpoint {flags.checkpoint}: needs --run, or give a file")
    file = flags.run / f"{flags.checkpoint}.pt"
    if not file.is_file() and (flags.run / "last.pt").is_file():
        raise UserError(
            f"{file}: no such checkpoint; training ended before it scored one: say --checkpoint "
            "last, or train on with --resume"
        )
    return _own(file)


def _published(flags: TrainedFlags, card: Card, translate: Translate) -> Trained:
    """The weights of a published model: of its own file, or of one that a person fetched."""
    if flags.checkpoint == "last":
        raise UserError(f"--checkpoint last: {card.name} is published as one file; leave it out")
    given = None if flags.checkpoint == "best" else Path(flags.checkpoint)
    file = zoo.file_of(card, given, accepted=flags.accept_licence)
    return replace(read("--checkpoint", file, translate), published=card)


def read(flag: str, source: str | Path, translate: Translate) -> Trained:
    """Read a checkpoint of this project or a foreign one, recognised by its content.

    Args:
        flag: that names the source, for messages.
        source: a file, a run directory, of which the best checkpoint is taken, or the name of a
            published model.
        translate: knows the foreign layouts.

    Raises:
        UserError: it is missing, damaged or of no model of the task.
    """
    card = zoo.named(source)
    if card is not None:
        return replace(read(flag, zoo.file_of(card), translate), published=card)
    path = configuration.at_home(Path(source))
    if path.is_dir():
        return _own(path / "best.pt")
    if not path.is_file():
        raise UserError(
            f"{flag} {path}: no such file or run, and no published model, {zoo.close(path)}"
        )
    try:
        content = files.contents(path)
    except WeightsError as error:
        raise UserError(f"{flag} {error}") from error
    if isinstance(content, dict) and "format" in content:
        return _own(path)
    found = unwrap(content)
    state = translate(found.state)
    if state is None and any(key.startswith(PREFIX) for key in found.state):
        state = found.state  # this project's names, as its weights are in another container
    if state is None:
        raise UserError(
            f"{flag} {path}: holds no model of this task in a layout that is known; weights "
            "of a backbone alone are given to train as --weights"
        )
    rule = files.first_block(path, content, found.state)
    return Trained(path, state, None, found.averaged, first_block=rule)


def _own(file: Path) -> Trained:
    payload = checkpoint.read(file)
    # Of last.pt the averaged weights, if the run averages, are what training evaluates.
    averaged = None if payload["ema"] is None else "ema"
    state, epoch = payload[averaged or "model"], int(payload["progress"]["epoch"])
    return Trained(file, state, epoch, averaged, payload["config"])


def load(model: nn.Module, trained: Trained, explain: Explain) -> None:
    """Load a whole model's weights; nothing may be missing, left over or of another shape.

    The model is unchanged if they do not fit.

    Raises:
        UserError: one line saying in what the weights and the model differ, and why if `explain`
            knows it; or which of them are not finite.
    """
    own = model.state_dict()
    # PyTorch before 0.4.1 kept no count of batches, so published files may lack it; it decides
    # nothing here.
    counts = {
        key: value
        for key, value in own.items()
        if key.endswith(_COUNT) and key.removesuffix(_COUNT) + "running_mean" in trained.state
    }
    state = {**counts, **trained.state}
    found = {key: value.shape for key, value in state.items()}
    wanted = {key: value.shape for key, value in own.items()}
    if found != wanted:
        wrong, listed = _differences(found, wanted)
        cause = explain(wrong, state)
        if trained.published is not None:
            cause += f"; the recipe of {trained.published.name} is {trained.published.recipe}"
        raise UserError(f"{trained.file}: the weights do not fit the model{cause} ({listed})")
    _require_rule(model, trained)
    whole = [k for k in own if own[k].is_floating_point() and not state[k].is_floating_point()]
    if whole:
        raise UserError(
            f"{trained.file}: {_shortened(whole)} are of {state[whole[0]].dtype}; needed are "
            "floating-point numbers"
        )
    # Deployed on a CPU, a network makes zeros of what is not a number, and would get a score.
    bad = first_bad(state)
    if bad is not None:
        raise UserError(f"{trained.file}: {bad} is not finite: this checkpoint is of a failed run")
    if trained.averaged:
        distributed.note(note(trained.file, trained.averaged))
    model.load_state_dict(state)
    if trained.published is not None:
        _say_published(trained.file, trained.published)


def _say_published(file: Path, card: Card) -> None:
    """Say what is to be known of a published model whose weights were loaded, and so do fit."""
    if zoo.digest_of(card) is None:
        distributed.note(
            f"{file}: its sha256 is {files.sha256(file)}; nobody publishes that of {card.name}; "
            f"python -m common.commands.zoo {card.name} --pin {file} keeps it"
        )
    if card.research:
        distributed.note(f"{card.name}: {card.intended}")


def _require_rule(model: nn.Module, trained: Trained) -> None:
    """Refuse weights that fit by shape and were trained under another rule of first blocks."""
    trunk = next((part for part in model.modules() if isinstance(part, Trunk)), None)
    said = first_block_of(trained.backbone) if trained.backbone in MODELS else trained.first_block
    if trunk is None or said is None or trunk.first_block == said:
        return
    backbone = full_name(detect(trunk.state_dict()), said)
    raise UserError(
        f"{trained.file}: its backbone is {backbone}, and this one treats the first block of each "
        "stage otherwise, so that the same weights would give other results; say --backbone "
        f"{backbone}"
    )


def load_trunk(
    trunk: nn.Module, source: str, *, fit_stem: bool = False, spread: bool = False
) -> None:
    """Load --weights into a trunk as `backbone.load` does, and say if they are averaged ones.

    Raises:
        WeightsError: they cannot be read or do not fit.
    """
    card = zoo.named(source)
    file = source if card is None else zoo.file_of(card)
    variant = None if card is None else card.backbone
    loaded = load_backbone(trunk, file, fit_stem=fit_stem, spread=spread, variant=variant)
    if card is not None:
        _say_published(loaded.file, card)
    if loaded.averaged:
        distributed.note(note(loaded.file, loaded.averaged))
    if loaded.first_block:
        distributed.note(
            f"--weights {source}: was trained with another rule of the first blocks than this "
            "backbone's, so that training starts from other features than those it had; its own "
            f"is --backbone {full_name(loaded.architecture, loaded.first_block)}"
        )


def ready(model: nn.Module, device: torch.device) -> None:
    """Put a model on its device, in the memory layout and the mode of inference."""
    model.to(device=device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]


def _differences(
    found: Mapping[str, torch.Size], wanted: Mapping[str, torch.Size]
) -> tuple[list[str], str]:
    """The keys that do not fit, and a short text about them."""
    missing = [key for key in wanted if key not in found]
    unexpected = [key for key in found if key not in wanted]
    misshapen = [key for key in wanted if key in found and found[key] != wanted[key]]
    shapes = [f"{key} is {tuple(found[key])} and not {tuple(wanted[key])}" for key in misshapen]
    parts = [("missing", missing), ("unexpected", unexpected), ("misshapen", shapes)]
    listed = "; ".join(f"{len(keys)} {title}: {_shortened(keys)}" for title, keys in parts if keys)
    return [*missing, *unexpected, *misshapen], listed


def _shortened(keys: Sequence[str]) -> str:
    return ", ".join(keys[:_SHOWN]) + (", ..." if len(keys) > _SHOWN else "")
