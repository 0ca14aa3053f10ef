"""A backbone with the head of one of the networks on it, from pictures to the logits of maps."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backbone.trunk import Pyramid, Trunk
from backbone.variants import MODELS
from common.commands.config import choose
from common.errors import UserError
from common.layers import Normalize, freeze_batchnorm, pad_to_multiple
from tasks.salient.networks.inspyrenet import InSPyReNetHead
from tasks.salient.networks.parts import Head, Maps, resize
from tasks.salient.networks.poolnet import DEVIATION, EDGE_CHANNELS, PoolNetHead, scaled
from tasks.salient.networks.reverse_attention import GroupReversalHead, ReverseAttentionHead
from tasks.salient.networks.senet import SENetHead

Normalisation = Literal["imagenet", "caffe"]
NetworkName = Literal["poolnet", "pranet", "infnet", "sinetv2", "senet", "inspyrenet"]

NORMALISATION: dict[Normalisation, tuple[Sequence[float], Sequence[float]]] = {
    # ImageNet weights in RGB; Caffe's mean in BGR, whose values stay 0..255.
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "caffe": ((104.00699 / 255, 116.66877 / 255, 122.67892 / 255), (1 / 255, 1 / 255, 1 / 255)),
}

STRIDES, DILATIONS = (1, 2, 2, 1), (1, 1, 1, 2)
"""Of PoolNet's backbone; the others' are those of classification."""
HEADS: Mapping[NetworkName, Callable[[Pyramid[int], float], Head]] = {
    "pranet": ReverseAttentionHead,
    "infnet": partial(ReverseAttentionHead, contours=True),
    "sinetv2": GroupReversalHead,
    "senet": SENetHead,
    "inspyrenet": InSPyReNetHead,
}
"""What is built of the backbone's channels and a factor on the published ones, but PoolNet."""
LEAST_SIDE = 64
"""Pixels a side that leave two by two features at the last stage."""


class Logits(NamedTuple):
    """What the network says of pictures; a sigmoid makes maps of it."""

    saliency: Tensor
    """(B, 1, H, W)"""
    edges: Tensor | None
    """(E, 5, h, w) of the edge pictures: the fused map, then those of the four steps."""
    sides: tuple[Tensor, ...] = ()
    """Coarser maps (B, 1, H, W), coarsest first, that training looks at as well."""
    contour: Tensor | None = None
    """(B, 1, H, W) of the objects' outlines."""


