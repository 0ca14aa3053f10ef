"""``python -m tasks.salient.export --run RUN OUT.onnx``: the trained network as an ONNX file.

Bytes (B, 3, H, W) of pictures in, saliency (B, 1, H, W) from 0 to 1 out. What evaluate makes of it
afterwards (`--model.stretch_maps`, `resize_maps`) is not in the file: its card says it.
"""

import sys
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from backbone import deploy
from common.commands import command, export, trained
from common.commands.export import ExportFlags, Graph
from tasks.salient.config import Config, ModelConfig, ScoredConfig
from tasks.salient.inference import open_model
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
    """Pictures in, maps from 0 to 1 out."""

    def __init__(self, model: SaliencyNetwork) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """Maps (B, 1, H, W) of pictures (B, 3, H, W)."""
        height, width = images.shape[2:]
        saliency: Tensor = self.model(self._continued(images)).saliency
        return saliency[:, :, :height, :width].sigmoid()

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
    return Graph(
        module=Saliency(deploy(model, portable=True)),
        entry="images",
        results=("saliency",),
        dynamic=export.PICTURES,
        # The first is traced. All of its features' sides are odd, so that none is twice another,
        # which would be taken for a rule. The last has sides that all strides divide.
        examples=export.pictures((161, 193), (least - 47, least + 50), (256, 192)),
        description={
            "task": "salient",
            "backbone": config.backbone,
            "images": f"bytes (B, 3, H, W), {data.colour}, of any size; normalised inside the "
            f"file ({config.model.normalisation})",
            "fit": f"trained with data.fit {data.fit}, {data.input_size}, data.resampling "
            f"{data.resampling}",
            "saliency": f"(B, 1, H, W), from 0 to 1; in evaluate, {_finished(config.model)}",
        },
    )


def _finished(model: ModelConfig) -> str:
    """What evaluate does with a map, in its order."""
    resized = f"{model.resize_maps} are resized to the picture"
    if not model.stretch_maps:
        return resized
    # A stretched map magnifies rounding where little stands out; so the file gives what it is of.
    stretched = "each map is stretched: (map - least) / (greatest - least + 1e-8)"
    steps = (resized, stretched) if model.resize_maps == "logits" else (stretched, resized)
    return ", then ".join(steps)


if __name__ == "__main__":
    command.run(main)
