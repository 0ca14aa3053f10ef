"""A trained model, ready to be called: the one place that loads, deploys and sets precision."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar, cast

import torch
from torch import Tensor, nn

from backbone import Deployed, Pyramid, Trunk, deploy
from common.commands import runtime, trained
from common.commands.predictor import fingerprint
from common.commands.runtime import Backend
from common.commands.settings import TrainedFlags
from common.commands.trained import Explain, Trained
from common.errors import UserError
from common.training.distributed import note

M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True)
class Opened(Generic[M]):
    """A trained model on its device, as it was trained and as it is called."""

    model: M
    """As it was trained, in eval mode: for its attributes and for gradients."""
    network: nn.Module
    """What inference calls: the model itself, or its deployed form, which gives the same."""
    weights: Trained
    device: torch.device
    precision: Literal["fp32", "bf16"]
    backend: Backend = "torch"
    """What runs the trunk."""

    @property
    def layers(self) -> M:
        """The network with the model's own methods and attributes, to call a part of it."""
        inner = self.network.module if isinstance(self.network, Deployed) else self.network
        return cast(M, inner)

    def trunk(self, x: Tensor) -> Pyramid[Tensor]:
        """One pass of the trunk over what it is given, (B, C, h, w)."""
        with self.running():
            pyramid: Pyramid[Tensor] = self.layers.get_submodule("backbone")(x)
            return pyramid

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Stand around calls of the network: no gradients, and the precision that was asked for."""
        low = self.precision == "bf16"
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=low):
            yield


def opened(
    flags: TrainedFlags, model: M, weights: Trained, explain: Explain, device: torch.device
) -> Opened[M]:
    """Load a fresh model's weights, put it on its device, and deploy it as the flags say.

    Args:
        flags: precision, compile and deploy.
        model: of the weights' config, on the CPU.
        weights: as `trained.find` gives them.
        explain: the task's, for weights that do not fit.
        device: where the model will run.

    Raises:
        UserError: the weights are of another model.
    """
    trained.load(model, weights, explain)
    trained.ready(model, device)
    network: nn.Module = model
    backend = _backend(flags, device)
    if flags.deploy:
        network = deploy(model, precision=flags.precision, compile=flags.compile)
    if backend == "onnxruntime":
        trunk = cast(Trunk, model.get_submodule("backbone"))
        file = runtime.file_of(trunk, fingerprint(trunk), weights)
        network.add_module("backbone", runtime.RuntimeTrunk(file, trunk))
    return Opened(model, network, weights, device, flags.precision, backend)


def _backend(flags: TrainedFlags, device: torch.device) -> Backend:
    """What runs the trunk.

    Raises:
        UserError: onnxruntime is asked for where it cannot be, or is not what the flags need.
    """
    plain = flags.precision == "fp32" and not flags.compile and flags.deploy
    if flags.backend == "auto":
        found = runtime.fastest(device) if plain else "torch"
        note(f"--backend auto: {found}")
        return found
    if flags.backend == "onnxruntime" and not (plain and device.type == "cpu"):
        raise UserError(
            "--backend onnxruntime: runs a deployed trunk in fp32 on the CPU; leave out "
            "--precision bf16, --compile and --deploy false, and say --engine.device cpu"
        )
    return flags.backend
