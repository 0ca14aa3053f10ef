"""``python -m tasks.pose.export --run RUN OUT.onnx``: the trained network as an ONNX file.

Bytes (B, 3, H, W) of crops in, heat maps (B, J, H / 4, W / 4) out; H and W are multiples of 32. The
file's metadata and OUT.json say how crops are cut and how joints are read off.
"""

import sys
from dataclasses import dataclass
from typing import Any

import torch

from backbone import deploy
from common.commands import command, export, trained
from common.commands.export import ExportFlags, Graph
from tasks.pose.config import Config, ScoredConfig
from tasks.pose.inference import open_model
from tasks.pose.model import MEAN, STD, PoseModel
from tasks.pose.skeleton import SKELETONS


@dataclass(frozen=True, kw_only=True)
class ExportConfig(ExportFlags, ScoredConfig):
    """A run's config, and the file that is written."""


def main() -> None:
    """Read the flags, and write the file and its card."""
    config = trained.parse(ExportConfig, sys.argv[1:], positional="file")
    target = config.target
    found = open_model(config, torch.device("cpu"))
    export.save(graph(config, found.model), target, found.weights)


def graph(config: Config, model: PoseModel) -> Graph:
    """What is exported of a model, and what users of the file must know."""
    data, skeleton = config.data, SKELETONS[config.data.format]
    height, width = data.input_size
    return Graph(
        module=deploy(model, portable=True),
        entry="images",
        results=("heatmaps",),
        dynamic=export.PICTURES,
        examples=export.pictures((height, width), (2 * height, width), (height, width + 32)),
        description={
            "task": "pose",
            "backbone": config.backbone,
            "images": f"bytes (B, 3, H, W), {data.colour}, one person a crop, H and W multiples of "
            f"32, trained at {height} x {width}; normalised inside the file by {MEAN} and {STD}",
            "crop": f"the person's box, widened or heightened about its centre to the crop's "
            f"aspect, then enlarged by padding; {_places(data.unbiased)}; bilinear, black beyond "
            "the picture",
            "padding": data.padding,
            "heatmaps": f"(B, J, H / 4, W / 4), one a joint; coding {data.coding}, with H / 4 and "
            "W / 4 for H and W in the crop's formula",
            **_decoding(config),
            "joints": list(skeleton.names),
            "joint_threshold": config.test.joint_threshold,
        },
    )


def _places(unbiased: bool) -> str:
    """Where a place in the picture lies in the crop."""
    if unbiased:
        across, down = "(x - centre) * (W - 1) / its width + (W - 1) / 2", "by H and its height"
        return f"x lies at {across}, and y likewise {down}"
    across, down = "(x - centre) * W / its width + W / 2", "(y - centre) * W / its width + H / 2"
    return f"x lies at {across}, and y at {down}"


def _decoding(config: Config) -> dict[str, Any]:
    """How joints are read off heat maps, as evaluate does it."""
    data, test = config.data, config.test
    way = "the maximum, and a quarter pixel towards the higher neighbour on each axis"
    if data.unbiased:
        way = "the maximum, and DARK's Taylor step on the logarithm, smoothed by sigma"
    found: dict[str, Any] = {"decoding": way}
    if data.unbiased:
        found["sigma"] = data.sigma
    if test.flip:
        shifted = test.shift and not data.unbiased
        found["mirrored"] = (
            "heat maps are the mean of the crop's own and of its mirror image's, turned back with "
            "the joints of flip_pairs exchanged" + (" and moved a pixel to the right" * shifted)
        )
        found["flip_pairs"] = [list(pair) for pair in SKELETONS[data.format].flip_pairs]
    return found


if __name__ == "__main__":
    command.run(main)
