"""The page: a real browser walks through it on real photographs."""

from __future__ import annotations

import re
import shutil
import stat
from itertools import pairwise
from pathlib import Path
from zipfile import ZipFile

import pytest
from PIL import Image

pytest.importorskip("fastapi")
from browsing import Page, box, cells, expect, looking, search, status
from serving import Service

from visita.reports.demo import PICTURES

pytestmark = pytest.mark.slow
HOSTILE = "<img src=x onerror='window.hostile=1'> & \"more\""


@pytest.fixture(scope="module")
def album(tmp_path_factory) -> Path:
    """Return sample photographs, and one with markup in name and caption."""
    source = Path(pytest.importorskip("skimage.data").__file__).parent
    folder = tmp_path_factory.mktemp("page") / "album"
    (folder / "cats").mkdir(parents=True)
    for name in PICTURES:
        shutil.copy(source / name, folder)
    with Image.open(source / "chelsea.png") as cat:
        exif = Image.Exif()
        exif[0x010E] = HOSTILE
        exif[0x0132] = "2024:05:06 07:08:09"
        cat.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(
            folder / "cats" / ("cat <b> &amp; " + "long " * 30 + ".jpg"), exif=exif
        )
    shutil.copy(source / "gravel.png", folder / "z again.png")
    return folder


@pytest.fixture
def page(chromium, service) -> Page:
    """Yield the page, which has shown all pictures."""
    with looking(chromium, service, permissions=["clipboard-read", "clipboard-write"]) as tab:
        tab.goto("/")
        expect(status(tab)).to_have_text(f"{len(PICTURES) + 1} pictures")
        yield tab


def named(service: Service, name: str) -> dict[str, str]:
    pictures = service.ask("pictures").json["pictures"]
    return next({key: p[key] for key in ("gallery", "id")} for p in pictures if p["name"] == name)


def assert_found(page: Page, service: Service, request: dict) -> None:
    """See that the page shows what the service answers to a request."""
    for place, match in enumerate(service.ask("search", request).json["matches"][:6]):
        expect(cells(page).nth(place)).to_have_attribute("title", Path(match["path"]).name)


def test_typing_finds_and_a_line_is_drawn_where_nothing_matches(page, service):
    search(page, "a cat")
    answer = service.ask("search", text="a cat", k=200).json
    found = [Path(match["path"]).name for match in answer["matches"]]
    expect(cells(page).first).to_have_attribute("title", found[0])
    assert "chelsea" in found[0] or "cat" in found[0]
    above = sum(match["probability"] >= answer["sure"] for match in answer["matches"])
    assert 0 < above < len(found)
    expect(status(page)).to_have_text(re.compile(f"^{above} of {len(found)} pictures"))
    line = page.get_by_text("Below this line visita thinks nothing matches").bounding_box()
    tops = [cell.bounding_box()["y"] for cell in cells(page).all()]
    assert max(tops[:above]) < line["y"] < min(tops[above:])
    expect(cells(page).first).to_have_accessible_name(re.compile(r"\d+\s?% probable"))


def test_a_sentence_that_several_pictures_fit_is_matched_by_them(page, service):
    text = "a close view of a cat that looks to the side"
    matches = service.ask("search", text=text, k=200).json["matches"]
    fit = sum(match["fit"] >= 0.5 for match in matches)
    assert fit > sum(match["probability"] >= 0.5 for match in matches)
    search(page, text)
    expect(status(page)).to_have_text(re.compile(f"^{fit} of {len(matches)} pictures"))


