"""Cards of published models, and how their files are had: by name, by hand, or not at all."""

import hashlib
import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from backbone import MODELS, WeightsError, download
from common.commands import command, zoo
from common.commands.zoo import __main__ as zoo_command
from common.commands.zoo import card, fetch, page
from common.errors import UserError
from tests.server import serving

ROOT = Path(__file__).parents[4]
CONTENT = bytes(range(256)) * 4000
DIGEST = hashlib.sha256(CONTENT).hexdigest()
ALL = card.every()

FIELDS = {
    "task": "salient",
    "title": "A toy",
    "intended": "Tests.",
    "recipe": "res2net50",
    "backbone": "res2net50_26w_4s",
    "file": "toy.pth",
    "sha256": DIGEST[:8],
    "megabytes": 1,
    "code_licence": "MIT",
    "weights_licence": "CC BY-NC-SA 4.0",
    "permissive": False,
    "score": "MaxF 0.5",
    "protocol": "None.",
    "source": "here",
    "example": "photos/",
}


def main(words):
    """The exit status of the command."""
    try:
        command.run(lambda: zoo_command.main(words))
    except SystemExit as ended:
        return ended.code
    return 0


@pytest.fixture
def server():
    with serving(CONTENT, "toy.pth") as state:
        yield state


@pytest.fixture
def toy(server, tmp_path, monkeypatch):
    """Write the card of a model on the local server; gives a function that reads it."""
    monkeypatch.setattr(card, "CARDS", tmp_path / "cards")
    monkeypatch.setenv("RES2NET_CACHE", str(tmp_path / "cache"))
    card.CARDS.mkdir()

    def write(**changed):
        fields = {**FIELDS, "urls": [server.url], **changed}
        kept = {key: value for key, value in fields.items() if value is not None}
        (card.CARDS / "toy.test.yaml").write_text(yaml.safe_dump(kept))
        return zoo.named("toy.test")

    return write


@pytest.mark.parametrize("one", ALL, ids=[one.name for one in ALL])
def test_every_card_is_whole(one):
    assert one.backbone in MODELS or one.task == "speaker"
    assert (ROOT / "tasks" / one.task / "configs" / f"{one.recipe}.yaml").is_file()
    assert one.urls or one.page
    assert all(url.startswith("https://") for url in (*one.urls, one.page) if url)
    # A hash in a file's name is how its publisher states it.
    if one.sha256 is not None:
        assert one.file is not None and one.sha256 in one.file
    assert ("diagnosis" in one.intended) == one.research


def test_the_page_is_that_of_the_cards():
    assert (ROOT / "docs" / "zoo.md").read_text() == page.page(ALL) + "\n"


@pytest.mark.parametrize("one", ALL, ids=[one.name for one in ALL])
def test_a_recipe_has_the_backbone_of_its_card(one):
    folder = ROOT / "tasks" / one.task / "configs"
    content = yaml.safe_load((folder / f"{one.recipe}.yaml").read_text())
    assert content["backbone"] == one.backbone


def test_the_licence_is_asked_for_once(toy, server):
    model = toy()
    with pytest.raises(UserError, match=r"CC BY-NC-SA 4\.0.*--accept_licence"):
        zoo.file_of(model)
    assert server.requests == []
    assert zoo.file_of(model, accepted=True).read_bytes() == CONTENT
    assert zoo.file_of(model) == download.cache() / "toy.pth"
    assert len(server.requests) == 1


def test_permissive_weights_need_no_acceptance(toy):
    assert zoo.file_of(toy(permissive=True)).read_bytes() == CONTENT


def test_size_and_licence_are_said_before_a_download(toy, server, capsys):
    zoo.file_of(toy(), accepted=True)
    said = capsys.readouterr().err
    assert said.startswith(f"downloading {server.url} (1.0 MB; licence: CC BY-NC-SA 4.0)")


def test_a_server_that_lies_is_refused_and_its_file_set_aside(toy, server, tmp_path):
    server.content = CONTENT[:-1] + b"x"
    with pytest.raises(WeightsError, match=f"not with {DIGEST[:8]}; kept aside as"):
        zoo.file_of(toy(), accepted=True)
    assert not (tmp_path / "cache" / "toy.pth").exists()
    assert (tmp_path / "cache" / "toy.pth.rejected").read_bytes() == server.content


