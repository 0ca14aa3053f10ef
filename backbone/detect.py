"""Tell which variant a state dict was made for, from its keys and shapes alone."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from backbone.errors import WeightsError

DEPTHS = {
    26: (2, 2, 2, 2),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
    200: (3, 12, 48, 3),
}

STEMS = ("conv1.weight", "conv1.0.weight", "base_layer.0.weight")
"""The first convolution of a trunk with a plain stem, with a deep one, and of a DLA."""

FOREIGN = "these are not the weights of a ResNet, Res2Net or DLA"

PREFIX = "backbone."
"""Of the trunk's keys among those of a whole model."""

HALVED = ("res2net26_14w_4s", "res2net26_26w_4s", "resnet26")
"""Variants that also exist with half the channels."""


def detect(state: Mapping[str, Tensor], source: str = "") -> str:
    """Name the variant that the weights of a trunk belong to.

    Args:
        state: the weights.
        source: where they are from, for the message.

    Returns:
        A name in MODELS, or a description where the net is none of these: `res2net50_20w_5s`,
        `resnet18`, `res2net26_14w_4s of width 16`. Strides, dilations and the rule of first
        blocks leave no trace in weights.

    Raises:
        WeightsError: these are not the weights of a ResNet, Res2Net or DLA.
    """
    try:
        name = _dla(state) if "base_layer.0.weight" in state else _staged(state)
        channels = next(state[key].shape[1] for key in STEMS if key in state)
    # A relative with other layers or shapes.
    except (WeightsError, LookupError, ZeroDivisionError, ValueError, TypeError) as error:
        raise WeightsError(f"{source}: {FOREIGN}" if source else FOREIGN) from error
    return name if channels == 3 else f"{name} for input of {channels} channel{'s'[: channels - 1]}"


def _staged(state: Mapping[str, Tensor]) -> str:
    """Name a ResNet or Res2Net."""
    needed = {"layer1.0.conv1.weight", "layer4.0.conv1.weight", "bn1.weight"}
    # Of a relative, whose blocks call what shapes the shortcut otherwise.
    other = "layer1.0.shortcut.0.weight" in state
    if other or not needed <= state.keys() or state.keys().isdisjoint(STEMS):
        raise WeightsError(FOREIGN)
    width = len(state["bn1.weight"])
    name = _res2net(state) if "layer1.0.convs.0.weight" in state else _resnet(state)
    if name in HALVED and width == 32:
        name += "_half"
    elif width != 64:
        name += f" of width {width}"
    return name


def hint(wrong: Sequence[str], state: Mapping[str, Tensor]) -> str:
    """What to add to a message about a whole model's weights that do not fit.

    Args:
        wrong: the keys that do not fit.
        state: the model's weights.

    Returns:
        "; their backbone looks like --backbone NAME", or nothing where the backbone is not wrong.
    """
    if not any(key.startswith(PREFIX) for key in wrong):
        return ""
    trunk = {
        key.removeprefix(PREFIX): value for key, value in state.items() if key.startswith(PREFIX)
    }
    try:
        return f"; their backbone looks like --backbone {detect(trunk)}"
    except WeightsError:
        return "; their backbone is none that this project knows"


def _res2net(state: Mapping[str, Tensor]) -> str:
    base_width, scale, cardinality = _hierarchy(state, "layer4.0", 4)
    numbers = f"_{base_width}w_{scale}s"
    family, suffix = "res2net", numbers
    if cardinality > 1:
        known = (base_width, scale, cardinality) == (4, 4, 8)
        family, suffix = "res2next", "" if known else f"{numbers}_{cardinality}c"
    if "conv1.0.weight" in state:
        suffix = "_v1b" + ("" if suffix == "_26w_4s" else suffix)
    attention = "se_" if "layer1.0.se.fc1.weight" in state else ""
    return f"{attention}{family}{_layers(state, 3)}{suffix}"


def _resnet(state: Mapping[str, Tensor]) -> str:
    deep = "d" if "conv1.0.weight" in state else ""
    if "layer1.0.conv3.weight" not in state:
        return f"resnet{_layers(state, 2)}{deep}"
    outer, inner = state["layer1.0.conv2.weight"].shape[:2]
    changed = ""
    if outer != inner:
        changed = f" with {outer // inner} groups"
    elif outer != len(state["bn1.weight"]):
        changed = f" with blocks of width {outer}"
    return f"resnet{_layers(state, 3)}{deep}{changed}"


def _dla(state: Mapping[str, Tensor]) -> str:
    if "level5.tree1.convs.0.weight" not in state:
        return "a DLA without Res2Net blocks"
    numbers = _hierarchy(state, "level5.tree1", 2)
    known = {(28, 4, 1): "dla60_res2net", (4, 4, 8): "dla60_res2next"}
    base_width, scale, cardinality = numbers
    return known.get(numbers, f"a DLA with {base_width}w_{scale}s_{cardinality}c blocks")


def _hierarchy(state: Mapping[str, Tensor], block: str, expansion: int) -> tuple[int, int, int]:
    """Read base width, scale and cardinality off a block, best a wide one: widths were rounded."""
    outer, inner = state[f"{block}.convs.0.weight"].shape[:2]
    # Not the number of convolutions: a single one makes both scale 1 and scale 2.
    scale = len(state[f"{block}.conv1.weight"]) // outer
    planes = len(state[f"{block}.conv3.weight"]) // expansion
    cardinality = outer // inner
    base_width = -(-inner * 64 // planes)
    return base_width, scale, cardinality


def _layers(state: Mapping[str, Tensor], per_block: int) -> str:
    """Count layers as the names of nets do: convolutions of all blocks, stem and classifier."""
    depths = tuple(
        len({key.split(".")[1] for key in state if key.startswith(f"layer{index}.")})
        for index in range(1, 5)
    )
    layers = per_block * sum(depths) + 2
    usual = per_block == 2 or DEPTHS.get(layers) == depths
    return str(layers) if usual else f"{layers} with {'-'.join(map(str, depths))} blocks"
