"""The whole way from files to a score: protocol, crops, alignment, baselines, what is left out."""

import json

import numpy as np
import pytest

from common.errors import UserError
from common.training.distributed import World
from tasks.depth import baselines, evaluate, metrics, report
from tasks.depth.config import LossConfig, ScoringConfig
from tasks.depth.data import read
from tests.tasks.commands import call
from tests.tasks.depth import small
from tests.tasks.depth.oracle import Oracle, scores

WORLD = World()


def changed(depth):
    return depth * np.linspace(0.712, 1.633, depth.shape[1])[None]


def evaluated(config, change, place=lambda depth: depth, guesses=None):
    split = read(config, "val")
    return evaluate.evaluate(Oracle(split, change, place), split, config, WORLD, guesses)


@pytest.fixture
def config(tmp_path):
    from common.training.settings import EngineConfig, LoaderConfig
    from tasks.depth.config import Config, DataConfig

    small.write_list(tmp_path, val=3)
    return lambda **changes: Config(
        data=DataConfig(root=tmp_path, **changes.pop("data", {})),
        loader=LoaderConfig(workers=0),
        engine=EngineConfig(device="cpu"),
        **changes,
    )


def test_the_truth_scores_best(config):
    found = evaluated(config(), lambda depth: depth)
    assert found.metrics["AbsRel"] == 0 and found.metrics["delta1"] == 1
    assert (found.pictures, found.empty, found.skipped) == (3, 0, 0)


def test_scores_are_the_means_of_the_pictures(config):
    settings = config()
    split = read(settings, "val")
    found = evaluated(settings, changed).metrics
    each = []
    for index in range(3):
        truth = split.read(index).depth.astype(np.float64)
        guess = changed(np.where(truth == 0, 1, truth)).astype(np.float32).astype(float)
        each.append(scores(truth.tolist(), guess.tolist(), (truth > 0.001).tolist(), 0.001, 10))
    for name in metrics.NAMES:
        assert found[name] == pytest.approx(np.mean([one[name] for one in each]), abs=1e-5), name


def test_a_smaller_map_is_brought_to_the_ground_truth(config):
    found = evaluated(config(), lambda depth: depth[::2, ::2])
    assert 0 < found.metrics["AbsRel"] < 0.2


def test_alignment_only_where_it_is_asked_for(config):
    twice = [
        evaluated(config(test=ScoringConfig(align=how)), lambda depth: 2 * depth).metrics
        for how in ("none", "median", "least_squares")
    ]
    assert twice[0]["AbsRel"] > 0.5
    assert twice[1]["AbsRel"] == pytest.approx(0, abs=1e-6)
    assert twice[2]["AbsRel"] == pytest.approx(0, abs=1e-5)


def test_a_run_without_metres_must_be_aligned(config):
    with pytest.raises(UserError, match=r"--test\.align least_squares"):
        config(loss=LossConfig(name="ssi"))
    settings = config(loss=LossConfig(name="ssi"), test=ScoringConfig(align="least_squares"))
    found = evaluated(settings, lambda depth: 5 / depth + 3).metrics
    assert found["AbsRel"] == pytest.approx(0, abs=1e-5)
    said = report.protocol(settings)
    assert said["predicts"] == "inverse depth without metres"
    assert said["alignment"].startswith("per picture, scale and shift")


def test_depth_that_is_too_far_is_counted_and_not_scored(config):
    found = evaluated(config(data={"max_depth": 4.0}), lambda depth: depth)
    assert found.beyond > 0
    assert found.metrics["AbsRel"] == 0
    lines = report.counts(config(data={"max_depth": 4.0}), found)
    assert "not nearer than --data.max_depth 4 m" in lines[0]


def test_a_picture_without_a_pixel_to_score_does_not_count(config):
    settings = config()
    split = read(settings, "val")
    truth = np.full((48, 64), 11.0, np.float32)
    truth[0, 0] = 0.5
    small.save(split.pairs[1].label, truth)
    found = evaluated(config(data={"min_depth": 0.9}), lambda depth: depth)
    assert (found.pictures, found.empty) == (2, 1)


