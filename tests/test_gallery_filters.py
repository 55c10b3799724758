"""What is written about pictures, kept in step; searches among some of them; what harms neither."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from standin import ColourMeans, LetterCounts, LinearMatcher, draw_noise
from written import at, bag, exif, save, xmp

from visita.errors import ConfigError, DataError
from visita.gallery import reading, table
from visita.gallery.filter import Filter
from visita.gallery.gallery import StoredGallery
from visita.gallery.metadata import METADATA
from visita.gallery.snapshot import Snapshot
from visita.gallery.upkeep import compact_gallery, verify_gallery
from visita.search.query import Query
from visita.search.search import search, search_snapshots
from visita.store.journal import read_lines, write_lines

PARIS, OSLO, OLD, PLAIN = "paris.jpg", "oslo.jpg", "trips/rome 2024/old.jpg", "trips/plain.png"


def taken(day: str) -> dict[int, str]:
    return {0x9003: day}


BASIC = {
    PARIS: exif({0x0110: "Canon R5", 0x4746: 4}, taken("2023:05:01 12:00:00"), at(48.86, 2.35)),
    OSLO: exif({0x0110: "Nikon Z8"}, taken("2024:01:31 23:59:59"), at(59.91, 10.75)),
    OLD: exif({0x010E: "the \u00c9glise at night".encode()}, taken("1999:12:31 08:00:00")),
    PLAIN: None,
}


class Place:
    """A gallery of pictures that say something, beside a home."""

    def __init__(self, root: Path) -> None:
        self.home, self.folder = root / "home", root / "pictures"
        self.encoder = ColourMeans()
        self.matcher = LinearMatcher(self.encoder.recipe)
        self.mends = 0
        for seed, (name, entries) in enumerate(BASIC.items()):
            save(self.folder / name, seed, **({"exif": entries} if entries else {}))

    @property
    def gallery(self) -> StoredGallery:
        return StoredGallery.open(self.folder, home=self.home)

    def sync(self, **options):
        self.encoder.encoded.clear()
        return self.gallery.sync(self.matcher, self.encoder, **options)

    def refresh(self, **options):
        self.encoder.encoded.clear()
        return self.gallery.refresh(self.matcher, self.encoder, **options)[0]

    @property
    def snapshot(self) -> Snapshot:
        return self.gallery.snapshot(self.matcher.fingerprint())

    def passing(self, where: Filter) -> Snapshot:
        return self.gallery.passing(self.snapshot, where)

    def mend(self) -> None:
        self.mends += 1

    def names(self, **given) -> list[str]:
        found = self.passing(Filter(**given))
        return [os.path.relpath(path, self.folder) for path in found.paths]


@pytest.fixture
def place(tmp_path) -> Place:
    place = Place(tmp_path)
    place.sync()
    return place


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({}, [OSLO, PARIS, PLAIN, OLD]),
        ({"since": "2023-05-01"}, [OSLO, PARIS]),
        ({"since": date(2023, 5, 2)}, [OSLO]),
        ({"until": "2023"}, [PARIS, OLD]),
        ({"until": "2024-01-31"}, [OSLO, PARIS, OLD]),
        ({"until": "2024-01-31T23:59"}, [PARIS, OLD]),
        ({"since": "2023", "until": "2023"}, [PARIS]),
        ({"camera": "canon"}, [PARIS]),
        ({"near": "48.85,2.36"}, [PARIS]),
        ({"near": (48.85, 2.36, 0.5)}, []),
        ({"near": (54, 6, 900)}, [OSLO, PARIS]),
        ({"rating": 4}, [PARIS]),
        ({"rating": 5}, []),
        ({"text": "eglise night"}, [OLD]),
        ({"text": '"night at"'}, []),
        ({"text": '"at night" the'}, [OLD]),
        ({"text": "rome"}, [OLD]),
        ({"under": "trips"}, [PLAIN, OLD]),
        ({"under": "trips/rome 2024"}, [OLD]),
        ({"where": "date IS NULL OR camera LIKE '%z8'"}, [OSLO, PLAIN]),
        ({"where": "width > height and substr(folder, 1, 5) = 'trips'"}, [PLAIN, OLD]),
        ({"where": "caption LIKE '%(%'"}, []),
        ({"where": 'camera = "Canon R5"', "since": "2020"}, [PARIS]),
    ],
)
def test_only_what_a_filter_says_passes(place, given, names):
    assert place.names(**given) == names


def test_a_folder_may_be_named_from_here_or_from_elsewhere(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert place.names(under="pictures/trips") == [PLAIN, OLD]
    assert place.names(under=place.folder / "trips") == [PLAIN, OLD]
    assert len(place.names(under=tmp_path)) == 4
    (tmp_path / "elsewhere").mkdir()
    assert place.names(under="elsewhere") == []
    with pytest.raises(DataError, match="no folder 'nowhere' to search under"):
        place.names(under="nowhere")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"since": "yesterday"}, "no date: write it as 2024"),
        ({"near": "91,0"}, "near"),
        ({"near": "here"}, "near"),
        ({"rating": 6}, "rating"),
        ({"sinc": "2024"}, "Did you mean 'since'"),
        ({"text": "!?"}, "holds no word"),
        ({"where": "widht > 3"}, "no column 'widht'. Did you mean 'width'?"),
        ({"where": "digest IS NULL"}, "no column 'digest'"),
        ({"where": "1) OR (1"}, "brackets that do not match"),
        ({"where": "1; DROP TABLE pictures"}, "semicolon"),
        ({"where": "1 -- )"}, "comment"),
        ({"where": "'a"}, "quotation without an end"),
        ({"where": " "}, "is empty"),
        ({"where": ""}, "is empty"),
        ({"where": "EXISTS (SELECT 1 FROM words)"}, "SELECT"),
        ({"where": "id IN full_text"}, "allowed|no column"),
        ({"where": "1 IN (WITH RECURSIVE x(n) AS (VALUES (1)) SELECT n FROM x)"}, "SELECT|allow"),
        ({"where": "load_extension('x')"}, "load_extension is not allowed"),
        ({"where": "zeroblob(1000000000) IS NULL"}, "zeroblob is not allowed"),
        ({"where": "printf('%9999999d', 1) IS NULL"}, "printf is not allowed"),
        ({"where": "readfile('/etc/passwd') IS NULL"}, "readfile"),
        ({"where": "count(*) > 1"}, "count|misuse"),
        ({"where": "width = ?"}, "binding"),
        ({"where": "words MATCH 'dog'"}, "words"),
        ({"where": "x" * 20_000}, "longer than"),
        ({"where": "width > \ud800"}, "cannot be used"),
        ({"tag": "\ud800"}, "cannot be used"),
    ],
)
def test_what_is_no_filter_is_refused_with_the_reason(place, given, message):
    with pytest.raises(ConfigError, match=message):
        place.names(**given)


def test_a_condition_without_an_end_is_ended(place, monkeypatch):
    monkeypatch.setattr("visita.gallery.filter.SECONDS", -1)
    rows = [(f"{i}", b"") for i in range(20_000)]
    with closing(sqlite3.connect(":memory:")) as copy:
        with table.open_table(place.gallery.path) as connection:
            connection.backup(copy)
        copy.executemany("INSERT INTO pictures (path, raw) VALUES (?, ?)", rows)
        with pytest.raises(ConfigError, match="takes over"):
            Filter(where="path LIKE '%1%2%3%'").passing(copy, place.folder)


def test_a_filtered_search_is_that_of_what_passes_alone(place, tmp_path):
    for i in range(40):
        day = taken(f"{2000 + i % 7}:01:01 00:00:00")
        save(place.folder / f"{i:02d}.jpg", 100 + i, exif=exif({}, day))
    place.sync()
    where = Filter(since="2003", until="2005")
    alone = tmp_path / "alone"
    for path in place.passing(where):
        alone.mkdir(exist_ok=True)
        shutil.copy(path, alone)
    other = StoredGallery.open(alone, home=tmp_path / "other")
    other.sync(place.matcher, place.encoder)
    query = Query.of("a red circle -blue", place.matcher, LetterCounts())
    plain = Query.of("a red circle", place.matcher, LetterCounts())
    among = other.snapshot(place.matcher.fingerprint())
    assert 10 < len(among) < 25
    for asked in (query, plain):
        found = search(asked, [Searchable(place)], 9, where=where)
        expected = search_snapshots(asked, [among], 9)
        assert [(m.path.name, m.score, m.probability) for m in found] == [
            (m.path.name, m.score, m.probability) for m in expected
        ]
    every = search_snapshots(plain, [place.snapshot], 100)
    passing = {path.name for path in among}
    restricted = [m.path for m in every if m.path.name in passing]
    assert [m.path for m in search(plain, [Searchable(place)], 100, where=where)] == restricted


class Searchable:
    """A gallery as a search needs it."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.snapshot = place.snapshot
        self.passing = place.passing
        self.mentions = place.gallery.mentions
        self.mend = place.mend


