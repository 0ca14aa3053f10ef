"""A backbone and a decoder: a stack of slices in, scores of each class for the middle one out."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from backbone.detect import hint
from backbone.variants import MODELS
from common.commands import classes, trained
from common.commands.config import choose
from common.commands.trained import Layout
from common.layers import Normalize
from common.networks.decoder import DECODERS, network
from common.networks.segmentation import SegmentationModel
from tasks.volumes.config import Config

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

_OF_CLASSES = "head."
"""Beginning of the keys of the layers whose size is the number of classes."""


def build(config: Config) -> SegmentationModel:
    """The config's model with random weights, on the CPU.

    Three channels are normalised as red, green and blue of ImageNet; of another number each one is
    by their means.

    Raises:
        UserError: no backbone has that name, or the decoder cannot take the output stride.
    """
    choose("--backbone", config.backbone, MODELS)
    channels = config.data.channels
    parts = network(config.backbone, len(config.data.classes), config.model, channels)
    mean, std = normalization(channels)
    least = DECODERS[config.model.decoder].least_features * config.model.output_stride
    return SegmentationModel(
        parts.trunk, parts.decoder, parts.head, Normalize(mean, std), None, least
    )


def normalization(channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each channel, of values of 0..1."""
    if channels == 3:
        return MEAN, STD
    return (sum(MEAN) / 3,) * channels, (sum(STD) / 3,) * channels


def start_from(model: SegmentationModel, config: Config) -> None:
    """Give a fresh model the weights that --weights or --finetune names, if any.

    Three channels stand in the places of red, green and blue. For another number the first
    convolution is summed over the colours and spread evenly over the channels.

    Raises:
        UserError, WeightsError: they cannot be read, do not fit, or are of a run that was trained
            on other classes, without --new_classes.
    """
    if config.weights is not None:
        trained.load_trunk(model.backbone, config.weights, fit_stem=True, spread=True)
    if config.finetune is not None:
        weights = trained.read("--finetune", config.finetune, LAYOUT.translate)
        found = classes.of_run(weights).get("classes") or ()
        wanted = config.data.classes
        classes.finetune(model, config, weights, class_rows, found, wanted, LAYOUT.explain)


def class_rows(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of the layers that score the classes, a row for each."""
    return {key: value for key, value in state.items() if key.startswith(_OF_CLASSES)}


def from_published(_: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """No Res2Net model of CT volumes was ever published, so there is no foreign layout to read."""
    return None


def explain(wrong: Sequence[str], state: Mapping[str, Tensor]) -> str:
    """The likely cause when weights do not fit the model, for the message."""
    found = [key for key in state if key.startswith(_OF_CLASSES) and key.endswith("bias")]
    if wrong and found and all(key.startswith(_OF_CLASSES) for key in wrong):
        return (
            f": they are for {len(state[found[0]])} classes; give the --data.classes that they "
            "were trained for, or train on others by --new_classes"
        )
    if wrong and not any(key.startswith("backbone.") for key in wrong):
        return "; give the --model.decoder and --model.channels that they were trained with"
    return hint(wrong, state)


LAYOUT = Layout(from_published, explain)
"""What is known of checkpoints from elsewhere."""
