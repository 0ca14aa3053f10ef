"""Scores of models that know the answers, what is written, and what others read of it."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models.detection.roi_heads import project_masks_on_boxes

from common.training.distributed import World
from tasks.panoptic import baselines, evaluate, sample
from tasks.panoptic.config import Config, DataConfig, ScoringConfig
from tasks.panoptic.data import read, with_classes
from tasks.panoptic.transforms import semantic_map, things_of
from tests.tasks import commands
from tests.tasks.panoptic import small


class Knows(nn.Module):
    """Finds what is annotated in a split's pictures, one picture after the other."""

    def __init__(self, split):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.split, self.seen = split, 0

    def forward(self, images, sizes):
        places, segments = self.split.places(self.seen), self.split.of(self.seen)
        self.seen += 1
        things = len(self.split.things)
        boxes, labels, masks = things_of(places, segments, things)
        boxes, whole = torch.from_numpy(boxes).float(), torch.from_numpy(masks)
        within = project_masks_on_boxes(whole, boxes, torch.arange(len(boxes)), 28)[:, None]
        height, width = sizes[0].tolist()
        scale = torch.tensor([width / places.shape[1], height / places.shape[0]]).repeat(2)
        kinds = torch.from_numpy(semantic_map(places, segments.labels, things)).long()
        kinds[kinds == 255] = 0
        logits = 9 * F.one_hot(kinds, len(self.split.stuff) + 1).permute(2, 0, 1).float()
        padded = F.pad(logits, (0, images.shape[-1] - width, 0, images.shape[-2] - height))
        return [{
            "boxes": boxes * scale, "labels": torch.from_numpy(labels),
            "scores": torch.linspace(0.9, 0.6, len(labels)), "masks": within, "semantic": padded,
        }]  # fmt: skip


def setting(root, **test):
    """A config under which the network sees pictures as they are, and its split."""
    data = DataConfig(
        root=root, short_sides=(small.HEIGHT,), test_short_side=small.HEIGHT, group_by_aspect=False
    )
    config = Config(data=data, test=ScoringConfig(**{"stuff_area": 1, **test}))
    config = replace(config, loader=replace(config.loader, workers=0))
    split = read(config, "val2017")
    return with_classes(config, split), split


def test_what_is_annotated_scores_almost_one(tmp_path):
    config, split = setting(small.write(tmp_path))
    guesses = baselines.learn(read(config, "train2017"))
    found = evaluate.evaluate(Knows(split), split, config, World(), guesses)
    assert found.quality["PQ"] > 0.97 and found.quality["RQ"] == 1
    assert found.metrics["box_AP"] == found.metrics["mask_AP50"] == 1
    assert found.metrics["mIoU"] == 1
    assert found.tally.found.tolist() == [3] * 4
    assert found.baselines[baselines.EVERYWHERE]["PQ_things"] == 0
    # Every picture has the same stuff, so its places tell it.
    assert found.baselines[baselines.EACH_PLACE]["PQ_stuff"] > 0.8
    assert tuple(found.metrics)[:5] == ("PQ", "SQ", "RQ", "PQ_things", "PQ_stuff")


def test_stuff_below_the_limit_and_unsure_things_are_missed(tmp_path):
    config, split = setting(small.write(tmp_path), stuff_area=5000, thing_score=0.7)
    found = evaluate.evaluate(Knows(split), split, config, World())
    assert found.tally.missed.tolist() == [0, 3, 3, 3]  # scores are 0.9 and 0.6
    assert found.quality["PQ_stuff"] == 0


def test_things_may_be_scored_by_the_instances_file(tmp_path):
    sample.write(tmp_path, seed=3, train=0, val=3)
    config, split = setting(tmp_path)
    found = evaluate.evaluate(Knows(split), split, config, World())
    config = replace(config, data=replace(config.data, instances=True))
    by_outline = evaluate.evaluate(Knows(split), read(config, "val2017"), config, World())
    assert by_outline.quality == found.quality
    for kind in ("box_AP50", "mask_AP50"):
        assert found.metrics[kind] == by_outline.metrics[kind] == 1


def test_a_split_without_things_has_no_average_precision(tmp_path):
    root = small.write(tmp_path)
    content = small.content(root)
    ids = np.where(np.isin(small.ids(), (small.KITE, small.CAT)), small.SKY, small.ids())
    for one in content["annotations"]:
        small.write_ids(root / "annotations" / "panoptic_val2017" / one["file_name"], ids)
        one["segments_info"] = small.segments(ids)
    small.annotate(root, content)
    config, split = setting(root)
    found = evaluate.evaluate(Knows(split), split, config, World())
    assert "box_AP" not in found.metrics
    assert found.quality["PQ_things"] == -1 and found.quality["PQ"] == 1


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """The set, and the folder that evaluate leaves of a run on it."""
    folder = tmp_path_factory.mktemp("scored")
    root = small.write(folder / "set")
    small.write_run(folder / "run", root, sure=True)
    commands.call(evaluate.main, "--run", folder / "run", "--test.thing_score", "0.1")
    return root, folder / "run"


def test_what_is_written(scored):
    _, run = scored
    card = json.loads((run / "metrics.json").read_text())
    assert card["task"] == "panoptic" and card["protocol"]["thing_score"] == 0.1
    assert card["data"]["images"] == 3 and baselines.EVERYWHERE in card["data"]["baselines"]
    rows = json.loads((run / "classes.json").read_text())
    assert [row["class"] for row in rows] == ["kite", "cat", "grass", "sky"]
    assert sum(row["missed"] + row["found"] for row in rows) == 12
    found = json.loads((run / "panoptic.json").read_text())
    assert [one["file_name"] for one in found["annotations"]] == ["11.png", "12.png", "13.png"]
    assert (run / "panoptic" / "13.png").is_file()
    assert (run / "pictures" / "panoptic.jpg").is_file()


def test_hotcoco_reads_the_files_and_gives_the_same(scored):
    panoptic = pytest.importorskip("hotcoco").panoptic
    root, run = scored
    told = panoptic.pq_compute(str(small.file_of(root)), str(run / "panoptic.json"))
    metrics = json.loads((run / "metrics.json").read_text())["metrics"]
    for group, suffix in (("All", ""), ("Things", "_things"), ("Stuff", "_stuff")):
        for name in ("pq", "sq", "rq"):
            assert told[group][name] == pytest.approx(metrics[name.upper() + suffix])


def test_classes_of_another_set_are_refused(scored, tmp_path):
    _, run = scored
    content = {"images": [], "annotations": []}
    root = small.write(tmp_path)
    whole = {**content, **small.content(root)}
    whole["categories"] = [{**one, "name": one["name"].upper()} for one in small.CATEGORIES]
    small.annotate(root, whole)
    with pytest.raises(Exception, match="has no 'kite' among its things; it has KITE, CAT"):
        commands.call(evaluate.main, "--run", run, "--data.root", root, "--out", tmp_path / "out")
