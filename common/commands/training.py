"""What every train command does, as functions that take what the task has built."""

from collections.abc import Callable
from dataclasses import fields
from typing import Protocol, TypeVar

from torch import nn

from backbone.variants import plain_name
from common.commands import plot, recipes, seen, trained, zoo
from common.commands.config import to_yaml
from common.commands.settings import RunConfig, TrainedFlags
from common.commands.trained import Layout
from common.errors import UserError
from common.layers import freeze_batchnorm
from common.training import optim
from common.training.checkpoint import RunDirectory
from common.training.distributed import World
from common.training.engine import Engine
from common.training.task import Task, TrainData

Flags = TypeVar("Flags", bound=TrainedFlags)


class Summarised(Protocol):
    """Data that describes itself."""

    @property
    def files(self) -> seen.Files:
        """Its pictures; none where these are no files of their own."""
        ...

    def summary(self) -> str:
        """One line: what was read."""
        ...


def begin(config: RunConfig) -> RunDirectory:
    """The directory of the run; writes nothing yet.

    Raises:
        UserError: it holds a run and --resume is not given, or none and it is; or a published model
            is named that cannot be what training starts from.
    """
    _require_fitting(config)
    run = RunDirectory(config.out, to_yaml(config), to_yaml(type(config)()))
    run.check(config.resume)
    return run


def _require_fitting(config: RunConfig) -> None:
    """Refuse a published model of another task or trunk before data is read and files fetched."""
    task = recipes.folder_of(type(config)).parent.name
    whole, trunk = zoo.named(config.finetune), zoo.named(config.weights)
    if whole is not None and whole.task != task:
        raise UserError(
            f"--finetune {whole.name}: is a model of another task, {whole.task}; its trunk alone "
            f"is given as --weights {whole.name} --backbone {whole.backbone}"
        )
    for flag, card in (("--finetune", whole), ("--weights", trunk)):
        if card is not None and plain_name(card.backbone) != plain_name(config.backbone):
            raise UserError(
                f"{flag} {card.name}: its backbone is {card.backbone}, not {config.backbone}; say "
                f"--backbone {card.backbone}"
            )


def announce(training: Summarised, validation: Summarised, world: World) -> None:
    """Print which data is trained on and which is scored on, and whether they share files."""
    if world.main:
        print(f"training on {training.summary()}; scoring on {validation.summary()}", flush=True)
        seen.report(training.files, validation.files)


def start_from(
    model: nn.Module, config: RunConfig, layout: Layout, *, fit_stem: bool = False
) -> None:
    """Give a fresh model the weights that --weights or --finetune names, if any.

    Args:
        model: whose trunk is its attribute `backbone`.
        config: of the run.
        layout: the task's, for a whole model that others trained.
        fit_stem: as `backbone.load` says, of a trunk that sees more than colours.

    Raises:
        UserError, WeightsError: they cannot be read or do not fit.
    """
    if config.weights is not None:
        trunk = model.get_submodule("backbone")
        trained.load_trunk(trunk, config.weights, fit_stem=fit_stem)
    if config.finetune is not None:
        source = trained.read("--finetune", config.finetune, layout.translate)
        trained.load(model, source, layout.explain)


def fit(
    config: RunConfig,
    world: World,
    run: RunDirectory,
    model: nn.Module,
    task: Task,
    data: TrainData,
    schedule: Callable[[int], float] | None = None,
    prepare: Callable[[], None] | None = None,
) -> None:
    """Train to the last epoch and draw the curves.

    Args:
        config: of optimizer and engine.
        world: the ranks.
        run: as `begin` gave it.
        model: with its first weights, on the CPU.
        task: gives losses and scores.
        data: what is trained on.
        schedule: step -> factor of the learning rate; none takes the optimizer's settings.
        prepare: called when all settings were checked and nothing is written yet, to write what
            else belongs into the run directory.

    Raises:
        UserError, Stopped: as `Engine.fit` says.
    """
    if config.freeze_backbone:
        freeze(model.get_submodule("backbone"))
    samples = len(data.dataset) if data.order is None else len(data.order(0))
    steps = samples // config.engine.batch_size
    engine = Engine(
        config=config.engine,
        world=world,
        run=run,
        model=model,
        optimizer=optim.build(model, config.optimizer),
        schedule=schedule or optim.schedule(config.optimizer, steps, config.engine.epochs),
        task=task,
        data=data,
    )
    if prepare is not None:
        prepare()
    engine.fit(config.resume)
    if world.main:
        plot.curves(run.log, run.path / "curves.png")


def freeze(trunk: nn.Module) -> None:
    """Keep a trunk as it is: its weights, and the statistics of its BatchNorm."""
    freeze_batchnorm(trunk)
    trunk.requires_grad_(False)


def finished_run(kind: type[Flags], config: RunConfig) -> Flags:
    """What scores the best checkpoint of a run that has just ended, under its own config.

    Args:
        kind: the task's config class with the `TrainedFlags` added.
        config: what was trained.
    """
    kept = {field.name for field in fields(config)} - {"run"}
    names = [field.name for field in fields(kind) if field.name in kept]
    return kind(**{name: getattr(config, name) for name in names}, run=config.out)
