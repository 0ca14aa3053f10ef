"""Every mismatch between an annotation file and its PNG is one line that names both."""

import numpy as np
import pytest
from PIL import Image

from common.errors import DamagedFile, UserError
from tasks.panoptic.config import Config, DataConfig
from tasks.panoptic.data import ScoringSet, TrainSet, read
from tasks.panoptic.maps import write_ids
from tests.tasks.panoptic import small


@pytest.fixture
def root(tmp_path):
    return small.write(tmp_path)


def config_of(root, **data):
    return Config(data=DataConfig(root=root, **data))


def refusal(root, index=None, kind=DamagedFile, **data):
    """What is said where a split is read, or one of its pictures."""
    config = config_of(root, **data)
    with pytest.raises(kind) as caught:
        split = read(config, "val2017")
        assert index is not None, "the split was read"
        TrainSet(split, config.data).sample(index, np.random.default_rng(0))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def map_of(root, name="11"):
    return root / "annotations" / "panoptic_val2017" / f"{name}.png"


def test_ids_without_a_segment(root):
    ids = small.ids()
    ids[:2, :3] = 255 + 256 * 7
    write_ids(map_of(root), ids)
    said = refusal(root, 0)
    assert f"{map_of(root)}: has 6 pixels of id 2047 (colour (255, 7, 0))" in said
    assert f"{small.file_of(root)} lists no such segment" in said


def test_segments_without_pixels(root):
    ids = small.ids()
    ids[ids == small.KITE] = small.SKY
    write_ids(map_of(root), ids)
    said = refusal(root, 0)
    assert said == (
        f"{map_of(root)}: has no pixel of segment {small.KITE}, which {small.file_of(root)} lists"
    )


def test_sizes_that_differ(root):
    write_ids(map_of(root), small.ids()[:40])
    assert f"{map_of(root)}: has 64x40 pixels" in refusal(root, 0)
    Image.fromarray(small.picture(1)[:30]).save(root / "val2017" / "12.png")
    assert "12.png: has 64x30 pixels" in refusal(root, 1)


@pytest.mark.parametrize(
    ("mode", "said"),
    [("L", "8 bits, grey"), ("P", "8 bits, palette"), ("RGBA", "8 bits, RGB with opacity"),
     ("I;16", "16 bits, grey")],
)  # fmt: skip
def test_a_png_that_is_not_rgb(root, mode, said):
    picture = Image.fromarray(np.zeros((48, 64), np.uint16 if mode == "I;16" else np.uint8))
    picture = picture if mode == "I;16" else picture.convert(mode)
    picture.save(map_of(root))
    assert f"{map_of(root)}: is a PNG of {said}" in refusal(root, 0)