class SaliencyNetwork(nn.Module):
    """Pictures in, the logits of their saliency maps out.

    Args:
        backbone: gives features at strides 2, 4, 8 and what the head needs.
        head: takes them.
        normalize: takes the pictures.
        least_side: pixels a side below which there are too few features.
        multiple: what the sides of the trunk's input are padded to.
    """

    def __init__(
        self,
        backbone: Trunk,
        head: Head,
        normalize: nn.Module,
        least_side: int,
        multiple: int = 1,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.normalize = normalize
        self.least_side = least_side
        self.multiple = multiple

    def forward(self, images: Tensor, edge_images: Tensor | None = None) -> Logits:
        """Logits of pictures (B, 3, H, W) and edge pictures (E, 3, h, w) of 0..255, of any size.

        Both in one call, because gradients of several GPUs are averaged once a call. The colour
        order is the recipe's.
        """
        x = self.prepare(images)
        found = self.maps(x, self.backbone(x), images.shape[2], images.shape[3])
        if edge_images is None:
            return Logits(found.result, None, found.sides, found.contour)
        x = self.prepare(edge_images)
        edges = self.head.edges(self.backbone(x), x.shape[2:])
        edges = edges[..., : edge_images.shape[2], : edge_images.shape[3]]
        return Logits(found.result, edges, found.sides, found.contour)

    def prepare(self, images: Tensor) -> Tensor:
        """What the trunk is given: normalised pictures (B, 3, h, w).

        Small ones are continued to the right and below by their border; to multiples they are
        padded there with the mean colour.
        """
        normalized: Tensor = self.normalize(images)
        if self.multiple > 1:
            return pad_to_multiple(normalized, self.multiple, least=self.least_side)
        height, width = images.shape[2:]
        right, below = max(0, self.least_side - width), max(0, self.least_side - height)
        if right or below:
            normalized = F.pad(normalized, (0, right, 0, below), mode="replicate")
        return normalized

    def answer(self, x: Tensor, pyramid: Pyramid[Tensor], height: int, width: int) -> Tensor:
        """Logits (B, 1, height, width) of what the trunk was given and its features."""
        return self.maps(x, pyramid, height, width).result

    def maps(self, x: Tensor, pyramid: Pyramid[Tensor], height: int, width: int) -> Maps:
        """All that the head makes of the features, each map (B, 1, height, width)."""
        found, align = self.head(pyramid), self.head.align_corners
        every = [found.result, *found.sides, *([] if found.contour is None else [found.contour])]
        every = [
            resize(one, x.shape[2:], align_corners=align)[..., :height, :width] for one in every
        ]
        contour = None if found.contour is None else every.pop()
        return Maps(every[0], tuple(every[1:]), contour)


def build(
    backbone: str,
    head_width: float = 1.0,
    *,
    network: NetworkName = "poolnet",
    edge: bool = False,
    batchnorm: bool = False,
    normalisation: Normalisation = "imagenet",
    freeze: bool = False,
    multiple: int = 1,
) -> SaliencyNetwork:
    """A network with a fresh backbone of the given name, on the CPU.

    Args:
        backbone: a name in MODELS.
        head_width: factor on the head's channels.
        network: which head.
        edge: PoolNet: whether to build the edge branch.
        batchnorm: PoolNet: whether the head has BatchNorm, which the published one has not.
        normalisation: of the pixels.
        freeze: whether the backbone's BatchNorm stays as its weights say, as PoolNet's.
        multiple: what the sides of the trunk's input are padded to.

    Raises:
        UserError: no backbone has that name.
    """
    if network == "poolnet":
        trunk, least_side = _pooled_trunk(backbone)
        head: Head = _poolnet_head(trunk, head_width, edge, batchnorm)
    else:
        trunk, least_side = _trunk(backbone, dilated=network == "inspyrenet"), LEAST_SIDE
        head = HEADS[network](trunk.channels, head_width)
    if freeze:
        freeze_batchnorm(trunk)
    normalize = Normalize(*NORMALISATION[normalisation])
    return SaliencyNetwork(trunk, head, normalize, least_side, multiple)


def _trunk(backbone: str, dilated: bool) -> Trunk:
    """A backbone with the strides of classification; dilated ever more in its last two stages."""
    make = choose("--backbone", backbone, MODELS)
    if not dilated:
        return make()
    with torch.device("meta"):
        last = getattr(make(), "layer4", None)
    if not isinstance(last, nn.Sequential):
        raise UserError(
            f"--backbone {backbone}: --model.network inspyrenet dilates the blocks of the last "
            "stage one by one, which DLA cannot; take a ResNet or Res2Net, such as res2net50_v1b"
        )
    each = tuple(4 * 2**block for block in range(len(last)))
    return make(dilations=(1, 1, 2, each), dilate_first=True, average_dilated=False)


def _pooled_trunk(backbone: str) -> tuple[Trunk, int]:
    """PoolNet's backbone, and the pixels a side in which its head's pools find something."""
    make = choose("--backbone", backbone, MODELS)
    # DLA has no pool behind its stem that could round up.
    pool = {} if backbone.startswith("dla") else {"ceil_mode": True}
    trunk = make(strides=STRIDES, dilations=DILATIONS, dilate_first=True, **pool)
    # Eight features are needed at stride 16. A pool that rounds up finds them in two pixels less.
    return trunk, 111 if pool else 113


def _poolnet_head(trunk: Trunk, width: float, edge: bool, batchnorm: bool) -> PoolNetHead:
    edge_channels = max(1, round(width * EDGE_CHANNELS)) if edge else 0
    # A narrower head sums over fewer channels; so its features start as large as the published.
    deviation = DEVIATION / math.sqrt(width)
    return PoolNetHead(trunk.channels, scaled(width), edge_channels, batchnorm, deviation)
