"""How the file of a published model is had: fetched by name, or given by hand and pinned.

A file is fetched by the model's name only where its publisher states a hash. Weights that are not
stated to be free for every use are fetched after the licence was accepted, once. Any other file is
given by hand; its digest is printed, and can be pinned, so that the name then stands for it.
"""

import json
import os
import re
from pathlib import Path

from backbone import download
from backbone.files import contents, sha256
from common.commands.zoo.card import Card
from common.errors import UserError

_HOW = "python -m common.commands.zoo"


def file_of(card: Card, given: Path | None = None, *, accepted: bool = False) -> Path:
    """The file of a published model, fetched if it has to be.

    Args:
        card: of the model.
        given: the file, where a person has it already.
        accepted: the licence of the weights is accepted, which is remembered.

    Raises:
        UserError: the licence was not accepted; the file has to be given by hand; or it is not the
            file that was published or pinned.
        WeightsError: it cannot be downloaded.
    """
    if given is not None:
        return _checked(card, given, digest_of(card))
    pinned = _pinned(card)
    if pinned is not None:
        return pinned
    if not card.by_name:
        raise UserError(_by_hand(card))
    _require_licence(card, accepted)
    return download.fetch(
        card.urls,
        download.cache() / str(card.file),
        digest=str(card.sha256),
        licence=card.weights_licence,
    )


def pin(card: Card, file: Path) -> str:
    """Let the model's name stand for a file that a person fetched; returns its digest.

    Raises:
        UserError: there is no such file, or it is not the one that was published.
        WeightsError: it cannot be read as weights, such as a page that a server sent instead.
    """
    path = _checked(card, file, card.sha256)
    contents(path)
    digest = sha256(path)
    _write(_pin_of(card), json.dumps({"file": str(path.resolve()), "sha256": digest}))
    return digest


def kept(card: Card) -> Path | None:
    """Where the file lies on this machine, pinned or fetched; None where it does not.

    Raises:
        UserError: the note on a pinned file is damaged.
    """
    pin = _read_pin(card)
    fetched = download.cache() / str(card.file)
    place = Path(pin["file"]) if pin else fetched if card.by_name else None
    return place if place is not None and place.is_file() else None


def accept(card: Card) -> None:
    """Remember that the licence of the weights was accepted."""
    _write(_acceptance_of(card), card.weights_licence + "\n")


def digest_of(card: Card) -> str | None:
    """What the hash of the file has to begin with, as published or else as pinned."""
    return card.sha256 or _read_pin(card).get("sha256")


def _checked(card: Card, file: Path, expected: str | None) -> Path:
    """The file, if it is that of the card as far as anybody knows."""
    if not file.is_file():
        found = "is a folder" if file.is_dir() else "no such file"
        raise UserError(f"{file}: {found}; needed is the file of {card.name}")
    digest = sha256(file)
    if expected is not None and not digest.startswith(expected):
        raise UserError(
            f"{file}: is not the file of {card.name}: its sha256 begins with {digest[:8]}, not "
            f"with {expected[:8]}, {_otherwise(card)}"
        )
    return file


def _otherwise(card: Card) -> str:
    """Where an expected hash is from, and how a file of another is taken nevertheless."""
    if card.sha256 is None:
        return f"as that of the file that was pinned; to pin another: {_HOW} {card.name} --pin FILE"
    return (
        f"as published; another file of this network is taken as --config {card.recipe} "
        "--checkpoint FILE, without the name"
    )


def _pinned(card: Card) -> Path | None:
    """The file that was pinned for a model, if it still is what it was."""
    found = _read_pin(card)
    if not found:
        return None
    file, expected = Path(found["file"]), found["sha256"]
    if not file.is_file():
        raise UserError(
            f"{card.name}: the file that was pinned for it is gone: {file}; put it there again, or "
            f"pin another place: {_HOW} {card.name} --pin FILE"
        )
    digest = sha256(file)
    if digest != expected:
        raise UserError(
            f"{file}: was pinned for {card.name} with the sha256 {expected[:8]} and now has "
            f"{digest[:8]}; put the same file there, or pin this one: {_HOW} {card.name} --pin FILE"
        )
    return file


def _read_pin(card: Card) -> dict[str, str]:
    path = _pin_of(card)
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        valid = isinstance(found, dict) and re.fullmatch("[0-9a-f]{64}", str(found["sha256"]))
        if valid and isinstance(found["file"], str):
            return {"file": found["file"], "sha256": found["sha256"]}
    except (OSError, ValueError, KeyError):
        pass
    raise UserError(f"{path}: is damaged; remove it, and pin the file again")


def _by_hand(card: Card) -> str:
    """What to do where a file is not fetched by name."""
    places = " or ".join((*card.urls, *([card.page] if card.page else [])))
    return (
        f"{card.name}: nobody publishes a hash of its file, so it is not fetched by name: get "
        f"{card.file or 'it'} from {places}, then give it as --checkpoint FILE, or once: "
        f"{_HOW} {card.name} --pin FILE"
    )


def _require_licence(card: Card, accepted: bool) -> None:
    """Refuse weights whose licence may forbid a use, until a person has accepted it once."""
    if card.permissive or _acceptance_of(card).is_file():
        return
    if not accepted:
        raise UserError(
            f"{card.name}: its weights are not stated to be free for every use "
            f"({card.weights_licence}); see {_HOW} {card.name}, and accept that once: "
            f"{_HOW} {card.name} --accept_licence"
        )
    accept(card)


def _pin_of(card: Card) -> Path:
    return download.cache() / f"{card.name}.pin.json"


def _acceptance_of(card: Card) -> Path:
    return download.cache() / f"{card.name}.accepted"


def _write(path: Path, text: str) -> None:
    """Write a small file whole or not at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Of this process alone: another one may write the same file at this moment.
        unfinished = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(path)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror}); name another folder for downloads in "
            "RES2NET_CACHE"
        ) from error
