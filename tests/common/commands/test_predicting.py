"""The loop of predict: order, damaged inputs, stops, going on, videos, a camera, two ranks."""

import json
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from common import outputs
from common.commands import inputs, journal, predicting
from common.commands.inputs import InputFlags
from common.errors import DamagedFile, UserError
from common.reading import image, video
from common.training.distributed import World
from tests import ranks


class Brightness:
    """Finds the mean brightness of a picture, and writes it upside down."""

    def __init__(self, out):
        self.out = out
        self.found = []
        self.lists = 0

    def find(self, source, picture, frame):
        self.found.append(source.name if frame is None else frame)
        return float(picture.mean())

    def write(self, source, picture, found):
        image.write(self.out / f"{source.place}.png", picture[::-1].copy())
        return [{"file_name": source.name, "mean": found}]

    def frame(self, source, picture, found, frame):
        return 255 - picture, [{"file_name": source.name, "frame": frame}]

    def clip(self, source, target, frames):
        return [{"file_name": source.name, "frames": frames}]

    def finish(self, entries):
        self.lists += 1
        outputs.write_text(self.out / "list.json", json.dumps(entries))

    def listed(self):
        return [one["file_name"] for one in json.loads((self.out / "list.json").read_text())]


def write_pictures(folder, count=5):
    folder.mkdir(parents=True)
    for number in range(count):
        pixels = np.full((8, 10, 3), 20 * number, np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def write_clip(path, frames=4):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (32, 24))
    for number in range(frames):
        writer.write(np.full((24, 32, 3), 15 * number, np.uint8))
    writer.release()
    return path


def work(out, *paths, task=None, workers=0, on_error="stop", settings="s", **changes):
    flags = InputFlags(inputs=tuple(paths), **changes)
    task = task or Brightness(out)
    with inputs.given(flags, "predict", None) as found:
        given = inputs.placed(found, flags, out, (".png",))
        done = predicting.each(
            given, task, out, World(),
            settings=settings, resume=flags.resume, workers=workers, on_error=on_error,
            orientation=None,
        )  # fmt: skip
    return task, done


@pytest.mark.parametrize("workers", [0, 2])
def test_pictures_come_in_order_with_their_entries(tmp_path, workers):
    source, out = write_pictures(tmp_path / "in"), tmp_path / "out"
    task, done = work(out, source, workers=workers)
    assert task.found == ["0.png", "1.png", "2.png", "3.png", "4.png"]
    assert [round(one["mean"]) for one in done.entries] == [0, 20, 40, 60, 80]
    assert (done.pictures, done.videos, done.left_out["pictures"]) == (5, 0, 0)
    assert task.listed() == task.found
    assert (out / "3.png").is_file()


def test_a_damaged_picture_stops_with_the_way_on_and_keeps_what_was_found(tmp_path, capsys):
    source, out = write_pictures(tmp_path / "in"), tmp_path / "out"
    (source / "2.png").write_bytes((source / "2.png").read_bytes()[:40])
    with pytest.raises(DamagedFile, match=r"2\.png.*--resume --data\.on_error skip"):
        work(out, source)
    assert Brightness(out).listed() == ["0.png", "1.png"]
    task, done = work(out, source, on_error="skip", resume=True)
    assert task.found == ["3.png", "4.png"]
    assert task.listed() == ["0.png", "1.png", "3.png", "4.png"]
    assert done.left_out == {"pictures": 1, "videos": 0}
    reported = capsys.readouterr().err
    assert "2.png" in reported
    assert "--resume" not in reported, "what is skipped needs no way on"


def test_an_unforeseen_error_of_a_reader_keeps_what_was_found(tmp_path, monkeypatch):
    source, out = write_pictures(tmp_path / "in"), tmp_path / "out"
    content = image.content

    def failing(path):
        if path.name == "3.png":
            raise MemoryError("no room")
        return content(path)

    monkeypatch.setattr(image, "content", failing)
    with pytest.raises(MemoryError, match="no room"):
        work(out, source, workers=2)
    monkeypatch.undo()
    task, _ = work(out, source, resume=True)
    assert task.found == ["3.png", "4.png"]
    assert len(task.listed()) == 5


def test_pictures_are_read_at_once_and_not_too_far_ahead(tmp_path, monkeypatch):
    source, out = write_pictures(tmp_path / "in", 12), tmp_path / "out"
    task, content, read = Brightness(out), image.content, []
    both = threading.Barrier(2, timeout=60)

    def counting(path):
        both.wait()
        read.append(len(task.found))
        return content(path)

    monkeypatch.setattr(image, "content", counting)
    work(out, source, task=task, workers=2)
    assert len(task.found) == len(read) == 12
    assert all(number <= found + 6 for number, found in enumerate(read))


