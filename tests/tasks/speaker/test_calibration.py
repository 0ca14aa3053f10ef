"""From scores to likelihood ratios: which trials they are fitted on, and how these are heard."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from common.errors import UserError
from tasks.speaker import audio
from tasks.speaker.conditions import all_scores, training_trials
from tasks.speaker.config import ScoringConfig
from tasks.speaker.data import read
from tasks.speaker.inference import embed
from tasks.speaker.metrics import (
    fit_calibration,
)
from tests.tasks.speaker.small import tiny_config, write_set
from tests.tasks.speaker.test_evaluate import WORLD, plain, write_model


def test_calibration_trials_of_training_speakers():
    labels = np.repeat(np.arange(5), [4, 1, 3, 2, 2])
    first, second = training_trials(labels)
    same = labels[first] == labels[second]
    assert same.sum() == 6 + 0 + 3 + 1 + 1
    assert 0 < (~same).sum() <= 11
    assert (first != second).all()
    again = training_trials(labels)
    np.testing.assert_array_equal(first, again[0])


def test_calibration_on_a_list_of_ones_own(tmp_path):
    root = write_set(tmp_path, test=4)
    lines = (root / "veri_test.txt").read_text().splitlines()
    known = [line for line in lines if "id10002" not in line and "id10003" not in line]
    (root / "calibration.txt").write_text("\n".join(known))
    others = [line for line in lines if "id10000" not in line and "id10001" not in line]
    (root / "veri_test.txt").write_text("\n".join(others))
    test = ScoringConfig(seconds=(0,), calibration="calibration.txt")
    config = plain(tiny_config(root, test=test))
    evaluation = all_scores(write_model(config), read(config), config, WORLD)
    assert evaluation.calibrated_on == "calibration"
    assert evaluation.metrics["Cllr"] >= evaluation.metrics["minCllr"]
    # Calibrated on trials that are heard as those which are scored: one side whole, one cut.
    known = {}
    for cut in ("test", "both"):
        test = ScoringConfig(seconds=(0.6,), cut=cut, calibration="calibration.txt")
        config = plain(tiny_config(root, test=test))
        model, material = write_model(config), read(config)
        found = all_scores(model, material, config, WORLD)
        swapped = dataclasses.replace(material, sets=(material.calibration,), calibration=None)
        scored = all_scores(model, swapped, config, WORLD).conditions[0]
        known[cut] = fit_calibration(scored.scores, scored.target)
        assert found.calibration.slope == pytest.approx(known[cut].slope, rel=1e-3)
    assert known["test"].slope != pytest.approx(known["both"].slope, rel=1e-2)
    (root / "veri_test.txt").write_text("\n".join(lines))
    with pytest.raises(UserError, match="2 of its 4 speakers"):
        read(config)


def test_utterances_that_begin_in_silence_are_left_out_of_the_calibration(tmp_path):
    """They are heard whole, for the cohort, and not where trials are cut."""
    root = write_set(tmp_path, train=4)
    test = ScoringConfig(seconds=(0.6,), cut="both")
    config = plain(tiny_config(root, test=test))
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, on_error="skip"))
    model, material = write_model(config), read(config)
    files, labels = material.cohort(test.cohort_utterances)
    for place in (1, 6, len(files) - 1):
        wave = audio.read(Path(files[place]))
        audio.write(Path(files[place]), np.concatenate([np.zeros(16000, np.float32), wave]))
    found = all_scores(model, material, config, WORLD)
    heard, places = embed(model, files, config, WORLD, 0.6)
    assert len(places) == len(files) - 3
    first, second = training_trials(labels[places])
    units = heard / np.linalg.norm(heard, axis=1, keepdims=True)
    same = labels[places][first] == labels[places][second]
    wanted = fit_calibration((units[first] * units[second]).sum(axis=1), same)
    assert found.calibration == pytest.approx(wanted, rel=1e-3)
    assert found.calibrated_on == f"{len(first)} trials of training speakers"


@pytest.mark.parametrize("cut", ["test", "both"])
def test_calibration_on_training_speakers_hears_them_as_the_trials(tmp_path, cut):
    root = write_set(tmp_path, train=4)
    config = plain(tiny_config(root, test=ScoringConfig(seconds=(0.6,), cut=cut)))
    model, material = write_model(config), read(config)
    found = all_scores(model, material, config, WORLD).calibration
    files, labels = material.cohort(config.test.cohort_utterances)
    short, whole = (embed(model, files, config, WORLD, length)[0] for length in (0.6, 0.0))
    first, second = training_trials(labels)
    sides = (whole if cut == "test" else short)[first], short[second]
    units = [side / np.linalg.norm(side, axis=1, keepdims=True) for side in sides]
    wanted = fit_calibration((units[0] * units[1]).sum(axis=1), labels[first] == labels[second])
    assert found.slope == pytest.approx(wanted.slope, rel=1e-3)
    assert found.offset == pytest.approx(wanted.offset, rel=1e-3)
