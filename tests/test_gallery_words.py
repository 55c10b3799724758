"""Words read in pictures and names of places: found, kept, gone on with, and lost without harm."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from commands import run
from PIL import Image, ImageDraw, ImageFont
from standin import ColourMeans, LinearMatcher
from written import at, exif, save

from visita.gallery.exported import export_gallery
from visita.gallery.filter import Filter
from visita.gallery.gallery import StoredGallery
from visita.gallery.imported import import_gallery
from visita.gallery.info import gallery_contents
from visita.gallery.metadata import WORDS, words_file
from visita.gallery.ocr import read_words
from visita.gallery.places import place_names
from visita.gallery.sync import SyncReport
from visita.gallery.table import open_table
from visita.gallery.upkeep import compact_gallery, verify_gallery
from visita.progress import bar

SIGNS = {"one.png": "Invoice 2023", "two.png": "Grand Hotel", "three.png": ""}
ENCODER = ColourMeans()
MATCHER = LinearMatcher(ENCODER.recipe)


def draw_sign(path: Path, words: str) -> None:
    picture = Image.effect_noise((320, 200), 30).convert("RGB")
    font = ImageFont.load_default(36)
    ImageDraw.Draw(picture).text((30, 70), words, "black", font, stroke_width=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)


class Pixels:
    """Reads the colour of the first pixel as a word, and fails on some."""

    def __init__(self, faulty: tuple[int, ...] = ()) -> None:
        self.seen: list[int] = []
        self._faulty = faulty

    def __call__(self, picture: Image.Image) -> str:
        red = picture.getpixel((0, 0))[0]
        self.seen.append(red)
        if red in self._faulty:
            raise ValueError("such a picture")
        return f"red {red}" if red else ""


@pytest.fixture
def gallery(tmp_path) -> StoredGallery:
    """Return a gallery of 20 pictures of one colour each."""
    (tmp_path / "pictures").mkdir()
    for red in range(20):
        Image.new("RGB", (20, 20), (red, 0, 0)).save(tmp_path / "pictures" / f"{red:02}.png")
    found = StoredGallery.open(tmp_path / "pictures", home=tmp_path / "home")
    sync(found)
    return found


def sync(gallery: StoredGallery) -> SyncReport:
    return gallery.sync(MATCHER, ENCODER)


def read(gallery: StoredGallery, reader: Pixels):
    return read_words(gallery.path, gallery.folder, reader, bar)


def named(gallery: StoredGallery, **given) -> list[str]:
    found = gallery.passing(gallery.snapshot(MATCHER.fingerprint()), Filter(**given))
    return [os.path.relpath(path, gallery.folder) for path in found.paths]


def rows(gallery: StoredGallery) -> dict[str, str | None]:
    with open_table(gallery.path) as connection:
        return dict(connection.execute("SELECT path, words FROM pictures ORDER BY path"))


@pytest.mark.slow
def test_words_in_pictures_are_read_and_found(tmp_path):
    pytest.importorskip("rapidocr")
    for name, words in SIGNS.items():
        draw_sign(tmp_path / "Pictures" / name, words)
    home = tmp_path / "home"
    done = run("index", tmp_path / "Pictures", "--ocr", "--gallery", home)
    assert done.status == 0 and "words in 2 of 3 pictures read now, 0 read before" in done.out
    found = run(
        "search", "paper", tmp_path / "Pictures", "--gallery", home, "--text", '"invoice 2023"'
    )
    assert [Path(line.split("\t")[1]).name for line in found.out.splitlines()] == ["one.png"]
    again = run("index", tmp_path / "Pictures", "--ocr", "--gallery", home, "--json").json
    words = again["galleries"][0]["words"]
    assert (words["read"], words["known"], words["skipped"]) == (0, 3, [])


def test_a_missing_library_names_its_extra_before_anything_is_read(tmp_path):
    draw_sign(tmp_path / "a.png", "")
    program = (
        "import sys; sys.modules['rapidocr'] = None; sys.argv[1:] = "
        f"['index', {str(tmp_path)!r}, '--ocr', '--gallery', {str(tmp_path / 'home')!r}]\n"
        "from visita.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 2 and "pip install 'visita[ocr]'" in done.stderr
    assert "Traceback" not in done.stderr and not (tmp_path / "home").exists()


def test_what_was_read_is_a_column_with_its_coverage(gallery):
    assert set(rows(gallery).values()) == {None}
    report = read(gallery, Pixels())
    assert (report.read, report.worded, report.known, report.skipped) == (20, 19, 0, ())
    assert named(gallery, text="red 7") == ["07.png"]
    assert rows(gallery)["00.png"] == ""
    known = {column.name: column.known for column in gallery_contents(gallery.path).columns}
    assert known["words"] == 20
    assert read(gallery, Pixels()).known == 20


def test_only_what_is_new_is_read_and_copies_are_read_once(gallery):
    read(gallery, Pixels())
    (gallery.folder / "03.png").replace(gallery.folder / "moved.png")
    (gallery.folder / "copy.png").write_bytes((gallery.folder / "04.png").read_bytes())
    Image.new("RGB", (20, 20), (99, 0, 0)).save(gallery.folder / "new.png")
    sync(gallery)
    assert named(gallery, text="red 3") == ["moved.png"]
    assert named(gallery, text="red 4") == ["04.png", "copy.png"]
    reader = Pixels()
    read(gallery, reader)
    assert reader.seen == [99]
    assert named(gallery, text="red 99") == ["new.png"]


def test_a_picture_that_cannot_be_read_stops_no_other(gallery):
    (gallery.folder / "05.png").unlink()
    Image.new("RGB", (30, 30), (6, 6, 6)).save(gallery.folder / "06.png")
    report = read(gallery, Pixels(faulty=(2,)))
    assert report.read == 17
    reasons = {Path(each.item).name: each.reason for each in report.skipped}
    assert set(reasons) == {"02.png", "05.png", "06.png"}
    assert "words cannot be read: such a picture" in reasons["02.png"]
    assert "has changed" in reasons["06.png"]
    reader = Pixels()
    read(gallery, reader)
    assert 2 in reader.seen and 7 not in reader.seen  # it is tried again


KILLED = """
import os, signal, sys
from pathlib import Path
from visita.gallery.ocr import read_words
from visita.progress import bar

