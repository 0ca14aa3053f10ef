"""Names in charts: in an installed font that has their letters, else as numbers."""

import contextlib
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path


@contextlib.contextmanager
def having(names: Sequence[str]) -> Iterator[list[str]]:
    """While entered, charts are written in fonts that have the letters of the names.

    Gives the names as they are to be passed to matplotlib. One that has a letter of which no
    installed font knows is replaced by its number, from 0 on; and a dollar begins no formula.
    """
    # Imported here: matplotlib takes a second that only who draws a chart should pay.
    import matplotlib
    from matplotlib import font_manager

    standard = list(matplotlib.rcParams["font.family"])
    wanted = {ord(letter) for name in names for letter in name}
    wanted -= _letters(font_manager.findfont(font_manager.FontProperties(family=standard)))
    families: list[str] = []
    for family, file in _installed() if wanted else ():
        known = wanted & _letters(file)
        if known:
            families.append(family)
            wanted -= known
        if not wanted:
            break
    shown = [
        str(number) if wanted & set(map(ord, name)) else name.replace("$", r"\$")
        for number, name in enumerate(names)
    ]
    with matplotlib.rc_context({"font.family": [*standard, *families]}):
        yield shown


def _installed() -> list[tuple[str, str]]:
    """Name and file of each family of the system, those without serifs first.

    What matplotlib itself brings is for formulas, but for its standard font.
    """
    import matplotlib
    from matplotlib import font_manager

    own = Path(matplotlib.get_data_path())
    files = {
        entry.name: entry.fname
        for entry in font_manager.fontManager.ttflist
        if entry.style == "normal" and not Path(entry.fname).is_relative_to(own)
    }
    return sorted(files.items(), key=lambda one: ("Sans" not in one[0], one[0]))


@functools.cache
def _letters(file: str) -> frozenset[int]:
    """The code points of a font's letters."""
    from matplotlib import font_manager

    return frozenset(font_manager.get_font(file).get_charmap())
