"""Waveform to embedding: log mel features, a backbone, pooling over time, one linear layer.

Any backbone of the project serves with one input channel, no max pool and strides of its own; the
small nets of WeSpeaker and 3D-Speaker stand beside them.
"""

import re
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backbone.detect import PREFIX, hint
from backbone.trunk import Pyramid, Trunk
from backbone.variants import MODELS
from common.commands import trained
from common.commands.classes import with_new_classes
from common.commands.config import choose
from common.commands.trained import Layout
from common.errors import UserError
from tasks.speaker.config import Config, ModelConfig
from tasks.speaker.features import Fbank
from tasks.speaker.nets import NETS, settings_of
from tasks.speaker.pooling import AttentiveStatisticsPooling, StatisticsPooling

BACKBONES: dict[str, Callable[..., Trunk]] = {
    **NETS,
    # A DLA has fixed strides and always 3x3 pools; nobody uses one for speech.
    **{name: make for name, make in MODELS.items() if not name.startswith("dla")},
}
"""Trunks by the name that --backbone takes."""

_LAST = "embedding.weight"
_PUBLISHED_EMBEDDING, _PUBLISHED_CLASSIFIER = "seg_1.", "projection."
_FUSION = re.compile(r"fuse|layer\d_(downsample|ds)\.")
"""What joins the stages of an ERes2Net has no prefix in published files."""


class Classifier(nn.Module):
    """Cosines between embeddings and the training speakers.

    Args:
        embedding: D of the embeddings.
        speakers: K.
        subcentres: vectors of each speaker; the nearest counts (Deng et al., ECCV 2020).
    """

    def __init__(self, embedding: int, speakers: int, subcentres: int = 1) -> None:
        super().__init__()
        self.subcentres = subcentres
        self.weight = nn.Parameter(torch.empty(speakers * subcentres, embedding))
        nn.init.xavier_uniform_(self.weight)

    def forward(self, embeddings: Tensor) -> Tensor:
        """Cosines (B, K) of embeddings (B, D)."""
        # Cosines near 1 are told apart by more digits than bfloat16 has.
        with torch.autocast(embeddings.device.type, enabled=False):
            directions = F.normalize(self.weight.float())
            cosines: Tensor = F.linear(F.normalize(embeddings.float()), directions)
        return cosines.view(len(cosines), -1, self.subcentres).amax(-1)


class SpeakerModel(nn.Module):
    """A waveform in; an embedding out, or in training the cosines with the training speakers.

    Args:
        features: waveforms (B, N) to (B, F, T).
        backbone: takes one channel and gives a pyramid whose `c5` is pooled.
        pooling: takes that `c5`.
        embedding: takes what the pooling gives.
        norm: takes the embedding.
        classifier: of the training speakers; none for inference, which has no use for them.
    """

    def __init__(
        self,
        features: Fbank,
        backbone: Trunk,
        pooling: nn.Module,
        embedding: nn.Module,
        norm: nn.Module,
        classifier: Classifier | None,
    ) -> None:
        super().__init__()
        self.features, self.backbone, self.pooling = features, backbone, pooling
        self.embedding, self.norm, self.classifier = embedding, norm, classifier

    def forward(self, waves: Tensor, masks: Tensor | None = None) -> Tensor:
        """Embeddings (B, D) of waveforms (B, N); with masks, cosines (B, K) for training.

        Embeddings are float32 and of any length; cosines are those with the K training speakers.
        Masks (B, 4) are first frame, frames, first bin and bins to hide.
        """
        if masks is not None and self.classifier is None:
            raise ValueError("a model without a classifier takes no masks: it embeds only")
        embeddings = self.answer(self.backbone(self.prepare(waves, masks)))
        if masks is None or self.classifier is None:
            return embeddings
        cosines: Tensor = self.classifier(embeddings)
        return cosines

    def prepare(self, waves: Tensor, masks: Tensor | None = None) -> Tensor:
        """What the trunk is given: log mel energies (B, 1, F, T) of waveforms, masked parts 0."""
        features: Tensor = self.features(waves)
        return (features if masks is None else hide(features, masks))[:, None]

    def answer(self, pyramid: Pyramid[Tensor]) -> Tensor:
        """Embeddings (B, D), float32, of the trunk's features."""
        embeddings: Tensor = self.norm(self.embedding(self.pooling(pyramid.c5)))
        return embeddings.float()


def hide(features: Tensor, masks: Tensor) -> Tensor:
    """Set a block of frames and one of bins to zero, the mean: features (B, F, T), masks (B, 4)."""
    bins, frames = features.shape[1:]
    first_frame, length, first_bin, height = masks.to(features.device).T[..., None]
    column = torch.arange(frames, device=features.device)
    row = torch.arange(bins, device=features.device)
    hidden_frames = (column >= first_frame) & (column < first_frame + length)
    hidden_bins = (row >= first_bin) & (row < first_bin + height)
    return features.masked_fill(hidden_frames[:, None, :] | hidden_bins[:, :, None], 0.0)


