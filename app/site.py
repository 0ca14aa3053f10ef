"""What all parts of the page share."""

from pathlib import Path
from typing import NamedTuple

from app.asking import Asked, ask
from app.heads.head import Head
from app.heads.opening import Heads
from app.kept import Kept
from app.settings import LimitsConfig
from app.turns import Turns
from app.uploads import read
from common.errors import UserError


class Site(NamedTuple):
    """The loaded runs, what was found, and what limits visitors."""

    heads: Heads
    limits: LimitsConfig
    turns: Turns
    kept: Kept
    folder: Path
    """Of all uploads and of what is written for visitors; nothing else lies in it."""

    def head(self, name: str) -> Head:
        """The head of a picture by its name.

        Raises:
            UserError: there is none.
        """
        for one in self.heads.pictures:
            if one.name == name:
                return one
        known = ", ".join(one.name for one in self.heads.pictures)
        raise UserError(f"{name}: no such head; there are {known or 'none'}")

    def asked_for(self, head: Head) -> tuple[Head, ...]:
        """A head after those that it needs."""
        return (*head.needs(self.heads.pictures), head)

    def answers(self, file: Path, heads: tuple[Head, ...]) -> tuple[str, Asked]:
        """What heads find in an uploaded picture, and the key under which that is kept.

        Raises:
            UserError: the picture is refused, too many jobs wait, or it takes too long.
        """
        asked = self.turns.run(lambda job: ask(heads, read(file, self.limits), job))
        return self.kept.add(asked), asked


def site_of(heads: Heads, limits: LimitsConfig, folder: Path) -> Site:
    """A site without visitors."""
    kept = Kept(limits.kept_megabytes * 1e6, limits.kept_minutes * 60)
    return Site(heads, limits, Turns(limits.waiting, limits.job_seconds), kept, folder)