def test_by_date_the_newest_of_what_matches_comes_first(place):
    plain = Query.of("a red circle", place.matcher, LetterCounts())
    every = search(plain, [Searchable(place)], 10, where=Filter())
    assert sorted(m.date for m in every if m.date) == [
        "1999-12-31T08:00:00",
        "2023-05-01T12:00:00",
        "2024-01-31T23:59:59",
    ]
    least = every[2].probability
    newest = search(plain, [Searchable(place)], 10, threshold=least, sort="date")
    matching = [m for m in every if m.probability >= least]
    assert list(newest) == sorted(matching, key=lambda m: m.date or "", reverse=True)
    assert len(newest) == 3
    assert search(plain, [Searchable(place)], 1, threshold=least, sort="date") == newest[:1]
    assert search(plain, [Searchable(place)], 5, threshold=1.0, sort="date") == []
    with pytest.raises(ConfigError, match="needs a threshold"):
        like = Query.from_vectors(place.snapshot.vectors[:1])
        search(like, [Searchable(place)], 5, sort="date")
    with pytest.raises(ConfigError, match="sort is relevance, date"):
        search(plain, [Searchable(place)], 5, sort="dat")


def test_files_beside_pictures_are_noticed_without_reading_these(place):
    assert place.names(tag="Caf\u00e9") == []
    for name, words in (("paris.xmp", "caf\u00e9"), ("oslo.jpg.xmp", "CAF\u00c9")):
        (place.folder / name).write_bytes(xmp('xmp:Rating="2"', bag("x", words)))
    place.sync()
    assert place.encoder.encoded == []
    assert place.names(tag="Caf\u00e9") == [OSLO, PARIS]
    assert place.names(tag=["caf\u00e9", "X"], camera="canon") == [PARIS]
    assert place.names(tag="caf") == []
    assert place.names(rating=3) == []
    assert place.sync().in_step
    (place.folder / "paris.xmp").unlink()
    place.sync()
    assert place.names(rating=3) == [PARIS]
    (place.folder / "paris.txt").write_text("a baguette", "utf-8")
    place.sync()
    assert place.names(text="baguette") == [PARIS]


