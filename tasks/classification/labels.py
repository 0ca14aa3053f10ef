"""The classes of a data set or a model: names in the order of the labels, and words for people."""

import difflib
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from common.commands.classes import differences
from common.errors import UserError
from common.reading.annotations import read_text

FILE = "classes.txt"
"""Beside the splits of a data set, and in a run directory."""

WORDNET_ID = re.compile(r"n\d{8}\b")

_SHOWN = 3


@dataclass(frozen=True)
class Classes:
    """Class k is called names[k] by files and titles[k] by people."""

    names: tuple[str, ...]
    titles: tuple[str, ...]

    def __len__(self) -> int:
        """Number of classes K."""
        return len(self.names)

    def by_name(self) -> "Classes":
        """The same in the order of their names."""
        pairs = sorted(zip(self.names, self.titles, strict=True))
        return Classes(tuple(name for name, _ in pairs), tuple(title for _, title in pairs))

    def index(self, text: str) -> int:
        """The class of that name, title or number.

        Raises:
            UserError: there is none; the message offers similar ones.
        """
        for words in (self.names, self.titles):
            if text in words:
                return words.index(text)
        if text.isdecimal() and int(text) < len(self):
            return int(text)
        spoken = [title for title in self.titles if text.lower() in title.lower()]
        close = spoken or difflib.get_close_matches(text, {*self.names, *self.titles}, cutoff=0.4)
        advice = f"; did you mean {', '.join(close[:_SHOWN])}?" if close else ""
        raise UserError(
            f"{text}: no such class; allowed are the names and numbers 0 to {len(self) - 1}{advice}"
        )


def numbered(count: int) -> Classes:
    """Classes of which nothing is known but their number."""
    names = tuple(map(str, range(count)))
    return Classes(names, names)


def imagenet() -> Classes:
    """The 1000 classes of ImageNet-1k in the order that every published checkpoint has."""
    # Imported here: timm, which ships the list, takes seconds that only its users should pay.
    from timm.data.imagenet_info import ImageNetInfo

    info = ImageNetInfo("imagenet-1k")
    names: list[str] = info.label_names()  # type: ignore[no-untyped-call]
    return Classes(tuple(names), tuple(info.label_descriptions()))


def read(file: Path) -> Classes:
    """Classes of a file with one a line: its name, and after a tab what people call it.

    A blank separates as well where the name is a WordNet id, as in ImageNet's own lists, and the
    line has no tab. Blanks around a line without tab are no part of it.

    Raises:
        UserError: there is no such file, it is empty, or a name occurs twice.
    """
    text = read_text(file, "list of classes")
    pairs = [_pair(line) for line in text.split("\n") if line.strip()]
    if not pairs:
        raise UserError(f"{file}: is empty; it takes one class per line")
    names = [pair[0] for pair in pairs]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise UserError(f"{file}: {twice[0]} is listed twice")
    return Classes(tuple(names), tuple(pair[-1] for pair in pairs))


def _pair(line: str) -> list[str]:
    """The name in a line, and the title if there is one."""
    if "\t" in line.strip():
        return line.rstrip("\r").split("\t", maxsplit=1)
    line = line.strip()
    return line.split(maxsplit=1) if WORDNET_ID.match(line) else [line]


def write(classes: Classes, file: Path) -> None:
    """Write what `read` reads.

    Raises:
        UserError: the file cannot be written.
    """
    # A name with blanks has its tab in any case, so that it is read as a whole.
    lines = [
        name if name == title and name.split() == [name] else f"{name}\t{title}"
        for name, title in zip(classes.names, classes.titles, strict=True)
    ]
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(f"{line}\n" for line in lines))
    except OSError as error:
        raise UserError(f"{file}: cannot be written ({error.strerror})") from None


def keep(classes: Classes, run: Path, main: bool) -> None:
    """Write a run's classes into its directory, if this is the main process.

    Raises:
        UserError: the run was started with other classes, or the file cannot be written.
    """
    if main and (run / FILE).is_file():
        require_same(classes, read(run / FILE), "the training set", f"the run {run}")
    if main:
        write(classes, run / FILE)


def require_same(found: Classes, wanted: Classes, found_in: str, wanted_by: str) -> None:
    """Raise UserError unless two lists have the same names."""
    if set(found.names) != set(wanted.names):
        raise UserError(
            f"{found_in}: its classes are not those of {wanted_by}: "
            f"{differences(found.names, wanted.names)}"
        )
