"""A trained model as an ONNX file that was checked against PyTorch, and a card beside it.

`python -m tasks.<task>.export --run RUN OUT.onnx` writes OUT.onnx and OUT.json.
"""

import importlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from common import outputs
from common.commands import card
from common.commands.settings import TrainedFlags
from common.commands.trained import Trained
from common.errors import UserError

TOLERANCE = 1e-3
"""Largest difference, relative to the largest value, that passes as rounding."""

PICTURES = {0: "batch", 2: "height", 3: "width"}
"""Axes of pictures (B, 3, H, W) that may have any size."""

OPSET, IR_VERSION = 18, 9
LEAST_RUNTIME = "1.17"
"""The oldest onnxruntime that is known to open files of these versions."""

Outputs = tuple[Tensor, ...]

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
            UserError: none or several are named, or it is not an .onnx; or bf16 or a model that is
                not deployed, or another backend was asked for.
        """
        if len(self.file) != 1 or self.file[0].suffix != ".onnx":
            given = " ".join(map(str, self.file)) or "nothing"
            raise UserError(f"name one file to write, OUT.onnx; found {given}")
        if self.precision != "fp32":
            raise UserError(f"--precision {self.precision}: ONNX files are written in fp32")
        if self.backend != "torch":
            raise UserError(f"--backend {self.backend}: belongs to evaluate and predict")
        if not self.deploy:
            raise UserError("--deploy false: what is exported is always deployed; leave it out")
        return self.file[0]


@dataclass(frozen=True, kw_only=True)
class Graph:
    """What is exported: one tensor in, one or several out.

    Args:
        module: in eval mode, of public PyTorch operators only.
        entry: name of the input.
        results: names of the outputs.
        dynamic: names of those axes of the input that may have any size, by their number.
        examples: inputs of several sizes; the first is traced, all are checked.
        description: for people and programs: task, classes, what is to be done with pictures before
            and with outputs afterwards. It is written into the file.
        translations: how operators of the project's own become operators of ONNX.
        align: takes outputs of onnxruntime and of PyTorch, gives the former in the latter's order,
            where the order is a matter of rounding.
        varied: buffers of the module by name, with other values than its own: with these in the
            place of the file's, it is checked once more.
    """

    module: nn.Module
    entry: str
    results: tuple[str, ...]
    dynamic: Mapping[int, str]
    examples: Sequence[Tensor]
    description: dict[str, Any]
    translations: Mapping[Callable[..., Any], Callable[..., Any]] = field(default_factory=dict)
    align: Callable[[Outputs, Outputs], Outputs] = lambda found, _: found
    varied: Mapping[str, Tensor] = field(default_factory=dict)


def require_packages() -> None:
    """Raise UserError unless the extra `export` is installed."""
    for name in _PACKAGES:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise UserError(
                f"export needs {name}, which is not installed: pip install '.[export]'"
            ) from error


def write(graph: Graph, target: Path, weights: Trained) -> dict[str, Any]:
    """Write the file and its card; returns the card.

    Raises:
        UserError: a package is missing, the file cannot be written or computes something else, or
            its card would take the place of another file.
    """
    require_packages()
    beside = target.with_suffix(".json")
    _require_card(beside)
    outputs.make_folder(target.parent)
    description = {
        **graph.description,
        "input": graph.entry,
        "outputs": list(graph.results),
        "checkpoint": card.describe_checkpoint(weights.file, weights.epoch),
        **_published(weights),
    }
    unfinished = target.with_name(target.name + ".tmp")
    settings = [{}, graph.varied] if graph.varied else [{}]
    expected = [_expected(graph, buffers) for buffers in settings]
    replace_pools(graph.module)
    try:
        _export(graph, unfinished, description)
        differences, *varied = (
            _compare(graph, buffers, each, unfinished)
            for buffers, each in zip(settings, expected, strict=True)
        )
        unfinished.replace(target)
    except OSError as error:
        raise UserError(f"{target}: cannot be written ({error.strerror})") from error
    finally:
        unfinished.unlink(missing_ok=True)
    content = {
        **description,
        "largest_difference": max(differences.values()),
        "differences": differences,
        **_varied(graph, varied),
        "tolerance": TOLERANCE,
        "least_onnxruntime": LEAST_RUNTIME,
        "versions": card.versions(_PACKAGES),
    }
    outputs.write_text(beside, json.dumps(content, indent=2) + "\n")
    return content


def _published(weights: Trained) -> dict[str, str]:
    """What has to travel with a published model's weights; nothing of others."""
    if weights.published is None:
        return {}
    return {
        "published": weights.published.name,
        "intended": weights.published.intended,
        "weights_licence": weights.published.weights_licence,
    }


def _varied(graph: Graph, differences: Sequence[dict[str, float]]) -> dict[str, Any]:
    """What the file was checked with besides; nothing if there is no such check."""
    values = {name: value.tolist() for name, value in graph.varied.items()}
    return {"varied": {**values, "differences": differences[0]}} if differences else {}


