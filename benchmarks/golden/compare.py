"""Weights that depend on names alone, inputs from seeds, and how outputs are compared.

Two builds of one network can so be compared without its published file: both get, for each name in
the authors' own code, the same random numbers.
"""

import re
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

BAR = 1e-4
"""Largest relative difference of an output that counts as equal."""
SAMPLES = 64
"""Values of an output that are recorded, at equal steps of the flattened tensor."""


class Outcome(NamedTuple):
    """How near a network is to the recorded outputs."""

    passed: bool
    text: str
    """The numbers, in a few words."""


def weights_of(entry: Mapping[str, Any]) -> dict[str, Tensor]:
    """The state dict of a recorded network, under the names of its authors' code.

    Args:
        entry: `shapes` of each name; optionally `scale`, factors by regular expression of the name,
            and `override`, whole tensors.
    """
    state = {name: _drawn(name, tuple(shape)) for name, shape in entry["shapes"].items()}
    for pattern, factor in entry.get("scale", {}).items():
        for name, value in state.items():
            if re.search(pattern, name):
                state[name] = value * factor
    replaced = {
        name: torch.tensor(value, dtype=state[name].dtype)
        for name, value in entry.get("override", {}).items()
    }
    return {**state, **replaced}


def _drawn(name: str, shape: tuple[int, ...]) -> Tensor:
    """Numbers for one tensor: of a size that keeps a deep network's features in range."""
    generator = np.random.default_rng(zlib.crc32(name.encode()))
    if name.endswith("num_batches_tracked"):
        return torch.tensor(7)
    if name.endswith("running_mean"):
        values = generator.normal(0, 0.1, shape)
    elif name.endswith("running_var") or (len(shape) == 1 and name.endswith("weight")):
        values = generator.uniform(0.5, 1.5, shape)
    elif len(shape) == 1:
        values = generator.normal(0, 0.1, shape)
    else:
        values = generator.normal(0, float(np.prod(shape[1:])) ** -0.5, shape)
    return torch.from_numpy(values.astype(np.float32))


def picture(height: int, width: int, batch: int = 2, channels: int = 3, seed: int = 5) -> Tensor:
    """Normal noise (B, C, H, W), which stands for a picture that is already normalised."""
    generator = np.random.default_rng(seed)
    values = generator.normal(0, 1, (batch, channels, height, width))
    return torch.from_numpy(values.astype(np.float32))


def sampled(output: Tensor) -> Tensor:
    """The values of an output that are recorded."""
    flat = output.detach().flatten()
    return flat[:: max(1, len(flat) // SAMPLES)][:SAMPLES]


def difference(found: Sequence[Tensor], recorded: Sequence[Mapping[str, Any]]) -> float:
    """The largest relative difference of the outputs: of their recorded values and of their norm.

    It is NaN where an output or a recorded value is.

    Args:
        found: the outputs.
        recorded: of each its `shape`, `norm` and `sample`.

    Raises:
        ValueError: there is another number of outputs, or one has another shape.
    """
    shapes = [list(one.shape) for one in found]
    expected = [list(one["shape"]) for one in recorded]
    if shapes != expected:
        raise ValueError(f"outputs of shapes {shapes}; recorded: {expected}")
    apart = [torch.zeros(())]
    for output, one in zip(found, recorded, strict=True):
        sample = torch.tensor(one["sample"])
        apart.append((sampled(output) - sample).norm() / sample.norm().clamp(min=1e-12))
        apart.append((output.float().norm() - one["norm"]).abs() / max(one["norm"], 1e-12))
    # Python's max passes over NaN, which would so count as equal; torch's gives it.
    return float(torch.stack(apart).max())


def near(found: Sequence[Tensor], recorded: Sequence[Mapping[str, Any]]) -> Outcome:
    """Whether all outputs are equal but for rounding."""
    worst = difference(found, recorded)
    return Outcome(worst < BAR, f"largest relative difference {worst:.1e}")
