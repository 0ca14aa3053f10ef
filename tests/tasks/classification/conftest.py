"""An ImageFolder tree, and the same packed into shards."""

import pytest

from tasks.classification import folders, pack
from tests.tasks.classification import small


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("RES2NET_CACHE", str(tmp_path / "cache"))
    return small.write_tree(tmp_path / "data")


@pytest.fixture
def packed(root, tmp_path):
    """The same data set as shards of five pictures."""
    for split in ("train", "val"):
        pack.write(folders.read(root, split, None), tmp_path / "shards" / split, 5, seed=0)
    return tmp_path / "shards"
