"""Res2Net and its relatives as trunks: a picture in, a pyramid of features out, no classifier."""

from backbone.blocks import Bottle2neck, Bottleneck
from backbone.detect import detect, hint
from backbone.dla import DLA
from backbone.errors import WeightsError
from backbone.fast import Deployed, deploy
from backbone.res2net import Res2Net, ResNet
from backbone.trunk import Pyramid, Trunk
from backbone.variants import MODELS, res2net, resnet
from backbone.weights import WEIGHTS, Loaded, Weights, load

__all__ = [
    "DLA",
    "MODELS",
    "WEIGHTS",
    "Bottle2neck",
    "Bottleneck",
    "Deployed",
    "Loaded",
    "Pyramid",
    "Res2Net",
    "ResNet",
    "Trunk",
    "Weights",
    "WeightsError",
    "deploy",
    "detect",
    "hint",
    "load",
    "res2net",
    "resnet",
]
