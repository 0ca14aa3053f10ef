"""How samples become batches: of one aspect, and padded to one size."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import default_collate

from common.training import sampling
from common.training.distributed import note

STRIDE = 32
"""Batches are padded to multiples of this, the greatest stride of the backbones."""

_LISTED = ("boxes", "labels", "masks", "semantic")

# The first words 1 to 3 are those of common.training.sampling.
_ASPECT = 5


@dataclass(frozen=True)
class AspectBatches:
    """Epoch -> order of samples, in which each batch is all landscape or all portrait.

    Of the two kinds, what does not fill a batch is left out: less than two batches an epoch, other
    samples each time. A batch is that of all ranks together, so any number of them is served.
    """

    landscape: NDArray[np.bool_]
    """(N,)"""
    batch_size: int
    seed: int

    def __call__(self, epoch: int) -> NDArray[np.int64]:
        """The samples of an epoch, a multiple of batch_size."""
        order = sampling.order(self.seed, epoch, len(self.landscape))
        kinds = [order[self.landscape[order]], order[~self.landscape[order]]]
        batches = np.concatenate([self._rows(kind) for kind in kinds])
        generator = np.random.default_rng([_ASPECT, self.seed, epoch])
        return np.asarray(generator.permutation(batches).ravel(), dtype=np.int64)

    def _rows(self, samples: NDArray[np.int64]) -> NDArray[np.int64]:
        """Samples in rows of a batch each."""
        usable = sampling.usable(len(samples), self.batch_size)
        return samples[:usable].reshape(-1, self.batch_size)


def in_order(sizes: NDArray[np.int64], batch_size: int, seed: int) -> AspectBatches | None:
    """The order of samples of (N, 2) height and width, for common.training.engine.TrainData.

    Where neither the landscape nor the portrait pictures fill a batch, batches hold both in any
    order, which is None, and a line says so.
    """
    height, width = sizes.T
    batches = AspectBatches(width >= height, batch_size, seed)
    if len(batches(0)):
        return batches
    note(
        f"--data.group_by_aspect: neither the landscape nor the portrait pictures of "
        f"{len(sizes):,} fill a batch of {batch_size}, so batches hold both"
    )
    return None


def collate(samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A batch of B samples; pictures are padded with zeros at the right and below.

    image (B, 3, H, W) bytes, where H and W are the greatest of the batch, rounded up to a multiple
    of 32; size (B, 2), each picture's own height and width; boxes, labels, masks and semantic maps,
    where the samples have them, as lists of B tensors; everything else stacked.
    """
    images = [torch.as_tensor(sample["image"]) for sample in samples]
    batch = {
        key: [torch.as_tensor(sample[key]) for sample in samples]
        for key in _LISTED
        if key in samples[0]
    }
    rest = [
        {key: value for key, value in sample.items() if key != "image" and key not in _LISTED}
        for sample in samples
    ]
    sizes = torch.tensor([image.shape[1:] for image in images], dtype=torch.int64)
    return {"image": pad(images), "size": sizes, **batch, **default_collate(rest)}


def pad(images: Sequence[Tensor]) -> Tensor:
    """Pictures (3, h, w) in one tensor (B, 3, H, W), padded with zeros at the right and below."""
    height, width = (
        -(-max(image.shape[axis] for image in images) // STRIDE) * STRIDE for axis in (1, 2)
    )
    padded = images[0].new_zeros((len(images), images[0].shape[0], height, width))
    for whole, image in zip(padded, images, strict=True):
        whole[:, : image.shape[1], : image.shape[2]] = image
    return padded
