"""The joined model: sizes, gradients, names, weights."""

import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from backbone import MODELS, load
from common.commands import trained
from common.commands.trained import Trained
from common.errors import UserError
from common.networks.decoder import DECODERS
from common.training import optim
from common.training.optim import OptimizerConfig
from tasks.segmentation.config import ModelConfig
from tasks.segmentation.model import build, explain, from_published
from tests.tasks.segmentation.oracle import BACKBONE, write_run

EVERY = [(name, stride) for name, one in DECODERS.items() for stride in one.output_strides]


def tiny(decoder="deeplabv3plus", stride=16, **options):
    torch.manual_seed(0)
    options = {"channels": 32, "auxiliary": False, **options}
    return build(BACKBONE, 4, ModelConfig(decoder=decoder, output_stride=stride, **options))


def pictures(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize(("decoder", "stride"), EVERY)
def test_every_decoder_gives_logits_of_the_picture_s_size_and_learns(decoder, stride):
    model = tiny(decoder, stride).train()
    found = model(pictures(2, 3, 70, 37))
    assert found.main.shape == (2, 4, 70, 37)
    assert found.auxiliary is None
    found.main.square().sum().backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None]
    assert not silent


@pytest.mark.parametrize(("decoder", "stride"), EVERY)
def test_which_decoders_cannot_train_on_one_sample(decoder, stride):
    model = tiny(decoder, stride).train()
    if DECODERS[decoder].normalizes_pools:
        with pytest.raises(ValueError, match="more than 1 value per channel"):
            model(pictures(1, 3, 128, 128))
    else:
        model(pictures(1, 3, 128, 128))
    assert model.eval()(pictures(1, 3, 33, 33)).main.shape == (1, 4, 33, 33)


@pytest.mark.parametrize("size", [(1, 1), (32, 32), (20, 33)])
def test_small_pictures_go_through_the_normalisation_of_fpn(size):
    model = tiny("fpn", 32, channels=64).eval()
    assert model(pictures(1, 3, *size)).main.shape == (1, 4, *size)


@settings(max_examples=8, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90))
def test_any_size_goes(height, width):
    with torch.inference_mode():
        found = tiny().eval()(pictures(1, 3, height, width))
    assert found.main.shape == (1, 4, height, width)
    assert torch.isfinite(found.main).all()


def test_padding_is_the_mean_colour_at_the_right_and_below():
    model = tiny().eval()
    picture = pictures(1, 3, 60, 50)
    mean = (255 * torch.tensor([0.485, 0.456, 0.406])).view(1, 3, 1, 1)
    whole = mean.expand(1, 3, 64, 64).clone()
    whole[..., :60, :50] = picture
    with torch.inference_mode():
        torch.testing.assert_close(
            model(picture).main, model(whole).main[..., :60, :50], rtol=1e-3, atol=1e-4
        )


def test_the_auxiliary_head_speaks_in_training_only():
    model = tiny(auxiliary=True).train()
    found = model(pictures(2, 3, 50, 40))
    assert found.auxiliary.shape == (2, 4, 50, 40)
    found.auxiliary.square().sum().backward()
    assert model.auxiliary[0].weight.grad.any()
    assert model.backbone.layer3[1].conv3.weight.grad.any()
    assert model.backbone.layer4[0].conv1.weight.grad is None
    assert model.eval()(pictures(2, 3, 50, 40)).auxiliary is None


def test_atrous_rates_double_with_the_resolution():
    def rates(stride, **options):
        model = tiny("deeplabv3plus", stride, **options)
        convs = [m for m in model.decoder.modules() if isinstance(m, nn.Conv2d)]
        return [conv.dilation[0] for conv in convs if conv.dilation[0] > 1]

    assert rates(16) == [6, 12, 18]
    assert rates(8) == [12, 24, 36]
    assert rates(16, atrous_rates=(2, 3, 4)) == [2, 3, 4]


def test_separable_pyramids_are_smaller():
    sizes = [sum(p.numel() for p in tiny(separable=s).parameters()) for s in (True, False)]
    assert sizes[0] < 0.8 * sizes[1]


def test_the_trunk_keeps_its_names_and_its_output_stride():
    model = tiny("deeplabv3plus", 8)
    own = {
        key.removeprefix("backbone.") for key in model.state_dict() if key.startswith("backbone.")
    }
    assert own == set(MODELS[BACKBONE]().state_dict())
    assert model.backbone.strides.c5 == 8


def test_the_head_learns_ten_times_as_fast():
    settings = OptimizerConfig(name="sgd", learning_rate=0.07, backbone_factor=0.1)
    model = tiny(auxiliary=True)
    rates = {
        id(p): group["lr"] for group in optim.build(model, settings).param_groups
        for p in group["params"]
    }  # fmt: skip
    for name, parameter in model.named_parameters():
        wanted = 0.007 if name.startswith("backbone.") else 0.07
        assert rates[id(parameter)] == pytest.approx(wanted)


def test_a_run_is_a_source_of_weights_for_other_output_strides(tmp_path):
    old = write_run(tmp_path / "run")
    model = build(BACKBONE, 9, ModelConfig(decoder="unet", output_stride=32, channels=64))
    load(model.backbone, str(tmp_path / "run"))
    assert torch.equal(model.backbone.layer4[1].conv3.weight, old.backbone.layer4[1].conv3.weight)


def test_an_unknown_backbone():
    with pytest.raises(UserError, match="--backbone resnet51: unknown"):
        build("resnet51", 4, ModelConfig())


def test_every_backbone_of_a_recipe_can_be_built_and_decoded():
    # DLA's own decoder levels have other widths; nothing may rely on a ResNet's.
    model = build("dla60_res2net", 3, ModelConfig(channels=32)).eval()
    with torch.inference_mode():
        assert model(pictures(1, 3, 65, 49)).main.shape == (1, 3, 65, 49)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"classes": 7}, "they are for 4 classes"),
        ({"decoder": "unet"}, "--model.decoder"),
        ({"channels": 64}, "--model.channels"),
        ({"backbone": "resnet26_half"}, "--backbone"),
    ],
)
def test_weights_of_another_model_say_why(tmp_path, change, words):
    weights = Trained(tmp_path / "best.pt", tiny().state_dict(), 1)
    settings = {"channels": 32, "auxiliary": False} | {
        k: v for k, v in change.items() if k in ("decoder", "channels")
    }
    model = build(
        change.get("backbone", BACKBONE), change.get("classes", 4), ModelConfig(**settings)
    )
    with pytest.raises(UserError) as caught:
        trained.load(model, weights, explain)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_published_layout_is_known():
    assert from_published({"aspp.aspp1.bn.weight": torch.zeros(1)}) is None


def test_building_says_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tiny()
