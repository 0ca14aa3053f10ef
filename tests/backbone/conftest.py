from collections.abc import Callable

import pytest
import torch
from torch import nn


@pytest.fixture
def randomise() -> Callable[[nn.Module], nn.Module]:
    """Give every batch norm weights and statistics of its own, and the net plain eval mode.

    A fresh batch norm is the identity (and timm starts the last one of a block at zero), so two
    different nets can agree by accident.
    """

    def apply(module: nn.Module) -> nn.Module:
        generator = torch.Generator().manual_seed(1)
        for part in module.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.weight.data.uniform_(0.3, 0.9, generator=generator)
                part.bias.data.normal_(0, 0.2, generator=generator)
                part.running_mean.normal_(0, 0.2, generator=generator)
                part.running_var.uniform_(0.5, 1.5, generator=generator)
        return module.eval()

    return apply


@pytest.fixture
def undrawn(monkeypatch):
    """Let convolutions begin as 0.5: drawing takes most of the time to build a large network.

    For networks whose names and shapes matter, and whose numbers are only carried about.
    """
    for name in ("kaiming_normal_", "kaiming_uniform_"):
        monkeypatch.setattr(nn.init, name, lambda weight, **_: weight.data.fill_(0.5))
