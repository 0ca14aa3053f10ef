"""torchvision's own detectors, small: the oracle of ours."""

from torchvision.models import detection
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.resnet import Bottleneck, ResNet
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool, LastLevelP6P7

BACKBONE = "resnet26"
"""The trunk of this project that has the layers of the oracle's."""
CHANNELS, BOX_CHANNELS = 64, 16


def build(name, classes, **settings):
    """A detector of torchvision on a ResNet of 26 layers; classes as it counts them."""
    if name == "faster_rcnn":
        return detection.FasterRCNN(backbone(0), **box_parts(classes), **settings)
    if name == "mask_rcnn":
        return detection.MaskRCNN(
            backbone(0),
            mask_head=MaskRCNNHeads(CHANNELS, (CHANNELS,) * 4, 1),
            mask_predictor=MaskRCNNPredictor(CHANNELS, CHANNELS, classes),
            **box_parts(classes),
            **settings,
        )
    return {"retinanet": detection.RetinaNet, "fcos": detection.FCOS}[name](
        backbone(1), classes, **settings
    )


def box_parts(classes):
    sizes = ((32,), (64,), (128,), (256,), (512,))
    return {
        "rpn_anchor_generator": AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * 5),
        "box_head": TwoMLPHead(CHANNELS * 49, BOX_CHANNELS),
        "box_predictor": FastRCNNPredictor(BOX_CHANNELS, classes),
    }


def backbone(first):
    """The stages from `first` on, 0 for the one of stride 4, with a feature pyramid."""
    trunk = ResNet(Bottleneck, [2, 2, 2, 2])
    layers = {f"layer{stage + 1}": str(stage - first) for stage in range(first, 4)}
    top = LastLevelP6P7(CHANNELS, CHANNELS) if first else LastLevelMaxPool()
    channels = [256 * 2**stage for stage in range(first, 4)]
    return BackboneWithFPN(trunk, layers, channels, CHANNELS, top)
