"""Pages in a real browser: they play, keys work, marks stay, nothing is said in the console."""

import json
import time
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import soundfile as sf

from experiments import AuditionConfig, ListenConfig, analyse, audition, listen
from experiments.cli import main
from experiments.listening.answers import seal
from experiments.listening.auditions import gather, makers
from experiments.listening.studio import Studio
from experiments.report.audition import render_audition
from experiments.report.terminal import Progress
from experiments.server import PageServer
from features import save_audio

RATE, LENGTH = 4000, 16384
GENRES = ["drone", "march", "techno"]
COUNT = 2


@pytest.fixture(scope="module")
def genres(genres_file) -> Path:
    return genres_file(LENGTH)


@pytest.fixture(scope="module")
def pages(genres, music, tmp_path_factory) -> dict[str, Path]:
    """The same audition as a folder and as a single file."""
    out = tmp_path_factory.mktemp("pages")
    config = AuditionConfig((genres,), count=COUNT, between=3, data=str(music))
    folder = audition(config, out / "folder").page
    single = AuditionConfig((genres,), count=COUNT, between=3, data=str(music), single_file=True)
    return {"folder": folder, "single": audition(single, out / "single").page}


class Opened:
    """A page in a browser, and what it said in the console."""

    def __init__(self, context, file: Path):
        self.page, self.said = context.new_page(), []
        self.page.set_default_timeout(10_000)
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.goto(f"file://{file}")

    def __getattr__(self, name):
        return getattr(self.page, name)

    @property
    def now(self) -> str:
        return self.page.text_content("#now")

    @property
    def position(self) -> float:
        return float(self.page.input_value("#seek"))

    def pressed(self, name: str) -> bool:
        return self.page.get_attribute(f'[data-do="{name}"]', "aria-pressed") == "true"

    def until(self, condition: str) -> None:
        self.page.wait_for_function(f"() => {condition}")

    def playing(self, name: str) -> None:
        """Wait until a clip plays whose name ends so."""
        self.until(
            "document.querySelector('[data-do=play]').getAttribute('aria-pressed') === 'true' && "
            f"document.getElementById('now').textContent.includes({name!r})"
        )


@pytest.fixture
def opened(browser):
    """The function that opens a page: ``opened(file)``; nothing may be said in the console."""
    context, found = browser.new_context(accept_downloads=True), []

    def open_page(file: Path) -> Opened:
        found.append(Opened(context, file))
        return found[-1]

    yield open_page
    context.close()
    assert [one.said for one in found] == [[]] * len(found)


@pytest.mark.parametrize("kind", ["folder", "single"])
def test_a_clip_plays_when_it_is_pressed_and_stops_at_its_end(opened, pages, kind):
    page = opened(pages[kind])
    assert page.locator(".tile").count() == 2 * 3 * COUNT
    page.locator(".generated .tile").first.click()
    page.playing("genres step 9, drone, clip 1")
    first = page.position
    page.until(f"+document.getElementById('seek').value > {first} + 0.05")  # time goes on
    assert page.locator(".tile.playing").count() == 1
    assert "nearest training clip: " in page.text_content("#facts")
    page.locator("#seek").fill("0.95")
    page.until("document.querySelector('[data-do=play]').textContent === 'Play'")
    assert page.position == 0


