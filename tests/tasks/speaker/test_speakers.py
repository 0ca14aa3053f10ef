"""Layouts of training data, trial lists and score files, sound and broken."""

import hashlib

import numpy as np
import pytest

from common.errors import UserError
from tasks.speaker import voxceleb
from tasks.speaker.data import read_set
from tasks.speaker.speakers import find_files, read_speakers
from tasks.speaker.trials import read_scores, read_trials, speaker_of, write_scores

AUDIO = ("test/wav", "wav", ".")


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def refused(read, *words):
    with pytest.raises(UserError) as caught:
        read()
    line = str(caught.value)
    assert "\n" not in line
    for word in words:
        assert str(word) in line, line
    return line


def test_voxcelebs_layout(tmp_path):
    touch(
        tmp_path,
        "dev/aac/id2/v/2.m4a", "dev/aac/id1/w/1.m4a", "dev/aac/id1/v/1.m4a",
        "dev/aac/id1/v/notes.txt", "dev/aac/id1/v/.hidden.m4a", "dev/aac/list.txt",
    )  # fmt: skip
    found = read_speakers(tmp_path, "dev/aac", AUDIO)
    assert found.names == ("id1", "id2")
    assert [file.removeprefix(f"{tmp_path}/dev/aac/") for file in found.files] == [
        "id1/v/1.m4a", "id1/w/1.m4a", "id2/v/2.m4a",
    ]  # fmt: skip
    assert found.labels.tolist() == [0, 0, 1]


def test_a_folder_for_each_speaker(tmp_path):
    touch(tmp_path, "people/ann/a.wav", "people/ann/b.flac", "people/bob/a.OGG")
    found = read_speakers(tmp_path, "people", AUDIO)
    assert found.names == ("ann", "bob")
    assert len(found) == 3
    assert "1 of them with a single utterance" in found.summary()


@pytest.mark.parametrize(("gap", "end"), [(" ", ""), ("\t", ""), (' "', '"')])
def test_a_list(tmp_path, gap, end):
    touch(tmp_path, "wav/b/s/1.flac", "wav/a/s/1.flac", "wav/a/s/2 with blank.flac")
    lines = f"bob b/s/1.flac\n\nann a/s/1.flac\nann{gap}a/s/2 with blank.flac{end}\n"
    (tmp_path / "train_list.txt").write_text("\ufeff" + lines)  # as Windows' editors save it
    found = read_speakers(tmp_path, "train_list.txt", AUDIO)
    assert found.names == ("ann", "bob")
    assert found.labels.tolist() == [0, 0, 1]
    assert found.files[1].endswith("2 with blank.flac")


def test_the_fingerprint_forgets_where_the_set_lies(tmp_path):
    prints = set()
    for root in (tmp_path / "a", tmp_path / "b" / "c"):
        touch(root, "dev/wav/id1/v/1.wav", "dev/wav/id2/v/1.wav")
        prints.add(read_speakers(root, "dev/wav", AUDIO).fingerprint)
    assert len(prints) == 1
    touch(tmp_path / "a", "dev/wav/id2/v/2.wav")
    assert read_speakers(tmp_path / "a", "dev/wav", AUDIO).fingerprint not in prints


def test_some_utterances_of_each_speaker(tmp_path):
    names = [f"dev/wav/id1/v/{number:02d}.wav" for number in range(10)]
    touch(tmp_path, *names, "dev/wav/id2/v/1.wav")
    found = read_speakers(tmp_path, "dev/wav", AUDIO)
    assert found.some(0).tolist() == list(range(11))
    assert found.some(3).tolist() == [0, 3, 6, 10]
    assert found.labels[found.some(5)].tolist() == [0] * 5 + [1]


def test_what_is_missing(tmp_path):
    refused(lambda: read_speakers(tmp_path / "gone", "dev", AUDIO), "--data.root", "login")
    touch(tmp_path, "readme.txt")
    refused(lambda: read_speakers(tmp_path, "dev/wav", AUDIO), "--data.train dev/wav", "readme.txt")
    touch(tmp_path, "dev/wav/id1/v/1.wav")
    refused(lambda: read_speakers(tmp_path, "dev/wav", AUDIO), "of 1 speakers", "id1/")
    (tmp_path / "list.txt").write_text("id1 a.wav\nid2\n")
    refused(lambda: read_speakers(tmp_path, "list.txt", AUDIO), "list.txt, line 2", "'id2'")
    (tmp_path / "list.txt").write_text("id1 a.wav\nid2 b.wav\n")
    refused(
        lambda: read_speakers(tmp_path, "list.txt", AUDIO),
        "2 of the 2 recordings", "a.wav, b.wav", "--data.audio", "--data.on_error skip",
    )  # fmt: skip
    (tmp_path / "list.bin").write_bytes(b"\xff\xfe\xfa")
    refused(lambda: read_speakers(tmp_path, "list.bin", AUDIO), "cannot be read as a list")


