"""The network: the published semantic head, its loss, and checkpoints of other code bases."""

import pickle
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from backbone import MODELS, layouts
from common.commands import trained
from common.errors import UserError
from tasks.panoptic.checkpoints import COCO, DETECTRON2_TRUNK, known_classes, translation
from tasks.panoptic.config import Config, ModelConfig
from tasks.panoptic.loss import IGNORED, semantic_term
from tasks.panoptic.model import build
from tasks.panoptic.published import from_published
from tasks.panoptic.semantic import SemanticHead
from tests.tasks.panoptic import small
from tests.tasks.panoptic.golden import filled

LOGITS = (1.594072, 0.35729, -3.023719, 0.497973, 0.567872, -2.052786)
"""Of detectron2's own semantic head, its weights filled by their names."""
COUNTS = {
    7: 190, 13: 1448, 14: 50, 20: 67, 29: 13, 42: 62, 43: 1678, 47: 35, 49: 78, 50: 260, 51: 1804,
    52: 459,
}  # fmt: skip


@pytest.fixture(scope="module")
def head():
    """detectron2's head under the names here."""
    own = SemanticHead(256, 128, 54)
    shapes = {
        re.sub(r"^levels\.(\d)\.(\d)\.1\.", lambda m: f"p{int(m[1]) + 2}.{m[2]}.norm.", key): value
        for key, value in own.state_dict().items()
    }
    shapes = {
        re.sub(r"^levels\.(\d)\.(\d)\.0\.", lambda m: f"p{int(m[1]) + 2}.{m[2]}.", key): value.shape
        for key, value in shapes.items()
    }
    state = {f"sem_seg_head.{key}": value for key, value in filled(shapes).items()}
    state["backbone.bottom_up.stem.bn1.weight"] = torch.zeros(1)
    found = from_published(state)
    own.load_state_dict(
        {k.removeprefix("semantic."): v for k, v in found.items() if k.startswith("semantic.")}
    )
    return own.double().eval()


def levels():
    channel, row, column = np.mgrid[:256, :16, :24]
    return {
        str(place): torch.from_numpy(np.sin(0.1 * channel + 0.3 * column + 0.2 * row + place + 2))[
            None, :, : 16 >> place, : 24 >> place
        ]
        for place in range(4)
    }


