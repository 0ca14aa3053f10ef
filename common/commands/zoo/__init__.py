"""Published models by name: what is known of each, and how its file is had.

A published model is a run that somebody else made. `--run NAME` takes it wherever it takes a run
directory, `--finetune NAME` starts from it, and `--weights NAME` gives its trunk to any task.
`python -m common.commands.zoo` lists all of them. Nothing is fetched before somebody names a model.
"""

from common.commands.zoo.card import Card, close, named, names, read
from common.commands.zoo.fetch import digest_of, file_of, pin

__all__ = ["Card", "close", "digest_of", "file_of", "named", "names", "pin", "read"]