def test_an_archive_that_is_not_unpacked(tmp_path):
    touch(tmp_path, "vox1_dev_wav_partaa")
    refused(
        lambda: read_speakers(tmp_path, "dev/wav", AUDIO), "vox1_dev_wav_partaa is not unpacked"
    )


def test_files_of_a_list(tmp_path):
    touch(tmp_path, "test/wav/a.wav", "wav/a.wav", "wav/b.wav", "wav/c.m4a", "d.wav")
    found = find_files(["a.wav", "b.wav", "c.wav", "d.wav"], tmp_path, AUDIO, tmp_path / "list")
    relative = [str(path.relative_to(tmp_path)) for path in found]
    assert relative == ["test/wav/a.wav", "wav/b.wav", "wav/c.m4a", "d.wav"]
    left = find_files(["gone.wav"], tmp_path, AUDIO, tmp_path / "list", require=False)
    assert left == [tmp_path / "test/wav/gone.wav"]


VOXCELEB = "1 a/v/1.wav a/v/2.wav\n0 a/v/1.wav b/v/1.wav\n\n0 b/v/1.wav a/v/2.wav\n"
KALDI = "a/v/1.wav a/v/2.wav target\na/v/1.wav b/v/1.wav nontarget\nb/v/1.wav a/v/2.wav nontarget\n"


LAST = "a/v/1.wav a/v/2.wav {}\na/v/1.wav b/v/1.wav {}\nb/v/1.wav a/v/2.wav {}\n"


@pytest.mark.parametrize(
    "text",
    [
        VOXCELEB, KALDI, VOXCELEB.replace("1 a", "TRUE a").replace("0 ", "FALSE "),
        *(
            LAST.format(same, other, other)
            for same, other in [
                ("1", "0"), ("True", "False"), ("same", "different"), ("Target", "Non-Target"),
                ("TARGET", "non_target"), ("genuine", "impostor"), ("positive", "negative"),
            ]
        ),
    ],
)  # fmt: skip
def test_forms_of_trial_lists(tmp_path, text):
    (tmp_path / "trials").write_text(text)
    trials = read_trials(tmp_path / "trials")
    assert trials.recordings == ("a/v/1.wav", "a/v/2.wav", "b/v/1.wav")
    assert trials.enrol.tolist() == [0, 0, 2]
    assert trials.test.tolist() == [1, 2, 1]
    assert trials.target.tolist() == [True, False, False]
    assert trials.fingerprint == hashlib.sha256(text.encode()).hexdigest()
    assert "3 trials (1 target) over 3 recordings" in trials.summary()


SPACED = "1 {a} {b}\n0 {a} {c}\n0 {c} {b}\n".format(
    a='"ann lee/v/1.wav"', b='"ann lee/v/2 b.wav"', c="bob/1.wav"
)


@pytest.mark.parametrize(
    "text",
    [
        SPACED,
        SPACED.replace(" bob", "\tbob"),
        SPACED.replace('" ', '"\t').replace("1 ", "1\t").replace("0 ", "0\t")
        .replace("wav ", "wav\t").replace('"', ""),
    ],
    ids=["quotes", "quotes and tabs", "tabs"],
)  # fmt: skip
def test_names_with_spaces_in_trial_lists_and_scores(tmp_path, text):
    (tmp_path / "trials").write_text(text)
    trials = read_trials(tmp_path / "trials")
    assert trials.recordings == ("ann lee/v/1.wav", "ann lee/v/2 b.wav", "bob/1.wav")
    assert trials.target.tolist() == [True, False, False]
    write_scores(tmp_path / "scores", trials, np.arange(3), [0.9, 0.2, 0.1])
    for labels in (None, tmp_path / "trials"):
        scores, target = read_scores(tmp_path / "scores", labels)
        assert scores.tolist() == [0.9, 0.2, 0.1]
        assert target.tolist() == [True, False, False]


