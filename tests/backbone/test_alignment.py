"""A convolution over channels of zeros more is the same convolution."""

import torch
from torch import nn
from torch.nn import functional as F

from backbone.alignment import padded


def test_a_padded_layer_gives_the_same_values_and_gradients():
    layer = nn.Conv2d(6, 6, 3, stride=2, padding=2, dilation=2, bias=False).double()
    x = torch.randn(2, 6, 9, 8, dtype=torch.double, requires_grad=True)
    found = padded(layer, x, 2)
    expected = F.conv2d(x, layer.weight, None, 2, 2, 2)
    torch.testing.assert_close(found, expected)
    gradient = torch.randn_like(expected)
    wanted = torch.autograd.grad(expected, (x, layer.weight), gradient)
    for one, other in zip(
        torch.autograd.grad(found, (x, layer.weight), gradient), wanted, strict=True
    ):
        torch.testing.assert_close(one, other)
