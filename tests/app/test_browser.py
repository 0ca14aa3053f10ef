"""The page in a real browser: what a visitor sees, and that all of it comes from here."""

import io
import os
import re
import shutil
import time
import zipfile
from pathlib import Path
from urllib.parse import urlsplit

import cv2
import nibabel
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import TimeoutError, sync_playwright

from tasks.speaker import audio
from tests.app import server
from tests.app.test_limits import archive_of, header_of_png, write_clip
from tests.tasks.speaker import small as voices
from tests.tasks.volumes import small

ROOT = Path(__file__).parents[2]
SCREENSHOTS = ROOT / "runs" / "screenshots"
"""Kept for people to look at."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
HOW = "no browser: on Debian and Ubuntu say apt-get install chromium"
LAPTOP, PHONE = {"width": 1366, "height": 768}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def browser():
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        if os.environ.get("RES2NET_BROWSER") == "required":
            pytest.fail(HOW)
        pytest.skip(HOW)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def loaded(runs):
    return server.opened(
        runs,
        (*server.PICTURES, "speaker", "reid", "interactive", "volumes"),
        upload_megabytes=2,
        megapixels=1,
    )


@pytest.fixture(scope="module")
def site(loaded, tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples")
    examples = [
        server.write_photograph(folder / f"{name}.png", seed) for seed, name in enumerate("ab")
    ]
    with server.served(*loaded, examples) as served:
        yield served


class Visit:
    """An open page, what it asked for, and what it complained of."""

    def __init__(self, context, site):
        self.page = context.new_page()
        self.page.set_default_timeout(15_000)
        self.asked, self.errors, self.address = [], [], site.address
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(site.address)
        self.page.wait_for_selector("#photo input[type=file]", state="attached")

    def tab(self, name):
        self.page.get_by_role("tab", name=name, exact=True).click()

    def give(self, path, place="#photo", seen=None):
        """Upload a file, and wait until the page shows that it has it."""
        taken = False
        for patience in (3_000, 3_000, 15_000):  # a part that has just come may not listen yet
            entry = f"{place} input[type=file]"
            if not taken or self.page.locator(entry).count():
                self.page.set_input_files(entry, path)
            taken = True
            if seen is None:
                return
            try:
                self.page.wait_for_selector(f"{place} {seen}", state="attached", timeout=patience)
            except TimeoutError:
                continue
            return
        raise AssertionError(f"{place} does not take {path.name}")

    def answered(self, width, height, patience=15_000):
        """Wait until the page tells the times of a picture of this size."""
        told = f"#times >> text=/{width} x {height} pixels in/"
        self.page.wait_for_selector(told, timeout=patience)

    def shown(self, head):
        """The pixels of what is drawn for a head."""
        image = self.page.wait_for_selector(f"#shown-{head} img >> nth=1", state="attached")
        content = self.page.request.get(image.get_attribute("src")).body()
        return np.asarray(Image.open(io.BytesIO(content)))

    def message(self):
        """The next message, which is then closed."""
        toast = self.page.wait_for_selector(".toast-body")
        said = toast.inner_text()
        self.page.click(".toast-close")
        self.page.wait_for_selector(".toast-body", state="detached")
        return " ".join(said.split())

    def picture(self, name):
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png")


@pytest.fixture(scope="module")
def laptop(browser):
    """A visitor's browser, which keeps the page's files from one visit to the next."""
    with browser.new_context(viewport=LAPTOP) as context:
        yield context


@pytest.fixture
def visit(laptop, site):
    opened = Visit(laptop, site)
    yield opened
    opened.page.close()
    foreign = [url for url in opened.asked if not own(url, site.address)]
    assert not foreign and not opened.errors


def own(url, address):
    return url.startswith(("data:", "blob:")) or urlsplit(url).netloc == urlsplit(address).netloc


@pytest.fixture
def photo(tmp_path):
    return server.write_photograph(tmp_path / "photo.png", 7, height=120, width=160)


def test_an_upload_is_answered_in_every_tab(visit, photo, site, loaded):
    visit.give(photo)
    visit.answered(160, 120)
    api = site.post("all", photo.read_bytes()).json()["answers"]
    for head in loaded[0].pictures:
        visit.tab(head.name)
        assert visit.shown(head.name).shape[2] == 3
        link = visit.page.get_by_role("link", name=f"{head.name}.json", exact=True)
        given = site.client.get(link.get_attribute("href")).json()
        assert given == api[head.name]["answer"]
        drawn = visit.page.get_by_role("link", name=f"{head.name}.png", exact=True)
        page, program = (
            site.client.get(address).content
            for address in (
                drawn.get_attribute("href"),
                api[head.name]["files"][f"{head.name}.png"],
            )
        )
        assert page == program
        visit.picture(head.name)


def test_a_slider_draws_again_without_the_network(visit, photo, loaded):
    visit.give(photo)
    visit.answered(160, 120)
    visit.tab("segmentation")
    before = visit.shown("segmentation")
    passes = server.counted(loaded[0].pictures)
    slider = visit.page.locator("input[type=number]:visible").first
    slider.fill("0.3")
    slider.press("Enter")
    visit.page.wait_for_selector("a[href*='opacity=0.3']")
    assert not np.array_equal(visit.shown("segmentation"), before)
    assert not passes


def test_two_visitors_at_once_get_their_own_answers(browser, site, tmp_path):
    visits = [Visit(browser.new_context(), site) for _ in range(2)]
    sizes = [(200, 100), (100, 200)]
    for number, (one, (width, height)) in enumerate(zip(visits, sizes, strict=True)):
        one.give(
            server.write_photograph(tmp_path / f"{number}.png", number, height=height, width=width)
        )
    for one, (width, height) in zip(visits, sizes, strict=True):
        one.answered(width, height)
        one.tab("salient")
        assert one.shown("salient").shape == (height, width, 3)
    links = [
        one.page.get_by_role("link", name="salient.json").get_attribute("href") for one in visits
    ]
    assert links[0] != links[1]
    for one in visits:
        one.page.context.close()


def test_what_cannot_be_taken_is_a_message(visit, tmp_path):
    large, wrong, lying = (tmp_path / f"{name}.png" for name in ("large", "wrong", "lying"))
    large.write_bytes(b"x" * 2_500_000)
    wrong.write_text("<script>alert(1)</script>")
    lying.write_bytes(header_of_png(40_000, 40_000))
    for path, message in (
        (large, "maximum"),
        (wrong, "not a picture that can be read"),
        (lying, "40000 x 40000 pixels; at most 1 million are taken"),
    ):
        visit.give(path)
        said = visit.message()
        assert message in said and "Traceback" not in said


def test_a_refused_picture_leaves_nothing_of_the_one_before(visit, photo, tmp_path):
    visit.give(photo)
    visit.answered(160, 120)
    (tmp_path / "wrong.png").write_text("no picture")
    visit.page.click("#photo button[aria-label='Remove Image']")
    visit.give(tmp_path / "wrong.png")
    assert "not a picture" in visit.message()
    visit.page.wait_for_selector("#times >> text=/Upload, drop or paste/")
    assert visit.page.locator("a[download]:visible").count() == 0
    assert visit.page.locator("span.error:visible").count() == 0


def test_an_example_and_the_scale_lens_are_a_click_away(visit):
    for _ in range(3):  # a part that has just come may not listen yet
        visit.page.locator(".gallery-item").first.click()
        try:
            visit.answered(128, 96, patience=4_000)
        except TimeoutError:
            continue
        break
    visit.tab("classification")
    visit.page.get_by_role("button", name="Scale lens").click()
    visit.page.get_by_role("button", name=re.compile("Which scales")).click()
    visit.page.wait_for_selector("text=/layer\\d, group 1/")


def test_the_commands_name_the_pages_own_address(visit, site):
    visit.tab("Commands")
    text = visit.page.inner_text(".commands")
    assert f"curl --data-binary @photo.jpg {site.address}/api/salient" in text
    assert "python -m tasks.detection.predict --run" in text


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_the_screen_in_dark_and_light(browser, site, photo, scheme):
    visit = Visit(browser.new_context(viewport=PHONE, color_scheme=scheme), site)
    visit.give(photo)
    visit.answered(160, 120)
    visit.tab("segmentation")
    visit.shown("segmentation")
    for name, viewport in (("phone", PHONE), ("laptop", LAPTOP)):
        visit.page.set_viewport_size(viewport)
        across, down = visit.page.evaluate(
            "[document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
        )
        colour = visit.page.evaluate("getComputedStyle(document.body).backgroundColor")
        levels = [int(one) for one in re.findall(r"\d+", colour)[:3]]
        visit.picture(f"{name}_{scheme}")
        assert across <= viewport["width"]
        assert (np.mean(levels) < 80) == (scheme == "dark")
        assert name == "phone" or down <= 1.15 * viewport["height"]
    visit.page.context.close()


def test_the_keyboard_reaches_everything(visit, photo):
    visit.give(photo)
    visit.answered(160, 120)
    reached = set()
    for _ in range(60):
        visit.page.keyboard.press("Tab")
        reached.add(
            visit.page.evaluate(
                "(document.activeElement.getAttribute('role') || document.activeElement.tagName)"
            )
        )
    assert {"tab", "A", "BUTTON", "INPUT"} <= {
        one if one == "tab" else one.upper() for one in reached
    }


def test_a_clip_is_drawn_on_and_plays(visit, tmp_path):
    visit.tab("Clip")
    visit.give(write_clip(tmp_path / "clip.webm", 6), "#clip", "video")
    visit.page.click("#clip-start")
    visit.page.wait_for_selector("#clip-told >> text=/6 frames/")
    visit.page.wait_for_function(
        "(document.querySelector('#clip-result video') || {}).readyState >= 2"
    )
    assert visit.page.evaluate("document.querySelector('#clip-result video').videoWidth") == 64


def test_a_clip_can_be_cancelled(visit, tmp_path, site, loaded, request):
    trunk = loaded[0].pictures[0].predictor.opened.layers.backbone
    slow = trunk.register_forward_hook(lambda *_: time.sleep(0.1))  # a minute, if none cancels it
    request.addfinalizer(slow.remove)
    before = set(site.site.folder.glob("*.webm"))
    visit.tab("Clip")
    visit.give(write_clip(tmp_path / "clip.webm", 600, rate=30), "#clip", "video")
    visit.page.click("#clip-start")
    visit.page.wait_for_selector("#clip-result >> text=/frames/")
    visit.page.click("#clip-cancel")
    assert "cancelled" in visit.message()
    assert set(site.site.folder.glob("*.webm")) == before


def test_a_folder_comes_back_with_its_names(visit, tmp_path):
    pixels = cv2.imencode(".png", server.photograph(1))[1].tobytes()
    members = [("in/a.png", pixels), ("b.png", b"no picture"), ("notes.txt", b"x")]
    visit.tab("Folder")
    visit.give(
        archive_of(tmp_path / "folder.zip", members), "#folder", "td[aria-label='folder.zip']"
    )
    visit.page.click("#folder-start")
    visit.page.wait_for_selector("#folder-told >> text=1 pictures, 1 that cannot be read")
    with visit.page.expect_download() as download:
        visit.page.locator("#folder-result a[download]").first.click()
    with zipfile.ZipFile(download.value.path()) as archive:
        names = archive.namelist()
        assert "not a picture" in archive.read("errors.txt").decode()
    assert "in/a.png.salient_map.png" in names and "in/a.png.detection.json" in names


def test_a_hostile_folder_is_a_message(visit, tmp_path):
    visit.tab("Folder")
    visit.give(
        archive_of(tmp_path / "folder.zip", [("../<b>a.png", b"x")]),
        "#folder",
        "td[aria-label='folder.zip']",
    )
    visit.page.click("#folder-start")
    assert "../<b>a.png: leads out of the archive" in visit.message()


def test_clicks_give_a_mask_and_undo_takes_it_back(visit, photo, loaded):
    visit.tab("Clicks")
    visit.give(photo, "#object", "img")
    visit.page.wait_for_selector("#clicks-told >> text=Click on what you want")
    canvas = visit.page.locator("#canvas img")

    def content():
        return visit.page.request.get(canvas.get_attribute("src")).body()

    def drawn():
        return np.asarray(Image.open(io.BytesIO(content())).convert("RGB")).astype(int)

    def click(x, y, count, **how):
        for patience in (3_000, 3_000, 15_000):  # a part that has just come may not listen yet
            # The picture is in the middle of the element, not enlarged.
            box = canvas.bounding_box()
            scale = min(1, box["width"] / 160, box["height"] / 120)
            left, top = (box["width"] - 160 * scale) / 2, (box["height"] - 120 * scale) / 2
            place = {"x": left + (x + 0.5) * scale, "y": top + (y + 0.5) * scale}
            canvas.click(position=place, **how)
            try:
                told = f"#clicks-told >> text=/^{count} click/"
                visit.page.wait_for_selector(told, timeout=patience)
            except TimeoutError:
                continue
            return
        raise AssertionError(f"click {count} is not taken")

    predictor = loaded[0].clicks[0].predictor
    picture = np.asarray(Image.open(photo).convert("RGB"))
    first, second, third = (80, 60, True), (130, 90, False), (30, 40, True)
    once, twice, thrice = (
        predictor.draw(picture, predictor(picture, clicks)).astype(int)
        for clicks in ([first], [first, second], [first, second, third])
    )
    passes = server.counted(loaded[0].clicks)
    click(80, 60, 1)
    visit.page.evaluate("addEventListener('contextmenu', (e) => { menu = !e.defaultPrevented; })")
    for how in ({"button": "right"}, {"modifiers": ["Shift"]}, {}):
        if not how:
            visit.page.get_by_label("take from the mask").check()
        click(130, 90, 2, **how)
        assert np.abs(drawn() - twice).max() <= 1, how
        if how:
            click(30, 40, 3)
            assert np.abs(drawn() - thrice).max() <= 1, "the next one adds again"
            visit.page.click("#click-undo")
            visit.page.wait_for_selector("#clicks-told >> text=/^2 clicks;/")
        else:
            visit.picture("clicks")
        visit.page.click("#click-undo")
        visit.page.wait_for_selector("#clicks-told >> text=/^1 click;/")
    assert visit.page.evaluate("menu") is False, "no menu opens over the picture"
    assert not passes, "the trunk saw the picture before the first click"
    assert np.abs(drawn() - once).max() <= 1


def test_voices_are_compared(visit, tmp_path):
    visit.tab("Voices")
    for place, hertz in (("#first-voice", 300.0), ("#second-voice", 500.0)):
        audio.write(tmp_path / f"{hertz}.wav", voices.tone(hertz))
        visit.give(tmp_path / f"{hertz}.wav", place, "button[aria-label=Play]")
    visit.page.click("#voices-start")
    visit.page.wait_for_selector("#voices-told >> text=/likelihood ratio/")
    assert "speaker" in visit.page.inner_text("#voices-told h2")
    visit.picture("voices")


def test_a_person_is_found_in_a_gallery(visit, photo, tmp_path):
    visit.tab("Persons")
    members = [
        (
            f"{seed}.png",
            cv2.imencode(".png", server.photograph(seed, height=120, width=160)[..., ::-1])[
                1
            ].tobytes(),
        )
        for seed in (3, 7, 9)
    ]
    visit.give(photo, "#query", "img")
    visit.give(
        archive_of(tmp_path / "gallery.zip", members), "#gallery", "td[aria-label='gallery.zip']"
    )
    for _ in range(3):  # what is shown may still be on its way to the server
        visit.page.click("#persons-start")
        try:
            visit.page.wait_for_selector("#persons-told li", timeout=5_000)
        except TimeoutError:
            continue
        break
    assert visit.page.inner_text("#persons-told li >> nth=0").split() == ["1.", "7.png", "0.000"]
    visit.picture("persons")


def test_a_scan_comes_back_as_labels_sheet_and_millilitres(visit, tmp_path):
    small.save(tmp_path / "scan.nii.gz", 0, "RAS")
    visit.tab("Volumes")
    assert "Research only, no diagnosis" in visit.page.inner_text("[role=tabpanel]:visible")
    visit.give(tmp_path / "scan.nii.gz", "#volume", "td[aria-label='scan.nii.gz']")
    visit.page.click("#volume-start")
    visit.page.wait_for_selector("#volume-told >> text=/liver/")
    assert "Research only, no diagnosis" in visit.page.inner_text("#volume-told")
    assert visit.page.inner_text("#volume-told li >> nth=0").endswith(" ml")
    for place in ("#volume-sheet", "#volume-film"):
        image = visit.page.wait_for_selector(f"{place} img", state="attached")
        content = visit.page.request.get(image.get_attribute("src")).body()
        shown = Image.open(io.BytesIO(content))
        assert getattr(shown, "n_frames", 1) == (small.SHAPE[0] if place == "#volume-film" else 1)
    visit.picture("volumes")
    with visit.page.expect_download() as download:
        visit.page.locator("#volume-files a[download*='labels']").first.click()
    given = nibabel.load(tmp_path / "scan.nii.gz")
    shutil.copy(download.value.path(), tmp_path / "labels.nii.gz")
    found = nibabel.load(tmp_path / "labels.nii.gz")
    assert found.shape == given.shape and found.affine.tobytes() == given.affine.tobytes()


def test_gradios_own_client_gets_the_same(site, photo):
    from gradio_client import Client, handle_file

    client = Client(site.address, verbose=False)
    given = client.predict(handle_file(photo), *defaults(site), api_name="/picture")
    assert "160 x 120 pixels in" in str(given[0])


def defaults(site):
    return [one.value for head in site.site.heads.pictures for one in head.controls]
