"""The page on pictures of Flickr8k: what an editor does with them in a day."""

from __future__ import annotations

import base64
import re
import shutil
from pathlib import Path
from zipfile import ZipFile

import pytest

pytest.importorskip("fastapi")
from browsing import Page, box, cells, expect, looking, search, status

from visita.data import PairSet, open_pairs

pytestmark = pytest.mark.slow
SOME = 48


@pytest.fixture(scope="module")
def pairs(flickr8k) -> PairSet:
    """Return pictures of dev, with their captions."""
    dev = open_pairs(f"flickr8k:{flickr8k}").take("dev")
    return dev.subset(dev.some_images(SOME, 0))


@pytest.fixture(scope="module")
def album(pairs, tmp_path_factory) -> Path:
    """Return a folder with these, half of them in a folder of their own."""
    folder = tmp_path_factory.mktemp("real") / "album"
    (folder / "second half").mkdir(parents=True)
    for number, path in enumerate(pairs.image_paths):
        shutil.copy(path, folder / "second half" if number >= SOME // 2 else folder)
    return folder


@pytest.fixture
def page(chromium, service) -> Page:
    """Yield the page, which has shown all pictures."""
    with looking(chromium, service) as tab:
        tab.goto("/")
        expect(status(tab)).to_have_text(f"{SOME} pictures")
        yield tab


def caption(pairs: PairSet, image: int) -> str:
    """Return the first caption of a picture."""
    return pairs.texts[pairs.truth.tocsr()[[image]].indices[0]]


def hand_over(page: Page, event: str, path: Path) -> None:
    """Drop a picture onto the page, or paste it, as the browser tells a page of it."""
    page.evaluate(
        """([event, content, name]) => {
          const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
          const transfer = new DataTransfer();
          transfer.items.add(new File([bytes], name, { type: "image/jpeg" }));
          const told = { bubbles: true, cancelable: true };
          if (event === "paste") {
            dispatchEvent(new ClipboardEvent(event, { clipboardData: transfer, ...told }));
          } else for (const kind of ["dragenter", "dragover", event]) {
            document.body.dispatchEvent(new DragEvent(kind, { dataTransfer: transfer, ...told }));
          }
        }""",
        [event, base64.b64encode(path.read_bytes()).decode(), path.name],
    )


@pytest.mark.parametrize("event", ["drop", "paste"])
def test_a_picture_that_is_dropped_or_pasted_is_found(page, pairs, event):
    wanted = pairs.image_paths[7]
    hand_over(page, event, wanted)
    expect(page.get_by_alt_text(f"Like {wanted.name}")).to_be_visible()
    expect(cells(page).first).to_have_attribute("title", wanted.name)
    page.get_by_role("button", name=f"Remove {wanted.name}").click()
    expect(status(page)).to_have_text(f"{SOME} pictures")


def test_an_article_is_pasted_and_its_pictures_come_with_passages(page, pairs):
    article = " ".join(f"{caption(pairs, image).rstrip(' .')}." for image in range(6))
    box(page).focus()
    page.keyboard.insert_text(article)
    expect(page.get_by_text(re.compile(r"Read as an article of \d+ words"))).to_be_visible()
    expect(page.locator(".cell .passage").first).to_be_visible()
    shown = page.locator(".cell .passage").all_inner_texts()
    assert all(text.rstrip("…").strip()[:20] in article for text in shown)
    titles = {each.get_attribute("title") for each in cells(page).all()[:6]}
    assert titles & {path.name for path in pairs.image_paths[:6]}


def test_a_folder_is_a_chip_that_narrows_a_search_and_is_taken_off(page):
    search(page, "a dog")
    expect(status(page)).to_contain_text(f"of {SOME} pictures")
    page.get_by_text("Folder", exact=True).click()
    page.get_by_role("button", name="second half").click()
    expect(page.locator(".chip.on")).to_contain_text("Folder: second half")
    expect(status(page)).to_contain_text(f"of {SOME // 2} pictures")
    page.locator(".chip.on .remove").click()
    expect(page.locator(".chip.on")).to_have_count(0)
    expect(status(page)).to_contain_text(f"of {SOME} pictures")


def test_several_are_selected_with_shift_and_exported_as_files(page, album):
    search(page, "a dog")
    names = [each.get_attribute("title") for each in cells(page).all()[:5]]
    cells(page).nth(1).click(modifiers=["Control"])
    cells(page).nth(4).click(modifiers=["Shift"])
    expect(page.locator(".cell[aria-selected=true]")).to_have_count(4)
    bar = page.get_by_role("region", name="Selected pictures")
    expect(bar).to_contain_text("4 pictures selected")
    bar.get_by_text("Add to …").click()
    bar.get_by_label("Name of a collection").fill("Dogs")
    bar.get_by_role("button", name="Make it").click()
    page.get_by_role("link", name="Collections").click()
    page.get_by_role("link", name="Dogs").click()
    expect(page.locator(".thumbs li")).to_have_count(4)
    with page.expect_download() as download:
        page.get_by_role("link", name="Files (zip)").click()
    with ZipFile(download.value.path()) as archive:
        files = {Path(name).name: archive.read(name) for name in archive.namelist()}
    for name in names[1:]:
        [original] = album.rglob(name)
        assert original.read_bytes() in files.values()


def test_what_was_marked_is_learnt_shown_used_and_given_up(page, service, pairs):
    pytest.importorskip("torch")
    known = {p["name"]: p for p in service.ask("pictures", k=SOME).json["pictures"]}
    for image, path in enumerate(pairs.image_paths):
        name = {key: known[path.name][key] for key in ("gallery", "id")}
        for other in (image, (image + 1) % SOME):
            fits = other == image
            text = caption(pairs, image) if fits else f"{caption(pairs, other)} And a zebra."
            assert service.ask("feedback", {**name, "text": text, "fits": fits}).status == 200
    page.get_by_role("link", name="Teach").click()
    expect(page.get_by_text(f"{SOME} right, {SOME} wrong")).to_be_visible()
    page.get_by_role("button", name="Learn").click()
    expect(page.get_by_role("progressbar")).to_be_visible()
    job = page.locator(".job")
    use = job.get_by_role("button", name="Search with it")
    expect(use).to_be_visible(timeout=240_000)
    expect(job).to_contain_text(re.compile(rf"From {SOME} pairs, and \d+ that were marked wrong"))
    expect(job.get_by_role("row", name="rsum")).to_be_visible()
    expect(job.get_by_role("row", name="right above wrong")).to_be_visible()
    use.click()
    expect(page.get_by_text("Learnt here, on top of visita-small.")).to_be_visible(timeout=120_000)
    page.get_by_role("link", name="Quality").click()
    expect(page.get_by_role("heading", name="As it was measured")).to_be_visible()
    expect(page.get_by_role("row", name="right above wrong")).to_be_visible()
    page.get_by_role("link", name="Teach").click()
    page.get_by_role("button", name="Back to visita-small").click()
    expect(page.get_by_text("Searched with now: visita-small.")).to_be_visible(timeout=120_000)
