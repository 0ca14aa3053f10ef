"""Shards hold the pictures of the folders, and every kind of broken one is told in a line."""

import os
import tarfile

import numpy as np
import pytest

from common.errors import DamagedFile, UserError
from tasks.classification import folders, labels, pack, shards
from tasks.classification.config import Config, DataConfig
from tasks.classification.data import read_splits
from tests.tasks.classification import small
from tests.tasks.classification.small import read_split


def test_shards_hold_the_same_pictures(root, packed):
    for split, count in (("train", 12), ("val", 6)):
        tree, found = folders.read(root, split, None), shards.read(packed, split, None)
        assert len(found) == count
        assert found.classes == labels.numbered(3)
        by_bytes = {tree.store.read(k).tobytes(): int(tree.labels[k]) for k in range(len(tree))}
        for index in range(count):
            assert by_bytes.pop(found.store.read(index).tobytes()) == found.labels[index]
        assert not by_bytes


def test_shards_are_plain_web_datasets(packed):
    """What any reader of the layout sees, member by member."""
    files = sorted((packed / "train").iterdir())
    assert [file.name for file in files] == [f"train-{k:06d}.tar" for k in range(3)]
    with tarfile.open(files[2]) as archive:
        assert archive.getnames() == [
            "00000010.jpg",
            "00000010.cls",
            "00000011.jpg",
            "00000011.cls",
        ]
        assert archive.extractfile("00000010.cls").read() in (b"0", b"1", b"2")


def test_packing_twice_gives_the_same_bytes(root, tmp_path, packed):
    pack.write(folders.read(root, "train", None), tmp_path / "again", 5, seed=0)
    for file in (tmp_path / "again").iterdir():
        assert file.read_bytes() == (packed / "train" / file.name).read_bytes()


def test_shards_may_lie_in_one_folder(root, packed):
    for file in sorted((packed / "val").iterdir()):
        file.rename(packed / f"imagenet-{file.name}")
    (packed / "val").rmdir()
    assert len(shards.read(packed, "val", None)) == 6


def test_the_index_is_kept_and_made_anew_when_a_shard_changes(packed, tmp_path, monkeypatch):
    shard = next((packed / "val").iterdir())
    first = shards.index(shard)
    monkeypatch.setattr(shards, "scan", None)  # a second look must not need it
    again = shards.index(shard)
    assert all(np.array_equal(*pair) for pair in zip(first, again, strict=True))
    monkeypatch.undo()
    monkeypatch.setenv("RES2NET_CACHE", str(tmp_path / "cache"))
    shard.write_bytes((packed / "train" / "train-000000.tar").read_bytes())
    os.utime(shard, ns=(1, 1))
    assert len(shards.index(shard).keys) == 5
    for kept in (tmp_path / "cache" / "shards").iterdir():
        kept.write_bytes(b"broken")
    assert len(shards.index(shard).keys) == 5


def test_numbers_of_shards_get_their_names_from_the_list(packed):
    (packed / "classes.txt").write_text("bee\nbear\ncat\ndog\n")
    config = DataConfig(root=packed, format="shards")
    found = read_split(config, "train")
    assert found.classes.names == ("bee", "bear", "cat", "dog")
    assert found.labels.max() == 2


def test_long_names_and_folders_within_shards(tmp_path, monkeypatch):
    monkeypatch.setenv("RES2NET_CACHE", str(tmp_path / "cache"))
    (tmp_path / "val").mkdir()
    stem = "n01440764/" + "x" * 180
    content = small.jpeg(small.picture(0)).tobytes()
    with tarfile.open(tmp_path / "val" / "a.tar", "w") as archive:
        pack._add(archive, f"{stem}.seg.png", b"another file of the sample")
        pack._add(archive, f"{stem}.cls", b" 4\n")
        pack._add(archive, f"{stem}.JPG", content)
    found = shards.read(tmp_path, "val", None)
    assert found.labels.tolist() == [4]
    assert found.store.key(0) == f"a.tar/{stem}.JPG"
    assert found.store.read(0).tobytes() == content


