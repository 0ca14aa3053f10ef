"""What an answer scores that never looks at the picture."""

import numpy as np
import pytest

from tasks.segmentation.metrics import constant_scores


def test_what_a_constant_answer_scores():
    counts = np.array([[20, 30], [25, 25]])
    assert constant_scores(counts) == {
        "mIoU": 0.25, "pixel_accuracy": 0.5, "mean_accuracy": 0.5,
    }  # fmt: skip
    counts = np.array([[1, 2, 0], [0, 7, 0], [0, 0, 0]])
    assert constant_scores(counts)["mIoU"] == pytest.approx((0 + 7 / 10) / 2)