def test_everything_can_be_done_with_the_keyboard(page, album):
    page.keyboard.press("/")
    expect(box(page)).to_be_focused()
    page.keyboard.type("a cup of coffee")
    expect(cells(page).first).to_have_attribute("title", "coffee.png")
    page.keyboard.press("ArrowDown")
    expect(cells(page).first).to_be_focused()
    page.keyboard.press("l")
    expect(cells(page).nth(1)).to_be_focused()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("j")
    below = page.evaluate("Number(document.activeElement.dataset.index)")
    assert below > 1
    page.keyboard.press("k")
    expect(cells(page).first).to_be_focused()
    page.keyboard.press("Space")
    expect(cells(page).first).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Shift+ArrowRight")
    expect(page.locator(".cell[aria-selected=true]")).to_have_count(2)
    page.keyboard.press("Escape")
    expect(page.locator(".cell[aria-selected=true]")).to_have_count(0)
    page.keyboard.press("h")
    page.keyboard.press("y")
    expect(page.locator(".toast")).to_contain_text("coffee.png")
    assert page.evaluate("navigator.clipboard.readText()") == str(album / "coffee.png")
    page.keyboard.press("Enter")
    large = page.get_by_role("dialog", name="Picture")
    expect(large).to_contain_text("600 × 400")
    page.keyboard.press("ArrowRight")
    expect(large.get_by_role("heading", name="coffee.png")).to_have_count(0)
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Escape")
    expect(large).to_be_hidden()
    expect(cells(page).first).to_be_focused()


def test_what_files_say_of_themselves_is_shown_and_never_run(page):
    search(page, "a cat")
    page.locator(".cell[title^='cat <b>']").click()
    large = page.get_by_role("dialog", name="Picture")
    expect(large.locator("dd", has_text="onerror")).to_have_text(HOSTILE)
    expect(large.get_by_role("heading").first).to_contain_text("cat <b> &amp; long long")
    expect(large).to_contain_text("6 May 2024, 07:08")
    assert page.evaluate("window.hostile") is None
    assert large.locator("dd img").count() == 0


def test_a_picture_is_downloaded_as_it_is(page, album):
    search(page, "a rocket launching")
    page.locator(".cell[title='rocket.jpg']").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    assert download.value.path().read_bytes() == (album / "rocket.jpg").read_bytes()


def test_a_picture_that_is_chosen_or_pasted_finds_those_like_it(page, album):
    page.locator("input[type=file]").set_input_files(album / "chelsea.png")
    expect(page.get_by_alt_text("Like chelsea.png")).to_be_visible()
    expect(cells(page).first).to_have_attribute("title", "chelsea.png")
    expect(cells(page).nth(1)).to_have_attribute("title", re.compile("^cat"))
    page.get_by_role("button", name="Clear the search").click()
    page.evaluate(
        """async () => {
          const answer = await fetch(document.querySelector(".cell[title='coffee.png'] img").src);
          const transfer = new DataTransfer();
          transfer.items.add(new File([await answer.blob()], "cup.jpg", { type: "image/jpeg" }));
          dispatchEvent(new ClipboardEvent("paste", { clipboardData: transfer }));
        }"""
    )
    expect(page.get_by_alt_text("Like cup.jpg")).to_be_visible()
    expect(cells(page).first).to_have_attribute("title", "coffee.png")


def test_pictures_marked_plus_are_searched_for_with_the_words(page, service):
    search(page, "a man with a camera")
    coffee = page.locator(".cell[title='coffee.png']")
    coffee.hover()
    coffee.get_by_role("button", name="More like coffee.png").click()
    expect(page.get_by_alt_text("Like coffee.png")).to_be_visible()
    plus = named(service, "coffee.png")
    assert_found(page, service, {"text": "a man with a camera", "like": [plus]})
    page.get_by_role("button", name="Remove coffee.png").click()
    expect(cells(page).first).to_have_attribute("title", "camera.png")


def test_an_article_is_noticed_and_each_picture_comes_with_its_passage(page):
    article = (
        "The cat had slept all day. It looked at me with green eyes.\n\n"
        "A rocket rose from the launch pad into the sky. It was loud."
    )
    box(page).fill(article)
    expect(page.get_by_text("Read as an article of 26 words")).to_be_visible()
    rocket = page.locator(".cell[title='rocket.jpg']")
    expect(rocket.locator(".passage")).to_contain_text("A rocket rose")
    rocket.click()
    large = page.get_by_role("dialog", name="Picture")
    expect(large.get_by_role("blockquote")).to_contain_text("A rocket rose")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Read it as one description").click()
    expect(page.locator(".passage")).to_have_count(0)


