"""How fast a Res2Net is, beside timm's and beside ResNet-50, in one process and by turns.

    python -m benchmarks.backbone [--job infer|train] [--precision fp32|bf16] [--batch 8] [--json]

Every row is a mode. "plain" is the network as it comes: torchvision's ResNet-50 and timm's network,
if timm is installed. "deployed" is `backbone.deploy`, and "compiled" that with compile=True, both
also for ResNet-50, which is given the same means but for the kernels of Res2Net's own block; timm's
network is compiled with frozen weights and channels last. "onnxruntime" runs the deployed network
as an ONNX file, if it is installed. In training, "channels last" and "compiled" are what their
names say, for all three, and "graphs" is compiled with forward and backward pass as CUDA graphs.
Random weights and pictures; milliseconds are medians over the rounds. On CUDA, two more lines say
what memory a call needs at its peak and how long its kernels take by themselves.
"""

import argparse
import json
import math
import os
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from backbone.fast.deployed import require_compiler
from backbone.variants import MODELS
from benchmarks.timing import INFER, TRAIN, Measured, Setting, measure

STRIDE = 32  # of a trunk's last features


def hardware(device: torch.device) -> str:
    """What it runs on, for the table."""
    processor = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").is_file():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        processor = models[0] if models else processor
    vectors = torch.backends.cpu.get_cpu_capability()
    where = f"{processor} ({vectors}), {torch.get_num_threads()} threads of {os.cpu_count()}"
    where += " processors"
    if device.type == "cuda":
        where = f"{torch.cuda.get_device_name(device)}, beside {where}"
    return f"{where}; torch {torch.__version__}"


def lines(found: dict[str, dict[str, Measured]], variant: str) -> list[str]:
    """The table, and what it comes to."""
    found = {mode: row for mode, row in found.items() if row}  # a mode may be missing here
    columns = list(dict.fromkeys(column for row in found.values() for column in row))
    text = [" ".join([f"{'ms':14}", *(f"{column:>18}" for column in columns), "  / resnet50"])]
    for mode, row in found.items():
        cells = [
            f"{row[column].milliseconds:18.1f}" if column in row else f"{'-':>18}"
            for column in columns
        ]
        own, other = row.get(variant), row.get("resnet50")
        ratio = f"{own.milliseconds / other.milliseconds:12.3f}" if own and other else ""
        text.append(" ".join([f"{mode:14}", *cells, ratio]))
        measured = [row.get(column) for column in columns]  # a mode may be missing
        text += beneath("  kernels", [one.kernels if one else None for one in measured], 1)
        text += beneath("  peak MiB", [one.memory if one else None for one in measured], 0)
    best = {
        column: min(row[column].milliseconds for row in found.values() if column in row)
        for column in columns
    }
    text.append(
        f"best mode: {variant} takes {best[variant] / best['resnet50']:.3f} of resnet50's time"
    )
    plain = found.get("plain", {}).get("timm")
    if plain is not None:
        for mode, row in found.items():
            times = plain.milliseconds / row[variant].milliseconds
            text.append(f"{mode}: {times:.2f} times as fast as timm's as it comes")
    return text


def beneath(title: str, numbers: Sequence[float | None], digits: int) -> list[str]:
    """One more line of a mode, if there is a number for it.

    A recorded graph has its memory beforehand: zero, which is no figure.
    """
    if not any(numbers):
        return []
    cells = [f"{one:18.{digits}f}" if one else f"{'-':>18}" for one in numbers]
    return [" ".join([f"{title:14}", *cells])]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.backbone", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("--variant", choices=list(MODELS), default="res2net50_26w_4s", metavar="NAME")
    add("--job", choices=["infer", "train"], default="infer")
    add("--precision", choices=["fp32", "bf16"], default="fp32")
    add("--batch", type=int, default=8, help="pictures at once")
    add("--size", type=int, default=224, help="pixels a side")
    add("--device", choices=["cpu", "cuda"], default="cpu")
    add("--modes", nargs="+", choices=sorted({*INFER, *TRAIN}), help="rows; all by default")
    add("--rounds", type=int, default=15, help="how often each is timed")
    add("--threads", type=int, help="of the processor")
    add(
        "--clock",
        choices=["wall", "processor"],
        default="wall",
        help="processor: the time that "
        "this process itself computed, which other programs disturb less",
    )
    add("--json", action="store_true", help="print an object instead")
    given = parser.parse_args(arguments)
    if given.threads is not None and given.threads < 1:
        print(f"error: --threads {given.threads}: must be at least 1", file=sys.stderr)
        return 2
    if given.threads is not None:
        torch.set_num_threads(given.threads)
    setting = Setting(
        variant=given.variant,
        job=given.job,
        precision=given.precision,
        batch=given.batch,
        size=given.size,
        device=torch.device(given.device),
        rounds=given.rounds,
        clock=time.perf_counter if given.clock == "wall" else time.process_time,
    )
    try:
        modes = chosen(setting, given.modes)
    except (ValueError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    found = measure(setting, modes)
    if not any(found.values()):
        print(f"error: --modes {' '.join(modes)}: nothing to measure, see above", file=sys.stderr)
        return 2
    show(setting, given.clock, found, given.json)
    return 0


def chosen(setting: Setting, modes: Sequence[str] | None) -> Sequence[str]:
    """The rows to measure.

    Raises:
        ValueError: a setting is impossible here.
        RuntimeError: compiling needs a compiler that is not there.
    """
    wrong = [mode for mode in modes or () if mode not in setting.modes]
    if wrong:
        raise ValueError(
            f"--modes {wrong[0]}: --job {setting.job} in {setting.precision} on "
            f"{setting.device.type} has {', '.join(setting.modes)}"
        )
    if min(setting.batch, setting.size, setting.rounds) < 1:
        raise ValueError("--batch, --size and --rounds: must be at least 1")
    if setting.job == "train" and setting.batch * math.ceil(setting.size / STRIDE) ** 2 < 2:
        raise ValueError(
            f"--job train: BatchNorm needs two values a channel, and --batch {setting.batch} at "
            f"--size {setting.size} leaves one; raise either"
        )
    if setting.device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: PyTorch sees no GPU here; say --device cpu")
    found = modes or setting.modes
    if "compiled" in found:
        require_compiler(setting.device)
    return found


def show(
    setting: Setting, clock: str, found: dict[str, dict[str, Measured]], as_json: bool
) -> None:
    """Print the result."""
    where = hardware(setting.device)
    if as_json:
        content = {
            "hardware": where,
            "clock": clock,
            "job": setting.job,
            "precision": setting.precision,
            "batch": setting.batch,
            "size": setting.size,
            "rounds": setting.rounds,
            "modes": {
                mode: {column: vars(one) for column, one in row.items()}
                for mode, row in found.items()
            },
        }
        print(json.dumps(content, indent=2))
        return
    size = f"{setting.size} x {setting.size}"
    print(f"{setting.job}, {setting.precision}, batch {setting.batch}, {size}")
    print(f"{where}; {clock} clock, medians of {setting.rounds}")
    print("\n".join(lines(found, setting.variant)))


if __name__ == "__main__":
    sys.exit(main())