class Interrupted(Brightness):
    """Ctrl-C comes at the third picture."""

    def find(self, source, picture, frame):
        if len(self.found) == 2:
            raise KeyboardInterrupt
        return super().find(source, picture, frame)


def test_ctrl_c_leaves_a_whole_list_and_resume_goes_on(tmp_path, capsys):
    source, out = write_pictures(tmp_path / "in"), tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        work(out, source, task=Interrupted(out), workers=1)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("stopped;") and str(out) in line and "--resume" in line
    kept = (out / "progress.jsonl").read_bytes()
    with pytest.raises(UserError, match=r"was stopped before its end; go on with --resume"):
        work(out, source)
    assert (out / "progress.jsonl").read_bytes() == kept
    assert Brightness(out).listed() == ["0.png", "1.png"]
    before = (out / "0.png").stat().st_mtime_ns
    task, _ = work(out, source, resume=True)
    assert task.found == ["2.png", "3.png", "4.png"]
    assert task.listed() == ["0.png", "1.png", "2.png", "3.png", "4.png"]
    assert (out / "0.png").stat().st_mtime_ns == before


def test_several_names_of_one_file_are_several_inputs(tmp_path):
    source, out = write_pictures(tmp_path / "in"), tmp_path / "out"
    (tmp_path / "names").mkdir()
    for number in range(5):
        (tmp_path / "names" / f"{number}.png").symlink_to(source / "0.png")
    with pytest.raises(KeyboardInterrupt):
        work(out, tmp_path / "names", task=Interrupted(out))
    task, _ = work(out, tmp_path / "names", resume=True)
    assert task.found == ["2.png", "3.png", "4.png"]
    assert len(task.listed()) == 5


def test_a_killed_process_leaves_a_journal_whose_cut_line_does_not_count(tmp_path):
    source, out = write_pictures(tmp_path / "in"), tmp_path / "out"
    work(out, source)
    lines = (out / "progress.jsonl").read_text().splitlines(keepends=True)
    (out / "progress.jsonl").write_text("".join(lines[:3]) + lines[3][:20])
    (out / "list.json").unlink()
    task, _ = work(out, source, resume=True)
    assert task.found == ["2.png", "3.png", "4.png"]
    assert task.listed() == ["0.png", "1.png", "2.png", "3.png", "4.png"]


def test_a_new_start_forgets_and_resume_refuses_what_others_found(tmp_path):
    source, out = write_pictures(tmp_path / "in"), tmp_path / "out"
    work(out, source)
    task, _ = work(out, source)
    assert len(task.found) == 5
    with pytest.raises(UserError, match=r"--resume: .* under other settings"):
        work(out, source, settings="other", resume=True)


def test_a_result_that_cannot_be_written_is_one_line(tmp_path):
    source, out = write_pictures(tmp_path / "in"), tmp_path / "out"
    (out / "1.png").mkdir(parents=True)
    with pytest.raises(UserError, match=r"1\.png: cannot be written"):
        work(out, source)


def test_folders_within_folders_keep_their_places(tmp_path):
    source, out = tmp_path / "in", tmp_path / "out"
    for folder in ("a", "a/b", ".hidden"):
        write_pictures(source / folder, count=1)
    task, _ = work(out, source, recursive=True)
    assert task.listed() == ["a/0.png", "a/b/0.png"]
    assert (out / "a" / "b" / "0.png").is_file()
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no picture or video in this folder"):
        work(out, tmp_path / "empty", recursive=True)


def test_equal_names_get_numbers_and_inputs_are_never_overwritten(tmp_path):
    first, second = write_pictures(tmp_path / "a", 1), write_pictures(tmp_path / "b", 1)
    task, _ = work(tmp_path / "out", first, second)
    assert (tmp_path / "out" / "0_2.png").is_file()
    assert task.listed() == [str(first / "0.png"), str(second / "0.png")]
    with pytest.raises(UserError, match="would overwrite the input"):
        work(first, first)


def test_a_video_has_its_frames_and_its_own_entry(tmp_path):
    clip, out = write_clip(tmp_path / "clip.avi"), tmp_path / "out"
    task, done = work(out, clip)
    assert task.found == [0, 1, 2, 3]
    assert (done.videos, done.frames) == (1, 4)
    assert done.entries[-1] == {"file_name": "clip.avi", "frames": 4}
    assert len(list(video.frames(out / "clip.mp4"))) == 4
    task, _ = work(out, clip, resume=True)
    assert task.found == []


@pytest.mark.parametrize("content", [b"", b"no video at all", None])
def test_a_damaged_video_stops_with_the_way_on_or_is_skipped(tmp_path, capsys, content):
    source, out = write_pictures(tmp_path / "in", 2), tmp_path / "out"
    write_clip(source / "clip.avi")
    whole = (source / "clip.avi").read_bytes()
    (source / "a.avi").write_bytes(whole[:500] if content is None else content)
    with pytest.raises(DamagedFile, match=r"a\.avi.*--resume --data\.on_error skip"):
        work(out, source)
    task, done = work(out, source, on_error="skip", resume=True)
    assert done.left_out == {"pictures": 0, "videos": 1}
    assert task.listed() == ["0.png", "1.png", *["clip.avi"] * 5]
    assert "skipped:" in capsys.readouterr().err
    assert not (out / "a.mp4").exists()