def test_keys_go_from_clip_to_clip_play_and_stop(opened, pages):
    page = opened(pages["folder"])
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.locator(".real .tile").first.focus()
    page.keyboard.press("Space")
    page.playing("drone.00000")
    page.keyboard.press("n")
    page.playing("drone.00001")
    page.keyboard.press("p")
    page.playing("drone.00000")
    page.keyboard.press("Escape")
    assert not page.pressed("play")
    page.keyboard.press("ArrowDown")
    focused = "document.activeElement.getAttribute('aria-label')"
    assert page.evaluate(focused) == "Play genres step 9, drone, clip 1"
    page.keyboard.press("ArrowRight")
    assert page.evaluate(focused) == "Play genres step 9, drone, clip 2"
    page.keyboard.press("ArrowRight")
    assert page.evaluate(focused) == "Play genres step 9, march, clip 1"
    page.keyboard.press("Enter")
    page.playing("march, clip 1")
    page.locator("#letters").uncheck()
    page.locator(".generated .tile").first.focus()
    page.keyboard.press("n")
    assert page.evaluate(focused) == "Play genres step 9, drone, clip 1"
    assert page.evaluate("document.querySelectorAll('.tile[tabindex=\"0\"]').length") == 1


def test_a_clip_repeats_and_another_goes_on_at_its_position(opened, pages):
    page = opened(pages["folder"])
    page.locator(".generated .tile").nth(0).click()
    page.playing("drone, clip 1")
    page.keyboard.press("r")
    assert page.pressed("repeat")
    page.keyboard.press("a")
    page.locator("#seek").fill("0.95")
    page.until("+document.getElementById('seek').value < 0.5")
    assert page.pressed("play")
    page.locator(".generated .tile").nth(2).click()
    page.playing("march, clip 1")
    page.keyboard.press("b")
    for key, name in {
        "x": "drone, clip 1",
        "t": "(nearest to genres step 9, drone, clip 1)",
    }.items():
        page.locator("#seek").fill("0.5")
        page.until("document.getElementById('seek').value > 0.5")
        page.keyboard.press(key)
        page.playing(name)
        assert 0.5 < page.position < 0.95
    page.keyboard.press("t")
    page.until("!document.getElementById('now').textContent.includes('nearest')")


def test_levels_match_until_that_is_switched_off(opened, pages):
    page = opened(pages["folder"])
    page.locator(".generated .tile").first.click()
    page.playing("drone, clip 1")
    assert "level " in page.text_content("#facts")
    page.keyboard.press("l")
    assert not page.pressed("level")
    assert "level " not in page.text_content("#facts")


def test_marks_survive_a_reload_and_their_export_is_made_again(opened, pages, genres, tmp_path):
    page = opened(pages["folder"])
    page.locator(".generated .tile").nth(1).click()
    page.keyboard.press("f")
    page.locator(".generated .tile").nth(4).focus()
    page.keyboard.press("f")  # one that does not play
    page.locator(".real .tile").first.click()
    page.locator('[data-do="mark"]').click()
    page.reload()
    assert page.locator(".tile.marked").count() == 3
    assert page.locator("#marked li").count() == 3
    with page.expect_download() as download:
        page.locator("#export").click()
    file = tmp_path / "favourites.json"
    download.value.save_as(file)
    found = json.loads(file.read_text())
    assert [clip["name"] for clip in found["clips"]] == [
        "genres step 9, drone, clip 2", "genres step 9, techno, clip 1",
    ]  # fmt: skip
    assert len(found["without_latent"]) == 1
    assert (
        main(["generate", str(genres), "--latents", str(file), "--out", str(tmp_path / "made")])
        == 0
    )

    page.locator(".generated .tile").nth(4).click()
    page.playing("techno, clip 1")
    with page.expect_download() as download:
        page.locator('[data-do="save"]').click()
    download.value.save_as(tmp_path / "clip.flac")
    heard = sf.read(tmp_path / "clip.flac")[0]
    (again,) = (sf.read(f)[0] for f in (tmp_path / "made" / "techno").glob("*.wav"))
    np.testing.assert_allclose(heard, again, atol=2 * 2**-15)


def test_one_class_alone_and_what_lies_between(opened, pages):
    page = opened(pages["folder"])
    page.select_option("#class", label="march")
    assert page.locator(".tile:visible").count() == 2 * COUNT
    page.select_option("#class", label="all")
    strip = page.locator(".between").first
    strip.locator("button").click()
    page.until("document.querySelector('.between button').textContent === 'Stop'")
    strip.locator("input").fill("1.5")
    assert strip.locator("input").get_attribute("aria-valuetext").endswith("between clips 1 and 2")
    page.locator(".tile").first.click()  # which stops it
    page.until("document.querySelector('.between button').textContent === 'Play'")


