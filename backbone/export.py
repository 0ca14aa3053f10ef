"""Write the backbone of a trained model, and nothing else, as safetensors with a card.

    python -m backbone.export RUN OUT.safetensors

RUN is the run directory of any task, whose best checkpoint is taken, or a file. What comes out is a
source of weights for every task: `--weights OUT.safetensors`. A task's own layers and classifiers
stay behind. The card says what the run knows of itself; strides and dilations are not in it,
because they leave no trace in weights. The same input always gives the same bytes.
"""

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from backbone import files, layouts
from backbone.convert import UNKNOWN, make_card, named, replace_file
from backbone.errors import WeightsError
from backbone.variants import MODELS
from backbone.weights import WEIGHTS, check, find, without_classifier
from backbone.wrappings import note

# Settings of the run's config that say where its backbone started from.
_SOURCES = re.compile(r"^(?:weights|finetune): (.+)$", re.MULTILINE)


def export(source: str | Path, target: Path) -> str:
    """Write the backbone within `source` to `target`.

    Args:
        source: a run directory or a file.
        target: ends in `.safetensors`.

    Returns:
        The variant, or a description of a backbone that is none of them, such as one for sound.

    Raises:
        WeightsError: the source cannot be read or holds no backbone, or the target is of another
            kind, is the source, or cannot be written.
    """
    if target.suffix != ".safetensors":
        raise WeightsError(f"{target}: unknown format; allowed: .safetensors")
    file = find(source)
    if target.exists() and target.samefile(file):
        raise WeightsError(f"{target}: is the input itself; name another output")
    found = files.whole(file)
    if found.averaged:
        print(note(file, found.averaged), file=sys.stderr)
    weights, _ = without_classifier(layouts.trunk(found.state))
    variant = named(weights, found.first_block, str(source))
    if variant in MODELS:
        with torch.device("meta"):
            check(MODELS[variant]().state_dict(), weights, str(source))
    state = {key: value.contiguous().clone() for key, value in sorted(weights.items())}
    card = json.dumps({**make_card(file, variant), **run_facts(file)}, sort_keys=True)
    replace_file(target, lambda path: save_file(state, path, metadata={files.CARD: card}))
    return variant


def run_facts(file: Path) -> dict[str, object]:
    """What a checkpoint of this project knows besides its weights; nothing for other files.

    `epochs` trained, the `metrics` of that moment where it is a best checkpoint, and the
    `initial_weights`, from which published ones bring their licence along.
    """
    content: Any = files.contents(file)
    if "format" not in content or "progress" not in content:
        return {}
    named = [value for value in _SOURCES.findall(content["config"]) if value != "null"]
    initial = named[0] if named else None
    facts: dict[str, object] = {
        "epochs": content["progress"]["epoch"],
        "metrics": content.get("metrics", UNKNOWN),
        "initial_weights": initial,
    }
    if initial in WEIGHTS:
        facts["licence"] = f"that of {initial}: {WEIGHTS[initial].licence}"
    return facts


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m backbone.export", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("source", metavar="RUN", help="run directory or checkpoint file")
    parser.add_argument("target", metavar="OUT", type=Path, help="OUT.safetensors")
    given = parser.parse_args(arguments)
    try:
        variant = export(given.source, given.target)
    except WeightsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{given.target}: {variant}, sha256 {files.sha256(given.target)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
