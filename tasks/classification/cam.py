"""Class activation maps: where in a picture a classifier sees a class.

CAM (Zhou et al., "Learning Deep Features for Discriminative Localization", CVPR 2016) weighs the
channels of the last stage by the class's row of the linear layer, as they are averaged before it:

    map[c](y, x) = sum over k of fc.weight[c, k] * features[k](y, x)

Grad-CAM (Selvaraju et al., ICCV 2017) weighs the channels of any stage by the mean of the score's
gradient. At the last stage that is fc.weight[c, k] / (h * w), so that the two agree there up to a
positive factor. The Res2Net paper's figure (section 4.5) is Grad-CAM of the last stage.
"""

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from tasks.classification.model import Classifier

Method = Literal["cam", "grad_cam"]
Stage = Literal["c2", "c3", "c4", "c5"]


def cam(model: Classifier, images: Tensor, classes: Tensor) -> Tensor:
    """Maps (B, h, w) of one class per picture, in the scale of the scores.

    Their mean over a picture is its score without the bias.

    Args:
        model: in eval mode.
        images: (B, 3, H, W) as the model takes them.
        classes: (B,) numbers.
    """
    with torch.no_grad():
        return cam_of(model, model.backbone(model.prepare(images)).c5, classes)


def cam_of(model: Classifier, features: Tensor, classes: Tensor) -> Tensor:
    """`cam` of what the last stage (B, K, h, w) made of the pictures before."""
    with torch.no_grad():
        return torch.einsum("bkhw,bk->bhw", features.float(), model.fc.weight[classes])


def grad_cam(model: Classifier, images: Tensor, classes: Tensor, stage: Stage = "c5") -> Tensor:
    """Maps (B, h, w) of one class per picture from the features of a stage, before the ReLU.

    The gradient is asked for at the pyramid's tensors themselves, so there are no hooks that the
    blocks' in-place operations could mislead.

    Args:
        model: in eval mode; the gradients of its parameters stay untouched.
        images: (B, 3, H, W) as the model takes them.
        classes: (B,) numbers.
        stage: of the backbone.
    """
    with torch.enable_grad():
        pyramid = model.backbone(model.prepare(images))
        features: Tensor = getattr(pyramid, stage)
        scores = model.answer(pyramid).gather(1, classes[:, None])
        # A score depends on its own picture alone, so the gradient of the sum is each one's own.
        (gradient,) = torch.autograd.grad(scores.sum(), features)
    weights = gradient.mean(dim=(2, 3))
    return torch.einsum("bkhw,bk->bhw", features.detach().float(), weights.float())


def heat(maps: Tensor, size: tuple[int, int], stride: int) -> NDArray[np.float32]:
    """Maps (B, h, w) as heat (B, height, width) from 0 to 1: without negative parts, enlarged.

    Each picture's largest value becomes 1; a map without a positive part is 0 everywhere. Between
    the cells it is bilinear. A cell stands where it looks: with the odd kernels and even paddings
    of these backbones cell k is centred on pixel k * stride, and not in the middle of the k-th
    square, where scaling the map would put it. That is half a stride further down and to the right.

    Args:
        maps: as `cam` and `grad_cam` give them.
        size: height and width of the picture in pixels.
        stride: pixels from one cell to the next.
    """
    rows, columns = (
        torch.arange(side, device=maps.device) / stride / max(1, cells - 1) * 2 - 1
        for side, cells in zip(size, maps.shape[1:], strict=True)
    )
    places = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)
    positive = F.grid_sample(
        maps[:, None].clamp(min=0), places.expand(len(maps), -1, -1, -1), mode="bilinear",
        padding_mode="border", align_corners=True,
    )[:, 0]  # fmt: skip
    largest = positive.amax(dim=(1, 2), keepdim=True)
    return np.asarray((positive / largest.clamp(min=1e-12)).cpu().numpy(), dtype=np.float32)
