"""The page's server: answers, settings without the network, and what it does not give away."""

import io
import json
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
from PIL import Image

from app import serving
from app.heads.head import Slider
from app.heads.opening import Heads
from app.settings import AppConfig, LimitsConfig
from tasks import open_run
from tasks.salient import predict
from tests.app import server
from tests.app.test_limits import header_of_png, waiting
from tests.tasks import commands

ROOT = Path(__file__).parents[2]
SECRET = "a secret of this machine"


@pytest.fixture(scope="module")
def loaded(runs):
    return server.opened(
        runs, (*server.PICTURES, "speaker", "reid"), upload_megabytes=2, megapixels=1
    )


@pytest.fixture(scope="module")
def page(loaded):
    with server.served(*loaded) as served:
        yield served


@pytest.fixture
def passes(loaded):
    """The passes of trunks in this test."""
    return server.counted(loaded[0].pictures)


def encoded(picture, suffix=".png"):
    return cv2.imencode(suffix, picture[..., ::-1])[1].tobytes()


def test_every_head_answers_as_its_predictor_does(page, loaded):
    picture = server.photograph(1)
    answers = page.post("all", encoded(picture)).json()
    assert (answers["height"], answers["width"]) == picture.shape[:2]
    assert list(answers["answers"]) == [one.name for one in loaded[0].pictures]
    for head in loaded[0].pictures:
        alone = open_run(head.source, device="cpu", flags=head.FLAGS)
        if head.task == "pose":
            detector = next(one for one in loaded[0].pictures if one.task == "detection")
            found = alone(picture, server.persons(detector.predictor, picture))
        else:
            found = alone(picture)
        if head.task == "detection":
            expected = [one for one in alone.describe(found) if one["score"] > 0.5]
        else:
            expected = alone.describe(found)
        answer = answers["answers"][head.name]
        assert answer["answer"] == json.loads(json.dumps(expected))
        assert (
            page.post(head.name, encoded(picture)).json()["answers"][head.name]["answer"]
            == answer["answer"]
        )
        drawn = fetched(page, answer["files"][f"{head.name}.png"])
        if head.task not in ("classification", "detection"):
            assert np.array_equal(drawn, alone.draw(picture, found))


def fetched(page, address):
    response = page.client.get(address)
    assert response.status_code == 200 and "attachment" in response.headers["content-disposition"]
    return np.asarray(Image.open(io.BytesIO(response.content)))


def test_what_predict_writes_is_what_the_page_gives(page, runs, tmp_path):
    server.write_photograph(tmp_path / "photo.png", 5)
    answers = page.post("all", (tmp_path / "photo.png").read_bytes()).json()["answers"]
    commands.call(
        predict.main, "--run", runs / "salient", tmp_path / "photo.png", "--out", tmp_path / "out",
        "--engine.device", "cpu", "--loader.workers", "0",
    )  # fmt: skip
    listed = json.loads((tmp_path / "out" / "saliency.json").read_text())["files"][0]
    assert listed["share"] == answers["salient"]["answer"]["share"]
    for name in ("map", "cutout"):
        written = np.asarray(Image.open(tmp_path / "out" / f"photo_{name}.png"))
        address = answers["salient"]["files"][f"salient_{name}.png"]
        assert np.array_equal(fetched(page, address), written)


def test_settings_are_drawn_from_what_is_kept(page, passes, loaded):
    answers = page.post("all", encoded(server.photograph(2))).json()["answers"]
    ran = len(passes)
    assert ran > 0
    for head in loaded[0].pictures:
        address = answers[head.name]["files"][f"{head.name}.png"].partition("?")[0]
        whole = fetched(page, address)
        for control in head.controls:
            values = (
                (control.least, control.greatest)
                if isinstance(control, Slider)
                else control.options
            )
            shown = [fetched(page, f"{address}?{control.name}={value}") for value in values]
            if control.name == "opacity" and head.task not in ("detection", "pose"):
                assert not np.array_equal(shown[0], shown[-1])
            if control.name == "opacity":
                assert np.array_equal(shown[-1], whole)
    assert len(passes) == ran


