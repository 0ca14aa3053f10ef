"""Seven detectors on any trunk; torchvision's own, given the same weights, are the oracle."""

import copy

import pytest
import torch
from torch import nn
from torchvision.models.detection import maskrcnn_resnet50_fpn
from torchvision.models.detection.roi_heads import paste_masks_in_image

from backbone import MODELS, deploy
from common.errors import UserError
from common.layers import FrozenBatchNorm2d
from tasks.detection.config import DetectorName, ModelConfig, ScoringConfig
from tasks.detection.export import aligned
from tasks.detection.model import build, classes_of, explain
from tasks.detection.published import COCO_GAPS, from_published
from tests.tasks.detection import oracle

DETECTORS = DetectorName.__args__
TINY = {"channels": 32, "box_channels": 16, "proposals": (60, 30), "samples": 16}


def tiny(detector, conventions="torchvision"):
    """FCOS normalises groups of channels, so it needs some."""
    channels = 64 if detector == "fcos" else 32
    return ModelConfig(detector=detector, conventions=conventions, **{**TINY, "channels": channels})


ALL = ScoringConfig(score_threshold=0.0, detections=20)


def batch(seed=0, masks=True):
    """Two pictures, 64 x 96 and 50 x 64, padded; the second without any object."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.zeros(2, 3, 64, 96, dtype=torch.uint8)
    images[0] = torch.randint(0, 256, (3, 64, 96), generator=generator)
    images[1, :, :50, :64] = torch.randint(0, 256, (3, 50, 64), generator=generator)
    sizes = torch.tensor([[64, 96], [50, 64]])
    targets = [
        {
            "boxes": torch.tensor([[4.0, 6.0, 40.0, 50.0], [30.0, 8.0, 90.0, 60.0]]),
            "labels": torch.tensor([1, 3]),
        },
        {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)},
    ]
    if masks:
        targets[0]["masks"] = torch.zeros(2, 64, 96, dtype=torch.uint8)
        targets[0]["masks"][0, 10:40, 8:30] = 1
        targets[0]["masks"][1, 10:50, 40:80] = 1
        targets[1]["masks"] = torch.zeros(0, 50, 64, dtype=torch.uint8)
    return images, sizes, targets


def step(model, images, sizes, targets):
    """Forward and backward; every parameter takes part in every step, as DDP wants."""
    terms = model(images, sizes, targets)
    assert all(torch.isfinite(term) and term.ndim == 0 for term in terms.values())
    sum(terms.values()).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("detector", DETECTORS)
def test_a_batch_without_any_object_can_be_learnt(detector):
    torch.manual_seed(0)
    config = tiny(detector)
    model = build("res2net26_14w_4s_half", 3, config)
    images, sizes, (_, empty) = batch(masks=config.masks)
    step(model, images, sizes, [empty, empty])


@pytest.mark.parametrize(
    ("detector", "conventions"),
    [*((one, "torchvision") for one in DETECTORS),
     *((one, "mmdetection") for one in DETECTORS if one not in ("retinanet", "fcos"))],
)  # fmt: skip
def test_a_detector_learns_and_finds(detector, conventions):
    torch.manual_seed(0)
    config = tiny(detector, conventions)
    model = build("res2net26_14w_4s_half", 3, config, ALL)
    images, sizes, targets = batch(masks=config.masks)
    step(model, images, sizes, targets)
    with torch.inference_mode():
        found = model.eval()(images, sizes)
    for one, (height, width) in zip(found, sizes.tolist(), strict=True):
        count = len(one["scores"])
        assert 0 < count <= 20
        assert one["boxes"].shape == (count, 4)
        assert (one["boxes"] >= 0).all()
        assert (one["boxes"] <= torch.tensor([width, height, width, height])).all()
        assert (one["scores"].diff() <= 0).all()
        assert set(one["labels"].tolist()) <= {1, 2, 3}
        assert ("masks" in one) == config.masks
        if config.masks:
            assert one["masks"].shape == (count, 1, 28, 28)


@pytest.mark.parametrize("name", ["res2net50_v1b", "dla60_res2net", "res2next50", "resnet26_half"])
def test_any_trunk_carries_a_detector(name):
    torch.manual_seed(0)
    model = build(name, 3, ModelConfig(detector="faster_rcnn", **TINY), ALL)
    images, sizes, targets = batch(masks=False)
    assert torch.isfinite(sum(model(images, sizes, targets).values()))
    assert model.neck.inner_blocks[3][0].in_channels == model.backbone.channels.c5


@pytest.mark.parametrize(
    ("detector", "conventions"),
    [(one, "torchvision") for one in ("mask_rcnn", "cascade_mask_rcnn", "retinanet", "fcos")]
    + [(one, "mmdetection") for one in ("mask_rcnn", "htc")],
)
def test_bf16_trains_and_keeps_boxes_exact(detector, conventions):
    torch.manual_seed(0)
    config = tiny(detector, conventions)
    model = build("res2net26_14w_4s_half", 3, config, ALL)
    images, sizes, targets = batch(masks=config.masks)
    with torch.autocast("cpu", torch.bfloat16):
        terms = model(images, sizes, targets)
        sum(terms.values()).backward()
        found = model.eval()(images, sizes)
    assert all(term.dtype == torch.float32 for term in terms.values())
    assert found[0]["boxes"].dtype == found[0]["scores"].dtype == torch.float32


def randomised(model):
    """BatchNorm with weights and statistics of its own: fresh ones hide mistakes."""
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if hasattr(module, "running_var"):
            module.running_mean.data.normal_(0, 0.1, generator=generator)
            module.running_var.data.uniform_(0.5, 1.5, generator=generator)
            module.weight.data.uniform_(0.5, 1.0, generator=generator)
    return model


@pytest.mark.parametrize("detector", ["faster_rcnn", "mask_rcnn", "retinanet", "fcos"])
def test_torchvision_gives_the_same_with_the_same_weights(detector):
    """Detections in 1e-4 pixels; and in training the terms that do not draw at random."""
    torch.manual_seed(0)
    two_stages = "rcnn" in detector
    threshold, count = 0.2 if two_stages else 0.01, 9
    prefix = "box_" if two_stages else ""
    settings = {f"{prefix}score_thresh": threshold, f"{prefix}detections_per_img": count}
    reference = randomised(
        oracle.build(detector, 4 if two_stages else 3, min_size=64, max_size=96, **settings)
    )
    config = ModelConfig(
        detector=detector, channels=oracle.CHANNELS, box_channels=oracle.BOX_CHANNELS,
        proposals=(2000, 1000), samples=512, anchor_size=32,
    )  # fmt: skip
    test = ScoringConfig(
        score_threshold=threshold,
        nms_threshold=0.6 if detector == "fcos" else 0.5,
        detections=count,
    )
    model = build(oracle.BACKBONE, 3, config, test)
    model.load_state_dict(from_published(reference.state_dict()))
    images, _, targets = batch()
    images[1, :, :64, :64] = images[0, :, :, :64]
    targets[1] = {**targets[1], "masks": torch.zeros(0, 64, 64, dtype=torch.uint8)}
    same_detections(model.eval(), reference.eval(), images, 0 if two_stages else 1)
    same_terms(model, reference, images, targets, 0 if two_stages else 1)


SIZES = torch.tensor([[64, 96], [64, 64]])


def pictures_of(images):
    """What torchvision's models take."""
    return [
        image[:, :height, :width] / 255
        for image, (height, width) in zip(images, SIZES.tolist(), strict=True)
    ]


