"""The published files of weights: where they are, under which licence, how good, how they differ.

A table and nothing else: nothing is downloaded before somebody asks for a file by its name.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

OFFICIAL = "https://shanghuagao.oss-cn-beijing.aliyuncs.com/res2net/"
TIMM = "https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-res2net/"
TORCHVISION = "https://download.pytorch.org/models/"
MMPRETRAIN = "https://download.openmmlab.com/mmclassification/v0/res2net/"
MMDETECTION = "https://download.openmmlab.com/pretrain/third_party/"
PADDLE = "https://paddle-imagenet-models-name.bj.bcebos.com/dygraph/"
NON_COMMERCIAL = "CC BY-NC-SA 4.0, as the README of Res2Net-PretrainedModels states"
RENAMED = f"that of the official weights, which it holds under other names: {NON_COMMERCIAL}"
BSD = "BSD-3-Clause, as torchvision states"
UNSTATED = "not stated for the weights; PaddleClas, which publishes them, is Apache-2.0"
SUMMED = (
    "the first block of the first stage adds up its chunks and does not pool the last one; pools "
    "do not count the zeros beyond the border"
)

Errors = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Weights:
    """What is known of one published file. Errors are per cent, top-1 and top-5, on ImageNet val.

    `sha256` is the part of the hash that the file's name gives; None where its publisher states
    none: such a file is not fetched by name. `reevaluated` is the error that timm measured for the
    same weights. `differs` says in what the network is another one than the official one with the
    same names and shapes. Pixels go in as (value / 255 - mean) / std.
    """

    name: str
    architecture: str
    file: str
    urls: tuple[str, ...]
    sha256: str | None
    licence: str
    error: Errors
    reevaluated: Errors | None = None
    differs: str | None = None
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    colour: str = "RGB"
    input_size: int = 224
    crop: float = 0.875


def _official(
    architecture: str,
    file: str,
    error: Errors,
    reevaluated: Errors,
    *,
    hosts: Iterable[str] = (OFFICIAL, TIMM),
) -> Weights:
    return Weights(
        name=f"{architecture}.imagenet1k_official",
        architecture=architecture,
        file=file,
        urls=tuple(host + file for host in hosts),
        sha256=_hash_in_name(file),
        licence=NON_COMMERCIAL,
        error=error,
        reevaluated=reevaluated,
    )


def _torchvision(architecture: str, file: str, error: Errors) -> Weights:
    return Weights(
        name=f"{architecture}.imagenet1k_torchvision",
        architecture=architecture,
        file=file,
        urls=(TORCHVISION + file,),
        sha256=_hash_in_name(file),
        licence=BSD,
        error=error,
    )


def _renamed(host: str, publisher: str, architecture: str, file: str, error: Errors) -> Weights:
    """A row of official weights that another publisher has under names of its own."""
    return Weights(
        name=f"{architecture}.imagenet1k_{publisher}",
        architecture=architecture,
        file=file,
        urls=(host + file,),
        sha256=_hash_in_name(file),
        licence=RENAMED,
        error=error,
    )


def _paddle(architecture: str, network: str, error: Errors, distilled: str = "") -> Weights:
    file = f"{network}{distilled}_pretrained.pdparams"
    return Weights(
        name=f"{architecture}.imagenet1k_paddle{distilled}",
        architecture=architecture,
        file=file,
        urls=(PADDLE + file,),
        sha256=None,
        licence=UNSTATED,
        error=error,
        differs=SUMMED,
    )


def _hash_in_name(file: str) -> str:
    return Path(file).stem.rpartition("-")[2]


# Weights of 18w_6s, 18w_4s, v1b-152 and the SE nets were never published. Not listed, because their
# names and formats are not known well enough: Holocron's (10 classes) and MindSpore's (MindCV pads
# at the right and lower border only, which no trunk here does).
_ROWS = (
    _official("res2net50_48w_2s", "res2net50_48w_2s-afed724a.pth", (22.68, 6.47), (22.472, 6.438)),
    _official("res2net50_26w_4s", "res2net50_26w_4s-06e79181.pth", (22.01, 6.15), (22.006, 6.140)),
    _official("res2net50_14w_8s", "res2net50_14w_8s-6527dddc.pth", (21.86, 6.14), (21.858, 6.148)),
    _official("res2net50_26w_6s", "res2net50_26w_6s-19041792.pth", (21.42, 5.87), (21.414, 5.880)),
    _official("res2net50_26w_8s", "res2net50_26w_8s-2c7c9f12.pth", (20.80, 5.63), (21.050, 5.720)),
    _official(
        "res2net101_26w_4s", "res2net101_26w_4s-02a759a1.pth", (20.81, 5.57), (20.808, 5.534)
    ),
    _official("res2next50", "res2next50_4s-6ef7e7bf.pth", (21.76, 6.09), (21.762, 6.096)),
    _official(
        "res2net50_v1b",
        "res2net50_v1b_26w_4s-3cf99910.pth",
        (19.73, 4.96),
        (19.720, 4.972),
        hosts=(OFFICIAL,),
    ),
    _official(
        "res2net101_v1b",
        "res2net101_v1b_26w_4s-0812c246.pth",
        (18.77, 4.64),
        (18.764, 4.654),
        hosts=(OFFICIAL,),
    ),
    _official(
        "dla60_res2net",
        "res2net_dla60_4s-d88db7f9.pth",
        (21.53, 5.80),
        (21.520, 5.796),
        hosts=(TIMM,),
    ),
    _official(
        "dla60_res2next",
        "res2next_dla60_4s-d327927b.pth",
        (21.55, 5.86),
        (21.512, 5.856),
        hosts=(TIMM,),
    ),
    _torchvision("resnet50", "resnet50-0676ba61.pth", (23.870, 7.138)),
    _torchvision("resnet101", "resnet101-63fe2227.pth", (22.626, 6.454)),
    _renamed(
        MMPRETRAIN,
        "mmpretrain",
        "res2net50_14w_8s",
        "res2net50-w14-s8_3rdparty_8xb32_in1k_20210927-bc967bf1.pth",
        (21.86, 6.15),
    ),
    _renamed(
        MMPRETRAIN,
        "mmpretrain",
        "res2net50_26w_8s",
        "res2net50-w26-s8_3rdparty_8xb32_in1k_20210927-f547a94b.pth",
        (20.80, 5.64),
    ),
    _renamed(
        MMPRETRAIN,
        "mmpretrain",
        "res2net101_26w_4s",
        "res2net101-w26-s4_3rdparty_8xb32_in1k_20210927-870b6c36.pth",
        (20.81, 5.56),
    ),
    # mmdetection trains on from it in a trunk of another rule, res2net101_v1b_strided.
    _renamed(
        MMDETECTION,
        "mmdetection",
        "res2net101_v1b",
        "res2net101_v1d_26w_4s_mmdetv2-f0a600f9.pth",
        (18.77, 4.64),
    ),
    _paddle("res2net50_26w_4s_summed", "Res2Net50_26w_4s", (20.7, 5.4)),
    _paddle("res2net50_14w_8s_summed", "Res2Net50_14w_8s", (20.5, 5.3)),
    _paddle("res2net50_v1b_summed", "Res2Net50_vd_26w_4s", (20.2, 5.1)),
    _paddle("res2net50_v1b_summed", "Res2Net50_vd_26w_4s", (16.9, 3.4), "_ssld"),
    _paddle("res2net101_v1b_summed", "Res2Net101_vd_26w_4s", (19.4, 4.8)),
    _paddle("res2net101_v1b_summed", "Res2Net101_vd_26w_4s", (16.1, 2.9), "_ssld"),
    _paddle("res2net200_v1b_summed", "Res2Net200_vd_26w_4s", (18.8, 4.3)),
    _paddle("res2net200_v1b_summed", "Res2Net200_vd_26w_4s", (14.9, 2.6), "_ssld"),
)
WEIGHTS: dict[str, Weights] = {row.name: row for row in _ROWS}


def recognised(digest: str) -> Weights | None:
    """The row of a file, by its sha256; None where it is no published file, or one without hash."""
    hashed = (row for row in WEIGHTS.values() if row.sha256 is not None)
    return next((row for row in hashed if digest.startswith(str(row.sha256))), None)