def test_a_setting_that_is_none_is_one_line(page):
    for query, message in (
        ({"opacity": "2"}, "opacity is 2; it is a number from 0 to 1"),
        ({"opacity": "nan"}, "opacity is nan; it is a number from 0 to 1"),
        ({"shown": "all"}, "shown is all; it is one of overlay, map"),
        ({"colour": "red"}, "colour: salient has no such setting (shown, opacity)"),
    ):
        refused = page.post("salient", encoded(server.photograph(1)), **query)
        assert refused.status_code == 400 and message in refused.json()["error"]


def test_a_head_that_is_not_there_is_one_line(page):
    refused = page.post("sailent", encoded(server.photograph(1)))
    assert refused.status_code == 404
    assert refused.json()["error"].startswith("sailent: no such head; there are all, salient, seg")


def test_all_results_come_in_one_archive(page, loaded):
    answers = page.post("all", encoded(server.photograph(3))).json()
    content = page.client.get(answers["zip"]).content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = archive.namelist()
        one = np.asarray(Image.open(archive.open("salient_cutout.png")))
    expected = [name for one in answers["answers"].values() for name in one["files"]]
    assert names == expected and len(set(names)) == len(names)
    assert one.shape == (96, 128, 4)


def test_exif_is_applied_and_nothing_of_it_is_left(page):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "A camera whose owner wants to stay unknown"
    stored, written = Image.fromarray(server.photograph(4, height=64, width=96)), io.BytesIO()
    stored.save(written, format="JPEG", exif=exif, quality=95)
    answers = page.post("all", written.getvalue()).json()
    assert (answers["height"], answers["width"]) == (96, 64)
    content = page.client.get(answers["zip"]).content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for name in archive.namelist():
            assert b"camera" not in archive.read(name) and b"Exif" not in archive.read(name)


def test_what_is_too_large_or_no_picture_is_one_line(page):
    for content, status, message in (
        (b"x" * 2_500_000, 413, "at most 2 MB"),
        (header_of_png(40_000, 40_000), 400, "40000 x 40000 pixels; at most 1 million"),
        (b"hello", 400, "not a picture"),
        (b"", 400, "not a picture"),
    ):
        refused = page.post("all", content)
        assert refused.status_code == status and message in refused.json()["error"]
        assert "Traceback" not in refused.text and str(page.site.folder) not in refused.text

    def endless():
        for _ in range(40):
            yield b"x" * 100_000

    refused = page.client.post("/api/all", content=endless())
    assert refused.status_code == 413 and "too large" in refused.json()["error"]
    assert list(page.site.folder.glob("api*")) == []


def test_an_error_of_the_program_is_one_line_too(page, monkeypatch, loaded, capfd):
    def broken(*_):
        raise RuntimeError(SECRET)

    monkeypatch.setattr(loaded[0].pictures[0], "answer", broken)
    with httpx.Client(base_url=page.address) as client:
        refused = client.post("/api/salient", content=encoded(server.photograph(1)))
    assert refused.status_code == 500 and SECRET not in refused.text and "\n" not in refused.text


def raw(page, text):
    """The answer to a request as it stands, which no client puts in order."""
    host, port = page.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(text.replace("\n", "\r\n").encode())
        return connection.recv(100_000).decode(errors="replace")


