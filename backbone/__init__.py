"""Res2Net and its relatives as trunks: a picture in, a pyramid of features out, no classifier."""

from backbone.dla import DLA
from backbone.res2net import Bottle2neck, Bottleneck, ResNet
from backbone.trunk import Pyramid, Trunk
from backbone.variants import MODELS, res2net, resnet

__all__ = [
    "DLA",
    "MODELS",
    "Bottle2neck",
    "Bottleneck",
    "Pyramid",
    "ResNet",
    "Trunk",
    "res2net",
    "resnet",
]