def test_filters_are_chips_and_stay_in_the_address(page):
    search(page, "an animal")
    page.get_by_text("Folder", exact=True).click()
    page.get_by_role("button", name="cats").click()
    expect(status(page)).to_contain_text("of 1 picture")
    expect(cells(page)).to_have_count(1)
    page.reload()
    expect(page.get_by_text("Folder: cats")).to_be_visible()
    expect(box(page)).to_have_value("an animal")
    expect(cells(page)).to_have_count(1)
    page.get_by_text("Words", exact=True).click()
    page.get_by_role("textbox", name="Words").fill("zebra")
    expect(page.get_by_text("No picture passes all filters.")).to_be_visible()
    page.get_by_role("button", name="Remove all filters").click()
    expect(cells(page).nth(5)).to_be_visible()


def test_the_newest_come_first_on_demand(page):
    page.get_by_role("button", name="Newest first").click()
    expect(cells(page).first).to_have_attribute("title", re.compile("^cat"))


def test_why_shows_words_kernels_and_the_heat_of_a_word(page):
    search(page, "a cat with green eyes")
    cells(page).first.click()
    page.keyboard.press("w")
    large = page.get_by_role("dialog", name="Picture")
    heat = large.locator("canvas")
    expect(heat).to_have_attribute("aria-label", re.compile("for the text"), timeout=60_000)
    whole = heat.evaluate("canvas => canvas.toDataURL()")
    large.get_by_role("button", name=re.compile("^cat: adds")).hover()
    expect(heat).to_have_attribute("aria-label", re.compile("for cat"))
    assert heat.evaluate("canvas => canvas.toDataURL()") != whole
    assert large.get_by_text(re.compile(r"^weight \d")).count() >= 1