def test_a_table_stays_in_step(place, monkeypatch):
    monkeypatch.setattr(reading, "_PART", 2)
    for i in range(9):
        save(place.folder / "more" / f"{i}.jpg", 50 + i, exif=exif({0x010E: f"number {i}"}))
    (place.folder / PARIS).rename(place.folder / "trips" / "moved.jpg")
    (place.folder / OSLO).unlink()
    place.sync()
    assert place.names(text="number") == [f"more/{i}.jpg" for i in range(9)]
    assert place.names(rating=4) == ["trips/moved.jpg"]
    assert place.names(camera="nikon") == []
    shutil.copy(place.folder / "more" / "1.jpg", place.folder / "more" / "2.jpg")
    place.sync()
    assert place.names(text="number 2") == []
    assert place.names(text="number 1") == ["more/1.jpg", "more/2.jpg"]
    assert rows(place) == rows_anew(place)


@pytest.mark.parametrize("seed", range(3))
def test_a_table_of_which_little_changes_is_as_if_it_were_made_anew(place, seed):
    """A row in forty changes: the full text is added to; where many do, it is made anew."""
    rng = np.random.default_rng(seed)
    for i in range(40):
        save(place.folder / "many" / f"{i}.jpg", i, exif=exif({0x010E: f"number {i}"}))
    place.sync()
    for _ in range(6):
        name = place.folder / "many" / f"{rng.integers(40)}.jpg"
        aside = place.folder / "many" / f"aside {rng.integers(99)}.jpg"
        change = rng.integers(4)
        if change == 0 and name.exists():
            name.rename(aside)
        elif change == 1:
            name.unlink(missing_ok=True)
        elif change == 2:
            save(aside, 99, exif=exif({0x010E: "number of trips"}))
        else:
            aside.with_suffix(".txt").write_text("a number beside it", "utf-8")
            shutil.copy(place.folder / "many" / "7.jpg", aside) if name.exists() else None
        place.sync()
        (path,) = place.gallery.path.glob("table-*")
        with closing(sqlite3.connect(path)) as connection:  # fails where the two disagree
            connection.execute(
                "INSERT INTO full_text (full_text, rank) VALUES ('integrity-check', 1)"
            )
        kept, content = rows(place), path.read_bytes()
        assert kept == rows_anew(place)
        path.write_bytes(content)