def build(backbone: str, config: ModelConfig, speakers: int | None) -> SpeakerModel:
    """A model with a fresh backbone of the given name, on the CPU.

    Args:
        backbone: a name in BACKBONES.
        config: of features and head.
        speakers: training speakers, other speeds counted; None leaves the classifier out.

    Raises:
        UserError: no backbone has that name, or not with that width.
    """
    make = choose("--backbone", backbone, BACKBONES)
    width = {} if config.width is None else {"width": config.width}
    try:
        trunk = make(
            in_channels=1,
            strides=config.strides,
            stem_stride=config.stem_stride,
            max_pool=False,
            **width,
        )
    except ValueError as error:
        raise UserError(f"--model.width {config.width}: {error}") from error
    # Each convolution rounds up, so all of them together do.
    height = -(-config.bins // trunk.strides.c5)
    kind = StatisticsPooling if config.pooling == "statistics" else AttentiveStatisticsPooling
    pooling = kind(trunk.channels.c5, height, config.floor)
    # Rectified features are positive, so all embeddings point one way at first and their cosines
    # are near 1; without the normalisation it takes thousands of steps to leave that.
    norm = nn.BatchNorm1d(config.embedding, affine=False) if config.centred else nn.Identity()
    classifier = None
    if speakers is not None:
        classifier = Classifier(config.embedding, speakers, config.subcentres)
    return SpeakerModel(
        Fbank(config.bins, config.window, config.wave_scale),
        trunk,
        pooling,
        nn.Linear(pooling.out_features, config.embedding),
        norm,
        classifier,
    )


def start_from(model: SpeakerModel, config: Config) -> None:
    """Give a fresh model the weights that --weights or --finetune names, if any.

    Weights of a backbone may be for pictures: the colours of the first convolution are summed. With
    --new_speakers the class weights stay as they are.

    Raises:
        UserError, WeightsError: they cannot be read or do not fit.
    """
    if config.weights is not None:
        trained.load_trunk(model.backbone, config.weights, fit_stem=True)
    if config.finetune is not None:
        source = trained.read("--finetune", config.finetune, LAYOUT.translate)
        if config.new_speakers:
            flag = f"--finetune {config.finetune}"
            source = with_new_classes(model, source, speaker_rows, (), (), flag)
        trained.load(model, source, LAYOUT.explain)


def speaker_rows(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights that depend on the training speakers, `subcentres` rows for each."""
    return {key: value for key, value in state.items() if key.startswith("classifier.")}


def from_published(state: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """A checkpoint of WeSpeaker or 3D-Speaker under the names of `SpeakerModel`; else None.

    Both write the bare state dict of the net: `seg_1` is the embedding layer, in WeSpeaker
    `projection` holds the training speakers, and everything else is the backbone.
    """
    if _PUBLISHED_EMBEDDING + "weight" not in state:
        return None
    return {_own_name(key): value for key, value in state.items()}


def _own_name(key: str) -> str:
    for published, own in (
        (_PUBLISHED_EMBEDDING, "embedding."),
        (_PUBLISHED_CLASSIFIER, "classifier."),
    ):
        if key.startswith(published):
            return own + key.removeprefix(published)
    if key.startswith("pool."):
        return "pooling." + key.removeprefix("pool.")
    return ("backbone.fusion." if _FUSION.match(key) else "backbone.") + key


def to_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A `SpeakerModel`'s weights under the published names, as a bare state dict."""
    return {
        key.replace("embedding.", _PUBLISHED_EMBEDDING, 1)
        .replace("classifier.", _PUBLISHED_CLASSIFIER, 1)
        .removeprefix("backbone.")
        .removeprefix("fusion."): value
        for key, value in state.items()
    }


def without_classifier(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights that inference needs."""
    return {key: value for key, value in state.items() if not key.startswith("classifier.")}


def explain(wrong: Sequence[str], state: Mapping[str, Tensor]) -> str:
    """The likely cause when weights do not fit the model, for the message."""
    if all(key.startswith("classifier.") for key in wrong):
        found = state.get("classifier.weight")
        count = "no" if found is None else str(len(found))
        return (
            f": they are for {count} training speakers (speeds and --model.subcentres counted); "
            "take the --data.train and --data.speeds that they were trained with, or say "
            "--new_speakers"
        )
    if set(wrong) <= {_LAST, "embedding.bias"} and _LAST in state:
        return (
            f": their embedding layer maps {state[_LAST].shape[1]} numbers to "
            f"{state[_LAST].shape[0]}; see --model.embedding, --model.bins and --model.strides"
        )
    if all(key.startswith("norm.") for key in wrong):
        return ": they differ in the normalisation of embeddings; see --model.centred"
    if any(key.startswith(PREFIX) for key in wrong):
        settings = settings_of(state)
        if settings is not None:
            return f"; they look like {settings}"
    return hint(wrong, state)


LAYOUT = Layout(from_published, explain)
"""What is known of checkpoints of WeSpeaker and 3D-Speaker."""
