"""Networks in their modes, timed by turns in one process: the inside of `benchmarks.backbone`."""

import importlib
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from backbone import MODELS, Deployed, Pyramid, deploy

INFER = ("plain", "deployed", "compiled", "onnxruntime")
TRAIN = ("plain", "channels last", "compiled", "graphs")
TIMM = {"res2net50_v1b": "res2net50d", "res2net101_v1b": "res2net101d"}
WARM_UP, PROFILED = 3, 3  # a graph is recorded in the second call and replayed from then on

Call = Callable[[], object]


@dataclass(frozen=True)
class Setting:
    """What is measured."""

    variant: str
    job: str
    precision: str
    batch: int
    size: int
    device: torch.device
    rounds: int
    clock: Callable[[], float]

    @property
    def modes(self) -> tuple[str, ...]:
        """The rows that the job can have on this device and in this precision."""
        cuda = self.device.type == "cuda"
        possible = {"graphs": cuda, "onnxruntime": not cuda and self.precision == "fp32"}
        modes = INFER if self.job == "infer" else TRAIN
        return tuple(mode for mode in modes if possible.get(mode, True))


@dataclass(frozen=True)
class Measured:
    """One network in one mode.

    Args:
        milliseconds: of a call, the median by the clock.
        memory: on CUDA, MiB that a call needs at its peak beside what was there before it: weights,
            the optimizer's state, the other networks.
        kernels: on CUDA, milliseconds that the kernels of one call take by themselves. What the
            clock shows beyond them, the GPU waits.
    """

    milliseconds: float
    memory: float | None = None
    kernels: float | None = None


def installed(name: str) -> Any:
    """A module that is not needed, or None and a line that says so."""
    try:
        return importlib.import_module(name)
    except ImportError:
        print(f"note: {name} is not installed, so its figures are missing", file=sys.stderr)
        return None


def networks(setting: Setting) -> dict[str, Callable[[str], nn.Module]]:
    """By column: what builds the network for a mode."""
    variant = setting.variant
    columns: dict[str, Callable[[str], nn.Module]] = {variant: lambda _: MODELS[variant]()}
    timm = installed("timm")
    name = TIMM.get(variant, variant)
    if timm is not None and name in timm.list_models():
        columns["timm"] = lambda _: timm.create_model(name)
    elif timm is not None:
        print(f"note: timm has no {name}, so its figures are missing", file=sys.stderr)
    torchvision = installed("torchvision.models")
    columns["resnet50"] = lambda mode: (
        torchvision.resnet50() if torchvision and mode == "plain" else MODELS["resnet50"]()
    )
    return columns


def measure(setting: Setting, modes: Sequence[str]) -> dict[str, dict[str, Measured]]:
    """Time every network in every mode, by turns: mode, then column."""
    with TemporaryDirectory() as folder:
        calls: dict[tuple[str, str], Call] = {}
        for column, build in networks(setting).items():
            for mode in modes:
                call = prepare(setting, column, mode, build, Path(folder))
                if call is not None:
                    calls[mode, column] = call
        for call in calls.values():
            for _ in range(WARM_UP):
                call()
        times: dict[tuple[str, str], list[float]] = {key: [] for key in calls}
        peaks: dict[tuple[str, str], float | None] = {}
        for _ in range(setting.rounds):
            for key, call in calls.items():
                seconds, peaks[key] = timed(call, setting)
                times[key].append(1000 * seconds)
        kernels = {key: alone(call, setting) for key, call in calls.items()}
    found: dict[str, dict[str, Measured]] = {mode: {} for mode in modes}
    for (mode, column), values in times.items():
        key = mode, column
        found[mode][column] = Measured(statistics.median(values), peaks[key], kernels[key])
    return found