def test_an_index_that_is_damaged_is_made_anew(packed, tmp_path, monkeypatch):
    shard = next((packed / "train").glob("*.tar"))
    monkeypatch.setenv("RES2NET_CACHE", str(tmp_path / "another cache"))
    wanted = shards.index(shard)
    (kept,) = (tmp_path / "another cache" / "shards").glob("*.npz")
    for content in (b"", kept.read_bytes()[:40]):
        kept.write_bytes(content)
        assert np.array_equal(shards.index(shard).keys, wanted.keys)


def test_a_shard_that_shrank_since_it_was_indexed(packed):
    pictures = shards.read(packed, "val", None)
    shard = packed / "val" / "val-000000.tar"
    shard.write_bytes(shard.read_bytes()[:700])
    with pytest.raises(DamagedFile, match=r"\.tar, .*jpg: the shard is cut short"):
        pictures.store.read(4)
    shard.unlink()
    with pytest.raises(DamagedFile, match=r"cannot be read \(No such file"):
        pictures.store.read(0)


def test_a_training_class_without_pictures_in_shards(packed):
    (packed / "classes.txt").write_text("bee\nbear\ncat\ndog\n")
    with pytest.raises(UserError, match="1 of its 4 classes have no picture, first dog"):
        read_splits(Config(data=DataConfig(root=packed, format="shards")))


def write_shard(root, members, name="a.tar"):
    """A shard with these members in root/val."""
    (root / "val").mkdir(parents=True, exist_ok=True)
    with tarfile.open(root / "val" / name, "w") as archive:
        for member, content in members:
            pack._add(archive, member, content)
    return root / "val" / name


PICTURE = ("1.jpg", b"bytes of a picture")


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([PICTURE], "1 has no class; needed are pairs"),
        ([("1.cls", b"0")], "1 has no picture"),
        ([("1.txt", b"0")], "it holds no samples"),
        ([PICTURE, ("1.cls", b"cat")], r"1\.cls: is b'cat' and not the number of a class"),
        ([PICTURE, ("1.cls", b"9" * 20)], r"1\.cls: is b'9+' and not the number of a class"),
        ([PICTURE, PICTURE, ("1.cls", b"0")], "holds two pictures called 1"),
        ([PICTURE, ("1.cls", b"7")], r"1\.jpg: is of class 7, but .*only 3, from 0 to 2"),
    ],
)
def test_shards_of_another_layout(tmp_path, monkeypatch, members, message):
    monkeypatch.setenv("RES2NET_CACHE", str(tmp_path / "cache"))
    write_shard(tmp_path, members)
    (tmp_path / "classes.txt").write_text("bee\ncat\ndog\n")
    with pytest.raises(UserError, match=message):
        read_split(DataConfig(root=tmp_path, format="shards"), "val")


@pytest.mark.parametrize("length", [0, 100, 700, 1100, 1536, 2048])
def test_shards_that_are_cut_short(tmp_path, length):
    shard = write_shard(tmp_path, [PICTURE, ("1.cls", b"0")])
    shard.write_bytes(shard.read_bytes()[:length])
    with pytest.raises(UserError, match=r"a\.tar: is cut short|a\.tar: it holds no|has no class"):
        shards.scan(shard)


def test_shards_that_are_no_archives_or_are_missing(tmp_path, root):
    shard = write_shard(tmp_path, [])
    shard.write_bytes(b"x" * 3000)
    with pytest.raises(UserError, match="is cut short or not a plain tar archive"):
        shards.scan(shard)
    with pytest.raises(UserError, match="holds no shards of train; needed are train/"):
        read_split(DataConfig(root=root, format="shards"), "train")
    (root / "train" / "a.tar.gz").write_bytes(b"")
    with pytest.raises(UserError, match="only plain archives have random access"):
        read_split(DataConfig(root=root, format="shards"), "train")
    with pytest.raises(UserError, match="there is no such folder"):
        read_split(DataConfig(root=root / "no", format="shards"), "train")
