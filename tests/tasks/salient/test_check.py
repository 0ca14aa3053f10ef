"""The check of saliency sets: what is sound has no finding, and each planted fault has one."""

import numpy as np
import pytest
from PIL import Image

from tasks.salient import check
from tests.tasks import checked
from tests.tasks.salient import small


@pytest.fixture
def masks(tmp_path):
    """Folder of the masks of the training set; the pictures of the other set differ."""
    _, masks = small.write_set(tmp_path, "DUTS-TR", pictures=4)
    images, scored = small.write_set(tmp_path, "DUTS-TE", pictures=2)
    for number in range(2):
        small.picture(20 + number).save(images / f"p{number}.jpg")
        small.mask(20 + number).save(scored / f"p{number}.png")
    return masks


@pytest.fixture
def found(tmp_path, monkeypatch, capsys):
    flags = ["--data.root", tmp_path, "--out", tmp_path / "run", "--engine.batch_size", "2"]
    return lambda *words: checked.run(check.main, monkeypatch, capsys, *flags, *words)


def test_sound_sets(found, masks):
    assert found() == (0, [])


@pytest.mark.parametrize(
    ("level", "words"), [(1, "levels 0 and 1"), (0, "black all over"), (100, "lightest level")]
)
def test_masks_without_a_visible_object(found, masks, level, words):
    mask = np.zeros((small.HEIGHT, small.WIDTH), np.uint8)
    mask[4:20, 4:20] = level
    Image.fromarray(mask).save(masks / "p1.png")
    status, lines = found()
    assert status == 1 and len(lines) == 1
    assert "1 of 4 pictures cannot be read" in lines[0] and words in lines[0]


def test_a_mask_of_another_size_stops_training_but_not_a_score(found, masks, tmp_path):
    scored = tmp_path / "DUTS-TE" / "DUTS-TE-Mask" / "p0.png"
    small.mask(20, size=(50, 40)).save(scored)
    assert found() == (0, [])
    small.mask(1, size=(50, 40)).save(masks / "p1.png")
    status, lines = found()
    assert status == 1 and "50x40" in lines[0]


def test_the_edge_set_is_looked_at_if_the_model_has_edges(found, masks, tmp_path):
    small.write_set(tmp_path, "edges", pictures=2)
    colours = Image.effect_noise((small.WIDTH, small.HEIGHT), 90).convert("RGB")
    colours.putpixel((3, 3), (255, 0, 0))
    colours.save(tmp_path / "edges" / "edges-Mask" / "p0.png")
    assert found()[0] == 0
    status, lines = found("--model.edge", "true")
    assert status == 1 and any("edges: 1 of 2 pictures cannot be read" in line for line in lines)


def test_pixels_of_the_object_are_counted(masks, tmp_path):
    config = small.tiny_config(tmp_path)
    counts = check.trained_on(config, "stop").look(0).counts
    mask = np.array(Image.open(masks / "p0.png"))
    assert counts == {"object": int((mask > 127).sum()), "background": int((mask <= 127).sum())}