def alone(call: Call, setting: Setting) -> float | None:
    """Milliseconds of the kernels of one call on CUDA, by PyTorch's profiler."""
    if setting.device.type != "cuda":
        return None
    with profile(activities=[ProfilerActivity.CUDA]) as profiled:
        for _ in range(PROFILED):
            call()
        torch.cuda.synchronize()
    spent = sum(event.self_device_time_total for event in profiled.key_averages())
    return float(spent) / 1000 / PROFILED


def timed(call: Call, setting: Setting) -> tuple[float, float | None]:
    """Seconds of one call, and MiB of its peak on CUDA."""
    cuda = setting.device.type == "cuda"
    before = 0
    if cuda:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    start = setting.clock()
    call()
    if cuda:
        torch.cuda.synchronize()
    seconds = setting.clock() - start
    if not cuda:
        return seconds, None
    return seconds, (torch.cuda.max_memory_allocated() - before) / 2**20


def prepare(
    setting: Setting, column: str, mode: str, build: Callable[[str], nn.Module], folder: Path
) -> Call | None:
    """What is called to run one network in one mode; None where it has no such mode."""
    torch.manual_seed(0)
    shape = (setting.batch, 3, setting.size, setting.size)
    pictures = torch.randn(shape, device=setting.device)
    if mode != "plain":
        pictures = pictures.contiguous(memory_format=torch.channels_last)
    net = build(mode).to(setting.device)
    if setting.job == "train":
        return training(setting, net, mode, pictures)
    if mode == "plain":
        return partial(infer, autocast(net.eval(), setting), pictures)
    if column == "timm":
        if mode != "compiled":
            return None
        net = net.eval().to(memory_format=torch.channels_last)
        kind = setting.device.type
        compiled = Deployed(net, "forward", setting.precision, True, kind)
        return partial(infer, compiled, pictures)
    if mode == "onnxruntime":
        return onnxruntime_call(net, pictures, folder / f"{column}.onnx")
    fast = deploy(net, precision=setting.precision, compile=mode == "compiled")
    return partial(infer, fast, pictures)


def infer(net: Callable[[Tensor], object], pictures: Tensor) -> None:
    """One forward pass."""
    with torch.inference_mode():
        net(pictures)


def autocast(net: nn.Module, setting: Setting) -> Callable[[Tensor], object]:
    """The network as it comes, under autocast in bf16."""

    def call(pictures: Tensor) -> object:
        with torch.autocast(
            setting.device.type, torch.bfloat16, enabled=setting.precision == "bf16"
        ):
            return net(pictures)

    return call


def training(setting: Setting, net: nn.Module, mode: str, pictures: Tensor) -> Call:
    """One step of SGD: forward, backward, update."""
    if mode != "plain":
        net = net.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-4, momentum=0.9)
    net.train()

    def last(pictures: Tensor) -> Tensor:
        # Compiled, outputs that the loss leaves out would get gradients of zeros all the same.
        result: Pyramid[Tensor] | Tensor = net(pictures)
        return result.c5 if isinstance(result, Pyramid) else result

    forward = last
    if mode in ("compiled", "graphs"):
        forward = torch.compile(last, mode="reduce-overhead" if mode == "graphs" else None)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(
            setting.device.type, torch.bfloat16, enabled=setting.precision == "bf16"
        ):
            features: Tensor = forward(pictures)
        features.float().square().mean().backward()
        optimizer.step()

    return step


def onnxruntime_call(net: nn.Module, pictures: Tensor, file: Path) -> Call | None:
    """The deployed network as an ONNX file under onnxruntime; None where that is not installed."""
    if not installed("onnx"):
        return None
    runtime = installed("onnxruntime")
    if runtime is None or not installed("onnxscript"):
        return None
    example = (pictures.contiguous(),)
    torch.onnx.export(deploy(net, portable=True), example, file, dynamo=True, verbose=False)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # Its idle threads would spin a while and slow down whoever comes next.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = runtime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: pictures.contiguous().numpy()}
    return partial(session.run, None, feed)