PATHS = (
    "/../../../../etc/passwd", "/gradio_api/file=/etc/passwd", "/gradio_api/file=../../etc/passwd",
    "/gradio_api/file=%2e%2e/%2e%2e/etc/passwd", "/gradio_api/file=%252e%252e/etc/passwd",
    "/gradio_api/file=..\\..\\etc\\passwd", "/gradio_api/file//etc/passwd",
    "/static/../../../../etc/passwd", "/static/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "/assets/..%2f..%2f..%2fetc/passwd", "/svelte//etc/passwd",
    "/gradio_api/file=FOLDER/../outside.txt", "/gradio_api/file=http://127.0.0.1:1/",
    "/gradio_api/proxy=http://127.0.0.1:1/", "/gradio_api/custom_component/a/b/c/..%2f..",
    "/results/x/salient/..%2f..%2fetc%2fpasswd", "/results/../../etc/passwd", "/docs",
    "/monitoring",    "/gradio_api/vibe-code", "/gradio_api/runs", "/config/../../etc/passwd",
)  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_no_path_leads_out(page, path):
    outside = page.site.folder.with_name("outside.txt")
    outside.write_text(f"root: {SECRET}")
    asked = path.replace("FOLDER", str(page.site.folder))
    host = page.address.removeprefix("http://")
    try:
        said = raw(page, f"GET {asked} HTTP/1.1\nHost: {host}\nConnection: close\n\n")
    finally:
        outside.unlink()
    assert said.split(" ")[1][0] == "4", said[:200]
    assert "root:" not in said and SECRET not in said and "Traceback" not in said


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "/proc/self/environ", "../../etc/passwd", "http://127.0.0.1:1/a.png", 7]
)
def test_no_request_names_a_file_that_was_not_uploaded(page, path):
    """The framework would fetch addresses, and, where mounted, copy any file for a visitor."""
    file = {"path": path, "meta": {"_type": "gradio.FileData"}, "orig_name": "a.png"}
    for route, body in (
        ("/gradio_api/call/picture", {"data": [file]}),
        ("/gradio_api/queue/join", {"data": [[file]], "fn_index": 0, "session_hash": "a"}),
    ):
        refused = page.client.post(route, json=body)
        assert refused.status_code == 400 and "not uploaded here" in refused.json()["error"]
    assert not [
        one for one in page.site.folder.rglob("*") if one.is_file() and b"root:" in one.read_bytes()
    ]


def blocks_of(page):
    return next(
        route.app.get_blocks()
        for route in page.server.routes
        if hasattr(getattr(route, "app", None), "get_blocks")
    )


def test_no_upload_is_decoded_before_it_is_looked_at(page):
    takers = [
        one
        for one in blocks_of(page).fns.values()
        if {type(given).__name__ for given in one.inputs} & {"Image", "Video", "Audio", "File"}
    ]
    assert len(takers) == 5 and not [one.name for one in takers if one.preprocess]


def test_the_framework_itself_looks_at_the_places_of_files(page):
    """Behind the gate, too: should a later version of it name files in another way."""
    from gradio import processing_utils
    from gradio.context import LocalContext

    blocks = blocks_of(page)
    before = LocalContext.blocks.set(blocks)
    with pytest.raises(Exception, match="was not uploaded by a user"):
        processing_utils._check_allowed("/etc/passwd", check_in_upload_folder=True)
    LocalContext.blocks.reset(before)


