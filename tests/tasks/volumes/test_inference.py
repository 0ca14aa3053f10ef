"""Volumes through a network: the same labels whatever the batch, windows, orientation or size."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from common.errors import UserError
from common.networks.segmentation import Scores
from tasks import open_run
from tasks.volumes import nifti
from tasks.volumes.config import ScoringConfig
from tasks.volumes.inference import Predictor, segment, smoothed, volume_of
from tasks.volumes.volume import Volume, grid_of
from tasks.volumes.windows import gaussian, in_windows, starts
from tests.tasks.volumes import small


class Threshold(nn.Module):
    """Class 1 where the middle slice is bright, with logits that rise with the brightness."""

    def __init__(self):
        super().__init__()
        self.seen = 0

    def forward(self, slices):
        self.seen += len(slices)
        middle = slices[:, slices.shape[1] // 2].float() / 255
        none = torch.zeros_like(middle)
        return Scores(torch.stack([none, 40 * (middle - 0.5), none - 20, none - 20], 1), None)


CPU = torch.device("cpu")


def config(**changes):
    test, data = changes.pop("test", {}), changes.pop("data", {})
    return small.tiny_config(test=ScoringConfig(**test), data=data)


def bright(volume):
    """Where the window's byte is 128 or more."""
    return volume.values >= 50


@pytest.fixture
def volume():
    return Volume(small.scan(1).values, grid_of(small.SHAPE, small.SPACING))


@pytest.mark.parametrize("batch", [1, 4, 100])
def test_every_slice_goes_through_once(volume, batch):
    network = Threshold()
    labels, shares = segment(network, volume, config(test={"batch_size": batch}), CPU)
    assert network.seen == len(volume.values) and shares is None
    assert np.array_equal(labels == 1, bright(volume))


@pytest.mark.parametrize("test", [{"window": (16, 20)}, {"flip": True}, {"window": (16, 64)}])
def test_windows_and_mirrors_change_nothing_of_what_depends_on_the_pixel(volume, test):
    labels, _ = segment(Threshold(), volume, config(test=test), CPU)
    assert np.array_equal(labels == 1, bright(volume))


def test_probabilities_are_bytes_that_sum_to_one(volume):
    labels, shares = segment(Threshold(), volume, config(), CPU, keep=True)
    assert shares.shape == (4, *small.SHAPE)
    assert np.abs(shares.astype(int).sum(0) - 255).max() <= 2
    sure = shares.max(0) > 130
    assert np.array_equal(shares.argmax(0)[sure], labels[sure])