def same_detections(model, reference, images, shift):
    with torch.inference_mode():
        found, wanted = model(images, SIZES), reference(pictures_of(images))
    for one, other in zip(found, wanted, strict=True):
        assert len(one["boxes"]) == 9
        torch.testing.assert_close(one["boxes"], other["boxes"], atol=1e-4, rtol=0)
        torch.testing.assert_close(one["scores"], other["scores"], atol=1e-6, rtol=0)
        assert torch.equal(one["labels"], other["labels"] + shift)
        if "masks" in one:  # theirs are of whole pictures
            pasted = paste_masks_in_image(one["masks"], one["boxes"], other["masks"].shape[-2:])
            torch.testing.assert_close(pasted, other["masks"], atol=1e-4, rtol=0)


def same_terms(model, reference, images, targets, shift):
    theirs = copy.deepcopy(targets)
    for target in theirs:
        target["labels"] -= shift
    for one in (model, reference):
        one.train()
        for module in one.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
    with torch.no_grad():
        terms = model(images, SIZES, targets)
        wanted = reference(pictures_of(images), theirs)
    assert set(terms) == set(wanted)
    for name in set(terms) - {"loss_objectness", "loss_classifier"}:  # of places drawn at random
        torch.testing.assert_close(terms[name], wanted[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("detector", "kept"), [("mask_rcnn", 81), ("retinanet", 80)])
def test_a_coco_model_of_torchvision_becomes_one_of_80_classes(detector, kept):
    """The rows of the numbers that COCO left out go, and one stage's background."""
    reference = oracle.build(detector, 91)
    state = from_published(reference.state_dict())
    numbers = [number for number in range(91 - 10 - kept, 91) if number not in COCO_GAPS]
    assert len(numbers) == kept
    assert classes_of(state) == 80
    if detector == "mask_rcnn":
        old = reference.roi_heads.box_predictor.bbox_pred.bias.data.view(91, 4)
        new = state["detector.roi_heads.box_predictor.bbox_pred.bias"].view(81, 4)
    else:
        old = reference.head.classification_head.cls_logits.weight.data.view(9, 91, -1)
        new = state["detector.head.classification_head.cls_logits.weight"].view(9, 80, -1)
        old, new = old.transpose(0, 1), new.transpose(0, 1)
    assert torch.equal(new, old[numbers])


@pytest.mark.parametrize("detector", ["mask_rcnn", "retinanet"])
def test_names_of_published_files_are_read(detector):
    """torchvision's files keep the layer names of their time, which torchvision itself reads."""
    reference = oracle.build(detector, 3)
    new = reference.state_dict()
    old = {_as_published(key, detector): value for key, value in new.items()}
    assert set(old) != set(new)
    reference.load_state_dict(dict(old))
    renamed, wanted = from_published(old), from_published(new)
    assert renamed.keys() == wanted.keys()
    assert all(torch.equal(renamed[key], wanted[key]) for key in wanted)
    assert from_published({"layer1.0.conv1.weight": torch.zeros(1)}) is None


def _as_published(key, detector):
    for number in range(4):
        for part in ("inner_blocks", "layer_blocks"):
            key = key.replace(f"{part}.{number}.0.", f"{part}.{number}.")
        key = key.replace(f"mask_head.{number}.0.", f"mask_head.mask_fcn{number + 1}.")
        if detector == "retinanet":
            key = key.replace(f"_head.conv.{number}.0.", f"_head.conv.{2 * number}.")
    return key.replace("rpn.head.conv.0.0.", "rpn.head.conv.")


@pytest.mark.slow
def test_torchvision_gives_the_same_in_full_size():
    torch.manual_seed(0)
    reference = randomised(
        maskrcnn_resnet50_fpn(
            weights=None, weights_backbone=None, num_classes=4, min_size=64, max_size=96,
            box_score_thresh=0.2, box_detections_per_img=9,
        )
    )  # fmt: skip
    config = ModelConfig(
        channels=256, box_channels=1024, anchor_size=32, proposals=(2000, 1000), samples=512
    )
    model = build("resnet50", 3, config, ScoringConfig(score_threshold=0.2, detections=9))
    counts = {key: value for key, value in model.state_dict().items() if "num_batches" in key}
    model.load_state_dict({**counts, **from_published(reference.state_dict())})
    images, *_ = batch()
    images[1, :, :64, :64] = images[0, :, :, :64]
    same_detections(model.eval(), reference.eval(), images, 0)


def test_frozen_stages_and_batchnorm_stay():
    model = build(
        "res2net26_14w_4s_half", 3, ModelConfig(frozen_stages=2, frozen_batchnorm=True, **TINY)
    )
    trunk = model.backbone.train()
    norms = [module for module in trunk.modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms
    assert all(isinstance(norm, FrozenBatchNorm2d) and not norm.training for norm in norms)
    learning = {name.split(".")[0] for name, one in trunk.named_parameters() if one.requires_grad}
    assert learning == {"layer2", "layer3", "layer4"}
    live = build("dla60_res2net", 3, ModelConfig(frozen_stages=2, **TINY)).backbone
    learning = {name.split(".")[0] for name, one in live.named_parameters() if one.requires_grad}
    assert learning == {"level3", "level4", "level5"}
    assert any(type(module) is nn.BatchNorm2d for module in live.level3.modules())
    assert not any(type(module) is nn.BatchNorm2d for module in live.level2.modules())


def test_padding_changes_nothing_but_the_borders_reach():
    """What lies beyond a picture is ignored, whatever bytes are there."""
    torch.manual_seed(0)
    model = randomised(build("res2net26_14w_4s_half", 3, ModelConfig(**TINY), ALL)).eval()
    images, sizes, _ = batch()
    littered = images.clone()
    littered[1, :, 50:] = 255
    littered[1, :, :, 64:] = 99
    with torch.inference_mode():
        clean, dirty = model(images, sizes)[1], model(littered, sizes)[1]
    assert all(torch.equal(clean[name], dirty[name]) for name in clean)


def test_the_cause_of_wrong_weights_is_named():
    state = build("res2net26_14w_4s_half", 5, ModelConfig(**TINY)).state_dict()
    prefix = "detector.roi_heads."
    wrong = [
        f"{prefix}box_predictor.cls_score.bias",
        f"{prefix}mask_predictor.mask_fcn_logits.bias",
    ]
    assert "they are for 5 classes" in explain(wrong, state)
    assert "--model.detector" in explain(["detector.rpn.head.cls_logits.x"], state)
    assert "--backbone res2net26_14w_4s_half" in explain(["backbone.conv1.weight"], state)
    for detector in ("retinanet", "fcos", "cascade_rcnn"):
        model = build("res2net26_14w_4s_half", 5, tiny(detector))
        assert classes_of(model.state_dict()) == 5


def test_an_unknown_backbone_is_named():
    with pytest.raises(UserError, match="--backbone resnet51"):
        build("resnet51", 3, ModelConfig())
    assert "resnet51" not in MODELS


@pytest.mark.parametrize(
    ("detector", "conventions"),
    [*((one, "torchvision") for one in DETECTORS), ("htc", "mmdetection")],
)
def test_a_deployed_detector_finds_the_same(detector, conventions):
    torch.manual_seed(0)
    config = tiny(detector, conventions)
    model = randomised(build("res2net26_14w_4s_half", 3, config, ALL)).eval()
    for name, parameter in model.named_parameters():
        if name.endswith("cls_logits.weight"):
            parameter.data *= 100  # fresh heads score every place alike, and ties have no order
    images, sizes, _ = batch()
    with torch.inference_mode():
        found, wanted = deploy(model)(images, sizes), model(images, sizes)
    for one, other in zip(found, wanted, strict=True):
        # Of scores that are equal but for rounding, either may come first.
        names = ["boxes", "scores", "labels", *other.keys() - {"boxes", "scores", "labels"}]
        ordered = aligned(*(tuple(part[name][None] for name in names) for part in (one, other)))
        for name, ours in zip(names, ordered, strict=True):
            torch.testing.assert_close(ours[0], other[name], atol=1e-3, rtol=1e-3)
