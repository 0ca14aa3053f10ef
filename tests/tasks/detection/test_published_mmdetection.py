"""mmdetection's five Res2Net-101 detectors against what its own code found.

`published.json.gz` holds names and shapes of their weights, what its code recorded of five features
and the hundred detections, all with weights that depend on names alone (benchmarks/golden).
"""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import box_iou

from backbone import MODELS, deploy
from benchmarks.golden import detection as golden
from benchmarks.golden.compare import BAR, weights_of
from common.commands import trained
from common.commands.trained import Trained
from common.errors import UserError
from tasks.detection.checkpoints import class_rows, known_classes, translation
from tasks.detection.conventions import CONVENTIONS
from tasks.detection.inference import in_originals
from tasks.detection.mmdetection import from_mmdetection
from tasks.detection.model import LAYOUT, build
from tasks.detection.published import COCO_CLASSES

TORCHVISION = CONVENTIONS["torchvision"]
BOXES, MASKS, CASCADE, HTC = (
    f"mmdet_{name}_r2_101" for name in ("faster_rcnn", "mask_rcnn", "cascade_rcnn", "htc")
)
slow = pytest.mark.slow


def entry(name):
    content = json.loads(
        gzip.decompress(Path(__file__).with_name("published.json.gz").read_bytes())
    )
    own = content["entries"][name]
    return {**own, "shapes": {**content["shapes"], **own["shapes"]}}


class Published:
    """A network, and its levels of the picture, of which a detector can be asked again."""

    def __init__(self, name):
        self.entry = entry(name)
        self.state = weights_of(self.entry)
        self.config = golden.config_of(golden.RECIPES[name])
        self.model = golden.loaded(self.config, self.state)
        self.x, self.sizes = golden.shown()
        with torch.inference_mode():
            self.stages = self.model.backbone(self.x)
            self.levels = self.model.levels(self.stages)

    def found(self):
        with torch.inference_mode():
            images = ImageList(self.x, [golden.SIZE])
            found, _ = self.model.detector(images, self.levels, None)
        originals = torch.tensor([golden.ORIGINAL])
        return in_originals(found, self.sizes, originals, self.config)[0]

    def equal(self):
        return golden.equal(self.found(), self.entry["detections"])


@pytest.fixture(scope="module")
def mask_rcnn():
    return Published(MASKS)


@pytest.fixture(scope="module")
def cascade_rcnn():
    return Published(CASCADE)


@pytest.mark.parametrize(
    "name", [pytest.param(one, marks=() if one == HTC else slow) for one in golden.RECIPES]
)
def test_a_published_network_finds_what_its_authors_code_found(name):
    one = entry(name)
    outcome = golden.outcome(name, one, weights_of(one))
    assert outcome.passed, outcome.text
    assert "100 of 100 detections equal" in outcome.text


def test_masks_and_boxes_are_equal_under_all_rules(mask_rcnn, cascade_rcnn):
    boxes, masks = mask_rcnn.equal()
    assert boxes == 100 and masks >= 95
    assert cascade_rcnn.equal() == (100, 100)


def test_a_deployed_published_network_finds_the_same(mask_rcnn):
    with torch.inference_mode():
        network = deploy(mask_rcnn.model)
        found = golden.detections(network, mask_rcnn.x, mask_rcnn.sizes, mask_rcnn.config)
    boxes, masks = golden.equal(found, mask_rcnn.entry["detections"])
    assert boxes >= 98 and masks >= 95


def test_the_rule_of_the_first_blocks_matters(mask_rcnn):
    with torch.device("meta"):
        pooled = MODELS["res2net101_v1b"]().eval()
    pooled.load_state_dict(mask_rcnn.model.backbone.state_dict(), assign=True)
    with torch.inference_mode():
        own, other = mask_rcnn.stages.c2, pooled(mask_rcnn.x).c2
    assert (own - other).norm() / own.norm() > 100 * BAR


def broken_anchors(model, monkeypatch):
    generator = model.detector.rpn.anchor_generator
    shapes = [level.round() for level in generator.cell_anchors]
    monkeypatch.setattr(generator, "cell_anchors", shapes)


def broken_strides(model, monkeypatch):
    monkeypatch.setattr(model.detector.rpn.anchor_generator, "strides", None)


def broken_pools(**rules):
    def change(model, monkeypatch):
        for pool in (model.detector.roi_heads.box_roi_pool, model.detector.roi_heads.mask_roi_pool):
            monkeypatch.setattr(pool, "rules", pool.rules._replace(**rules))

    return change


def broken_vote(model, monkeypatch):
    monkeypatch.setattr(model.detector.roi_heads, "vote", "probabilities")


@pytest.mark.parametrize(
    ("change", "most"),
    [
        (broken_anchors, 80),
        (broken_strides, 99),
        (broken_pools(aligned=False), 20),
        (broken_pools(samples=2), 99),
    ],
    ids=["rounded anchors", "strides that divide", "boxes not aligned", "two samples"],
)
def test_each_rule_of_the_proposals_and_pools_matters(mask_rcnn, change, most, monkeypatch):
    change(mask_rcnn.model, monkeypatch)
    boxes, masks = mask_rcnn.equal()
    assert min(boxes, masks) <= most


