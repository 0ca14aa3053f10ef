"""A trunk that onnxruntime runs, for processors on which that is faster than PyTorch.

The trunk alone, which takes most of a network's time: so it serves every task, also where a head
cannot be exported, and heads on one trunk share its file. The file is written and checked against
PyTorch once, and kept in the cache under the trunk's hash.
"""

import importlib
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from backbone import Pyramid, Trunk, deploy, download
from common.commands import export
from common.commands.export import Graph
from common.commands.trained import Trained
from common.errors import UserError

Backend = Literal["torch", "onnxruntime"]

FASTEST: dict[str, Backend] = {"AVX512": "torch", "AVX2": "onnxruntime"}
"""What was measured to be faster in fp32, not compiled, by PyTorch's word for the processor
(docs/inference.md); on others PyTorch."""


def fastest(device: torch.device) -> Backend:
    """What serves best on a device, as far as it was measured, of what is installed."""
    if device.type != "cpu":
        return "torch"
    found = FASTEST.get(torch.backends.cpu.get_cpu_capability(), "torch")
    try:
        export.require_packages()
    except UserError:
        return "torch"
    return found


class RuntimeTrunk(nn.Module):
    """A trunk's features by onnxruntime.

    Args:
        file: of the trunk, as `file_of` writes it.
        trunk: whose features these are.

    Raises:
        UserError: the file is damaged.
    """

    def __init__(self, file: Path, trunk: Trunk) -> None:
        super().__init__()
        self.in_channels, self.first_block = trunk.in_channels, trunk.first_block
        self.channels, self.strides = trunk.channels, trunk.strides
        runtime: Any = importlib.import_module("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        # Its threads would look for work while the head and the reading of pictures want the cores.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self.session = runtime.InferenceSession(
                file, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's own have no class in common but this
            raise UserError(
                f"{file}: onnxruntime cannot read it ({_first_line(error)}); remove it, and it is "
                "written anew"
            ) from error

    def forward(self, x: Tensor) -> Pyramid[Tensor]:
        """The pyramid of inputs (B, in_channels, H, W), float32, on the CPU."""
        found = self.session.run(None, {"images": x.float().contiguous().numpy()})
        # As PyTorch's trunk gives them, and as the convolutions behind it take them.
        maps = (torch.from_numpy(one) for one in found)
        return Pyramid(*(one.contiguous(memory_format=torch.channels_last) for one in maps))


def file_of(trunk: Trunk, digest: str, weights: Trained) -> Path:
    """The ONNX file of a trunk in the cache, written and checked if it is not there.

    Args:
        trunk: on the CPU, in eval mode.
        digest: its `fingerprint`.
        weights: where it is from, for the card beside the file.

    Raises:
        UserError: a package is missing, or the file would compute something else.
        WeightsError: the cache cannot be written.
    """
    export.require_packages()
    file = download.cache() / "onnx" / f"{digest}.onnx"
    with download.alone(file):
        if not file.is_file():
            export.write(graph(trunk), file, weights)
    return file


def graph(trunk: Trunk) -> Graph:
    """What is exported of a trunk, which is on the CPU and in eval mode."""
    generator = torch.Generator().manual_seed(0)
    sizes = (2, 160, 192), (1, 97, 130)
    return Graph(
        module=deploy(trunk, portable=True),
        entry="images",
        results=Pyramid._fields,
        dynamic=export.PICTURES,
        examples=[
            torch.randn(count, trunk.in_channels, height, width, generator=generator)
            for count, height, width in sizes
        ],
        description={"images": f"(B, {trunk.in_channels}, H, W), normalised", "trunk": repr(trunk)},
    )


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
