"""A trained model's classes: which they are, and what is kept of it where new ones are learnt."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import yaml
from torch import Tensor, nn

from common.commands import trained
from common.commands.settings import ClassesConfig
from common.commands.trained import Explain, Trained
from common.errors import UserError
from common.training import distributed

Rows = Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
"""A model's weights -> views of those that depend on the classes, by key: (rows, ...), where a row
is a class's; other rows, such as the background's, come first."""

_SHOWN = 3


def of_run(weights: Trained) -> dict[str, Any]:
    """The section `data` of the config of the run that weights are from; empty where unknown."""
    config = yaml.safe_load(weights.config or "")
    data = config.get("data") if isinstance(config, dict) else None
    return data if isinstance(data, dict) else {}


def finetune(
    model: nn.Module,
    config: ClassesConfig,
    weights: Trained,
    rows: Rows,
    found: Sequence[str],
    wanted: Sequence[str],
    explain: Explain,
) -> None:
    """Load the model that --finetune names, as `fitted` makes it; `explain` is the task's.

    Raises:
        UserError: the weights are of another model, or of other classes without --new_classes.
    """
    trained.load(model, fitted(model, config, weights, rows, found, wanted), explain)


def fitted(
    model: nn.Module,
    config: ClassesConfig,
    weights: Trained,
    rows: Rows,
    found: Sequence[str],
    wanted: Sequence[str],
) -> Trained:
    """What --finetune names, ready to be loaded; with --new_classes all of it but class layers.

    Args:
        model: with fresh weights, for the wanted classes.
        config: of the run.
        weights: what --finetune names.
        rows: knows the class layers.
        found: names of the classes of the weights; empty where nothing says them.
        wanted: names of the classes that are trained on.

    Raises:
        UserError: the weights are of other classes, without --new_classes.
    """
    flag = f"--finetune {config.finetune}"
    if config.new_classes:
        return with_new_classes(model, weights, rows, found, wanted, flag)
    if found and list(found) != list(wanted):
        raise UserError(
            f"{flag}: the training set's classes are not those of that run "
            f"({differences(wanted, found)}); --new_classes keeps all but the class layers, and in "
            "these what is of classes of equal names"
        )
    return weights


def with_new_classes(
    model: nn.Module,
    weights: Trained,
    rows: Rows,
    found: Sequence[str],
    wanted: Sequence[str],
    flag: str,
) -> Trained:
    """The weights with the model's own class layers, and in them the rows of classes of both.

    Says in one line which layers begin anew and what is kept in them. The arguments are those of
    `fitted`; `flag` names the source.
    """
    own = {key: value.clone() for key, value in model.state_dict().items()}
    mine, theirs = rows(own), rows(weights.state)
    both = [(wanted.index(name), found.index(name)) for name in wanted if name in found]
    for key in mine.keys() & theirs.keys():
        if both and mine[key].shape[1:] == theirs[key].shape[1:]:
            first = len(mine[key]) - len(wanted)
            mine[key][:first] = theirs[key][:first]
            for place, source in both:
                mine[key][first + place] = theirs[key][first + source]
    layers = {key.removesuffix(".weight").removesuffix(".bias"): None for key in mine}
    distributed.note(f"{flag}: begins anew: {', '.join(layers)}{_kept(found, wanted)}")
    state = {key: value for key, value in weights.state.items() if key not in theirs}
    return replace(weights, state={**state, **{key: own[key] for key in mine}})


def differences(found: Sequence[str], wanted: Sequence[str]) -> str:
    """In what two lists of classes differ, in words."""
    if set(found) == set(wanted):
        return "another order"
    missing, unexpected = set(wanted) - set(found), set(found) - set(wanted)
    parts = [
        f"{len(names)} {kind} ({shortened(sorted(names))})"
        for kind, names in (("missing", missing), ("unexpected", unexpected))
        if names
    ]
    if len(found) != len(wanted):
        parts.insert(0, f"{len(found)} classes instead of {len(wanted)}")
    return ", ".join(parts)


def absent(counts: Sequence[int], names: Sequence[str]) -> list[str]:
    """The classes that never occur, where a count is known of each."""
    return [name for name, count in zip(names, counts, strict=True) if not count]


def without(names: Sequence[str], what: str) -> str:
    """That classes have no pixel, object or sample, in words."""
    if len(names) == 1:
        return f"class {names[0]} has no {what}"
    return f"{len(names):,} classes have no {what} ({shortened(names)})"


def unscored(names: Sequence[str], total: int) -> dict[str, str]:
    """The entry of a result card's data for classes that never occur in it; none if all do."""
    if not names:
        return {}
    return {"absent_classes": f"{len(names):,} of {total:,} ({shortened(names)})"}


def tell_unscored(names: Sequence[str], what: str, where: str) -> None:
    """Print that classes never occur in what was scored, if there are such."""
    if names:
        print(f"note: {where}: {without(names, what)}, so no score tells how well it is found")


def shortened(names: Sequence[str], most: int = _SHOWN) -> str:
    """The first names of a list, for a message."""
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def _kept(found: Sequence[str], wanted: Sequence[str]) -> str:
    """What is kept of the class layers, in words; nothing of classes that have no names."""
    if not wanted:
        return ""
    if not found:
        return f"; of its {len(wanted)} classes none is kept, as the source does not name its own"
    kept = [name for name in wanted if name in found]
    names = f" ({shortened(kept)})" if kept else ""
    return f"; the rows of {len(kept)} of {len(wanted)} classes are kept{names}"