def _require_card(path: Path) -> None:
    """Raise UserError if what the card would replace is not a card of an export."""
    if not path.exists():
        return
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        content = None
    if not isinstance(content, dict) or "largest_difference" not in content:
        raise UserError(
            f"{path}: is there already and is not a card of an export, which would take its place; "
            "choose another name for the .onnx file"
        )


def _export(graph: Graph, path: Path, description: dict[str, Any]) -> None:
    with torch.no_grad():
        program = torch.onnx.export(
            graph.module.eval(),
            (graph.examples[0],),
            input_names=[graph.entry],
            output_names=list(graph.results),
            # Names and no ranges: these cannot be proved where pools round up.
            dynamic_shapes=(dict(graph.dynamic),),
            dynamo=True,
            opset_version=OPSET,
            custom_translation_table=dict(graph.translations),
            verbose=False,
        )
    assert program is not None
    program.model.ir_version = IR_VERSION
    program.model.metadata_props["description"] = json.dumps(description)
    program.save(path)


def _expected(graph: Graph, buffers: Mapping[str, Tensor]) -> list[Outputs]:
    """What PyTorch makes of the examples, with these buffers in the place of the module's."""
    module = graph.module.eval()
    with torch.inference_mode():
        every = [functional_call(module, dict(buffers), (example,)) for example in graph.examples]
    return [(one,) if isinstance(one, Tensor) else tuple(one) for one in every]


def _compare(
    graph: Graph, buffers: Mapping[str, Tensor], expected: Sequence[Outputs], path: Path
) -> dict[str, float]:
    """Largest difference to PyTorch by the input's shape, relative to the largest output."""
    runtime: Any = importlib.import_module("onnxruntime")
    options, values = runtime.SessionOptions(), {}
    for name, value in buffers.items():
        # The session does not keep the value alive.
        values[name] = runtime.OrtValue.ortvalue_from_numpy(value.numpy())
        options.add_initializer(name, values[name])
    session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    differences: dict[str, float] = {}
    for example, whole in zip(graph.examples, expected, strict=True):
        arrays = session.run(list(graph.results), {graph.entry: example.numpy()})
        found = graph.align(tuple(map(torch.from_numpy, arrays)), whole)
        each = [_difference(one, other) for one, other in zip(found, whole, strict=True)]
        worst = torch.tensor(each).max().item()  # Python's max may lose a NaN
        differences[" x ".join(map(str, example.shape))] = worst
        if not worst <= TOLERANCE:
            raise UserError(
                f"{path.stem}: onnxruntime and PyTorch differ by {worst:.2g} of the largest output "
                f"for an input of {tuple(example.shape)}; nothing was written"
            )
    return differences


def _difference(found: Tensor, expected: Tensor) -> float:
    """The largest difference, relative to the largest value; absolute if that is zero."""
    largest = expected.abs().max().item()
    return (found - expected).abs().max().item() / (largest or 1.0)


class AdaptiveAverage(nn.Module):
    """AdaptiveAvgPool2d as two products of matrices, which ONNX has for inputs of any size."""

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        self.rows, self.columns = rows, columns

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, rows, columns)."""
        down = _means(x.shape[2], self.rows, x)
        across = _means(x.shape[3], self.columns, x)
        return down @ x @ across.T


def _means(length: int, cells: int, x: Tensor) -> Tensor:
    """The matrix (cells, length) that averages over each of so many cells."""
    cell = torch.arange(cells, device=x.device)[:, None]
    place = torch.arange(length, device=x.device)[None]
    start = torch.div(cell * length, cells, rounding_mode="floor")
    end = torch.div((cell + 1) * length + cells - 1, cells, rounding_mode="floor")
    inside = (place >= start) & (place < end)
    return inside.to(x.dtype) / (end - start)


def replace_pools(module: nn.Module) -> None:
    """Exchange the pools of a module whose kernels depend on the input's size, in place."""
    for parent in list(module.modules()):
        for name, pool in parent.named_children():
            if not isinstance(pool, nn.AdaptiveAvgPool2d):
                continue
            size: Any = pool.output_size
            rows, columns = (size, size) if isinstance(size, int) else size
            if rows is not None and columns is not None and (rows, columns) != (1, 1):
                setattr(parent, name, AdaptiveAverage(rows, columns))


def pictures(*sizes: tuple[int, int], channels: int = 3) -> list[Tensor]:
    """Random bytes (B, channels, H, W) of these heights and widths, in batches of 2, 1, 3, ..."""
    generator = torch.Generator().manual_seed(0)
    counts = (2, 1, 3)
    return [
        torch.randint(
            0, 256, (counts[i % 3], channels, *size), dtype=torch.uint8, generator=generator
        )
        for i, size in enumerate(sizes)
    ]


def save(graph: Graph, target: Path, weights: Trained) -> None:
    """Write the file and its card, and print what was checked."""
    content = write(graph, target, weights)
    shapes = ", ".join(content["differences"])
    print(f"wrote {target} and {target.with_suffix('.json').name}; checked at {shapes}")
    print(f"largest difference to PyTorch {content['largest_difference']:.1e}, relative")
