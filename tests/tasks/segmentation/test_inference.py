"""From pictures to label maps: scales, mirrors, windows."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from common.errors import UserError
from common.networks.segmentation import Scores
from tasks.segmentation.config import ScoringConfig
from tasks.segmentation.inference import score, segment, starts
from tests.tasks.segmentation.oracle import Pointwise


def pictures(height, width, seed=0):
    """Smooth, so that resizing changes little."""
    generator = torch.Generator().manual_seed(seed)
    coarse = 255 * torch.rand(1, 3, 5, 6, generator=generator)
    return nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 255).byte()


class Leaning(nn.Module):
    """Answers that depend on the side of the picture: class 1 gains from left to right."""

    def forward(self, images):
        width = images.shape[-1]
        ramp = torch.linspace(-1, 1, width).expand(1, 1, images.shape[-2], width)
        return Scores(torch.cat((torch.full_like(ramp, 0.3), ramp), dim=1), None)


@given(st.integers(1, 300), st.integers(1, 300), st.floats(0, 0.9))
def test_windows_cover_a_side_and_overlap_enough(length, window, overlap):
    window = min(window, length)
    places = starts(length, window, overlap)
    assert places[0] == 0
    assert places[-1] == length - window
    steps = np.diff(places)
    # Rounding may take a pixel from an overlap.
    assert (steps <= max(1, window * (1 - overlap)) + 1).all()
    assert (steps > 0).all()


def test_an_image_of_one_window_is_one_window():
    assert starts(100, 100, 0.5) == [0]
    assert starts(101, 100, 0.0) == [0, 1]
    assert starts(200, 100, 0.0) == [0, 100]


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(5, 40), st.integers(5, 40))
def test_windows_of_a_pointwise_model_are_the_whole(height, width, rows, columns):
    images = pictures(height, width)
    windows = ScoringConfig(short_side=0, window=(rows, columns), overlap=0.4)
    model = Pointwise()
    torch.testing.assert_close(score(model, images, windows), images.float() / 25.5)
    assert all(size == (min(rows, height), min(columns, width)) for size in model.sizes)


def test_where_windows_overlap_their_logits_are_averaged():
    class Counter(nn.Module):
        calls = 0

        def forward(self, images):
            self.calls += 1
            return Scores(torch.full((1, 2, *images.shape[-2:]), float(self.calls)), None)

    found = score(
        Counter(), torch.zeros(1, 3, 4, 6), ScoringConfig(short_side=0, window=(4, 4), overlap=0.5)
    )
    assert found[0, 0, 0].tolist() == [1, 1, 1.5, 1.5, 2, 2]


def test_pictures_keep_their_size_whatever_the_network_sees():
    images = pictures(50, 70)
    wanted = images.argmax(dim=1).byte()
    for test, sizes in (
        (ScoringConfig(short_side=0), [(50, 70)]),
        (ScoringConfig(short_side=100), [(100, 140)]),
        (ScoringConfig(short_side=25, scales=(1, 2)), [(25, 35), (50, 70)]),
        (ScoringConfig(short_side=0, flip=True), [(50, 70)] * 2),
        (
            ScoringConfig(short_side=0, scales=(0.5, 1.0), flip=True),
            [(25, 35)] * 2 + [(50, 70)] * 2,
        ),
    ):
        model = Pointwise()
        found = segment(model, images, test)
        assert found.dtype == torch.uint8
        assert found.shape == (1, 50, 70)
        assert model.sizes == sizes
        assert (found == wanted).float().mean() > 0.97


def test_a_mirrored_pass_takes_out_a_leaning():
    images = pictures(20, 31)
    assert segment(Leaning(), images, ScoringConfig(short_side=0)).float().mean() > 0.2
    both = segment(Leaning(), images, ScoringConfig(short_side=0, flip=True))
    assert torch.equal(both, both.flip(-1))
    assert not both.any()


def test_probabilities_are_averaged_not_logits():
    """Two passes of logits (2, 0) and (-1, 0): the mean logit favours class 0, and so do the
    probabilities; with (6, 0) and (-1.5, 0) each but the first is for class 1."""

    class Alternating(nn.Module):
        calls = 0

        def forward(self, images):
            self.calls += 1
            logits = torch.zeros(1, 2, *images.shape[-2:])
            logits[:, 0] = 4.0 if self.calls == 1 else -1.5
            return Scores(logits, None)

    # Probabilities of class 0: 0.98, 0.18, 0.18; mean 0.45. Mean logit: +0.33.
    found = segment(
        Alternating(), pictures(8, 8), ScoringConfig(short_side=0, scales=(1.0, 1.0, 1.0))
    )
    assert (found == 1).all()


def test_a_model_of_nothing_but_nan_is_refused():
    class Broken(nn.Module):
        def forward(self, images):
            return Scores(torch.full((1, 2, *images.shape[-2:]), torch.nan), None)

    with pytest.raises(UserError, match="not finite"):
        segment(Broken(), pictures(8, 8), ScoringConfig(short_side=0))
