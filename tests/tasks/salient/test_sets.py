"""Where data sets are found, and what is said where they are not."""

import pytest

from common.errors import UserError
from tasks.salient import sets
from tests.tasks.salient import small


def find(source, root, flag="--data.test_sets"):
    return sets.find(flag, source, root)


def refusal(source, root):
    with pytest.raises(UserError) as caught:
        find(source, root)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("name", "folders"),
    [
        ("DUTS-TR", ("DUTS-TR-Image", "DUTS-TR-Mask")),
        ("DUTS-TE", ("DUTS-TE-Image", "DUTS-TE-Mask")),
        ("ECSSD", ("images", "ground_truth_mask")),
        ("PASCAL-S", ("Imgs", "GT")),
        ("DUT-OMRON", ("DUT-OMRON-image", "pixelwiseGT-new-PNG")),
        ("HKU-IS", ("imgs", "gt")),
        ("SOD", ("Images", "Masks")),
    ],
)
def test_layouts_in_which_sets_are_circulated(tmp_path, name, folders):
    small.write_set(tmp_path, name, folders=folders)
    found = find(name, tmp_path)
    assert found.name == name
    assert [pair.image.name for pair in found.pairs] == ["p0.jpg", "p1.jpg", "p2.jpg"]
    assert [pair.label.name for pair in found.pairs] == ["p0.png", "p1.png", "p2.png"]
    assert len(found) == 3


def test_pictures_and_masks_in_one_folder(tmp_path):
    """PoolNet's packages of test sets hold .jpg and .png side by side."""
    images, _ = small.write_set(tmp_path, "SOD", folders=("Imgs", "Imgs"))
    found = find("SOD", tmp_path)
    assert [pair.image.suffix for pair in found.pairs] == [".jpg"] * 3
    assert [pair.label.suffix for pair in found.pairs] == [".png"] * 3
    assert find(f"mine={images}:{images}", tmp_path).pairs == found.pairs
    (images / "p1.png").unlink()
    assert "for 1 of the 3 pictures, such as p1.jpg" in refusal("SOD", tmp_path)


def test_pictures_and_masks_right_in_the_sets_folder(tmp_path):
    images, _ = small.write_set(tmp_path, "SOD", folders=(".", "."))
    (images / "._p1.jpg").touch()  # macOS leaves one beside each file
    found = find("SOD", tmp_path)
    assert found.name == "SOD"
    assert [pair.image.name for pair in found.pairs] == ["p0.jpg", "p1.jpg", "p2.jpg"]
    assert [pair.label.name for pair in found.pairs] == ["p0.png", "p1.png", "p2.png"]


def test_a_pair_of_folders_with_a_name(tmp_path):
    images, masks = small.write_set(tmp_path, "x", folders=("photos", "truth"))
    found = find(f"mine={images}:{masks}", tmp_path / "unused")
    assert found.name == "mine"
    assert len(found) == 3
    assert find("mine=x/photos:x/truth", tmp_path).pairs == found.pairs  # under the root
    assert "give a name and two folders" in refusal(f"mine={images}", tmp_path)
    assert "without slashes" in refusal(f"my/own={images}:{masks}", tmp_path)
    assert "say --data.test_sets x=PICTURES:MASKS" in refusal("x", tmp_path)
    assert "no such folder" in refusal(f"mine={images}:{tmp_path / 'none'}", tmp_path)


@pytest.mark.parametrize("prefix", ["", "DUTS-TR/"])
def test_a_pair_list_beside_the_folders_or_with_paths_from_above(tmp_path, prefix):
    small.write_set(tmp_path, "DUTS-TR")
    file = tmp_path / "DUTS-TR" / "train_pair.lst"
    lines = [f"{prefix}DUTS-TR-Image/p{k}.jpg {prefix}DUTS-TR-Mask/p{k}.png" for k in (2, 0)]
    file.write_text("\n".join(lines) + "\n")
    for source in (str(file), "DUTS-TR/train_pair.lst"):
        found = find(source, tmp_path)
        assert [pair.image.name for pair in found.pairs] == ["p2.jpg", "p0.jpg"]
    assert "no such list of pictures" in refusal("DUTS-TR/other.lst", tmp_path)


