"""Trunks as encoders of segmentation-models-pytorch: by name, in every decoder, at every stride."""

import pytest
import segmentation_models_pytorch as smp
import torch
from torch import nn

from backbone import MODELS
from backbone.variants import first_block_of
from common.networks.encoder import OUTPUT_STRIDES, PREFIX, Encoder, register

SMALL = "res2net26_14w_4s_half"
LIBRARY = {
    "Unet": {}, "UnetPlusPlus": {}, "MAnet": {"decoder_pab_channels": 8}, "Linknet": {}, "FPN": {},
    "PSPNet": {}, "DeepLabV3": {}, "DeepLabV3Plus": {}, "PAN": {}, "UPerNet": {}, "Segformer": {},
}  # fmt: skip


@pytest.fixture(autouse=True)
def registered():
    register()


def randomise(module):
    """Batch norms of their own: a fresh one is the identity, and different nets agree by chance."""
    generator = torch.Generator().manual_seed(1)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.weight.data.uniform_(0.3, 0.9, generator=generator)
            part.bias.data.normal_(0, 0.2, generator=generator)
            part.running_mean.normal_(0, 0.2, generator=generator)
            part.running_var.uniform_(0.5, 1.5, generator=generator)
    return module.eval()


def images(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def same(ours, theirs, tolerance=1e-4):
    assert ours.shape == theirs.shape
    assert theirs.std() > 1e-4
    return (ours - theirs).norm() / theirs.norm() < tolerance


class WidePool(nn.Module):
    """An average over 3x3 or 2x2 features, dilated like the convolutions beside it."""

    def __init__(self, side):
        super().__init__()
        self.side = side

    def forward(self, x):
        kernel = x.new_full((x.shape[1], 1, self.side, self.side), self.side**-2)
        before = 2 * (self.side // 2) if self.side % 2 else 0
        padded = nn.functional.pad(x, (before, 2, before, 2))
        return nn.functional.conv2d(padded, kernel, dilation=2, groups=x.shape[1])


def widen_pools(block):
    """Dilate the pools of a stage's first block, its shortcut's as well."""
    if isinstance(getattr(block, "pool", None), nn.AvgPool2d):
        block.pool = WidePool(3)
    if len(block.downsample) == 3:
        block.downsample[0] = WidePool(2)


# The other rules pool by the stride alone: where it is traded for dilation they pass the chunk on.
POOLED = [name for name in MODELS if first_block_of(name) == "pooled"]


@pytest.mark.parametrize("name", [name for name in POOLED if not name.startswith("dla")])
def test_the_dilated_features_of_every_variant_hold_the_strided_ones(name):
    """Trading a stride for dilation adds features in between and leaves the others as they were.

    So every second, or fourth, feature of the dilated trunk is the strided trunk's: an oracle that
    no other implementation can share a mistake with. Two things are outside of the rule: the global
    average of squeeze and excitation, and at stride 8 the pools of the last stage, which published
    weights want with their plain kernels.
    """
    torch.manual_seed(0)
    strided = without_excitation(randomise(MODELS[name](width=16)))
    x = images(1, 3, 64, 64)
    with torch.inference_mode():
        wanted = strided(x)
        for output_stride in (16, 8):
            with torch.device("meta"):  # all weights are given
                dilated = MODELS[name](width=16, **OUTPUT_STRIDES[output_stride]).eval()
            without_excitation(dilated).load_state_dict(strided.state_dict(), assign=True)
            if output_stride == 8:
                widen_pools(dilated.layer4[0])
            found = dilated(x)
            for ours, theirs, own, stride in zip(
                found, wanted, dilated.strides, strided.strides, strict=True
            ):
                assert ours.shape[-1] == 64 // own
                step = stride // own
                assert same(ours[..., ::step, ::step], theirs)
            assert dilated.strides.c5 == output_stride


def without_excitation(trunk):
    for block in trunk.modules():
        if hasattr(block, "se"):
            block.se = nn.Identity()
    return trunk


@pytest.mark.parametrize("name", ["dla60_res2net", "dla60_res2next", "res2net50_v1b"])
@pytest.mark.parametrize("output_stride", [8, 16])
def test_encoders_have_both_output_strides(name, output_stride):
    with torch.device("meta"):
        encoder = Encoder(name, output_stride=output_stride).eval()
        features = encoder(torch.empty(1, 3, 64, 128))
    assert encoder.output_stride == output_stride
    assert [128 // feature.shape[-1] for feature in features] == [
        1, 2, 4, 8, min(16, output_stride), output_stride,
    ]  # fmt: skip


def test_the_library_s_own_dilation_breaks_the_trunk():
    """The reason for `Encoder.make_dilated`: strided pools keep their stride."""
    trunk = MODELS[SMALL]()
    smp.encoders._utils.replace_strides_with_dilation(trunk.layer4, 2)
    with pytest.raises(RuntimeError, match="Sizes of tensors must match"):
        trunk(images(2, 3, 64, 64))


@pytest.mark.parametrize("output_stride", [16, 8])
def test_the_whole_network_is_that_of_timm_s_res2net(output_stride):
    """The library's own path to a Res2Net, by timm, with the same weights."""
    options = {"encoder_weights": None, "classes": 5, "encoder_output_stride": output_stride}
    theirs = randomise(smp.DeepLabV3Plus("tu-res2net50_26w_4s", **options))
    ours = smp.DeepLabV3Plus(PREFIX + "res2net50_26w_4s", **options).eval()
    ours.load_state_dict(
        {
            key.replace("encoder.model.", "encoder.trunk."): value
            for key, value in theirs.state_dict().items()
        }
    )
    x = images(1, 3, 96, 64)
    with torch.inference_mode():
        assert same(ours(x), theirs(x))


@pytest.mark.parametrize("architecture", list(LIBRARY))
def test_every_decoder_of_the_library_takes_a_trunk_by_name(architecture):
    network = smp.create_model(
        architecture, PREFIX + SMALL, encoder_weights=None, classes=3, **LIBRARY[architecture]
    )
    assert isinstance(network.encoder, Encoder)
    # PAN's pyramid needs eight features a side.
    logits = network.eval()(images(1, 3, 128, 160))
    assert logits.shape == (1, 3, 128, 160)


def test_every_name_is_registered_and_none_of_the_library_s_is_lost():
    names = smp.encoders.get_encoder_names()
    assert {PREFIX + name for name in MODELS} <= set(names)
    assert "encoder" in smp.encoders.encoders["resnet50"]
    assert not issubclass(smp.encoders.encoders["resnet50"]["encoder"], Encoder)
    register()
    assert smp.encoders.get_encoder_names() == names


@pytest.mark.parametrize("depth", [1, 3, 5])
@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_what_an_encoder_says_of_itself_is_true(depth, output_stride):
    encoder = Encoder(SMALL, depth, output_stride).eval()
    features = encoder(images(1, 3, 64, 64))
    assert [feature.shape[1] for feature in features] == encoder.out_channels
    assert len(features) == depth + 1
    assert 64 // features[-1].shape[-1] == encoder.output_stride


def test_pictures_with_other_channels():
    network = smp.Unet(PREFIX + SMALL, encoder_weights=None, in_channels=1, classes=2)
    assert network.encoder.out_channels[0] == 1
    assert network.eval()(images(1, 1, 64, 64)).shape == (1, 2, 64, 64)
    dilated = smp.DeepLabV3(PREFIX + SMALL, encoder_weights=None, in_channels=4, classes=2)
    assert dilated.encoder.output_stride == 8


def test_what_an_encoder_refuses():
    with pytest.raises(ValueError, match="depth is 6"):
        Encoder(SMALL, 6)
    with pytest.raises(ValueError, match="output_stride is 4"):
        Encoder(SMALL, 5, 4)
    encoder = Encoder(SMALL, 5, 16)
    encoder.make_dilated(16)
    with pytest.raises(ValueError, match="has output stride 16, not 8"):
        encoder.make_dilated(8)
    with pytest.raises(ValueError, match=r"backbone\.load"):
        encoder.set_in_channels(3, pretrained=True)
    with pytest.raises(KeyError, match="imagenet"):
        smp.Unet(PREFIX + SMALL, encoder_weights="imagenet")
