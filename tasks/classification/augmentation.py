"""The augmentations that are timm's: RandAugment on a picture, mixup and CutMix on a batch."""

import random
from collections.abc import Callable

import numpy as np
from PIL import Image
from torch import Tensor

from common.errors import UserError
from common.reading.image import Picture
from tasks.classification.config import DataConfig, LossConfig

MEAN_COLOUR = (124, 116, 104)
"""Of ImageNet: what RandAugment fills corners with."""


def randaugment(config: DataConfig) -> Callable[[Picture, np.random.Generator], Picture] | None:
    """RandAugment (Cubuk et al., NeurIPS 2020) as timm has it; None when it is off.

    timm's increasing set of operations, a standard deviation of 0.5 on the magnitude, and the mean
    colour where a picture is moved out of its frame.
    """
    if not config.randaugment:
        return None
    # Imported here: timm takes seconds that only its users should pay.
    from timm.data.auto_augment import rand_augment_transform

    settings = f"rand-m{config.randaugment}-n{config.randaugment_operations}-mstd0.5-inc1"
    parameters = {
        "img_mean": MEAN_COLOUR,
        "translate_const": int(0.45 * config.input_size),
        # At 10 timm asks Pillow for pictures of 0 bits, which Pillow refuses.
        "magnitude_max": 9.99,
    }
    augment = rand_augment_transform(settings, parameters)

    def apply(image: Picture, generator: np.random.Generator) -> Picture:
        # timm draws from the global generators of random and NumPy: seeded here, they are a
        # function of the sample's own one.
        random.seed(int(generator.integers(2**63)))
        np.random.seed(int(generator.integers(2**32)))
        return np.asarray(augment(Image.fromarray(image)))

    return apply


Mix = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Pictures (B, 3, H, W) and classes (B,) -> mixed pictures, and targets (B, K)."""


def mixing(config: LossConfig, classes: int) -> Mix:
    """Mixup (Zhang et al., ICLR 2018) and CutMix (Yun et al., ICCV 2019) as timm has them.

    One blend or box for a whole micro-batch, which is mixed with itself in reverse; its targets are
    smoothed. It draws from NumPy's global generator, which the engine seeds before each
    micro-batch. With both off, pictures and classes stay as they are.
    """
    if not config.mixes:
        return lambda images, target: (images, target)
    from timm.data.mixup import Mixup

    mix = Mixup(  # type: ignore[no-untyped-call]
        mixup_alpha=config.mixup,
        cutmix_alpha=config.cutmix,
        prob=config.mix_probability,
        label_smoothing=config.label_smoothing,
        num_classes=classes,
    )

    def apply(images: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        if len(images) % 2:
            raise UserError(
                f"--loss.mixup and --loss.cutmix mix pairs, but a micro-batch has {len(images)} "
                "pictures: choose an --engine.batch_size that is even over ranks x accumulate"
            )
        # Bytes have no room for blends; timm writes into what it is given.
        mixed: tuple[Tensor, Tensor] = mix(images.float(), target)
        return mixed

    return apply
