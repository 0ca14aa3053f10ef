"""Downloads against a local server that can break, forget Range, lie or be away."""

import hashlib
import os
import threading
from dataclasses import replace

import pytest
import torch

from backbone import MODELS, WEIGHTS, WeightsError, load
from backbone.download import cache, fetch
from tests.server import serving

CONTENT = bytes(range(256)) * 4000
DIGEST = hashlib.sha256(CONTENT).hexdigest()[:8]


@pytest.fixture
def server():
    with serving(CONTENT) as state:
        yield state


@pytest.fixture
def get(server, tmp_path, capsys):
    """Fetch the server's file; gives path and the lines that were said."""

    def run(*urls, digest=DIGEST):
        capsys.readouterr()  # what a call that failed said
        path = fetch(
            urls or (server.url,),
            tmp_path / "cache" / "weights.pth",
            digest=digest,
            licence="CC BY-NC-SA 4.0",
        )
        assert path.read_bytes() == server.content
        assert not path.with_name("weights.pth.part").exists()
        return capsys.readouterr().err.splitlines()

    return run


def test_source_size_and_licence_are_stated_once_and_the_file_is_kept(server, get):
    assert get() == [f"downloading {server.url} (1.0 MB; licence: CC BY-NC-SA 4.0)"]
    assert get() == []
    assert len(server.requests) == 1


def test_a_broken_connection_is_taken_up_where_it_broke(server, get):
    half = len(CONTENT) // 2
    server.break_at = [half]
    assert len(get()) == 1
    assert [asked for _, asked in server.requests] == [None, f"bytes={half}-"]


def test_a_later_call_goes_on_too(server, get, tmp_path):
    server.break_at = [1000] * 3
    with pytest.raises(WeightsError, match="broke at 3000 of 1024000 bytes"):
        get()
    assert (tmp_path / "cache/weights.pth.part").read_bytes() == CONTENT[:3000]
    (line,) = get()
    assert "1.0 MB, 0.0 MB of it already here" in line
    assert server.requests[-1][1] == "bytes=3000-"


def test_a_server_without_ranges_starts_over(server, get):
    server.ranges = False
    server.break_at = [len(CONTENT) // 2]
    get()
    assert len(server.requests) == 2


def test_a_server_that_does_not_state_the_size(server, get):
    server.sizes = False
    assert "size not stated" in get()[0]


def test_a_whole_part_is_only_verified(server, get, tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/weights.pth.part").write_bytes(CONTENT)
    get()


def test_a_part_that_is_too_long_is_thrown_away(server, get, tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/weights.pth.part").write_bytes(CONTENT + b"x")
    get()
    assert server.requests[-1][1] is None


def test_a_wrong_hash_is_rejected_and_kept_aside(server, get, tmp_path):
    with pytest.raises(WeightsError) as caught:
        get(digest="deadbeef")
    assert server.url in str(caught.value)
    assert DIGEST in str(caught.value) and "deadbeef" in str(caught.value)
    assert sorted(os.listdir(tmp_path / "cache")) == ["weights.pth.lock", "weights.pth.rejected"]
    assert (tmp_path / "cache/weights.pth.rejected").read_bytes() == CONTENT


def test_a_file_that_was_damaged_in_the_cache_is_kept_aside_too(get, tmp_path):
    get()
    (tmp_path / "cache/weights.pth").write_bytes(b"damaged")
    with pytest.raises(WeightsError, match="kept aside"):
        get()
    get()


def test_a_file_that_was_put_there_by_hand_needs_no_network(server, tmp_path):
    (tmp_path / "weights.pth").write_bytes(CONTENT)
    fetch((), tmp_path / "weights.pth", digest=DIGEST, licence="unknown")
    assert not server.requests


@pytest.mark.parametrize("status", [404, 403, 500])
def test_a_server_that_refuses_is_named_with_the_manual_way(server, get, tmp_path, status):
    server.status = status
    with pytest.raises(WeightsError) as caught:
        get()
    message = str(caught.value)
    assert "\n" not in message
    assert f"{server.url} (the server answers {status}" in message
    assert f"put it at {tmp_path / 'cache/weights.pth'}" in message


def test_without_a_network(get, tmp_path):
    closed = "http://127.0.0.1:9/weights.pth"
    with pytest.raises(WeightsError) as caught:
        get(closed)
    message = str(caught.value)
    assert "\n" not in message
    assert closed in message and "refused" in message
    assert f"put it at {tmp_path / 'cache/weights.pth'}" in message


def test_the_second_address_helps_out(server, get):
    get("http://127.0.0.1:9/weights.pth", server.url)


def test_without_any_address(tmp_path):
    with pytest.raises(WeightsError, match="no address of it is known"):
        fetch((), tmp_path / "weights.pth", digest=DIGEST, licence="unknown")


def test_ranks_that_ask_at_once_download_once(server, get):
    threads = [threading.Thread(target=get) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.requests) == 1


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WeightsError, match="RES2NET_CACHE"):
        fetch((), tmp_path / "file/weights.pth", digest=DIGEST, licence="unknown")


def test_a_whole_file_in_a_folder_that_cannot_be_written_is_used(tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(CONTENT)
    path.with_name(path.name + ".lock").mkdir()  # so that no lock can be made
    assert fetch((), path, digest=DIGEST, licence="unknown") == path
    with pytest.raises(WeightsError, match="RES2NET_CACHE"):
        fetch((), path, digest="00000000", licence="unknown")


def test_where_downloads_live(monkeypatch, tmp_path):
    monkeypatch.setenv("RES2NET_CACHE", str(tmp_path))
    assert cache() == tmp_path
    monkeypatch.delenv("RES2NET_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache() == tmp_path / ".cache/res2net"


def nobody(_):
    raise KeyError("getpwuid(): uid not found")


def test_a_user_without_name_and_home_is_told_of_the_variable(monkeypatch):
    for name in ("RES2NET_CACHE", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    with pytest.raises(WeightsError, match=r"no home folder; .* RES2NET_CACHE"):
        cache()


def test_a_system_without_locks_downloads_as_well(server, tmp_path, monkeypatch):
    monkeypatch.setattr("backbone.download.fcntl", None)
    path = tmp_path / "weights.pth"
    assert fetch((server.url,), path, digest=DIGEST, licence="unknown").read_bytes() == CONTENT


def test_load_by_name_downloads_verifies_and_loads(server, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("RES2NET_CACHE", str(tmp_path))
    torch.manual_seed(0)
    published = MODELS["res2net26_14w_4s"](width=16)
    torch.save(published.state_dict(), tmp_path / "made.pth")
    server.content = (tmp_path / "made.pth").read_bytes()
    name = "res2net50_26w_4s.imagenet1k_official"
    digest = hashlib.sha256(server.content).hexdigest()[:8]
    row = replace(WEIGHTS[name], urls=(server.url,), sha256=digest)
    monkeypatch.setitem(WEIGHTS, name, row)
    trunk = MODELS["res2net26_14w_4s"](width=16)
    loaded = load(trunk, name)
    assert loaded.card == row
    assert loaded.file == tmp_path / row.file
    assert torch.equal(trunk.conv1.weight, published.conv1.weight)
    said = capsys.readouterr()
    assert said.out == ""
    assert server.url in said.err and "CC BY-NC-SA 4.0" in said.err