def test_files_that_are_no_png(root):
    Image.fromarray(small.picture(0)).save(map_of(root), "JPEG")
    assert "is no PNG, and ids are the exact colours of one" in refusal(root, 0)
    whole = map_of(root, "12").read_bytes()
    map_of(root, "12").write_bytes(whole[: len(whole) // 2])
    assert "12.png: the picture is cut short" in refusal(root, 1)
    map_of(root, "13").write_bytes(b"")
    assert "13.png: is empty" in refusal(root, 2)


def test_a_damaged_map_stops_or_is_skipped(root, capsys):
    write_ids(map_of(root), small.ids()[:40])
    config = config_of(root, on_error="skip")
    found = ScoringSet(read(config, "val2017"), config.data)
    assert found[0] is None and found[1] is not None
    assert f"skipped: {map_of(root)}" in capsys.readouterr().err
    with pytest.raises(DamagedFile):
        ScoringSet(read(config_of(root), "val2017"), config_of(root).data)[0]


SEGMENTS = {
    "an id of 0": ({"id": 0}, "has a segment of id 0, which stands for no segment"),
    "an id too large": ({"id": 2**24}, "id 16777216, and 1 to 16777215 are possible"),
    "an id that is a text": ({"id": "12"}, "without a whole number for 'id'"),
    "an unknown category": (
        {"category_id": 5},
        "segment 70000 of category 5, which is not in 'categories' (ids 3, 7, 92, 200)",
    ),
    "an area that is none": ({"area": "big"}, "segment 70000 with an area of 'big'"),
    "a crowd that is a text": ({"iscrowd": "0"}, "segment 70000, which has the 'iscrowd' '0'"),
}


@pytest.mark.parametrize("case", SEGMENTS)
def test_segments_that_cannot_be(root, case):
    change, message = SEGMENTS[case]
    content = small.content(root)
    content["annotations"][1]["segments_info"][0].update(change)
    small.annotate(root, content)
    said = refusal(root)
    assert f"{small.file_of(root)}: picture 12 has" in said and message in said
    kept = read(config_of(root, on_error="skip"), "val2017")
    assert kept.image_ids == (11, 13)
    assert "1 pictures with damaged segments, first picture 12" in kept.summary()


def test_entries_that_contradict_each_other(root):
    whole = small.content(root)
    for change, message in (
        (lambda one: one["annotations"][0]["segments_info"].append(
            one["annotations"][0]["segments_info"][0]), "picture 11 lists segment 70000 twice"),
        (lambda one: one["annotations"][0].update(image_id=99), "picture 99 is annotated, and not"),
        (lambda one: one["annotations"][0].update(segments_info={}), "of type dict, not a list"),
        (lambda one: one["annotations"].append(one["annotations"][0]), "11 is listed twice"),
        (lambda one: one["annotations"][0].pop("file_name"), "has no 'file_name'"),
        (lambda one: one["annotations"][0].update(file_name="12.png"), "12.png is listed twice"),
        (lambda one: one["categories"][0].pop("isthing"), "category 200 has the 'isthing' None"),
    ):  # fmt: skip
        small.annotate(root, whole)
        content = small.content(root)
        change(content)
        small.annotate(root, content)
        assert message in refusal(root), message


@pytest.mark.parametrize(
    "name", ["../panoptic_val2017/11.png", "/maps/11.png", "..\\11.png", "", 11]
)
def test_maps_lie_in_their_folder(root, name):
    content = small.content(root)
    content["annotations"][0]["file_name"] = name
    small.annotate(root, content)
    said = refusal(root)
    assert f"{small.file_of(root)}: picture 11 has the 'file_name' {name!r}" in said
    assert read(config_of(root, on_error="skip"), "val2017").image_ids == (12, 13)


def test_a_map_in_a_folder_of_its_own(root):
    content = small.content(root)
    content["annotations"][0]["file_name"] = "sub\\11.png"  # as Windows parts folders
    small.annotate(root, content)
    (map_of(root).parent / "sub").mkdir()
    map_of(root).rename(map_of(root).parent / "sub" / "11.png")
    assert read(config_of(root), "val2017").places(0).any()


def test_objects_are_no_segments(root):
    content = small.content(root)
    content["categories"] = [{"id": 1, "name": "cat"}]
    content["annotations"] = [{"id": 1, "image_id": 11, "category_id": 1, "bbox": [1, 2, 3, 4]}]
    small.annotate(root, content)
    said = refusal(root, kind=UserError)
    assert said.startswith(f"{small.file_of(root)}: lists objects, not segments ('segments_info')")


def test_classes_of_the_other_kind_are_said_so(root):
    content = small.content(root)
    for one in content["categories"]:
        one["isthing"] = 1 - one["isthing"]
    small.annotate(root, content)
    said = refusal(root, kind=UserError, things=("kite",), stuff=("sky",))
    assert "no 'kite' among its things; it is stuff there (isthing 0)" in said


def test_sets_without_things_or_stuff_are_no_panoptic_ones(root):
    content = small.content(root)
    for thing, word in ((0, "things"), (1, "stuff")):
        content["categories"] = [{**one, "isthing": thing} for one in small.CATEGORIES]
        small.annotate(root, content)
        assert f"has no category of {word}" in refusal(root, kind=UserError)


def test_areas_and_boxes_may_be_left_out(root):
    content = small.content(root)
    for one in content["annotations"]:
        one["segments_info"] = [
            {key: value for key, value in segment.items() if key in ("id", "category_id")}
            for segment in one["segments_info"]
        ]
    small.annotate(root, content)
    split = read(config_of(root), "val2017")
    assert (split.segments.areas == -1).all() and not split.segments.crowd.any()
    assert TrainSet(split, config_of(root).data).sample(0, np.random.default_rng(0))["boxes"].any()


def test_files_that_are_missing(root):
    map_of(root).unlink()
    said = refusal(root, kind=UserError)
    assert f"3 pictures, 1 of them are missing, first {map_of(root)}" in said
    for path in sorted(map_of(root).parent.iterdir()):
        path.unlink()
    map_of(root).parent.rmdir()
    assert "the folder with its PNG files is in none of" in refusal(root, kind=UserError)
    (root / "annotations" / "panoptic_val2017.zip").touch()
    assert "is there but not unpacked" in refusal(root, kind=UserError)
    small.file_of(root).unlink()
    assert "has no annotations/panoptic_val2017.json" in refusal(root, kind=UserError)


def test_pictures_without_an_annotation_are_counted(root):
    content = small.content(root)
    del content["annotations"][1]
    small.annotate(root, content)
    split = read(config_of(root), "val2017")
    assert split.image_ids == (11, 13)
    assert "1 pictures without an annotation" in split.summary()
    del content["annotations"][:]
    small.annotate(root, content)
    assert "has no annotated picture" in refusal(root, kind=UserError)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"things": ("cat",)}, "--data.stuff is missing"),
        ({"things": ("cat",), "stuff": ("cat",)}, "'cat' is named twice"),
        ({"instances": True, "format": "cityscapes"}, "has no instances_"),
        ({"short_sides": ()}, "--data.short_sides"),
        ({"flip_probability": 2}, "--data.flip_probability is 2"),
    ],
)
def test_settings_that_cannot_be(flags, message):
    with pytest.raises(UserError, match=message):
        DataConfig(**flags)