def test_whose_recording():
    assert speaker_of("id10270/x6uYqmx31kE/00001.wav") == "id10270"
    assert speaker_of("/data/wav/id10270/x6uYqmx31kE/00001.wav") == "id10270"
    assert speaker_of("ann/a.wav") == "ann"
    assert speaker_of("dev/wav/id10270/x6uYqmx31kE/00001.wav") == "id10270"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ("is empty",)),
        ("a.wav b.wav\n", ("line 1", "no label", "cannot be scored")),
        ("1 a.wav b.wav\n0 a.wav\n", ("line 2", "needs a label and two recordings", "'0 a.wav'")),
        ("1 a.wav b.wav\n2 a.wav c.wav\n", ("line 2", "'2 a.wav c.wav'")),
        ("1 a.wav b.wav\na.wav c.wav target\n", ("line 2",)),
        (
            "a b target\n0 a.wav b.wav\n1 a.wav a.wav\n",
            ("line 1", "as line 2 does", "'a b target'"),
        ),
        ("enrol test label\na b target\n", ("line 1", "as line 2 does", "'enrol test label'")),
        ("1 a 0\n0 b 1\n", ("line 1", "first and the last word are labels", "'1 a 0'")),
        ("a b target\na c 0\na d nontarget\n", ("its labels are target, 0, nontarget",)),
        ("x y z\n", ("line 1", "neither", "VoxCeleb", "Kaldi")),
        ("1 a b.wav c.wav\n0 d.wav e.wav\n", ("line 1", "part them by tabs", "double quotes")),
        ("1 a b.wav c.wav\n", ("line 1", "neither", "part them by tabs", "double quotes")),
        ("1 a.wav b.wav\n1 a.wav c.wav\n", ("no nontarget trial",)),
        ("a.wav b.wav nontarget\n", ("no target trial",)),
    ],
)
def test_trial_lists_that_cannot_be_scored(tmp_path, text, words):
    (tmp_path / "trials").write_text(text)
    refused(lambda: read_trials(tmp_path / "trials"), tmp_path / "trials", *words)
    refused(lambda: read_trials(tmp_path / "none"), "no such list")


def test_scores_read_back(tmp_path):
    (tmp_path / "trials").write_text(VOXCELEB)
    trials = read_trials(tmp_path / "trials")
    write_scores(tmp_path / "scores", trials, np.array([0, 2]), [0.5, -0.25])
    assert (tmp_path / "scores").read_text().splitlines() == [
        "a/v/1.wav a/v/2.wav 0.500000 target",
        "b/v/1.wav a/v/2.wav -0.250000 nontarget",
    ]
    scores, target = read_scores(tmp_path / "scores")
    assert scores.tolist() == [0.5, -0.25]
    assert target.tolist() == [True, False]


def test_scores_with_the_labels_of_a_list(tmp_path):
    (tmp_path / "trials").write_text(KALDI)
    lines = ["b/v/1.wav a/v/2.wav 0.1", "a/v/1.wav a/v/2.wav 0.9", "a/v/1.wav b/v/1.wav 0.2"]
    (tmp_path / "scores").write_text("\n".join(lines))
    scores, target = read_scores(tmp_path / "scores", tmp_path / "trials")
    assert scores.tolist() == [0.9, 0.2, 0.1]
    assert target.tolist() == [True, False, False]
    (tmp_path / "scores").write_text("\n".join(lines[:2]))
    refused(
        lambda: read_scores(tmp_path / "scores", tmp_path / "trials"),
        "no score for the trial a/v/1.wav b/v/1.wav",
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ("is empty",)),
        ("a b 0.5\n", ("line 1", "target or nontarget", "--labels")),
        ("a b 0.5 target\na c 0.5\n", ("line 2",)),
        ("a b 0.5 maybe\n", ("line 1", "'a b 0.5 maybe'")),
        ("a b high target\n", ("line 1", "'high' is not a score")),
        ("a b nan target\n", ("line 1", "finite")),
        ("a b 1 target\na c 2 target\n", ("no nontarget",)),
    ],
)
def test_score_files_that_cannot_be_scored(tmp_path, text, words):
    (tmp_path / "scores").write_text(text)
    refused(lambda: read_scores(tmp_path / "scores"), tmp_path / "scores", *words)


def test_scores_with_labels_in_other_words(tmp_path):
    (tmp_path / "scores").write_text("a b 0.5 Same\na c 0.1 Different\n")
    assert read_scores(tmp_path / "scores")[1].tolist() == [True, False]


def data_directory(folder, utterances, **files):
    """A data directory of Kaldi; utterance -> (path, speaker)."""
    folder.mkdir(parents=True, exist_ok=True)
    scp = "".join(f"{name} {path}\n" for name, (path, _) in utterances.items())
    spk = "".join(f"{name} {speaker}\n" for name, (_, speaker) in utterances.items())
    for name, text in {"wav.scp": scp, "utt2spk": spk, **files}.items():
        (folder / name).write_text(text)
    return folder


UTTERANCES = {
    "ann-1": ("wav/x1.wav", "ann"), "bob-1": ("wav/with blank.wav", "bob"),
    "ann-2": ("wav/x2.wav", "ann"),
}  # fmt: skip