def test_a_broken_a_slow_and_a_redirecting_server(toy, server, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT", 0.2)
    server.break_at, server.moved = [1000, 50_000], True
    path = zoo.file_of(toy(), accepted=True)
    assert path.read_bytes() == CONTENT
    path.unlink()
    server.pause = 0.6
    with pytest.raises(WeightsError, match=r"cannot download .*timed out"):
        zoo.file_of(toy(), accepted=True)
    assert not path.exists()


def test_without_a_network_a_file_that_is_not_there_is_one_line(toy):
    model = toy(urls=["http://127.0.0.1:9/toy.pth"])
    with pytest.raises(WeightsError, match=r"cannot download .*put it at .*toy\.pth"):
        zoo.file_of(model, accepted=True)


def test_a_disk_that_fills_leaves_nothing_under_the_files_name(toy, tmp_path):
    model = toy()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, limits[1]))
    try:
        with pytest.raises(WeightsError, match="cannot download"):
            zoo.file_of(model, accepted=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not (tmp_path / "cache" / "toy.pth").exists()
    assert zoo.file_of(model).read_bytes() == CONTENT


def test_two_processes_that_ask_at_once_fetch_once(toy, server):
    toy(permissive=True)
    code = (
        "import os, sys; from pathlib import Path; from common.commands import zoo; "
        "from common.commands.zoo import card; card.CARDS = Path(sys.argv[1]); child = os.fork(); "
        "os.write(1, str(zoo.file_of(zoo.named('toy.test'))).encode() + b'\\n'); "
        "sys.exit(child and os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))"
    )
    server.pause = 0.2
    words = [sys.executable, "-c", code, str(card.CARDS)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert first == second and len(server.requests) == 1


def test_a_file_without_a_hash_is_never_fetched_by_name(toy, server):
    model = toy(sha256=None)
    with pytest.raises(UserError, match=r"nobody publishes a hash.*toy\.pth.*--pin FILE"):
        zoo.file_of(model, accepted=True)
    assert server.requests == [] and not model.by_name


def test_a_file_by_hand_is_taken_and_pinned_on_request(toy, tmp_path):
    model, file = toy(sha256=None), tmp_path / "by_hand.pth"
    torch.save({"state_dict": {}}, file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert zoo.file_of(model, file) == file and zoo.digest_of(model) is None
    (download.cache() / "toy.test.pin.json.tmp").mkdir(parents=True)  # another one's
    assert fetch.kept(model) is None
    assert main(["toy.test", "--pin", str(file)]) == 0
    assert f"kept        {file}\n" in page.whole(model, fetch.kept(model))
    assert zoo.file_of(model) == file and zoo.digest_of(model) == digest
    other = tmp_path / "other.pth"
    other.write_bytes(b"another model")
    with pytest.raises(UserError, match=r"not the file of toy\.test.*that was pinned.*--pin FILE"):
        zoo.file_of(model, other)
    file.write_bytes(b"another model")
    with pytest.raises(UserError, match=r"was pinned for toy\.test"):
        zoo.file_of(model)
    file.unlink()
    with pytest.raises(UserError, match="is gone"):
        zoo.file_of(model)


@pytest.mark.parametrize("content", [b"", b"<!DOCTYPE html>", b"PK\3\4 cut short"])
def test_what_is_no_file_of_weights_is_not_pinned(toy, tmp_path, capsys, content):
    model, file = toy(sha256=None), tmp_path / "page.pth"
    file.write_bytes(content)
    assert main(["toy.test", "--pin", str(file)]) == 2
    assert f"error: {file}: is " in capsys.readouterr().err
    assert zoo.digest_of(model) is None


def test_a_damaged_pin_is_named(toy):
    model = toy(sha256=None)
    download.cache().mkdir()
    for text in ("{", "[]", json.dumps({"file": "x", "sha256": "short"})):
        (download.cache() / "toy.test.pin.json").write_text(text)
        with pytest.raises(UserError, match="is damaged; remove it"):
            zoo.file_of(model)


def test_a_file_of_another_model_under_the_right_name_is_refused(toy, tmp_path, capsys):
    model, file = toy(), tmp_path / "toy.pth"
    file.write_bytes(b"another model")
    with pytest.raises(
        UserError, match=r"not the file of toy\.test: its sha256 begins with.*--config res2net50 "
    ):
        zoo.file_of(model, file)
    assert main(["toy.test", "--pin", str(file)]) == 2
    assert "not the file of toy.test" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("word", "proposed"),
    [
        ("mask_rcnn", "mask_rcnn_res2net101.coco_mmdet"),
        ("htc", "htc_res2net101.coco_mmdet"),
        ("MASK_RCNN", "mask_rcnn_res2net101.coco_mmdet"),
        ("mask_rcnn_res2net50.coco_mmdet", "mask_rcnn_res2net101.coco_mmdet"),
        ("common_3dspeaker", "eres2net"),
    ],
)
def test_a_part_of_a_name_is_enough_to_propose_it(word, proposed):
    assert proposed in card.close(word).split(" and ")[0]


def test_what_is_near_to_no_name_gets_two_of_all():
    for word in ("", "..", "/", "x" * 300):
        assert card.close(word).count(" and ") == 1


def test_the_command_lists_shows_fetches_and_proposes(toy, capsys):
    toy()
    assert main([]) == 0 and "toy.test" in capsys.readouterr().out
    assert main(["toy.test"]) == 0
    said = capsys.readouterr().out
    for words in ("meant for   Tests.", "CC BY-NC-SA 4.0", "MaxF 0.5, as published", "predict"):
        assert words in said
    assert main(["toy.tset"]) == 2
    assert "such as toy.test" in capsys.readouterr().err
    assert main(["res2net50_26w_4s.imagenet1k_official"]) == 2
    assert "weights of a backbone, for --weights" in capsys.readouterr().err
    assert main(["toy.test", "--page"]) == 2
    assert "leave out toy.test" in capsys.readouterr().err
    assert main(["toy.test", "--accept_licence"]) == 0
    kept = Path(capsys.readouterr().out.split()[-1])
    assert kept.read_bytes() == CONTENT and fetch.kept(card.named("toy.test")) == kept


def test_a_run_or_a_file_hides_a_name_and_a_folder_of_results_does_not(
    toy, tmp_path, monkeypatch, capsys
):
    model = toy()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "toy.test").mkdir()
    (tmp_path / "toy.test" / "detections.json").write_text("[]")
    assert zoo.named("toy.test") == model and zoo.named(None) is None
    (tmp_path / "toy.test" / "config.yaml").write_text("")
    assert zoo.named("toy.test") is None
    assert main(["toy.test"]) == 0 and "meant for   Tests." in capsys.readouterr().out


@pytest.mark.parametrize("name", ["a" * 300, "", "a\nb", "../toy.test", "toy.test/", "\0"])
def test_a_text_that_is_no_name_is_one_line(toy, capsys, name):
    toy()
    assert zoo.named(name) is None and main([name]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_reader_of_the_table_that_goes_away_ends_it_quietly():
    words = f"{sys.executable} -m common.commands.zoo --page | head -1"
    found = subprocess.run(words, shell=True, cwd=ROOT, capture_output=True, text=True, check=True)
    assert (found.stdout, found.stderr) == ("# Published models\n", "")


def test_a_cache_that_may_not_be_read_is_one_line(toy, tmp_path, monkeypatch, capsys):
    toy(sha256=None)

    def refused(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_file", refused)
    assert main(["toy.test", "--accept_licence"]) == 2
    assert "toy.test.pin.json: Permission denied" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"score": None}, "score is missing"),
        ({"megabytes": "much"}, "megabytes is 'much'"),
        ({"urls": [1]}, "urls is"),
        ({"colour": "blue"}, "unknown field colour"),
    ],
)
def test_a_damaged_card_is_named(toy, changed, words):
    with pytest.raises(UserError, match=words):
        toy(**changed)


def test_acceptance_is_not_remembered_where_nothing_can_be_written(toy, tmp_path):
    model = toy()
    (tmp_path / "cache").write_text("in the way")
    with pytest.raises(UserError, match="RES2NET_CACHE"):
        fetch.accept(model)
