"""A classifier: a backbone, the mean of its last stage over the picture, and one linear layer."""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from backbone import layouts
from backbone.detect import hint
from backbone.trunk import Pyramid, Trunk
from backbone.variants import MODELS
from backbone.weights import UNUSED_PROJECTIONS
from common.commands.config import choose
from common.commands.trained import Layout
from common.errors import UserError
from common.layers import Normalize
from tasks.classification.config import ModelConfig

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


class Classifier(nn.Module):
    """A picture in, a score for each class out.

    Args:
        backbone: gives a pyramid of which `c5` is used.
        classes: K.
        normalize: takes the pictures.
    """

    def __init__(self, backbone: Trunk, classes: int, normalize: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.fc = nn.Linear(backbone.channels.c5, classes)
        self.normalize = normalize

    def forward(self, images: Tensor) -> Tensor:
        """Scores (B, K) of pictures (B, 3, H, W) in RGB, bytes or floats from 0 to 255."""
        return self.answer(self.backbone(self.prepare(images)))

    def prepare(self, images: Tensor) -> Tensor:
        """What the trunk is given: normalised pictures (B, 3, H, W)."""
        given: Tensor = self.normalize(images)
        return given

    def answer(self, pyramid: Pyramid[Tensor]) -> Tensor:
        """Scores (B, K) of the trunk's features; those of the last stage (B, C, h, w) are used."""
        scores: Tensor = self.fc(pyramid.c5.mean((2, 3)))
        return scores


def build(backbone: str, classes: int, model: ModelConfig) -> Classifier:
    """A classifier with fresh weights, on the CPU.

    Raises:
        UserError: no backbone has that name, or it cannot be varied as the config says.
    """
    make = choose("--backbone", backbone, MODELS)
    changes: dict[str, int] = {}
    if model.stem_stride != 2:
        changes["stem_stride"] = model.stem_stride
    if not model.max_pool:
        changes["max_pool"] = False
    try:
        trunk = make(**changes)
    except TypeError:
        flags = ", ".join(f"--model.{name} {value}" for name, value in changes.items())
        raise UserError(f"{flags}: --backbone {backbone} has no such part; leave it out") from None
    return Classifier(trunk, classes, Normalize(MEAN, STD))


def from_published(state: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """A published checkpoint's weights under the names of `Classifier`; None if it is no such.

    Takes the state dicts of the Res2Net and DLA authors, of timm, of torchvision and of mmpretrain
    (`head.fc.`), and one under `Classifier`'s own names. DLA's last layer is a 1x1 convolution
    there, and the linear layer that it equals here.
    """
    if "head.fc.weight" in state:
        state = _from_mmpretrain(state)
    weight = state.get("fc.weight")
    if weight is None or weight.ndim not in (2, 4):
        return None
    trunk = {
        f"backbone.{key.removeprefix('backbone.')}": value
        for key, value in state.items()
        if not key.startswith(("fc.", *UNUSED_PROJECTIONS))
    }
    layer = {key: value for key, value in state.items() if key.startswith("fc.")}
    return {**trunk, **layer, "fc.weight": weight.flatten(1)}


def _from_mmpretrain(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of mmpretrain's classifier under the official names; others keep their own."""
    rest = {key: value for key, value in state.items() if not key.startswith("backbone.")}
    heads = {"head.fc.weight": "fc.weight", "head.fc.bias": "fc.bias"}
    return {**layouts.trunk(state), **{heads.get(key, key): rest[key] for key in rest}}


def to_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A `Classifier`'s weights under the published names, as a bare state dict."""
    return {key.removeprefix("backbone."): value for key, value in state.items()}


def explain(wrong: Sequence[str], state: Mapping[str, Tensor]) -> str:
    """The likely cause when weights do not fit the model, for the message."""
    if wrong and all(key.startswith("fc.") and key in state for key in wrong):
        return (
            f": they are for {len(state['fc.weight'])} classes; train --new_classes keeps all but "
            "the last layer"
        )
    return hint(wrong, state)


LAYOUT = Layout(from_published, explain)
"""What is known of checkpoints from elsewhere."""