def test_a_cascades_vote_and_its_third_coder_matter(cascade_rcnn, monkeypatch):
    """The coder moves boxes by less than a hundredth of their size, so it is seen in the IoU."""

    def median():
        found, recorded = cascade_rcnn.found(), cascade_rcnn.entry["detections"]
        overlaps = box_iou(torch.from_numpy(found.boxes), torch.tensor(recorded["boxes"])).numpy()
        overlaps[found.labels[:, None] != np.array(recorded["labels"]) + 1] = 0
        return np.median(overlaps.max(axis=0))

    assert median() > 0.9999
    last = cascade_rcnn.model.detector.roi_heads.heads[-1]
    with monkeypatch.context() as patch:
        patch.setattr(last.box_coder, "weights", TORCHVISION.last_weights)
        assert median() < 0.9998
    broken_vote(cascade_rcnn.model, monkeypatch)
    assert cascade_rcnn.equal()[0] < 20


def test_where_masks_are_drawn_back_matters(mask_rcnn):
    with torch.inference_mode():
        found, _ = mask_rcnn.model.detector(
            ImageList(mask_rcnn.x, [golden.SIZE]), mask_rcnn.levels, None
        )
    elsewhere = golden.config_of("mask_rcnn_resnet50")  # with torchvision's way back
    found = in_originals(found, mask_rcnn.sizes, torch.tensor([golden.ORIGINAL]), elsewhere)
    boxes, masks = golden.equal(found[0], mask_rcnn.entry["detections"])
    assert boxes == 100 and masks < 50


def test_the_background_comes_first_and_the_classes_are_cocos(mask_rcnn):
    state = from_mmdetection(mask_rcnn.state)
    heads, theirs = "detector.roi_heads.", mask_rcnn.state
    scores = state[f"{heads}box_predictor.cls_score.bias"]
    assert torch.equal(scores, theirs["roi_head.bbox_head.fc_cls.bias"].roll(1))
    for own, other, each in (
        ("box_predictor.bbox_pred", "bbox_head.fc_reg", 4),
        ("mask_predictor.mask_fcn_logits", "mask_head.conv_logits", 1),
    ):
        rows = state[f"{heads}{own}.weight"]
        assert not rows[:each].any()
        assert torch.equal(rows[each:], theirs[f"roi_head.{other}.weight"])
    assert known_classes(Trained(Path("x.pth"), state, None)).names == COCO_CLASSES
    assert LAYOUT.translate(state) is None, "names of this project are not translated again"


def light(name):
    """Weights of the right names and shapes, which take no room."""
    return {key: torch.zeros(()).expand(shape) for key, shape in entry(name)["shapes"].items()}


def test_the_semantic_branch_keeps_the_rows_of_things():
    state = light(HTC)
    key = "roi_head.semantic_head.conv_logits.bias"
    state[key] = torch.arange(183.0)
    found = from_mmdetection(state)["detector.semantic.logits.bias"]
    assert found[0] == 0, "no object"
    named = dict(zip(COCO_CLASSES, found[1:].tolist(), strict=True))
    assert (named["person"], named["stop sign"], named["toothbrush"]) == (0, 12, 89)
    assert len(class_rows(from_mmdetection(state))["detector.semantic.logits.bias"]) == 81


@pytest.mark.parametrize("name", golden.RECIPES)
def test_every_weight_has_its_place(name):
    """Strictly, through the file that mmdetection writes, with its texts beside the weights."""
    config = golden.config_of(golden.RECIPES[name])
    with torch.device("meta"):
        model = build(config.backbone, 80, config.model, config.test)
    found = translation(config)(light(name))
    shapes = {key: value.shape for key, value in model.state_dict().items()}
    assert {key: value.shape for key, value in found.items()} == shapes


def test_a_file_of_mmdetection_is_read_by_its_content(tmp_path):
    meta = {"mmdet_version": "2.0.0", "config": "model = dict()", "CLASSES": ("person", "cat")}
    torch.save({"meta": meta, "state_dict": light(BOXES), "optimizer": {}}, tmp_path / "x.pth")
    config = golden.config_of(golden.RECIPES[BOXES])
    weights = trained.read("--checkpoint", tmp_path / "x.pth", translation(config))
    assert weights.epoch is None
    assert weights.first_block == "strided", "another rule is refused where it is loaded"
    assert "detector.roi_heads.box_predictor.cls_score.bias" in weights.state


def test_conventions_that_would_give_other_results_are_refused():
    flags = ("--model.conventions", "torchvision")
    config = golden.config_of(golden.RECIPES[BOXES], *flags)
    with pytest.raises(UserError, match=r"conventions torchvision: .*say --model\.conventions mmd"):
        translation(config)(light(BOXES))


def test_the_weights_of_another_detector_are_refused():
    config = golden.config_of(golden.RECIPES[BOXES])
    state = light(CASCADE)
    # What is looked at are names and shapes.
    with torch.device("meta"), pytest.raises(UserError, match=r"do not fit.*--model\.detector"):
        golden.loaded(config, state)
