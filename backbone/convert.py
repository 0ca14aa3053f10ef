"""Rewrite published weights as safetensors with a card, or safetensors as `.pth`.

    python -m backbone.convert IN OUT.safetensors [--variant NAME]
    python -m backbone.convert IN.safetensors OUT.pth

Only the container changes: every tensor, the classifier's too, keeps its name and its bits, so that
the file can still be evaluated. Only those of PaddlePaddle (`.pdparams`) get the official names.
The same input always gives the same bytes. The card says where the weights come from and, in the
variant, what rule of first blocks they were trained under; what is not known is called unknown.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from backbone import files, layouts
from backbone.blocks import FirstBlock
from backbone.detect import detect
from backbone.errors import WeightsError
from backbone.published import WEIGHTS, Weights, recognised
from backbone.variants import MODELS, full_name
from backbone.weights import check, fetch, find, without_classifier

UNKNOWN = "unknown"


def convert(source: str | Path, target: Path, variant: str | None = None) -> str:
    """Write the weights of `source` to `target` in the format that its suffix names.

    Args:
        source: a file, a run directory or a name in WEIGHTS.
        target: ends in `.safetensors` or `.pth`.
        variant: a name in MODELS that the weights must fit. If not given it is what the source
            says, else read from shapes, which cannot tell the rule of the first blocks.

    Returns:
        The variant.

    Raises:
        WeightsError: the source cannot be read or does not fit, the target is not of these kinds or
            cannot be written.
    """
    if target.suffix not in (".safetensors", ".pth"):
        raise WeightsError(f"{target}: unknown format; allowed: .safetensors, .pth")
    published = WEIGHTS.get(str(source))
    file = fetch(published) if published else find(source)
    if target.exists() and target.samefile(file):
        raise WeightsError(f"{target}: is the input itself; name another output")
    found = files.whole(file)
    state = {key: value.contiguous().clone() for key, value in sorted(found.state.items())}
    weights, _ = without_classifier(layouts.trunk(state))
    variant = variant or named(weights, found.first_block, str(source))
    if variant not in MODELS:
        raise WeightsError(f"{source}: made for {variant}; allowed: {', '.join(MODELS)}")
    with torch.device("meta"):
        check(MODELS[variant]().state_dict(), weights, str(source))
    if target.suffix == ".pth":
        replace_file(target, lambda path: _save_pth(state, path))
    else:
        card = json.dumps(make_card(file, variant), sort_keys=True)
        replace_file(target, lambda path: save_file(state, path, metadata={files.CARD: card}))
    return variant


def named(weights: Mapping[str, Tensor], rule: FirstBlock | None, source: str) -> str:
    """The variant of a trunk's weights, by their shapes and by the rule of first blocks.

    Args:
        weights: of the trunk.
        rule: what the source says of it; the official one where it says nothing.
        source: for the message.

    Raises:
        WeightsError: these are not the weights of a ResNet, Res2Net or DLA.
    """
    plain = detect(weights, source)
    variant = full_name(plain, rule or "pooled")
    return variant if variant in MODELS else plain


def make_card(file: Path, variant: str) -> dict[str, object]:
    """Say what is known of a file; published files are recognised by their hash."""
    digest = files.sha256(file)
    card: dict[str, object] = {
        "variant": variant,
        "source_file": file.name,
        "source_sha256": digest,
    }
    row = recognised(digest)
    known = asdict(row) if row else {}
    for field in Weights.__dataclass_fields__:
        if field not in ("architecture", "file", "sha256"):
            card[field] = known.get(field, UNKNOWN)
    return card


def _save_pth(state: dict[str, Tensor], path: Path) -> None:
    # Given a path, torch.save would write the file's name into the file.
    with path.open("wb") as file:
        torch.save(state, file)


def replace_file(target: Path, write: Callable[[Path], None]) -> None:
    """Write beside the target and rename, so that no half-written file ever has its name."""
    unfinished = target.with_name(target.name + ".tmp")
    try:
        write(unfinished)
        os.replace(unfinished, target)
    except Exception as error:  # safetensors and torch wrap a full disk in errors of their own
        unfinished.unlink(missing_ok=True)
        reason = str(error).partition("\n")[0]
        raise WeightsError(f"{target}: cannot be written: {reason}") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m backbone.convert", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("source", metavar="IN", help="file, run directory or published name")
    parser.add_argument("target", metavar="OUT", type=Path, help="OUT.safetensors or OUT.pth")
    parser.add_argument("--variant", choices=list(MODELS), metavar="NAME", help="what IN must fit")
    given = parser.parse_args(arguments)
    try:
        variant = convert(given.source, given.target, given.variant)
    except WeightsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{given.target}: {variant}, sha256 {files.sha256(given.target)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
