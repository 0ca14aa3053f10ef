"""What the description of the exported file says of scores."""

import pytest

from tasks.speaker.config import Config, ScoringConfig
from tasks.speaker.export import graph
from tests.tasks.speaker.small import tiny_config
from tests.tasks.speaker.test_evaluate import write_model


@pytest.mark.parametrize(
    ("scoring", "words"),
    [
        ("cosine", "cosine"),
        ("mean", "mean: the mean embedding of training speakers is taken off first; both are in"),
        ("as-norm", "and cosines are normalised by a cohort; both are in the run's backend.npz"),
    ],
)
def test_how_evaluate_scores_is_told(tmp_path, scoring, words):
    config: Config = tiny_config(tmp_path, test=ScoringConfig(scoring=scoring, top=2))
    description = graph(config, write_model(config)).description
    assert words in description["scoring"]
    assert description["channel"] == "of several channels evaluate takes the mean"
    assert description["shorter"].startswith("below 0.5 seconds evaluate repeats")
