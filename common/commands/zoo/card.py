"""The card of a published model: one YAML file in the folder `cards`, named as the model is."""

import dataclasses
import difflib
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import yaml

from common.errors import UserError

CARDS = Path(__file__).parent / "cards"
"""The folder of all cards; a name is NETWORK_BACKBONE.DATA_SOURCE."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Card:
    """What is known of a published model. Texts on licences and scores are quoted."""

    name: str
    task: str
    """The folder in `tasks` whose network it is."""
    recipe: str
    """The packaged recipe of that task with all settings that its numbers need."""
    backbone: str
    """Name of its trunk in `backbone.MODELS`, with the rule of its first blocks."""
    title: str
    """What it is, in a few words."""
    intended: str
    """What it is meant for, and what not."""
    research: bool = False
    """Whether that has to be said with every use, as of medical models."""
    file: str | None = None
    """Name of the file; None where it is not stated."""
    urls: tuple[str, ...] = ()
    """Where the file lies as it is."""
    page: str | None = None
    """Where a person has to click for it."""
    sha256: str | None = None
    """The hash, or how it begins, as its publisher states it; None where nobody does."""
    megabytes: int
    """Four bytes for each of its numbers; the file itself was not weighed."""
    code_licence: str
    weights_licence: str
    permissive: bool
    """Whether the weights are stated to be under a licence that allows every use."""
    score: str
    """As its publisher states it; "not stated" where in pictures or not at all."""
    protocol: str
    """How that score was measured."""
    source: str
    """Where score and licences are stated: repository and document."""
    golden: str | None = None
    """The recorded outputs of the authors' own code that the network was compared with."""
    example: str
    """What predict needs for a first picture, behind `--run NAME`."""

    @property
    def by_name(self) -> bool:
        """Whether the file can be fetched by the model's name: its address and hash are known."""
        return bool(self.urls) and self.file is not None and self.sha256 is not None

    @property
    def command(self) -> str:
        """The command that gives a first result, once the licence is accepted."""
        given = "" if self.by_name else f" --checkpoint {self.file or 'FILE'}"
        return f"python -m tasks.{self.task}.predict --run {self.name} {self.example}{given}"


def names() -> list[str]:
    """The names of all published models."""
    return sorted(path.stem for path in CARDS.glob("*.yaml"))


def every() -> list[Card]:
    """The cards of all published models.

    Raises:
        UserError: one is damaged.
    """
    return [read(CARDS / f"{name}.yaml") for name in names()]


def find(name: str) -> Card | None:
    """The card of a name, whatever else is called so; None of what is no name.

    Raises:
        UserError: the card is damaged.
    """
    # Names first: the system is not asked about a text that no file could be called.
    return read(CARDS / f"{name}.yaml") if name in names() else None


def named(source: str | Path | None) -> Card | None:
    """The card of a name; None of what is no name, and where a file or a run lies under it.

    A folder without a run, such as one of results, does not hide a model of its name.

    Raises:
        UserError: the card is damaged.
    """
    found = None if source is None else find(str(source))
    if source is None or found is None:
        return None
    path = Path(source)
    return None if path.is_file() or (path / "config.yaml").is_file() else found


def close(source: str | Path, task: str | None = None) -> str:
    """Names near to one that is unknown, for a message: "such as A and B (...)".

    Args:
        source: what was given.
        task: whose models alone are of use; None where those of every task are.
    """
    known = names() if task is None else [card.name for card in every() if card.task == task]
    if not known:
        return "of which there are none" + ("" if task is None else f" for {task}")
    word = Path(source).name.lower()
    # A part of a long name is less like it than another long name is.
    parts = sorted((name for name in known if word in name), key=lambda name: name.index(word))
    alike = difflib.get_close_matches(word, known, n=2, cutoff=0.5)
    near = list(dict.fromkeys([*parts, *alike]))[:2] or known[:2]
    return f"such as {' and '.join(near)} (all: python -m common.commands.zoo)"


def read(path: Path) -> Card:
    """Read a card; its name is that of the file.

    Raises:
        UserError: it is not one: a field is missing, unknown or of another type.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path}: cannot be read as a card of a published model") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: is not a card of a published model: needed are fields")
    values = {"name": path.stem, **content}
    hints = get_type_hints(Card)
    for field in dataclasses.fields(Card):
        required = field.default is dataclasses.MISSING
        if (required and field.name not in values) or not _fits(
            values.get(field.name, field.default), hints[field.name]
        ):
            found = repr(values[field.name]) if field.name in values else "missing"
            raise UserError(f"{path}: {field.name} is {found}; needed: {hints[field.name]}")
    unknown = values.keys() - hints.keys()
    if unknown:
        raise UserError(f"{path}: unknown field {sorted(unknown)[0]}")
    return Card(**{**values, "urls": tuple(values.get("urls", ()))})


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value in YAML is of a field's type."""
    if get_origin(hint) is tuple:
        return isinstance(value, list | tuple) and all(isinstance(one, str) for one in value)
    kinds = get_args(hint) or (hint,)
    return type(value) in kinds