def test_nothing_to_score_is_one_line(config):
    settings = config(data={"min_depth": 8.0})
    with pytest.raises(UserError, match="has no pixel to score"):
        evaluated(settings, lambda depth: depth)


def test_a_crop_that_is_not_defined_is_one_line(config):
    with pytest.raises(UserError, match=r"--test\.crop eigen_nyu is defined for 640x480 pixels"):
        evaluated(config(test=ScoringConfig(crop="eigen_nyu")), lambda depth: depth)


def test_a_broken_model_is_no_score(config):
    with pytest.raises(UserError, match="not finite"):
        evaluated(config(), lambda depth: depth * np.nan)


@pytest.mark.parametrize("kb", ["paste", "cut"])
def test_both_protocols_of_kitti(config, tmp_path, kb):
    small.write_list(tmp_path, val=1, width=1242, height=375)
    settings = config(data={"kb_crop": True}, test=ScoringConfig(kb=kb, crop="garg"))
    found = evaluated(settings, lambda depth: depth, place=lambda depth: depth[23:, 13:1229])
    assert found.metrics["AbsRel"] == 0
    pixels = {"paste": (371 - 153) * (1197 - 44), "cut": (349 - 143) * (1172 - 43)}
    truth = read(settings, "val").read(0).depth
    cut = truth[23:, 13:1229] if kb == "cut" else truth
    rows, columns = metrics.window("garg", *cut.shape)
    assert cut[rows, columns].size == pixels[kb]
    assert found.pixels == np.count_nonzero(cut[rows, columns])
    assert ("pasted back" in report.protocol(settings)["kb_crop"]) == (kb == "paste")


def test_outside_of_the_kb_crop_nothing_is_scored(config, tmp_path):
    small.write_list(tmp_path, val=1, width=1242, height=375)
    settings = config(data={"kb_crop": True})
    found = evaluated(settings, lambda depth: depth, place=lambda depth: depth[23:, 13:1229])
    truth = read(settings, "val").read(0).depth
    assert found.pixels == np.count_nonzero(truth[23:, 13:1229])


def test_baselines_are_guesses_of_the_training_set(config):
    settings = config()
    guesses = baselines.learn(read(settings, "train"))
    found = evaluated(settings, changed, guesses=guesses)
    names = {baselines.CONSTANT, baselines.EACH_ROW, baselines.EACH_PIXEL}
    assert set(found.baselines) == names
    rows = guesses.guesses(48, 64)[baselines.EACH_ROW]
    assert (np.ptp(rows, axis=1) == 0).all() and np.ptp(rows[:, 0]) > 0
    depths = [read(settings, "train").read(index).depth for index in range(4)]
    each = found.baselines[baselines.EACH_PIXEL]["AbsRel"]
    assert each < found.baselines[baselines.CONSTANT]["AbsRel"]
    middle = np.median([np.median(one[one > 0]) for one in depths])
    assert guesses.constant == pytest.approx(middle, rel=0.02)
    drawn = guesses.guesses(48, 64)[baselines.EACH_PIXEL]
    mean = np.exp(np.mean([np.log(one[40, 32]) for one in depths]))
    assert drawn[40, 32] == pytest.approx(mean, rel=0.02)
    assert "mean depth map" in report.table(found)


def test_the_command_writes_the_card_with_its_protocol(tmp_path, capsys):
    root = small.write_list(tmp_path / "data")
    small.write_run(tmp_path / "run", root)
    flags = (
        "--run",
        tmp_path / "run",
        "--loader.workers",
        0,
        "--test.align",
        "median",
        "--test.flip",
    )
    call(evaluate.main, *flags)
    card = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert tuple(card["metrics"]) == metrics.NAMES
    assert card["protocol"]["alignment"] == "per picture, by the ratio of medians"
    assert card["protocol"]["flip"] is True
    assert card["data"]["images"] == 2
    names = {baselines.CONSTANT, baselines.EACH_ROW, baselines.EACH_PIXEL}
    assert set(card["data"]["baselines"]) == names
    assert (tmp_path / "run" / "pictures" / "depth.jpg").stat().st_size > 0
    assert "median depth of the training set" in capsys.readouterr().out