def test_a_sound_that_is_not_beside_the_page_says_so(browser, pages, tmp_path):
    lonely = tmp_path / "index.html"
    lonely.write_text(pages["folder"].read_text())
    page = browser.new_page()
    page.goto(f"file://{lonely}")
    page.locator(".tile").first.click()
    page.wait_for_function(
        "document.getElementById('now').textContent.includes(\"can't be played\")"
    )
    page.close()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 390)])
def test_axe_finds_nothing_serious(browser, pages, scheme, width):
    from axe_playwright_python.sync_playwright import Axe

    size = {"width": width, "height": 800}
    context = browser.new_context(bypass_csp=True, color_scheme=scheme, viewport=size)
    page = context.new_page()
    page.goto(f"file://{pages['folder']}")
    page.locator(".generated .tile").first.click()
    found = Axe().run(page).response["violations"]
    assert [(one["id"], one["impact"]) for one in found] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()


@pytest.mark.slow
def test_a_thousand_clips_open_in_under_three_seconds_and_take_little_room(opened, tmp_path):
    length = LENGTH // 4
    time_ = np.arange(length) / RATE
    rng = np.random.default_rng(0)
    for i in range(1000):
        tone = 0.3 * np.sin(2 * np.pi * (200 + i) * time_) * np.exp(-time_ * rng.uniform(1, 8))
        save_audio(tmp_path / "made" / f"class{i % 10}" / f"{i:04d}.wav",
                   tone + rng.normal(0, 0.05, length), RATE)  # fmt: skip
    found = audition(AuditionConfig((tmp_path / "made",), count=100), tmp_path / "page")
    assert found.clips == 1000
    size = sum(f.stat().st_size for f in (tmp_path / "page").rglob("*") if f.is_file())
    assert size <= 1.3 * 1000 * 2 * length
    start = time.monotonic()
    page = opened(found.page)
    assert page.locator(".tile").count() == 1000
    page.locator(".tile").first.click()
    page.playing("class0")
    assert time.monotonic() - start < 3


def test_a_served_page_makes_new_clips_that_can_be_kept(browser, genres, tmp_path):
    from axe_playwright_python.sync_playwright import Axe

    config = AuditionConfig((genres,), count=1, between=0, serve=True, port=0)
    studio = Studio(makers(config), seed=0)
    page_file = render_audition(
        gather(config, Progress(quiet=True)), runs=["genres"], single_file=False,
        studio=studio.about(),
    )  # fmt: skip
    (tmp_path / "clips").mkdir()
    (tmp_path / "index.html").write_text(page_file.html)
    for name, content in page_file.files.items():
        (tmp_path / "clips" / name).write_bytes(content)
    context, said = browser.new_context(accept_downloads=True), []
    with PageServer(tmp_path, studio, "127.0.0.1", 0) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(server.address)
        page.locator(".tile").first.click()
        page.locator("#now", has_text="drone, clip 1").wait_for()
        page.locator("#y").fill("1.5")
        page.locator("#now", has_text="genres at 0, 1.5").wait_for()
        pad = page.locator("#pad").bounding_box()
        page.locator("#pad").click(position={"x": pad["width"] / 4, "y": pad["height"] / 2})
        page.locator("#now", has_text="genres at -").wait_for()  # -1, within some pixels
        page.keyboard.press("f")
        page.locator("#weights input").nth(1).fill("0.5")
        page.locator("#facts", has_text="a mix of classes").wait_for()
        page.locator("#made", has_text="made in").wait_for()
        with page.expect_download() as download:
            page.locator("#export").click()
        download.value.save_as(tmp_path / "favourites.json")
        checked = browser.new_context(bypass_csp=True)
        page = checked.new_page()
        page.goto(server.address)
        assert [one["id"] for one in Axe().run(page).response["violations"]] == []
        checked.close()
        server.shutdown()
    context.close()
    assert said == []
    (clip,) = json.loads((tmp_path / "favourites.json").read_text())["clips"]
    origin, across, _ = studio.corners[0]
    np.testing.assert_allclose(clip["latent"], np.clip(2 * origin - across, -1, 1), atol=0.1)
    line = ["generate", genres, "--latents", tmp_path / "favourites.json", "--out", tmp_path / "x"]
    assert main([*map(str, line)]) == 0


