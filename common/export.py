"""A trained model as an ONNX file that was checked against PyTorch, and a card beside it.

`python -m tasks.<task>.export --run RUN OUT.onnx` writes OUT.onnx and OUT.json.
"""

import importlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim

from common import card, outputs
from common.errors import UserError
from common.trained import Trained, TrainedFlags

TOLERANCE = 1e-3
"""Largest difference, relative to the largest value, that passes as rounding."""

_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


@dataclass(frozen=True, kw_only=True)
class ExportFlags(TrainedFlags):
    """Which trained model becomes which file."""

    file: tuple[Path, ...] = ()
    """OUT.onnx: the word that belongs to no flag."""

    @property
    def target(self) -> Path:
        """The one file that is written.

        Raises:
            UserError: none or several are named, or it is no .onnx; or bf16 was asked for.
        """
        if len(self.file) != 1 or self.file[0].suffix != ".onnx":
            given = " ".join(map(str, self.file)) or "nothing"
            raise UserError(f"name one file to write, OUT.onnx; found {given}")
        if self.precision != "fp32":
            raise UserError(f"--precision {self.precision}: ONNX files are written in fp32")
        return self.file[0]


@dataclass(frozen=True, kw_only=True)
class Graph:
    """What is exported: one tensor in, one or several out.

    Args:
        module: in eval mode, of public PyTorch operators only.
        entry: name of the input.
        results: names of the outputs.
        dynamic: axes of the input that may have any size.
        examples: inputs of several sizes; the first is traced, all are checked.
        description: for people and programs: task, classes, what is to be done with pictures before
            and with outputs afterwards. It is written into the file.
    """

    module: nn.Module
    entry: str
    results: tuple[str, ...]
    dynamic: tuple[int, ...]
    examples: Sequence[Tensor]
    description: dict[str, Any]


def require_packages() -> None:
    """Raise UserError unless the extra `export` is installed."""
    for name in _PACKAGES:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise UserError(
                f"export needs {name}, which is not installed: pip install 'res2net-tasks[export]'"
            ) from error


def write(graph: Graph, target: Path, weights: Trained) -> dict[str, Any]:
    """Write the file and its card; returns the card.

    Raises:
        UserError: a package is missing, the file cannot be written, or it computes something else.
    """
    require_packages()
    outputs.make_folder(target.parent)
    description = {
        **graph.description,
        "input": graph.entry,
        "outputs": list(graph.results),
        "checkpoint": card.describe_checkpoint(weights.file, weights.epoch),
    }
    unfinished = target.with_name(target.name + ".tmp")
    try:
        _export(graph, unfinished, description)
        differences = _compare(graph, unfinished)
        unfinished.replace(target)
    except OSError as error:
        raise UserError(f"{target}: cannot be written ({error.strerror})") from error
    finally:
        unfinished.unlink(missing_ok=True)
    content = {
        **description,
        "largest_difference": max(differences.values()),
        "differences": differences,
        "tolerance": TOLERANCE,
        "versions": card.versions(_PACKAGES),
    }
    outputs.write_text(target.with_suffix(".json"), json.dumps(content, indent=2) + "\n")
    return content


def _export(graph: Graph, path: Path, description: dict[str, Any]) -> None:
    # Axes of any size without a range: ranges cannot be proved where pools round up.
    sizes = dict.fromkeys(graph.dynamic, Dim.DYNAMIC)
    with torch.no_grad():
        program = torch.onnx.export(
            graph.module.eval(),
            (graph.examples[0],),
            input_names=[graph.entry],
            output_names=list(graph.results),
            dynamic_shapes=(sizes,),
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    program.model.metadata_props["description"] = json.dumps(description)
    program.save(path)


def _compare(graph: Graph, path: Path) -> dict[str, float]:
    """Largest difference to PyTorch by the input's shape, relative to the largest output."""
    runtime: Any = importlib.import_module("onnxruntime")
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    differences: dict[str, float] = {}
    for example in graph.examples:
        found = session.run(list(graph.results), {graph.entry: example.numpy()})
        with torch.inference_mode():
            expected = graph.module(example)
        whole = (expected,) if isinstance(expected, Tensor) else expected
        worst = max(
            ((torch.from_numpy(one) - other).abs().max() / other.abs().max()).item()
            for one, other in zip(found, whole, strict=True)
        )
        differences[" x ".join(map(str, example.shape))] = worst
        if not worst <= TOLERANCE:
            raise UserError(
                f"{path.stem}: onnxruntime and PyTorch differ by {worst:.2g} of the largest output "
                f"for an input of {tuple(example.shape)}; nothing was written"
            )
    return differences


def pictures(*sizes: tuple[int, int]) -> list[Tensor]:
    """Random bytes (B, 3, H, W) of the given heights and widths, in batches of 2, 1, 3, ..."""
    generator = torch.Generator().manual_seed(0)
    counts = (2, 1, 3)
    return [
        torch.randint(0, 256, (counts[i % 3], 3, *size), dtype=torch.uint8, generator=generator)
        for i, size in enumerate(sizes)
    ]


def save(graph: Graph, target: Path, weights: Trained) -> None:
    """Write the file and its card, and tell."""
    content = write(graph, target, weights)
    shapes = ", ".join(content["differences"])
    print(f"wrote {target} and {target.with_suffix('.json').name}; checked at {shapes}")
    print(f"largest difference to PyTorch {content['largest_difference']:.1e}, relative")
