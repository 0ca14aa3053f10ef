"""Which parts of a backbone stay as they were trained on ImageNet."""

from torch import nn

from backbone.dla import DLA
from backbone.trunk import Trunk
from common.errors import UserError
from common.layers import FrozenBatchNorm2d, freeze_batchnorm
from tasks.detection.config import DetectorConfig

_RESNET = (("conv1", "bn1"), ("layer1",), ("layer2",), ("layer3",), ("layer4",))
_DLA = (("base_layer", "level0", "level1"), ("level2",), ("level3",), ("level4",), ("level5",))


def freeze_stages(trunk: Trunk, count: int) -> None:
    """Keep the first `count` of stem, `c2`, `c3`, `c4`, `c5` from learning, BatchNorm included.

    Published detectors freeze two: the stem and the first stage.
    """
    for names in (_DLA if isinstance(trunk, DLA) else _RESNET)[:count]:
        for name in names:
            part: nn.Module = getattr(trunk, name)
            if isinstance(part, nn.BatchNorm2d):
                setattr(trunk, name, FrozenBatchNorm2d(part))
            else:
                freeze_batchnorm(part)
                part.requires_grad_(False)


def require_weights(config: DetectorConfig) -> None:
    """Refuse to freeze random numbers.

    Raises:
        UserError: parts of the backbone are frozen, and no weights are given for them.
    """
    frozen = config.model.frozen_batchnorm or config.model.frozen_stages > 0
    if frozen and config.source is None:
        raise UserError(
            "--weights is missing: --model.frozen_stages and --model.frozen_batchnorm would keep "
            "random numbers; give the weights of a trained backbone, or train all of it"
        )
