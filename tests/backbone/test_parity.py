"""Same weights in, same features out: timm and torchvision are the oracles."""

import pytest
import timm
import torch
import torchvision
from timm.layers import SEModule
from torchvision.models._utils import IntermediateLayerGetter

from backbone import MODELS

TOLERANCE = 1e-4
STRIDES = {
    32: {},
    16: {"strides": (1, 2, 2, 1), "dilations": (1, 1, 1, 2)},
    8: {"strides": (1, 2, 1, 1), "dilations": (1, 1, 2, 4)},
}
TIMM = {
    "res2net50_26w_4s": "res2net50_26w_4s",
    "res2net50_v1b": "res2net50d",
}
TIMM_SLOW = {
    "res2next50": "res2next50",
    "res2net50_48w_2s": "res2net50_48w_2s",
    "res2net50_14w_8s": "res2net50_14w_8s",
    "res2net50_26w_6s": "res2net50_26w_6s",
    "res2net50_26w_8s": "res2net50_26w_8s",
    "res2net101_26w_4s": "res2net101_26w_4s",
    "res2net101_v1b": "res2net101d",
}
EVEN, ODD = (128, 96), (97, 129)
# 16 dilates one of the two stages that 8 dilates.
every_stride = pytest.mark.parametrize("output_stride", STRIDES)
most_strides = pytest.mark.parametrize(
    "output_stride", [32, pytest.param(16, marks=pytest.mark.slow), 8]
)


def agree(ours, theirs, *sizes):
    """Every stage, relative to what it holds; and what it holds must be something."""
    for size in sizes:
        x = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0))
        with torch.inference_mode():
            pairs = list(zip(ours.eval()(x), theirs(x), strict=True))
        for ours_stage, theirs_stage in pairs:
            assert ours_stage.shape == theirs_stage.shape
            error = (ours_stage - theirs_stage).norm() / theirs_stage.norm()
            assert error < TOLERANCE
            assert theirs_stage.std() > 1e-3


def with_weights(name, output_stride, state):
    """A variant whose parameters and buffers are all given, so that it draws none of its own."""
    with torch.device("meta"):
        ours = MODELS[name](**STRIDES[output_stride])
    ours.load_state_dict(state, strict=True, assign=True)
    return ours


def timm_agrees(randomise, name, timm_name, output_stride, **options):
    levels = (1, 2, 3, 4, 5) if name.startswith("dla") else (0, 1, 2, 3, 4)
    theirs = timm.create_model(
        timm_name, features_only=True, out_indices=levels, output_stride=output_stride, **options
    )
    randomise(theirs)
    ours = with_weights(name, output_stride, theirs.state_dict())
    # timm's DLA cannot take odd sizes: its pools round down where its convolutions round up.
    agree(ours, theirs, EVEN, (64, 160) if name.startswith("dla") else ODD)


@pytest.mark.parametrize(("name", "timm_name"), TIMM.items())
@most_strides
def test_timm_agrees(randomise, name, timm_name, output_stride):
    timm_agrees(randomise, name, timm_name, output_stride)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "timm_name"), TIMM_SLOW.items())
@every_stride
def test_timm_agrees_on_the_others(randomise, name, timm_name, output_stride):
    timm_agrees(randomise, name, timm_name, output_stride)


@pytest.mark.parametrize("name", ["dla60_res2net", "dla60_res2next", "res2next50"])
def test_timm_agrees_at_the_usual_stride(randomise, name):
    timm_agrees(randomise, name, name, 32)


def test_timm_agrees_on_squeeze_and_excitation(randomise):
    timm_agrees(
        randomise,
        "se_res2net50_26w_4s",
        "res2net50_26w_4s",
        32,
        block_args={"scale": 4, "attn_layer": SEModule},
    )


@most_strides
def test_torchvision_agrees(randomise, output_stride):
    whole = torchvision.models.resnet50(
        replace_stride_with_dilation=[False, output_stride == 8, output_stride < 32]
    )
    randomise(whole)
    state = {key: value for key, value in whole.state_dict().items() if not key.startswith("fc.")}
    ours = with_weights("resnet50", output_stride, state)
    names = {"relu": "c1", "layer1": "c2", "layer2": "c3", "layer3": "c4", "layer4": "c5"}
    theirs = IntermediateLayerGetter(whole, names)
    agree(ours, lambda x: theirs(x).values(), EVEN, ODD)


def test_the_parity_test_would_notice_the_other_dilation_rule(randomise):
    """Untrained nets once compared equal in spite of this difference."""
    options = STRIDES[8]
    kept = randomise(MODELS["res2net26_14w_4s"](**options))
    full = MODELS["res2net26_14w_4s"](**options, dilate_first=True).eval()
    full.load_state_dict(kept.state_dict())
    x = torch.randn(1, 3, 97, 97, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        error = (kept(x).c5 - full(x).c5).norm() / kept(x).c5.norm()
    assert error > 100 * TOLERANCE