def test_the_jpg_mask_of_duts_is_found_from_list_and_folder(tmp_path):
    _, masks = small.write_set(tmp_path, "DUTS-TR")
    (masks / "p1.png").unlink()
    small.mask(1).save(masks / "p1.jpg", quality=95)
    file = tmp_path / "DUTS-TR" / "train_pair.lst"
    file.write_text("DUTS-TR-Image/p1.jpg DUTS-TR-Mask/p1.png\n")
    assert find(str(file), tmp_path).pairs[0].label == masks / "p1.jpg"
    assert find("DUTS-TR", tmp_path).pairs[1].label == masks / "p1.jpg"


def test_a_list_of_pictures_alone(tmp_path):
    """PoolNet's test.lst names pictures only, which are in the set's folders."""
    small.write_set(tmp_path, "ECSSD")
    (tmp_path / "ECSSD" / "test.lst").write_text("p2.jpg\np1.jpg\n")
    found = find("ECSSD/test.lst", tmp_path)
    assert [(pair.image.name, pair.label.name) for pair in found.pairs] == [
        ("p2.jpg", "p2.png"), ("p1.jpg", "p1.png"),
    ]  # fmt: skip
    (tmp_path / "elsewhere.lst").write_text("p2.jpg\n")
    assert "names alone are looked for in folders" in refusal("elsewhere.lst", tmp_path)


@pytest.mark.parametrize("source", ["mine=~no.body/a:~no.body/b", "~no.body/test.lst"])
def test_a_home_of_nobody_is_named(tmp_path, source):
    assert "no such user" in refusal(source, tmp_path)


def test_masks_that_are_named_with_a_word(tmp_path):
    images, masks = small.write_set(tmp_path, "mine", folders=("photos", "outlines"))
    for mask in masks.iterdir():
        mask.rename(masks / f"{mask.stem}_mask{mask.suffix}")
    found = find(f"mine={images}:{masks}", tmp_path)
    assert found.summary() == "mine: 3 pictures; p0_mask.png is the label of p0.jpg"


def test_missing_masks_and_names_that_differ_in_case(tmp_path):
    images, masks = small.write_set(tmp_path)
    (masks / "p2.png").unlink()
    assert "no label for 1 of the 3 pictures" in refusal("DUTS-TE", tmp_path)
    assert "(p2.jpg)" in refusal("DUTS-TE", tmp_path)
    (masks / "P2.png").touch()
    assert "differ in upper and lower case only" in refusal("DUTS-TE", tmp_path)
    (masks / "P2.png").rename(masks / "p2.png")
    (images / "p0.png").touch()
    assert "have one name" in refusal("DUTS-TE", tmp_path)


def test_files_that_are_no_pictures_do_not_count(tmp_path):
    images, masks = small.write_set(tmp_path)
    for folder in (images, masks):
        (folder / "Thumbs.db").write_bytes(b"x")
        (folder / ".DS_Store").write_bytes(b"x")
        (folder / "._p0.jpg").write_bytes(b"x")
        (folder / "readme.txt").write_text("x")
    assert len(find("DUTS-TE", tmp_path)) == 3


def test_a_missing_set_names_what_is_there(tmp_path):
    small.write_set(tmp_path, "ECSSD")
    assert f"in {tmp_path} are ECSSD" in refusal("SOD", tmp_path)
    (tmp_path / "SOD.zip").touch()
    assert "SOD.zip is there but not unpacked" in refusal("SOD", tmp_path)
    assert f"say --data.root {tmp_path}" in refusal("ECSSD", tmp_path / "ECSSD")
    assert "is not a folder" in refusal("ECSSD", tmp_path / "none")


def test_the_fingerprint_tells_sets_apart(tmp_path):
    _, masks = small.write_set(tmp_path)
    whole = find("DUTS-TE", tmp_path)
    assert whole.fingerprint == find("DUTS-TE", tmp_path).fingerprint
    part = sets.PictureSet("DUTS-TE", whole.pairs[:2])
    assert part.fingerprint != whole.fingerprint
    small.mask(9).rotate(90).save(masks / "p1.png")
    assert find("DUTS-TE", tmp_path).fingerprint != whole.fingerprint
