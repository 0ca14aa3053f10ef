"""A backbone, a decoder of segmentation-models-pytorch, and score maps of the picture's size.

DeepLabV3+: Chen, Zhu, Papandreou, Schroff and Adam, "Encoder-Decoder with Atrous Separable
Convolution for Semantic Image Segmentation", ECCV 2018.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from backbone.detect import hint
from backbone.trunk import Pyramid, Trunk
from backbone.variants import MODELS
from common.commands import classes, trained
from common.commands.config import choose
from common.commands.trained import Layout
from common.layers import Normalize, pad_to_multiple
from tasks.segmentation.config import Config, ModelConfig
from tasks.segmentation.decoder import DECODERS, network

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

_OF_CLASSES = ("head.", "auxiliary.4.")
"""Beginnings of the keys of the layers whose size is the number of classes."""


class Scores(NamedTuple):
    """Logits (B, classes, H, W) of the decoder, and in training those of the auxiliary head."""

    main: Tensor
    auxiliary: Tensor | None


class AuxiliaryHead(nn.Sequential):
    """Classifies the fourth stage's features (B, C, h, w) directly, to train it better.

    The fully convolutional head of PSPNet (Zhao et al., CVPR 2017, section 3.3).
    """

    def __init__(self, in_channels: int, channels: int, classes: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Dropout(0.1),
            nn.Conv2d(channels, classes, 1),
        )


class SegmentationModel(nn.Module):
    """A picture in, a score map of each class out.

    Args:
        backbone: gives a pyramid.
        decoder: takes the list of the picture and its pyramid, gives features.
        head: takes these, gives logits of the input's size.
        normalize: takes the pictures.
        auxiliary: takes the pyramid's `c4`, or None.
        least_side: inputs are padded to at least this height and width.
    """

    def __init__(
        self,
        backbone: Trunk,
        decoder: nn.Module,
        head: nn.Module,
        normalize: nn.Module,
        auxiliary: nn.Module | None = None,
        least_side: int = 1,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.decoder = decoder
        self.head = head
        self.auxiliary = auxiliary
        self.normalize = normalize
        self.least_side = least_side

    def forward(self, images: Tensor) -> Scores:
        """Logits (B, classes, H, W) of pictures (B, 3, H, W), RGB, 0..255, of any size."""
        x = self.prepare(images)
        return self.answer(x, self.backbone(x), images.shape[-2], images.shape[-1])

    def prepare(self, images: Tensor) -> Tensor:
        """What the trunk is given: normalised pictures (B, 3, h, w).

        Decoders double resolutions, so they are padded to multiples of the output stride, at the
        right and lower border and with the mean colour.
        """
        return pad_to_multiple(
            self.normalize(images), self.backbone.strides.c5, least=self.least_side
        )

    def answer(self, x: Tensor, pyramid: Pyramid[Tensor], height: int, width: int) -> Scores:
        """Logits (B, classes, height, width) of what the trunk was given and its features."""
        logits: Tensor = self.head(self.decoder([x, *pyramid]))
        return Scores(logits[..., :height, :width], self._auxiliary(pyramid.c4, x, height, width))

    def _auxiliary(self, c4: Tensor, x: Tensor, height: int, width: int) -> Tensor | None:
        if self.auxiliary is None or not self.training:
            return None
        logits: Tensor = self.auxiliary(c4)
        whole = F.interpolate(logits, size=x.shape[-2:], mode="bilinear", align_corners=False)
        return whole[..., :height, :width]


def build(backbone: str, classes: int, model: ModelConfig) -> SegmentationModel:
    """A segmentation model with a fresh backbone of the given name, on the CPU.

    Raises:
        UserError: no backbone has that name, or the decoder cannot take the output stride.
    """
    choose("--backbone", backbone, MODELS)
    parts = network(backbone, classes, model)
    channels = parts.trunk.channels.c4
    return SegmentationModel(
        parts.trunk,
        parts.decoder,
        parts.head,
        Normalize(MEAN, STD),
        AuxiliaryHead(channels, model.channels, classes) if model.auxiliary else None,
        DECODERS[model.decoder].least_features * model.output_stride,
    )


def start_from(model: SegmentationModel, config: Config) -> None:
    """Give a fresh model the weights that --weights or --finetune names, if any.

    Args:
        model: on the CPU.
        config: of the run, with the names of its classes.

    Raises:
        UserError, WeightsError: they cannot be read, do not fit, or are of a run that was trained
            on other classes, without --new_classes.
    """
    if config.weights is not None:
        trained.load_trunk(model.backbone, config.weights)
    if config.finetune is not None:
        weights = trained.read("--finetune", config.finetune, LAYOUT.translate)
        found = classes.of_run(weights).get("classes") or ()
        wanted = config.data.classes
        classes.finetune(model, config, weights, class_rows, found, wanted, LAYOUT.explain)


def class_rows(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of the layers that score the classes, a row for each."""
    return {key: value for key, value in state.items() if key.startswith(_OF_CLASSES)}


def from_published(_: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """No Res2Net segmentation model was ever published, so there is no foreign layout to read."""
    return None


def explain(wrong: Sequence[str], state: Mapping[str, Tensor]) -> str:
    """The likely cause when weights do not fit the model, for the message."""
    found = [key for key in state if key.startswith("head.") and key.endswith("bias")]
    if wrong and found and all(key.startswith(_OF_CLASSES) for key in wrong):
        return (
            f": they are for {len(state[found[0]])} classes; give the data set or the "
            "--data.classes that they were trained for, or train on others by --new_classes"
        )
    if wrong and not any(key.startswith("backbone.") for key in wrong):
        return "; give the --model.decoder and --model.channels that they were trained with"
    return hint(wrong, state)


LAYOUT = Layout(from_published, explain)
"""What is known of checkpoints from elsewhere."""
