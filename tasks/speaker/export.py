"""``python -m tasks.speaker.export --run RUN OUT.onnx``: the trained network as an ONNX file.

Waveforms (B, N) at 16 kHz, floats of -1..1, in; embeddings (B, D) out, compared by their cosine.
"""

import math
import sys
from dataclasses import dataclass

import torch

from backbone import deploy
from common.commands import command, export, trained
from common.commands.export import ExportFlags, Graph
from tasks.speaker.config import ScoredConfig, Scoring
from tasks.speaker.features import RATE, SHORTEST, samples_of
from tasks.speaker.inference import open_model
from tasks.speaker.model import SpeakerModel


@dataclass(frozen=True, kw_only=True)
class ExportConfig(ExportFlags, ScoredConfig):
    """A run's config, and the file that is written."""


def main() -> None:
    """Read the flags, and write the file and its card."""
    config = trained.parse(ExportConfig, sys.argv[1:], positional="file")
    target = config.target
    found = open_model(config, torch.device("cpu"))
    export.save(graph(config, found.model), target, found.weights)


def graph(config: ScoredConfig, model: SpeakerModel) -> Graph:
    """What is exported of a model, and what users of the file must know."""
    generator = torch.Generator().manual_seed(0)
    sizes = ((2, 16000), (1, 40007), (3, 24080))
    shortest = samples_of(config.model.frames_joined + 1) / RATE  # leaves two frames, to compare
    return Graph(
        module=deploy(model, portable=True),
        entry="waves",
        results=("embeddings",),
        dynamic={0: "batch", 1: "samples"},
        examples=[0.1 * torch.randn(size, generator=generator) for size in sizes],
        description={
            "task": "speaker",
            "backbone": config.backbone,
            "waves": "float32 (B, N) of -1..1, 16 kHz, mono, of any length from "
            f"{math.ceil(10 * shortest) / 10:g} seconds on; "
            f"{config.model.bins} log mel energies are computed inside the file",
            "channel": f"of several channels evaluate takes the {config.data.channel}",
            "shorter": f"below {SHORTEST:g} seconds evaluate repeats a recording up to them",
            "embeddings": "(B, D); two are compared by their cosine",
            "scoring": _scoring(config.test.scoring),
        },
    )


def _scoring(scoring: Scoring) -> str:
    """What evaluate does with embeddings besides, which its threshold is for."""
    mean = "the mean embedding of training speakers is taken off first"
    normalised = f"{mean}, and cosines are normalised by a cohort"
    more = {"cosine": "", "mean": mean}.get(scoring, normalised)
    return f"{scoring}: {more}; both are in the run's backend.npz" if more else scoring


if __name__ == "__main__":
    command.run(main)