def rows(place: Place) -> list[tuple]:
    names = ", ".join(table.COLUMNS)
    with table.open_table(place.gallery.path) as connection:
        words = connection.execute(
            "SELECT rowid FROM full_text WHERE full_text MATCH 'number OR trips'"
        )
        count = len(words.fetchall())
        return [*connection.execute(f"SELECT {names} FROM pictures ORDER BY path"), count]


def rows_anew(place: Place) -> list[tuple]:
    """Return what the table is without the one that there is."""
    for path in place.gallery.path.glob("table-*"):
        path.unlink()
    return rows(place)


def test_names_that_are_no_unicode_are_told_apart(place):
    if os.name != "posix":
        pytest.skip("names are Unicode here")
    names = ["\udcff.png", "\udcfe.png", "\\udcff.png"]
    for seed, name in enumerate(names):
        draw_noise(place.folder / "odd" / "x.png", 70 + seed).rename(place.folder / "odd" / name)
    place.sync()
    assert sorted(place.names(under="odd")) == sorted(f"odd/{name}" for name in names)


def test_a_gallery_of_before_gets_its_metadata_at_the_next_sync_or_filter(place, capsys):
    before = rows(place)
    forget(place)
    assert place.refresh().in_step  # a search without a filter reads nothing
    assert not (place.gallery.path / METADATA).exists()
    assert place.names(camera="canon") == []
    assert "metadata of 4 pictures is not read yet" in capsys.readouterr().err
    place.refresh(tabled=True)
    assert place.encoder.encoded == []
    assert rows(place) == before
    forget(place)
    place.sync()
    assert place.encoder.encoded == []
    assert rows(place) == before


def forget(place: Place) -> None:
    """Make a gallery what it was before metadata were kept."""
    for path in (*place.gallery.path.glob("table-*"), place.gallery.path / METADATA):
        path.unlink()
    index = place.gallery.path / "index.jsonl"
    lines = read_lines(index).whole
    for line in lines:
        line["files"] = [entry[:-1] for entry in line["files"]]
    write_lines(index, lines)


def test_a_damaged_table_is_made_again_and_a_damaged_line_is_read_again(place, capsys):
    before = rows(place)
    rng = np.random.default_rng(0)
    for at_once in (1, 40):
        (path,) = place.gallery.path.glob("table-*")
        flip(path, rng, at_once)
        assert rows(place) == before
        place.sync()
        assert rows(place) == before
    assert "is damaged: it is made again" in capsys.readouterr().err
    flip(place.gallery.path / METADATA, rng, 1)
    assert rows(place) == before  # the table has it
    for path in place.gallery.path.glob("table-*"):
        path.unlink()
    place.sync()
    assert place.encoder.encoded == []
    assert rows(place) == before


def test_verify_finds_damage_and_compact_lets_go(place):
    assert verify_gallery(place.gallery.path).damaged == []
    rng = np.random.default_rng(1)
    (path,) = place.gallery.path.glob("table-*")
    flip(path, rng, 1)
    flip(place.gallery.path / METADATA, rng, 1)
    assert len(verify_gallery(place.gallery.path).damaged) == 2
    assert verify_gallery(place.gallery.path).damaged == []
    place.sync()
    before = rows(place)
    (place.folder / OSLO).unlink()
    place.sync()
    size = (place.gallery.path / METADATA).stat().st_size
    compact_gallery(place.gallery.path)
    assert (place.gallery.path / METADATA).stat().st_size < size
    place.sync()
    assert len(rows(place)) == len(before) - 1
    assert place.encoder.encoded == []


def flip(path: Path, rng: np.random.Generator, bits: int) -> None:
    content = bytearray(path.read_bytes())
    for bit in rng.integers(0, 8 * len(content), bits).tolist():
        content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def test_what_nobody_can_write_is_filtered_all_the_same(place):
    before = rows(place)
    for path in place.gallery.path.glob("table-*"):
        path.unlink()
    assert rows(place) == before
    assert not list(place.gallery.path.glob("table-*"))
