"""What all trunks share: the pyramid of features, the rules of strides and dilations, the start."""

from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from torch import Tensor, nn

T = TypeVar("T")
PerStage = tuple[int, int, int, int]


class Pyramid(NamedTuple, Generic[T]):
    """One value for the stem (`c1`) and one for each of the four stages (`c2` to `c5`)."""

    c1: T
    c2: T
    c3: T
    c4: T
    c5: T


class Trunk(nn.Module):
    """What every backbone here is: a picture in, a pyramid of features out, no classifier.

    Calling it maps (B, in_channels, H, W) to a Pyramid of (B, channels, H / stride, W / stride),
    rounded up. `channels` and `strides` say what comes out, so that a head is built from numbers.
    """

    in_channels: int
    channels: Pyramid[int]
    strides: Pyramid[int]

    if TYPE_CHECKING:  # nn.Module says Any here

        def __call__(self, x: Tensor) -> Pyramid[Tensor]:
            """Run `forward`."""
            ...


def first_dilations(strides: PerStage, dilations: PerStage, dilate_first: bool) -> PerStage:
    """Give the dilation of each stage's first block, after checking what the caller asked for."""
    for name, values in (("strides", strides), ("dilations", dilations)):
        if len(values) != 4 or min(values) < 1:
            raise ValueError(f"{name} are {tuple(values)}; needed: four whole numbers from 1 on")
    if dilate_first:
        return dilations
    return (1, dilations[0], dilations[1], dilations[2])


def running_strides(stem: int, pool: int, stages: PerStage) -> Pyramid[int]:
    """Multiply up the strides of stem, pool and stages: input pixels per feature."""
    c2 = stem * pool * stages[0]
    c3 = c2 * stages[1]
    c4 = c3 * stages[2]
    return Pyramid(stem, c2, c3, c4, c4 * stages[3])


def initialise(trunk: nn.Module) -> None:
    """Draw every convolution from He's normal distribution by fan-out; biases are zero."""
    for module in trunk.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