@pytest.fixture
def stream(tmp_path):
    """The address of a clip that a server on this machine sends."""
    write_clip(tmp_path / "clip.avi", frames=14)

    class Quiet(SimpleHTTPRequestHandler):
        def __init__(self, *rest):
            super().__init__(*rest, directory=tmp_path)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/clip.avi"
    server.shutdown()


def test_a_stream_is_drawn_until_it_ends(tmp_path, stream):
    task, done = work(tmp_path / "out", camera=stream)
    assert (done.videos, done.frames) == (1, 14)
    assert len(list(video.frames(tmp_path / "out" / "camera.mp4"))) == 14
    assert task.listed()[-1] == "camera"


class Watched(Brightness):
    """A person presses Ctrl-C at the sixth frame."""

    def find(self, source, picture, frame):
        if frame == 5:
            raise KeyboardInterrupt
        return super().find(source, picture, frame)


def test_ctrl_c_ends_a_camera_in_good_order(tmp_path, stream):
    out = tmp_path / "out"
    _, done = work(out, camera=stream, task=Watched(out))
    assert done.frames == 5
    assert len(list(video.frames(out / "camera.mp4"))) == 5


def test_a_camera_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(UserError, match="--camera 97: cannot be opened"):
        work(tmp_path / "out", camera="97")


def test_only_one_kind_of_input(tmp_path):
    for changes in ({"camera": "0", "sample": 2}, {"inputs": (tmp_path,), "camera": "0"}):
        with pytest.raises(UserError, match="give one of them"):
            inputs.given(InputFlags(**changes), "predict", None).__enter__()
    with pytest.raises(UserError, match=r"no input given: .* such as predict --run x photos/"):
        inputs.given(InputFlags(), "predict --run x", None).__enter__()


_TWO_RANKS = """
import sys
from pathlib import Path
from common.commands import command, inputs, predicting
from common.commands.inputs import InputFlags
from common.training import distributed
from tests.common.commands.test_predicting import Brightness

def predict(source, out, world):
    flags = InputFlags(inputs=(source,))
    task = Brightness(out)
    with inputs.given(flags, "", None) as found:
        given = inputs.placed(found, flags, out, (".png",))
        done = predicting.each(given, task, out, world, settings="s", resume=False, workers=0,
                               on_error="stop", orientation=None)
        (out / f"rank{world.rank}.txt").write_text(
            f"{len(task.found)} {done.pictures} {len(done.entries)} {task.lists}")

def main():
    with distributed.started("cpu") as world:
        for name in ("whole", "damaged"):
            predict(Path(sys.argv[1]) / name, Path(sys.argv[1]) / f"{name}_out", world)

command.run(main)
"""


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory):
    """What two ranks have left of five pictures, and of five of which one is damaged."""
    folder = tmp_path_factory.mktemp("ranks")
    write_pictures(folder / "whole")
    (write_pictures(folder / "damaged") / "1.png").write_bytes(b"nothing")
    (folder / "job.py").write_text(_TWO_RANKS)
    return folder, ranks.run(folder / "job.py", str(folder))


def test_two_ranks_share_the_work_and_one_writes_the_list(two_ranks):
    folder, ended = two_ranks
    out = folder / "whole_out"
    assert (out / "rank0.txt").read_text() == "3 5 5 1", ended[0].stderr
    assert (out / "rank1.txt").read_text() == "2 5 5 0", ended[1].stderr
    assert Brightness(out).listed() == ["0.png", "1.png", "2.png", "3.png", "4.png"]


def test_a_damaged_picture_of_one_rank_ends_both_with_one_line(two_ranks):
    folder, ended = two_ranks
    for one in ended:
        assert one.returncode == 2
        (line,) = [line for line in one.stderr.splitlines() if "error: " in line]
        assert "1.png: is not a picture" in line and "Traceback" not in one.stderr
    assert set(Brightness(folder / "damaged_out").listed()) >= {"0.png"}


def test_the_journal_is_of_one_model_and_its_settings(tmp_path):
    from tasks.segmentation.predict import PredictConfig

    weights = tmp_path / "w.pt"
    weights.write_bytes(b"1")
    base = journal.digest(PredictConfig(), weights)
    assert journal.digest(PredictConfig(inputs=(Path("a"),), resume=True), weights) == base
    assert journal.digest(PredictConfig(precision="bf16"), weights) != base
    weights.write_bytes(b"2")
    assert journal.digest(PredictConfig(), weights) != base