seen = []
def reader(picture):
    seen.append(picture)
    if len(seen) == 13:
        os.kill(os.getpid(), signal.SIGKILL)
    return "some"

read_words(Path(sys.argv[1]), Path(sys.argv[2]), reader, bar)
"""


def test_a_run_that_is_killed_goes_on_where_it_was(gallery):
    done = subprocess.run(
        [sys.executable, "-c", KILLED, gallery.path, gallery.folder],
        capture_output=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert list(rows(gallery).values()).count("some") == 8
    report = read(gallery, Pixels())
    assert (report.known, report.read) == (8, 12)
    assert None not in rows(gallery).values()


def test_damage_costs_what_it_hit_alone(gallery):
    read(gallery, Pixels())
    path = gallery.path / WORDS
    content = bytearray(path.read_bytes())
    content[40] ^= 1  # in the first of three lines
    path.write_bytes(content)
    for made in gallery.path.glob("table-*"):
        made.unlink()
    assert list(rows(gallery).values()).count(None) == 8
    assert verify_gallery(gallery.path).damaged == [f"{WORDS}: 1 line"]
    assert read(gallery, Pixels()).read == 8


def test_compacting_lets_go_of_the_words_of_what_is_gone(gallery):
    read(gallery, Pixels())
    (gallery.folder / "03.png").unlink()
    sync(gallery)
    compact_gallery(gallery.path)
    digests = gallery.snapshot(MATCHER.fingerprint()).digests
    assert words_file(gallery.path).read(digests).keys() == set(digests)
    assert len(digests) == 19
    assert words_file(gallery.path).damaged() == 0
    assert "red 3" not in (gallery.path / WORDS).read_text("utf-8")


def test_words_travel_with_a_gallery(gallery, tmp_path):
    read(gallery, Pixels())
    export_gallery(gallery.path, tmp_path / "all.parquet")
    other = StoredGallery.open(gallery.folder, home=tmp_path / "other")
    import_gallery(tmp_path / "all.parquet", other)
    assert rows(other) == rows(gallery)
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(tmp_path / "all.parquet").drop_columns(["words", "place"])
    parquet.write_table(table, tmp_path / "before.parquet")  # as of a visita without them
    third = StoredGallery.open(gallery.folder, home=tmp_path / "third")
    assert import_gallery(tmp_path / "before.parquet", third) == 20
    assert set(rows(third).values()) == {None}


@pytest.mark.slow
def test_coordinates_have_names(tmp_path):
    pytest.importorskip("reverse_geocode")
    save(tmp_path / "pictures" / "paris.jpg", 0, exif=exif(gps=at(48.8584, 2.2945)))
    save(tmp_path / "pictures" / "sea.jpg", 1, exif=exif(gps=at(-48.9, -123.4)))
    save(tmp_path / "pictures" / "plain.jpg", 2)
    gallery = StoredGallery.open(tmp_path / "pictures", home=tmp_path / "home")
    sync(gallery)
    assert named(gallery, text="paris france") == ["paris.jpg"]
    assert named(gallery, text='"ile de france"') == ["paris.jpg"]
    assert named(gallery, where="place = ''") == ["sea.jpg"]
    assert named(gallery, where="place IS NULL") == ["plain.jpg"]


@pytest.mark.slow
def test_a_place_is_called_by_the_town_that_it_is_in_or_near_on_the_sphere():
    pytest.importorskip("reverse_geocode")
    places = [(69.65, 18.96), (48.8584, 2.2945), (66.32, 179.9), (47.5572, 10.7498), (-48.9, -123)]
    names = place_names(places)
    assert names[0] == "Troms\u00f8, Troms, Norway"
    assert names[1].startswith("Paris, ")  # the centre of Neuilly is nearer to the Eiffel Tower
    assert names[2].startswith("Egvekinot, ")  # which lies beyond the date line
    assert names[3].startswith("Schwangau, ") and names[3].endswith("Germany")
    assert names[4] == "" and place_names([]) == []
