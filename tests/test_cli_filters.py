"""Filters, dates and what galleries keep, on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import run
from drawn import draw_pairs
from written import bag, xmp


@pytest.fixture(scope="module")
def here(tmp_path_factory) -> Path:
    """Return a home beside twelve drawn pictures, of which three have a date and a keyword."""
    here = tmp_path_factory.mktemp("filters")
    draw_pairs(here / "Pictures", 12)
    for number in range(3):
        sidecar = here / "Pictures" / f"0000{number}.xmp"
        sidecar.write_bytes(xmp(f'xmp:CreateDate="202{number}-05-01T10:00:00"', bag("kept")))
    return here


def search(here: Path, *words: str):
    return run("search", "a star", here / "Pictures", "--gallery", here / "home", *words)


def test_a_filter_is_asked_for_and_told(here):
    assert len(search(here, "-k", "99").out.splitlines()) == 12
    found = search(here, "--tag", "KEPT", "--since", "2021", "--json").json
    assert found["gallery_size"] == 2
    assert sorted(match["date"] for match in found["matches"]) == [
        "2021-05-01T10:00:00",
        "2022-05-01T10:00:00",
    ]
    done = search(here, "--tag", "absent")
    assert (done.status, done.out) == (1, "")
    assert "note: nothing found: no picture passes the filter" in done.err


def test_the_newest_come_first_with_their_dates(here):
    done = search(here, "--sort", "date", "--threshold", "0", "-k", "4")
    dates = [line.split("\t")[1] for line in done.out.splitlines()]
    assert dates == [f"202{year}-05-01T10:00:00" for year in (2, 1, 0)] + ["-"]


def test_without_a_filter_each_match_has_its_date_in_json(here):
    matches = search(here, "-k", "12", "--json").json["matches"]
    assert sum(match["date"] is not None for match in matches) == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--since", "soon"], "'soon' is no date"),
        (["--near", "here"], "near"),
        (["--where", "colour = 1"], "there is no column 'colour'"),
        (["--under", "nowhere"], "There is no folder 'nowhere'"),
        (["--sort", "size"], "size"),
    ],
)
def test_a_mistake_is_one_line(here, words, message):
    done = search(here, *words)
    assert done.status == 2 and done.out == ""
    assert message in done.err
    assert "Traceback" not in done.err


def test_a_gallery_is_looked_into_exported_and_taken_back(here, tmp_path):
    home, pictures, file = here / "home", here / "Pictures", tmp_path / "out.parquet"
    search(here, "--tag", "kept")
    contents = run("gallery", "info", pictures, "--gallery", home, "--json").json
    assert {c["name"]: c["known"] for c in contents["columns"]}["date"] == 3
    assert "table keywords" in run("gallery", "info", pictures, "--gallery", home).out
    assert run("gallery", "export", pictures, file, "--gallery", home).status == 0
    taken = run("gallery", "import", file, pictures, "--gallery", tmp_path / "other", "--json")
    assert taken.json["pictures"] == 12
    done = run("search", "a star", pictures, "--gallery", tmp_path / "other", "--tag", "kept")
    assert len(done.out.splitlines()) == 3
    again = run("gallery", "import", file, pictures, "--gallery", tmp_path / "other")
    assert again.status == 2 and "already: remove it first" in again.err


def test_duplicates_are_listed_a_group_a_block(here):
    twin = here / "Pictures" / "twin.jpg"
    original = next((here / "Pictures").glob("*.jpg"))
    twin.write_bytes(original.read_bytes())
    home = ("--gallery", here / "home")
    done = run("gallery", "duplicates", here / "Pictures", *home)
    assert str(original) in done.out and str(twin) in done.out
    listed = run("gallery", "duplicates", here / "Pictures", *home, "--json").json
    groups = [{p["path"] for p in group["pictures"]} for group in listed["duplicates"]]
    assert any({str(twin), str(original)} <= group for group in groups)
    assert listed["groups"] == len(groups)
    twin.unlink()
