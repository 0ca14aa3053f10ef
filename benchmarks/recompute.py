"""What --engine.recompute saves and costs: python -m benchmarks.recompute [rounds].

Forward and backward of Res2Net-50 on two pictures of 224 x 224, fp32, channels last, one thread;
MiB that the forward pass keeps for the backward pass, and seconds of processor time, by turns.
"""

import statistics
import sys
import time

import timm
import torch
from torch import Tensor, nn

from backbone import MODELS

NAME = "res2net50_26w_4s"


def kept(net: nn.Module, pictures: Tensor) -> float:
    """MiB of the tensors that are saved, each storage once, parameters left out."""
    parameters = {parameter.data_ptr() for parameter in net.parameters()}
    sizes, alive = {}, []

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            sizes[storage.data_ptr()] = storage.nbytes()
        alive.append(tensor)  # so that no storage gets the address of another
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        net(pictures)
    return sum(sizes.values()) / 2**20


def step(net: nn.Module, pictures: Tensor) -> float:
    start = time.process_time()
    result = net(pictures)
    last = result if isinstance(result, Tensor) else result.c5
    last.square().mean().backward()
    return time.process_time() - start


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    torch.set_num_threads(1)
    torch.manual_seed(0)
    nets: dict[str, nn.Module] = {
        f"stages {stages} again": MODELS[NAME](recomputed=stages)
        for stages in ((), (1,), (1, 2), (1, 2, 3, 4))
    }
    nets["timm's"] = timm.create_model(NAME, num_classes=0, global_pool="")
    nets["resnet50"] = MODELS["resnet50"]()
    pictures = torch.randn(2, 3, 224, 224).contiguous(memory_format=torch.channels_last)
    for net in nets.values():
        net.train().to(memory_format=torch.channels_last)
    memory = {name: kept(net, pictures) for name, net in nets.items()}
    times: dict[str, list[float]] = {name: [] for name in nets}
    for _ in range(rounds):
        for name, net in nets.items():
            times[name].append(step(net, pictures))
    base = statistics.median(times["stages () again"])
    for name, values in times.items():
        median = statistics.median(values)
        print(f"{name:26} {memory[name]:6.0f} MiB  {median:6.3f} s  ratio {median / base:.2f}")


if __name__ == "__main__":
    main()
