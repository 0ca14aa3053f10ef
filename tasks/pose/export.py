"""``python -m tasks.pose.export --run RUN OUT.onnx``: the trained network as an ONNX file.

Bytes (B, 3, H, W) of crops in, heat maps (B, J, H / 4, W / 4) out; H and W are multiples of 32. The
file's metadata and OUT.json say how crops are cut and how joints are read off.
"""

import sys
from dataclasses import dataclass

import torch

from backbone import WeightsError, deploy
from common import command, export, trained
from common.export import ExportFlags, Graph
from tasks.pose.config import Config
from tasks.pose.inference import SKELETONS, restore
from tasks.pose.model import MEAN, STD, PoseModel, from_published


@dataclass(frozen=True, kw_only=True)
class ExportConfig(ExportFlags, Config):
    """A run's config, and the file that is written."""


def main() -> None:
    """Read the flags, and write the file and its card."""
    config = trained.parse(ExportConfig, sys.argv[1:], positional="file")
    target = config.target
    weights = trained.find(config, from_published)
    model = restore(config, weights, torch.device("cpu"))
    export.save(graph(config, model), target, weights)


def graph(config: Config, model: PoseModel) -> Graph:
    """What is exported of a model, and what users of the file must know."""
    data = config.data
    height, width = data.input_size
    return Graph(
        module=deploy(model, portable=True),
        entry="images",
        results=("heatmaps",),
        dynamic=(0, 2, 3),
        examples=export.pictures((height, width), (2 * height, width), (height, width + 32)),
        description={
            "task": "pose",
            "backbone": config.backbone,
            "images": f"bytes (B, 3, H, W), {data.colour}, one person a crop, H and W multiples of "
            f"32, trained at {height} x {width}; normalised inside the file by {MEAN} and {STD}",
            "crop": f"the person's box, enlarged by {data.padding} to the crop's aspect",
            "heatmaps": f"(B, J, H / 4, W / 4), one a joint; coding {data.coding}",
            "joints": list(SKELETONS[data.format].names),
        },
    )


if __name__ == "__main__":
    command.run(main, WeightsError)