@pytest.mark.parametrize("train", ["data/train", "data/train/wav.scp", "data/train/utt2spk"])
def test_training_speakers_of_a_kaldi_directory(tmp_path, train):
    touch(tmp_path, *(path for path, _ in UTTERANCES.values()))
    data_directory(tmp_path / "data/train", UTTERANCES)
    found = read_speakers(tmp_path, train, AUDIO)
    assert found.names == ("ann", "bob")
    assert [file.removeprefix(f"{tmp_path}/") for file in found.files] == [
        "wav/x1.wav", "wav/x2.wav", "wav/with blank.wav",
    ]  # fmt: skip
    absolute = {name: (tmp_path / path, who) for name, (path, who) in UTTERANCES.items()}
    data_directory(tmp_path / "other", absolute)
    assert read_speakers(tmp_path, "other", AUDIO).files == found.files


def test_trials_of_a_kaldi_directory(tmp_path):
    touch(tmp_path, *(path for path, _ in UTTERANCES.values()))
    folder = data_directory(tmp_path / "data/test", UTTERANCES)
    trials = "ann-1 ann-2 target\nann-1 bob-1 nontarget\n"
    (folder / "trials").write_text(trials)
    (tmp_path / "trials").write_text(trials)
    for place, audio in (("data/test/trials", AUDIO), ("trials", ("data/test", "."))):
        found = read_set(tmp_path, place, audio, True)
        assert found.trials.recordings == ("ann-1", "ann-2", "bob-1")
        assert found.files == tuple(tmp_path / f"wav/{n}.wav" for n in ("x1", "x2", "with blank"))
        assert found.speakers == {"ann", "bob"}
    # A list of files beside a directory is a list of files.
    (folder / "trials").write_text("1 wav/x1.wav wav/x2.wav\n0 wav/x1.wav wav/with.wav\n")
    touch(tmp_path, "wav/with.wav")
    assert read_set(tmp_path, "data/test/trials", AUDIO, True).files[1] == tmp_path / "wav/x2.wav"
    (folder / "trials").write_text(trials + "cat-1 bob-1 nontarget\n")
    refused(
        lambda: read_set(tmp_path, "data/test/trials", AUDIO, True),
        folder / "trials", "1 of its 4 utterances", "cat-1",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"wav.scp": "a x.wav\nb sph2pipe -f wav b.sph |\n"}, ("wav.scp, line 2", "a command")),
        ({"wav.scp": "a x.ark:1234\n"}, ("wav.scp, line 1", "an archive", "'x.ark:1234'")),
        ({"wav.scp": "a x.wav\na y.wav\n"}, ("wav.scp, line 2", "a is on line 1 as well")),
        ({"wav.scp": "a\n"}, ("wav.scp, line 1", "'a'")),
        ({"segments": "\na-1 a 0.0 1.0\n"}, ("segments, line 2", "'a-1 a 0.0 1.0'")),
        ({"utt2spk": "ann-1 ann\n"}, ("wav.scp", "2 of its 3 utterances", "utt2spk", "bob-1")),
        ({"wav.scp": "ann-1 x.wav\n"}, ("utt2spk", "2 of its 3", "wav.scp", "fix_data_dir")),
    ],
)
def test_kaldi_directories_that_are_not_read(tmp_path, files, words):
    data_directory(tmp_path / "train", UTTERANCES, **files)
    refused(lambda: read_speakers(tmp_path, "train", AUDIO), tmp_path / "train", *words)


def test_a_kaldi_directory_without_speakers(tmp_path):
    (data_directory(tmp_path / "train", UTTERANCES) / "utt2spk").unlink()
    refused(lambda: read_speakers(tmp_path, "train/wav.scp", AUDIO), "no utt2spk")


def test_archives_are_verified_and_never_fetched(tmp_path, monkeypatch):
    parts = {"vox_parta": b"one", "vox_partb": b"two"}
    digest = hashlib.md5(b"onetwo").hexdigest()
    archive = voxceleb.Archive("VoxCeleb1 dev", tuple(parts), digest, "vox1/dev/wav")
    monkeypatch.setattr(voxceleb, "ARCHIVES", (archive,))
    refused(lambda: voxceleb.verify(tmp_path), "none of the archives", "login", voxceleb.PAGE)
    (tmp_path / "vox_parta").write_bytes(parts["vox_parta"])
    assert voxceleb.verify(tmp_path) == ["VoxCeleb1 dev: incomplete, vox_partb missing"]
    (tmp_path / "vox_partb").write_bytes(parts["vox_partb"])
    assert "whole" in voxceleb.verify(tmp_path)[0]
    (tmp_path / "vox_partb").write_bytes(b"other")
    assert "damaged" in voxceleb.verify(tmp_path)[0]