def test_the_semantic_head_is_the_published_one(head):
    assert sum(one.numel() for one in head.parameters()) == 1_630_774
    with torch.inference_mode():
        logits = head(levels())
    assert logits.shape == (1, 54, 16, 24)
    assert logits.norm().item() == pytest.approx(310.657485)
    flat = logits.flatten()
    samples = [flat[place * flat.numel() // 6].item() for place in range(6)]
    assert samples == pytest.approx(LOGITS, abs=1e-6)
    full = torch.nn.functional.interpolate(logits, scale_factor=4, mode="bilinear")
    assert full.norm().item() == pytest.approx(1237.359045)
    labels, counts = full.argmax(1).unique(return_counts=True)
    assert dict(zip(labels.tolist(), counts.tolist(), strict=True)) == COUNTS
    rows, columns = np.mgrid[:64, :96]
    wanted = (columns // 8 + rows // 8) % 54
    wanted[:8] = IGNORED
    loss = 0.5 * semantic_term(logits, [torch.from_numpy(wanted)], (64, 96))
    assert loss.item() == pytest.approx(3.45354668, abs=1e-6)


TRUNK = (
    *((rf"^layer{number}\.", f"res{number + 1}.") for number in range(1, 5)),
    (r"\.bn([13])\.", r".conv\1.norm."),
    (r"\.downsample\.2\.", ".shortcut.1.norm."),
    (r"\.downsample\.1\.", ".shortcut.1."),
    (r"^bn1\.", "stem.bn1."),
    (r"^conv1\.", "stem.conv1."),
)


@pytest.mark.slow
def test_the_trunk_is_detectron2s():
    """Its first blocks have the stride in the 1x1 convolution, and pool nothing."""
    trunk = MODELS[DETECTRON2_TRUNK]().double().eval()
    own = trunk.state_dict()
    names = {key: key for key in own if not key.endswith("num_batches_tracked")}
    for pattern, replacement in TRUNK:
        names = {key: re.sub(pattern, replacement, name) for key, name in names.items()}
    weights = filled({names[key]: tuple(own[key].shape) for key in names})
    trunk.load_state_dict({key: weights[names[key]] if key in names else own[key] for key in own})
    rows, columns, channels = np.mgrid[:96, :128, :3]
    picture = (7 * columns + 13 * rows + 29 * channels) % 256
    normalised = (picture - (123.675, 116.28, 103.53)) / (58.395, 57.12, 57.375)
    with torch.inference_mode():
        found = trunk(torch.tensor(normalised).permute(2, 0, 1)[None])
    norms = [stage.norm().item() for stage in found[1:]]
    assert norms == pytest.approx([564.603194, 717.043730, 81879.325118, 64687.208455])
    flat = found.c3.flatten()
    samples = [flat[place * flat.numel() // 6].item() for place in range(6)]
    wanted = (1.023361, 0.004726, 0.9932, 1.801758, 0.523778, 0.939256)
    assert samples == pytest.approx(wanted, abs=1e-5)


def test_what_is_not_labelled_teaches_nothing():
    logits = torch.randn(2, 3, 4, 6, requires_grad=True)
    void = [torch.full((16, 20), IGNORED), torch.full((10, 24), IGNORED)]
    assert semantic_term(logits, void, (16, 24)).item() == 0
    void[0][3, 5] = 1
    term = semantic_term(logits, void, (16, 24))
    assert term.item() > 0
    term.backward()
    assert not logits.grad[1].any() and logits.grad[0, :, 0, 1].any()


def published(names, backbone):
    """A model's weights under the names of another code base, with its order of classes."""
    config = Config(
        backbone=backbone,
        model=ModelConfig(channels=32, box_channels=16, semantic_channels=32),
    )
    torch.manual_seed(1)
    model = build(config, 3, 4)
    for part in model.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.2)
    state = {}
    for key, value in model.state_dict().items():
        other = key
        for pattern, replacement in names:
            other = re.sub(pattern, replacement, other)
        if "cls_score" in key:
            value = value.roll(-1, 0)
        elif "bbox_pred" in key and "roi_heads" in key:
            value = value[4:]
        elif "mask_fcn_logits" in key:
            value = value[1:]
        state[other] = value
    return config, model, state


TO_MMDETECTION = (
    (r"^backbone\.conv1\.", "backbone.stem."),
    (r"^backbone\.bn1\.", "backbone.stem.7."),
    (r"^neck\.inner_blocks\.(\d)\.0", r"neck.lateral_convs.\1.conv"),
    (r"^neck\.layer_blocks\.(\d)\.0", r"neck.fpn_convs.\1.conv"),
    (r"^detector\.rpn\.head\.conv\.0\.0", "rpn_head.rpn_conv"),
    (r"^detector\.rpn\.head\.cls_logits", "rpn_head.rpn_cls"),
    (r"^detector\.rpn\.head\.bbox_pred", "rpn_head.rpn_reg"),
    (r"^detector\.roi_heads\.box_head\.fc6", "roi_head.bbox_head.shared_fcs.0"),
    (r"^detector\.roi_heads\.box_head\.fc7", "roi_head.bbox_head.shared_fcs.1"),
    (r"^detector\.roi_heads\.box_predictor\.cls_score", "roi_head.bbox_head.fc_cls"),
    (r"^detector\.roi_heads\.box_predictor\.bbox_pred", "roi_head.bbox_head.fc_reg"),
    (r"^detector\.roi_heads\.mask_head\.(\d)\.0", r"roi_head.mask_head.convs.\1.conv"),
    (r"^detector\.roi_heads\.mask_predictor\.conv5_mask", "roi_head.mask_head.upsample"),
    (r"^detector\.roi_heads\.mask_predictor\.mask_fcn_logits", "roi_head.mask_head.conv_logits"),
)
LAYERS = {"0": "0", "2": "1", "4": "2"}


def to_mmdetection(state):
    """The semantic head's names and its rows, the things' last."""
    found = {}
    for key, value in state.items():
        match = re.match(r"semantic\.levels\.(\d)\.(\d)\.([01])\.(\w+)$", key)
        if match:
            level, layer, part, name = match.groups()
            kind = "gn" if part == "1" else "conv"
            key = f"semantic_head.conv_upsample_layers.{level}.conv.{LAYERS[layer]}.{kind}.{name}"
        elif key.startswith("semantic.predictor."):
            key, value = (
                key.replace("semantic.predictor", "semantic_head.conv_logits"),
                value.roll(-1, 0),
            )
        found[key] = value
    return found


def to_detectron2(state):
    """From mmdetection's names and this project's semantic head to detectron2's names."""
    pairs = (
        (r"\.bn([13])\.", r".conv\1.norm."),
        (r"^backbone\.stem\.7\.", "backbone.bottom_up.stem.bn1."),
        (r"^backbone\.stem\.", "backbone.bottom_up.stem.conv1."),
        (r"\.downsample\.2\.", ".shortcut.1.norm."),
        (r"\.downsample\.1\.", ".shortcut.1."),
        *((rf"^backbone\.layer{n}\.", f"backbone.bottom_up.res{n + 1}.") for n in range(1, 5)),
        *((rf"^neck\.lateral_convs\.{n}\.conv", f"backbone.fpn_lateral{n + 2}") for n in range(4)),
        *((rf"^neck\.fpn_convs\.{n}\.conv", f"backbone.fpn_output{n + 2}") for n in range(4)),
        (r"^rpn_head\.rpn_conv", "proposal_generator.rpn_head.conv"),
        (r"^rpn_head\.rpn_cls", "proposal_generator.rpn_head.objectness_logits"),
        (r"^rpn_head\.rpn_reg", "proposal_generator.rpn_head.anchor_deltas"),
        (r"^roi_head\.bbox_head\.shared_fcs\.0", "roi_heads.box_head.fc1"),
        (r"^roi_head\.bbox_head\.shared_fcs\.1", "roi_heads.box_head.fc2"),
        (r"^roi_head\.bbox_head\.fc_cls", "roi_heads.box_predictor.cls_score"),
        (r"^roi_head\.bbox_head\.fc_reg", "roi_heads.box_predictor.bbox_pred"),
        *(
            (rf"^roi_head\.mask_head\.convs\.{n}\.conv", f"roi_heads.mask_head.mask_fcn{n + 1}")
            for n in range(4)
        ),
        (r"^roi_head\.mask_head\.upsample", "roi_heads.mask_head.deconv"),
        (r"^roi_head\.mask_head\.conv_logits", "roi_heads.mask_head.predictor"),
        *(
            (rf"^semantic\.levels\.{n}\.(\d)\.1\.", rf"sem_seg_head.p{n + 2}.\1.norm.")
            for n in range(4)
        ),
        *((rf"^semantic\.levels\.{n}\.(\d)\.0\.", rf"sem_seg_head.p{n + 2}.\1.") for n in range(4)),
        (r"^semantic\.predictor", "sem_seg_head.predictor"),
    )
    found = {}
    for key, value in state.items():
        for pattern, replacement in pairs:
            key = re.sub(pattern, replacement, key)
        if "num_batches_tracked" not in key:
            found[key] = value
    found["pixel_mean"] = torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1)
    found["pixel_std"] = torch.tensor([58.395, 57.12, 57.375]).view(3, 1, 1)
    return found


@pytest.fixture(scope="module", params=["mmdetection", "detectron2"])
def layout(request):
    """A code base, and a config, a model and its weights as that code base would save them."""
    theirs = request.param == "detectron2"
    backbone = DETECTRON2_TRUNK if theirs else "res2net50_v1b_strided"
    config, model, state = published(TO_MMDETECTION, backbone)
    return request.param, config, model, (to_detectron2 if theirs else to_mmdetection)(state)


def test_a_checkpoint_of_others_is_the_same_model(layout):
    code, config, model, state = layout
    with pytest.raises(UserError, match=r"say --model\.conventions mmdetection"):
        translation(config)(state)
    config = replace(config, model=replace(config.model, conventions="mmdetection"))
    found, wanted = translation(config)(state), model.state_dict()
    counted = {key for key in wanted if key.endswith("num_batches_tracked")}
    assert found.keys() | counted == wanted.keys()
    for key, value in found.items():
        own = wanted[key].clone()
        if "bbox_pred" in key and "roi_heads" in key:
            own[:4] = 0  # of the background, which has no box and no mask there
        elif "mask_fcn_logits" in key:
            own[:1] = 0
        assert torch.equal(value, own), key
    if code == "mmdetection":  # its names say the rule, which is asked for when they are loaded
        assert layouts.first_block(state) == "strided"
        return
    with pytest.raises(UserError, match="say --backbone res2net101_v1b_unpooled"):
        translation(replace(config, backbone="res2net101_v1b"))(state)


def test_detectron2s_pickle_of_arrays_is_read(layout, tmp_path):
    code, config, _, state = layout
    if code == "detectron2":
        arrays = {key: value.numpy() for key, value in state.items()}
        file = tmp_path / "model_final.pkl"
        file.write_bytes(pickle.dumps({"model": arrays, "__author__": "someone"}))
        config = replace(config, model=replace(config.model, conventions="mmdetection"))
        found = trained.read("--checkpoint", file, translation(config)).state
        wanted = translation(config)(state)
        assert found.keys() == wanted.keys()
        assert all(torch.equal(found[key], wanted[key]) for key in wanted)


def test_pixels_that_are_normalised_otherwise_are_refused(layout):
    code, _, _, state = layout
    if code == "detectron2":
        bgr = {**state, "pixel_mean": torch.tensor([103.53, 116.28, 123.675])}
        with pytest.raises(UserError, match=r"pixel_mean of these weights is \[103\.53"):
            from_published(bgr)


def test_eighty_and_fifty_three_classes_are_cocos():
    assert len(COCO.things) == 80 and len(COCO.stuff) == 53
    assert sorted(COCO.stuff_ids) == list(COCO.stuff_ids) and COCO.stuff_ids[0] == 92
    state = {
        "detector.roi_heads.box_predictor.cls_score.bias": torch.zeros(81),
        "semantic.predictor.bias": torch.zeros(54),
    }
    assert known_classes(small.weights(state)) == COCO
    state["semantic.predictor.bias"] = torch.zeros(50)
    assert known_classes(small.weights(state)).things == ()


def test_weights_of_other_classes_say_what_to_do():
    config = small.tiny_config()
    state = build(config, 5, 3).state_dict()
    with pytest.raises(UserError, match="they are for 3 classes of stuff"):
        small.load(build(config, 5, 4), state)
    with pytest.raises(UserError, match="they are for 5 classes"):
        small.load(build(config, 2, 3), state)
    bare = {key: value for key, value in state.items() if not key.startswith("semantic.")}
    with pytest.raises(UserError, match="a detector without a semantic head"):
        small.load(build(config, 5, 3), bare)
