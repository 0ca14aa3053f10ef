"""A backbone, a decoder of segmentation-models-pytorch, and score maps of the picture's size.

DeepLabV3+: Chen, Zhu, Papandreou, Schroff and Adam, "Encoder-Decoder with Atrous Separable
Convolution for Semantic Image Segmentation", ECCV 2018.
"""

from collections.abc import Mapping, Sequence

from torch import Tensor

from backbone.detect import hint
from backbone.variants import MODELS
from common.commands import classes, trained
from common.commands.config import choose
from common.commands.trained import Layout
from common.layers import Normalize
from common.networks.decoder import DECODERS, network
from common.networks.segmentation import AuxiliaryHead, SegmentationModel
from tasks.segmentation.config import Config, ModelConfig

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

_OF_CLASSES = ("head.", "auxiliary.4.")
"""Beginnings of the keys of the layers whose size is the number of classes."""


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
