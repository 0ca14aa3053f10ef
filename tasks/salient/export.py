"""``python -m tasks.salient.export --run RUN OUT.onnx``: the trained network as an ONNX file.

Bytes (B, 3, H, W) of pictures in, saliency (B, 1, H, W) from 0 to 1 out.
"""

import sys
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from backbone import deploy
from common.commands import command, export, trained
from common.commands.export import ExportFlags, Graph
from tasks.salient.config import Config, ScoredConfig
from tasks.salient.inference import open_model, stretched
from tasks.salient.model import SaliencyNetwork


@dataclass(frozen=True, kw_only=True)
class ExportConfig(ExportFlags, ScoredConfig):
    """A run's config, and the file that is written."""


def main() -> None:
    """Read the flags, and write the file and its card."""
    config = trained.parse(ExportConfig, sys.argv[1:], positional="file")
    target = config.target
    found = open_model(config, torch.device("cpu"))
    export.save(graph(config, found.model), target, found.weights)


class Saliency(nn.Module):
    """Pictures in, maps from 0 to 1 out, each stretched or not."""

    def __init__(self, model: SaliencyNetwork, stretch: bool) -> None:
        super().__init__()
        self.model, self.stretch = model, stretch

    def forward(self, images: Tensor) -> Tensor:
        """Maps (B, 1, H, W) of pictures (B, 3, H, W)."""
        height, width = images.shape[2:]
        saliency: Tensor = self.model(self._continued(images)).saliency
        found = saliency[:, :, :height, :width].sigmoid()
        return stretched(found) if self.stretch else found

    def _continued(self, images: Tensor) -> Tensor:
        """Small pictures continued by their border, as the model does: a file has no `if`."""
        height, width = images.shape[2:]
        least = self.model.least_side
        rows = torch.arange(torch.sym_max(height, least), device=images.device)
        columns = torch.arange(torch.sym_max(width, least), device=images.device)
        return images[:, :, rows.clamp(max=height - 1)][:, :, :, columns.clamp(max=width - 1)]


def graph(config: Config, model: SaliencyNetwork) -> Graph:
    """What is exported of a model, and what users of the file must know."""
    data, least = config.data, model.least_side
    stretch = config.model.stretch_maps
    each = ", each picture's least value 0 and its greatest 1" if stretch else ""
    return Graph(
        module=Saliency(deploy(model, portable=True), stretch),
        entry="images",
        results=("saliency",),
        dynamic=export.PICTURES,
        examples=export.pictures((least + 64, least + 96), (least - 47, least + 50), (241, 187)),
        description={
            "task": "salient",
            "backbone": config.backbone,
            "images": f"bytes (B, 3, H, W), {data.colour}, of any size; normalised inside the "
            f"file ({config.model.normalisation})",
            "fit": f"trained with data.fit {data.fit}, {data.input_size}, data.resampling "
            f"{data.resampling}",
            "saliency": f"(B, 1, H, W), from 0 to 1{each}; in evaluate, "
            f"{config.model.resize_maps} are resized to the picture",
        },
    )


if __name__ == "__main__":
    command.run(main)