def test_other_hosts_origins_and_methods_are_refused(page):
    picture = encoded(server.photograph(1))
    for headers in (
        {"Host": "evil.example"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
    ):
        refused = page.client.post("/api/all", content=picture, headers=headers)
        assert refused.status_code == 403
    assert page.client.post(
        "/api/all", content=picture, headers={"Origin": page.address}
    ).is_success
    for method in ("PUT", "DELETE", "OPTIONS", "PATCH"):
        assert page.client.request(method, "/api/all").status_code == 404


def test_a_password_is_asked_for(runs, loaded, tmp_path):
    (tmp_path / "secret").write_text("me:word\n")
    config = AppConfig(password_file=tmp_path / "secret", device="cpu")
    with server.served(loaded[0], config) as page:
        for path in ("/", "/config", "/api/openapi.json", "/gradio_api/info"):
            refused = page.client.get(path)
            assert refused.status_code == 401 and "Basic" in refused.headers["www-authenticate"]
            assert page.client.get(path, auth=("me", "wrong")).status_code == 401
            assert page.client.get(path, auth=("me", "word")).status_code == 200


def test_without_a_run_the_page_says_how_to_begin():
    with server.served(Heads((), (), (), (), ()), AppConfig()) as page:
        said = page.client.get("/config").text
        assert "No run is loaded" in said and "python -m tasks.classification.train" in said
        refused = page.post("all", b"")
        assert refused.status_code == 404 and "no run of pictures" in refused.json()["error"]


def test_fifty_at_once_get_their_own_answers(loaded):
    heads, _ = loaded
    limits = LimitsConfig(waiting=60)
    with server.served(heads, AppConfig(device="cpu", limits=limits)) as page:
        answered = {}

        def ask(number):
            with httpx.Client(base_url=page.address, timeout=120) as client:
                content = encoded(server.photograph(number, height=64 + number, width=80))
                answered[number] = client.post("/api/salient", content=content).json()

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    predictor = heads.pictures[0].predictor
    for number in range(50):
        picture = server.photograph(number, height=64 + number, width=80)
        assert answered[number]["height"] == 64 + number
        expected = predictor.describe(predictor(picture))
        assert answered[number]["answers"]["salient"]["answer"] == expected


def test_a_full_queue_says_so(loaded, monkeypatch):
    heads, _ = loaded
    limits = LimitsConfig(waiting=1)
    with server.served(heads, AppConfig(device="cpu", limits=limits)) as page:
        content = encoded(server.photograph(1))
        goes_on = threading.Event()
        threads = [
            threading.Thread(target=page.site.turns.run, args=(lambda _: goes_on.wait(),)),
            threading.Thread(target=page.post, args=("salient", content)),
        ]
        for count, thread in enumerate(threads, start=1):
            thread.start()
            waiting(page.site.turns, count)
        refused = httpx.post(f"{page.address}/api/salient", content=content)
        goes_on.set()
        for thread in threads:
            thread.join()
    assert refused.status_code == 503
    assert refused.json()["error"] == "the queue is full: 1 others wait; try again in a minute"


def test_the_schema_describes_every_head(page, loaded):
    schema = page.client.get("/api/openapi.json").json()
    for head in loaded[0].pictures:
        described = schema["paths"][f"/api/{head.name}"]["post"]
        assert [one["name"] for one in described["parameters"]] == [
            one.name for one in head.controls
        ]
        assert "application/octet-stream" in described["requestBody"]["content"]
    assert schema["components"]["schemas"]["Answers"]["properties"]["trunk_passes"]["description"]


def test_sigterm_ends_it_within_seconds_and_leaves_nothing(runs, tmp_path):
    import os

    environment = {**os.environ, "TMPDIR": str(tmp_path), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "app", "--runs", runs / "salient", "--port", "0", "--device", "cpu"],
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    address = process.stdout.readline().split(" ")[4]
    assert address.startswith("http://127.0.0.1:")
    stream = httpx.stream("POST", f"{address}/api/salient", content=encoded(server.photograph(1)))
    with stream as answer:
        assert answer.status_code == 200
    with socket.create_connection(("127.0.0.1", int(address.rsplit(":", 1)[1]))):
        begun = time.monotonic()
        process.terminate()
        _, errors = process.communicate(timeout=20)
    assert time.monotonic() - begun < 10 and process.returncode == 0
    assert list(tmp_path.iterdir()) == [] and "Traceback" not in errors


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_the_page_is_up_ends_it_and_leaves_nothing(kind, monkeypatch, tmp_path):
    def interrupted(*_):
        assert list(tmp_path.glob("res2net_page_*"))
        signal.raise_signal(kind)
        raise AssertionError("it goes on")

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(serving.examples, "write", interrupted)
    before = signal.getsignal(kind)
    with pytest.raises(SystemExit):
        serving.serve(Heads((), (), (), (), ()), AppConfig(port=0))
    assert list(tmp_path.iterdir()) == [] and signal.getsignal(kind) is before
