"""Where the time of a deployed network goes, by operator: python -m benchmarks.operators [rounds].

Res2Net-50 and ResNet-50, deployed, on eight pictures of 224 x 224, fp32, one thread, by turns;
milliseconds are the least of each operator over the rounds, so that other programs disturb little.
"""

import sys
from collections import Counter

import torch
from torch.profiler import ProfilerActivity, profile

from backbone import MODELS, deploy

SHOWN = 8
CONVOLUTION = "convolutions"


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    torch.set_num_threads(1)
    torch.manual_seed(0)
    pictures = torch.randn(8, 3, 224, 224).contiguous(memory_format=torch.channels_last)
    nets = {name: deploy(MODELS[name]().eval()) for name in ("res2net50_26w_4s", "resnet50")}
    least: dict[str, dict[str, float]] = {name: {} for name in nets}
    with torch.inference_mode():
        for net in nets.values():
            net(pictures)
        for _ in range(rounds):
            for name, net in nets.items():
                with profile(activities=[ProfilerActivity.CPU]) as profiled:
                    net(pictures)
                spent: Counter[str] = Counter()
                for event in profiled.key_averages():
                    own = any(name in event.key for name in ("convolution", "one_pass"))
                    key = CONVOLUTION if own else event.key
                    spent[key] += event.self_cpu_time_total / 1000
                for key, milliseconds in spent.items():
                    least[name][key] = min(milliseconds, least[name].get(key, milliseconds))
    for name, spent in least.items():
        print(f"{name}: {sum(spent.values()):.0f} ms")
        for key, milliseconds in sorted(spent.items(), key=lambda item: -item[1])[:SHOWN]:
            print(f"  {milliseconds:8.1f}  {key}")
    ratio = least["res2net50_26w_4s"][CONVOLUTION] / least["resnet50"][CONVOLUTION]
    print(f"ratio of the convolutions {ratio:.3f}")


if __name__ == "__main__":
    main()