def ellipsoid(shape, spacing):
    """A bright ball of 20 mm in the middle."""
    axes = [(np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, spacing, strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    inside = z**2 + y**2 + x**2 <= 20**2
    return Volume(np.where(inside, 200, -100).astype(np.int16), grid_of(shape, spacing)), inside


@pytest.mark.parametrize("spacing", [(2.0, 1.0, 1.0), (6.0, 2.0, 2.0), (1.5, 1.3, 0.7)])
def test_another_spacing_gives_the_labels_back_on_the_volume_s_own_voxels(spacing):
    shape = tuple(round(60 / one) for one in spacing)
    scan, inside = ellipsoid(shape, spacing)
    labels, _ = segment(Threshold(), scan, config(data={"spacing": (3.0, 1.5, 1.5)}), CPU)
    assert labels.shape == shape
    common = 2 * (inside & (labels == 1)).sum() / (inside.sum() + (labels == 1).sum())
    assert common > 0.93
    middle = np.argwhere(labels == 1).mean(0)
    assert np.allclose(middle, (np.array(shape) - 1) / 2, atol=0.3)  # nothing has moved


def test_windows_cover_a_length_evenly():
    assert starts(110, 64, 0.5) == [0, 23, 46]
    assert starts(200, 96, 0.5) == [0, 35, 69, 104]
    assert starts(64, 64, 0.5) == [0] and starts(65, 64, 0) == [0, 1]


def test_weights_are_nnunet_s():
    eight = [0.000335, 0.011109, 0.135335, 0.606531, 1, 0.606531, 0.135335, 0.011109]
    assert gaussian(8) == pytest.approx(eight, abs=1e-6)
    found = gaussian(64)
    assert found[[0, 63, 31]] == pytest.approx([0.00033546, 0.00054878, 0.99221794], rel=1e-4)


def test_windows_are_weighted_towards_their_middle():
    class Place(nn.Module):
        """The share of class 1 falls from the left to the right of each window."""

        def forward(self, slices):
            ramp = torch.linspace(6, -6, slices.shape[-1]).expand(1, *slices.shape[-2:])
            return Scores(torch.stack([-ramp, ramp], 1), None)

    test = ScoringConfig(window=(8, 16), overlap=0.5)
    found = in_windows(Place(), torch.zeros(1, 3, 8, 24), test)[0, 1, 0]
    weights = gaussian(16)
    first, second = (torch.linspace(12, -12, 16).sigmoid()[one].item() for one in (12, 4))
    wanted = (first * weights[12] + second * weights[4]) / (weights[12] + weights[4])
    assert found[12].item() == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_neighbours_are_averaged_with_a_gaussian_that_fits_the_ends(count):
    given = [torch.full((1, 1, 1), float(value)) for value in range(count)]
    assert list(smoothed(iter(given), 0)) == given
    found = [one.item() for one in smoothed(iter(given), 0.8)]
    rows = np.arange(count)[:, None] - np.arange(count)[None]
    weights = np.exp(-0.5 * (rows / 0.8) ** 2) * (abs(rows) <= 2)
    assert found == pytest.approx((weights @ np.arange(count)) / weights.sum(1), abs=1e-5)


def test_a_broken_model_is_told(volume):
    class Broken(nn.Module):
        def forward(self, slices):
            return Scores(torch.full((len(slices), 4, *slices.shape[2:]), torch.nan), None)

    with pytest.raises(UserError, match="not finite"):
        segment(Broken(), volume, config(), CPU)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_run_opens_through_the_door(channels, tmp_path):
    windows = ((-100.0, 200.0),) if channels != 4 else ((-100.0, 200.0),) * 4
    data = {"slices": 3 if channels == 3 else 1, "windows": windows}
    small.write_run(tmp_path / "run", data=data)
    predictor = open_run(tmp_path / "run", device="cpu")
    assert type(predictor).__module__ == Predictor.__module__
    body = small.save(tmp_path / "a.nii.gz", 0, "RAS")
    found = predictor(tmp_path / "a.nii.gz")
    same = predictor(body.values, spacing=small.SPACING)
    assert np.array_equal(found.labels, same.labels)
    assert found.labels.shape == small.SHAPE and len(np.unique(found.labels)) > 1
    described = predictor.describe(found)
    assert "no diagnosis" in described["note"]
    total = sum(row["voxels"] for row in described["classes"])
    assert total == (found.labels > 0).sum()
    first = described["classes"][0]
    assert first["millilitres"] == pytest.approx(first["voxels"] * 0.04992, rel=1e-3, abs=1e-3)
    assert predictor.draw(tmp_path / "a.nii.gz", found).shape[2] == 3
    with pytest.raises(ValueError, match="needs its millimetres"):
        predictor(body.values)
    with pytest.raises(ValueError, match="HU"):
        predictor.many([body.values[0]])


def test_the_labels_do_not_depend_on_how_the_file_is_turned(tmp_path):
    """One body in files of many orientations: on their own voxels all say the same."""
    small.write_run(tmp_path / "run")
    predictor = open_run(tmp_path / "run", device="cpu")
    found = []
    for letters in ("LPS", "RAS", "SPL", "AIR"):
        small.save(tmp_path / f"{letters}.nii.gz", 0, letters)
        one = predictor(tmp_path / f"{letters}.nii.gz")
        nifti.write_labels(tmp_path / f"{letters}_out.nii.gz", one.labels, one.grid)
        scan = nifti.read(tmp_path / f"{letters}.nii.gz")
        found.append(nifti.read_labels(tmp_path / f"{letters}_out.nii.gz", scan, 4))
    assert all(np.array_equal(one, found[0]) for one in found)


def test_an_array_is_checked():
    with pytest.raises(ValueError, match="spacing is"):
        volume_of(np.zeros((2, 2, 2)), (1.0, 0.0, 1.0))
    assert volume_of(np.full((2, 2, 2), 1e9), (1, 1, 1)).values.max() == 32767
    assert replace(config(), fold=1).fold == 1
