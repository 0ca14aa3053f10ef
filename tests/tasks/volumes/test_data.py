"""What training is given: crops around each class as often, in the volume's own places."""

from dataclasses import replace

import numpy as np
import pytest

from common.errors import DamagedFile, UserError
from tasks.volumes import sample
from tasks.volumes.config import Config, DataConfig
from tasks.volumes.data import ScoringSet, TrainSet, prepared, read, with_classes
from tasks.volumes.transforms import Sample, crop, neighbours, shown
from tests.tasks.volumes import small

STILL = {"rotation": 0.0, "scales": (1.0, 1.0), "shift": 0.0, "noise": 0.0}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("set") / "set"
    sample.write(folder, seed=2, cases=4, size=40, slices=8)
    return folder


def config(root, **data):
    return with_classes(
        Config(data=DataConfig(root=root, **{"folds": 2, "crop_size": (32, 32), **data}))
    )


def test_windows_are_bytes_and_neighbours_are_counted_in_millimetres():
    values = np.array([-2000, -100, 50, 200, 3000], np.int16).reshape(1, 1, 5)
    assert shown(values, [(-100, 200)]).ravel().tolist() == [0, 0, 128, 255, 255]
    assert shown(values, [(-100, 200), (0, 100)]).shape == (2, 1, 5)
    plain = DataConfig()
    assert neighbours(0, 9, plain, 5.0) == [0, 0, 1] and neighbours(8, 9, plain, 5.0) == [7, 8, 8]
    far = DataConfig(slices=5, slice_distance=3.0)
    assert neighbours(4, 9, far, 1.5) == [0, 2, 4, 6, 8]
    assert neighbours(4, 9, far, 5.0) == [2, 3, 4, 5, 6]


def test_a_crop_is_a_part_of_its_slice_and_has_no_label_outside():
    rows, columns = np.mgrid[:40, :50]
    label = ((rows + columns) % 3).astype(np.uint8)
    whole = Sample((100 * rows + columns)[None].astype(np.int16), label)
    data = DataConfig(crop_size=(16, 24), **STILL)
    for seed in range(20):
        generator = np.random.default_rng(seed)
        part = crop(whole, (20, 25), data, generator)
        assert part.slices.shape == (1, 16, 24) and part.label.shape == (16, 24)
    data = replace(data, crop_size=(64, 64))
    part = crop(whole, (20, 25), data, np.random.default_rng(1))
    inside = part.label != 255
    assert (part.slices[0][~inside] < 100).mean() > 0.9 and 1500 < inside.sum() <= 2000
    mirrored = crop(whole, (20, 25), replace(data, flip_probability=1.0), np.random.default_rng(1))
    steps, inside = np.diff(mirrored.slices[0], axis=1), mirrored.label != 255
    steps = steps[inside[:, 1:] & inside[:, :-1]]
    assert (steps < 0).mean() > 0.95  # columns fall where they rose


def test_every_class_of_a_case_is_seen_as_often(root):
    """Lesions are a hundredth of the labels and a third of the samples' centres."""
    settings = config(root, foreground_share=1.0, crop_size=(8, 8), **STILL)
    samples = TrainSet(read(settings, "all"), settings.data)
    with_lesion = [i for i in range(4) if 3 in prepared(samples.split, i, settings.data).voxels]
    assert with_lesion
    seen = [
        {int(one) for one in np.unique(samples.sample(i, np.random.default_rng(n))["label"])}
        for i in with_lesion
        for n in range(60)
    ]
    for number in (1, 2, 3):
        assert sum(number in one for one in seen) > 0.25 * len(seen), number


def test_a_sample_is_decided_by_its_generator_and_memory_and_disk_agree(root, tmp_path):
    settings = config(root, spacing=(0.0, 3.0, 3.0))
    split = read(settings, "train")
    held = TrainSet(split, settings.data)
    on_disk = TrainSet(split, replace(settings.data, prepared=tmp_path / "kept"))
    again = TrainSet(split, replace(settings.data, prepared=tmp_path / "kept"))
    assert len(held) == 2 * 32
    for index in (0, 1, 5):
        every = [
            one.sample(index, np.random.default_rng(7)) for one in (held, on_disk, again, held)
        ]
        assert all(np.array_equal(one["slices"], every[0]["slices"]) for one in every)
        assert all(np.array_equal(one["label"], every[0]["label"]) for one in every)
    assert len(list((tmp_path / "kept").iterdir())) == 6
    assert every[0]["slices"].dtype == np.uint8 and every[0]["slices"].shape == (3, 32, 32)


def test_a_case_of_another_spacing_keeps_its_labels_in_their_places(root):
    settings = config(root, spacing=(0.0, 1.0, 1.0))
    split = read(settings, "all")
    volume, labels = split.read(0)
    found = prepared(split, 0, settings.data)
    assert found.values.shape[1] == round(volume.shape[1] * volume.spacing[1])
    for number in (1, 2):
        share = (labels == number).mean(), (found.labels == number).mean()
        assert share[0] == pytest.approx(share[1], rel=0.05)
        places = [np.argwhere(one == number).mean(0) / one.shape for one in (labels, found.labels)]
        assert np.allclose(*places, atol=0.02)
        inside = found.values[found.labels == number].mean()
        assert inside == pytest.approx(volume.values[labels == number].mean(), abs=15)


def test_damaged_cases_stop_or_are_left_out(root, tmp_path, capsys):
    import shutil

    broken = shutil.copytree(root, tmp_path / "set")
    (broken / "imagesTr" / "phantom_002.nii.gz").write_bytes(b"no volume")
    settings = config(broken)
    split = read(settings, "all")
    with pytest.raises(DamagedFile, match="phantom_002"):
        ScoringSet(split, settings.data)[2]
    skipping = replace(settings.data, on_error="skip")
    assert ScoringSet(split, skipping)[2] is None
    assert "phantom_002" in capsys.readouterr().err
    assert ScoringSet(split, skipping)[1]["labels"].ndim == 3
    (broken / "imagesTr" / "phantom_000.nii.gz").write_bytes(b"")
    with pytest.raises(DamagedFile, match="phantom_000"):
        read(settings, "all")


def test_settings_that_name_no_class_are_refused(root):
    from tasks.volumes.config import ScoringConfig

    data = DataConfig(root=root)
    for test, said in (
        (ScoringConfig(largest_component=("spleen",)), "no class 'spleen'"),
        (ScoringConfig(regions={"whole": (1, 9)}), "whole has the labels"),
    ):
        with pytest.raises(UserError, match=said):
            with_classes(Config(data=data, test=test))
    with pytest.raises(UserError, match="the classes are 0 to 1"):
        read(with_classes(Config(data=replace(data, classes=small.CLASSES[:2], folds=2))), "all")


def test_a_generated_set_is_decided_by_its_seed(tmp_path):
    for name, cases in (("a", 2), ("b", 1)):
        sample.write(tmp_path / name, seed=5, cases=cases, size=24, slices=4)
    names = [tmp_path / name / "imagesTr" / "phantom_000.nii.gz" for name in "ab"]
    found = [read(config(p.parents[1], train_split="all"), "all").read(0) for p in names]
    assert np.array_equal(found[0][0].values, found[1][0].values)
