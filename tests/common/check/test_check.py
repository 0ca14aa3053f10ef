"""What a check finds in any task's splits, on splits that are made up here."""

import json
from functools import partial

import cv2
import numpy as np
import pytest
from PIL import Image

from common.check import advice
from common.check.check import Part, check
from common.check.examined import Examined, Look
from common.check.findings import Finding, Remark
from common.check.pictures import header
from common.commands.settings import RunConfig
from common.errors import DamagedFile, UserError
from common.reading import image
from common.training.settings import EngineConfig


class Folder:
    """Pictures of one class each, in a folder."""

    def __init__(self, path):
        self.path, self.labels, self.orientation = path, {}, None
        path.mkdir()

    def add(self, name, label="cat", seed=None, **options):
        seed = len(self.labels) if seed is None else seed
        pixels = np.random.default_rng(seed).integers(0, 256, (20, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(self.path / name, **options)
        self.labels[name] = label
        return self.path / name

    def examined(self, **changes):
        files = [str(self.path / name) for name in self.labels]

        def look(index):
            image.read(files[index])
            return Look(counts={list(self.labels.values())[index]: 1})

        return Examined(
            **{
                "name": self.path.name, "summary": f"{len(files)} pictures", "files": files,
                "kind": image.PICTURES, "unit": "pictures", "classes": ("cat", "dog"),
                "content": lambda index: image.content(files[index]),
                "header": partial(header, self.orientation),
                "look": look, "draw": lambda index: image.read(files[index]),
                "samples": lambda: len(files), **changes,
            }
        )  # fmt: skip


@pytest.fixture
def folders(tmp_path):
    """A sound training and a sound scoring split."""
    training, scoring = Folder(tmp_path / "train"), Folder(tmp_path / "val")
    for number, label in enumerate(("cat", "dog", "cat", "dog")):
        training.add(f"t{number}.png", label, seed=number)
        scoring.add(f"v{number}.png", label, seed=10 + number)
    return training, scoring


def settings(tmp_path, batch_size=2):
    return RunConfig(out=tmp_path / "out", engine=EngineConfig(batch_size=batch_size))


def checked(folders, tmp_path, on_error="stop", batch_size=2, changes=None, **more):
    training, scoring = folders
    return check(
        "task",
        settings(tmp_path, batch_size),
        on_error,
        [
            Part("training", "train", lambda _: training.examined(**(changes or {}))),
            Part("scoring", "val", lambda _: scoring.examined()),
        ],
        **more,
    )


def only(report):
    """The one finding."""
    assert len(report.findings) == 1, report.findings
    return report.findings[0]


def test_a_sound_set_has_no_finding_and_a_page_that_says_what_is_in_it(folders, tmp_path, capsys):
    report = checked(folders, tmp_path)
    assert report.findings == () and report.status == 0
    assert capsys.readouterr().out.endswith("training would go through\n")
    content = json.loads((tmp_path / "out" / "check" / "check.json").read_text())
    training, scoring = content["splits"]
    assert training["counts"] == scoring["counts"] == {"cat": 2, "dog": 2}
    assert training["measures"]["width"] == {"least": 30, "median": 30, "greatest": 30}
    assert training["attributes"]["format"] == {"PNG": 4}
    page = (tmp_path / "out" / "check" / "index.html").read_text()
    for picture in ("samples_training_train.jpg", "samples_scoring_val.jpg"):
        assert f'src="{picture}"' in page
        assert image.read(tmp_path / "out" / "check" / picture).shape[2] == 3


def test_a_damaged_file_stops_or_is_left_out(folders, tmp_path):
    file = folders[0].add("t9.png", "cat", seed=99)
    file.write_bytes(file.read_bytes()[:60])
    finding = only(checked(folders, tmp_path))
    assert (finding.severity, finding.split) == ("error", "train")
    assert finding.text == "1 of 5 pictures cannot be read"
    assert str(file) in finding.files[0] and "--data.on_error skip" in finding.mend
    report = checked(folders, tmp_path, on_error="skip")
    assert only(report).severity == "warning" and report.status == 0


def test_labels_that_the_settings_do_not_explain(folders, tmp_path):
    def look(index):
        raise UserError(f"{index}.png: holds 77")

    finding = only(checked(folders, tmp_path, changes={"look": look, "classes": ()}))
    assert finding.severity == "error" and len(finding.files) == 4
    assert finding.files[0] == "0.png: holds 77" or finding.files[0].endswith("0.png: holds 77")


def test_copies_within_a_split(folders, tmp_path):
    copy = folders[0].add("copy.png", "cat", seed=0)
    finding = only(checked(folders, tmp_path))
    assert (finding.severity, finding.kind) == ("warning", "equal files")
    assert finding.files == (f"{folders[0].path / 't0.png'} = {copy}",)


def test_copies_with_other_labels(folders, tmp_path):
    folders[0].add("copy.png", "dog", seed=0)
    finding = only(checked(folders, tmp_path))
    assert (finding.severity, finding.kind) == ("warning", "equal files with other labels")


def test_files_in_both_splits(folders, tmp_path):
    folders[1].add("again.png", "cat", seed=2)
    finding = only(checked(folders, tmp_path))
    assert (finding.split, finding.kind) == ("val", "files in both splits")
    assert finding.text == "1 of 5 pictures are trained on as well"
    assert finding.files == (f"{folders[1].path / 'again.png'} = {folders[0].path / 't2.png'}",)


def test_a_class_that_never_occurs(folders, tmp_path):
    finding = only(checked(folders, tmp_path, changes={"classes": ("cat", "dog", "emu")}))
    assert finding.text == "no pictures of 1 of 3 classes (emu)"


def test_a_class_that_may_be_in_what_cannot_be_read(folders, tmp_path):
    for name, label in folders[0].labels.items():
        if label == "dog":
            (folders[0].path / name).write_bytes(b"")
    found = [one.text for one in checked(folders, tmp_path).findings]
    assert found[1] == "no pictures of 1 of 2 classes (dog) in the 2 pictures that can be read"


def test_files_that_no_reader_takes(folders, tmp_path):
    for name in ("a.heic", "b.heic", "c.psd", "labels.txt", ".hidden", "README"):
        (folders[0].path / name).write_bytes(b"x")
    finding = only(checked(folders, tmp_path))
    assert (finding.severity, finding.split) == ("note", "train")
    assert finding.text.startswith("3 files (.heic 2, .psd 1) are no picture format")
    assert finding.files[0] == str(folders[0].path / "a.heic")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_that_are_to_be_turned(folders, tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    folders[0].add("phone.jpg", "cat", seed=50, exif=exif)
    report = checked(folders, tmp_path)
    if orientation == 1:
        assert report.findings == ()
    else:
        assert only(report).files == (
            f"{folders[0].path / 'phone.jpg'}: orientation {orientation}",
        )
    for chosen, size in (("stored", [20, 30]), ("upright", [30, 20])):
        folders[0].orientation = chosen
        report = checked(folders, tmp_path)
        assert report.findings == ()
        sizes = report.examinations[0].sizes().tolist()
        assert sizes[-1] == (size if orientation >= 5 else [20, 30])


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("bands", [(), (3,), (4,)])
@pytest.mark.parametrize(("bits", "dark"), [(10, True), (12, True), (14, True), (16, False)])
def test_levels_of_fewer_bits_than_the_file_has(folders, tmp_path, suffix, bands, bits, dark):
    levels = np.random.default_rng(0).integers(0, 2**bits, (40, 60, *bands), dtype=np.uint16)
    if bands == (4,):
        levels[..., 3] = 65535  # opaque
    path = folders[0].path / f"deep{suffix}"
    cv2.imwrite(str(path), levels)
    folders[0].labels[path.name] = "cat"
    found = [one for one in checked(folders, tmp_path).findings if "come out dark" in one.kind]
    assert len(found) == dark
    if dark:
        (file,) = found[0].files
        read = int(image.read(path).max())
        assert found[0].severity == "warning" and read <= 64
        assert file.endswith(f"{path.name}: at most {read} of 255")


def test_too_few_samples_for_a_batch(folders, tmp_path):
    finding = only(checked(folders, tmp_path, batch_size=8))
    assert (finding.severity, finding.text) == ("error", "4 samples do not fill a batch of 8")


def test_what_training_refuses_is_an_error_once(folders, tmp_path):
    def refuse():
        raise UserError("train: has crowds only; annotate objects")

    report = checked(folders, tmp_path, changes={"samples": refuse}, together=refuse)
    assert {one.text for one in report.findings} == {"train: has crowds only"}
    assert report.findings[0].mend == "annotate objects" and report.status == 1


def test_one_fault_that_several_splits_stop_at_is_told_once(tmp_path):
    def refuse(_=None):
        raise UserError("--data.root none: no such folder")

    parts = [Part("training", "train", refuse), Part("scoring", "val", refuse)]
    finding = only(check("task", settings(tmp_path), "stop", parts, together=refuse))
    assert finding.line() == "error: train: --data.root none: no such folder"


def test_labels_that_stop_reading_are_told_once(folders, tmp_path):
    """The refusal names the labels alone, the finding the picture before them."""
    files = [folders[0].path / name for name in folders[0].labels]

    def refuse(index=0):
        raise UserError(f"labels/{files[index].stem}.png: holds 77; name it")

    def read(on_error):
        if on_error == "stop":
            refuse()
        return folders[0].examined(look=refuse)

    finding = only(check("task", settings(tmp_path), "stop", [Part("training", "train", read)]))
    assert finding.text == "4 of 4 pictures have labels that the settings do not explain"


@pytest.mark.parametrize("split", [0, 1])
def test_skipping_everything_leaves_nothing(folders, tmp_path, split):
    for name in folders[split].labels:
        (folders[split].path / name).write_bytes(b"")
    errors = [one for one in checked(folders, tmp_path, "skip").findings if one.severity == "error"]
    assert [(one.split, one.kind) for one in errors] == [
        (folders[split].path.name, "nothing can be read")
    ]
    finding = only(checked(folders, tmp_path))  # and no class is said to be missing
    assert finding.text == "4 of 4 pictures cannot be read" and finding.severity == "error"


def test_what_is_between_splits_is_told_beside_errors(folders, tmp_path):
    file = folders[0].add("t9.png", "cat", seed=99)
    file.write_bytes(b"")
    shared = Finding("warning", "val", "shared", "2 persons are in both", "part them")
    report = checked(folders, tmp_path, between=lambda: [shared])
    assert [one.severity for one in report.findings] == ["error", "warning"]


def test_a_split_that_cannot_be_read_leaves_the_others(folders, tmp_path):
    def refuse(_):
        raise UserError("no such folder; say --data.root")

    parts = [Part("training", "train", refuse)]
    parts.append(Part("scoring", "val", lambda _: folders[1].examined()))
    report = check("task", settings(tmp_path), "stop", parts)
    assert only(report).severity == "error"
    assert [one.split.name for one in report.examinations] == ["val"]


def test_a_split_that_stops_is_read_as_far_as_it_goes(folders, tmp_path):
    """The refusal because of a file is told with the others of its kind."""
    file = folders[0].add("t9.png", "cat", seed=99)
    file.write_bytes(b"")

    def read(on_error):
        if on_error == "stop":
            image.read(file)
        return folders[0].examined()

    finding = only(check("task", settings(tmp_path), "stop", [Part("training", "train", read)]))
    assert finding.text == "1 of 5 pictures cannot be read"


def test_a_name_is_text_on_the_page_and_not_markup(folders, tmp_path):
    folders[0].add("<b>&.png", "<script>", seed=60)
    checked(folders, tmp_path)
    page = (tmp_path / "out" / "check" / "index.html").read_text()
    assert "<script>" not in page and "&lt;script&gt;" in page


def test_remarks_of_a_kind_are_one_finding_with_all_files(folders, tmp_path):
    def look(index):
        mend = "cut it off"
        return Look(remarks=(Remark("warning", "pictures have a border", f"{index} px", mend),))

    finding = only(checked(folders, tmp_path, changes={"look": look, "classes": ()}))
    assert finding.text == "4 of 4 pictures have a border"
    assert [file.rpartition(": ")[2] for file in finding.files] == ["0 px", "1 px", "2 px", "3 px"]


def test_a_finding_is_one_line_whatever_its_files_are_called(folders, tmp_path):
    (folders[0].add("two\nlines.png", "cat", seed=70)).write_bytes(b"")
    assert "two lines.png" in only(checked(folders, tmp_path)).line()


def test_a_missing_file_is_named_once(folders, tmp_path):
    folders[0].labels["none.png"] = "cat"
    finding = only(checked(folders, tmp_path))
    assert finding.files == (f"{folders[0].path / 'none.png'}: no such file",)


@pytest.mark.parametrize(
    ("sizes", "wanted", "words"),
    [((100, 200), 96, "is 100 pixels"), ((400, 500), 96, "try 384"), ((40, 50), 96, "try 32")],
)
def test_advice_on_the_short_side(sizes, wanted, words):
    text = advice.short_side(np.array([sizes] * 3), "--data.short_side", wanted)
    assert words in text and ("try" in words) == ("try" in text)


def test_advice_on_the_batch():
    assert advice.batch(100, 8).endswith("12 steps an epoch of 100 samples")
    assert "4 would give" in advice.batch(60, 16)


def test_damage_that_only_the_decoder_sees_keeps_what_the_header_says(folders, tmp_path):
    def look(index):
        raise DamagedFile("cut short")

    report = checked(folders, tmp_path, changes={"look": look, "classes": ()})
    assert report.examinations[0].sizes().tolist() == [[20, 30]] * 4
