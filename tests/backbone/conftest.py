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
