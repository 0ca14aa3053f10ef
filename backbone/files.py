"""Read weights from a file, whoever wrote it, without ever running code from it."""

import argparse
import hashlib
import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from backbone import arrays, layouts, paddle
from backbone.blocks import FirstBlock
from backbone.errors import WeightsError, one_line
from backbone.published import recognised
from backbone.variants import MODELS, first_block_of
from backbone.wrappings import AVERAGED, RAW, Unwrapped, unwrap

# One key for the whole card: the order of several keys in a safetensors header is not fixed.
CARD = "card"
ZIP, PICKLE = b"PK\x03\x04", b"\x80"
TORCH = b"\x80\x02\x8a\x0a"
"""Beginning of the pickles that torch.save once wrote: a long number."""

_BACKBONE = re.compile(r"^backbone: ['\"]?(\w+)", re.MULTILINE)

_FOLDER = 0x10
"""Bit of a record's attributes in an archive; torch.load leaves such a tensor uninitialised."""


def read(path: Path) -> dict[str, Tensor]:
    """Read the trunk's state dict in a `.safetensors`, `.pdparams` or `.pkl` file or torch.save's.

    What surrounds it is unwrapped, as `backbone.wrappings` says. Of a whole model only the trunk is
    taken, as `backbone.layouts` says.

    Raises:
        WeightsError: no such file, cut short, no checkpoint, or it would run code.
    """
    return layouts.trunk(whole(path).state)


def whole(path: Path) -> Unwrapped:
    """Read the weights as `read` does, but all of them: heads too, under the names in the file.

    Raises:
        WeightsError: no such file, cut short, no checkpoint, or it would run code.
    """
    content = contents(path)
    found = unwrap(content)
    if not found.state:
        entries = ", ".join(map(str, content)) if isinstance(content, Mapping) else ""
        has = f"its entries: {entries or 'none'}" if isinstance(content, Mapping) else ""
        raise WeightsError(
            f"{path}: holds no state dict ({has or f'a {type(content).__name__}'}); needed: a dict "
            f"from names to tensors, bare or under one of {', '.join((*RAW, *AVERAGED))}"
        )
    return found._replace(first_block=first_block(path, content, found.state))


def read_card(path: Path) -> dict[str, object]:
    """Read the card in a safetensors header; empty where the file has none of this project."""
    with safe_open(path, framework="pt") as file:
        metadata: Mapping[str, str] = file.metadata() or {}
    try:
        card = json.loads(metadata.get(CARD, "{}"))
    except ValueError:
        return {}
    return card if isinstance(card, dict) else {}


def first_block(
    path: Path, content: Mapping[str, Any], state: Mapping[str, Tensor]
) -> FirstBlock | None:
    """The rule of first blocks that the weights in a file were trained under, where it is known.

    The format says it, or else a card or a run's config; else the file is a published one, told by
    its hash; else its names are those of a code base that has one rule.

    Args:
        path: of the file.
        content: all that is in it.
        state: the weights in it.
    """
    if path.suffix == paddle.SUFFIX:
        return paddle.FIRST_BLOCK
    said = _variant(path, content)
    if said in MODELS:
        return first_block_of(said)
    row = recognised(sha256(path))
    return layouts.first_block(state) if row is None else first_block_of(row.architecture)


def _variant(path: Path, content: Mapping[str, Any]) -> str | None:
    """The name of the trunk that a card says, or the config in a checkpoint of this project."""
    if path.suffix == ".safetensors":
        said = read_card(path).get("variant")
        return said if isinstance(said, str) else None
    config = content.get("config")
    return named_in(config) if isinstance(config, str) else None


def named_in(config: str) -> str | None:
    """The backbone that a run's config, in YAML, names."""
    found = _BACKBONE.search(config)
    return found[1] if found else None


def contents(path: Path) -> Any:
    """Read all that is in a file: mostly a dict of tensors, or of a state dict and other entries.

    Raises:
        WeightsError: no such file, cut short, no checkpoint, or it would run code.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: no such file")
    if path.suffix == paddle.SUFFIX:
        return paddle.read(path)
    return _safetensors(path) if path.suffix == ".safetensors" else _pickle(path)


def sha256(path: Path) -> str:
    """Give the file's hash as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        state: dict[str, Tensor] = load_file(path)
        return state
    except (SafetensorError, OSError) as error:
        reason = one_line(error)
        raise WeightsError(
            f"{path}: is cut short or not a safetensors file ({path.stat().st_size} bytes; "
            f"{reason}); fetch it again"
        ) from error


def _pickle(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror})") from error
    if not start:
        raise WeightsError(f"{path}: is empty, and so not a checkpoint; fetch it again")
    if start != ZIP and not start.startswith(PICKLE):
        raise WeightsError(
            f"{path}: is not a checkpoint: it begins with {start!r}; needed: a .safetensors file "
            "or one that torch.save wrote"
        )
    if path.suffix == arrays.SUFFIX and start not in (ZIP, TORCH):
        return arrays.read(path)
    try:
        if start == ZIP:
            _require_checksums(path)
        # Training scripts of torchvision and timm keep their flags with the weights.
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # cut at the wrong byte, a pickle fails in a dozen different ways
        # With weights_only, torch names the function or class that the pickle asks to call.
        names = re.search(r"GLOBAL ([\w.]+)", str(error))
        if names:
            raise WeightsError(
                f"{path}: refused, because reading it would run code ({names[1]}); needed: a file "
                "of plain tensors. If you trust its source, save its state_dict alone there"
            ) from error
        raise WeightsError(
            f"{path}: is cut short or damaged ({path.stat().st_size} bytes; {one_line(error)}); "
            "fetch it again"
        ) from error


def _require_checksums(path: Path) -> None:
    """Check an archive's records, which torch.load does not: it gives damaged weights."""
    with zipfile.ZipFile(path) as archive:
        broken = archive.testzip()
        folders = [one.filename for one in archive.infolist() if one.external_attr & _FOLDER]
    if broken is not None:
        raise ValueError(f"wrong checksum in {broken}")
    if folders:
        raise ValueError(f"{folders[0]} is marked as a folder")
