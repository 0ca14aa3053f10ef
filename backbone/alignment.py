"""Compiled training on tensor cores, which want channels in multiples of eight.

Of the blocks themselves, hence not in `backbone/fast`, which is for inference and knows the blocks.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def convolve(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """What the layer makes of (B, C, H, W), over channels of zeros more where that is faster.

    In 16 bits on CUDA, cuDNN pads the 26 channels of a chunk by itself, in kernels of their own,
    once in the forward and several times in the backward pass. Padded here, the compiler makes it
    part of the sum before and of the normalisation after; without a compiler nothing is gained.
    """
    extra = -layer.in_channels % 8
    if not (extra and torch.compiler.is_compiling() and layer.groups == 1 and in_16_bits(x)):
        return layer(x)  # type: ignore[no-any-return]
    return padded(layer, x, extra)


def padded(layer: nn.Conv2d, x: Tensor, extra: int) -> Tensor:
    """The layer, which has no bias and as many inputs as outputs, over `extra` channels more."""
    weight = F.pad(layer.weight, (0, 0, 0, 0, 0, extra, 0, extra))
    x = F.pad(x, (0, 0, 0, 0, 0, extra))
    geometry = layer.stride, layer.padding, layer.dilation
    return F.conv2d(x, weight, None, *geometry)[:, : layer.out_channels]  # type: ignore[arg-type]


def in_16_bits(x: Tensor) -> bool:
    """Whether convolutions of this tensor use 16 bits on CUDA."""
    if not x.is_cuda:
        return False
    return torch.is_autocast_enabled("cuda") or x.dtype in (torch.bfloat16, torch.float16)
