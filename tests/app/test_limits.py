"""What strangers give is looked at before it is worked on, and they have their turns."""

import os
import struct
import threading
import time
import zipfile
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from app import archives, uploads
from app.asking import Asked
from app.kept import Kept, bytes_of
from app.settings import AppConfig, LimitsConfig
from app.turns import BusyError, Deadline, Turns
from common.errors import UserError
from tests.app import server

LIMITS = LimitsConfig(
    upload_megabytes=1, megapixels=0.5, archive_files=5, archive_megabytes=1, video_seconds=2,
    video_frames=30,
)  # fmt: skip


def refusal(action, *given):
    with pytest.raises(UserError) as caught:
        action(*given)
    said = str(caught.value)
    assert "\n" not in said and os.sep + "tmp" not in said
    return said


def header_of_png(width, height):
    """The beginning of a PNG that says it is so large."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 100)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_a_picture_is_refused_by_its_header(tmp_path, monkeypatch):
    decoded = []
    monkeypatch.setattr(uploads.image, "shown", lambda *given: decoded.append(given))
    path = tmp_path / "a.png"
    path.write_bytes(header_of_png(40_000, 40_000))
    assert "40000 x 40000 pixels; at most 0.5 million" in refusal(uploads.read, path, LIMITS)
    path.write_bytes(b"\0" * 1_000_001)
    assert "1.0 MB; at most 1 MB" in refusal(uploads.read, path, LIMITS)
    for content in (b"hello", b"", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%!PS-Adobe-3.0"):
        path.write_bytes(content)
        assert "not a picture that can be read" in refusal(uploads.read, path, LIMITS)
    assert not decoded


def test_a_picture_cut_short_is_one_line_without_its_place(tmp_path):
    whole = cv2.imencode(".png", server.photograph(0))[1].tobytes()
    (tmp_path / "a.png").write_bytes(whole[: len(whole) // 2])
    assert "cut short" in refusal(uploads.read, tmp_path / "a.png", LIMITS)


def test_a_picture_is_turned_upright(tmp_path):
    stored = Image.fromarray(server.photograph(0, height=48, width=96))
    exif = Image.Exif()
    exif[0x0112] = 6
    stored.save(tmp_path / "a.png", exif=exif)
    found = uploads.read(tmp_path / "a.png", LIMITS)
    assert np.array_equal(found, np.rot90(np.asarray(stored), -1))


def write_clip(path, frames, size=(64, 48), rate=10):
    code = "VP80" if path.suffix == ".webm" else "mp4v"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*code), rate, size)
    for number in range(frames):
        writer.write(np.full((size[1], size[0], 3), 8 * number % 256, np.uint8))
    writer.release()
    return path


def test_a_clip_is_refused_by_its_header(tmp_path):
    assert uploads.require_clip(write_clip(tmp_path / "a.mp4", 12), LIMITS) == 12
    long = write_clip(tmp_path / "b.mp4", 25)
    assert "2 seconds and 25 frames; at most 2 seconds" in refusal(
        uploads.require_clip, long, LIMITS
    )
    many = write_clip(tmp_path / "c.mp4", 31, rate=60)
    assert "at most 2 seconds and 30 frames" in refusal(uploads.require_clip, many, LIMITS)
    large = write_clip(tmp_path / "d.mp4", 2, size=(1024, 768))
    assert "1024 x 768 pixels" in refusal(uploads.require_clip, large, LIMITS)


@pytest.mark.parametrize(
    "content",
    ["#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "ffconcat version 1.0\nfile /etc/passwd\n"],
)
def test_a_playlist_is_not_opened(tmp_path, monkeypatch, content):
    monkeypatch.setattr(uploads.cv2, "VideoCapture", lambda *_: pytest.fail("opened"))
    (tmp_path / "a.mp4").write_text(content)
    assert "not a clip" in refusal(uploads.require_clip, tmp_path / "a.mp4", LIMITS)


def archive_of(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as written:
        for name, content in members:
            written.writestr(name, content)
    return path


def unpacked(path, limits=LIMITS):
    with archives.opened(path, limits, archives.PICTURES) as archive:
        target = path.with_name("unpacked")
        return {str(one.name): target.read_bytes() for one in archive.members(target)}


def test_an_archive_gives_its_pictures(tmp_path):
    pixels = cv2.imencode(".png", server.photograph(0))[1].tobytes()
    members = [
        ("a.png", pixels),
        ("in/b.PNG", b"x"),
        ("notes.txt", b"x"),
        ("__MACOSX/._a.png", b"x"),
    ]
    path = archive_of(tmp_path / "a.zip", members)
    assert unpacked(path) == {"a.png": pixels, "in/b.PNG": b"x"}
    with archives.opened(path, LIMITS, archives.PICTURES) as archive:
        assert archive.others == 2


@pytest.mark.parametrize(
    "name",
    ["../a.png", "in/../../a.png", "/etc/a.png", "..\\a.png", "\\\\host\\a.png", "C:\\a.png"],
)
def test_an_archive_that_names_files_outside_is_refused(tmp_path, name):
    path = archive_of(tmp_path / "a.zip", [(name, b"x")])
    with pytest.raises(UserError, match="leads out of the archive"):
        unpacked(path)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.zip"]


def test_an_archive_with_a_link_is_refused(tmp_path):
    link = zipfile.ZipInfo("a.png")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    assert "is a link" in refusal(unpacked, archive_of(tmp_path / "a.zip", [(link, "/etc/passwd")]))


def test_archives_that_are_too_much_or_none_are_refused(tmp_path):
    bomb = archive_of(tmp_path / "a.zip", [("a.png", b"\0" * 1_100_000)])
    assert "more than 1 MB when they are unpacked" in refusal(unpacked, bomb)
    # One that lies about its sizes is stopped on the way.
    lying = bytearray(bomb.read_bytes())
    for place in range(len(lying) - 4):
        if lying[place : place + 4] == struct.pack("<I", 1_100_000):
            lying[place : place + 4] = struct.pack("<I", 10)
    bomb.write_bytes(lying)
    assert "cannot be unpacked" in refusal(unpacked, bomb)
    many = archive_of(tmp_path / "b.zip", [(f"{number}.png", b"x") for number in range(6)])
    assert "6 files; at most 5" in refusal(unpacked, many)
    assert "no pictures" in refusal(unpacked, archive_of(tmp_path / "c.zip", [("a.txt", b"x")]))
    (tmp_path / "d.zip").write_bytes(b"PK nothing")
    assert "not a zip archive" in refusal(unpacked, tmp_path / "d.zip")


def test_uploads_are_swept_by_age_and_links_are_not_followed(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept.txt").write_text("x")
    folder = tmp_path / "uploads"
    (folder / "old").mkdir(parents=True)
    for name in ("old/a.png", "example.png"):
        (folder / name).write_text("x")
        os.utime(folder / name, (1, 1))
    (folder / "link").symlink_to(outside)
    os.utime(folder / "old", (1, 1))
    (folder / "new.png").write_text("x")
    uploads.sweep(folder, 60, {folder / "example.png"})
    assert {one.name for one in folder.iterdir()} == {"example.png", "new.png", "link", "old"}
    assert not (folder / "old" / "a.png").exists()
    assert (outside / "kept.txt").exists()


def waiting(turns, count):
    while turns.count < count:
        time.sleep(0.001)


def test_jobs_have_their_turns_in_order_and_a_full_queue_says_so():
    turns, order, goes_on = Turns(waiting=2, seconds=10), [], threading.Event()

    def job(name):
        def run(_):
            goes_on.wait()
            order.append((name, threading.current_thread().name))

        return run

    threads = []
    for number in range(3):
        threads.append(threading.Thread(target=turns.run, args=(job(number),)))
        threads[-1].start()
        waiting(turns, number + 1)
    with pytest.raises(BusyError, match="the queue is full: 2 others wait"):
        turns.run(job("refused"))
    # The next part of a job that is under way is not refused.
    threads.append(threading.Thread(target=turns.run, args=(job("part"), Deadline(10))))
    threads[-1].start()
    waiting(turns, 4)
    goes_on.set()
    for thread in threads:
        thread.join()
    assert [name for name, _ in order] == [0, 1, 2, "part"]
    assert len({thread for _, thread in order}) == 1 and turns.count == 0


def test_what_goes_wrong_in_a_turn_is_the_askers():
    turns = Turns(waiting=2, seconds=10)

    def fail(job):
        assert job.seconds == 10
        raise UserError("broken")

    with pytest.raises(UserError, match="broken"):
        turns.run(fail)
    assert turns.run(lambda _: 7) == 7


def test_a_closing_page_refuses_those_who_wait_and_who_come():
    turns, refused, goes_on = Turns(waiting=5, seconds=10), [], threading.Event()

    def wait():
        try:
            turns.run(lambda _: None)
        except BusyError as error:
            refused.append(str(error))

    first = threading.Thread(target=turns.run, args=(lambda _: goes_on.wait(),))
    first.start()
    waiting(turns, 1)
    second = threading.Thread(target=wait)
    second.start()
    waiting(turns, 2)
    turns.close()
    second.join()
    wait()
    goes_on.set()
    first.join()
    assert refused == ["the page is closing"] * 2


def test_a_job_ends_when_its_time_is_over_or_it_is_cancelled():
    Deadline(10).check()
    with pytest.raises(UserError, match="it took longer than"):
        Deadline(0.0).check()
    job = Deadline(10)
    job.cancelled = True
    with pytest.raises(UserError, match="cancelled"):
        job.check()


def asked(size):
    return Asked(np.zeros((size, 1, 3), np.uint8), {}, 0, 0.0, {})


def test_answers_are_kept_up_to_so_many_bytes_and_for_a_time():
    kept = Kept(most=100, seconds=60)
    keys = [kept.add(asked(size)) for size in (10, 10, 20)]
    assert len(set(keys)) == 3 and all(len(key) > 20 for key in keys)
    with pytest.raises(UserError, match="no longer kept"):
        kept.get(keys[0])  # 30 + 30 + 60 bytes were too many
    assert kept.get(keys[2]).picture.shape == (20, 1, 3)
    for wrong in (None, "", "../../etc/passwd"):
        with pytest.raises(UserError, match="no longer kept"):
            kept.get(wrong)
    old = Kept(most=100, seconds=-1)
    key = old.add(asked(1))
    with pytest.raises(UserError, match="no longer kept"):
        old.get(key)


def test_the_bytes_of_an_answer_are_counted_wherever_they_are():
    some = np.zeros(8, np.float32)
    assert bytes_of(Asked(some, {"a": (some, [some, "text"])}, 1, 0.5, {"a": 0.1})) == 96


def test_wrong_settings_are_one_line(tmp_path):
    for wrong in ({"port": 70000}, {"limits": None}):
        if wrong.get("limits", 0) is None:
            assert "--limits.megapixels is 0" in refusal(lambda: LimitsConfig(megapixels=0))
        else:
            assert "--port is 70000" in refusal(lambda wrong=wrong: AppConfig(**wrong))
    for text in ("", "user", "user:", ":password"):
        (tmp_path / "secret").write_text(text)
        with pytest.raises(UserError, match="its first line is not user:password"):
            AppConfig(password_file=tmp_path / "secret").password()
    (tmp_path / "secret").write_text("me:a:b\nmore")
    assert AppConfig(password_file=tmp_path / "secret").password() == "me:a:b"
    with pytest.raises(UserError, match="--password_file"):
        AppConfig(password_file=tmp_path / "none").password()


@pytest.mark.parametrize(
    ("host", "local"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("host", False)],
)
def test_which_addresses_others_can_reach(host, local):
    assert AppConfig(host=host).local is local