def test_only_rows_in_sight_are_in_the_page(chromium, service):
    small = {"width": 390, "height": 300}
    with looking(chromium, service, viewport=small, has_touch=True, is_mobile=True) as page:
        page.goto("/")
        expect(cells(page).first).to_be_visible()
        assert cells(page).count() < len(PICTURES)
        expect(page.locator("[data-index='19']")).to_have_count(0)
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        expect(page.locator("[data-index='19']")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_ten_thousand_pictures_are_laid_out_in_full_rows(page):
    laid = page.evaluate(
        """async () => {
          const { justify, shape, rowAt } = await import("./layout.js");
          const shapes = Array.from({ length: 10000 }, (_, i) =>
            shape({ width: 100 + ((i * 7919) % 500), height: 100 + ((i * 104729) % 400) }));
          const room = { width: 1200, height: 190, gap: 8, below: 0, line: 37, lineHeight: 56 };
          const { rows, line, height } = justify(shapes, room);
          return { line, height, at: rows.map((row) => rowAt(rows, row.top + 1)),
            rows: rows.map((row) => ({ ...row, right: row.lefts.at(-1) + row.widths.at(-1) })) };
        }"""
    )
    rows = laid["rows"]
    starts = [row["start"] for row in rows] + [10_000]
    assert [b - a for a, b in pairwise(starts)] == [len(row["lefts"]) for row in rows]
    ends = [i for i, end in enumerate(starts[1:]) if end in (37, 10_000)]
    for i, row in enumerate(rows):
        assert row["right"] <= 1200.01
        assert i in ends or row["right"] == pytest.approx(1200)
        assert 95 < row["height"] < 380
    tops = [(row["top"], row["top"] + row["height"]) for row in rows]
    assert all(low < top for (_, low), (top, _) in pairwise(tops))
    assert laid["at"] == list(range(len(rows)))
    assert tops[ends[0]][1] < laid["line"] < tops[ends[0] + 1][0]


def test_an_error_says_what_to_do(chromium, service):
    with looking(chromium, service, expected="ERR_INTERNET_DISCONNECTED") as page:
        page.goto("/")
        expect(cells(page).first).to_be_visible()
        page.context.set_offline(True)
        box(page).fill("a dog")
        expect(page.get_by_role("alert")).to_contain_text("start it again with: visita serve")
        page.context.set_offline(False)
        page.get_by_role("button", name="Try again").click()
        expect(page.locator(".cell .bar").first).to_be_visible()


def test_recent_queries_are_kept_in_the_browser(page):
    search(page, "a cup of coffee")
    box(page).press("Enter")
    page.get_by_role("button", name="Clear the search").click()
    page.get_by_role("button", name="a cup of coffee").click()
    expect(box(page)).to_have_value("a cup of coffee")
    expect(cells(page).first).to_have_attribute("title", "coffee.png")


def test_pictures_marked_minus_are_kept_away_from(page, service):
    search(page, "an animal")
    horse = page.locator(".cell[title='horse.png']")
    horse.hover()
    horse.get_by_role("button", name="Less like horse.png").click()
    expect(page.get_by_alt_text("Unlike horse.png")).to_be_visible()
    expect(page.locator(".cell.unwanted")).to_have_attribute("title", "horse.png")
    minus = named(service, "horse.png")
    assert_found(page, service, {"text": "an animal", "unlike": [minus]})
    expect(cells(page).first).not_to_have_attribute("title", "horse.png")


def test_selected_pictures_become_a_collection_that_is_exported(page, album):
    search(page, "a cat")
    page.keyboard.press("Escape")
    page.keyboard.press("Space")
    page.keyboard.press("Shift+ArrowRight")
    bar = page.get_by_role("region", name="Selected pictures")
    expect(bar).to_contain_text("2 pictures selected")
    bar.get_by_text("Add to …").click()
    bar.get_by_label("Name of a collection").fill(HOSTILE)
    bar.get_by_role("button", name="Make it").click()
    expect(bar).to_be_hidden()
    page.get_by_role("link", name="Collections").click()
    page.get_by_role("link", name=HOSTILE).click()
    expect(page.locator(".thumbs li")).to_have_count(2)
    with page.expect_download() as download:
        page.get_by_role("link", name="Table (CSV)").click()
    assert str(album / "chelsea.png") in download.value.path().read_text("utf-8-sig")
    with page.expect_download() as download:
        page.get_by_role("link", name="Links (zip)").click()
    with ZipFile(download.value.path()) as archive:
        links = {archive.read(entry).decode() for entry in archive.infolist()}
        assert all(entry.external_attr >> 28 == stat.S_IFLNK >> 12 for entry in archive.infolist())
    assert str(album / "chelsea.png") in links and len(links) == 2
    page.get_by_role("button", name="Remove chelsea.png").click()
    expect(page.locator(".thumbs li")).to_have_count(1)
    page.get_by_role("button", name="Delete the collection").click()
    expect(page.get_by_text("There is none yet.")).to_be_visible()


def test_marks_are_counted_and_held_against_what_was_said(page, service):
    search(page, "a cat")
    for name, word in (("chelsea.png", "Right"), ("brick.png", "Wrong")):
        page.locator(f".cell[title='{name}']").click()
        page.get_by_role("dialog").get_by_role("button", name=word).click()
        expect(page.locator(".toast")).to_contain_text(f"marked {word.lower()} for: a cat")
        page.keyboard.press("Escape")
    page.get_by_role("link", name="Teach").click()
    expect(page.get_by_text("1 right, 1 wrong, for 1 text.")).to_be_visible()
    page.get_by_role("link", name="Quality").click()
    expect(page.get_by_text("What it said of 2 pictures that you marked")).to_be_visible()
    rows = page.locator(".reliability tbody tr")
    expect(rows.last).to_contain_text("80% – 100%")
    expect(rows.last.locator("td").nth(1)).to_have_text("100%")
    expect(page.locator(".plot circle")).to_have_count(rows.count())
    expect(page.get_by_text(re.compile(r"On 1,000 pictures .* add up to 351"))).to_be_visible()
    expect(page.get_by_text("Pairs of flickr8k. 6,000 pictures")).to_be_visible()
    weights = [kernel["weight"] for kernel in service.ask("quality").json["kernels"]]
    assert sum(weights) == pytest.approx(1)
    expect(page.locator(".kernels li")).to_have_count(len(weights))


def test_too_little_to_learn_from_is_said(chromium, service):
    with looking(chromium, service, expected="422") as page:
        page.goto("/#teach")
        page.get_by_role("button", name="Learn").click()
        expect(page.locator(".toast")).to_contain_text("12")


def test_pictures_of_one_content_are_shown_as_duplicates(page, album):
    page.goto("/#duplicates")
    expect(page.get_by_role("heading", name="album: 1 group")).to_be_visible()
    group = page.get_by_role("article")
    expect(group).to_contain_text(str(album / "z again.png"))
    group.get_by_role("button").first.click()
    expect(page.get_by_role("dialog", name="Picture")).to_contain_text("z again.png")


def test_texts_are_ordered_by_how_well_they_fit_a_picture(page):
    page.locator(".cell[title='coffee.png']").click()
    # Where the picture comes only now, all below it moves.
    expect(page.locator("dialog figure img")).to_have_js_property("complete", True)
    page.get_by_text("Which of some texts fits?").click()
    page.get_by_label("Texts, one a line", exact=True).fill(
        "a rocket\na cup of coffee on a table\na cat"
    )
    page.get_by_role("button", name="Order them").click()
    expect(page.locator(".fitting li").first).to_contain_text("a cup of coffee on a table")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nobody_is_shut_out(chromium, service, scheme):
    """axe knows the rules of WCAG that a program can check."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    with looking(chromium, service, color_scheme=scheme, reduced_motion="reduce") as page:
        places = ("", "text=a+cat+with+green+eyes", "collections", "teach", "quality")
        for place in places if scheme == "light" else places[1:2]:
            page.goto("about:blank")
            page.goto(f"/#{place}")
            expect(page.locator("main:visible")).not_to_contain_text("…")
            assert serious(axe.run(page)) == [], place
        page.goto("/#text=a+cat")
        page.get_by_text("Date", exact=True).click()
        expect(page.get_by_label("From")).to_be_visible()
        assert serious(axe.run(page)) == []
        page.keyboard.press("Escape")
        cells(page).first.click()
        expect(page.get_by_role("dialog")).to_contain_text("Pixels")
        assert serious(axe.run(page)) == []


def serious(results) -> list[tuple[str, str]]:
    return [
        (violation["id"], node["html"])
        for violation in results.response["violations"]
        if violation["impact"] in {"serious", "critical"}
        for node in violation["nodes"]
    ]


def test_every_language_has_the_same_words(page):
    shapes = page.evaluate(
        """async () => {
          const shape = (value) => Array.isArray(value) ? value.length
            : value && typeof value === "object"
            ? Object.fromEntries(Object.entries(value).map(([name, each]) => [name, shape(each)]))
            : typeof value;
          const [english, german] = await Promise.all(
            ["en", "de"].map((name) => import(`./strings/${name}.js`)));
          return [shape(english.default), shape(german.default)];
        }"""
    )
    assert shapes[0] == shapes[1]


def test_the_page_speaks_german_to_who_reads_it(chromium, service):
    with looking(chromium, service, locale="de-AT") as page:
        page.goto("/")
        expect(page.get_by_label("Bilder suchen")).to_be_visible()
        assert page.evaluate("document.documentElement.lang") == "de"


SHOWN = [(390, 844, "dark"), (1280, 800, "light"), (1280, 800, "dark"), (1920, 1080, "light")]


@pytest.mark.parametrize("width, height, scheme", SHOWN)
def test_nothing_sticks_out_at_any_size(chromium, service, width, height, scheme):
    size = {"width": width, "height": height}
    with looking(chromium, service, viewport=size, color_scheme=scheme) as page:
        page.goto("/#text=a+cat")
        expect(page.locator(".cell .bar").first).to_be_visible()
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