# --- blind tests ---------------------------------------------------------------------------------


def test_a_blind_test_from_its_start_to_what_its_answers_say(opened, genres_file, music, tmp_path):
    out, length = tmp_path / "test", LENGTH // 8  # which is heard to its end often
    listen(ListenConfig((genres_file(length),), count=3, checks=1, data=str(music)), out)
    key = json.loads((out / "key.json").read_text())
    right = {one["trial"]: one["right"] for one in key["trials"]}
    of = {s["sound"]: s["source"] for one in key["trials"] for s in one["sounds"]}
    page = opened(out / "test.html")
    assert page.locator("#begin").is_disabled()
    page.locator("#agree").check()
    page.locator("#try").click()
    page.locator("#begin").click()
    for number in range(4):
        page.locator("#progress", has_text=f"Question {number + 1} of 4").wait_for()
        state = page.evaluate(f"JSON.parse(localStorage.getItem('wavegan-test-{key['test']}'))")
        trial = state["order"][number]
        assert page.locator("#choices button").first.is_disabled()
        for i in range(len(trial["sounds"])):  # each is heard to its end
            page.keyboard.press("ab"[i])
            if i + 1 < len(trial["sounds"]):
                page.wait_for_timeout(1000 * length / RATE + 400)
        page.locator("#choices button:enabled").first.wait_for()
        if wanted := right[trial["trial"]]:
            page.locator("#choices button", has_text=wanted).click()
        else:
            page.locator("#choices button").nth(
                [of[s] for s in trial["sounds"]].index("real")
            ).click()
        if number == 1:  # what was answered before is kept
            page.locator("#next").click()
            page.reload()
            continue
        page.locator("#next").click()
    with page.expect_download() as download:
        page.locator("#save").click()
    file = out / download.value.suggested_filename
    download.value.save_as(file)
    (pair,) = analyse([file])["pairs"]
    assert (pair["hits"], pair["count"]) == (3, 3)


def test_axe_finds_nothing_in_a_blind_test_and_its_answers(browser, genres, music, tmp_path):
    from axe_playwright_python.sync_playwright import Axe

    out = tmp_path / "test"
    listen(ListenConfig((genres,), "genre", count=3, checks=0, data=str(music)), out)
    key = json.loads((out / "key.json").read_text())
    said = {"format": "wavegan answers", "version": 1, "test": key["test"], "listener": "l",
            "started": "a", "ended": "b",
            "answers": [{"trial": one["trial"], "choice": "drone", "milliseconds": 1, "plays": 1}
                        for one in key["trials"]]}  # fmt: skip
    (out / "answers-l.json").write_text(json.dumps(said | {"seal": seal(said)}))
    analyse([out / "answers-l.json"])
    for scheme in ("light", "dark"):
        context = browser.new_context(bypass_csp=True, color_scheme=scheme)
        page = context.new_page()
        for file in ("test.html", "listening.html"):
            page.goto(f"file://{out / file}")
            if file == "test.html":
                page.locator("#agree").check()
                page.locator("#begin").click()
            found = Axe().run(page).response["violations"]
            assert [(one["id"], one["impact"]) for one in found] == []
        context.close()
